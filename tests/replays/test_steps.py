"""One step of a replay: what it reads, sends and stores, and what it returns to its engine."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from itertools import chain, repeat
from typing import Any

import pytest

from eventstore import ANY, NewEvent
from eventstore.delivery.cloudevents import Entry
from eventstore.delivery.publisher import Refusal
from eventstore.errors import MalformedItem
from eventstore.limits import (
    PUBLISH_MAX_TRIES,
    REPLAY_MAX_PAUSE_S,
    REPLAY_PAGE_EVENTS,
    REPLAY_REASON_MAX_CHARS,
    REPLAY_RUN_MAX_STEPS,
    REPLAY_STEP_S,
    REQUEST_MAX_S,
)
from eventstore.replays.service import Replay, ReplayStatus
from eventstore.replays.step import NextStep
from eventstore.store import AllEvents
from tests.replays.jobs import TIMEOUT_S, Consumer, Job

PASSING = Refusal("Throttled", permanent=False)
END, WAIT_1 = NextStep(action="end"), NextStep(action="wait", wait_s=1)


def take(
    job: Job,
    replay: Replay,
    *,
    run: int = 1,
    steps: int = 1,
    remaining_time_s: Callable[[], float] = lambda: TIMEOUT_S,
) -> NextStep:
    return job.take(replay.replay_id, run=run, steps=steps, remaining_time_s=remaining_time_s)


def stored(job: Job, replay: Replay) -> Replay:
    return job.replays.get(replay.replay_id)


def started(events: int = 1, *, streams: int = 1, **request: Any) -> tuple[Job, Replay]:
    """A replay of so many events of each stream, all of them settled."""
    job = Job(settling_s=0)
    job.fill(streams=streams, events=events)
    return job, job.start(**request)


def reads_of(job: Job) -> list[int]:
    """The limits of the reads that are made from now on."""
    limits: list[int] = []
    read_all = job.events.read_all

    def noted(**options: Any) -> AllEvents:
        limits.append(options["limit"])
        return read_all(**options)

    job.events.read_all = noted  # type: ignore[method-assign]
    return limits


def reads_only() -> Callable[[], float]:
    """Time to read an event and to find that there's no other, but for no call."""
    times = chain([TIMEOUT_S], repeat(0.0))
    return lambda: next(times)


def put_unreadable_item_at_the_end(job: Job) -> None:
    read_all = job.events.read_all

    def with_bad_item(**options: Any) -> AllEvents:
        found = read_all(**options)

        def events():  # type: ignore[no-untyped-def]
            yield from found
            raise MalformedItem(stream_id="bad", event_id=1, reason="EventName is missing")

        return AllEvents(events(), found.settled_until_us)

    job.events.read_all = with_bad_item  # type: ignore[method-assign]


def append_event_that_no_entry_holds(job: Job, stream_id: str = "bad") -> None:
    """Too large for a target of 2,000 bytes even without its data."""
    metadata = json.dumps({"correlationId": "x" * 2_000})
    job.events.append(stream_id, [NewEvent(name="E", metadata=metadata)], expected=ANY)
    job.clock.move(timedelta(milliseconds=1))


# --- whether there is something to do ----------------------------------------------------------------


@pytest.mark.parametrize("why", ["unknown", "paused", "cancelled", "another run"])
def test_step_of_a_replay_that_is_not_to_run_ends_its_execution(why: str) -> None:
    job, replay = started()
    if why == "paused":
        job.replays.pause(replay.replay_id)
    if why == "cancelled":
        job.replays.cancel(replay.replay_id)
    replay = replace(replay, replay_id="7") if why == "unknown" else replay
    assert take(job, replay, run=2 if why == "another run" else 1) == END
    assert job.consumer.calls == []


@pytest.mark.parametrize(
    ("left_us", "wait_s"), [(2_500_000, 3), (1_000_001, 2), (1_000_000, 1), (1, 1), (0, None)]
)
def test_step_waits_in_whole_seconds_until_the_lease_of_another_is_over(
    left_us: int, wait_s: int | None
) -> None:
    job, replay = started()
    begun = job.store.change(replace(replay, status=ReplayStatus.RUNNING), before=replay)
    assert begun
    job.store.claim(begun, until_us=job.clock() + left_us)
    following = take(job, replay)
    if wait_s:
        assert following == NextStep(action="wait", wait_s=wait_s)
    assert (len(job.consumer.taken), stored(job, replay).fence) == ((0, 1) if wait_s else (1, 2))


