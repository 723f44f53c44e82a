"""ministack's tables on disk: what was answered is there, whatever ends the process afterwards."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from localcloud.kept_store import KeptStore
from localcloud.kept_tables import KeptTables
from tests.local.test_ordered_tables import fresh_module

STREAM = {"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"}
TABLE = {
    "TableName": "events",
    "BillingMode": "PAY_PER_REQUEST",
    "AttributeDefinitions": [
        {"AttributeName": "StreamId", "AttributeType": "S"},
        {"AttributeName": "EventId", "AttributeType": "N"},
    ],
    "KeySchema": [
        {"AttributeName": "StreamId", "KeyType": "HASH"},
        {"AttributeName": "EventId", "KeyType": "RANGE"},
    ],
    "StreamSpecification": STREAM,
}
ARN = "arn:aws:dynamodb:us-east-1:000000000000:table/events"


class Cloud:
    """One life of a DynamoDB of ministack's: it ends without a word, as if killed, when another is made."""

    def __init__(self, folder: Path) -> None:
        self.store = KeptStore(folder)
        self.module: Any = fresh_module()
        self.tables = KeptTables(self.module, self.store, saves=self.save)
        definitions = self.store.about("definitions")
        if definitions is not None:
            keys = json.loads(definitions)
            for name, table in keys.items():
                self.module._tables.set_scoped("000000000000", "us-east-1", name, table)
            self.module._restore_state({})
            for table in self.module._tables.all_values():
                table["items"] = self.module.defaultdict(dict)
            self.tables.load()

    def save(self, consumed: dict[str, int] | None = None) -> None:
        tables = {key[2]: table for key, table in self.tables.definitions()["tables"].all_items()}
        with self.tables.lock:
            with self.store.transaction() as db:
                written = self.tables.write(db, all_tables=True)
                self.tables.drop_consumed(db, consumed or {})
            written()
        self.store.remember({"definitions": json.dumps(tables)})

    def call(self, action: str, request: dict[str, Any]) -> tuple[int, Any]:
        headers = {"x-amz-target": f"DynamoDB_20120810.{action}"}
        status, _, body = asyncio.run(
            self.module.handle_request("POST", "/", headers, json.dumps(request).encode(), {})
        )
        return status, json.loads(body)

    def put(self, stream: str, number: int, **more: Any) -> tuple[int, Any]:
        return self.call("PutItem", {"TableName": "events", "Item": item(stream, number), **more})

    def held(self) -> list[tuple[str, int]]:
        status, answer = self.call("Scan", {"TableName": "events"})
        assert status == 200, answer
        return sorted((found["StreamId"]["S"], int(found["EventId"]["N"])) for found in answer["Items"])

    def records(self, position: int = 0) -> list[tuple[str, str]]:
        found = self.module.stream_records_since("events", position, 1_000)
        keys = [record["dynamodb"]["Keys"] for record in found]
        return [(key["StreamId"]["S"], key["EventId"]["N"]) for key in keys]


def item(stream: str, number: int) -> dict[str, Any]:
    return {"StreamId": {"S": stream}, "EventId": {"N": str(number)}, "__bytes__": {"S": "\u2713\U0001f600"}}


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[], Cloud]]:
    clouds: list[Cloud] = []

    def starting() -> Cloud:
        clouds.append(Cloud(tmp_path))
        return clouds[-1]

    yield starting
    for cloud in clouds:
        cloud.store.__exit__()


