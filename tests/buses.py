"""An event bus and failed events that record what they are given, and refuse what they are told to."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from eventstore import Event
from eventstore.delivery.cloudevents import Entry
from eventstore.delivery.publisher import FailedEvent, Refusal
from eventstore.errors import FailedEventsUnavailable
from eventstore.ordering.stream_order import StreamReader

Address = tuple[str, int]

THROTTLED = Refusal("ThrottlingException: slow down", permanent=False)
MALFORMED = Refusal("MalformedDetail: no", permanent=True)


@dataclass
class RecordingBus:
    """Takes entries unless `refusals` has some left for them; `calls` is what it was asked, in order."""

    refusals: dict[Address, list[Refusal]] = field(default_factory=dict)
    calls: list[list[Entry]] = field(default_factory=list)
    taken: list[Address] = field(default_factory=list)

    def put(self, entries: Sequence[Entry]) -> list[Refusal | None]:
        self.calls.append(list(entries))
        return [self._take((entry.stream_id, entry.event_id)) for entry in entries]

    def _take(self, address: Address) -> Refusal | None:
        if self.refusals.get(address):
            return self.refusals[address].pop(0)
        self.taken.append(address)
        return None

    @property
    def asked(self) -> list[list[Address]]:
        """The events of each call."""
        return [[(entry.stream_id, entry.event_id) for entry in call] for call in self.calls]


@dataclass
class RecordingFailedEvents:
    """Keeps what is parked, after it has been unavailable a number of times."""

    unavailable_times: int = 0
    parked: list[FailedEvent] = field(default_factory=list)

    def park(self, failed: FailedEvent) -> None:
        if self.unavailable_times:
            self.unavailable_times -= 1
            raise FailedEventsUnavailable(reason="no route")
        self.parked.append(failed)


@dataclass
class CountingReader:
    """Passes reads on, counting them and the events they give; raises `errors` first."""

    reader: StreamReader
    looks: list[list[Address]] = field(default_factory=list)
    """The addresses of each read of Timestamps."""
    queries: int = 0
    largest_page: int | None = 0
    """The highest limit that a query asked for; None when one had no limit."""
    events: int = 0
    errors: list[Exception] = field(default_factory=list)

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
        assert consistent, "an eventually consistent read could miss the event that is looked for"
        self.queries += 1
        if self.largest_page is not None:
            self.largest_page = None if limit is None else max(self.largest_page, limit)
        if self.errors:
            raise self.errors.pop(0)
        for event in self.reader.read_stream(
            stream_id, from_version=from_version, to_version=to_version, backward=backward, limit=limit
        ):
            self.events += 1
            yield event

    def read_times(self, addresses: Sequence[Address]) -> dict[Address, int]:
        self.looks.append(list(addresses))
        if self.errors:
            raise self.errors.pop(0)
        return self.reader.read_times(addresses)
