"""What every store checks of an append before it writes, and how it stamps the events."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from eventstore._arguments import is_whole, shown
from eventstore._uids import check_not_ahead
from eventstore.errors import (
    DuplicateEventUid,
    EmptyAppend,
    EventTooLarge,
    InvalidArgument,
    InvalidEventUid,
    InvalidExpectedVersion,
    InvalidInput,
    InvalidPosition,
    InvalidRange,
    RepeatedStream,
    TimestampOutOfRange,
    TooManyEvents,
    TransactionTooLarge,
)
from eventstore.events import (
    Event,
    EventSlots,
    Head,
    NewEvent,
    check_head,
    check_limit,
    check_stream_id,
)
from eventstore.limits import (
    CLOCK_TOLERANCE_S,
    EVENT_OVERHEAD_BYTES,
    ITEM_MAX_BYTES,
    TIMESTAMP_MAX_US,
    TRANSACTION_EVENT_OVERHEAD_BYTES,
    TRANSACTION_MAX_BYTES,
    TRANSACTION_MAX_EVENTS,
    VERSION_MAX,
)
from eventstore.positions import Position, to_us
from eventstore.store import Append, Expect


def check_transaction(appends: Sequence[Append]) -> None:
    """Check everything about a transaction that can be known without the store.

    Raises:
        InvalidInput: the first fault, as a leaf that says what, where and how to repair it.
    """
    if not isinstance(appends, Sequence) or not all(isinstance(append, Append) for append in appends):
        raise InvalidArgument("appends", "has to be a list of Appends, such as [Append(...)]")
    if not appends:
        raise EmptyAppend("appends", "has no appends; give at least one")
    streams: set[str] = set()
    for append in appends:
        check_stream_id(append.stream_id)
        if append.stream_id in streams:
            raise RepeatedStream(
                "streamId", f"{append.stream_id!r} stands twice; put its events into one append"
            )
        streams.add(append.stream_id)
        _check_expected(append)
        _check_events(append)
    count = sum(len(append.events) for append in appends)
    if count > TRANSACTION_MAX_EVENTS:
        raise TooManyEvents("events", count=count, limit=TRANSACTION_MAX_EVENTS)
    _check_uids(appends)
    _check_sizes(appends)


def stamp(
    append: Append,
    *,
    head: Head,
    now_us: int,
    uids: Sequence[str],
    written_us: int | None = None,
    epoch_us: int | None = None,
) -> tuple[Event, ...]:
    """Give new events their places behind a head: EventIds without gaps, Timestamps that only rise.

    Args:
        now_us: the writer's clock, read once for all streams of a transaction.
        written_us: what time it is as far as more is known than the writer's clock.
        epoch_us: the store's epoch.

    Raises:
        InvalidEventUid: a UUIDv7 that is too far ahead of the writer's clock.
        TimestampOutOfRange: an event would come behind the year 9999.
    """
    # Whatever is expected: a later append with ANY or EXISTS searches no further back than the uid says.
    for index, event in enumerate(append.events):
        if event.uid is not None:
            check_not_ahead(event.uid, now_us=now_us, field=f"events[{index}].eventUid")
    first_us = max(now_us, head.timestamp_us + 1)
    last_us = first_us + len(append.events) - 1
    if last_us > TIMESTAMP_MAX_US:
        raise TimestampOutOfRange(stream_id=append.stream_id, timestamp_us=last_us)
    now_us = now_us if written_us is None else written_us
    says_when = abs(first_us - now_us) <= _TOLERANCE_US
    stamped = []
    for index, event in enumerate(append.events):
        slots = EventSlots()
        slots.stream_id = append.stream_id
        slots.event_id = head.version + 1 + index
        slots.name = event.name
        slots.payload = event.payload
        slots.metadata = event.metadata
        slots.uid = uids[index]
        slots.timestamp_us = first_us + index
        slots.written_us = None if says_when else now_us
        slots.epoch_us = epoch_us
        stamped.append(slots.freeze())
    return tuple(stamped)


def written_us_of(one: Event | Head) -> int:
    """Return when an event, or a head's last one, was written, in microseconds."""
    return one.timestamp_us if one.written_us is None else one.written_us


def has_to_be_read(head: Head, *, now_us: int) -> bool:
    """Return whether a Head that is given isn't believed: it would carry a wrong clock into the stream.

    Its Timestamp is further ahead of the writer's clock than clocks may differ, and what is appended behind
    it would be as well. So its event has to be there, as it says.
    """
    return head.timestamp_us > now_us + _TOLERANCE_US


def event_size_bytes(stream_id: str, event: NewEvent | Event) -> int:
    """Return how large an event's item becomes, at most, in bytes as DynamoDB counts them."""
    texts = (stream_id, event.name, event.payload, event.metadata)
    return EVENT_OVERHEAD_BYTES + sum(len(text) if text.isascii() else len(text.encode()) for text in texts)


_EXPECTATIONS: Final = frozenset(expect.value for expect in Expect)
_TOLERANCE_US: Final = round(CLOCK_TOLERANCE_S * 1_000_000)


