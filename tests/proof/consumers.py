"""The acts of who is given what was written: a subscription's workers, and the steps of a replay job."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Final
from unittest.mock import patch

from eventstore import Event, StoreUnavailable
from eventstore.adapters.dynamodb import subscription_schema
from eventstore.adapters.dynamodb.event_bodies import DynamoDBEventBodies
from eventstore.adapters.dynamodb.log import DynamoDBEventLog
from eventstore.cloudevents import Entry, EntryFormat
from eventstore.log import tranche_of
from eventstore.positions import from_us
from eventstore.publish import Refusal
from eventstore.replay import ReplayStep
from eventstore.replays import Replay, ReplayRequest, Replays, ReplayStatus
from eventstore.subscriptions import Projection, Subscription, Terms, subscribe
from tests.proof.checker import Table, breaches_of_fences, breaches_of_view
from tests.proof.clients import Service
from tests.proof.history import Deliveries, Fenced
from tests.proof.wire import wired_client
from tests.proof.world import NOON_US, Killed, World
from tests.replays.jobs import QUEUE, Consumer
from tests.tables import dynamodb_client, log_table, replays_table, subscriptions_table

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

    from tests.proof.run import Plan, Report

_TRANCHES: Final = 3
_WORKERS: Final = 4
_LEASE_S: Final = 6.0
_NAME: Final = "view"
_ROWS: Final = "rows"
_PAGE_EVENTS: Final = 12
_STEP_TIMEOUT_S: Final = 150.0
_STALL_S: Final = 200.0


class Watched:
    """A port whose writes under a fence are recorded, when they were told to be done."""

    def __init__(self, port: Any, world: World, fenced: list[Fenced]) -> None:
        self._port, self._world, self._fenced = port, world, fenced

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._port, name)
        if name not in {"take", "claim", "renew", "release", "save"}:
            return method

        def call(*args: Any, **options: Any) -> Any:
            invoked, takes, held = self._world.tick(), name in {"take", "claim"}, args[-1]
            answer = method(*args, **options)
            if answer is not None or name == "release":
                what = f"tranche {held.tranche}" if hasattr(held, "tranche") else "the replay"
                self._fenced.append(Fenced(what, held.fence + takes, takes, invoked, self._world.tick()))
            return answer

        return call


class Group:
    """A subscription of a projection: its log is written while workers come, stall and die."""

    def __init__(self, world: World, plan: Plan, names: tuple[str, str, str], table: Table) -> None:
        self.deliveries = Deliveries("a subscription")
        self.fenced: list[Fenced] = []
        self._world, self._plan, self._table = world, plan, table
        self._events_table, self._log_table, self._kept_table = names
        self._ends_us: int | None = None
        self._born = 0

    def feed(self, client: DynamoDBClient) -> None:
        """Write the table's events to the log: streams in turns, and some again, as an indexer may."""
        world, log = self._world, self._log(client)
        left = dict.fromkeys(self._table, 0)
        while left:
            stream_id = world.rng.choice(list(left))
            begin, events = left[stream_id], self._table[stream_id]
            end = begin + world.rng.randint(1, 4)
            if world.chance(0.2):
                world.faults["log's entries doubled"] += begin > 0
                begin = world.rng.randint(0, begin)
            try:
                log.append_block(tranche_of(stream_id, tranches=_TRANCHES), events[begin:end])
            except StoreUnavailable:
                continue
            except Killed:
                log = self._log(client)
                continue
            left[stream_id] = end
            if end >= len(events):
                del left[stream_id]
            world.sleep(world.rng.random() * 0.3)
        self._ends_us = world.now_us + round(2 * _LEASE_S * 1_000_000)

    def work(self, client: DynamoDBClient) -> None:
        """Be one worker after the other, until some time after the last block was written."""
        world = self._world
        while not self._is_over():
            worker = self._worker(client, self._handle)
            try:
                self._steps(worker)
                if world.chance(0.5):
                    worker.close()
            except Killed:
                world.sleep(world.rng.random())

    def finish(self, client: DynamoDBClient) -> None:
        """Let one worker come to the end of the log, without faults, and retry what is parked."""
        worker, idle = self._worker(client, self._project), 0
        while idle < 3 * _LEASE_S:
            idle = 0 if worker.step() else idle + 1
            self._world.sleep(1.0)
        worker.retry_parked()
        worker.close()

    def _is_over(self) -> bool:
        return self._ends_us is not None and self._world.now_us > self._ends_us

    def _steps(self, worker: Subscription) -> None:
        while not self._is_over() and not self._world.chance(0.01):
            try:
                moved = worker.step()
            except StoreUnavailable:
                moved = 0
            if not moved:
                self._world.sleep(0.5)

    def _handle(self, event: Event, client: DynamoDBClient) -> None:
        world = self._world
        if world.chance(0.02):
            world.faults["worker stalled past its lease"] += 1
            world.sleep(_LEASE_S * (1 + world.rng.random()))
        self._project(event, client)
        if world.chance(0.01):
            world.faults["worker killed between handling and storing its checkpoint"] += 1
            raise Killed

    def _project(self, event: Event, client: DynamoDBClient) -> None:
        options: Any = {"jitter": self._world.rng.random, "sleep": self._world.sleep}
        read_model = self._plan.read_model_type(client=client, table_name=self._kept_table, **options)
        Projection(name=_NAME, project=self._writes, read_model=read_model)(event)
        self.deliveries.add([(event.stream_id, event.event_id)])

    def _writes(self, event: Event) -> list[dict[str, Any]]:
        row = {"S": f"{event.event_id}:{event.payload}"}
        update = {
            "TableName": self._kept_table,
            "Key": {
                subscription_schema.SUBSCRIPTION: {"S": _ROWS},
                subscription_schema.ITEM: {"S": event.stream_id},
            },
            "UpdateExpression": "SET #rows = list_append(if_not_exists(#rows, :none), :row)",
            "ExpressionAttributeNames": {"#rows": _ROWS},
            "ExpressionAttributeValues": {":none": {"L": []}, ":row": {"L": [row]}},
        }
        return [{"Update": update}]

    def _log(self, client: DynamoDBClient) -> DynamoDBEventLog:
        return DynamoDBEventLog(
            client=client,
            table_name=self._log_table,
            tranches=_TRANCHES,
            random_bytes=self._world.rng.randbytes,
            jitter=self._world.rng.random,
            sleep=self._world.sleep,
        )

    def _worker(self, client: DynamoDBClient, handle: Callable[..., None]) -> Subscription:
        world = self._world
        self._born += 1
        options: Any = {"jitter": world.rng.random, "sleep": world.sleep}
        kept = self._plan.checkpoints_type(client=client, table_name=self._kept_table, **options)
        clock_off_s = world.rng.random() * 1_000  # no two clocks are compared
        return subscribe(
            _NAME,
            partial(handle, client=client),
            log=self._log(client),
            bodies=DynamoDBEventBodies(client=client, table_name=self._events_table, **options),
            checkpoints=Watched(kept, world, self.fenced),
            terms=Terms(lease_s=_LEASE_S, checkpoint_events=5, checkpoint_s=2.0, page_entries=7),
            worker=f"worker-{self._born}",
            monotonic=lambda: world.now_us / 1_000_000 + clock_off_s,
            now_us=lambda: world.now_us,
            **options,
        )


