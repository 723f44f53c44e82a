"""The act of the subscriptions: workers handle a log while it's written, come, stall and die."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final
from unittest.mock import patch

from botocore.exceptions import ConnectTimeoutError

from eventstore import Event
from eventstore.dynamodb.event_bodies import DynamoDBEventBodies
from eventstore.dynamodb.schema import subscriptions as subscription_schema
from eventstore.errors import HandlerFailed, NotSynchronous, StoreUnavailable, TransientError
from eventstore.subscriptions import (
    OnFailure,
    Projection,
    SharedReader,
    Subscription,
    Terms,
    Update,
    Write,
    subscribe,
)
from eventstore.subscriptions.recent import Reading
from tests.fake_aws import client_error
from tests.proof.checker import Table
from tests.proof.consumer_checker import (
    breaches_of_attempts,
    breaches_of_ends,
    breaches_of_fences,
    breaches_of_view,
    wanted,
)
from tests.proof.feeds import WARM_UP_BLOCKS, Ending, Feed, LooseFeed, new_log
from tests.proof.history import Attempt, Deliveries, Fenced, Told
from tests.proof.service import NAMES
from tests.proof.starts import NotedStarts, breaches_of_starts
from tests.proof.watched import Watched
from tests.proof.wire import wired_client
from tests.proof.world import Killed, World
from tests.simulator.history import Address
from tests.tables import dynamodb_client, log_table, subscriptions_table

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

    from tests.proof.run import Plan, Report

_LEASE_S: Final = 4.0
_MAX_TRIES: Final = 3
_MAX_STARTS: Final = 4
_ROWS: Final = "rows"
RETRIER: Final = "retrier"
PREFIXES: Final = ("order-", "cart-", "order-1")


@dataclass(frozen=True)
class Tables:
    """The tables of this act, by their names."""

    events: str
    log: str
    kept: str


class Group:
    """A subscription: its workers, one after the other in each process, and what they were told."""

    def __init__(
        self,
        name: str,
        world: World,
        plan: Plan,
        tables: Tables,
        feed: Ending,
        *,
        on_failure: OnFailure = OnFailure.PARK_STREAM,
        names: tuple[str, ...] = (),
        prefix: str = "",
    ) -> None:
        self.name, self.on_failure, self.names, self.prefix = name, on_failure, names, prefix
        self.fenced: list[Fenced] = []
        self.told: list[Told] = []
        """What leases and the handler tell, in order."""
        self.max_starts = 1_000  # where it's chance that kills, not an event
        self.repaired_after_s = _LEASE_S  # after the log's end
        self.stops = 0
        """So many workers were stopped by an event."""
        self._world, self._plan, self._tables, self._feed = world, plan, tables, feed
        self._born = 0
        self._left: list[Subscription | None] = []
        """Of each process its worker, if that lives."""
        self._moved_us = 0

    def work(self, client: DynamoDBClient, shared: SharedReader | None = None) -> None:
        """Be one worker after the other, until some time after the log was written.

        Args:
            shared: the reader of this process, which its workers share with those of other subscriptions.
        """
        world, worker = self._world, None
        while not self._is_over():
            worker = self._worker(client, shared=shared)
            try:
                self._steps(worker)
                if world.chance(0.5):
                    worker.close()
                    worker = None
            except (Killed, SystemExit):
                worker = None
                world.sleep(world.rng.random())
        self._left.append(worker)

    def retry(self, client: DynamoDBClient) -> None:
        """Retry now and then what is parked, while the workers work."""
        while not self._is_over():
            self._world.sleep(self._world.rng.random() * 2 * _LEASE_S)
            try:
                retried = self._worker(client, name=RETRIER).retry_parked()
                self._world.faults["parked event retried"] += retried.handled + retried.still_parked
            except (TransientError, NotSynchronous, SystemExit, Killed):
                continue

    def finish(self, client: DynamoDBClient) -> None:
        """Have the same processes come to the end of the log, when nothing goes wrong any more.

        What the faults have left in the workers' memory has to do no harm. Nobody helps them.
        """
        self._moved_us = self._world.now_us
        for number, worker in enumerate(self._left):
            self._world.spawn(f"worker-{number}", partial(self._go_on, worker or self._worker(client)))
        self._world.run()
        self._world.spawn("retrier", partial(self._retry_at_last, client))
        self._world.run()

    def _retry_at_last(self, client: DynamoDBClient) -> None:
        self._worker(client, name=RETRIER).retry_parked()

    def _go_on(self, worker: Subscription) -> None:
        while self._world.now_us < self._moved_us + 3 * _LEASE_S * 1_000_000:
            if worker.step():
                self._moved_us = self._world.now_us
            self._world.sleep(1.0)
        worker.close()

    def _is_over(self) -> bool:
        return self._feed.has_ended_for(self.repaired_after_s + _LEASE_S)

    def _steps(self, worker: Subscription) -> None:
        while not self._is_over() and not self._world.chance(0.01):
            moved = 0
            try:
                moved = worker.step()
            except TransientError:
                pass
            except (HandlerFailed, NotSynchronous) as error:
                self.stops += isinstance(error, HandlerFailed)
                worker.close()
            except SystemExit:
                worker.close()  # as `run` does
                raise
            if not moved:
                self._world.sleep(0.5)

    def _perhaps_stall(self) -> None:
        if not self._world.is_healed and self._world.chance(0.08):
            self._world.faults["worker stalled past its lease"] += 1
            self._world.sleep(_LEASE_S * (1 + self._world.rng.random()))

    def _perhaps_die(self) -> None:
        if not self._world.is_healed and self._world.chance(0.02):
            self._world.faults["worker killed between handling and storing its checkpoint"] += 1
            raise Killed

    def _call(self, event: Event, *, client: DynamoDBClient, worker: str) -> object:
        """Handle an event, or return before anything of it is done."""
        if not self._world.is_healed and self._world.chance(0.03):
            self._world.faults["handler returned before its work was done"] += 1
            return self._world.rng.choice([Future[None](), (one for one in (event,))])
        self._handle(event, client=client, worker=worker)
        return None

    def _handle(self, event: Event, *, client: DynamoDBClient, worker: str) -> None:
        raise NotImplementedError

    def _worker(
        self, client: DynamoDBClient, *, name: str = "worker", shared: SharedReader | None = None
    ) -> Subscription:
        world, worker = self._world, f"{name}-{self._born}"
        self._born += 1
        concurrency = 3 if self._born % 2 else 1
        world.faults["worker with events of several streams at work"] += concurrency > 1
        options: Any = {"jitter": world.rng.random, "sleep": world.sleep}
        kept = self._plan.checkpoints_type(client=client, table_name=self._tables.kept, **options)
        clock_off_s = world.rng.random() * 1_000  # no two clocks are compared
        return subscribe(
            self.name,
            partial(self._call, client=client, worker=worker),
            log=shared.log if shared else new_log(world, client, self._tables.log),
            bodies=shared.bodies if shared else new_bodies(world, client, self._tables.events),
            checkpoints=Watched(NotedStarts(kept, worker, self.told), world, self.fenced, stall_s=_LEASE_S),
            names=self.names or None,
            streams=self.prefix,
            on_failure=self.on_failure,
            terms=Terms(
                lease_s=_LEASE_S,
                checkpoint_events=5,
                checkpoint_s=2.0,
                page_entries=7,
                max_tries=_MAX_TRIES,
                max_starts=self.max_starts,
                transient=self._plan.transient,
                warm_up_blocks=WARM_UP_BLOCKS,
                concurrency=concurrency,
            ),
            worker=worker,
            monotonic=lambda: world.now_us / 1_000_000 + clock_off_s,
            now_us=lambda: world.now_us,
            **options,
        )


class Projecting(Group):
    """A subscription whose handler is a projection."""

    def __init__(self, world: World, plan: Plan, tables: Tables, feed: Ending, *, name: str = "view") -> None:
        super().__init__(name, world, plan, tables, feed)
        self.deliveries = Deliveries("a subscription")
        self._rows = f"{_ROWS} of {name}"

    def _handle(self, event: Event, *, client: DynamoDBClient, worker: str) -> None:
        self._perhaps_stall()
        options: Any = {"jitter": self._world.rng.random, "sleep": self._world.sleep}
        read_model = self._plan.read_model_type(client=client, table_name=self._tables.kept, **options)
        Projection(name=self.name, project=self._writes, read_model=read_model)(event)
        self.deliveries.add([(event.stream_id, event.event_id)])
        self._perhaps_die()

    def _writes(self, event: Event) -> list[Write]:
        key = {subscription_schema.SUBSCRIPTION: self._rows, subscription_schema.ITEM: event.stream_id}
        row = f"{event.event_id}:{event.payload}"
        return [Update(self._tables.kept, key, append={_ROWS: [row]})]

    def view(self, client: DynamoDBClient) -> dict[str, list[str]]:
        """Read the read model past the library."""
        answer = client.query(
            TableName=self._tables.kept,
            KeyConditionExpression=f"{subscription_schema.SUBSCRIPTION} = :rows",
            ExpressionAttributeValues={":rows": {"S": self._rows}},
            ConsistentRead=True,
        )
        return {
            item[subscription_schema.ITEM]["S"]: [row["S"] for row in item[_ROWS]["L"]]
            for item in answer["Items"]
        }


_ENDS: Final[dict[str, BaseException]] = {
    "worker ended by SystemExit in its handler": SystemExit(1),
    "worker killed in its handler": Killed(),
    "CancelledError in a handler": asyncio.CancelledError(),
}


class EventRefused(Exception):
    """A handler can't handle an event."""


