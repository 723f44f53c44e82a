"""How many shards a store's events are in, where the store itself has lost that fact."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

from eventstore._arguments import check_port, check_whole
from eventstore.events import Event
from eventstore.limits import SHARDS_MAX
from eventstore.maintenance.items import StoredItem, StoredItems, scan_side_by_side
from eventstore.maintenance.verify.findings import Finding, Kind, Repair
from eventstore.maintenance.verify.segments import whole

_THREADS: Final = 32


@dataclass(frozen=True, slots=True)
class LostStoreItem:
    """What is known about shards without the store's own item."""

    written: int
    """The highest shard that an event is in, and one: so many have to be read at least."""
    example: str
    """Which event that is."""
    epoch_us: int | None = None
    """The highest epoch that an event has; see `Event.epoch_us`."""

    def finding(self, repair: Repair, *, read_shards: int) -> Finding:
        """Return it as a finding of a verification.

        Args:
            read_shards: the number that was, or can be, written back.
        """
        return Finding(
            kind=Kind.STORE_ITEM_MISSING,
            stream_id="$store",
            event_id=0,
            detail=f"the store's own item is gone: reads of all events and writers that start are refused; "
            f"events are in the shards 0 to {self.written - 1} ({self.example}): {read_shards} to read",
            repair=repair,
        )


def find_lost(table: StoredItems, *, segments: int) -> LostStoreItem | None:
    """Scan a table without the store's own item for the highest shard; None when it has no events.

    Consistency: strong. Cost: as a verification's own scan, 250 RCU for 1,000 events of 1 KB.

    Raises:
        InvalidArgument, InvalidLimit: an argument that can't be used.
    """
    check_port(table, StoredItems, "table")
    check_whole(segments, "segments")
    highest: tuple[int, str] | None = None
    epoch_us = 0
    starts: dict[int, str | None] = dict.fromkeys(range(segments))
    with ThreadPoolExecutor(min(segments, _THREADS)) as executor:
        for _, page in scan_side_by_side(table, executor=executor, starts=starts, segments=segments):
            here = max((_place(item) for item in page.items if item.is_events), default=None)
            highest = max(filter(None, (highest, here)), default=None)
            epoch_us = max(epoch_us, *(_epoch_us(item) for item in page.items), 0)
    return LostStoreItem(highest[0] + 1, highest[1], epoch_us or None) if highest else None


def _epoch_us(item: StoredItem) -> int:
    return (item.event.epoch_us or 0) if isinstance(item.event, Event) else 0


def _place(item: StoredItem) -> tuple[int, str]:
    shard = whole(item.shard)
    if shard is None or shard >= SHARDS_MAX:  # a finding of its own
        return 0, "none has a shard"
    return shard, f"event {item.event_id} of stream {item.stream_id!r} in the highest"
