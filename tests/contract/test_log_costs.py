"""What the log costs, from the log writer to the table: as DynamoDB Local counts it."""

from __future__ import annotations

import random
from collections.abc import Iterator
from uuid import UUID

import pytest

from eventstore import Event
from eventstore.dynamodb.log import DynamoDBEventLog
from eventstore.limits import LOG_TRANCHES
from eventstore.log.model import BEGINNING, tranche_of
from eventstore.log.writer import LogWriter
from eventstore.memory.checkpoints import MemoryEventBodies
from eventstore.memory.store import MemoryEventStore
from eventstore.ordering.stream_order import ChangeRecord
from eventstore.subscriptions.terms import Terms
from eventstore.subscriptions.tranche_reader import TrancheReader
from eventstore.testing.log_contract import logged_events
from tests.tables import Meter, dynamodb_client, log_table

BATCH = 100
WCU_PER_EVENT_MAX = 0.11


@pytest.fixture
def metered(dynamodb_endpoint: str) -> Iterator[tuple[DynamoDBEventLog, Meter]]:
    client = dynamodb_client(dynamodb_endpoint)
    with log_table(client) as table:
        yield DynamoDBEventLog(client=client, table_name=table), Meter.on(client)


def records(rng: random.Random, *, batch: int) -> list[ChangeRecord]:
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
        ChangeRecord(f"{batch:03}{place:03}", event.stream_id, event.event_id, event)
        for place, event in enumerate(events)
    ]


def process_beside(log: DynamoDBEventLog) -> DynamoDBEventLog:
    """The same log, of a process that knows nothing of it yet."""
    return DynamoDBEventLog(client=log._client, table_name=log._table_name)


def stream_in(tranche: int) -> str:
    """Find a stream that lives in a tranche."""
    streams = (f"order-{n}" for n in range(1_000))
    return next(name for name in streams if tranche_of(name, tranches=LOG_TRANCHES) == tranche)


def test_event_costs_at_most_0_11_write_units_at_a_batch_of_100(
    metered: tuple[DynamoDBEventLog, Meter],
) -> None:
    log, meter = metered
    log_writer, rng = LogWriter(reader=MemoryEventStore(), log=log), random.Random(2_026)
    log_writer.write(records(rng, batch=0), remaining_time_s=lambda: 60.0)
    meter.reset()

    for batch in range(1, 11):
        done = log_writer.write(records(rng, batch=batch), remaining_time_s=lambda: 60.0)
        assert (done.logged, done.blocks) == (BATCH, 4)
    assert set(meter.requests) == {"PutItem"}
    units_per_event = meter.table_units / (10 * BATCH)
    print(f"{units_per_event:.3f} WCU an event")  # shown with `pytest -rP`
    assert units_per_event <= WCU_PER_EVENT_MAX


def test_end_of_the_log_is_looked_for_once_and_not_by_who_has_read_up_to_it(
    metered: tuple[DynamoDBEventLog, Meter],
) -> None:
    log, meter = metered
    for event_id in range(1, 12):
        log.append_block(0, logged_events(stream_in(0), 1, first=event_id))

    def fresh() -> DynamoDBEventLog:
        found = process_beside(log)
        assert found.tranches == LOG_TRANCHES
        meter.reset()
        return found

    reader = fresh()
    end = list(reader.read_tranche(0))[-1].position
    meter.reset()
    for _ in range(3):
        assert list(reader.read_tranche(0, after=end, limit=100)) == []
    assert meter.requests == ["Query"] * 3

    reader = fresh()
    for _ in range(3):
        assert list(reader.read_tranche(0, after=end, limit=100)) == []
    assert (meter.requests, meter.items) == (["Query"] * 4, 1)

    reader = fresh()
    assert list(reader.read_tranche(0, after=BEGINNING, limit=3))
    assert meter.requests == ["Query"]

    worker = TrancheReader(
        log=fresh(),
        bodies=MemoryEventBodies(MemoryEventStore()),
        tranche=0,
        place=end,
        horizon_us=0,
        since_us=0,
        names=None,
        streams="",
        terms=Terms(),
    )
    assert list(worker.read()) == []
    assert meter.requests == ["Query", "Query"]  # what is read before the place, and what is new


def test_first_batch_of_a_process_costs_a_read_a_tranche_and_a_check_more(
    metered: tuple[DynamoDBEventLog, Meter],
) -> None:
    log, meter = metered
    rng = random.Random(1)
    LogWriter(reader=MemoryEventStore(), log=log).write(records(rng, batch=0), remaining_time_s=lambda: 60.0)
    meter.reset()

    another = process_beside(log)
    log_writer = LogWriter(reader=MemoryEventStore(), log=another)
    log_writer.write(records(rng, batch=1), remaining_time_s=lambda: 60.0)
    # How many tranches there are, and the last block of each.
    assert sorted(meter.requests) == ["PutItem"] * 4 + ["Query"] * 5


def test_who_shares_a_tranche_looks_before_it_puts_and_is_refused_once(
    metered: tuple[DynamoDBEventLog, Meter],
) -> None:
    log, meter = metered
    another = process_beside(log)
    events = logged_events(stream_in(0), 1)
    for writer in (log, another):
        writer.append_block(0, events)
    meter.reset()

    for _ in range(10):
        for writer in (log, another):
            writer.append_block(0, events)
    # Each is refused once, reads the last block, and puts again; from then on it reads first.
    assert (meter.requests.count("PutItem"), meter.requests.count("Query")) == (22, 20)


def test_who_has_a_tranche_to_itself_again_puts_without_a_look(
    metered: tuple[DynamoDBEventLog, Meter],
) -> None:
    log, meter = metered
    another = process_beside(log)
    events = logged_events(stream_in(0), 1)
    for writer in (log, another, log):
        writer.append_block(0, events)
    meter.reset()

    for _ in range(10):
        log.append_block(0, events)
    assert meter.requests == ["Query", *["PutItem"] * 10]
