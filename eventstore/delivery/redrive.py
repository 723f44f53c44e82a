"""Redrive: parked events go to the bus again, the publisher's own way, and then leave their queue."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import Final, Protocol

from eventstore._arguments import check_flags, check_functions, check_is, check_port
from eventstore._synchronous import check_finished
from eventstore.delivery.cloudevents import Entry, EntryFormat
from eventstore.delivery.publisher import EventBus, FailedEvent, Publication, Publisher, Refusal
from eventstore.errors import InvalidInput, MalformedItem, NotPublishable
from eventstore.events import Address, Event, check_event_name, check_stream_prefix
from eventstore.ordering.stream_order import ChangeRecord, StreamReader

BATCH_EVENTS: Final = 100
"""Events that are held in memory and published together (ours; up to 400 KB each)."""

HIDDEN_S: Final = 3_600.0
"""Seconds for which received messages are hidden from other redrives (ours; SQS: 12 hours)."""

RESERVE_S: Final = 120.0
"""Seconds before the messages come back at which a redrive stops (ours)."""

_INTERRUPTED: Final = "it was interrupted"


@dataclass(frozen=True, slots=True)
class ParkedMessage:
    """One message of the queue of failed events."""

    message_id: str
    receipt: str
    """What deletes it, or shows it again."""
    failed: FailedEvent | None
    """None when its body can't be read."""
    fault: str = ""
    """What is wrong with its body."""


class ParkedEvents(Protocol):
    """The queue of failed events, from its other end."""

    def receive(self, *, hidden_s: float) -> Sequence[ParkedMessage]:
        """Take some messages, hidden from others for a while; none when the queue has no more now.

        Raises:
            FailedEventsUnavailable: the queue could not be reached.
            StoreMisconfigured: there is no such queue, or no permission.
        """
        ...

    def delete(self, messages: Sequence[ParkedMessage]) -> None:
        """Delete messages.

        Raises:
            FailedEventsUnavailable: some are not known to be deleted.
            StoreMisconfigured: as of `receive`.
        """
        ...

    def release(self, messages: Sequence[ParkedMessage]) -> None:
        """Make messages visible again at once; those that can't be come back when their time is up.

        Raises:
            FailedEventsUnavailable: the queue could not be reached.
            StoreMisconfigured: there is no such queue, or no permission.
        """
        ...


class Progress(Protocol):
    """Is called as a redrive gets on."""

    def received(self, messages: int) -> None:
        """So many messages were received so far."""
        ...

    def began(self, events: int) -> None:
        """So many events are meant, as far as their messages say."""
        ...

    def tried(self, events: int) -> None:
        """So many more events were tried."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which parked events are meant; each None means all.

    Raises:
        InvalidStreamId, InvalidEventName: no stream's id begins so, or no event has such a name.
    """

    stream_prefix: str | None = None
    event_name: str | None = None
    reason_contains: str | None = None

    def __post_init__(self) -> None:
        """Check what was given: what no event can have would leave every message where it is."""
        if self.stream_prefix is not None:
            check_stream_prefix(self.stream_prefix, field="stream_prefix")
        if self.event_name is not None:
            check_event_name(self.event_name, field="event_name")

    def wants(self, failed: FailedEvent) -> bool:
        """Return whether a parked event is meant, as far as its message tells."""
        return failed.stream_id.startswith(self.stream_prefix or "") and (
            (self.reason_contains or "") in failed.reason
        )

    def wants_event(self, event: Event) -> bool:
        """Return whether the event itself is meant."""
        return self.event_name is None or event.name == self.event_name


@dataclass(slots=True, kw_only=True)
class Redriven:
    """What became of the parked events."""

    published: int = 0
    """Events that the bus has taken; in a dry run, those that can be written as entries."""
    deleted: int = 0
    """Messages that left the queue: an event can have several."""
    filtered: int = 0
    """Messages that were not meant."""
    refused: list[FailedEvent] = field(default_factory=list)
    """Events that still can't be published, each with the reason now; their messages stay."""
    unreadable: list[ParkedMessage] = field(default_factory=list)
    """Messages that are no addresses; they stay."""
    stopped: str | None = None
    """Why the redrive ended before all was tried; the rest stays."""

    @property
    def is_complete(self) -> bool:
        """Whether every parked event that was meant has been published."""
        return not (self.refused or self.unreadable or self.stopped)

    def add(self, publication: Publication) -> None:
        """Take note of what became of a batch, beyond the messages that were deleted on the way."""
        self.refused += publication.parked
        if publication.stopped:
            self.stopped = str(publication.stopped.reason)


