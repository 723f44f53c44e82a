"""The contract of `EventStore`: reads of one stream, and of all."""

from __future__ import annotations

from datetime import timedelta
from itertools import product

import pytest

from eventstore import (
    ANY,
    EventStore,
    Head,
    NewEvent,
    Position,
)
from eventstore.positions import from_us
from eventstore.testing.clock import FakeClock
from eventstore.testing.store_contract import HOUR, SETTLING_S, StoreContract, some_events


class ReadsContract(StoreContract):
    """Every event that was asked for, once and in order."""

    # --- read a stream ------------------------------------------------------------------------------

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

    # --- read all -----------------------------------------------------------------------------------

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
        assert list(store.read_all(from_=from_us(times[1]), to=from_us(times[1]))) == []

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
