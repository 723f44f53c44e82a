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


class TableScan(Protocol):
    """Reads the whole events table in segments."""

    def scan(self, *, segment: int, segments: int, after: str | None) -> ItemPage:
        """Read one page of a segment, strongly consistent.

        All items of a stream are in one segment, behind each other by rising EventId.
        Cost: 1 request and 1 RCU for each 4 KB, for about 1 MB.
        """
        ...


def scan_side_by_side(
    table: TableScan,
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
