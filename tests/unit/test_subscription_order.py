"""Logs whose entries are missing, late or in the wrong order: what readers make of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from eventstore import ANY, Event, NewEvent
from eventstore.errors import EventsMissing, HandlerFailed, ReadModelRefused
from eventstore.memory.read_model import MemoryReadModel
from eventstore.memory.store import MemoryEventStore
from eventstore.subscriptions import From, OnFailure, Projection, Subscription, Terms, Update, Write
from tests.unit.test_subscriptions import World

BLOCKS = 3
"""So many are read back before a checkpoint."""


class LooseWorld(World):
    """A world whose log is written by hand."""

    def __init__(self) -> None:
        super().__init__(tranches=1)
        self.store = MemoryEventStore(clock_us=self.clock)
        self.read_model = MemoryReadModel()
        self.repeats = 0

    def append(self, stream_id: str, *names: str) -> None:
        """Append events a second apart, which the log doesn't get."""
        for name in names:
            self.clock.move(timedelta(seconds=1))
            self.store.append(stream_id, [NewEvent.of(name)], expected=ANY)

    def import_into(self, stream_id: str, *names: str, years: int = 2) -> None:
        """Append events whose Timestamps are of long ago, or far ahead: they say when they were written."""
        before = self.store.head(stream_id).version
        self.append(stream_id, *names)
        off_us = years * 365 * 86_400_000_000
        events = self.store._streams[stream_id]
        events[before:] = [
            replace(event, timestamp_us=event.timestamp_us - off_us, written_us=event.timestamp_us)
            for event in events[before:]
        ]

    def log_it(self, stream_id: str, *event_ids: int) -> None:
        """Log events of a stream in one block, in this order."""
        events = {event.event_id: event for event in self.store.read_stream(stream_id)}
        self.log.append_block(0, [events[event_id] for event_id in event_ids])

    def both(self, stream_id: str, *names: str) -> None:
        """Append events and log them."""
        before = self.store.head(stream_id).version
        self.append(stream_id, *names)
        self.log_it(stream_id, *range(before + 1, before + len(names) + 1))

    def pass_time(self, blocks: int = 2 * BLOCKS) -> None:
        """Log blocks of other streams, so that what's before is not read back any more."""
        for number in range(blocks):
            self.both(f"other-{self.clock()}-{number}", "Opened")

    def worker(self, handler: Callable[[Event], object] | None = None, **options: Any) -> Subscription:
        return super().worker(handler, **({"terms": Terms(warm_up_blocks=BLOCKS)} | options))

    def work(self, handler: Callable[[Event], object] | None = None, **options: Any) -> Subscription:
        """Let a new worker come to the log's end, and free its lease."""
        worker = self.worker(handler, **options)
        try:
            while worker.step():
                pass
        finally:
            worker.close()
        return worker

    def ids(self, stream_id: str = "a") -> list[int]:
        return [event_id for stream, event_id in self.seen if stream == stream_id]

    def projected(self, stream_id: str = "a") -> list[int]:
        item = self.read_model.get("rows", {"Stream": stream_id}) or {"EventIds": []}
        return list(item["EventIds"])

    def project(self, event: Event) -> Sequence[Write]:
        return [Update("rows", {"Stream": event.stream_id}, append={"EventIds": [event.event_id]})]

    def projection(self, name: str = "rows") -> Projection[Write]:
        return Projection(name=name, project=self.project, read_model=self.read_model)


@pytest.fixture
def world() -> LooseWorld:
    """A log with a history, and a subscription that has handled it."""
    world = LooseWorld()
    world.pass_time()
    world.work()
    world.work(world.projection())
    return world


# --- what a handler is given -----------------------------------------------------------------------------


def test_first_events_of_a_stream_out_of_order_are_handled_in_order(world: LooseWorld) -> None:
    world.append("a", "Opened", "Changed")
    world.log_it("a", 2)
    world.log_it("a", 1)
    world.work()
    assert world.ids() == [1, 2]


