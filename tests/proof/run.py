"""One run of the proof: write under faults, publish and log what was written, and check everything.

Five acts, each in a world of its own: clients append and read side by side; the table's stream is published;
two indexers feed the log while others read it; a subscription's workers project it; a replay job sends it to
its target. In between, the table itself is read past the library.
"""

from __future__ import annotations

import contextlib
import io
import json
import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import boto3
from botocore.exceptions import ClientError, ReadTimeoutError

from eventstore import Event
from eventstore.adapters.dynamodb.checkpoints import DynamoDBCheckpoints
from eventstore.adapters.dynamodb.items import event_from_item
from eventstore.adapters.dynamodb.log import DynamoDBEventLog
from eventstore.adapters.dynamodb.read_model import DynamoDBReadModel
from eventstore.adapters.dynamodb.replays import DynamoDBReplays
from eventstore.adapters.dynamodb.store import DynamoDBEventStore
from eventstore.adapters.dynamodb.stream_records import stream_records
from eventstore.index import Indexer
from tests.proof.checker import Table, breaches_of_appends, breaches_of_deliveries
from tests.proof.clients import AllReader, LogReader, Service, StreamReader, Writer
from tests.proof.consumers import replay_to_target, subscribe_to
from tests.proof.history import Deliveries
from tests.proof.wire import Faults, wired_client
from tests.proof.world import Killed, World
from tests.simulator.event_source_mapping import (
    Change,
    Clock,
    EventSourceMapping,
    FunctionError,
    Settings,
    Shard,
)
from tests.simulator.history import History as StreamHistory
from tests.simulator.history import address_of, read_history
from tests.simulator.publication import Bus, CachedReads, Crash, Simulation, doubled, reordered, split
from tests.tables import dynamodb_client, events_table, log_table

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

_TRANCHES = 3
_REORDERED_WITHIN_S = 4.9


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a run does, and which defences it has: all of them, unless a test takes one away."""

    writers: int = 4
    appends: int = 30
    """Of each writer."""
    faults: Faults = field(default_factory=Faults)
    store_type: type[DynamoDBEventStore] = DynamoDBEventStore
    log_type: type[DynamoDBEventLog] = DynamoDBEventLog
    reads_unsettled: bool = False
    publishes: bool = True
    logs: bool = True
    subscribes: bool = True
    replays: bool = True
    checkpoints_type: type[DynamoDBCheckpoints] = DynamoDBCheckpoints
    read_model_type: type[DynamoDBReadModel] = DynamoDBReadModel
    replays_type: type[DynamoDBReplays] = DynamoDBReplays


@dataclass
class Report:
    """What a run found."""

    seed: int
    faults: Counter[str] = field(default_factory=Counter)
    checked: Counter[str] = field(default_factory=Counter)
    breaches: list[str] = field(default_factory=list)

    @property
    def kinds(self) -> set[str]:
        """The kinds of all breaches."""
        return {breach.partition(":")[0] for breach in self.breaches}

    def check(self, deliveries: Deliveries, table: Table) -> None:
        self.breaches += breaches_of_deliveries(deliveries, table)
        self.checked[f"deliveries to {deliveries.name}"] += len(deliveries.addresses)


def run(endpoint: str, seed: int, plan: Plan | None = None) -> Report:
    """Run once and tell what was found."""
    plan, report = plan or Plan(), Report(seed)
    client = dynamodb_client(endpoint)
    with events_table(client) as table_name, log_table(client) as log_name:
        _append(endpoint, table_name, plan=plan, report=report)
        table = _read_table(client, table_name)
        written = read_history(client, _streams_client(endpoint), table_name)
        addresses = {(event.stream_id, event.event_id) for events in table.values() for event in events}
        if addresses != set(written.payloads):
            report.breaches.append("lost: the table and its stream do not tell the same events")
        if plan.publishes:
            _publish(client, written, table, report)
        if plan.logs:
            _log(endpoint, log_name, written, table, plan=plan, report=report)
        if plan.subscribes:
            subscribe_to(endpoint, table_name, table, plan=plan, report=report)
        if plan.replays:
            replay_to_target(endpoint, table_name, table, plan=plan, report=report)
    return report


def _append(endpoint: str, table_name: str, *, plan: Plan, report: Report) -> None:
    world = World(f"{report.seed}/append")
    with wired_client(world, plan.faults, endpoint) as (wired, wire):
        service = Service(world, wired, table_name, plan.faults, plan.store_type)
        writers = [Writer(service, appends=plan.appends) for _ in range(plan.writers)]
        reader = AllReader(service, "a reader of all events", unsettled=plan.reads_unsettled)
        for number, writer in enumerate(writers):
            world.spawn(f"writer-{number}", writer.run)
        world.spawn("stream reader", StreamReader(service).run)
        world.spawn("reader of all", reader.run)
        world.run()
        replay = AllReader(service, "a replay of everything", quiet_s=0.0)
        world.spawn("replay", replay.run)
        world.run()
    table = _read_table(dynamodb_client(endpoint), table_name)
    report.breaches += breaches_of_appends(service.history, table)
    report.check(reader.deliveries, table)
    report.check(replay.deliveries, table)
    operations = service.history.operations
    tries = [try_ for operation in operations for try_ in operation.tries]
    report.faults += world.faults
    report.checked += Counter(
        {
            "requests": wire.requests,
            "appends": len(operations),
            "appends acknowledged": sum(1 for operation in operations if operation.acknowledged),
            "conflicts": sum(1 for try_ in tries if try_.conflict),
            "tries without an answer": sum(1 for try_ in tries if try_.returned is None),
            "strong reads": len(service.history.reads),
            "events in the table": sum(map(len, table.values())),
        }
    )


def _read_table(client: DynamoDBClient, table_name: str) -> dict[str, list[Event]]:
    """Read every item, past the library's own reads."""
    table: dict[str, list[Event]] = {}
    for page in client.get_paginator("scan").paginate(TableName=table_name, ConsistentRead=True):
        for item in page["Items"]:
            event = event_from_item(item)
            table.setdefault(event.stream_id, []).append(event)
    return {name: sorted(table[name], key=lambda event: event.event_id) for name in sorted(table)}


