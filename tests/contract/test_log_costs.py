"""What the log costs, from the indexer to the table: as DynamoDB Local counts it."""

from __future__ import annotations

import random
from collections.abc import Iterator
from uuid import UUID

import pytest

from eventstore import Event
from eventstore.adapters.dynamodb.log import DynamoDBEventLog
from eventstore.adapters.memory import MemoryEventStore
from eventstore.index import Indexer
from eventstore.publication_order import StreamRecord
from tests.tables import Meter, dynamodb_client, log_table

BATCH = 100
WCU_PER_EVENT_MAX = 0.2


@pytest.fixture
def metered(dynamodb_endpoint: str) -> Iterator[tuple[DynamoDBEventLog, Meter]]:
    client = dynamodb_client(dynamodb_endpoint)
    with log_table(client) as table:
        yield DynamoDBEventLog(client=client, table_name=table), Meter.on(client)


def records(rng: random.Random, *, batch: int) -> list[StreamRecord]:
    """A batch of first events of 1 KB, each of another stream, with a UUID for its id."""
    events = [
        Event(
            f"order-{UUID(int=rng.getrandbits(128))}",
            1,
            "OrderPlaced",
            '"' + "x" * 860 + '"',
            "{}",
            f"{UUID(int=rng.getrandbits(128))}",
            1_769_860_800_000_000 + number,
        )
        for number in range(BATCH)
    ]
    return [
        StreamRecord(f"{batch:03}{place:03}", event.stream_id, event.event_id, event)
        for place, event in enumerate(events)
    ]


def test_event_of_1_kb_costs_at_most_a_fifth_of_a_write_unit_at_a_batch_of_100(
    metered: tuple[DynamoDBEventLog, Meter],
) -> None:
    log, meter = metered
    indexer, rng = Indexer(reader=MemoryEventStore(), log=log), random.Random(2_026)
    indexer.index(records(rng, batch=0), remaining_time_s=lambda: 60.0)
    meter.reset()

    for batch in range(1, 11):
        done = indexer.index(records(rng, batch=batch), remaining_time_s=lambda: 60.0)
        assert (done.logged, done.blocks) == (BATCH, 4)
    assert set(meter.requests) == {"PutItem"}
    units_per_event = meter.table_units / (10 * BATCH)
    print(f"{units_per_event:.3f} WCU an event")  # shown with `pytest -rP`
    assert units_per_event <= WCU_PER_EVENT_MAX


def test_first_batch_of_a_process_costs_a_read_of_each_tranche_and_a_check_more(
    metered: tuple[DynamoDBEventLog, Meter],
) -> None:
    log, meter = metered
    rng = random.Random(1)
    Indexer(reader=MemoryEventStore(), log=log).index(records(rng, batch=0), remaining_time_s=lambda: 60.0)
    meter.reset()

    another = DynamoDBEventLog(client=log._client, table_name=log._table_name)
    indexer = Indexer(reader=MemoryEventStore(), log=another)
    indexer.index(records(rng, batch=1), remaining_time_s=lambda: 60.0)
    # How many tranches there are, and the last block of each.
    assert sorted(meter.requests) == ["PutItem"] * 4 + ["Query"] * 5