def test_hole_of_a_forgotten_stream_is_filled_before_what_follows(world: LooseWorld) -> None:
    world.both("a", "Opened", "Changed")
    world.pass_time()
    world.work()
    world.append("a", "Changed", "Changed", "Changed")
    world.log_it("a", 5)  # an outage has lost 3 and 4
    world.work()
    assert world.ids() == [1, 2, 3, 4, 5]


def test_holes_of_imported_streams_are_filled_however_old_their_timestamps(world: LooseWorld) -> None:
    world.import_into("a", *["Opened"] * 8)
    world.log_it("a", 1, 2)
    world.work()
    world.log_it("a", 4)
    world.work()
    world.pass_time()
    world.work()
    world.import_into("b", *["Opened"] * 3)
    world.log_it("b", 2)
    for event_id in (5, 6, 8):
        world.log_it("a", event_id)
    world.work()
    assert world.ids("b") == [1, 2]
    assert world.ids("a") == [1, 2, 3, 4, 5, 6, 7, 8]


def test_late_entry_is_dropped_only_when_its_event_is_known_as_handled(world: LooseWorld) -> None:
    world.both("a", "Opened", "Changed")
    world.append("a", "Changed", "Changed")
    world.pass_time()
    world.work()
    world.pass_time()
    world.work()
    # To whoever begins here, 3 and 4 are as old as 1 and 2, which were handled.
    world.both("a", "Changed")
    world.work()
    assert world.ids() == [1, 2, 5]

    world.log_it("a", 3, 4)  # by `verify --repair`
    world.log_it("a", 3)
    world.work()
    world.log_it("a", 4)
    world.work()
    assert world.ids() == [1, 2, 5, 3, 4]


def test_running_worker_handles_what_comes_late_behind_what_it_has_handled(world: LooseWorld) -> None:
    world.append("a", "Opened", "Changed", "Changed")
    world.pass_time()
    worker = world.worker()
    while worker.step():
        pass
    world.both("a", "Changed")
    for event_id in (3, 2, 2, 1, 3, 4):
        world.log_it("a", event_id)
    world.both("a", "Changed")
    worker.step()
    # 1 to 3 are younger than what stands before the blocks that were read back: nobody can have read them.
    assert world.ids() == [1, 2, 3, 4, 5]


def test_new_worker_gives_no_stream_its_history_again(world: LooseWorld) -> None:
    streams = [f"s-{number}" for number in range(20)]
    for _ in range(3):
        for stream_id in streams:
            world.both(stream_id, "Changed", "Changed")
        world.pass_time()
        worker = world.work()
    assert Counter(world.seen).most_common(1)[0][1] == 1
    assert worker.counts.handled == 2 * len(streams) + 2 * BLOCKS


def test_old_entries_logged_late_before_a_checkpoint_lead_to_no_repeats(world: LooseWorld) -> None:
    world.both("a", *["Changed"] * 10)
    world.clock.move(timedelta(hours=1))
    world.pass_time()
    world.work()
    for event_id in range(1, 2 * BLOCKS):
        world.log_it("a", event_id)  # a repair that logs what is there already
    world.work()
    before = len(world.seen)
    world.both("a", "Changed")
    world.both("b", "Changed")
    world.work()
    assert world.seen[before:] == [("a", 11), ("b", 1)]


def test_stream_that_was_forgotten_gets_its_holes_filled_too(world: LooseWorld) -> None:
    terms = Terms(warm_up_blocks=BLOCKS, streams_remembered=2)
    world.both("a", "Opened")
    for stream_id in ("b", "c", "d"):
        world.both(stream_id, "Opened")
    world.append("a", "Changed", "Changed")
    world.log_it("a", 3)
    world.work(terms=terms)
    assert world.ids() == [1, 2, 3]


