"""The JSON of the API: what is sent and what is answered. OpenAPI is made from these classes.

What is said of replays is in `replay_models`, what their fields have in common in `fields`.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import UNSET, DecodeError, Meta, Raw, Struct, UnsetType

from eventstore.errors import MalformedItem
from eventstore.events import Event
from eventstore.http.fields import (
    EventId,
    LogPosition,
    Metadata,
    Name,
    Payload,
    Position,
    StreamId,
    Time,
    Uid,
    Version,
)
from eventstore.limits import (
    TRANSACTION_MAX_EVENTS,
    UID_SEARCH_MAX_BYTES,
    UID_SEARCH_MAX_EVENTS,
    UID_SKEW_S,
)
from eventstore.log.model import LogEntry
from eventstore.positions import time_text
from eventstore.store import Appended


class EventToAppend(Struct, rename="camel", forbid_unknown_fields=True):
    """An event to be appended."""

    event_name: Name
    payload: Payload
    metadata: Metadata | UnsetType = UNSET
    event_uid: (
        Annotated[
            Uid,
            Meta(
                description="A UUID of your own, the same on every try: then the same append, with the same "
                "uids and the same `expectedVersion`, is written once, at any later time. Give it to all "
                f"events of an append, or to none. A UUIDv7 more than {UID_SKEW_S:g} s ahead of our clock "
                "is refused, whatever is expected. With `any` and `exists` the stream is searched for it: a "
                f"UUIDv7 back to {UID_SKEW_S:g} s before it was made, another in all of it, and in no more "
                f"than {UID_SEARCH_MAX_EVENTS:,} events or {UID_SEARCH_MAX_BYTES // 1_024 // 1_024} MB. What "
                "isn't ruled out by then is refused (uid-not-searchable).",
            ),
        ]
        | UnsetType
    ) = UNSET


class AppendRequest(Struct, rename="camel", forbid_unknown_fields=True):
    """Events to append to one stream, all of them or none."""

    expected_version: Annotated[
        Version | Literal["any", "exists"],
        Meta(
            description="Where you know the stream to be: the eventId of its last event, 0 for a stream "
            "without events; `any` appends behind whatever is there, `exists` behind at least one event. "
            "Repeat an append with the same `expectedVersion` and the same uids.",
            examples=[0],
        ),
    ]
    events: Annotated[
        list[EventToAppend], Meta(extra_json_schema={"minItems": 1, "maxItems": TRANSACTION_MAX_EVENTS})
    ]


class AppendedEvent(Struct, rename="camel"):
    """What the store has given an appended event."""

    event_id: EventId
    event_uid: Uid
    timestamp: Time


class AppendAnswer(Struct, rename="camel"):
    """What was appended, by this request or an earlier try of it."""

    stream_id: StreamId
    version: Annotated[
        int,
        Meta(description="The eventId of the last event appended: the next append expects it.", examples=[3]),
    ]
    events: list[AppendedEvent]


class StoredEvent(Struct, rename="camel"):
    """An event; it never changes."""

    stream_id: StreamId
    event_id: EventId
    event_name: Name
    payload: Payload
    metadata: Metadata
    event_uid: Uid
    timestamp: Time


class PositionedEvent(StoredEvent, rename="camel"):
    """An event and its place among the events of all streams."""

    position: Position


class StreamPage(Struct, rename="camel"):
    """Events of one stream, in order."""

    stream_id: StreamId
    events: list[StoredEvent]
    next: Annotated[
        int | None,
        Meta(
            description="The version that the next page begins with: give it as `from`, or as `to` when "
            "reading backward, and leave the rest as it is. Null: the range has no more events.",
            examples=[101],
        ),
    ]


class StreamDescription(Struct, rename="camel"):
    """Where a stream is."""

    stream_id: StreamId
    version: Annotated[int, Meta(description="The eventId of its last event.", examples=[3])]
    first_timestamp: Time
    last_timestamp: Time


class AllEventsPage(Struct, rename="camel"):
    """Events of all streams in time order: by (timestamp, streamId, eventId)."""

    events: list[PositionedEvent]
    next: Annotated[
        Position | None,
        Meta(
            description="Give it as `after` for the next page. Null: everything settled in the range has "
            "been given; for what settles later, ask again after a while with `checkpoint` as `after`.",
        ),
    ]
    checkpoint: Annotated[
        Position | None,
        Meta(
            description="How far this page has looked: the position of its last event, or, with `name`, of "
            "the last event it left out; the `after` you gave when there was none. Store it once the page's "
            "events are handled, and go on with it as `after`. Null: nothing has settled yet; go on without.",
        ),
    ]
    settled_until: Annotated[
        Time,
        Meta(
            description="Events from this time on are held back, since others may still appear before them.",
        ),
    ]


class LoggedEntry(Struct, rename="camel"):
    """The address of an event in the log; read its stream for the event."""

    stream_id: StreamId
    event_id: EventId
    event_name: Name
    timestamp: Time


class ClosedBlocks(Struct, rename="camel"):
    """Blocks of a tranche of the log that were lost."""

    tranche: Annotated[int, Meta(ge=0)]
    first: Annotated[int, Meta(ge=1, description="The number of the first one in its tranche.")]
    last: Annotated[int, Meta(ge=1)]


class LogEntriesPage(Struct, rename="camel"):
    """Entries of the log, each stream's in order; an entry can come twice."""

    entries: list[LoggedEntry]
    next: Annotated[
        LogPosition | None,
        Meta(
            description="Give it as `after` for the next page. Null: the log had no more; ask again after a "
            "while with `checkpoint` as `after`.",
        ),
    ]
    checkpoint: Annotated[
        LogPosition,
        Meta(
            description="The place behind this page's entries. Store it once they are handled, and go on "
            "with it as `after`: nothing will ever be logged before it.",
        ),
    ]
    closed: Annotated[
        list[ClosedBlocks],
        Meta(
            description="Blocks on the way to this page's entries that were lost and closed by the operator. "
            "Nothing is to be done: their events are logged again, perhaps behind later ones of a stream."
        ),
    ]


