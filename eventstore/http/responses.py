"""Answers of the API, before they become what API Gateway takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from eventstore.errors import StoreUnavailable
from eventstore.http.errors import MethodNotAllowed
from eventstore.http.problems import problem
from eventstore.http.routes import Operation

RETRY_AFTER_S: Final = 1

_encode: Final = msgspec.json.Encoder().encode
_COMMON: Final = {"cache-control": "no-store", "x-content-type-options": "nosniff"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """One answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    counts: Mapping[str, int] = field(default_factory=dict)
    """What happened, by the name of its metric."""
    problem: str | None = None
    """The name of the problem type, when it is one."""
    error: Exception | None = None
    """What went wrong: for the log, never for the client."""


def answer(
    status: int,
    model: Any,
    *,
    headers: Mapping[str, str] | None = None,
    counts: Mapping[str, int] | None = None,
) -> Response:
    """Answer with a model as JSON."""
    return Response(
        status=status,
        headers={"content-type": "application/json", **_COMMON, **(headers or {})},
        body=_encode(model),
        counts=counts or {},
    )


def problem_answer(
    error: Exception, operation: Operation | None = None, *, counts: Mapping[str, int] | None = None
) -> Response:
    """Answer with the problem that an error is; for an operation, what it says fits that one."""
    body = problem(error, operation)
    headers = {"content-type": "application/problem+json", **_COMMON}
    if isinstance(error, MethodNotAllowed):
        headers["allow"] = ", ".join(error.allow)
    if isinstance(error, StoreUnavailable):
        headers["retry-after"] = str(RETRY_AFTER_S)
    return Response(
        status=body.status,
        headers=headers,
        body=_encode(body),
        counts=counts or {},
        problem=body.type.rpartition(":")[2],
        error=error,
    )


def size_in_answer_bytes(model: Any) -> int:
    """Return how many bytes a model takes in a function's answer.

    The body stands there as a JSON string, so a quotation mark, a backslash or a line break takes two bytes.
    """
    text = _encode(model)
    return len(text) + sum(text.count(character) for character in _ESCAPED)


_ESCAPED: Final = tuple(bytes([code]) for code in b'"\\\n\r\t')
