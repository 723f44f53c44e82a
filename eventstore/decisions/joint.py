"""One decision over several aggregates: their events in one transaction, done once for each command."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, overload
from uuid import UUID

from eventstore._arguments import check_port, check_whole
from eventstore._synchronous import check_finished, check_synchronous, name_of
from eventstore.decisions.codec import DomainEvent
from eventstore.decisions.command_uids import VISIBLE_TRIES, CommandUids, pause
from eventstore.decisions.decider import Decider, Loaded, State
from eventstore.decisions.execute import Folded
from eventstore.errors import InvalidArgument, InvalidDecision, RepeatedStream, VersionConflict
from eventstore.events import Event, NewEvent, check_stream_id
from eventstore.store import Append, EventStore

Result = TypeVar("Result")
State2 = TypeVar("State2")
DomainEvent2 = TypeVar("DomainEvent2")


@dataclass(frozen=True, slots=True)
class DecidedPart(Generic[State, DomainEvent]):
    """What a decision over several aggregates has done to one of them."""

    loaded: Loaded[State]
    events: tuple[DomainEvent, ...]
    appended: tuple[Event, ...]
    """The same as they are stored."""

    @property
    def state(self) -> State:
        """The aggregate with all events, those of this decision included."""
        return self.loaded.state


@dataclass(frozen=True, slots=True)
class DecidedOver(Generic[Result]):
    """What a decision over several aggregates has done."""

    result: Result | None
    """What `decide` returned beside the events; None when it returned none, or wasn't asked (`repeated`)."""
    parts: tuple[DecidedPart[Any, Any], ...]
    """One for each aggregate, in their order."""
    tries: int
    repeated: bool
    """True when the command had been done before: `decide` wasn't called."""


@overload
def decide_over(  # type: ignore[overload-overlap]  # two lists are no result and its lists
    store: EventStore,
    first: tuple[Decider[State, DomainEvent], str],
    second: tuple[Decider[State2, DomainEvent2], str],
    /,
    *,
    decide: Callable[[State, State2], tuple[Result, tuple[Sequence[DomainEvent], Sequence[DomainEvent2]]]],
    command_id: str | UUID | None = None,
    metadata: Mapping[str, Any] | None = None,
    max_tries: int = 8,
) -> DecidedOver[Result]: ...


@overload
def decide_over(
    store: EventStore,
    first: tuple[Decider[State, DomainEvent], str],
    second: tuple[Decider[State2, DomainEvent2], str],
    /,
    *,
    decide: Callable[[State, State2], tuple[Sequence[DomainEvent], Sequence[DomainEvent2]] | None],
    command_id: str | UUID | None = None,
    metadata: Mapping[str, Any] | None = None,
    max_tries: int = 8,
) -> DecidedOver[None]: ...


@overload
def decide_over(
    store: EventStore,
    /,
    *aggregates: tuple[Decider[Any, Any], str],
    decide: Callable[..., Any],
    command_id: str | UUID | None = None,
    metadata: Mapping[str, Any] | None = None,
    max_tries: int = 8,
) -> DecidedOver[Any]: ...


def decide_over(
    store: EventStore,
    /,
    *aggregates: tuple[Decider[Any, Any], str],
    decide: Callable[..., Any],
    command_id: str | UUID | None = None,
    metadata: Mapping[str, Any] | None = None,
    max_tries: int = 8,
) -> DecidedOver[Any]:
    """Decide on the newest states of several aggregates, and append to all of their streams or to none.

    ::

        done = decide_over(
            store, (copies, "copy-1"), (members, "member-7"),
            decide=lambda copy, member: (copy.lend(member.id), member.borrow(copy.id)),
        )

    Args:
        aggregates: of each its decider and its stream.
        decide: is given the states in this order, and returns as many lists of events, in this order; or a
            result and these; or None to do nothing. It raises your own error to refuse. It's called again
            after a conflict in any of the streams, so it must not have side effects.
        command_id, metadata, max_tries: as of `Decider.transact`. A command belongs to these streams in this
            order.

    A stream for which the decision has no events was read, and isn't guarded: another writer may append to
    it meanwhile. Where that matters, append an event to it.

    Raises:
        InvalidDecision: `decide` returned something else; nothing was written.
        RepeatedStream: a stream stands among the aggregates twice.
        VersionConflict: still, after `max_tries`; nothing was written.
        And what `Decider.load` and `EventStore.transact` raise.

    Cost: one read of each stream, one transaction with known heads (of one stream alone an append); for each
    conflict what it costs, and a read of what is new in each stream.
    """
    check_port(store, EventStore, "store", only=("append", "read_stream", "transact"))
    check_whole(max_tries, "max_tries")
    check_synchronous(decide, "decide", error=InvalidDecision)
    _check(aggregates)
    streams = [stream_id for _, stream_id in aggregates]
    for look in range(VISIBLE_TRIES):
        # Anew each time: which of the streams has the rest isn't known.
        command = CommandUids(command_id, *streams)
        parts = [_Part(store, decider, stream_id, command) for decider, stream_id in aggregates]
        done = _run(store, parts, command, decide=decide, metadata=metadata, max_tries=max_tries)
        if done is not None:
            return done
        if look == VISIBLE_TRIES - 1:
            raise command.not_visible()
        pause(look)
    raise AssertionError("the last look returns or raises")


