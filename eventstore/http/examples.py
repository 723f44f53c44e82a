"""Examples for the documents, made by the API itself, so that they can't be wrong."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import count
from typing import Any, Final

from eventstore.adapters.memory import MemoryEventStore
from eventstore.adapters.memory_log import MemoryEventLog
from eventstore.errors import (
    EventTooLarge,
    MalformedBlock,
    MalformedItem,
    StoreUnavailable,
    TransactionTooLarge,
)
from eventstore.http.app import Api
from eventstore.http.append import append_handlers
from eventstore.http.errors import RequestTooLarge
from eventstore.http.log import log_handlers
from eventstore.http.read import read_handlers
from eventstore.http.requests import Request
from eventstore.limits import ITEM_MAX_BYTES, REQUEST_MAX_BYTES, TRANSACTION_MAX_BYTES

_UID: Final = "01890a5d-ac96-774b-bcce-b302099a8057"

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
    }
    return {name: json.loads(api(request).body) for name, request in requests.items()}


def errors() -> dict[type[Exception], Exception]:
    """Return an error of every kind that becomes a problem, as a request really causes it."""
    api = _api()
    api(_request("POST", f"{_STREAM}/events", body=json.dumps(APPEND)))
    caused = [api(request).error for request in _bad_requests()]
    stated = [
        EventTooLarge("events[0].payload", size_bytes=ITEM_MAX_BYTES + 1, limit_bytes=ITEM_MAX_BYTES),
        TransactionTooLarge(
            "events", size_bytes=TRANSACTION_MAX_BYTES + 1, limit_bytes=TRANSACTION_MAX_BYTES
        ),
        RequestTooLarge(size_bytes=REQUEST_MAX_BYTES + 1, limit_bytes=REQUEST_MAX_BYTES),
        MalformedItem(stream_id="order-1", event_id=2, reason="EventName is missing"),
        MalformedBlock(tranche=0, block=2, reason="it's missing, though later ones are there"),
        StoreUnavailable(operation="append", reason="throttled"),
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
            )
        ),
    ]
    yield from (_request("POST", f"{_STREAM}/events", body=body) for body in bodies)
    yield _request("POST", f"{_STREAM}/events", body="{}", headers={"content-type": "text/plain"})
    for query in ("from=9&to=1", "limit=0", "direction=up", "form=1", "from=1&from=2"):
        yield _request("GET", f"{_STREAM}/events", query=query)
    yield from (_request("GET", "/events", query=query) for query in ("from=yesterday", "after=12"))
    yield from (_request("GET", path) for path in ("/streams/$orders", "/streams/order-2", "/orders"))
    yield _request("DELETE", _STREAM)


def _api() -> Api:
    clock_us = count(_FIRST_US, _STEP_US)
    log = MemoryEventLog()
    store = MemoryEventStore(clock_us=lambda: next(clock_us), random_bytes=bytes, log=log)
    return Api({**append_handlers(store), **read_handlers(store), **log_handlers(log)})


def _request(
    method: str, path: str, *, query: str = "", body: str | None = None, headers: dict[str, str] | None = None
) -> Request:
    return Request(
        method=method, path=path, query=query, headers=headers or {}, body=body, request_id="example"
    )
