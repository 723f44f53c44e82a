"""The order of publication: what has to go out, each stream's events without a hole and in order.

The table's stream keeps the order of the records of one item, not of the items of one stream: a
transaction's records come in any order, and where a partition is split a stream's events can come by two
ways. So a batch is put in order here, and what is missing before an event is read back from the table.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final, Protocol

from eventstore.arguments import check_number, check_port
from eventstore.errors import MalformedItem, StoreUnavailable, StreamGap
from eventstore.events import Event
from eventstore.limits import READ_BACK_MAX_EVENTS, READ_MAX_ADDRESSES, STREAMS_REMEMBERED

_READ_BACK_PAGE_EVENTS: Final = 64


@dataclass(frozen=True, slots=True)
class StreamRecord:
    """One insert into the events table, as the table's stream tells it."""

    sequence_number: str
    stream_id: str
    event_id: int
    event: Event | MalformedItem


class StreamReader(Protocol):
    """Reads events back, of one stream or of many; `DynamoDBEventStore` and `MemoryEventStore` do."""

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
        """See `EventStore.read_stream`."""
        ...

    def read_times(self, addresses: Sequence[tuple[str, int]]) -> dict[tuple[str, int], int]:
        """Read the Timestamps (microseconds) of events by (stream id, EventId), strongly consistent.

        Args:
            addresses: at most 100 different ones; what isn't there, or has no Timestamp, is left out.

        Raises:
            StoreUnavailable: throttled or unreachable after all tries; safe to try again.

        Cost (DynamoDB): 1 request for up to 100 events and 16 MB; 1 RCU for each 4 KB of each event (its
        own size rounded up), and for each that isn't there. Only addresses and Timestamps are sent back.
        """
        ...


@dataclass(frozen=True, slots=True)
class Placed:
    """An event at the place of the batch that it takes."""

    place: int
    event: Event | MalformedItem


@dataclass(frozen=True, slots=True)
class Trouble:
    """What a batch stopped at, and why: to be tried again."""

    stream_id: str
    event_id: int
    reason: str


@dataclass(slots=True)
class Plan:
    """What is to be published of a batch."""

    queues: dict[str, list[Placed]]
    """Of each stream what is to go out, in order."""
    done: set[tuple[str, int]]
    """Streams and events of the batch that this process has published before."""
    trouble: Trouble | None = None
    """Set when some streams could not be planned, so that their records have to be tried again."""


class PublishedStreams:
    """Remembers which events this process has published itself: of each stream the last run of them.

    The last run, not only the last event: what came before the run was published by another process, or
    arrives late, and is never passed over.
    """

    def __init__(self, *, max_streams: int = STREAMS_REMEMBERED) -> None:
        self._max_streams = max_streams
        self._runs: OrderedDict[str, tuple[int, int]] = OrderedDict()

    def add(self, stream_id: str, event_id: int) -> None:
        """Remember that an event was published or parked."""
        if event_id < 1:
            return
        first, last = self._runs.get(stream_id, (event_id, event_id))
        if event_id == first - 1:
            first = event_id
        elif event_id == last + 1:
            last = event_id
        elif event_id > last:
            first = last = event_id
        self._runs[stream_id] = first, last
        self._runs.move_to_end(stream_id)
        if len(self._runs) > self._max_streams:
            self._runs.popitem(last=False)

    def has(self, stream_id: str, event_id: int) -> bool:
        """Tell whether this process has published an event, as far as it remembers."""
        first, last = self._runs.get(stream_id, (0, -1))
        return first <= event_id <= last

    def last_before(self, stream_id: str, event_id: int) -> int:
        """Tell the last event before another that was published by this process; 0 for none known."""
        last = self._runs.get(stream_id, (0, 0))[1]
        return last if last < event_id else 0


_Arrived = dict[int, tuple[int, Event | MalformedItem]]
"""What came of one stream, and at which place, by EventId."""


class _TimeIsUp(Exception):
    """No request may begin any more."""


def window_us(reorder_window_s: float) -> int:
    """Return a writer's reorder window in microseconds. Raises InvalidLimit."""
    check_number(reorder_window_s, "reorder_window_s")
    return round(reorder_window_s * 1_000_000)


