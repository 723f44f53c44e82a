"""A log's table while it's rebuilt: emptied, begun as another log, and written by the rebuild alone."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from eventstore import Event, InvalidInput, LogInUse, NewEvent, StoreUnavailable
from eventstore.adapters.dynamodb.log import DynamoDBEventLog
from eventstore.adapters.dynamodb.log_rebuild import DynamoDBLogRebuild
from eventstore.adapters.dynamodb.store import DynamoDBEventStore
from eventstore.log import tranche_of
from tests.faulty_wire import Wire
from tests.tables import Meter, Table, dynamodb_client, events_table, log_table, tables_client

UID = "8f7e1c1e-5f3c-4d6f-9a46-0a2b8f6f3a10"
EVENT = Event("s", 1, "Happened", "1", "{}", UID, 1_700_000_000_000_000)
TRANCHE = tranche_of("s", tranches=4)


@pytest.fixture
def table(dynamodb_endpoint: str) -> Iterator[Table]:
    with log_table(tables_client(dynamodb_endpoint)) as name:
        yield Table(dynamodb_endpoint, name)


def log(table: Table, *, rebuilds: bool = False) -> DynamoDBEventLog:
    return DynamoDBEventLog(client=table.client, table_name=table.name, rebuilds=rebuilds)


def rebuild(table: Table) -> DynamoDBLogRebuild:
    return DynamoDBLogRebuild(client=table.client, table_name=table.name)


def test_log_that_is_rebuilt_is_written_by_the_rebuild_alone(table: Table) -> None:
    begun = rebuild(table).begin(4)
    indexer = log(table)
    for _ in range(2):
        with pytest.raises(StoreUnavailable, match=r"the log is being rebuilt.*\. Try again$"):
            indexer.append_block(TRANCHE, [EVENT])
    assert log(table, rebuilds=True).append_block(TRANCHE, [EVENT]) == 1
    assert [entry.event_id for entry in indexer.read_tranche(TRANCHE)] == [1]

    rebuild(table).end(begun)

    assert indexer.append_block(TRANCHE, [EVENT]) == 2
    assert {begun.log_id} == {indexer.log_id, log(table).log_id}


def test_deleted_log_leaves_nothing_and_another_one_begins(table: Table) -> None:
    old = log(table)
    for _ in range(40):
        old.append_block(TRANCHE, [EVENT])

    assert not rebuild(table).is_empty()
    assert rebuild(table).delete_all() == 41
    assert rebuild(table).is_empty()
    assert rebuild(table).begin(4).log_id != old.log_id


def test_deletion_that_ends_half_way_leaves_no_log(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    log(table).append_block(TRANCHE, [EVENT])
    wire = Wire.of(table.client, monkeypatch)
    wire.faults = ["", "", *["ThrottlingException"] * 20]
    with pytest.raises(StoreUnavailable):
        rebuild(table).delete_all()
    wire.faults = []

    assert rebuild(table).log() is None
    assert not rebuild(table).is_empty()
    rebuild(table).delete_all()
    assert rebuild(table).is_empty()


def test_table_that_is_no_logs_is_never_emptied(dynamodb_endpoint: str) -> None:
    client = dynamodb_client(dynamodb_endpoint)
    with events_table(client) as name:
        DynamoDBEventStore(client=client, table_name=name).append("s", [NewEvent.of("N")], expected=0)
        before = client.scan(TableName=name)["Items"]
        with pytest.raises(InvalidInput, match="which is no log's table"):
            DynamoDBLogRebuild(client=client, table_name=name).delete_all()
        assert client.scan(TableName=name)["Items"] == before


def test_how_far_it_is_is_kept_and_gone_when_it_is_done(table: Table) -> None:
    begun = rebuild(table).begin(8)
    assert rebuild(table).log() == begun
    assert begun.rebuilt_us == 0
    rebuild(table).note(begun, 5)
    there = rebuild(table).log()
    assert there == begun._replace(rebuilt_us=5)
    rebuild(table).end(begun)
    assert rebuild(table).log() == begun._replace(rebuilt_us=None)


def test_lost_answer_is_no_other_log_and_another_log_is(
    table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    wire = Wire.of(table.client, monkeypatch)
    wire.faults = ["lost answer"]
    begun = rebuild(table).begin(4)
    with pytest.raises(LogInUse, match=begun.log_id):
        rebuild(table).begin(4)
    rebuild(table).delete_all()
    rebuild(table).begin(4)
    with pytest.raises(LogInUse):
        rebuild(table).note(begun, 5)


def test_it_costs_an_indexer_nothing_once_it_is_done(table: Table) -> None:
    work = rebuild(table)
    work.end(work.begin(4))
    indexer = log(table)
    indexer.append_block(TRANCHE, [EVENT])
    meter = Meter.on(table.client)

    indexer.append_block(TRANCHE, [EVENT])

    assert (meter.requests, meter.table_units) == (["PutItem"], 1.0)
