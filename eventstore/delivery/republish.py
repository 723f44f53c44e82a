"""Republishing: chosen events go to the bus once more, each stream's in their order, and nothing else does.

Unlike the publisher it knows nothing of what went out before, reads nothing back and parks nothing: what it's
given is what it sends, as the publisher's entries. A consumer takes what it has seen for a repeat.
"""

from __future__ import annotations

import heapq
import random
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import islice
from typing import Final, Protocol, TypeAlias, TypeVar

from eventstore._arguments import check_flags, check_functions, check_port
from eventstore._backoff import Backoff
from eventstore.delivery.cloudevents import Entry, EntryFormat
from eventstore.delivery.publisher import EventBus, FailedEvent
from eventstore.errors import MalformedItem, NotPublishable
from eventstore.events import Address, Event, check_event_name, check_stream_prefix
from eventstore.limits import PUT_EVENTS_MAX_ENTRIES, READ_MAX_ADDRESSES
from eventstore.log.model import BlockPosition, LogEntry, LogPosition
from eventstore.log.port import EventLog
from eventstore.maintenance.items import StoredItem
from eventstore.subscriptions.tranche_reader import EventBodies

MAX_TRIES: Final = 10
"""Calls in which an entry may fail for a passing reason until all ends (ours)."""

INTERRUPTED: Final = "it was interrupted"

_BACKOFF: Final = Backoff(0.2, longest_s=5)
_STREAMS_AT_ONCE: Final = PUT_EVENTS_MAX_ENTRIES

Chosen: TypeAlias = Event | MalformedItem | FailedEvent
"""An event that was chosen, or why it can't be published."""

_Value = TypeVar("_Value")


class IndexedItems(Protocol):
    """Reads the time index, and single streams, item by item."""

    def read_index(self, shard: int, *, from_us: int, end_us: int) -> Iterator[StoredItem]:
        """Read one shard of the time index in [from_us, end_us), eventually consistent."""
        ...

    def read_items(
        self, stream_id: str, *, from_version: int, to_version: int | None = None
    ) -> Iterator[StoredItem]:
        """Read items of one stream by rising EventId, strongly consistent, whatever they are."""
        ...


@dataclass(slots=True, kw_only=True)
class Republished:
    """What became of the events."""

    published: int = 0
    """Events that the bus has taken; in a dry run, those that can be written as entries."""
    refused: list[FailedEvent] = field(default_factory=list)
    """Events that can't be published, each with the reason."""
    stopped: str | None = None
    """Why it ended before all was sent."""
    first_left: Entry | None = None
    """Where it stopped, if it was at an event: what came before it in the order is published or refused."""

    @property
    def is_complete(self) -> bool:
        """Whether all that was chosen is published."""
        return not (self.refused or self.stopped)


def _pass(_events: int) -> None:
    pass


