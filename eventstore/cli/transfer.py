"""`export` and `import`: a store's events into a file, and from there into another store."""

from __future__ import annotations

import argparse
import time
from datetime import datetime
from pathlib import Path

from eventstore.adapters.dynamodb.compression import compression_for
from eventstore.adapters.dynamodb.events_table import DynamoDBEventsTable
from eventstore.adapters.dynamodb.store import DynamoDBEventStore
from eventstore.cli.exit_codes import ALL_WELL, SOMETHING_LEFT
from eventstore.cli.options import READ_SHARDS, TABLE, WRITE_SHARDS
from eventstore.cli.screen import Screen
from eventstore.cli.settings import dynamodb, session
from eventstore.cli.signals import Signals
from eventstore.errors import InvalidRange
from eventstore.limits import SETTLING_S
from eventstore.positions import from_us
from eventstore.transfer.export import Exported, export, table_events
from eventstore.transfer.importing import Imported, check_export, import_events

FAILED_STREAMS_TOLD = 20


def run_export(options: argparse.Namespace, screen: Screen, _signals: Signals) -> int:
    """Export; return 0 when the file is complete."""
    client = dynamodb(session())
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
    return ALL_WELL


def run_import(options: argparse.Namespace, screen: Screen, _signals: Signals) -> int:
    """Import; return 0 when every event of the file is in the store, 1 when some streams failed."""
    with screen.bar("Checking the file", unit="events") as bar:
        contents = check_export(options.file, whole_streams=not options.into_existing, checked=bar.at)
    screen.say(
        f"{options.file} is whole: {contents.events:,} events in {contents.streams:,} streams, "
        f"settled until {contents.settled_until}"
    )
    if options.check_only:
        return ALL_WELL
    client = dynamodb(session())
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
    return SOMETHING_LEFT if imported.failed else ALL_WELL


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
