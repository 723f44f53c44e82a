"""One segment of the table, item by item: an event, in its place, behind the one before, in the index."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from hashlib import blake2b
from typing import Any, Final, Protocol, Self
from zlib import crc32

from eventstore._uids import is_uid, uid_ahead_s
from eventstore.errors import InvalidInput, MalformedItem
from eventstore.events import Event, check_stored
from eventstore.limits import FUTURE_S, TIMESTAMP_MAX_US
from eventstore.maintenance.items import StoredItem, StoredItems, in_stream_order
from eventstore.maintenance.verify.digests import PartDigests
from eventstore.maintenance.verify.findings import Finding, Kind, Repair
from eventstore.positions import from_us

_WHOLE: Final = re.compile(r"[0-9]{1,18}")
TIME_SHIFT: Final = 20
"""The time index is compared by parts of 2**20 microseconds, about a second, or wider."""
HASH_SHIFT: Final = 20
"""The log is compared by parts of 2**20 hashes of stream ids: 4,096 of them, or fewer."""


class StoredEvents(StoredItems, Protocol):
    """The events table and its time index, as a verification needs them."""

    def read_index(self, shard: int, *, from_us: int, end_us: int) -> Iterator[StoredItem]:
        """Read one shard of the time index in [from_us, end_us), eventually consistent.

        Cost: 1 query for each 1 MB; 0.5 RCU for each 4 KB.
        """
        ...

    def repair(self, item: StoredItem, *, timestamp_us: int, shard: int) -> bool:
        """Set Timestamp and GSIKey of an item, if it's there and both are what they were; tell whether.

        Cost: 1 request; 1 WCU for each KB of the item and as much for the index.
        """
        ...


class Repairer(Protocol):
    """Repairs what `segments` finds: see `repair.IndexRepairer`."""

    def can_repair(self, item: StoredItem, *, behind_us: int) -> bool:
        """Return whether the item's index attributes can be made from what is known."""
        ...

    def repair(self, item: StoredItem, *, behind_us: int) -> StoredItem | None:
        """Make them; return the item as it is then, None when it was changed meanwhile."""
        ...


@dataclass(slots=True)
class Counts:
    """What a verification has looked at."""

    events: int = 0
    streams: int = 0
    unsettled: int = 0
    """Events too young to be compared with the index and the log."""
    own_items: int = 0
    """The store's own items, whose stream ids are reserved; they are passed over."""
    findings: int = 0
    repaired: int = 0
    repairable: int = 0
    """Findings that a repair would correct, or could not for a change meanwhile."""

    def add(self, other: Counts) -> None:
        """Count all that another has counted."""
        for name, value in asdict(other).items():
            setattr(self, name, getattr(self, name) + value)


@dataclass(slots=True)
class SegmentState:
    """All that is known between two pages of a segment: what a checkpoint keeps."""

    index: PartDigests
    log: PartDigests
    after: str | None = None
    done: bool = False
    stream_id: str = ""
    version: int = 0
    timestamp_us: int = 0
    findings_bytes: int = 0
    counts: Counts = field(default_factory=Counts)

    @classmethod
    def new(cls, *, max_parts: int) -> Self:
        """Begin a segment."""
        return cls(
            PartDigests(max_parts=max_parts, shift=TIME_SHIFT),
            PartDigests(max_parts=max_parts, shift=HASH_SHIFT),
        )

    def to_json(self) -> dict[str, Any]:
        """Write it as plain values."""
        values = {name: getattr(self, name) for name in _PLAIN}
        return {
            **values,
            "counts": asdict(self.counts),
            "index": self.index.to_json(),
            "log": self.log.to_json(),
        }

    @classmethod
    def from_json(cls, values: dict[str, Any], *, max_parts: int) -> Self:
        """Read what `to_json` wrote."""
        return cls(
            PartDigests.from_json(values["index"], max_parts=max_parts),
            PartDigests.from_json(values["log"], max_parts=max_parts),
            counts=Counts(**values["counts"]),
            **{name: values[name] for name in _PLAIN},
        )


_TOLERANCE_US: Final = round(FUTURE_S * 1_000_000)
_PLAIN: Final = ("after", "done", "stream_id", "version", "timestamp_us", "findings_bytes")


