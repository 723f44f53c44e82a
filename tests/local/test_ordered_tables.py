"""ministack's tables kept in order: the same answers as its own, for the work of a page."""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import json
import random
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest

from localcloud.ordered_tables import OrderedTables

PAGE_BYTES = 1_000  # in place of 1 MB, so that pages end by it, too
TABLE = {
    "TableName": "events",
    "BillingMode": "PAY_PER_REQUEST",
    "AttributeDefinitions": [
        {"AttributeName": "StreamId", "AttributeType": "S"},
        {"AttributeName": "EventId", "AttributeType": "N"},
        {"AttributeName": "GSIKey", "AttributeType": "N"},
        {"AttributeName": "Timestamp", "AttributeType": "N"},
        {"AttributeName": "Name", "AttributeType": "S"},
    ],
    "KeySchema": [
        {"AttributeName": "StreamId", "KeyType": "HASH"},
        {"AttributeName": "EventId", "KeyType": "RANGE"},
    ],
    "GlobalSecondaryIndexes": [
        {
            "IndexName": "ByTime",
            "KeySchema": [
                {"AttributeName": "GSIKey", "KeyType": "HASH"},
                {"AttributeName": "Timestamp", "KeyType": "RANGE"},
            ],
            "Projection": {"ProjectionType": "ALL"},
        },
        {
            "IndexName": "ByName",
            "KeySchema": [
                {"AttributeName": "GSIKey", "KeyType": "HASH"},
                {"AttributeName": "Name", "KeyType": "RANGE"},
            ],
            "Projection": {"ProjectionType": "KEYS_ONLY"},
        },
    ],
}


def fresh_module() -> ModuleType:
    """Load ministack's DynamoDB module once more, with tables of its own."""
    spec = importlib.util.find_spec("ministack.services.dynamodb")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Engine:
    """One DynamoDB of ministack's, asked as its server asks it."""

    def __init__(self, *, ordered: bool, from_items: int = 1) -> None:
        self.module: Any = fresh_module()
        self.module._DDB_PAGE_SIZE_BYTES = PAGE_BYTES
        if ordered:
            OrderedTables(self.module, from_items=from_items)
        self.call("CreateTable", TABLE)

    def call(self, action: str, request: dict[str, Any]) -> tuple[int, Any]:
        """Send a request; return the status and the answer."""
        headers = {"x-amz-target": f"DynamoDB_20120810.{action}"}
        body = json.dumps(request).encode()
        status, _, answer = asyncio.run(self.module.handle_request("POST", "/", headers, body, {}))
        return status, json.loads(answer)

    def put(self, stream: str, event: int, *, shard: int, time: int, name: str = "E", size: int = 1) -> None:
        """Store an event."""
        item = {
            "StreamId": {"S": stream},
            "EventId": {"N": str(event)},
            "GSIKey": {"N": str(shard)},
            "Timestamp": {"N": str(time)},
            "Name": {"S": name},
            "Payload": {"S": "x" * size},
        }
        status, answer = self.call("PutItem", {"TableName": "events", "Item": item})
        assert status == 200, answer


@pytest.fixture(scope="module")
def engines() -> tuple[Engine, Engine]:
    return Engine(ordered=False), Engine(ordered=True)


def key_conditions(chance: random.Random) -> Iterator[dict[str, Any]]:
    """Make Queries of every form that the key condition of one can have."""
    for index, hash_name, range_name, kind in (
        (None, "StreamId", "EventId", "N"),
        ("ByTime", "GSIKey", "Timestamp", "N"),
        ("ByName", "GSIKey", "Name", "S"),
    ):
        hash_value = {"S": f"s{chance.randrange(4)}"} if index is None else {"N": str(chance.randrange(3))}
        low, high = sorted(chance.randrange(45) for _ in range(2))
        values: dict[str, Any] = {
            ":a": {kind: str(low) if kind == "N" else f"n{low:02}"},
            ":b": {kind: str(high) if kind == "N" else f"n{high:02}"},
        }
        conditions = ["", *(f"#range {by} :a" for by in ("=", "<", "<=", ">", ">="))]
        conditions += ["#range BETWEEN :a AND :b", "#range between :a and :b", ":a <= #range"]
        if kind == "S":
            values[":n"] = {"S": "n1"}
            conditions.append("begins_with(#range, :n)")
        for condition in conditions:
            used = {name: value for name, value in values.items() if name in condition}
            yield {
                "TableName": "events",
                **({"IndexName": index} if index else {}),
                "KeyConditionExpression": f"{hash_name} = :hash" + (f" AND {condition}" if condition else ""),
                "ExpressionAttributeValues": {":hash": hash_value, **used},
                **({"ExpressionAttributeNames": {"#range": range_name}} if condition else {}),
                "ScanIndexForward": chance.random() < 0.6,
                "ReturnConsumedCapacity": "INDEXES",
            }


