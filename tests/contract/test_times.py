"""Timestamps by addresses, for publisher and log writer: memory and DynamoDB Local tell the same."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from eventstore import Event, NewEvent
from eventstore.dynamodb.compression import Compression
from eventstore.dynamodb.store import DynamoDBEventStore
from eventstore.errors import StoreUnavailable
from eventstore.memory.store import MemoryEventStore
from tests import tables
from tests.tables import Meter, events_table, tables_client

if TYPE_CHECKING:
    pass


class Table(tables.Table):
    """An events table and a store on it that takes no pauses."""

    def __init__(self, endpoint: str, name: str) -> None:
        super().__init__(endpoint, name)
        self.pauses_s: list[float] = []
        self.store = DynamoDBEventStore(
            client=self.client,
            table_name=name,
            compression=Compression("zlib", min_bytes=0),
            jitter=lambda: 1.0,
            sleep=self.pauses_s.append,
        )

    def put_odd(self, event_id: str, **attributes: Any) -> None:
        """Put an item that no store wrote."""
        self.put({"StreamId": {"S": "odd"}, "EventId": {"N": event_id}, **attributes})


@pytest.fixture
def table(dynamodb_endpoint: str) -> Iterator[Table]:
    with events_table(tables_client(dynamodb_endpoint)) as name:
        yield Table(dynamodb_endpoint, name)


@pytest.fixture(params=["memory", "dynamodb"])
def store(request: pytest.FixtureRequest) -> MemoryEventStore | DynamoDBEventStore:
    if request.param == "memory":
        return MemoryEventStore()
    table: Table = request.getfixturevalue("table")
    return table.store


def appended(
    store: MemoryEventStore | DynamoDBEventStore, stream_id: str, *, events: int, payload: str = "{}"
) -> tuple[Event, ...]:
    new = [NewEvent(name="Happened", payload=payload)] * events
    return store.append(stream_id, new, expected=0).events


def test_times_are_those_of_the_events_and_what_is_not_there_is_left_out(
    store: MemoryEventStore | DynamoDBEventStore,
) -> None:
    first, second, _ = appended(store, "a", events=3)
    (other,) = appended(store, "é/ü 😀", events=1)
    found = store.read_times([("a", 1), ("a", 2), ("a", 4), ("b", 1), ("é/ü 😀", 1)])
    assert found == {
        ("a", 1): first.timestamp_us,
        ("a", 2): second.timestamp_us,
        ("é/ü 😀", 1): other.timestamp_us,
    }


def test_no_addresses_ask_nothing(table: Table) -> None:
    meter = Meter.on(table.client)
    assert table.store.read_times([]) == {}
    assert meter.requests == []


def test_times_of_100_events_are_one_strongly_consistent_request(table: Table) -> None:
    events = appended(table.store, "a", events=100)
    meter = Meter.on(table.client)
    asked: list[Any] = []
    table.client.meta.events.register(
        "provide-client-params.dynamodb.BatchGetItem", lambda params, **_: asked.append(params)
    )
    found = table.store.read_times([("a", event.event_id) for event in events])
    assert found == {("a", event.event_id): event.timestamp_us for event in events}
    assert (meter.requests, meter.table_units) == (["BatchGetItem"], 100.0)
    assert asked[0]["RequestItems"][table.name]["ConsistentRead"] is True


def test_only_addresses_and_times_are_sent_back(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    appended(table.store, "a", events=1, payload=f'"{"x" * 10_000}"')
    answers = []
    real = table.client.batch_get_item

    def kept(**request: Any) -> Any:
        answers.append(real(**request))
        return answers[-1]

    monkeypatch.setattr(table.client, "batch_get_item", kept)
    table.store.read_times([("a", 1)])
    (item,) = answers[0]["Responses"][table.name]
    assert item.keys() == {"StreamId", "EventId", "Timestamp"}


def test_times_of_more_than_one_answer_holds_come_with_more_requests(table: Table) -> None:
    payload = f'"{"x" * 390_000}"'
    store = DynamoDBEventStore(client=table.client, table_name=table.name)
    addresses = [
        (event.stream_id, event.event_id)
        for number in range(5)
        for event in appended(store, f"a{number}", events=10, payload=payload)
    ]
    assert sorted(store.read_times(addresses)) == sorted(addresses)


def test_keys_left_unprocessed_are_asked_for_again(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    events = appended(table.store, "a", events=5)
    real = table.client.batch_get_item
    asked: list[int] = []

    def two_at_a_time(*, RequestItems: Any) -> Any:  # noqa: N803
        of_table = RequestItems[table.name]
        keys = of_table["Keys"]
        asked.append(len(keys))
        answer = real(RequestItems={table.name: {**of_table, "Keys": keys[:2]}})
        left = {table.name: {**of_table, "Keys": keys[2:]}} if keys[2:] else {}
        return {**answer, "UnprocessedKeys": left}

    monkeypatch.setattr(table.client, "batch_get_item", two_at_a_time)
    # The first two aren't there: an answer without items that has read keys isn't one to wait after.
    addresses = [("b", 1), ("b", 2), *(("a", event.event_id) for event in events)]
    assert table.store.read_times(addresses) == {("a", of.event_id): of.timestamp_us for of in events}
    assert (asked, table.pauses_s) == ([7, 5, 3, 1], [])


def test_keys_that_stay_unprocessed_end_in_an_error(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    def unprocessed(*, RequestItems: Any) -> Any:  # noqa: N803
        return {"Responses": {}, "UnprocessedKeys": RequestItems}

    monkeypatch.setattr(table.client, "batch_get_item", unprocessed)
    with pytest.raises(StoreUnavailable, match="left 2 keys unread 5 times"):
        table.store.read_times([("a", 1), ("a", 2)])
    assert table.pauses_s == [0.1, 0.2, 0.4, 0.8]


@pytest.mark.parametrize(
    "attributes",
    [{}, {"Timestamp": {"N": "1.5"}}, {"Timestamp": {"N": "-1"}}],
    ids=["none", "not whole", "negative"],
)
def test_item_without_a_timestamp_is_left_out(table: Table, attributes: dict[str, Any]) -> None:
    table.put_odd("1", **attributes)
    table.put_odd("2", Timestamp={"N": "7"})
    assert table.store.read_times([("odd", 1), ("odd", 2)]) == {("odd", 2): 7}


# --- what an item says of when events were written ----------------------------------------------------------


def test_item_says_when_the_event_before_it_was_written_but_for_the_first(table: Table) -> None:
    first = table.store.append("s", [NewEvent.of("E")] * 3, expected=0)
    assert first.stream_id == "s"
    table.store.append("s", [NewEvent.of("E")], expected=first.head)
    table.store.append("s", [NewEvent.of("E")], expected=4)
    items = {int(item["EventId"]["N"]): item for item in table.items() if item["StreamId"]["S"] == "s"}
    assert "PreviousAt" not in items[1]
    assert [items[n]["PreviousAt"] for n in (2, 3, 4, 5)] == [items[n]["Timestamp"] for n in (1, 2, 3, 4)]


def test_item_of_a_clock_that_is_ahead_says_when_it_was_written(table: Table) -> None:
    ahead = DynamoDBEventStore(
        client=table.client,
        table_name=table.name,
        clock_us=lambda: time.time_ns() // 1_000 + 60_000_000,
        clock_tolerance_s=90.0,
        settling_s=300.0,
    )
    ahead.head("s")
    (event,) = ahead.append("s", [NewEvent.of("E")], expected=0).events
    assert event.written_us is not None
    assert 30_000_000 < event.timestamp_us - event.written_us < 90_000_000
    assert ahead.read_times([("s", 1)]) == {("s", 1): event.written_us}
