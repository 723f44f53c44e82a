"""What was given can't be taken; nothing was written."""

from __future__ import annotations

from typing import Self

from eventstore.errors.base import EventStoreError


class InvalidInput(EventStoreError, ValueError):
    """What was given can't be taken; nothing was written.

    `field` is where (a path such as ``events[2].payload``), `reason` what is wrong and how to repair it.
    """

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}")
        self.field = field
        self.reason = reason

    def under(self, parent: str) -> Self:
        """Return where the field stands, for example under ``events[2]``; returns the same error."""
        self.field = f"{parent}.{self.field}"
        self.args = (f"{self.field}: {self.reason}",)
        return self


class InvalidArgument(InvalidInput):
    """An argument of another type than it has to have."""


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
    """The replay request is invalid."""


class InvalidDecision(InvalidInput):
    """What `decide` returned is no sequence of new events; nothing was written."""


class InvalidCodec(InvalidInput):
    """Classes or upcasters of which no codec can be made."""


class InvalidPublishedEvent(InvalidInput):
    """What a consumer was given is no event of this store's publication."""


class NotSynchronous(InvalidInput):
    """A function that was given returns before its work is done: it's async, or a generator, or hands on.

    What it returned counts for nothing: nothing was stored, no event counts as handled. A coroutine or a
    generator was closed; a thread or a process runs on.
    """


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
    """An event whose item would be larger than DynamoDB, or a proxy on the way to it, takes.

    `limit_bytes` is None where a proxy doesn't say what it takes.
    """

    def __init__(self, field: str, *, size_bytes: int, limit_bytes: int | None) -> None:
        super().__init__(
            field,
            f"makes an item of {size_bytes:,} bytes; {_taken('an item', limit_bytes)}. "
            "Store the large part elsewhere (S3) and keep its address in the payload",
        )
        self.size_bytes = size_bytes
        self.limit_bytes = limit_bytes


class TransactionTooLarge(InvalidInput):
    """Events that together are larger than one transaction, or a proxy on the way to DynamoDB, takes.

    `limit_bytes` is None where a proxy doesn't say what it takes.
    """

    def __init__(self, field: str, *, size_bytes: int, limit_bytes: int | None) -> None:
        super().__init__(
            field,
            f"makes a transaction of {size_bytes:,} bytes; {_taken('one', limit_bytes)}. "
            "Append them in several calls",
        )
        self.size_bytes = size_bytes
        self.limit_bytes = limit_bytes


def _taken(what: str, limit_bytes: int | None) -> str:
    if limit_bytes is not None:
        return f"{what} takes {limit_bytes:,}"
    return "the request was refused for its size (HTTP 413), by a proxy that takes less than DynamoDB"
