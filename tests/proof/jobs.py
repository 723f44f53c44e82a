"""Replay jobs under faults: engines side by side, a target that fails, somebody who pauses and goes on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final
from unittest.mock import patch

from eventstore import Event
from eventstore.delivery.cloudevents import Entry, EntryFormat
from eventstore.delivery.publisher import Refusal
from eventstore.dynamodb.replays import DynamoDBReplays
from eventstore.dynamodb.store import DynamoDBEventStore
from eventstore.errors import ReplayOver, StoreUnavailable
from eventstore.limits import REPLAY_MAX_FAILED_STEPS
from eventstore.positions import from_us
from eventstore.replays.queue import ReplayQueue
from eventstore.replays.service import Replay, ReplayRequest, Replays, ReplayStatus
from eventstore.replays.step import ReplayStep
from tests.proof.checker import Table, breaches_of_deliveries
from tests.proof.consumer_checker import (
    breaches_of_fences,
    breaches_of_messages,
    breaches_of_pace,
    breaches_of_pauses,
    breaches_of_steps,
    wanted,
)
from tests.proof.history import Asked, Call, Deliveries, Job
from tests.proof.service import NAMES, Service
from tests.proof.subscribers import PREFIXES
from tests.proof.watched import Watched
from tests.proof.wire import wired_client
from tests.proof.world import NOON_US, Killed, World
from tests.replays.jobs import QUEUE, Consumer
from tests.tables import dynamodb_client, replays_table

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

    from tests.proof.imports import Import
    from tests.proof.run import Plan, Report

_PAGE_EVENTS: Final = 12
_STEP_TIMEOUT_S: Final = 150.0
_STALL_S: Final = 200.0
_SLOW_S: Final = 20.0
_TROUBLE_S: Final = 4_000.0
_MARGIN_US: Final = 1_000_000
"""By how much a writer's clock may be ahead for its event to be written before "now"."""


class Target(Consumer):
    """The one consumer of a replay: takes a part of a call, and its caller stalls or is killed beside it."""

    def __init__(self, world: World, trouble: str) -> None:
        super().__init__(max_entries=5, all_or_nothing=world.chance(0.3), refuses=self._perhaps)
        self._world, self._trouble = world, trouble
        self._ends_us = world.now_us + round(_TROUBLE_S * 1_000_000)

    @property
    def trouble(self) -> str:
        """What goes wrong with each call, for a long time."""
        return self._trouble if self._world.now_us < self._ends_us else ""

    def _perhaps(self, _entry: Entry) -> Refusal | None:
        if not self._world.chance(0.12):
            return None
        self._world.faults["event refused by a replay's target"] += 1
        return Refusal("Throttled", permanent=self._world.chance(0.05))


class Caller:
    """A target as one step calls it."""

    def __init__(self, world: World, target: Target, fence: int, calls: list[Call]) -> None:
        self._world, self._target, self._fence, self._calls = world, target, fence, calls

    def __getattr__(self, name: str) -> Any:
        return getattr(self._target, name)

    def send(self, entries: Any) -> list[Refusal | None]:
        self._calls.append(Call(self._fence, self._world.tick()))
        self._world.step()
        if self._world.chance(0.08):
            self._world.faults["replay's step stalled past its lease"] += 1
            self._world.sleep(_STALL_S)
        self._perhaps_die("before")
        if self._target.trouble == "deadly":
            self._world.faults["replay's step killed by whatever it sends"] += 1
            raise Killed
        if self._target.trouble == "slow":
            self._world.faults["replay's target took its time to refuse"] += 1
            self._world.sleep(_SLOW_S)
            return [Refusal("TooSlow", permanent=False)] * len(entries)
        results = self._target.send(entries)
        self._perhaps_die("after")
        return results

    def _perhaps_die(self, when: str) -> None:
        if self._world.chance(0.05):
            self._world.faults[f"replay's step killed {when} a call of its target"] += 1
            raise Killed


class WatchedReplays(Watched):
    """Replays whose stored progress is recorded too."""

    def __init__(self, port: Any, world: World, job: Job) -> None:
        super().__init__(port, world, job.fenced)
        self._job = job

    def claim(self, replay: Replay, *, until_us: int) -> Replay | None:
        claimed: Replay | None = self.__getattr__("claim")(replay, until_us=until_us)
        if claimed is not None:
            self._job.steps.append((claimed.run, claimed.position))
        return claimed

    def save(self, replay: Replay) -> Replay | None:
        saved: Replay | None = self.__getattr__("save")(replay)
        if saved is not None:
            self._job.progress.append((self._world.now_us, saved.sent))
        return saved


