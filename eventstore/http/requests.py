"""A request as API Gateway's HTTP API hands it to a function (payload format 2.0)."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import unquote_plus

from eventstore.http.errors import (
    InvalidParameter,
    MalformedJson,
    RepeatedParameter,
    RequestTooLarge,
    UnknownParameter,
    UnsupportedHeader,
    UnsupportedMediaType,
)
from eventstore.limits import REQUEST_MAX_BYTES

_EXPECT: Final = "leave it out, and say in an append's expectedVersion where the stream has to be"
_REPEATS: Final = "leave it out, and give the events of an append eventUids: then a repeat is harmless"
_DIGEST: Final = "leave it out: the body isn't compared with it"
_METHOD: Final = "leave it out, and use the method itself"
_CONDITIONS: Final = {
    "idempotency-key": _REPEATS,
    "x-idempotency-key": f"{_REPEATS}; POST /replays takes Idempotency-Key",
    "if": _EXPECT,
    "if-match": _EXPECT,
    "if-none-match": f"{_EXPECT} (0: without events)",
    "if-modified-since": _EXPECT,
    "if-unmodified-since": _EXPECT,
    "if-range": "leave it out",
    "content-digest": _DIGEST,
    "content-md5": _DIGEST,
    "digest": _DIGEST,
    "repr-digest": _DIGEST,
    "x-http-method": _METHOD,
    "x-http-method-override": _METHOD,
    "x-method-override": _METHOD,
}
"""The headers that put a condition on a request, and what to do instead where one isn't heeded."""

_UTF8: Final = frozenset({"utf-8", "utf8"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request, its path and query still escaped as they came."""

    method: str
    path: str
    """Without the stage."""
    query: str = ""
    headers: Mapping[str, str]
    """By lower-case names."""
    body: str | None = None
    body_is_base64: bool = False
    request_id: str
    """API Gateway's own."""

    @classmethod
    def from_event(cls, event: Mapping[str, Any]) -> Request:
        """Take a request out of an event of payload format 2.0."""
        context = event["requestContext"]
        return cls(
            method=context["http"]["method"],
            path=_without_stage(event["rawPath"], context["stage"]),
            query=event.get("rawQueryString", ""),
            headers={name.lower(): value for name, value in event.get("headers", {}).items()},
            body=event.get("body"),
            body_is_base64=event.get("isBase64Encoded", False),
            request_id=context["requestId"],
        )

    def check_conditions(self, *honoured: str) -> None:
        """Check that a request which may write has no condition that the operation would pass over.

        Headers with conditions on a GET only spare a transfer, so there they may be passed over.

        Raises:
            UnsupportedHeader: it has one.
        """
        if self.method in {"GET", "HEAD"}:
            return
        for name, instead in _CONDITIONS.items():
            if name in self.headers and name not in honoured:
                raise UnsupportedHeader(name, f"is not heeded by this operation; {instead}")

    def json_text(self) -> str:
        """Return the body's text, which is declared as JSON but not yet checked to be.

        Raises:
            UnsupportedMediaType, RequestTooLarge, MalformedJson: what is wrong and how to repair it.
        """
        _check_media_type(self.headers)
        body = self.body or ""
        if self.body_is_base64:
            _check_size(len(body) // 4 * 3)
            body = _decode(body)
        # A body's text can have halves of characters when an escape in the event had them.
        size_bytes = len(body) if body.isascii() else len(body.encode(errors="surrogatepass"))
        _check_size(size_bytes)
        return body

    def parameters(self, *known: str) -> dict[str, str]:
        """Return the query parameters by name, each given at most once and never empty.

        Raises:
            UnknownParameter, RepeatedParameter, InvalidParameter: what is wrong and how to repair it.
        """
        values: dict[str, str] = {}
        for name, value in map(_pair, filter(None, self.query.split("&"))):
            if name not in known:
                has = f"it has {', '.join(known)}" if known else "it has none"
                raise UnknownParameter(name[:100] or "query", f"is not a parameter of this operation; {has}")
            if name in values:
                raise RepeatedParameter(name, "is given twice; give it once")
            if not value:
                raise InvalidParameter(name, "is empty; give it a value, or leave it out")
            values[name] = value
        return values


def _pair(pair: str) -> tuple[str, str]:
    name, _, value = pair.partition("=")
    try:
        return unquote_plus(name, errors="strict"), unquote_plus(value, errors="strict")
    except UnicodeDecodeError as error:
        raise InvalidParameter("query", f"has escapes that are not UTF-8: {pair[:100]}") from error


def _without_stage(path: str, stage: str) -> str:
    prefix = f"/{stage}"
    if stage != "$default" and (path == prefix or path.startswith(f"{prefix}/")):
        return path[len(prefix) :] or "/"
    return path


def _check_media_type(headers: Mapping[str, str]) -> None:
    given = headers.get("content-type", "")
    media_type, *parameters = (part.strip().lower() for part in given.split(";"))
    named = (parameter.partition("=") for parameter in parameters)
    charsets = {value.strip().strip('"') for name, _, value in named if name.strip() == "charset"}
    if media_type not in {"", "application/json"} or not charsets <= _UTF8:
        raise UnsupportedMediaType(header="content-type", value=given)
    encoding = headers.get("content-encoding", "identity")
    if encoding.lower() != "identity":
        raise UnsupportedMediaType(header="content-encoding", value=encoding)


def _check_size(size_bytes: int) -> None:
    if size_bytes > REQUEST_MAX_BYTES:
        raise RequestTooLarge(size_bytes=size_bytes, limit_bytes=REQUEST_MAX_BYTES)


def _decode(body: str) -> str:
    try:
        return base64.b64decode(body, validate=True).decode()
    except UnicodeDecodeError as error:
        raise MalformedJson("body", f"is not UTF-8 at byte {error.start}; encode it as UTF-8") from error
    except ValueError as error:
        raise MalformedJson("body", f"is not base64, as the event says it is: {error}") from error
