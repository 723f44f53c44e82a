"""The contract of `EventStore`: what holds on every adapter."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import pairwise, product
from typing import Any
from uuid import uuid4

import pytest

from eventstore import (
    ANY,
    EXISTS,
    Append,
    DuplicateEventUid,
    EmptyAppend,
    Event,
    EventStore,
    EventTooLarge,
    Expected,
    ExpectedVersionAhead,
    Head,
    InvalidEventUid,
    InvalidExpectedVersion,
    InvalidLimit,
    InvalidRange,
    InvalidStreamId,
    NewEvent,
    Position,
    RepeatedStream,
    TooManyEvents,
    TransactionTooLarge,
    VersionConflict,
    execute,
)
from eventstore.positions import from_us
from eventstore.testing.clock import FakeClock

HOUR = timedelta(hours=1)
SETTLING_S = 10.0


def some_events(count: int = 1, *, name: str = "Happened", with_uids: bool = False) -> list[NewEvent]:
    """Make new events with distinct payloads."""
    return [NewEvent.of(name, {"n": n}, uid=str(uuid4()) if with_uids else None) for n in range(count)]


class EventStoreContract(ABC):
    """Subclass it as ``Test...`` and make an empty store; pytest runs the rest."""

    @abstractmethod
    def make_store(self, *, clock_us: Callable[[], int], settling_s: float) -> EventStore:
        """Make a store without events."""

    @pytest.fixture
    def clock(self) -> FakeClock:
        return FakeClock()

    @pytest.fixture
    def store(self, clock: FakeClock) -> EventStore:
        return self.make_store(clock_us=clock, settling_s=SETTLING_S)

    # --- append -----------------------------------------------------------------------------------

    def test_append_to_a_new_stream_begins_at_version_1(self, store: EventStore) -> None:
        appended = store.append("order-1", some_events(), expected=0)

        assert appended.version == 1
        assert not appended.repeated
        assert list(store.read_stream("order-1")) == list(appended.events)

    def test_append_keeps_payload_metadata_and_name_exactly(self, store: EventStore) -> None:
        payload = (
            '{ "big": 90071992547409931234567890, "exact": 0.1000000000000000000000000001, "ü": "\\u00fc" }'
        )
        new = NewEvent(name="Größe geändert", payload=payload, metadata='{"correlationId": "c-1"}')

        store.append("order-1", [new], expected=0)

        (event,) = store.read_stream("order-1")
        assert (event.name, event.payload, event.metadata) == (new.name, payload, new.metadata)

    def test_append_with_the_right_version_goes_behind_it(self, store: EventStore) -> None:
        store.append("order-1", some_events(2), expected=0)

        assert store.append("order-1", some_events(1), expected=2).version == 3

    def test_append_with_a_known_head_goes_behind_it(self, store: EventStore) -> None:
        head = store.append("order-1", some_events(2), expected=0).head

        assert store.append("order-1", some_events(3), expected=head).version == 5

    @pytest.mark.parametrize("count", [1, 2])
    def test_append_with_stale_version_conflicts(self, store: EventStore, count: int) -> None:
        store.append("order-1", some_events(3), expected=0)

        with pytest.raises(VersionConflict) as caught:
            store.append("order-1", some_events(count), expected=1)

        conflict = caught.value
        assert (conflict.stream_id, conflict.expected, conflict.actual) == ("order-1", 1, 3)
        assert store.head("order-1").version == 3

    @pytest.mark.parametrize("count", [1, 2])
    def test_append_to_a_stream_that_should_be_new_conflicts(self, store: EventStore, count: int) -> None:
        store.append("order-1", some_events(), expected=0)

        with pytest.raises(VersionConflict) as caught:
            store.append("order-1", some_events(count), expected=0)

        assert (caught.value.expected, caught.value.actual) == (0, 1)

    def test_append_with_a_stale_head_conflicts(self, store: EventStore) -> None:
        head = store.append("order-1", some_events(), expected=0).head
        store.append("order-1", some_events(), expected=head)

        with pytest.raises(VersionConflict) as caught:
            store.append("order-1", some_events(), expected=head)

        assert (caught.value.expected, caught.value.actual) == (1, 2)

    @pytest.mark.parametrize("ahead", [2, 3, 1_000_000])
    @pytest.mark.parametrize("count", [1, 2])
    def test_append_ahead_of_the_head_makes_no_gap(self, store: EventStore, ahead: int, count: int) -> None:
        store.append("order-1", some_events(), expected=0)

        with pytest.raises(ExpectedVersionAhead) as caught:
            store.append("order-1", some_events(count), expected=ahead)

        assert (caught.value.expected, caught.value.actual) == (ahead, 1)
        assert [event.event_id for event in store.read_stream("order-1")] == [1]

    def test_append_to_any_goes_behind_the_last_event(self, store: EventStore) -> None:
        store.append("order-1", some_events(2), expected=ANY)

        assert store.append("order-1", some_events(1), expected=ANY).version == 3

    def test_append_to_an_existing_stream_needs_an_event(self, store: EventStore) -> None:
        with pytest.raises(VersionConflict) as caught:
            store.append("order-1", some_events(), expected=EXISTS)
        assert (caught.value.expected, caught.value.actual) == ("exists", 0)

        store.append("order-1", some_events(), expected=0)
        assert store.append("order-1", some_events(), expected=EXISTS).version == 2

    def test_append_of_100_events_is_one_append(self, store: EventStore) -> None:
        appended = store.append("order-1", some_events(100), expected=0)

        assert [event.event_id for event in appended.events] == list(range(1, 101))
        assert tuple(store.read_stream("order-1")) == appended.events

    def test_racing_writers_win_a_version_once(self, store: EventStore) -> None:
        barrier = threading.Barrier(16)

        def write(_: int) -> bool:
            barrier.wait()
            try:
                store.append("order-1", some_events(), expected=0)
            except VersionConflict:
                return False
            return True

        with ThreadPoolExecutor(16) as pool:
            wins = list(pool.map(write, range(16)))

        assert sum(wins) == 1
        assert store.head("order-1").version == 1

    @pytest.mark.parametrize("expected", [ANY, EXISTS])
    def test_racing_writers_that_expect_no_version_all_get_in(
        self, store: EventStore, expected: Expected
    ) -> None:
        store.append("order-1", some_events(), expected=0)

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda _: store.append("order-1", some_events(2), expected=expected), range(8)))

        assert [event.event_id for event in store.read_stream("order-1")] == list(range(1, 18))

    def test_execute_decides_again_when_another_writer_came_first(self, store: EventStore) -> None:
        """Eight writers draw from a stock of five: five get one, three are told that there's none."""

        def stock(left: int, _: Event) -> int:
            return left - 1

        def draw(left: int) -> list[NewEvent]:
            return some_events() if left else []

        def write(_: int) -> int:
            done = execute(
                store, "stock-1", initial=5, fold=stock, decide=draw, max_tries=50, sleep=lambda _: None
            )
            return len(done.events)

        with ThreadPoolExecutor(8) as pool:
            drawn = list(pool.map(write, range(8)))

        assert sorted(drawn) == [0, 0, 0, 1, 1, 1, 1, 1]
        assert store.head("stock-1").version == 5

    # --- Timestamps -------------------------------------------------------------------------------

    def test_timestamps_rise_inside_a_stream_when_the_clock_stands(self, store: EventStore) -> None:
        store.append("order-1", some_events(3), expected=0)
        store.append("order-1", some_events(3), expected=3)

        times = [event.timestamp_us for event in store.read_stream("order-1")]
        assert all(earlier < later for earlier, later in pairwise(times))

    @pytest.mark.parametrize("expected", ["head", "version", ANY, EXISTS])
    def test_timestamps_rise_inside_a_stream_when_the_clock_steps_back(
        self, store: EventStore, clock: FakeClock, expected: Expected | str
    ) -> None:
        head = store.append("order-1", some_events(2), expected=0).head
        clock.move(-HOUR)

        known = {"head": head, "version": 2}
        store.append("order-1", some_events(2), expected=known.get(expected, expected))  # type: ignore[arg-type]

        times = [event.timestamp_us for event in store.read_stream("order-1")]
        assert all(earlier < later for earlier, later in pairwise(times))

    def test_timestamp_is_the_clocks_when_it_goes_right(self, store: EventStore, clock: FakeClock) -> None:
        store.append("order-1", some_events(), expected=0)
        clock.move(HOUR)
        appended = store.append("order-1", some_events(), expected=1)

        assert appended.events[0].timestamp_us == clock()

    # --- idempotency ------------------------------------------------------------------------------

    @pytest.mark.parametrize("count", [1, 3])
    @pytest.mark.parametrize("expected", [1, ANY, EXISTS])
    def test_append_again_with_the_same_uids_answers_as_the_first_time(
        self, store: EventStore, clock: FakeClock, count: int, expected: Expected
    ) -> None:
        store.append("order-1", some_events(), expected=0)
        events = some_events(count, with_uids=True)
        first = store.append("order-1", events, expected=expected)
        clock.move(HOUR * 24 * 400)
        store.append("order-1", some_events(5), expected=ANY)

        again = store.append("order-1", events, expected=expected)

        assert again.repeated
        assert again.events == first.events
        assert store.head("order-1").version == 1 + count + 5

    def test_append_again_with_a_known_head_answers_as_the_first_time(self, store: EventStore) -> None:
        head = store.append("order-1", some_events(), expected=0).head
        events = some_events(1, with_uids=True)

        first = store.append("order-1", events, expected=head)
        again = store.append("order-1", events, expected=head)

        assert again.events == first.events

    def test_append_of_part_of_an_earlier_append_conflicts(self, store: EventStore) -> None:
        events = some_events(3, with_uids=True)
        store.append("order-1", events[:2], expected=0)

        with pytest.raises(VersionConflict):
            store.append("order-1", events, expected=0)

        assert store.head("order-1").version == 2

    def test_append_of_the_same_events_without_uids_is_another_append(self, store: EventStore) -> None:
        events = some_events(1)
        store.append("order-1", events, expected=ANY)

        assert store.append("order-1", events, expected=ANY).version == 2

    def test_uid_is_kept_in_its_canonical_form(self, store: EventStore) -> None:
        uid = "01890A5D-AC96-774B-BCCE-B302099A8057"
        store.append("order-1", [NewEvent.of("Happened", uid=uid)], expected=0)

        (event,) = store.read_stream("order-1")
        assert event.uid == uid.lower()

    def test_events_without_uid_get_distinct_ones(self, store: EventStore) -> None:
        appended = store.append("order-1", some_events(20), expected=0)

        assert len({event.uid for event in appended.events}) == 20

    # --- transactions -----------------------------------------------------------------------------

    def test_transaction_appends_to_all_streams(self, store: EventStore) -> None:
        store.append("from", some_events(2), expected=0)

        left, right = store.transact(
            [Append("from", tuple(some_events(1)), 2), Append("to", tuple(some_events(2)), 0)]
        )

        assert (left.version, right.version) == (3, 2)
        assert store.head("from").version == 3
        assert tuple(store.read_stream("to")) == right.events

    @pytest.mark.parametrize("expected", [0, 2, EXISTS])
    def test_transaction_with_one_conflict_writes_nothing(
        self, store: EventStore, expected: Expected
    ) -> None:
        store.append("from", some_events(1), expected=0)
        stream_id = "from" if expected != EXISTS else "nowhere"

        with pytest.raises(VersionConflict) as caught:
            store.transact(
                [Append("to", tuple(some_events(2)), 0), Append(stream_id, tuple(some_events(1)), expected)]
            )

        assert caught.value.stream_id == stream_id
        assert store.head("to").version == 0
        assert store.head("from").version == 1

    def test_transaction_again_with_the_same_uids_answers_as_the_first_time(self, store: EventStore) -> None:
        appends = [
            Append("from", tuple(some_events(2, with_uids=True)), ANY),
            Append("to", tuple(some_events(1, with_uids=True)), 0),
        ]
        first = store.transact(appends)
        store.append("from", some_events(3), expected=ANY)
        store.append("to", some_events(3), expected=ANY)

        again = store.transact(appends)

        assert [appended.events for appended in again] == [appended.events for appended in first]
        assert all(appended.repeated for appended in again)
        assert (store.head("from").version, store.head("to").version) == (5, 4)

    def test_racing_transactions_over_the_same_streams_win_once(self, store: EventStore) -> None:
        def write(n: int) -> bool:
            streams = ("left", "right") if n % 2 else ("right", "left")
            try:
                store.transact([Append(stream, tuple(some_events(2)), 0) for stream in streams])
            except VersionConflict:
                return False
            return True

        with ThreadPoolExecutor(8) as pool:
            wins = list(pool.map(write, range(8)))

        assert sum(wins) == 1
        assert (store.head("left").version, store.head("right").version) == (2, 2)

    # --- what is refused --------------------------------------------------------------------------

    def test_unfit_stream_ids_are_refused(self, store: EventStore) -> None:
        for stream_id in ("", "$reserved", "a" * 1_025, "ü" * 513, "tab\there", "null\x00", "half-\ud800"):
            with pytest.raises(InvalidStreamId):
                store.append(stream_id, some_events(), expected=0)
            with pytest.raises(InvalidStreamId):
                store.read_stream(stream_id)

    def test_fit_stream_ids_come_back_as_they_are(self, store: EventStore, clock: FakeClock) -> None:
        stream_ids = ["a", "a" * 1_024, "ü" * 512, "a/b", "a b+c%2F", "日本", "🙂", "a$"]
        for stream_id in stream_ids:
            store.append(stream_id, some_events(), expected=0)
            assert store.head(stream_id).version == 1
        clock.move(HOUR)

        assert sorted(event.stream_id for event in store.read_all()) == sorted(stream_ids)

    def test_append_without_events_is_refused(self, store: EventStore) -> None:
        with pytest.raises(EmptyAppend):
            store.append("order-1", [], expected=0)
        with pytest.raises(EmptyAppend):
            store.transact([])

    def test_append_of_101_events_is_refused_whole(self, store: EventStore) -> None:
        with pytest.raises(TooManyEvents) as caught:
            store.append("order-1", some_events(101), expected=0)
        assert (caught.value.count, caught.value.limit) == (101, 100)

        with pytest.raises(TooManyEvents):
            store.transact([Append(f"s-{n}", tuple(some_events(51)), 0) for n in range(2)])
        assert store.head("order-1").version == store.head("s-0").version == 0

    def test_event_over_400_kb_is_refused_and_just_under_it_is_kept(self, store: EventStore) -> None:
        def of_size(size_bytes: int) -> NewEvent:
            return NewEvent(name="N", payload='"' + "x" * (size_bytes - 2) + '"')

        room = 400 * 1_024 - len("big") - len("N") - len("{}") - 128
        with pytest.raises(EventTooLarge) as caught:
            store.append("big", [of_size(room + 1)], expected=0)
        assert (caught.value.size_bytes, caught.value.limit_bytes) == (409_601, 409_600)

        store.append("big", [of_size(room)], expected=0)
        (event,) = store.read_stream("big")
        assert len(event.payload) == room

    def test_transaction_over_4_mb_is_refused_whole_and_just_under_it_is_kept(
        self, store: EventStore
    ) -> None:
        large = NewEvent(name="N", payload='"' + "x" * 390_000 + '"')
        with pytest.raises(TransactionTooLarge):
            store.append("big", [large] * 11, expected=0)
        assert store.head("big").version == 0

        assert store.append("big", [large] * 10, expected=0).version == 10

    def test_unfit_expected_versions_are_refused(self, store: EventStore) -> None:
        unfit: list[Any] = [-1, 1.0, "1", None, True, 10**15]
        for expected in unfit:
            with pytest.raises(InvalidExpectedVersion):
                store.append("order-1", some_events(), expected=expected)

    def test_head_of_another_stream_is_refused(self, store: EventStore) -> None:
        head = store.append("order-1", some_events(2), expected=0).head

        with pytest.raises(InvalidExpectedVersion):
            store.append("order-2", some_events(), expected=head)

    def test_uids_have_to_be_given_for_all_events_or_none_and_once(self, store: EventStore) -> None:
        one = some_events(1, with_uids=True)

        with pytest.raises(InvalidEventUid):
            store.append("order-1", one + some_events(1), expected=0)
        with pytest.raises(DuplicateEventUid):
            store.append("order-1", one + one, expected=0)

    def test_stream_twice_in_a_transaction_is_refused(self, store: EventStore) -> None:
        with pytest.raises(RepeatedStream):
            store.transact([Append("a", tuple(some_events()), 0), Append("a", tuple(some_events()), 1)])

    def test_unfit_version_ranges_are_refused_before_reading(self, store: EventStore) -> None:
        for first, last in [(0, None), (-1, None), (3, 2), (1, 0), (10**16, None), (1, 10**16)]:
            with pytest.raises(InvalidRange):
                store.read_stream("order-1", from_version=first, to_version=last)

    def test_unfit_time_ranges_are_refused_before_reading(self, store: EventStore) -> None:
        now = datetime.now(UTC)
        with pytest.raises(InvalidRange):
            store.read_all(from_=now, to=now - HOUR)
        with pytest.raises(InvalidRange):
            store.read_all(from_=now.replace(tzinfo=None))

    def test_unfit_limits_are_refused_before_reading(self, store: EventStore) -> None:
        for limit in (0, -1):
            with pytest.raises(InvalidLimit):
                store.read_stream("order-1", limit=limit)
            with pytest.raises(InvalidLimit):
                store.read_all(limit=limit)

    # --- read a stream ----------------------------------------------------------------------------

    def test_stream_without_events_reads_as_empty(self, store: EventStore) -> None:
        assert list(store.read_stream("nowhere")) == []
        assert store.head("nowhere") == Head("nowhere", 0, 0)

    def test_stream_reads_what_is_asked_for(self, store: EventStore) -> None:
        store.append("order-1", some_events(7), expected=0)
        ranges = [(1, None), (3, None), (1, 4), (3, 4), (8, None)]

        for (first, last), backward, limit in product(ranges, [True, False], [None, 1, 3]):
            there = [n for n in range(1, 8) if first <= n <= (last or 7)]
            for consistent in (True, False):
                read = store.read_stream(
                    "order-1",
                    from_version=first,
                    to_version=last,
                    backward=backward,
                    limit=limit,
                    consistent=consistent,
                )
                assert [event.event_id for event in read] == (there[::-1] if backward else there)[:limit]

    @pytest.mark.parametrize("backward", [True, False])
    def test_stream_of_several_mb_reads_whole(self, store: EventStore, backward: bool) -> None:
        large = NewEvent(name="N", payload='"' + "x" * 200_000 + '"')
        store.append("big", [large] * 12, expected=0)

        ids = [event.event_id for event in store.read_stream("big", backward=backward)]
        assert ids == (list(range(12, 0, -1)) if backward else list(range(1, 13)))
        assert len(list(store.read_stream("big", backward=backward, limit=11))) == 11

    # --- read all ---------------------------------------------------------------------------------

    def test_read_all_merges_all_streams_in_time_order(self, store: EventStore, clock: FakeClock) -> None:
        for n in range(60):
            clock.move(timedelta(milliseconds=n % 7))
            store.append(f"stream-{n % 11}", some_events(1 + n % 3), expected=ANY)
        clock.move(HOUR)

        events = list(store.read_all())

        assert [event.position for event in events] == sorted(event.position for event in events)
        assert len({event.position for event in events}) == len(events) == 120

    def test_equal_timestamps_are_neither_lost_nor_doubled(self, store: EventStore, clock: FakeClock) -> None:
        for n in range(40):
            store.append(f"stream-{n}", some_events(), expected=0)
        clock.move(HOUR)
        whole = [event.position for event in store.read_all()]
        assert len(set(whole)) == len(whole) == 40

        for limit in (1, 7, 39, 40, 41):
            paged: list[Position] = []
            while page := [
                e.position for e in store.read_all(after=paged[-1] if paged else None, limit=limit)
            ]:
                paged += page
            assert paged == whole

    def test_read_all_goes_on_behind_any_position(self, store: EventStore, clock: FakeClock) -> None:
        for n in range(30):
            clock.move(timedelta(microseconds=n % 2))
            store.append(f"stream-{n}", some_events(), expected=0)
        clock.move(HOUR)
        whole = [event.position for event in store.read_all()]

        for at, position in enumerate(whole):
            behind = store.read_all(after=Position.parse(str(position)))
            assert [event.position for event in behind] == whole[at + 1 :]

    def test_read_all_keeps_to_its_range_of_time(self, store: EventStore, clock: FakeClock) -> None:
        times = []
        for n in range(5):
            times.append(store.append(f"stream-{n}", some_events(), expected=0).events[0].timestamp_us)
            clock.move(timedelta(seconds=1))
        clock.move(HOUR)

        events = store.read_all(from_=from_us(times[1]), to=from_us(times[3]))

        assert [event.timestamp_us for event in events] == times[1:3]

    def test_read_all_holds_back_what_is_not_settled(self, store: EventStore, clock: FakeClock) -> None:
        store.append("old", some_events(), expected=0)
        clock.move(timedelta(seconds=SETTLING_S))
        store.append("young", some_events(), expected=0)

        assert [event.stream_id for event in store.read_all()] == []
        clock.move(timedelta(microseconds=1))
        reading = store.read_all()
        assert [event.stream_id for event in reading] == ["old"]
        assert reading.settled_until == from_us(clock()) - timedelta(seconds=SETTLING_S)
        assert [event.stream_id for event in store.read_all(to=from_us(clock()) + HOUR)] == ["old"]
        assert [event.stream_id for event in store.read_all(unsettled=True)] == ["old", "young"]

    def test_streams_that_appear_during_a_read_are_read_or_come_after_it(
        self, store: EventStore, clock: FakeClock
    ) -> None:
        for n in range(20):
            store.append(f"stream-{n}", some_events(), expected=0)
        clock.move(HOUR)
        reading = store.read_all()
        seen = [next(iter(reading))]
        for n in range(20, 30):
            store.append(f"stream-{n}", some_events(), expected=0)
        seen += reading
        clock.move(HOUR)

        seen += store.read_all(after=seen[-1].position)

        assert {event.stream_id for event in seen} == {f"stream-{n}" for n in range(30)}
        assert len(seen) == 30
