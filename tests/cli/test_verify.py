"""`verify` on DynamoDB Local: a table broken by hand in each way, named, repaired, and whole again."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from eventstore import NewEvent
from eventstore.dynamodb.items import key_of
from eventstore.dynamodb.log import DynamoDBEventLog
from eventstore.dynamodb.raw_items import DynamoDBEventsTable
from eventstore.dynamodb.store import DynamoDBEventStore
from eventstore.errors import PositionOfAnotherLog
from eventstore.log.model import tranche_of
from eventstore.log.read import read_log
from eventstore.maintenance.items import scan_side_by_side
from tests.cli.conftest import Run
from tests.tables import Meter, dynamodb_client, events_table, log_table, over, put_items

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

STREAMS = [f"order-{n}" for n in range(12)]
EVENTS = 6


@pytest.fixture(scope="module")
def appended(dynamodb_endpoint: str) -> list[dict[str, Any]]:
    """The items of a store with 6 events in each of 12 streams, the store's own among them."""
    client = dynamodb_client(dynamodb_endpoint)
    with events_table(client) as table:
        store = over(DynamoDBEventStore(client=client, table_name=table), 2)
        for stream in STREAMS:
            store.append(stream, [NewEvent.of("Happened", {"n": n}) for n in range(EVENTS)], expected=0)
        return items_of(client, table)


@pytest.fixture
def filled(client: DynamoDBClient, table: str, appended: list[dict[str, Any]]) -> str:
    put_items(client, table, appended)
    update(client, table, ("$store", 0), "SET #table = :name", name={"S": table})
    return table


@pytest.fixture
def log_name(client: DynamoDBClient) -> Iterator[str]:
    with log_table(client) as name:
        yield name


def fill_log(client: DynamoDBClient, table: str, log_name: str) -> DynamoDBEventLog:
    log = DynamoDBEventLog(client=client, table_name=log_name)
    store = DynamoDBEventStore(client=client, table_name=table)
    for stream in STREAMS:
        log.append_block(tranche_of(stream, tranches=log.tranches), list(store.read_stream(stream)))
    return log


def update(client: DynamoDBClient, table: str, address: tuple[str, int], change: str, **values: Any) -> None:
    request: dict[str, Any] = {"TableName": table, "Key": key_of(*address), "UpdateExpression": change}
    names = {name: of for name, of in (("#time", "Timestamp"), ("#table", "Table")) if name in change}
    if names:
        request["ExpressionAttributeNames"] = names
    if values:
        request["ExpressionAttributeValues"] = {f":{name}": value for name, value in values.items()}
    client.update_item(**request)


def verify(run: Run, table: str, *options: object) -> tuple[int, list[tuple[str, str, int, str]]]:
    code, out, _ = run("verify", "--table", table, "--settling-s", 0, *options)
    findings = [json.loads(line) for line in out.splitlines()]
    found = [(each["kind"], each["streamId"], each["eventId"], each["repair"]) for each in findings]
    return code, sorted(found)


def test_whole_store_has_exit_code_0_and_says_so(
    client: DynamoDBClient, filled: str, log_name: str, run: Run
) -> None:
    fill_log(client, filled, log_name)

    code, out, err = run("verify", "--table", filled, "--settling-s", 0, "--log-table", log_name)

    assert (code, out) == (0, "")
    assert "72 events in 12 streams" in err
    assert "Nothing is wrong." in err


