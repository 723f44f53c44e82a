"""Events: as a writer makes them, and as the store keeps them."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from eventstore._arguments import is_whole, shown
from eventstore._json import check_json, to_json
from eventstore._uids import check_uid
from eventstore.errors import (
    InvalidEventName,
    InvalidEventUid,
    InvalidExpectedVersion,
    InvalidInput,
    InvalidLimit,
    InvalidStreamId,
)
from eventstore.limits import (
    EVENT_NAME_MAX_CHARS,
    RESERVED_STREAM_ID_PREFIX,
    STREAM_ID_MAX_BYTES,
    TIMESTAMP_MAX_US,
    VERSION_MAX,
)
from eventstore.positions import Position, from_us

CORRELATION_ID: Final = "correlationId"
CAUSATION_ID: Final = "causationId"
SCHEMA_VERSION: Final = "schemaVersion"
"""The members of metadata that the library knows. As attributes of a CloudEvent they are in lower case."""

Address = tuple[str, int]
"""Where an event is: its stream's id and its EventId."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


@dataclass(frozen=True, slots=True, kw_only=True)
class NewEvent:
    """An event to be appended: checked when it is made, so that an append can't fail half-way.

    Args:
        name: what happened, past tense, for example ``OrderPlaced``; 1-256 characters.
        payload: JSON text of any JSON value; kept exactly as given.
        metadata: JSON text of an object (correlationId, causationId, and what you like).
        uid: a UUID, as text or `uuid.UUID`, that makes a retry of this append harmless at any later time;
            without one, the store makes a UUIDv7 for each append. It's kept as text in lower case.

    Raises:
        InvalidEventName, InvalidJson, InvalidEventUid: what is wrong and how to repair it.
    """

    name: str
    payload: str = "null"
    metadata: str = "{}"
    uid: str | None = None

    def __post_init__(self) -> None:
        check_event_name(self.name)
        check_json(self.payload, field="payload")
        if self.metadata != "{}":
            check_json(self.metadata, field="metadata", only_object=True)
        if self.uid is not None:
            object.__setattr__(self, "uid", check_uid(self.uid, field="eventUid"))

    @classmethod
    def of(
        cls,
        name: str,
        payload: Any = None,
        *,
        metadata: dict[str, Any] | None = None,
        uid: str | UUID | None = None,
    ) -> NewEvent:
        """Make an event from plain Python values: ``NewEvent.of("OrderPlaced", {"total": 12})``.

        Raises:
            InvalidJson: a value that JSON doesn't know, or two keys of which JSON makes one name (1 and "1").
            InvalidEventName, InvalidEventUid: what is wrong and how to repair it.
        """
        return cls(
            name=name,
            payload=to_json(payload),
            metadata="{}" if metadata is None else to_json(metadata, field="metadata"),
            uid=None if uid is None else check_uid(uid, field="eventUid"),
        )


@dataclass(frozen=True, slots=True)
class Event:
    """An event as the store keeps it; it never changes and never disappears."""

    stream_id: str
    event_id: int
    """Its place in its stream: 1, 2, 3 ... without gaps."""
    name: str
    payload: str
    """JSON text, exactly as it was sent."""
    metadata: str
    """JSON text of an object."""
    uid: str
    timestamp_us: int
    """Microseconds since 1970, UTC; strictly increasing inside a stream."""
    written_us: int | None = field(default=None, compare=False)
    """When it was written, where its Timestamp doesn't say so: it was imported, or stands behind a Timestamp
    that was ahead."""
    epoch_us: int | None = field(default=None, compare=False)
    """When the restore was declared that it was written after, in microseconds since 1970, UTC; None before a
    first one. Events that a restore has lost had the same EventIds, and another epoch."""

    @property
    def position(self) -> Position:
        """Its place in the order of all events."""
        return Position(self.timestamp_us, self.stream_id, self.event_id)

    @property
    def head(self) -> Head:
        """The head of its stream at the moment of this event: expect it to append without a read."""
        return Head(self.stream_id, self.event_id, self.timestamp_us, self.written_us)

    @property
    def time(self) -> datetime:
        """Its Timestamp as an aware datetime (UTC)."""
        return from_us(self.timestamp_us)

    def metadata_data(self) -> dict[str, Any]:
        """Parse the metadata: correlationId, causationId, and what the writer has added."""
        found: dict[str, Any] = json.loads(self.metadata)
        return found

    def data(self, **options: Any) -> Any:
        """Parse the payload: `json.loads` and its options, for example ``parse_float=Decimal``."""
        return json.loads(self.payload, **options)


class EventSlots:
    """The slots of an `Event` while they're being filled; `freeze` makes an `Event` of them.

    For readers of many events. `Event(...)` fills each slot of a frozen dataclass through
    `object.__setattr__`, and that took more CPU than all else between an item and its event: 2.3 µs an event
    that way, 1.1 µs this way. It's an object of `Event` and of nothing else in the end: same layout, and
    Python checks that it is.
    """

    __slots__ = Event.__slots__

    stream_id: str
    event_id: int
    name: str
    payload: str
    metadata: str
    uid: str
    timestamp_us: int
    written_us: int | None
    epoch_us: int | None

    def freeze(self) -> Event:
        """Become an event, which nobody can change any more; call it when all slots are filled."""
        event: Any = self
        event.__class__ = Event
        return event  # type: ignore[no-any-return]


