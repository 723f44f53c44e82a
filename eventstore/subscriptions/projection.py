"""A projection: a read model that takes each event once, however often its handler is called."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Final, Generic, Protocol, TypeVar

from eventstore._arguments import check_port, is_whole
from eventstore._synchronous import check_finished, check_synchronous, name_of
from eventstore.errors import EventsMissing, InvalidSubscription, ReadModelRefused
from eventstore.events import Event
from eventstore.subscriptions.terms import check_subscription_name
from eventstore.subscriptions.values import KeyValue
from eventstore.subscriptions.writes import Write

WriteT = TypeVar("WriteT")
WriteT_contra = TypeVar("WriteT_contra", contravariant=True)


class ReadModel(Protocol[WriteT_contra]):
    """Where a projection writes."""

    def write(
        self, writes: Sequence[WriteT_contra], *, projection: str, event: Event, after: int
    ) -> int | None:
        """Write all of it together with the stream's last EventId if it's the event's turn, or nothing.

        It's its turn while the last EventId is `after` or higher, and lower than its own. A stream of which
        nothing was written has 0.

        Args:
            writes: what to write, at most 99; none just moves the last EventId.
            projection: under which name the last EventIds are kept.
            after: the stream's events behind this one and before `event` aren't to be written.

        Returns:
            None when it was written. Else the last EventId: the event's or a higher one when it was written
            before, one below `after` when earlier events are still to be written.

        Raises:
            ReadModelRefused: a write can't be done, or its own condition failed; nothing was written.
            StoreUnavailable: not known whether it was written; the same again is harmless.
            MalformedSubscriptionItem: the last EventId's item was changed by somebody; nothing was written.

        Cost (DynamoDB): 1 transaction; 2 WCU a KB of each write, and 2 for the stream's last EventId.
        """
        ...


class ItemReadModel(ReadModel[Write], Protocol):
    """A read model of items in tables, which can be read back: `MemoryReadModel`, `DynamoDBReadModel`.

    Values come back in one form: whole numbers as int, others as Decimal, without zeros at their end; tuples
    as lists. Which tables there are, and with which keys, is up to whoever deploys them.
    """

    def get(self, table: str, key: Mapping[str, KeyValue]) -> dict[str, Any] | None:
        """Read an item, with its key; None when it isn't there.

        Args:
            table: the table's name.
            key: the names and values of its partition key and, if it has one, its sort key.

        Raises:
            InvalidInput: the key isn't one of this table.
            StoreUnavailable: DynamoDB can't be reached.

        Consistency: strong: what was written before the call is there.
        Cost (DynamoDB): 1 request, 1 RCU for each 4 KB of the item, at least 1.
        """
        ...

    def items(self, table: str) -> Iterator[dict[str, Any]]:
        """Read all items of a table, with their keys, in any order: for tests and small tables.

        Raises:
            StoreUnavailable: DynamoDB can't be reached.

        Consistency: strong for each item; items that change meanwhile may come as before or after it.
        Cost (DynamoDB): 1 RCU for each 4 KB of the table, and 1 request for each MB.
        """
        ...


@dataclass(slots=True)
class HandlerCall:
    """One event given to a handler: what projections that it calls, whatever is around them, note."""

    address: tuple[str, int]
    parks_alone: bool
    """Later events are handled behind one that has failed, which no projection takes then."""
    after: int
    """All events of its stream behind this EventId and before its own were given to the handler, or aren't
    asked for."""
    is_repeated: bool = False
    """A projection had taken the event before."""
    behind: int | None = None
    """The lowest EventId at which a projection stands that was called and misses events between."""
    is_out_of_order: bool = False
    """A projection was called, though `parks_alone`; it has refused to write."""


CALL: Final[ContextVar[HandlerCall | None]] = ContextVar("eventstore.subscriptions.CALL", default=None)
"""The call of a handler that this thread is in."""


class Projection(Generic[WriteT]):
    """A handler that projects each event into a read model, effectively once and each stream in order.

    Args:
        name: the projection's; under it the streams' last EventIds are kept. A new name starts anew.
        project: what to write for an event: `Put`, `Update` and `Delete` run unchanged in memory and on
            DynamoDB. It may be called again for an event that was projected before;
            what it writes then is thrown away, so it should do nothing but return its writes.
        read_model: where they are written.

    The last EventId of the event's stream is written in the same transaction, under the condition that it was
    the one before, or that none between is asked for. So a repeat, and a worker that goes on after it has
    lost its lease, change nothing, and an event that comes too early is refused: a worker then gives its
    handler what is missing first, whatever the log's order. Called without a worker, or in another thread
    than its handler's, a projection takes a stream's events one after the other, and none may be left out.

    Raises:
        InvalidSubscriptionName: the name isn't fit for one.
        InvalidSubscription, NotSynchronous: `project` is no plain function.
        InvalidArgument, NotSynchronous: the read model has no `write` that is one.
    """

    def __init__(
        self, *, name: str, project: Callable[[Event], Sequence[WriteT]], read_model: ReadModel[WriteT]
    ) -> None:
        self.name = check_subscription_name(name)
        check_synchronous(project, "project", error=InvalidSubscription)
        check_port(read_model, ReadModel, "read_model")
        self._project = project
        self._read_model = read_model

    def __call__(self, event: Event) -> bool:
        """Project one event; False when it, or a later one of its stream, was projected before.

        Raises:
            EventsMissing: it isn't the event's turn yet; nothing was written. A worker deals with it.
            NotSynchronous: `project` returned work that's still to be done; nothing was written.
            InvalidSubscription: it's called for a subscription with `OnFailure.PARK`.
            And what `ReadModel.write` raises; its cost stands there, too.
        """
        call = CALL.get()
        if call and call.parks_alone:
            call.is_out_of_order = True
            raise parked_alone()
        at = f"event {event.event_id} of stream {event.stream_id!r}"
        writes: object = self._project(event)
        check_finished(writes, "project", function=self._project, at=at)
        if isinstance(writes, (str, bytes)) or not isinstance(writes, Sequence):
            told = (
                f"{name_of(self._project)} returned {writes!r:.80}; return a list of writes, empty for none"
            )
            raise ReadModelRefused(stream_id=event.stream_id, event_id=event.event_id, reason=told)
        own = call if call and call.address == (event.stream_id, event.event_id) else None
        after = own.after if own else event.event_id - 1
        last: object = self._read_model.write(writes, projection=self.name, event=event, after=after)
        check_finished(last, "read_model.write", function=self._read_model.write, at=at)
        if last is None:
            return True
        if not is_whole(last):
            told = f"{name_of(self._read_model.write)} returned {last!r:.80}; return None or the last EventId"
            raise ReadModelRefused(stream_id=event.stream_id, event_id=event.event_id, reason=told)
        if last >= event.event_id:
            if own:
                own.is_repeated = True
            return False
        if last >= after:
            told = f"{name_of(self._read_model.write)} returned {last}, which isn't in the event's way"
            raise ReadModelRefused(stream_id=event.stream_id, event_id=event.event_id, reason=told)
        if own:
            own.behind = last if own.behind is None else min(last, own.behind)
        raise EventsMissing(
            projection=self.name, stream_id=event.stream_id, event_id=event.event_id, last_event_id=last
        )


def parked_alone() -> InvalidSubscription:
    """Return the error of a projection under `OnFailure.PARK`: what is parked it would take for a repeat."""
    return InvalidSubscription(
        "on_failure", "is PARK, but a projection takes no event behind a later one; use PARK_STREAM"
    )