class Republish:
    """Sends events to the bus once more.

    Args:
        bus: takes the entries.
        entry_format: writes events as entries, as the publisher's.
        dry_run: writes entries and sends none.
        progress: is called with the number of events that are done with, as it gets on.
        ends: returns True from when on it should end; it's asked between calls, never within one.
        jitter, sleep: chance and time, to be replaced in tests.

    Raises:
        InvalidArgument, NotSynchronous: an argument that can't be used.
    """

    def __init__(
        self,
        *,
        bus: EventBus,
        entry_format: EntryFormat,
        dry_run: bool = False,
        progress: Callable[[int], None] = _pass,
        ends: Callable[[], bool] = lambda: False,
        jitter: Callable[[], float] = random.random,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        check_port(bus, EventBus, "bus")
        check_port(entry_format, EntryFormat, "entry_format", only=("entry",))
        check_flags(dry_run=dry_run)
        check_functions(progress=progress, ends=ends, jitter=jitter, sleep=sleep)
        self._bus = bus
        self._format = entry_format
        self._dry_run = dry_run
        self._progress = progress
        self._ends = ends
        self._jitter = jitter
        self._sleep = sleep

    def send(self, events: Iterable[Chosen], done: Republished) -> None:
        """Send events in the order in which they come; put down in `done` what becomes of them.

        No call has two events of one stream, and no event is sent before all earlier ones are taken or
        refused for good, so each stream goes out in the order given. After a passing failure an entry is
        sent again, `MAX_TRIES` times; then all ends.

        Args:
            events: each stream's by rising EventId.
            done: is added to; nothing is sent when it says that it stopped.

        Raises:
            Whatever reading `events` raises; what was published till then stands in `done`.

        Cost: a PutEvents call for up to 10 events, fewer where those of one stream come close together.
        Memory: one call.
        """
        if done.stopped:
            return
        call: list[Entry] = []
        for chosen in events:
            entry = self._entry(chosen, done)
            if entry is None:
                continue
            if not self._goes_with(call, entry):
                if not self._put(call, done):
                    return
                call = []
            call.append(entry)
        if call:
            self._put(call, done)

    def _entry(self, chosen: Chosen, done: Republished) -> Entry | None:
        refusal: MalformedItem | NotPublishable | FailedEvent
        try:
            if isinstance(chosen, Event):
                return self._format.entry(chosen)
            refusal = chosen
        except NotPublishable as error:
            refusal = error
        done.refused.append(FailedEvent(refusal.stream_id, refusal.event_id, refusal.reason))
        self._progress(1)
        return None

    def _goes_with(self, call: Sequence[Entry], entry: Entry) -> bool:
        return (
            len(call) < PUT_EVENTS_MAX_ENTRIES
            and all(other.stream_id != entry.stream_id for other in call)
            and sum(other.size_bytes for other in call) + entry.size_bytes < self._format.max_bytes
        )

    def _put(self, call: Sequence[Entry], done: Republished) -> bool:
        """Send one call until each of its entries is taken or refused for good; tell whether it was."""
        reason = INTERRUPTED
        for tries in range(MAX_TRIES):
            if self._ends():
                reason = INTERRUPTED
                break
            if tries:
                self._sleep(_BACKOFF.pause_s(tries, jitter=self._jitter()))
            call, reason = self._try(call, done)
            if not call:
                return True
        done.stopped, done.first_left = reason, call[0]
        return False

    def _try(self, call: Sequence[Entry], done: Republished) -> tuple[list[Entry], str]:
        """Send a call once; return what failed for a passing reason, and that of the last."""
        failed: list[Entry] = []
        reason = ""
        refusals = [None] * len(call) if self._dry_run else self._bus.put(call)
        for entry, refusal in zip(call, refusals, strict=True):
            if refusal is None:
                done.published += 1
            elif refusal.permanent:
                done.refused.append(FailedEvent(entry.stream_id, entry.event_id, refusal.reason))
            else:
                failed.append(entry)
                reason = refusal.reason
        self._progress(len(call) - len(failed))
        return failed, reason


# --- what to send --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which events are meant of those that are read; None means all.

    Raises:
        InvalidStreamId, InvalidEventName: no stream's id begins so, or no event has such a name.
    """

    stream_prefix: str | None = None
    event_name: str | None = None

    def __post_init__(self) -> None:
        """Check what was given: what no event can have would pass over every event in silence."""
        if self.stream_prefix is not None:
            check_stream_prefix(self.stream_prefix, field="stream_prefix")
        if self.event_name is not None:
            check_event_name(self.event_name, field="event_name")

    def of(self, events: Iterable[Chosen]) -> Iterator[Chosen]:
        """Pass on what is meant; an item that is no event has no name that would rule it out."""
        for chosen in events:
            if self.stream_prefix and not chosen.stream_id.startswith(self.stream_prefix):
                continue
            if self.event_name and isinstance(chosen, Event) and chosen.name != self.event_name:
                continue
            yield chosen


def of_time(table: IndexedItems, *, shards: int, from_us: int, to_us: int) -> Iterator[Chosen]:
    """Read the events of all streams with a Timestamp in [from_us, to_us), in time order.

    Consistency: eventual, as every read of the time index.

    Cost: 125 RCU for 1,000 events of 1 KB. Memory: a page (1 MB) a shard.
    """
    if from_us < to_us:
        found = [table.read_index(shard, from_us=from_us, end_us=to_us) for shard in range(shards)]
        yield from _chosen(heapq.merge(*found, key=_place))


def of_streams(
    table: IndexedItems, stream_ids: Sequence[str], *, from_us: int, to_us: int
) -> Iterator[Chosen]:
    """Read the events of streams with a Timestamp in [from_us, to_us), ten streams side by side.

    Consistency: strong.

    Cost: 1 query for each 1 MB of a stream, 250 RCU for 1,000 events of 1 KB, whatever the times.
    Memory: a page (1 MB) for each of the ten.
    """
    streams = (_chosen(table.read_items(stream_id, from_version=1)) for stream_id in stream_ids)
    for chosen in side_by_side(streams, most=_STREAMS_AT_ONCE):
        if not isinstance(chosen, Event) or from_us <= chosen.timestamp_us < to_us:
            yield chosen


def of_log(
    log: EventLog, bodies: EventBodies, *, after: LogPosition, until: LogPosition | None
) -> Iterator[Chosen]:
    """Read the events whose entries are behind one position of the log and not behind another.

    Args:
        bodies: reads the events from the table.
        until: None for the log's end.

    An event that has several entries there comes once, and behind the earlier ones of its stream that have
    entries there, however late these stand. Of one that the table doesn't have (any more) comes why it can't
    be published.

    Consistency: strong. Entries that are logged meanwhile aren't there.

    Cost: 40 RCU for 1,000 entries, which are read twice; for the events 10 requests and 250 RCU (of 1 KB).
    Memory: 100 events, and about 300 bytes a stream.
    """
    addresses = side_by_side(
        [_addresses(log, tranche, after=after, until=until) for tranche in range(log.tranches)],
        most=log.tranches,
    )
    while asked := list(islice(addresses, READ_MAX_ADDRESSES)):
        events = bodies.read_events(asked)
        for address in asked:
            yield events.get(address) or FailedEvent(*address, "the table has no such event")


def side_by_side(queues: Iterable[Iterator[_Value]], *, most: int) -> Iterator[_Value]:
    """Yield from some queues in turn, each in its order; where one ends, another one begins."""
    waiting = iter(queues)
    going = deque(islice(waiting, most))
    while going:
        queue = going.popleft()
        for value in queue:
            yield value
            going.append(queue)
            break
        else:
            going.extend(islice(waiting, 1))


def _addresses(
    log: EventLog, tranche: int, *, after: LogPosition, until: LogPosition | None
) -> Iterator[Address]:
    """Yield the events that have entries in a part of a tranche: once, each stream's in their order."""
    left, end = _runs(_entries(log, tranche, after=after, until=until))
    for entry in _entries(log, tranche, after=after, until=until) if end else ():
        # What is logged late, behind later ones of its stream, comes before them.
        for event_id in _taken(left[entry.stream_id], through=entry.event_id):
            yield entry.stream_id, event_id
        if entry.position == end:
            return


def _runs(entries: Iterable[LogEntry]) -> tuple[dict[str, deque[range]], BlockPosition | None]:
    """Return the events that have entries, of each stream as runs in their order, and where the last is."""
    found: dict[str, deque[range]] = {}
    end: BlockPosition | None = None
    for entry in entries:
        runs = found.setdefault(entry.stream_id, deque())
        if runs and runs[-1].stop == entry.event_id:
            runs[-1] = range(runs[-1].start, entry.event_id + 1)
        elif not (runs and entry.event_id in runs[-1]):
            runs.append(range(entry.event_id, entry.event_id + 1))
        end = entry.position
    return {stream_id: _merged(runs) for stream_id, runs in found.items()}, end


def _taken(runs: deque[range], *, through: int) -> Iterator[int]:
    """Take the EventIds up to one, that one included, from the runs of a stream."""
    while runs and runs[0].start <= through:
        run = runs.popleft()
        if run.stop > through + 1:
            runs.appendleft(range(through + 1, run.stop))
        yield from range(run.start, min(run.stop, through + 1))


def _merged(runs: Iterable[range]) -> deque[range]:
    """Return runs of numbers in their order, none twice."""
    merged: deque[range] = deque()
    for run in sorted(runs, key=lambda run: run.start):
        if merged and run.start <= merged[-1].stop:
            merged[-1] = range(merged[-1].start, max(merged[-1].stop, run.stop))
        else:
            merged.append(run)
    return merged


def _entries(
    log: EventLog, tranche: int, *, after: LogPosition, until: LogPosition | None
) -> Iterator[LogEntry]:
    for entry in log.read_tranche(tranche, after=after.places[tranche]):
        if until is not None and (entry.block, entry.index) >= until.places[tranche]:
            return
        yield entry


def _chosen(items: Iterable[StoredItem]) -> Iterator[Chosen]:
    for item in items:
        if item.is_events:
            no_time = isinstance(item.event, Event) and item.timestamp is None
            reason = "it has no Timestamp; `verify --repair` gives it one where that is known"
            yield FailedEvent(item.stream_id, item.event_id, reason) if no_time else item.event


def _place(item: StoredItem) -> tuple[Decimal, str, int]:
    return Decimal(item.timestamp or 0), item.stream_id, item.event_id
