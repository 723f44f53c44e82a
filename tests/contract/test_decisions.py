"""Decisions on DynamoDB Local: what they cost, and that a command is done once by racing deliveries."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import pytest

from eventstore import Codec, Decider, decide_over
from eventstore.dynamodb.store import DynamoDBEventStore
from tests.tables import Meter, begun, dynamodb_client, events_table


@dataclass(frozen=True)
class Counted:
    by: int


@dataclass(frozen=True)
class Counter:
    total: int = 0

    def apply(self, event: Counted) -> Counter:
        return replace(self, total=self.total + event.by)

    def count(self) -> list[Counted]:
        return [Counted(1)]

    def count_twice(self) -> list[Counted]:
        return [Counted(1), Counted(1)]


counters = Decider(initial=Counter, evolve=Counter.apply, codec=Codec(Counted))


@pytest.fixture
def store(dynamodb_endpoint: str) -> Iterator[DynamoDBEventStore]:
    client = dynamodb_client(dynamodb_endpoint)
    with events_table(client) as name:
        yield begun(DynamoDBEventStore(client=client, table_name=name))


def test_decision_is_one_query_and_one_put_and_its_repetition_one_query(store: DynamoDBEventStore) -> None:
    meter = Meter.on(store._client)
    counters.transact(store, "a", Counter.count, command_id="c")
    assert (meter.requests, meter.table_units, meter.index_units) == (["Query", "PutItem"], 1.0, 1.0)
    meter.reset()
    done = counters.transact(store, "a", Counter.count, command_id="c")
    assert (done.repeated, meter.requests, meter.table_units) == (True, ["Query"], 1.0)
    meter.reset()
    counters.transact(store, "a", Counter.count, at=done.loaded)
    assert meter.requests == ["Query", "PutItem"]


def test_decision_over_two_streams_is_two_queries_and_one_transaction(store: DynamoDBEventStore) -> None:
    def both(one: Counter, other: Counter) -> tuple[list[Counted], list[Counted]]:
        return one.count(), other.count_twice()

    meter = Meter.on(store._client)
    decide_over(store, (counters, "a"), (counters, "b"), decide=both, command_id="c")
    assert meter.requests == ["Query", "Query", "TransactWriteItems"]
    meter.reset()
    done = decide_over(store, (counters, "a"), (counters, "b"), decide=both, command_id="c")
    assert (done.repeated, meter.requests) == (True, ["Query", "Query"])
    assert [part.state.total for part in done.parts] == [1, 2]


def test_command_that_is_delivered_to_many_at_once_is_done_once(store: DynamoDBEventStore) -> None:
    def deliver(number: int) -> int:
        done = counters.transact(store, "a", Counter.count_twice, command_id=f"c-{number % 3}", max_tries=20)
        return done.appended[0].event_id

    with ThreadPoolExecutor(6) as pool:
        places = list(pool.map(deliver, range(12)))
    assert counters.load(store, "a").state.total == 6
    assert [len({places[n] for n in range(kind, 12, 3)}) for kind in range(3)] == [1, 1, 1]
