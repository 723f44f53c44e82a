"""`restored`: declares a restore once, and the bus then has one id for each event, whoever sends it."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import boto3
import pytest

from eventstore import NewEvent
from eventstore.delivery.cloudevents import EntryFormat
from eventstore.dynamodb.items import key_of
from eventstore.dynamodb.store import DynamoDBEventStore
from eventstore.errors import RestoreNotDeclared
from tests.cli.conftest import Run
from tests.fake_aws import FakeEventBridge
from tests.parked_events import QUEUE_URL, FakeSqsQueue
from tests.tables import events_table, over, put_items

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

START_US = 1_700_000_000_000_000
HAPPENED = [NewEvent.of("Happened")]
FORMAT = EntryFormat(source="eventstore", api_url="https://a")


def store(client: DynamoDBClient, table: str, **options: Any) -> DynamoDBEventStore:
    given: dict[str, Any] = {"clock_us": lambda: START_US, "clock_tolerance_s": None} | options
    return over(DynamoDBEventStore(client=client, table_name=table, **given), 3)


def items_of(client: DynamoDBClient, table: str) -> list[dict[str, Any]]:
    return client.scan(TableName=table)["Items"]


@pytest.fixture
def restored(client: DynamoDBClient, table: str) -> Iterator[str]:
    """The table as it was when stream s had 2 events; one of 4 of them is not in it."""
    writer = store(client, table)
    writer.append("s", [*HAPPENED, *HAPPENED], expected=0)
    items = items_of(client, table)
    writer.append("s", [*HAPPENED, *HAPPENED], expected=2)
    with events_table(client) as name:
        put_items(client, name, items)
        yield name


def ids(client: DynamoDBClient, table: str) -> list[str]:
    return [json.loads(FORMAT.entry(event).detail)["id"] for event in store(client, table).read_stream("s")]


def test_restore_is_declared_once_and_told_again(client: DynamoDBClient, restored: str, run: Run) -> None:
    with pytest.raises(RestoreNotDeclared):
        store(client, restored).append("s", HAPPENED, expected=2)

    code, out, err = run("restored", "--table", restored)

    assert (code, out) == (0, "")
    epoch = client.get_item(TableName=restored, Key=key_of("$store", 0))["Item"]["Epoch"]["N"]
    assert "declared to be restored, from 'events-" in err
    assert "Its last event is of 2023-11-14T22:13:20.000001Z." in err
    after = items_of(client, restored)
    assert {event.epoch_us for event in store(client, restored).append("s", HAPPENED, expected=2).events} == {
        int(epoch)
    }

    code, _, err = run("restored", "--table", restored)
    assert (code, "declared already" in err, "Nothing was changed." in err) == (0, True, True)
    assert all(item in items_of(client, restored) for item in after)


def test_table_that_is_written_to_is_refused_until_that_ends(
    client: DynamoDBClient, restored: str, run: Run
) -> None:
    """As by a writer that passes the library by, or after a restore under the same name."""
    young = store(client, restored, clock_us=lambda: time.time_ns() // 1_000)
    with pytest.raises(RestoreNotDeclared):
        young.append("young", HAPPENED, expected=0)
    run("restored", "--table", restored)
    young.append("young", HAPPENED, expected=0)
    before = items_of(client, restored)

    code, _, err = run("restored", "--table", restored, "--same-name")

    assert code == 2
    assert "is still written to: event 1 of stream 'young' is of " in err
    assert "stop all writers" in err
    assert items_of(client, restored) == before
    # It's declared already, and that is told while writers go on.
    assert run("restored", "--table", restored)[0] == 0


def test_table_of_the_same_name_is_declared_when_it_is_said_to_be_restored(
    client: DynamoDBClient, table: str, run: Run
) -> None:
    store(client, table).append("s", HAPPENED, expected=0)
    code, _, err = run("restored", "--table", table)
    assert (code, "nothing shows a restore" in err) == (2, True)

    assert run("restored", "--table", table, "--same-name")[0] == 0

    store(client, table).append("s", HAPPENED, expected=1)
    (old, new) = ids(client, table)
    assert (old, re.sub("[0-9]{4}-.*", "", new)) == ("s/1", "s/2@")


def test_empty_table_and_one_without_the_stores_item_are_refused(
    client: DynamoDBClient, table: str, run: Run
) -> None:
    code, _, err = run("restored", "--table", table)
    assert (code, "has no events: nothing was restored" in err) == (2, True)

    store(client, table).append("s", HAPPENED, expected=0)
    client.delete_item(TableName=table, Key=key_of("$store", 0))
    code, _, err = run("restored", "--table", table)
    assert (code, "verify --repair" in err) == (2, True)


def test_redrive_and_republish_send_an_event_with_the_publishers_id(
    client: DynamoDBClient, restored: str, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("restored", "--table", restored)[0] == 0
    store(client, restored).append("s", [*HAPPENED, *HAPPENED], expected=2)
    bus, queue, made = FakeEventBridge(), FakeSqsQueue(), boto3.Session.client

    def fake(self: Any, service: str, **options: Any) -> Any:
        return {"sqs": queue, "events": bus}.get(service) or made(self, service, **options)

    monkeypatch.setattr(boto3.Session, "client", fake)
    for n in range(1, 5):
        queue.park("s", n)
    reach = ("--table", restored, "--bus", "b", "--api-url", "https://a")

    for how in (
        ("redrive", "--queue-url", QUEUE_URL),
        ("republish", "--stream", "s"),
        ("republish", "--from", "2023-11-14T00:00:00Z"),
    ):
        bus.calls.clear()
        assert run(how[0], *reach, *how[1:])[0] == 0
        sent = [json.loads(entry["Detail"])["id"] for call in bus.calls for entry in call]
        assert sent == ids(client, restored)
        assert sent[:2] == ["s/1", "s/2"]
        assert all(re.fullmatch(r"s/[34]@[0-9T:.-]{26}Z", id_) for id_ in sent[2:])


def test_lost_item_of_the_store_is_written_back_with_its_epoch(
    client: DynamoDBClient, restored: str, run: Run
) -> None:
    assert run("restored", "--table", restored)[0] == 0
    (event,) = store(client, restored).append("s", HAPPENED, expected=2).events
    client.delete_item(TableName=restored, Key=key_of("$store", 0))

    assert run("verify", "--table", restored, "--repair")[0] == 0

    assert store(client, restored).append("s", HAPPENED, expected=3).events[0].epoch_us == event.epoch_us