class SegmentCheck:
    """Checks the items of a segment as a scan gives them, each stream in its order.

    Args:
        table: asked for what the scan gives in another order, and again where a gap is suspected: a read may
            see the second event of a transaction and not yet the first.
        state: where the segment stands; kept up.
        read_shards: the shards of the time index that readers ask.
        settled_until_us: younger events are checked for themselves, but not compared with anything.
        now_us: DynamoDB's time.
        repairer: decides and does repairs.
        repair: False only says what could be repaired.
        tranches: of the log.
    """

    def __init__(
        self,
        *,
        table: StoredEvents,
        state: SegmentState,
        read_shards: int,
        settled_until_us: int,
        now_us: Callable[[], int],
        repairer: Repairer,
        repair: bool,
        tranches: int,
    ) -> None:
        self.state = state
        self._table = table
        self._read_shards = read_shards
        self._settled_until_us = settled_until_us
        self._now_us = now_us
        self._repairer = repairer
        self._repair = repair
        self._tranches = tranches

    def check(self, item: StoredItem) -> Iterator[Finding]:
        """Check the next item of the scan and what must come with it; yield what is wrong or missing."""
        state = self.state
        if not item.is_events:
            state.counts.own_items += 1
            return
        if item.stream_id != state.stream_id:
            state.stream_id, state.version, state.timestamp_us = item.stream_id, 0, 0
            state.counts.streams += 1
        for found in in_stream_order(item, version=state.version, table=self._table):
            yield from self._check_next(found)

    def _check_next(self, item: StoredItem) -> Iterator[Finding]:
        state = self.state
        state.counts.events += 1
        if item.event_id < 1:
            assert isinstance(item.event, MalformedItem)
            yield _finding(Kind.MALFORMED, item, item.event.reason)
            return
        settled = self._is_settled(item)
        if item.event_id > state.version + 1 and settled:
            yield from self._gaps(item)
        yield from check_content(item)
        fault = index_fault(item, read_shards=self._read_shards)
        if fault:
            finding, item = self._repaired(item, fault)
            yield finding
        time_us = whole(item.timestamp)
        if time_us is not None:
            if time_us <= state.timestamp_us:
                what = f"is {time_us}, not higher than {state.timestamp_us}, that of an earlier event"
                yield _finding(Kind.TIMESTAMP_ORDER, item, f"Timestamp {what}")
            else:
                yield from uid_fault(item, time_us)
            yield from self._future(item, time_us)
            state.timestamp_us = time_us
        state.version = item.event_id
        if settled:
            self._count(item)
        else:
            state.counts.unsettled += 1

    def _future(self, item: StoredItem, time_us: int) -> Iterator[Finding]:
        """Find the first event of a stream that a wrong clock has stamped: later ones follow it."""
        latest_us = self._now_us() + _TOLERANCE_US
        if self.state.timestamp_us <= latest_us < time_us <= TIMESTAMP_MAX_US:
            ahead_s = (time_us - latest_us + _TOLERANCE_US) / 1_000_000
            what = f"{from_us(time_us).isoformat()} is {ahead_s:,.0f} s ahead of DynamoDB's clock"
            yield _finding(Kind.FUTURE_TIMESTAMP, item, f"Timestamp {what}; all later events follow it")

    def _is_settled(self, item: StoredItem) -> bool:
        time_us = whole(item.timestamp)
        return time_us is None or time_us < self._settled_until_us

    def _count(self, item: StoredItem) -> None:
        limits = {"read_shards": self._read_shards, "settled_until_us": self._settled_until_us}
        at = index_place(item, **limits)
        if at:
            self.state.index.add(*at, item.digest)
        logged = log_place(item, tranches=self._tranches, **limits) if self._tranches else None
        if logged:
            self.state.log.add(*logged)

    def _gaps(self, item: StoredItem) -> Iterator[Finding]:
        expected = self.state.version + 1
        between = self._table.read_items(item.stream_id, from_version=expected, to_version=item.event_id - 1)
        for there in [*(found.event_id for found in between), item.event_id]:
            if there > expected:
                yield Finding(
                    kind=Kind.GAP,
                    stream_id=item.stream_id,
                    event_id=expected,
                    last_event_id=there - 1,
                    detail=f"{there - expected:,} events are missing before event {there}",
                )
            expected = there + 1

    def _repaired(self, item: StoredItem, fault: tuple[Kind, str]) -> tuple[Finding, StoredItem]:
        kind, detail = fault
        finding = _finding(kind, item, detail)
        behind_us = self.state.timestamp_us
        if not self._repairer.can_repair(item, behind_us=behind_us):
            return finding, item
        repaired = self._repairer.repair(item, behind_us=behind_us) if self._repair else None
        if repaired is None:
            return _finding(kind, item, detail, Repair.POSSIBLE), item
        return finding.repaired(), repaired


