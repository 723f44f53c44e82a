"""The operations on replays: begin one, see how far it is, pause it, resume it, cancel it, list them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from eventstore.errors import InvalidLimit, InvalidReplay
from eventstore.http.app import Handler
from eventstore.http.envelope import ObjectForm
from eventstore.http.errors import MalformedJson, WrongType
from eventstore.http.replay_models import ReplayList, StartReplay, replay_answer
from eventstore.http.requests import Request
from eventstore.http.responses import Response, answer
from eventstore.http.times import parse_time
from eventstore.limits import REPLAYS_PAGE_MAX
from eventstore.replays import Replay, ReplayRequest, Replays, Started

_REQUEST: Final = ObjectForm(
    required=("target",),
    optional=tuple(name for name in StartReplay.__struct_encode_fields__ if name != "target"),
    example='{"target": "arn:aws:sqs:..."}',
)


def replay_handlers(replays: Replays) -> Mapping[str, Handler]:
    """Make the handlers of the operations on replays; the cost of each is that of `Replays`."""

    def start_replay(request: Request, _replay_id: str) -> Response:
        request.parameters()
        asked, key = _replay_request(request.json_text()), request.headers.get("idempotency-key")
        if key is None:
            started = Started(replays.start(asked), repeated=False)
        else:
            started = replays.start_once(asked, key=_unquoted(key))
        headers = {"location": f"replays/{started.replay.replay_id}"}
        if started.repeated:
            headers["idempotent-replay"] = "true"
        counts = {} if started.repeated else {"ReplaysStarted": 1}
        return answer(202, replay_answer(started.replay), headers=headers, counts=counts)

    def list_replays(request: Request, _replay_id: str) -> Response:
        limit = _limit(request.parameters("limit"))
        return answer(200, ReplayList(replays=[replay_answer(of) for of in replays.latest(limit=limit)]))

    def on_one(change: Callable[[str], Replay]) -> Handler:
        def handler(request: Request, replay_id: str) -> Response:
            request.parameters()
            return answer(200, replay_answer(change(replay_id)))

        return handler

    return {
        "startReplay": start_replay,
        "listReplays": list_replays,
        "getReplay": on_one(replays.get),
        "pauseReplay": on_one(replays.pause),
        "resumeReplay": on_one(replays.resume),
        "cancelReplay": on_one(replays.cancel),
    }


def _replay_request(body: str) -> ReplayRequest:
    given = _decode(body)
    for name in ("target", "from", "to", "streamPrefix"):
        if not isinstance(given.get(name, ""), str):
            raise WrongType(name, "has to be a text")
    names = given.get("names", [])
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise WrongType("names", 'has to be an array of event names, such as ["OrderPaid"]')
    rate = given.get("eventsPerSecond")
    if "eventsPerSecond" in given and type(rate) is not int:
        raise InvalidReplay("eventsPerSecond", "has to be a whole number; leave it out for no limit")
    until = given.get("to", "now")
    return ReplayRequest(
        target=given["target"],
        from_=parse_time(given["from"], field="from") if "from" in given else None,
        to=None if until == "now" else parse_time(until, field="to"),
        names=names,
        stream_prefix=given.get("streamPrefix", ""),
        events_per_second=rate,
    )


def _unquoted(key: str) -> str:
    """Return the text of a header that is a structured field's string, or just a text."""
    return key[1:-1] if len(key) > 1 and key[0] == key[-1] == '"' else key


def _decode(body: str) -> dict[str, Any]:
    try:
        return {name: msgspec.json.decode(text) for name, text in _REQUEST.members(body).items()}
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError) as error:
        raise MalformedJson("body", f"is not JSON: {error}") from error


def _limit(given: Mapping[str, str]) -> int:
    text = given.get("limit", str(REPLAYS_PAGE_MAX))
    limit = int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else 0
    if not 1 <= limit <= REPLAYS_PAGE_MAX:
        raise InvalidLimit("limit", f"is {text[:20]}; ask for 1 to {REPLAYS_PAGE_MAX} replays")
    return limit
