"""The JSON of the API: what is sent and what is answered. OpenAPI is made from these classes.

Limits of values stand in the schemas only; they are checked by the domain, which says what is wrong.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import msgspec
from msgspec import UNSET, DecodeError, Meta, Raw, Struct, UnsetType, field

from eventstore.errors import MalformedItem
from eventstore.events import Event, NewEvent
from eventstore.http.times import format_time
from eventstore.limits import (
    EVENT_NAME_MAX_CHARS,
    REPLAY_EVENTS_PER_SECOND_MAX,
    TRANSACTION_MAX_EVENTS,
    VERSION_MAX,
)
from eventstore.log import LogEntry
from eventstore.store import ANY, EXISTS, Appended, Expected

if TYPE_CHECKING:
    from eventstore.replays import Replay

_Name = Annotated[
    str,
    Meta(
        description="What happened, past tense.",
        examples=["OrderPlaced"],
        extra_json_schema={"minLength": 1, "maxLength": EVENT_NAME_MAX_CHARS},
    ),
]
_Payload = Annotated[
    Raw,
    Meta(
        description="Any JSON value. Kept as text: every number and every space stays as it was sent.",
        examples=[{"total": 12.50}],
    ),
]
_Metadata = Annotated[
    Raw,
    Meta(
        description="What is known besides what happened: correlationId, causationId, or anything.",
        examples=[{"correlationId": "c-1"}],
        extra_json_schema={"type": "object"},
    ),
]
_Uid = Annotated[
    str,
    Meta(
        description="The event's own UUID.",
        examples=["01890a5d-ac96-774b-bcce-b302099a8057"],
        extra_json_schema={"format": "uuid"},
    ),
]
_Time = Annotated[
    str,
    Meta(
        description="UTC, to the microsecond; it only rises inside a stream.",
        examples=["2026-01-31T09:30:00.123456Z"],
        extra_json_schema={"format": "date-time"},
    ),
]
_StreamId = Annotated[str, Meta(examples=["order-1"])]
_EventId = Annotated[
    int, Meta(description="The event's place in its stream: 1, 2, 3 ... without gaps.", examples=[3])
]
_Position = Annotated[
    str,
    Meta(
        description="A place in the order of all events: opaque, stays valid. Give it as `after`.",
        examples=["MS8xNzY5ODUxODAwMTIzNDU2LzMvb3JkZXItMQ"],
    ),
]
_LogPosition = Annotated[
    str,
    Meta(
        description="A place in the log: opaque, stays valid. Give it as `after`.",
        examples=["MS8zLjAvMS4wLzEuMC8xLjA"],
    ),
]
_Version = Annotated[
    int, Meta(extra_json_schema={"minimum": 0, "maximum": VERSION_MAX - TRANSACTION_MAX_EVENTS})
]


class EventToAppend(Struct, rename="camel", forbid_unknown_fields=True):
    """An event to be appended."""

    event_name: _Name
    payload: _Payload
    metadata: _Metadata | UnsetType = UNSET
    event_uid: (
        Annotated[
            _Uid,
            Meta(
                description="A UUID of your own, the same on every try: then a retry appends nothing twice, "
                "at any later time. Give it to all events of an append, or to none.",
            ),
        ]
        | UnsetType
    ) = UNSET


class AppendRequest(Struct, rename="camel", forbid_unknown_fields=True):
    """Events to append to one stream, all of them or none."""

    expected_version: Annotated[
        _Version | Literal["any", "exists"],
        Meta(
            description="Where you know the stream to be: the eventId of its last event, 0 for a stream "
            "without events; `any` appends behind whatever is there, `exists` behind at least one event.",
            examples=[0],
        ),
    ]
    events: Annotated[
        list[EventToAppend], Meta(extra_json_schema={"minItems": 1, "maxItems": TRANSACTION_MAX_EVENTS})
    ]


class AppendedEvent(Struct, rename="camel"):
    """What the store has given an appended event."""

    event_id: _EventId
    event_uid: _Uid
    timestamp: _Time


class AppendAnswer(Struct, rename="camel"):
    """What was appended, by this request or an earlier try of it."""

    stream_id: _StreamId
    version: Annotated[
        int,
        Meta(description="The eventId of the last event appended: the next append expects it.", examples=[3]),
    ]
    events: list[AppendedEvent]


class StoredEvent(Struct, rename="camel"):
    """An event; it never changes."""

    stream_id: _StreamId
    event_id: _EventId
    event_name: _Name
    payload: _Payload
    metadata: _Metadata
    event_uid: _Uid
    timestamp: _Time


class PositionedEvent(StoredEvent, rename="camel"):
    """An event and its place among the events of all streams."""

    position: _Position


class StreamPage(Struct, rename="camel"):
    """Events of one stream, in order."""

    stream_id: _StreamId
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

    stream_id: _StreamId
    version: Annotated[int, Meta(description="The eventId of its last event.", examples=[3])]
    first_timestamp: _Time
    last_timestamp: _Time


class AllEventsPage(Struct, rename="camel"):
    """Events of all streams in time order: by (timestamp, streamId, eventId)."""

    events: list[PositionedEvent]
    next: Annotated[
        _Position | None,
        Meta(
            description="Give it as `after` for the next page. Null: everything settled in the range has "
            "been given; for what settles later, ask again after a while with `checkpoint` as `after`.",
        ),
    ]
    checkpoint: Annotated[
        _Position | None,
        Meta(
            description="How far this page has looked: the position of its last event, or, with `name`, of "
            "the last event it left out; the `after` you gave when there was none. Store it once the page's "
            "events are handled, and go on with it as `after`. Null: nothing has settled yet; go on without.",
        ),
    ]
    settled_until: Annotated[
        _Time,
        Meta(
            description="Events from this time on are held back, since others may still appear before them.",
        ),
    ]


class LoggedEntry(Struct, rename="camel"):
    """The address of an event in the log; read its stream for the event."""

    stream_id: _StreamId
    event_id: _EventId
    event_name: _Name
    timestamp: _Time


class LogEntriesPage(Struct, rename="camel"):
    """Entries of the log, each stream's in order."""

    entries: list[LoggedEntry]
    next: Annotated[
        _LogPosition | None,
        Meta(
            description="Give it as `after` for the next page. Null: the log had no more; ask again after a "
            "while with `checkpoint` as `after`.",
        ),
    ]
    checkpoint: Annotated[
        _LogPosition,
        Meta(
            description="The place behind this page's entries. Store it once they are handled, and go on "
            "with it as `after`: nothing will ever be logged before it.",
        ),
    ]


