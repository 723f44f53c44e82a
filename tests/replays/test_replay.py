"""A replay: all of it, in order, to one consumer, whatever fails; each rule by its name."""

from __future__ import annotations

import json
import random
from collections import deque
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eventstore.delivery.cloudevents import Entry
from eventstore.delivery.publisher import Refusal
from eventstore.errors import (
    InvalidRange,
    InvalidReplay,
    MalformedItem,
    ReplayNotFound,
    ReplayOver,
    ReplayTargetNotAllowed,
    StoreUnavailable,
)
from eventstore.limits import REPLAY_MAX_FAILED_STEPS, REPLAY_PAGE_EVENTS, REPLAY_RUN_MAX_STEPS
from eventstore.positions import from_us
from eventstore.replays.service import Replay, ReplayRequest, Replays, Started, Target
from eventstore.store import AllEvents
from tests.replays.jobs import QUEUE, Consumer, Job, Killed

PASSING = Refusal("Throttled", permanent=False)


def every_event(streams: int, events: int) -> dict[str, list[int]]:
    return {f"s-{number}": list(range(1, events + 1)) for number in range(streams)}


def test_replay_sends_every_event_once_in_the_order_of_its_stream() -> None:
    job = Job()
    job.fill(streams=20, events=60)
    done = job.run()
    assert (done.status, done.sent, done.reason) == ("completed", 1_200, "")
    assert len(job.consumer.taken) == 1_200
    assert job.consumer.first_deliveries() == every_event(20, 60)


def test_no_call_holds_two_events_of_one_stream() -> None:
    job = Job()
    job.fill(streams=5, events=40)
    job.run()
    for call in job.consumer.calls:
        assert len({entry.stream_id for entry in call}) == len(call) <= 10
    assert len(job.consumer.calls) == 40


def test_target_that_is_all_or_nothing_gets_events_in_time_order() -> None:
    job = Job()
    job.fill(streams=7, events=30)
    job.consumer = Consumer(max_entries=100, all_or_nothing=True)
    job.run()
    in_time_order = [(event.stream_id, event.event_id) for event in job.events.read_all()]
    assert job.consumer.addresses == in_time_order
    assert len(job.consumer.calls) == 3


def test_what_is_sent_keeps_its_id_and_type_and_gets_the_replays_id() -> None:
    job = Job()
    job.append("order-1", "OrderPlaced")
    done = job.run()
    [entry] = job.consumer.taken
    detail = json.loads(entry.detail)
    assert (entry.detail_type, detail["id"], detail["type"]) == ("OrderPlaced", "order-1/1", "OrderPlaced")
    assert detail["replayid"] == done.replay_id


def test_names_prefix_and_range_choose_what_is_sent() -> None:
    job = Job()
    job.append("a-1", "Placed", "Paid")
    begin_us = job.clock()
    job.append("a-1", "Placed", "Shipped")
    job.append("b-1", "Placed")
    end_us = job.clock()
    job.append("a-2", "Placed")
    done = job.run(names=["Placed"], stream_prefix="a-", from_=from_us(begin_us), to=from_us(end_us))
    assert job.consumer.addresses == [("a-1", 3)]
    assert done.status == "completed"


def test_now_ends_only_after_everything_written_before_has_settled() -> None:
    job = Job(settling_s=10)
    job.append("early")
    replay = job.start()
    job.engine.run(most_steps=1)
    assert job.consumer.taken == []
    assert job.replays.get(replay.replay_id).status == "running"
    job.engine.run()
    done = job.replays.get(replay.replay_id)
    assert job.consumer.addresses == [("early", 1)]
    assert done.ended_us is not None
    assert done.ended_us - done.requested_us >= 10_000_000


def test_events_written_after_the_request_are_not_waited_for() -> None:
    job = Job()
    job.append("early")
    replay = job.start()
    job.clock.move(timedelta(seconds=5))
    job.append("late")
    job.engine.run()
    assert job.replays.get(replay.replay_id).status == "completed"
    assert job.consumer.addresses == [("early", 1)]


