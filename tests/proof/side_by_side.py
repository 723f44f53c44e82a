"""The act in which all go side by side: writers, an import, publisher, log writer, workers of a subscription.

Transactions are half visible while publisher and log writer read back, and the log grows under its readers.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from json import dumps
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final

from eventstore.log.writer import LogWriter
from tests.proof.checker import breaches_of_appends
from tests.proof.clients import LogReader, Writer
from tests.proof.consumer_checker import breaches_of_fences, breaches_of_view
from tests.proof.imports import Import, imports_in
from tests.proof.invoked import Invoked
from tests.proof.service import Service, read_table
from tests.proof.streamed import check_published, check_read, log_writer, new_log, publisher
from tests.proof.subscribers import Projecting, Tables
from tests.proof.wire import Wire, wired_client
from tests.proof.world import World
from tests.simulator.event_source_mapping import Change, Record, Shard
from tests.simulator.history import History, Ledger, TableStream, address_of, read_history
from tests.simulator.publication import WINDOW_S
from tests.tables import dynamodb_client, events_table, journal_table, log_table, subscriptions_table

if TYPE_CHECKING:
    from mypy_boto3_dynamodbstreams import DynamoDBStreamsClient

    from tests.proof.run import Plan, Report

_LOOK_S: Final = 0.05
_HALF_VISIBLE_S: Final = 2.0
"""Longer than any transaction takes: so that others read between its events."""
_QUIET_S: Final = 15.0
"""So long after the last record nothing more is to come: pauses, outages and late writes are shorter."""


class _LiveStream:
    """The table's stream while it's written to: each shard gets each record, some late, some twice."""

    def __init__(self, service: Service, wire: Wire, stream: TableStream, shards: Sequence[Shard]) -> None:
        self._service, self._world, self._wire = service, service.world, wire
        self._stream, self._shards = stream, shards
        self._waiting: list[tuple[int, Shard, Change]] = []
        self._last_us, self._seen = self._world.now_us, 0

    def run(self) -> None:
        world = self._world
        while not self._is_over():
            self._read()
            due = [one for one in self._waiting if one[0] <= world.now_us]
            self._waiting = [one for one in self._waiting if one[0] > world.now_us]
            for _, shard, change in sorted(due, key=lambda one: one[0]):
                self._deliver(shard, change)
            world.sleep(_LOOK_S)
        for shard in self._shards:
            shard.is_open = False

    def _read(self) -> None:
        if self._wire.events_written == self._seen:
            return
        self._seen, self._last_us = self._wire.events_written, self._world.now_us
        for change in self._stream.read():
            self._draw(change)

    def _is_over(self) -> bool:
        quiet_us = self._world.now_us - self._last_us
        return not self._waiting and not self._service.writers and quiet_us > _QUIET_S * 1_000_000

    def _draw(self, change: Change) -> None:
        """Have a record made when its event is there to be read, and draw when each shard has it."""
        world = self._world
        made_us = max(world.now_us, self._wire.committed_us(*address_of(change)))
        change["dynamodb"]["ApproximateCreationDateTime"] = float(made_us // 1_000_000)
        for shard in self._shards:
            for _ in range(1 + world.chance(0.05)):
                late_s = world.rng.random() * (WINDOW_S - 1 if world.chance(0.15) else 0.2)
                self._waiting.append((made_us + round(late_s * 1_000_000), shard, change))

    def _deliver(self, shard: Shard, change: Change) -> None:
        number = f"{42_000_000 + len(shard.records):028}"
        numbered = {**change, "dynamodb": {**change["dynamodb"], "SequenceNumber": number}}
        created_s = change["dynamodb"]["ApproximateCreationDateTime"]
        shard.records.append(Record(number, created_s, numbered, len(dumps(numbered))))


class _Feed:
    """The log writer as the log's readers see it."""

    def __init__(self, world: World, invoked: Invoked[LogWriter]) -> None:
        self.feeding: list[object] = [invoked]
        self._world, self._invoked = world, invoked
        self._ended_us: int | None = None

    def run(self) -> None:
        self._invoked.run()
        self.feeding.clear()
        self._ended_us = self._world.now_us

    def has_ended_for(self, pause_s: float) -> bool:
        """Return whether nothing has come for so long, and nothing will."""
        return self._ended_us is not None and self._world.now_us > self._ended_us + round(pause_s * 1_000_000)


def all_side_by_side(endpoint: str, streams: DynamoDBStreamsClient, *, plan: Plan, report: Report) -> None:
    """Have all of them at work in one world, from the first append on."""
    world, client = World(f"{report.seed}/side by side"), dynamodb_client(endpoint)
    rng, ledger = random.Random(f"{report.seed}/beside"), Ledger()
    with ExitStack() as stack:
        events_name = stack.enter_context(events_table(client, is_streamed=True))
        log_name = stack.enter_context(log_table(client))
        journal_name = stack.enter_context(journal_table(client))
        kept_name = stack.enter_context(subscriptions_table(client))
        faults = replace(plan.faults, half_visible_s=_HALF_VISIBLE_S)
        with wired_client(world, faults, endpoint) as (wired, wire), imports_in(world):
            service = Service(world, wired, events_name, faults, plan.store_type)
            for number in range(2):
                world.spawn(f"writer-{number}", Writer(service, appends=plan.appends // 2).run)
            folder = Path(stack.enter_context(TemporaryDirectory()))
            imported = Import(service, plan.table_type, folder)
            imported.begin()
            shards = [Shard(f"shard-{number}", [], is_open=True) for number in range(2)]
            stream = TableStream(client, streams, events_name)
            world.spawn("stream", _LiveStream(service, wire, stream, shards).run)
            none_refused = History(events_name, [], {})
            function = stack.enter_context(
                publisher(world, wired, none_refused, journal_name, ledger=ledger, rng=rng)
            )
            world.spawn("publisher", Invoked(function, shards[:1], world, rng).run)
            log = partial(new_log, world, wired, log_name, plan)
            feed = _Feed(world, Invoked(log_writer(service, log, journal_name, plan), shards[1:], world, rng))
            world.spawn("log writer", feed.run)
            reader = LogReader(world, lambda fewer: log(fewer=fewer), feed.feeding)
            world.spawn("log reader", reader.run)
            group = Projecting(world, plan, Tables(events_name, log_name, kept_name), feed)
            for number in range(2):
                world.spawn(f"worker-{number}", partial(group.work, wired))
            world.run()
            world.is_healed = True
            group.finish(wired)
        written = read_history(client, streams, events_name)
        table = read_table(client, events_name)
        report.breaches += breaches_of_appends(service.history, table)
        check_published(ledger, written, table, report)
        check_read([reader], endpoint, log_name, table, report)
        report.check(group.deliveries, table)
        report.breaches += [*breaches_of_fences(group.fenced), *breaches_of_view(group.view(client), table)]
    report.faults += world.faults
    report.checked["requests"] += wire.requests
    report.checked["events appended beside those who follow them"] += sum(map(len, table.values()))
