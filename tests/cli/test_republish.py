"""`republish`: what is asked for goes out once more, in each stream's order, and the rest doesn't."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import pytest

from eventstore import NewEvent
from eventstore._backoff import Backoff
from eventstore.dynamodb.log import DynamoDBEventLog
from eventstore.dynamodb.store import DynamoDBEventStore
from eventstore.log.model import tranche_of
from eventstore.log.read import read_log
from eventstore.positions import from_us
from tests.cli.conftest import Run
from tests.fake_aws import FakeEventBridge
from tests.parked_events import QUEUE_URL, FakeSqsQueue
from tests.tables import events_table, log_table, over

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

START_US = 1_700_000_000_000_000
SECOND_US = 1_000_000
STREAMS = ("order-1", "order-2", "cart-1")


@pytest.fixture
def table(client: DynamoDBClient) -> Iterator[str]:
    with events_table(client, is_streamed=True) as name:
        yield name


@pytest.fixture
def bus() -> FakeEventBridge:
    return FakeEventBridge()


@pytest.fixture
def queue() -> FakeSqsQueue:
    return FakeSqsQueue()


@pytest.fixture(autouse=True)
def reached(
    *, client: DynamoDBClient, table: str, bus: FakeEventBridge, queue: FakeSqsQueue,
    dynamodb_endpoint: str, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """The command finds table, stream, bus and queue by its environment."""
    made = boto3.Session.client

    def fake(self: Any, service: str, **options: Any) -> Any:
        return {"sqs": queue, "events": bus}.get(service) or made(self, service, **options)

    monkeypatch.setattr(boto3.Session, "client", fake)
    monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB_STREAMS", dynamodb_endpoint)
    for name, value in {"EVENTS_TABLE": table, "EVENT_BUS": "b", "API_URL": "https://a"}.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def store(client: DynamoDBClient, table: str) -> DynamoDBEventStore:
    """10 events in each of 3 streams, one a second, the streams in turn."""
    now_us = START_US - SECOND_US

    def clock_us() -> int:
        nonlocal now_us
        return now_us

    store = over(
        DynamoDBEventStore(client=client, table_name=table, clock_us=clock_us, clock_tolerance_s=None), 3
    )
    for n in range(10):
        for stream in STREAMS:
            now_us += SECOND_US
            store.append(stream, [NewEvent.of("Even" if n % 2 else "Odd", {"n": n})], expected=n)
    return store


def time(second: int) -> str:
    return from_us(START_US + second * SECOND_US).isoformat()


def taken(bus: FakeEventBridge) -> list[tuple[str, int]]:
    details = [json.loads(entry["Detail"]) for call in bus.calls for entry in call]
    return [(detail["streamid"], detail["eventid"]) for detail in details]


def is_in_order(addresses: list[tuple[str, int]]) -> bool:
    return all(
        (numbers := [n for of, n in addresses if of == stream]) == sorted(set(numbers)) for stream in STREAMS
    )


def test_range_of_time_goes_out_in_time_order_as_the_publisher_writes_it(
    store: DynamoDBEventStore, bus: FakeEventBridge, run: Run
) -> None:
    code, out, err = run("republish", "--from", time(3), "--to", time(9), "--event-source", "shop")

    assert (code, out) == (0, "")
    assert taken(bus) == [(stream, n) for n in (2, 3) for stream in STREAMS]
    assert err.endswith("6 events published, 0 not publishable\n")
    entry = bus.calls[0][0]
    detail = json.loads(entry["Detail"])
    assert (entry["Source"], entry["DetailType"], entry["EventBusName"]) == ("shop", "Even", "b")
    assert (detail["id"], detail["data"], "replayid" in detail) == ("order-1/2", {"n": 1}, False)


def test_everything_from_a_time_on_goes_out_but_what_has_not_settled(
    store: DynamoDBEventStore, client: DynamoDBClient, table: str, bus: FakeEventBridge, run: Run
) -> None:
    DynamoDBEventStore(client=client, table_name=table).append("now", [NewEvent.of("Young")], expected=0)

    assert run("republish", "--from", time(27))[0] == 0

    assert taken(bus) == [(stream, 10) for stream in STREAMS]


def test_streams_go_out_whole_or_from_a_time_on(
    store: DynamoDBEventStore, bus: FakeEventBridge, run: Run
) -> None:
    assert run("republish", "--stream", "cart-1", "--stream", "order-2")[0] == 0
    assert sorted(taken(bus)) == sorted((stream, n) for stream in ("cart-1", "order-2") for n in range(1, 11))
    assert is_in_order(taken(bus))
    bus.calls.clear()

    code, _, err = run("republish", "--stream", "cart-1", "--from", time(24), "--stream", "order-9")

    assert taken(bus) == [("cart-1", 9), ("cart-1", 10)]
    assert code == 1
    assert "not found: stream 'order-9' has no event of that time" in err


def test_filters_leave_out_what_is_not_meant(
    store: DynamoDBEventStore, bus: FakeEventBridge, run: Run
) -> None:
    assert run("republish", "--from", time(0), "--stream-prefix", "order-", "--event-name", "Odd")[0] == 0

    assert sorted(taken(bus)) == sorted((f"order-{m}", n) for m in (1, 2) for n in (1, 3, 5, 7, 9))


def test_dry_run_sends_nothing(store: DynamoDBEventStore, bus: FakeEventBridge, run: Run) -> None:
    code, _, err = run("republish", "--from", time(0), "--dry-run")

    assert (code, bus.calls) == (0, [])
    assert "30 events could be published, 0 not publishable\nNothing was sent.\n" in err


def test_stop_says_from_where_to_go_on(store: DynamoDBEventStore, bus: FakeEventBridge, run: Run) -> None:
    def throttled(entry: Any) -> str | None:
        return "ThrottlingException" if '"id":"order-2/4"' in entry["Detail"] else None

    bus.entry_fault = throttled
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("time.sleep", lambda _: None)
        patched.setattr("eventstore.delivery.republish._BACKOFF", Backoff(0.0))
        code, _, err = run("republish", "--from", time(0))
    assert code == 1
    assert "stopped: ThrottlingException" in err
    go_on = err.split("To go on: --from ")[1].split()[0]
    assert go_on == time(10)
    before = set(taken(bus)) - {("order-2", 4)}
    assert {(stream, n) for n in (1, 2, 3) for stream in STREAMS} <= before
    bus.entry_fault = lambda entry: None
    bus.calls.clear()

    assert run("republish", "--from", go_on)[0] == 0
    assert before | set(taken(bus)) == {(stream, n) for stream in STREAMS for n in range(1, 11)}


def test_damaged_event_is_told_and_the_others_go_out(
    store: DynamoDBEventStore, client: DynamoDBClient, table: str, bus: FakeEventBridge, run: Run
) -> None:
    client.update_item(
        TableName=table,
        Key={"StreamId": {"S": "cart-1"}, "EventId": {"N": "2"}},
        UpdateExpression="SET Payload = :p",
        ExpressionAttributeValues={":p": {"S": '{"n":'}},
    )

    code, _, err = run("republish", "--stream", "cart-1")

    assert code == 1
    assert "not published: event 2 of stream 'cart-1': payload: is not JSON" in err
    assert taken(bus) == [("cart-1", n) for n in range(1, 11) if n != 2]


def test_range_of_the_log_goes_out(
    store: DynamoDBEventStore, client: DynamoDBClient, bus: FakeEventBridge, run: Run
) -> None:
    events = {stream: list(store.read_stream(stream)) for stream in STREAMS}
    with log_table(client) as log_name:
        log = DynamoDBEventLog(client=client, table_name=log_name)
        positions = []
        for first in (0, 3, 6):
            for stream in STREAMS:
                tranche = tranche_of(stream, tranches=log.tranches)
                log.append_block(tranche, events[stream][first : first + 3])
            positions.append(str(read_log(log).position))
        between = ("--log-table", log_name, "--log-after", positions[0], "--log-until", positions[1])

        assert run("republish", *between)[0] == 0
        code, _, err = run("republish", "--log-table", log_name, "--log-after", "x")

    assert sorted(taken(bus)) == sorted((stream, n) for stream in STREAMS for n in (4, 5, 6))
    assert is_in_order(taken(bus))
    assert code == 2
    assert "--log-after: is not a position" in err


@pytest.mark.parametrize("option", ["--log-after", "--log-until"])
def test_position_of_another_log_is_refused_before_anything_is_sent(
    store: DynamoDBEventStore, client: DynamoDBClient, bus: FakeEventBridge, run: Run, option: str
) -> None:
    events = list(store.read_stream("cart-1"))

    def logged(name: str) -> str:
        log = DynamoDBEventLog(client=client, table_name=name)
        log.append_block(tranche_of("cart-1", tranches=log.tranches), events)
        return str(read_log(log).position)

    with log_table(client) as old, log_table(client) as rebuilt:
        position = logged(old)
        logged(rebuilt)
        code, _, err = run("republish", "--log-table", rebuilt, option, position)
        assert (code, bus.calls) == (2, [])
        assert "it was rebuilt since, or is another store's. Drop the position" in err
        assert run("republish", "--log-table", old, "--log-until", position)[0] == 0


# --- dropped batches -----------------------------------------------------------------------------


@pytest.fixture
def message(client: DynamoDBClient, table: str, store: DynamoDBEventStore) -> Callable[..., str]:
    """Make the message of a batch: from one record of the table's stream to another."""
    arn = client.describe_table(TableName=table)["Table"]["LatestStreamArn"]
    streams: Any = boto3.client("dynamodbstreams", region_name="us-east-1")
    shard = streams.describe_stream(StreamArn=arn)["StreamDescription"]["Shards"][0]["ShardId"]
    iterator = streams.get_shard_iterator(StreamArn=arn, ShardId=shard, ShardIteratorType="TRIM_HORIZON")
    found = streams.get_records(ShardIterator=iterator["ShardIterator"])["Records"]
    numbers = {
        (
            record["dynamodb"]["Keys"]["StreamId"]["S"],
            int(record["dynamodb"]["Keys"]["EventId"]["N"]),
        ): record["dynamodb"]["SequenceNumber"]
        for record in found
    }

    def made(
        first: tuple[str, int], last: tuple[str, int], *, records: int, gone: bool = False, second: int = 0
    ) -> str:
        at = datetime.fromtimestamp(START_US // SECOND_US + second, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        info = {
            "shardId": "shardId-00000001573689847184-864758bb" if gone else shard,
            "startSequenceNumber": numbers[first],
            "endSequenceNumber": numbers[last],
            "approximateArrivalOfFirstRecord": at,
            "approximateArrivalOfLastRecord": at,
            "batchSize": records,
            "streamArn": arn,
        }
        return json.dumps({"version": "1.0", "DDBStreamBatchInfo": info})

    return made


