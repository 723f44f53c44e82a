"""What an append to streams or a read of them can meet."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from eventstore.errors.base import EventStoreError, TransientError, is_write
from eventstore.errors.misconfigured import StoreMisconfigured
from eventstore.limits import UID_SEARCH_MAX_BYTES, UID_SEARCH_MAX_EVENTS, UID_SKEW_S

if TYPE_CHECKING:
    from datetime import datetime


class VersionConflict(EventStoreError):
    """Another writer was first: the stream is not where the append expected it. Nothing was written.

    `expected` is the version (or "any" / "exists") that was asked for, `actual` the stream's version
    when the conflict was seen; by now it may be higher. Load what is new, decide again, append again:
    `eventstore.decisions.execute` does.
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


class PartlyAppended(EventStoreError):
    """Some events of this append are stored already, but not all of them, one behind the other.

    So it's no repetition of an earlier append, and a known uid is never written again: nothing was written.
    `stream_id` is the stream of the first event that was found, `stored` the EventIds of those that were
    found, by their uids; in a transaction those of its other streams, too.
    """

    def __init__(self, *, stream_id: str, stored: Mapping[str, int]) -> None:
        found = ", ".join(f"{uid} is event {event_id}" for uid, event_id in stored.items())
        super().__init__(
            f"stream {stream_id!r} has events of this append already, but not all of them one behind the "
            f"other: {found}. Repeat an append with the same uids in the same order, and give other events "
            "uids of their own"
        )
        self.stream_id = stream_id
        self.stored = dict(stored)


class EventUidReused(EventStoreError):
    """A stored event has the same uid and another name, payload or metadata; nothing was written.

    `event_id` is where it's stored, `differs` which of the three differs.
    """

    def __init__(self, *, stream_id: str, event_id: int, uid: str, differs: str) -> None:
        super().__init__(
            f"event {event_id} of stream {stream_id!r} has the uid {uid} and another {differs}; "
            "repeat an append exactly as it was, and give another event a uid of its own"
        )
        self.stream_id = stream_id
        self.event_id = event_id
        self.uid = uid
        self.differs = differs


class UidNotSearchable(EventStoreError):
    """It can't be ruled out at bounded cost that an append to ANY or EXISTS was made before.

    The last `limit` events of the stream have none of its uids, and older ones may: those since `since`, or
    any of them when that's None. Nothing was written.
    """

    def __init__(self, *, stream_id: str, limit: int, since: datetime | None) -> None:
        most = f"{UID_SEARCH_MAX_EVENTS:,} events or {UID_SEARCH_MAX_BYTES // 1_024 // 1_024} MB"
        far = (
            f"to {since.isoformat()}, {UID_SKEW_S:g} s before they were made, and the stream has more since"
            if since
            else f"to the first event; for UUIDv7s it's {UID_SKEW_S:g} s before they were made"
        )
        super().__init__(
            f"the last {limit:,} events of stream {stream_id!r} have none of this append's uids, and older "
            f"ones may: {most} are searched at most, and these uids have to be looked for back {far}. If it "
            "may have been made before, read the stream for its events; a new one takes UUIDv7s made just "
            "now and a stream that gets less in that time, or a version that's expected, or no uids"
        )
        self.stream_id = stream_id
        self.limit = limit
        self.since = since


class HeadNotInStream(EventStoreError):
    """A Head is not one of this stream's events: the table was restored, or is another one.

    Nothing was decided or written. `version` is the Head's.
    """

    def __init__(self, *, stream_id: str, version: int) -> None:
        super().__init__(
            f"the head at version {version} is not an event of stream {stream_id!r} as it is now; the table "
            "was restored since, or is another one. Drop the head and the state that belongs to it, and load "
            "the stream from its beginning"
        )
        self.stream_id = stream_id
        self.version = version


class TimestampOutOfRange(EventStoreError):
    """An event would get a Timestamp behind the year 9999, which nobody could read; nothing was written."""

    def __init__(self, *, stream_id: str, timestamp_us: int) -> None:
        super().__init__(
            f"stream {stream_id!r} would get the Timestamp {timestamp_us} us, which is behind the year 9999; "
            "set this writer's clock, and look for an event of the stream whose Timestamp is wrong"
        )
        self.stream_id = stream_id
        self.timestamp_us = timestamp_us


class StreamNotFound(EventStoreError):
    """The stream has no events."""

    def __init__(self, *, stream_id: str) -> None:
        super().__init__(f"stream {stream_id!r} has no events; it begins with its first append")
        self.stream_id = stream_id


class StoreUnavailable(TransientError):
    """The store was throttled or could not be reached, after all tries.

    A read is just tried again. Anything else may have been done all the same: an append
    with the same event uids and the same expectation is written once, however often it's tried.
    """

    def __init__(self, *, operation: str, reason: str) -> None:
        super().__init__(f"{operation} did not succeed: {reason}. {_again(operation)}")
        self.operation = operation
        self.reason = reason


