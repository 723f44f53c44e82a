"""Problems (RFC 9457): the one table of what each error is called over HTTP."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from eventstore import errors as domain
from eventstore.http import errors as http
from eventstore.http.models import Problem
from eventstore.http.routes import Operation
from eventstore.limits import (
    EVENT_NAME_MAX_CHARS,
    JSON_MAX_DEPTH,
    JSON_NUMBER_MAX_CHARS,
    PAGE_MAX_EVENTS,
    RESERVED_STREAM_ID_PREFIX,
    STREAM_ID_MAX_BYTES,
    UID_SEARCH_MAX_BYTES,
    UID_SEARCH_MAX_EVENTS,
    UID_SKEW_S,
)

_URN: Final = "urn:eventstore:problem:"


@dataclass(frozen=True, slots=True)
class ProblemType:
    """A problem type; its name, once given, never changes."""

    name: str
    status: int
    title: str
    repair: str

    @property
    def urn(self) -> str:
        """The problem's `type`."""
        return f"{_URN}{self.name}"


_AGAIN_OR_ASK: Final = (
    "Try again; if it stays, give the operator the answer's x-correlation-id, under which the logs say more."
)
INTERNAL: Final = ProblemType(
    "internal",
    500,
    "The request failed on our side",
    f"{_AGAIN_OR_ASK} Only a request that writes may have been done all the same: `detail` says how to "
    "repeat it.",
)

