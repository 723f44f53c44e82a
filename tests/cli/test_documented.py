"""What docs/operations.md shows of each command is what the command prints, on a store of 300 events."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import boto3
import pytest

from eventstore import NewEvent
from eventstore.dynamodb.checkpoints import DynamoDBCheckpoints
from eventstore.dynamodb.items import key_of
from eventstore.dynamodb.log import DynamoDBEventLog
from eventstore.dynamodb.store import DynamoDBEventStore
from eventstore.log.model import BlockPosition, tranche_of
from eventstore.subscriptions import ParkedEvent
from tests.cli.conftest import Run
from tests.fake_aws import FakeEventBridge
from tests.parked_events import QUEUE_URL, FakeSqsQueue
from tests.tables import events_table, log_table, put_items, subscriptions_table

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

TEXT = (Path(__file__).parents[2] / "docs" / "operations.md").read_text()
COMMAND = "$ eventstore "
COMMANDS = ("doctor", "verify", "restored", "rebuild-log", "export", "import", "redrive", "republish")

START_US = 1_700_000_000_000_000
STREAMS = [f"order-{n}" for n in range(1, 41)]

# What no two runs have alike: times, and what follows from the order of a scan of several segments.
CHANGING = [
    (r"\d{4}-\d\d-\d\dT[\d:.]+(\+00:00|Z)", "<time>"),
    (r"in another log, [\w-]{16}", "in another log, <id>"),
    (r"tranches, id [\w-]{16}", "tranches, id <id>"),
    (r"boto3 [\d.]+", "boto3 <version>"),
    (r"Waiting \d+ s", "Waiting <n> s"),
    (r"[\d,]+ bytes, SHA-256 of its lines [0-9a-f]{64}", "<n> bytes, SHA-256 of its lines <digest>"),
]


def blocks() -> Iterator[str]:
    """Find the samples, those that stand in a list included."""
    for indent, block in re.findall(r"^( *)```console\n(.*?)^ *```$", TEXT, re.MULTILINE | re.DOTALL):
        yield "".join(line.removeprefix(indent) for line in block.splitlines(keepends=True))


def samples(*commands: str) -> Iterator[tuple[list[str], list[str]]]:
    """Find each call of these commands: its arguments, and the lines that it prints."""
    for block in blocks():
        for sample in block.split(COMMAND)[1:]:
            called, *lines = sample.strip().split("\n")
            arguments = shlex.split(called)
            if arguments[0] in commands:
                yield arguments, lines


def comparable(lines: list[str]) -> list[str]:
    """Take from lines what changes; findings are in any order, on another output than the rest."""
    for pattern, name in CHANGING:
        lines = [re.sub(pattern, name, line) for line in lines]
    return [*sorted(line for line in lines if line[:1] == "{"), *(line for line in lines if line[:1] != "{")]


@pytest.fixture
def store(
    client: DynamoDBClient, table: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> DynamoDBEventStore:
    """300 events in 40 streams, in a table that the commands know."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EVENTS_TABLE", table)
    now_us = START_US

    def clock_us() -> int:
        nonlocal now_us
        now_us += 1_000_000
        return now_us

    store = DynamoDBEventStore(client=client, table_name=table, clock_us=clock_us, clock_tolerance_s=None)
    for number, stream in enumerate(STREAMS):
        first = number * 300 // 40
        uids = [str(UUID(int=n + 1)) for n in range(first, (number + 1) * 300 // 40)]
        store.append(
            stream, [NewEvent.of("OrderChanged", {"total": 12.5}, uid=uid) for uid in uids], expected=0
        )
    return store


def damage(client: DynamoDBClient, table: str, address: tuple[str, int], change: str, **values: Any) -> None:
    request: dict[str, Any] = {"ExpressionAttributeValues": values} if values else {}
    client.update_item(TableName=table, Key=key_of(*address), UpdateExpression=change, **request)


def reach(monkeypatch: pytest.MonkeyPatch, queue: FakeSqsQueue) -> None:
    """Have the commands find queue, bus and API."""
    made = boto3.Session.client

    def fake(self: Any, service: str, **options: Any) -> Any:
        return {"sqs": queue, "events": FakeEventBridge()}.get(service) or made(self, service, **options)

    monkeypatch.setattr(boto3.Session, "client", fake)
    for name, value in {
        "FAILED_EVENTS_QUEUE_URL": QUEUE_URL,
        "EVENT_BUS": "b",
        "API_URL": "https://a",
    }.items():
        monkeypatch.setenv(name, value)


def test_every_sample_is_one_that_is_held_here() -> None:
    shown = [arguments[0] for arguments, _ in samples(*COMMANDS)]

    assert list(dict.fromkeys(shown)) == list(COMMANDS)
    assert len(shown) == 11
    assert sum(block.count(COMMAND) for block in blocks()) == TEXT.count(COMMAND)


def test_doctor_prints_what_is_shown(
    client: DynamoDBClient, store: DynamoDBEventStore, table: str, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    with log_table(client) as log_name, subscriptions_table(client) as kept_name:
        monkeypatch.setenv("LOG_TABLE", log_name)
        monkeypatch.setenv("SUBSCRIPTIONS_TABLE", kept_name)
        log = DynamoDBEventLog(client=client, table_name=log_name)
        log.append_block(tranche_of("order-1", tranches=4), [*store.read_stream("order-1")])
        checkpoints = DynamoDBCheckpoints(client=client, table_name=kept_name)
        checkpoints.begin("view", [BlockPosition(1, 0)])
        lease = checkpoints.take("view", checkpoints.read_group("view").leases[0], owner="w")
        assert lease
        for number in (1, 2):
            parked = ParkedEvent(0, "order-1", number, "no good", 1_769_860_800_000_000)
            checkpoints.park("view", lease, parked)
        [(arguments, lines)] = samples("doctor")
        code, out, err = run(*arguments)

    assert code == 1
    told = err.replace(table, "orders").replace(log_name, "orders-log")
    shown = [line.replace("eu-central-1", "us-east-1") for line in lines]
    told = told.replace(client.meta.endpoint_url, "https://dynamodb.us-east-1.amazonaws.com")
    assert comparable(shown) == comparable([*out.splitlines(), *told.splitlines()])


def test_verify_prints_what_is_shown(
    client: DynamoDBClient, store: DynamoDBEventStore, table: str, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("eventstore.maintenance.verify.verify.RECHECK_S", 0.0)
    with log_table(client) as log_name:
        monkeypatch.setenv("LOG_TABLE", log_name)
        log = DynamoDBEventLog(client=client, table_name=log_name)
        for stream in STREAMS:
            logged = [
                event for event in store.read_stream(stream) if (stream, event.event_id) != ("order-38", 8)
            ]
            log.append_block(tranche_of(stream, tranches=log.tranches), logged)
        damage(client, table, ("order-37", 4), "SET Payload = :p", **{":p": {"S": '{"total":'}})
        damage(client, table, ("order-12", 2), "REMOVE GSIKey")
        client.delete_item(TableName=table, Key=key_of("order-8", 3))

        [(arguments, lines)] = samples("verify")
        code, out, err = run(*arguments)

    assert code == 1
    assert comparable(lines) == comparable([*out.splitlines(), *err.splitlines()])


def test_restored_prints_what_is_shown(
    client: DynamoDBClient, store: DynamoDBEventStore, table: str, run: Run
) -> None:
    with events_table(client) as restored:
        put_items(client, restored, client.scan(TableName=table)["Items"])
        [(arguments, lines)] = samples("restored")
        code, out, err = run(
            *[restored if argument == "orders-restored" else argument for argument in arguments]
        )

    assert (code, out) == (0, "")
    told = err.replace(restored, "orders-restored").replace(table, "orders")
    assert comparable(lines) == comparable(told.splitlines())


def test_rebuild_log_prints_what_is_shown(
    client: DynamoDBClient, store: DynamoDBEventStore, run: Run
) -> None:
    with log_table(client) as log_name:
        [(arguments, lines)] = samples("rebuild-log")
        code, out, err = run(*[log_name if argument == "lost" else argument for argument in arguments])

    assert (code, out) == (0, "")
    assert comparable(lines) == comparable(err.splitlines())


def test_export_and_import_print_what_is_shown(
    client: DynamoDBClient, store: DynamoDBEventStore, run: Run
) -> None:
    with events_table(client) as other:
        codes = []
        for arguments, lines in samples("export", "import"):
            called = [other if argument == "other" else argument for argument in arguments]
            code, out, err = run(*called)
            codes.append(code)
            assert comparable(lines) == comparable([*out.splitlines(), *err.splitlines()])
        _, _, again = run(*called, "--into-existing")

    assert codes == [0, 0, 2]
    [told] = re.findall(r"0 events written, [\d,]+ already there", again)
    assert f"`{told}`" in TEXT


def test_redrive_prints_what_is_shown(
    client: DynamoDBClient, store: DynamoDBEventStore, table: str, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    damage(client, table, ("order-37", 4), "SET Payload = :p", **{":p": {"S": '{"total":'}})
    queue = FakeSqsQueue()
    for address in [("order-1", 2), ("order-1", 3), ("order-5", 1), ("order-37", 4)]:
        queue.park(*address)
    reach(monkeypatch, queue)

    for arguments, lines in samples("redrive"):
        code, out, err = run(*arguments)

        assert code == 1
        assert comparable(lines) == comparable([*out.splitlines(), *err.splitlines()])


def test_republish_prints_what_is_shown(
    store: DynamoDBEventStore, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    reach(monkeypatch, FakeSqsQueue())

    for arguments, lines in samples("republish"):
        code, out, err = run(*arguments)

        assert code == 0
        assert comparable(lines) == comparable([*out.splitlines(), *err.splitlines()])
