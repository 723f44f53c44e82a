"""One reader for several subscriptions of a process: each block and each event is read once for all of them.

Blocks and events never change, so what was read is as good for the next subscription. What can change is
asked for each time: a block or an event that isn't there, one that can't be read, a closed place.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from eventstore._arguments import check_flags, check_functions, check_number, check_port, check_whole
from eventstore.errors import InvalidLimit, MalformedItem, TransientError
from eventstore.events import Address, Event
from eventstore.limits import SHARED_READER_BYTES
from eventstore.log.checks import check_read
from eventstore.log.model import BlockPosition, LogEntry
from eventstore.log.port import EventLog
from eventstore.subscriptions.recent import Recent
from eventstore.subscriptions.tranche_reader import EventBodies, before_what_is_lost

_Start = tuple[int, int, int]
"""Where an entry begins: its tranche, its block, its place in it."""

_BUSY_LOOK_S: Final = 0.1
# Measured (CPython 3.11 to 3.13): the objects and their places in the dict, without their texts.
_ENTRY_BYTES: Final = 480
_EVENT_BYTES: Final = 420


class SharedReader:
    """Reads log and events for several subscriptions of this process.

    ::

        shared = SharedReader(log=log, bodies=bodies)
        workers = [
            subscribe(name, handler, log=shared.log, bodies=shared.bodies, checkpoints=checkpoints)
            for name, handler in handlers.items()
        ]

    Run each worker in a thread of its own. Subscriptions that are near each other read each block and each
    event once for all of them. One that is further behind than what is kept reads for itself, as without.

    Args:
        log, bodies: as for `subscribe`; safe for threads.
        memory_bytes: what is kept, half of it entries of the log and half events; about, and beyond what
            workers have at hand.
        keep_s: for so long. What somebody changed by hand in a table is seen after this time at the latest.
        poll_s: seconds between looks for news in a tranche, at most, for all subscriptions together: 0.1 s
            after news, then 0.2 and 0.4 s, as one subscription does. `Terms.poll_s` is when each of them asks
            here, so an event that comes after silence waits for up to both.
        monotonic: seconds, to be replaced in tests.

    Raises:
        InvalidArgument, InvalidLimit, NotSynchronous: an argument that can't be used.

    Consistency: that of `log` and `bodies`. Reads of the log that may lag (`consistent=False`, as
    subscriptions make them) lag by `poll_s` more; strong ones go past what is kept. In a forked child nothing
    is kept of the parent's.

    Cost (DynamoDB), for all subscriptions at about the same place: that of one. Idle, 0.5 RCU for each
    tranche every `poll_s`: 4 RCU a second with 4 tranches. 100 events: 1 query and 1 BatchGetItem, some 1 +
    100 RCU. Each subscription's checkpoints, leases and the blocks before its checkpoint remain its own.
    """

    def __init__(
        self,
        *,
        log: EventLog,
        bodies: EventBodies,
        memory_bytes: int = SHARED_READER_BYTES,
        keep_s: float = 60.0,
        poll_s: float = 0.5,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        check_port(log, EventLog, "log", only=("tranches", "log_id", "read_tranche"))
        check_port(bodies, EventBodies, "bodies")
        check_whole(memory_bytes, "memory_bytes")
        for name, seconds in (("keep_s", keep_s), ("poll_s", poll_s)):
            check_number(seconds, name)
            if seconds == 0:
                raise InvalidLimit(name, "is 0; it has to be above 0")
        check_functions(monotonic=monotonic)
        self.log: Final[EventLog] = _SharedLog(
            log, most_bytes=memory_bytes // 2, keep_s=keep_s, poll_s=poll_s, monotonic=monotonic
        )
        """Give it to `subscribe` as its log."""
        self.bodies: Final[EventBodies] = _SharedBodies(
            bodies, most_bytes=memory_bytes // 2, keep_s=keep_s, monotonic=monotonic
        )
        """Give it to `subscribe` as its bodies."""


class _SharedBodies:
    """`EventBodies` that keep the events they have read."""

    def __init__(
        self, bodies: EventBodies, *, most_bytes: int, keep_s: float, monotonic: Callable[[], float]
    ) -> None:
        self._bodies = bodies
        self._new_recent: Callable[[], Recent[Address, Event]] = lambda: Recent(
            most_bytes=most_bytes, keep_s=keep_s, size_bytes=_event_bytes, monotonic=monotonic
        )
        self._recent = self._new_recent()
        self._process = os.getpid()

    def read_events(self, addresses: Sequence[Address]) -> dict[Address, Event | MalformedItem]:
        """Read events by their addresses; see `EventBodies.read_events`.

        What isn't an event, such as a damaged item, is read anew by each who asks.
        """
        if self._process != os.getpid():  # a fork takes no threads along, and locks as they are
            self._recent, self._process = self._new_recent(), os.getpid()
        recent = self._recent
        kept, others, reading, ours = recent.claim(addresses)
        found: dict[Address, Event | MalformedItem] = dict(kept)
        try:
            if ours:
                found |= self._bodies.read_events(ours)
            reading.found = {
                address: event for address in ours if isinstance(event := found.get(address), Event)
            }
        except TransientError as error:
            reading.error = error
            raise
        finally:
            recent.end(reading, ours)
        left = []
        for address, other in others.items():
            event = (other.wait() or {}).get(address)
            if event is None:
                left.append(address)
            else:
                found[address] = event
        return found | self._bodies.read_events(left) if left else found


@dataclass(frozen=True, slots=True)
class _Look:
    """A look that has found nothing behind a place."""

    place: BlockPosition
    at: float
    holds_s: float


class _SharedLog:
    """An `EventLog` that keeps the entries it has read, and looks for news once for all who ask."""

    def __init__(
        self,
        log: EventLog,
        *,
        most_bytes: int,
        keep_s: float,
        poll_s: float,
        monotonic: Callable[[], float],
    ) -> None:
        self._log = log
        self._poll_s = poll_s
        self._monotonic = monotonic
        self._new_recent: Callable[[], Recent[_Start, LogEntry]] = lambda: Recent(
            most_bytes=most_bytes, keep_s=keep_s, size_bytes=_entry_bytes, monotonic=monotonic
        )
        self._log_id = ""
        self._begin_anew()

    def _begin_anew(self) -> None:
        self._recent = self._new_recent()
        self._looks: dict[int, _Look] = {}
        self._process = os.getpid()

    @property
    def tranches(self) -> int:
        """How many tranches it has; see `EventLog.tranches`."""
        return self._log.tranches

    @property
    def log_id(self) -> str:
        """What tells it from every other log; see `EventLog.log_id`."""
        log_id = self._log.log_id
        if self._log_id not in {"", log_id}:  # nothing that is kept is of this one
            self._begin_anew()
        self._log_id = log_id
        return log_id

    def append_block(self, tranche: int, events: Sequence[Event]) -> int:
        """Put a block of entries behind the last one of a tranche; see `EventLog.append_block`."""
        return self._log.append_block(tranche, events)

    def close_block(self, tranche: int, block: int) -> bool:
        """Close the place of a block that is gone; see `EventLog.close_block`."""
        return self._log.close_block(tranche, block)

    def first_since(self, tranche: int, since_us: int) -> BlockPosition:
        """Find the first block that can hold an event of this time; see `EventLog.first_since`."""
        return self._log.first_since(tranche, since_us)

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
        if consistent or limit is None:
            return self._log.read_tranche(tranche, after=after, limit=limit, consistent=consistent)
        place = check_read(tranche, after=after, limit=limit, tranches=self.tranches)
        return self._entries(tranche, place, limit)

    def _entries(self, tranche: int, place: BlockPosition, limit: int) -> Iterator[LogEntry]:
        if self._process != os.getpid():  # a fork takes no threads along, and locks as they are
            self._begin_anew()
        left = limit
        while left:
            # Closed places are in nobody's way here: behind them it's asked anew, and so it's told.
            found = self._recent.follow((tranche, *place), _start_behind, most=left)
            is_end = False
            if not found:
                if self._is_end(tranche, place):
                    return
                found, is_end = self._read(tranche, place, limit)
            for entry in found[:left]:
                place, left = entry.position, left - 1
                yield entry
            if is_end:
                return

    def _read(self, tranche: int, place: BlockPosition, limit: int) -> tuple[list[LogEntry], bool]:
        """Read behind a place, or wait for who is doing it; tell whether that was all there is."""
        recent, key, at = self._recent, (tranche, *place), self._monotonic()
        _, others, reading, ours = recent.claim([key])
        if key in others:
            entries = others[key].wait()
            # None: it has failed; nothing: it has found the end, or this was just read.
            if entries is not None:
                return list(entries.values()), not entries
            return self._ask(tranche, place, limit)
        found, is_end = list[LogEntry](), False
        try:
            if ours:
                found, is_end = self._ask(tranche, place, limit)
            reading.found = {(tranche, entry.block, entry.index): entry for entry in found}
            if is_end:
                self._note_end(tranche, found[-1].position if found else place, at, has_news=bool(found))
        except TransientError as error:
            reading.error = error
            raise
        finally:
            recent.end(reading, ours)
        return found, is_end

    def _ask(self, tranche: int, place: BlockPosition, limit: int) -> tuple[list[LogEntry], bool]:
        """Read behind a place; tell whether that was all there is. Behind it a lost block is told at once."""
        entries = self._log.read_tranche(tranche, after=place, limit=limit, consistent=False)
        found, is_whole = before_what_is_lost(entries)
        return found, is_whole and len(found) < limit

    def _is_end(self, tranche: int, place: BlockPosition) -> bool:
        look = self._looks.get(tranche)
        return look is not None and look.place == place and self._monotonic() - look.at < look.holds_s

    def _note_end(self, tranche: int, place: BlockPosition, at: float, *, has_news: bool) -> None:
        before = self._looks.get(tranche)
        holds_s = _BUSY_LOOK_S if has_news or before is None else 2 * before.holds_s
        self._looks[tranche] = _Look(place, at, min(self._poll_s, holds_s))


def _start_behind(entry: LogEntry) -> _Start:
    return (entry.tranche, *entry.position)


def _entry_bytes(entry: LogEntry) -> int:
    return _ENTRY_BYTES + sys.getsizeof(entry.stream_id) + sys.getsizeof(entry.name)


def _event_bytes(event: Event) -> int:
    texts = event.stream_id, event.name, event.payload, event.metadata, event.uid
    return _EVENT_BYTES + sum(map(sys.getsizeof, texts))
