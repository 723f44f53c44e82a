"""The operations of the API, and which of them a path and a method mean."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote

from eventstore.errors import InvalidStreamId
from eventstore.events import check_stream_id
from eventstore.http.errors import MethodNotAllowed, NotFound
from eventstore.http.paths import ApiFunction

STREAM: Final = "/streams/{streamId}"
STREAM_EVENTS: Final = "/streams/{streamId}/events"
EVENTS: Final = "/events"
LOG: Final = "/log"
OPENAPI: Final = "/openapi.json"
REPLAYS: Final = "/replays"
REPLAY: Final = "/replays/{replayId}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One operation: `function` answers it."""

    name: str
    method: str
    path: str
    function: ApiFunction


OPERATIONS: Final = (
    Operation(name="appendEvents", method="POST", path=STREAM_EVENTS, function="append"),
    Operation(name="readStream", method="GET", path=STREAM_EVENTS, function="read"),
    Operation(name="describeStream", method="GET", path=STREAM, function="read"),
    Operation(name="readAll", method="GET", path=EVENTS, function="read"),
    Operation(name="readLog", method="GET", path=LOG, function="read"),
    Operation(name="getOpenApi", method="GET", path=OPENAPI, function="read"),
    Operation(name="startReplay", method="POST", path=REPLAYS, function="replays"),
    Operation(name="listReplays", method="GET", path=REPLAYS, function="replays"),
    Operation(name="getReplay", method="GET", path=REPLAY, function="replays"),
    Operation(name="pauseReplay", method="POST", path=f"{REPLAY}/pause", function="replays"),
    Operation(name="resumeReplay", method="POST", path=f"{REPLAY}/resume", function="replays"),
    Operation(name="cancelReplay", method="POST", path=f"{REPLAY}/cancel", function="replays"),
)

_PATHS: Final = tuple(dict.fromkeys(operation.path for operation in OPERATIONS))
_STREAMS: Final = "/streams/"
_BAD_ESCAPE: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")


def route(method: str, path: str) -> tuple[Operation, str]:
    """Find the operation of a request, and its stream or replay id (empty for an operation without one).

    The id is everything between ``/streams/`` and the last ``/events``, unescaped once: right whether the
    gateway has unescaped the path before (all but ``%25``, as API Gateway does) or not.

    Raises:
        NotFound, MethodNotAllowed, InvalidStreamId: what is wrong and how to mend it.
    """
    template, escaped_id = _split(path)
    of_stream = path.startswith(_STREAMS)
    operations = [operation for operation in OPERATIONS if operation.path == template]
    if not operations:
        raise NotFound(path=path, why=f"the API has {', '.join(_PATHS)}")
    for operation in operations:
        if operation.method == method:
            return operation, _stream_id(escaped_id) if escaped_id and of_stream else escaped_id or ""
    raise MethodNotAllowed(method=method, path=template, allow=sorted(of.method for of in operations))


def _split(path: str) -> tuple[str, str | None]:
    if path.startswith(f"{REPLAYS}/"):
        replay_id, slash, action = path.removeprefix(f"{REPLAYS}/").partition("/")
        return (f"{REPLAY}{slash}{action}", replay_id) if replay_id else (path, None)
    if not path.startswith(_STREAMS):
        return path, None
    rest = path.removeprefix(_STREAMS)
    if not rest:
        return path, None
    if not rest.endswith(EVENTS):
        return STREAM, rest
    return STREAM_EVENTS, rest.removesuffix(EVENTS)


def _stream_id(escaped: str) -> str:
    found = _BAD_ESCAPE.search(escaped)
    if found:
        raise InvalidStreamId("streamId", f"has a bare % at character {found.start()}; escape it as %25")
    try:
        stream_id = unquote(escaped, errors="strict")
    except UnicodeDecodeError as error:
        why = "has escapes that are not UTF-8; escape the bytes of its UTF-8"
        raise InvalidStreamId("streamId", why) from error
    if "?" in stream_id:
        # API Gateway unescapes it and cuts the path off there, so that another stream would be meant.
        why = "has a question mark, which this API can't take in a path; choose an id without one"
        raise InvalidStreamId("streamId", why)
    return check_stream_id(stream_id)
