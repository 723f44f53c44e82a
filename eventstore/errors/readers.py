"""What the log, its subscriptions and the publication can meet."""

from __future__ import annotations

from collections.abc import Sequence

from eventstore.errors.base import EventStoreError, TransientError


class SubscriptionNotFound(EventStoreError):
    """A subscription that is to begin at its checkpoint has none."""

    def __init__(self, *, name: str) -> None:
        super().__init__(
            f"the subscription {name!r} has no checkpoint; begin with From.BEGINNING or a time the first time"
        )
        self.name = name


class HandlerFailed(EventStoreError):
    """A subscription stopped at an event, after all tries; its checkpoint lies before the event.

    `traceback` is that of the handler's last error as text, "" where there's none; it's also the cause.
    """

    def __init__(
        self, *, subscription: str, stream_id: str, event_id: int, reason: str, traceback: str = ""
    ) -> None:
        super().__init__(
            f"the subscription {subscription!r} stopped at event {event_id} of stream {stream_id!r}: "
            f"{reason}. Repair the handler and run it again, or let it skip or park what fails"
        )
        self.subscription = subscription
        self.stream_id = stream_id
        self.event_id = event_id
        self.reason = reason
        self.traceback = traceback


class HandlerUnavailable(TransientError):
    """What a handler needs is throttled or can't be reached (`Terms.transient`); the event comes again.

    The handler's error is its cause.
    """

    def __init__(self, *, subscription: str, stream_id: str, event_id: int, reason: str) -> None:
        super().__init__(
            f"the handler of the subscription {subscription!r} can't work now, at event {event_id} of stream "
            f"{stream_id!r}: {reason}. It's tried again"
        )
        self.subscription = subscription
        self.stream_id = stream_id
        self.event_id = event_id
        self.reason = reason


class LeaseLost(EventStoreError):
    """A worker no longer holds the lease of a tranche; nothing was stored.

    `taken_by` is the worker that has taken it over, since this one was silent for too long; "" when nobody
    has it now, and None when the lease's item was deleted.
    """

    def __init__(self, *, subscription: str, tranche: int, taken_by: str | None) -> None:
        of = f"tranche {tranche} of the subscription {subscription!r}"
        if taken_by is None:
            told = f"the lease of {of} was deleted; it's read again from where the subscription begins"
        elif taken_by:
            told = f"worker {taken_by!r} has taken over {of}; a handler that takes long needs a longer call_s"
        else:
            told = (
                f"{of} isn't held any more: its lease was freed, perhaps by another worker's taking it over"
            )
        super().__init__(told)
        self.subscription = subscription
        self.tranche = tranche
        self.taken_by = taken_by


class WorkerIdInUse(EventStoreError):
    """Two workers of a subscription have one id: this one, which began earlier, ends; nothing is lost."""

    def __init__(self, *, subscription: str, worker: str) -> None:
        super().__init__(
            f"another worker of the subscription {subscription!r} works under the same id {worker!r}; "
            "give each worker an id of its own, or none to have one made"
        )
        self.subscription = subscription
        self.worker = worker


class WorkerRunning(EventStoreError):
    """A `Subscription` was called while it's at work, in another thread or by its own handler; it goes on."""

    def __init__(self, *, subscription: str, worker: str) -> None:
        super().__init__(
            f"the worker {worker!r} of the subscription {subscription!r} is at work, in another thread or "
            "around this call; make one by subscribe() for each thread, and end one by stop()"
        )
        self.subscription = subscription
        self.worker = worker


class MalformedSubscriptionItem(EventStoreError):
    """An item of the subscriptions table that can't be read: somebody has changed it. Nothing was stored.

    `subscription` and `item` are its key, `repair` what to do with it.
    """

    def __init__(self, *, subscription: str, item: str, reason: str, repair: str) -> None:
        super().__init__(
            f"the item ({subscription!r}, {item!r}) of the subscriptions table can't be used: {reason}. "
            f"Somebody has changed it: {repair}"
        )
        self.subscription = subscription
        self.item = item
        self.reason = reason
        self.repair = repair


class ReadModelRefused(EventStoreError):
    """A projection's writes for an event can't be done, or their condition failed; nothing was written."""

    def __init__(self, *, stream_id: str, event_id: int, reason: str) -> None:
        super().__init__(f"event {event_id} of stream {stream_id!r} can't be projected: {reason}")
        self.stream_id = stream_id
        self.event_id = event_id
        self.reason = reason


class UnknownEventName(EventStoreError):
    """An event of a name that a `Codec` has no class for; stored it's as it was."""

    def __init__(self, *, stream_id: str, event_id: int, name: str, known: Sequence[str]) -> None:
        super().__init__(
            f"event {event_id} of stream {stream_id!r} is {name!r}, for which the codec has no class "
            f"(it has {', '.join(known)}): add its class, or an upcaster from its name"
        )
        self.stream_id = stream_id
        self.event_id = event_id
        self.name = name
        self.known = tuple(known)


class UndecodableEvent(EventStoreError):
    """An event of which a `Codec` can't make its class; stored it's as it was."""

    def __init__(self, *, stream_id: str, event_id: int, name: str, reason: str) -> None:
        super().__init__(f"event {event_id} of stream {stream_id!r}, {name!r}, can't be decoded: {reason}")
        self.stream_id = stream_id
        self.event_id = event_id
        self.name = name
        self.reason = reason