def test_streams_created_while_it_runs_before_its_end_are_sent_too() -> None:
    """A writer that is late between stamping and writing, by less than the settling time."""
    job = Job()
    job.append("first")
    job.start()
    job.append("second")  # within the margin of "now"
    job.engine.run()
    assert job.consumer.first_deliveries() == {"first": [1], "second": [1]}


def test_pace_is_kept_by_waits() -> None:
    job = Job(settling_s=0)
    job.fill(streams=10, events=100)
    began_us = job.clock()
    done = job.run(events_per_second=20)
    took_s = (job.clock() - began_us) / 1_000_000
    assert done.sent == 1_000
    assert 46 <= took_s <= 53
    assert len(job.engine.waits_s) >= 9


def test_pace_counts_only_what_is_sent() -> None:
    job = Job(settling_s=0)
    for number in range(2_000):
        job.append(f"s-{number}", "Wanted" if number % 100 == 0 else "Other")
    done = job.run(events_per_second=1, names=["Wanted"])
    assert done.sent == 20
    assert len(job.consumer.calls) <= 20
    assert sum(job.engine.waits_s) <= 25


@pytest.mark.parametrize("request_", [{"names": ["E"]}, {"stream_prefix": "s-"}, {}])
def test_last_page_that_its_pace_cuts_is_not_the_end(request_: dict[str, Any]) -> None:
    """With a filter more is read than the pace lets out: what is left of a last page comes later."""
    job = Job(settling_s=0)
    job.fill(streams=20, events=10)
    done = job.run(events_per_second=5, **request_)
    assert (done.status, done.sent) == ("completed", 200)
    assert job.consumer.first_deliveries() == every_event(20, 10)


def test_refused_event_holds_back_the_later_ones_of_its_stream_only() -> None:
    job = Job()
    job.append("bad", "E", "E", "E")
    job.append("good", "E", "E")
    times = count()
    job.consumer.refuses = lambda entry: (
        PASSING if (entry.stream_id, entry.event_id) == ("bad", 2) and next(times) < 3 else None
    )
    assert job.run().status == "completed"
    assert job.consumer.first_deliveries() == {"bad": [1, 2, 3], "good": [1, 2]}


def test_target_that_keeps_refusing_fails_the_replay_which_can_be_resumed() -> None:
    job = Job()
    job.append("s", "E", "E", "E")
    job.consumer.refuses = lambda entry: PASSING if entry.event_id == 2 else None
    failed = job.run()
    assert (failed.status, failed.sent, failed.failed_steps) == ("failed", 1, REPLAY_MAX_FAILED_STEPS)
    assert failed.reason == "event 2 of stream 's' was not taken: Throttled"
    assert [wait for wait in job.engine.waits_s if wait > 1][-4:] == [16, 32, 64, 128]

    job.consumer.refuses = lambda _entry: None
    job.replays.resume(failed.replay_id)
    job.engine.run()
    done = job.replays.get(failed.replay_id)
    assert (done.status, done.reason, done.failed_steps) == ("completed", "", 0)
    assert job.consumer.addresses == [("s", 1), ("s", 2), ("s", 3)]


def test_bad_stream_does_not_have_the_others_sent_for_ever() -> None:
    job = Job()
    job.append("bad")
    job.fill(streams=10, events=100)
    job.consumer.refuses = lambda entry: PASSING if entry.stream_id == "bad" else None
    failed = job.run()
    assert (failed.status, failed.position) == ("failed", None)
    assert len(job.consumer.taken) <= REPLAY_PAGE_EVENTS + REPLAY_MAX_FAILED_STEPS * 10


def test_event_that_is_never_taken_fails_the_replay_at_once() -> None:
    job = Job()
    job.append("s", "E", "E")
    job.append("other", "E")
    job.consumer.refuses = lambda entry: (
        Refusal("MalformedDetail", permanent=True) if entry.stream_id == "s" else None
    )
    failed = job.run()
    assert failed.status == "failed"
    assert "event 1 of stream 's' was not taken: MalformedDetail" in failed.reason
    assert failed.position is None


