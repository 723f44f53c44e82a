"""Events of several streams at work at a time: in threads, each stream in order, checkpoints behind all."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

import pytest

from eventstore import ANY, Event, NewEvent
from eventstore.errors import HandlerFailed, InvalidLimit, NotSynchronous, StoreUnavailable
from eventstore.limits import SUBSCRIPTION_CONCURRENCY_MAX, SUBSCRIPTION_LOOK_AHEAD
from eventstore.log.model import BlockPosition
from eventstore.memory.checkpoints import MemoryCheckpoints, MemoryEventBodies
from eventstore.memory.log import MemoryEventLog
from eventstore.memory.read_model import MemoryReadModel
from eventstore.memory.store import MemoryEventStore
from eventstore.subscriptions import OnFailure, Projection, Subscription, Terms, Update, Write, subscribe

PATIENCE_S = 60.0
"""Longer than any machine needs: what takes so long never comes."""
CORRELATION: ContextVar[str] = ContextVar("CORRELATION", default="")


class Shop:
    """A store of one tranche, and what its handlers were given, in order of their begin."""

    def __init__(self) -> None:
        self.log = MemoryEventLog(tranches=1)
        self.store = MemoryEventStore(log=self.log)
        self.checkpoints = MemoryCheckpoints()
        self.begun: list[tuple[str, int]] = []
        self.at_work: Counter[str] = Counter()
        self.together: set[str] = set()
        """Streams of which two events were at work at a time."""

    def append(self, *streams: str, events: int = 1) -> None:
        for _ in range(events):
            for stream_id in streams:
                self.store.append(stream_id, [NewEvent.of("Happened")], expected=ANY)

    def handle(self, event: Event) -> None:
        self.at_work[event.stream_id] += 1
        if self.at_work[event.stream_id] > 1:
            self.together.add(event.stream_id)
        self.begun.append((event.stream_id, event.event_id))
        self.at_work[event.stream_id] -= 1

    def worker(self, handler: Callable[[Event], object], **terms: Any) -> Subscription:
        options = {name: terms.pop(name) for name in ("on_failure", "monotonic", "sleep") if name in terms}
        return subscribe(
            "view",
            handler,
            log=self.log,
            bodies=MemoryEventBodies(self.store),
            checkpoints=self.checkpoints,
            terms=Terms(**{"concurrency": 4, **terms}),
            **options,
        )

    def place(self) -> BlockPosition:
        return self.checkpoints.read_group("view").leases[0].place


def test_events_of_so_many_streams_are_at_work_at_a_time() -> None:
    shop = Shop()
    shop.append("a", "b", "c", "d", events=3)
    meeting = threading.Barrier(4)

    def meets(event: Event) -> None:
        meeting.wait(PATIENCE_S)
        shop.handle(event)

    worker = shop.worker(meets)
    assert worker.step() == 12
    worker.close()
    assert len(shop.begun) == worker.counts.handled == 12
    assert shop.place() == (13, 0)


def test_never_more_events_are_at_work_than_concurrency_says() -> None:
    shop = Shop()
    shop.append(*(f"s-{n}" for n in range(40)), events=2)
    lock, at_work, most = threading.Lock(), 0, 0

    def counts(_event: Event) -> None:
        nonlocal at_work, most
        with lock:
            at_work += 1
            most = max(most, at_work)
        threading.Event().wait(0.001)
        with lock:
            at_work -= 1

    shop.worker(counts, concurrency=3).step()
    assert most <= 3


def test_one_stream_has_one_event_at_work_and_all_in_order() -> None:
    shop = Shop()
    shop.append("a", "b", events=40)
    shop.worker(shop.handle, concurrency=8).step()
    assert shop.together == set()
    for stream_id in ("a", "b"):
        assert [n for name, n in shop.begun if name == stream_id] == list(range(1, 41))


def test_checkpoint_stays_before_the_lowest_event_that_is_not_handled() -> None:
    shop = Shop()
    shop.append("slow", "b", "c", "d")
    others = threading.Semaphore(0)

    def ends_its_worker(event: Event) -> None:
        if event.stream_id == "slow":
            for _ in range(3):
                assert others.acquire(timeout=PATIENCE_S)
            raise SystemExit
        shop.handle(event)
        others.release()

    worker = shop.worker(ends_its_worker, checkpoint_events=1)
    with pytest.raises(SystemExit):
        worker.step()
    worker.close()
    assert len(shop.begun) == 3
    assert shop.place() == (1, 0)

    shop.worker(shop.handle).step()
    assert sorted(shop.begun) == [("b", 1), ("b", 1), ("c", 1), ("c", 1), ("d", 1), ("d", 1), ("slow", 1)]


def test_behind_an_event_that_failed_nothing_of_its_stream_begins() -> None:
    shop = Shop()
    shop.append("a", events=3)
    shop.append("b")

    def fails(event: Event) -> None:
        shop.handle(event)
        if (event.stream_id, event.event_id) == ("a", 2):
            raise ValueError

    worker = shop.worker(fails, max_tries=2, sleep=lambda _pause_s: None)
    worker.step()
    assert sorted(shop.begun) == [("a", 1), ("a", 2), ("a", 2), ("b", 1)]
    assert [of.event_id for of in shop.checkpoints.read_parked("view")] == [2, 3]
    worker.close()
    assert shop.place() == (5, 0)


def test_event_that_was_skipped_lets_its_stream_go_on_in_order() -> None:
    shop = Shop()
    shop.append("a", "b", events=30)

    def fails(event: Event) -> None:
        shop.handle(event)
        if event.event_id % 5 == 0:
            raise ValueError

    worker = shop.worker(fails, max_tries=1, on_failure=OnFailure.SKIP)
    worker.step()
    for stream_id in ("a", "b"):
        assert [n for name, n in shop.begun if name == stream_id] == list(range(1, 31))
    assert (worker.counts.handled, worker.counts.skipped) == (48, 12)


def test_stop_lets_what_has_begun_end_and_stores_the_checkpoint_behind_it() -> None:
    shop = Shop()
    shop.append(*(f"s-{n}" for n in range(20)))
    meeting = threading.Barrier(4)

    def stops(event: Event) -> None:
        meeting.wait(PATIENCE_S)
        worker.stop()
        shop.handle(event)

    worker = shop.worker(stops)
    worker.run_forever()
    assert sorted(shop.begun) == [(f"s-{n}", 1) for n in range(4)]
    assert shop.place() == (5, 0)


def test_nothing_is_at_work_any_more_when_a_step_has_ended_by_an_error() -> None:
    shop = Shop()
    shop.append("a", "b")
    is_at_work, is_over = threading.Event(), threading.Event()

    def fails(event: Event) -> None:
        if event.stream_id == "a":
            assert is_at_work.wait(PATIENCE_S)
            threading.Timer(0.05, is_over.set).start()
            raise StoreUnavailable(operation="PutItem", reason="throttled")
        is_at_work.set()
        assert is_over.wait(PATIENCE_S)
        shop.handle(event)

    worker = shop.worker(fails)
    with pytest.raises(StoreUnavailable):
        worker.step()
    assert shop.begun == [("b", 1)]
    worker.close()
    assert shop.place() == (1, 0)


def test_worker_that_stops_at_an_event_has_handled_what_stands_before_it() -> None:
    shop = Shop()
    shop.append("a", "b", "c")

    def fails(event: Event) -> None:
        if event.stream_id == "b":
            raise ValueError
        shop.handle(event)

    worker = shop.worker(fails, max_tries=1, on_failure=OnFailure.STOP)
    with pytest.raises(HandlerFailed, match="'b'"):
        worker.run_forever()
    assert shop.place() == (2, 0)


def test_handler_that_returns_before_its_work_is_done_is_refused_in_its_turn() -> None:
    shop = Shop()
    shop.append("a", "b")

    async def work() -> None: ...

    worker = shop.worker(lambda event: work() if event.stream_id == "b" else shop.handle(event))
    with pytest.raises(NotSynchronous, match="'b'"):
        worker.run_forever()
    assert shop.place() == (2, 0)


def test_call_has_the_context_of_the_worker() -> None:
    shop = Shop()
    shop.append("a", "b")
    seen: list[str] = []
    CORRELATION.set("c-1")
    shop.worker(lambda _event: seen.append(CORRELATION.get())).step()
    assert seen == ["c-1", "c-1"]


def test_projection_takes_every_event_once_and_in_order() -> None:
    shop = Shop()
    shop.append("a", "b", "c", events=20)
    read_model = MemoryReadModel()

    def project(event: Event) -> list[Write]:
        return [Update("rows", {"Stream": event.stream_id}, append={"EventIds": [event.event_id]})]

    projection = Projection(name="view", project=project, read_model=read_model)
    worker = shop.worker(projection)
    worker.step()
    rows = {item["Stream"]: item["EventIds"] for item in read_model.items("rows")}
    assert rows == {key: list(range(1, 21)) for key in "abc"}
    assert worker.counts.repeated == 0


def test_without_threads_of_its_own_calls_are_made_where_they_would_begin() -> None:
    shop = Shop()
    shop.append("a", "a", "b", "c")
    shop.worker(shop.handle, concurrency=2, monotonic=lambda: 0.0).step()
    assert shop.begun == [("a", 1), ("a", 2), ("b", 1), ("c", 1)]


@pytest.mark.parametrize("wrong", [0, -1, 1.5, "4", SUBSCRIPTION_CONCURRENCY_MAX + 1])
def test_concurrency_has_bounds(wrong: Any) -> None:
    with pytest.raises(InvalidLimit, match="concurrency"):
        Terms(concurrency=wrong)


def test_look_ahead_is_what_may_be_handled_again() -> None:
    assert Terms().look_ahead == 0
    assert Terms(concurrency=16).look_ahead == 16 * SUBSCRIPTION_LOOK_AHEAD


def test_wait_for_what_is_away_repeats_nothing_that_was_handled_ahead() -> None:
    shop = Shop()
    shop.append("a", "b", "c")
    handled = threading.Semaphore(0)
    is_away = True

    def handle(event: Event) -> None:
        if event.stream_id != "a":
            shop.handle(event)
            handled.release()
        elif is_away:
            if not tries:
                assert handled.acquire(timeout=PATIENCE_S)
                assert handled.acquire(timeout=PATIENCE_S)
            tries.append(event.event_id)
            raise StoreUnavailable(operation="append", reason="throttled")
        else:
            shop.handle(event)

    tries: list[int] = []
    worker = shop.worker(handle)
    for _ in range(3):
        with pytest.raises(StoreUnavailable):
            worker.step()
    is_away = False
    worker.step()

    assert len(tries) == 3
    assert sorted(shop.begun) == [("a", 1), ("b", 1), ("c", 1)]
    assert worker.counts.handled == 3


def test_tranche_is_given_up_only_while_none_of_its_events_is_at_work() -> None:
    shop = Shop()
    shop.append("a", "b")
    may_end, is_begun = threading.Event(), threading.Event()
    at_work: list[bool] = []

    def handle(event: Event) -> None:
        if event.stream_id == "b":
            is_begun.set()
            assert may_end.wait(PATIENCE_S)
        else:
            assert is_begun.wait(PATIENCE_S)
        shop.handle(event)

    worker = shop.worker(handle)
    worker._holding.hold()
    membership = worker._holding.membership
    keep = membership.keep

    def look() -> None:
        at_work.append(("b", 1) not in shop.begun)
        keep()

    def is_due() -> bool:
        # The worker is about to look at its group: the call ends only behind that, if it doesn't wait.
        if ("a", 1) in shop.begun and ("b", 1) not in shop.begun:
            threading.Timer(0.05, may_end.set).start()
            return True
        return False

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(membership, "keep", look)
        patched.setattr(membership, "due", is_due)
        worker.step()

    assert not any(at_work)
    assert sorted(shop.begun) == [("a", 1), ("b", 1)]


def test_call_that_began_ahead_takes_its_time_from_there() -> None:
    """Event b is at work since 0 s; a's turn takes 50 s, and b goes on for 20 more: call_s is 60."""
    shop = Shop()
    shop.append("a", "b")
    is_begun, is_its_turn, now, renewals = threading.Event(), threading.Event(), 0.0, list[float]()

    def handle(event: Event) -> None:
        nonlocal now
        if event.stream_id == "b":
            is_begun.set()
            assert is_its_turn.wait(PATIENCE_S)
            for now in (59.0, 70.0):  # noqa: B007 - the clock of both
                keeper.look()
        else:
            assert is_begun.wait(PATIENCE_S)
            now = 50.0
        shop.handle(event)

    worker = shop.worker(handle, call_s=60.0, lease_s=6.0)
    keeper = worker._keeper
    worker._holding.hold()
    turn = worker._ahead.result

    def result(waiting: Any, after: Any) -> Any:
        if waiting.turn.event.stream_id == "b":
            is_its_turn.set()
        return turn(waiting, after)

    with pytest.MonkeyPatch.context() as patched:
        for part in (keeper, worker._ahead):
            patched.setattr(part, "_monotonic", lambda: now)
        patched.setattr(keeper, "_has_thread", False)
        patched.setattr(keeper, "_renew", lambda: renewals.append(now))
        patched.setattr(worker._ahead, "result", result)
        worker.step()

    assert (sorted(shop.begun), renewals) == ([("a", 1), ("b", 1)], [59.0])
    assert worker._ahead.begun_at() is None