class Failing(Group):
    """A subscription with filters, whose handler fails: now and then, or at an event until it's repaired."""

    def __init__(self, world: World, plan: Plan, tables: Tables, feed: Feed, table: Table) -> None:
        rng = world.rng
        names = tuple(sorted(rng.sample(NAMES, rng.choice([1, 2]))))
        super().__init__(
            "failing",
            world,
            plan,
            tables,
            feed,
            on_failure=plan.on_failure or rng.choice(list(OnFailure)),
            names=names if world.chance(0.5) else (),
            prefix=rng.choice(PREFIXES) if world.chance(0.5) else "",
        )
        self.wanted = wanted(table, names=self.names, prefix=self.prefix)
        addresses = [(event.stream_id, event.event_id) for those in self.wanted.values() for event in those]
        self._bad: set[Address] = {address for address in addresses if rng.random() < 0.1}
        self._flaky = {one: rng.randrange(1, _MAX_TRIES) for one in addresses if rng.random() < 0.2}
        # With STOP somebody repairs what has stopped a worker or two: nothing goes on before.
        self._most_stops = rng.randint(1, 2) if self.on_failure is OnFailure.STOP else 1_000
        self._away_until_us = 0
        self._deadly: dict[Address, str] = {}
        if plan.has_deadly_events if plan.has_deadly_events is not None else world.chance(0.5):
            self.max_starts = _MAX_STARTS
            self.repaired_after_s = plan.repaired_after_s
            deadly = rng.sample(addresses, min(len(_ENDS), len(addresses)))
            self._deadly = dict(zip(deadly, _ENDS, strict=False))

    def _is_repaired(self) -> bool:
        if self._world.is_healed:
            return True
        return self.stops >= self._most_stops or self._feed.has_ended_for(self.repaired_after_s)

    def _handle(self, event: Event, *, client: DynamoDBClient, worker: str) -> None:
        world = self._world
        world.step()
        self._perhaps_stall()
        self._perhaps_be_away()
        address = event.stream_id, event.event_id
        if address in self._deadly and not self._is_repaired():
            self._end(address, worker)
        fails = self._flaky.get(address, 0) > 0 or (address in self._bad and not self._is_repaired())
        self.told.append(Attempt(worker, address, is_handled=not fails))
        if fails:
            world.faults["event refused by a handler"] += 1
            self._flaky[address] = self._flaky.get(address, 0) - 1
            world.sleep(world.rng.random() * _LEASE_S / 2)  # leases are kept between tries, and move
            raise EventRefused
        self._perhaps_die()

    def attempts(self) -> list[Attempt]:
        """Return the calls of the handler."""
        return [one for one in self.told if isinstance(one, Attempt)]

    def ends(self) -> list[Attempt]:
        """Return the workers' calls with events that end them."""
        return [
            one
            for one in self.attempts()
            if one.address in self._deadly and not (one.is_handled or one.worker.startswith(RETRIER))
        ]

    def _perhaps_be_away(self) -> None:
        """Have what the handler needs be throttled or out for a while: no event fails by that."""
        world = self._world
        if not self._is_repaired() and world.chance(0.05):
            self._away_until_us = world.now_us + round(world.rng.uniform(1, 6) * 1_000_000)
        if world.now_us < self._away_until_us and not world.is_healed:
            world.faults["what a handler needs is away"] += 1
            kinds = [
                ConnectTimeoutError(endpoint_url="https://other.example"),
                client_error("ThrottlingException", "Invoke"),
                StoreUnavailable(operation="append", reason="throttled"),
            ]
            raise world.rng.choice(kinds)

    def _end(self, address: Address, worker: str) -> None:
        """End the worker's process with an event, or cancel what it waits for."""
        end = _ENDS[self._deadly[address]]
        ends_worker = not isinstance(end, asyncio.CancelledError)
        self.told.append(Attempt(worker, address, is_handled=False, ends_worker=ends_worker))
        self._world.faults[self._deadly[address]] += 1
        raise end