def check_versions(*, from_version: int, to_version: int | None, limit: int | None) -> None:
    """Check the range and the limit of a read of a stream.

    Raises:
        InvalidRange, InvalidLimit: what is wrong and how to repair it.
    """
    for field, version in (("from", from_version), ("to", to_version)):
        if version is None and field == "to":
            continue
        if not is_whole(version):
            raise InvalidRange(field, f"has to be a whole number, not {type(version).__name__}")
        if not 1 <= version <= VERSION_MAX:
            raise InvalidRange(field, f"is {shown(version)}; versions run from 1 to {VERSION_MAX}")
    if to_version is not None and to_version < from_version:
        raise InvalidRange("from", f"is {from_version}, after to = {to_version}; exchange them")
    check_limit(limit)


@dataclass(frozen=True, slots=True)
class TimeRange:
    """A range of time that is read of all streams, as microseconds [from, end)."""

    from_us: int
    end_us: int | None
    """None for no end."""

    def settled(self, until_us: int) -> TimeRange:
        """Return the part of it that lies before a time until which events are settled."""
        end_us = until_us if self.end_us is None else min(self.end_us, until_us)
        return TimeRange(self.from_us, end_us)


def check_times(
    *, from_: datetime | None, to: datetime | None, after: Position | None, limit: int | None
) -> TimeRange:
    """Check the range and the limit of a read of all streams; return it.

    Raises:
        InvalidRange, InvalidPosition, InvalidLimit: what is wrong and how to repair it.
    """
    from_us = 0 if from_ is None else max(0, to_us(from_, field="from"))
    end_us = None if to is None else to_us(to, field="to")
    if after is not None:
        _check_position(after)
    if end_us is not None and end_us < 0:
        raise InvalidRange("to", "is before 1970; no event has such a Timestamp")
    if end_us is not None and end_us < from_us:
        raise InvalidRange("from", "is after to; exchange them")
    check_limit(limit)
    return TimeRange(max(from_us, after.timestamp_us if after else 0), end_us)


def _check_position(after: object) -> None:
    if not isinstance(after, Position):
        raise InvalidPosition("after", "has to be a Position; make one of its text by Position.parse")
    if not (is_whole(after.timestamp_us) and isinstance(after.stream_id, str) and is_whole(after.event_id)):
        raise InvalidPosition("after", f"is {shown(after)}, which no event has; take an event's `position`")


def _check_events(append: Append) -> None:
    if not isinstance(append.events, Sequence):
        kind = type(append.events).__name__
        raise InvalidArgument("events", f"has to be a tuple of NewEvents, not {kind}; or use Append.of")
    if not append.events:
        raise EmptyAppend("events", "is empty; give at least one event")
    for index, event in enumerate(append.events):
        if not isinstance(event, NewEvent):
            kind = type(event).__name__
            raise InvalidArgument(f"events[{index}]", f"has to be a NewEvent, not {kind}; see NewEvent.of")


def _check_expected(append: Append) -> None:
    expected, field = append.expected, "expectedVersion"
    if isinstance(expected, Expect):
        return
    if isinstance(expected, Head):
        check_head(expected, append.stream_id, field=field)
        expected = expected.version
    if isinstance(expected, bool) or not isinstance(expected, int):
        why = "has to be a version (0 for a stream without events), a Head, ANY or EXISTS"
        if isinstance(expected, str) and expected in _EXPECTATIONS:
            why = f"is the text {expected!r}; give eventstore.{expected.upper()}, or use Append.of"
        raise InvalidExpectedVersion(field, why)
    if not 0 <= expected <= VERSION_MAX - TRANSACTION_MAX_EVENTS:
        raise InvalidExpectedVersion(field, f"is {shown(expected)}; versions run from 0 to {VERSION_MAX}")


def _check_uids(appends: Sequence[Append]) -> None:
    uids = [event.uid for append in appends for event in append.events]
    given = [uid for uid in uids if uid is not None]
    if given and len(given) < len(uids):
        raise InvalidEventUid("eventUid", "is missing on some of the events; give every event one, or none")
    if len(set(given)) < len(given):
        twice = next(uid for uid in given if given.count(uid) > 1)
        raise DuplicateEventUid("eventUid", f"{twice} stands on two events; give each event its own")


def _check_sizes(appends: Sequence[Append]) -> None:
    total_bytes = 0
    for append in appends:
        for index, event in enumerate(append.events):
            size_bytes = event_size_bytes(append.stream_id, event)
            if size_bytes > ITEM_MAX_BYTES:
                raise _where(
                    EventTooLarge("payload", size_bytes=size_bytes, limit_bytes=ITEM_MAX_BYTES), index
                )
            total_bytes += size_bytes + TRANSACTION_EVENT_OVERHEAD_BYTES
    if total_bytes > TRANSACTION_MAX_BYTES:
        raise TransactionTooLarge("events", size_bytes=total_bytes, limit_bytes=TRANSACTION_MAX_BYTES)


def _where(error: InvalidInput, index: int) -> InvalidInput:
    return error.under(f"events[{index}]")
