"""The contract of `EventStore`: appends, one at a time and many at once."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import pytest

from eventstore import ANY, EXISTS, Append, Event, EventStore, Head, NewEvent, execute
from eventstore.errors import ExpectedVersionAhead, HeadNotInStream, VersionConflict
from eventstore.limits import CLOCK_TOLERANCE_S
from eventstore.store import Expected
from eventstore.testing.clock import FakeClock
from eventstore.testing.store_contract import HOUR, StoreContract, some_events

_TOLERANCE_US = round(CLOCK_TOLERANCE_S * 1_000_000)


class AppendsContract(StoreContract):
    """What is written, under which condition, with which Timestamp, and how often."""

    # --- append -------------------------------------------------------------------------------------

    def test_append_to_a_new_stream_begins_at_version_1(self, store: EventStore) -> None:
        appended = store.append("order-1", some_events(), expected=0)

        assert appended.version == 1
        assert appended.repeated is False
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

    @pytest.mark.parametrize("version", [1, 2, 3])
    def test_head_ahead_of_the_clock_that_is_not_in_the_stream_is_refused(
        self, store: EventStore, clock: FakeClock, version: int
    ) -> None:
        """Another store's, or one that a wrong clock has stamped: what follows it would be ahead as well."""
        store.append("order-1", some_events(2), expected=0)
        head = Head("order-1", version, clock() + _TOLERANCE_US + 1)
        behind = Append("order-1", tuple(some_events(1)), head)

        for appends in ([behind], [Append("other", tuple(some_events(2)), 0), behind]):
            with pytest.raises(HeadNotInStream) as caught:
                store.transact(appends)
            assert (caught.value.stream_id, caught.value.version) == ("order-1", version)
        assert (store.head("order-1").version, store.head("other").version) == (2, 0)

    def test_head_ahead_of_the_clock_that_is_in_the_stream_goes_on(
        self, store: EventStore, clock: FakeClock
    ) -> None:
        before = store.append("order-1", some_events(1), expected=0).head
        events = some_events(2, with_uids=True)
        clock.move(HOUR)
        first = store.append("order-1", events, expected=before)
        clock.move(-HOUR)

        assert store.append("order-1", events[1:], expected=first.head).events == first.events[1:]
        behind = store.append("order-1", some_events(1), expected=first.head)

        assert (behind.version, behind.head.timestamp_us) == (4, first.head.timestamp_us + 1)

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

    # --- Timestamps ---------------------------------------------------------------------------------

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

    # --- uids ----------------------------------------------------------------------------------------

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
