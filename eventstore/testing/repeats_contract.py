"""The contract of `EventStore`: a known uid is never written again by what reads where it stands."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from eventstore import ANY, EXISTS, Append, Event, EventStore, Head, NewEvent, execute
from eventstore.decisions.execute import Executed
from eventstore.errors import EventUidReused, HeadNotInStream, PartlyAppended, VersionConflict
from eventstore.store import Expected
from eventstore.testing.clock import FakeClock
from eventstore.testing.store_contract import HOUR, StoreContract, some_events

_SAME_JSON = [
    ('{"a":1,"b":[2,"ü"]}', '{ "b": [2, "\\u00fc"], "a": 1 }'),
    ("49.90", "49.9"),
    ("100", "1e2"),
    ("0.00", "-0e5"),
    ("-12.5e-3", "-0.0125"),
]
_OTHER_JSON = [
    ('{"a":1}', '{"a":2}'),
    ("9007199254740993", "9007199254740992"),
    ("0.1", "0.1000000000000000055511151231257827"),
    ("1e300", "1e301"),
    ("1", "true"),
    ("1", '"1"'),
    ("1", "-1"),
    ("[]", "{}"),
    ("[1,2]", "[2,1]"),
    ('{"a":1,"a":2}', '{"a":2}'),
    ('{"a":1}', '{"a":1,"b":null}'),
]


class RepeatsContract(StoreContract):
    """What is answered as the first time, and what is refused."""

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

        assert again.repeated
        assert again.events == first.events

    def test_uid_is_kept_in_its_canonical_form(self, store: EventStore) -> None:
        uid = "01890A5D-AC96-774B-BCCE-B302099A8057"
        store.append("order-1", [NewEvent.of("Happened", uid=uid)], expected=0)

        (event,) = store.read_stream("order-1")
        assert event.uid == uid.lower()

    # --- the same uids under another expectation ------------------------------------------------------

    @pytest.mark.parametrize("count", [1, 2, 3])
    @pytest.mark.parametrize("expected", ["each own version", ANY, EXISTS])
    def test_same_uids_under_another_expectation_are_not_written_again(
        self, store: EventStore, count: int, expected: Any
    ) -> None:
        """A bare version names an event that is read: it is looked at, wherever in the append it stands."""
        store.append("order-1", some_events(4), expected=0)
        events = some_events(count, with_uids=True)
        first = store.append("order-1", events, expected=4)
        store.append("order-1", some_events(1), expected=4 + count)

        others = range(5, 5 + count) if expected == "each own version" else [expected]
        for other in others:
            again = store.append("order-1", events, expected=other)
            assert (again.repeated, again.events) == (True, first.events)
        assert store.head("order-1").version == 5 + count

    @pytest.mark.parametrize("expected", [0, 1, "head"])
    def test_events_appended_to_any_are_known_at_the_place_that_is_expected(
        self, store: EventStore, expected: Any
    ) -> None:
        before = [] if expected == 0 else [store.append("order-1", some_events(), expected=0)]
        events = some_events(2, with_uids=True)
        first = store.append("order-1", events, expected=ANY)

        again = store.append("order-1", events, expected=before[0].head if expected == "head" else expected)

        assert (again.repeated, again.events) == (True, first.events)

    @pytest.mark.parametrize("expected", [0, 1, 9])
    def test_conflict_looks_at_the_last_event_that_it_reads(self, store: EventStore, expected: int) -> None:
        store.append("order-1", some_events(2), expected=0)
        events = some_events(2, with_uids=True)
        first = store.append("order-1", events, expected=2)

        again = store.append("order-1", events, expected=expected)

        assert (again.repeated, again.events) == (True, first.events)

    # --- known in part --------------------------------------------------------------------------------

    @pytest.mark.parametrize("expected", [0, 1, 2, ANY, EXISTS])
    @pytest.mark.parametrize("places", [[0, 2], [1, 2], [1, 0], [2, 0, 1], [2, 1], [0, 1, 2]])
    def test_append_that_is_known_in_part_or_otherwise_is_refused_whole(
        self, store: EventStore, expected: Expected, places: list[int]
    ) -> None:
        """Of three events the first two are stored; the append has some of the three, in some order."""
        events = some_events(3, with_uids=True)
        stored = store.append("order-1", events[:2], expected=0)
        known = {event.uid: event.event_id for event in stored.events}
        batch = [events[place] for place in places]
        if (expected, places) == (2, [0, 2]):
            return  # what is stored lies deeper than the version that is expected: it isn't read

        with pytest.raises(PartlyAppended) as caught:
            store.append("order-1", batch, expected=expected)

        assert caught.value.stream_id == "order-1"
        assert caught.value.stored == {event.uid: known[event.uid] for event in batch if event.uid in known}
        assert tuple(store.read_stream("order-1")) == stored.events

    @pytest.mark.parametrize("expected", [0, 1, 2, ANY, EXISTS])
    def test_part_of_an_earlier_append_is_known_by_itself(
        self, store: EventStore, expected: Expected
    ) -> None:
        events = some_events(2, with_uids=True)
        stored = store.append("order-1", events, expected=0)

        again = store.append("order-1", events[1:], expected=expected)

        assert (again.repeated, again.events) == (True, stored.events[1:])

    def test_append_whose_events_stand_apart_is_refused_whole(self, store: EventStore) -> None:
        events = some_events(2, with_uids=True)
        store.append("order-1", events[:1], expected=0)
        store.append("order-1", some_events(), expected=1)
        store.append("order-1", events[1:], expected=2)

        for expected in (0, 2, 3, ANY, EXISTS):
            with pytest.raises(PartlyAppended):
                store.append("order-1", events, expected=expected)
        assert store.head("order-1").version == 3

    @pytest.mark.parametrize("place", [0, 1])
    @pytest.mark.parametrize("expected", [0, ANY])
    @pytest.mark.parametrize("known_by", [0, 1, ANY])
    def test_transaction_that_is_known_in_one_stream_only_is_refused_whole(
        self, store: EventStore, place: int, expected: Expected, known_by: Expected
    ) -> None:
        known = Append("known", tuple(some_events(1, with_uids=True)), known_by)
        new = Append("new", tuple(some_events(2, with_uids=True)), expected)
        first = store.append("known", known.events, expected=0)

        with pytest.raises(PartlyAppended) as caught:
            store.transact([new, known] if place else [known, new])

        assert caught.value.stream_id == "known"
        assert caught.value.stored == {first.events[0].uid: 1}
        assert (store.head("known").version, store.head("new").version) == (1, 0)

    @pytest.mark.parametrize("others", [(ANY, ANY), (1, ANY), (ANY, 2), (0, 0), (1, 2), (1, 0)])
    def test_transaction_again_under_other_expectations_answers_as_before(
        self, store: EventStore, others: tuple[Expected, Expected]
    ) -> None:
        appends = [
            Append("from", tuple(some_events(1, with_uids=True)), ANY),
            Append("to", tuple(some_events(2, with_uids=True)), 0),
        ]
        first = store.transact(appends)

        again = store.transact(
            [replace(append, expected=other) for append, other in zip(appends, others, strict=True)]
        )

        assert [one.events for one in again] == [one.events for one in first]
        assert all(one.repeated for one in again)

    def test_uid_of_another_stream_is_not_known_here(self, store: EventStore) -> None:
        events = some_events(1, with_uids=True)
        store.append("order-1", events, expected=0)

        assert not store.append("order-2", events, expected=ANY).repeated

    # --- other content --------------------------------------------------------------------------------

    @pytest.mark.parametrize("expected", [0, "head", 1, 2, ANY, EXISTS])
    @pytest.mark.parametrize("count", [1, 2])
    @pytest.mark.parametrize("differs", ["name", "payload", "metadata"])
    def test_known_uid_with_other_content_is_refused(
        self, store: EventStore, expected: Any, count: int, differs: str
    ) -> None:
        start = Head("order-1", 0, 0)
        events = [replace(event, metadata='{"by":"me"}') for event in some_events(count, with_uids=True)]
        first = store.append("order-1", events, expected=0)
        other: dict[str, Any] = {differs: '{"other":1}'}
        events[-1] = replace(events[-1], **other)

        with pytest.raises(EventUidReused) as caught:
            store.append("order-1", events, expected=start if expected == "head" else expected)

        reused = caught.value
        assert (reused.stream_id, reused.event_id, reused.uid) == ("order-1", count, events[-1].uid)
        assert reused.differs == differs
        assert tuple(store.read_stream("order-1")) == first.events

    @pytest.mark.parametrize(("stored", "sent"), _SAME_JSON)
    def test_known_uid_with_the_same_json_written_otherwise_is_a_repetition(
        self, store: EventStore, stored: str, sent: str
    ) -> None:
        (event,) = some_events(1, with_uids=True)
        first = store.append("order-1", [replace(event, payload=stored)], expected=0)

        again = store.append("order-1", [replace(event, payload=sent)], expected=0)

        assert (again.repeated, again.events) == (True, first.events)

    @pytest.mark.parametrize(("stored", "sent"), _OTHER_JSON)
    def test_known_uid_with_other_json_is_refused_however_little_it_differs(
        self, store: EventStore, stored: str, sent: str
    ) -> None:
        (event,) = some_events(1, with_uids=True)
        store.append("order-1", [replace(event, payload=stored)], expected=0)

        with pytest.raises(EventUidReused):
            store.append("order-1", [replace(event, payload=sent)], expected=0)

    # --- execute --------------------------------------------------------------------------------------

    @pytest.mark.parametrize("count", [1, 3])
    @pytest.mark.parametrize("later", [0, 4])
    def test_command_that_is_executed_again_is_done_once(
        self, store: EventStore, count: int, later: int
    ) -> None:
        store.append("order-1", some_events(2), expected=0)
        events = some_events(count, with_uids=True)
        first = _execute(store, events)
        for event in some_events(later):
            store.append("order-1", [event], expected=ANY)

        again = _execute(store, events)

        assert (first.repeated, again.repeated) == (False, True)
        assert again.events == first.events
        assert again.head == store.head("order-1")
        assert again.state == again.head.version == 2 + count + later

    def test_command_executed_again_behind_a_snapshot_is_known_at_its_head(self, store: EventStore) -> None:
        events = some_events(1, with_uids=True)
        first = _execute(store, events)

        again = _execute(store, events, initial=first.state, at=first.head)

        assert (again.repeated, again.events, again.state) == (True, first.events, 1)

    @pytest.mark.parametrize("places", [[0, 2], [1, 0], [1, 2]])
    def test_command_that_is_known_in_part_is_refused(self, store: EventStore, places: list[int]) -> None:
        events = some_events(3, with_uids=True)
        first = _execute(store, events[:2])

        with pytest.raises(PartlyAppended) as caught:
            _execute(store, [events[place] for place in places], sleep=lambda _: None)

        known = {event.uid: event.event_id for event in first.events}
        uids = [events[place].uid for place in places]
        assert caught.value.stored == {uid: known[uid] for uid in uids if uid in known}
        assert store.head("order-1").version == 2

    def test_command_of_other_content_with_known_uids_is_refused(self, store: EventStore) -> None:
        (event,) = some_events(1, with_uids=True)
        _execute(store, [event])

        with pytest.raises(EventUidReused):
            _execute(store, [replace(event, payload="7")])
        assert store.head("order-1").version == 1

    @pytest.mark.parametrize("version", [3, 4, 11])
    def test_execute_at_a_head_that_is_not_in_the_stream_is_refused(
        self, store: EventStore, clock: FakeClock, version: int
    ) -> None:
        """A snapshot from before a restore: the stream is shorter, or has other events there now."""
        store.append("order-1", some_events(3), expected=0)
        old = Head("order-1", version, clock() + 99)

        with pytest.raises(HeadNotInStream) as caught:
            _execute(store, some_events(), initial=version, at=old)

        assert (caught.value.stream_id, caught.value.version) == ("order-1", version)
        assert store.head("order-1").version == 3

    def test_execute_at_its_head_folds_only_what_is_behind_it(self, store: EventStore) -> None:
        head = store.append("order-1", some_events(2), expected=0).head
        store.append("order-1", some_events(1), expected=2)

        assert _execute(store, some_events(), initial=2, at=head).state == 4

    def test_racing_executions_of_one_command_write_it_once(self, store: EventStore) -> None:
        """Another delivery of the command is done between the load and the append."""
        events = some_events(1, with_uids=True)

        def decide(_: int) -> list[NewEvent]:
            if not store.head("order-1").version:
                store.append("order-1", some_events(1), expected=0)
                store.append("order-1", events, expected=1)
            return events

        done = execute(
            store, "order-1", initial=0, fold=_count, decide=decide, sleep=lambda _: None, jitter=lambda: 0.0
        )

        assert (done.repeated, done.state) == (True, 2)
        with pytest.raises(VersionConflict):
            store.append("order-1", some_events(1), expected=1)


def _count(state: int, _: Event) -> int:
    return state + 1


def _execute(
    store: EventStore,
    events: list[NewEvent],
    *,
    initial: int = 0,
    at: Head | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> Executed[int]:
    return execute(
        store, "order-1", initial=initial, fold=_count, decide=lambda _: events, at=at, sleep=sleep
    )
