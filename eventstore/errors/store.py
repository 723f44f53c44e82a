"""What an append to streams or a read of them can meet."""

from __future__ import annotations

from eventstore.errors.base import EventStoreError, TransientError


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


class StoreUnavailable(TransientError):
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
