"""The log: the order in which the events of all streams were put down once and for all.

It keeps addresses, not events: of each event its stream, EventId, name and Timestamp. It's fed by the table's
stream, and written in *blocks* to a few *tranches*. A stream lives in one tranche; inside of a tranche the
order is persisted, the same for every reader, and nothing ever appears before what was read. Across tranches
there's no order.

An entry can stand in the log twice, since what feeds it is delivered at least once. The first entries of a
stream's events are in the stream's order and without holes, but for what failed: an entry that an outage has
lost is logged late, behind later ones. So a reader drops an entry only when it knows that this very event is
handled, and takes one that's further on for a sign that all before it is there.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from math import ceil
from typing import Final, NamedTuple, Protocol
from zlib import crc32

from eventstore.arguments import check_port, check_whole, is_whole, shown
from eventstore.errors import InvalidArgument, InvalidPosition, InvalidRange, PositionOfAnotherLog
from eventstore.events import Event
from eventstore.limits import VERSION_MAX

_FORMAT: Final = "2"
_FORMAT_WITHOUT_LOG_ID: Final = "1"
_HOW: Final = "is not a position of this log; give one back exactly as a page of the log had it"
_TOO_OLD: Final = "is of a version before 0.1.0, which didn't say of which log; read from the beginning"
_LOG_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")


class BlockPosition(NamedTuple):
    """A place in a tranche: behind all blocks before `block`, and behind so many `entries` of that one."""

    block: int
    entries: int

    @property
    def rests_on(self) -> int:
        """The last block that has to be there for this to be a place in a log; 0 for none."""
        return self.block if self.entries else self.block - 1


BEGINNING: Final = BlockPosition(1, 0)
"""Before the first entry of a tranche."""


@dataclass(frozen=True, slots=True)
class LogEntry:
    """The address of an event, at its place in the log."""

    stream_id: str
    event_id: int
    name: str
    timestamp_us: int
    """Microseconds since 1970, UTC: the event's own."""
    written_us: int
    """When the event was written: its Timestamp, but for an import's and one that was ahead of all clocks."""
    tranche: int
    block: int
    """The number of its block in its tranche: 1, 2, 3 ... without gaps."""
    index: int
    """Its place in its block: 0, 1, 2 ..."""
    ends_block: bool
    """Whether it's the last of its block."""

    @property
    def position(self) -> BlockPosition:
        """The place behind it: read its tranche `after` this to go on."""
        return (
            BlockPosition(self.block + 1, 0) if self.ends_block else BlockPosition(self.block, self.index + 1)
        )


@dataclass(frozen=True, slots=True)
class LogPosition:
    """A place in the log: one in each tranche; it belongs to one log, and to no other.

    Outside of a process it's opaque text: `str(position)`, `LogPosition.parse(text)`.
    """

    places: tuple[BlockPosition, ...]
    log_id: str = ""
    """Of which log (`EventLog.log_id`); "" only for the beginning, which is the same for every log."""

    @classmethod
    def beginning(cls, tranches: int) -> LogPosition:
        """The place before everything in a log of so many tranches."""
        return cls((BEGINNING,) * tranches)

    @property
    def is_beginning(self) -> bool:
        """Whether it's before everything, in whatever log."""
        return set(self.places) == {BEGINNING}

    def behind(self, entry: LogEntry) -> LogPosition:
        """This position, but behind an entry in the entry's tranche."""
        places = list(self.places)
        places[entry.tranche] = entry.position
        return replace(self, places=tuple(places))

    def __str__(self) -> str:
        """Write it as opaque text (URL-safe); `LogPosition.parse` reads it."""
        text = "/".join([_FORMAT, self.log_id, *(f"{place.block}.{place.entries}" for place in self.places)])
        return base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()

    @classmethod
    def parse(cls, text: str, *, field: str = "after") -> LogPosition:
        """Read what `str(position)` wrote.

        Raises:
            InvalidPosition: the text is not a position of a log.
        """
        try:
            raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode()
            form, *rest = raw.split("/")
            log_id, *places = [_FORMAT_WITHOUT_LOG_ID, *rest] if form == _FORMAT_WITHOUT_LOG_ID else rest
            position = cls(tuple(BlockPosition(*map(int, place.split("."))) for place in places), log_id)
        except (binascii.Error, UnicodeError, ValueError, TypeError) as error:
            raise InvalidPosition(field, _HOW) from error
        if form == _FORMAT_WITHOUT_LOG_ID:
            raise InvalidPosition(field, _TOO_OLD)
        # Decoding passes over other characters: only the comparison finds them.
        made_here = form == _FORMAT and str(position) == text
        if (
            not made_here
            or not position.places
            or any(place < BEGINNING or place.entries < 0 for place in position.places)
            or not (is_log_id(log_id) or (not log_id and position.is_beginning))
        ):
            raise InvalidPosition(field, _HOW)
        return position