def test_item_that_is_no_event_fails_the_replay_behind_what_precedes_it() -> None:
    job = Job()
    job.append("s", "E", "E")
    read_all = job.events.read_all

    def with_bad_item(**options: object) -> AllEvents:
        found = read_all(**options)  # type: ignore[arg-type]

        def events():  # type: ignore[no-untyped-def]
            yield from found
            raise MalformedItem(stream_id="bad", event_id=1, reason="EventName is missing")

        return AllEvents(events(), found.settled_until_us)

    job.clock.move(timedelta(seconds=20))
    job.events.read_all = with_bad_item  # type: ignore[method-assign]
    failed = job.run()
    assert job.consumer.addresses == [("s", 1), ("s", 2)]
    assert (failed.status, failed.position) == ("failed", [*read_all()][-1].position)
    assert "'bad', 1" in failed.reason


def test_paused_replay_sends_nothing_until_it_is_resumed() -> None:
    job = Job()
    job.fill(streams=4, events=10)
    replay = job.start()
    job.replays.pause(replay.replay_id)
    job.engine.run()
    assert job.consumer.calls == []
    job.replays.resume(replay.replay_id)
    job.engine.run()
    assert job.consumer.first_deliveries() == every_event(4, 10)
    assert len(job.consumer.taken) == 40


def test_pause_while_it_sends_stops_it_after_a_page_and_repeats_nothing() -> None:
    job = Job(settling_s=0)
    job.fill(streams=10, events=200)
    replay = job.start()
    calls = count(1)
    job.consumer.before_call = lambda: (
        job.replays.pause(replay.replay_id) and None if next(calls) == 3 else None  # type: ignore[func-returns-value]
    )
    job.engine.run()
    paused = job.replays.get(replay.replay_id)
    assert (paused.status, paused.sent) == ("paused", REPLAY_PAGE_EVENTS)
    assert paused.lease_until_us == 0
    job.replays.resume(replay.replay_id)
    job.engine.run()
    assert len(job.consumer.taken) == 2_000
    assert job.consumer.first_deliveries() == every_event(10, 200)


def test_cancelled_replay_is_over() -> None:
    job = Job()
    job.append("s")
    replay = job.start()
    assert job.replays.cancel(replay.replay_id).status == "cancelled"
    job.engine.run()
    assert job.consumer.calls == []
    assert job.replays.cancel(replay.replay_id).status == "cancelled"
    for change in (job.replays.pause, job.replays.resume):
        with pytest.raises(ReplayOver):
            change(replay.replay_id)


def test_resume_of_a_running_replay_ends_the_run_before() -> None:
    job = Job(settling_s=0)
    job.fill(streams=3, events=20)
    replay = job.start()
    job.engine.run(most_steps=1)
    job.engine.steps = 0
    job.replays.resume(replay.replay_id)
    assert job.engine.waiting == deque([(replay.replay_id, 1), (replay.replay_id, 2)])
    first = job.engine.waiting.popleft()
    assert job.take(first[0], run=first[1], steps=1, remaining_time_s=lambda: 150.0).action == "end"
    job.engine.run()
    assert len(job.consumer.taken) == 60


def test_step_beside_another_waits_for_its_lease() -> None:
    job = Job(settling_s=0)
    job.fill(streams=2, events=5)
    replay = job.start()
    beside: list[str] = []

    def meanwhile() -> None:
        if not beside:
            beside.append(job.take(replay.replay_id, run=1, steps=1, remaining_time_s=lambda: 150.0).action)

    job.consumer.before_call = meanwhile
    job.engine.run()
    assert beside == ["wait"]
    assert len(job.consumer.taken) == 10


def test_step_that_another_has_followed_stores_nothing_any_more() -> None:
    """As if a process had been frozen until its lease was over."""
    job = Job(settling_s=0)
    job.fill(streams=1, events=3)
    replay = job.start()
    frozen: list[Replay] = []

    def freeze() -> None:
        if not frozen:
            frozen.append(replay)
            job.clock.move(timedelta(seconds=200))
            job.engine.run()  # another step takes over, to the end

    job.consumer.before_call = freeze
    waiting = job.engine.waiting.popleft()
    job.engine.waiting.append(waiting)
    stale = job.take(replay.replay_id, run=1, steps=1, remaining_time_s=lambda: 150.0)
    done = job.replays.get(replay.replay_id)
    assert stale.action == "wait"
    assert (done.status, done.sent) == ("completed", 3)


