"""The operations of the API, and which of them a path and a method mean."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from eventstore._stream_paths import check_carried
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
    method: Literal["GET", "POST"]
    path: str
    function: ApiFunction
    honours: tuple[str, ...] = ()
    """The headers, of those that put a condition on a request, which it heeds."""

    @property
    def writes(self) -> bool:
        """Return whether it may change anything."""
        return self.method == "POST"


OPERATIONS: Final = (
    Operation(name="appendEvents", method="POST", path=STREAM_EVENTS, function="append"),
    Operation(name="readStream", method="GET", path=STREAM_EVENTS, function="read"),
    Operation(name="describeStream", method="GET", path=STREAM, function="read"),
    Operation(name="readAll", method="GET", path=EVENTS, function="read"),
    Operation(name="readLog", method="GET", path=LOG, function="read"),
    Operation(name="getOpenApi", method="GET", path=OPENAPI, function="read"),
    Operation(
        name="startReplay", method="POST", path=REPLAYS, function="replays", honours=("idempotency-key",)
    ),
    Operation(name="listReplays", method="GET", path=REPLAYS, function="replays"),
    Operation(name="getReplay", method="GET", path=REPLAY, function="replays"),
    Operation(name="pauseReplay", method="POST", path=f"{REPLAY}/pause", function="replays"),
    Operation(name="resumeReplay", method="POST", path=f"{REPLAY}/resume", function="replays"),
    Operation(name="cancelReplay", method="POST", path=f"{REPLAY}/cancel", function="replays"),
)

_PATHS: Final = tuple(dict.fromkeys(operation.path for operation in OPERATIONS))
_STREAMS: Final = "/streams/"


def route(method: str, path: str) -> tuple[Operation, str]:
    """Find the operation of a request, and its stream or replay id (empty for an operation without one).

    A stream's id is everything between ``/streams/`` and the last ``/events``, as it stands there: API
    Gateway has unescaped the path, all of it or all but ``%25``. So an escape that is left means an id with a
    percent sign, which is refused and never unescaped once more: it would be another stream's.

    A HEAD is routed as the GET of its path.

    Raises:
        NotFound, MethodNotAllowed, InvalidStreamId: what is wrong and how to repair it.
    """
    template, found_id = _split(path)
    operations: dict[str, Operation] = {
        operation.method: operation for operation in OPERATIONS if operation.path == template
    }
    if not operations:
        raise NotFound(path=path, why=f"the API has {', '.join(_PATHS)}")
    operation = operations.get("GET" if method == "HEAD" else method)
    if operation is None:
        allow = {*operations, "HEAD"} if "GET" in operations else {*operations}
        raise MethodNotAllowed(method=method, path=template, allow=sorted(allow))
    if found_id is None or not path.startswith(_STREAMS):
        return operation, found_id or ""
    return operation, check_carried(check_stream_id(found_id))


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
