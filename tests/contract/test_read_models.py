"""The read model of projections, in memory and on the strict engine; and what it costs."""

from __future__ import annotations

import doctest
import random
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from eventstore.dynamodb.read_model import DynamoDBReadModel
from eventstore.errors import ReadModelRefused
from eventstore.events import Event
from eventstore.memory.read_model import MemoryReadModel
from eventstore.subscriptions import Delete, ItemReadModel, Projection, Put, Update, Write
from eventstore.testing import ReadModelContract
from eventstore.testing.read_model_contract import happened, project, same
from tests.tables import Meter, dynamodb_client, subscriptions_table, tables_client

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

LETTERS = {str: "S", int: "N", bytes: "B"}


@contextmanager
def table_of(client: DynamoDBClient, **key: type) -> Iterator[str]:
    """Have an empty table with this key for a while."""
    name, tables = f"items-{uuid4()}", tables_client(client.meta.endpoint_url)
    made: Any = {
        "AttributeDefinitions": [
            {"AttributeName": of, "AttributeType": LETTERS[kind]} for of, kind in key.items()
        ],
        "KeySchema": [
            {"AttributeName": of, "KeyType": kind} for of, kind in zip(key, ("HASH", "RANGE"), strict=False)
        ],
    }
    tables.create_table(TableName=name, BillingMode="PAY_PER_REQUEST", **made)
    try:
        yield name
    finally:
        tables.delete_table(TableName=name)


class TestMemoryReadModel(ReadModelContract):
    def make_read_model(self) -> ItemReadModel:
        return MemoryReadModel()

    def make_table(self, **key: type) -> str:
        return "-".join(key)


class TestDynamoDBReadModel(ReadModelContract):
    @pytest.fixture(autouse=True)
    def _engine(self, dynamodb_endpoint: str) -> Iterator[None]:
        self.client = dynamodb_client(dynamodb_endpoint)
        with ExitStack() as self.tables:
            yield

    def make_read_model(self) -> ItemReadModel:
        kept = self.tables.enter_context(subscriptions_table(self.client))
        return DynamoDBReadModel(client=self.client, table_name=kept)

    def make_table(self, **key: type) -> str:
        return self.tables.enter_context(table_of(self.client, **key))


class Engine:
    """A read model on the engine with one table, and its client."""

    def __init__(self, endpoint: str, stack: ExitStack) -> None:
        self.client = dynamodb_client(endpoint)
        self.table = stack.enter_context(table_of(self.client, Id=str))
        kept = stack.enter_context(subscriptions_table(self.client))
        self.model = DynamoDBReadModel(client=self.client, table_name=kept)


@pytest.fixture
def engine(dynamodb_endpoint: str) -> Iterator[Engine]:
    with ExitStack() as stack:
        yield Engine(dynamodb_endpoint, stack)


def test_each_write_costs_2_units_a_kb_and_the_last_event_id_2(engine: Engine) -> None:
    meter = Meter.on(engine.client)
    key = {"Id": "a"}
    for number, (write, units) in enumerate(
        [
            (Put(engine.table, key, {"A": "x" * 2_000}), 4),
            (Update(engine.table, key, add={"N": 1}), 4),
            (Delete(engine.table, key), 4),
        ],
        start=1,
    ):
        meter.reset()
        assert project(engine.model, [write], event_id=number) is None
        assert (meter.requests, meter.table_units) == (["TransactWriteItems"], 2 + units)


def test_item_is_read_strongly_at_1_unit_for_4_kb(engine: Engine) -> None:
    project(engine.model, [Put(engine.table, {"Id": "a"}, {"A": "x" * 5_000})])
    meter = Meter.on(engine.client)
    for of, units in (("a", 2), ("none", 1)):
        meter.reset()
        engine.model.get(engine.table, {"Id": of})
        assert (meter.requests, meter.strong, meter.table_units) == (["GetItem"], 1, units)


def test_table_of_more_than_a_page_is_read_whole_and_strongly(engine: Engine) -> None:
    for number in range(1, 5):
        project(engine.model, [Put(engine.table, {"Id": f"{number}"}, {"A": "x" * 390_000})], event_id=number)
    meter = Meter.on(engine.client)
    assert sorted(item["Id"] for item in engine.model.items(engine.table)) == ["1", "2", "3", "4"]
    assert meter.requests in (["Scan"] * 2, ["Scan"] * 3)
    assert meter.strong == len(meter.requests)


def test_raw_writes_stand_beside_the_others_in_one_transaction(engine: Engine) -> None:
    raw: dict[str, Any] = {
        "Put": {
            "TableName": engine.table,
            "Item": {"Id": {"S": "raw"}, "Names": {"SS": ["x"]}, "Sizes": {"NS": ["1", "2.50"]}},
            "ConditionExpression": "attribute_not_exists(Id)",
        }
    }
    write = engine.model.write
    assert write([raw, Put(engine.table, {"Id": "a"})], projection="p", event=happened(), after=0) is None
    found = engine.model.get(engine.table, {"Id": "raw"})
    assert found
    assert (found["Names"], {str(size) for size in found["Sizes"]}) == ({"x"}, {"1", "2.5"})
    with pytest.raises(ReadModelRefused, match="a condition of its own writes failed"):
        write([Put(engine.table, {"Id": "b"}), raw], projection="p", event=happened(2), after=1)
    assert engine.model.get(engine.table, {"Id": "b"}) is None


