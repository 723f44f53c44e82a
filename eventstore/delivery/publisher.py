"""Publication: the records of the table's stream go to an event bus, each stream's events in their order.

What holds, and where it's done:

- Every event is published or parked at least once: each entry's result is read, and what is neither is
  reported, to be tried again.
- No event goes out before an earlier one of its stream: a batch is put in order and filled up from the
  table (`publication_order`), no call holds two events of one stream, and what fails for a passing reason
  stops the batch.
- One bad event never blocks: it's parked in the queue of failed events, and the next ones go on.

docs/adr/0004-publication-order.md has the reasons, and what they cost.
"""

from __future__ import annotations

import random
import time
from collections import defaultdict, deque
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush
from itertools import chain
from typing import Final, Protocol

from eventstore._arguments import check_functions, check_port
from eventstore._backoff import Backoff
from eventstore.delivery.cloudevents import Entry, EntryFormat
from eventstore.errors import FailedEventsUnavailable, MalformedItem, NotPublishable, PublicationStopped
from eventstore.events import Address, Event
from eventstore.limits import (
    PUBLISH_MAX_TRIES,
    PUBLISH_RESERVE_S,
    PUT_EVENTS_MAX_ENTRIES,
    REORDER_WINDOW_S,
)
from eventstore.ordering.delivered import DeliveredStreams
from eventstore.ordering.journal import Journal, NoJournal
from eventstore.ordering.stream_order import (
    ChangeRecord,
    Missing,
    StreamOrder,
    StreamReader,
    Trouble,
    window_us,
)

_BACKOFF: Final = Backoff(0.1)


@dataclass(frozen=True, slots=True)
class FailedEvent:
    """The address of an event that can't be published as it is; the event itself stays in the table."""

    stream_id: str
    event_id: int
    reason: str


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why an entry was not taken; `permanent` when it never will be."""

    reason: str
    permanent: bool


class EventBus(Protocol):
    """Where events are published."""

    def put(self, entries: Sequence[Entry]) -> Sequence[Refusal | None]:
        """Put 1-10 entries on the bus; return for each, in their order, None or why it wasn't taken."""
        ...


class FailedEvents(Protocol):
    """Where events are parked that can't be published."""

    def park(self, failed: FailedEvent) -> None:
        """Keep the address of a failed event.

        Raises:
            FailedEventsUnavailable: it isn't known to be kept; safe to try again.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Publication:
    """What became of a batch."""

    published: int
    """Events that the bus has taken, those read back included."""
    parked: tuple[FailedEvent, ...]
    max_lag_us: int | None
    """The longest time from an event's Timestamp to its publication; None when none was published."""
    stopped: PublicationStopped | None
    """Set when a rest of the batch has to be tried again, from its sequence number on."""
    missing: tuple[Missing, ...] = ()
    """Events before the batch's that weren't published by this process, and are deleted."""
    unjournaled: str | None = None
    """Why the journal wasn't read or written, if so: events may be published twice."""


