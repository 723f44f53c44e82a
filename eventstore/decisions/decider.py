"""A decision on an aggregate in your own classes: load, decide, append; done once for each command."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar, overload
from uuid import UUID

from eventstore._synchronous import check_finished, check_synchronous, name_of
from eventstore.decisions.codec import Codec, DomainEvent
from eventstore.decisions.command_uids import VISIBLE_TRIES, CommandUids, pause
from eventstore.decisions.execute import execute
from eventstore.errors import InvalidArgument, InvalidDecision, InvalidInput
from eventstore.events import Event, Head, NewEvent
from eventstore.store import EventStore

State = TypeVar("State")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Loaded(Generic[State]):
    """An aggregate as it was at a head; give it back to go on without reading its events again."""

    state: State
    head: Head


@dataclass(frozen=True, slots=True)
class Decided(Generic[Result, State, DomainEvent]):
    """What a decision has done."""

    result: Result | None
    """What `decide` returned beside its events; None when it returned none, or wasn't asked (`repeated`)."""
    state: State
    """The aggregate with all events, those of this decision included."""
    events: tuple[DomainEvent, ...]
    """What was decided, or what an earlier delivery of the command had decided; empty for nothing."""
    appended: tuple[Event, ...]
    """The same as they are stored."""
    head: Head
    tries: int
    """How often it was decided; more than 1 means that other writers came first, 0 that it was repeated."""
    repeated: bool
    """True when the command had been done before: `decide` wasn't called."""

    @property
    def loaded(self) -> Loaded[State]:
        """What the next decision can begin `at`."""
        return Loaded(self.state, self.head)