class EventsMissing(EventStoreError):
    """A projection was given an event before earlier ones of its stream; nothing was written.

    In a worker it's dealt with: the handler is given what is missing first. `last_event_id` is where the
    projection stands in the stream.
    """

    def __init__(self, *, projection: str, stream_id: str, event_id: int, last_event_id: int) -> None:
        super().__init__(
            f"the projection {projection!r} is at event {last_event_id} of stream {stream_id!r} and can't "
            f"take event {event_id}; give it those between first, or let a subscription's worker call it"
        )
        self.projection = projection
        self.stream_id = stream_id
        self.event_id = event_id
        self.last_event_id = last_event_id


class BlockMissing(EventStoreError):
    """A block of the log is gone, though later ones are there: deleted, or not restored. Nothing was read.

    `next_block` is the next one that is there. Nobody can read on before the place is closed.
    """

    def __init__(self, *, tranche: int, block: int, next_block: int) -> None:
        super().__init__(
            f"block {block} of the log's tranche {tranche} is gone, though block {next_block} is there; "
            "`eventstore verify --repair` closes its place and logs its events again"
        )
        self.tranche = tranche
        self.block = block
        self.next_block = next_block


class MalformedBlock(EventStoreError):
    """A block of the log that can't be read: somebody has changed the log's table."""

    def __init__(self, *, tranche: int, block: int, reason: str) -> None:
        way_out = (
            "delete it, and `eventstore verify --repair` closes its place and logs its events again"
            if block
            else "rebuild the log (docs/operations.md)"
        )
        super().__init__(
            f"block {block} of the log's tranche {tranche}: {reason}. Put it back from a backup of the log's "
            f"table, or {way_out}"
        )
        self.tranche = tranche
        self.block = block
        self.reason = reason


class PositionNotInLog(EventStoreError):
    """A position or checkpoint lies behind the log's end: the log's table was restored, or is another one.

    Nothing was read or stored. What is logged from now on below that position would never be read. `block`
    and `entries` are the place in the tranche, as in `BlockPosition`; `last_block` is the tranche's last
    block, 0 where it has none.
    """

    def __init__(self, *, tranche: int, block: int, entries: int, last_block: int) -> None:
        super().__init__(
            f"the position at block {block}, behind {entries} of its entries, lies behind the end of tranche "
            f"{tranche} of the log, whose last block is {last_block}; the log's table was restored or "
            "rebuilt since, or is another one. Drop the position and read the log again from its beginning; "
            "a subscription begins anew under another name"
        )
        self.tranche = tranche
        self.block = block
        self.entries = entries
        self.last_block = last_block


class PositionOfAnotherLog(EventStoreError):
    """A position or checkpoint is of another log: this one was rebuilt since, or is another store's.

    Nothing was read or stored. `given` is that log's id, and `log_id` this one's: "" where it isn't begun.
    """

    def __init__(self, *, given: str, log_id: str) -> None:
        super().__init__(
            f"the position is of the log {given or '(unknown)'}, and this one is {log_id or '(not begun)'}: "
            "it was rebuilt since, or is another store's. Drop the position and read the log again from its "
            "beginning, or from a time; a subscription begins anew under another name"
        )
        self.given = given
        self.log_id = log_id


class LogInUse(EventStoreError):
    """Somebody else writes to the log while it's rebuilt, so that its order would break.

    `log_id` is the id of the log that is there now: "" where there's none.
    """

    def __init__(self, *, log_id: str) -> None:
        super().__init__(
            f"somebody else writes to the log {log_id or '(not begun)'} while it's rebuilt: disable the "
            "log writer's mapping, let no other rebuild and no `verify --repair` run, and rebuild it from "
            "its beginning (--delete)"
        )
        self.log_id = log_id


class TranchesChanged(EventStoreError):
    """The log was begun with another number of tranches: its order would break. Nothing was written."""

    def __init__(self, *, begun_with: int, given: int) -> None:
        super().__init__(
            f"the log was begun with {begun_with} tranches and can't go on with {given}: "
            f"set the number of tranches back to {begun_with}"
        )
        self.begun_with = begun_with
        self.given = given


class LogWritingStopped(EventStoreError):
    """A batch was logged only in part: everything from `sequence_number` on has to be tried again."""

    def __init__(self, *, sequence_number: str, stream_id: str, event_id: int, reason: str) -> None:
        super().__init__(
            f"the log stopped at event {event_id} of stream {stream_id!r}: {reason}. "
            f"Try again from sequence number {sequence_number}"
        )
        self.sequence_number = sequence_number
        self.stream_id = stream_id
        self.event_id = event_id
        self.reason = reason


class NotPublishable(EventStoreError):
    """An event that can't be put on a bus, not even by reference."""

    def __init__(self, *, stream_id: str, event_id: int, reason: str) -> None:
        super().__init__(f"event {event_id} of stream {stream_id!r} can't be published: {reason}")
        self.stream_id = stream_id
        self.event_id = event_id
        self.reason = reason


class PublicationStopped(EventStoreError):
    """A batch was published only in part: everything from `sequence_number` on has to be tried again."""

    def __init__(self, *, sequence_number: str, stream_id: str, event_id: int, reason: str) -> None:
        super().__init__(
            f"publication stopped at event {event_id} of stream {stream_id!r}: {reason}. "
            f"Try again from sequence number {sequence_number}"
        )
        self.sequence_number = sequence_number
        self.stream_id = stream_id
        self.event_id = event_id
        self.reason = reason
