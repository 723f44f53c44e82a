"""`export` and `import`: a store's events into a file, and from there into another store."""

from __future__ import annotations

import argparse
import time
from datetime import datetime
from pathlib import Path

from eventstore.adapters.dynamodb.client import dynamodb_client
from eventstore.adapters.dynamodb.compression import compression_for
from eventstore.adapters.dynamodb.events_table import DynamoDBEventsTable
from eventstore.adapters.dynamodb.store import DynamoDBEventStore
from eventstore.cli.screen import Screen
from eventstore.cli.settings import CLIENT_CONFIG, READ_SHARDS, TABLE, WRITE_SHARDS, session, whole_number
from eventstore.errors import InvalidRange
from eventstore.limits import SETTLING_S
from eventstore.positions import from_us
from eventstore.transfer.export import Exported, export, table_events
from eventstore.transfer.importing import Imported, check_export, import_events

FAILED_STREAMS_TOLD = 20


def add_export_options(parser: argparse.ArgumentParser) -> None:
    """Let the parser know the options of `export`."""
    parser.add_argument("file", type=Path, help="the file to make, such as events.ndjson.gz")
    TABLE.add_to(parser)
    READ_SHARDS.add_to(parser)
    parser.add_argument(
        "--from", dest="from_", metavar="TIME", help="the first time, ISO 8601 with an offset"
    )
    parser.add_argument("--to", metavar="TIME", help="the first time to leave out")
    parser.add_argument(
        "--segments",
        type=whole_number(1, 1_000),
        default=4,
        help="of the table, read side by side (default: 4)",
    )


def run_export(options: argparse.Namespace, screen: Screen) -> int:
    """Export; return 0 when the file is complete."""
    client = dynamodb_client(session(), config=CLIENT_CONFIG)
    from_, to = _time(options.from_, "--from"), _time(options.to, "--to")
    with screen.bar("Exporting", unit="events") as bar:
        if from_ is None and to is None:
            table = DynamoDBEventsTable(client=client, table_name=TABLE.of(options))
            settled_until_us = time.time_ns() // 1_000 - round(SETTLING_S * 1_000_000)
            done = export(
                table_events(table, segments=options.segments, settled_until_us=settled_until_us),
                options.file,
                settled_until=from_us(settled_until_us).isoformat(),
                written=bar.at,
            )
        else:
            store = DynamoDBEventStore(
                client=client, table_name=TABLE.of(options), write_shards=READ_SHARDS.whole(options)
            )
            events = store.read_all(from_=from_, to=to)
            done = export(
                events,
                options.file,
                settled_until=events.settled_until.isoformat(),
                from_=options.from_,
                to=options.to,
                written=bar.at,
            )
    _tell_export(done, options.file, screen)
    return 0


def add_import_options(parser: argparse.ArgumentParser) -> None:
    """Let the parser know the options of `import`."""
    parser.add_argument("file", type=Path, help="a file that `export` has made")
    TABLE.add_to(parser)
    WRITE_SHARDS.add_to(parser)
    parser.add_argument(
        "--into-existing",
        action="store_true",
        help="the store may have events: identical ones are passed over, nothing is overwritten",
    )
    parser.add_argument(
        "--parallel",
        type=whole_number(1, 50),
        default=16,
        help="streams written side by side (default: 16)",
    )
    parser.add_argument(
        "--compression", choices=["none", "zlib", "zstd"], default="none", help="of payloads (default: none)"
    )
    parser.add_argument("--check-only", action="store_true", help="check the file and write nothing")


def run_import(options: argparse.Namespace, screen: Screen) -> int:
    """Import; return 0 when every event of the file is in the store, 1 when some streams failed."""
    with screen.bar("Checking the file", unit="events") as bar:
        contents = check_export(options.file, whole_streams=not options.into_existing, checked=bar.at)
    screen.say(
        f"{options.file} is whole: {contents.events:,} events in {contents.streams:,} streams, "
        f"settled until {contents.settled_until}"
    )
    if options.check_only:
        return 0
    client = dynamodb_client(session(), config=CLIENT_CONFIG)
    target = DynamoDBEventsTable(
        client=client, table_name=TABLE.of(options), compression=compression_for(options.compression)
    )
    imported = Imported()
    with screen.bar("Importing", unit="events", total=contents.events) as bar:
        for done in import_events(
            options.file,
            target,
            write_shards=WRITE_SHARDS.whole(options),
            into_existing=options.into_existing,
            parallel=options.parallel,
        ):
            imported.add(done)
            bar.add(done.events)
    for reason in imported.reasons[:FAILED_STREAMS_TOLD]:
        screen.fail(reason)
    if len(imported.reasons) > FAILED_STREAMS_TOLD:
        screen.fail(f"... and {len(imported.reasons) - FAILED_STREAMS_TOLD:,} more streams")
    screen.say(
        f"{imported.written:,} events written, {imported.already_there:,} already there, "
        f"{imported.failed:,} failed in {len(imported.reasons):,} streams"
    )
    return 1 if imported.failed else 0


def _time(text: str | None, option: str) -> datetime | None:
    if text is None:
        return None
    try:
        time_ = datetime.fromisoformat(text)
    except ValueError as error:
        raise InvalidRange(option, f"is no time: {error}; write 2026-01-31T09:30:00Z") from error
    if time_.tzinfo is None:
        raise InvalidRange(option, "has no offset; write 2026-01-31T09:30:00Z")
    return time_


def _tell_export(done: Exported, file: Path, screen: Screen) -> None:
    screen.say(
        f"{done.events:,} events, {done.size_bytes:,} bytes of lines, settled until {done.settled_until}\n"
        f"{file}: {file.stat().st_size:,} bytes, SHA-256 of its lines {done.sha256}"
    )