PROBLEM_TYPES: Final[dict[type[Exception], ProblemType]] = {
    http.MalformedJson: ProblemType(
        "malformed-json",
        400,
        "The body is not JSON",
        "Send a JSON object in UTF-8; `detail` says where it breaks.",
    ),
    http.UnknownField: ProblemType(
        "unknown-field",
        400,
        "A field that the API does not have",
        "Leave the field out, or fix its spelling.",
    ),
    http.MissingField: ProblemType("missing-field", 400, "A field is missing", "Give the field."),
    http.RepeatedField: ProblemType(
        "repeated-field",
        400,
        "One name stands twice in an object",
        "Give each name of the body, of its events and of metadata once; what is inside of a payload is kept "
        "as it was sent.",
    ),
    http.WrongType: ProblemType(
        "wrong-type", 400, "A field has another type", "Send the JSON type that `detail` names."
    ),
    domain.InvalidExpectedVersion: ProblemType(
        "invalid-expected-version",
        400,
        "Invalid expected version",
        "Send the eventId of the stream's last event (0 for a stream without events), `any` or `exists`.",
    ),
    domain.EmptyAppend: ProblemType(
        "empty-append", 400, "An append without events", "Send at least one event."
    ),
    domain.TooManyEvents: ProblemType(
        "too-many-events",
        400,
        "More events than one append takes",
        "Append them in several calls, each expecting the `version` of the answer before it.",
    ),
    domain.EventTooLarge: ProblemType(
        "event-too-large",
        400,
        "An event is too large",
        "Store the large part elsewhere, for example in S3, and keep its address in the payload.",
    ),
    domain.TransactionTooLarge: ProblemType(
        "transaction-too-large",
        400,
        "The events are too large together",
        "Append them in several calls, each expecting the `version` of the answer before it.",
    ),
    domain.InvalidEventName: ProblemType(
        "invalid-event-name",
        400,
        "Invalid event name",
        f"Send 1 to {EVENT_NAME_MAX_CHARS} characters, none of them a control character.",
    ),
    domain.InvalidJson: ProblemType(
        "invalid-payload",
        400,
        "Invalid payload or metadata",
        "Send JSON as RFC 8259 has it: no NaN or Infinity, no halves of characters (lone surrogates), at "
        f"most {JSON_MAX_DEPTH} levels, numbers of at most {JSON_NUMBER_MAX_CHARS:,} characters within a "
        "double's range; metadata is an object, with each name of its first level once.",
    ),
    domain.InvalidEventUid: ProblemType(
        "invalid-event-uid",
        400,
        "Invalid event uid",
        "Send a UUID with every event of the append, or with none.",
    ),
    domain.DuplicateEventUid: ProblemType(
        "duplicate-event-uid", 400, "One event uid stands on two events", "Give each event a UUID of its own."
    ),
    domain.InvalidStreamId: ProblemType(
        "invalid-stream-id",
        400,
        "Invalid stream id",
        f"Use 1 to {STREAM_ID_MAX_BYTES:,} bytes of UTF-8, escaped in the path, without control characters, "
        f"not beginning with `{RESERVED_STREAM_ID_PREFIX}`, and of what a path can carry: no `%`, `?`, `#` "
        "and backslash, no empty segment and none of one or two dots alone, no `/events` at the end.",
    ),
    domain.InvalidPosition: ProblemType(
        "invalid-position",
        400,
        "Invalid position",
        "Give a `position`, `next` or `checkpoint` back exactly as it came.",
    ),
    domain.InvalidRange: ProblemType(
        "invalid-range", 400, "Invalid range", "Let `from` be before `to`, and versions 1 or more."
    ),
    http.InvalidTime: ProblemType(
        "invalid-time",
        400,
        "Invalid time",
        "Write it as RFC 3339 with an offset: 2026-01-31T09:30:00.123456Z.",
    ),
    domain.InvalidLimit: ProblemType(
        "invalid-limit",
        400,
        "Limit out of bounds",
        f"Ask for 1 to {PAGE_MAX_EVENTS:,} events a page and follow `next`.",
    ),
    domain.InvalidReplay: ProblemType(
        "invalid-replay",
        400,
        "The replay request is invalid",
        "Give what `detail` names.",
    ),
    domain.ReplayTargetNotAllowed: ProblemType(
        "replay-target-not-allowed",
        403,
        "The target may not be replayed to",
        "Nothing was begun. Name its ARN in the deployment's setting `replayTargets`, or use one of those.",
    ),
    domain.ReplayKeyReused: ProblemType(
        "idempotency-key-reused",
        409,
        "Another replay was asked for with this Idempotency-Key",
        "Repeat a request exactly as it was, and give a new one a key of its own; `replayId` is the other's.",
    ),
    domain.ReplayNotFound: ProblemType(
        "replay-not-found", 404, "There is no such replay", "List the replays with GET /replays."
    ),
    domain.MalformedReplay: ProblemType(
        "malformed-replay",
        500,
        "A replay is damaged",
        "Nothing is wrong with the request: the operator has to put back or delete the item that `detail` "
        "names. Other replays go on.",
    ),
    domain.ReplayOver: ProblemType(
        "replay-over",
        409,
        "The replay can't be brought into that state",
        "`replayStatus` says where it is. A replay that has completed or was cancelled is over: start a new "
        "one; one that has failed can be resumed or cancelled.",
    ),
    http.UnknownParameter: ProblemType(
        "unknown-parameter",
        400,
        "A query parameter that the operation does not have",
        "Leave it out, or fix its spelling.",
    ),
    http.RepeatedParameter: ProblemType(
        "repeated-parameter", 400, "A query parameter is given twice", "Give each query parameter once."
    ),
    http.InvalidParameter: ProblemType(
        "invalid-parameter",
        400,
        "A query parameter has a value that it can't have",
        "Give one of those that `detail` names.",
    ),
    http.UnsupportedHeader: ProblemType(
        "unsupported-header",
        400,
        "A header with a condition that the operation does not heed",
        "Leave it out, and do what `detail` names instead; `field` is the header.",
    ),
    domain.StreamNotFound: ProblemType(
        "stream-not-found",
        404,
        "The stream has no events",
        "Fix the id, or begin the stream with expectedVersion 0.",
    ),
    http.NotFound: ProblemType(
        "not-found", 404, "There is nothing at this path", "Use one of the paths that `detail` names."
    ),
    http.MethodNotAllowed: ProblemType(
        "method-not-allowed", 405, "The path does not take this method", "Use one of those in `allow`."
    ),
    domain.VersionConflict: ProblemType(
        "version-conflict",
        409,
        "Another writer was first",
        "Read what is new, from `expected` + 1 on, check your conditions again, and append again expecting "
        "the version of the last event you read.",
    ),
    domain.ExpectedVersionAhead: ProblemType(
        "expected-version-ahead",
        409,
        "The expected version does not exist",
        "Load the stream and expect the eventId of its last event; a version is never guessed.",
    ),
    domain.PartlyAppended: ProblemType(
        "partly-appended",
        409,
        "Some of the events are stored already",
        "Nothing was written. `stored` has the eventIds of those that were found, by their uids. Repeat an "
        "append with the same uids in the same order; give other events uids of their own.",
    ),
    domain.EventUidReused: ProblemType(
        "event-uid-reused",
        409,
        "A stored event has the same uid and other content",
        "Nothing was written. Repeat an append exactly as it was, or give the event a uid of its own; "
        "`eventId` is the stored event, `differs` what it has otherwise.",
    ),
    domain.UidNotSearchable: ProblemType(
        "uid-not-searchable",
        409,
        "It can't be ruled out that the append was made before",
        f"Nothing was written. With `any` or `exists`, send UUIDv7s that are made for this append: they are "
        f"looked for back to {UID_SKEW_S:g} s before they were made, other uids in the whole stream, and "
        f"either among its last {UID_SEARCH_MAX_EVENTS:,} events or "
        f"{UID_SEARCH_MAX_BYTES // 1_024 // 1_024} MB at most. So a stream that gets more than that in "
        f"{UID_SKEW_S:g} s takes no such append: expect a version, or leave the uids out. If it may have "
        "been made before, read the stream for its events first.",
    ),
    domain.TimestampOutOfRange: ProblemType(
        "timestamp-out-of-range",
        500,
        "The store can't stamp the event",
        "Nothing was written, and nothing is wrong with the request: the operator has to set the clock, or "
        "look for an event of the stream whose timestamp is wrong.",
    ),
    http.RequestTooLarge: ProblemType(
        "request-too-large", 413, "The body is too large", "Append the events in several calls."
    ),
    http.UnsupportedMediaType: ProblemType(
        "unsupported-media-type",
        415,
        "The body is not declared as JSON",
        "Send content-type: application/json, not compressed.",
    ),
    domain.MalformedItem: ProblemType(
        "malformed-item",
        500,
        "The table holds an item that is not an event",
        "Nothing is wrong with the request: the operator has to repair or delete the item in `detail`.",
    ),
    domain.StreamGap: ProblemType(
        "stream-gap",
        500,
        "Events of the stream are missing",
        "Nothing is wrong with the request: the operator has to restore what was deleted. `detail` names it.",
    ),
    domain.UnexpectedItem: ProblemType(
        "unexpected-item",
        500,
        "The store answered with something else",
        "Nothing is wrong with the request: try again; if it stays, the operator has to look for what mixes "
        "up answers between the service and DynamoDB.",
    ),
    domain.ClockSkewed: ProblemType(
        "clock-skewed",
        503,
        "The server's clock is wrong",
        "Nothing was written. Try again after `Retry-After` seconds; if it stays, the operator has to set "
        "the clock.",
    ),
    domain.MalformedStoreItem: ProblemType(
        "malformed-store-item",
        500,
        "The store's own item is damaged",
        "Nothing is wrong with the request, and nothing was written: the operator has to put back the item "
        "that `detail` names.",
    ),
    domain.RestoreNotDeclared: ProblemType(
        "restore-not-declared",
        500,
        "The restore of the store isn't declared",
        "Nothing is wrong with the request, and nothing was written: the operator has to declare the "
        "restore, as `detail` says. Streams and events can be read.",
    ),
    domain.StoreItemMissing: ProblemType(
        "store-item-missing",
        500,
        "The store's own item is gone",
        "Nothing is wrong with the request, and nothing was written: the operator has to put back the item "
        "that `detail` names. Streams can be read.",
    ),
    domain.StoreFormatUnknown: ProblemType(
        "store-format-unknown",
        500,
        "The store is of a newer format",
        "Nothing is wrong with the request, and nothing was written: the operator has to deploy the version "
        "of this API that knows the format.",
    ),
    domain.BlockMissing: ProblemType(
        "block-missing",
        500,
        "A block of the log is gone",
        "Nothing is wrong with the request: the operator has to close the block's place by "
        "`eventstore verify --repair`, which logs its events again behind the log's end. Go on from the same "
        "position then. The events themselves are not touched: read them by stream, or by time.",
    ),
    domain.MalformedBlock: ProblemType(
        "malformed-block",
        500,
        "The log is damaged",
        "Nothing is wrong with the request: the operator has to restore the log's table. The events "
        "themselves are not touched: read them by stream, or by time.",
    ),
    domain.PositionOfAnotherLog: ProblemType(
        "position-of-another-log",
        410,
        "The position is of another log",
        "The log was rebuilt since the position was given, so its entries stand in another order, or it's "
        "another store's. Drop the position and read the log from its beginning; drop each entry whose "
        "`eventId` isn't above the one up to which all of its stream is handled.",
    ),
    domain.PositionNotInLog: ProblemType(
        "position-not-in-log",
        410,
        "The position lies behind the log's end",
        "The log's table was restored or rebuilt since the position was given, or is another one. Drop the "
        "position and read the log from its beginning; drop each entry whose `eventId` isn't above the one "
        "up to which all of its stream is handled.",
    ),
    domain.StoreUnavailable: ProblemType(
        "unavailable",
        503,
        "The store can't be reached just now",
        "Try again after `Retry-After` seconds. Only a request that writes may have been done all the same: "
        "`detail` says how to repeat it.",
    ),
}
"""By error, or the nearest above it; one that is not here is `INTERNAL`, and nothing of it is told."""


