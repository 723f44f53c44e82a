"""The contract on the strict engine: DynamoDB Local, with one shard and with ten."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from eventstore import EventStore
from eventstore.adapters.dynamodb.store import DynamoDBEventStore
from eventstore.testing import EventStoreContract
from tests.tables import dynamodb_client, events_table


class _DynamoDBContract(EventStoreContract):
    write_shards: int

    @pytest.fixture(autouse=True)
    def _engine(self, dynamodb_endpoint: str) -> Iterator[None]:
        self.client = dynamodb_client(dynamodb_endpoint)
        with ExitStack() as self.tables:
            yield

    def make_store(self, *, clock_us: Callable[[], int], settling_s: float) -> EventStore:
        return DynamoDBEventStore(
            client=self.client,
            table_name=self.tables.enter_context(events_table(self.client)),
            write_shards=self.write_shards,
            settling_s=settling_s,
            clock_us=clock_us,
        )


class TestDynamoDBEventStoreWithOneShard(_DynamoDBContract):
    write_shards = 1


class TestDynamoDBEventStoreWithTenShards(_DynamoDBContract):
    write_shards = 10