def test_long_replay_goes_on_in_a_new_execution() -> None:
    job = Job(settling_s=0)
    for number in range(6 * (REPLAY_RUN_MAX_STEPS + 20)):
        job.append(f"s-{number % 3}")
    done = job.run(events_per_second=1)
    assert done.status == "completed"
    assert job.engine.renewed >= 1


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    kills=st.sets(st.integers(1, 120), max_size=25),
    refuse_every=st.integers(3, 12),
)
def test_killed_and_refused_anywhere_it_delivers_all_in_order(
    seed: int, kills: set[int], refuse_every: int
) -> None:
    job = Job(settling_s=1)
    job.fill(streams=6, events=12, seed=seed)
    points, chance = count(1), random.Random(seed)

    def maybe_die() -> None:
        if next(points) in kills:
            raise Killed

    def refuses(_entry: Entry) -> Refusal | None:
        return PASSING if chance.random() < 1 / refuse_every else None

    job.consumer.before_call, job.consumer.refuses = maybe_die, refuses
    save, claim, change = job.store.save, job.store.claim, job.store.change

    def dying_save(replay: Replay) -> Replay | None:
        maybe_die()
        saved = save(replay)
        maybe_die()
        return saved

    def dying_claim(replay: Replay, *, until_us: int) -> Replay | None:
        claimed = claim(replay, until_us=until_us)
        maybe_die()
        return claimed

    def dying_change(replay: Replay, *, before: Replay) -> Replay | None:
        maybe_die()
        return change(replay, before=before)

    replay = job.start()
    job.store.save, job.store.claim, job.store.change = (  # type: ignore[method-assign]
        dying_save,
        dying_claim,
        dying_change,
    )
    job.engine.run()
    while job.replays.get(replay.replay_id).status == "failed":  # steps in a row died, or were refused
        with suppress(Killed):
            job.replays.resume(replay.replay_id)
        job.engine.run()
    assert job.replays.get(replay.replay_id).status == "completed"
    assert job.consumer.first_deliveries() == every_event(6, 12)


def test_killed_step_sends_again_at_most_its_page() -> None:
    job = Job(settling_s=0)
    job.fill(streams=10, events=150)
    kills = iter([False] * 70 + [True] + [False] * 10_000)

    def die_once() -> None:
        if next(kills):
            raise Killed

    job.consumer.before_call = die_once
    job.run()
    assert job.engine.retries == 1
    assert 1_500 < len(job.consumer.taken) <= 1_500 + REPLAY_PAGE_EVENTS
    assert job.consumer.first_deliveries() == every_event(10, 150)


# --- what is asked for -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arn", "kind", "name"),
    [
        ("arn:aws:sqs:eu-central-1:123456789012:q.fifo", "queue", "q.fifo"),
        ("arn:aws:lambda:eu-central-1:123456789012:function:f", "function", "f"),
        ("arn:aws:lambda:eu-central-1:123456789012:function:f:live", "function", "f:live"),
        ("arn:aws:events:eu-central-1:123456789012:event-bus/b", "bus", "b"),
    ],
)
def test_targets_are_told_apart_by_their_arn(arn: str, kind: str, name: str) -> None:
    target = Target.parse(arn)
    assert (target.kind, target.name, target.account) == (kind, name, "123456789012")


@pytest.mark.parametrize("arn", ["", "queue", "arn:aws:sns:eu-central-1:123456789012:t", QUEUE + "\n", "*"])
def test_other_targets_are_refused(arn: str) -> None:
    with pytest.raises(InvalidReplay, match="target"):
        Job().replays.start(ReplayRequest(target=arn))


