"""The publisher: order, calls, retries, parking and the stop, each by its rule."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import pairwise
from math import ceil

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eventstore import ANY, Event, NewEvent
from eventstore._checks import written_us_of
from eventstore.delivery.cloudevents import EntryFormat
from eventstore.delivery.publisher import FailedEvent, Publication, Publisher
from eventstore.errors import MalformedItem, StoreUnavailable, StreamGap
from eventstore.limits import (
    NOT_YET_VISIBLE_S,
    PUBLISH_MAX_TRIES,
    PUBLISH_RESERVE_S,
    PUT_EVENTS_MAX_BYTES,
    REORDER_WINDOW_S,
    WRITTEN_LATE_S,
)
from eventstore.memory.store import MemoryEventStore
from eventstore.ordering.delivered import DeliveredStreams
from eventstore.ordering.journal import Journal
from eventstore.ordering.stream_order import ChangeRecord, Missing
from tests.buses import MALFORMED, THROTTLED, Address, CountingReader, RecordingBus, RecordingFailedEvents

SECOND_US = 1_000_000
NOON_US = 1_769_860_800 * SECOND_US
WINDOW_S = REORDER_WINDOW_S + WRITTEN_LATE_S
OLD_S = WINDOW_S + 1


class Shop:
    """A store, its publisher and everything around them; time stands still unless it's moved."""

    def __init__(
        self,
        *,
        reorder_window_s: float | None = REORDER_WINDOW_S,
        max_bytes: int = PUT_EVENTS_MAX_BYTES,
        jitter: float = 1.0,
    ) -> None:
        self.jitter = jitter
        self.now_us = NOON_US
        self.remaining_s = [60.0]
        self.pauses_s: list[float] = []
        self.store = MemoryEventStore(clock_us=lambda: self.now_us)
        self.reader = CountingReader(self.store)
        self.bus = RecordingBus()
        self.failed = RecordingFailedEvents()
        self.reorder_window_s = reorder_window_s
        self.max_bytes = max_bytes
        self.journal: Journal | None = None
        self.publisher = self.new_publisher()

    def new_publisher(self) -> Publisher:
        return Publisher(
            reader=self.reader,
            journal=self.journal,
            bus=self.bus,
            failed_events=self.failed,
            entry_format=EntryFormat(
                source="shop", api_url="https://api.example.com", max_bytes=self.max_bytes
            ),
            reorder_window_s=self.reorder_window_s,
            clock_us=lambda: self.now_us,
            jitter=lambda: self.jitter,
            sleep=self.pauses_s.append,
        )

    def has(self, stream_id: str, *, events: int, apart_s: float = 0.0, size_bytes: int = 0) -> list[Event]:
        """Append events to a stream, some seconds apart."""
        appended: list[Event] = []
        for _ in range(events):
            new = NewEvent(name="Happened", payload=f'"{"x" * size_bytes}"')
            appended += self.store.append(stream_id, [new], expected=ANY).events
            self.now_us += round(apart_s * SECOND_US)
        return appended

    def publish(self, events: Iterable[Event | MalformedItem]) -> Publication:
        return self.take(
            ChangeRecord(sequence_number(place), event.stream_id, event.event_id, event)
            for place, event in enumerate(events)
        )

    def record(self, event: Event, *, created_s: float, previous_s: float | None = None) -> ChangeRecord:
        """A record as DynamoDB makes it, some seconds after noon; `previous_s` as the event tells."""
        return ChangeRecord(
            sequence_number(event.event_id),
            event.stream_id,
            event.event_id,
            event,
            created_us=NOON_US + round(created_s * SECOND_US),
            previous_us=None if previous_s is None else NOON_US + round(previous_s * SECOND_US),
        )

    def take(self, records: Iterable[ChangeRecord]) -> Publication:
        records = list(records)
        return self.publisher.publish(records, remaining_time_s=self._remaining_s)

    def _remaining_s(self) -> float:
        return self.remaining_s.pop(0) if len(self.remaining_s) > 1 else self.remaining_s[0]


def ids(addresses: Sequence[Address], stream_id: str) -> list[int]:
    return [event_id for stream, event_id in addresses if stream == stream_id]


def sequence_number(place: int) -> str:
    return f"1000000000000000000000{place:06}"


# --- calls ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 10, 11, 25, 100])
def test_events_of_different_streams_take_one_call_for_ten(count: int) -> None:
    shop = Shop()
    done = shop.publish([shop.has(f"order-{n}", events=1)[0] for n in range(count)])
    assert len(shop.bus.calls) == ceil(count / 10)
    assert done.published == count
    assert (shop.reader.looks, shop.reader.queries) == ([], 0)