class Redrive:
    """Publishes parked events again.

    Args:
        parked: the queue of failed events.
        reader: reads the events from the table, strongly consistent.
        bus: takes the entries.
        entry_format: writes events as entries, as the publisher's.
        clock_s, sleep: time, to be replaced in tests.

    Raises:
        InvalidArgument, NotSynchronous: an argument that can't be used.

    The order is the publisher's: of each stream the lower EventIds first, no two of a stream in one call,
    and a passing failure stops the redrive. What lies between two parked events was published long ago and
    isn't published again.

    Cost: 1 receive for up to 10 messages, for each event 1 query (1 RCU each 4 KB), and a PutEvents call and
    a delete for up to 10 events of different streams. Memory: 0.5 KB a message, `BATCH_EVENTS` events.
    """

    def __init__(
        self,
        *,
        parked: ParkedEvents,
        reader: StreamReader,
        bus: EventBus,
        entry_format: EntryFormat,
        clock_s: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        check_port(parked, ParkedEvents, "parked")
        check_port(reader, StreamReader, "reader", only=("read_stream",))
        check_port(bus, EventBus, "bus")
        check_port(entry_format, EntryFormat, "entry_format", only=("entry",))
        check_functions(clock_s=clock_s, sleep=sleep)
        self._parked = parked
        self._reader = reader
        self._bus = bus
        self._format = entry_format
        self._clock_s = clock_s
        self._sleep = sleep

    def run(
        self,
        *,
        wanted: Filter,
        dry_run: bool,
        progress: Progress | None = None,
        ends: Callable[[], bool] = lambda: False,
    ) -> Redriven:
        """Publish what is parked; delete a message only when its event is published.

        Args:
            wanted: the other messages stay.
            dry_run: only tell what could be published; every message stays.
            progress: is called as it gets on.
            ends: returns True from when on it should end; it's asked between calls, never within one, so
                that every message that was received is known and can be made visible again.

        Raises:
            InvalidArgument, NotSynchronous: an argument that can't be used; nothing was received.
            FailedEventsUnavailable, StoreUnavailable: what was published till then is deleted; run it again.
            StoreMisconfigured: as before, when what it names is repaired.
        """
        check_is(wanted, Filter, "wanted", give="a Filter; Filter() wants all")
        if progress is not None:
            check_port(progress, Progress, "progress")
        check_flags(dry_run=dry_run)
        check_functions(ends=ends)
        done = Redriven()
        shown = progress or _NotShown()
        ends_s = self._clock_s() + HIDDEN_S - RESERVE_S
        messages: dict[str, ParkedMessage] = {}

        def is_over() -> bool:
            is_asked = ends()
            check_finished(is_asked, "ends", function=ends)
            return is_asked

        def remaining_time_s() -> float:
            return 0.0 if is_over() else ends_s - self._clock_s()

        try:
            while page := self._parked.receive(hidden_s=HIDDEN_S):
                messages |= {message.message_id: message for message in page}
                shown.received(len(messages))
                if is_over():
                    done.stopped = _INTERRUPTED
                    return done
            by_address = _sort(messages, done, wanted)
            shown.began(len(by_address))
            self._redrive(
                messages,
                by_address,
                done,
                wanted=wanted,
                dry_run=dry_run,
                remaining_time_s=remaining_time_s,
                shown=shown,
            )
        finally:
            self._parked.release(list(messages.values()))
        return done

    def _redrive(
        self,
        messages: dict[str, ParkedMessage],
        by_address: Mapping[Address, Sequence[ParkedMessage]],
        done: Redriven,
        *,
        wanted: Filter,
        dry_run: bool,
        remaining_time_s: Callable[[], float],
        shown: Progress,
    ) -> None:
        publisher = Publisher(
            reader=self._reader,
            bus=_TellingBus(self._bus, partial(self._delete, messages, by_address, done)),
            failed_events=_StillRefused(),
            entry_format=self._format,
            # What lies between parked events was published before.
            reorder_window_s=None,
            sleep=self._sleep,
        )
        # By EventId: each stream in order, and the streams side by side.
        addresses = iter(sorted(by_address, key=lambda address: address[1]))
        while batch := list(islice(addresses, BATCH_EVENTS)):
            if remaining_time_s() == 0:
                done.stopped = _INTERRUPTED
                return
            events = list(self._events(batch, by_address, done, wanted))
            if dry_run:
                self._dry_run(events, done)
            else:
                done.add(publisher.publish(_records(events), remaining_time_s=remaining_time_s))
            if done.stopped:
                return
            shown.tried(len(batch))

    def _delete(
        self,
        messages: dict[str, ParkedMessage],
        by_address: Mapping[Address, Sequence[ParkedMessage]],
        done: Redriven,
        published: Sequence[Address],
    ) -> None:
        done.published += len(published)
        of_published = [message for address in published for message in by_address[address]]
        self._parked.delete(of_published)
        done.deleted += len(of_published)
        for message in of_published:
            del messages[message.message_id]

    def _events(
        self,
        batch: Sequence[Address],
        by_address: Mapping[Address, Sequence[ParkedMessage]],
        done: Redriven,
        wanted: Filter,
    ) -> Iterator[Event | MalformedItem]:
        for stream_id, event_id in batch:
            try:
                event = self._read(stream_id, event_id)
            except MalformedItem as malformed:
                yield malformed
                continue
            except InvalidInput as error:
                done.refused.append(FailedEvent(stream_id, event_id, str(error)))
                continue
            if event is None:
                reason = "the table has no such event; delete its message if that is right"
                done.refused.append(FailedEvent(stream_id, event_id, reason))
            elif wanted.wants_event(event):
                yield event
            else:
                done.filtered += len(by_address[stream_id, event_id])

    def _read(self, stream_id: str, event_id: int) -> Event | None:
        return next(
            self._reader.read_stream(stream_id, from_version=event_id, to_version=event_id, limit=1), None
        )

    def _dry_run(self, events: Sequence[Event | MalformedItem], done: Redriven) -> None:
        for event in events:
            refusal: MalformedItem | NotPublishable
            try:
                if isinstance(event, Event):
                    self._format.entry(event)
                    done.published += 1
                    continue
                refusal = event
            except NotPublishable as error:
                refusal = error
            done.refused.append(FailedEvent(refusal.stream_id, refusal.event_id, refusal.reason))


def _sort(
    messages: Mapping[str, ParkedMessage], done: Redriven, wanted: Filter
) -> Mapping[Address, Sequence[ParkedMessage]]:
    """Find the events that are meant, each with its messages."""
    by_address: defaultdict[Address, list[ParkedMessage]] = defaultdict(list)
    for message in messages.values():
        if message.failed is None:
            done.unreadable.append(message)
        elif wanted.wants(message.failed):
            by_address[message.failed.stream_id, message.failed.event_id].append(message)
        else:
            done.filtered += 1
    return by_address


def _records(events: Sequence[Event | MalformedItem]) -> list[ChangeRecord]:
    return [
        ChangeRecord(str(number), event.stream_id, event.event_id, event)
        for number, event in enumerate(events)
    ]


class _TellingBus:
    """Passes entries on, and tells at once which were taken."""

    def __init__(self, bus: EventBus, taken: Callable[[Sequence[Address]], None]) -> None:
        self._bus = bus
        self._taken = taken

    def put(self, entries: Sequence[Entry]) -> Sequence[Refusal | None]:
        refusals = self._bus.put(entries)
        results = zip(entries, refusals, strict=True)
        self._taken([(entry.stream_id, entry.event_id) for entry, refusal in results if refusal is None])
        return refusals


class _StillRefused:
    """Parks nothing: the message of a refused event is still in the queue."""

    def park(self, failed: FailedEvent) -> None:
        pass


class _NotShown:
    """A `Progress` that nobody looks at."""

    def received(self, messages: int) -> None:
        pass

    def began(self, events: int) -> None:
        pass

    def tried(self, events: int) -> None:
        pass
