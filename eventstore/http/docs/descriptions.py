"""What the OpenAPI document says of the API and of each operation: in words, and the parameters."""

from __future__ import annotations

from typing import Any, Final

from eventstore.limits import (
    IDEMPOTENCY_KEY_MAX_CHARS,
    JSON_NUMBER_MAX_CHARS,
    PAGE_DEFAULT_EVENTS,
    PAGE_MAX_EVENTS,
    REPLAYS_PAGE_MAX,
    REQUEST_MAX_BYTES,
    RESPONSE_MAX_BYTES,
    STREAM_ID_MAX_BYTES,
    TRANSACTION_MAX_EVENTS,
    VERSION_MAX,
)

ABOUT: Final = f"""\
Streams of events with optimistic locking, all events in time order, and the log of them.

A stream's version is the eventId of its last event; a stream without events has version 0. Payloads and \
metadata come back exactly as they were sent, every digit of every number included: read them with a \
parser that keeps them.

Every error is a problem (RFC 9457) with a stable `type`; docs/problems.md lists them all. What a gateway \
answers before the API is reached (401, 403, 429, a body it does not take) has the gateway's own form. How \
to authenticate depends on the deployment: IAM unless it was chosen otherwise.

A page ends early when its events reach {RESPONSE_MAX_BYTES // 1_048_576} MB; its `next` goes on from \
there. Unknown fields and query parameters are refused, repeated ones too, and so are headers that put a \
condition on a request (If-Match, Idempotency-Key) where an operation does not heed them. HEAD is answered \
as GET, without the body and at its cost. Send `x-correlation-id` to find a request in the logs; every \
answer has one.
"""

_STREAM_ID: Final = f"""\
Any text of 1 to {STREAM_ID_MAX_BYTES:,} bytes of UTF-8 without control characters, not beginning with \
`$`, that a path carries through every gateway: no `%`, `?`, `#` and backslash, no slash at its beginning \
or end and no two in a row, no segment of one or two dots alone, no `/events` at its end. Others are \
refused, also when they are only read: something on the way could make another stream's id of them. Escape \
it once (encodeURIComponent, urllib.parse.quote with safe=''). Check an id of unknown origin before you put \
it into a path: what a client or a gateway makes of `..` or `%2Fevents` before the API sees it can't be \
known here.
"""

_POLLING: Final = f"""\
Settled events only: those older than the settling time, which come complete and in an order that never \
changes as long as no writer takes longer than it, and the index lags by less. `settledUntil` says how far \
that is.

To read everything once: ask with `after` = the `next` of the page before, until `next` is null.

To follow: handle a page's events, store its `checkpoint`, ask with `after` = that; when `next` is null, \
wait a little before asking again. Whoever does that gets every event, in order, at least once; after a \
failure, some of them again: (streamId, eventId) names an event. A checkpoint stays valid whatever is \
deployed.

With `name` a request looks at {PAGE_MAX_EVENTS:,} events at most, so a page may have few events or none \
while `next` is set: go on until it is null.
"""

_LOG: Final = """\
The log is the order in which events were put down once and for all. It has each event's address: read the \
stream for the event. Each stream's entries come in order, but for those logged late after a failure, and \
nothing is ever logged before what was read; streams have no order among each other. An event is logged \
shortly after its append.

To follow: handle a page's entries, store its `checkpoint`, ask with `after` = that; when `next` is null, \
wait a little before asking again. Keep with the checkpoint, of each stream, up to which eventId all is \
handled. An entry that is not above it is a repeat: drop it. For one that is, read the stream from there up \
to the entry's eventId and handle all of it: an entry can be missing, or come late, behind a later one. So \
the number of entries is not the number of events. A checkpoint stays valid whatever is deployed.
"""


def _parameter(
    name: str, schema: dict[str, Any], description: str, *, example: Any = None, where: str = "query"
) -> dict[str, Any]:
    parameter = {
        "name": name,
        "in": where,
        "required": where == "path",
        "description": description,
        "schema": schema,
    }
    return parameter if example is None else {**parameter, "example": example}


_VERSION: Final = {"type": "integer", "minimum": 1, "maximum": VERSION_MAX}
_TIME: Final = {"type": "string", "format": "date-time"}
_STREAM_PARAMETER: Final = _parameter(
    "streamId", {"type": "string", "minLength": 1}, _STREAM_ID, example="order-1", where="path"
)
_LIMIT: Final = _parameter(
    "limit",
    {"type": "integer", "minimum": 1, "maximum": PAGE_MAX_EVENTS, "default": PAGE_DEFAULT_EVENTS},
    "How many events a page has at most.",
)

_REPLAY_ID: Final = _parameter(
    "replayId",
    {"type": "string", "format": "uuid"},
    "The replay's id, as the request that began it was answered.",
    where="path",
)

_IDEMPOTENCY_KEY: Final = _parameter(
    "Idempotency-Key",
    {"type": "string", "minLength": 1, "maxLength": IDEMPOTENCY_KEY_MAX_CHARS},
    "A text of your own that names this request, best a UUID. Sent again with it, the request is answered "
    "with the replay that it began, as that is by then, and with the header `Idempotent-Replay: true`. "
    "Another request with the same key is refused. Keys are kept as long as the replays.",
    example="8e03978e-40d5-43dd-bc93-6894a57f9324",
    where="header",
)