@settings(deadline=None)  # the machine may be busy
@given(lengths=st.lists(st.integers(1, 9), min_size=1, max_size=40), seed=st.randoms(use_true_random=False))
def test_calls_are_as_few_as_ten_entries_and_one_event_of_a_stream_allow(
    lengths: list[int], seed: st.DataObject
) -> None:
    shop = Shop()
    events = [event for n, length in enumerate(lengths) for event in shop.has(f"s{n}", events=length)]
    seed.shuffle(events)  # type: ignore[attr-defined]
    done = shop.publish(events)
    assert done.stopped is None
    assert len(shop.bus.calls) == max(ceil(len(events) / 10), *lengths)
    assert all(max(Counter(stream for stream, _ in call).values()) == 1 for call in shop.bus.asked)
    assert all(len(call) <= 10 for call in shop.bus.calls)
    for n, length in enumerate(lengths):
        assert ids(shop.bus.taken, f"s{n}") == list(range(1, length + 1))


def test_calls_stay_below_the_byte_limit() -> None:
    shop = Shop()
    events = [shop.has(f"order-{n}", events=1, size_bytes=100_000)[0] for n in range(6)]
    shop.publish(events)
    assert [len(call) for call in shop.bus.calls] == [2, 2, 2]


def test_entries_share_a_call_that_is_a_byte_below_the_limit_and_none_at_it() -> None:
    alone = Shop()
    alone.publish([alone.has(name, events=1)[0] for name in ("a", "b", "c")])
    size_bytes = sum(entry.size_bytes for entry in alone.bus.calls[0])

    for max_bytes, calls in ((size_bytes + 1, [3]), (size_bytes, [2, 1])):
        shop = Shop(max_bytes=max_bytes)
        shop.publish([shop.has(name, events=1)[0] for name in ("a", "b", "c")])
        assert [len(call) for call in shop.bus.calls] == calls


@settings(deadline=None)
@given(sizes=st.lists(st.integers(0, 20_000), min_size=1, max_size=30))
def test_no_call_reaches_the_byte_limit_and_none_is_half_empty_for_nothing(sizes: list[int]) -> None:
    shop = Shop(max_bytes=32 * 1_024)
    events = [shop.has(f"s{n}", events=1, size_bytes=size)[0] for n, size in enumerate(sizes)]
    shop.publish(events)
    assert all(sum(entry.size_bytes for entry in call) < 32 * 1_024 for call in shop.bus.calls)
    for one, next_one in pairwise(shop.bus.calls):
        smallest = min(entry.size_bytes for entry in next_one)
        full = sum(entry.size_bytes for entry in one) + smallest >= 32 * 1_024
        assert full or len(one) == 10
    assert sorted(shop.bus.taken) == sorted((event.stream_id, 1) for event in events)


@settings(deadline=None)
@given(
    streams=st.lists(st.lists(st.integers(0, 9_000), min_size=1, max_size=6), min_size=1, max_size=25),
    throttled=st.lists(st.integers(0, 2), max_size=40),
    seed=st.randoms(use_true_random=False),
)
def test_each_call_takes_the_longest_rests_first_others_as_they_arrived(
    streams: list[list[int]], throttled: list[int], seed: random.Random
) -> None:
    shop = Shop(max_bytes=32 * 1_024)
    events = [
        shop.has(f"s{n}", events=1, size_bytes=size)[0] for n, sizes in enumerate(streams) for size in sizes
    ]
    seed.shuffle(events)
    addresses = [(event.stream_id, event.event_id) for event in events]
    tries = dict(zip(addresses, throttled, strict=False))
    shop.bus.refusals = {address: [THROTTLED] * times for address, times in tries.items()}
    assert shop.publish(events).stopped is None

    entry_of = {(entry.stream_id, entry.event_id): entry for call in shop.bus.calls for entry in call}
    rest = {stream_id: sorted(ids(addresses, stream_id)) for stream_id, _ in addresses}
    places = {
        stream_id: [place for place, (other, _) in enumerate(addresses) if other == stream_id]
        for stream_id in rest
    }
    for asked in shop.bus.asked:
        calls_left = max(ceil(sum(map(len, rest.values())) / 10), *map(len, rest.values()))
        size_bytes, call = 0, []
        for stream_id in sorted(rest, key=lambda one: (len(rest[one]) < calls_left, places[one][0])):
            entry_bytes = entry_of[stream_id, rest[stream_id][0]].size_bytes
            if len(call) < 10 and size_bytes + entry_bytes < 32 * 1_024:
                call.append(stream_id)
                size_bytes += entry_bytes
        assert asked == [
            (stream_id, rest[stream_id][0]) for stream_id in sorted(call, key=lambda one: places[one][0])
        ]
        for stream_id in call:
            address = (stream_id, rest[stream_id][0])
            if tries.get(address, 0):
                tries[address] -= 1
                continue
            del rest[stream_id][0], places[stream_id][0]
            if not rest[stream_id]:
                del rest[stream_id]
    assert not rest


