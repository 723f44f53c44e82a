"""What a worker knows of streams: ranges of EventIds, and what's certainly unhandled."""

from __future__ import annotations

from itertools import chain, combinations, product

import pytest

from eventstore.subscriptions.known import Known, KnownStreams, first_true

H = 2_000_000_000
"""A horizon, and below the time before which what follows an event may stand before it in the log."""
LATE = H - 600_000_000
SUBSETS = list(chain.from_iterable(combinations(range(1, 7), size) for size in range(7)))


@pytest.mark.parametrize("order", ["rising", "falling", "from the middle", "twice"])
def test_ranges_tell_what_a_set_of_numbers_tells(order: str) -> None:
    for numbers in SUBSETS:
        known = Known()
        added = {
            "rising": numbers,
            "falling": numbers[::-1],
            "from the middle": numbers[2:4] + numbers[:2] + numbers[4:],
            "twice": numbers * 2,
        }[order]
        for number in added:
            known.add(number)
        assert known.last == max(numbers, default=0)
        assert known.first == (known.lowest_before(known.last + 1) if numbers else 0)
        for asked in range(1, 9):
            assert known.has(asked) is (asked in numbers)
            begin = asked
            while begin - 1 in numbers:
                begin -= 1
            assert known.lowest_before(asked) == begin
            for first in range(1, 9):
                gaps = known.unknown(first, asked)
                assert all(gaps)  # none is empty
                assert [number for gap in gaps for number in gap] == [
                    number for number in range(first, asked) if number not in numbers
                ]


def test_stream_of_which_nothing_is_known_was_never_written() -> None:
    known = KnownStreams(most=1, horizon_us=0).of("a")
    known.add(1)
    assert (known.last_us, known.is_settled) == (0, False)


def test_time_of_a_stream_is_the_latest_that_was_told_of_its_last_events() -> None:
    known = Known()
    for event_id, written_us, last_us in [(3, 7, 7), (1, 9, 7), (3, 8, 8), (4, 6, 8), (9, 20, 20)]:
        known.add(event_id, written_us)
        assert known.last_us == last_us


def test_ranges_are_bounded_and_the_lowest_are_forgotten() -> None:
    known = Known()
    for number in range(2, 1_000, 2):
        known.add(number)
    assert len(known.ranges) == 64
    assert (known.has(998), known.has(2)) == (True, False)


def test_search_finds_where_it_begins_to_be_true() -> None:
    asked: list[int] = []
    for low, length, true_from in product((1, 2, 7), range(40), range(50)):

        def is_true(number: int, true_from: int = true_from) -> bool:
            asked.append(number)
            return number >= true_from

        end = low + length
        assert first_true(low, end, is_true) == min(max(low, true_from), end)
        assert len(asked) <= 2 * max(1, length).bit_length() + 1
        assert all(low <= number < end for number in asked)
        asked.clear()


def test_search_goes_back_twice_as_far_each_time_and_then_halves() -> None:
    asked: list[int] = []

    def is_true(number: int) -> bool:
        asked.append(number)
        return number >= 90

    assert first_true(1, 101, is_true) == 90
    assert asked == [100, 98, 94, 86, 90, 88, 89]


def test_forgotten_stream_raises_the_horizon_to_its_last_event() -> None:
    streams = KnownStreams(most=1, horizon_us=5)
    for number, stream_id in enumerate(("a", "b", "c")):
        known = streams.of(stream_id)
        known.add(1, 10 * (number + 1))
        streams.note(stream_id, known)
    assert streams.horizon_us == 20
    assert (streams.of("b").last, streams.of("c").last) == (0, 1)


def test_stream_that_was_noted_the_longest_ago_is_forgotten() -> None:
    streams = KnownStreams(most=2, horizon_us=100)
    for stream_id, event_id in (("a", 1), ("b", 1), ("a", 2), ("c", 1)):
        known = streams.of(stream_id)
        known.add(event_id, 50 + event_id)
        streams.note(stream_id, known)
    assert [streams.of(stream_id).last for stream_id in "abc"] == [2, 0, 1]
    assert streams.horizon_us == 100  # what was forgotten lies before it already


@pytest.mark.parametrize(
    ("horizon_us", "last_us", "is_certain"),
    [(0, 0, True), (H, LATE, False), (H, LATE + 1, True), (H, H, True)],
)
def test_what_follows_an_event_is_unhandled_but_behind_one_logged_late(
    horizon_us: int, last_us: int, is_certain: bool
) -> None:
    known = Known()
    known.add(3, last_us)
    assert KnownStreams(most=9, horizon_us=horizon_us).is_certain_behind(known) is is_certain


# Events 3, 5 and 6 of a stream are known; 9 has come.
@pytest.mark.parametrize(
    ("horizon_us", "last_us", "written_us", "is_settled", "due_from", "first"),
    [
        # All that was ever handled is known: the rest is unhandled, as far as it's asked for.
        (0, H, H, True, 1, 7),
        (0, H, H, False, 1, 1),
        (0, H, H, False, 4, 4),
        (0, H, H, False, 8, 8),
        (0, H, H, False, 10, 9),
        # The last known one was logged late: what's behind it may be handled, unless it's younger.
        (H, LATE, H + 1, False, 1, 7),
        (H, LATE, H + 1, False, 8, 8),
        (H, LATE, H + 1, True, 10, 9),
        (H, LATE, H, False, 1, 9),
        # Behind the last known one nothing is handled. Before it something may be that isn't.
        (H, LATE + 1, H + 1, True, 1, 7),
        (H, H, H + 1, False, 1, 7),
        (H, H + 1, H + 1, False, 1, 4),
        (H, H + 1, H + 1, False, 4, 4),
        (H, H + 1, H + 1, False, 5, 7),
        (H, H + 1, H + 1, True, 4, 7),
    ],
)
def test_unhandled_events_begin_where_nothing_says_that_they_were_handled(
    *, horizon_us: int, last_us: int, written_us: int, is_settled: bool, due_from: int, first: int
) -> None:
    known = Known()
    for event_id in (3, 5, 6):
        known.add(event_id, last_us if event_id == 6 else 0)
    known.is_settled = is_settled
    streams = KnownStreams(most=9, horizon_us=horizon_us)
    assert streams.first_unhandled(known, 9, written_us, is_due=lambda number: number >= due_from) == first


@pytest.mark.parametrize(
    ("known_ids", "due_from", "first"),
    [((3, 4), 1, 1), ((3, 4), 2, 2), ((2, 3), 1, 1), ((1, 2), 1, 3), ((1, 4), 1, 2)],
)
def test_unhandled_events_before_the_first_known_ones_are_looked_for(
    known_ids: tuple[int, ...], due_from: int, first: int
) -> None:
    known, asked = Known(), list[int]()
    for event_id in known_ids:
        known.add(event_id, H + 1)

    def is_due(event_id: int) -> bool:
        asked.append(event_id)
        return event_id >= due_from

    assert KnownStreams(most=9, horizon_us=H).first_unhandled(known, 9, H + 1, is_due=is_due) == first
    assert all(event_id not in known_ids for event_id in asked)
