"""The order of publication: what has to go out, each stream's events without a hole and in order.

The table's stream keeps the order of the records of one item, not of the items of one stream: a
transaction's records come in any order, and where a partition is split a stream's events can come by two
ways. So a batch is put in order here, and what is missing before an event is read back from the table.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from eventstore.errors import MalformedItem, StoreUnavailable
from eventstore.events import Event
from eventstore.limits import READ_BACK_MAX_EVENTS, STREAMS_REMEMBERED

_READ_BACK_PAGE_EVENTS: Final = 64


@dataclass(frozen=True, slots=True)
class StreamRecord:
    """One insert into the events table, as the table's stream tells it."""

    sequence_number: str
    stream_id: str
    event_id: int
    event: Event | MalformedItem


class StreamReader(Protocol):
    """Reads the events of one stream; any `EventStore` does."""

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


class PublicationOrder:
    """Puts batches of records in order, with what is missing before and between them.

    Args:
        reader: reads events back, strongly consistent.
        published: what this process has published; kept up by the publisher.
        window_us: by how much the Timestamps of two events of one stream may differ whose records arrive
            in the wrong order; 0 reads back nothing but holes inside a batch.
    """

    def __init__(self, *, reader: StreamReader, published: PublishedStreams, window_us: int) -> None:
        self._reader = reader
        self._published = published
        self._window_us = window_us

    def plan(self, records: Sequence[StreamRecord], *, in_time: Callable[[], bool]) -> Plan:
        """Plan a batch: a queue for each stream, its events taking the places at which they arrived.

        Repeats stand in it once; what this process has published doesn't. Where an event can't be read
        back, or the time is up, the plan ends before that stream.

        Cost: a stream's first event, and one whose preceding event this process has published: nothing. For
        each other stream of the batch: 1 query, 1 RCU (preceding event of <= 4 KB); when that event lies
        within the window 1 more for each 64 of them. For each hole inside the batch: 1 query and 1 more
        for each 64 events.
        """
        plan = Plan({}, set())
        arrived: dict[str, dict[int, tuple[int, Event | MalformedItem]]] = {}
        for place, record in enumerate(records):
            if self._published.has(record.stream_id, record.event_id):
                plan.done.add((record.stream_id, record.event_id))
            else:
                arrived.setdefault(record.stream_id, {}).setdefault(record.event_id, (place, record.event))
        for stream_id, events in arrived.items():
            if not in_time():
                plan.trouble = Trouble(stream_id, min(events), "the function's time was up before its turn")
                break
            try:
                plan.queues[stream_id] = list(self._queue(stream_id, events))
            except StoreUnavailable as error:
                reason = f"what precedes it can't be read back: {error}"
                plan.trouble = Trouble(stream_id, min(events), reason)
                break
        return plan

    def _queue(
        self, stream_id: str, events: dict[int, tuple[int, Event | MalformedItem]]
    ) -> Iterator[Placed]:
        places = sorted(place for place, _ in events.values())
        above = self._published.last_before(stream_id, min(events))
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
        # Outside of a hole the preceding event is mostly old enough to tell that nothing is missing.
        limit = _READ_BACK_PAGE_EVENTS if whole else 1
        to_version = event.event_id - 1
        found: list[Event | MalformedItem] = []
        while to_version > above:
            try:
                page = 0
                for earlier in self._reader.read_stream(
                    event.stream_id, from_version=above + 1, to_version=to_version, backward=True, limit=limit
                ):
                    if earlier.timestamp_us < oldest_us:
                        return found[::-1]
                    found.append(earlier)
                    to_version = earlier.event_id - 1
                    page += 1
                if page < limit:
                    break
            except MalformedItem as malformed:
                found.append(malformed)
                to_version = min(to_version, malformed.event_id) - 1
            limit = _READ_BACK_PAGE_EVENTS
        return found[::-1]