def test_step_that_another_has_come_before_waits_a_second() -> None:
    job, replay = started()
    job.store.claim = lambda _replay, *, until_us: None  # type: ignore[method-assign]
    assert take(job, replay) == WAIT_1
    assert job.consumer.calls == []


def test_first_step_of_a_run_makes_it_running_and_its_wait_is_no_work() -> None:
    job, replay = started(3)
    assert replay.status == "queued"
    job.clock.move(timedelta(hours=5))
    job.consumer.before_call = lambda: job.clock.move(timedelta(seconds=1))
    assert take(job, replay).action == "end"
    done = stored(job, replay)
    assert (done.status, done.active_us) == ("completed", 3_000_000)


def test_first_step_whose_replay_is_paused_meanwhile_ends_quietly() -> None:
    job, replay = started(3)
    change = job.store.change
    job.store.change = lambda *_, **__: None  # type: ignore[method-assign]
    assert take(job, replay) == WAIT_1
    job.store.change = change  # type: ignore[method-assign]
    job.replays.pause(replay.replay_id)
    assert take(job, replay) == END


# --- how it ends -------------------------------------------------------------------------------------


def test_step_returns_what_it_sent_over_all_its_pages() -> None:
    job, replay = started(60, streams=20)
    assert take(job, replay) == replace(WAIT_1, sent=1_200)  # until "now" has settled
    assert stored(job, replay).sent == 1_200


@pytest.mark.parametrize(("short_us", "action"), [(1, "wait"), (0, "end"), (-1, "end")])
def test_replay_is_completed_once_all_before_its_end_has_settled(short_us: int, action: str) -> None:
    job, replay = started()
    job.clock.now_us = replay.to_us - short_us
    assert take(job, replay) == NextStep(action=action, wait_s=action == "wait", sent=1)  # type: ignore[arg-type]
    done = stored(job, replay)
    assert done.status == ("running" if action == "wait" else "completed")
    assert done.ended_us == (None if action == "wait" else job.clock())
    assert done.lease_until_us == 0


def test_wait_for_what_settles_is_bounded() -> None:
    job = Job(settling_s=2 * REPLAY_MAX_PAUSE_S)
    assert take(job, job.start()) == NextStep(action="wait", wait_s=REPLAY_MAX_PAUSE_S)


def test_step_sends_until_its_time_is_up_and_the_next_goes_on() -> None:
    job, replay = started(10)
    job.consumer.before_call = lambda: job.clock.move(timedelta(seconds=REPLAY_STEP_S / 3))
    assert take(job, replay) == NextStep(action="step", sent=3)
    assert stored(job, replay).lease_until_us == 0
    assert take(job, replay) == NextStep(action="step", sent=3)
    assert job.consumer.addresses == [("s-0", number) for number in range(1, 7)]


@pytest.mark.parametrize(("short_s", "sent"), [(0.01, 0), (0.0, 3)])
def test_no_call_begins_that_the_time_may_not_be_enough_for(short_s: float, sent: int) -> None:
    """Behind the call the step has to store how far it is."""
    job, replay = started(3)
    job.consumer.reserve_s = 10.0
    remaining_time_s = 10.0 + REQUEST_MAX_S - short_s
    following = take(job, replay, remaining_time_s=lambda: remaining_time_s)
    assert (len(job.consumer.calls), following.sent) == (sent, sent)
    assert stored(job, replay).failed_steps == (0 if sent else 1)


@pytest.mark.parametrize("steps", [REPLAY_RUN_MAX_STEPS - 1, REPLAY_RUN_MAX_STEPS, REPLAY_RUN_MAX_STEPS + 1])
@pytest.mark.parametrize("action", ["step", "wait", "end", "fail"])
def test_step_behind_which_an_execution_would_be_too_long_renews_it(action: str, steps: int) -> None:
    job, replay = started(2)
    if action == "end":
        job.clock.move(timedelta(seconds=1))
    if action == "fail":
        job.consumer.refuses = lambda _entry: Refusal("Malformed", permanent=True)
    if action == "step":
        job.consumer.before_call = lambda: job.clock.move(timedelta(seconds=REPLAY_STEP_S))
    following = take(job, replay, steps=steps)
    renews = action in {"step", "wait"} and steps >= REPLAY_RUN_MAX_STEPS
    assert following.action == ("renew" if renews else action)
    assert following.wait_s == (action == "wait")


