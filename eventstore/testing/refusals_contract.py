"""The contract of `EventStore`: what is refused."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from eventstore import NO_STREAM, Append, EventStore, Head, NewEvent, Position
from eventstore.errors import (
    DuplicateEventUid,
    EmptyAppend,
    EventTooLarge,
    InvalidArgument,
    InvalidEventUid,
    InvalidExpectedVersion,
    InvalidInput,
    InvalidLimit,
    InvalidPosition,
    InvalidRange,
    InvalidStreamId,
    RepeatedStream,
    TooManyEvents,
    TransactionTooLarge,
    VersionConflict,
)
from eventstore.limits import EVENT_OVERHEAD_BYTES, TIMESTAMP_MAX_US, VERSION_MAX
from eventstore.testing.clock import FakeClock
from eventstore.testing.store_contract import HOUR, StoreContract, some_events


class RefusalsContract(StoreContract):
    """What can't be taken is refused before anything is written or read."""

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

        room = 400 * 1_024 - len("big") - len("N") - len("{}") - EVENT_OVERHEAD_BYTES
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

    def test_head_that_no_read_returns_is_refused(self, store: EventStore) -> None:
        """Believed, it would have made the Timestamp of the next event."""
        made_up: list[Any] = [
            (0, 1),
            (0, None),
            (1, -1),
            (1, 2.5),
            (1, TIMESTAMP_MAX_US + 1),
            (-1, 0),
            (True, 5),
        ]
        for version, timestamp_us in made_up:
            with pytest.raises(InvalidExpectedVersion):
                store.append("order-1", some_events(), expected=Head("order-1", version, timestamp_us))
        assert store.head("order-1").version == 0

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

    def test_range_of_times_says_which_end_is_wrong(self, store: EventStore) -> None:
        now = datetime.now(UTC)
        unfit: list[tuple[str, dict[str, Any]]] = [
            ("from", {"from_": now, "to": now - HOUR}),
            ("from", {"from_": datetime.min}),  # noqa: DTZ901
            ("from", {"from_": now.date()}),
            ("from", {"from_": "2026-01-31T09:30:00Z"}),
            ("to", {"to": now.replace(tzinfo=None)}),
            ("to", {"from_": now - HOUR, "to": datetime.max}),  # noqa: DTZ901
            ("to", {"to": datetime.min.replace(tzinfo=UTC)}),
            ("to", {"to": 1_769_860_800_000_000}),
            ("after", {"after": "MS8xLzEvYQ"}),
        ]
        for end, arguments in unfit:
            with pytest.raises(InvalidInput) as caught:
                store.read_all(**arguments)
            assert caught.value.field == end

    def test_range_that_begins_before_all_time_begins_at_the_first_event(
        self, store: EventStore, clock: FakeClock
    ) -> None:
        store.append("order-1", some_events(), expected=0)
        clock.move(HOUR)

        assert len(list(store.read_all(from_=datetime.min.replace(tzinfo=UTC)))) == 1

    def test_range_of_versions_says_which_end_is_wrong(self, store: EventStore) -> None:
        unfit: list[tuple[str, dict[str, Any]]] = [
            ("from", {"from_version": 0}),
            ("from", {"from_version": 1.0}),
            ("from", {"from_version": True}),
            ("from", {"from_version": "1"}),
            ("from", {"from_version": 3, "to_version": 2}),
            ("to", {"to_version": 0}),
            ("to", {"to_version": -1}),
            ("to", {"to_version": 10**16}),
            ("to", {"to_version": 1.5}),
            ("to", {"to_version": True}),
            ("limit", {"limit": True}),
            ("limit", {"limit": 2.5}),
            ("limit", {"limit": "2"}),
            ("limit", {"limit": 10**30}),
        ]
        for end, arguments in unfit:
            with pytest.raises(InvalidInput) as caught:
                store.read_stream("order-1", **arguments)
            assert caught.value.field == end
            assert "exchange" not in caught.value.reason or arguments["from_version"] > 1

    def test_arguments_of_other_types_are_refused_by_name(self, store: EventStore) -> None:
        event = NewEvent(name="N")
        unfit: list[tuple[str, Any, Any]] = [
            ("streamId", b"order-1", [event]),
            ("streamId", 7, [event]),
            ("streamId", None, [event]),
            ("events", "order-1", "N"),
            ("events", "order-1", {"eventName": "N"}),
            ("events", "order-1", None),
            ("events", "order-1", 7),
            ("events[1]", "order-1", [event, {"eventName": "N"}]),
            ("events[0]", "order-1", ["N"]),
        ]
        for field, stream_id, events in unfit:
            with pytest.raises(InvalidInput) as caught:
                store.append(stream_id, events, expected=0)
            assert caught.value.field == field
        for appends in (Append("order-1", (event,), 0), [("order-1", (event,), 0)], None, [event]):
            with pytest.raises(InvalidInput) as caught:
                store.transact(appends)  # type: ignore[arg-type]
            assert caught.value.field == "appends"
        with pytest.raises(InvalidInput) as caught:
            store.transact([Append("order-1", event, 0)])  # type: ignore[arg-type]
        assert caught.value.field == "events"
        assert store.head("order-1").version == 0

    def test_set_of_events_is_refused_for_it_has_no_order(self, store: EventStore) -> None:
        events: list[Any] = [set(some_events(2)), frozenset(some_events(2))]
        for unordered in events:
            with pytest.raises(InvalidArgument, match=r"events: .* no order"):
                store.append("order-1", unordered, expected=0)
        store.append("order-1", dict.fromkeys(some_events(2)).keys(), expected=0)  # type: ignore[arg-type]

        assert store.head("order-1").version == 2

    def test_flag_that_is_neither_true_nor_false_is_refused(self, store: EventStore) -> None:
        for flag in ("false", 0, 1, None):
            unfit: Any = flag
            for name in ("backward", "consistent"):
                with pytest.raises(InvalidArgument, match=f"^{name}: "):
                    store.read_stream("order-1", **{name: unfit})
            with pytest.raises(InvalidArgument, match=r"^unsettled: "):
                store.read_all(unsettled=unfit)

    def test_position_of_other_types_is_refused_before_reading(self, store: EventStore) -> None:
        places: list[Any] = [("1", "s", 1), (1, None, 1), (1, "s", "1"), (1.5, "s", 1), (None, "s", True)]
        for place in places:
            with pytest.raises(InvalidPosition):
                store.read_all(after=Position(*place))

    def test_expectation_as_another_text_is_refused(self, store: EventStore) -> None:
        for text in ("ANY", "", "no stream", "1"):
            with pytest.raises(InvalidExpectedVersion, match=r"has to be a version .* ANY or EXISTS"):
                store.append("order-1", some_events(), expected=text)  # type: ignore[arg-type]
        for word in ("any", "exists"):
            with pytest.raises(InvalidExpectedVersion, match=rf"give eventstore.{word.upper()}, or use"):
                store.transact([Append("order-1", tuple(some_events()), word)])  # type: ignore[arg-type]

    def test_any_and_exists_are_taken_as_words_too(self, store: EventStore) -> None:
        with pytest.raises(VersionConflict):
            store.append("order-1", some_events(), expected="exists")
        store.append("order-1", some_events(), expected="any")
        store.append("order-1", some_events(), expected="exists")
        store.append("order-2", some_events(), expected=NO_STREAM)
        assert store.transact([Append.of("order-2", some_events(), "any")])[0].version > 1

    def test_one_event_counts_as_a_list_of_it(self, store: EventStore) -> None:
        event = NewEvent(name="N")
        store.append("order-1", event, expected=0)  # type: ignore[arg-type]
        store.append("order-1", iter([event]), expected=1)  # type: ignore[arg-type]

        assert store.head("order-1").version == 2

    def test_unfit_limits_are_refused_before_reading(self, store: EventStore) -> None:
        for limit in (0, -1, VERSION_MAX + 1):
            with pytest.raises(InvalidLimit):
                store.read_stream("order-1", limit=limit)
            with pytest.raises(InvalidLimit):
                store.read_all(limit=limit)