def test_items_that_were_answered_survive_a_sudden_end(start: Callable[[], Cloud]) -> None:
    cloud = start()
    cloud.call("CreateTable", TABLE)
    cloud.put("a", 1)
    cloud.put("a", 2)
    puts = [{"Put": {"TableName": "events", "Item": item("b", number)}} for number in (1, 2)]
    assert cloud.call("TransactWriteItems", {"TransactItems": puts})[0] == 200
    assert cloud.put("a", 2, ConditionExpression="attribute_not_exists(StreamId)")[0] == 400
    cloud.call(
        "DeleteItem", {"TableName": "events", "Key": {k: item("a", 1)[k] for k in ("StreamId", "EventId")}}
    )

    again = start()

    assert again.held() == [("a", 2), ("b", 1), ("b", 2)]
    assert again.call("DescribeTable", {"TableName": "events"})[1]["Table"]["ItemCount"] == 3
    key = {name: item("b", 1)[name] for name in ("StreamId", "EventId")}
    assert again.call("GetItem", {"TableName": "events", "Key": key})[1]["Item"] == item("b", 1)


def test_a_write_that_can_not_be_kept_is_not_answered(
    start: Callable[[], Cloud], monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud = start()
    cloud.call("CreateTable", TABLE)
    cloud.put("a", 1)
    with monkeypatch.context() as full:
        full.setattr(json, "dumps", _disk_is_full(json.dumps))
        with pytest.raises(sqlite3.OperationalError, match="full"):
            cloud.put("a", 2)
    assert start().held() == [("a", 1)]

    cloud.put("a", 3)  # what couldn't be kept before goes along

    assert start().held() == [("a", 1), ("a", 2), ("a", 3)]


def _disk_is_full(dumps: Callable[..., str]) -> Callable[..., str]:
    def fails(value: Any, **options: Any) -> str:
        if isinstance(value, dict) and value.get("EventId") == {"N": "2"}:
            raise sqlite3.OperationalError("database or disk is full")
        return dumps(value, **options)

    return fails


def test_records_keep_their_places_in_the_stream(start: Callable[[], Cloud]) -> None:
    cloud = start()
    cloud.call("CreateTable", TABLE)
    for number in (1, 2, 3):
        cloud.put("a", number)

    again = start()
    again.put("a", 4)

    assert again.records(position=2) == [("a", "3"), ("a", "4")]
    assert again.module.stream_end_position("events") == 4
    assert start().records(position=3) == [("a", "4")]


def test_records_are_forgotten_once_every_function_has_them(start: Callable[[], Cloud]) -> None:
    cloud = start()
    cloud.call("CreateTable", TABLE)
    for number in (1, 2, 3):
        cloud.put("a", number)
    cloud.save(consumed={ARN: 2})

    again = start()
    assert again.module.stream_start_position("events") == 2
    assert again.records() == [("a", "3")]

    again.save(consumed={ARN: 3})
    last = start()
    last.put("a", 4)
    assert (last.module.stream_start_position("events"), last.records()) == (3, [("a", "4")])
    assert start().records() == [("a", "4")]


def test_a_table_made_anew_holds_nothing_of_the_one_before(start: Callable[[], Cloud]) -> None:
    cloud = start()
    cloud.call("CreateTable", TABLE)
    cloud.put("old", 1)
    cloud.call("DeleteTable", {"TableName": "events"})
    cloud.call("CreateTable", TABLE)
    cloud.put("new", 1)

    again = start()

    assert again.held() == [("new", 1)]
    assert again.records() == [("new", "1")]


def test_a_table_that_is_deleted_is_forgotten(start: Callable[[], Cloud]) -> None:
    cloud = start()
    cloud.call("CreateTable", TABLE)
    cloud.put("a", 1)
    cloud.call("DeleteTable", {"TableName": "events"})
    cloud.save()

    assert list(cloud.store.rows("SELECT arn FROM items UNION SELECT arn FROM streams")) == []
    assert list(cloud.store.rows("SELECT arn FROM records")) == []


def test_an_item_of_a_table_that_is_not_saved_yet_saves_it(start: Callable[[], Cloud]) -> None:
    cloud = start()
    cloud.call("CreateTable", TABLE)
    assert cloud.store.about("definitions") is None
    cloud.put("a", 1)
    assert cloud.store.about("definitions") is not None