def test_events_of_a_dropped_batch_go_out_by_its_records(
    message: Callable[..., str], bus: FakeEventBridge, run: Run, tmp_path: Path
) -> None:
    body = message(("order-2", 4), ("order-1", 6), records=6)
    (tmp_path / "body").write_text(body)
    (tmp_path / "answer").write_text(json.dumps({"Messages": [{"MessageId": "m", "Body": body}]}))
    between = [(stream, n) for n in (4, 5, 6) for stream in STREAMS][1:7]

    for file in ("body", "answer"):
        code, out, err = run("republish", "--dropped", tmp_path / file)

        assert (code, out) == (0, "")
        assert taken(bus) == between
        assert "6 events published, 0 not publishable; 1 batches by their records, 0 by their times" in err
        bus.calls.clear()


def test_queue_of_dropped_batches_is_emptied_of_what_is_published(
    message: Callable[..., str], bus: FakeEventBridge, queue: FakeSqsQueue, run: Run
) -> None:
    queue.put(message(("order-1", 8), ("cart-1", 8), records=3, second=21))
    queue.put(message(("order-1", 2), ("cart-1", 2), records=3, second=3))
    queue.put(message(("order-1", 1), ("cart-1", 1), records=3, gone=True))
    queue.put(message(("order-1", 10), ("order-1", 10), records=900, gone=True, second=600))
    queue.put("?")
    seen: list[list[tuple[str, int]]] = []
    queue.on_delete = lambda ids: seen.append(taken(bus))
    there = ("republish", "--dropped-queue-url", QUEUE_URL, "--margin-s", 2)

    code, _, err = run(*there, "--dry-run")
    assert (code, bus.calls, len(queue.visible)) == (1, [], 5)
    code, _, err = run(*there)

    assert code == 1
    # By the time of the third, two seconds before and three behind; then by the records of the others.
    assert taken(bus) == [(stream, n) for n in (1, 2, 8) for stream in STREAMS]
    assert queue.visible == ["m4", "m5"]
    assert [len(published) for published in seen] == [3, 6, 9]
    assert "left alone: message m5 can't be read: message: is not JSON" in err
    assert "had 900 records, and the table has fewer events" in err
    assert "9 events published, 0 not publishable; 2 batches by their records, 2 by their times" in err