def subscribe_to(endpoint: str, table_name: str, table: Table, *, plan: Plan, report: Report) -> None:
    """Workers handle a log while it's written; one more, without faults, brings it to its end."""
    world, client = World(f"{report.seed}/subscribe"), dynamodb_client(endpoint)
    with log_table(client) as log_name, subscriptions_table(client) as kept_name:
        group = Group(world, plan, (table_name, log_name, kept_name), table)
        with wired_client(world, plan.faults, endpoint) as (wired, wire):
            world.spawn("feeder", partial(group.feed, wired))
            for number in range(_WORKERS):
                world.spawn(f"worker-{number}", partial(group.work, wired))
            world.run()
        world.spawn("last worker", partial(group.finish, client))
        world.run()
        view = _view(client, kept_name)
    report.faults += world.faults
    report.checked["requests"] += wire.requests
    report.checked["writes under a fence"] += len(group.fenced)
    report.check(group.deliveries, table)
    report.breaches += [*breaches_of_view(view, table), *breaches_of_fences(group.fenced)]


def _view(client: DynamoDBClient, table_name: str) -> dict[str, list[str]]:
    answer = client.query(
        TableName=table_name,
        KeyConditionExpression=f"{subscription_schema.SUBSCRIPTION} = :rows",
        ExpressionAttributeValues={":rows": {"S": _ROWS}},
        ConsistentRead=True,
    )
    return {
        item[subscription_schema.ITEM]["S"]: [row["S"] for row in item[_ROWS]["L"]]
        for item in answer["Items"]
    }