def test_step_whose_replay_is_paused_meanwhile_ends_and_gives_its_lease_back() -> None:
    job, replay = started(3)
    job.consumer.before_call = lambda: job.replays.pause(replay.replay_id) and None  # type: ignore[truthy-bool]
    assert take(job, replay) == replace(END, sent=3)
    now = stored(job, replay)
    assert (now.status, now.sent, now.lease_until_us) == ("paused", 3, 0)


@pytest.mark.parametrize("outdated_at", [1, 2])
@pytest.mark.parametrize("refusal", [None, Refusal("Malformed", permanent=True)])
def test_step_that_another_has_followed_neither_stores_nor_ends_anything(
    outdated_at: int, refusal: Refusal | None
) -> None:
    """Whether it finds out when it stores its position, or when it ends."""
    job, replay = started(REPLAY_PAGE_EVENTS + 1)
    job.clock.move(timedelta(seconds=2))
    last_of_page = REPLAY_PAGE_EVENTS * (outdated_at - 1)
    job.consumer.refuses = lambda entry: refusal if entry.event_id > last_of_page else None
    save, saves = job.store.save, iter(range(1, 9))

    def followed(mine: Replay) -> Replay | None:
        if next(saves) == outdated_at:
            job.store.claim(stored(job, replay), until_us=job.clock() + 1)
        return save(mine)

    job.store.save = followed  # type: ignore[assignment,method-assign]
    sent = last_of_page if refusal else min(REPLAY_PAGE_EVENTS + 1, last_of_page + REPLAY_PAGE_EVENTS)
    assert take(job, replay) == replace(WAIT_1, sent=sent)
    now = stored(job, replay)
    assert (now.status, now.lease_until_us, now.sent) == ("running", job.clock() + 1, last_of_page)
    assert (now.fence, now.failed_steps) == (2, 3 - outdated_at)


# --- what it reads -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("request_", "limits"),
    [
        ({}, [REPLAY_PAGE_EVENTS, REPLAY_PAGE_EVENTS]),
        ({"events_per_second": 2}, [10]),
        ({"events_per_second": 120}, [REPLAY_PAGE_EVENTS, 100]),
        ({"events_per_second": 2, "names": ["E"]}, [REPLAY_PAGE_EVENTS]),
        ({"events_per_second": 2, "stream_prefix": "s-"}, [REPLAY_PAGE_EVENTS]),
    ],
)
def test_step_reads_what_its_pace_lets_out_or_with_a_filter_whole_pages(
    request_: dict[str, Any], limits: list[int]
) -> None:
    job, replay = started(70, streams=10, **request_)
    read = reads_of(job)
    following = take(job, replay)
    assert read == limits
    assert following.sent == min(700, 5 * request_.get("events_per_second", 1_000))


def test_pace_lets_out_the_same_however_the_wanted_events_lie_on_pages() -> None:
    """Of five that it lets out, four are in the first page and one in the second."""
    job = Job(settling_s=0)
    wanted = {0, 1, 2, REPLAY_PAGE_EVENTS - 1, REPLAY_PAGE_EVENTS + 7, REPLAY_PAGE_EVENTS + 8}
    for number in range(REPLAY_PAGE_EVENTS + 10):
        job.append(f"s-{number}", "Wanted" if number in wanted else "Other")
    replay = job.start(events_per_second=1, names=["Wanted"])
    assert take(job, replay).sent == 5
    position = stored(job, replay).position
    assert position is not None
    assert position.stream_id == f"s-{REPLAY_PAGE_EVENTS + 7}"


def test_step_after_one_that_failed_reads_little_until_something_is_taken() -> None:
    job, replay = started(60, streams=10)
    job.consumer.refuses = lambda _entry: PASSING
    read = reads_of(job)
    take(job, replay)
    job.clock.move(timedelta(seconds=2))
    take(job, replay)
    job.consumer.refuses = lambda _entry: None
    job.clock.move(timedelta(seconds=4))
    take(job, replay)
    assert read == [REPLAY_PAGE_EVENTS, 10, 10, REPLAY_PAGE_EVENTS, REPLAY_PAGE_EVENTS]


