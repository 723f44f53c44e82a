"""The worked example's read model on DynamoDB: the same lines as in memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from eventstore import Store, connect
from eventstore.log.model import tranche_of
from examples.lending.overview import LENT, READERS
from tests.tables import (
    dynamodb_client,
    events_table,
    log_table,
    subscriptions_table,
    tables_client,
)
from tests.unit.test_lending import follows_the_desk


@pytest.fixture
def store(dynamodb_endpoint: str) -> Iterator[Store]:
    client, tables = dynamodb_client(dynamodb_endpoint), tables_client(dynamodb_endpoint)
    with ExitStack() as stack:
        names = {
            "events_table": stack.enter_context(events_table(client)),
            "log_table": stack.enter_context(log_table(client)),
            "subscriptions_table": stack.enter_context(subscriptions_table(client)),
        }
        for table, key in ((LENT, "Copy"), (READERS, "Member")):
            tables.create_table(
                TableName=table,
                BillingMode="PAY_PER_REQUEST",
                AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"}],
                KeySchema=[{"AttributeName": key, "KeyType": "HASH"}],
            )
            stack.callback(tables.delete_table, TableName=table)
        local: dict[str, Any] = {"aws_access_key_id": "local", "aws_secret_access_key": "local"}
        yield connect(**names, endpoint_url=dynamodb_endpoint, region_name="us-east-1", **local)


def test_overview_on_dynamodb_is_the_one_in_memory(store: Store) -> None:
    done: dict[str, int] = {}

    def logged() -> None:
        """Log what the log writer would log."""
        for stream_id in ("copy-1", "copy-2", "ada"):
            events = list(store.read_stream(stream_id, from_version=done.get(stream_id, 0) + 1))
            if events:
                store.log.append_block(tranche_of(stream_id, tranches=store.log.tranches), events)
                done[stream_id] = events[-1].event_id

    follows_the_desk(store, logged=logged)
