"""Parked events, given to their handler again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from eventstore.errors import MalformedItem
from eventstore.events import Event
from eventstore.subscriptions.attempts import Attempts, Behind, Done
from eventstore.subscriptions.checkpoints import Checkpoints, ParkedEvent
from eventstore.subscriptions.missing import MissingEvents
from eventstore.subscriptions.terms import OnFailure
from eventstore.subscriptions.tranche_reader import EventBodies


@dataclass(frozen=True, slots=True)
class Retried:
    """What became of parked events that were tried again."""

    handled: int
    still_parked: int


def retry(
    subscription: str,
    *,
    checkpoints: Checkpoints,
    bodies: EventBodies,
    missing: MissingEvents,
    attempts: Attempts,
    on_failure: OnFailure,
) -> Retried:
    """Try every parked event again; see `Subscription.retry_parked`."""
    tries = _Tries(
        subscription,
        checkpoints=checkpoints,
        missing=missing,
        attempts=attempts,
        on_failure=on_failure,
    )
    freed: list[ParkedEvent] | None = None
    # What workers park behind an event before it's unparked is there at the next look, at its stream alone.
    while freed is None or freed:
        again: dict[str, ParkedEvent] = {}
        for parked in _looked_at(checkpoints, subscription, freed):
            if tries.of(parked, bodies):
                again[parked.stream_id] = parked
        if on_failure is OnFailure.PARK:
            break  # nothing is parked behind an event then
        freed = [of for of in again.values() if of.stream_id not in tries.behind]
    return Retried(tries.handled, tries.still_parked)


def _looked_at(
    checkpoints: Checkpoints, subscription: str, freed: Iterable[ParkedEvent] | None
) -> Iterator[ParkedEvent]:
    """Read all that is parked, or of the streams of some events."""
    if freed is None:
        yield from checkpoints.read_parked(subscription)
    for of in freed or ():
        yield from checkpoints.read_parked(subscription, stream_of=of)


class _Tries:
    """Tries events, what a projection misses before them first."""

    def __init__(
        self,
        subscription: str,
        *,
        checkpoints: Checkpoints,
        missing: MissingEvents,
        attempts: Attempts,
        on_failure: OnFailure,
    ) -> None:
        self._subscription = subscription
        self._checkpoints = checkpoints
        self._missing = missing
        self._attempts = attempts
        self._on_failure = on_failure
        self.handled = self.still_parked = 0
        self.behind: set[str] = set()
        """The streams of which an event has failed again, so that the later ones wait for it."""

    def of(self, parked: ParkedEvent, bodies: EventBodies) -> bool:
        """Try a parked event unless it waits; unpark it, and tell so, when it's handled."""
        is_handled = parked.stream_id not in self.behind and self._is_handled(parked, bodies)
        if is_handled:
            self._checkpoints.unpark(self._subscription, parked)
            self.handled += 1
        else:
            self.still_parked += 1
            if self._on_failure is not OnFailure.PARK:
                self.behind.add(parked.stream_id)
        return is_handled

    def _is_handled(self, parked: ParkedEvent, bodies: EventBodies) -> bool:
        address = parked.stream_id, parked.event_id
        event = bodies.read_events([address]).get(address)
        return isinstance(event, Event) and self._is_done(event, after=event.event_id - 1)

    def _is_done(self, event: Event, *, after: int) -> bool:
        """Try an event, behind what a projection misses before it."""
        outcome = self._attempts.make(event, after=after, keep=lambda: True)
        if not isinstance(outcome, Behind):
            return isinstance(outcome, Done)
        last = outcome.last
        since_us = self._since_us()
        for earlier in self._missing.between(event.stream_id, last, event.event_id, since_us=since_us):
            if isinstance(earlier, MalformedItem) or not self._is_done(earlier, after=last):
                return False
        return self._is_done(event, after=last)

    def _since_us(self) -> int:
        leases = self._checkpoints.read_group(self._subscription).leases.values()
        return max((lease.since_us for lease in leases), default=0)
