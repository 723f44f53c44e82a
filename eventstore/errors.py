"""The errors of the event store: one tree, and every leaf carries its data.

::

    EventStoreError
    ├── InvalidInput (ValueError)          what was given can't be taken; nothing was written
    │   ├── InvalidStreamId
    │   ├── InvalidEventName
    │   ├── InvalidJson                    a payload or metadata
    │   ├── InvalidEventUid
    │   ├── DuplicateEventUid
    │   ├── InvalidExpectedVersion
    │   ├── InvalidPosition
    │   ├── InvalidRange
    │   ├── InvalidLimit
    │   ├── InvalidReplay                  what a replay is asked for
    │   ├── InvalidSubscription
    │   │   └── InvalidSubscriptionName
    │   ├── EmptyAppend
    │   ├── RepeatedStream                 one stream twice in one transaction
    │   ├── TooManyEvents
    │   ├── EventTooLarge
    │   └── TransactionTooLarge
    ├── VersionConflict                    another writer was first; nothing was written
    │   └── ExpectedVersionAhead           the expected version does not exist (yet)
    ├── StreamNotFound
    ├── ReplayTargetNotAllowed             a target that the deployment doesn't name
    ├── ReplayNotFound
    ├── ReplayOver                         a replay that is not in a state to be steered so
    ├── SubscriptionNotFound               it has no checkpoint to begin at
    ├── HandlerFailed                      a subscription stopped at an event that its handler can't handle
    ├── LeaseLost                          another worker has taken over a tranche; nothing was stored
    ├── ReadModelRefused                   a projection's writes can't be done; nothing was written
    ├── StoreUnavailable                   throttled or unreachable after all tries; safe to try again
    ├── MalformedItem                      an item of the table that is not an event
    ├── CompressionUnavailable             a payload's codec isn't installed here
    ├── MalformedBlock                     a block of the log that is missing or can't be read
    ├── NotPublishable                     an event that can't be put on a bus, not even by reference
    ├── FailedEventsUnavailable            the queue of failed events could not be reached; safe to try again
    ├── TranchesChanged                    the log was begun with another number of tranches
    ├── PublicationStopped                 a batch was published only in part; the rest has to be tried again
    └── IndexingStopped                    a batch was logged only in part; the rest has to be tried again
"""

from __future__ import annotations

from typing import Self


class EventStoreError(Exception):
    """Any error that this library raises on purpose."""


class InvalidInput(EventStoreError, ValueError):
    """What was given can't be taken; nothing was written.

    `field` is where (a path such as ``events[2].payload``), `reason` what is wrong and how to mend it.
    """

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}")
        self.field = field
        self.reason = reason

    def under(self, parent: str) -> Self:
        """Say where the field stands, for example under ``events[2]``; returns the same error."""
        self.field = f"{parent}.{self.field}"
        self.args = (f"{self.field}: {self.reason}",)
        return self


class InvalidStreamId(InvalidInput):
    """A stream id that is empty, too long, reserved, or has control characters."""


class InvalidEventName(InvalidInput):
    """An event name that is empty, too long, or has control characters."""


class InvalidJson(InvalidInput):
    """A payload or metadata that is not JSON as RFC 8259 has it, or nested too deeply."""


class InvalidEventUid(InvalidInput):
    """An event uid that is not a UUID."""


class DuplicateEventUid(InvalidInput):
    """The same event uid twice in one append."""


class InvalidExpectedVersion(InvalidInput):
    """An expected version that is neither a version, a Head of the same stream, ANY nor EXISTS."""


class InvalidPosition(InvalidInput):
    """A position that this library did not make."""


class InvalidRange(InvalidInput):
    """A range whose beginning lies after its end, or outside of what can exist."""


class InvalidLimit(InvalidInput):
    """A limit that is not within its bounds."""


class InvalidReplay(InvalidInput):
    """A replay can't be asked for so."""


class InvalidSubscription(InvalidInput):
    """A subscription can't work so."""


