"""GET /streams/{streamId}/events and GET /streams/{streamId}."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from eventstore import NewEvent
from eventstore.http.app import Api
from eventstore.http.read import read_handlers
from eventstore.http.requests import Request
from eventstore.limits import RESPONSE_MAX_BYTES
from eventstore.memory.store import MemoryEventStore
from eventstore.testing.clock import FakeClock
from tests.http.gateway import Gateway, event

STREAM = "/streams/order-1/events"


def fill(store: MemoryEventStore, count: int) -> None:
    for first in range(0, count, 100):
        events = [NewEvent.of("Counted", index) for index in range(first, min(first + 100, count))]
        store.append("order-1", events, expected=first)


def ids(page: Any) -> list[int]:
    return [of["eventId"] for of in page["events"]]


def test_event_is_read_with_all_that_is_known(gateway: Gateway) -> None:
    uid = "01890a5d-ac96-774b-bcce-b302099a8057"
    placed = {"eventName": "OrderPlaced", "payload": [1.50], "metadata": {"who": "c-7"}, "eventUid": uid}
    gateway.append("order-1", placed)
    assert gateway.get(STREAM).json == {
        "streamId": "order-1",
        "events": [
            {
                "streamId": "order-1",
                "eventId": 1,
                "eventName": "OrderPlaced",
                "payload": [1.5],
                "metadata": {"who": "c-7"},
                "eventUid": uid,
                "timestamp": "2026-01-01T00:00:00.000000Z",
            }
        ],
        "next": None,
    }


def test_stream_without_events_is_an_empty_page(gateway: Gateway) -> None:
    answer = gateway.get(STREAM)
    assert (answer.status, answer.json) == (200, {"streamId": "order-1", "events": [], "next": None})


@pytest.mark.parametrize("limit", [1, 3, 7, 21, 22, 1_000])
def test_pages_forward_give_every_event_once(gateway: Gateway, store: MemoryEventStore, limit: int) -> None:
    fill(store, 21)
    found: list[int] = []
    query: dict[str, object] = {"limit": limit}
    while True:
        page = gateway.get(STREAM, **query).json
        assert len(page["events"]) == min(limit, 21 - len(found))
        found += ids(page)
        if page["next"] is None:
            break
        query["from"] = page["next"]
    assert found == list(range(1, 22))


@pytest.mark.parametrize("limit", [1, 3, 7, 21, 22])
def test_pages_backward_give_every_event_once(gateway: Gateway, store: MemoryEventStore, limit: int) -> None:
    fill(store, 21)
    found: list[int] = []
    query: dict[str, object] = {"limit": limit, "direction": "backward"}
    while True:
        page = gateway.get(STREAM, **query).json
        found += ids(page)
        if page["next"] is None:
            break
        query["to"] = page["next"]
    assert found == list(range(21, 0, -1))


@pytest.mark.parametrize(
    ("query", "expected", "following"),
    [
        ({"from": 3, "to": 5}, [3, 4, 5], None),
        ({"from": 3, "to": 5, "limit": 2}, [3, 4], 5),
        ({"from": 3, "to": 5, "direction": "backward"}, [5, 4, 3], None),
        ({"from": 3, "to": 5, "direction": "backward", "limit": 1}, [5], 4),
        ({"from": 6}, [6, 7], None),
        ({"to": 2}, [1, 2], None),
        ({"from": 8}, [], None),
        ({"from": 7, "to": 7, "consistency": "eventual"}, [7], None),
        ({"to": 100, "consistency": "strong", "direction": "forward", "limit": 6}, [1, 2, 3, 4, 5, 6], 7),
    ],
)
def test_range_direction_and_limit_select_events(
    gateway: Gateway,
    store: MemoryEventStore,
    query: dict[str, object],
    expected: list[int],
    following: int | None,
) -> None:
    fill(store, 7)
    page = gateway.get(STREAM, **query).json
    assert (ids(page), page["next"]) == (expected, following)


def test_page_has_100_events_by_default_and_1000_at_most(gateway: Gateway, store: MemoryEventStore) -> None:
    fill(store, 1_001)
    assert len(gateway.get(STREAM).json["events"]) == 100
    page = gateway.get(STREAM, limit=1_000).json
    assert (len(page["events"]), page["next"]) == (1_000, 1_001)


@pytest.mark.parametrize("path", [STREAM, "/events"])
def test_page_ends_before_its_answer_is_too_large_for_a_function(
    clock: FakeClock, store: MemoryEventStore, path: str
) -> None:
    # Quotation marks and backslashes have two bytes more in a function's answer than in the payload.
    payload = json.dumps('"\\' * 95_000)
    for version in range(30):
        store.append("order-1", [NewEvent(name="Large", payload=payload)], expected=version)
    clock.move(timedelta(seconds=60))
    gateway = Gateway(store)
    found: list[int] = []
    query: dict[str, object] = {}
    while True:
        answer = gateway.get(path, **query)
        function_answer = json.dumps({"statusCode": 200, "body": answer.text}, ensure_ascii=False)
        assert len(function_answer.encode()) <= RESPONSE_MAX_BYTES + 10_000
        assert answer.json["events"]
        found += ids(answer.json)
        if answer.json["next"] is None:
            break
        assert len(function_answer.encode()) > RESPONSE_MAX_BYTES - 800_000
        query["from" if path == STREAM else "after"] = answer.json["next"]
    assert found == list(range(1, 31))


def test_eventual_consistency_is_asked_of_the_store_only_when_asked_for(store: MemoryEventStore) -> None:
    asked: list[bool] = []

    class Listening(MemoryEventStore):
        def read_stream(self, stream_id: str, **options: Any) -> Any:
            asked.append(options["consistent"])
            return store.read_stream(stream_id, **options)

    gateway = Gateway(Listening())
    for query in ({}, {"consistency": "strong"}, {"consistency": "eventual"}):
        gateway.get(STREAM, **query)
    assert asked == [True, True, False]


def test_stream_is_described_by_its_version_and_its_times(
    gateway: Gateway, store: MemoryEventStore, clock: FakeClock
) -> None:
    fill(store, 2)
    clock.move(timedelta(days=1, microseconds=7))
    store.append("order-1", [NewEvent.of("Closed")], expected=2)
    assert gateway.get("/streams/order-1").json == {
        "streamId": "order-1",
        "version": 3,
        "firstTimestamp": "2026-01-01T00:00:00.000000Z",
        "lastTimestamp": "2026-01-02T00:00:00.000007Z",
    }


def test_stream_without_events_is_not_found(gateway: Gateway) -> None:
    answer = gateway.get("/streams/order-2")
    assert (answer.status, answer.problem, answer.json["streamId"]) == (404, "stream-not-found", "order-2")
    assert "begins with its first append" in answer.json["detail"]


def test_event_of_the_gateway_is_read_as_it_is(store: MemoryEventStore) -> None:
    fill(store, 3)
    response = Api(read_handlers(store))(Request.from_event(event("http_read_stream")))
    assert json.loads(response.body)["next"] == 3