# --- order inside a batch -------------------------------------------------------------------------


def test_batch_keeps_its_arrival_order_but_for_the_order_of_each_stream() -> None:
    shop = Shop()
    a1, a2 = shop.has("a", events=2)
    (b1,) = shop.has("b", events=1)
    (c1,) = shop.has("c", events=1)
    shop.publish([b1, a2, a1, c1])
    assert shop.bus.asked == [[("b", 1), ("a", 1), ("c", 1)], [("a", 2)]]


def test_repeated_records_of_a_batch_are_published_once() -> None:
    shop = Shop()
    events = shop.has("a", events=3)
    done = shop.publish([*events, *events])
    assert shop.bus.taken == [("a", 1), ("a", 2), ("a", 3)]
    assert done.published == 3


def test_hole_inside_a_batch_is_read_back_however_long_ago_it_was() -> None:
    shop = Shop()
    events = shop.has("a", events=7, apart_s=3_600)
    shop.publish(events[:5])
    shop.publisher = shop.new_publisher()
    shop.reader.queries = 0
    shop.publish([events[4], events[6]])
    assert ids(shop.bus.taken, "a") == [1, 2, 3, 4, 5, 5, 6, 7]
    assert shop.reader.looks == [[("a", 4)]]
    assert shop.reader.queries == 1


def test_hole_wider_than_what_is_read_back_is_filled_within_the_window_only() -> None:
    shop = Shop()
    events = shop.has("a", events=1_500, apart_s=1)
    shop.publish([events[0], events[-1]])
    assert ids(shop.bus.taken, "a") == [1, *range(1_500 - int(WINDOW_S), 1_501)]


# --- predecessors across batches ------------------------------------------------------------------


def test_predecessors_within_the_window_go_out_first() -> None:
    shop = Shop()
    events = shop.has("a", events=8, apart_s=WINDOW_S / 4)
    shop.publish([events[7]])
    assert ids(shop.bus.taken, "a") == [4, 5, 6, 7, 8]


def test_predecessor_beyond_the_window_costs_one_look_and_no_repeat() -> None:
    shop = Shop()
    events = shop.has("a", events=4, apart_s=OLD_S)
    shop.publish([events[3]])
    assert ids(shop.bus.taken, "a") == [4]
    assert (shop.reader.looks, shop.reader.queries) == ([[("a", 3)]], 0)


def test_predecessor_at_the_edge_of_the_window_goes_out_first() -> None:
    shop = Shop(reorder_window_s=5)
    for stream_id, apart_s in (("in", 5.0 + WRITTEN_LATE_S), ("out", 5.000_001 + WRITTEN_LATE_S)):
        shop.publish(shop.has(stream_id, events=2, apart_s=apart_s)[1:])
    assert shop.bus.taken == [("in", 1), ("in", 2), ("out", 2)]


@pytest.mark.parametrize(
    ("streams", "looks"), [(1, [1]), (100, [100]), (101, [100, 1]), (250, [100, 100, 50])]
)
def test_predecessors_of_100_streams_are_looked_at_together(streams: int, looks: list[int]) -> None:
    shop = Shop()
    last = [shop.has(f"s{n}", events=3, apart_s=OLD_S)[2] for n in range(streams)]
    first = [shop.has(f"first-{n}", events=1)[0] for n in range(20)]
    done = shop.publish([*first[:10], *last, *first[10:]])
    assert [len(look) for look in shop.reader.looks] == looks
    assert [address for look in shop.reader.looks for address in look] == [(e.stream_id, 2) for e in last]
    assert (shop.reader.queries, done.published) == (0, streams + 20)


def test_only_streams_whose_predecessor_does_not_tell_enough_are_queried() -> None:
    shop = Shop()
    old = shop.has("old", events=3, apart_s=OLD_S)
    near = shop.has("near", events=3, apart_s=1)
    gone = shop.has("gone", events=3, apart_s=OLD_S)
    del shop.store._streams["gone"][1:]
    shop.now_us += round(NOT_YET_VISIBLE_S * SECOND_US)
    done = shop.publish([old[2], near[2], gone[2]])
    assert done.missing == (Missing("gone", 2, 2),)
    assert shop.reader.looks == [[("old", 2), ("near", 2), ("gone", 2)]]
    assert shop.reader.queries == 2
    assert shop.bus.taken == [("old", 3), ("near", 1), ("gone", 3), ("near", 2), ("near", 3)]


def test_timestamps_are_compared_not_the_clock_so_a_backlog_changes_nothing() -> None:
    shop = Shop()
    events = shop.has("a", events=3, apart_s=1)
    shop.now_us += 20 * 3_600 * SECOND_US
    shop.publish([events[2]])
    assert ids(shop.bus.taken, "a") == [1, 2, 3]


