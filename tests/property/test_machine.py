"""Any sequence of appends and reads: the model against both adapters."""

from collections.abc import Callable
from contextlib import ExitStack

import pytest
from hypothesis import HealthCheck, settings

from eventstore import EventStore
from eventstore.dynamodb.store import DynamoDBEventStore
from eventstore.memory.store import MemoryEventStore
from eventstore.testing.machine import EventStoreMachine
from tests.tables import dynamodb_client, events_table, over


class MemoryMachine(EventStoreMachine):
    def make_store(self, *, clock_us: Callable[[], int], settling_s: float) -> EventStore:
        return MemoryEventStore(clock_us=clock_us, settling_s=settling_s)


class DynamoDBMachine(EventStoreMachine):
    endpoint: str

    def __init__(self) -> None:
        super().__init__()
        self.tables = ExitStack()

    def teardown(self) -> None:
        self.tables.close()

    def make_store(self, *, clock_us: Callable[[], int], settling_s: float) -> EventStore:
        client = dynamodb_client(self.endpoint)
        return over(
            DynamoDBEventStore(
                client=client,
                table_name=self.tables.enter_context(events_table(client)),
                settling_s=settling_s,
                clock_us=clock_us,
                clock_tolerance_s=None,
                sleep=lambda _: None,
            ),
            3,
        )


TestMemoryMachine = MemoryMachine.TestCase
TestMemoryMachine.settings = settings(max_examples=100, stateful_step_count=30, deadline=None)

TestDynamoDBMachine = DynamoDBMachine.TestCase
TestDynamoDBMachine.settings = settings(
    max_examples=12, stateful_step_count=30, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)


@pytest.fixture(scope="module", autouse=True)
def _engine(dynamodb_endpoint: str) -> None:
    DynamoDBMachine.endpoint = dynamodb_endpoint