class Problem(Struct, rename="camel", omit_defaults=True):
    """What went wrong, as RFC 9457 has it. Nothing was written unless the type says otherwise."""

    type: Annotated[
        str,
        Meta(
            description="Which problem it is; it never changes.",
            examples=["urn:eventstore:problem:version-conflict"],
        ),
    ]
    title: str
    status: int
    detail: Annotated[str, Meta(description="What is wrong here, and how to repair it.")]
    field: Annotated[
        str | UnsetType,
        Meta(description="Where: a field of the body or a parameter.", examples=["events[2].payload"]),
    ] = UNSET
    stream_id: str | UnsetType = UNSET
    event_id: int | UnsetType = UNSET
    expected: Annotated[
        int | str | UnsetType, Meta(description="The version that the append expected.", examples=[3])
    ] = UNSET
    actual: Annotated[
        int | UnsetType, Meta(description="The stream's version when the conflict was seen.", examples=[5])
    ] = UNSET
    uid: str | UnsetType = msgspec.field(default=UNSET, name="eventUid")
    differs: Annotated[
        str | UnsetType, Meta(description="What the stored event has otherwise.", examples=["payload"])
    ] = UNSET
    stored: Annotated[
        dict[str, int] | UnsetType, Meta(description="The eventIds of stored events, by their uids.")
    ] = UNSET
    target: str | UnsetType = UNSET
    replay_id: str | UnsetType = UNSET
    replay_status: str | UnsetType = UNSET
    count: int | UnsetType = UNSET
    limit: int | UnsetType = UNSET
    size_bytes: int | UnsetType = UNSET
    limit_bytes: int | UnsetType = UNSET
    allow: Annotated[list[str] | UnsetType, Meta(description="The methods that the path takes.")] = UNSET


def append_answer(appended: Appended) -> AppendAnswer:
    """Return what was appended."""
    return AppendAnswer(
        stream_id=appended.stream_id,
        version=appended.version,
        events=[
            AppendedEvent(event_id=of.event_id, event_uid=of.uid, timestamp=time_text(of.timestamp_us))
            for of in appended.events
        ],
    )


def stored_event(event: Event) -> StoredEvent:
    """Return what an event is, its payload untouched."""
    return StoredEvent(**_fields(event))


def positioned_event(event: Event) -> PositionedEvent:
    """Return what an event is and where it stands among all of them."""
    return PositionedEvent(**_fields(event), position=str(event.position))


def _raw(event: Event, attribute: str, text: str) -> Raw:
    # Scanned, not converted: an item written by hand must not make the whole answer unreadable.
    try:
        _scan(text)
    except (DecodeError, RecursionError) as error:
        raise MalformedItem(
            stream_id=event.stream_id,
            event_id=event.event_id,
            reason=f"its {attribute} is not JSON: {error}; repair or delete the item",
        ) from error
    return Raw(text)


_scan: Final = msgspec.json.Decoder(Raw).decode


def logged_entry(entry: LogEntry) -> LoggedEntry:
    """Return which event an entry of the log is about."""
    return LoggedEntry(
        stream_id=entry.stream_id,
        event_id=entry.event_id,
        event_name=entry.name,
        timestamp=time_text(entry.timestamp_us),
    )


def _fields(event: Event) -> dict[str, Any]:
    return {
        "stream_id": event.stream_id,
        "event_id": event.event_id,
        "event_name": event.name,
        "payload": _raw(event, "Payload", event.payload),
        "metadata": _raw(event, "Metadata", event.metadata),
        "event_uid": event.uid,
        "timestamp": time_text(event.timestamp_us),
    }
