"""Workers of a subscription, dying at any step: nothing is lost, order holds, fencing holds."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any

import pytest

from eventstore import ANY, Event, NewEvent
from eventstore.errors import LeaseLost, StoreUnavailable
from eventstore.log.model import BlockPosition, LogEntry, tranche_of
from eventstore.memory.checkpoints import MemoryCheckpoints, MemoryEventBodies
from eventstore.memory.log import MemoryEventLog
from eventstore.memory.read_model import MemoryReadModel
from eventstore.memory.store import MemoryEventStore
from eventstore.subscriptions import (
    Lease,
    OnFailure,
    ParkedEvent,
    Projection,
    SharedReader,
    Start,
    Subscription,
    Terms,
    Update,
    Write,
    ahead,
    shared_reader,
    subscribe,
    subscription,
    tranche_reader,
)

TRANCHES = 4
NAME = "view"
LEASE_S = 6.0
NAMES = ("Opened", "Changed")


class Death(BaseException):
    """The worker's process ends here, without a last word."""


@dataclass
class Faulty:
    """A port that fails or kills its caller, before or after it has done what it was asked for."""

    port: Any
    chance: Callable[[], str]

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.port, name)
        if not callable(method):
            return method

        def call(*args: Any, **options: Any) -> Any:
            fault = self.chance()
            if fault == "die before":
                raise Death
            if fault == "fail before":
                raise StoreUnavailable(operation=name, reason="simulated")
            answer = method(*args, **options)
            if fault == "die after":
                raise Death
            if fault == "fail after":
                raise StoreUnavailable(operation=name, reason="simulated")
            return answer

        return call


class WatchedCheckpoints(MemoryCheckpoints):
    """Asserts at each write that only the newest owner of a lease moves its checkpoint, and forward."""

    def __init__(self) -> None:
        super().__init__()
        self.refused = 0
        self.newest: dict[int, int] = defaultdict(int)

    def take(self, subscription: str, lease: Lease, *, owner: str) -> Lease | None:
        ours = super().take(subscription, lease, owner=owner)
        if ours:
            assert ours.fence > self.newest[lease.tranche]
            self.newest[lease.tranche] = ours.fence
        return ours

    def renew(
        self,
        subscription: str,
        lease: Lease,
        *,
        place: BlockPosition,
        start: Start | None = None,
        horizon_us: int | None = None,
    ) -> Lease:
        before = self.read_group(subscription).leases[lease.tranche].place
        try:
            renewed = super().renew(subscription, lease, place=place, start=start, horizon_us=horizon_us)
        except LeaseLost:
            self.refused += 1
            raise
        assert lease.fence == self.newest[lease.tranche]
        assert renewed.place >= before
        return renewed


class Lagging:
    """A log whose newest blocks a read lacks now and then, if that needn't be consistent."""

    def __init__(self, log: MemoryEventLog, chance: random.Random) -> None:
        self._log, self._random = log, chance

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)

    def read_tranche(self, tranche: int, *, consistent: bool = True, **options: Any) -> Iterator[LogEntry]:
        entries = self._log.read_tranche(tranche, **options)
        if consistent or self._random.random() < 0.5:
            return entries
        last = len(self._log._blocks[tranche]) - self._random.randrange(4)
        return takewhile(lambda entry: entry.block <= last, entries)


