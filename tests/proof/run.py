"""One run of the proof: write under faults, publish and log what was written, and check everything.

Seven acts, each in a world of its own: clients append and read side by side, and a replay job sends what
there is up to now; the table's stream is published; two log writers feed the log while others read it; two
subscriptions' workers handle it; a replay job sends a range; the table is restored. In the last act all are
at work at once. In between, the table is read past the library.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import boto3

from eventstore.dynamodb.checkpoints import DynamoDBCheckpoints
from eventstore.dynamodb.log import DynamoDBEventLog
from eventstore.dynamodb.raw_items import DynamoDBEventsTable
from eventstore.dynamodb.read_model import DynamoDBReadModel
from eventstore.dynamodb.replays import DynamoDBReplays
from eventstore.dynamodb.store import DynamoDBEventStore
from eventstore.log.writer import LogWriter
from eventstore.subscriptions import OnFailure
from eventstore.subscriptions.transient import is_transient
from tests.proof.checker import Table, breaches_of_appends, breaches_of_deliveries
from tests.proof.clients import AllReader, StreamReader, Writer, ahead_us
from tests.proof.followed import begin_at_times, follow_a_log_that_loses_blocks
from tests.proof.history import Deliveries
from tests.proof.imports import Import, imports_in
from tests.proof.jobs import ReplayJob, draw, replay_to_target, small_pages
from tests.proof.repeats import Commander
from tests.proof.restored import restore
from tests.proof.service import Service, read_table
from tests.proof.side_by_side import all_side_by_side
from tests.proof.streamed import index, publish
from tests.proof.subscribers import subscribe_loosely, subscribe_to
from tests.proof.wire import Faults, patient_client, wired_client
from tests.proof.world import World
from tests.simulator.history import read_history
from tests.tables import dynamodb_client, events_table, journal_table, log_table, replays_table

if TYPE_CHECKING:
    pass


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a run does, and which defences it has: all of them, unless a test takes one away."""

    writers: int = 4
    appends: int = 30
    """Of each writer."""
    commands: int = 12
    """That are executed."""
    faults: Faults = field(default_factory=Faults)
    store_type: type[DynamoDBEventStore] = DynamoDBEventStore
    log_type: type[DynamoDBEventLog] = DynamoDBEventLog
    table_type: type[DynamoDBEventsTable] = DynamoDBEventsTable
    """What an import writes into."""
    reads_unsettled: bool = False
    compares_clocks: bool = True
    publishes: bool = True
    logs: bool = True
    subscribes: bool = True
    replays: bool = True
    restores: bool = True
    side_by_side: bool = True
    checkpoints_type: type[DynamoDBCheckpoints] = DynamoDBCheckpoints
    read_model_type: type[DynamoDBReadModel] = DynamoDBReadModel
    replays_type: type[DynamoDBReplays] = DynamoDBReplays
    replayed_type: type[DynamoDBEventStore] = DynamoDBEventStore
    """What a replay's steps read."""
    replay_pace: int | None = None
    """Events a second of replay jobs; None draws it."""
    replay_trouble: str | None = None
    """What goes wrong with a replay job's target for a long time: slow, deadly, or nothing; None draws it."""
    log_writer_type: type[LogWriter] = LogWriter
    has_projection: bool = True
    has_failing_handler: bool = True
    on_failure: OnFailure | None = None
    """Of the subscription whose handler fails; None draws it."""
    has_deadly_events: bool | None = None
    """Whether some of its events end their workers; None draws it."""
    repaired_after_s: float = 12.0
    """How long after the log's end such events go on ending workers."""
    transient: Callable[[BaseException], bool] = is_transient


@dataclass
class Report:
    """What a run found."""

    seed: int
    faults: Counter[str] = field(default_factory=Counter)
    checked: Counter[str] = field(default_factory=Counter)
    breaches: list[str] = field(default_factory=list)

    def check(self, deliveries: Deliveries, table: Table) -> None:
        self.breaches += breaches_of_deliveries(deliveries, table)
        self.checked[f"deliveries to {deliveries.name}"] += len(deliveries.addresses)


