"""The contract on the strict engine, DynamoDB Local: few shards and many, each kind of client and payload."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache
from typing import TYPE_CHECKING

import pytest

from eventstore import EventStore
from eventstore.dynamodb.compression import Compression
from eventstore.dynamodb.store import DynamoDBEventStore
from eventstore.testing import EventStoreContract
from tests.tables import boto3s_client, dynamodb_client, events_table, over, pause

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


class _DynamoDBContract(EventStoreContract):
    write_shards: int
    compression: Compression | None = None

    @staticmethod
    def make_client(endpoint: str) -> DynamoDBClient:
        return dynamodb_client(endpoint)

    @classmethod
    @cache
    def _client(cls, endpoint: str) -> DynamoDBClient:
        """Make one client for all tests of a class: they leave it as it is."""
        return cls.make_client(endpoint)

    @pytest.fixture(autouse=True)
    def _engine(self, dynamodb_endpoint: str) -> Iterator[None]:
        self.client = self._client(dynamodb_endpoint)
        with ExitStack() as self.tables:
            yield

    def make_store(self, *, clock_us: Callable[[], int], settling_s: float) -> EventStore:
        return over(
            DynamoDBEventStore(
                client=self.client,
                table_name=self.tables.enter_context(events_table(self.client)),
                settling_s=settling_s,
                compression=self.compression,
                clock_us=clock_us,
                clock_tolerance_s=None,
                sleep=pause,
            ),
            self.write_shards,
        )


class TestDynamoDBEventStoreWithOneShardAndBoto3sClient(_DynamoDBContract):
    write_shards = 1

    @staticmethod
    def make_client(endpoint: str) -> DynamoDBClient:
        return boto3s_client(endpoint)


class TestDynamoDBEventStoreThatCompresses(_DynamoDBContract):
    write_shards = 2
    compression = Compression("zstd", min_bytes=0)


class TestDynamoDBEventStoreWithTenShards(_DynamoDBContract):
    write_shards = 10
