"""The floor: the least boto3 calls that could do the job, on this library's table."""

from __future__ import annotations

import heapq
import random
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from operator import itemgetter
from typing import Any

import boto3
from botocore.client import BaseClient

from bench.candidates import Conflict, client_options, retrying, table_of
from bench.seeding import Item, item_at, write_copies
from eventstore.dynamodb.schema.events import BY_TIME


def events_table_keys(name: str) -> dict[str, Any]:
    """Describe this library's table as CreateTable takes it.

    Without its stream: that costs no units, and DynamoDB Local gets many times slower with one.
    """
    types = {"StreamId": "S", "EventId": "N", "GSIKey": "N", "Timestamp": "N"}
    return {
        "TableName": name,
        "AttributeDefinitions": [{"AttributeName": key, "AttributeType": types[key]} for key in types],
        "KeySchema": [
            {"AttributeName": "StreamId", "KeyType": "HASH"},
            {"AttributeName": "EventId", "KeyType": "RANGE"},
        ],
        "GlobalSecondaryIndexes": [
            {
                "IndexName": BY_TIME,
                "KeySchema": [
                    {"AttributeName": "GSIKey", "KeyType": "HASH"},
                    {"AttributeName": "Timestamp", "KeyType": "RANGE"},
                ],
                "Projection": {"ProjectionType": "ALL"},
            }
        ],
    }


def event_item(stream_id: str, event_id: int, payload: str, *, shard: int) -> Item:
    """Write an event's item by hand."""
    return {
        "StreamId": {"S": stream_id},
        "EventId": {"N": str(event_id)},
        "EventName": {"S": "OrderPlaced"},
        "Payload": {"S": payload},
        "EventUid": {"S": str(uuid.uuid4())},
        "Timestamp": {"N": str(time.time_ns() // 1_000)},
        "GSIKey": {"N": str(shard)},
    }


def seed_events(
    endpoint: str, table: str, stream_id: str, *, count: int, shards: int = 1, seed: int = 7
) -> None:
    """Copy a stream's first event until it has `count` of them, each 1 us later, on random shards."""
    first = item_at(endpoint, table, {"StreamId": {"S": stream_id}, "EventId": {"N": "1"}})
    began_us = int(first["Timestamp"]["N"])
    random_ = random.Random(seed)
    on_shard = [random_.randrange(shards) for _ in range(count + 1)]

    def at_version(item: Item, version: int) -> Item:
        return {
            **item,
            "EventId": {"N": str(version)},
            "Timestamp": {"N": str(began_us + version - 1)},
            "GSIKey": {"N": str(on_shard[version])},
        }

    write_copies(endpoint, table, first, versions=range(2, count + 1), at_version=at_version)


class Floor:
    """A conditional put, a transaction, pages of a query; no checks, no objects, no guard against gaps."""

    name = "floor (bare boto3)"

    def __init__(self, endpoint: str, table: str, *, shards: int = 1) -> None:
        self._endpoint = endpoint
        self._table = table
        self._shards = shards
        self._client: Any = boto3.client("dynamodb", **client_options(endpoint))

    @property
    def client(self) -> BaseClient:
        """Its boto3 client."""
        return self._client  # type: ignore[no-any-return]

    def append(self, stream_id: str, payloads: Sequence[str], *, after: int, head_known: bool = True) -> None:
        """Put each event where none is yet."""
        del head_known
        puts = [
            {
                "TableName": self._table,
                "Item": event_item(stream_id, after + number, payload, shard=random.randrange(self._shards)),
                "ConditionExpression": "attribute_not_exists(StreamId)",
            }
            for number, payload in enumerate(payloads, 1)
        ]
        try:
            if len(puts) == 1:
                self._client.put_item(**puts[0])
            else:
                self._client.transact_write_items(TransactItems=[{"Put": put} for put in puts])
        except self._client.exceptions.ConditionalCheckFailedException as error:
            raise Conflict from error
        except self._client.exceptions.TransactionCanceledException as error:
            if any(
                reason["Code"] == "ConditionalCheckFailed" for reason in error.response["CancellationReasons"]
            ):
                raise Conflict from error
            raise

    def load(self, stream_id: str) -> int:
        """Query page by page."""
        count = 0
        for page in self._pages(
            KeyConditionExpression="StreamId = :stream",
            ExpressionAttributeValues={":stream": {"S": stream_id}},
            ConsistentRead=True,
        ):
            count += len(page)
        return count

    def load_and_append(self, stream_id: str, payload: str) -> int:
        """Load and append until it works."""
        return retrying(self, stream_id, payload)

    def read_all(self) -> int:
        """Query every shard and merge by time; one after another, nothing ahead."""
        shards = (self._shard(shard) for shard in range(self._shards))
        return sum(1 for _ in heapq.merge(*shards, key=itemgetter(0)))

    def seed(self, stream_id: str, payload: str, *, count: int) -> None:
        """Make a stream of `count` events."""
        self.append(stream_id, [payload], after=0)
        seed_events(self._endpoint, self._table, stream_id, count=count, shards=self._shards)

    def _shard(self, shard: int) -> Iterator[tuple[int, Item]]:
        for page in self._pages(
            IndexName=BY_TIME,
            KeyConditionExpression="GSIKey = :shard",
            ExpressionAttributeValues={":shard": {"N": str(shard)}},
        ):
            for item in page:
                yield int(item["Timestamp"]["N"]), item

    def _pages(self, **request: Any) -> Iterator[list[Item]]:
        request["TableName"] = self._table
        while True:
            answer = self._client.query(**request)
            yield answer["Items"]
            if "LastEvaluatedKey" not in answer:
                return
            request["ExclusiveStartKey"] = answer["LastEvaluatedKey"]


@contextmanager
def open_floor(endpoint: str, *, shards: int = 1) -> Iterator[Floor]:
    """Open the floor on a table of its own."""
    with table_of(endpoint, **events_table_keys("floor-events")) as table:
        yield Floor(endpoint, table, shards=shards)
