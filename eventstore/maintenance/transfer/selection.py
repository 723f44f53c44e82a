"""What of a store goes into an export: of each stream the part that an import can take, and what stays out.

An import refuses a file in which an event can't be read back or a stream has a gap. So the same checks, by
the same code, are made before an event is written: a stream ends in the file where it stops being whole, and
the rest is reported as left out.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final, Protocol

from eventstore._arguments import check_flags, check_functions
from eventstore.errors import MalformedItem
from eventstore.events import Event
from eventstore.maintenance.items import StoredItem, StoredItems, in_stream_order, scan_side_by_side
from eventstore.maintenance.transfer.lines import LeftOut, LeftOutStream, line_fault, order_fault
from eventstore.positions import from_us

CLOCK_US: Final = 2_000_000
"""Microseconds by which a Timestamp may be ahead of DynamoDB's clock: only its whole seconds are known."""

_EVER_US: Final = 10**36
"""Behind every Timestamp, also of an item that isn't an event."""


class IndexedItems(Protocol):
    """Reads the time index item by item."""

    def read_index(self, shard: int, *, from_us: int, end_us: int) -> Iterator[StoredItem]:
        """Read one shard of the time index in [from_us, end_us), eventually consistent."""
        ...


@dataclass(slots=True)
class _Stream:
    """Where a stream stands."""

    stream_id: str
    seen: int = 0
    """The highest EventId that was looked at."""
    last: tuple[int, int] | None = None
    """EventId and Timestamp of its last event that is in the file."""
    ended: LeftOutStream | None = None
    """Set from where on it's left out."""


@dataclass(slots=True)
class Selection:
    """Chooses the events of an export; what it has left out is known when it's done.

    Args:
        end_us: events from this Timestamp on stay out: at the export's beginning they were not there yet.
        now_us: DynamoDB's time, by which they are told from those that a wrong clock has stamped.
        whole_streams: each stream has to begin with event 1.
    """

    end_us: int
    now_us: Callable[[], int]
    whole_streams: bool
    left_out: LeftOut = field(default_factory=LeftOut)
    young: int = 0
    """Events that were appended while the export ran."""

    def __post_init__(self) -> None:
        """Check what was given. Raises InvalidArgument, NotSynchronous."""
        check_flags(whole_streams=self.whole_streams)
        check_functions(now_us=self.now_us)

    def of_table(self, table: StoredItems, *, segments: int) -> Iterator[Event]:
        """Scan the whole table: each stream in order, those of several segments between each other.

        Consistency: strong. Every event that was written before the scan began, also one that its time index
        doesn't have (yet), is there or is counted as left out.

        Cost: 250 RCU for 1,000 events of 1 KB, 1 request for each 1 MB. Memory: two pages (1 MB) a segment.
        """
        streams: dict[int, _Stream] = {}
        starts: dict[int, str | None] = dict.fromkeys(range(segments))
        with ThreadPoolExecutor(segments, thread_name_prefix="export") as executor:
            pages = scan_side_by_side(table, executor=executor, starts=starts, segments=segments)
            for segment, page in pages:
                # A stream is in one segment, one item behind the other: only the last one is remembered.
                for item in page.items:
                    stream = streams.get(segment)
                    if stream is None or stream.stream_id != item.stream_id:
                        stream = streams[segment] = _Stream(item.stream_id)
                    for found in in_stream_order(item, version=stream.seen, table=table):
                        yield from self._chosen(found, stream)

    def of_index(
        self, table: IndexedItems, *, shards: int, from_us: int, to_us: int | None
    ) -> Iterator[Event]:
        """Read a range of time of all streams, in time order.

        Consistency: eventual, as every read of the time index.

        Cost: 125 RCU for 1,000 events of 1 KB; what stands behind `end_us` is read, too, to be counted.
        Memory: a page (1 MB) a shard, and about 200 bytes a stream.
        """
        streams: dict[str, _Stream] = {}
        last_us = _EVER_US if to_us is None else to_us
        if last_us <= from_us:
            return
        shards_items = [table.read_index(shard, from_us=from_us, end_us=last_us) for shard in range(shards)]
        for item in heapq.merge(*shards_items, key=_time):
            stream = streams.setdefault(item.stream_id, _Stream(item.stream_id))
            yield from self._chosen(item, stream)

    def _chosen(self, item: StoredItem, stream: _Stream) -> Iterator[Event]:
        """Yield the item's event, or count it as left out."""
        if not item.is_events:
            return
        stream.seen = max(stream.seen, item.event_id)
        event, fault = item.event, self._fault(item, stream)
        if fault is None and isinstance(event, Event):
            stream.last = event.event_id, event.timestamp_us
            yield event
        elif fault is None or fault is _YOUNG:
            self.young += 1
        elif item.event_id < 1:  # beside the stream's events, which go on
            self.left_out.count(self.left_out.add(LeftOutStream(item.stream_id, item.event_id, fault)))
        else:
            if stream.ended is None:
                stream.ended = self.left_out.add(LeftOutStream(item.stream_id, item.event_id, fault))
            self.left_out.count(stream.ended)

    def _fault(self, item: StoredItem, stream: _Stream) -> str | None:
        """Return why the item stays out of the file; None when it goes in."""
        event = item.event
        if isinstance(event, MalformedItem):
            return event.reason
        if stream.ended is not None:
            return stream.ended.reason
        if item.timestamp is None:
            return "it has no Timestamp; `verify --repair` gives it one where that is known"
        if event.timestamp_us >= self.end_us:
            return self._late(event)
        return order_fault(event, behind=stream.last, whole_streams=self.whole_streams) or line_fault(event)

    def _late(self, event: Event) -> str:
        ahead_us = event.timestamp_us - self.now_us()
        if ahead_us <= CLOCK_US:
            return _YOUNG
        time = from_us(event.timestamp_us).isoformat()
        return f"its Timestamp {time} is {ahead_us / 1_000_000:,.0f} s ahead of DynamoDB's clock"


_YOUNG: Final = "it was appended while the export ran"


def _time(item: StoredItem) -> tuple[Decimal, str, int]:
    return Decimal(item.timestamp or 0), item.stream_id, item.event_id