def test_remembered_streams_cost_no_read_and_first_events_neither() -> None:
    shop = Shop()
    events = shop.has("a", events=6, apart_s=0.1)
    for event in events:
        shop.publish([event])
    assert (shop.reader.looks, shop.reader.queries) == ([], 0)
    assert ids(shop.bus.taken, "a") == [1, 2, 3, 4, 5, 6]


def test_only_what_came_after_the_remembered_event_is_read_back() -> None:
    shop = Shop()
    events = shop.has("a", events=9, apart_s=0.1)
    shop.publish(events[:4])
    shop.publish([events[7]])
    assert ids(shop.bus.taken, "a") == [1, 2, 3, 4, 5, 6, 7, 8]
    assert shop.reader.events == 3


def test_late_record_is_passed_over_when_this_process_published_its_event() -> None:
    shop = Shop()
    events = shop.has("a", events=3, apart_s=0.1)
    shop.publish([events[2]])
    done = shop.publish([events[0], events[1]])
    assert ids(shop.bus.taken, "a") == [1, 2, 3]
    assert (done.published, done.stopped) == (0, None)


def test_record_older_than_all_that_was_published_is_never_passed_over() -> None:
    shop = Shop()
    events = shop.has("a", events=3, apart_s=60)
    shop.publish([events[2]])
    shop.publish([events[1]])
    assert ids(shop.bus.taken, "a") == [3, 2]


def test_without_a_window_only_holes_are_read_back() -> None:
    shop = Shop(reorder_window_s=0)
    events = shop.has("a", events=5, apart_s=0.1)
    shop.publish([events[1]])
    assert (shop.reader.looks, shop.reader.queries) == ([], 0)
    shop.publish([events[2], events[4]])
    assert ids(shop.bus.taken, "a") == [2, 3, 4, 5]
    assert shop.reader.queries == 1


def test_publisher_that_looks_for_nothing_else_fills_no_hole() -> None:
    shop = Shop(reorder_window_s=None)
    events = shop.has("a", events=5, apart_s=0.1)
    assert shop.publish([events[1], events[4]]).stopped is None
    assert ids(shop.bus.taken, "a") == [2, 5]
    assert (shop.reader.looks, shop.reader.queries) == ([], 0)


def test_earlier_event_that_is_not_visible_yet_is_waited_for() -> None:
    shop = Shop()
    events = shop.has("a", events=3, apart_s=0.1)
    kept = shop.store._streams["a"].pop(1)
    shop.store._streams["a"].pop()

    stopped = shop.publish([events[2]]).stopped
    assert stopped is not None
    assert stopped.reason == "EventId 2 of stream 'a' can't be seen yet"
    assert shop.bus.taken == []

    shop.store._streams["a"] += [kept, events[2]]
    assert shop.publish([events[2]]).stopped is None
    assert ids(shop.bus.taken, "a") == [1, 2, 3]


@pytest.mark.parametrize("deleted", [[1], [2], [1, 2]])
def test_event_that_is_deleted_does_not_stop_the_next_and_is_told(deleted: list[int]) -> None:
    shop = Shop()
    events = shop.has("a", events=4, apart_s=0.1)
    shop.store._streams["a"] = [event for event in events if event.event_id not in deleted]
    shop.store.read_stream = partial(stored, shop.store._streams)  # type: ignore[method-assign]
    shop.now_us += round(NOT_YET_VISIBLE_S * SECOND_US)
    done = shop.publish([events[3]])
    assert ids(shop.bus.taken, "a") == [of for of in (1, 2, 3, 4) if of not in deleted]
    assert done.missing == (Missing("a", deleted[0], deleted[-1]),)


def stored(
    streams: dict[str, list[Event]],
    stream_id: str,
    *,
    from_version: int,
    to_version: int,
    limit: int | None = None,
    **_: object,
) -> Iterator[Event]:
    """What a backward read of a stream that lacks events gives, as DynamoDB's adapter does."""
    due = None
    for event in [of for of in reversed(streams[stream_id]) if from_version <= of.event_id <= to_version][
        :limit
    ]:
        if due not in (None, event.event_id):
            raise StreamGap(stream_id=stream_id, first_missing=event.event_id + 1, last_missing=due)
        due = event.event_id - 1
        yield event
    if due is not None and due >= from_version:
        raise StreamGap(stream_id=stream_id, first_missing=from_version, last_missing=due)


# --- what is known of predecessors ----------------------------------------------------------------