def _streams_client(endpoint: str) -> Any:
    keys = {"aws_access_key_id": "local", "aws_secret_access_key": "local"}
    return boto3.client("dynamodbstreams", endpoint_url=endpoint, region_name="us-east-1", **keys)


def _unruly(changes: Sequence[Change], rng: random.Random, report: Report) -> list[Change]:
    """Let records overtake others, and come twice."""
    shuffled = reordered(changes, rng, within_s=_REORDERED_WITHIN_S)
    report.faults["stream record overtaken by a later one of its stream"] += _overtaken(shuffled)
    twice = doubled(shuffled, rng)
    report.faults["stream record doubled"] += len(twice) - len(shuffled)
    return twice


def _overtaken(changes: Sequence[Change]) -> int:
    highest: dict[str, int] = {}
    count = 0
    for stream_id, event_id in map(address_of, changes):
        count += event_id < highest.get(stream_id, 0)
        highest[stream_id] = max(event_id, highest.get(stream_id, 0))
    return count


def _publish(client: DynamoDBClient, written: StreamHistory, table: Table, report: Report) -> None:
    rng = random.Random(f"{report.seed}/publish")
    shards = split(_unruly(written.changes, rng, report), rng)
    report.faults["shard split"] += 1

    class CountingBus(Bus):
        def put_events(self, *, Entries: list[Any]) -> dict[str, Any]:  # noqa: N803
            try:
                answer = super().put_events(Entries=Entries)
            except Crash:
                report.faults["publisher killed"] += 1
                raise
            except ReadTimeoutError:
                report.faults["answer of PutEvents lost after it was done"] += 1
                raise
            except ClientError:
                report.faults["PutEvents throttled"] += 1
                raise
            report.faults["entry failed in a PutEvents that succeeded"] += answer["FailedEntryCount"]
            return answer

    metrics = contextlib.redirect_stdout(io.StringIO())
    with metrics, patch("tests.simulator.publication.Bus", CountingBus):
        published = Simulation(written, CachedReads(client)).run(
            shards, seed=report.seed, settings=Settings(batch_size=rng.choice([2, 5, 8, 20]))
        )
    deliveries = Deliveries("the bus, or parked", [address for _, address, _ in published.ledger.done])
    report.check(deliveries, table)
    report.breaches += [f"changed: {one}" for one in published.breaches if "other data" in one]