@dataclass
class World:
    """A store whose log has doubled entries and holes, and workers that come and go."""

    seed: int
    faults: bool = True
    on_failure: OnFailure = OnFailure.PARK_STREAM
    now_s: float = 0.0
    handled: list[tuple[str, int]] = field(default_factory=list)
    failing: set[tuple[str, int]] = field(default_factory=set)
    killing: set[tuple[str, int]] = field(default_factory=set)
    max_starts: int = 1_000_000  # it's chance that kills, not an event
    deaths: int = 0
    workers: list[Subscription] = field(default_factory=list)
    zombies: list[Subscription] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self.store = MemoryEventStore()
        self.log = MemoryEventLog(tranches=TRANCHES)
        self.checkpoints = WatchedCheckpoints()
        self.read_model = MemoryReadModel()
        self.lagging: Any = Lagging(self.log, self.random)
        self.bodies: Any = Faulty(MemoryEventBodies(self.store), self.chance)
        self.shared = SharedReader(
            log=self.lagging, bodies=self.bodies, memory_bytes=60_000, monotonic=lambda: self.now_s
        )
        self.projection = Projection(name=NAME, project=self.project, read_model=self.read_model)
        self.born = 0
        self.is_stalled = False
        self.stepping: Subscription | None = None

    def project(self, event: Event) -> list[Write]:
        row = f"{event.event_id}:{event.payload}"
        return [Update("rows", {"Stream": event.stream_id}, append={"Rows": [row]})]

    @property
    def rows(self) -> dict[str, list[str]]:
        """The read model: what was written of each stream, in the order of writing."""
        return {item["Stream"]: item["Rows"] for item in self.read_model.items("rows")}

    def chance(self) -> str:
        if not self.faults or self.random.random() > 0.04:
            return ""
        return self.random.choice(["die before", "die after", "fail before", "fail after"])

    def handle(self, event: Event) -> None:
        self.now_s += self.random.random() * 0.2
        if (event.stream_id, event.event_id) in self.failing:
            raise ValueError("can't be handled")
        if (event.stream_id, event.event_id) in self.killing or self.chance().startswith("die"):
            raise Death
        if self.faults and self.random.random() < 0.03 and not self.is_stalled:
            self.stall()
        if self.on_failure is not OnFailure.PARK:  # behind a parked event no projection takes an earlier one
            self.projection(event)
        self.handled.append((event.stream_id, event.event_id))
        if self.chance().startswith("die"):
            raise Death

    def stall(self) -> None:
        """Stand still in the handler for longer than a lease, while the others go on."""
        self.is_stalled = True
        for worker in [*self.workers] * 8:
            self.now_s += LEASE_S / 4 / max(1, len(self.workers))
            if worker is not self.stepping and worker in self.workers:
                self.attempt(worker, Subscription.step)
        self.is_stalled = False

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds

    def worker(self, **options: Any) -> Subscription:
        self.born += 1
        shares = self.born % 3 == 0
        return subscribe(
            NAME,
            self.handle,
            log=self.shared.log if shares else self.lagging,
            bodies=self.shared.bodies if shares else self.bodies,
            checkpoints=Faulty(self.checkpoints, self.chance),
            terms=Terms(
                lease_s=LEASE_S,
                checkpoint_events=5,
                checkpoint_s=2.0,
                page_entries=7,
                max_tries=2,
                max_starts=self.max_starts,
                warm_up_blocks=5,
                concurrency=4 if self.born % 2 else 1,
            ),
            worker=f"worker-{self.born}",
            on_failure=self.on_failure,
            monotonic=lambda: self.now_s,
            now_us=lambda: round(self.now_s * 1_000_000),
            sleep=self.sleep,
            jitter=self.random.random,
            **options,
        )

    def append(self) -> None:
        """Append to a stream; the log gets it at once, doubled, late, backwards, or only its last event."""
        stream = f"s-{self.random.randrange(9)}"
        new = [
            NewEvent.of(self.random.choice(NAMES), self.random.randrange(99))
            for _ in range(self.random.randint(1, 3))
        ]
        events = list(self.store.append(stream, new, expected=ANY).events)
        tranche = tranche_of(stream, tranches=TRANCHES)
        if self.random.random() < 0.2:
            events = events[-1:]  # a hole
        if self.random.random() < 0.2:
            events.reverse()
        self.log.append_block(tranche, events)
        if self.random.random() < 0.2:
            everything = list(self.store.read_stream(stream))
            self.log.append_block(tranche, everything[self.random.randrange(len(everything)) :])
        if self.random.random() < 0.2:
            everything = list(self.store.read_stream(stream))
            self.log.append_block(tranche, self.random.sample(everything, 1))  # late, or once more

    def turn(self) -> None:
        """Let one thing happen."""
        what = self.random.random()
        if what < 0.2:
            self.append()
        elif what < 0.25 and len(self.workers) < 6:
            self.workers.append(self.worker())
        elif what < 0.27 and self.workers:
            # It stands still for longer than a lease and goes on as if nothing had been.
            self.zombies.append(self.workers.pop(self.random.randrange(len(self.workers))))
        elif what < 0.3 and self.zombies:
            self.workers.append(self.zombies.pop())
        elif what < 0.32 and self.workers:
            self.attempt(self.workers.pop(), Subscription.close)
        elif self.workers:
            self.attempt(self.random.choice(self.workers), Subscription.step)
        self.now_s += self.random.random() * 0.5

    def attempt(self, worker: Subscription, what: Callable[[Subscription], object]) -> None:
        outer, self.stepping = self.stepping, worker
        try:
            what(worker)
        except StoreUnavailable:
            pass
        except Death:
            self.deaths += 1
            if worker in self.workers:
                self.workers.remove(worker)
        finally:
            self.stepping = outer

    def finish(self) -> None:
        """Let one worker, of those that are left, come to the end of the log; nothing fails any more."""
        self.faults = False
        self.workers = [self.worker()]
        idle = 0
        while idle < 30:
            idle = 0 if self.workers[0].step() else idle + 1
            self.now_s += 1.0
        assert self.workers[0].tranches == set(range(TRANCHES))
        self.workers[0].close()


