"""An events table in memory whose items and index can be broken apart, as DynamoDB's can't be by hand."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from hashlib import blake2b
from zlib import crc32

from eventstore import Event
from eventstore.errors import MalformedItem, StoreUnavailable
from eventstore.maintenance.items import ItemPage, StoredItem

Address = tuple[str, int]


def item(event: Event, *, shard: str | None = "0", timestamp: str | None = "") -> StoredItem:
    """Store an event as an item; an empty `timestamp` is the event's own."""
    time = str(event.timestamp_us) if timestamp == "" else timestamp
    text = repr((event, time, shard))
    digest = int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big")
    return StoredItem(event.stream_id, event.event_id, event, event.uid, time, shard, digest)


@dataclass
class MemoryStoredEvents:
    """`StoredEvents` and `ImportTarget`; `not_indexed` aren't in its index, `orphans` only there."""

    items: dict[Address, StoredItem] = field(default_factory=dict)
    not_indexed: set[Address] = field(default_factory=set)
    orphans: list[StoredItem] = field(default_factory=list)
    page_items: int = 3
    scans: int = 0
    fails_at_scan: int | None = None
    hidden_once: set[Address] = field(default_factory=set)
    """Addresses that the first scan doesn't see yet."""
    scan_order: Callable[[int], int | str] = int
    """By what of its EventIds a scan orders a stream, which DynamoDB documents of queries alone."""
    on_put: list[Address] = field(default_factory=list)

    def add(self, *items: StoredItem) -> None:
        self.items |= {(each.stream_id, each.event_id): each for each in items}

    def scan(self, *, segment: int, segments: int, after: str | None) -> ItemPage:
        self.scans += 1
        if self.scans == self.fails_at_scan:
            raise StoreUnavailable(operation="Scan", reason="throttled")
        mine = sorted(
            (
                address
                for address in self.items
                if crc32(address[0].encode()) % segments == segment and address not in self.hidden_once
            ),
            key=self._scan_key,
        )
        behind = self._scan_key(json.loads(after)) if after else None
        rest = [address for address in mine if behind is None or self._scan_key(address) > behind]
        page = rest[: self.page_items]
        more = len(rest) > len(page)
        return ItemPage([self.items[address] for address in page], json.dumps(page[-1]) if more else None)

    def _scan_key(self, address: Address) -> tuple[str, int | str]:
        return address[0], self.scan_order(address[1])

    def read_items(
        self, stream_id: str, *, from_version: int, to_version: int | None = None
    ) -> Iterator[StoredItem]:
        for address in sorted(self.items):
            in_range = from_version <= address[1] and (to_version is None or address[1] <= to_version)
            if address[0] == stream_id and in_range:
                yield self.items[address]

    def read_index(self, shard: int, *, from_us: int, end_us: int) -> Iterator[StoredItem]:
        indexed = [each for address, each in self.items.items() if address not in self.not_indexed]
        of = str(shard)
        for each in [*indexed, *self.orphans]:
            if each.shard == of and each.timestamp and from_us <= int(each.timestamp) < end_us:
                yield each

    def repair(self, item_: StoredItem, *, timestamp_us: int, shard: int) -> bool:
        address = item_.stream_id, item_.event_id
        if self.items.get(address) != item_:
            return False
        assert isinstance(item_.event, Event)
        old = item_.event
        event = Event(old.stream_id, old.event_id, old.name, old.payload, old.metadata, old.uid, timestamp_us)
        self.items[address] = item(event, shard=str(shard))
        return True

    def spread(self, write_shards: int) -> int:
        return write_shards

    def is_empty(self) -> bool:
        return not self.items

    def put(self, event: Event, *, shard: int) -> Event | MalformedItem | None:
        address = event.stream_id, event.event_id
        self.on_put.append(address)
        if address in self.items:
            return self.items[address].event
        self.items[address] = item(event, shard=str(shard))
        return None

    def get(self, stream_id: str, event_id: int) -> Event | None:
        there = self.items.get((stream_id, event_id))
        return there.event if there and isinstance(there.event, Event) else None
