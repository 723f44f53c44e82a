"""`rebuild-log` on DynamoDB Local: another log of the same events, whatever came between."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import pytest

from eventstore import Event, NewEvent
from eventstore.dynamodb.log import DynamoDBEventLog
from eventstore.dynamodb.log_rebuild import DynamoDBLogRebuild
from eventstore.dynamodb.store import DynamoDBEventStore
from eventstore.errors import PositionOfAnotherLog, StoreUnavailable
from eventstore.log.model import tranche_of
from eventstore.log.read import read_log
from eventstore.maintenance.verify import rebuild as rebuilding
from tests.cli.conftest import Run
from tests.tables import log_table, of_tranches, over

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

START_US = 1_700_000_000_000_000
STREAMS = [f"order-{n}" for n in range(9)]
EVENTS = 8


@pytest.fixture
def log_name(client: DynamoDBClient) -> Iterator[str]:
    with log_table(client) as name:
        yield name


@pytest.fixture
def store(
    client: DynamoDBClient, table: str, log_name: str, monkeypatch: pytest.MonkeyPatch
) -> DynamoDBEventStore:
    """8 events in each of 9 streams, one a millisecond, the streams in turn."""
    monkeypatch.setenv("EVENTS_TABLE", table)
    monkeypatch.setenv("LOG_TABLE", log_name)
    now_us = START_US

    def clock_us() -> int:
        nonlocal now_us
        now_us += 1_000
        return now_us

    made = over(
        DynamoDBEventStore(client=client, table_name=table, clock_us=clock_us, clock_tolerance_s=None), 2
    )
    for n in range(EVENTS):
        for stream in STREAMS:
            made.append(stream, [NewEvent.of("Happened")], expected=n)
    return made


def log_of(client: DynamoDBClient, log_name: str, *, tranches: int | None = None) -> DynamoDBEventLog:
    log = DynamoDBEventLog(client=client, table_name=log_name)
    return of_tranches(log, tranches) if tranches else log


def fill(log: DynamoDBEventLog, store: DynamoDBEventStore) -> None:
    for stream in STREAMS:
        log.append_block(tranche_of(stream, tranches=log.tranches), list(store.read_stream(stream)))


def logged(log: DynamoDBEventLog) -> list[tuple[str, int, int]]:
    return [
        (entry.stream_id, entry.event_id, entry.timestamp_us)
        for tranche in range(log.tranches)
        for entry in log.read_tranche(tranche)
    ]


def test_empty_log_gets_all_events_by_time_and_then_verify_finds_nothing(
    store: DynamoDBEventStore, client: DynamoDBClient, log_name: str, run: Run
) -> None:
    code, out, err = run("rebuild-log")

    assert (code, out) == (0, "")
    assert "72 events logged in 4 blocks of 4 tranches" in err
    log = log_of(client, log_name)
    for tranche in range(log.tranches):
        times = [entry.timestamp_us for entry in log.read_tranche(tranche)]
        assert times == sorted(times)
    assert len(logged(log)) == len(STREAMS) * EVENTS
    assert run("verify")[:2] == (0, "")
    # The log writer goes on where it ends.
    more = store.append(STREAMS[0], [NewEvent.of("Happened")], expected=EVENTS).events
    assert log.append_block(tranche_of(STREAMS[0], tranches=4), more) == 2


def test_log_that_is_there_is_deleted_only_when_that_is_asked_for(
    store: DynamoDBEventStore, client: DynamoDBClient, log_name: str, run: Run
) -> None:
    fill(old := log_of(client, log_name, tranches=8), store)
    position = read_log(old).position
    before = client.scan(TableName=log_name)["Items"]

    code, _, err = run("rebuild-log")
    assert (code, "--delete" in err) == (2, True)
    assert client.scan(TableName=log_name)["Items"] == before

    code, _, err = run("rebuild-log", "--delete")
    assert code == 0
    assert "The log that was there is deleted: 10 items." in err
    assert "72 events logged in 8 blocks of 8 tranches" in err, "as many as the log before it had"
    with pytest.raises(PositionOfAnotherLog):
        read_log(log_of(client, log_name), after=position)
    assert run("verify")[:2] == (0, "")


def test_log_of_a_running_log_writer_is_not_deleted(
    store: DynamoDBEventStore, client: DynamoDBClient, table: str, log_name: str, run: Run
) -> None:
    now = over(DynamoDBEventStore(
        client=client, table_name=table, clock_us=lambda: time.time_ns() // 1_000 - 5_000_000,
        clock_tolerance_s=None,
    ), 2)  # fmt: skip
    log = log_of(client, log_name)
    young = now.append("young", [NewEvent.of("Happened")], expected=0).events
    log.append_block(tranche_of("young", tranches=log.tranches), young)
    before = client.scan(TableName=log_name)["Items"]

    code, _, err = run("rebuild-log", "--delete")

    assert (code, "disable the log writer's mapping" in err) == (2, True)
    assert client.scan(TableName=log_name)["Items"] == before


def test_interrupted_rebuild_goes_on_when_it_is_called_again(
    store: DynamoDBEventStore,
    client: DynamoDBClient,
    log_name: str,
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(rebuilding, "EVENTS_AT_ONCE", 20)
    monkeypatch.setattr("eventstore.maintenance.verify.verify.RECHECK_S", 0.0)
    append_block, left = DynamoDBEventLog.append_block, 9

    def fails(self: DynamoDBEventLog, tranche: int, events: Sequence[Event]) -> int:
        nonlocal left
        left -= 1
        if not left:
            raise StoreUnavailable(operation="append to the log", reason="throttled")
        return append_block(self, tranche, events)

    monkeypatch.setattr(DynamoDBEventLog, "append_block", fails)
    code, _, err = run("rebuild-log")
    assert (code, "repeating a command is harmless" in err) == (2, True)
    code, _, _ = run("verify", "--repair")
    assert code == 2, "nobody else writes to it meanwhile"

    code, _, err = run("rebuild-log")

    assert code == 0
    assert "Going on with the rebuild that was interrupted, at 2023-11-14T22:13:20." in err
    entries = logged(log_of(client, log_name))
    assert len({entry[:2] for entry in entries}) == len(STREAMS) * EVENTS
    assert len(entries) <= len(STREAMS) * EVENTS + 20
    for stream in STREAMS:
        numbers = [number for of, number, _ in entries if of == stream]
        firsts = list(dict.fromkeys(numbers))
        assert firsts == sorted(firsts)
    assert run("verify")[:2] == (0, "")


def test_log_writer_that_writes_all_the_same_ends_it(
    store: DynamoDBEventStore,
    client: DynamoDBClient,
    log_name: str,
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """It has begun before the log was deleted, and appends behind its own last block."""
    fill(log_writer := log_of(client, log_name), store)
    late = store.append(STREAMS[0], [NewEvent.of("Happened")], expected=EVENTS).events
    begin = DynamoDBLogRebuild.begin

    def meanwhile(self: DynamoDBLogRebuild, tranches: int) -> Any:
        begun = begin(self, tranches)
        log_writer.append_block(tranche_of(STREAMS[0], tranches=4), late)
        return begun

    with monkeypatch.context() as patched:
        patched.setattr(DynamoDBLogRebuild, "begin", meanwhile)
        code, _, err = run("rebuild-log", "--delete")
    assert (code, "somebody else writes to the log" in err) == (2, True)

    assert run("rebuild-log", "--delete")[0] == 0
    assert run("verify")[:2] == (0, "")


def test_item_that_is_no_event_is_told_and_the_others_are_logged(
    store: DynamoDBEventStore, client: DynamoDBClient, table: str, log_name: str, run: Run
) -> None:
    client.update_item(
        TableName=table, Key={"StreamId": {"S": "order-1"}, "EventId": {"N": "2"}},
        UpdateExpression="REMOVE EventUid",
    )  # fmt: skip

    code, _, err = run("rebuild-log")

    assert code == 1
    assert "not logged: event 2 of stream 'order-1'" in err
    assert len(logged(log_of(client, log_name))) == len(STREAMS) * EVENTS - 1


def test_table_that_is_no_logs_is_left_alone(
    store: DynamoDBEventStore, client: DynamoDBClient, table: str, run: Run
) -> None:
    before = client.scan(TableName=table)["Items"]
    code, _, err = run("rebuild-log", "--log-table", table, "--delete")
    assert code == 2
    assert client.scan(TableName=table)["Items"] == before
    assert "the events table" in err