# --- what it stores ----------------------------------------------------------------------------------


def test_step_that_takes_something_forgets_the_failures_before_it() -> None:
    job, replay = started(3)
    job.consumer.refuses = lambda _entry: PASSING
    assert take(job, replay) == NextStep(action="wait", wait_s=2)
    reason = "event 1 of stream 's-0' was not taken: Throttled"
    failed = stored(job, replay)
    assert (failed.failed_steps, failed.reason, failed.lease_until_us) == (1, reason, 0)

    # The next has time to read, but for no call: it fails too.
    job.clock.move(timedelta(seconds=2))
    assert take(job, replay, remaining_time_s=reads_only()) == NextStep(action="wait", wait_s=4)
    assert stored(job, replay).failed_steps == 2
    assert "no time" in stored(job, replay).reason

    job.consumer.refuses = lambda _entry: None
    assert take(job, replay).sent == 3
    assert (stored(job, replay).failed_steps, stored(job, replay).reason) == (0, "")


def test_waits_double_while_steps_fail() -> None:
    job, replay = started()
    job.consumer.refuses = lambda _entry: PASSING
    assert [take(job, replay).wait_s for _ in range(4)] == [2, 4, 8, 16]


def test_reason_of_a_failure_is_bounded() -> None:
    job, replay = started()
    job.consumer.refuses = lambda _entry: Refusal("x" * 5_000, permanent=False)
    take(job, replay)
    assert len(stored(job, replay).reason) == REPLAY_REASON_MAX_CHARS


@pytest.mark.parametrize(("moved_s", "active_us"), [(5, 5_000_000), (0, 0), (-5, 0)])
def test_time_that_a_replay_runs_never_runs_backwards(moved_s: int, active_us: int) -> None:
    job, replay = started()
    job.consumer.before_call = lambda: job.clock.move(timedelta(seconds=moved_s))
    take(job, replay)
    assert stored(job, replay).active_us == active_us


def test_pace_makes_up_for_a_second_and_a_half() -> None:
    job, replay = started(40, events_per_second=2)
    job.clock.move(timedelta(seconds=10))
    assert take(job, replay) == NextStep(action="wait", wait_s=4, sent=10)
    paced_until_us = stored(job, replay).paced_until_us
    assert paced_until_us == job.clock() - 1_500_000 + 10 * 500_000
    job.clock.now_us = paced_until_us
    assert take(job, replay) == NextStep(action="wait", wait_s=5, sent=10)
    assert stored(job, replay).paced_until_us == paced_until_us + 10 * 500_000


def test_replay_without_a_pace_never_waits_for_it() -> None:
    job, replay = started(40)
    take(job, replay)
    assert stored(job, replay).paced_until_us == 0


@pytest.mark.parametrize(("left_us", "action"), [(-1, "step"), (0, "step"), (1, "wait")])
def test_step_waits_only_if_its_pace_holds_back_the_next_event(left_us: int, action: str) -> None:
    job, replay = started(40, events_per_second=2)
    save = job.store.save

    def late(mine: Replay) -> Replay | None:
        if mine.lease_until_us == 0:
            job.clock.now_us = mine.paced_until_us - left_us
        return save(mine)

    job.store.save = late  # type: ignore[assignment,method-assign]
    assert take(job, replay) == NextStep(action=action, wait_s=action == "wait", sent=10)  # type: ignore[arg-type]


# --- what can't be sent ------------------------------------------------------------------------------


def test_event_that_no_entry_holds_fails_the_replay_behind_what_precedes() -> None:
    job = Job(settling_s=0)
    job.consumer.max_bytes = 2_000
    job.append("good", "E", "E")
    last_before = [*job.events.read_all()][-1].position
    append_event_that_no_entry_holds(job)
    job.append("later")
    replay = job.start()
    following = take(job, replay)
    assert (following.action, following.sent) == ("fail", 2)
    assert "even without data" in following.reason
    assert job.consumer.addresses == [("good", 1), ("good", 2)]
    failed = stored(job, replay)
    assert (failed.status, failed.reason, failed.position) == ("failed", following.reason, last_before)
    assert (failed.ended_us, failed.lease_until_us) == (None, 0)