@contextmanager
def write_in_doubt(operation: str, *answers: type[Exception]) -> Iterator[None]:
    """Have whatever fails behind a write of which the answer got lost say that it may have been done.

    Args:
        operation: the write's name: a read's own would say that nothing can have been written.
        answers: errors that tell what became of the write all the same: they're passed on.
    """
    try:
        yield
    except answers:
        raise
    except Exception as error:
        then = str(error)
        if isinstance(error, StoreUnavailable):
            if is_write(error.operation):  # it says so itself
                raise
            then = f"{error.operation}: {error.reason}"
        elif isinstance(
            error, StoreMisconfigured
        ):  # of its own request alone it's known that it changed nothing
            then = error.advice
        reason = f"it isn't known what became of a write, and then {then}"
        raise StoreUnavailable(operation=operation, reason=reason) from error


def _again(operation: str) -> str:
    if not is_write(operation):
        return "Try again"
    return (
        "It may have been done all the same: try again with the same uids and the same expectation, "
        "then it is done once"
    )


class MalformedItem(EventStoreError):
    """An item of the table that is not an event of this store (written by hand or by another program)."""

    def __init__(self, *, stream_id: str, event_id: int, reason: str) -> None:
        super().__init__(f"item ({stream_id!r}, {event_id}) is not an event: {reason}")
        self.stream_id = stream_id
        self.event_id = event_id
        self.reason = reason


class UnexpectedItem(EventStoreError):
    """An answer holds an item that was not asked for; nothing of it is used.

    Two processes on one connection get each other's answers. Connections are dropped in forked children; a
    wrapper of the client, or a proxy on the way, can mix them up as well.
    """

    def __init__(self, *, asked: str, answered: str) -> None:
        super().__init__(
            f"asked for {asked}, DynamoDB answered with {answered}; "
            "look for what sits between this process and DynamoDB, and read again"
        )
        self.asked = asked
        self.answered = answered


class StreamGap(EventStoreError):
    """EventIds of a stream are missing though later ones are there, at each of several reads.

    A read that meets a transaction while it becomes visible is repeated until it's whole. What is missing
    for longer has been deleted, by hand or by another program: restore it from a backup.
    """

    def __init__(self, *, stream_id: str, first_missing: int, last_missing: int) -> None:
        missing = f"EventId {first_missing} is"
        if last_missing > first_missing:
            missing = f"EventIds {first_missing} to {last_missing} are"
        super().__init__(
            f"stream {stream_id!r} has a gap: {missing} missing, though later events are there; "
            "restore what was deleted from a backup"
        )
        self.stream_id = stream_id
        self.first_missing = first_missing
        self.last_missing = last_missing


class ClockSkewed(TransientError):
    """This computer's clock and DynamoDB's differ by more than is tolerated; nothing was written or read.

    Events are ordered by the clocks of their writers: one that is off would hide events from readers.
    """

    def __init__(self, *, local: datetime, server: datetime, tolerance_s: float) -> None:
        super().__init__(
            f"the clock of this computer says {local.isoformat()}, DynamoDB's {server.isoformat()}; they may "
            f"differ by {tolerance_s:g} s. Set this computer's clock (NTP), and try again"
        )
        self.local = local
        self.server = server
        self.tolerance_s = tolerance_s


class CompressionUnavailable(EventStoreError):
    """A payload is compressed, or should be, by a codec that this Python doesn't have."""

    def __init__(self, *, codec: str) -> None:
        super().__init__(
            f"payloads are compressed by {codec}, which this Python doesn't have: "
            f"pip install 'eventstore-dynamodb[{codec}]'"
        )
        self.codec = codec


class StoreFormatUnknown(EventStoreError):
    """The store's items are of a newer format than this library knows. Nothing was read or written."""

    def __init__(self, *, format_version: int, known: int) -> None:
        super().__init__(
            f"the store has items of format {format_version}, and this version of eventstore knows {known} "
            "at most: install the version that the store's writers have. Nothing was read or written"
        )
        self.format_version = format_version
        self.known = known


class MalformedStoreItem(EventStoreError):
    """The store's own item, which says how many shards are read, can't be used. Nothing was written."""

    def __init__(self, *, reason: str) -> None:
        super().__init__(
            f"the store's own item ('$store', 0) can't be used: {reason}. Somebody has changed it: put it "
            "back from a backup; or delete it and run `verify --repair`, which writes it anew by the shards "
            "that the events are in. Nothing was read or written"
        )
        self.reason = reason


class RestoreNotDeclared(EventStoreError):
    """The table is a copy of the store's: a restore that isn't declared. Nothing was written.

    What is written takes EventIds of events that the restore has lost. Consumers that have seen those would
    drop it as seen, so it needs another identity, which the declaration gives.
    """

    def __init__(self, *, table: str, recorded: str | None) -> None:
        was = f"of the table {recorded!r}" if recorded else "of a table that it doesn't name"
        super().__init__(
            f"the store's own item ('$store', 0) in the table {table!r} is {was}, as after a restore. Run "
            f"`python -m eventstore restored --table {table}` before anything is written, so that what is "
            "written has another id on the bus than what was lost. Nothing was written"
        )
        self.table = table
        self.recorded = recorded


class StoreItemMissing(EventStoreError):
    """The store has events, but its own item, which says how many shards are read, is gone.

    Nothing was written, and nothing more is read: a told number could be too low. Streams can be read.
    """

    def __init__(self) -> None:
        super().__init__(
            "the store has events, but its own item ('$store', 0), which says how many shards are read, is "
            "missing. Somebody has deleted it: put it back from a backup; or run `verify --repair`, which "
            "writes it anew by the shards that the events are in, and then let running writers start anew. "
            "Nothing was written"
        )