class Decider(Generic[State, DomainEvent]):
    """Decisions on one kind of aggregate.

    ::

        orders = Decider(initial=Order, evolve=Order.apply, codec=codec)
        paid = orders.transact(store, "order-1", lambda order: order.pay(card), command_id=request_id)
        order = orders.load(store, "order-1").state

    Args:
        initial: makes the aggregate before its first event.
        evolve: applies one event; has to give the same state for the same events.
        codec: the events' classes.

    Raises:
        InvalidArgument, InvalidInput, NotSynchronous: an argument that can't be used.
    """

    def __init__(
        self,
        *,
        initial: Callable[[], State],
        evolve: Callable[[State, DomainEvent], State],
        codec: Codec[DomainEvent],
    ) -> None:
        check_synchronous(initial, "initial", error=InvalidInput)
        check_synchronous(evolve, "evolve", error=InvalidInput)
        if not isinstance(codec, Codec):
            raise InvalidArgument("codec", f"has to be a Codec, not {type(codec).__name__}")
        self.initial: Final = initial
        self.evolve: Final = evolve
        self.codec: Final = codec

    def load(self, store: EventStore, stream_id: str, *, at: Loaded[State] | None = None) -> Loaded[State]:
        """Fold a stream; one without events is the initial state.

        Args:
            at: an earlier state, to read only what is new. Its event is read again, so that a table that was
                restored since is noticed.

        Raises:
            UnknownEventName, UndecodableEvent: an event that the codec doesn't know.
            HeadNotInStream: `at` isn't of the stream as it is now.
            And what `evolve` and `EventStore.read_stream` raise.

        Cost: one read of the stream, from `at`.
        """
        decided = self.transact(store, stream_id, lambda _: None, at=at)
        return decided.loaded

    @overload
    def transact(  # type: ignore[overload-overlap]  # a tuple of two events is no result and its events
        self,
        store: EventStore,
        stream_id: str,
        decide: Callable[[State], tuple[Result, Sequence[DomainEvent]]],
        *,
        command_id: str | UUID | None = None,
        metadata: Mapping[str, Any] | None = None,
        at: Loaded[State] | None = None,
        max_tries: int = 8,
    ) -> Decided[Result, State, DomainEvent]: ...

    @overload
    def transact(
        self,
        store: EventStore,
        stream_id: str,
        decide: Callable[[State], Sequence[DomainEvent] | None],
        *,
        command_id: str | UUID | None = None,
        metadata: Mapping[str, Any] | None = None,
        at: Loaded[State] | None = None,
        max_tries: int = 8,
    ) -> Decided[None, State, DomainEvent]: ...

    def transact(
        self,
        store: EventStore,
        stream_id: str,
        decide: Callable[[State], Any],
        *,
        command_id: str | UUID | None = None,
        metadata: Mapping[str, Any] | None = None,
        at: Loaded[State] | None = None,
        max_tries: int = 8,
    ) -> Decided[Any, State, DomainEvent]:
        """Decide on the stream's newest state and append, however many writers there are.

        Args:
            decide: checks the business conditions and returns the events as a list, or a result and the
                list; None or an empty list to do nothing. It raises your own error to refuse. It's called
                again after a conflict, so it must not have side effects.
            command_id: names the command, so that it's done once however often it's delivered, also when
                other events came in between. What was done is found while the stream is folded, at no further
                cost, and `decide` isn't called. Not with `at` behind the command's events, which aren't read.
            metadata: of each event, beside the ids of `correlation`.
            at: an earlier state, to read only what is new.
            max_tries: how often to decide at most.

        Raises:
            InvalidDecision: `decide` returned something else, or an event of none of the codec's classes;
                nothing was written.
            VersionConflict: still, after `max_tries`; nothing was written.
            And what `load` and `execute` raise.

        Cost: that of `execute`.
        """
        check_synchronous(decide, "decide", error=InvalidDecision)
        if at is not None and not isinstance(at, Loaded):
            raise InvalidArgument("at", f"has to be Loaded, as load returns it, not {type(at).__name__}")
        command = CommandUids(command_id, stream_id)
        work = _Work(self, command, decide, metadata)
        state, head = (at.state, at.head) if at else (self.begin(), None)
        for attempt in range(VISIBLE_TRIES):
            done = execute(
                store,
                stream_id,
                initial=state,
                fold=work.fold,
                decide=work.decide,
                at=head,
                max_tries=max_tries,
            )
            if done.events or not command.is_becoming_visible:
                appended = done.events or tuple(command.found)
                return Decided(
                    work.result,
                    done.state,
                    tuple(self.codec.decode(event) for event in appended),
                    appended,
                    done.head,
                    work.tries,
                    done.repeated or bool(command.found and not done.events),
                )
            state, head = done.state, done.head
            pause(attempt)
        raise command.not_visible()

    def fold(self, state: State, event: Event) -> State:
        """Apply a stored event."""
        state = self.evolve(state, self.codec.decode(event))
        check_finished(state, "evolve", function=self.evolve, may_be_function=True)
        return state

    def begin(self) -> State:
        """Make the aggregate before its first event."""
        state = self.initial()
        check_finished(state, "initial", function=self.initial, may_be_function=True)
        return state


class _Work(Generic[State, DomainEvent]):
    """One decision, between `execute` and the decider's own classes."""

    def __init__(
        self,
        decider: Decider[State, DomainEvent],
        command: CommandUids,
        decide: Callable[[State], Any],
        metadata: Mapping[str, Any] | None,
    ) -> None:
        self._decider = decider
        self._command = command
        self._decide = decide
        self._metadata = metadata
        self.result: Any = None
        self.tries = 0

    def fold(self, state: State, event: Event) -> State:
        self._command.look_at(event)
        return self._decider.fold(state, event)

    def decide(self, state: State) -> Sequence[NewEvent]:
        if self._command.found:
            return ()
        self.tries += 1
        self.result, events = _split(self._decide(state), self._decide)
        uids = self._command.uids(len(events))
        encode = self._decider.codec.encode
        return [
            encode(event, uid=uid, metadata=self._metadata) for event, uid in zip(events, uids, strict=True)
        ]


def _split(decision: object, decide: object) -> tuple[Any, Sequence[Any]]:
    """Take a decision apart: its result, if it has one, and its events."""
    check_finished(decision, "decide", function=decide)
    result: object = None
    if isinstance(decision, tuple) and len(decision) == 2 and isinstance(decision[1], (list, tuple)):
        result, decision = decision
    if decision is None:
        return result, ()
    if isinstance(decision, (str, bytes)) or not isinstance(decision, Sequence):
        what = f"{name_of(decide)} returned {decision!r:.80}"
        raise InvalidDecision("decide", f"{what}; return a list of events, or a result and a list of events")
    return result, decision