class InvalidSubscriptionName(InvalidSubscription):
    """A name of a subscription or projection that is empty, too long, or has characters it may not have."""


class EmptyAppend(InvalidInput):
    """An append without events."""


class RepeatedStream(InvalidInput):
    """One stream twice in one transaction."""


class TooManyEvents(InvalidInput):
    """More events than one transaction takes."""

    def __init__(self, field: str, *, count: int, limit: int) -> None:
        super().__init__(
            field, f"has {count} events; one transaction takes {limit}. Append them in several calls"
        )
        self.count = count
        self.limit = limit


class EventTooLarge(InvalidInput):
    """An event whose item would be larger than DynamoDB takes."""

    def __init__(self, field: str, *, size_bytes: int, limit_bytes: int) -> None:
        super().__init__(
            field,
            f"makes an item of {size_bytes:,} bytes; an item takes {limit_bytes:,}. "
            "Store the large part elsewhere (S3) and keep its address in the payload",
        )
        self.size_bytes = size_bytes
        self.limit_bytes = limit_bytes


class TransactionTooLarge(InvalidInput):
    """Events that together are larger than one transaction takes."""

    def __init__(self, field: str, *, size_bytes: int, limit_bytes: int) -> None:
        super().__init__(
            field,
            f"makes a transaction of {size_bytes:,} bytes; one takes {limit_bytes:,}. "
            "Append them in several calls",
        )
        self.size_bytes = size_bytes
        self.limit_bytes = limit_bytes


class VersionConflict(EventStoreError):
    """Another writer was first: the stream is not where the append expected it. Nothing was written.

    `expected` is the version (or "any" / "exists") that was asked for, `actual` the stream's version
    when the conflict was seen; by now it may be higher. Load what is new, decide again, append again:
    `eventstore.execute` does.
    """

    def __init__(self, *, stream_id: str, expected: int | str, actual: int) -> None:
        super().__init__(
            f"stream {stream_id!r} is at version {actual}, not at {expected}; "
            "read what is new, check your conditions again and append again"
        )
        self.stream_id = stream_id
        self.expected = expected
        self.actual = actual


class ExpectedVersionAhead(VersionConflict):
    """The expected version does not exist: it lies ahead of the stream's head. Nothing was written."""

    def __init__(self, *, stream_id: str, expected: int | str, actual: int) -> None:
        super().__init__(stream_id=stream_id, expected=expected, actual=actual)
        message = (
            f"stream {stream_id!r} is at version {actual}; the expected version {expected} does not exist. "
            "Load the stream and expect the version of its last event"
        )
        self.args = (message,)


class StreamNotFound(EventStoreError):
    """The stream has no events."""

    def __init__(self, *, stream_id: str) -> None:
        super().__init__(f"stream {stream_id!r} has no events; it begins with its first append")
        self.stream_id = stream_id


class ReplayTargetNotAllowed(EventStoreError):
    """The target of a replay is not one of those that the deployment allows; nothing was begun."""

    def __init__(self, *, target: str) -> None:
        super().__init__(
            f"{target!r} is not among the targets that may be replayed to; "
            "add its ARN to the setting replayTargets and deploy"
        )
        self.target = target


class ReplayNotFound(EventStoreError):
    """There is no replay of that id."""

    def __init__(self, *, replay_id: str) -> None:
        super().__init__(f"there is no replay {replay_id[:100]!r}; list the replays there are")
        self.replay_id = replay_id


class ReplayOver(EventStoreError):
    """A replay is not in a state from which it can be brought into another; nothing was changed."""

    def __init__(self, *, replay_id: str, replay_status: str, asked: str) -> None:
        super().__init__(f"the replay {replay_id} is {replay_status}, and can't become {asked} any more")
        self.replay_id = replay_id
        self.replay_status = replay_status
        self.asked = asked


class SubscriptionNotFound(EventStoreError):
    """A subscription that is to begin at its checkpoint has none."""

    def __init__(self, *, name: str) -> None:
        super().__init__(
            f"the subscription {name!r} has no checkpoint; begin with From.BEGINNING or a time the first time"
        )
        self.name = name