class EventLog(Protocol):  # pragma: no mutate block (`check_port` would ask for the mutants)
    """The log of one store: blocks of entries in a fixed number of tranches."""

    @property
    def tranches(self) -> int:
        """How many tranches it has: fixed when its first block is written.

        Raises:
            TranchesChanged: it was begun with another number than it's told.
            StoreUnavailable: throttled or unreachable; safe to try again.

        Cost (DynamoDB): 1 query and 1 RCU, once a process; until its first block is there, each time.
        """
        ...

    @property
    def log_id(self) -> str:
        """What tells it from every other log, such as one that was rebuilt; "" until its first block.

        Positions and checkpoints carry it, and are refused by another one. Cost and raises: as `tranches`.
        """
        ...

    def append_block(self, tranche: int, events: Sequence[Event]) -> int:
        """Put a block of entries behind the last block of a tranche; return its number.

        Args:
            tranche: the tranche of all these events' streams (`tranche_of`).
            events: at least one, each stream's in order; what they carry besides their address isn't kept.
                `entry_size_bytes` of all of them together stays below `LOG_BLOCK_MAX_BYTES`.

        Raises:
            StoreUnavailable: not known whether it was written; the same again may stand in the log twice,
                which readers expect.
            TranchesChanged: the log was begun with another number of tranches; nothing was written.

        Cost (DynamoDB): 1 request; 1 WCU a KB, which is about 12 entries. Where other writers put blocks into
        the tranche, too: 1 query before it (1 RCU each 4 KB of the last block). When another one was first:
        1 query more and the put again. In a process's first call 1 more to check the number of tranches
        (1 WCU), and for each tranche 1 query more (the last block: 1 RCU each 4 KB).
        """
        ...

    def read_tranche(
        self,
        tranche: int,
        *,
        after: BlockPosition | None = None,
        limit: int | None = None,
        consistent: bool = True,
    ) -> Iterator[LogEntry]:
        """Read the entries of a tranche in their order, as they're asked for.

        Args:
            after: go on behind this place; None for the beginning.
            limit: the number of entries to read at most; None for all.
            consistent: False for half the price: the newest blocks may be missing, mostly for some tens of
                milliseconds, also where an earlier read had them.

        Consistency: strong, so that every block is seen that was written before. With `consistent=False` the
        entries are the first ones of those: it may end earlier, but it passes over nothing. In both, none is
        seen that could be followed by an earlier one, and what is refused is refused by a strong read.

        Raises:
            InvalidRange, InvalidLimit: at once, before anything is read.
            TranchesChanged: at once; the log was begun with another number of tranches than it's told.
            BlockMissing: where a block is gone, behind the entries before it. A place inside of a block that
                was closed since is that behind it.
            PositionNotInLog: at the first entry; `after` lies behind the tranche's end, as after a restore.
                That's noticed as long as the log hasn't grown beyond it again; and, by a process that has
                read up to there itself, only when it's started anew: a block never disappears otherwise.
            StoreUnavailable: throttled or unreachable; safe to go on behind the last entry.

        Cost (DynamoDB): 1 query, and 1 RCU each 4 KB of blocks (about 50 entries); 1 RCU when nothing is
        new. With `consistent=False` half of both, and where the answer has a gap the strong read from there
        on. Many small blocks can take a second query. When nothing is new behind an `after` to which this
        process hasn't read itself, 1 query more for the tranche's last block (1 RCU each 4 KB): once.
        """
        ...

    def close_block(self, tranche: int, block: int) -> bool:
        """Put a closed block, without entries, at the place of one that is gone, so that reading goes on.

        Its events are lost for the log until they're logged again behind its end: `eventstore verify
        --repair` does both. A block that was never there, or is just being written, can't be closed: a later
        one is looked for first, and that was only put where this one was there. Of two who write at the place
        one is refused, so no block is overwritten.

        Returns:
            Whether the place is closed, by this call or before; False where a block with entries is there.

        Raises:
            InvalidRange: there's no such tranche or block, or no later one.
            BlockMissing: the block before is gone, too; close that first.
            StoreUnavailable: not known whether it was written; the same again is harmless.

        Cost (DynamoDB): 2 queries of one block (1 RCU each 4 KB) and 1 put, 1 WCU.
        """
        ...

    def first_since(self, tranche: int, since_us: int) -> BlockPosition:
        """Return a place in a tranche before every event of a time or younger, as near as blocks allow.

        Whatever was imported or logged late, no entry before it has this Timestamp or a higher one: each
        block says which was the highest up to its end. No clock is asked. Behind an event whose Timestamp
        was ahead the place is that event's block, until the time has come.

        Args:
            since_us: microseconds since 1970, UTC.

        Strongly consistent: an event that is logged later stands behind it, too.

        Raises:
            InvalidRange: there's no such tranche or time.
            TranchesChanged, StoreUnavailable: as `read_tranche`.

        Cost (DynamoDB): 1 query of one block (1 RCU each 4 KB), and where it isn't the last block as many
        more as the number of blocks can be halved: 20 for a million.
        """
        ...


