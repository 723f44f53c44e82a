"""A subscription's rules, one by one, in memory."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from eventstore import ANY, Event, NewEvent
from eventstore.errors import (
    BlockMissing,
    HandlerFailed,
    InvalidLimit,
    InvalidRange,
    InvalidSubscription,
    InvalidSubscriptionName,
    StoreUnavailable,
    SubscriptionNotFound,
    TranchesChanged,
)
from eventstore.log.model import BlockPosition
from eventstore.memory.checkpoints import MemoryCheckpoints, MemoryEventBodies
from eventstore.memory.log import MemoryEventLog
from eventstore.memory.read_model import MemoryReadModel
from eventstore.memory.store import MemoryEventStore
from eventstore.subscriptions import From, OnFailure, Projection, SharedReader, Subscription, Terms, subscribe
from eventstore.subscriptions.start import places_at
from eventstore.testing import FakeClock


class World:
    """A store with a log, and what its handlers were given."""

    def __init__(self, *, tranches: int = 4) -> None:
        self.clock = FakeClock()
        self.log = MemoryEventLog(tranches=tranches)
        self.store = MemoryEventStore(log=self.log, clock_us=self.clock)
        self.checkpoints = MemoryCheckpoints()
        self.seen: list[tuple[str, int]] = []
        self.now_s = 0.0

    def append(self, stream_id: str, *names: str) -> None:
        self.store.append(stream_id, [NewEvent.of(name) for name in names], expected=ANY)

    def handle(self, event: Event) -> None:
        self.seen.append((event.stream_id, event.event_id))

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds

    def worker(self, handler: Callable[[Event], object] | None = None, **options: Any) -> Subscription:
        given: dict[str, Any] = {
            "log": self.log,
            "bodies": MemoryEventBodies(self.store),
            "checkpoints": self.checkpoints,
            "monotonic": lambda: self.now_s,
            "sleep": self.sleep,
            "jitter": lambda: 1.0,
        }
        return subscribe("view", handler or self.handle, **(given | options))

    def place(self, tranche: int = 0) -> BlockPosition:
        return self.checkpoints.read_group("view").leases[tranche].place


# --- what is read -------------------------------------------------------------------------------------


def test_history_then_live_without_a_seam() -> None:
    world = World()
    world.append("a", "Opened", "Changed")
    worker = world.worker()
    worker.step()
    world.append("a", "Changed")
    world.append("b", "Opened")
    worker.step()

    assert sorted(world.seen) == [("a", 1), ("a", 2), ("a", 3), ("b", 1)]


def test_only_names_and_streams_asked_for_are_handled_and_all_are_passed() -> None:
    world = World(tranches=1)
    world.append("order-1", "Opened", "Changed", "Opened")
    world.append("basket-1", "Opened")
    worker = world.worker(names=["Opened"], streams="order-")
    worker.step()
    worker.close()

    assert world.seen == [("order-1", 1), ("order-1", 3)]
    assert world.place() == (3, 0)


def test_hole_is_filled_before_the_later_event_only_with_names_asked_for() -> None:
    world = World(tranches=1)
    store = MemoryEventStore()
    events = store.append("a", [NewEvent.of(n) for n in ("Opened", "Other", "Opened", "Opened")], expected=0)
    world.log.append_block(0, events.events[:1])
    world.log.append_block(0, events.events[3:])
    worker = world.worker(bodies=MemoryEventBodies(store), names=["Opened"])
    worker.step()

    assert world.seen == [("a", 1), ("a", 3), ("a", 4)]


def test_hole_across_a_restart_is_filled_and_a_repeat_across_it_is_dropped() -> None:
    world = World(tranches=1)
    store = MemoryEventStore()
    events = store.append("a", [NewEvent.of("Opened")] * 5, expected=0).events
    for block in (events[:2], events[1:3]):
        world.log.append_block(0, block)
        worker = world.worker(bodies=MemoryEventBodies(store))
        worker.step()
        worker.close()
    world.log.append_block(0, events[4:])
    world.worker(bodies=MemoryEventBodies(store)).step()

    assert [event_id for _, event_id in world.seen] == [1, 2, 3, 4, 5]


def test_stream_that_was_forgotten_is_believed_to_the_log() -> None:
    world = World(tranches=1)
    for n in range(5):
        world.append(f"s-{n}", "Opened")
    world.append("s-0", "Changed")
    world.worker(terms=Terms(streams_remembered=2)).step()

    assert world.seen[-1] == ("s-0", 2)
    assert len(world.seen) == 6


def test_worker_at_a_lost_block_goes_on_when_it_is_closed_and_says_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    world = World(tranches=1)
    for _ in range(8):
        world.append("a", "Opened")
    for block in (4, 5):
        world.log.lose_block(0, block)
    worker = world.worker(terms=Terms(page_entries=3))
    assert worker.step() == 3
    with pytest.raises(BlockMissing, match="verify --repair"):
        worker.step()
    assert world.seen == [("a", 1), ("a", 2), ("a", 3)]

    for block in (4, 5):
        world.log.close_block(0, block)
    assert [worker.step(), worker.step()] == [3, 0]

    # What lies in the lost blocks is a hole in its stream: it comes from the table.
    assert world.seen == [("a", event_id) for event_id in range(1, 9)]
    assert worker.counts.closed_blocks == 2
    assert "blocks 4 to 5 of the log's tranche 0 were lost and are closed" in caplog.text
    worker.close()
    assert world.place() == (9, 0)


@pytest.mark.parametrize("is_shared", [False, True])
def test_what_stands_before_a_lost_block_is_handled_and_stored(is_shared: bool) -> None:
    """However large a page is: nobody has to wait for a repair who isn't behind it."""
    world = World(tranches=1)
    for _ in range(6):
        world.append("a", "Opened")
    world.log.lose_block(0, 4)
    shared = SharedReader(log=world.log, bodies=MemoryEventBodies(world.store), monotonic=lambda: world.now_s)
    worker = world.worker(**({"log": shared.log, "bodies": shared.bodies} if is_shared else {}))
    assert worker.step() == 3
    assert world.seen == [("a", 1), ("a", 2), ("a", 3)]
    for _ in range(2):
        world.now_s += 1
        with pytest.raises(BlockMissing):
            worker.step()
    worker.close()
    assert world.place() == (4, 0)


