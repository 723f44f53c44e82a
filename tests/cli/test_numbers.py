"""Shards and tranches stand in the store alone: no number that a command is told can hide an event."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
import pytest

from eventstore import Event, NewEvent
from eventstore.cli.commands import names
from eventstore.dynamodb.items import key_of
from eventstore.dynamodb.log import DynamoDBEventLog
from eventstore.dynamodb.store import DynamoDBEventStore
from eventstore.maintenance.transfer.export import export
from tests.cli.conftest import Run
from tests.fake_aws import FakeEventBridge
from tests.tables import log_table, of_tranches, over

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

EVENTS = 60
LONG_AGO_US = 1_700_000_000_000_000
EARLIER = "2020-01-01T00:00:00Z"


@pytest.fixture
def told(client: DynamoDBClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment of a function of an earlier deployment, when the store had fewer of both."""
    for name, number in {"READ_SHARDS": "4", "WRITE_SHARDS": "2", "LOG_TRANCHES": "2"}.items():
        monkeypatch.setenv(name, number)


@pytest.fixture
def eight(client: DynamoDBClient, table: str, told: None, monkeypatch: pytest.MonkeyPatch) -> str:
    """A store that was written with 8 shards."""
    monkeypatch.setenv("EVENTS_TABLE", table)
    store = over(
        DynamoDBEventStore(
            client=client, table_name=table, clock_us=lambda: LONG_AGO_US, clock_tolerance_s=None
        ),
        8,
    )
    for n in range(EVENTS):
        store.append(f"order-{n}", [NewEvent.of("Happened")], expected=0)
    assert shards_of(client, table) == set(range(8))
    return table


@pytest.fixture
def given(tmp_path: Path) -> Path:
    """An export of as many streams, to be imported."""
    uid = "8f7e1c1e-5f3c-4d6f-9a46-0a2b8f6f{:04d}"
    events = [
        Event(f"order-{n}", 1, "Happened", "1", "{}", uid.format(n), LONG_AGO_US + n) for n in range(EVENTS)
    ]
    export(events, tmp_path / "given.gz", settled_until="2026-01-01T00:00:00+00:00")
    return tmp_path / "given.gz"


@pytest.fixture
def log_name(client: DynamoDBClient, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    with log_table(client) as name:
        monkeypatch.setenv("LOG_TABLE", name)
        yield name


def shards_of(client: DynamoDBClient, table: str) -> set[int]:
    items = client.scan(TableName=table)["Items"]
    return {int(item["GSIKey"]["N"]) for item in items if "GSIKey" in item}


def test_export_of_a_range_has_every_event_of_8_shards_though_told_4(
    eight: str, run: Run, tmp_path: Path
) -> None:
    code, _, err = run("export", tmp_path / "range.gz", "--from", EARLIER)

    assert code == 0, err
    lines = gzip.decompress((tmp_path / "range.gz").read_bytes()).splitlines()
    assert len(lines) == EVENTS + 1


def test_republish_by_time_sends_every_event_of_8_shards_though_told_4(
    eight: str, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, bus = boto3.Session.client, FakeEventBridge()
    monkeypatch.setattr(
        boto3.Session,
        "client",
        lambda self, service, **of: bus if service == "events" else made(self, service, **of),
    )

    code, out, err = run("republish", "--bus", "b", "--api-url", "https://a", "--from", EARLIER, "--json")

    assert (code, json.loads(out)["published"]) == (0, EVENTS), err


def test_rebuilt_log_has_every_event_of_8_shards_in_4_tranches_by_default(
    eight: str, log_name: str, run: Run
) -> None:
    code, out, err = run("rebuild-log", "--json")

    assert code == 0, err
    assert (json.loads(out)["events"], json.loads(out)["tranches"]) == (EVENTS, 4)
    assert run("verify")[:2] == (0, "")


def test_log_of_8_tranches_is_compared_and_made_anew_with_8_though_told_2(
    client: DynamoDBClient, eight: str, log_name: str, run: Run
) -> None:
    of_tranches(DynamoDBEventLog(client=client, table_name=log_name), 8).append_block(
        3, [Event("s", 1, "Happened", "1", "{}", "8f7e1c1e-5f3c-4d6f-9a46-0a2b8f6f3a10", 1)]
    )
    code, out, _ = run("verify", "--repair", "--settling-s", 0)
    assert code == 1
    kinds = {json.loads(line)["kind"] for line in out.splitlines()}
    assert kinds == {"only-in-log", "missing-in-log"}

    code, out, err = run("rebuild-log", "--delete", "--json")
    assert code == 0, err
    assert (json.loads(out)["events"], json.loads(out)["tranches"]) == (EVENTS, 8)


@pytest.mark.parametrize("repair", [[], ["--repair"]])
def test_verify_finds_nothing_wrong_with_8_shards_though_told_4(
    client: DynamoDBClient, eight: str, run: Run, repair: list[str]
) -> None:
    assert run("verify", "--settling-s", 0, *repair)[:2] == (0, "")
    assert shards_of(client, eight) == set(range(8))


def test_import_spreads_events_over_as_many_shards_as_the_store_says(
    client: DynamoDBClient, eight: str, given: Path, run: Run, tmp_path: Path
) -> None:
    for item in client.scan(TableName=eight)["Items"]:
        if item["EventId"]["N"] != "0":
            client.delete_item(
                TableName=eight, Key={"StreamId": item["StreamId"], "EventId": item["EventId"]}
            )

    code, _, err = run("import", given, "--parallel", 1)

    assert code == 0, err
    assert "is new" not in err
    assert shards_of(client, eight) == set(range(8))


def test_import_into_a_new_store_begins_with_one_shard_and_says_so(
    client: DynamoDBClient, told: None, given: Path, table: str, run: Run
) -> None:
    code, _, err = run("import", given, "--table", table)

    assert code == 0
    assert "it begins with 1" in err
    assert shards_of(client, table) == {0}
    store = over(DynamoDBEventStore(client=client, table_name=table), 8)
    store.append("order-new", [NewEvent.of("Happened")], expected=0)
    assert len(list(store.read_all(unsettled=True))) == EVENTS + 1


def test_import_into_a_store_that_lost_its_item_is_refused_as_no_new_one(
    client: DynamoDBClient, eight: str, given: Path, run: Run
) -> None:
    client.delete_item(TableName=eight, Key=key_of("$store", 0))
    before = client.scan(TableName=eight)["Items"]

    code, _, err = run("import", given, "--into-existing")

    assert (code, "is new" in err) == (2, False)
    assert "its own item ('$store', 0)" in err
    assert client.scan(TableName=eight)["Items"] == before


@pytest.mark.parametrize("option", ["--read-shards", "--write-shards", "--log-tranches"])
@pytest.mark.parametrize("command", names())
def test_no_command_takes_a_number_of_shards_or_tranches(run: Run, command: str, option: str) -> None:
    code, out, err = run(command, option, "4")

    assert (code, out) == (2, "")
    assert "No such option" in err
    assert option in err


@pytest.mark.parametrize("command", names())
def test_help_of_no_command_names_shards_or_tranches(run: Run, command: str) -> None:
    code, out, _ = run(command, "--help")

    assert code == 0
    assert "shard" not in out.lower()
    assert "tranche" not in out.lower()
