"""The fields that several of the API's models have: their types, with what OpenAPI says of them.

Limits of values stand in the schemas only; they are checked by the domain, which says what is wrong.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Raw

from eventstore.limits import EVENT_NAME_MAX_CHARS, TRANSACTION_MAX_EVENTS, VERSION_MAX

Name = Annotated[
    str,
    Meta(
        description="What happened, past tense.",
        examples=["OrderPlaced"],
        extra_json_schema={"minLength": 1, "maxLength": EVENT_NAME_MAX_CHARS},
    ),
]
Payload = Annotated[
    Raw,
    Meta(
        description="Any JSON value. Kept as text: every number and every space stays as it was sent.",
        examples=[{"total": 12.50}],
    ),
]
Metadata = Annotated[
    Raw,
    Meta(
        description="What is known beyond what happened: correlationId, causationId, or anything.",
        examples=[{"correlationId": "c-1"}],
        extra_json_schema={"type": "object"},
    ),
]
Uid = Annotated[
    str,
    Meta(
        description="The event's own UUID.",
        examples=["01890a5d-ac96-774b-bcce-b302099a8057"],
        extra_json_schema={"format": "uuid"},
    ),
]
Time = Annotated[
    str,
    Meta(
        description="UTC, to the microsecond; it only rises inside a stream.",
        examples=["2026-01-31T09:30:00.123456Z"],
        extra_json_schema={"format": "date-time"},
    ),
]
StreamId = Annotated[str, Meta(examples=["order-1"])]
EventId = Annotated[
    int, Meta(description="The event's place in its stream: 1, 2, 3 ... without gaps.", examples=[3])
]
Position = Annotated[
    str,
    Meta(
        description="A place in the order of all events: opaque, stays valid. Give it as `after`.",
        examples=["MS8xNzY5ODUxODAwMTIzNDU2LzMvb3JkZXItMQ"],
    ),
]
LogPosition = Annotated[
    str,
    Meta(
        description="A place in the log: opaque, stays valid. Give it as `after`.",
        examples=["Mi9BQUVDQXdRRkJnY0lDUW9MLzMuMC8xLjAvMS4wLzEuMA"],
    ),
]
Version = Annotated[
    int, Meta(extra_json_schema={"minimum": 0, "maximum": VERSION_MAX - TRANSACTION_MAX_EVENTS})
]