def _log(
    endpoint: str, log_name: str, written: StreamHistory, table: Table, *, plan: Plan, report: Report
) -> None:
    """Two mappings feed the log at a time, each with half of the streams; others read it meanwhile."""
    world = World(f"{report.seed}/log")
    with wired_client(world, plan.faults, endpoint) as (wired, wire):

        def log() -> DynamoDBEventLog:
            return plan.log_type(
                client=wired,
                table_name=log_name,
                tranches=_TRANCHES,
                random_bytes=world.rng.randbytes,
                jitter=world.rng.random,
                sleep=world.sleep,
            )

        store = Service(world, wired, written.table_name, plan.faults).store(clock_us=lambda: world.now_us)
        feeding: list[EventSourceMapping] = []
        for number, half in enumerate(_halves(written.changes)):
            rng = random.Random(f"{report.seed}/log/{number}")
            shards = split(_unruly(half, rng, report), rng)
            report.faults["shard split"] += 1
            mapping = _mapping(shards, rng, lambda: Indexer(reader=store, log=log()))
            feeding.append(mapping)
            world.spawn(f"indexer-{number}", partial(_feed, mapping, feeding))
        readers = [LogReader(world, log, feeding) for _ in range(2)]
        for reader in readers:
            world.spawn("log reader", reader.run)
        world.run()
    report.faults += world.faults
    report.checked["requests"] += wire.requests
    for reader in readers:
        report.check(reader.deliveries, table)
        report.breaches += reader.breaches()
    final = DynamoDBEventLog(client=dynamodb_client(endpoint), table_name=log_name, tranches=_TRANCHES)
    for tranche in range(_TRANCHES):
        persisted = [(entry.block, entry.index) for entry in final.read_tranche(tranche)]
        for reader in readers:
            if list(dict.fromkeys(reader.tranches.get(tranche, []))) != persisted:
                report.breaches.append(f"order: tranche {tranche} was read otherwise than it stands there")
        report.checked["entries in the log"] += len(persisted)


def _halves(changes: Sequence[Change]) -> tuple[list[Change], list[Change]]:
    halves: tuple[list[Change], list[Change]] = ([], [])
    for change in changes:
        halves[sum(address_of(change)[0].encode()) % 2].append(change)
    return halves


def _feed(mapping: EventSourceMapping, feeding: list[EventSourceMapping]) -> None:
    mapping.run()
    feeding.remove(mapping)


def _mapping(shards: Sequence[Shard], rng: random.Random, start: Callable[[], Indexer]) -> EventSourceMapping:
    """Let an event source mapping call an indexer, whose process may be killed at any request."""
    processes: dict[str, Indexer] = {}

    def function(trigger: Change, shard_id: str) -> Any:
        if shard_id not in processes:
            processes[shard_id] = start()
        try:
            done = processes[shard_id].index(stream_records(trigger), remaining_time_s=lambda: 60.0)
        except Killed as error:
            del processes[shard_id]
            raise FunctionError from error
        failures = [{"itemIdentifier": done.stopped.sequence_number}] if done.stopped else []
        return {"batchItemFailures": failures}

    clock = Clock(max(record.created_s for shard in shards for record in shard.records))
    settings = Settings(batch_size=rng.choice([2, 5, 8, 20]))
    return EventSourceMapping(shards, function, settings=settings, clock=clock, rng=rng)


def summary(report: Report) -> str:
    """Write a report as JSON: seed, faults by kind, what was checked, and every breach."""
    return json.dumps(
        {
            "seed": report.seed,
            "faults": dict(sorted(report.faults.items())),
            "checked": dict(sorted(report.checked.items())),
            "breaches": report.breaches,
        },
        indent=2,
    )
