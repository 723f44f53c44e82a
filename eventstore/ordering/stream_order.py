"""The order of publication: what has to go out, each stream's events without a hole and in order.

The table's stream keeps the order of the records of one item, not of the items of one stream: a
transaction's records come in any order, and where a partition is split a stream's events can come by two
ways. So a batch is put in order here, and what is missing before an event is read back from the table.

That an earlier event is out already is known, never guessed: by this process's memory, by the journal of all,
or because it was written so long before that its record must have come first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Final, Protocol

from eventstore._arguments import check_number, check_port
from eventstore._checks import written_us_of
from eventstore.errors import MalformedItem, StoreUnavailable, StreamGap
from eventstore.events import Address, Event
from eventstore.limits import (
    NOT_YET_VISIBLE_S,
    READ_BACK_MAX_EVENTS,
    READ_MAX_ADDRESSES,
    WRITTEN_LATE_S,
)
from eventstore.ordering.delivered import DeliveredStreams
from eventstore.ordering.journal import Journal

_READ_BACK_PAGE_EVENTS: Final = 64


@dataclass(frozen=True, slots=True)
class ChangeRecord:
    """One insert into the events table, as the table's stream tells it."""

    sequence_number: str
    stream_id: str
    event_id: int
    event: Event | MalformedItem
    created_us: int | None = None
    """When DynamoDB made the record, by its own clock; None where only the event tells."""
    previous_us: int | None = None
    """When the event before it was written, as its writer knew; None where it has to be read."""

    @property
    def made_us(self) -> int:
        """When it was made."""
        if self.created_us is not None:
            return self.created_us
        return written_us_of(self.event) if isinstance(self.event, Event) else 0


class StreamReader(Protocol):  # pragma: no mutate block (`check_port` would ask for the mutants)
    """Reads events back, of one stream or of many; `DynamoDBEventStore` and `MemoryEventStore` do."""

    def read_stream(
        self,
        stream_id: str,
        *,
        from_version: int = 1,
        to_version: int | None = None,
        backward: bool = False,
        limit: int | None = None,
        consistent: bool = True,
    ) -> Iterator[Event]:
        """See `EventStore.read_stream`."""
        ...

    def read_times(self, addresses: Sequence[Address]) -> dict[Address, int]:
        """Return when events were written (microseconds), by (stream id, EventId), strongly consistent.

        Args:
            addresses: at most 100 different ones; what isn't there, or has no Timestamp, is left out.

        Raises:
            StoreUnavailable: throttled or unreachable after all tries; safe to try again.

        Cost (DynamoDB): 1 request for up to 100 events and 16 MB; 1 RCU for each 4 KB of each event (its
        own size rounded up), and for each that isn't there. Only addresses and times are sent back.
        """
        ...


@dataclass(frozen=True, slots=True)
class Placed:
    """An event at the place of the batch that it takes."""

    place: int
    event: Event | MalformedItem


@dataclass(frozen=True, slots=True)
class Trouble:
    """What a batch stopped at, and why: to be tried again."""

    stream_id: str
    event_id: int
    reason: str


@dataclass(frozen=True, slots=True)
class Missing:
    """Events before one that was published, that aren't in the table: somebody deleted them."""

    stream_id: str
    first: int
    last: int

    def __str__(self) -> str:
        """Return which they are."""
        which = f"EventId {self.first}" if self.first == self.last else f"EventIds {self.first}-{self.last}"
        return f"{which} of stream {self.stream_id!r}"


@dataclass(slots=True)
class Plan:
    """What is to be published of a batch."""

    queues: dict[str, list[Placed]]
    """Of each stream what is to go out, in order."""
    done: set[Address]
    """Streams and events of the batch that this process has published before."""
    trouble: Trouble | None = None
    """Set when some streams could not be planned, so that their records have to be tried again."""
    missing: list[Missing] = field(default_factory=list)
    """What was to be read back and is deleted."""
    unjournaled: str | None = None
    """Why the journal couldn't be asked, if so."""


_Arrived = dict[int, tuple[int, ChangeRecord]]
"""What came of one stream, and at which place, by EventId."""


class _Stopped(Exception):
    """A stream can't be planned now: the time is up, or what must have been written can't be seen yet."""


@dataclass(frozen=True, slots=True)
class _Hole:
    """What didn't come before a record: the EventIds between one that is known and the record's own."""

    before: ChangeRecord
    above: int
    is_whole: bool
    """All of it is read back: it lies between events of the batch, and isn't too wide for that."""


def window_us(reorder_window_s: float | None) -> int | None:
    """Return how much older than a record an event has to be to be out: 0 for a window of 0, None for none.

    Raises:
        InvalidLimit: the window can't be one.
    """
    if reorder_window_s is None:
        return None
    check_number(reorder_window_s, "reorder_window_s")
    return round((reorder_window_s + WRITTEN_LATE_S) * 1_000_000) if reorder_window_s else 0