class StartReplay(Struct, rename="camel"):
    """What to send once more, and to whom."""

    target: Annotated[
        str,
        Meta(
            description="The ARN of the one consumer: an SQS queue, a Lambda function or an EventBridge bus.",
            examples=["arn:aws:sqs:eu-central-1:123456789012:rebuild"],
        ),
    ]
    from_: Annotated[
        str | UnsetType,
        Meta(
            description="The first time to send; the beginning when left out.",
            extra_json_schema={"format": "date-time"},
        ),
    ] = field(name="from", default=UNSET)
    to: Annotated[
        str,
        Meta(
            description="The first time to leave out, RFC 3339; or `now`: all that was written before this "
            "request, the replay ends once that has settled and was sent.",
        ),
    ] = "now"
    names: Annotated[list[_Name], Meta(description="Send only events of these names; none: all.")] = []
    stream_prefix: Annotated[str, Meta(description="Send only streams whose ids begin so.")] = ""
    events_per_second: Annotated[
        int | UnsetType,
        Meta(
            description="Send no faster than that, counted over some seconds.",
            extra_json_schema={"minimum": 1, "maximum": REPLAY_EVENTS_PER_SECOND_MAX},
        ),
    ] = UNSET


class ReplayAnswer(Struct, rename="camel"):
    """A replay and how far it is."""

    replay_id: Annotated[
        str,
        Meta(
            description="Stands as `replayid` in everything that it sends.",
            examples=["01890a5d-ac96-774b-bcce-b302099a8057"],
        ),
    ]
    status: Literal["running", "paused", "failed", "completed", "cancelled"]
    reason: Annotated[
        str | None,
        Meta(description="Why it failed, or why its target didn't take what it tried to send last."),
    ]
    target: str
    from_: _Time | None = field(name="from")
    to: _Time
    names: list[_Name]
    stream_prefix: str
    events_per_second: int | None
    requested: _Time
    ended: _Time | None
    sent: Annotated[int, Meta(description="Messages that the target has taken, repeats included.")]
    position: Annotated[_Position | None, Meta(description="Everything wanted up to this position was sent.")]
    position_time: Annotated[_Time | None, Meta(description="The time of the event at `position`.")]
    rate: Annotated[float | None, Meta(description="Events a second while it was running.", examples=[412.5])]
    time_left_s: Annotated[
        int | None,
        Meta(
            description="An estimate of the seconds until it is through, from how long the time range so far "
            "has taken. Null when it isn't running, or can't tell yet.",
        ),
    ]