def new_bodies(world: World, client: DynamoDBClient, table_name: str) -> DynamoDBEventBodies:
    return DynamoDBEventBodies(
        client=client, table_name=table_name, jitter=world.rng.random, sleep=world.sleep
    )


def shared_reader(world: World, client: DynamoDBClient, tables: Tables) -> SharedReader:
    """Make the reader of a process, which keeps so little that most of it is read again."""
    return SharedReader(
        log=new_log(world, client, tables.log),
        bodies=new_bodies(world, client, tables.events),
        memory_bytes=world.rng.choice([8_000, 60_000]),
        keep_s=world.rng.choice([2.0, 30.0]),
        monotonic=lambda: world.now_us / 1_000_000,
    )


@contextmanager
def waiting_in_turns(world: World) -> Iterator[None]:
    """Have who waits for another thread's read give the baton away meanwhile."""
    wait = Reading.wait

    def wait_in_turns(reading: Reading[Any, Any]) -> Any:
        world.faults["read that another subscription is making waited for"] += 1
        while not reading.over.is_set():
            world.sleep(0.01)
        return wait(reading)

    with patch.object(Reading, "wait", wait_in_turns):
        yield


def subscribe_to(endpoint: str, table_name: str, table: Table, *, plan: Plan, report: Report) -> None:
    """Workers handle a log while it's written; when nothing goes wrong any more, they bring it to its end."""
    world, client = World(f"{report.seed}/subscribe"), dynamodb_client(endpoint)
    with log_table(client) as log_name, subscriptions_table(client) as kept_name:
        tables = Tables(table_name, log_name, kept_name)
        with wired_client(world, plan.faults, endpoint) as (wired, wire):
            feed = Feed(world, partial(new_log, world, wired, log_name), table)
            projecting = Projecting(world, plan, tables, feed)
            failing = Failing(world, plan, tables, feed, table)
            world.spawn("feeder", feed.run)
            groups: list[Group] = [projecting] * plan.has_projection + [failing] * plan.has_failing_handler
            for group in groups:
                for number in range(3):
                    world.spawn(f"worker-{number}", partial(group.work, wired))
                world.spawn("retrier", partial(group.retry, wired))
            world.run()
            world.is_healed = True
            for group in groups:
                group.finish(wired)
        view = projecting.view(client)
    report.faults += world.faults
    report.faults["worker stopped by an event"] += sum(group.stops for group in groups)
    report.checked["requests"] += wire.requests
    for group in groups:
        report.checked["writes under a fence"] += len(group.fenced)
        report.breaches += [*breaches_of_fences(group.fenced), *breaches_of_starts(group.told)]
    if plan.has_projection:
        report.check(projecting.deliveries, table)
        report.breaches += breaches_of_view(view, table)
    name = f"a handler with {failing.on_failure.name}"
    if plan.has_failing_handler:
        report.checked[f"calls of {name}"] += len(failing.attempts())
        report.breaches += breaches_of_attempts(
            failing.told,
            failing.wanted,
            on_failure=failing.on_failure,
            max_tries=_MAX_TRIES,
            max_starts=failing.max_starts,
        )
        if failing.on_failure is not OnFailure.STOP:
            report.breaches += breaches_of_ends(failing.ends(), max_starts=failing.max_starts)


