"""`connect`: one call makes the same store of a name, of tables, and in memory."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import boto3
import pytest

from eventstore import Append, Event, NewEvent, Position, Store, connect
from eventstore.dynamodb.store import DynamoDBEventStore
from eventstore.errors import InvalidInput, InvalidStoreParameter, StoreItemMissing, UnknownStore
from eventstore.log.model import tranche_of
from eventstore.memory.checkpoints import MemoryEventBodies
from eventstore.memory.store import MemoryEventStore
from eventstore.subscriptions import Update
from tests.fake_aws import FakeParameters
from tests.tables import dynamodb_client, events_table, log_table, over, subscriptions_table
from tests.unit.test_store_parameter import DEPLOYED

HAPPENED = [NewEvent.of("Happened")]
TIME = datetime(2026, 1, 31, tzinfo=UTC)


@pytest.fixture
def tables(dynamodb_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    for name, value in {
        "AWS_ENDPOINT_URL_DYNAMODB": dynamodb_endpoint,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("EVENTSTORE", raising=False)
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    client = dynamodb_client(dynamodb_endpoint)
    with ExitStack() as stack:
        yield {
            "events_table": stack.enter_context(events_table(client)),
            "log_table": stack.enter_context(log_table(client)),
            "subscriptions_table": stack.enter_context(subscriptions_table(client)),
        }


def use(store: Store) -> list[int]:
    """Append, log what the log writer would log, and handle it by a subscription."""
    appended = store.append("order-1", HAPPENED * 2, expected=0)
    store.append("order-1", HAPPENED, expected=appended.head)
    if not store.read_log(limit=1).entries:  # in memory it's logged by the append
        events = [*store.read_stream("order-1")]
        store.log.append_block(tranche_of("order-1", tranches=store.log.tranches), events)
    assert [entry.event_id for entry in store.read_log().entries] == [1, 2, 3]
    assert [event.event_id for event in store.read_all(unsettled=True)] == [1, 2, 3]
    assert store.head("order-1").version == 3
    seen: list[int] = []
    store.subscribe("view", lambda event: seen.append(event.event_id)).step()
    return seen


def test_projection_of_a_store_writes_where_the_store_reads_it_back() -> None:
    store = connect("memory:")
    events = store.append("order-1", HAPPENED * 2, expected=0).events
    project = lambda event: [Update("seen", {"Stream": event.stream_id}, add={"Seen": 1})]  # noqa: E731
    for projection in (store.projection("view", project), store.projection("view", project)):
        for event in events:
            projection(event)
    assert store.read_model.get("seen", {"Stream": "order-1"}) == {"Stream": "order-1", "Seen": 2}


def test_store_in_memory_is_whole() -> None:
    assert use(connect("memory:")) == [1, 2, 3]


def test_store_of_tables_is_whole(tables: dict[str, str]) -> None:
    assert use(connect(**tables)) == [1, 2, 3]


def test_store_of_a_name_is_as_it_was_deployed(tables: dict[str, str], parameters: FakeParameters) -> None:
    deployed = replace(DEPLOYED, **tables)
    parameters.parameters["/eventstore/prod"] = json.dumps(deployed.members())
    store = connect("prod")
    assert use(store) == [1, 2, 3]
    assert store.deployment == deployed
    assert isinstance(store.events, DynamoDBEventStore)
    assert store.events._settling_us == 12_500_000
    assert store.events._compression is not None


def test_variable_names_the_store_that_is_meant(
    tables: dict[str, str], parameters: FakeParameters, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EVENTSTORE", "prod")
    parameters.parameters["/eventstore/prod"] = json.dumps(replace(DEPLOYED, **tables).members())
    assert connect().head("none").version == 0


@pytest.mark.parametrize("by", ["name", "tables"])
def test_store_is_written_and_read_over_as_many_shards_as_it_says_itself(
    tables: dict[str, str], dynamodb_endpoint: str, parameters: FakeParameters, by: str
) -> None:
    """Also by a parameter of an older deployment, which says 4."""
    deployed = replace(DEPLOYED, **tables).members() | {"writeShards": 4}
    parameters.parameters["/eventstore/prod"] = json.dumps(deployed)
    client = dynamodb_client(dynamodb_endpoint)
    first = over(DynamoDBEventStore(client=client, table_name=tables["events_table"]), 8)
    written = {first.append(f"order-{n}", HAPPENED, expected=0).head.stream_id for n in range(40)}
    store = connect("prod") if by == "name" else connect(events_table=tables["events_table"])
    store.events._random_shard = lambda shards: shards - 1  # type: ignore[attr-defined]

    written.add(store.append("later", HAPPENED, expected=0).head.stream_id)

    items = client.scan(TableName=tables["events_table"])["Items"]
    assert next(item["GSIKey"]["N"] for item in items if item["StreamId"]["S"] == "later") == "7"
    assert {event.stream_id for event in store.read_all(unsettled=True)} == written


@pytest.mark.parametrize("refuses_lists", [False, True])
def test_unknown_name_is_told_with_those_that_are_there(
    tables: dict[str, str], parameters: FakeParameters, refuses_lists: bool
) -> None:
    parameters.parameters = {"/eventstore/prod": "{}", "/eventstore/dev": "{}", "/other/x": "{}"}
    parameters.refuses_lists = refuses_lists
    with pytest.raises(UnknownStore, match="no parameter /eventstore/prd in this account") as caught:
        connect("prd")
    assert caught.value.known == (() if refuses_lists else ("dev", "prod"))
    with pytest.raises(InvalidStoreParameter, match="has the version None"):
        connect("prod")


@pytest.mark.usefixtures("tables")
@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({}, "name"),
        ({"name": "prod", "events_table": "events"}, "name"),
        ({"log_table": "log"}, "events_table"),
        ({"events_table": ""}, "events_table"),
        ({"events_table": "events", "log_table": 7}, "log_table"),
    ],
)
def test_neither_or_both_are_refused(arguments: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidInput, match=f"^{field}: "):
        connect(**arguments)


def test_part_that_was_not_given_is_told_when_it_is_used(tables: dict[str, str]) -> None:
    store = connect(events_table=tables["events_table"])
    for part, use_it in (
        ("log_table", store.read_log),
        ("log_table", lambda: store.subscribe("view", lambda event: None)),
        ("subscriptions_table", lambda: store.checkpoints),
        ("subscriptions_table", lambda: store.read_model),
        ("subscriptions_table", lambda: store.projection("view", lambda _: [])),
    ):
        with pytest.raises(InvalidInput, match=f"{part}: isn't known: give it to connect"):
            use_it()


def test_what_is_asked_of_the_store_is_asked_of_its_events_as_it_is() -> None:
    def recorded(name: str) -> Any:
        return lambda *arguments, **options: (name, arguments, options)

    asked_of = ("append", "transact", "head", "read_stream", "read_all")
    recorder: Any = SimpleNamespace(**{name: recorded(name) for name in asked_of})
    bodies = MemoryEventBodies(MemoryEventStore())
    store = Store(events=recorder, log=None, bodies=bodies, checkpoints=None)
    asked: Any = [
        store.append("a", HAPPENED, expected=3),
        store.transact([Append("a", (), 0)]),
        store.head("a"),
        store.read_stream("a", from_version=2, to_version=5, backward=True, limit=7, consistent=False),
        store.read_all(from_=TIME, to=TIME, after=Position(1, "a", 1), limit=7, unsettled=True),
    ]
    assert asked == [
        ("append", ("a", HAPPENED), {"expected": 3}),
        ("transact", ([Append("a", (), 0)],), {}),
        ("head", ("a",), {}),
        (
            *("read_stream", ("a",)),
            {"from_version": 2, "to_version": 5, "backward": True, "limit": 7, "consistent": False},
        ),
        (
            *("read_all", ()),
            {"from_": TIME, "to": TIME, "after": Position(1, "a", 1), "limit": 7, "unsettled": True},
        ),
    ]


def test_store_that_was_never_begun_is_begun_by_its_first_append(
    tables: dict[str, str],
) -> None:
    store = connect(**tables)
    assert list(store.read_all()) == []
    assert isinstance(store.append("a", HAPPENED, expected=0).events[0], Event)
    dynamodb: Any = store.events
    dynamodb._client.delete_item(
        TableName=tables["events_table"], Key={"StreamId": {"S": "$store"}, "EventId": {"N": "0"}}
    )
    with pytest.raises(StoreItemMissing):
        list(connect(**tables).read_all(unsettled=True))
