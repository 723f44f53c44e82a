"""The acts of what follows the table's stream: the publisher, and two log writers whose log others read."""

from __future__ import annotations

import contextlib
import io
import random
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import ClientError, ReadTimeoutError

from eventstore.dynamodb.changes import stream_records
from eventstore.dynamodb.journal import DynamoDBJournal
from eventstore.dynamodb.log import DynamoDBEventLog
from eventstore.log.writer import LogWriter
from tests.fake_aws import FakeSqs, LambdaContext, client_error, load_publish_function
from tests.proof.checker import Table, breaches_of_tranche
from tests.proof.clients import LogReader
from tests.proof.history import Deliveries
from tests.proof.invoked import Function, Invoked, WorldClock, perhaps_die
from tests.proof.service import Service
from tests.proof.wire import wired_client
from tests.proof.world import Killed, World
from tests.simulator.event_source_mapping import Change, MaySend, Shard, always
from tests.simulator.history import History as StreamHistory
from tests.simulator.history import Ledger, address_of
from tests.simulator.publication import (
    WINDOW_S,
    Bus,
    Crash,
    Faults,
    doubled,
    reordered,
    side_by_side,
    split,
)
from tests.tables import dynamodb_client, of_tranches

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

    from tests.proof.run import Plan, Report

TRANCHES: Final = 3


def _stream(changes: Sequence[Change], world: World, rng: random.Random) -> tuple[list[Shard], MaySend]:
    """Let records overtake others, come twice, and by several shards: one after or beside the other."""
    is_beside = rng.random() < 0.5
    shuffled = reordered(changes, rng, within_s=WINDOW_S)
    world.faults["stream record overtaken by a later one of its stream"] += _overtaken(shuffled)
    twice = doubled(shuffled, rng)
    world.faults["stream record doubled"] += len(twice) - len(shuffled)
    if is_beside:
        world.faults["streams' records come by two shards"] += 1
        return side_by_side(twice, rng, skew_s=WINDOW_S)
    world.faults["shard split"] += 1
    return split(twice, rng), always


def _overtaken(changes: Sequence[Change]) -> int:
    highest: dict[str, int] = {}
    count = 0
    for stream_id, event_id in map(address_of, changes):
        count += event_id < highest.get(stream_id, 0)
        highest[stream_id] = max(event_id, highest.get(stream_id, 0))
    return count


def _begin(world: World, written: StreamHistory) -> None:
    """Let all records be there, and no time pass that a clock of theirs doesn't know."""
    newest_us = max(
        int(change["dynamodb"]["NewImage"]["Timestamp"]["N"])
        for change in written.changes
        if "Timestamp" in change["dynamodb"]["NewImage"]  # not the store's own item
    )
    world.now_us = newest_us + 1_000_000


class _Bus(Bus):
    """A bus whose caller may be killed before a call or after it."""

    def __init__(self, world: World, written: StreamHistory, ledger: Ledger, rng: random.Random) -> None:
        super().__init__(Faults(events_refused=0.04), written, ledger, WorldClock(world), rng)
        self._world = world

    def put_events(self, *, Entries: list[Any]) -> dict[str, Any]:  # noqa: N803
        world = self._world
        world.step()
        if world.chance(0.05):
            world.faults["publisher paused before a call of the bus"] += 1
            world.sleep(world.rng.random() * 20)
        try:
            answer = super().put_events(Entries=Entries)
        except Crash as error:
            world.faults["publisher killed at a call of the bus"] += 1
            raise Killed from error
        except ReadTimeoutError:
            world.faults["answer of PutEvents lost after it was done"] += 1
            raise
        except ClientError:
            world.faults["PutEvents throttled"] += 1
            raise
        world.faults["entry failed in a PutEvents that succeeded"] += answer["FailedEntryCount"]
        perhaps_die(world, 0.02, "publisher killed at a call of the bus")
        return answer


class _Reads:
    """A client whose caller may be killed when it reads back."""

    def __init__(self, world: World, client: Any) -> None:
        self._world, self._client = world, client

    def query(self, **request: Any) -> Any:
        return self._read(self._client.query, request)

    def batch_get_item(self, **request: Any) -> Any:
        return self._read(self._client.batch_get_item, request)

    def get_item(self, **request: Any) -> Any:
        return self._read(self._client.get_item, request)

    def put_item(self, **request: Any) -> Any:
        return self._client.put_item(**request)

    def _read(self, operation: Callable[..., Any], request: dict[str, Any]) -> Any:
        what = "publisher killed when it read back"
        perhaps_die(self._world, 0.02, what)
        answer = operation(**request)
        perhaps_die(self._world, 0.02, what)
        return answer


@contextlib.contextmanager
def publisher(
    world: World,
    wired: DynamoDBClient,
    written: StreamHistory,
    journal_name: str,
    *,
    ledger: Ledger,
    rng: random.Random,
) -> Iterator[Function[ModuleType]]:
    """Make the real function; what the bus refuses for good is parked.

    Args:
        written: of which events the bus refuses some, and in which table they are.
        ledger: is told what is published and parked.
    """

    def perhaps_die_parking() -> None:
        perhaps_die(world, 0.15, "publisher killed when it parked")

    def fault() -> None:
        perhaps_die_parking()
        if world.chance(0.2):
            world.faults["parking throttled"] += 1
            raise client_error("ThrottlingException", "SendMessage")

    def on_sent(message: Any) -> None:
        ledger.park(message)
        perhaps_die_parking()

    bus, sqs = _Bus(world, written, ledger, rng), FakeSqs(fault=fault, on_sent=on_sent)

    def start() -> ModuleType:
        return load_publish_function(
            events=bus,
            sqs=sqs,
            dynamodb=_Reads(world, wired),
            sleep=world.sleep,
            jitter=world.rng.random,
            clock_us=lambda: world.now_us,
            EVENTS_TABLE=written.table_name,
            JOURNAL_TABLE=journal_name,
            # Loggers are shared by name: this one is to be quiet, not that of other tests.
            POWERTOOLS_SERVICE_NAME="simulated-publish",
            POWERTOOLS_LOG_LEVEL="CRITICAL",
        )

    def handle(process: ModuleType, trigger: Change, remaining_time_s: Callable[[], float]) -> Any:
        return process.handler(trigger, LambdaContext(remaining_time_s=remaining_time_s))

    with contextlib.redirect_stdout(io.StringIO()):  # its metrics
        yield Function(start, handle)


