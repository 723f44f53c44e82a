"""A tranche of the log as events: each stream in order, without holes or repeats."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from eventstore.errors import MalformedItem, PositionNotInLog
from eventstore.events import Event
from eventstore.limits import READ_MAX_ADDRESSES
from eventstore.log import BlockPosition, EventLog, LogEntry
from eventstore.subscriptions.terms import Terms


class EventBodies(Protocol):
    """Fetches events by their addresses."""

    def read_events(
        self, addresses: Sequence[tuple[str, int]]
    ) -> dict[tuple[str, int], Event | MalformedItem]:
        """Read events, strongly consistent, at most 100 different ones; those that aren't there are left out.

        Raises:
            StoreUnavailable: throttled or unreachable after all tries; safe to try again.

        Cost (DynamoDB): 1 request for up to 100 events and 16 MB; 1 RCU for each 4 KB of each event (its
        own size rounded up), and for each that isn't there.
        """
        ...


@dataclass(frozen=True, slots=True)
class Turn:
    """The next event of a tranche, or the next place behind what isn't wanted."""

    event: Event | MalformedItem | None
    """None for nothing to handle."""
    place: BlockPosition | None
    """The checkpoint when it's handled; None inside of a hole, where there's none."""


@dataclass(frozen=True, slots=True)
class _Step:
    address: tuple[str, int] | None
    place: BlockPosition | None


class TrancheReader:
    """Reads a tranche behind a place, and goes on where it was.

    What it remembers are the last EventIds of streams since `Terms.warm_up_blocks` before the place. A
    stream that's unknown begins with 1 if nothing was passed over since the tranche's beginning; else the
    log, which has every stream's first entries without holes, is believed.
    """

    def __init__(
        self,
        *,
        log: EventLog,
        bodies: EventBodies,
        tranche: int,
        place: BlockPosition,
        names: Collection[str] | None,
        streams: str,
        terms: Terms,
    ) -> None:
        self._log = log
        self._bodies = bodies
        self._tranche = tranche
        self._names = names
        self._streams = streams
        self._terms = terms
        self._place = place
        self._last: OrderedDict[str, int] = OrderedDict()
        self._knows_all = False
        self._warm_up()

    def read(self) -> Iterator[Turn]:
        """Read the next page; to be read to its end, or the reader to be thrown away.

        Raises:
            PositionNotInLog: the place lies behind the log's end; see `EventLog.read_tranche`.

        Cost: that of `EventLog.read_tranche` and, for each 100 wanted events, of `read_events`.
        """
        entries = self._log.read_tranche(self._tranche, after=self._place, limit=self._terms.page_entries)
        steps: list[_Step] = []
        wanted = 0
        for entry in list(entries):
            for step in self._steps(entry):
                steps.append(step)
                wanted += step.address is not None
                if wanted == READ_MAX_ADDRESSES:
                    yield from self._turns(steps)
                    steps, wanted = [], 0
            self._place = entry.position
        yield from self._turns(steps)

    def _steps(self, entry: LogEntry) -> Iterator[_Step]:
        stream_id, event_id = entry.stream_id, entry.event_id
        if not stream_id.startswith(self._streams):
            yield _Step(None, entry.position)
            return
        last = self._last.get(stream_id, 0 if self._knows_all else event_id - 1)
        if event_id <= last:
            yield _Step(None, entry.position)
            return
        for missing in range(last + 1, event_id):
            yield _Step((stream_id, missing), None)
        wanted = self._names is None or entry.name in self._names
        yield _Step((stream_id, event_id) if wanted else None, entry.position)
        self._remember(stream_id, event_id)

    def _turns(self, steps: list[_Step]) -> Iterator[Turn]:
        addresses = [step.address for step in steps if step.address]
        found = self._bodies.read_events(addresses) if addresses else {}
        for step in steps:
            if not step.address:
                yield Turn(None, step.place)
                continue
            event = found.get(step.address) or _missing(*step.address)
            # The names of a hole's events are known only now.
            wanted = isinstance(event, MalformedItem) or self._names is None or event.name in self._names
            yield Turn(event if wanted else None, step.place)

    def _warm_up(self) -> None:
        first = max(1, self._place.block - self._terms.warm_up_blocks)
        self._knows_all = first == 1
        with suppress(PositionNotInLog):  # the reading behind the place says it, with the place itself
            for entry in self._log.read_tranche(self._tranche, after=BlockPosition(first, 0)):
                if entry.position > self._place:
                    return
                if entry.stream_id.startswith(self._streams):
                    self._remember(entry.stream_id, max(entry.event_id, self._last.get(entry.stream_id, 0)))

    def _remember(self, stream_id: str, event_id: int) -> None:
        self._last[stream_id] = event_id
        self._last.move_to_end(stream_id)
        if len(self._last) > self._terms.streams_remembered:
            self._last.popitem(last=False)
            self._knows_all = False


def _missing(stream_id: str, event_id: int) -> MalformedItem:
    reason = "the log leads to it, but the events table has no such item"
    return MalformedItem(stream_id=stream_id, event_id=event_id, reason=reason)