def test_checkpoint_inside_of_a_lost_block_goes_on_behind_it() -> None:
    world = World(tranches=1)
    events = MemoryEventStore()
    appended = events.append("a", [NewEvent.of("Opened")] * 6, expected=0).events
    for block in (appended[:3], appended[3:]):
        world.log.append_block(0, block)
    world.checkpoints.begin("view", [BlockPosition(1, 2)], log_id=world.log.log_id)
    world.log.lose_block(0, 1)
    world.log.close_block(0, 1)
    worker = world.worker(bodies=MemoryEventBodies(events))
    worker.step()

    # The reader knows nothing of the two that were handled: they come again.
    assert [event_id for _, event_id in world.seen] == [1, 2, 3, 4, 5, 6]
    assert worker.counts.closed_blocks == 1


# --- where it begins ----------------------------------------------------------------------------------


def test_time_begins_in_each_tranche_at_the_first_block_that_reaches_it() -> None:
    world = World(tranches=2)
    start = datetime(2026, 1, 1, tzinfo=UTC)
    for _ in range(100):
        world.append("a", "Opened")
        world.clock.move(timedelta(minutes=1))
    tranche = next(t for t in (0, 1) if list(world.log.read_tranche(t)))

    for minute in (0, 1, 2, 37, 98, 99):
        place = places_at(world.log, start + timedelta(minutes=minute))[tranche]
        assert place == (minute + 1, 0)  # block n holds minute n - 1
    # What lies within the settling time before it, is given too.
    assert places_at(world.log, start + timedelta(minutes=37, seconds=5))[tranche] == (38, 0)
    assert places_at(world.log, start + timedelta(days=1))[tranche] == (101, 0)
    assert places_at(world.log, start)[1 - tranche] == (1, 0)