def read_whole(engine: Engine, action: str, request: dict[str, Any]) -> list[Any]:
    """Follow the pages of a request to the last one."""
    pages: list[Any] = []
    request = dict(request)
    while True:
        pages.append(engine.call(action, request))
        start = pages[-1][1].get("LastEvaluatedKey")
        if start is None:
            return pages
        request["ExclusiveStartKey"] = start


def change(engines: tuple[Engine, Engine], chance: random.Random) -> None:
    """Make the same change in both: a new event, another in its place, none, or a transaction."""
    stream, event = f"s{chance.randrange(4)}", chance.randrange(1, 45)
    key = {"StreamId": {"S": stream}, "EventId": {"N": str(event)}}
    kind = chance.random()
    fields = {
        "shard": chance.randrange(3),
        "time": chance.randrange(40),
        "name": f"n{chance.randrange(20):02}",
        "size": chance.choice([1, 1, 1, 300]),
    }
    for engine in engines:
        if kind < 0.75:
            engine.put(stream, event, **fields)  # type: ignore[arg-type]
        elif kind < 0.9:
            assert engine.call("DeleteItem", {"TableName": "events", "Key": key})[0] == 200
        else:
            update = {
                "TableName": "events",
                "Key": key,
                "UpdateExpression": "SET #t = :t REMOVE #n",
                "ExpressionAttributeNames": {"#t": "Timestamp", "#n": "Name"},
                "ExpressionAttributeValues": {":t": {"N": str(fields["time"])}},
            }
            engine.call("TransactWriteItems", {"TransactItems": [{"Update": update}]})


@pytest.mark.parametrize("seed", range(3))
def test_every_query_and_scan_is_answered_as_ministack_does(
    engines: tuple[Engine, Engine], seed: int, caplog: pytest.LogCaptureFixture
) -> None:
    chance = random.Random(seed)
    for _ in range(2):
        for _ in range(60):
            change(engines, chance)
        for query in key_conditions(chance):
            for limit in ({}, {"Limit": chance.randrange(1, 6)}, {"Limit": 1_000}):
                mine, ordered = (read_whole(engine, "Query", {**query, **limit}) for engine in engines)
                assert ordered == mine, query
        scan = {"TableName": "events", "Limit": chance.randrange(1, 9)}
        for request in (scan, {"TableName": "events"}, {**scan, "Segment": 1, "TotalSegments": 3}):
            mine, ordered = (read_whole(engine, "Scan", request) for engine in engines)
            assert ordered == mine, request
    from_the_whole_table = [record.args for record in caplog.records if "Answered from" in record.msg]
    assert from_the_whole_table in (
        [],
        [(f"{name} = :hash AND :a <= #range",) for name in ("StreamId", "GSIKey")],
    )


@pytest.mark.parametrize(
    "wrong",
    [
        {"Limit": 0},
        {"Limit": "many"},
        {"IndexName": "None"},
        {"TableName": "none"},
        {"ExclusiveStartKey": {"StreamId": {"S": "s1"}}},
        {"ExclusiveStartKey": "s1"},
        {"ExpressionAttributeValues": {}},
        {"ExpressionAttributeValues": {":s": {"N": "1"}, ":e": {"S": "x"}}},
        {"KeyConditionExpression": "StreamId = :s AND Name > :e"},
        {"KeyConditionExpression": ""},
    ],
)
def test_a_wrong_query_is_refused_as_ministack_does(
    engines: tuple[Engine, Engine], wrong: dict[str, Any]
) -> None:
    query = {
        "TableName": "events",
        "KeyConditionExpression": "StreamId = :s AND EventId > :e",
        "ExpressionAttributeValues": {":s": {"S": "s1"}, ":e": {"N": "1"}},
        **wrong,
    }
    answers = []
    for engine in engines:
        try:
            answers.append(engine.call("Query", query))
        except Exception as error:  # noqa: BLE001 - ministack's own, compared below
            answers.append((0, repr(error)))
    assert answers[0] == answers[1]
    assert answers[0][0] != 200


