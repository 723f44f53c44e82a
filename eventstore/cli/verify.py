"""`verify`: whether the store is whole, and exactly what is wrong where it isn't."""

from __future__ import annotations

import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import IO

from eventstore._command_line import ALL_WELL, SOMETHING_LEFT
from eventstore.cli.options import TABLE, Options
from eventstore.cli.outcome import Outcome
from eventstore.cli.screen import Bar, Screen
from eventstore.cli.settings import clock, dynamodb, session
from eventstore.cli.signals import Signals
from eventstore.dynamodb.facts import StoreFacts
from eventstore.dynamodb.log import DynamoDBEventLog
from eventstore.dynamodb.raw_items import DynamoDBEventsTable
from eventstore.errors import InvalidInput
from eventstore.maintenance.transfer.files import replaced_file
from eventstore.maintenance.verify.against_log import LogComparison
from eventstore.maintenance.verify.checkpoints import Checkpoints
from eventstore.maintenance.verify.findings import Finding, Repair
from eventstore.maintenance.verify.repair import IndexRepairer
from eventstore.maintenance.verify.store_item import find_lost
from eventstore.maintenance.verify.verify import Verification


def run(options: Options, screen: Screen, _signals: Signals) -> Outcome:
    """Verify; the exit code is 0 when nothing is wrong (any more), 1 when there are findings."""
    table_name = TABLE.of(options)
    if options.output is None and sys.stdout is None:
        raise InvalidInput("--output", "is missing, and standard output is closed; give a file")
    aws = session()
    clock_ = clock(aws, table_name, screen)
    client = dynamodb(aws)
    facts = StoreFacts(client=client, table_name=table_name)
    table = DynamoDBEventsTable(client=client, table_name=table_name, facts=facts)
    shards, known = _shards_and_loss(options, facts, table, screen)
    log = None
    if options.log_table:
        event_log = DynamoDBEventLog(client=client, table_name=options.log_table)
        log = LogComparison(event_log)  # a wrong name is known before the table is read
    settings = {
        "table": table_name,
        "log_table": options.log_table,
        "log_tranches": log.tranches if log else None,
        "read_shards": shards,
        "segments": options.segments,
        "repair": options.repair,
    }
    settled_until_us = clock_.now_us() - options.settling_s * 1_000_000
    with ExitStack() as stack:
        folder = options.checkpoints or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        checkpoints = Checkpoints(folder, settings=settings, settled_until_us=settled_until_us)
        stack.callback(checkpoints.close)
        settled_until_us = checkpoints.settled_until_us
        repairer = IndexRepairer(
            table=table,
            read_shards=shards,
            settled_until_us=settled_until_us,
            logged_us=log.timestamp_us if log else lambda _stream_id, _event_id: None,
        )
        verification = Verification(
            table=table,
            log=log,
            checkpoints=checkpoints,
            read_shards=shards,
            segments=options.segments,
            repairer=repairer,
            repair=options.repair,
            known=known,
            now_us=clock_.now_us,
        )
        output: IO[str] = sys.stdout
        if options.output:
            output = stack.enter_context(replaced_file(options.output))
        with screen.bar("Verifying", unit="items") as bar:
            counts = verification.run(output, progress=_Shown(bar, screen))
    screen.say(
        f"{counts.events:,} events in {counts.streams:,} streams; {counts.unsettled:,} too young to compare, "
        f"{counts.own_items:,} items of the store's own"
    )
    if log is None:
        screen.say("The log was left out: no --log-table.")
    if not counts.findings:
        screen.say("Nothing is wrong.")
    left = counts.findings - counts.repaired
    if counts.findings:
        screen.fail(f"{counts.findings:,} findings, {counts.repaired:,} repaired, {left:,} left.")
    if counts.repairable:
        screen.say(
            f'--repair repairs {counts.repairable:,} of them: those with "repair":"{Repair.POSSIBLE}".'
        )
    return Outcome(
        SOMETHING_LEFT if left else ALL_WELL,
        {
            "events": counts.events,
            "streams": counts.streams,
            "tooYoung": counts.unsettled,
            "ownItems": counts.own_items,
            "isLogCompared": log is not None,
            "findings": counts.findings,
            "repaired": counts.repaired,
            "repairable": counts.repairable,
        },
    )


def _shards_and_loss(
    options: Options, facts: StoreFacts, table: DynamoDBEventsTable, screen: Screen
) -> tuple[int, list[Finding]]:
    """Return how many shards are read, and the finding when the store itself has lost that."""
    shards = facts.read_shards(1)
    if facts.recorded:
        return shards, []
    screen.say(
        "The store doesn't say how many shards it has; looking for the highest that an event is in ..."
    )
    lost = find_lost(table, segments=options.segments)
    if lost is None:
        return shards, []
    shards = lost.written
    now = facts.read_shards(1)
    if facts.recorded:  # by a first writer, meanwhile
        return now, []
    if options.repair:
        facts.restore(shards, written=lost.written, epoch_us=lost.epoch_us)
        screen.say(f"Written back: {shards} shards are read. Let running writers start anew.")
    return shards, [lost.finding(Repair.DONE if options.repair else Repair.POSSIBLE, read_shards=shards)]


class _Shown:
    def __init__(self, bar: Bar, screen: Screen) -> None:
        self._bar = bar
        self._screen = screen

    def phase(self, name: str) -> None:
        self._bar.begin(name)
        self._screen.say(f"{name} ...")

    def seen(self, items: int, findings: int) -> None:  # noqa: ARG002 - findings are told at the end
        self._bar.add(items)
