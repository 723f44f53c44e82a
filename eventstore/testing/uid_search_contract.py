"""The contract of `EventStore`: how far back an append to ANY or EXISTS knows its uids."""

from __future__ import annotations

import os
from datetime import timedelta
from itertools import count

import pytest

from eventstore import ANY, EXISTS, Append, EventStore, NewEvent
from eventstore._uids import uuid7
from eventstore.errors import InvalidEventUid, TimestampOutOfRange, UidNotSearchable
from eventstore.limits import TIMESTAMP_MAX_US, UID_SEARCH_MAX_BYTES, UID_SEARCH_MAX_EVENTS, UID_SKEW_S
from eventstore.positions import from_us
from eventstore.store import Expect
from eventstore.testing.clock import FakeClock
from eventstore.testing.store_contract import HOUR, SETTLING_S, StoreContract, some_events

_SKEW = timedelta(seconds=UID_SKEW_S)


class UidSearchContract(StoreContract):
    """The search is bounded, by events and by the uids' own time; and what stamps depend on."""

    def test_uids_of_no_time_are_searched_to_the_bound_and_uuid7s_of_now_beyond(
        self, store: EventStore, clock: FakeClock
    ) -> None:
        """One long stream for all of it: writing one takes a while."""
        (mine,) = some_events(1, with_uids=True)
        store.append("order-1", some_events(1), expected=0)
        second = store.append("order-1", [mine], expected=1)
        _fill(store, "order-1", UID_SEARCH_MAX_EVENTS - 2)

        # As long as the bound: all of it is searched.
        assert not store.append("order-1", some_events(1, with_uids=True), expected=ANY).repeated
        for expected in (ANY, EXISTS):
            again = store.append("order-1", [mine], expected=expected)
            assert (again.repeated, again.events) == (True, second.events)
            with pytest.raises(UidNotSearchable) as caught:
                store.append("order-1", some_events(1, with_uids=True), expected=expected)
            assert (caught.value.stream_id, caught.value.limit) == ("order-1", UID_SEARCH_MAX_EVENTS)

        store.append("order-1", some_events(1), expected=ANY)
        for expected in (ANY, EXISTS):
            with pytest.raises(UidNotSearchable):
                store.append("order-1", [mine], expected=expected)
        assert store.head("order-1").version == UID_SEARCH_MAX_EVENTS + 2

        # A UUIDv7 made for the append: on a stream that gets as much in the time of its search.
        for moved in (timedelta(), _SKEW):
            clock.move(moved)
            with pytest.raises(UidNotSearchable, match="gets less in that time") as caught:
                store.append("order-1", [NewEvent.of("Happened", uid=_uid(clock))], expected=ANY)
            assert caught.value.since == from_us(clock()) - _SKEW
        clock.move(timedelta(milliseconds=2))
        event = NewEvent.of("Happened", uid=_uid(clock))
        assert not store.append("order-1", [event], expected=ANY).repeated
        assert store.append("order-1", [event], expected=ANY).repeated

    def test_search_ends_after_its_bytes_however_few_events_they_are(
        self, store: EventStore, clock: FakeClock
    ) -> None:
        large = NewEvent(name="N", payload='"' + "x" * 380_000 + '"')
        (mine,) = some_events(1, with_uids=True)
        store.append("order-1", some_events(1), expected=0)
        store.append("order-1", [mine], expected=1)
        most = UID_SEARCH_MAX_BYTES // 380_000
        for _ in range(most):
            store.append("order-1", [large], expected=ANY)

        assert store.append("order-1", [mine], expected=ANY).repeated
        store.append("order-1", [large], expected=ANY)
        for expected in (ANY, EXISTS):
            for event in (mine, NewEvent.of("Happened", uid=_uid(clock))):
                with pytest.raises(UidNotSearchable) as caught:
                    store.append("order-1", [event], expected=expected)
                assert caught.value.limit == most + 1
        clock.move(HOUR)
        assert store.append("order-1", [NewEvent.of("N", uid=_uid(clock))], expected=ANY).version == most + 4

    @pytest.mark.parametrize("expected", [ANY, EXISTS, 1])
    def test_uuid7_further_ahead_than_the_allowance_is_refused(
        self, store: EventStore, clock: FakeClock, expected: Expect | int
    ) -> None:
        """Behind a version too: a later append to ANY or EXISTS would look for it where it isn't."""
        store.append("order-1", some_events(1), expected=0)
        ahead = NewEvent.of("Happened", uid=_uid(clock, _SKEW + timedelta(milliseconds=1)))

        with pytest.raises(InvalidEventUid) as caught:
            store.append("order-1", [NewEvent.of("Happened", uid=_uid(clock)), ahead], expected=expected)

        assert caught.value.field == "events[1].eventUid"
        assert store.head("order-1").version == 1

    def test_uuid7_too_far_ahead_is_refused_before_a_conflict_is_looked_for(
        self, store: EventStore, clock: FakeClock
    ) -> None:
        """In every adapter: what can't be stamped is never sent, so nobody looks at what is there."""
        known = NewEvent.of("Happened", uid=_uid(clock))
        store.append("order-1", [known], expected=0)
        ahead = NewEvent.of("Happened", uid=_uid(clock, _SKEW + timedelta(milliseconds=1)))

        with pytest.raises(InvalidEventUid):
            store.append("order-1", [known, ahead], expected=0)

    @pytest.mark.parametrize("expected", [ANY, EXISTS])
    def test_uuid7_of_a_clock_that_is_ahead_by_the_allowance_is_known_for_ever(
        self, store: EventStore, clock: FakeClock, expected: Expect
    ) -> None:
        store.append("order-1", some_events(1), expected=0)
        event = NewEvent.of("Happened", uid=_uid(clock, _SKEW))
        first = store.append("order-1", [event], expected=expected)
        for _ in range(12):
            clock.move(timedelta(seconds=1))
            store.append("order-1", some_events(1), expected=ANY)
        clock.move(HOUR * 24 * 400)

        again = store.append("order-1", [event], expected=expected)

        assert (again.repeated, again.events) == (True, first.events)

    def test_all_uids_of_an_append_bound_the_search_together(
        self, store: EventStore, clock: FakeClock
    ) -> None:
        """The oldest of them counts, whichever place it has."""
        events = [NewEvent.of("Happened", uid=_uid(clock))]
        store.append("order-1", events, expected=0)
        store.append("order-1", some_events(1), expected=1)
        clock.move(HOUR)
        fresh = NewEvent.of("Happened", uid=_uid(clock))

        for batch in ([fresh, *events], [*events, fresh]):
            with pytest.raises(Exception, match="has events of this append already"):
                store.append("order-1", batch, expected=ANY)

    # --- Timestamps -----------------------------------------------------------------------------------

    def test_transaction_has_one_reading_of_the_clock_for_all_of_its_streams(self) -> None:
        ticks = count(1_800_000_000_000_000, 1_000)
        store = self.make_store(clock_us=lambda: next(ticks), settling_s=SETTLING_S)
        ahead = store.append("c", some_events(3), expected=0).head

        parts = store.transact([Append(stream, tuple(some_events(2)), ANY) for stream in ("a", "b")])
        times = [[event.timestamp_us for event in part.events] for part in parts]
        assert times[0] == times[1] == [times[0][0], times[0][0] + 1]

        # A stream that is ahead of the clock goes on behind its own last Timestamp.
        slow = self.make_store(clock_us=lambda: 1_000, settling_s=SETTLING_S)
        head = slow.append("c", some_events(9), expected=0).head
        late, on_time = slow.transact(
            [Append("c", tuple(some_events(1)), head), Append("d", tuple(some_events(1)), 0)]
        )
        assert late.events[0].timestamp_us == head.timestamp_us + 1 > 1_000
        assert on_time.events[0].timestamp_us == 1_000
        assert ahead.version == 3

    @pytest.mark.parametrize("expected", [0, ANY])
    def test_timestamp_that_nobody_can_read_is_never_written(self, expected: Expect | int) -> None:
        now_us = [TIMESTAMP_MAX_US + 1]
        store = self.make_store(clock_us=lambda: now_us[0], settling_s=SETTLING_S)

        with pytest.raises(TimestampOutOfRange) as caught:
            store.append("order-1", some_events(1), expected=expected)
        assert (caught.value.stream_id, caught.value.timestamp_us) == ("order-1", TIMESTAMP_MAX_US + 1)

        now_us[0] = TIMESTAMP_MAX_US
        with pytest.raises(TimestampOutOfRange):
            store.append("order-1", some_events(2), expected=expected)
        assert store.append("order-1", some_events(1), expected=0).version == 1
        now_us[0] = 0
        with pytest.raises(TimestampOutOfRange):
            store.append("order-1", some_events(1), expected=1)
        assert store.head("order-1").version == 1


def _fill(store: EventStore, stream_id: str, events: int) -> None:
    head = store.head(stream_id)
    for left in range(events, 0, -100):
        head = store.append(stream_id, some_events(min(100, left)), expected=head).head


def _uid(clock: FakeClock, ahead: timedelta = timedelta()) -> str:
    return uuid7(now_us=clock() + ahead // timedelta(microseconds=1), random_bytes=os.urandom)
