"""npm `event-store-adapter-js`, on the journal and snapshot tables of its documentation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import boto3

from bench.candidates import NotOffered, client_options, retrying, table_of
from bench.peers.node import NodeProcess, node_process
from bench.seeding import Item, write_copies


def _table(name: str, index: str) -> dict[str, Any]:
    types = {"pkey": "S", "skey": "S", "aid": "S", "seq_nr": "N"}
    return {
        "TableName": name,
        "AttributeDefinitions": [{"AttributeName": key, "AttributeType": types[key]} for key in types],
        "KeySchema": [
            {"AttributeName": "pkey", "KeyType": "HASH"},
            {"AttributeName": "skey", "KeyType": "RANGE"},
        ],
        "GlobalSecondaryIndexes": [
            {
                "IndexName": index,
                "KeySchema": [
                    {"AttributeName": "aid", "KeyType": "HASH"},
                    {"AttributeName": "seq_nr", "KeyType": "RANGE"},
                ],
                "Projection": {"ProjectionType": "ALL"},
            }
        ],
    }


class EventStoreAdapter:
    """Its event store and its README's repository: a snapshot with the first event, then events alone."""

    name = "event-store-adapter-js"
    client = None

    def __init__(self, endpoint: str, table: str, process: NodeProcess) -> None:
        self._endpoint = endpoint
        self._table = table
        self._process = process

    def append(self, stream_id: str, payloads: Sequence[str], *, after: int, head_known: bool = True) -> None:
        """Persist events one by one: it has no call for several."""
        del head_known
        self._process.append(stream_id, payloads, after=after)

    def load(self, stream_id: str) -> int:
        """Get the snapshot and the events behind it."""
        return self._process.load(stream_id)

    def load_and_append(self, stream_id: str, payload: str) -> int:
        """Load and persist until it works."""
        return retrying(self, stream_id, payload)

    def read_all(self) -> int:
        """Not offered."""
        raise NotOffered(
            "its methods read one aggregate's snapshot and events; there's no read of all events"
        )

    def seed(self, stream_id: str, payload: str, *, count: int) -> None:
        """Make a stream of `count` events: copies of the second one, for the first is the snapshot's."""
        self.append(stream_id, [payload], after=0)
        self.append(stream_id, [payload], after=1)
        client: Any = boto3.client("dynamodb", **client_options(self._endpoint))
        template = client.query(
            TableName=self._table,
            IndexName="journal-aid-index",
            KeyConditionExpression="aid = :aid AND seq_nr = :two",
            ExpressionAttributeValues={":aid": {"S": f"order-{stream_id}"}, ":two": {"N": "2"}},
        )["Items"][0]
        write_copies(
            self._endpoint, self._table, template, versions=range(3, count + 1), at_version=_at_version
        )


def _at_version(item: Item, version: int) -> Item:
    aggregate, _, _ = item["skey"]["S"].rpartition("-")
    return {**item, "skey": {"S": f"{aggregate}-{version}"}, "seq_nr": {"N": str(version)}}


@contextmanager
def open_event_store_adapter(endpoint: str) -> Iterator[EventStoreAdapter]:
    """Open it on tables of its own."""
    with (
        table_of(endpoint, **_table("adapter-journal", "journal-aid-index")) as journal,
        table_of(endpoint, **_table("adapter-snapshots", "snapshots-aid-index")) as snapshots,
        node_process(
            "event-store-adapter.mjs", endpoint, {"BENCH_TABLE": journal, "BENCH_SNAPSHOTS": snapshots}
        ) as process,
    ):
        yield EventStoreAdapter(endpoint, journal, process)