def subscribe_loosely(endpoint: str, table_name: str, table: Table, *, plan: Plan, report: Report) -> None:
    """Projections follow a log in the wrong order; their read models are to be the fold all the same.

    Of either subscription two workers of three are in one process, and share a reader.
    """
    world, client = World(f"{report.seed}/subscribe loosely"), dynamodb_client(endpoint)
    with log_table(client) as log_name, subscriptions_table(client) as kept_name:
        tables = Tables(table_name, log_name, kept_name)
        with wired_client(world, plan.faults, endpoint) as (wired, wire):
            feed = LooseFeed(world, partial(new_log, world, wired, log_name), table)
            groups = [Projecting(world, plan, tables, feed, name=name) for name in ("view", "other view")]
            readers = [None, *[shared_reader(world, wired, tables)] * 2]
            world.spawn("feeder", feed.run)
            with waiting_in_turns(world):
                for group in groups:
                    for number, shared in enumerate(readers):
                        world.spawn(f"worker-{number}", partial(group.work, wired, shared))
                    world.spawn("retrier", partial(group.retry, wired))
                world.run()
                world.is_healed = True
                for group in groups:
                    group.finish(wired)
        views = [group.view(client) for group in groups]
    report.faults += world.faults
    report.checked["requests"] += wire.requests
    for group, view in zip(groups, views, strict=True):
        report.breaches += [*breaches_of_fences(group.fenced), *breaches_of_view(view, table)]