def check_content(item: StoredItem) -> Iterator[Finding]:
    """Yield what keeps an item from being an event, its index attributes aside."""
    event = item.event
    if isinstance(event, MalformedItem):
        yield _finding(Kind.MALFORMED, item, event.reason)
        return
    try:
        check_stored(event)
    except InvalidInput as error:
        yield _finding(Kind.MALFORMED, item, str(error))


def uid_fault(item: StoredItem, time_us: int) -> Iterator[Finding]:
    """Yield what keeps an append to ANY or EXISTS from knowing an event again."""
    uid = item.event.uid if isinstance(item.event, Event) else ""
    later_s = uid_ahead_s(uid, timestamp_us=time_us) if is_uid(uid) else 0
    if later_s:
        what = f"uid is a UUIDv7 of {later_s:,.0f} s after the Timestamp; an append to any or exists doesn't"
        yield _finding(Kind.UID_AHEAD, item, f"{what} find it")


def index_fault(item: StoredItem, *, read_shards: int) -> tuple[Kind, str] | None:
    """Return what keeps an item out of the time index or away from its readers; None when nothing does."""
    attributes = {"GSIKey": item.shard, "Timestamp": item.timestamp}
    missing = [name for name, value in attributes.items() if value is None]
    if missing:
        verb = "are" if len(missing) > 1 else "is"
        return Kind.NOT_INDEXED, f"{' and '.join(missing)} {verb} missing: no read of all streams has it"
    shard = whole(item.shard)
    if shard is None or shard >= read_shards:
        return Kind.UNREAD_SHARD, f"GSIKey is {item.shard}; readers ask the shards 0 to {read_shards - 1}"
    return None


def index_place(item: StoredItem, *, read_shards: int, settled_until_us: int) -> tuple[int, int] | None:
    """Return the shard and the Timestamp under which readers find an event; None when they don't (yet)."""
    shard, time_us = whole(item.shard), whole(item.timestamp)
    if not item.is_events or item.event_id < 1 or shard is None or time_us is None:
        return None
    return (shard, time_us) if shard < read_shards and time_us < settled_until_us else None


def log_place(
    item: StoredItem, *, tranches: int, read_shards: int, settled_until_us: int
) -> tuple[int, int, int] | None:
    """Return the tranche, the stream's hash and the digest of an event's entry; None when it needs none."""
    at = index_place(item, read_shards=read_shards, settled_until_us=settled_until_us)
    if at is None:
        return None
    name = item.event.name if not isinstance(item.event, MalformedItem) else ""
    place = stream_hash(item.stream_id)
    return place % tranches, place, entry_digest(item.stream_id, item.event_id, name, at[1])


def whole(number: str | None) -> int | None:
    """Read a whole number that isn't negative, as the store writes them; None for anything else."""
    return int(number) if number is not None and _WHOLE.fullmatch(number) else None


def stream_hash(stream_id: str) -> int:
    """Hash a stream id to 32 bits, the same everywhere and always."""
    return crc32(stream_id.encode())


def entry_digest(stream_id: str, event_id: int, name: str, timestamp_us: int) -> int:
    """Make 64 bits of what the log tells about an event."""
    text = f"{timestamp_us}/{event_id}/{len(name)}/{name}{stream_id}"
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big")


def _finding(kind: Kind, item: StoredItem, detail: str, repair: Repair = Repair.NO) -> Finding:
    return Finding(kind=kind, stream_id=item.stream_id, event_id=item.event_id, detail=detail, repair=repair)