def test_only_what_is_asked_for_is_looked_at_before_a_streams_first_entry(world: LooseWorld) -> None:
    world.append("a", "Wanted", "Other", "Other", "Wanted")
    for event_id in (2, 3, 4):
        world.log_it("a", event_id)
    world.both("b", "Other")
    world.work(names=["Wanted"])
    assert world.ids() == [1, 4]


def test_damaged_event_before_a_first_entry_is_no_proof_that_all_is_handled(
    world: LooseWorld,
) -> None:
    world.append("a", "Opened", "Changed", "Changed")
    world.log_it("a", 3)
    bodies = world.worker()._bodies

    class Damaged:
        def read_events(self, addresses: Sequence[tuple[str, int]]) -> Any:
            found = bodies.read_events(addresses)
            return {address: event for address, event in found.items() if address != ("a", 2)}

    world.work(bodies=Damaged(), on_failure=OnFailure.PARK)
    world.log_it("a", 1)
    world.log_it("a", 2)
    world.work(bodies=Damaged(), on_failure=OnFailure.PARK)
    assert sorted(world.ids()) == [1, 3]
    assert [of.event_id for of in world.checkpoints.read_parked("view")] == [2]


def test_start_at_a_time_brings_no_older_events_of_a_stream_that_goes_on() -> None:
    world = LooseWorld()
    world.both("a", *["Opened"] * 3)
    world.pass_time(20)
    world.clock.move(timedelta(minutes=10))
    since = datetime.fromtimestamp(world.clock() / 1e6, UTC)
    world.clock.move(timedelta(minutes=10))
    world.append("a", "Changed", "Changed")
    world.log_it("a", 5)
    world.work(world.projection(), from_=since)
    assert world.projected() == [4, 5]
    world.append("a", "Changed", "Changed")
    world.log_it("a", 7)
    world.work(world.projection(), from_=From.CHECKPOINT)
    assert world.projected() == [4, 5, 6, 7]


def test_start_at_a_time_brings_younger_events_whose_clock_was_ahead() -> None:
    world = LooseWorld()
    world.import_into("a", *["Opened"] * 3, years=-1)
    world.pass_time(20)
    world.clock.move(timedelta(days=100))
    since = datetime.fromtimestamp(world.clock() / 1e6, UTC)
    world.log_it("a", 3)
    world.work(from_=since)
    assert world.ids() == [1, 2, 3]


# --- projections -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", [(2, 1), (3, 1, 2), (3,), (1, 3, 2), (2, 2, 1, 3, 1)])
@pytest.mark.parametrize("forgets", [False, True])
def test_projection_is_exact_whatever_the_logs_order(order: tuple[int, ...], *, forgets: bool) -> None:
    world = LooseWorld()
    world.append("a", *["Changed"] * max(order))
    world.pass_time()
    world.work(world.projection())
    for event_id in order:
        world.log_it("a", event_id)
        if forgets:
            world.pass_time()
            world.work(world.projection())
    world.work(world.projection())
    assert world.projected() == list(range(1, max(order) + 1))


def test_projection_with_names_is_exact_and_passes_over_the_others() -> None:
    world = LooseWorld()
    world.append("a", "Wanted", "Other", "Wanted", "Other", "Wanted", "Other", "Wanted", "Other")
    world.pass_time()
    world.work(world.projection(), names=["Wanted"])
    for event_id in (8, 7, 2, 3, 5, 1):
        world.log_it("a", event_id)
        world.pass_time()
        world.work(world.projection(), names=["Wanted"])
    assert world.projected() == [1, 3, 5, 7]


def test_event_that_comes_late_to_a_projection_is_never_taken_for_a_repeat() -> None:
    world = LooseWorld()
    world.append("a", "Changed", "Changed")
    projection = world.projection()
    first, second = world.store.read_stream("a")
    with pytest.raises(EventsMissing) as caught:
        projection(second)
    assert (caught.value.projection, caught.value.last_event_id) == ("rows", 0)
    assert (projection(first), projection(second), projection(first)) == (True, True, False)
    assert world.projected() == [1, 2]