def test_event_that_says_the_one_before_is_old_costs_no_read_and_no_look() -> None:
    shop = Shop()
    journal = shop.journal = CountingJournal()
    shop.publisher = shop.new_publisher()
    _, second = shop.has("a", events=2)
    shop.take([shop.record(second, created_s=WINDOW_S + 0.1, previous_s=0.0)])
    assert (shop.bus.taken, shop.reader.looks, shop.reader.queries) == ([("a", 2)], [], 0)
    assert (journal.asked, journal.told) == ([], [{"a": 2}])


def test_event_whose_predecessor_is_journaled_is_not_read_back() -> None:
    shop = Shop()
    journal = shop.journal = CountingJournal()
    first, second, third = shop.has("a", events=3)
    for record in (
        shop.record(first, created_s=0),
        shop.record(second, created_s=1, previous_s=0),
        shop.record(third, created_s=2, previous_s=1),
    ):
        shop.publisher = shop.new_publisher()  # each batch in another process
        assert shop.take([record]).unjournaled is None
    assert ids(shop.bus.taken, "a") == [1, 2, 3]
    assert (shop.reader.looks, shop.reader.queries) == ([], 0)
    assert (journal.asked, journal.told) == ([{"a"}, {"a"}], [{"a": 1}, {"a": 2}, {"a": 3}])


def test_only_what_is_behind_the_journaled_event_is_read_back() -> None:
    shop = Shop()
    shop.journal = CountingJournal({"a": 3})
    shop.publisher = shop.new_publisher()
    events = shop.has("a", events=6)
    shop.take([shop.record(events[5], created_s=1, previous_s=0)])
    assert ids(shop.bus.taken, "a") == [4, 5, 6]


def test_process_that_others_have_overtaken_repeats_nothing_of_theirs() -> None:
    shop = Shop()
    shop.journal = CountingJournal({})
    shop.publisher = mine = shop.new_publisher()
    events = shop.has("a", events=9)
    shop.take([shop.record(events[0], created_s=0)])
    shop.publisher = shop.new_publisher()
    shop.take([shop.record(event, created_s=1, previous_s=0) for event in events[1:8]])
    shop.publisher = mine
    shop.take([shop.record(events[8], created_s=1, previous_s=1)])
    assert ids(shop.bus.taken, "a") == [1, 2, 3, 4, 5, 6, 7, 8, 9]


def test_journal_that_can_not_be_asked_costs_a_repeat_and_never_the_order() -> None:
    shop = Shop()
    shop.journal = CountingJournal({"a": 1}, is_available=False)
    shop.publisher = shop.new_publisher()
    events = shop.has("a", events=2)
    done = shop.take([shop.record(events[1], created_s=1, previous_s=0)])
    assert ids(shop.bus.taken, "a") == [1, 2]
    assert done.stopped is None
    assert "throttled" in str(done.unjournaled)


def test_nothing_is_journaled_that_the_bus_has_not_taken() -> None:
    shop = Shop()
    journal = shop.journal = CountingJournal()
    shop.publisher = shop.new_publisher()
    shop.bus.refusals = {("a", 2): [THROTTLED] * PUBLISH_MAX_TRIES, ("b", 1): [THROTTLED] * PUBLISH_MAX_TRIES}
    assert shop.publish([*shop.has("a", events=3), *shop.has("b", events=1)]).stopped
    assert journal.told == [{"a": 1}]


@dataclass
class CountingJournal:
    """A journal that tells what it was asked and told."""

    through: dict[str, int] = field(default_factory=dict)
    is_available: bool = True
    asked: list[set[str]] = field(default_factory=list)
    told: list[dict[str, int]] = field(default_factory=list)

    def published(self, stream_ids: Collection[str]) -> dict[str, int]:
        self._check()
        self.asked.append(set(stream_ids))
        return {stream_id: self.through[stream_id] for stream_id in stream_ids if stream_id in self.through}

    def add(self, published: Mapping[str, int]) -> None:
        self._check()
        self.told.append(dict(published))
        self.through.update(published)

    def _check(self) -> None:
        if not self.is_available:
            raise StoreUnavailable(operation="journal", reason="throttled")


# --- writers' clocks ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first_s", "second_s", "created_s"),
    [(-6.0, 0.0, 0.0), (6.0, 0.0, 0.0), (-7.0, 6.0, 0.0), (-3_600.0, 0.0, 3_590.0)],
    ids=["slow write", "clock ahead", "slow write, then a clock ahead", "imported an hour after its time"],
)
def test_record_that_comes_a_batch_before_its_predecessors_waits_for_it(
    first_s: float, second_s: float, created_s: float
) -> None:
    shop = Shop()
    first = Event("a", 1, "E", "1", "{}", "uid", NOON_US + round(first_s * SECOND_US))
    if created_s:
        first = replace(first, written_us=NOON_US + round((first_s + created_s) * SECOND_US))
    second = Event(
        "a", 2, "E", "1", "{}", "uid", max(first.timestamp_us + 1, NOON_US + round(second_s * SECOND_US))
    )
    shop.store._streams["a"] = [first, second]
    previous_s = (written_us_of(first) - NOON_US) / SECOND_US
    shop.take([shop.record(second, created_s=0.0, previous_s=previous_s)])
    shop.take([shop.record(first, created_s=0.0)])
    assert ids(shop.bus.taken, "a") == [1, 2]


