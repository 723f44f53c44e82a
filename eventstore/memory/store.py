"""The event store in memory: the whole contract, for tests and for trying things out."""

from __future__ import annotations

import os
import time
from bisect import bisect_left, insort
from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import datetime
from itertools import islice
from operator import attrgetter
from typing import NoReturn

from eventstore._arguments import check_flags, check_functions, check_number, check_port
from eventstore._checks import (
    check_times,
    check_transaction,
    check_versions,
    event_size_bytes,
    has_to_be_read,
    stamp,
    written_us_of,
)
from eventstore._repeats import Wanted, is_seen, settle, want
from eventstore._uids import uuid7
from eventstore.errors import ExpectedVersionAhead, HeadNotInStream, InvalidArgument, VersionConflict
from eventstore.events import Event, Head, NewEvent, check_stream_id
from eventstore.limits import SETTLING_MAX_S, SETTLING_S
from eventstore.log.model import LogPage, LogPosition, tranche_of
from eventstore.log.port import EventLog
from eventstore.log.read import read_log
from eventstore.memory.locks import Locked
from eventstore.positions import Position
from eventstore.store import AllEvents, Append, Appended, Expect, Expected, ExpectedWord

_position = attrgetter("position")


class MemoryEventStore(Locked):
    """An `EventStore` that keeps its events in this process; safe to use from several threads.

    Args:
        clock_us: tells the time in microseconds since 1970.
        random_bytes: gives the random part of event uids.
        settling_s: seconds until an event counts as settled, from 0 to `SETTLING_MAX_S`.
        log: is told of each append at once, and read by `read_log`.

    Raises:
        InvalidArgument, InvalidLimit, NotSynchronous: an argument that can't be used.

    Consistency: every read sees every append that has returned.
    """

    def __init__(
        self,
        *,
        clock_us: Callable[[], int] = lambda: time.time_ns() // 1_000,
        random_bytes: Callable[[int], bytes] = os.urandom,
        settling_s: float = SETTLING_S,
        log: EventLog | None = None,
    ) -> None:
        super().__init__()
        check_functions(clock_us=clock_us, random_bytes=random_bytes)
        check_number(settling_s, "settling_s", most=SETTLING_MAX_S)
        if log is not None:
            check_port(log, EventLog, "log")
        self._clock_us = clock_us
        self._random_bytes = random_bytes
        self._settling_us = round(settling_s * 1_000_000)
        self._log = log
        self._streams: dict[str, list[Event]] = {}
        self._by_time: list[Event] = []

    def __reduce__(self) -> NoReturn:
        """Refuse to be pickled or copied: a process that gets a copy would append to that alone."""
        raise TypeError("a MemoryEventStore can't be pickled or copied: its events are this process's own")

    def append(
        self, stream_id: str, events: Sequence[NewEvent], *, expected: Expected | ExpectedWord
    ) -> Appended:
        """Append 1-100 events to one stream; see `EventStore.append`."""
        return self.transact([Append.of(stream_id, events, expected)])[0]

    def transact(self, appends: Sequence[Append]) -> tuple[Appended, ...]:
        """Append to several streams, all or nothing; see `EventStore.transact`."""
        check_transaction(appends)
        with self._lock:
            now_us = self._clock_us()
            wanted = want(appends, new_uid=lambda: uuid7(now_us=now_us, random_bytes=self._random_bytes))
            conflict = self._look(wanted, now_us=now_us)
            if is_seen(wanted):
                stored = settle(wanted, self._range)
                return tuple(Appended(events[0].stream_id, events, repeated=True) for events in stored)
            if conflict:
                raise conflict
            stamped = [
                stamp(one.append, head=self._head(one.append.stream_id), now_us=now_us, uids=one.uids)
                for one in wanted
            ]
            for events in stamped:
                self._write(events)
        return tuple(Appended(events[0].stream_id, events, repeated=False) for events in stamped)

    def head(self, stream_id: str) -> Head:
        """Return a stream's last version; see `EventStore.head`."""
        check_stream_id(stream_id)
        with self._lock:
            return self._head(stream_id)

    def read_stream(
        self,
        stream_id: str,
        *,
        from_version: int = 1,
        to_version: int | None = None,
        backward: bool = False,
        limit: int | None = None,
        consistent: bool = True,
    ) -> Iterator[Event]:
        """Read the events of one stream in order; see `EventStore.read_stream`."""
        check_stream_id(stream_id)
        check_flags(backward=backward, consistent=consistent)
        check_versions(from_version=from_version, to_version=to_version, limit=limit)
        with self._lock:
            events = self._streams.get(stream_id, [])[from_version - 1 : to_version]
        return islice(reversed(events) if backward else iter(events), limit)

    def read_times(self, addresses: Sequence[tuple[str, int]]) -> dict[tuple[str, int], int]:
        """Return when events were written, by their addresses; see `publication_order.StreamReader`."""
        return {
            (stream_id, event_id): written_us_of(event)
            for stream_id, event_id in addresses
            for event in self.read_stream(stream_id, from_version=event_id, to_version=event_id)
        }

    def read_all(
        self,
        *,
        from_: datetime | None = None,
        to: datetime | None = None,
        after: Position | None = None,
        limit: int | None = None,
        unsettled: bool = False,
    ) -> AllEvents:
        """Read the events of all streams in time order; see `EventStore.read_all`."""
        check_flags(unsettled=unsettled)
        asked = check_times(from_=from_, to=to, after=after, limit=limit)
        settled_until_us = self._clock_us() - self._settling_us
        times = asked if unsettled else asked.settled(settled_until_us)
        start = max(Position(times.from_us, "", 0), after or Position(0, "", 0))
        return AllEvents(islice(self._all(start, times.end_us), limit), settled_until_us)

    def read_log(
        self, *, after: LogPosition | None = None, limit: int = 1_000, tranches: Collection[int] | None = None
    ) -> LogPage:
        """Read what comes next in the log; see `eventstore.read_log`. Needs a store made with a log."""
        if self._log is None:
            raise InvalidArgument("log", "is missing: make the store with log=MemoryEventLog()")
        return read_log(self._log, after=after, limit=limit, tranches=tranches)

    def _all(self, start: Position, end_us: int | None) -> Iterator[Event]:
        last = start
        while True:
            # Looked up anew for each event: a stream that appears meanwhile is read as well.
            with self._lock:
                at = bisect_left(self._by_time, last, key=_position)
                event = next((event for event in self._by_time[at : at + 2] if event.position > last), None)
            if event is None or (end_us is not None and event.timestamp_us >= end_us):
                return
            yield event
            last = event.position

    def _write(self, events: tuple[Event, ...]) -> None:
        for event in events:
            self._streams.setdefault(event.stream_id, []).append(event)
            insort(self._by_time, event, key=_position)
        if self._log is not None:
            self._log.append_block(tranche_of(events[0].stream_id, tranches=self._log.tranches), events)

    def _head(self, stream_id: str) -> Head:
        stream = self._streams.get(stream_id)
        return stream[-1].head if stream else Head(stream_id, 0, 0)

    def _look(self, wanted: Sequence[Wanted], *, now_us: int) -> VersionConflict | None:
        """Look at what an append reads on DynamoDB, and at nothing else, so that both answer alike."""
        for one in wanted:
            self._find_head(one, now_us=now_us)
        if is_seen(wanted):
            return None
        for one in wanted:
            assert one.head is not None
            stamp(one.append, head=one.head, now_us=now_us, uids=one.uids)  # refused before a write is tried
        lost: Wanted | None = None
        for one in wanted:
            assert one.head is not None
            there = self._range(one.append.stream_id, one.head.version + 1, one.head.version + len(one.uids))
            for event in there:
                one.look_at(event)
            lost = lost or (one if there else None)
        if lost is None or lost.head is None or is_seen(wanted):
            return None
        last = self._streams[lost.append.stream_id][-1]
        lost.look_at(last)
        return VersionConflict(stream_id=last.stream_id, expected=lost.head.version, actual=last.event_id)

    def _find_head(self, wanted: Wanted, *, now_us: int) -> None:
        stream_id, expected = wanted.append.stream_id, wanted.append.expected
        stream = self._streams.get(stream_id, [])
        if isinstance(expected, Expect):
            wanted.head = self._head(stream_id)
            if wanted.has_given_uids:
                wanted.search(reversed(stream), size_bytes=event_size_bytes)
            if expected is Expect.EXISTS and not stream:
                raise VersionConflict(stream_id=stream_id, expected=str(expected), actual=0)
            return
        if isinstance(expected, Head) and has_to_be_read(expected, now_us=now_us):
            there = self._range(stream_id, expected.version, expected.version)
            if not there or there[0].head != expected:
                raise HeadNotInStream(stream_id=stream_id, version=expected.version)
            wanted.look_at(there[0])
        version = expected.version if isinstance(expected, Head) else expected
        if version > len(stream):
            if stream:
                wanted.look_at(stream[-1])
            if not wanted.seen:
                raise ExpectedVersionAhead(stream_id=stream_id, expected=version, actual=len(stream))
        elif isinstance(expected, Head) or not version:
            wanted.head = expected if isinstance(expected, Head) else Head(stream_id, 0, 0)
        else:
            wanted.head = stream[version - 1].head
            wanted.look_at(stream[version - 1])

    def _range(self, stream_id: str, first: int, last: int) -> list[Event]:
        return self._streams.get(stream_id, [])[first - 1 : last]