def test_target_that_is_not_allowed_is_refused_at_once() -> None:
    job = Job()
    with pytest.raises(ReplayTargetNotAllowed, match="replayTargets"):
        job.replays.start(ReplayRequest(target=f"{QUEUE}-2"))
    assert job.replays.latest(limit=10) == []
    assert not job.engine.waiting


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        ({"to": datetime(2027, 1, 1, tzinfo=UTC)}, InvalidRange),
        ({"from_": datetime(2027, 1, 1, tzinfo=UTC)}, InvalidRange),
        ({"from_": datetime(2025, 1, 2, tzinfo=UTC), "to": datetime(2025, 1, 2, tzinfo=UTC)}, InvalidRange),
        ({"names": [""]}, InvalidReplay),
        ({"names": ["x"] * 101}, InvalidReplay),
        ({"stream_prefix": "ü" * 600}, InvalidReplay),
        ({"stream_prefix": "\ud800"}, InvalidReplay),
        ({"events_per_second": 0}, InvalidReplay),
    ],
)
def test_bad_requests_are_refused(request_: dict[str, object], error: type[Exception]) -> None:
    job = Job()
    with pytest.raises(error):
        job.start(**request_)
    assert job.replays.latest(limit=10) == []


def test_replay_whose_run_cannot_be_started_stays_queued_until_the_next_look() -> None:
    job = Job()
    start = job.engine.start

    def unavailable(_replay: Replay) -> None:
        raise StoreUnavailable(operation="StartExecution", reason="throttled")

    job.engine.start = unavailable  # type: ignore[method-assign]
    with pytest.raises(StoreUnavailable):
        job.start()
    [replay] = job.replays.latest(limit=10)
    assert replay.status == "queued"
    job.engine.start = start  # type: ignore[method-assign]
    job.queue.start_next()
    job.engine.run()
    assert job.replays.get(replay.replay_id).status == "completed"


def test_unknown_replay_is_not_found() -> None:
    for replay_id in ("7", "", "01890a5d-ac96-774b-bcce-b302099a8057", "\ud800"):
        with pytest.raises(ReplayNotFound):
            Job().replays.get(replay_id)


def test_rate_and_time_left_are_told_while_it_runs() -> None:
    job = Job(settling_s=0)
    job.fill(streams=10, events=100)
    replay = job.start(events_per_second=10)
    job.engine.run(most_steps=10)
    half = job.replays.get(replay.replay_id)
    assert half.status == "running"
    assert half.rate == pytest.approx(10, rel=0.2)
    assert half.time_left_s is not None
    assert 1 <= half.time_left_s <= 200
    assert replace(half, status=half.status.PAUSED).time_left_s is None


class Dying:
    """An engine whose process dies before, or after, it has told the machine to start."""

    def __init__(self, engine: Any, *, after: bool) -> None:
        self.engine = engine
        self.after = after
        self.deaths = 1

    def start(self, replay: Replay) -> None:
        if self.after or not self.deaths:
            self.engine.start(replay)
        if self.deaths:
            self.deaths -= 1
            raise Killed


@pytest.mark.parametrize("after", [False, True])
def test_repeat_begins_the_run_that_a_death_left_out_under_the_same_name(after: bool) -> None:
    job = Job()
    job.fill(streams=3, events=4)
    replays = Replays(
        store=job.store,
        engine=Dying(job.engine, after=after),
        allowed_targets=[QUEUE],
        clock_us=job.clock,
    )
    request = ReplayRequest(target=QUEUE)
    with pytest.raises(Killed):
        replays.start_once(request, key="k")
    [kept] = job.store.latest(limit=10)
    job.clock.move(timedelta(seconds=30))

    started = replays.start_once(request, key="k")

    assert started == Started(kept, repeated=True)
    # The machine knows an execution by its name: twice is once.
    assert set(job.engine.waiting) == {(kept.replay_id, 1)}
    job.engine.waiting = deque(dict.fromkeys(job.engine.waiting))
    job.engine.run()
    assert job.replays.get(kept.replay_id).status == "completed"
    assert len(job.consumer.taken) == 12


def test_repeat_leaves_a_replay_that_has_begun_to_its_engine() -> None:
    job = Job()
    job.fill(streams=3, events=4)
    started = job.replays.start_once(ReplayRequest(target=QUEUE), key="k")
    job.engine.run()

    again = job.replays.start_once(ReplayRequest(target=QUEUE), key="k")

    assert (again.repeated, again.replay.replay_id) == (True, started.replay.replay_id)
    assert again.replay.status == "completed"
    assert not job.engine.waiting
    assert job.replays.start(ReplayRequest(target=QUEUE)).replay_id != started.replay.replay_id