def test_all_that_is_broken_is_named_and_repaired_and_the_lost_is_left(
    client: DynamoDBClient, filled: str, log_name: str, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("eventstore.maintenance.verify.verify.RECHECK_S", 0.0)
    log = fill_log(client, filled, log_name)
    store = over(DynamoDBEventStore(client=client, table_name=filled), 2)
    unlogged = store.append("order-new", [NewEvent.of("Happened")], expected=0).events[0]
    time_us = next(store.read_stream("order-3", from_version=2)).timestamp_us
    client.delete_item(TableName=filled, Key=key_of("order-0", 3))
    client.delete_item(TableName=filled, Key=key_of("order-0", 4))
    update(client, filled, ("order-1", 2), "REMOVE GSIKey")
    update(client, filled, ("order-2", 2), "SET GSIKey = :shard", shard={"N": "9"})
    update(client, filled, ("order-3", 2), "REMOVE #time")
    update(client, filled, ("order-4", 6), "SET #time = :time", time={"N": "1700000000000000"})
    update(client, filled, ("order-5", 1), "REMOVE Payload")
    update(client, filled, ("order-6", 1), "SET Payload = :text", text={"S": '{"n":'})
    update(client, filled, ("order-7", 1), "SET EventUid = :uid", uid={"S": "mine"})
    update(client, filled, ("order-8", 1), "REMOVE EventName")
    client.put_item(TableName=filled, Item={**key_of("order-9", 0), "Payload": {"S": "1"}})
    lost = [
        ("gap", "order-0", 3, "no"),
        ("log-differs", "order-4", 6, "no"),
        ("malformed", "order-5", 1, "no"),
        ("malformed", "order-6", 1, "no"),
        ("malformed", "order-7", 1, "no"),
        ("malformed", "order-8", 1, "no"),
        ("malformed", "order-9", 0, "no"),
        ("only-in-log", "order-0", 3, "no"),
        ("only-in-log", "order-0", 4, "no"),
        ("timestamp-order", "order-4", 6, "no"),
    ]

    def repairable(repair: str) -> list[tuple[str, str, int, str]]:
        return [
            ("missing-in-log", "order-new", 1, repair),
            ("not-indexed", "order-1", 2, repair),
            ("not-indexed", "order-3", 2, repair),
            ("unread-shard", "order-2", 2, repair),
        ]

    options = ("--log-table", log_name)
    code, found = verify(run, filled, *options)
    assert (code, found) == (1, sorted([*lost, *repairable("possible")]))
    code, found = verify(run, filled, *options, "--repair")
    assert [each for each in found if each[3] == "done"] == repairable("done")
    assert code == 1
    code, found = verify(run, filled, *options)

    assert (code, found) == (1, lost)
    assert next(store.read_stream("order-3", from_version=2)).timestamp_us == time_us
    logged = list(log.read_tranche(tranche_of("order-new", tranches=log.tranches)))[-1]
    assert (logged.stream_id, logged.timestamp_us) == ("order-new", unlogged.timestamp_us)


def test_lost_and_damaged_blocks_are_named_closed_and_logged_again(
    client: DynamoDBClient, filled: str, log_name: str, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("eventstore.maintenance.verify.verify.RECHECK_S", 0.0)
    log = fill_log(client, filled, log_name)
    at = {(tranche, block): None for tranche, block, _ in blocks_of(log)}
    tranche = next(tranche for tranche, block in at if block == 3)
    lost, damaged = [{"Tranche": {"N": str(tranche)}, "Block": {"N": number}} for number in ("1", "2")]
    held = {block: streams for of, block, streams in blocks_of(log) if of == tranche}
    client.delete_item(TableName=log_name, Key=lost)
    client.put_item(TableName=log_name, Item={**damaged, "Entries": {"S": "["}})

    def found(*options: object) -> tuple[int, set[tuple[Any, ...]], set[str]]:
        code, out, _ = run("verify", "--table", filled, "--settling-s", 0, "--log-table", log_name, *options)
        findings = [json.loads(line) for line in out.splitlines()]
        blocks = {(of["kind"], of["block"], of["repair"]) for of in findings if "block" in of}
        return code, blocks, {of["streamId"] for of in findings if of["kind"] == "missing-in-log"}

    malformed = ("log-block-malformed", 2, "no")
    assert found() == (1, {("log-block-missing", 1, "possible"), malformed}, held[1] | held[2])
    assert found("--repair") == (1, {("log-block-missing", 1, "done"), malformed}, held[1] | held[2])
    assert found() == (1, {malformed}, set())
    client.delete_item(TableName=log_name, Key=damaged)
    assert found("--repair") == (0, {("log-block-missing", 2, "done")}, set())
    assert found() == (0, set(), set())
    entries = [(entry.stream_id, entry.event_id) for entry in log.read_tranche(tranche)]
    assert set(entries) == {(name, number) for of in held.values() for name in of for number in range(1, 7)}


def test_repair_with_an_empty_log_table_writes_a_log_of_its_own(
    client: DynamoDBClient, filled: str, log_name: str, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("eventstore.maintenance.verify.verify.RECHECK_S", 0.0)
    position = read_log(fill_log(client, filled, log_name)).position
    with log_table(client) as rebuilt:
        code, found = verify(run, filled, "--log-table", rebuilt, "--repair")
        assert (code, {(kind, repair) for kind, _, _, repair in found}) == (0, {("missing-in-log", "done")})
        assert verify(run, filled, "--log-table", rebuilt) == (0, [])

        log = DynamoDBEventLog(client=client, table_name=rebuilt)
        entries = [(entry.stream_id, entry.event_id) for entry in read_log(log).entries]
        assert sorted(entries) == sorted((name, number) for name in STREAMS for number in range(1, 7))
        for stream in STREAMS:
            assert [number for name, number in entries if name == stream] == list(range(1, 7))
        with pytest.raises(PositionOfAnotherLog):
            read_log(log, after=position)


def blocks_of(log: DynamoDBEventLog) -> list[tuple[int, int, set[str]]]:
    """Return of each block its tranche, number and streams."""
    found: dict[tuple[int, int], set[str]] = {}
    for tranche in range(log.tranches):
        for entry in log.read_tranche(tranche):
            found.setdefault((tranche, entry.block), set()).add(entry.stream_id)
    return [(tranche, block, streams) for (tranche, block), streams in found.items()]


def test_repaired_store_is_whole_for_its_readers(client: DynamoDBClient, filled: str, run: Run) -> None:
    update(client, filled, ("order-1", 2), "REMOVE GSIKey, #time")
    update(client, filled, ("order-2", 6), "REMOVE GSIKey")
    store = over(DynamoDBEventStore(client=client, table_name=filled), 2)
    assert len(list(store.read_all(unsettled=True))) == 70

    assert verify(run, filled, "--repair")[0] == 0

    assert verify(run, filled) == (0, [])
    events = list(store.read_all(unsettled=True))
    assert [event.event_id for event in events if event.stream_id == "order-1"] == [1, 2, 3, 4, 5, 6]
    assert len(events) == 72


def test_findings_can_go_to_a_file_and_checkpoints_to_a_folder(
    client: DynamoDBClient, filled: str, run: Run, tmp_path: Path
) -> None:
    client.delete_item(TableName=filled, Key=key_of("order-0", 1))
    output, folder = tmp_path / "findings.ndjson", tmp_path / "checkpoints"

    code, found = verify(run, filled, "--output", output, "--checkpoints", folder)

    assert (code, found) == (1, [])
    finding = json.loads(output.read_text())
    assert finding == {
        "kind": "gap", "streamId": "order-0", "eventId": 1, "lastEventId": 1,
        "detail": "1 events are missing before event 2", "repair": "no",
    }  # fmt: skip
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("own_clock_us", [0, 31_536_000_000_000, -31_536_000_000_000])
def test_timestamp_from_the_future_is_known_by_the_clock_of_dynamodb(
    client: DynamoDBClient, filled: str, run: Run, monkeypatch: pytest.MonkeyPatch, own_clock_us: int
) -> None:
    now_us = time.time_ns() // 1_000
    update(client, filled, ("order-0", 6), "SET #time = :time", time={"N": str(now_us + 31_536_000_000_000)})
    monkeypatch.setattr("eventstore.cli.settings.local_us", lambda: time.time_ns() // 1_000 + own_clock_us)

    code, found = verify(run, filled)

    assert (code, found) == (1, [("future-timestamp", "order-0", 6, "no")])
    assert ("The clock of this machine is" in run("verify", "--table", filled)[2]) == bool(own_clock_us)


@pytest.mark.parametrize("timestamp", ["253402300800000000", "9" * 30, "1.5", "-1"])
def test_timestamp_that_is_no_time_is_named_with_its_address(
    client: DynamoDBClient, filled: str, run: Run, timestamp: str
) -> None:
    update(client, filled, ("order-0", 6), "SET #time = :time", time={"N": timestamp})

    code, found = verify(run, filled)

    assert code == 1
    assert ("malformed", "order-0", 6, "no") in found
    assert {each[1:3] for each in found} == {("order-0", 6)}


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ([], "--table: is missing; give it, or set EVENTS_TABLE"),
        (["--table", "no-such-table"], "ResourceNotFoundException"),
        (["--segments", "0"], "must be a whole number from 1"),
    ],
)
def test_usage_and_trouble_have_exit_code_2_and_a_sentence(
    client: DynamoDBClient, run: Run, options: list[str], told: str
) -> None:
    code, out, err = run("verify", *options)

    assert (code, out) == (2, "")
    assert told in err


@pytest.mark.parametrize("segments", [1, 4])
def test_scan_gives_each_stream_in_one_segment_and_in_order_over_pages(
    client: DynamoDBClient, filled: str, segments: int
) -> None:
    """So that no stream is read twice, once by the scan and once by a query."""
    table = DynamoDBEventsTable(client=client, table_name=filled, page_items=5)
    seen: dict[str, list[tuple[int, int]]] = {}
    with ThreadPoolExecutor(4) as executor:
        starts: dict[int, str | None] = dict.fromkeys(range(segments))
        for segment, page in scan_side_by_side(table, executor=executor, starts=starts, segments=segments):
            for item in filter(lambda item: item.is_events, page.items):
                seen.setdefault(item.stream_id, []).append((segment, item.event_id))

    for places in seen.values():
        assert len({segment for segment, _ in places}) == 1
        assert [event_id for _, event_id in places] == list(range(1, EVENTS + 1))
    assert len(seen) == len(STREAMS)


def test_200_events_of_1_kb_cost_50_units_of_the_table_and_25_of_the_index(
    client: DynamoDBClient, table: str
) -> None:
    store = DynamoDBEventStore(client=client, table_name=table)
    payload = '"' + "x" * 860 + '"'
    for stream in range(2):
        store.append(f"s-{stream}", [NewEvent(name="Happened", payload=payload)] * 100, expected=0)
    meter = Meter.on(client)
    stored = DynamoDBEventsTable(client=client, table_name=table)

    assert len(stored.scan(segment=0, segments=1, after=None).items) == 200 + 1  # the store's own
    assert meter.requests == ["GetItem", "Scan"]  # the store's own, once a process
    assert 48 <= meter.table_units <= 51
    meter.reset()
    assert len(list(stored.read_index(0, from_us=0, end_us=2**53))) == 200

    assert meter.requests == ["Query"]
    assert 24 <= meter.index_units <= 26


# --- numbers that the store says itself -------------------------------------------------------------


def items_of(client: DynamoDBClient, table: str) -> list[Any]:
    return sorted(client.scan(TableName=table)["Items"], key=str)


def test_lost_item_of_the_store_is_found_and_written_back_by_its_events(
    client: DynamoDBClient, filled: str, run: Run
) -> None:
    client.delete_item(TableName=filled, Key=key_of("$store", 0))
    before = items_of(client, filled)

    code, out, err = run("verify", "--table", filled, "--settling-s", 0)
    (finding,) = map(json.loads, out.splitlines())
    assert (code, finding["kind"], finding["repair"]) == (1, "store-item-missing", "possible")
    assert (finding["streamId"], finding["eventId"]) == ("$store", 0)
    assert "events are in the shards 0 to 1 (event " in finding["detail"]
    assert items_of(client, filled) == before

    code, out, err = run("verify", "--table", filled, "--settling-s", 0, "--repair")
    assert (code, json.loads(out)["repair"]) == (0, "done")
    assert "2 shards are read. Let running writers start anew" in err
    (item,) = [item for item in items_of(client, filled) if item not in before]
    numbers = {name: int(item[name]["N"]) for name in ("Format", "ReadShards", "ReadShardsBefore")}
    assert numbers == {"Format": 1, "ReadShards": 2, "ReadShardsBefore": 2}
    assert run("verify", "--table", filled, "--settling-s", 0)[:2] == (0, "")
    store = DynamoDBEventStore(client=client, table_name=filled)
    assert len(list(store.read_all(unsettled=True))) == len(STREAMS) * EVENTS


def test_empty_store_without_an_item_of_its_own_is_whole(
    client: DynamoDBClient, table: str, run: Run
) -> None:
    assert run("verify", "--table", table)[:2] == (0, "")
    assert items_of(client, table) == []


def test_shard_that_no_store_can_have_counts_for_nothing(
    client: DynamoDBClient, filled: str, run: Run
) -> None:
    client.delete_item(TableName=filled, Key=key_of("$store", 0))
    update(client, filled, ("order-3", 2), "SET GSIKey = :shard", shard={"N": "1000"})

    _, out, _ = run("verify", "--table", filled, "--settling-s", 0)

    found = {line["kind"]: line["detail"] for line in map(json.loads, out.splitlines())}
    assert {*found} == {"store-item-missing", "unread-shard"}
    assert "2 to read" in found["store-item-missing"]


def test_damaged_item_of_the_stores_own_ends_it_with_a_sentence(
    client: DynamoDBClient, filled: str, run: Run
) -> None:
    update(client, filled, ("$store", 0), "REMOVE ReadShards")

    code, out, err = run("verify", "--table", filled, "--repair")

    assert (code, out) == (2, "")
    assert "('$store', 0) can't be used: its ReadShards is missing" in err