@pytest.mark.parametrize("forward", [True, False])
def test_a_page_of_a_large_partition_costs_the_work_of_a_page(
    monkeypatch: pytest.MonkeyPatch, forward: bool
) -> None:
    engine = Engine(ordered=True, from_items=64)
    items, limit = 2_000, 5
    for number in range(items):
        engine.put(f"s{number % 7}", number, shard=0, time=number // 3)
    looked_at = Counting(engine.module)
    for name in ("_evaluate_condition", "_sort_key_value", "_item_size_bytes", "_apply_index_projection"):
        monkeypatch.setattr(engine.module, name, looked_at.counted(name))
    query = {
        "TableName": "events",
        "IndexName": "ByTime",
        "KeyConditionExpression": "GSIKey = :shard AND #time >= :from",
        "ExpressionAttributeNames": {"#time": "Timestamp"},
        "ExpressionAttributeValues": {":shard": {"N": "0"}, ":from": {"N": "0"}},
        "ScanIndexForward": forward,
        "Limit": limit,
    }
    _, first = engine.call("Query", query)  # which puts the partition in order, once
    looked_at.calls = 0
    for _ in range(5):
        status, page = engine.call("Query", {**query, "ExclusiveStartKey": first["LastEvaluatedKey"]})
        assert (status, len(page["Items"])) == (200, limit)
        engine.put("another", items + looked_at.calls, shard=0, time=items)
    scan = {"TableName": "events", "Limit": limit}
    _, first = engine.call("Scan", scan)
    for _ in range(5):
        status, page = engine.call("Scan", {**scan, "ExclusiveStartKey": first["LastEvaluatedKey"]})
        assert (status, len(page["Items"])) == (200, limit)

    assert looked_at.calls < items


class Counting:
    """Counts the calls of functions that look at one item."""

    def __init__(self, module: Any) -> None:
        self._module = module
        self.calls = 0

    def counted(self, name: str) -> Any:
        """Return a function of the module that counts its calls."""
        original = getattr(self._module, name)

        def counting(*arguments: Any, **options: Any) -> Any:
            self.calls += 1
            return original(*arguments, **options)

        return counting


def test_items_that_came_by_another_way_are_found(engines: tuple[Engine, Engine]) -> None:
    """What ministack stores without telling (a restored table, a rolled back batch) makes the order anew."""
    engine = Engine(ordered=True)
    for number in range(1, 4):
        engine.put("s", number, shard=0, time=number)
    query = {
        "TableName": "events",
        "KeyConditionExpression": "StreamId = :s",
        "ExpressionAttributeValues": {":s": {"S": "s"}},
    }
    assert engine.call("Query", query)[1]["Count"] == 3
    table = engine.module._tables.get("events")
    table["items"]["s"]["9"] = {**table["items"]["s"]["3"], "EventId": {"N": "9"}}
    table["items"]["t"] = {"1": {**table["items"]["s"]["3"], "StreamId": {"S": "t"}}}
    engine.module._items_replaced(table)
    assert [item["EventId"]["N"] for item in engine.call("Query", query)[1]["Items"]] == ["1", "2", "3", "9"]
    assert engine.call("Scan", {"TableName": "events"})[1]["Count"] == 5


def test_a_ministack_that_is_not_the_one_known_is_left_as_it_was() -> None:
    module: Any = fresh_module()
    del module._index_order_keys
    query = module._query
    with pytest.raises(AttributeError, match="_index_order_keys"):
        OrderedTables(module)
    assert module._query is query


def test_trouble_with_the_order_is_logged_and_ministack_answers(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = Engine(ordered=True, from_items=2)
    engine.put("s", 1, shard=0, time=1)
    monkeypatch.delattr(engine.module, "_index_order_keys")
    engine.put("s", 2, shard=1, time=2)
    assert "it is made anew" in caplog.text
    query = {
        "TableName": "events",
        "KeyConditionExpression": "StreamId = :s",
        "ExpressionAttributeValues": {":s": {"S": "s"}},
    }
    status, answer = engine.call("Query", query)
    assert (status, answer["Count"]) == (200, 2)
    assert "Answered from the whole table" in caplog.text