class Publisher:
    """Publishes batches of records; keep it as long as the process lives, for it remembers streams.

    Not for several threads at once.

    Args:
        reader: reads events back from the table, strongly consistent.
        bus: takes the entries.
        failed_events: takes the addresses of events that can't be published.
        entry_format: writes events as entries; its byte limit is also that of one call.
        journal: what all processes have published lately; None where there's only this one.
        reorder_window_s: how long after a later record of one stream an earlier one may still come, by the
            times at which DynamoDB made them. 0 trusts the table's stream from batch to batch; None publishes
            what it's given, and looks for nothing else.
        clock_us, jitter, sleep: time and chance, to be replaced in tests.

    Raises:
        InvalidArgument, InvalidLimit, NotSynchronous: an argument that can't be used.
    """

    def __init__(
        self,
        *,
        reader: StreamReader,
        bus: EventBus,
        failed_events: FailedEvents,
        entry_format: EntryFormat,
        journal: Journal | None = None,
        reorder_window_s: float | None = REORDER_WINDOW_S,
        clock_us: Callable[[], int] = lambda: time.time_ns() // 1_000,
        jitter: Callable[[], float] = random.random,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        check_port(bus, EventBus, "bus")
        check_port(failed_events, FailedEvents, "failed_events")
        check_port(entry_format, EntryFormat, "entry_format", only=("entry",))
        check_functions(clock_us=clock_us, jitter=jitter, sleep=sleep)
        self._bus = bus
        self._failed_events = failed_events
        self._format = entry_format
        self._clock_us = clock_us
        self._jitter = jitter
        self._sleep = sleep
        self._published = DeliveredStreams()
        self._order = StreamOrder(
            reader=reader,
            published=self._published,
            window_us=window_us(reorder_window_s),
            journal=NoJournal() if journal is None else journal,
            clock_us=clock_us,
        )

    def publish(
        self, records: Sequence[ChangeRecord], *, remaining_time_s: Callable[[], float]
    ) -> Publication:
        """Publish a batch: each stream's events in order and, as far as that allows, as they arrived.

        Args:
            records: in the order of the table's stream, by rising sequence number.
            remaining_time_s: how long this may still take; the batch stops `PUBLISH_RESERVE_S` before.

        Returns:
            What became of the batch. When it stopped: at the lowest sequence number that is neither
            published nor parked. A retry from there passes over what this process has already done.

        Cost: PutEvents calls: the larger of records / 10 and the most events of one stream, as far as the
        byte limit allows. Reads: see `StreamOrder.plan`.
        """
        check_functions(remaining_time_s=remaining_time_s)
        plan = self._order.plan(records, in_time=lambda: remaining_time_s() >= PUBLISH_RESERVE_S)
        queues = {
            stream_id: deque(_Pending(placed.place, self._work(placed.event)) for placed in queue)
            for stream_id, queue in plan.queues.items()
        }
        batch = _Batch(_Queues(queues), set(plan.done))
        trouble = self._send_all(batch, remaining_time_s) or plan.trouble
        unjournaled = self._order.journal({stream_id for stream_id, _ in batch.done - plan.done})
        return Publication(
            published=batch.published,
            parked=tuple(batch.parked),
            max_lag_us=batch.max_lag_us,
            stopped=_stopped(records, batch, trouble) if trouble else None,
            missing=tuple(plan.missing),
            unjournaled=unjournaled or plan.unjournaled,
        )

    def _work(self, event: Event | MalformedItem) -> Entry | FailedEvent:
        try:
            if isinstance(event, Event):
                return self._format.entry(event)
            return FailedEvent(event.stream_id, event.event_id, event.reason)
        except NotPublishable as error:
            return FailedEvent(error.stream_id, error.event_id, error.reason)

    def _send_all(self, batch: _Batch, remaining_time_s: Callable[[], float]) -> Trouble | None:
        """Send until all is done, a try too many has failed, or the time is up."""
        while batch.queues.left:
            if remaining_time_s() < PUBLISH_RESERVE_S:
                first = batch.queues.first()
                return Trouble(first.work.stream_id, first.work.event_id, "the function's time was up")
            failed = self._send(batch)
            if failed:
                worst = max(failed, key=lambda pending: pending.tries)
                if worst.tries == PUBLISH_MAX_TRIES:
                    return Trouble(worst.work.stream_id, worst.work.event_id, worst.last_refusal)
                self._sleep(_BACKOFF.pause_s(worst.tries, jitter=self._jitter()))
        return None

    def _send(self, batch: _Batch) -> list[_Pending]:
        """Make one call, to the bus or the failed events; return what failed for a passing reason."""
        failed = []
        results = self._call(batch)
        now_us = self._clock_us()
        for pending, refusal in results:
            if refusal is None:
                self._finish(batch, pending, now_us)
            elif refusal.permanent:
                batch.queues.replace(
                    pending, FailedEvent(pending.work.stream_id, pending.work.event_id, refusal.reason)
                )
            else:
                pending.tries += 1
                pending.last_refusal = refusal.reason
                failed.append(pending)
        return failed

    def _call(self, batch: _Batch) -> list[tuple[_Pending, Refusal | None]]:
        parking = batch.queues.next_to_park()
        if parking is not None:
            assert isinstance(parking.work, FailedEvent)
            return [(parking, self._park(parking.work))]
        call = self._next_call(batch)
        entries = [pending.work for pending in call if isinstance(pending.work, Entry)]
        return list(zip(call, self._bus.put(entries), strict=True))

    def _next_call(self, batch: _Batch) -> list[_Pending]:
        return batch.queues.next_call(max_bytes=self._format.max_bytes)

    def _park(self, failed: FailedEvent) -> Refusal | None:
        try:
            self._failed_events.park(failed)
        except FailedEventsUnavailable as error:
            return Refusal(str(error), permanent=False)
        return None

    def _finish(self, batch: _Batch, pending: _Pending, now_us: int) -> None:
        work = pending.work
        batch.queues.remove(pending)
        batch.done.add((work.stream_id, work.event_id))
        # What precedes an item that is no event was not looked for: only behind a known one does it tell
        # that all before it is done.
        if isinstance(work, Entry) or self._published.last_before(work.stream_id, work.event_id) == (
            work.event_id - 1
        ):
            self._published.add(work.stream_id, work.event_id)
        if isinstance(work, FailedEvent):
            batch.parked.append(work)
        else:
            batch.published += 1
            batch.max_lag_us = max(batch.max_lag_us or 0, now_us - work.timestamp_us)


@dataclass(slots=True)
class _Pending:
    """An event on its way, at the place of the batch that it takes."""

    place: int
    work: Entry | FailedEvent
    tries: int = 0
    last_refusal: str = ""


class _Queues:
    """Of each stream what is still to be done, and what comes next: O(log streams) for each event."""

    def __init__(self, queues: dict[str, deque[_Pending]]) -> None:
        self._queues = queues
        self.left = sum(map(len, queues.values()))
        """How many events are still to be done."""
        # Each stream stands once in here, at its next event's place or, when that was done meanwhile, an
        # earlier one.
        self._by_place = [(queue[0].place, stream_id) for stream_id, queue in queues.items()]
        heapify(self._by_place)
        self._of_length: defaultdict[int, set[str]] = defaultdict(set)
        for stream_id, queue in queues.items():
            self._of_length[len(queue)].add(stream_id)
        self._longest = max(self._of_length, default=0)
        self._to_park = deque(queue[0] for queue in queues.values() if isinstance(queue[0].work, FailedEvent))

    def first(self) -> _Pending:
        """Return the earliest event that can go out."""
        return min((queue[0] for queue in self._queues.values()), key=_place)

    def next_to_park(self) -> _Pending | None:
        """Return an event that can be parked, if there's one; it stays until it's removed."""
        return self._to_park[0] if self._to_park else None

    def next_call(self, *, max_bytes: int) -> list[_Pending]:
        """Choose the entries of the next call, when nothing is to be parked: of each stream its next event.

        Within one call an entry can fail while a later one passes, so two events of one stream never share
        a call. Streams whose rest is as long as the calls that are left come first, the others as they
        arrived: that makes the fewest calls there can be.
        """
        call: dict[str, _Pending] = {}
        size_bytes = 0
        with closing(self._as_they_arrived()) as arrived:
            for stream_id in chain(self._urgent(), arrived):
                pending = self._queues[stream_id][0]
                assert isinstance(pending.work, Entry)
                if stream_id not in call and size_bytes + pending.work.size_bytes < max_bytes:
                    call[stream_id] = pending
                    size_bytes += pending.work.size_bytes
                    if len(call) == PUT_EVENTS_MAX_ENTRIES:
                        break
        return sorted(call.values(), key=_place)

    def remove(self, pending: _Pending) -> None:
        """Take out an event that is done: its stream's next."""
        stream_id = pending.work.stream_id
        queue = self._queues[stream_id]
        assert queue[0] is pending
        if self._to_park and self._to_park[0] is pending:
            self._to_park.popleft()
        self._of_length[len(queue)].discard(stream_id)
        queue.popleft()
        self.left -= 1
        if queue:
            self._of_length[len(queue)].add(stream_id)
            if isinstance(queue[0].work, FailedEvent):
                self._to_park.append(queue[0])
        else:
            del self._queues[stream_id]
        while self._longest and not self._of_length[self._longest]:
            self._longest -= 1

    def replace(self, pending: _Pending, failed: FailedEvent) -> None:
        """Let an event that can't be published be parked instead."""
        if isinstance(pending.work, Entry):
            self._to_park.append(pending)
        pending.work = failed
        pending.tries = 0

    def _urgent(self) -> list[str]:
        """Return the streams, ten at most, of which an event has to be in each call that is left."""
        if self._longest * PUT_EVENTS_MAX_ENTRIES < self.left:
            return []
        return sorted(self._of_length[self._longest], key=lambda stream_id: self._queues[stream_id][0].place)

    def _as_they_arrived(self) -> Generator[str, None, None]:
        """Yield the streams by their next event's place; put them back when this is closed."""
        passed: list[tuple[int, str]] = []
        try:
            while self._by_place:
                place, stream_id = heappop(self._by_place)
                queue = self._queues.get(stream_id)
                if queue is None:
                    continue
                if queue[0].place == place:
                    passed.append((place, stream_id))
                    yield stream_id
                else:
                    heappush(self._by_place, (queue[0].place, stream_id))
        finally:
            for one in passed:
                heappush(self._by_place, one)


@dataclass(slots=True)
class _Batch:
    queues: _Queues
    done: set[Address]
    """Streams and events that were published or parked."""
    published: int = 0
    parked: list[FailedEvent] = field(default_factory=list)
    max_lag_us: int | None = None


def _place(pending: _Pending) -> int:
    return pending.place


def _stopped(records: Sequence[ChangeRecord], batch: _Batch, trouble: Trouble) -> PublicationStopped:
    first = next(record for record in records if (record.stream_id, record.event_id) not in batch.done)
    return PublicationStopped(
        sequence_number=first.sequence_number,
        stream_id=trouble.stream_id,
        event_id=trouble.event_id,
        reason=trouble.reason,
    )
