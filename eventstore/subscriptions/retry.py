"""Parked events, given to their handler again."""

from __future__ import annotations

from dataclasses import dataclass

from eventstore.events import Event
from eventstore.subscriptions.attempts import Attempts, Done, Failure
from eventstore.subscriptions.checkpoints import Checkpoints
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
    attempts: Attempts,
    on_failure: OnFailure,
) -> Retried:
    """Try every parked event again; see `Subscription.retry_parked`."""
    handled = still_parked = 0
    behind: set[str] = set()
    for parked in checkpoints.read_parked(subscription):
        if parked.stream_id in behind:
            still_parked += 1
            continue
        address = parked.stream_id, parked.event_id
        event = bodies.read_events([address]).get(address)
        outcome: Done | Failure = Failure("the item is missing or damaged")
        if isinstance(event, Event):
            outcome = attempts.make(event, keep=lambda: True)
        if isinstance(outcome, Failure):
            still_parked += 1
            if on_failure is not OnFailure.PARK:
                behind.add(parked.stream_id)
        else:
            checkpoints.unpark(subscription, parked)
            handled += 1
    return Retried(handled, still_parked)
