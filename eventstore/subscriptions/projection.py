"""A projection: a read model that takes each event once, however often its handler is called."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final, Generic, Protocol, TypeVar

from eventstore.arguments import check_port
from eventstore.errors import InvalidSubscription, ReadModelRefused
from eventstore.events import Event
from eventstore.subscriptions.terms import check_subscription_name
from eventstore.synchronous import check_finished, check_synchronous, name_of

Write = TypeVar("Write")
Write_contra = TypeVar("Write_contra", contravariant=True)


class ReadModel(Protocol[Write_contra]):
    """Where a projection writes."""

    def write(self, writes: Sequence[Write_contra], *, projection: str, event: Event) -> bool:
        """Write all of it together with the stream's last EventId, or nothing.

        Args:
            writes: what to write, at most 99; none just moves the last EventId.
            projection: under which name the last EventIds are kept.

        Returns:
            False when this event or a later one of its stream was written before: then nothing was written.

        Raises:
            ReadModelRefused: a write can't be done, or its own condition failed; nothing was written.
            StoreUnavailable: not known whether it was written; the same again is harmless.
            MalformedSubscriptionItem: the last EventId's item was changed by somebody; nothing was written.

        Cost (DynamoDB): 1 transaction; 2 WCU a KB of each write, and 2 for the stream's last EventId.
        """
        ...


@dataclass(slots=True)
class HandlerCall:
    """One event given to a handler: what projections that it calls, whatever is around them, note."""

    address: tuple[str, int]
    parks_alone: bool
    """Later events are handled behind one that has failed, which no projection takes then."""
    is_repeated: bool = False
    """A projection had taken the event before."""
    is_out_of_order: bool = False
    """A projection was called, though `parks_alone`; it has refused to write."""


CALL: Final[ContextVar[HandlerCall | None]] = ContextVar("eventstore.subscriptions.CALL", default=None)
"""The call of a handler that this thread is in."""


class Projection(Generic[Write]):
    """A handler that projects each event into a read model, effectively once and each stream in order.

    Args:
        name: the projection's; under it the streams' last EventIds are kept. A new name starts anew.
        project: what to write for an event. It may be called again for an event that was projected before;
            what it writes then is thrown away, so it should do nothing but return its writes.
        read_model: where they are written.

    The last EventId of the event's stream is written in the same transaction, under the condition that it's
    lower: a repeat, and a worker that goes on after it has lost its lease, change nothing.

    Raises:
        InvalidSubscriptionName: the name isn't fit for one.
        InvalidSubscription, NotSynchronous: `project` is no plain function.
        InvalidArgument, NotSynchronous: the read model has no `write` that is one.
    """

    def __init__(
        self, *, name: str, project: Callable[[Event], Sequence[Write]], read_model: ReadModel[Write]
    ) -> None:
        self.name = check_subscription_name(name)
        check_synchronous(project, "project", error=InvalidSubscription)
        check_port(read_model, ReadModel, "read_model")
        self._project = project
        self._read_model = read_model

    def __call__(self, event: Event) -> bool:
        """Project one event; False when it, or a later one of its stream, was projected before.

        Raises:
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
        is_written: object = self._read_model.write(writes, projection=self.name, event=event)
        check_finished(is_written, "read_model.write", function=self._read_model.write, at=at)
        if call and is_written is False and call.address == (event.stream_id, event.event_id):
            call.is_repeated = True
        return is_written is not False


def parked_alone() -> InvalidSubscription:
    """Return the error of a projection under `OnFailure.PARK`: what is parked it would take for a repeat."""
    return InvalidSubscription(
        "on_failure", "is PARK, but a projection takes no event behind a later one; use PARK_STREAM"
    )