def test_handler_that_leaves_events_out_decides_what_its_projection_takes() -> None:
    world = LooseWorld()
    world.append("a", "Wanted", "Other", "Wanted", "Other", "Other", "Wanted")
    world.pass_time()
    world.work(world.projection())
    projection = world.projection()

    def handle(event: Event) -> None:
        if event.name == "Wanted":
            projection(event)
        world.handle(event)

    for event_id in (6, 3, 1):
        world.log_it("a", event_id)
    world.work(handle)
    assert world.projected() == [1, 3, 6]
    world.both("a", "Other", "Wanted")
    world.work(handle)
    assert world.projected() == [1, 3, 6, 8]


def test_projections_of_one_handler_that_stand_apart_are_both_exact() -> None:
    world = LooseWorld()
    world.both("a", *["Changed"] * 3)
    world.pass_time()
    world.work(world.projection("one"))
    one = world.projection("one")
    other = MemoryReadModel()
    two = Projection(name="two", project=world.project, read_model=other)

    def handle(event: Event) -> None:
        one(event)
        try:
            if event.stream_id == "a":
                two(event)
        except EventsMissing:
            pass  # whatever the handler makes of it

    world.both("a", "Changed")
    world.work(handle)
    assert world.projected() == [1, 2, 3, 4]
    assert other.get("rows", {"Stream": "a"}) == {"Stream": "a", "EventIds": [1, 2, 3, 4]}


def test_event_that_fails_before_one_that_came_first_parks_both() -> None:
    world = LooseWorld()
    world.append("a", "Changed", "Changed", "Changed")
    world.pass_time()
    world.work()
    world.seen.clear()
    projection = world.projection()

    def handle(event: Event) -> None:
        if (event.stream_id, event.event_id) == ("a", 2):
            raise ValueError("no good")
        projection(event)

    world.log_it("a", 3)
    world.work(handle)
    assert world.projected() == [1]
    assert [of.event_id for of in world.checkpoints.read_parked("view")] == [2, 3]
    assert world.worker(projection).retry_parked().handled == 2
    assert world.projected() == [1, 2, 3]


def test_event_parked_alone_is_retried_behind_what_its_projection_misses() -> None:
    world = LooseWorld()
    world.append("a", "Wanted", "Other", "Wanted")
    world.log_it("a", 3)
    world.work(lambda _event: 1 / 0, names=["Wanted"])
    parked = [of.event_id for of in world.checkpoints.read_parked("view")]
    assert parked == [1, 3]
    for of in list(world.checkpoints.read_parked("view"))[:1]:
        world.checkpoints.unpark("view", of)  # by hand
    assert world.worker(world.projection(), names=["Wanted"]).retry_parked().handled == 1
    assert world.projected() == [1, 3]


def test_stop_at_an_event_before_one_that_came_first_leaves_both() -> None:
    world = LooseWorld()
    world.append("a", "Changed", "Changed")
    world.log_it("a", 2)
    projection, fails = world.projection(), [True]

    def handle(event: Event) -> None:
        if fails[0]:
            raise ValueError("no good")
        projection(event)

    with pytest.raises(HandlerFailed) as caught:
        world.work(handle, on_failure=OnFailure.STOP)
    assert caught.value.event_id == 1
    fails[0] = False
    world.work(handle, on_failure=OnFailure.STOP)
    assert world.projected() == [1, 2]


@pytest.mark.parametrize("answer", [True, False, "1", 1])
def test_read_model_that_answers_otherwise_is_refused(answer: Any) -> None:
    class Wrong(MemoryReadModel):
        def write(self, *_: Any, **__: Any) -> int | None:
            return answer  # type: ignore[no-any-return]

    world = LooseWorld()
    world.append("a", "Opened", "Changed")
    _, second = world.store.read_stream("a")
    projection: Any = Projection(name="p", project=world.project, read_model=Wrong())
    with pytest.raises(ReadModelRefused, match="returned"):
        projection(second)