def test_subscription_from_a_time_handles_all_since_and_goes_on() -> None:
    world = World(tranches=1)
    for _ in range(20):
        world.append("a", "Opened")
        world.clock.move(timedelta(minutes=1))
    since = datetime(2026, 1, 1, 0, 10, tzinfo=UTC)
    worker = world.worker(from_=since)
    worker.step()
    worker.close()
    assert [event_id for _, event_id in world.seen] == list(range(11, 21))

    world.append("a", "Opened")
    world.worker(from_=From.BEGINNING).step()
    assert world.seen[10:] == [("a", 21)]


def test_checkpoint_as_the_start_has_to_be_there() -> None:
    world = World()
    with pytest.raises(SubscriptionNotFound, match="'view' has no checkpoint") as caught:
        world.worker(from_=From.CHECKPOINT).step()
    assert caught.value.name == "view"
    world.worker().step()
    world.worker(from_=From.CHECKPOINT).step()


def test_log_of_another_number_of_tranches_is_refused() -> None:
    world = World(tranches=4)
    world.worker().step()
    for tranches in (3, 5):
        other = MemoryEventLog(tranches=tranches)
        other._log_id = world.log.log_id
        with pytest.raises(TranchesChanged) as caught:
            world.worker(log=other).step()
        assert caught.value.begun_with == 4


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"from_": datetime(2026, 1, 1)}, InvalidRange),  # noqa: DTZ001
        ({"from_": "beginning"}, InvalidRange),
        ({"names": "Opened"}, InvalidSubscription),
        ({"names": []}, InvalidSubscription),
        ({"names": [b"Opened"]}, InvalidSubscription),
        ({"names": ["Opened", From]}, InvalidSubscription),
        ({"streams": ["order-"]}, InvalidSubscription),
        ({"streams": None}, InvalidSubscription),
    ],
)
def test_bad_input_is_refused_at_once(options: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        World().worker(**options)


@pytest.mark.parametrize("name", ["", "a#b", "é", "a\n", "x" * 201])
def test_bad_name_is_refused(name: str) -> None:
    world = World()
    source = {"log": world.log, "bodies": MemoryEventBodies(world.store), "checkpoints": world.checkpoints}
    with pytest.raises(InvalidSubscriptionName):
        subscribe(name, world.handle, **source)  # type: ignore[arg-type]


@pytest.mark.parametrize("terms", [{"lease_s": 0.05}, {"max_tries": 0}, {"poll_s": -1.0}])
def test_bad_terms_are_refused(terms: dict[str, Any]) -> None:
    with pytest.raises(InvalidLimit):
        Terms(**terms)


# --- checkpoints ----------------------------------------------------------------------------------------


def test_checkpoint_is_stored_after_so_many_events_or_seconds_and_at_the_end() -> None:
    world = World(tranches=1)
    worker = world.worker(terms=Terms(checkpoint_events=3, checkpoint_s=2.0))
    for n in range(4):
        world.append("a", "Opened")
        worker.step()
        assert world.place() == ((4, 0) if n >= 2 else (1, 0))
    world.now_s = 2.5
    world.append("a", "Opened")
    worker.step()
    assert world.place() == (6, 0)
    world.append("a", "Opened")
    worker.step()
    assert world.place() == (6, 0)
    worker.close()
    assert world.place() == (7, 0)


def test_stop_ends_behind_the_event_being_handled_and_stores_it() -> None:
    world = World(tranches=1)
    world.append("a", *["Opened"] * 5)

    def handle(event: Event) -> None:
        world.handle(event)
        if event.event_id == 2:
            worker.stop()

    worker = world.worker(handle)
    worker.run_forever()

    assert world.seen == [("a", 1), ("a", 2)]
    assert world.place() == (1, 2)
    assert world.checkpoints.read_group("view").workers == {}
    assert world.checkpoints.read_group("view").leases[0].owner is None


def test_stop_ends_a_pause_at_once() -> None:
    world = World()
    worker = world.worker(sleep=None, terms=Terms(poll_s=3_600.0))
    thread = threading.Thread(target=worker.run_forever, daemon=True)
    thread.start()
    worker.stop()
    thread.join(300)  # patience, far below the pause: the machine may be busy
    assert not thread.is_alive()


def test_run_ends_when_it_is_told_to() -> None:
    world = World()
    world.append("a", "Opened", "Changed")
    world.worker().run(until=lambda: len(world.seen) == 2)
    assert world.seen == [("a", 1), ("a", 2)]


@pytest.mark.parametrize(
    ("poll_s", "pauses"),
    [(0.5, [0.5, 0.1, 0.1, 0.2, 0.4, 0.5, 0.5]), (0.15, [0.15, 0.1, 0.1] + [0.15] * 4), (0.05, [0.05] * 7)],
)
def test_worker_looks_often_while_events_come_and_slows_down_when_none_do(
    poll_s: float, pauses: list[float]
) -> None:
    world, slept = World(), list[float]()

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) <= 2:
            world.append("a", "Opened")

    worker = world.worker(sleep=sleep, terms=Terms(poll_s=poll_s))
    worker.run(until=lambda: len(slept) == len(pauses))

    assert slept == pytest.approx(pauses)
    assert world.seen == [("a", 1), ("a", 2)]


