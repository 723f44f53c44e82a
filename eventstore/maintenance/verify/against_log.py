"""The log against the table: every event has an entry, and every entry its event."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from math import ceil
from typing import Final

from eventstore._arguments import check_port, check_whole
from eventstore.errors import BlockMissing, MalformedBlock
from eventstore.events import Address, Event
from eventstore.limits import LOG_BLOCK_MAX_BYTES
from eventstore.log.model import BEGINNING, BlockPosition, LogEntry, entry_size_bytes, tranche_of
from eventstore.log.port import EventLog
from eventstore.maintenance.items import StoredItem
from eventstore.maintenance.verify.digests import PartDigests
from eventstore.maintenance.verify.findings import Finding, Kind, Repair
from eventstore.maintenance.verify.segments import HASH_SHIFT, entry_digest, stream_hash, whole

STREAMS_AT_ONCE: Final = 500_000
"""Streams whose last entry is remembered at once, about 100 MB (ours). With more, the log is read again."""


class LogComparison:
    """Compares the log with the table, and appends what is missing there.

    An entry that stands there again is no fault: what feeds the log delivers at least once. An entry that is
    missing is appended behind the last block, as the log's own writer would have done late; a subscriber
    that has passed a hole has fetched it from the table, and drops such an entry.

    Blocks that are gone or can't be read are passed over and noted; their events are missing then.

    Memory: `streams_at_once` streams, and the parts that differ.
    Cost of 1,000 events: about 20 RCU (blocks of 12 entries a KB, strongly consistent) for each
    `streams_at_once` streams; a missing entry: 1 WCU for about 12 that are appended together.
    """

    def __init__(self, log: EventLog, *, streams_at_once: int = STREAMS_AT_ONCE) -> None:
        check_port(log, EventLog, "log")
        check_whole(streams_at_once, "streams_at_once")
        self._log = log
        self._streams_at_once = streams_at_once
        self.tranches = log.tranches
        self._blocks: dict[tuple[int, int], Finding] = {}

    def digests(
        self, *, streams: int, max_parts: int, settled_until_us: int, repair: bool = False
    ) -> PartDigests:
        """Digest the log as `SegmentCheck` does the table: each event once.

        Args:
            repair: close the places of blocks that are gone.
        """
        digests = PartDigests(max_parts=max_parts, shift=HASH_SHIFT)
        entries = self.entries(streams=streams, settled_until_us=settled_until_us, repair=repair)
        for tranche, place, _, digest in entries:
            digests.add(tranche, place, digest)
        return digests

    @property
    def blocks(self) -> Sequence[Finding]:
        """What is wrong with blocks that were read so far."""
        return [self._blocks[at] for at in sorted(self._blocks)]

    def entries(
        self, *, streams: int, settled_until_us: int, repair: bool = False
    ) -> Iterator[tuple[int, int, LogEntry, int]]:
        """Yield the log's entries, each event's first one: with tranche, hash and digest."""
        passes = max(1, ceil(streams / self._streams_at_once))
        for chosen in range(passes):
            for tranche in range(self.tranches):
                seen = _SeenEvents()
                for entry in self._read(tranche, repair=repair):
                    place = stream_hash(entry.stream_id)
                    # The hash's upper bits: its lower ones have chosen the tranche.
                    mine = (place >> 16) % passes == chosen and entry.timestamp_us < settled_until_us
                    if mine and seen.add(entry):
                        yield tranche, place, entry, _digest(entry)

    def compare(
        self,
        addresses: Collection[Address],
        items: Mapping[Address, StoredItem],
        *,
        settled_until_us: int,
        repair: bool,
    ) -> Iterator[Finding]:
        """Read the entries of some events again, and yield what differs from the table's items."""
        missing = {of: item for of, item in items.items() if _is_settled(item, settled_until_us)}
        for tranche in sorted({self._tranche(stream_id) for stream_id, _ in addresses}):
            for entry in self._read(tranche):
                address = entry.stream_id, entry.event_id
                if address in addresses and entry.timestamp_us < settled_until_us:
                    missing.pop(address, None)
                    yield from _difference(entry, items.get(address))
        yield from self._not_logged(missing.values(), repair=repair)

    def _not_logged(self, items: Iterable[StoredItem], *, repair: bool) -> Iterator[Finding]:
        events = [item.event for item in items if isinstance(item.event, Event)]
        if repair:
            self.append(events)
        outcome = Repair.DONE if repair else Repair.POSSIBLE
        for event in events:
            yield Finding(
                kind=Kind.MISSING_IN_LOG,
                stream_id=event.stream_id,
                event_id=event.event_id,
                detail=f"is in the table, not in tranche {self._tranche(event.stream_id)} of the log",
                repair=outcome,
            )

    def timestamp_us(self, stream_id: str, event_id: int) -> int | None:
        """Return the Timestamp that the log has of an event. Cost: 1 RCU each 50 entries of its tranche."""
        entries = self._read(self._tranche(stream_id))
        of_event = (entry for entry in entries if (entry.stream_id, entry.event_id) == (stream_id, event_id))
        return next((entry.timestamp_us for entry in of_event), None)

    def _read(self, tranche: int, *, repair: bool = False) -> Iterator[LogEntry]:
        """Read a tranche past blocks that are gone or can't be read, and note these."""
        after = BEGINNING
        while True:
            try:
                yield from self._log.read_tranche(tranche, after=after)
            except BlockMissing as gone:
                after = self._pass_missing(gone, repair=repair)
            except MalformedBlock as damaged:
                if not damaged.block:  # the log's own item: nothing is known without it
                    raise
                self._note(Kind.LOG_BLOCK_MALFORMED, damaged.tranche, damaged.block, detail=str(damaged))
                after = BlockPosition(damaged.block + 1, 0)
            else:
                return

    def _pass_missing(self, gone: BlockMissing, *, repair: bool) -> BlockPosition:
        """Note blocks that are gone, and close their places; return where to read on."""
        for block in range(gone.block, gone.next_block) if repair else ():
            if not self._log.close_block(gone.tranche, block):
                return BlockPosition(block, 0)  # put back meanwhile, from a backup
        last = gone.next_block - 1
        blocks = f"block {last} is" if last == gone.block else f"blocks {gone.block} to {last} are"
        self._note(
            Kind.LOG_BLOCK_MISSING,
            gone.tranche,
            gone.block,
            last,
            detail=f"{blocks} gone from tranche {gone.tranche} of the log: nobody can read on behind that",
            repair=Repair.DONE if repair else Repair.POSSIBLE,
        )
        return BlockPosition(gone.next_block, 0)

    def _note(
        self,
        kind: Kind,
        tranche: int,
        block: int,
        last_block: int | None = None,
        *,
        detail: str,
        repair: Repair = Repair.NO,
    ) -> None:
        there = self._blocks.get((tranche, block))
        if there is None or there.repair is not Repair.DONE:
            self._blocks[tranche, block] = Finding(
                kind=kind,
                stream_id=None,
                event_id=None,
                tranche=tranche,
                block=block,
                last_block=last_block,
                detail=detail,
                repair=repair,
            )

    def append(self, events: Sequence[Event]) -> list[tuple[int, int]]:
        """Append entries of events behind the last blocks, by Timestamp; return the blocks.

        Returns:
            Of each block its tranche and number, as they were written.

        Raises:
            StoreUnavailable: not known how many were written.

        Cost: 1 request for up to 64 KB, 1 WCU each KB: about 12 entries.
        """
        by_tranche: defaultdict[int, list[Event]] = defaultdict(list)
        for event in sorted(events, key=lambda event: (event.timestamp_us, event.stream_id, event.event_id)):
            by_tranche[self._tranche(event.stream_id)].append(event)
        return [
            (tranche, self._log.append_block(tranche, block))
            for tranche, missing in by_tranche.items()
            for block in _blocks(missing)
        ]

    def has_more(self, tranche: int, *, behind: int) -> bool:
        """Return whether a block stands behind one, or behind the beginning for 0. Cost: 2 RCU."""
        try:
            return any(self._log.read_tranche(tranche, after=BlockPosition(behind + 1, 0), limit=1))
        except (BlockMissing, MalformedBlock):
            return True

    @property
    def log_id(self) -> str:
        """The log's id; see `EventLog.log_id`."""
        return self._log.log_id

    def _tranche(self, stream_id: str) -> int:
        return tranche_of(stream_id, tranches=self.tranches)


