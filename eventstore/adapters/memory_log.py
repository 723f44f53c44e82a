"""The log in memory: the whole contract, for tests and for trying things out."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import islice

from eventstore.adapters.memory_locks import Locked
from eventstore.arguments import check_whole
from eventstore.errors import PositionNotInLog
from eventstore.events import Event
from eventstore.limits import LOG_TRANCHES, LOG_TRANCHES_MAX
from eventstore.log import BlockPosition, LogEntry, check_block, check_read, check_since


class MemoryEventLog(Locked):
    """An `EventLog` that keeps its blocks in this process; safe to use from several threads.

    Give it to a `MemoryEventStore`, which then logs each append at once, or feed it yourself.

    Args:
        tranches: how many it has, from 1 to `LOG_TRANCHES_MAX`.

    Raises:
        InvalidLimit: no such number.
    """

    def __init__(self, *, tranches: int = LOG_TRANCHES) -> None:
        super().__init__()
        check_whole(tranches, "tranches", most=LOG_TRANCHES_MAX)
        self._blocks: list[list[tuple[LogEntry, ...]]] = [[] for _ in range(tranches)]
        self._newest: list[list[int]] = [[] for _ in range(tranches)]
        """Of each block the highest Timestamp up to its end."""

    @property
    def tranches(self) -> int:
        """How many tranches it has."""
        return len(self._blocks)

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

    def read_tranche(
        self, tranche: int, *, after: BlockPosition | None = None, limit: int | None = None
    ) -> Iterator[LogEntry]:
        """Read the entries of a tranche in their order; see `EventLog.read_tranche`."""
        place = check_read(tranche, after=after, limit=limit, tranches=self.tranches)
        return islice(self._entries(tranche, place), limit)

    def _entries(self, tranche: int, place: BlockPosition) -> Iterator[LogEntry]:
        blocks = self._blocks[tranche]
        last, behind = len(blocks), place.entries
        if place.rests_on > last or (behind and behind > len(blocks[place.block - 1])):
            raise PositionNotInLog(tranche=tranche, block=place.block, entries=place.entries, last_block=last)
        for number in range(place.block, last + 1):
            yield from blocks[number - 1][behind:]
            behind = 0