def test_worker_makes_no_pause_behind_a_full_page_and_none_when_it_is_over() -> None:
    world, slept = World(tranches=1), list[int]()
    world.append("a", *["Opened"] * 10)

    worker = world.worker(sleep=lambda _: slept.append(len(world.seen)), terms=Terms(page_entries=3))
    worker.run(until=lambda: len(world.seen) == 10 and bool(slept))
    assert slept == [10]

    world.append("a", "Opened")
    worker.run(until=lambda: len(world.seen) == 11)
    assert slept == [10]


def test_worker_waits_while_dynamodb_is_away_and_loses_nothing() -> None:
    world = World(tranches=1)
    world.append("a", *["Opened"] * 3)
    bodies = MemoryEventBodies(world.store)
    failures = iter([True, True, False, False, False])

    class Away:
        def read_events(self, addresses: Any) -> Any:
            if next(failures):
                raise StoreUnavailable(operation="BatchGetItem", reason="throttled")
            return bodies.read_events(addresses)

    world.worker(bodies=Away()).run(until=lambda: len(world.seen) == 3)
    assert world.seen == [("a", 1), ("a", 2), ("a", 3)]
    assert world.now_s == pytest.approx(0.1 + 0.2)


def test_worker_outlasts_an_outage_however_long() -> None:
    world = World(tranches=1)
    world.append("a", "Opened")
    bodies = MemoryEventBodies(world.store)
    asked = 0

    class Away:
        def read_events(self, addresses: Any) -> Any:
            nonlocal asked
            asked += 1
            if asked <= 3_000:
                raise StoreUnavailable(operation="BatchGetItem", reason="unreachable")
            return bodies.read_events(addresses)

    world.worker(bodies=Away()).run(until=lambda: bool(world.seen))
    assert world.seen == [("a", 1)]
    assert 14_000 < world.now_s < 15_000


# --- the group --------------------------------------------------------------------------------------


def test_workers_share_the_tranches_fairly_as_they_come_and_go() -> None:
    world = World(tranches=8)
    workers: list[Subscription] = []
    for count, parts in ((1, [8]), (2, [4, 4]), (3, [2, 3, 3]), (2, [4, 4])):
        while len(workers) < count:
            workers.append(world.worker(worker=f"w-{len(workers)}"))
        while len(workers) > count:
            workers.pop().close()
        for _ in range(4):
            for worker in workers:
                worker.step()
            world.now_s += 5.0
        assert sorted(len(worker.tranches) for worker in workers) == parts
        assert frozenset().union(*(worker.tranches for worker in workers)) == set(range(8))


def test_more_workers_than_tranches_stand_by_and_step_in() -> None:
    world = World(tranches=1)
    one, two = world.worker(worker="a"), world.worker(worker="b")
    for worker in (one, two):
        worker.step()
    assert (one.tranches, two.tranches) == ({0}, set())
    one.close()
    world.now_s += 5.0
    two.step()
    assert two.tranches == {0}


@pytest.mark.parametrize("phase", [0.0, 1.0, 2.5, 4.9])
def test_dead_workers_tranches_move_within_the_lease_time_not_before_half(phase: float) -> None:
    world = World(tranches=2)
    dead, alive = world.worker(worker="dead"), world.worker(worker="alive")
    dies_at = 60.0 + phase
    moved_at = None
    while moved_at is None and world.now_s < 200:
        if world.now_s < dies_at:
            dead.step()
        alive.step()
        if world.now_s >= dies_at and len(alive.tranches) == 2:
            moved_at = world.now_s
        world.now_s += 0.1
    assert moved_at is not None
    assert 15.0 <= moved_at - dies_at <= 30.0 + 0.2