def test_event_that_no_entry_can_hold_hinders_nothing_where_it_is_not_wanted() -> None:
    job = Job(settling_s=0)
    job.consumer.max_bytes = 2_000
    job.append("good-1")
    append_event_that_no_entry_holds(job)
    job.append("good-2")
    assert take(job, job.start(stream_prefix="good")) == replace(WAIT_1, sent=2)


def test_item_that_is_no_event_fails_the_replay_at_once() -> None:
    job, replay = started(2)
    put_unreadable_item_at_the_end(job)
    following = take(job, replay)
    assert (following.action, following.sent) == ("fail", 2)
    assert "'bad', 1" in following.reason


def test_target_that_never_takes_an_event_fails_the_replay_at_once() -> None:
    job, replay = started(2)
    job.consumer.refuses = lambda _entry: Refusal("Malformed", permanent=True)
    reason = "event 1 of stream 's-0' was not taken: Malformed"
    assert take(job, replay) == NextStep(action="fail", reason=reason)
    assert (len(job.consumer.calls), job.pauses_s) == (1, [])
    assert (stored(job, replay).status, stored(job, replay).ended_us) == ("failed", None)


@pytest.mark.parametrize("unreadable", [True, False])
def test_what_precedes_an_event_that_cannot_be_sent_is_sent_first(
    unreadable: bool,
) -> None:
    job = Job(settling_s=0)
    job.consumer.max_bytes = 2_000
    job.append("s", "E", "E")
    if unreadable:
        put_unreadable_item_at_the_end(job)
    else:
        append_event_that_no_entry_holds(job)
    replay = job.start()
    job.consumer.refuses = lambda entry: PASSING if entry.event_id == 2 else None
    following = take(job, replay)
    assert (following.action, following.sent) == ("wait", 1)
    assert stored(job, replay).reason == "event 2 of stream 's' was not taken: Throttled"

    job.consumer.refuses = lambda _entry: None
    assert take(job, replay, remaining_time_s=reads_only()).action == "wait"
    following = take(job, replay)
    assert (following.action, following.sent) == ("fail", 1)
    assert job.consumer.addresses == [("s", 1), ("s", 2)]


def test_refused_event_is_tried_again_after_growing_pauses() -> None:
    job, replay = started(2)
    job.consumer.refuses = lambda _entry: PASSING
    assert take(job, replay) == NextStep(action="wait", wait_s=2)
    assert [[entry.event_id for entry in call] for call in job.consumer.calls] == [[1]] * PUBLISH_MAX_TRIES
    assert job.pauses_s == [0.1, 0.2, 0.4, 0.8]


def test_pause_between_tries_is_shortened_by_chance() -> None:
    job, replay = started(1)
    job.jitter = 0.25
    job.consumer.refuses = lambda _entry: PASSING
    take(job, replay)
    assert job.pauses_s == [0.025, 0.05, 0.1, 0.2]


def test_step_that_fails_behind_progress_is_the_first_that_fails() -> None:
    job, replay = started(2)
    job.consumer.refuses = lambda entry: PASSING if entry.event_id == 2 else None
    following = take(job, replay)
    stored = job.replays.get(replay.replay_id)
    assert (following.action, following.wait_s, following.sent) == ("wait", 2, 1)
    assert (stored.failed_steps, stored.sent) == (1, 1)


def test_refusal_for_good_decides_beside_one_that_may_pass() -> None:
    job, replay = started(1, streams=2)
    permanent = Refusal("Malformed", permanent=True)
    job.consumer.refuses = lambda entry: permanent if entry.stream_id == "s-1" else PASSING
    reason = "event 1 of stream 's-1' was not taken: Malformed"
    assert take(job, replay) == NextStep(action="fail", reason=reason)
    assert len(job.consumer.calls) == 1


def test_answer_that_is_not_one_for_each_entry_is_not_believed() -> None:
    class Short(Consumer):
        def send(self, entries: Sequence[Entry]) -> list[Refusal | None]:
            return super().send(entries)[1:]

    job, replay = started(1, streams=3)
    job.consumer = Short(before_call=lambda: job.clock.move(timedelta(seconds=1)))
    with pytest.raises(ValueError, match="shorter"):
        take(job, replay)
    now = stored(job, replay)
    assert (now.position, now.sent, now.lease_until_us) == (None, 0, 0)