class Target(Consumer):
    """The one consumer of a replay: takes a part of a call, and its caller stalls or is killed beside it."""

    def __init__(self, world: World) -> None:
        super().__init__(
            max_entries=5,
            all_or_nothing=world.chance(0.3),
            refuses=self._perhaps,
            before_call=self._before_call,
        )
        self._world = world

    def send(self, entries: Any) -> list[Refusal | None]:
        results = super().send(entries)
        self._perhaps_die("after")
        return results

    def _perhaps(self, _entry: Entry) -> Refusal | None:
        if not self._world.chance(0.12):
            return None
        self._world.faults["event refused by a replay's target"] += 1
        return Refusal("Throttled", permanent=self._world.chance(0.05))

    def _before_call(self) -> None:
        self._world.step()
        if self._world.chance(0.1):
            self._world.faults["replay's step stalled past its lease"] += 1
            self._world.sleep(_STALL_S)
        self._perhaps_die("before")

    def _perhaps_die(self, when: str) -> None:
        if self._world.chance(0.06):
            self._world.faults[f"replay's step killed {when} a call of its target"] += 1
            raise Killed


class Engine:
    """Repeats a replay's step as the state machine does; a replay that failed is resumed."""

    def __init__(self, replays: Replays, step: Callable[[], ReplayStep], world: World) -> None:
        self._replays, self._step, self._world = replays, step, world

    def run(self, replay_id: str) -> None:
        steps = 0
        while True:
            try:
                replay = self._replays.get(replay_id)
                if replay.is_over:
                    return
                if replay.status is ReplayStatus.FAILED:
                    self._replays.resume(replay_id)
                    continue
                steps += 1
                self._take(replay, steps)
            except (StoreUnavailable, Killed):
                self._world.sleep(2.0)

    def _take(self, replay: Replay, steps: int) -> None:
        ends_us = self._world.now_us + round(_STEP_TIMEOUT_S * 1_000_000)
        following = self._step().take(
            replay.replay_id,
            run=replay.run,
            steps=steps,
            remaining_time_s=lambda: (ends_us - self._world.now_us) / 1_000_000,
        )
        self._world.sleep(following.wait_s)


class _NoEngine:
    def start(self, replay: Replay) -> None:
        """Its engines are begun beside it."""


def replay_to_target(endpoint: str, table_name: str, table: Table, *, plan: Plan, report: Report) -> None:
    """Replay the table up to a moment; each step is taken by two engines side by side."""
    world = World(f"{report.seed}/replay")
    times_us = sorted(event.timestamp_us for events in table.values() for event in events)
    to_us = times_us[-1 - world.rng.randrange(len(times_us) // 4 + 1)]
    world.now_us = max(NOON_US, times_us[-1]) + 30_000_000
    target, fenced = Target(world), list[Fenced]()
    client = dynamodb_client(endpoint)
    pages = patch("eventstore.replay.REPLAY_PAGE_EVENTS", _PAGE_EVENTS)
    with replays_table(client) as kept, wired_client(world, plan.faults, endpoint) as (wired, wire), pages:

        def clock_us() -> int:
            return world.now_us

        def replays(of: DynamoDBClient) -> Replays:
            store = plan.replays_type(client=of, table_name=kept)
            return Replays(
                store=store,
                engine=_NoEngine(),
                allowed_targets=[QUEUE],
                clock_us=clock_us,
                random_bytes=world.rng.randbytes,
            )

        def step() -> ReplayStep:
            return ReplayStep(
                store=Watched(plan.replays_type(client=wired, table_name=kept), world, fenced),
                events=Service(world, wired, table_name, plan.faults).store(clock_us=clock_us),
                target=lambda _replay: target,
                entry_format=EntryFormat(source="shop", api_url="https://api.example.com"),
                clock_us=clock_us,
                jitter=world.rng.random,
                sleep=world.sleep,
            )

        replay = replays(client).start(ReplayRequest(target=QUEUE, to=from_us(to_us)))
        for number in range(2):
            engine = Engine(replays(wired), step, world)
            world.spawn(f"engine-{number}", partial(engine.run, replay.replay_id))
        world.run()
    in_range = {
        stream_id: [event for event in events if event.timestamp_us < to_us]
        for stream_id, events in table.items()
    }
    report.faults += world.faults
    report.checked["requests"] += wire.requests
    report.checked["writes under a fence"] += len(fenced)
    report.check(Deliveries("a replay job's target", target.addresses), in_range)
    report.breaches += breaches_of_fences(fenced)