@pytest.mark.parametrize("tells", [True, False], ids=["events tell", "events don't tell"])
def test_clock_a_day_ahead_has_no_more_read_back_than_one_event(tells: bool) -> None:
    shop = Shop()
    shop.has("a", events=50, apart_s=OLD_S)
    shop.now_us += 86_400 * SECOND_US
    shop.has("a", events=1)
    shop.now_us -= 86_400 * SECOND_US
    events = [*shop.store.read_stream("a"), *shop.has("a", events=50, apart_s=OLD_S)]
    for last, before in ((events[51], events[50]), (events[-1], events[-2])):
        shop.bus.taken.clear()
        created_s = (written_us_of(last) - NOON_US) / SECOND_US
        previous_s = (written_us_of(before) - NOON_US) / SECOND_US if tells else None
        shop.publisher = shop.new_publisher()
        shop.take([shop.record(last, created_s=created_s, previous_s=previous_s)])
        assert ids(shop.bus.taken, "a") in ([last.event_id], [last.event_id - 1, last.event_id])


def test_memory_forgets_the_stream_used_longest_ago() -> None:
    memory = DeliveredStreams(max_streams=2)
    memory.add("a", 1)
    memory.add("b", 1)
    memory.add("a", 2)
    memory.add("c", 1)
    assert [memory.has("a", 1), memory.has("a", 2), memory.has("b", 1), memory.has("c", 1)] == [
        True,
        True,
        False,
        True,
    ]


def test_memory_keeps_the_last_run_of_a_stream() -> None:
    memory = DeliveredStreams()
    for event_id in (5, 6, 9, 8, 3):
        memory.add("a", event_id)
    assert [n for n in range(1, 12) if memory.has("a", n)] == [8, 9]
    assert (memory.last_before("a", 10), memory.last_before("a", 9), memory.last_before("a", 7)) == (9, 0, 0)
    memory.add("a", 9)
    assert memory.has("a", 8)


# --- failures -------------------------------------------------------------------------------------


def test_passing_failure_is_retried_in_place_with_growing_pauses() -> None:
    shop = Shop()
    events = [*shop.has("a", events=2), *shop.has("b", events=2)]
    shop.bus.refusals = {("a", 1): [THROTTLED] * 3}
    done = shop.publish(events)
    assert ids(shop.bus.taken, "a") == [1, 2]
    assert ids(shop.bus.taken, "b") == [1, 2]
    assert shop.pauses_s == [0.1, 0.2, 0.4]
    assert (done.published, done.stopped) == (4, None)


def test_pause_between_tries_is_shortened_by_chance() -> None:
    shop = Shop(jitter=0.25)
    shop.bus.refusals = {("a", 1): [THROTTLED] * 2}
    shop.publish(shop.has("a", events=1))
    assert shop.pauses_s == [0.025, 0.05]


def test_only_what_failed_is_sent_again() -> None:
    shop = Shop()
    shop.bus.refusals = {("s3", 1): [THROTTLED]}
    shop.publish([shop.has(f"s{n}", events=1)[0] for n in range(5)])
    assert shop.bus.asked[1] == [("s3", 1)]


def test_batch_stops_after_the_last_try_and_nothing_of_that_stream_goes_out() -> None:
    shop = Shop()
    events = [*shop.has("b", events=1), *shop.has("a", events=3), *shop.has("c", events=1)]
    shop.bus.refusals = {("a", 2): [THROTTLED] * PUBLISH_MAX_TRIES}
    done = shop.publish(events)
    assert ids(shop.bus.taken, "a") == [1]
    assert len(shop.pauses_s) == PUBLISH_MAX_TRIES - 1
    assert done.stopped
    assert done.stopped.sequence_number == sequence_number(2)
    assert (done.stopped.stream_id, done.stopped.event_id) == ("a", 2)
    assert "ThrottlingException" in done.stopped.reason


def test_retry_after_a_stop_repeats_nothing_that_this_process_has_published() -> None:
    shop = Shop()
    events = [*shop.has("a", events=2), *[shop.has(f"s{n}", events=1)[0] for n in range(20)]]
    shop.bus.refusals = {("a", 2): [THROTTLED] * PUBLISH_MAX_TRIES}
    assert shop.publish(events).stopped
    assert shop.publish(events[1:]).stopped is None
    assert len(shop.bus.taken) == len(set(shop.bus.taken)) == 22