@dataclass(frozen=True, slots=True)
class ClosedBlocks:
    """Blocks of a tranche that were lost, and closed."""

    tranche: int
    first: int
    last: int


def closed_before(place: BlockPosition, entry: LogEntry) -> ClosedBlocks | None:
    """Return the closed blocks between a place and the next entry of its tranche; None for none."""
    if entry.block == place.block:
        return None
    return ClosedBlocks(entry.tranche, place.block, entry.block - 1)


@dataclass(frozen=True, slots=True)
class LogPage:
    """Entries of the log, and the place behind them."""

    entries: tuple[LogEntry, ...]
    """Of each tranche the next ones, in their order; the tranches one after the other.

    An entry can come twice, in one page or in two: see `read_log`.
    """
    position: LogPosition
    """Store it when the entries are handled, and read on `after` it."""
    closed: tuple[ClosedBlocks, ...] = ()
    """What was lost on the way: its events come again later, or have come again, when `eventstore verify
    --repair` has logged them."""


def read_log(
    log: EventLog,
    *,
    after: LogPosition | None = None,
    limit: int = 1_000,
    tranches: Collection[int] | None = None,
) -> LogPage:
    """Read what comes next in the log, from every tranche its share.

    Each event's entry comes at least once, and some come twice: what feeds the log is delivered at least
    once. So the number of entries is not the number of events. Keep of each stream up to which EventId all
    is handled. An entry that isn't above it is a repeat; for one that is, read the stream from there up to
    it, since an entry can be missing, or come late, behind a later one. Nothing is dropped here: a page knows
    nothing of the pages before it. `eventstore.subscriptions` does all this for you.

    Args:
        after: go on behind this position; None for the beginning.
        limit: the number of entries to read at most; a page with fewer has reached the end of the log as it
            was at that moment.
        tranches: read only these; the position stays where it is in the others.

    Raises:
        InvalidArgument, InvalidPosition, InvalidLimit, InvalidRange: what is wrong and how to repair it.
        BlockMissing: a block is gone; whoever looks after the store closes it.
        PositionOfAnotherLog: `after` is of another log, or of this one before it was rebuilt.
        PositionNotInLog: `after` lies behind the log's end; see `EventLog.read_tranche`.
        TranchesChanged: the log was begun with another number of tranches than it's told.
        StoreUnavailable: throttled or unreachable; safe to try again.

    Consistency: strong in each tranche; see `EventLog.read_tranche`, also for the cost of each tranche.
    """
    check_port(log, EventLog, "log", only=("tranches", "log_id", "read_tranche"))
    check_whole(limit, "limit", most=VERSION_MAX)
    log_id = log.log_id
    number = log.tranches
    if tranches is not None:
        check_tranches(tranches, number=number)
    # Of a log that wasn't begun yet: how many tranches it would have wasn't known then.
    is_beginning = after is None or _checked(after).is_beginning
    if after is None or is_beginning:
        after = LogPosition.beginning(number)
    else:
        check_position(after, "after", log_id=log_id, tranches=number)
    position = replace(after, log_id=log_id)
    # Who is furthest behind comes first, so that a small page passes over no tranche for ever.
    unread = sorted(range(number), key=lambda tranche: position.places[tranche])
    if tranches is not None:
        unread = [tranche for tranche in unread if tranche in tranches]
    entries, position, closed = _read_on(log, position, unread, limit=limit)
    if entries and log.tranches != number:  # it was begun while it was read
        return read_log(log, after=after, limit=limit, tranches=tranches)
    return LogPage(tuple(entries), position, tuple(closed))


