"""Ways to read that are no event stores: boto3's `Table.query` with its paginator, and json.loads alone."""

from __future__ import annotations

import heapq
import json
from collections.abc import Iterator, Sequence
from operator import itemgetter
from typing import Any

import boto3
from boto3.dynamodb.conditions import ConditionBase, Key
from botocore.client import BaseClient

from bench.candidates import client_options
from eventstore.dynamodb.schema.events import BY_TIME


class TableQuery:
    """What most programs on DynamoDB do: the resource's client and its paginator, items as Python values."""

    name = "Table.query, paginated"

    def __init__(self, endpoint: str, table: str, *, shards: int = 1) -> None:
        resource: Any = boto3.resource("dynamodb", **client_options(endpoint))
        self._table = table
        self._shards = shards
        self._client: Any = resource.Table(table).meta.client

    @property
    def client(self) -> BaseClient:
        """The client of its table."""
        return self._client  # type: ignore[no-any-return]

    def load(self, stream_id: str) -> int:
        """Query a stream."""
        return sum(1 for _ in self._items(Key("StreamId").eq(stream_id), ConsistentRead=True))

    def read_all(self) -> int:
        """Query every shard and merge by time."""
        shards = [self._shard(shard) for shard in range(self._shards)]
        return sum(1 for _ in heapq.merge(*shards, key=itemgetter("Timestamp")))

    def _shard(self, shard: int) -> Iterator[dict[str, Any]]:
        return self._items(Key("GSIKey").eq(shard), IndexName=BY_TIME)

    def _items(self, condition: ConditionBase, **request: Any) -> Iterator[dict[str, Any]]:
        paginator = self._client.get_paginator("query")
        for page in paginator.paginate(TableName=self._table, KeyConditionExpression=condition, **request):
            yield from page["Items"]


def parse_bodies(bodies: Sequence[bytes]) -> int:
    """Have json.loads read the bytes of all answers; return how many items there were."""
    return sum(len(json.loads(body)["Items"]) for body in bodies)


RAW_NAME = "json.loads alone"