class PublicationOrder:
    """Puts batches of records in order, with what is missing before and between them.

    Args:
        reader: reads events back, strongly consistent.
        published: what this process has published; kept up by the publisher.
        window_us: by how much the Timestamps of two events of one stream may differ whose records arrive
            in the wrong order; 0 reads back nothing but holes inside a batch.
    """

    def __init__(self, *, reader: StreamReader, published: PublishedStreams, window_us: int) -> None:
        check_port(reader, StreamReader, "reader")
        self._reader = reader
        self._published = published
        self._window_us = window_us

    def plan(self, records: Sequence[StreamRecord], *, in_time: Callable[[], bool]) -> Plan:
        """Plan a batch: a queue for each stream, its events taking the places at which they arrived.

        Repeats stand in it once; what this process has published doesn't. Where an event can't be read
        back, or the time is up, the plan ends before that stream.

        Cost: a stream's first event, and one whose preceding event this process has published: nothing. All
        other streams of the batch: 1 request for each 100 of them, 1 RCU a stream (preceding event of
        <= 4 KB). A stream whose preceding event lies within the window, isn't there or has no Timestamp:
        1 query more for each 64 events. Each hole inside the batch: 1 query and 1 more for each 64 events.
        """
        plan = Plan({}, set())
        arrived: dict[str, _Arrived] = {}
        for place, record in enumerate(records):
            if self._published.has(record.stream_id, record.event_id):
                plan.done.add((record.stream_id, record.event_id))
            else:
                arrived.setdefault(record.stream_id, {}).setdefault(record.event_id, (place, record.event))
        to_look_before = self._to_look_before(arrived)
        complete: set[str] = set()
        for stream_id, events in arrived.items():
            try:
                if stream_id in to_look_before:
                    _check(in_time)
                    firsts = [to_look_before.pop(of) for of in [*islice(to_look_before, READ_MAX_ADDRESSES)]]
                    complete |= self._complete(firsts)
                _check(in_time)
                plan.queues[stream_id] = list(
                    self._queue(stream_id, events, nothing_missing_before=stream_id in complete)
                )
            except _TimeIsUp:
                plan.trouble = Trouble(stream_id, min(events), "the function's time was up before its turn")
                break
            except StoreUnavailable as error:
                reason = f"what precedes it can't be read back: {error}"
                plan.trouble = Trouble(stream_id, min(events), reason)
                break
        return plan

    def _to_look_before(self, arrived: Mapping[str, _Arrived]) -> dict[str, Event]:
        """Tell the streams' first events before which something may be missing, in the order of arrival."""
        firsts: dict[str, Event] = {}
        for stream_id, events in arrived.items() if self._window_us else ():
            event_id = min(events)
            event = events[event_id][1]
            if isinstance(event, Event) and self._published.last_before(stream_id, event_id) < event_id - 1:
                firsts[stream_id] = event
        return firsts

    def _complete(self, firsts: Sequence[Event]) -> set[str]:
        """Tell the streams whose preceding event is older than the window: it, and all before, went out."""
        times_us = self._reader.read_times([(event.stream_id, event.event_id - 1) for event in firsts])
        return {
            event.stream_id
            for event in firsts
            if (time_us := times_us.get((event.stream_id, event.event_id - 1))) is not None
            and time_us < event.timestamp_us - self._window_us
        }

    def _queue(self, stream_id: str, events: _Arrived, *, nothing_missing_before: bool) -> Iterator[Placed]:
        places = sorted(place for place, _ in events.values())
        first = min(events)
        above = first - 1 if nothing_missing_before else self._published.last_before(stream_id, first)
        behind_a_hole = False
        for event_id, place in zip(sorted(events), places, strict=True):
            event = events[event_id][1]
            if isinstance(event, Event):
                width = event_id - 1 - above
                whole = behind_a_hole and width <= READ_BACK_MAX_EVENTS
                for missing in self._read_back(event, above=above, whole=whole) if width else ():
                    if not (missing.event_id in events or self._published.has(stream_id, missing.event_id)):
                        yield Placed(place, missing)
                behind_a_hole = True
            if isinstance(event, Event) or event_id == above + 1:
                above = event_id
            yield Placed(place, event)

    def _read_back(self, event: Event, *, above: int, whole: bool) -> list[Event | MalformedItem]:
        """Read the events behind `above` and before `event`: the whole hole, or those within the window."""
        if not (whole or self._window_us):
            return []
        oldest_us = 0 if whole else event.timestamp_us - self._window_us
        to_version = event.event_id - 1
        found: list[Event | MalformedItem] = []
        while to_version > above:
            try:
                page = 0
                for earlier in self._reader.read_stream(
                    event.stream_id,
                    from_version=above + 1,
                    to_version=to_version,
                    backward=True,
                    limit=_READ_BACK_PAGE_EVENTS,
                ):
                    if earlier.timestamp_us < oldest_us:
                        return found[::-1]
                    found.append(earlier)
                    to_version = earlier.event_id - 1
                    page += 1
                if page < _READ_BACK_PAGE_EVENTS:
                    break
            except MalformedItem as malformed:
                found.append(malformed)
                to_version = min(to_version, malformed.event_id) - 1
            except StreamGap as gap:  # deleted: there's nothing of it to publish
                to_version = gap.first_missing - 1
        return found[::-1]


def _check(in_time: Callable[[], bool]) -> None:
    if not in_time():
        raise _TimeIsUp
