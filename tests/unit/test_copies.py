"""A store belongs to its process: it's neither pickled nor copied, and says so itself."""

import copy
import pickle
from collections.abc import Callable

import pytest

from eventstore import EventStore
from eventstore.dynamodb.store import DynamoDBEventStore
from eventstore.memory.store import MemoryEventStore
from tests.tables import dynamodb_client


def dynamodb_store() -> EventStore:
    return DynamoDBEventStore(client=dynamodb_client("http://127.0.0.1:1"), table_name="events")


MEMORY = "a MemoryEventStore can't be pickled or copied: its events are this process's own"
DYNAMODB = (
    "a DynamoDBEventStore can't be pickled or copied: it holds connections. Make one in each process, or "
    "before a fork, which it outlives"
)


@pytest.mark.parametrize("carry", [pickle.dumps, copy.copy, copy.deepcopy])
@pytest.mark.parametrize(("make_store", "why"), [(MemoryEventStore, MEMORY), (dynamodb_store, DYNAMODB)])
def test_store_that_is_pickled_or_copied_says_that_it_can_not_be(
    make_store: Callable[[], EventStore], why: str, carry: Callable[[object], object]
) -> None:
    store = make_store()
    with pytest.raises(TypeError) as caught:
        carry(store)
    assert str(caught.value) == why
