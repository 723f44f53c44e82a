"""A step that fails: nothing of what was stored is lost, and the next one need not wait for its lease."""

from __future__ import annotations

import random
from datetime import timedelta
from itertools import count
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eventstore import ANY, NewEvent
from eventstore.delivery.publisher import Refusal
from eventstore.errors import StoreUnavailable
from eventstore.limits import (
    PUBLISH_MAX_TRIES,
    REPLAY_LEASE_S,
    REPLAY_MAX_FAILED_STEPS,
    REPLAY_PAGE_EVENTS,
)
from eventstore.memory.replays import MemoryReplays
from eventstore.replays.service import Replay
from eventstore.store import AllEvents
from tests.replays.jobs import Consumer, Job, Killed


class FailingReplays(MemoryReplays):
    """Can't be reached at the `fails_at`-th storing of a position, before the write or behind it."""

    def __init__(self, *, fails_at: int, written: bool, reads_fail: bool = False) -> None:
        super().__init__()
        self.fails_at, self.written, self.reads_fail = fails_at, written, reads_fail
        self.saves = 0

    def save(self, replay: Replay) -> Replay | None:
        self.saves += 1
        if self.saves != self.fails_at:
            return super().save(replay)
        if self.written:
            super().save(replay)
        raise StoreUnavailable(operation="UpdateItem", reason="timed out")

    def get(self, replay_id: str) -> Replay | None:
        if self.reads_fail and self.saves == self.fails_at:
            raise StoreUnavailable(operation="GetItem", reason="not reached")
        return super().get(replay_id)


def fails_in_its_second_page(*, written: bool, reads_fail: bool = False) -> tuple[Job, Replay]:
    replays = FailingReplays(fails_at=2, written=written, reads_fail=reads_fail)
    job = Job(settling_s=0, replays=replays)
    job.fill(streams=3, events=400)
    replay = job.start()
    with pytest.raises(StoreUnavailable, match="UpdateItem"):
        job.take(replay.replay_id, run=1, steps=1, remaining_time_s=lambda: 150.0)
    replays.reads_fail = False
    return job, replay


@pytest.mark.parametrize(("written", "sent"), [(False, 500), (True, 1_000)])
def test_step_that_fails_gives_its_lease_back_and_loses_nothing(written: bool, sent: int) -> None:
    job, replay = fails_in_its_second_page(written=written)
    stored = job.replays.get(replay.replay_id)
    assert (stored.lease_until_us, stored.sent) == (0, sent)
    job.engine.run()
    assert sum(job.engine.waits_s) <= 2  # for the last events to settle, not for the lease
    assert job.replays.get(replay.replay_id).status == "completed"
    assert job.consumer.first_deliveries() == {f"s-{n}": list(range(1, 401)) for n in range(3)}
    assert len(job.consumer.taken) == 1_200 + (1_000 - sent)  # the page whose place wasn't stored came twice


def test_step_that_cannot_give_its_lease_back_raises_what_it_failed_by() -> None:
    job, replay = fails_in_its_second_page(written=False, reads_fail=True)
    following = job.take(replay.replay_id, run=1, steps=2, remaining_time_s=lambda: 150.0)
    assert (following.action, following.wait_s) == ("wait", REPLAY_LEASE_S)
    job.engine.run()
    assert job.replays.get(replay.replay_id).status == "completed"


def test_step_that_fails_after_another_followed_leaves_that_one_its_lease() -> None:
    job = Job(settling_s=0)
    job.fill(streams=1, events=3)
    replay = job.start()
    claimed: list[Replay | None] = []

    def followed() -> None:
        stored = job.store.get(replay.replay_id)
        assert stored is not None
        claimed.append(job.store.claim(stored, until_us=stored.lease_until_us + 1))
        raise StoreUnavailable(operation="SendMessageBatch", reason="not reached")

    job.consumer.before_call = followed
    with pytest.raises(StoreUnavailable):
        job.take(replay.replay_id, run=1, steps=1, remaining_time_s=lambda: 150.0)
    assert job.store.get(replay.replay_id) == claimed[0]


