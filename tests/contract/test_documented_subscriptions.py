"""The Python of docs/subscriptions.md, as it's printed, on DynamoDB Local."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from eventstore import Event, NewEvent, connect
from eventstore.dynamodb.checkpoints import DynamoDBCheckpoints
from eventstore.dynamodb.client import dynamodb_client as library_client
from eventstore.dynamodb.event_bodies import DynamoDBEventBodies
from eventstore.dynamodb.log import DynamoDBEventLog
from eventstore.dynamodb.store import DynamoDBEventStore
from eventstore.errors import StoreUnavailable
from eventstore.log.model import tranche_of
from eventstore.memory.checkpoints import MemoryCheckpoints
from eventstore.memory.log import MemoryEventLog
from eventstore.subscriptions import subscribe
from tests.tables import dynamodb_client, events_table, log_table, of_tranches, subscriptions_table

DOCUMENT = Path(__file__).parents[2] / "docs/subscriptions.md"


@pytest.fixture
def scope(dynamodb_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """The names that the document leaves to its reader, and AWS as boto3 finds it by itself."""
    found = {
        "AWS_ENDPOINT_URL_DYNAMODB": dynamodb_endpoint,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
    }
    for name, value in found.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    client = dynamodb_client(dynamodb_endpoint)
    with events_table(client) as events, log_table(client) as log, subscriptions_table(client) as kept:
        store = DynamoDBEventStore(client=client, table_name=events)
        entries = of_tranches(DynamoDBEventLog(client=client, table_name=log), 4)
        for stream_id in ("order-1", "basket-1"):
            names = [NewEvent.of("OrderPlaced"), NewEvent.of("OrderPaid")]
            appended = store.append(stream_id, names, expected=0).events
            entries.append_block(tranche_of(stream_id, tranches=4), appended)
        yield {"EVENTS_TABLE": events, "LOG_TABLE": log, "SUBSCRIPTIONS_TABLE": kept}


@pytest.fixture
def _signals() -> Iterator[None]:
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.mark.usefixtures("_signals")
def test_the_documents_python_runs(scope: dict[str, Any]) -> None:
    subscribing, waiting, projecting, raw, hastening, sharing, passing, following = re.findall(
        r"```python\n(.*?)```", DOCUMENT.read_text(), re.DOTALL
    )
    mails = []

    def send_mail(event: Event) -> None:
        mails.append((event.stream_id, event.event_id, event.name))
        signal.raise_signal(signal.SIGTERM)

    exec(subscribing, scope | {"send_mail": send_mail})

    assert mails == [("order-1", 2, "OrderPaid")]

    sent: list[object] = []

    async def send(event: object) -> None:
        sent.append(event)

    told: dict[str, Any] = {"send": send}
    exec(waiting + hastening, told)
    assert told["terms"].concurrency == 16
    exec(passing, told)
    told["handle"]("an event")
    assert sent == ["an event"]
    assert told["terms"].transient(ConnectionRefusedError())
    assert told["terms"].transient(StoreUnavailable(operation="Query", reason="throttled"))
    assert not told["terms"].transient(ValueError())

    client = boto3.client("dynamodb")
    handled: list[tuple[str, int]] = []
    told = {"handle": lambda event: handled.append((event.stream_id, event.event_id))}
    exec(following, told)
    store = DynamoDBEventStore(client=library_client(), table_name=scope["EVENTS_TABLE"])
    log = MemoryEventLog(tranches=1)
    first, second = store.read_stream("order-1")
    position, done = None, dict[str, int]()
    for event in (second, first, second):
        log.append_block(0, [event])
        position = told["follow"](log, store, position, done)
    assert (handled, done) == ([("order-1", 1), ("order-1", 2)], {"order-1": 2})

    ports = {
        "client": client,
        "log": DynamoDBEventLog(client=client, table_name=scope["LOG_TABLE"]),
        "bodies": DynamoDBEventBodies(client=client, table_name=scope["EVENTS_TABLE"]),
        "checkpoints": DynamoDBCheckpoints(client=client, table_name=scope["SUBSCRIPTIONS_TABLE"]),
        "subscribe": subscribe,
    }
    names = scope | ports
    deployed = connect(**{name.lower(): table for name, table in scope.items()})
    in_memory = connect("memory:")
    for stream_id in ("order-1", "basket-1"):
        in_memory.append(stream_id, [NewEvent.of("OrderPlaced"), NewEvent.of("OrderPaid")], expected=0)
    client.create_table(
        TableName="orders-per-day",
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "Day", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "Day", "KeyType": "HASH"}],
    )
    try:
        for store in (deployed, in_memory):
            names |= {"store": store}
            exec(projecting, names)
            worker = names["worker"]
            worker.run(until=lambda worker=worker: worker.counts.handled == 4)
            days = {event.time.date().isoformat() for event in store.read_all(unsettled=True)}
            assert sum(map(names["orders_on"], days)) == 4
            assert names["orders_on"]("2000-01-01") == 0
        exec(raw, names)
        assert names["raw"](first) is True
        assert deployed.read_model.get("orders-per-day", {"Day": "first"})
    finally:
        client.delete_table(TableName="orders-per-day")

    shared: list[tuple[str, int]] = []
    handler = lambda event: shared.append((event.stream_id, event.event_id))  # noqa: E731
    names |= {"send_mail": handler, "projection": handler, "checkpoints": MemoryCheckpoints()}
    names |= {"DynamoDBEventLog": DynamoDBEventLog, "DynamoDBEventBodies": DynamoDBEventBodies}
    exec(sharing, names)
    for worker in names["workers"]:
        worker.step()
        worker.close()
    assert len(names["workers"]) == 2
    assert (len(shared), len(set(shared))) == (8, 4)
