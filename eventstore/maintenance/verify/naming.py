"""What differs between the table and its index or the log, event by event, once it's known where to look."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Final

from eventstore.events import Address
from eventstore.log.model import LogEntry
from eventstore.maintenance.items import StoredItem, scan_side_by_side
from eventstore.maintenance.verify.against_log import LogComparison
from eventstore.maintenance.verify.difference import Difference, Named
from eventstore.maintenance.verify.digests import Part, Parts
from eventstore.maintenance.verify.findings import Finding, Kind
from eventstore.maintenance.verify.segments import StoredEvents, index_place, log_place, stream_hash, whole

EVENTS_AT_ONCE: Final = 100_000
"""Differing events that one scan names, in about 50 MB of memory (ours)."""

Place = tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Naming:
    """Names the events of differing parts.

    All members of the parts are told apart by what differs, so the cost is that of the findings: 1 scan for
    each `EVENTS_AT_ONCE` differing events (250 RCU for 1,000 events of 1 KB), whatever the number of parts,
    and the index and the log of these parts once more. Each of them is then read again: 1 query of the table,
    and 1 of the index for each of its Timestamps.

    Args:
        table: the events table.
        log: None when the log is left out.
        read_shards, segments, settled_until_us, repair: as `Verification` has them.
        executor: where pages are fetched.
        streams: how many the table has.
    """

    table: StoredEvents
    log: LogComparison | None
    read_shards: int
    segments: int
    settled_until_us: int
    repair: bool
    executor: Executor
    streams: int

    def findings(self, of_index: Parts, of_log: Parts) -> Iterator[Finding]:
        """Yield what differs in some parts of the index and of the log."""
        least = max(of_index.least, of_log.least)
        shares = -(-least // EVENTS_AT_ONCE) or 1
        waiting = [(share, shares) for share in range(shares)]
        while waiting:
            share, of = waiting.pop(0)
            index, log = self._differences(of_index, of_log, share, of)
            # What is left after a split isn't too many, but something that has changed while it was read.
            whole = index.is_whole and log.is_whole
            if not whole and not (of > shares and index.is_nearly_whole and log.is_nearly_whole):
                waiting += [(share, 2 * of), (share + of, 2 * of)]
                continue
            yield from self._of_index(index)
            yield from self._of_log(log)
            if not whole:
                yield Finding(
                    kind=Kind.LOG_DIFFERS if index.is_whole else Kind.INDEX_DIFFERS,
                    stream_id=None,
                    event_id=None,
                    detail="something else changed while it was read; verify again",
                )

    def _differences(self, of_index: Parts, of_log: Parts, share: int, of: int) -> tuple[Named, Named]:
        """Scan the table once against the index and the log: a share of all events, by their hashes."""
        index, log = (
            Difference(at_most=min(EVENTS_AT_ONCE, parts.members), salt=of) for parts in (of_index, of_log)
        )

        for item in self._scanned():
            if _is_in(share, of, item):
                self._add(item, of_index, of_log, index, log)
        for part, item in self._indexed(of_index):
            if _is_in(share, of, item):
                index.add_second(_index_member(item, part.group))
        for entry, digest in self._logged(of_log):
            if _is_in(share, of, entry):
                log.add_second(_log_member(entry.stream_id, entry.event_id, digest))
        return index.named(), log.named()

    def _scanned(self) -> Iterator[StoredItem]:
        starts: dict[int, str | None] = dict.fromkeys(range(self.segments))
        pages = scan_side_by_side(self.table, executor=self.executor, starts=starts, segments=self.segments)
        for _, page in pages:
            yield from page.items

    def _add(
        self, item: StoredItem, of_index: Parts, of_log: Parts, index: Difference, log: Difference
    ) -> None:
        at = index_place(item, read_shards=self.read_shards, settled_until_us=self.settled_until_us)
        if at and of_index.have(*at):
            index.add_first(_index_member(item, at[0]))
        if self.log and of_log:
            logged = log_place(
                item,
                tranches=self.log.tranches,
                read_shards=self.read_shards,
                settled_until_us=self.settled_until_us,
            )
            if logged and of_log.have(logged[0], logged[1]):
                log.add_first(_log_member(item.stream_id, item.event_id, logged[2]))

    def _indexed(self, parts: Parts) -> Iterator[tuple[Part, StoredItem]]:
        for part in parts:
            end_us = min(part.end, self.settled_until_us)
            if part.first < end_us:
                for item in self.table.read_index(part.group, from_us=part.first, end_us=end_us):
                    if item.is_events and item.event_id >= 1 and whole(item.timestamp) is not None:
                        yield part, item

    def _logged(self, parts: Parts) -> Iterator[tuple[LogEntry, int]]:
        if not (self.log and parts):
            return
        entries = self.log.entries(streams=self.streams, settled_until_us=self.settled_until_us)
        for tranche, place, entry, digest in entries:
            if parts.have(tranche, place):
                yield entry, digest

    def _of_index(self, named: Named) -> Iterator[Finding]:
        places: defaultdict[Address, set[Place]] = defaultdict(set)
        for member in (*named.first, *named.second):
            shard, time_us, _, event_id, stream_id = member.decode().split("/", 4)
            places[stream_id, int(event_id)].add((int(shard), int(time_us)))
        items = self._items(places)
        at = {address: self._index_place(item) for address, item in items.items()}
        for address, place in at.items():
            if place:
                places[address].add(place)
        indexed = self._indexed_at({place for of in places.values() for place in of})
        for address in sorted(places):
            item = items[address] if at.get(address) else None
            yield from _compare(item, indexed.get(address, []))

    def _of_log(self, named: Named) -> Iterator[Finding]:
        addresses = set()
        for member in (*named.first, *named.second):
            _, event_id, stream_id = member.decode().split("/", 2)
            addresses.add((stream_id, int(event_id)))
        if self.log and addresses:
            yield from self.log.compare(
                addresses,
                self._items(addresses),
                settled_until_us=self.settled_until_us,
                repair=self.repair,
            )

    def _items(self, addresses: Iterable[Address]) -> dict[Address, StoredItem]:
        """Read items again, each by itself."""

        def read(address: Address) -> StoredItem | None:
            stream_id, event_id = address
            return next(self.table.read_items(stream_id, from_version=event_id, to_version=event_id), None)

        found = self.executor.map(read, addresses)
        return {(item.stream_id, item.event_id): item for item in found if item is not None}

    def _indexed_at(self, places: Iterable[Place]) -> dict[Address, list[StoredItem]]:
        """Read what the index has at some places now."""

        def read(place: Place) -> list[StoredItem]:
            return list(self.table.read_index(place[0], from_us=place[1], end_us=place[1] + 1))

        indexed: defaultdict[Address, list[StoredItem]] = defaultdict(list)
        for items in self.executor.map(read, places):
            for item in items:
                indexed[item.stream_id, item.event_id].append(item)
        return indexed

    def _index_place(self, item: StoredItem) -> Place | None:
        return index_place(item, read_shards=self.read_shards, settled_until_us=self.settled_until_us)


def _compare(item: StoredItem | None, indexed: list[StoredItem]) -> Iterator[Finding]:
    if item is None:
        for other in indexed[:1]:
            yield _found(Kind.ONLY_IN_INDEX, other, "is in the time index, not in the table")
    elif not indexed:
        where = f"shard {item.shard} at {item.timestamp}"
        yield _found(Kind.MISSING_IN_INDEX, item, f"is in the table, not in the time index ({where})")
    elif any(other.digest != item.digest for other in indexed):
        yield _found(Kind.INDEX_DIFFERS, item, "is in the time index with other attributes")


def _found(kind: Kind, item: StoredItem, detail: str) -> Finding:
    return Finding(kind=kind, stream_id=item.stream_id, event_id=item.event_id, detail=detail)


def _is_in(share: int, of: int, one: StoredItem | LogEntry) -> bool:
    return stream_hash(f"{one.event_id}/{one.stream_id}") % of == share


def _index_member(item: StoredItem, shard: int) -> bytes:
    return f"{shard}/{whole(item.timestamp)}/{item.digest:x}/{item.event_id}/{item.stream_id}".encode()


def _log_member(stream_id: str, event_id: int, digest: int) -> bytes:
    return f"{digest:x}/{event_id}/{stream_id}".encode()
