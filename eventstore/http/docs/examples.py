"""Examples for the documents, made by the API itself, so that they can't be wrong."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import count
from typing import Any, Final

from eventstore.errors import (
    BlockMissing,
    ClockSkewed,
    EventTooLarge,
    MalformedBlock,
    MalformedItem,
    MalformedReplay,
    MalformedStoreItem,
    PositionNotInLog,
    PositionOfAnotherLog,
    RestoreNotDeclared,
    StoreFormatUnknown,
    StoreItemMissing,
    StoreUnavailable,
    StreamGap,
    TimestampOutOfRange,
    TransactionTooLarge,
    UidNotSearchable,
    UnexpectedItem,
)
from eventstore.http.app import Api
from eventstore.http.append import append_handlers
from eventstore.http.errors import RequestTooLarge
from eventstore.http.log import log_handlers
from eventstore.http.read import read_handlers
from eventstore.http.replays import replay_handlers
from eventstore.http.requests import Request
from eventstore.limits import (
    CLOCK_TOLERANCE_S,
    ITEM_MAX_BYTES,
    REQUEST_MAX_BYTES,
    TIMESTAMP_MAX_US,
    TRANSACTION_MAX_BYTES,
    UID_SEARCH_MAX_EVENTS,
)
from eventstore.memory.log import MemoryEventLog
from eventstore.memory.replays import MemoryReplays
from eventstore.memory.store import MemoryEventStore
from eventstore.replays.service import Replay, Replays

_UID: Final = "01890a5d-ac96-774b-bcce-b302099a8057"
_OTHER_UID: Final = "01890a5e-03d1-7c55-8f1e-5d1b2a9e7f20"

APPEND: Final = {
    "expectedVersion": 0,
    "events": [
        {
            "eventName": "OrderPlaced",
            "payload": {"customer": "c-7", "total": 12.5},
            "metadata": {"correlationId": "c-1"},
            "eventUid": _UID,
        },
        {
            "eventName": "OrderPaid",
            "payload": {"method": "card"},
            "eventUid": "01890a5d-ac97-7c42-9e0e-0a4f1c7a5d11",
        },
    ],
}

REPLAY: Final[dict[str, Any]] = {
    "target": "arn:aws:sqs:eu-central-1:123456789012:rebuild",
    "from": "2026-01-01T00:00:00Z",
    "to": "now",
    "names": ["OrderPlaced"],
    "eventsPerSecond": 200,
}

_STREAM: Final = "/streams/order-1"
_FIRST_US: Final = 1_769_851_800_123_456
_STEP_US: Final = 60_000_000


def answers() -> dict[str, Any]:
    """Return an answer of each operation on events, by the operation's name."""
    api = _api()
    requests = {
        "appendEvents": _request("POST", f"{_STREAM}/events", body=json.dumps(APPEND)),
        "readStream": _request("GET", f"{_STREAM}/events", query="limit=1"),
        "describeStream": _request("GET", _STREAM),
        "readAll": _request("GET", "/events"),
        "readLog": _request("GET", "/log"),
        "startReplay": _request("POST", "/replays", body=json.dumps(REPLAY)),
        "listReplays": _request("GET", "/replays"),
    }
    found = {name: json.loads(api(request).body) for name, request in requests.items()}
    replay = f"/replays/{found['startReplay']['replayId']}"
    for name, method, path in (
        ("getReplay", "GET", replay),
        ("pauseReplay", "POST", f"{replay}/pause"),
        ("resumeReplay", "POST", f"{replay}/resume"),
        ("cancelReplay", "POST", f"{replay}/cancel"),
    ):
        found[name] = json.loads(api(_request(method, path)).body)
    return found


