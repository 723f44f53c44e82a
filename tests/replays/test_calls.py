"""The calls to a replay's target: within its limits, and the fewest there can be."""

from __future__ import annotations

import json
from math import ceil

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eventstore import ANY, NewEvent
from eventstore.delivery.publisher import Refusal
from eventstore.replays.calls import Sending
from tests.replays.jobs import Consumer, Job


def append(job: Job, stream_id: str, *, data_bytes: int = 0) -> None:
    job.events.append(stream_id, [NewEvent.of("E", {"data": "x" * data_bytes})], expected=ANY)
    job.clock.now_us += 1


def streams_of_calls(job: Job) -> list[list[str]]:
    job.run()
    return [[entry.stream_id for entry in call] for call in job.consumer.calls]


def size_bytes_of_an_entry(*, data_bytes: int = 0) -> int:
    job = Job(settling_s=0)
    append(job, "a", data_bytes=data_bytes)
    job.run()
    return job.consumer.taken[0].size_bytes


@pytest.mark.parametrize("all_or_nothing", [False, True])
@pytest.mark.parametrize(("room_bytes", "calls"), [(1, [["a", "b", "c"]]), (0, [["a", "b"], ["c"]])])
def test_call_stays_below_the_bytes_of_its_target(
    all_or_nothing: bool, room_bytes: int, calls: list[list[str]]
) -> None:
    job = Job(settling_s=0)
    max_bytes = 3 * size_bytes_of_an_entry() + room_bytes
    job.consumer = Consumer(max_bytes=max_bytes, all_or_nothing=all_or_nothing)
    for stream_id in "abc":
        append(job, stream_id)
    assert streams_of_calls(job) == calls


@pytest.mark.parametrize("all_or_nothing", [False, True])
def test_call_holds_as_many_entries_as_its_target_takes(all_or_nothing: bool) -> None:
    job = Job(settling_s=0)
    job.consumer = Consumer(max_entries=2, all_or_nothing=all_or_nothing)
    for stream_id in "abc":
        append(job, stream_id)
    assert streams_of_calls(job) == [["a", "b"], ["c"]]


@pytest.mark.parametrize(
    ("all_or_nothing", "calls"), [(False, [["a", "c"], ["b"]]), (True, [["a"], ["b"], ["c"]])]
)
def test_smaller_entries_pass_a_large_one_unless_calls_are_in_time_order(
    all_or_nothing: bool, calls: list[list[str]]
) -> None:
    job = Job(settling_s=0)
    job.consumer = Consumer(
        max_bytes=size_bytes_of_an_entry(data_bytes=2_000) + 100, all_or_nothing=all_or_nothing
    )
    append(job, "a")
    append(job, "b", data_bytes=2_000)
    append(job, "c")
    assert streams_of_calls(job) == calls


@pytest.mark.parametrize(("room_bytes", "is_whole"), [(1, True), (0, False)])
def test_event_that_is_too_large_for_its_target_goes_by_reference(room_bytes: int, is_whole: bool) -> None:
    job = Job(settling_s=0)
    job.consumer.max_bytes = size_bytes_of_an_entry(data_bytes=2_000) + room_bytes
    append(job, "a", data_bytes=2_000)
    assert job.run().status == "completed"
    [entry] = job.consumer.taken
    detail = json.loads(entry.detail)
    assert ("data" in detail, "dataref" in detail) == (is_whole, not is_whole)


@settings(max_examples=60, deadline=None)
@given(data=st.data(), lengths=st.lists(st.integers(1, 8), min_size=1, max_size=6), most=st.integers(1, 5))
def test_calls_are_the_fewest_there_can_be(data: st.DataObject, lengths: list[int], most: int) -> None:
    """Each holds at most one event of a stream, and so many entries."""
    job = Job(settling_s=0)
    job.consumer.max_entries = most
    turns = [stream for stream, length in enumerate(lengths) for _ in range(length)]
    for stream in data.draw(st.permutations(turns)):
        append(job, f"s-{stream}")
    calls = streams_of_calls(job)
    assert len(calls) == max(ceil(sum(lengths) / most), *lengths)


def test_last_refusal_is_of_what_was_not_taken_since() -> None:
    job = Job(settling_s=0)
    for stream_id in "ab":
        append(job, stream_id)
    job.run()
    a, b = job.consumer.taken
    sending = Sending([a, b], Consumer())
    for entry, reason in ((a, "first"), (b, "second"), (a, "third")):
        sending.refuse(entry, Refusal(reason, permanent=False))
    assert sending.last_refusal == "event 1 of stream 'a' was not taken: third"
    sending.finish(a)
    assert sending.last_refusal == "event 1 of stream 'b' was not taken: second"
    sending.finish(b)
    assert sending.last_refusal == ""