# --- steps that make no progress are counted, whatever they die of ----------------------------------------


def begun_steps(job: Job) -> list[Replay]:
    """What each step that begins from now on has claimed."""
    begun: list[Replay] = []
    claim = job.store.claim

    def noted(replay: Replay, *, until_us: int) -> Replay | None:
        claimed = claim(replay, until_us=until_us)
        begun.extend([claimed] if claimed else [])
        return claimed

    job.store.claim = noted  # type: ignore[method-assign]
    return begun


def die() -> None:
    raise Killed


@pytest.mark.parametrize("call_s", [1, 15, 40, 65])
def test_target_that_takes_its_time_to_fail_fails_the_replay(call_s: int) -> None:
    job = Job(settling_s=0)
    job.append("s", "E", "E")
    steps = begun_steps(job)
    job.consumer.refuses = lambda _entry: Refusal("TooSlow", permanent=False)
    job.consumer.before_call = lambda: job.clock.move(timedelta(seconds=call_s))
    failed = job.run()
    assert (failed.status, len(steps)) == ("failed", REPLAY_MAX_FAILED_STEPS)
    assert failed.reason == "event 1 of stream 's' was not taken: TooSlow"
    assert len(job.consumer.calls) <= REPLAY_MAX_FAILED_STEPS * PUBLISH_MAX_TRIES


def test_steps_that_die_without_an_answer_fail_the_replay() -> None:
    job = Job(settling_s=0)
    job.append("s", "E", "E")
    steps = begun_steps(job)
    job.consumer.before_call = die
    failed = job.run()
    assert (failed.status, len(steps)) == ("failed", REPLAY_MAX_FAILED_STEPS + 1)
    assert "ended without an answer" in failed.reason
    assert failed.lease_until_us == 0

    job.consumer.before_call = lambda: None
    job.replays.resume(failed.replay_id)
    job.engine.run()
    assert job.replays.get(failed.replay_id).status == "completed"
    assert job.consumer.addresses == [("s", 1), ("s", 2)]


def test_steps_that_raise_fail_the_replay_with_what_they_raised() -> None:
    job = Job(settling_s=0)
    job.append("s")
    replay = job.start()

    def unavailable() -> None:
        raise StoreUnavailable(operation="Query", reason="throttled")

    job.consumer.before_call = unavailable
    for steps in range(REPLAY_MAX_FAILED_STEPS):
        with pytest.raises(StoreUnavailable):
            job.take(replay.replay_id, run=1, steps=steps + 1, remaining_time_s=lambda: 150.0)
    last = job.take(replay.replay_id, run=1, steps=9, remaining_time_s=lambda: 150.0)
    assert last.action == "fail"
    assert last.reason.startswith("its step failed: StoreUnavailable: ")
    assert "throttled" in last.reason


def test_step_that_dies_behind_a_page_is_followed_by_a_careful_one() -> None:
    job = Job(settling_s=0)
    job.fill(streams=1, events=REPLAY_PAGE_EVENTS + 30)
    replay = job.start()
    deaths = iter([False] * REPLAY_PAGE_EVENTS + [True])
    job.consumer.before_call = lambda: die() if next(deaths, False) else None
    with pytest.raises(Killed):
        job.take(replay.replay_id, run=1, steps=1, remaining_time_s=lambda: 150.0)
    assert job.replays.get(replay.replay_id).failed_steps == 0
    job.clock.move(timedelta(seconds=REPLAY_LEASE_S))
    limits: list[int] = []
    read_all = job.events.read_all

    def noted(**options: Any) -> AllEvents:
        limits.append(options["limit"])
        return read_all(**options)

    job.events.read_all = noted  # type: ignore[method-assign]
    job.engine.run()
    assert limits[:2] == [10, REPLAY_PAGE_EVENTS]
    assert job.replays.get(replay.replay_id).status == "completed"