def errors() -> dict[type[Exception], Exception]:
    """Return an error of every kind that becomes a problem, as a request really causes it."""
    api = _api()
    api(_request("POST", f"{_STREAM}/events", body=json.dumps(APPEND)))
    replay = json.loads(api(_request("POST", "/replays", body=json.dumps(REPLAY))).body)["replayId"]
    caused = [api(request).error for request in (*_bad_requests(), *_bad_replays(replay))]
    stated = [
        EventTooLarge("events[0].payload", size_bytes=ITEM_MAX_BYTES + 1, limit_bytes=ITEM_MAX_BYTES),
        TransactionTooLarge(
            "events", size_bytes=TRANSACTION_MAX_BYTES + 1, limit_bytes=TRANSACTION_MAX_BYTES
        ),
        RequestTooLarge(size_bytes=REQUEST_MAX_BYTES + 1, limit_bytes=REQUEST_MAX_BYTES),
        MalformedItem(stream_id="order-1", event_id=2, reason="EventName is missing"),
        MalformedReplay(
            replay_id="01a2b3c4-5d6e-7f80-9a1b-2c3d4e5f6071",
            reason="its Sent is 1.5; it has to be a whole number from 0 on",
        ),
        MalformedStoreItem(reason="its ReadShards is missing or no number"),
        RestoreNotDeclared(table="orders-restored", recorded="orders"),
        StoreItemMissing(),
        StoreFormatUnknown(format_version=2, known=1),
        PositionOfAnotherLog(given="W3pZQ0Jm1b8x", log_id="k2Vd9hUe7TqA"),
        PositionNotInLog(tranche=0, block=7, entries=0, last_block=2),
        BlockMissing(tranche=0, block=2, next_block=3),
        MalformedBlock(
            tranche=0, block=2, reason="it can't be read: Expecting value: line 1 column 1 (char 0)"
        ),
        UidNotSearchable(stream_id="order-1", limit=UID_SEARCH_MAX_EVENTS, since=None),
        TimestampOutOfRange(stream_id="order-1", timestamp_us=TIMESTAMP_MAX_US + 1),
        StoreUnavailable(operation="append", reason="throttled"),
        UnexpectedItem(asked="'order-1', EventId 1", answered="'order-2', EventId 1"),
        StreamGap(stream_id="order-1", first_missing=3, last_missing=4),
        ClockSkewed(
            local=datetime(2027, 1, 31, 9, 30, tzinfo=UTC),
            server=datetime(2026, 1, 31, 9, 30, tzinfo=UTC),
            tolerance_s=CLOCK_TOLERANCE_S,
        ),
        Exception("a bug"),
    ]
    return {type(error): error for error in [*caused, *stated] if error}


def _bad_requests() -> Iterator[Request]:
    placed = {"eventName": "OrderPlaced", "payload": {}}
    bodies = [
        "{",
        '{"expectedVersion": 0}',
        '{"expectedVersion": 0, "events": [], "event": []}',
        '{"expectedVersion": 0, "events": {}}',
        '{"expectedVersion": 0, "expectedVersion": 1, "events": []}',
        '{"expectedVersion": "two", "events": []}',
        '{"expectedVersion": 2, "events": []}',
        '{"expectedVersion": 2, "events": [{"eventName": "OrderPlaced", "payload": {"total": NaN}}]}',
        *(
            json.dumps({"expectedVersion": expected, "events": events})
            for expected, events in (
                (2, [placed] * 101),
                (2, [{**placed, "eventName": ""}]),
                (2, [{**placed, "eventUid": "7"}]),
                (2, [{**placed, "eventUid": _UID}] * 2),
                (1, [placed]),
                (9, [placed]),
                (0, [{**placed, "eventUid": _UID}, {**placed, "eventUid": _OTHER_UID}]),
                (0, [{**placed, "eventUid": _UID}]),
            )
        ),
    ]
    yield from (_request("POST", f"{_STREAM}/events", body=body) for body in bodies)
    for header in ({"content-type": "text/plain"}, {"if-match": '"2"'}):
        yield _request("POST", f"{_STREAM}/events", body="{}", headers=header)
    for query in ("from=9&to=1", "limit=0", "direction=up", "form=1", "from=1&from=2"):
        yield _request("GET", f"{_STREAM}/events", query=query)
    yield from (_request("GET", "/events", query=query) for query in ("from=yesterday", "after=12"))
    yield from (_request("GET", path) for path in ("/streams/$orders", "/streams/order-2", "/orders"))
    yield _request("DELETE", _STREAM)


def _bad_replays(replay_id: str) -> Iterator[Request]:
    elsewhere = "arn:aws:sqs:eu-central-1:123456789012:elsewhere"
    for target in ("rebuild", elsewhere):
        yield _request("POST", "/replays", body=json.dumps({"target": target}))
    for pace in (100, 200):
        body = json.dumps({**REPLAY, "eventsPerSecond": pace})
        yield _request("POST", "/replays", body=body, headers={"idempotency-key": _UID})
    yield _request("GET", "/replays/7")
    yield _request("POST", f"/replays/{replay_id}/cancel")
    yield _request("POST", f"/replays/{replay_id}/pause")


class _NoEngine:
    def start(self, replay: Replay) -> bool:  # noqa: ARG002
        """Run nothing: an example only has to begin."""
        return True


def _api() -> Api:
    clock_us, replay_clock_us = count(_FIRST_US, _STEP_US), count(_FIRST_US, _STEP_US)
    log = MemoryEventLog(random_bytes=lambda count: bytes(range(count)))
    replays = Replays(
        store=MemoryReplays(),
        engine=_NoEngine(),
        allowed_targets=[REPLAY["target"]],
        clock_us=lambda: next(replay_clock_us),
        random_bytes=bytes,
    )
    store = MemoryEventStore(clock_us=lambda: next(clock_us), random_bytes=bytes, log=log)
    return Api(
        {**append_handlers(store), **read_handlers(store), **log_handlers(log), **replay_handlers(replays)}
    )


def _request(
    method: str, path: str, *, query: str = "", body: str | None = None, headers: dict[str, str] | None = None
) -> Request:
    return Request(
        method=method, path=path, query=query, headers=headers or {}, body=body, request_id="example"
    )