def test_queue_keeps_what_is_not_published(
    message: Callable[..., str], bus: FakeEventBridge, queue: FakeSqsQueue, run: Run
) -> None:
    queue.put(message(("order-1", 2), ("cart-1", 2), records=3))
    bus.entry_fault = lambda entry: "MalformedDetail" if "order-2" in entry["Detail"] else None

    code, _, err = run("republish", "--dropped-queue-url", QUEUE_URL)

    assert code == 1
    assert queue.visible == ["m1"]
    assert "not published: event 2 of stream 'order-2': MalformedDetail" in err


def test_queue_is_left_before_its_messages_come_back(
    message: Callable[..., str], bus: FakeEventBridge, queue: FakeSqsQueue, run: Run,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr("eventstore.cli.republish.HIDDEN_S", 100.0)  # less than what is kept in reserve
    queue.put(message(("order-1", 2), ("cart-1", 2), records=3))

    code, _, err = run("republish", "--dropped-queue-url", QUEUE_URL)

    assert (code, bus.calls, queue.visible) == (1, [], ["m1"])
    assert "The rest is in the queue as before: run it again." in err


def test_message_of_another_table_is_refused_before_anything_goes_out(
    message: Callable[..., str], table: str, bus: FakeEventBridge, run: Run, tmp_path: Path
) -> None:
    (tmp_path / "body").write_text(
        message(("order-1", 2), ("cart-1", 2), records=3).replace(f":table/{table}/", ":table/other/")
    )

    code, _, err = run("republish", "--dropped", tmp_path / "body")

    assert (code, bus.calls) == (2, [])
    assert f"--table: is {table!r}, but a batch is of the table 'other'" in err


# --- what to ask for -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((), "publishes what is asked for alone; say which events"),
        (("--event-name", "Paid"), "publishes what is asked for alone"),
        (("--stream-prefix", "order-"), "publishes what is asked for alone"),
        (("--to", "2026-01-01T00:00:00Z"), "--from: is missing; --to alone would publish all of history"),
        (("--from", "yesterday"), "--from: is no time"),
        (("--from", "2026-01-01T00:00:00"), "--from: has no offset"),
        (("--from", "2026-01-02T00:00:00Z", "--to", "2026-01-01T00:00:00Z"), "--from: is not before --to"),
        (("--stream", "$own"), "--stream"),
        (("--stream", "a", "--dropped", "f"), "can't go by --stream, --dropped together"),
        (("--from", "2026-01-01T00:00:00Z", "--log-after", "x"), "can't go by --from, --log-after together"),
        (("--dropped", "f", "--event-name", "Paid"), "can't go by --event-name, --dropped together"),
        (("--from", "2026-01-01T00:00:00Z", "--event-name", ""), "--event-name: "),
        (("--from", "2026-01-01T00:00:00Z", "--stream-prefix", "$"), "--stream-prefix: "),
        (("--dropped", "/no/such/file"), "No such file"),
        (("--dropped", __file__), "--dropped: is not JSON"),
        (("--dropped-queue-url", "dropped"), "--dropped-queue-url: is 'dropped'; it has to begin with https"),
        (("--log-after", "x"), "--log-table: is missing"),
        (("--from", "2026-01-01T00:00:00Z", "--margin-s", "-1"), "must be a whole number from 0"),
    ],
)
def test_what_can_not_be_asked_for_is_refused_with_nothing_sent(
    bus: FakeEventBridge, run: Run, arguments: tuple[str, ...], told: str
) -> None:
    code, out, err = run("republish", *arguments)

    assert (code, out, bus.calls) == (2, "", [])
    assert told in err