@dataclass(frozen=True, slots=True)
class Head:
    """The last event of a stream that its holder has seen: the proof that spares an append its read.

    Take it from a read, an append or `EventStore.head`, never from thin air: an append that expects
    a made-up head could leave a gap. It doesn't outlive a restore of the table: drop it then, with the
    state that belongs to it; `execute` notices it, an append that expects it does not.
    """

    stream_id: str
    version: int
    """The last EventId; 0 for a stream without events."""
    timestamp_us: int
    """The last event's Timestamp; 0 for a stream without events."""
    written_us: int | None = field(default=None, compare=False)
    """As of the last event: see `Event.written_us`."""


def check_stream_id(stream_id: str, *, field: str = "streamId") -> str:
    """Return a stream id that is fit to be one.

    Raises:
        InvalidStreamId: it is empty, over 1,024 bytes of UTF-8, reserved, or has control characters.
    """
    if not isinstance(stream_id, str) or not stream_id:
        raise InvalidStreamId(field, "has to be a text of at least one character")
    _check_characters(stream_id, field, InvalidStreamId)
    size_bytes = len(stream_id) if stream_id.isascii() else len(stream_id.encode())
    if size_bytes > STREAM_ID_MAX_BYTES:
        raise InvalidStreamId(
            field, f"has {size_bytes:,} bytes of UTF-8; it may have {STREAM_ID_MAX_BYTES:,}"
        )
    if stream_id.startswith(RESERVED_STREAM_ID_PREFIX):
        raise InvalidStreamId(
            field, f"begins with {RESERVED_STREAM_ID_PREFIX!r}, which is reserved; begin otherwise"
        )
    return stream_id


def check_event_name(name: str, *, field: str = "eventName") -> str:
    """Return a name that is fit to be an event's.

    Raises:
        InvalidEventName: it has not 1 to `EVENT_NAME_MAX_CHARS` characters, or a control character.
    """
    if not isinstance(name, str) or not 1 <= len(name) <= EVENT_NAME_MAX_CHARS:
        raise InvalidEventName(field, f"has to have 1 to {EVENT_NAME_MAX_CHARS} characters")
    _check_characters(name, field, InvalidEventName)
    return name


def check_stream_prefix(prefix: str, *, field: str = "streamPrefix") -> str:
    """Return a text with which stream ids can begin; an empty one is that of all.

    Raises:
        InvalidStreamId: no stream's id begins so.
    """
    return check_stream_id(prefix, field=field) if prefix != "" else prefix


def check_head(head: object, stream_id: str, *, field: str) -> None:
    """Check that what is given as a stream's head can be one.

    Raises:
        InvalidExpectedVersion: it's no `Head`, another stream's, or one that no read or append returns.
    """
    if not isinstance(head, Head):
        raise InvalidExpectedVersion(field, f"has to be a Head, not {type(head).__name__}")
    if head.stream_id != stream_id:
        raise InvalidExpectedVersion(
            field, f"is the head of stream {head.stream_id!r}; give this stream's own head"
        )
    if not is_whole(head.version) or not 0 <= head.version <= VERSION_MAX:
        why = f"is a Head of version {shown(head.version)}; versions run from 0 to {VERSION_MAX}"
        raise InvalidExpectedVersion(field, why)
    latest_us = TIMESTAMP_MAX_US if head.version else 0
    if not is_whole(head.timestamp_us) or not 0 <= head.timestamp_us <= latest_us:
        why = f"is a Head of version {head.version} with the Timestamp {shown(head.timestamp_us)}"
        raise InvalidExpectedVersion(field, f"{why}, which no event has; take it from a read or an append")


def check_limit(limit: int | None) -> None:
    """Check that a limit, where there is one, is from 1 to `VERSION_MAX`.

    Raises:
        InvalidLimit: it isn't, or is no whole number.
    """
    if limit is not None and not is_whole(limit):
        raise InvalidLimit("limit", f"has to be a whole number, not {type(limit).__name__}")
    if limit is not None and not 1 <= limit <= VERSION_MAX:
        why = f"is {shown(limit)}; ask for 1 to {VERSION_MAX}, or leave it out for all"
        raise InvalidLimit("limit", why)


def check_stored(event: Event) -> None:
    """Check an event that is stored already, by the rules of every version that can have written it.

    Raises:
        InvalidInput: no version of this library has appended it so.
    """
    check_event_name(event.name)
    check_json(event.payload, field="payload", stored=True)
    if event.metadata != "{}":
        check_json(event.metadata, field="metadata", only_object=True, stored=True)
    if check_uid(event.uid, field="eventUid") != event.uid:
        # Uids are compared as texts: a repeat of this one would not be known.
        raise InvalidEventUid("eventUid", f"is {event.uid}, in capitals; write it in lower case")


def _check_characters(text: str, field: str, error: type[InvalidInput]) -> None:
    if text.isascii() and text.isprintable():
        return
    found = _CONTROL.search(text)
    if found:
        what = f"the control character U+{ord(found[0]):04X} at character {found.start()}"
        raise error(field, f"has {what}; leave it out")
    try:
        text.encode()
    except UnicodeEncodeError as cause:
        what = f"a lone surrogate at character {cause.start}"
        raise error(field, f"has {what}; send the whole character") from cause