class _NoEngine:
    def start(self, replay: Replay) -> bool:
        """Its engines are begun beside it."""
        return True


@dataclass(frozen=True)
class Draw:
    """What a job is asked for, and how often it's paused."""

    request: ReplayRequest
    pauses: int
    is_cancelled: bool
    trouble: str = ""
    """What goes wrong with its target for a long time, if anything does."""


def draw(
    world: World, *, pace: int | None, trouble: str | None = "", times_us: list[int] | None = None
) -> Draw:
    """Draw a job: of a range of these times, or up to now; its pace and trouble, too, where none is given."""
    rng = world.rng
    by_name, by_stream = rng.choice(
        [(False, False), (False, False), (True, False), (False, True), (True, True)]
    )
    begin = end = None
    if times_us:
        begin = times_us[rng.randrange(len(times_us) // 3)] if world.chance(0.6) else None
        end = times_us[-1 - rng.randrange(len(times_us) // 3)] if world.chance(0.7) else None
    request = ReplayRequest(
        target=QUEUE,
        from_=None if begin is None else from_us(begin),
        to=None if end is None else from_us(end),
        names=rng.sample(NAMES, rng.choice([1, 2])) if by_name else [],
        stream_prefix=rng.choice(PREFIXES) if by_stream else "",
        events_per_second=rng.choice([None, None, 2, 5]) if pace is None else pace,
    )
    drawn = rng.choice(["", "slow", "deadly"]) if trouble is None else trouble
    return Draw(request, rng.choice([0, 1, 1, 2, 3]), is_cancelled=world.chance(0.1), trouble=drawn)


class ReplayJob:
    """One job: who asks for it, two engines that repeat its steps side by side, and who steers it."""

    def __init__(
        self,
        world: World,
        plan: Plan,
        client: DynamoDBClient,
        *,
        events: Callable[[], DynamoDBEventStore],
        table_name: str,
        drawn: Draw,
    ) -> None:
        self.replay: Replay | None = None
        self.target = Target(world, drawn.trouble)
        self.job = Job()
        self._asked_us = 0
        self._world, self._plan, self._client, self._events = world, plan, client, events
        self._table_name, self._draw = table_name, drawn
        self._status: ReplayStatus | None = None

    def request(self, *, after_s: float) -> None:
        """Ask for the job, at some moment; then have it run and steered."""
        self._world.sleep(after_s)
        while self.replay is None:
            self._asked_us = self._world.now_us
            try:
                self.replay = self._replays().start(self._draw.request)
            except (StoreUnavailable, Killed):
                self._world.sleep(1.0)
        for number in range(2):
            self._world.spawn(f"engine-{number}", partial(self._run, self.replay.replay_id))
        if self._draw.pauses or self._draw.is_cancelled:
            self._world.spawn("steerer", partial(self._steer, self.replay.replay_id))

    def check(self, table: Table, report: Report, *, name: str, imported: Import | None = None) -> None:
        """Check what the target was given against what was asked for.

        Args:
            imported: what it need not have been given, unless it was there and seen when it was asked for.
        """
        assert self.replay is not None
        if self._draw.request.to is None and self.replay.to_us < self._asked_us + _MARGIN_US:
            report.breaches.append(f"lost: {name} ends before what was written when it was asked for")
        is_whole = self._status is ReplayStatus.COMPLETED
        report.checked[f"replay jobs {'sent to their ends' if is_whole else 'cancelled'}"] += 1
        deliveries, due = Deliveries(name, self.target.addresses), table
        if imported is not None:
            deliveries = imported.without_deliveries(deliveries, there_before_us=self._asked_us)
            due = imported.without(table, there_before_us=self._asked_us)
        those = wanted(
            due,
            names=self._draw.request.names,
            prefix=self._draw.request.stream_prefix,
            from_us=self.replay.from_us,
            to_us=self.replay.to_us,
        )
        report.checked[f"deliveries to {name}"] += len(deliveries.addresses)
        report.checked["writes under a fence"] += len(self.job.fenced)
        report.breaches += [
            *breaches_of_deliveries(deliveries, those, is_whole=is_whole),
            *breaches_of_messages(self.target.taken, table, replay_id=self.replay.replay_id),
            *breaches_of_fences(self.job.fenced),
            *breaches_of_pauses(self.job),
            *breaches_of_steps(self.job, most=2 * REPLAY_MAX_FAILED_STEPS),
            *breaches_of_pace(
                self.job,
                events_per_second=self._draw.request.events_per_second,
                began_us=self.replay.requested_us,
            ),
        ]

    def _replays(self) -> Replays:
        return Replays(
            store=DynamoDBReplays(client=self._client, table_name=self._table_name),
            engine=_NoEngine(),
            allowed_targets=[QUEUE],
            clock_us=lambda: self._world.now_us,
            random_bytes=self._world.rng.randbytes,
        )

    def _run(self, replay_id: str) -> None:
        """Repeat the job's step as the state machine does; one that failed is resumed."""
        steps = 0
        while True:
            try:
                replay = self._replays().get(replay_id)
                if replay.is_over:
                    self._status = replay.status
                    return
                if replay.status is ReplayStatus.FAILED:
                    # The other engine may have ended it meanwhile, or the steerer: then it's read to be over.
                    self._until_done("resume", replay_id)
                    continue
                if replay.status is ReplayStatus.PAUSED:
                    self._world.sleep(2.0)
                steps += 1
                self._take(replay, steps)
            except (StoreUnavailable, Killed):
                self._world.sleep(2.0)

    def _take(self, replay: Replay, steps: int) -> None:
        world = self._world
        ends_us = world.now_us + round(_STEP_TIMEOUT_S * 1_000_000)
        step = ReplayStep(
            store=WatchedReplays(
                self._plan.replays_type(client=self._client, table_name=self._table_name), world, self.job
            ),
            events=self._events(),
            target=lambda claimed: Caller(world, self.target, claimed.fence, self.job.calls),
            entry_format=EntryFormat(source="shop", api_url="https://api.example.com"),
            clock_us=lambda: world.now_us,
            jitter=world.rng.random,
            sleep=world.sleep,
        )
        following = step.take(
            replay.replay_id,
            run=replay.run,
            steps=steps,
            remaining_time_s=lambda: (ends_us - world.now_us) / 1_000_000,
        )
        if following.action in {"end", "fail"}:
            ReplayQueue(
                store=DynamoDBReplays(client=self._client, table_name=self._table_name),
                engine=_NoEngine(),
                clock_us=lambda: world.now_us,
            ).start_next()
        world.sleep(following.wait_s)

    def _steer(self, replay_id: str) -> None:
        """Pause it, and let it go on, so often; perhaps cancel it then."""
        world = self._world
        for _ in range(self._draw.pauses):
            world.sleep(world.rng.random() * 12)
            if self._until_done("pause", replay_id):
                world.faults["replay paused"] += 1
                world.sleep(world.rng.random() * 60)
                self._until_done("resume", replay_id)
        if self._draw.is_cancelled:
            world.sleep(world.rng.random() * 30)
            world.faults["replay cancelled"] += self._until_done("cancel", replay_id)

    def _until_done(self, what: str, replay_id: str) -> bool:
        """Ask until it's told to be done; False when the replay is over, or has failed."""
        while True:
            try:
                self._ask(what, replay_id)
                return True
            except ReplayOver:
                return False
            except (StoreUnavailable, Killed):
                self._world.sleep(self._world.rng.random())

    def _ask(self, what: str, replay_id: str) -> None:
        invoked, is_done = self._world.tick(), False
        try:
            getattr(self._replays(), what)(replay_id)
            is_done = True
        finally:
            # It isn't known what else was done; a resume is told by its end all the same.
            returned = self._world.tick() if is_done or what == "resume" else None
            self.job.asked.append(Asked(what, invoked, returned))


def small_pages() -> Any:
    """Have replays store how far they are after few events."""
    return patch("eventstore.replays.step.REPLAY_PAGE_EVENTS", _PAGE_EVENTS)


def replay_to_target(endpoint: str, table_name: str, table: Table, *, plan: Plan, report: Report) -> None:
    """Replay a range of the table, when all of it has settled."""
    world = World(f"{report.seed}/replay")
    times_us = sorted(event.timestamp_us for event in _all(table))
    world.now_us = max(NOON_US, times_us[-1]) + 30_000_000
    with (
        replays_table(dynamodb_client(endpoint)) as kept,
        wired_client(world, plan.faults, endpoint) as (wired, wire),
        small_pages(),
    ):
        service = Service(world, wired, table_name, plan.faults)
        job = ReplayJob(
            world,
            plan,
            wired,
            events=lambda: service.store(store_type=plan.replayed_type, clock_us=lambda: world.now_us),
            table_name=kept,
            drawn=draw(world, pace=plan.replay_pace, trouble=plan.replay_trouble, times_us=times_us),
        )
        world.spawn("requester", partial(job.request, after_s=0.0))
        world.run()
    report.faults += world.faults
    report.checked["requests"] += wire.requests
    job.check(table, report, name="a replay job's target")


def _all(table: Table) -> list[Event]:
    return [event for events in table.values() for event in events]