class _Part:
    """One of the aggregates."""

    def __init__(
        self, store: EventStore, decider: Decider[Any, Any], stream_id: str, command: CommandUids
    ) -> None:
        self.stream_id = stream_id
        self.decider = decider
        self._command = command
        self.folded: Folded[Any] = Folded(store, stream_id, decider.begin(), self._fold, None)

    def _fold(self, state: Any, event: Event) -> Any:
        self._command.look_at(event)
        return self.decider.fold(state, event)

    def add(self, appended: Sequence[Event]) -> DecidedPart[Any, Any]:
        """Fold what was appended, if anything; return what was done to it."""
        if appended:
            self.folded.add_all(appended)
        return self.done(appended)

    def done(self, appended: Sequence[Event]) -> DecidedPart[Any, Any]:
        """Return what was done to it."""
        events = tuple(self.decider.codec.decode(event) for event in appended)
        return DecidedPart(Loaded(self.folded.state, self.folded.head), events, tuple(appended))


def _run(
    store: EventStore,
    parts: Sequence[_Part],
    command: CommandUids,
    *,
    decide: Callable[..., Any],
    metadata: Mapping[str, Any] | None,
    max_tries: int,
) -> DecidedOver[Any] | None:
    """Decide and append; None when the command was found and is becoming visible."""
    for attempt in range(1, max_tries + 1):
        for part in parts:
            part.folded.read_on()
        if command.found:
            return _repeated(parts, command)
        result, decisions = _split(decide(*(part.folded.state for part in parts)), decide, len(parts))
        appends = _appends(parts, decisions, command, metadata)
        try:
            appended = _append(store, appends)
        except VersionConflict:
            if attempt == max_tries:
                raise
            pause(attempt - 1)
            continue
        done = tuple([part.add(appended.get(part.stream_id, ())) for part in parts])
        return DecidedOver(result, done, attempt, repeated=False)
    raise AssertionError("the last try returns or raises")


def _repeated(parts: Sequence[_Part], command: CommandUids) -> DecidedOver[Any] | None:
    """Return what the command did before; None when that is becoming visible."""
    if command.is_becoming_visible:
        return None
    done = tuple(
        part.done([event for event in command.found if event.stream_id == part.stream_id]) for part in parts
    )
    return DecidedOver(None, done, 0, repeated=True)


def _append(store: EventStore, appends: Sequence[Append]) -> dict[str, tuple[Event, ...]]:
    if not appends:
        return {}
    if len(appends) == 1:
        (one,) = appends
        return {one.stream_id: store.append(one.stream_id, one.events, expected=one.expected).events}
    return {done.stream_id: done.events for done in store.transact(appends)}


def _appends(
    parts: Sequence[_Part],
    decisions: Sequence[Sequence[Any]],
    command: CommandUids,
    metadata: Mapping[str, Any] | None,
) -> list[Append]:
    uids = iter(command.uids(sum(map(len, decisions))))
    appends = []
    for part, events in zip(parts, decisions, strict=True):
        encode = part.decider.codec.encode
        new: tuple[NewEvent, ...] = tuple(
            encode(event, uid=uid, metadata=metadata) for event, uid in zip(events, uids, strict=False)
        )
        if new:
            appends.append(Append(part.stream_id, new, part.folded.head))
    return appends


def _split(decision: object, decide: object, count: int) -> tuple[Any, Sequence[Sequence[Any]]]:
    """Take a decision apart: its result, if it has one, and the events of each stream."""
    check_finished(decision, "decide", function=decide)
    result: object = None
    if isinstance(decision, tuple) and len(decision) == 2 and _are_lists(decision[1], count):
        result, decision = decision
    if decision is None:
        return result, [()] * count
    if not _are_lists(decision, count):
        what = f"{name_of(decide)} returned {decision!r:.80}"
        repair = f"return {count} lists of events, or a result and these"
        raise InvalidDecision("decide", f"{what}; {repair}")
    lists: Any = decision
    return result, lists


def _are_lists(value: object, count: int) -> bool:
    return (
        isinstance(value, (list, tuple))
        and len(value) == count
        and all(isinstance(one, (list, tuple)) for one in value)
    )


def _check(aggregates: Sequence[object]) -> None:
    if not aggregates:
        raise InvalidArgument("aggregates", "there is none; give a decider and a stream id for each")
    seen: list[str] = []
    for index, one in enumerate(aggregates):
        is_pair = isinstance(one, tuple) and len(one) == 2 and isinstance(one[0], Decider)
        if not is_pair:
            what = f"is {one!r:.80}; it has to be a Decider and a stream id"
            raise InvalidArgument(f"aggregates[{index}]", what)
        stream_id = check_stream_id(one[1], field=f"aggregates[{index}]")  # type: ignore[index]
        if stream_id in seen:
            raise RepeatedStream(f"aggregates[{index}]", f"is stream {stream_id!r} again")
        seen.append(stream_id)