def problem_type(error: Exception) -> ProblemType:
    """Return which problem an error is."""
    return next((PROBLEM_TYPES[kind] for kind in type(error).__mro__ if kind in PROBLEM_TYPES), INTERNAL)


def problem(error: Exception, operation: Operation | None = None) -> Problem:
    """Write an error as a problem: what is wrong, where, how to repair it, and the error's own data.

    Args:
        operation: what was asked for, when that is known: the way out of a 503 depends on it.
    """
    kind = problem_type(error)
    # Of the store's own troubles only the way out is told; what lies behind them is for the log.
    told = kind is not INTERNAL and not isinstance(error, domain.StoreUnavailable)
    data = {name: _plain(value) for name, value in _known(error) if name in _MEMBERS} if told else {}
    return Problem(
        type=kind.urn,
        title=kind.title,
        status=kind.status,
        detail=_plain(_sentence(error)) if told else _again(operation, is_passing=kind is not INTERNAL),
        **data,
    )


def _known(error: Exception) -> list[tuple[str, Any]]:
    return [(name, value) for name, value in vars(error).items() if value is not None]


_AGAIN: Final = "Try again after `Retry-After` seconds."
_AGAIN_WRITTEN: Final = {
    "appendEvents": "The append may have been written: repeat it with the same event uids and the same "
    "expectedVersion, and it is written once.",
    "startReplay": "The replay may have been begun: repeat the request with the same Idempotency-Key, or "
    "look for it in GET /replays first.",
}


def _again(operation: Operation | None, *, is_passing: bool) -> str:
    again = _AGAIN if is_passing else _AGAIN_OR_ASK
    if operation is None or not operation.writes:
        return f"{again} Nothing was written."
    return f"{again} {_AGAIN_WRITTEN.get(operation.name, 'The same request again is harmless.')}"


_MEMBERS: Final = frozenset(Problem.__struct_fields__)


def _sentence(error: Exception) -> str:
    if isinstance(error, domain.InvalidInput):
        return f"{error.field} {error.reason}."
    text = str(error)
    return f"{text[0].upper()}{text[1:]}."


def _plain(value: Any) -> Any:
    """Return a text without halves of characters, which a request may have had and an answer can't."""
    return value.encode(errors="backslashreplace").decode() if isinstance(value, str) else value
