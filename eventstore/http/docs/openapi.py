"""The OpenAPI document, made from the code."""

from __future__ import annotations

from functools import cache
from http import HTTPStatus
from typing import Any, Final

import msgspec

from eventstore import errors as domain
from eventstore.http import errors as http
from eventstore.http.docs import examples
from eventstore.http.docs.descriptions import ABOUT, DESCRIPTIONS
from eventstore.http.models import (
    AllEventsPage,
    AppendAnswer,
    AppendRequest,
    LogEntriesPage,
    Problem,
    StreamDescription,
    StreamPage,
)
from eventstore.http.problems import problem, problem_type
from eventstore.http.replay_models import ReplayAnswer, ReplayList, StartReplay
from eventstore.http.routes import OPERATIONS, Operation

API_VERSION: Final = "1.0.0"

_MODELS: Final[dict[str, type[msgspec.Struct]]] = {
    "appendEvents": AppendAnswer,
    "readStream": StreamPage,
    "describeStream": StreamDescription,
    "readAll": AllEventsPage,
    "readLog": LogEntriesPage,
    "startReplay": ReplayAnswer,
    "listReplays": ReplayList,
    "getReplay": ReplayAnswer,
    "pauseReplay": ReplayAnswer,
    "resumeReplay": ReplayAnswer,
    "cancelReplay": ReplayAnswer,
}

# What any request may meet.
_ALWAYS: Final = (
    http.NotFound,
    http.MethodNotAllowed,
    http.UnknownParameter,
    http.InvalidParameter,
    Exception,
)
_ON_REPLAYS: Final = (domain.ReplayNotFound, domain.MalformedReplay, domain.StoreUnavailable)
_ON_THE_STORE: Final = (domain.MalformedStoreItem, domain.StoreFormatUnknown, domain.StoreUnavailable)
_ON_STREAMS: Final = (
    domain.InvalidStreamId,
    domain.MalformedItem,
    domain.StreamGap,
    domain.UnexpectedItem,
    *_ON_THE_STORE,
)

PROBLEMS: Final[dict[str, tuple[type[Exception], ...]]] = {
    "appendEvents": (
        *_ALWAYS,
        *_ON_STREAMS,
        http.MalformedJson,
        http.UnknownField,
        http.RepeatedField,
        http.UnsupportedHeader,
        http.MissingField,
        http.WrongType,
        http.UnsupportedMediaType,
        http.RequestTooLarge,
        domain.InvalidExpectedVersion,
        domain.EmptyAppend,
        domain.TooManyEvents,
        domain.EventTooLarge,
        domain.TransactionTooLarge,
        domain.InvalidEventName,
        domain.InvalidJson,
        domain.InvalidEventUid,
        domain.DuplicateEventUid,
        domain.VersionConflict,
        domain.ExpectedVersionAhead,
        domain.PartlyAppended,
        domain.EventUidReused,
        domain.UidNotSearchable,
        domain.TimestampOutOfRange,
        domain.ClockSkewed,
        domain.RestoreNotDeclared,
        domain.StoreItemMissing,
    ),
    "readStream": (
        *_ALWAYS,
        *_ON_STREAMS,
        http.RepeatedParameter,
        domain.InvalidRange,
        domain.InvalidLimit,
    ),
    "describeStream": (*_ALWAYS, *_ON_STREAMS, domain.StreamNotFound),
    "readAll": (
        *_ALWAYS,
        http.RepeatedParameter,
        http.InvalidTime,
        domain.InvalidRange,
        domain.InvalidLimit,
        domain.InvalidPosition,
        domain.MalformedItem,
        domain.ClockSkewed,
        domain.StoreItemMissing,
        *_ON_THE_STORE,
    ),
    "readLog": (
        *_ALWAYS,
        http.RepeatedParameter,
        domain.InvalidLimit,
        domain.InvalidPosition,
        domain.PositionNotInLog,
        domain.PositionOfAnotherLog,
        domain.BlockMissing,
        domain.MalformedBlock,
        domain.StoreUnavailable,
    ),
    "getOpenApi": _ALWAYS,
    "startReplay": (
        *_ALWAYS,
        http.MalformedJson,
        http.UnknownField,
        http.RepeatedField,
        http.UnsupportedHeader,
        http.MissingField,
        http.WrongType,
        http.UnsupportedMediaType,
        http.RequestTooLarge,
        http.InvalidTime,
        domain.InvalidRange,
        domain.InvalidReplay,
        domain.ReplayKeyReused,
        domain.ReplayTargetNotAllowed,
        domain.StoreUnavailable,
    ),
    "listReplays": (
        *_ALWAYS,
        http.RepeatedParameter,
        domain.InvalidLimit,
        domain.MalformedReplay,
        domain.StoreUnavailable,
    ),
    "getReplay": (*_ALWAYS, *_ON_REPLAYS),
    "pauseReplay": (*_ALWAYS, *_ON_REPLAYS, http.UnsupportedHeader, domain.ReplayOver),
    "resumeReplay": (*_ALWAYS, *_ON_REPLAYS, http.UnsupportedHeader, domain.ReplayOver),
    "cancelReplay": (*_ALWAYS, *_ON_REPLAYS, http.UnsupportedHeader, domain.ReplayOver),
}
"""What each operation may answer instead of what was asked for; `Exception` is any bug of ours."""


