"""A tranche of the log as events: each stream in order, without holes or known repeats."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Protocol

from eventstore._checks import written_us_of
from eventstore.errors import BlockMissing, MalformedBlock, MalformedItem, PositionNotInLog
from eventstore.events import Address, Event
from eventstore.limits import READ_MAX_ADDRESSES
from eventstore.log.model import BlockPosition, ClosedBlocks, LogEntry, closed_before
from eventstore.log.port import EventLog
from eventstore.subscriptions.known import Known, KnownStreams
from eventstore.subscriptions.terms import Terms


class EventBodies(Protocol):
    """Fetches events by their addresses."""

    def read_events(self, addresses: Sequence[Address]) -> dict[Address, Event | MalformedItem]:
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
    after: int
    """All events of its stream behind this EventId and before its own are handled or not asked for."""
    horizon_us: int
    """To be stored with the place: no event that was written later stands in the log before what is read
    back of it."""
    closed: ClosedBlocks | None = None
    """Blocks that were lost and closed, between this place and the one before."""


@dataclass(frozen=True, slots=True)
class _Step:
    address: Address | None
    place: BlockPosition | None
    after: int = 0
    horizon_us: int = 0
    closed: ClosedBlocks | None = None


class TrancheReader:
    """Reads a tranche behind a place, and goes on where it was.

    What it knows of a stream is what it has read itself, from `Terms.warm_up_blocks` before the place on: an
    event is dropped only when it's known. One that's unknown and was written after all that stands further
    before was never read by anybody, so it's a hole, and filled. One written before is taken for handled
    until the log brings it.

    Args:
        horizon_us: as it was stored with the place; see `Turn`.
        since_us: older events aren't asked for, as the subscription begins with this time.
    """

    def __init__(
        self,
        *,
        log: EventLog,
        bodies: EventBodies,
        tranche: int,
        place: BlockPosition,
        horizon_us: int,
        since_us: int,
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
        self._since_us = since_us
        self._place = place
        self._read_from = max(1, place.block - terms.warm_up_blocks)
        # From the tranche's beginning on nothing is unknown but what isn't in the log.
        self._known = KnownStreams(
            most=terms.streams_remembered, horizon_us=0 if self._read_from == 1 else horizon_us
        )
        self._stored_us = self._highest_us = horizon_us
        self._reached = self._read_from
        self._highest_of: dict[int, int] = {}
        """Up to the end of each of the last blocks: when the event was written that was written last."""
        self._is_due_of: dict[Address, bool] = {}
        self._warm_up()

    def read(self) -> Iterator[Turn]:
        """Read the next page; to be read to its end, or the reader to be thrown away.

        Raises:
            PositionNotInLog: the place lies behind the log's end; see `EventLog.read_tranche`.
            BlockMissing, MalformedBlock: the place lies right before a block that can't be read.

        Consistency: the log's newest blocks may come with a later page (`consistent=False`); what comes is
        in order and whole. Events are read strongly.

        Cost: that of `EventLog.read_tranche`, eventually consistent (0.5 RCU where nothing is new), and for
        each 100 wanted events of `read_events`. For a stream that it meets for the first time behind its
        beginning, the event before is read, too; those of a page together.
        """
        found = self._log.read_tranche(
            self._tranche, after=self._place, limit=self._terms.page_entries, consistent=False
        )
        entries, _ = before_what_is_lost(found)
        self._is_due_of = self._look_before(entries)
        steps: list[_Step] = []
        wanted = 0
        for entry in entries:
            horizon_us = self._reach(entry)
            if closed := closed_before(self._place, entry):
                place = BlockPosition(entry.block, 0)
                steps.append(_Step(None, place, horizon_us=self._horizon_at(place), closed=closed))
            for step in self._steps(entry):
                steps.append(replace(step, horizon_us=horizon_us))
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
        known = self._known.of(stream_id)
        if known.has(event_id):
            yield _Step(None, entry.position)
            return
        if entry.timestamp_us < self._since_us:  # so are all before it in its stream
            known.add(event_id, entry.written_us)
            known.is_settled = True
            self._known.note(stream_id, known)
            yield _Step(None, entry.position)
            return
        is_wanted = self._is_asked_for(entry)
        is_hole = event_id > known.last + 1 and self._known.is_certain_behind(known)
        if event_id > known.last and (is_wanted or is_hole):
            for missing in self._holes(known, entry):
                yield _Step((stream_id, missing), None, known.lowest_before(missing) - 1)
                known.add(missing)
            known.is_settled = True
        after = known.lowest_before(event_id) - 1
        yield _Step((stream_id, event_id) if is_wanted else None, entry.position, after)
        known.add(event_id, entry.written_us)
        self._known.note(stream_id, known)

    def _holes(self, known: Known, entry: LogEntry) -> Iterator[int]:
        """Return which events before a stream's newest entry nobody has read."""
        first = self._known.first_unhandled(
            known,
            entry.event_id,
            entry.written_us,
            is_due=lambda event_id: self._is_due(entry.stream_id, event_id),
        )
        for gap in known.unknown(first, entry.event_id):
            yield from gap

    def _is_due(self, stream_id: str, event_id: int) -> bool:
        """Return whether an event is certainly not handled before, and asked for."""
        if not self._looks_back:
            return True
        address = stream_id, event_id
        if address not in self._is_due_of:
            self._is_due_of |= self._look_at([address])
        return self._is_due_of[address]

    @property
    def _looks_back(self) -> bool:
        return self._known.horizon_us > 0 or self._since_us > 0

    def _look_before(self, entries: Sequence[LogEntry]) -> dict[Address, bool]:
        """Look at once at what is mostly asked for: what precedes a stream's first entry."""
        before: dict[str, int] = {}
        for entry in entries if self._looks_back else ():
            is_asked_for = (
                entry.stream_id.startswith(self._streams)
                and self._is_asked_for(entry)
                and entry.timestamp_us >= self._since_us
            )
            if is_asked_for and entry.written_us > self._known.horizon_us and entry.stream_id not in before:
                known = self._known.of(entry.stream_id)
                before[entry.stream_id] = 0 if known.ranges else entry.event_id - 1
        addresses = [address for address in before.items() if address[1]]
        is_due_of: dict[Address, bool] = {}
        for first in range(0, len(addresses), READ_MAX_ADDRESSES):
            is_due_of |= self._look_at(addresses[first : first + READ_MAX_ADDRESSES])
        return is_due_of

    def _look_at(self, addresses: list[Address]) -> dict[Address, bool]:
        """Read events, and tell of each whether it's due; one that isn't there is not."""
        found = self._bodies.read_events(addresses)
        return {address: self._is_unread(found.get(address)) for address in addresses}

    def _is_unread(self, event: Event | MalformedItem | None) -> bool:
        if event is None:
            return False
        # A damaged event tells no time, so it isn't known to be handled.
        return isinstance(event, MalformedItem) or (
            written_us_of(event) > self._known.horizon_us and event.timestamp_us >= self._since_us
        )

    def _turns(self, steps: list[_Step]) -> Iterator[Turn]:
        addresses = [step.address for step in steps if step.address]
        found = self._bodies.read_events(addresses) if addresses else {}
        for step in steps:
            if not step.address:
                yield Turn(None, step.place, step.after, step.horizon_us, step.closed)
                continue
            event = found.get(step.address) or missing_item(*step.address)
            # The names and times of a hole's events are known only now.
            wanted = isinstance(event, MalformedItem) or (
                self._is_asked_for(event) and event.timestamp_us >= self._since_us
            )
            yield Turn(event if wanted else None, step.place, step.after, step.horizon_us)

    def _is_asked_for(self, one: LogEntry | Event) -> bool:
        return self._names is None or one.name in self._names

    def _warm_up(self) -> None:
        # Strongly: what isn't known of these blocks would be taken for what nobody has handled.
        with suppress(PositionNotInLog):  # the reading behind the place says it, with the place itself
            for entry in self._log.read_tranche(self._tranche, after=BlockPosition(self._read_from, 0)):
                if entry.position > self._place:
                    return
                self._reach(entry)
                if entry.stream_id.startswith(self._streams):
                    known = self._known.of(entry.stream_id)
                    known.add(entry.event_id, entry.written_us)
                    # Who handled it has looked what was missing before it.
                    known.is_settled |= self._is_asked_for(entry)
                    self._known.note(entry.stream_id, known)

    def _reach(self, entry: LogEntry) -> int:
        """Note how far the log is at an entry; return the horizon of whoever begins behind it."""
        while self._reached < entry.block:
            self._highest_of.pop(self._reached - self._terms.warm_up_blocks - 2, None)
            self._highest_of[self._reached] = self._highest_us  # also of one that is closed
            self._reached += 1
        self._highest_us = max(self._highest_us, entry.written_us)
        return self._horizon_at(entry.position)

    def _horizon_at(self, place: BlockPosition) -> int:
        before = place.block - self._terms.warm_up_blocks - 1
        return self._highest_of.get(before, self._stored_us)


def before_what_is_lost(entries: Iterator[LogEntry]) -> tuple[list[LogEntry], bool]:
    """Take a page of the log, up to a block that is gone or can't be read: what stands before it is whole.

    Returns:
        The entries, and whether no such block was met.

    Raises:
        BlockMissing, MalformedBlock: there is nothing before it.
    """
    found: list[LogEntry] = []
    try:
        for entry in entries:
            found.append(entry)  # noqa: PERF402 - what came before an error counts
    except (BlockMissing, MalformedBlock):
        if not found:
            raise
        return found, False
    return found, True


def missing_item(stream_id: str, event_id: int) -> MalformedItem:
    """Return what stands for an event that has no item."""
    reason = "the log leads to it, but the events table has no such item"
    return MalformedItem(stream_id=stream_id, event_id=event_id, reason=reason)
