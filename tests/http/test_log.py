"""GET /log: what was logged, page by page, and following what comes."""

from __future__ import annotations

import json

import pytest

from eventstore import ANY, LogPosition, NewEvent
from eventstore.errors import BlockMissing, MalformedBlock, StoreUnavailable
from eventstore.limits import EVENT_NAME_MAX_CHARS, PAGE_MAX_EVENTS, STREAM_ID_MAX_BYTES
from eventstore.memory.log import MemoryEventLog
from eventstore.memory.store import MemoryEventStore
from tests.http.gateway import Gateway


class Failing(MemoryEventLog):
    """A log that can't be read."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self._error = error

    def read_tranche(self, *_: object, **__: object) -> None:  # type: ignore[override]
        raise self._error


@pytest.fixture
def log() -> MemoryEventLog:
    return MemoryEventLog()


@pytest.fixture
def store(log: MemoryEventLog) -> MemoryEventStore:
    return MemoryEventStore(log=log, clock_us=lambda: 1_769_860_800_123_456)


@pytest.fixture
def gateway(store: MemoryEventStore, log: MemoryEventLog) -> Gateway:
    return Gateway(store, log=log)


def test_entry_is_the_address_of_an_event(gateway: Gateway, store: MemoryEventStore) -> None:
    store.append("order/1", [NewEvent.of("OrderPlaced", {"total": 1})], expected=0)

    page = gateway.get("/log").json
    assert page["entries"] == [
        {
            "streamId": "order/1",
            "eventId": 1,
            "eventName": "OrderPlaced",
            "timestamp": "2026-01-31T12:00:00.123456Z",
        }
    ]
    assert page["next"] is None


@pytest.mark.parametrize("limit", [1, 7, 30, 1_000])
def test_pages_give_every_entry_once_and_each_stream_in_order(
    gateway: Gateway, store: MemoryEventStore, limit: int
) -> None:
    for _ in range(3):
        for number in range(10):
            store.append(f"order-{number}", [NewEvent.of("Happened")], expected=ANY)
    found, query = [], {}
    while True:
        page = gateway.get("/log", limit=limit, **query).json
        assert len(page["entries"]) <= limit
        found += [(entry["streamId"], entry["eventId"]) for entry in page["entries"]]
        if page["next"] is None:
            break
        assert page["next"] == page["checkpoint"]
        query = {"after": page["next"]}
    assert len(found) == len({*found}) == 30
    for number in range(10):
        assert [of for stream, of in found if stream == f"order-{number}"] == [1, 2, 3]


def test_checkpoint_of_an_empty_log_is_its_beginning(gateway: Gateway, store: MemoryEventStore) -> None:
    page = gateway.get("/log").json
    assert (page["entries"], page["next"]) == ([], None)
    store.append("a", [NewEvent.of("Happened")], expected=0)

    (entry,) = gateway.get("/log", after=page["checkpoint"]).json["entries"]
    assert (entry["streamId"], entry["eventId"]) == ("a", 1)


def test_what_is_logged_later_comes_behind_the_checkpoint(gateway: Gateway, store: MemoryEventStore) -> None:
    store.append("a", [NewEvent.of("Happened")] * 3, expected=0)
    checkpoint = gateway.get("/log").json["checkpoint"]
    assert gateway.get("/log", after=checkpoint).json["entries"] == []
    store.append("a", [NewEvent.of("Happened")], expected=3)

    assert [of["eventId"] for of in gateway.get("/log", after=checkpoint).json["entries"]] == [4]


def test_largest_page_there_can_be_fits_into_an_answer(gateway: Gateway, store: MemoryEventStore) -> None:
    name = '"' * EVENT_NAME_MAX_CHARS
    for number in range(PAGE_MAX_EVENTS):
        store.append(f"{number:04}" + '"' * (STREAM_ID_MAX_BYTES - 4), [NewEvent(name=name)], expected=0)

    page = gateway.get("/log", limit=PAGE_MAX_EVENTS)
    assert len(page.json["entries"]) == PAGE_MAX_EVENTS
    assert len(json.dumps(page.text)) < 6_000_000  # as Lambda counts it: the body as a JSON string


@pytest.mark.parametrize(
    ("query", "problem"),
    [
        ({"limit": 0}, "invalid-limit"),
        ({"limit": 1_001}, "invalid-limit"),
        ({"after": "12"}, "invalid-position"),
        ({"after": "MS8yLjA"}, "invalid-position"),  # of a log with one tranche
        ({"after": "MS8wLjA"}, "invalid-position"),
        ({"from": "2026-01-31T09:30:00Z"}, "unknown-parameter"),
    ],
)
def test_bad_query_is_refused(gateway: Gateway, query: dict[str, object], problem: str) -> None:
    answer = gateway.get("/log", **query)
    assert (answer.status, answer.problem) == (400, problem)


def test_checkpoint_from_before_the_log_was_rebuilt_is_refused(
    gateway: Gateway, store: MemoryEventStore
) -> None:
    for n in range(20):
        store.append(f"order-{n}", [NewEvent.of("OrderPlaced")], expected=0)
    checkpoint = gateway.get("/log").json["checkpoint"]
    assert gateway.get("/log", after=checkpoint).status == 200

    log = MemoryEventLog()
    for log_id, problem in ((None, "position-of-another-log"), (of_log(checkpoint), "position-not-in-log")):
        log._log_id = log_id or log.log_id
        answer = Gateway(MemoryEventStore(), log=log).get("/log", after=checkpoint)
        assert (answer.status, answer.problem) == (410, problem)
        assert "read the log again from its beginning" in answer.json["detail"]


def of_log(position: str) -> str:
    return LogPosition.parse(position).log_id


@pytest.mark.parametrize(
    ("error", "status", "problem"),
    [
        (BlockMissing(tranche=0, block=3, next_block=4), 500, "block-missing"),
        (MalformedBlock(tranche=0, block=3, reason="it's missing"), 500, "malformed-block"),
        (StoreUnavailable(operation="query", reason="throttled"), 503, "unavailable"),
    ],
)
def test_failure_says_whose_it_is(
    store: MemoryEventStore, error: Exception, status: int, problem: str
) -> None:
    answer = Gateway(store, log=Failing(error)).get("/log")
    assert (answer.status, answer.problem) == (status, problem)
