"""What becomes of each event: handled, or after all tries skipped, parked, or the end of its worker."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, assert_never

from eventstore.errors import HandlerFailed, MalformedItem, TransientError
from eventstore.events import Event
from eventstore.log.model import ClosedBlocks
from eventstore.subscriptions.attempts import Attempts, Behind, Called, Done, Failure, is_interrupt
from eventstore.subscriptions.checkpoints import ParkedEvent
from eventstore.subscriptions.held import Held
from eventstore.subscriptions.keeper import Keeper
from eventstore.subscriptions.membership import Membership
from eventstore.subscriptions.missing import MissingEvents
from eventstore.subscriptions.terms import OnFailure, Terms
from eventstore.subscriptions.tranche_reader import Turn

_LOGGER: Final = logging.getLogger("eventstore.subscriptions")


@dataclass(slots=True)
class Counts:
    """What a worker has done with the events that it was given."""

    handled: int = 0
    repeated: int = 0
    """Of the handled ones those that a `Projection` had taken before: they changed nothing."""
    skipped: int = 0
    parked: int = 0
    closed_blocks: int = 0
    """Blocks of the log that were lost and closed, and that it has passed."""


class Handling:
    """Gives events to a handler, and does with those that fail what `OnFailure` says.

    Args:
        keeper: keeps the worker's leases while the handler is at work.
        missing: reads what a projection misses.
        still_holds: keeps the worker's leases, and tells whether a tranche is still to be gone on with.
        now_us: microseconds since 1970, UTC.
    """

    def __init__(
        self,
        subscription: str,
        *,
        attempts: Attempts,
        keeper: Keeper,
        missing: MissingEvents,
        membership: Membership,
        on_failure: OnFailure,
        terms: Terms,
        still_holds: Callable[[int, Held], bool],
        now_us: Callable[[], int],
    ) -> None:
        self._subscription = subscription
        self._attempts = attempts
        self._keeper = keeper
        self._missing = missing
        self._membership = membership
        self._on_failure = on_failure
        self._terms = terms
        self._still_holds = still_holds
        self._now_us = now_us
        self._repeated_in_a_row = 0
        self._is_repetition_told = False
        self.counts = Counts()

    def handle(
        self,
        tranche: int,
        held: Held,
        event: Event | MalformedItem,
        *,
        after: int,
        ahead: Callable[[], Called | None] = lambda: None,
    ) -> bool:
        """Handle an event, or decide what becomes of it; False when it's left for the next owner or run.

        Args:
            after: all events of its stream behind this EventId are handled, or not asked for.
            ahead: waits for its first call, if that has begun before.
        """
        return self._handle(tranche, held, event, held.handled_after(event.stream_id, after), ahead=ahead)

    def after(self, held: Held, turn: Turn) -> int | None:
        """Return for a call before an event's turn what `HandlerCall.after` is; None when it has to wait.

        It waits while a worker may have died of this event or one before it: then it's stored as begun first.
        """
        event = turn.event
        if event is None or held.suspects or held.ended or event.stream_id in held.blocked:
            return None
        return held.handled_after(event.stream_id, turn.after)

    def pass_closed(self, closed: ClosedBlocks) -> None:
        """Count blocks that were lost, and say so."""
        self.counts.closed_blocks += closed.last - closed.first + 1
        _LOGGER.warning(
            "subscription %s: blocks %d to %d of the log's tranche %d were lost and are closed; their events "
            "come when `eventstore verify --repair` has logged them again",
            self._subscription,
            closed.first,
            closed.last,
            closed.tranche,
        )

    def _handle(
        self,
        tranche: int,
        held: Held,
        event: Event | MalformedItem,
        after: int,
        *,
        ahead: Callable[[], Called | None] = lambda: None,
    ) -> bool:
        blocked = held.blocked.get(event.stream_id)
        if blocked and event.event_id > blocked[0]:
            first, last = blocked
            failure = Failure(f"behind event {first} of its stream, which is parked")
            is_parked = self._park(tranche, held, event, failure, behind=last)
            if is_parked is not False:
                return is_parked is True
            # What was parked last is handled, by a retry: so is all before it.
            del held.blocked[event.stream_id]
        outcome: Done | Failure | Behind | None = Failure(str(event))
        if isinstance(event, Event):
            outcome = self._try(tranche, held, event, after, ahead=ahead)
        if outcome is None:
            return False
        if isinstance(outcome, Behind):
            return self._catch_up(tranche, held, event, outcome.last)
        if isinstance(outcome, Done):
            self._count(held, event, outcome)
            return True
        if not self._still_holds(tranche, held):
            return False
        is_given_up = self._give_up(tranche, held, event, outcome)
        held.end(event)
        return is_given_up

    def _catch_up(self, tranche: int, held: Held, event: Event | MalformedItem, last: int) -> bool:
        """Handle what a projection misses before an event, and then the event."""
        missing = self._missing.between(event.stream_id, last, event.event_id, since_us=held.since_us)
        for earlier in missing:
            if not self._still_holds(tranche, held) or not self._handle(tranche, held, earlier, last):
                return False
        return self._handle(tranche, held, event, last)

    def _try(
        self, tranche: int, held: Held, event: Event, after: int, *, ahead: Callable[[], Called | None]
    ) -> Done | Failure | Behind | None:
        """Give an event to the handler; None when its lease is lost, and it wasn't."""
        earlier = held.starts_of(event)
        if earlier >= self._terms.max_starts:
            return Failure(
                f"{earlier} workers ended while they handled it: killed, out of memory, by SystemExit, "
                "or since it took longer than call_s"
            )
        is_noted = bool(held.suspects or earlier)
        if is_noted and not self._begin(tranche, held, event):
            return None
        try:
            outcome = self._attempts.make(
                event,
                after=after,
                keep=lambda: self._still_holds(tranche, held),
                beside=self._keeper.beside,
                ahead=ahead,
            )
        except BaseException as error:
            _interrupt(held, event, error)
            if is_noted and isinstance(error, TransientError):
                self._take_back(tranche, event)
            raise
        if isinstance(outcome, Behind):
            held.interrupt()
            return outcome
        # An event that waits is begun again and again, and still is one.
        held.suspects = max(0, held.suspects - 1)
        held.end(event)
        return outcome

    def _begin(self, tranche: int, held: Held, event: Event) -> bool:
        """Store that an event is begun: what ends a worker at once leaves no other trace.

        Returns False when the lease is lost.
        """
        held.begin(event)
        try:
            is_held = self._membership.store(tranche)
        except BaseException:
            held.interrupt()
            raise
        held.unstored = 0
        return is_held

    def _take_back(self, tranche: int, event: Event) -> None:
        """Store that an event isn't begun: the worker waits now, and if it ends it's not by the event."""
        if tranche not in self._membership.leases:
            return
        try:
            self._membership.store(tranche)
        except TransientError as error:
            _LOGGER.warning(
                "subscription %s: event %s of %s counts as begun until the next write: %s",
                self._subscription,
                event.event_id,
                event.stream_id,
                error,
            )

    def _count(self, held: Held, event: Event | MalformedItem, done: Done) -> None:
        self.counts.handled += 1
        self.counts.repeated += done.is_repeated
        self._repeated_in_a_row = self._repeated_in_a_row + 1 if done.is_repeated else 0
        # A worker's death explains as many repeats as lie between two checkpoints, and only of its successor.
        is_explained = not held.is_first_owner and self._repeated_in_a_row <= self._terms.checkpoint_events
        if not done.is_repeated or is_explained or self._is_repetition_told:
            return
        self._is_repetition_told = True
        _LOGGER.warning(
            "subscription %s: its projection has taken event %s of %s before, so it changes nothing, nor do "
            "others like it. To build a read model anew, give the Projection a new name, too",
            self._subscription,
            event.event_id,
            event.stream_id,
        )

    def _give_up(self, tranche: int, held: Held, event: Event | MalformedItem, failure: Failure) -> bool:
        if self._on_failure is OnFailure.STOP:
            # Who runs it again has repaired it: the event is to be begun then.
            held.end(event)
            raise HandlerFailed(
                subscription=self._subscription,
                stream_id=event.stream_id,
                event_id=event.event_id,
                reason=failure.reason,
                traceback=failure.traceback,
            ) from failure.error
        if self._on_failure is OnFailure.SKIP:
            self.counts.skipped += 1
            self._tell("skipped", event, failure)
            return True
        if self._on_failure is OnFailure.PARK_STREAM:
            return self._park(tranche, held, event, failure) is True
        if self._on_failure is OnFailure.PARK:
            return self._park(tranche, held, event, failure) is True
        assert_never(self._on_failure)

    def _park(
        self,
        tranche: int,
        held: Held,
        event: Event | MalformedItem,
        failure: Failure,
        *,
        behind: int | None = None,
    ) -> bool | None:
        """Put an event aside; None when the lease is lost, False when `behind` isn't parked any more."""
        parked = ParkedEvent(
            tranche, event.stream_id, event.event_id, failure.reason, self._now_us(), failure.traceback
        )
        is_parked = self._membership.park(parked, behind=behind)
        if not is_parked:
            return is_parked
        # Not before: a stream waits for what is stored, and for nothing else.
        held.parked[event.stream_id] = event.event_id
        if self._on_failure is OnFailure.PARK_STREAM:
            first, last = held.blocked.get(event.stream_id, (event.event_id, 0))
            held.blocked[event.stream_id] = min(first, event.event_id), max(last, event.event_id)
        self.counts.parked += 1
        self._tell("parked", event, failure)
        return True

    def _tell(self, what: str, event: Event | MalformedItem, failure: Failure) -> None:
        _LOGGER.warning(
            "%s event %s of %s: %s",
            what,
            event.event_id,
            event.stream_id,
            failure.reason,
            # Logging would fail as the text of the traceback did.
            exc_info=failure.error if failure.traceback else None,
        )


def _interrupt(held: Held, event: Event, error: BaseException) -> None:
    """Note on what is held whether an error stops the work on an event, or ends the worker by it."""
    if isinstance(error, Exception) or is_interrupt(error):
        held.is_first_owner = False
        held.interrupt()
    else:
        held.die(event)