def test_stop_reports_the_lowest_sequence_number_of_shuffled_records() -> None:
    shop = Shop()
    a1, a2, a3 = shop.has("a", events=3)
    (b1,) = shop.has("b", events=1)
    shop.bus.refusals = {("a", 2): [THROTTLED] * PUBLISH_MAX_TRIES}
    done = shop.publish([a1, b1, a3, a2, a2])
    assert done.stopped
    assert done.stopped.sequence_number == sequence_number(2)


def test_permanent_failure_is_parked_at_once_and_the_next_events_flow() -> None:
    shop = Shop()
    events = shop.has("a", events=3)
    shop.bus.refusals = {("a", 2): [MALFORMED]}
    done = shop.publish(events)
    assert ids(shop.bus.taken, "a") == [1, 3]
    assert done.parked == tuple(shop.failed.parked) == (FailedEvent("a", 2, "MalformedDetail: no"),)
    assert (shop.pauses_s, done.stopped, done.published) == ([], None, 2)


def test_parked_event_counts_as_done_for_the_next_batch() -> None:
    shop = Shop()
    events = shop.has("a", events=3)
    shop.bus.refusals = {("a", 2): [MALFORMED]}
    shop.publish(events[:2])
    shop.publish(events[1:])
    assert ids(shop.bus.taken, "a") == [1, 3]
    assert len(shop.failed.parked) == 1
    assert shop.reader.queries == 0


def test_item_that_is_not_an_event_is_parked_and_does_not_block() -> None:
    shop = Shop()
    events = shop.has("a", events=3)
    bad = MalformedItem(stream_id="a", event_id=2, reason="'Payload' is missing")
    done = shop.publish([events[0], bad, events[2]])
    assert ids(shop.bus.taken, "a") == [1, 3]
    assert done.parked == (FailedEvent("a", 2, "'Payload' is missing"),)


def test_event_too_large_even_by_reference_is_parked() -> None:
    shop = Shop()
    (event,) = shop.store.append(
        "a", [NewEvent.of("Happened", metadata={"correlationId": "x" * 300_000})], expected=0
    ).events
    done = shop.publish([event])
    assert [failed.event_id for failed in done.parked] == [1]
    assert "shorten its metadata" in done.parked[0].reason
    assert shop.bus.calls == []


def test_bad_item_in_a_hole_is_parked_and_what_lies_below_is_still_read() -> None:
    class Broken(CountingReader):
        def read_stream(self, stream_id, **options):  # type: ignore[no-untyped-def]
            for event in super().read_stream(stream_id, **options):
                if event.event_id == 3:
                    raise MalformedItem(stream_id=stream_id, event_id=3, reason="'Payload' is missing")
                yield event

    shop = Shop()
    events = shop.has("a", events=5, apart_s=0.1)
    shop.reader = Broken(shop.store)
    shop.publisher = shop.new_publisher()
    done = shop.publish([events[4]])
    assert ids(shop.bus.taken, "a") == [1, 2, 4, 5]
    assert [failed.event_id for failed in done.parked] == [3]


def test_first_event_behind_a_bad_item_still_looks_for_what_precedes() -> None:
    shop = Shop()
    events = shop.has("a", events=4, apart_s=0.1)
    bad = MalformedItem(stream_id="a", event_id=3, reason="'Payload' is missing")
    shop.publish([bad, events[3]])
    assert ids(shop.bus.taken, "a") == [1, 2, 4]


@pytest.mark.parametrize("bad", [2, 3])
def test_bad_item_that_comes_before_what_precedes_it_hides_nothing_later(bad: int) -> None:
    shop = Shop()
    events = shop.has("a", events=bad + 1, apart_s=0.1)
    shop.publish([MalformedItem(stream_id="a", event_id=bad, reason="'Payload' is missing")])
    shop.publish([events[bad]])
    assert [event_id for event_id in ids(shop.bus.taken, "a") if event_id < bad] == [*range(1, bad)]


def test_parking_that_fails_is_retried_and_then_stops_the_batch() -> None:
    shop = Shop()
    events = shop.has("a", events=2)
    shop.bus.refusals = {("a", 1): [MALFORMED, MALFORMED]}
    shop.failed.unavailable_times = PUBLISH_MAX_TRIES
    done = shop.publish(events)
    assert done.stopped
    assert done.stopped.sequence_number == sequence_number(0)
    assert "queue of failed events" in done.stopped.reason
    assert shop.bus.taken == []
    assert shop.publish(events).stopped is None
    assert ids(shop.bus.taken, "a") == [2]


def test_parking_has_all_of_its_tries_whatever_the_publication_took() -> None:
    shop = Shop()
    shop.bus.refusals = {("a", 1): [*[THROTTLED] * (PUBLISH_MAX_TRIES - 1), MALFORMED]}
    shop.failed.unavailable_times = PUBLISH_MAX_TRIES - 1
    done = shop.publish(shop.has("a", events=2))
    assert done.stopped is None
    assert [failed.event_id for failed in done.parked] == [1]


