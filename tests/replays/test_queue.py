"""The queue of replays: so many run at once, in their order, and none is lost, whoever dies."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from itertools import count
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eventstore.delivery.publisher import Refusal
from eventstore.errors import InvalidLimit, MalformedReplay, StoreUnavailable
from eventstore.limits import REPLAY_SILENT_S, REPLAYS_AT_ONCE_MAX, REPLAYS_QUEUE_MAX
from eventstore.memory.replays import MemoryReplays
from eventstore.replays.queue import ReplayQueue
from eventstore.replays.service import Replay, ReplayRequest, ReplayStatus
from tests.replays.jobs import QUEUE, Job, Killed

WANTED = {ReplayStatus.QUEUED, ReplayStatus.RUNNING}


def statuses(job: Job, replays: list[Replay]) -> list[str]:
    return [job.replays.get(replay.replay_id).status.value for replay in replays]


def begun(job: Job) -> list[str]:
    """The ids of the replays whose runs were begun and haven't ended, in that order."""
    return [replay_id for replay_id, _ in job.engine.waiting]


def started(job: Job, replays: int) -> list[Replay]:
    job.append("s", "E", "E")
    asked = []
    for _ in range(replays):
        asked.append(job.start())
        job.clock.move(timedelta(milliseconds=1))
    return asked


def run_first(job: Job) -> None:
    """Run the execution that was begun first to its end."""
    others = [job.engine.waiting.pop() for _ in range(len(job.engine.waiting) - 1)]
    start_next, job.engine.start_next = job.engine.start_next, lambda: 0
    job.engine.run()
    job.engine.waiting.extend(reversed(others))
    job.engine.start_next = start_next
    start_next()


def test_so_many_run_at_once_and_others_wait_in_the_order_of_requests() -> None:
    job = Job(settling_s=0, at_once=2)
    replays = started(job, 5)
    ids = [replay.replay_id for replay in replays]
    assert begun(job) == ids[:2]
    assert statuses(job, replays) == ["queued"] * 5
    run_first(job)
    assert begun(job) == ids[1:3]
    assert statuses(job, replays) == ["completed", *["queued"] * 4]
    job.engine.run()
    assert statuses(job, replays) == ["completed"] * 5
    assert job.store.queue() == []


def test_waiting_replays_are_counted() -> None:
    job = Job(at_once=2)
    started(job, 5)
    assert job.queue.start_next() == 3


def test_replay_that_cannot_be_read_holds_up_no_other_and_is_told_of() -> None:
    class Damaged(MemoryReplays):
        def get(self, replay_id: str) -> Replay | None:
            if replay_id == damaged:
                raise MalformedReplay(replay_id=replay_id, reason="its Target is missing or no text")
            return super().get(replay_id)

    damaged = ""
    job = Job(settling_s=0, replays=Damaged(), at_once=2)
    (first,) = started(job, 1)
    job.engine.waiting.clear()
    damaged = first.replay_id
    others = started(job, 2)
    assert begun(job) == [others[0].replay_id]
    with pytest.raises(MalformedReplay, match=first.replay_id):
        job.queue.start_next()
    assert job.store.queue() == [first.replay_id, *(other.replay_id for other in others)]


@pytest.mark.parametrize("end", ["failed", "paused", "cancelled"])
def test_replay_that_stops_lets_the_next_one_begin(end: str) -> None:
    job = Job(settling_s=0, at_once=1)
    first, second = started(job, 2)
    if end == "failed":
        job.consumer.refuses = lambda _entry: Refusal("Malformed", permanent=True)
    if end == "paused":
        job.replays.pause(first.replay_id)
    if end == "cancelled":
        job.replays.cancel(first.replay_id)
    run_first(job)
    assert begun(job) == [second.replay_id]
    assert statuses(job, [first]) == [end]


def test_replay_that_is_resumed_waits_behind_the_others() -> None:
    job = Job(settling_s=0, at_once=1)
    replays = started(job, 3)
    first, second, third = (replay.replay_id for replay in replays)
    job.replays.pause(first)
    assert job.replays.resume(first).status == "queued"
    run_first(job)
    assert begun(job) == [second]
    run_first(job)
    assert begun(job) == [third]
    run_first(job)
    assert begun(job) == [first]
    job.engine.run()
    assert statuses(job, replays) == ["completed"] * 3


def test_replay_that_is_cancelled_while_it_waits_never_begins() -> None:
    job = Job(settling_s=0, at_once=1)
    replays = started(job, 3)
    job.replays.cancel(replays[1].replay_id)
    assert job.store.queue() == [replays[0].replay_id, replays[2].replay_id]
    job.engine.run()
    assert statuses(job, replays) == ["completed", "cancelled", "completed"]


def test_looking_twice_begins_nothing_twice() -> None:
    job = Job(at_once=2)
    replays = started(job, 3)
    for _ in range(3):
        job.queue.start_next()
    assert begun(job) == [replay.replay_id for replay in replays[:2]]


@pytest.mark.parametrize(("at_once", "more"), [(4, 2), (1, 0)])
def test_other_bound_holds_from_the_next_look(at_once: int, more: int) -> None:
    job = Job(settling_s=0, at_once=2)
    started(job, 5)
    queue = ReplayQueue(store=job.store, engine=job.engine, at_once=at_once, clock_us=job.clock)
    queue.start_next()
    assert len(begun(job)) == 2 + more


@pytest.mark.parametrize("at_once", [0, REPLAYS_AT_ONCE_MAX + 1, 1.0, "2"])
def test_bound_that_can_not_be_one_is_refused(at_once: Any) -> None:
    with pytest.raises(InvalidLimit) as caught:
        Job(at_once=at_once)
    assert caught.value.field == "at_once"


