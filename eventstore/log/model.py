"""Places in the log, its entries, and pages of them."""

from __future__ import annotations

import base64
import binascii
import json
import re
from dataclasses import dataclass, replace
from typing import Final, NamedTuple
from zlib import crc32

from eventstore._arguments import is_whole
from eventstore.errors import InvalidPosition
from eventstore.events import Event

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


def tranche_of(stream_id: str, *, tranches: int) -> int:
    """Return in which tranche a stream lives: the same on every machine and for ever."""
    return crc32(stream_id.encode()) % tranches


def is_log_id(given: object) -> bool:
    """Return whether something can be a log's id."""
    return isinstance(given, str) and _LOG_ID.fullmatch(given) is not None


def is_place(given: object) -> bool:
    """Return whether something is a place in a tranche."""
    return isinstance(given, BlockPosition) and all(map(is_whole, given))


def entry_size_bytes(event: Event) -> int:
    """Return how many bytes an event's entry takes in a block, at most."""
    return 64 + sum(
        len(json.dumps(text, ensure_ascii=False).encode()) for text in (event.stream_id, event.name)
    )
