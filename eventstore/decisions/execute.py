"""The writer's loop: load, decide, append; on a conflict read only what is new, decide again."""

from __future__ import annotations

import random
import time
from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from eventstore._arguments import check_functions, check_number, check_port, check_whole
from eventstore._backoff import Backoff
from eventstore._repeats import Wanted, settle_visible
from eventstore._synchronous import check_finished, check_synchronous, name_of
from eventstore.errors import HeadNotInStream, InvalidDecision, InvalidInput, VersionConflict
from eventstore.events import Event, Head, NewEvent, check_head
from eventstore.limits import TRANSACTION_MAX_EVENTS
from eventstore.store import Append, EventStore

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
    repeated: bool = False
    """True when `events` had been appended before, by an earlier call with the same uids."""


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
        at: the head up to which `initial` is already folded (a snapshot, or an earlier `Executed`). Its
            event is read again, so that a table that was restored since is noticed.
        max_tries: how often to decide at most.
        backoff_s: the longest pause before the second try, in seconds; it doubles with each try.

    A command that is delivered again is done once when `decide` gives its events the same uids each time:
    what was decided is looked for among the events that were read, before anything is written.

    Raises:
        InvalidArgument, InvalidLimit: an argument that can't be used; nothing was read.
        NotSynchronous: `fold` or `decide` is async or a generator, or returns work that's still to be done;
            nothing was written.
        InvalidDecision: `decide` returned no sequence of new events; nothing was written.
        VersionConflict: still, after `max_tries`; nothing was written.
        InvalidExpectedVersion: `at` is no head of this stream; nothing was read.
        HeadNotInStream: `at` isn't an event of the stream as it is now; nothing was decided.
        PartlyAppended, EventUidReused: as of `EventStore.append`.
        And what `decide`, `fold` and `EventStore.append` raise.

    Cost: one read of the stream (from `at`, its own event included), one append with a known head; for each
    conflict what the append's conflict costs, and one read of the new events alone; for a repetition one
    read of its events, and some more where it's just becoming visible or known in part. Memory: 8 bytes for
    each event that was read, and the state.
    """
    check_port(store, EventStore, "store", only=("append", "read_stream"))
    check_whole(max_tries, "max_tries")
    check_number(backoff_s, "backoff_s")
    check_functions(sleep=sleep, jitter=jitter)
    check_synchronous(fold, "fold", error=InvalidInput)
    check_synchronous(decide, "decide", error=InvalidDecision)
    if at is not None:
        check_head(at, stream_id, field="at")
    folded = Folded(store, stream_id, initial, _folding(fold), at)
    for attempt in range(1, max_tries + 1):
        folded.read_on()
        new_events = _decided(decide(folded.state), decide)
        if not new_events:
            return Executed(folded.state, folded.head, (), attempt)
        stored = folded.stored(new_events, sleep=sleep, jitter=jitter)
        if stored:
            folded.add_all(stored)
            return Executed(folded.state, folded.head, stored, attempt, repeated=True)
        try:
            appended = store.append(stream_id, new_events, expected=folded.head)
        except VersionConflict:
            if attempt == max_tries:
                raise
            sleep(Backoff(backoff_s).pause_s(attempt, jitter=jitter()))
            continue
        folded.add_all(appended.events)
        return Executed(folded.state, folded.head, appended.events, attempt, appended.repeated)
    raise AssertionError("the last try returns or raises")


class Folded(Generic[State]):
    """An aggregate and what was folded into it."""

    def __init__(
        self,
        store: EventStore,
        stream_id: str,
        initial: State,
        fold: Callable[[State, Event], State],
        at: Head | None,
    ) -> None:
        self.state = initial
        self.head = at or Head(stream_id, 0, 0)
        self._store = store
        self._fold = fold
        self._is_head_seen = not self.head.version
        # Of each event that was read the hash of its uid: 8 bytes, by which it's found again.
        self._first_id = max(1, self.head.version)
        self._uids = array("q")

    def add(self, event: Event) -> None:
        """Fold the next event."""
        self.state, self.head = self._fold(self.state, event), event.head
        self._uids.append(hash(event.uid))

    def add_all(self, events: Sequence[Event]) -> None:
        """Fold events that are known to stand in the stream, one behind the other, and all before them.

        Some may be folded already: a read meets a transaction that is just becoming visible in part.
        """
        if events[0].event_id > self.head.version + 1:
            self.read_on()  # an earlier call had appended them, and others stand before them
        for event in events:
            if event.event_id > self.head.version:
                self.add(event)

    def read_on(self) -> None:
        """Fold what is new; at first the head's own event is read with it, and compared."""
        stream_id, version = self.head.stream_id, self.head.version
        events = self._store.read_stream(stream_id, from_version=version + self._is_head_seen)
        if not self._is_head_seen:
            first = next(events, None)
            if first is None or first.head != self.head:
                raise HeadNotInStream(stream_id=stream_id, version=version)
            self._is_head_seen = True
            self._uids.append(hash(first.uid))
        for event in events:
            self.add(event)

    def stored(
        self,
        new_events: Sequence[NewEvent],
        *,
        sleep: Callable[[float], object],
        jitter: Callable[[], float],
    ) -> tuple[Event, ...] | None:
        """Return the events that were decided when they are among those that were read: a repetition."""
        uids = [event.uid for event in new_events if event.uid]
        if len(set(uids)) < len(new_events) or len(uids) > TRANSACTION_MAX_EVENTS:
            return None  # no repetition: without uids, or what the append refuses
        wanted = Wanted(Append(self.head.stream_id, tuple(new_events), self.head), uids)
        self._look_for(wanted)
        if not wanted.seen:
            return None
        return settle_visible([wanted], self._read_range, sleep=sleep, jitter=jitter)[0]

    def _look_for(self, wanted: Wanted) -> None:
        """Read again what has the hash of a wanted uid, and look at it."""
        hashes = set(map(hash, wanted.uids))
        for event_id in [self._first_id + index for index, uid in enumerate(self._uids) if uid in hashes]:
            if event_id not in wanted.seen:
                for event in self._read_range(self.head.stream_id, event_id, event_id + len(wanted.uids) - 1):
                    wanted.look_at(event)

    def _read_range(self, stream_id: str, first: int, last: int) -> Iterator[Event]:
        return self._store.read_stream(stream_id, from_version=first, to_version=last)


def _folding(fold: Callable[[State, Event], State]) -> Callable[[State, Event], State]:
    """Return the fold with a check of its states: of each type once."""
    checked: set[type] = set()

    def fold_checked(state: State, event: Event) -> State:
        state = fold(state, event)
        if type(state) not in checked:
            at = f"event {event.event_id} of stream {event.stream_id!r}"
            check_finished(state, "fold", function=fold, at=at, may_be_function=True)
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