def first_handlings(handled: list[tuple[str, int]]) -> dict[str, list[int]]:
    firsts: dict[str, list[int]] = defaultdict(list)
    for stream, event_id in dict.fromkeys(handled):
        firsts[stream].append(event_id)
    return firsts


def fold(world: World) -> dict[str, list[str]]:
    streams = sorted({event.stream_id for event in world.store.read_all(unsettled=True)})
    return {
        stream: [f"{event.event_id}:{event.payload}" for event in world.store.read_stream(stream)]
        for stream in streams
    }


@pytest.mark.parametrize("seed", range(40))
def test_workers_dying_anywhere_lose_nothing_and_keep_each_stream_in_order(seed: int) -> None:
    world = World(seed)
    for _ in range(400):
        world.turn()
    world.finish()

    expected = fold(world)
    assert {stream: len(ids) for stream, ids in first_handlings(world.handled).items()} == {
        stream: len(rows) for stream, rows in expected.items()
    }
    for ids in first_handlings(world.handled).values():
        assert ids == list(range(1, len(ids) + 1))
    assert world.rows == expected


def test_simulation_meets_what_it_is_for() -> None:
    worlds = []
    for seed in range(10):
        worlds.append(World(seed))
        for _ in range(400):
            worlds[-1].turn()
        worlds[-1].finish()

    assert sum(world.deaths for world in worlds) > 50
    assert sum(world.checkpoints.refused for world in worlds) > 5
    assert any(len(world.handled) > len(set(world.handled)) for world in worlds)