# --- events that fail -------------------------------------------------------------------------------


def failing(world: World, *event_ids: int) -> Callable[[Event], None]:
    def handle(event: Event) -> None:
        if event.stream_id == "a" and event.event_id in event_ids:
            raise ValueError("no good")
        world.handle(event)

    return handle


def test_failing_event_is_tried_again_with_growing_pauses() -> None:
    world = World(tranches=1)
    world.append("a", "Opened")
    failures = iter([True, True, True, False])

    def handle(event: Event) -> None:
        if next(failures):
            raise ValueError("not yet")
        world.handle(event)

    world.worker(handle).step()
    assert world.seen == [("a", 1)]
    assert world.now_s == pytest.approx(0.1 + 0.2 + 0.4)


def test_stop_raises_with_the_checkpoint_before_the_event_and_free_leases() -> None:
    world = World(tranches=1)
    world.append("a", *["Opened"] * 3)
    worker = world.worker(failing(world, 2), on_failure=OnFailure.STOP)
    with pytest.raises(HandlerFailed, match="ValueError: no good") as caught:
        worker.run_forever()

    assert (caught.value.subscription, caught.value.stream_id, caught.value.event_id) == ("view", "a", 2)
    assert world.place() == (1, 1)
    assert world.checkpoints.read_group("view").leases[0].owner is None
    world.worker().step()
    assert world.seen == [("a", 1), ("a", 2), ("a", 3)]


def test_skip_passes_over_the_event() -> None:
    world = World(tranches=1)
    world.append("a", *["Opened"] * 3)
    worker = world.worker(failing(world, 2), on_failure=OnFailure.SKIP)
    worker.step()
    assert world.seen == [("a", 1), ("a", 3)]
    assert (worker.counts.handled, worker.counts.skipped, worker.counts.parked) == (2, 1, 0)


def test_parked_stream_waits_others_go_on_and_a_retry_goes_on_in_order() -> None:
    world = World(tranches=1)
    world.append("a", *["Opened"] * 3)
    world.append("b", "Opened")
    worker = world.worker(failing(world, 2))
    worker.step()
    assert world.seen == [("a", 1), ("b", 1)]
    assert [of.event_id for of in world.checkpoints.read_parked("view")] == [2, 3]

    # A second failure of another event keeps what is behind it.
    assert world.worker(failing(world, 3)).retry_parked().handled == 1
    assert [of.event_id for of in world.checkpoints.read_parked("view")] == [3]
    world.append("a", "Opened")
    world.now_s += 5.0
    worker.step()
    assert [of.event_id for of in world.checkpoints.read_parked("view")] == [3, 4]
    assert world.worker().retry_parked().still_parked == 0
    world.append("a", "Opened")
    world.now_s += 5.0
    worker.step()
    assert [event_id for stream, event_id in world.seen if stream == "a"] == [1, 2, 3, 4, 5]


def test_next_worker_knows_which_streams_wait() -> None:
    world = World(tranches=1)
    world.append("a", *["Opened"] * 2)
    worker = world.worker(failing(world, 1))
    worker.step()
    worker.close()
    world.append("a", "Opened")
    world.worker().step()

    assert world.seen == []
    assert [of.event_id for of in world.checkpoints.read_parked("view")] == [1, 2, 3]


def test_stop_while_an_event_fails_parks_nothing() -> None:
    world = World(tranches=1)
    world.append("a", "Opened")

    def handle(event: Event) -> None:
        worker.stop()
        raise ValueError("no good")

    worker = world.worker(handle)
    worker.run_forever()
    assert list(world.checkpoints.read_parked("view")) == []
    assert world.place() == (1, 0)


def test_projection_that_parks_without_its_stream_is_refused() -> None:
    world = World()
    projection = Projection(name="p", project=lambda event: [], read_model=MemoryReadModel())
    with pytest.raises(InvalidSubscription, match="PARK_STREAM"):
        world.worker(projection, on_failure=OnFailure.PARK)
