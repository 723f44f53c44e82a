"""`export` and `import`: a store's events into a file, and from there into another store."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import sleep
from typing import IO, Final

from eventstore._command_line import ALL_WELL, SOMETHING_LEFT
from eventstore.cli.options import STANDARD_OUTPUT, TABLE, Options
from eventstore.cli.outcome import Outcome
from eventstore.cli.screen import Screen
from eventstore.cli.settings import (
    Clock,
    clock,
    dynamodb,
    given_time,
    local_us,
    read_shards,
    session,
)
from eventstore.cli.signals import Signals
from eventstore.dynamodb.compression import compression_for
from eventstore.dynamodb.facts import StoreFacts
from eventstore.dynamodb.raw_items import DynamoDBEventsTable
from eventstore.errors import InvalidInput, InvalidRange
from eventstore.limits import FUTURE_S, SETTLING_S
from eventstore.maintenance.transfer.export import Exported, export_to
from eventstore.maintenance.transfer.files import new_file
from eventstore.maintenance.transfer.importing import Contents, Imported, check_export, import_events
from eventstore.maintenance.transfer.lines import LeftOut, check_kind
from eventstore.maintenance.transfer.selection import Selection
from eventstore.positions import from_us, to_us

STREAMS_LISTED: Final = 20

_SETTLING_US: Final = round(SETTLING_S * 1_000_000)
_TOLERANCE_US: Final = round(FUTURE_S * 1_000_000)


def run_export(options: Options, screen: Screen, _signals: Signals) -> Outcome:
    """Export; the exit code is 0 when the file has all that was there when it began, else 1."""
    if options.as_json and options.file == STANDARD_OUTPUT:
        raise InvalidInput("--json", "and the file - both take standard output; name a file")
    table_name = TABLE.of(options)
    from_, to = given_time(options.from_, "--from"), given_time(options.to, "--to")
    by_time = from_ is not None or to is not None
    if from_ is not None and to is not None and to <= from_:
        raise InvalidRange("--from", "is not before --to; exchange them")
    with _file(options.file) as file:
        aws = session()
        clock_ = clock(aws, table_name, screen)
        client = dynamodb(aws)
        facts = StoreFacts(client=client, table_name=table_name)
        table = DynamoDBEventsTable(client=client, table_name=table_name, facts=facts)
        shards = read_shards(facts, is_empty=table.is_empty) if by_time else 0
        to_us_ = None if to is None else to_us(to)
        begun_us = clock_.now_us()
        _wait(begun_us if to_us_ is None else min(begun_us, to_us_), clock_, screen)
        selection = Selection(end_us=begun_us, now_us=clock_.now_us, whole_streams=not by_time)
        events = (
            selection.of_index(
                table, shards=shards, from_us=0 if from_ is None else max(0, to_us(from_)), to_us=to_us_
            )
            if by_time
            else selection.of_table(table, segments=options.segments)
        )
        with screen.bar("Exporting", unit="events") as bar:
            done = export_to(
                file,
                events,
                settled_until=from_us(begun_us).isoformat(),
                from_=options.from_,
                to=options.to,
                left_out=selection.left_out,
                written=bar.at,
            )
    _report_export(done, options.file, screen)
    if selection.young:
        screen.say(f"{selection.young:,} events that were appended while it ran are not in it.")
    if selection.left_out.events:
        _report_left_out("left out", selection.left_out, screen)
    return Outcome(
        SOMETHING_LEFT if selection.left_out.events else ALL_WELL,
        {
            "file": str(options.file),
            "events": done.events,
            "sizeBytes": done.size_bytes,
            "sha256": done.sha256,
            "settledUntil": done.settled_until,
            "appendedMeanwhile": selection.young,
            "leftOut": selection.left_out.to_json(),
        },
    )


def run_import(options: Options, screen: Screen, _signals: Signals) -> Outcome:
    """Import; the exit code is 0 when every event of the file is in the store, 1 when some streams failed."""
    if options.file == STANDARD_OUTPUT:
        raise InvalidInput("file", "is -; an import reads its file several times, so give one by its name")
    check_kind(options.file)  # before AWS is asked anything
    excepted = frozenset([*options.except_, *_names(options.except_from)])
    if options.check_only:
        contents = _check(options, excepted, local_us() + _TOLERANCE_US, screen)
        return Outcome(ALL_WELL, _of_file(options, contents))
    table_name = TABLE.of(options)
    compression = compression_for(options.compression)
    aws = session()
    clock_ = clock(aws, table_name, screen)
    contents = _check(options, excepted, clock_.now_us() + _TOLERANCE_US, screen)
    client = dynamodb(aws)
    facts = StoreFacts(client=client, table_name=table_name)
    target = DynamoDBEventsTable(client=client, table_name=table_name, compression=compression, facts=facts)
    read_shards(facts, is_empty=target.is_empty)  # refused here where the store has lost its item
    if facts.recorded is None:
        screen.say(
            "The store is new and doesn't say over how many shards its events are spread: it begins with 1."
        )
    imported = Imported()
    with screen.bar("Importing", unit="events", total=contents.events) as bar:
        for done in import_events(
            options.file,
            target,
            into_existing=options.into_existing,
            excepted=excepted,
            parallel=options.parallel,
        ):
            imported.add(done)
            bar.add(done.events)
    for reason in imported.reasons[:STREAMS_LISTED]:
        screen.fail(reason)
    if len(imported.reasons) > STREAMS_LISTED:
        screen.fail(f"... and {len(imported.reasons) - STREAMS_LISTED:,} more streams")
    screen.say(
        f"{imported.written:,} events written, {imported.already_there:,} already there, "
        f"{imported.failed:,} failed in {len(imported.reasons):,} streams"
    )
    return Outcome(
        SOMETHING_LEFT if imported.failed else ALL_WELL,
        {
            **_of_file(options, contents),
            "written": imported.written,
            "alreadyThere": imported.already_there,
            "failed": imported.failed,
            "failedStreams": imported.reasons,
        },
    )


def _of_file(options: Options, contents: Contents) -> dict[str, object]:
    return {
        "file": str(options.file),
        "events": contents.events,
        "streams": contents.streams,
        "settledUntil": contents.settled_until,
        "leftOut": contents.left_out.to_json(),
        "excepted": contents.excepted,
    }


def _check(options: Options, excepted: frozenset[str], latest_us: int, screen: Screen) -> Contents:
    with screen.bar("Checking the file", unit="events") as bar:
        contents = check_export(
            options.file,
            whole_streams=not options.into_existing,
            excepted=excepted,
            latest_us=latest_us,
            equal_timestamps=options.equal_timestamps,
            any_uids=options.any_uids,
            checked=bar.at,
        )
    unknown = sorted(stream_id for stream_id, lines in contents.excepted.items() if not lines)
    if unknown:
        # A name that was mistyped must not let in for good what should have stayed out.
        named = ", ".join(map(repr, unknown[:STREAMS_LISTED]))
        raise InvalidInput("--except", f"the file has no stream {named}. Nothing was written")
    screen.say(
        f"{options.file} is whole: {contents.events:,} events in {contents.streams:,} streams, "
        f"settled until {contents.settled_until}"
    )
    if excepted:
        events = sum(contents.excepted.values())
        screen.say(f"{events:,} events in {len(excepted):,} streams are not imported, as --except says.")
    if contents.left_out.events:
        _report_left_out("the export left out", contents.left_out, screen)
    return contents


@contextmanager
def _file(path: Path) -> Iterator[IO[bytes]]:
    """Open the file to make; "-" is standard output."""
    if path != STANDARD_OUTPUT:
        with new_file(path) as file:
            yield file
        return
    if sys.stdout is None or sys.stdout.isatty():
        raise InvalidInput("file", "is -, but standard output is no file and no pipe; the file is compressed")
    yield sys.stdout.buffer
    sys.stdout.buffer.flush()


def _names(path: Path | None) -> list[str]:
    """Read stream ids, one a line; spaces belong to them."""
    if path is None:
        return []
    try:
        # Not splitlines(), which breaks at characters that a stream id can have.
        return [name for name in path.read_bytes().decode().replace("\r\n", "\n").split("\n") if name]
    except UnicodeDecodeError as error:
        raise InvalidInput("--except-from", f"{path} is not UTF-8 at byte {error.start}") from error


def _wait(until_us: int, clock_: Clock, screen: Screen) -> None:
    """Wait until what was written before has settled, so that it's in the file."""
    left_us = until_us + _SETTLING_US - clock_.now_us()
    if left_us > 0:
        screen.say(f"Waiting {left_us / 1_000_000:.0f} s, until what was written before has settled ...")
        sleep(left_us / 1_000_000)


def _report_export(done: Exported, file: Path, screen: Screen) -> None:
    screen.say(
        f"{done.events:,} events, {done.size_bytes:,} bytes of lines, settled until {done.settled_until}"
    )
    size = "" if file == STANDARD_OUTPUT else f"{file.stat().st_size:,} bytes, "
    screen.say(f"{file}: {size}SHA-256 of its lines {done.sha256}")


def _report_left_out(what: str, left_out: LeftOut, screen: Screen) -> None:
    for stream in left_out.first[:STREAMS_LISTED]:
        screen.fail(f"{what}: {stream}")
    more = left_out.streams - len(left_out.first[:STREAMS_LISTED])
    if more:
        screen.fail(f"... and {more:,} more streams")
    screen.fail(f"{left_out.events:,} events of {left_out.streams:,} streams are not in the file.")