def _is_settled(item: StoredItem, settled_until_us: int) -> bool:
    # What has no Timestamp is a finding already, and is no entry until it's repaired.
    time_us = whole(item.timestamp)
    return time_us is not None and time_us < settled_until_us


class _SeenEvents:
    """Tells first entries from repeats: of each stream the last EventId, and the holes before it."""

    def __init__(self) -> None:
        self._last: dict[str, int] = {}
        self._holes: dict[str, list[range]] = {}

    def add(self, entry: LogEntry) -> bool:
        last, event_id = self._last.get(entry.stream_id, 0), entry.event_id
        if event_id > last:
            if event_id > last + 1:
                self._holes.setdefault(entry.stream_id, []).append(range(last + 1, event_id))
            self._last[entry.stream_id] = event_id
            return True
        holes = self._holes.get(entry.stream_id, [])
        hole = next((hole for hole in holes if event_id in hole), None)
        if hole is None:
            return False
        holes.remove(hole)
        holes += filter(None, (range(hole.start, event_id), range(event_id + 1, hole.stop)))
        return True


def _difference(entry: LogEntry, item: StoredItem | None) -> Iterator[Finding]:
    where = f"block {entry.block} of tranche {entry.tranche}, entry {entry.index}"
    if item is None:
        detail = f"the log has an entry ({where}) of an event that isn't in the table"
        yield _finding(Kind.ONLY_IN_LOG, entry, detail)
    elif isinstance(item.event, Event) and item.timestamp is not None:
        event = item.event
        if (event.name, whole(item.timestamp)) != (entry.name, entry.timestamp_us):
            has = f"{entry.name!r} at {entry.timestamp_us}, the table {event.name!r} at {item.timestamp}"
            yield _finding(Kind.LOG_DIFFERS, entry, f"the log ({where}) has {has}")


def _finding(kind: Kind, entry: LogEntry, detail: str) -> Finding:
    return Finding(kind=kind, stream_id=entry.stream_id, event_id=entry.event_id, detail=detail)


def _blocks(events: Sequence[Event]) -> Iterator[list[Event]]:
    block: list[Event] = []
    size_bytes = 0
    for event in events:
        entry_bytes = entry_size_bytes(event)
        if block and size_bytes + entry_bytes >= LOG_BLOCK_MAX_BYTES:
            yield block
            block, size_bytes = [], 0
        block.append(event)
        size_bytes += entry_bytes
    if block:
        yield block


def _digest(entry: LogEntry) -> int:
    return entry_digest(entry.stream_id, entry.event_id, entry.name, entry.timestamp_us)