def publish(
    endpoint: str, journal_name: str, written: StreamHistory, table: Table, *, plan: Plan, report: Report
) -> None:
    """Publish by the real function what was written before."""
    world, rng = World(f"{report.seed}/publish"), random.Random(f"{report.seed}/published")
    ledger = Ledger()
    _begin(world, written)
    with (
        wired_client(world, plan.faults, endpoint) as (wired, wire),
        publisher(world, wired, written, journal_name, ledger=ledger, rng=rng) as function,
    ):
        shards, may_send = _stream(written.changes, world, rng)
        world.spawn("publisher", Invoked(function, shards, world, rng, may_send=may_send).run)
        world.run()
    report.faults += world.faults
    report.checked["requests"] += wire.requests
    check_published(ledger, written, table, report)


def check_published(ledger: Ledger, written: StreamHistory, table: Table, report: Report) -> None:
    """Check what the bus was given."""
    report.check(Deliveries("the bus, or parked", [address for _, address, _ in ledger.done]), table)
    report.breaches += [f"changed: {one}" for one in ledger.breaches(written) if "other data" in one]


def new_log(
    world: World, client: DynamoDBClient, log_name: str, plan: Plan, *, fewer: int = 0
) -> DynamoDBEventLog:
    """Make a process's log, which is told so many tranches less than there are."""
    log = plan.log_type(
        client=client,
        table_name=log_name,
        random_bytes=world.rng.randbytes,
        jitter=world.rng.random,
        sleep=world.sleep,
    )
    return of_tranches(log, TRANCHES - fewer)


def log_writer(
    service: Service, log: Callable[[], DynamoDBEventLog], journal_name: str, plan: Plan
) -> Function[LogWriter]:
    """Make the function that feeds the log."""
    world = service.world

    def clock_us() -> int:
        return world.now_us

    def start() -> LogWriter:
        journal = DynamoDBJournal(
            client=service.client,
            table_name=journal_name,
            consumer="log",
            clock_us=clock_us,
            random_bytes=world.rng.randbytes,
        )
        reader = service.store(clock_us=clock_us)
        return plan.log_writer_type(reader=reader, log=log(), journal=journal, clock_us=clock_us)

    return Function(start, _index)


def index(
    endpoint: str,
    log_name: str,
    journal_name: str,
    written: StreamHistory,
    table: Table,
    *,
    plan: Plan,
    report: Report,
) -> None:
    """Two mappings feed the log at a time, each with half of the streams; others read it meanwhile."""
    world = World(f"{report.seed}/log")
    _begin(world, written)
    with wired_client(world, plan.faults, endpoint) as (wired, wire):
        service = Service(world, wired, written.table_name, plan.faults)
        log = partial(new_log, world, wired, log_name, plan)
        function = log_writer(service, log, journal_name, plan)
        feeding: list[object] = []
        for number, half in enumerate(_halves(written.changes)):
            rng = random.Random(f"{report.seed}/log/{number}")
            shards, may_send = _stream(half, world, rng)
            invoked = Invoked(function, shards, world, rng, may_send=may_send)
            feeding.append(invoked)
            world.spawn(f"log writer-{number}", partial(_feed, invoked, feeding))
        readers = [LogReader(world, lambda fewer: log(fewer=fewer), feeding) for _ in range(2)]
        for reader in readers:
            world.spawn("log reader", reader.run)
        world.run()
    report.faults += world.faults
    report.checked["requests"] += wire.requests
    check_read(readers, endpoint, log_name, table, report)


def check_read(
    readers: Sequence[LogReader], endpoint: str, log_name: str, table: Table, report: Report
) -> None:
    """Check what readers of the log were given, against the table and what the log has in the end."""
    for reader in readers:
        report.check(reader.deliveries, table)
    final = of_tranches(DynamoDBEventLog(client=dynamodb_client(endpoint), table_name=log_name), TRANCHES)
    for tranche in range(TRANCHES):
        persisted = [(entry.block, entry.index) for entry in final.read_tranche(tranche)]
        for reader in readers:
            report.breaches += breaches_of_tranche(tranche, reader.tranches.get(tranche, []), persisted)
        report.checked["entries in the log"] += len(persisted)


def _index(process: LogWriter, trigger: Change, remaining_time_s: Callable[[], float]) -> Any:
    done = process.write(stream_records(trigger), remaining_time_s=remaining_time_s)
    failures = [{"itemIdentifier": done.stopped.sequence_number}] if done.stopped else []
    return {"batchItemFailures": failures}


def _halves(changes: Sequence[Change]) -> tuple[list[Change], list[Change]]:
    halves: tuple[list[Change], list[Change]] = ([], [])
    for change in changes:
        halves[sum(address_of(change)[0].encode()) % 2].append(change)
    return halves


def _feed(invoked: Invoked[LogWriter], feeding: list[object]) -> None:
    invoked.run()
    feeding.remove(invoked)