def run(endpoint: str, seed: int, plan: Plan | None = None) -> Report:
    """Run once and tell what was found."""
    plan, report = plan or Plan(), Report(seed)
    client = dynamodb_client(endpoint)
    with (
        events_table(client, is_streamed=True) as table_name,
        log_table(client) as log_name,
        journal_table(client) as journal_name,
    ):
        _append(endpoint, table_name, plan=plan, report=report)
        table = read_table(client, table_name)
        written = read_history(client, _streams_client(endpoint), table_name)
        addresses = {(event.stream_id, event.event_id) for events in table.values() for event in events}
        if addresses != set(written.payloads):
            report.breaches.append("lost: the table and its stream do not tell the same events")
        if plan.publishes:
            publish(endpoint, journal_name, written, table, plan=plan, report=report)
        if plan.logs:
            index(endpoint, log_name, journal_name, written, table, plan=plan, report=report)
        if plan.subscribes:
            subscribe_to(endpoint, table_name, table, plan=plan, report=report)
            follow_a_log_that_loses_blocks(report)
            begin_at_times(report)
            if plan.has_projection:
                subscribe_loosely(endpoint, table_name, table, plan=plan, report=report)
        if plan.replays:
            replay_to_target(endpoint, table_name, table, plan=plan, report=report)
        if plan.restores:
            restore(endpoint, table_name, table, plan=plan, report=report)
    if plan.side_by_side:
        all_side_by_side(endpoint, _streams_client(endpoint), plan=plan, report=report)
    return report


def _append(endpoint: str, table_name: str, *, plan: Plan, report: Report) -> None:
    world, client = World(f"{report.seed}/append"), dynamodb_client(endpoint)
    with ExitStack() as stack:
        wired, wire = stack.enter_context(wired_client(world, plan.faults, endpoint))
        service = Service(world, wired, table_name, plan.faults, plan.store_type)
        service.compares_clocks = plan.compares_clocks
        service.patient_client = patient_client(wire, endpoint) if plan.compares_clocks else None
        writers = [Writer(service, appends=plan.appends) for _ in range(plan.writers)]
        reader = AllReader(service, "a reader of all events", unsettled=plan.reads_unsettled)
        for number, writer in enumerate(writers):
            world.spawn(f"writer-{number}", writer.run)
        world.spawn("commander", Commander(service, commands=plan.commands).run)
        world.spawn("stream reader", StreamReader(service).run)
        world.spawn("reader of all", reader.run)
        stack.enter_context(imports_in(world))
        imported = Import(service, plan.table_type, Path(stack.enter_context(TemporaryDirectory())))
        imported.begin()
        job = None
        if plan.replays:
            stack.enter_context(small_pages())
            job = ReplayJob(
                world,
                plan,
                wired,
                events=lambda: service.store(
                    store_type=plan.replayed_type, clock_us=partial(ahead_us, service)
                ),
                table_name=stack.enter_context(replays_table(client)),
                drawn=draw(world, pace=plan.replay_pace),
            )
            # While they write.
            after_s = world.rng.random() * 0.4 * plan.appends
            world.spawn("requester", partial(job.request, after_s=after_s))
        world.run()
        replay = AllReader(service, "a replay of everything", quiet_s=0.0)
        world.spawn("replay", replay.run)
        world.run()
    table = read_table(client, table_name)
    report.breaches += breaches_of_appends(service.history, table)
    # Who reads by time has passed the times of what is imported, or hasn't.
    report.check(imported.without_deliveries(reader.deliveries), imported.without(table))
    report.check(replay.deliveries, table)
    if job is not None:
        job.check(table, report, name="a replay job up to now", imported=imported)
    operations = service.history.operations
    tries = [try_ for operation in operations for try_ in operation.tries]
    report.faults += world.faults
    report.faults["event imported among live writes"] += len(imported.there_us)
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


def _streams_client(endpoint: str) -> Any:
    session = boto3.Session("local", "local", region_name="us-east-1")
    return session.client("dynamodbstreams", endpoint_url=endpoint)


def headline(report: Report) -> str:
    """Return in a line what was injected and checked."""
    checked = report.checked
    deliveries = sum(count for kind, count in checked.items() if kind.startswith(("deliveries", "calls")))
    kinds = sum(1 for count in report.faults.values() if count)
    return (
        f"seed {report.seed}: {report.faults.total():,} faults of {kinds} kinds, "
        f"{checked['events in the table']:,} events, {deliveries:,} deliveries, "
        f"{checked['requests']:,} requests, {len(report.breaches)} breaches"
    )


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
