"""What a worker knows of streams: ranges of EventIds, and what's certainly unhandled."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from eventstore.subscriptions.known import Known, KnownStreams, first_true

SMALL = st.integers(1, 30)


@given(st.lists(SMALL), SMALL, SMALL)
def test_ranges_tell_what_a_set_of_numbers_tells(added: list[int], asked: int, first: int) -> None:
    known = Known()
    for number in added:
        known.add(number)
    numbers = set(added)

    assert known.has(asked) is (asked in numbers)
    assert known.last == max(numbers, default=0)
    begin = asked
    while begin - 1 in numbers:
        begin -= 1
    assert known.lowest_before(asked) == begin
    gaps = [number for gap in known.unknown(first, asked) for number in gap]
    assert gaps == [number for number in range(first, asked) if number not in numbers]


def test_ranges_are_bounded_and_the_lowest_are_forgotten() -> None:
    known = Known()
    for number in range(2, 1_000, 2):
        known.add(number)
    assert len(known.ranges) == 64
    assert (known.has(998), known.has(2)) == (True, False)


@given(st.integers(1, 50), st.integers(0, 60), st.integers(0, 60))
def test_search_finds_where_it_begins_to_be_true(low: int, length: int, true_from: int) -> None:
    asked: list[int] = []

    def is_true(number: int) -> bool:
        asked.append(number)
        return number >= true_from

    end = low + length
    assert first_true(low, end, is_true) == min(max(low, true_from), end)
    assert len(asked) <= 2 * max(1, length).bit_length() + 1
    assert all(low <= number < end for number in asked)


def test_forgotten_stream_raises_the_horizon_to_its_last_event() -> None:
    streams = KnownStreams(most=1, horizon_us=5)
    for number, stream_id in enumerate(("a", "b", "c")):
        known = streams.of(stream_id)
        known.add(1, 10 * (number + 1))
        streams.note(stream_id, known)
    assert streams.horizon_us == 20
    assert (streams.of("b").last, streams.of("c").last) == (0, 1)
