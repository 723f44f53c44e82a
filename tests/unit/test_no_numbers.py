"""Nobody who makes a store, a reader or a log is asked for a number that the store keeps itself."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, Final

import pytest

from eventstore import Store, connect
from eventstore._store_parameter import StoreParameter
from eventstore.dynamodb.checkpoints import DynamoDBCheckpoints
from eventstore.dynamodb.event_bodies import DynamoDBEventBodies
from eventstore.dynamodb.log import DynamoDBEventLog
from eventstore.dynamodb.store import DynamoDBEventStore
from eventstore.memory.checkpoints import MemoryCheckpoints
from eventstore.memory.store import MemoryEventStore
from eventstore.subscriptions import SharedReader, Subscription, subscribe

NUMBERS: Final = {"shards", "write_shards", "read_shards", "tranches", "log_tranches"}
MADE: Final[tuple[Callable[..., Any], ...]] = (
    *(DynamoDBEventStore, DynamoDBEventLog, DynamoDBCheckpoints, DynamoDBEventBodies, StoreParameter),
    *(MemoryEventStore, MemoryCheckpoints, SharedReader, Store, Subscription, connect, subscribe),
)


@pytest.mark.parametrize("made", MADE, ids=lambda made: made.__name__)
def test_nothing_public_is_made_with_a_number_of_shards_or_tranches(made: Callable[..., Any]) -> None:
    assert NUMBERS.isdisjoint(inspect.signature(made).parameters)
