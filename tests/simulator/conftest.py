"""One history for all simulations: written to DynamoDB Local, and read from its stream."""

from __future__ import annotations

from collections.abc import Iterator

import boto3
import pytest

from tests.simulator.history import History, read_history, write_history
from tests.simulator.publication import CachedReads, Simulation
from tests.tables import dynamodb_client, events_table


@pytest.fixture(scope="session")
def simulated(dynamodb_endpoint: str) -> Iterator[tuple[History, Simulation]]:
    client = dynamodb_client(dynamodb_endpoint)
    streams = boto3.client(
        "dynamodbstreams",
        endpoint_url=dynamodb_endpoint,
        region_name="us-east-1",
        aws_access_key_id="local",
        aws_secret_access_key="local",
    )
    with events_table(client, is_streamed=True) as table_name:
        committed_s = write_history(client, table_name, seed=2_026, appends=140)
        history = read_history(client, streams, table_name, committed_s)
        yield history, Simulation(history, CachedReads(client))


@pytest.fixture
def history(simulated: tuple[History, Simulation]) -> History:
    return simulated[0]


@pytest.fixture
def simulation(simulated: tuple[History, Simulation]) -> Simulation:
    return simulated[1]