class ReplayList(Struct, rename="camel"):
    """The replays that were asked for last, the newest first."""

    replays: list[ReplayAnswer]


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
    detail: Annotated[str, Meta(description="What is wrong here, and how to mend it.")]
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
    target: str | UnsetType = UNSET
    replay_id: str | UnsetType = UNSET
    replay_status: str | UnsetType = UNSET
    count: int | UnsetType = UNSET
    limit: int | UnsetType = UNSET
    size_bytes: int | UnsetType = UNSET
    limit_bytes: int | UnsetType = UNSET
    allow: Annotated[list[str] | UnsetType, Meta(description="The methods that the path takes.")] = UNSET


_EXPECTATIONS: Final = {"any": ANY, "exists": EXISTS}


def expected_of(request: AppendRequest) -> Expected:
    """Return what the append expects in the words of the store."""
    expected = request.expected_version
    return _EXPECTATIONS[expected] if isinstance(expected, str) else expected


def new_event(event: EventToAppend) -> NewEvent:
    """Make a new event of what was sent, its payload untouched.

    Raises:
        InvalidEventName, InvalidJson, InvalidEventUid: what is wrong and how to mend it.
    """
    return NewEvent(
        name=event.event_name,
        payload=bytes(event.payload).decode(),
        metadata="{}" if event.metadata is UNSET else bytes(event.metadata).decode(),
        uid=None if event.event_uid is UNSET else event.event_uid,
    )


def append_answer(appended: Appended) -> AppendAnswer:
    """Say what was appended."""
    return AppendAnswer(
        stream_id=appended.stream_id,
        version=appended.version,
        events=[
            AppendedEvent(event_id=of.event_id, event_uid=of.uid, timestamp=format_time(of.timestamp_us))
            for of in appended.events
        ],
    )


def stored_event(event: Event) -> StoredEvent:
    """Say what an event is, its payload untouched."""
    return StoredEvent(**_fields(event))


def positioned_event(event: Event) -> PositionedEvent:
    """Say what an event is and where it stands among all of them."""
    return PositionedEvent(**_fields(event), position=str(event.position))


def _raw(event: Event, attribute: str, text: str) -> Raw:
    # Scanned, not converted: an item written by hand must not make the whole answer unreadable.
    try:
        _scan(text)
    except (DecodeError, RecursionError) as error:
        raise MalformedItem(
            stream_id=event.stream_id,
            event_id=event.event_id,
            reason=f"its {attribute} is not JSON: {error}; mend or delete the item",
        ) from error
    return Raw(text)


_scan: Final = msgspec.json.Decoder(Raw).decode


def logged_entry(entry: LogEntry) -> LoggedEntry:
    """Say which event an entry of the log is about."""
    return LoggedEntry(
        stream_id=entry.stream_id,
        event_id=entry.event_id,
        event_name=entry.name,
        timestamp=format_time(entry.timestamp_us),
    )


def _fields(event: Event) -> dict[str, Any]:
    return {
        "stream_id": event.stream_id,
        "event_id": event.event_id,
        "event_name": event.name,
        "payload": _raw(event, "Payload", event.payload),
        "metadata": _raw(event, "Metadata", event.metadata),
        "event_uid": event.uid,
        "timestamp": format_time(event.timestamp_us),
    }


def replay_answer(replay: Replay) -> ReplayAnswer:
    """Say what a replay is and how far."""
    position = replay.position
    return ReplayAnswer(
        replay_id=replay.replay_id,
        status=replay.status.value,
        reason=replay.reason or None,
        target=replay.target,
        from_=None if replay.from_us is None else format_time(replay.from_us),
        to=format_time(replay.to_us),
        names=list(replay.names),
        stream_prefix=replay.stream_prefix,
        events_per_second=replay.events_per_second,
        requested=format_time(replay.requested_us),
        ended=None if replay.ended_us is None else format_time(replay.ended_us),
        sent=replay.sent,
        position=None if position is None else str(position),
        position_time=None if position is None else format_time(position.timestamp_us),
        rate=None if replay.rate is None else round(replay.rate, 1),
        time_left_s=replay.time_left_s,
    )
