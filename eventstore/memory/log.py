"""The log in memory: the whole contract, for tests and for trying things out."""

from __future__ import annotations

import base64
import os
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from itertools import islice

from eventstore._arguments import check_flags, check_functions, check_whole
from eventstore._checks import written_us_of
from eventstore.errors import BlockMissing, InvalidRange, PositionNotInLog
from eventstore.events import Event
from eventstore.limits import LOG_TRANCHES, LOG_TRANCHES_MAX
from eventstore.log.checks import check_block, check_closing, check_read, check_since
from eventstore.log.model import BlockPosition, LogEntry
from eventstore.memory.locks import Locked


class MemoryEventLog(Locked):
    """An `EventLog` that keeps its blocks in this process; safe to use from several threads.

    Give it to a `MemoryEventStore`, which then logs each append at once, or feed it yourself.

    Args:
        tranches: how many it is made with, from 1 to `LOG_TRANCHES_MAX`; it says so to its readers.
        random_bytes: chance, to be replaced in tests.

    Raises:
        InvalidLimit: no such number.
    """

    def __init__(
        self, *, tranches: int = LOG_TRANCHES, random_bytes: Callable[[int], bytes] = os.urandom
    ) -> None:
        super().__init__()
        check_whole(tranches, "tranches", most=LOG_TRANCHES_MAX)
        check_functions(random_bytes=random_bytes)
        self._log_id = base64.urlsafe_b64encode(random_bytes(12)).decode()
        self._blocks: list[list[tuple[LogEntry, ...] | None]] = [[] for _ in range(tranches)]
        """Of each tranche its blocks: one without entries is closed, None is lost."""
        self._newest: list[list[int]] = [[] for _ in range(tranches)]
        """Of each block the highest Timestamp up to its end."""

    @property
    def tranches(self) -> int:
        """How many tranches it has."""
        return len(self._blocks)

    @property
    def log_id(self) -> str:
        """What tells it from every other log."""
        return self._log_id

    def append_block(self, tranche: int, events: Sequence[Event]) -> int:
        """Put a block of entries behind the last one of a tranche; see `EventLog.append_block`."""
        check_block(tranche, events, tranches=self.tranches)
        with self._lock:
            blocks = self._blocks[tranche]
            number, last = len(blocks) + 1, len(events) - 1
            blocks.append(
                tuple(
                    LogEntry(
                        stream_id=event.stream_id,
                        event_id=event.event_id,
                        name=event.name,
                        timestamp_us=event.timestamp_us,
                        written_us=written_us_of(event),
                        tranche=tranche,
                        block=number,
                        index=index,
                        ends_block=index == last,
                    )
                    for index, event in enumerate(events)
                )
            )
            newest = self._newest[tranche]
            newest.append(max([event.timestamp_us for event in events] + newest[-1:]))
            return number

    def first_since(self, tranche: int, since_us: int) -> BlockPosition:
        """Find the first block that can hold an event of this time; see `EventLog.first_since`."""
        check_since(tranche, since_us, tranches=self.tranches)
        return BlockPosition(bisect_left(self._newest[tranche], since_us) + 1, 0)

    def lose_block(self, tranche: int, block: int) -> None:
        """Take a block away as a deletion by hand would: to try out what follows.

        Raises:
            InvalidRange: there's no such tranche or block, or no later one.
        """
        check_closing(tranche, block, tranches=self.tranches)
        with self._lock:
            self._check_later(tranche, block)
            self._blocks[tranche][block - 1] = None

    def close_block(self, tranche: int, block: int) -> bool:
        """Close the place of a block that is gone; see `EventLog.close_block`."""
        check_closing(tranche, block, tranches=self.tranches)
        with self._lock:
            self._check_later(tranche, block)
            blocks = self._blocks[tranche]
            if block > 1 and blocks[block - 2] is None:
                raise self._missing(tranche, block - 1)
            if blocks[block - 1] is None:
                blocks[block - 1] = ()
                newest = self._newest[tranche]
                newest[block - 1] = newest[block - 2] if block > 1 else 0
            return not blocks[block - 1]

    def _check_later(self, tranche: int, block: int) -> None:
        last = len(self._blocks[tranche])
        if last <= block:
            raise InvalidRange(
                "block",
                f"is {block}, and the tranche ends with {last}; only one with a later one behind it is lost",
            )

    def _missing(self, tranche: int, block: int) -> BlockMissing:
        later = enumerate(self._blocks[tranche][block:], start=block + 1)
        next_block = next(number for number, there in later if there is not None)
        return BlockMissing(tranche=tranche, block=block, next_block=next_block)

    def read_tranche(
        self,
        tranche: int,
        *,
        after: BlockPosition | None = None,
        limit: int | None = None,
        consistent: bool = True,
    ) -> Iterator[LogEntry]:
        """Read the entries of a tranche in their order; see `EventLog.read_tranche`."""
        check_flags(consistent=consistent)
        place = check_read(tranche, after=after, limit=limit, tranches=self.tranches)
        return islice(self._entries(tranche, place), limit)

    def _entries(self, tranche: int, place: BlockPosition) -> Iterator[LogEntry]:
        blocks = self._blocks[tranche]
        last, behind = len(blocks), place.entries
        begun = blocks[place.block - 1] if behind and place.block <= last else None
        # A place inside of a block that was lost and closed is that behind it.
        if place.rests_on > last or (begun and behind > len(begun)):
            raise PositionNotInLog(tranche=tranche, block=place.block, entries=place.entries, last_block=last)
        for number in range(place.block, last + 1):
            block = blocks[number - 1]
            if block is None:
                raise self._missing(tranche, number)
            yield from block[behind:]
            behind = 0
