"""The operations on replays: begin one, see how far it is, pause it, resume it, cancel it, list them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import msgspec
from msgspec import Raw, ValidationError

from eventstore.errors import InvalidLimit, InvalidReplay
from eventstore.http.app import Handler
from eventstore.http.envelope import ObjectForm
from eventstore.http.errors import MalformedJson, WrongType
from eventstore.http.explain import explain
from eventstore.http.replay_models import ReplayList, StartReplay, replay_answer
from eventstore.http.requests import Request
from eventstore.http.responses import Response, answer
from eventstore.http.times import parse_time
from eventstore.limits import REPLAY_EVENTS_PER_SECOND_MAX, REPLAYS_PAGE_MAX
from eventstore.replays.service import Replay, ReplayRequest, Replays, Started

_REQUEST: Final = ObjectForm(
    required=("target",),
    optional=tuple(name for name in StartReplay.__struct_encode_fields__ if name != "target"),
    example='{"target": "arn:aws:sqs:..."}',
)
_TEXTS: Final = ("target", "from", "to", "streamPrefix")
_RATE: Final = (
    f"has to be a whole number from 1 to {REPLAY_EVENTS_PER_SECOND_MAX:,}; leave it out for no limit"
)

_text: Final = msgspec.json.Decoder(str).decode
_texts: Final = msgspec.json.Decoder(list[str]).decode
_whole: Final = msgspec.json.Decoder(int).decode


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
    try:
        given = _REQUEST.members(body)
        texts = {name: _string(given[name], name) for name in _TEXTS if name in given}
        names = _names(given["names"]) if "names" in given else []
        rate = _rate(given["eventsPerSecond"]) if "eventsPerSecond" in given else None
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError) as error:
        fault = explain(body, refused=error)
        # What is wrong with an event's JSON alone has a name of its own.
        raise MalformedJson(fault.field, fault.reason) from error
    until = texts.get("to", "now")
    return ReplayRequest(
        target=texts["target"],
        from_=parse_time(texts["from"], field="from") if "from" in texts else None,
        to=None if until == "now" else parse_time(until, field="to"),
        names=names,
        stream_prefix=texts.get("streamPrefix", ""),
        events_per_second=rate,
    )


def _string(text: Raw, name: str) -> str:
    try:
        return _text(text)
    except ValidationError as error:
        raise WrongType(name, "has to be a text") from error


def _names(text: Raw) -> list[str]:
    try:
        return _texts(text)
    except ValidationError as error:
        why = 'has to be an array of event names, such as ["OrderPaid"]'
        raise WrongType("names", why) from error


def _rate(text: Raw) -> int:
    # An integer alone: 1.0 isn't one here, though msgspec would take it.
    try:
        if bytes(text).lstrip(b"-").isdigit():
            return _whole(text)
    except ValidationError as error:
        raise InvalidReplay("eventsPerSecond", _RATE) from error
    raise InvalidReplay("eventsPerSecond", _RATE)


def _unquoted(key: str) -> str:
    """Return the text of a header that is a structured field's string, or just a text."""
    return key[1:-1] if len(key) > 1 and key[0] == key[-1] == '"' else key


def _limit(given: Mapping[str, str]) -> int:
    text = given.get("limit", str(REPLAYS_PAGE_MAX))
    limit = int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else 0
    if not 1 <= limit <= REPLAYS_PAGE_MAX:
        raise InvalidLimit("limit", f"is {text[:20]}; ask for 1 to {REPLAYS_PAGE_MAX} replays")
    return limit
