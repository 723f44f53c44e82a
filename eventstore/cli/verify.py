"""`verify`: whether the store is whole, and exactly what is wrong where it isn't."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import IO

from eventstore.adapters.dynamodb.client import dynamodb_client
from eventstore.adapters.dynamodb.events_table import DynamoDBEventsTable
from eventstore.adapters.dynamodb.log import DynamoDBEventLog
from eventstore.cli.screen import Bar, Screen
from eventstore.cli.settings import CLIENT_CONFIG, READ_SHARDS, TABLE, session, whole_number
from eventstore.limits import LOG_TRANCHES, LOG_TRANCHES_MAX
from eventstore.verification.checkpoints import Checkpoints
from eventstore.verification.findings import Repair
from eventstore.verification.log import LogComparison
from eventstore.verification.mend import IndexMender
from eventstore.verification.verify import Verification

SETTLING_S = 60


def add_options(parser: argparse.ArgumentParser) -> None:
    """Let the parser know this command's options."""
    TABLE.add_to(parser)
    READ_SHARDS.add_to(parser)
    parser.add_argument(
        "--log-table",
        default=os.environ.get("LOG_TABLE") or None,
        help="the log's table (default: $LOG_TABLE; without one the log is left out)",
    )
    parser.add_argument(
        "--log-tranches",
        type=whole_number(1, LOG_TRANCHES_MAX),
        default=os.environ.get("LOG_TRANCHES") or str(LOG_TRANCHES),
        help=f"the log's tranches (default: $LOG_TRANCHES, else {LOG_TRANCHES})",
    )
    parser.add_argument(
        "--segments",
        type=whole_number(1, 1_000),
        default=4,
        help="of the table, read side by side (default: 4)",
    )
    parser.add_argument(
        "--settling-s",
        type=whole_number(0, 86_400),
        default=SETTLING_S,
        help=f"younger events are not compared with index and log (default: {SETTLING_S})",
    )
    parser.add_argument("--checkpoints", type=Path, help="a folder: an interrupted run goes on from there")
    parser.add_argument("--output", type=Path, help="the file for the findings (default: standard output)")
    parser.add_argument("--repair", action="store_true", help="mend what can be known; nothing is invented")


def run(options: argparse.Namespace, screen: Screen) -> int:
    """Verify; return 0 when nothing is wrong (any more), 1 when there are findings."""
    client = dynamodb_client(session(), config=CLIENT_CONFIG)
    table_name, read_shards = TABLE.of(options), READ_SHARDS.whole(options)
    table = DynamoDBEventsTable(client=client, table_name=table_name)
    log = None
    if options.log_table:
        tranches = options.log_tranches
        log = LogComparison(DynamoDBEventLog(client=client, table_name=options.log_table, tranches=tranches))
    settings = {
        "table": table_name,
        "log_table": options.log_table,
        "log_tranches": options.log_tranches,
        "read_shards": read_shards,
        "segments": options.segments,
        "repair": options.repair,
    }
    settled_until_us = time.time_ns() // 1_000 - options.settling_s * 1_000_000
    with ExitStack() as stack:
        folder = options.checkpoints or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        checkpoints = Checkpoints(folder, settings=settings, settled_until_us=settled_until_us)
        stack.callback(checkpoints.close)
        settled_until_us = checkpoints.settled_until_us
        mender = IndexMender(
            table=table,
            read_shards=read_shards,
            settled_until_us=settled_until_us,
            logged_us=log.timestamp_us if log else lambda _stream_id, _event_id: None,
        )
        verification = Verification(
            table=table,
            log=log,
            checkpoints=checkpoints,
            read_shards=read_shards,
            segments=options.segments,
            mender=mender,
            repair=options.repair,
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
        return 0
    left = counts.findings - counts.repaired
    screen.fail(f"{counts.findings:,} findings, {counts.repaired:,} repaired, {left:,} left.")
    if counts.repairable:
        screen.say(f'--repair mends {counts.repairable:,} of them: those with "repair":"{Repair.POSSIBLE}".')
    return 1 if left else 0


class _Shown:
    def __init__(self, bar: Bar, screen: Screen) -> None:
        self._bar = bar
        self._screen = screen

    def phase(self, name: str) -> None:
        self._bar.begin(name)
        self._screen.say(f"{name} ...")

    def seen(self, items: int, findings: int) -> None:  # noqa: ARG002 - findings are told at the end
        self._bar.add(items)