_REPLAY: Final = """\
Sends the history of all streams, or a part of it, to ONE consumer: an SQS queue, a Lambda function or an \
EventBridge bus. Nobody else sees it (but on a bus, its rules). Events go out at least once, each stream's \
in order, with the `detail-type` and `id` they were published with, and `replayid` in the detail. The target \
has to be named in the deployment's setting `replayTargets`. So many replays run at once as \
its setting `replaysAtOnce` says; another one is `queued` until one of them has ended, in the order of the \
requests.

A request without an `Idempotency-Key` begins another replay each time. With one it begins one, however \
often it is sent: when its answer got lost, or was a 503, send it again as it was.
"""

DESCRIPTIONS: Final[dict[str, dict[str, Any]]] = {
    "startReplay": {
        "summary": "Replay events to one consumer",
        "description": _REPLAY,
        "parameters": [_IDEMPOTENCY_KEY],
    },
    "listReplays": {
        "summary": "List the replays that were asked for last",
        "description": "The newest first.",
        "parameters": [
            _parameter(
                "limit",
                {"type": "integer", "minimum": 1, "maximum": REPLAYS_PAGE_MAX, "default": REPLAYS_PAGE_MAX},
                "How many replays are listed at most.",
            )
        ],
    },
    "getReplay": {
        "summary": "Tell how far a replay is",
        "description": "Strongly consistent; counted each time its position is stored.",
        "parameters": [_REPLAY_ID],
    },
    "pauseReplay": {
        "summary": "Hold a replay",
        "description": "What is just being sent, for up to a minute, may still go out, a page at most. "
        "Repeating the request is harmless.",
        "parameters": [_REPLAY_ID],
    },
    "resumeReplay": {
        "summary": "Go on with a replay",
        "description": "One that was paused or has failed goes on from its position, in its turn; what was "
        "sent beyond it is sent again, a page at most. One that is running goes on, too, by a new execution.",
        "parameters": [_REPLAY_ID],
    },
    "cancelReplay": {
        "summary": "End a replay for good",
        "description": "A page that is just being sent may still go out. Repeating the request is harmless.",
        "parameters": [_REPLAY_ID],
    },
    "appendEvents": {
        "summary": "Append events to a stream, all of them or none",
        "description": (
            f"Appends 1 to {TRANSACTION_MAX_EVENTS} events under one condition: that the stream is where "
            "you expect it. A retry with the same event uids and the same expectedVersion appends nothing "
            "twice, at any later time; it answers as the first try did, with the header "
            "`Idempotent-Replay: true`. A request takes "
            f"{REQUEST_MAX_BYTES // 1_048_576} MB as Lambda counts them: the body stands there as a JSON "
            "string, in which each of its quotation marks has two bytes. Names in the body, in its events "
            "and on the first level of metadata are given once; those inside of a payload are not looked at. "
            f"A number may have {JSON_NUMBER_MAX_CHARS:,} characters and has to be within a double's range, "
            "or common parsers could not read the event; send others as strings."
        ),
        "parameters": [_STREAM_PARAMETER],
    },
    "readStream": {
        "summary": "Read a stream",
        "description": (
            "Gives the stream's events in order, each page from where the one before has ended. A stream "
            "without events is an empty page, so that a new aggregate loads like any other."
        ),
        "parameters": [
            _STREAM_PARAMETER,
            _parameter("from", _VERSION, "The lowest eventId to read, whatever the direction."),
            _parameter("to", _VERSION, "The highest eventId to read, whatever the direction."),
            _LIMIT,
            _parameter(
                "direction",
                {"enum": ["forward", "backward"], "default": "forward"},
                "Backward begins with the highest eventId.",
            ),
            _parameter(
                "consistency",
                {"enum": ["strong", "eventual"], "default": "strong"},
                "Eventual costs half as much and may miss the newest events.",
            ),
        ],
    },
    "describeStream": {
        "summary": "Tell a stream's version, and when it began and last changed",
        "description": "Strongly consistent. A stream without events is not found here, while the page of "
        "its events is just empty: a new aggregate loads like any other, and has nothing to describe.",
        "parameters": [_STREAM_PARAMETER],
    },
    "readAll": {
        "summary": "Read the events of all streams in time order",
        "description": _POLLING,
        "parameters": [
            _parameter(
                "from",
                _TIME,
                "The first time to read. RFC 3339 with any offset, to the microsecond.",
                example="2026-01-31T10:30:00+01:00",
            ),
            _parameter("to", _TIME, "The first time to leave out; none by default."),
            _parameter(
                "after",
                {"type": "string"},
                "Go on behind this position: a `next`, a `checkpoint` or an event's `position`.",
            ),
            _LIMIT,
            _parameter(
                "name",
                {"type": "string", "minLength": 1},
                "Give only events of this name.",
                example="OrderPaid",
            ),
        ],
    },
    "readLog": {
        "summary": "Read the log: which events there are, in an order that never changes",
        "description": _LOG,
        "parameters": [
            _parameter(
                "after",
                {"type": "string"},
                "Go on behind this position: a `next` or a `checkpoint` of the log. One that lies behind the "
                "log's end, as after a restore of its table, is refused.",
            ),
            _LIMIT,
        ],
    },
    "getOpenApi": {
        "summary": "Get this document",
        "description": "The same as docs/openapi.json of the version that is deployed.",
        "parameters": [],
    },
}
"""By operation: what it does, and its parameters, in the words of OpenAPI."""