@cache
def openapi_document() -> dict[str, Any]:
    """Make the document: OpenAPI 3.1, with an example of every answer and of every problem."""
    paths: dict[str, dict[str, Any]] = {}
    answers, errors = examples.answers(), examples.errors()
    for operation in OPERATIONS:
        item = paths.setdefault(operation.path, {})
        item[operation.method.lower()] = _operation(operation, answers, errors)
    models = [AppendRequest, StartReplay, *_MODELS.values(), Problem]
    _, schemas = msgspec.json.schema_components(models, ref_template="#/components/schemas/{name}")
    return {
        "openapi": "3.1.0",
        "info": {"title": "Event store", "version": API_VERSION, "description": ABOUT},
        "servers": [{"url": ".", "description": "Where this document was found."}],
        "paths": paths,
        "components": {"schemas": schemas},
    }


def _operation(
    operation: Operation, answers: dict[str, Any], errors: dict[type[Exception], Exception]
) -> dict[str, Any]:
    name = operation.name
    answered = {"operationId": name, **DESCRIPTIONS[name]}
    if name == "appendEvents":
        content = {"schema": _reference(AppendRequest), "example": examples.APPEND}
        answered["requestBody"] = {"required": True, "content": {"application/json": content}}
    if name == "startReplay":
        content = {"schema": _reference(StartReplay), "example": examples.REPLAY}
        answered["requestBody"] = {"required": True, "content": {"application/json": content}}
    responses = {_STATUS.get(name, "200"): _answer(name, answers)}
    return {**answered, "responses": {**responses, **_problem_answers(operation, errors)}}


def _answer(name: str, answers: dict[str, Any]) -> dict[str, Any]:
    if name not in _MODELS:
        return {
            "description": "The document.",
            "headers": _headers(),
            "content": {"application/json": {"schema": {"type": "object"}}},
        }
    model = _MODELS[name]
    return {
        "description": model.__doc__,
        "headers": _headers(**_ANSWER_HEADERS.get(name, {})),
        "content": {"application/json": {"schema": _reference(model), "example": answers[name]}},
    }


def _problem_answers(operation: Operation, errors: dict[type[Exception], Exception]) -> dict[str, Any]:
    found: dict[int, dict[str, Any]] = {}
    for error in (errors[kind] for kind in PROBLEMS[operation.name]):
        kind = problem_type(error)
        found.setdefault(kind.status, {})[kind.name] = {
            "summary": kind.title,
            "value": msgspec.to_builtins(problem(error, operation)),
        }
    return {
        str(status): {
            "description": HTTPStatus(status).phrase,
            "headers": _headers(**_PROBLEM_HEADERS.get(status, {})),
            "content": {"application/problem+json": {"schema": _reference(Problem), "examples": examples_of}},
        }
        for status, examples_of in sorted(found.items())
    }


def _reference(model: type[msgspec.Struct]) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{model.__name__}"}


def _headers(**more: str) -> dict[str, Any]:
    described = {"x-correlation-id": "The id under which the logs have this request.", **more}
    return {
        name.replace("_", "-"): {"description": description, "schema": {"type": "string"}}
        for name, description in described.items()
    }


_STATUS: Final = {"appendEvents": "201", "startReplay": "202"}
_ANSWER_HEADERS: Final = {
    "appendEvents": {
        "location": "Where the appended events can be read, relative to the request's URL.",
        "idempotent_replay": "`true` when an earlier try had already appended the events.",
    },
    "startReplay": {
        "location": "Where the replay is told of, relative to the request's URL.",
        "idempotent_replay": "`true` when an earlier try had already begun the replay.",
    },
}
_PROBLEM_HEADERS: Final[dict[int, dict[str, str]]] = {
    405: {"allow": "The methods that the path takes."},
    503: {"retry_after": "Seconds to wait."},
}