class HandlerFailed(EventStoreError):
    """A subscription stopped at an event, after all tries; its checkpoint lies before the event."""

    def __init__(self, *, subscription: str, stream_id: str, event_id: int, reason: str) -> None:
        super().__init__(
            f"the subscription {subscription!r} stopped at event {event_id} of stream {stream_id!r}: "
            f"{reason}. Mend the handler and run it again, or let it skip or park what fails"
        )
        self.subscription = subscription
        self.stream_id = stream_id
        self.event_id = event_id
        self.reason = reason


class LeaseLost(EventStoreError):
    """Another worker has taken over a tranche, since this one was silent for too long; nothing was stored."""

    def __init__(self, *, subscription: str, tranche: int) -> None:
        super().__init__(
            f"another worker has taken over tranche {tranche} of the subscription {subscription!r}; "
            "a handler that takes long needs a longer lease_s"
        )
        self.subscription = subscription
        self.tranche = tranche


class ReadModelRefused(EventStoreError):
    """A projection's writes for an event can't be done, or their condition failed; nothing was written."""

    def __init__(self, *, stream_id: str, event_id: int, reason: str) -> None:
        super().__init__(f"event {event_id} of stream {stream_id!r} can't be projected: {reason}")
        self.stream_id = stream_id
        self.event_id = event_id
        self.reason = reason


class StoreUnavailable(EventStoreError):
    """The store was throttled or could not be reached, after all tries.

    An append may or may not have been written: append again with the same event uids (or the same
    expected version) and it's written once.
    """

    def __init__(self, *, operation: str, reason: str) -> None:
        super().__init__(
            f"{operation} did not succeed: {reason}. Try again; a retried append is written once"
        )
        self.operation = operation
        self.reason = reason


class MalformedItem(EventStoreError):
    """An item of the table that is not an event of this store (written by hand or by another program)."""

    def __init__(self, *, stream_id: str, event_id: int, reason: str) -> None:
        super().__init__(f"item ({stream_id!r}, {event_id}) is not an event: {reason}")
        self.stream_id = stream_id
        self.event_id = event_id
        self.reason = reason


class CompressionUnavailable(EventStoreError):
    """A payload is compressed, or should be, by a codec that this Python doesn't have."""

    def __init__(self, *, codec: str) -> None:
        super().__init__(
            f"payloads are compressed by {codec}, which this Python doesn't have: "
            f"pip install 'eventstore-dynamodb[{codec}]'"
        )
        self.codec = codec


class MalformedBlock(EventStoreError):
    """A block of the log that is missing or can't be read: somebody has changed the log's table."""

    def __init__(self, *, tranche: int, block: int, reason: str) -> None:
        super().__init__(
            f"block {block} of the log's tranche {tranche}: {reason}. "
            "Restore the log's table, or take the rest of the history from the streams themselves"
        )
        self.tranche = tranche
        self.block = block
        self.reason = reason


class NotPublishable(EventStoreError):
    """An event that can't be put on a bus, not even by reference."""

    def __init__(self, *, stream_id: str, event_id: int, reason: str) -> None:
        super().__init__(f"event {event_id} of stream {stream_id!r} can't be published: {reason}")
        self.stream_id = stream_id
        self.event_id = event_id
        self.reason = reason


class FailedEventsUnavailable(EventStoreError):
    """The queue of failed events could not be reached; safe to try again."""

    def __init__(self, *, reason: str) -> None:
        super().__init__(f"the queue of failed events can't be reached: {reason}. Try again")
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


class IndexingStopped(EventStoreError):
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


class TranchesChanged(EventStoreError):
    """The log was begun with another number of tranches: its order would break. Nothing was written."""

    def __init__(self, *, begun_with: int, given: int) -> None:
        super().__init__(
            f"the log was begun with {begun_with} tranches and can't go on with {given}: "
            f"set the number of tranches back to {begun_with}"
        )
        self.begun_with = begun_with
        self.given = given
