"""`verify`: whether the store is whole, and exactly what is wrong where it isn't."""

from __future__ import annotations

import argparse
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import IO

from eventstore.adapters.dynamodb.events_table import DynamoDBEventsTable
from eventstore.adapters.dynamodb.facts import StoreFacts
from eventstore.adapters.dynamodb.log import DynamoDBEventLog
from eventstore.cli.exit_codes import ALL_WELL, SOMETHING_LEFT
from eventstore.cli.options import READ_SHARDS, TABLE
from eventstore.cli.screen import Bar, Screen
from eventstore.cli.settings import clock, dynamodb, read_shards, session
from eventstore.cli.signals import Signals
from eventstore.errors import InvalidInput
from eventstore.verification.checkpoints import Checkpoints
from eventstore.verification.findings import Repair
from eventstore.verification.log import LogComparison
from eventstore.verification.mend import IndexMender
from eventstore.verification.verify import Verification


def run(options: argparse.Namespace, screen: Screen, _signals: Signals) -> int:
    """Verify; return 0 when nothing is wrong (any more), 1 when there are findings."""
    table_name = TABLE.of(options)
    if options.read_shards:
        READ_SHARDS.whole(options)  # a wrong one is known before anything is asked
    if options.output is None and sys.stdout is None:
        raise InvalidInput("--output", "is missing, and standard output is closed; give a file")
    aws = session()
    clock_ = clock(aws, table_name, screen)
    client = dynamodb(aws)
    facts = StoreFacts(client=client, table_name=table_name)
    shards = _read_shards(options, facts, screen)
    table = DynamoDBEventsTable(client=client, table_name=table_name, facts=facts)
    log = None
    if options.log_table:
        tranches = options.log_tranches
        event_log = DynamoDBEventLog(client=client, table_name=options.log_table, tranches=tranches)
        next(event_log.read_tranche(0, limit=1), None)  # a wrong name is known before the table is read
        log = LogComparison(event_log)
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
        mender = IndexMender(
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
            mender=mender,
            repair=options.repair,
            now_us=clock_.now_us,
        )
        output: IO[str] = sys.stdout
        if options.output:
            output = stack.enter_context(options.output.open("w", encoding="utf-8"))
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
        return ALL_WELL
    left = counts.findings - counts.repaired
    screen.fail(f"{counts.findings:,} findings, {counts.repaired:,} repaired, {left:,} left.")
    if counts.repairable:
        screen.say(
            f'--repair repairs {counts.repairable:,} of them: those with "repair":"{Repair.POSSIBLE}".'
        )
    return SOMETHING_LEFT if left else ALL_WELL


def _read_shards(options: argparse.Namespace, facts: StoreFacts, screen: Screen) -> int:
    shards, told, recorded = read_shards(options, facts), options.read_shards, facts.recorded
    if recorded is None or not told or int(told) == recorded:
        return shards
    if int(told) < recorded:
        screen.say(
            f"The store itself says that it has {recorded} shards, so --read-shards {told} is left out."
        )
    elif options.repair:
        how = "leave it out, or let a writer that is set to as many record them first"
        what = (
            f"is {told}, but the store itself says {recorded}; nothing is repaired by another number: {how}"
        )
        raise InvalidInput("--read-shards", what)
    else:
        screen.say(f"The store itself says that it has {recorded} shards; {told} are read, as told.")
    return shards


class _Shown:
    def __init__(self, bar: Bar, screen: Screen) -> None:
        self._bar = bar
        self._screen = screen

    def phase(self, name: str) -> None:
        self._bar.begin(name)
        self._screen.say(f"{name} ...")

    def seen(self, items: int, findings: int) -> None:  # noqa: ARG002 - findings are told at the end
        self._bar.add(items)
