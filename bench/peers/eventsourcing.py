"""PyPI `eventsourcing-dynamodb`: the recorder that its factory gives to the library `eventsourcing`."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import boto3
from botocore.client import BaseClient
from eventsourcing.persistence import StoredEvent
from eventsourcing_dynamodb.recorders import DynamoApplicationRecorder

from bench.candidates import NotOffered, client_options, retrying, table_of
from bench.seeding import Item, item_at, write_copies

# Its README names no table; these are the keys that its recorder writes and queries.
_KEYS: dict[str, Any] = {
    "AttributeDefinitions": [
        {"AttributeName": "originator_id", "AttributeType": "S"},
        {"AttributeName": "originator_version", "AttributeType": "N"},
    ],
    "KeySchema": [
        {"AttributeName": "originator_id", "KeyType": "HASH"},
        {"AttributeName": "originator_version", "KeyType": "RANGE"},
    ],
}


class EventsourcingDynamoDB:
    """Its recorder, with events as its mapper would hand them over: topic and state as bytes."""

    name = "eventsourcing-dynamodb"

    def __init__(self, endpoint: str, table: str) -> None:
        self._endpoint = endpoint
        self._table = table
        self._resource: Any = boto3.resource("dynamodb", **client_options(endpoint))
        self._recorder = DynamoApplicationRecorder(dynamo_table_name=table, dynamo_resource=self._resource)

    @property
    def client(self) -> BaseClient:
        """The client of its resource."""
        return self._resource.meta.client  # type: ignore[no-any-return]

    def append(self, stream_id: str, payloads: Sequence[str], *, after: int, head_known: bool = True) -> None:
        """Insert events; versions begin with 1 here as in the library's aggregates."""
        del head_known
        self._recorder.insert_events(
            [
                StoredEvent(
                    _originator(stream_id), after + number, "shop.orders:Order.Placed", payload.encode()
                )
                for number, payload in enumerate(payloads, 1)
            ]
        )

    def load(self, stream_id: str) -> int:
        """Select all events of an originator."""
        return len(self._recorder.select_events(_originator(stream_id)))

    def load_and_append(self, stream_id: str, payload: str) -> int:
        """Load and insert; it never tells of a conflict."""
        return retrying(self, stream_id, payload)

    def read_all(self) -> int:
        """Select notifications, the library's way to read everything."""
        try:
            return len(self._recorder.select_notifications(1, 1_000))
        except NotImplementedError as error:
            raise NotOffered("select_notifications raises NotImplementedError") from error

    def seed(self, stream_id: str, payload: str, *, count: int) -> None:
        """Make a stream of `count` events."""
        self.append(stream_id, [payload], after=0)
        key = {"originator_id": {"S": str(_originator(stream_id))}, "originator_version": {"N": "1"}}
        write_copies(
            self._endpoint,
            self._table,
            item_at(self._endpoint, self._table, key),
            versions=range(2, count + 1),
            at_version=_at_version,
        )


def _at_version(item: Item, version: int) -> Item:
    return {**item, "originator_version": {"N": str(version)}}


def _originator(stream_id: str) -> uuid.UUID:
    return uuid.uuid5(uuid.NAMESPACE_URL, stream_id)


@contextmanager
def open_eventsourcing(endpoint: str) -> Iterator[EventsourcingDynamoDB]:
    """Open it on a table of its own."""
    with table_of(endpoint, TableName="eventsourcing-events", **_KEYS) as table:
        yield EventsourcingDynamoDB(endpoint, table)