@pytest.mark.parametrize("steps", [0, 1])
def test_replay_whose_execution_was_lost_gets_a_new_run_in_its_place(steps: int) -> None:
    """Before its first step, or behind it."""
    job = Job(at_once=1)
    replays = started(job, 2)
    job.engine.run(most_steps=steps)
    job.engine.waiting.clear()
    job.clock.move(timedelta(seconds=REPLAY_SILENT_S - 60))
    job.queue.start_next()
    assert begun(job) == []
    job.clock.move(timedelta(seconds=61))
    job.queue.start_next()
    assert list(job.engine.waiting) == [(replays[0].replay_id, 2)]
    job.engine.steps = 0
    job.engine.run()
    assert statuses(job, replays) == ["completed"] * 2
    assert job.consumer.addresses == [("s", 1), ("s", 2)] * 2


def test_replay_is_lost_when_nothing_was_stored_since_its_last_claim() -> None:
    job = Job(at_once=1)
    (replay,) = started(job, 1)
    job.engine.run(most_steps=1)
    job.clock.move(timedelta(seconds=100))
    job.consumer.before_call = die
    with pytest.raises(Killed):
        job.take(replay.replay_id, run=1, steps=2, remaining_time_s=lambda: 150.0)
    job.engine.waiting.clear()
    for run in (2, 3):
        job.clock.move(timedelta(seconds=REPLAY_SILENT_S))
        job.queue.start_next()
        assert begun(job) == []
        job.clock.move(timedelta(microseconds=1))
        job.queue.start_next()
        job.queue.start_next()
        assert list(job.engine.waiting) == [(replay.replay_id, run)]
        lost = job.replays.get(replay.replay_id)
        assert (lost.status, lost.run, lost.updated_us) == ("queued", run, job.clock())
        job.engine.waiting.clear()


def die() -> None:
    raise Killed


def test_replay_that_waits_long_before_its_turn_is_not_taken_for_lost() -> None:
    job = Job(settling_s=0, at_once=1)
    replays = started(job, 2)
    job.clock.move(timedelta(days=3))
    run_first(job)
    assert list(job.engine.waiting) == [(replays[1].replay_id, 1)]


def test_full_queue_takes_no_replay_and_keeps_nothing_of_it() -> None:
    job = Job(at_once=1)
    for _ in range(REPLAYS_QUEUE_MAX):
        last = job.start()
    with pytest.raises(StoreUnavailable, match="1,000 replays run or wait already"):
        job.start()
    with pytest.raises(StoreUnavailable, match="1,000 replays run or wait already"):
        job.replays.start_once(ReplayRequest(target=QUEUE), key="k")
    assert len(job.replays.latest(limit=2 * REPLAYS_QUEUE_MAX)) == REPLAYS_QUEUE_MAX
    job.replays.cancel(last.replay_id)
    assert job.replays.start_once(ReplayRequest(target=QUEUE), key="k").repeated is False


class Deaths:
    """Kills whoever comes to one of these points, before or behind what it does there."""

    def __init__(self, job: Job, points: set[int]) -> None:
        self.points, self.passed = points, count()
        for on, name in [
            *((job.store, of) for of in ("create", "get", "queue", "leave", "change", "claim", "save")),
            (job.engine, "start"),
        ]:
            setattr(on, name, self.dying(getattr(on, name)))

    def dying(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def called(*args: Any, **options: Any) -> Any:
            self.perhaps_die()
            answer = call(*args, **options)
            self.perhaps_die()
            return answer

        return called

    def perhaps_die(self) -> None:
        if next(self.passed) in self.points:
            raise Killed


STEERED = st.lists(st.tuples(st.integers(0, 5), st.sampled_from(["pause", "resume", "cancel"])), max_size=8)


@settings(max_examples=150, deadline=None)
@given(
    at_once=st.integers(1, 3),
    replays=st.integers(1, 6),
    steered=STEERED,
    deaths=st.sets(st.integers(0, 150), max_size=12),
)
def test_whoever_dies_no_more_than_the_bound_run_and_all_get_their_turn(
    at_once: int, replays: int, steered: list[tuple[int, str]], deaths: set[int]
) -> None:
    job = Job(settling_s=0, at_once=at_once)
    job.append("s", "E")
    begin, most = job.engine.start, 0
    queued: list[str] = []

    def start(replay: Replay) -> bool:
        nonlocal most
        is_new = begin(replay)
        if is_new:
            queued.append(replay.replay_id)
            running = {
                replay_id
                for replay_id, run in job.engine.begun
                if (now := peek(replay_id)) is not None and now.status in WANTED and now.run == run
            }
            most = max(most, len(running))
        return is_new

    peek, queue = job.store.get, job.store.queue
    job.engine.start = start  # type: ignore[method-assign]
    Deaths(job, deaths)
    for number in range(replays):
        with suppress(Killed):
            job.replays.start_once(ReplayRequest(target=QUEUE), key=f"k-{number}")
        job.clock.move(timedelta(milliseconds=1))
    for place, action in steered:
        ids = sorted(job.store._replays)  # type: ignore[attr-defined]
        if place < len(ids):
            with suppress(Exception, Killed):
                getattr(job.replays, action)(ids[place])
        with suppress(Killed):
            job.engine.run(most_steps=job.engine.steps + 2)
    while True:
        with suppress(Killed):  # the schedule, until all deaths are died
            job.queue.start_next()
            job.engine.run()
            if not job.engine.waiting and job.queue.start_next() == 0 and not job.engine.waiting:
                break
    ids = sorted(job.store._replays)  # type: ignore[attr-defined]
    assert {peek(replay_id).status.value for replay_id in ids} <= {"completed", "cancelled", "paused"}  # type: ignore[union-attr]
    assert most <= at_once
    assert queue() == []