@pytest.mark.parametrize("defence", ["holes", "doubles", "order of checkpoint", "fence"])
def test_without_a_defence_the_simulation_finds_the_loss(
    defence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if defence in {"holes", "doubles"}:
        real = tranche_reader.TrancheReader._steps

        def steps(self: Any, entry: Any) -> Any:
            if defence == "holes":
                return (step for step in real(self, entry) if step.place is not None)
            return iter([tranche_reader._Step((entry.stream_id, entry.event_id), entry.position)])

        monkeypatch.setattr(tranche_reader.TrancheReader, "_steps", steps)
    elif defence == "order of checkpoint":
        real_handle = subscription.Subscription._handle

        def handle_after_the_checkpoint(self: Any, tranche: int, held: Any, *event: Any) -> bool:
            # The checkpoint behind the whole page, before any of it is handled.
            entries = list(self._log.read_tranche(tranche, after=held.place, limit=1))
            if entries:
                held.place = entries[-1].position
            self._holding.membership.store(tranche)
            return self._holding.held.get(tranche) is held and real_handle(self, tranche, held, *event)

        monkeypatch.setattr(subscription.Subscription, "_handle", handle_after_the_checkpoint)
    else:

        def unfenced(self: Any, subscription: str, lease: Lease) -> Lease:
            kept: Lease = self._kept[subscription].leases[lease.tranche]
            return kept

        monkeypatch.setattr(MemoryCheckpoints, "_fenced", unfenced)

    assert not all(holds(seed) for seed in range(15))


@pytest.mark.parametrize("defence", ["looks that end", "places that are read on from where they end"])
def test_without_a_defence_of_the_shared_reader_the_loss_is_found(
    defence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared: Any = shared_reader._SharedLog
    if defence == "looks that end":
        monkeypatch.setattr(shared, "_is_end", lambda log, tranche, place: tranche in log._looks)
    else:
        monkeypatch.setattr(shared_reader, "_start_behind", lambda of: (of.tranche, of.block + 1, 0))
    assert not all(holds(seed) for seed in range(15))


def test_streams_that_do_not_wait_behind_what_failed_come_out_of_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    is_over = property(lambda waiting: bool(waiting.call and waiting.call.done()))
    monkeypatch.setattr(ahead.Waiting, "is_handled", is_over)
    assert not all(holds(seed) for seed in range(15))


def holds(seed: int) -> bool:
    """Return whether nothing is found of what must not be."""
    try:
        test_workers_dying_anywhere_lose_nothing_and_keep_each_stream_in_order(seed)
    except AssertionError:
        return False
    return True


@pytest.mark.parametrize("seed", range(10))
def test_parked_streams_are_whole_and_in_order_when_retried(seed: int) -> None:
    world = World(seed)
    world.failing = {(f"s-{n}", 2 + n % 3) for n in range(4)}
    for _ in range(300):
        world.turn()
    world.finish()
    expected = fold(world)
    for stream, event_id in world.failing:
        assert len(world.rows.get(stream, [])) == min(event_id - 1, len(expected.get(stream, [])))

    world.failing = set()
    retried = world.worker().retry_parked()
    assert retried.still_parked == 0
    assert list(world.checkpoints.read_parked(NAME)) == []
    assert world.rows == expected


def test_parked_event_names_its_reason_and_stays_parked_while_it_fails() -> None:
    world = World(1, faults=False, on_failure=OnFailure.PARK)
    events = [NewEvent.of("Opened", n) for n in range(3)]
    for event in world.store.append("s-1", events, expected=0).events:
        world.log.append_block(tranche_of("s-1", tranches=TRANCHES), [event])
    world.failing = {("s-1", 2)}
    world.finish()

    assert world.handled == [("s-1", 1), ("s-1", 3)]
    (parked,) = world.checkpoints.read_parked(NAME)
    assert isinstance(parked, ParkedEvent)
    assert (parked.stream_id, parked.event_id, parked.reason) == ("s-1", 2, "ValueError: can't be handled")
    assert world.worker().retry_parked().still_parked == 1


def outlive_killers(world: World, *, deaths: int) -> bool:
    """Let one worker after the other come to the log's end; False when so many have died before it."""
    world.faults = False
    for _ in range(deaths):
        worker, idle = world.worker(), 0
        try:
            while idle < 30:
                idle = 0 if worker.step() else idle + 1
                world.now_s += 1.0
        except Death:
            world.now_s += LEASE_S
            continue
        worker.close()
        return True
    return False


def with_killers(seed: int, *, max_starts: int = 3) -> World:
    world = World(seed, max_starts=max_starts)
    world.killing = {(f"s-{n}", 2 + n % 3) for n in range(0, 9, 3)}
    for _ in range(300):
        world.turn()
    return world


@pytest.mark.parametrize("seed", range(20))
def test_events_that_kill_every_worker_are_parked_and_all_others_handled(seed: int) -> None:
    world = with_killers(seed)
    # An event may kill one more than are counted, and so may each of those of its tranche.
    assert outlive_killers(world, deaths=2 * 4 * len(world.killing))

    expected = fold(world)
    parked = {(of.stream_id, of.event_id) for of in world.checkpoints.read_parked(NAME)}
    there = {(stream, n + 1) for stream, rows in expected.items() for n in range(len(rows))}
    assert world.killing & there <= parked
    for stream, rows in expected.items():
        handled = world.rows.get(stream, [])
        assert handled == rows[: len(handled)]
        assert {(stream, n + 1) for n in range(len(handled), len(rows))} <= parked

    world.killing = set()
    assert world.worker().retry_parked().still_parked == 0
    assert world.rows == expected


def test_without_counted_starts_an_event_kills_its_workers_for_ever() -> None:
    assert not all(outlive_killers(with_killers(seed, max_starts=1_000_000), deaths=30) for seed in range(5))
