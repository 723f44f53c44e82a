"""npm `@castore/event-storage-adapter-dynamodb`, on the table of its README."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from bench.candidates import NotOffered, retrying, table_of
from bench.peers.node import NodeProcess, node_process
from bench.seeding import Item, item_at, write_copies

_TABLE: dict[str, Any] = {
    "TableName": "castore-events",
    "AttributeDefinitions": [
        {"AttributeName": "aggregateId", "AttributeType": "S"},
        {"AttributeName": "version", "AttributeType": "N"},
        {"AttributeName": "eventStoreId", "AttributeType": "S"},
        {"AttributeName": "timestamp", "AttributeType": "S"},
    ],
    "KeySchema": [
        {"AttributeName": "aggregateId", "KeyType": "HASH"},
        {"AttributeName": "version", "KeyType": "RANGE"},
    ],
    "GlobalSecondaryIndexes": [
        {
            "IndexName": "initialEvents",
            "KeySchema": [
                {"AttributeName": "eventStoreId", "KeyType": "HASH"},
                {"AttributeName": "timestamp", "KeyType": "RANGE"},
            ],
            "Projection": {"ProjectionType": "KEYS_ONLY"},
        }
    ],
}


class Castore:
    """Its `EventStore`: one event is pushed, several are an event group; the payload is a DynamoDB map."""

    name = "castore"
    client = None

    def __init__(self, endpoint: str, table: str, process: NodeProcess) -> None:
        self._endpoint = endpoint
        self._table = table
        self._process = process

    def append(self, stream_id: str, payloads: Sequence[str], *, after: int, head_known: bool = True) -> None:
        """Push one event, or a group of them."""
        del head_known
        self._process.append(stream_id, payloads, after=after)

    def load(self, stream_id: str) -> int:
        """Get a stream's events."""
        return self._process.load(stream_id)

    def load_and_append(self, stream_id: str, payload: str) -> int:
        """Load and push until it works."""
        return retrying(self, stream_id, payload)

    def read_all(self) -> int:
        """Not offered."""
        raise NotOffered("it lists the ids of aggregates (listAggregateIds); there's no read of all events")

    def seed(self, stream_id: str, payload: str, *, count: int) -> None:
        """Make a stream of `count` events: copies of the second one, for only the first is in the index."""
        self.append(stream_id, [payload], after=0)
        self.append(stream_id, [payload], after=1)
        key = {"aggregateId": {"S": f"ORDERS#{stream_id}"}, "version": {"N": "2"}}
        write_copies(
            self._endpoint,
            self._table,
            item_at(self._endpoint, self._table, key),
            versions=range(3, count + 1),
            at_version=_at_version,
        )


def _at_version(item: Item, version: int) -> Item:
    return {**item, "version": {"N": str(version)}}


@contextmanager
def open_castore(endpoint: str) -> Iterator[Castore]:
    """Open it on a table of its own."""
    with (
        table_of(endpoint, **_TABLE) as table,
        node_process("castore.mjs", endpoint, {"BENCH_TABLE": table}) as process,
    ):
        yield Castore(endpoint, table, process)