def test_write_that_the_engine_refuses_is_named(engine: Engine) -> None:
    project(engine.model, [Put(engine.table, {"Id": "a"}, {"A": "x" * 400 * 1_000})])
    grown = Update(engine.table, {"Id": "a"}, append={"B": ["x" * 10_000]})
    with pytest.raises(ReadModelRefused) as caught:
        project(engine.model, [Put(engine.table, {"Id": "b"}), grown], event_id=2)
    assert caught.value.reason == (
        f"its write 2, Update('{engine.table}', {{'Id': 'a'}}), is refused: "
        "Item size to update has exceeded the maximum allowed size"
    )


def test_write_that_memory_refuses_is_named_with_its_repair() -> None:
    model = MemoryReadModel()
    project(model, [Put("t", {"Id": "a"}, {"A": "text"})])
    with pytest.raises(ReadModelRefused) as caught:
        project(model, [Put("t", {"Id": "b"}), Update("t", {"Id": "a"}, add={"A": 1})], event_id=2)
    assert caught.value.reason == (
        "its write 2, Update('t', {'Id': 'a'}), is refused: "
        "add['A']: meets 'text', which is no number; set it first"
    )


def test_raw_write_is_refused_in_memory_with_what_to_return() -> None:
    raw: Any = [{"Put": {"TableName": "t", "Item": {"Id": {"S": "a"}}}}]
    with pytest.raises(ReadModelRefused, match="a dict; return Put, Update or Delete"):
        project(MemoryReadModel(), raw)


def raw_project(event: Event) -> list[dict[str, Any]]:
    return [{"Put": {"TableName": "t", "Item": {"Id": {"S": event.stream_id}}}}]


def portable_project(event: Event) -> list[Put]:
    return [Put("t", {"Id": event.stream_id})]


def test_types_let_a_portable_project_run_on_both_and_a_raw_one_on_dynamodb(engine: Engine) -> None:
    """mypy holds it: an ignore that isn't needed is an error there."""
    memory = MemoryReadModel()
    Projection(name="p", project=raw_project, read_model=engine.model)
    Projection(name="p", project=portable_project, read_model=engine.model)
    assert Projection(name="p", project=portable_project, read_model=memory)(happened())
    raw = Projection(name="q", project=raw_project, read_model=memory)  # type: ignore[arg-type]
    with pytest.raises(ReadModelRefused):
        raw(happened())


class Author:
    """Writes by chance, some of which don't fit what is there."""

    NAMES = ("A", "b.c", "#d", "set")
    VALUES = (1, Decimal("-0.125"), 10**37, 10**124, "text", None, True, [1], {"x": [b"y"]}, b"")

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def writes(self, table: str) -> list[Write]:
        ids = self.random.sample("abcd", self.random.randrange(4))
        return [self.write(table, {"Id": of}) for of in ids]

    def write(self, table: str, key: dict[str, str]) -> Write:
        kind = self.random.random()
        if kind < 0.1:
            return Delete(table, key)
        names = self.random.sample(self.NAMES, 4)
        if kind < 0.3:
            return Put(table, key, {name: self.random.choice(self.VALUES) for name in names[:2]})
        return Update(
            table,
            key,
            set={names[0]: self.random.choice(self.VALUES)},
            add={names[1]: self.random.choice((1, Decimal("0.5"), 10**36))} if kind < 0.7 else {},
            append={names[2]: [self.random.choice(self.VALUES)]} if kind > 0.5 else {},
            remove=names[3:],
        )


def outcome(model: ItemReadModel, writes: list[Write], *, event_id: int) -> object:
    try:
        return project(model, writes, event_id=event_id)
    except ReadModelRefused:
        return "refused"


@pytest.mark.parametrize("seed", range(3))
def test_memory_and_the_engine_agree_on_writes_by_chance(engine: Engine, seed: int) -> None:
    author, memory = Author(seed), MemoryReadModel()
    outcomes: list[object] = []
    event_id = 1
    for _ in range(80):
        writes = author.writes(engine.table)
        done = outcome(engine.model, writes, event_id=event_id)
        assert outcome(memory, writes, event_id=event_id) == done, writes
        outcomes.append(done)
        event_id += done is None
        here, there = (
            {item["Id"]: item for item in model.items(engine.table)} for model in (memory, engine.model)
        )
        assert same(here, there), writes
    assert {None, "refused"} == set(outcomes), "chance has to try both"


@pytest.mark.parametrize("kind", [Put, Update, Delete])
def test_example_in_the_docstring_of_a_write_runs(kind: type) -> None:
    (example,) = doctest.DocTestFinder(recurse=False).find(kind, globs={kind.__name__: kind})
    assert example.examples
    assert doctest.DocTestRunner().run(example).failed == 0
