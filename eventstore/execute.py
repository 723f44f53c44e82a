"""The writer's loop: load, decide, append; on a conflict read only what is new, decide again."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from eventstore.errors import InvalidDecision, InvalidInput, VersionConflict
from eventstore.events import Event, Head, NewEvent
from eventstore.store import EventStore
from eventstore.synchronous import check_finished, check_synchronous, name_of

State = TypeVar("State")


@dataclass(frozen=True, slots=True)
class Executed(Generic[State]):
    """What `execute` has done."""

    state: State
    """The aggregate with all events folded, those of this append included."""
    head: Head
    """Where the stream is now; give it and the state back to go on without reading them again."""
    events: tuple[Event, ...]
    """What was appended; empty when there was nothing to do."""
    tries: int
    """How often it was decided; more than 1 means that other writers came first."""


def execute(
    store: EventStore,
    stream_id: str,
    *,
    initial: State,
    fold: Callable[[State, Event], State],
    decide: Callable[[State], Sequence[NewEvent] | None],
    at: Head | None = None,
    max_tries: int = 8,
    backoff_s: float = 0.02,
    sleep: Callable[[float], None] = time.sleep,
    jitter: Callable[[], float] = random.random,
) -> Executed[State]:
    """Decide on the stream's newest state and append, however many writers there are.

    Args:
        initial: the aggregate before its first event, or as it was at `at`.
        fold: applies one event to the aggregate; has to give the same state for the same events.
        decide: checks the business conditions and returns the events to append as a list or tuple, an
            empty one or None to do nothing; raises your own error to refuse. It's called again after a
            conflict, so it must not have side effects.
        at: the head up to which `initial` is already folded (a snapshot, or an earlier `Executed`).
        max_tries: how often to decide at most.
        backoff_s: the longest pause before the second try, in seconds; it doubles with each try.

    Raises:
        NotSynchronous: `fold` or `decide` is async or a generator, or returns work that's still to be done;
            nothing was written.
        InvalidDecision: `decide` returned no sequence of new events; nothing was written.
        VersionConflict: still, after `max_tries`; nothing was written.
        And what `decide`, `fold` and `EventStore.append` raise.

    Cost: one read of the stream (from `at`), one append with a known head; for each conflict what
    the append's conflict costs, and one read of the new events alone.
    """
    check_synchronous(fold, "fold", error=InvalidInput)
    check_synchronous(decide, "decide", error=InvalidDecision)
    fold, state = _folding(fold), initial
    head = at or Head(stream_id, 0, 0)
    for attempt in range(1, max_tries + 1):
        for event in store.read_stream(stream_id, from_version=head.version + 1):
            state, head = fold(state, event), event.head
        new_events = _decided(decide(state), decide)
        if not new_events:
            return Executed(state, head, (), attempt)
        try:
            appended = store.append(stream_id, new_events, expected=head)
        except VersionConflict:
            if attempt == max_tries:
                raise
            sleep(backoff_s * 2 ** (attempt - 1) * jitter())
            continue
        for event in appended.events:
            state = fold(state, event)
        return Executed(state, appended.head, appended.events, attempt)
    raise ValueError(f"max_tries is {max_tries}; it has to be at least 1")


def _folding(fold: Callable[[State, Event], State]) -> Callable[[State, Event], State]:
    """Return the fold with a check of its states: of each type once."""
    checked: set[type] = set()

    def fold_checked(state: State, event: Event) -> State:
        state = fold(state, event)
        if type(state) not in checked:
            at = f"event {event.event_id} of stream {event.stream_id!r}"
            check_finished(state, "fold", function=fold, at=at)
            checked.add(type(state))
        return state

    return fold_checked


def _decided(decision: object, decide: object) -> Sequence[NewEvent]:
    check_finished(decision, "decide", function=decide)
    if decision is None:
        return ()
    if isinstance(decision, NewEvent):
        raise _no_decision("decide", decision, decide, "one event; return a list, such as [event]")
    if isinstance(decision, (str, bytes)) or not isinstance(decision, Sequence):
        raise _no_decision("decide", decision, decide, "return a list of NewEvent, an empty one for none")
    for index, event in enumerate(decision):
        if not isinstance(event, NewEvent):
            raise _no_decision(f"decide[{index}]", event, decide, "it has to be a NewEvent")
    return decision


def _no_decision(field: str, value: object, decide: object, repair: str) -> InvalidDecision:
    return InvalidDecision(field, f"{name_of(decide)} returned {value!r:.80}; {repair}")
