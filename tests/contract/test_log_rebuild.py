"""A log's table while it's rebuilt: emptied, begun as another log, and written by the rebuild alone."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from eventstore import Event, NewEvent
from eventstore.dynamodb.log import DynamoDBEventLog
from eventstore.dynamodb.log_rebuild import DynamoDBLogRebuild
from eventstore.dynamodb.store import DynamoDBEventStore
from eventstore.errors import InvalidInput, LogInUse, PositionOfAnotherLog, StoreUnavailable
from eventstore.limits import LOG_LOOK_S
from eventstore.log.model import tranche_of
from eventstore.log.read import read_log
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


class Process:
    """One that knows the log from before it's rebuilt, and a clock of its own."""

    def __init__(self, table: Table) -> None:
        self.now_s = 1_000.0
        self.client = dynamodb_client(table.client.meta.endpoint_url)
        self.log = DynamoDBEventLog(client=self.client, table_name=table.name, monotonic=lambda: self.now_s)


def put_anew(table: Table, *, blocks: int) -> None:
    """Rebuild the log with so many blocks."""
    work = rebuild(table)
    work.delete_all()
    begun = work.begin(4)
    for _ in range(blocks):
        log(table, rebuilds=True).append_block(TRANCHE, [EVENT])
    work.end(begun)


def rebuild(table: Table) -> DynamoDBLogRebuild:
    return DynamoDBLogRebuild(client=table.client, table_name=table.name)


def test_log_that_is_rebuilt_is_written_by_the_rebuild_alone(table: Table) -> None:
    begun = rebuild(table).begin(4)
    log_writer = log(table)
    for _ in range(2):
        with pytest.raises(StoreUnavailable, match=r"the log is being rebuilt.*\. Try again$"):
            log_writer.append_block(TRANCHE, [EVENT])
    assert log(table, rebuilds=True).append_block(TRANCHE, [EVENT]) == 1
    assert [entry.event_id for entry in log_writer.read_tranche(TRANCHE)] == [1]

    rebuild(table).end(begun)

    assert log_writer.append_block(TRANCHE, [EVENT]) == 2
    assert {begun.log_id} == {log_writer.log_id, log(table).log_id}


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


def test_it_costs_a_log_writer_nothing_once_it_is_done(table: Table) -> None:
    work = rebuild(table)
    work.end(work.begin(4))
    log_writer = log(table)
    log_writer.append_block(TRANCHE, [EVENT])
    meter = Meter.on(table.client)

    log_writer.append_block(TRANCHE, [EVENT])

    assert (meter.requests, meter.table_units) == (["PutItem"], 1.0)


@pytest.mark.parametrize("blocks", [1, 5, 9])
def test_process_that_knew_the_log_before_refuses_its_positions_after_30_s(table: Table, blocks: int) -> None:
    process = Process(table)
    for _ in range(5):
        process.log.append_block(TRANCHE, [EVENT])
    position = read_log(process.log).position
    put_anew(table, blocks=blocks)

    process.now_s += LOG_LOOK_S
    with pytest.raises(PositionOfAnotherLog) as caught:
        read_log(process.log, after=position)

    assert (caught.value.given, caught.value.log_id) == (position.log_id, log(table).log_id)
    assert len(read_log(process.log).entries) == blocks


def test_log_with_other_tranches_is_read_whole_by_who_knew_the_one_before(table: Table) -> None:
    process = Process(table)
    process.log.append_block(TRANCHE, [EVENT])
    rebuild(table).delete_all()
    begun = rebuild(table).begin(8)
    log(table, rebuilds=True).append_block(tranche_of("s", tranches=8), [EVENT])
    rebuild(table).end(begun)

    process.now_s += LOG_LOOK_S
    page = read_log(process.log)

    assert (len(page.entries), len(page.position.places)) == (1, 8)


def test_log_writer_that_knew_the_log_before_goes_on_behind_todays_end(
    table: Table,
) -> None:
    process = Process(table)
    for _ in range(5):
        process.log.append_block(TRANCHE, [EVENT])
    put_anew(table, blocks=2)

    process.now_s += LOG_LOOK_S
    assert process.log.append_block(TRANCHE, [EVENT]) == 3
    assert len(list(log(table).read_tranche(TRANCHE))) == 3


def test_log_writer_that_knew_the_log_before_writes_nothing_during_a_rebuild(table: Table) -> None:
    process = Process(table)
    process.log.append_block(TRANCHE, [EVENT])
    rebuild(table).delete_all()
    rebuild(table).begin(4)

    process.now_s += LOG_LOOK_S
    with pytest.raises(StoreUnavailable, match="the log is being rebuilt"):
        process.log.append_block(TRANCHE, [EVENT])


def test_log_that_is_deleted_is_known_for_one_that_is_not_begun(table: Table) -> None:
    process = Process(table)
    process.log.append_block(TRANCHE, [EVENT])
    position = read_log(process.log).position
    rebuild(table).delete_all()

    process.now_s += LOG_LOOK_S
    with pytest.raises(PositionOfAnotherLog):
        read_log(process.log, after=position)
    assert process.log.log_id == ""


def test_which_log_it_is_costs_one_look_each_half_minute(table: Table) -> None:
    process = Process(table)
    process.log.append_block(TRANCHE, [EVENT])
    meter = Meter.on(process.client)
    for _ in range(3):
        process.now_s += LOG_LOOK_S - 1.0
        for _ in range(5):
            process.log.append_block(TRANCHE, [EVENT])
            assert process.log.log_id
    assert meter.requests == [*["PutItem"] * 5, "Query", *["PutItem"] * 5, *["PutItem"] * 5]