def test_read_back_that_fails_stops_behind_the_streams_before_it() -> None:
    shop = Shop()
    (b1,) = shop.has("b", events=1)
    events = shop.has("a", events=2)
    (c1,) = shop.has("c", events=1)
    shop.reader.errors = [StoreUnavailable(operation="BatchGetItem", reason="throttled")]
    done = shop.publish([b1, events[1], c1])
    assert shop.bus.taken == [("b", 1)]
    assert done.stopped
    assert done.stopped.sequence_number == sequence_number(1)
    assert "throttled" in done.stopped.reason


def test_second_hundred_that_can_not_be_looked_at_stops_behind_the_first() -> None:
    class SecondFails(CountingReader):
        def read_times(self, addresses: Sequence[Address]) -> dict[Address, int]:
            if self.looks:
                raise StoreUnavailable(operation="BatchGetItem", reason="throttled")
            return super().read_times(addresses)

    shop = Shop()
    last = [shop.has(f"s{n}", events=2, apart_s=OLD_S)[1] for n in range(101)]
    shop.reader = SecondFails(shop.store)
    shop.publisher = shop.new_publisher()
    done = shop.publish(last)
    assert done.published == 100
    assert done.stopped
    assert (done.stopped.sequence_number, done.stopped.stream_id) == (sequence_number(100), "s100")
    assert "can't be read back" in done.stopped.reason


def test_query_that_fails_behind_the_look_stops_at_its_stream() -> None:
    class QueriesFail(CountingReader):
        def read_stream(self, stream_id: str, **_: object) -> Iterator[Event]:
            raise StoreUnavailable(operation="Query", reason=f"throttled at {stream_id}")

    shop = Shop()
    old, near = shop.has("old", events=2, apart_s=OLD_S), shop.has("near", events=2, apart_s=1)
    shop.reader = QueriesFail(shop.store)
    shop.publisher = shop.new_publisher()
    done = shop.publish([old[1], near[1]])
    assert shop.bus.taken == [("old", 2)]
    assert done.stopped
    assert done.stopped.sequence_number == sequence_number(1)


def test_batch_stops_before_the_deadline() -> None:
    shop = Shop()
    events = [shop.has(f"s{n}", events=1)[0] for n in range(30)]
    in_time, too_late = PUBLISH_RESERVE_S + 1, PUBLISH_RESERVE_S - 1
    shop.remaining_s = [in_time] * 30 + [in_time, in_time, too_late]  # 30 streams are planned, 2 calls made
    done = shop.publish(events)
    assert len(shop.bus.calls) == 2
    assert done.stopped
    assert done.stopped.sequence_number == sequence_number(20)
    assert (done.stopped.stream_id, done.stopped.event_id) == ("s20", 1)
    assert done.stopped.reason == "the function's time was up"


def test_what_is_left_to_the_functions_end_is_used_up_to_the_reserve() -> None:
    shop = Shop()
    shop.remaining_s = [PUBLISH_RESERVE_S]
    assert shop.publish(shop.has("a", events=3)[2:]).published == 3


def test_no_read_begins_when_the_time_is_up() -> None:
    shop = Shop()
    events = shop.has("a", events=2)
    shop.remaining_s = [PUBLISH_RESERVE_S - 1]
    done = shop.publish(events[1:])
    assert (shop.reader.looks, shop.reader.queries, shop.bus.calls) == ([], 0, [])
    assert done.stopped
    stopped = done.stopped
    assert (stopped.sequence_number, stopped.stream_id, stopped.event_id) == (sequence_number(0), "a", 2)


def test_no_query_begins_when_the_look_took_the_time() -> None:
    shop = Shop()
    events = shop.has("a", events=2)
    shop.remaining_s = [PUBLISH_RESERVE_S + 1, PUBLISH_RESERVE_S - 1]
    done = shop.publish(events[1:])
    assert (len(shop.reader.looks), shop.reader.queries, shop.bus.calls) == (1, 0, [])
    assert done.stopped
    assert done.stopped.reason == "the function's time was up before its turn"


def test_lag_is_the_longest_time_from_timestamp_to_publication() -> None:
    shop = Shop()
    events = [*shop.has("a", events=1, apart_s=3), *shop.has("b", events=1, apart_s=1)]
    assert shop.publish(events).max_lag_us == 4 * SECOND_US
    assert shop.publish(shop.has("c", events=1)).max_lag_us == 0


def test_empty_batch_is_done() -> None:
    shop = Shop()
    assert shop.publish([]) == Publication(published=0, parked=(), max_lag_us=None, stopped=None)
