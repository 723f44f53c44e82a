"""The contract as a state machine: any sequence of appends and reads, compared with a plain model.

::

    class MyMachine(EventStoreMachine):
        def make_store(self, *, clock_us, settling_s):
            return MyStore(...)

    TestMyMachine = MyMachine.TestCase

Needs pytest and hypothesis.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from eventstore import ANY, EXISTS, Append, Event, EventStore, Head, NewEvent, Position
from eventstore.errors import ExpectedVersionAhead, VersionConflict
from eventstore.store import Expect, Expected
from eventstore.testing.clock import FakeClock

_STREAMS: Final = ("a", "a/b", "ü")
_SETTLING: Final = timedelta(seconds=10)

streams = st.sampled_from(_STREAMS)
payloads = st.sampled_from(["null", "1e300", '{"n": 9007199254740993}', '"\\u00fc ü"', "[ ]"])
new_events = st.lists(
    st.tuples(payloads, st.uuids(version=4)), min_size=1, max_size=4, unique_by=lambda e: e[1]
)


class EventStoreMachine(RuleBasedStateMachine):
    """Subclass it and make an empty store; `TestCase` of the subclass is the test."""

    @abstractmethod
    def make_store(self, *, clock_us: Callable[[], int], settling_s: float) -> EventStore:
        """Make a store without events."""

    @initialize()
    def begin(self) -> None:
        self.clock = FakeClock()
        self.store = self.make_store(clock_us=self.clock, settling_s=_SETTLING.total_seconds())
        self.model: dict[str, list[Event]] = {stream: [] for stream in _STREAMS}
        self.done: list[tuple[list[Append], list[tuple[Event, ...]]]] = []

    @rule(milliseconds=st.integers(-3_600_000, 60_000))
    def move_clock(self, milliseconds: int) -> None:
        self.clock.move(timedelta(milliseconds=milliseconds))

    @rule(
        stream=streams,
        events=new_events,
        with_uids=st.booleans(),
        how=st.sampled_from(["head", "version", "any", "exists"]),
    )
    def append(self, stream: str, events: list[tuple[str, UUID]], with_uids: bool, how: str) -> None:
        self._transact([Append(stream, _made(events, with_uids), self._expectation(stream, how))])

    @rule(events=new_events, more=new_events, with_uids=st.booleans())
    def append_to_two_streams(
        self, events: list[tuple[str, UUID]], more: list[tuple[str, UUID]], with_uids: bool
    ) -> None:
        taken = {uid for _, uid in events}
        more = [event for event in more if event[1] not in taken]
        if more:
            self._transact(
                [
                    Append("a", _made(events, with_uids), len(self.model["a"])),
                    Append("a/b", _made(more, with_uids), ANY),
                ]
            )

    @rule(stream=streams, events=new_events, off=st.integers(-3, 3).filter(bool))
    def append_elsewhere(self, stream: str, events: list[tuple[str, UUID]], off: int) -> None:
        actual = len(self.model[stream])
        expected = actual + off
        if expected < 0:
            return
        with pytest.raises(VersionConflict) as caught:
            self.store.append(stream, _made(events, with_uids=True), expected=expected)
        conflict = caught.value
        assert (conflict.stream_id, conflict.expected, conflict.actual) == (stream, expected, actual)
        assert isinstance(conflict, ExpectedVersionAhead) == (expected > actual)

    @rule(data=st.data())
    def append_again(self, data: st.DataObject) -> None:
        if self.done:
            appends, events = data.draw(st.sampled_from(self.done))
            again = self.store.transact(appends)
            assert [appended.events for appended in again] == events
            assert all(appended.repeated for appended in again)

    @rule(
        stream=streams,
        from_version=st.integers(1, 8),
        length=st.none() | st.integers(0, 5),
        backward=st.booleans(),
        limit=st.none() | st.integers(1, 6),
    )
    def read_stream(
        self, stream: str, from_version: int, length: int | None, backward: bool, limit: int | None
    ) -> None:
        to_version = None if length is None else from_version + length
        expected = self.model[stream][from_version - 1 : to_version]
        if backward:
            expected.reverse()
        read = self.store.read_stream(
            stream, from_version=from_version, to_version=to_version, backward=backward, limit=limit
        )
        assert list(read) == expected[:limit]

    @rule(page=st.integers(1, 7))
    def read_all_in_pages(self, page: int) -> None:
        read: list[Event] = []
        after: Position | None = None
        while events := list(self.store.read_all(after=after, limit=page, unsettled=True)):
            read += events
            after = events[-1].position
        assert read == self._in_time_order()

    @rule()
    def read_all_settled(self) -> None:
        settled_us = self.clock() - _SETTLING // timedelta(microseconds=1)
        assert list(self.store.read_all()) == [
            event for event in self._in_time_order() if event.timestamp_us < settled_us
        ]

    @invariant()
    def heads_are_those_of_the_model(self) -> None:
        for stream, events in getattr(self, "model", {}).items():
            assert self.store.head(stream) == (events[-1].head if events else Head(stream, 0, 0))

    def _transact(self, appends: list[Append]) -> None:
        if any(a.expected is EXISTS and not self.model[a.stream_id] for a in appends):
            return
        appended = self.store.transact(appends)
        for append, part in zip(appends, appended, strict=True):
            assert not part.repeated
            self._check_written(append, part.events)
            self.model[append.stream_id] += part.events
        if appends[0].events[0].uid is not None:
            self.done.append((appends, [part.events for part in appended]))

    def _check_written(self, append: Append, events: Sequence[Event]) -> None:
        before = self.model[append.stream_id]
        assert [event.event_id for event in events] == [len(before) + n for n in range(1, len(events) + 1)]
        last_us = before[-1].timestamp_us if before else 0
        for event, new in zip(events, append.events, strict=True):
            assert (event.stream_id, event.name, event.payload) == (append.stream_id, new.name, new.payload)
            assert new.uid in (None, event.uid)
            assert event.timestamp_us == max(last_us + 1, self.clock()) if event is events[0] else True
            assert event.timestamp_us > last_us
            last_us = event.timestamp_us

    def _expectation(self, stream: str, how: str) -> Expected:
        events = self.model[stream]
        known: dict[str, Any] = {
            "head": events[-1].head if events else Head(stream, 0, 0),
            "version": len(events),
            "any": Expect.ANY,
            "exists": Expect.EXISTS,
        }
        expected: Expected = known[how]
        return expected

    def _in_time_order(self) -> list[Event]:
        return sorted((event for of in self.model.values() for event in of), key=lambda event: event.position)


def _made(events: list[tuple[str, UUID]], with_uids: bool) -> tuple[NewEvent, ...]:
    return tuple(
        NewEvent(name="Happened", payload=payload, uid=str(uid) if with_uids else None)
        for payload, uid in events
    )