def _read_on(
    log: EventLog, position: LogPosition, unread: list[int], *, limit: int
) -> tuple[list[LogEntry], LogPosition, list[ClosedBlocks]]:
    """Read tranches from a position on, each its share and what the others leave over."""
    entries: list[LogEntry] = []
    closed: list[ClosedBlocks] = []
    while unread:
        share = ceil((limit - len(entries)) / len(unread))
        more = []
        for tranche in unread:
            wanted = min(share, limit - len(entries))
            if not wanted:
                break  # the page is full; nothing is unread for it
            page = list(log.read_tranche(tranche, after=position.places[tranche], limit=wanted))
            entries += page
            place = position.places[tranche]
            for entry in page:
                if lost := closed_before(place, entry):
                    closed.append(lost)
                place = entry.position
            if page:
                position = position.behind(page[-1])
            if len(page) == wanted:
                more.append(tranche)
        unread = more
    return entries, position, closed


def tranche_of(stream_id: str, *, tranches: int) -> int:
    """Tell in which tranche a stream lives: the same on every machine and for ever."""
    return crc32(stream_id.encode()) % tranches


def is_log_id(given: object) -> bool:
    """Tell whether something can be a log's id."""
    return isinstance(given, str) and _LOG_ID.fullmatch(given) is not None


def is_place(given: object) -> bool:
    """Tell whether something is a place in a tranche."""
    return isinstance(given, BlockPosition) and all(map(is_whole, given))


def check_position(position: LogPosition, field: str, *, log_id: str, tranches: int) -> None:
    """Check that a position is one of this log, or the beginning of one with as many tranches.

    Raises:
        PositionOfAnotherLog: it's of another log.
        InvalidPosition: it's of a log with another number of tranches.
    """
    if not position.is_beginning and position.log_id != log_id:
        raise PositionOfAnotherLog(given=position.log_id, log_id=log_id)
    if len(position.places) != tranches:
        raise InvalidPosition(field, f"is of a log with {len(position.places)} tranches, not {tranches}")


def _checked(after: object) -> LogPosition:
    if not isinstance(after, LogPosition):
        raise InvalidPosition("after", "has to be a LogPosition; make one of its text by LogPosition.parse")
    if (
        not isinstance(after.places, tuple)
        or not all(map(is_place, after.places))
        or not isinstance(after.log_id, str)
    ):
        raise InvalidPosition("after", f"is {shown(after)}; take a page's `position`")
    return after


def check_tranches(given: Collection[int], *, number: int) -> None:
    """Check that a log of so many tranches has these.

    Raises:
        InvalidArgument, InvalidRange: it's no collection, or the log doesn't have one.
    """
    if not isinstance(given, Collection):
        raise InvalidArgument("tranches", f"is {shown(given)}; give a collection, such as [0]")
    for tranche in given:
        check_tranche(tranche, tranches=number)


def check_tranche(tranche: int, *, tranches: int) -> None:
    """Check that a log has a tranche.

    Raises:
        InvalidRange: it doesn't.
    """
    if not is_whole(tranche) or not 0 <= tranche < tranches:
        raise InvalidRange("tranche", f"is {shown(tranche)}; this log has 0 to {tranches - 1}")


def entry_size_bytes(event: Event) -> int:
    """Tell how many bytes an event's entry takes in a block, at most."""
    return 64 + sum(
        len(json.dumps(text, ensure_ascii=False).encode()) for text in (event.stream_id, event.name)
    )
