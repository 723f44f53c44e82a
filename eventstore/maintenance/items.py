"""The items of the events table as they lie there, whole or damaged: what `verify` and `export` read."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from dataclasses import dataclass
from typing import Protocol

from eventstore.errors import MalformedItem
from eventstore.events import Event
from eventstore.limits import RESERVED_STREAM_ID_PREFIX


@dataclass(frozen=True, slots=True)
class StoredItem:
    """One item of the table or of its index."""

    stream_id: str
    event_id: int
    """0 when its sort key is no version; `event` says which."""
    event: Event | MalformedItem
    """Read with a Timestamp of 0 when it has none."""
    uid: str | None
    timestamp: str | None
    """The number as DynamoDB has it; None when there's none, and then the item isn't in the index."""
    shard: str | None
    """As `timestamp`."""
    digest: int
    """64 bits made from all of its attributes."""

    @property
    def is_events(self) -> bool:
        """False for the store's own items, whose stream ids are reserved."""
        return not self.stream_id.startswith(RESERVED_STREAM_ID_PREFIX)


@dataclass(frozen=True, slots=True)
class ItemPage:
    """The next items of a segment; `after` is where to go on, None when the segment is done."""

    items: list[StoredItem]
    after: str | None


class StoredItems(Protocol):
    """Reads the events table whole, in segments, or one stream of it."""

    def scan(self, *, segment: int, segments: int, after: str | None) -> ItemPage:
        """Read one page of a segment, strongly consistent.

        All items of a stream are in one segment, one behind the other; in which order is not promised:
        `in_stream_order` sees to it.
        Cost: 1 request and 1 RCU for each 4 KB, for about 1 MB.
        """
        ...

    def read_items(
        self, stream_id: str, *, from_version: int, to_version: int | None = None
    ) -> Iterator[StoredItem]:
        """Read items of one stream by rising EventId, strongly consistent, whatever they are.

        Cost: 1 query for each 1 MB; 1 RCU for each 4 KB.
        """
        ...


def in_stream_order(item: StoredItem, *, version: int, table: StoredItems) -> Iterator[StoredItem]:
    """Yield what comes next of a stream, now that a scan gives this item of it: each once, by rising EventId.

    DynamoDB documents the order of a query, not that of a scan, and not every engine scans by rising
    EventId. So an item that isn't the next one makes the rest of its stream be read by a query, and what
    the scan gives of it later is passed over. An item whose EventId is no version comes as it is.

    Args:
        item: of the scan.
        version: the highest EventId that was yielded of its stream; 0 when there was none.

    Cost: nothing where a scan keeps the order; elsewhere, and at each gap, that of the rest of the stream.
    """
    if item.event_id < 1 or item.event_id == version + 1:
        yield item
    elif item.event_id > version:
        rest = table.read_items(item.stream_id, from_version=version + 1)
        yield from (found for found in rest if found.event_id >= 1)


def scan_side_by_side(
    table: StoredItems,
    *,
    executor: Executor,
    starts: dict[int, str | None],
    segments: int,
) -> Iterator[tuple[int, ItemPage]]:
    """Yield the pages of several segments as they come, those of one segment in order.

    Args:
        executor: where pages are fetched.
        starts: the segments to read, and where each begins (None: at its beginning).
        segments: into how many the table is cut.

    Memory: two pages a segment.
    """

    def fetch(segment: int, after: str | None) -> Future[ItemPage]:
        return executor.submit(table.scan, segment=segment, segments=segments, after=after)

    coming = {fetch(segment, after): segment for segment, after in starts.items()}
    while coming:
        done, _ = wait(coming, return_when=FIRST_COMPLETED)
        for future in done:
            segment, page = coming.pop(future), future.result()
            if page.after is not None:
                coming[fetch(segment, page.after)] = segment
            yield segment, page