class StreamOrder:
    """Puts batches of records in order, with what is missing before and between them.

    Args:
        reader: reads events back, strongly consistent.
        published: what this process has published; kept up by the publisher.
        window_us: how much older than a record an event has to be for its own record to have come before; 0
            reads back nothing but holes inside a batch, None nothing at all.
        journal: what all processes have published lately.
        clock_us: tells the time, by which an event that isn't there is not yet visible, or deleted.
    """

    def __init__(
        self,
        *,
        reader: StreamReader,
        published: DeliveredStreams,
        window_us: int | None,
        journal: Journal,
        clock_us: Callable[[], int],
    ) -> None:
        check_port(reader, StreamReader, "reader")
        check_port(journal, Journal, "journal")
        self._reader = reader
        self._published = published
        self._window_us = window_us
        self._journal = journal
        self._clock_us = clock_us

    def plan(self, records: Sequence[ChangeRecord], *, in_time: Callable[[], bool]) -> Plan:
        """Plan a batch: a queue for each stream, its events taking the places at which they arrived.

        Repeats stand in it once; what this process has published doesn't. Where an event can't be read
        back, or the time is up, the plan ends before that stream.

        Cost: nothing for a stream's first event, one whose preceding event this process has published, and
        one that says that the preceding event was written long before. Where others may have published that,
        the journal is asked: 1 query for each 100 streams. What isn't known then is read back: 1 query for
        each 64 events. An event that doesn't say when the one before was written costs 1 RCU, 1 request for
        each 100 of them. Each hole inside the batch: 1 query and 1 more for each 64 events.
        """
        plan = Plan({}, set())
        arrived = self._arrived(records, plan)
        unknown = self._unknown(arrived)
        journaled: dict[str, int] = {}
        for stream_id, events in arrived.items():
            try:
                if stream_id in unknown:
                    _check(in_time)
                    firsts = [unknown.pop(of) for of in [*islice(unknown, READ_MAX_ADDRESSES)]]
                    journaled |= self._known(firsts, plan, in_time)
                _check(in_time)
                plan.queues[stream_id] = list(self._queue(stream_id, events, journaled, plan))
            except _Stopped as stopped:
                plan.trouble = Trouble(stream_id, min(events), str(stopped))
                break
            except StoreUnavailable as error:
                reason = f"what precedes it can't be read back: {error}"
                plan.trouble = Trouble(stream_id, min(events), reason)
                break
        return plan

    def journal(self, stream_ids: Iterable[str]) -> str | None:
        """Return the other processes up to where this one has published streams; return why not, if so.

        Cost: 1 request; DynamoDB: 1 WCU for each 100 streams.
        """
        through = {stream_id: self._published.through(stream_id) for stream_id in stream_ids}
        try:
            self._journal.add({stream_id: event_id for stream_id, event_id in through.items() if event_id})
        except StoreUnavailable as error:
            return str(error)
        return None

    def _arrived(self, records: Sequence[ChangeRecord], plan: Plan) -> dict[str, _Arrived]:
        arrived: dict[str, _Arrived] = {}
        for place, record in enumerate(records):
            if self._published.has(record.stream_id, record.event_id):
                plan.done.add((record.stream_id, record.event_id))
            else:
                arrived.setdefault(record.stream_id, {}).setdefault(record.event_id, (place, record))
        return arrived

    def _unknown(self, arrived: Mapping[str, _Arrived]) -> dict[str, ChangeRecord]:
        """Return the streams' first records before which something may be missing, as they arrived."""
        firsts: dict[str, ChangeRecord] = {}
        for stream_id, events in arrived.items() if self._window_us else ():
            event_id = min(events)
            record = events[event_id][1]
            if (
                isinstance(record.event, Event)
                and self._published.through(stream_id) < event_id - 1
                and not self._is_old(record.previous_us, record)
            ):
                firsts[stream_id] = record
        return firsts

    def _is_old(self, written_us: int | None, record: ChangeRecord) -> bool:
        """Return whether an event was written so long before a record that its own one came first."""
        return written_us is not None and written_us < record.made_us - (self._window_us or 0)

    def _known(
        self, firsts: Sequence[ChangeRecord], plan: Plan, in_time: Callable[[], bool]
    ) -> dict[str, int]:
        """Return up to where streams are published, of those of which that can be known."""
        known = self._known_by_age([record for record in firsts if record.previous_us is None])
        asked = [record.stream_id for record in firsts if record.stream_id not in known]
        if asked:
            _check(in_time)
            try:
                known |= self._journal.published(asked)
            except StoreUnavailable as error:
                plan.unjournaled = str(error)
        return known

    def _known_by_age(self, silent: Sequence[ChangeRecord]) -> dict[str, int]:
        """Read when the events before some records were written, of which these don't tell."""
        if not silent:
            return {}
        times_us = self._reader.read_times([(one.stream_id, one.event_id - 1) for one in silent])
        return {
            record.stream_id: record.event_id - 1
            for record in silent
            if self._is_old(times_us.get((record.stream_id, record.event_id - 1)), record)
        }

    def _queue(
        self, stream_id: str, events: _Arrived, journaled: Mapping[str, int], plan: Plan
    ) -> Iterator[Placed]:
        above = self._known_before(events[min(events)][1], journaled)
        for place, one in _in_order(events, above):
            if not isinstance(one, _Hole):
                yield Placed(place, one)
                continue
            for missing in self._read_back(one, plan):
                if not (missing.event_id in events or self._published.has(stream_id, missing.event_id)):
                    yield Placed(place, missing)

    def _known_before(self, first: ChangeRecord, journaled: Mapping[str, int]) -> int:
        """Return up to where a stream is known to be published before its first record."""
        if self._is_old(first.previous_us, first):
            return first.event_id - 1
        known = max(journaled.get(first.stream_id, 0), self._published.through(first.stream_id))
        return min(known, first.event_id - 1)

    def _read_back(self, hole: _Hole, plan: Plan) -> list[Event | MalformedItem]:
        """Read the events of a hole: all of them, or those within the window.

        Raises:
            _Stopped: one of them isn't there, and the record behind the hole is young.
        """
        if self._window_us is None or not (hole.is_whole or self._window_us):
            return []
        found: list[Event | MalformedItem] = []
        for one in self._earlier(hole):
            if isinstance(one, Missing):
                self._look_at_missing(one, hole.before, plan)
                continue
            is_old = isinstance(one, Event) and self._is_old(written_us_of(one), hole.before)
            if is_old and not hole.is_whole:
                break
            found.append(one)
        return found[::-1]

    def _earlier(self, hole: _Hole) -> Iterator[Event | MalformedItem | Missing]:
        """Read a hole from its end back, in pages: what is there, and what isn't."""
        stream_id, first, last = hole.before.stream_id, hole.above + 1, hole.before.event_id - 1
        read = 0
        while last >= first and read < READ_BACK_MAX_EVENTS:
            end = read + _READ_BACK_PAGE_EVENTS
            try:
                for event in self._reader.read_stream(
                    stream_id,
                    from_version=first,
                    to_version=last,
                    backward=True,
                    limit=_READ_BACK_PAGE_EVENTS,
                ):
                    # The highest ones: between those that it gives, a read looks for gaps itself.
                    yield from _missing(stream_id, event.event_id + 1, last)
                    yield event
                    last = event.event_id - 1
                    read += 1
                if read < end:
                    yield from _missing(stream_id, first, last)
                    return
            except MalformedItem as malformed:
                yield from _missing(stream_id, malformed.event_id + 1, last)
                yield malformed
                last = min(last, malformed.event_id) - 1
                read += 1
            except StreamGap as gap:
                yield from _missing(stream_id, gap.first_missing, gap.last_missing)
                last = gap.first_missing - 1

    def _look_at_missing(self, missing: Missing, record: ChangeRecord, plan: Plan) -> None:
        """Take note of events before a record that aren't there.

        Raises:
            _Stopped: they may be on their way: a transaction becomes visible one event after the other.
        """
        if self._clock_us() - record.made_us < NOT_YET_VISIBLE_S * 1_000_000:
            raise _Stopped(f"{missing} can't be seen yet")
        plan.missing.append(missing)


def _in_order(events: _Arrived, above: int) -> Iterator[tuple[int, Event | MalformedItem | _Hole]]:
    """Put what came of a stream in order, with a hole where EventIds are missing, each with its place.

    An item that can't be read tells nothing of what precedes it: that belongs to the hole of the next event.
    """
    places = sorted(place for place, _ in events.values())
    is_inside = False
    for event_id, place in zip(sorted(events), places, strict=True):
        record = events[event_id][1]
        width = event_id - 1 - above
        if isinstance(record.event, Event):
            if width:
                yield place, _Hole(record, above, is_inside and width <= READ_BACK_MAX_EVENTS)
            is_inside = True
        if isinstance(record.event, Event) or not width:
            above = event_id
        yield place, record.event


def _missing(stream_id: str, first: int, last: int) -> Iterator[Missing]:
    if first <= last:
        yield Missing(stream_id, first, last)


def _check(in_time: Callable[[], bool]) -> None:
    if not in_time():
        raise _Stopped("the function's time was up before its turn")
