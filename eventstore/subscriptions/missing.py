"""The events that a projection hasn't taken yet, though later ones come."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from eventstore.errors import MalformedItem
from eventstore.events import Event
from eventstore.limits import READ_MAX_ADDRESSES
from eventstore.subscriptions.known import first_true
from eventstore.subscriptions.tranche_reader import EventBodies, missing_item


class MissingEvents:
    """Reads them from the events table, whatever the log has.

    Args:
        names: those that the subscription asks for; None for all.
    """

    def __init__(self, *, bodies: EventBodies, names: Collection[str] | None) -> None:
        self._bodies = bodies
        self._names = names

    def between(
        self, stream_id: str, last: int, event_id: int, *, since_us: int
    ) -> Iterator[Event | MalformedItem]:
        """Read a stream's events behind `last` and before `event_id` that are asked for.

        Args:
            since_us: older ones aren't.

        Cost (DynamoDB): 1 request and 1 RCU for each 4 KB of each event, of up to 100; with `since_us` as
            many more as find the first event of that time by halving.
        """
        first = last + 1
        if since_us:
            first = first_true(first, event_id, lambda number: self._is_since(stream_id, number, since_us))
        for begin in range(first, event_id, READ_MAX_ADDRESSES):
            end = min(begin + READ_MAX_ADDRESSES, event_id)
            addresses = [(stream_id, number) for number in range(begin, end)]
            found = self._bodies.read_events(addresses)
            for address in addresses:
                event = found.get(address) or missing_item(*address)
                is_asked_for = isinstance(event, MalformedItem) or (
                    self._names is None or event.name in self._names
                )
                if is_asked_for:
                    yield event

    def _is_since(self, stream_id: str, event_id: int, since_us: int) -> bool:
        event = self._bodies.read_events([(stream_id, event_id)]).get((stream_id, event_id))
        return isinstance(event, Event) and event.timestamp_us >= since_us