@pytest.mark.parametrize("pages", [0, 1])
def test_step_that_died_counts_as_the_second_that_failed(pages: int) -> None:
    job = Job(settling_s=0)
    job.fill(streams=1, events=REPLAY_PAGE_EVENTS + 30)
    replay = job.start()
    deaths = iter([False] * REPLAY_PAGE_EVENTS * pages + [True])
    job.consumer.before_call = lambda: die() if next(deaths, False) else None
    with pytest.raises(Killed):
        job.take(replay.replay_id, run=1, steps=1, remaining_time_s=lambda: 150.0)
    job.clock.move(timedelta(seconds=REPLAY_LEASE_S))
    job.consumer.refuses = lambda _entry: Refusal("Busy", permanent=False)
    following = job.take(replay.replay_id, run=1, steps=2, remaining_time_s=lambda: 150.0)
    assert (following.action, following.wait_s) == ("wait", 4)
    assert job.replays.get(replay.replay_id).failed_steps == 2


def test_step_that_would_give_up_leaves_that_to_one_that_has_followed() -> None:
    job = Job(settling_s=0)
    job.append("s")
    replay = job.start()
    job.consumer.before_call = die
    for steps in range(REPLAY_MAX_FAILED_STEPS):
        with pytest.raises(Killed):
            job.take(replay.replay_id, run=1, steps=steps + 1, remaining_time_s=lambda: 150.0)
        job.clock.move(timedelta(seconds=REPLAY_LEASE_S))
    job.store.save = lambda _replay: None  # type: ignore[method-assign]
    following = job.take(replay.replay_id, run=1, steps=9, remaining_time_s=lambda: 150.0)
    assert (following.action, following.wait_s) == ("wait", 1)
    assert job.replays.get(replay.replay_id).status == "running"


def test_failure_is_told_again_when_its_answer_got_lost() -> None:
    job = Job(settling_s=0)
    job.append("s")
    replay = job.start()
    job.consumer.refuses = lambda _entry: Refusal("Malformed", permanent=True)
    answers = [job.take(replay.replay_id, run=1, steps=1, remaining_time_s=lambda: 150.0) for _ in range(2)]
    assert answers[0] == answers[1]
    assert answers[0].action == "fail"


@settings(max_examples=60, deadline=None)
@given(
    sizes=st.lists(st.integers(0, 900), min_size=1, max_size=12),
    turns=st.integers(0, 2**32),
    call_s=st.sampled_from([20, 31, 61]),
)
def test_target_that_is_slow_to_take_gets_on_with_each_step(
    sizes: list[int], turns: int, call_s: int
) -> None:
    """Whatever fits beside what into a call: the earliest event is in it."""
    job = Job(settling_s=0)
    chance = random.Random(turns)
    for size in sizes:
        stream_id = f"s-{chance.randrange(4)}"
        job.events.append(stream_id, [NewEvent.of("E", {"data": "x" * size})], expected=ANY)
        job.clock.move(timedelta(milliseconds=1))
    job.consumer = Consumer(max_bytes=1_500, before_call=lambda: job.clock.move(timedelta(seconds=call_s)))
    steps = begun_steps(job)
    assert job.run().status == "completed"
    assert max(step.failed_steps for step in steps) == 1
    assert len(set(job.consumer.addresses)) == len(sizes)


# --- what a page holds ---------------------------------------------------------------------------------


@pytest.mark.parametrize("request_", [{}, {"names": ["E"]}, {"events_per_second": 1}])
@patch("eventstore.replays.step.REPLAY_PAGE_BYTES", 5_000)
def test_page_that_its_bytes_cut_is_not_the_end(request_: dict[str, Any]) -> None:
    job = Job(settling_s=0)
    for number in range(12):
        job.events.append(f"s-{number}", [NewEvent.of("E", {"data": "x" * 2_000})], expected=ANY)
        job.clock.move(timedelta(milliseconds=1))
    saves = count()
    save = job.store.save
    job.store.save = lambda replay: save(replay) if next(saves) >= 0 else None  # type: ignore[method-assign]
    done = job.run(**request_)
    assert (done.status, done.sent) == ("completed", 12)
    assert next(saves) >= 12 / 3
