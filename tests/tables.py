"""Events tables on DynamoDB Local, and a meter of what a store asks of them."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import uuid4

import boto3
from botocore.config import Config
from botocore.session import get_session
from urllib3.util import Timeout

from eventstore.dynamodb import client as store_client
from eventstore.dynamodb.table_definitions import create_table

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

    from eventstore.dynamodb.log import DynamoDBEventLog
    from eventstore.dynamodb.store import DynamoDBEventStore

StoreT = TypeVar("StoreT", bound="DynamoDBEventStore")
LogT = TypeVar("LogT", bound="DynamoDBEventLog")

_LOCAL: Any = {
    "region_name": "us-east-1",
    "aws_access_key_id": "local",
    "aws_secret_access_key": "local",
}


@cache
def _session() -> boto3.Session:
    """Make the session of all clients: one for each would read the service's model a thousand times."""
    session = get_session()
    store_client.register_parser(session)
    return boto3.Session(botocore_session=session)


def dynamodb_client(endpoint: str, *, config: Config = store_client.CLIENT_CONFIG) -> DynamoDBClient:
    """Make a client of DynamoDB Local, set up as in production."""
    return _waiting(_session().client("dynamodb", config=config, endpoint_url=endpoint, **_LOCAL))


def boto3s_client(endpoint: str) -> DynamoDBClient:
    """Make boto3's ordinary client of DynamoDB Local, set up as in production."""
    return _waiting(
        boto3.client("dynamodb", config=store_client.CLIENT_CONFIG, endpoint_url=endpoint, **_LOCAL)
    )


def _waiting(client: DynamoDBClient) -> DynamoDBClient:
    """Have a client wait for the engine however slow the machine is, its configuration as it was made.

    Of that the store refuses longer time-outs; with those a busy machine's answers would be lost.
    """
    session: Any = client._endpoint.http_session  # type: ignore[attr-defined]
    assert session._manager.connection_pool_kw["timeout"] is session._timeout, "botocore keeps it elsewhere"
    session._timeout = session._manager.connection_pool_kw["timeout"] = Timeout(connect=60, read=60)
    return client


@cache
def tables_client(endpoint: str) -> DynamoDBClient:
    """Make the client that makes and deletes tables: whose requests nobody counts."""
    return dynamodb_client(endpoint)


class Table:
    """A table, and a client on it that a test has for itself."""

    def __init__(self, endpoint: str, name: str) -> None:
        self.client = dynamodb_client(endpoint)
        self.name = name

    def item(self, key: Mapping[str, Any]) -> dict[str, Any]:
        """Read an item; an empty one where there's none."""
        return self.client.get_item(TableName=self.name, Key=key).get("Item", {})

    def items(self) -> list[dict[str, Any]]:
        """Read all items of a small table."""
        return self.client.scan(TableName=self.name)["Items"]

    def put(self, item: Mapping[str, Any]) -> None:
        """Put an item as it is, also one that no store would write."""
        self.client.put_item(TableName=self.name, Item=item)


@contextmanager
def events_table(client: DynamoDBClient, *, is_streamed: bool = False) -> Iterator[str]:
    """Have an empty events table for a while: DynamoDB Local slows down with every table that's left.

    A DynamoDB Stream makes each write a third dearer there, so that only who reads it has one.
    """
    name, tables = f"events-{uuid4()}", tables_client(client.meta.endpoint_url)
    streamed: Any = {"StreamSpecification": {"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"}}
    create_table(tables, "events", name, **(streamed if is_streamed else {}))
    try:
        yield name
    finally:
        tables.delete_table(TableName=name)


def put_items(client: DynamoDBClient, table_name: str, items: Sequence[Mapping[str, Any]]) -> None:
    """Put items into a table as they are; nobody counts that. It takes a fifth of a transaction's time."""
    for first in range(0, len(items), 25):
        puts: Any = [{"PutRequest": {"Item": item}} for item in items[first : first + 25]]
        answer = tables_client(client.meta.endpoint_url).batch_write_item(RequestItems={table_name: puts})
        assert not answer["UnprocessedItems"]


def log_table(client: DynamoDBClient) -> AbstractContextManager[str]:
    """Have an empty log's table for a while."""
    return _table(client, "log")


def journal_table(client: DynamoDBClient) -> AbstractContextManager[str]:
    """Have an empty journal's table for a while."""
    return _table(client, "journal")


def subscriptions_table(client: DynamoDBClient) -> AbstractContextManager[str]:
    """Have an empty subscriptions table for a while."""
    return _table(client, "subscriptions")


def replays_table(client: DynamoDBClient) -> AbstractContextManager[str]:
    """Have an empty replays table for a while."""
    return _table(client, "replays")


@contextmanager
def _table(client: DynamoDBClient, kind: str) -> Iterator[str]:
    name, tables = f"{kind}-{uuid4()}", tables_client(client.meta.endpoint_url)
    create_table(tables, kind, name)
    try:
        yield name
    finally:
        tables.delete_table(TableName=name)


def pause(pause_s: float) -> None:
    """Pause for the other writers of a test, which are its threads; alone it has nobody to wait for."""
    if threading.current_thread() is not threading.main_thread():
        time.sleep(pause_s)


def begun(store: DynamoDBEventStore) -> DynamoDBEventStore:
    """Let a store read and record what it does once a process, before anything is counted or fails."""
    store._facts.write_shards(store._deployed_shards)
    return store


def over(store: StoreT, shards: int) -> StoreT:
    """Have a store spread its events as the deployment's own function does."""
    store.spread_over(shards)
    return store


def of_tranches(log: LogT, tranches: int) -> LogT:
    """Have a log begin with so many tranches as the deployment's own log writer does."""
    log.begin_with(tranches)
    return log


@dataclass
class Meter:
    """Counts the requests that a client sends, the capacity they use and the items they return."""

    requests: list[str] = field(default_factory=list)
    table_units: float = 0.0
    index_units: float = 0.0
    items: int = 0
    strong: int = 0
    """Queries, scans and reads of one item that are strongly consistent."""

    @classmethod
    def on(cls, client: DynamoDBClient) -> Meter:
        """Put a meter on a client; it counts from now on."""
        meter = cls()
        client.meta.events.register("provide-client-params.dynamodb.*", _ask_for_capacity)
        client.meta.events.register("provide-client-params.dynamodb.*", meter._count_strong)
        client.meta.events.register("after-call.dynamodb.*", meter._count)
        return meter

    def reset(self) -> None:
        """Count from zero."""
        self.requests.clear()
        self.table_units = self.index_units = 0.0
        self.items = self.strong = 0

    def _count_strong(self, params: dict[str, Any], **_: Any) -> None:
        self.strong += params.get("ConsistentRead", False)

    def _count(self, model: Any, parsed: dict[str, Any], **_: Any) -> None:
        self.requests.append(model.name)
        self.items += len(parsed.get("Items", ()))
        consumed = parsed.get("ConsumedCapacity") or []
        for capacity in consumed if isinstance(consumed, list) else [consumed]:
            self.table_units += capacity.get("Table", {}).get("CapacityUnits", 0.0)
            indexes = capacity.get("GlobalSecondaryIndexes", {}).values()
            self.index_units += sum(index["CapacityUnits"] for index in indexes)


def _ask_for_capacity(params: dict[str, Any], model: Any, **_: Any) -> None:
    if "ReturnConsumedCapacity" in model.input_shape.members:
        params["ReturnConsumedCapacity"] = "INDEXES"
