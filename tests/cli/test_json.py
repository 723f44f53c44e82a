"""`--json`: standard output of every command is JSON alone, and its last line says how it ended."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import pytest

from eventstore import Event, NewEvent
from eventstore.cli.commands import names
from eventstore.dynamodb.items import key_of
from eventstore.dynamodb.store import DynamoDBEventStore
from eventstore.maintenance.transfer.export import export
from tests.cli.conftest import Run
from tests.fake_aws import FakeEventBridge
from tests.parked_events import QUEUE_URL, FakeSqsQueue
from tests.tables import events_table, log_table, put_items, subscriptions_table

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

TEXT = (Path(__file__).parents[2] / "docs" / "operations.md").read_text()
COMMANDS: dict[str, tuple[str, ...]] = {
    "create-tables": ("--prefix", "as-json"),
    "doctor": (),
    "rebuild-log": (),
    "redrive": ("--dry-run",),
    "republish": ("--stream", "order-1"),
    "restored": ("--table", "restored"),
    "verify": (),
    "export": ("made.gz",),
    "import": ("given.gz", "--table", "other"),
    "completion": ("zsh",),
}
WITH_LINES = {"doctor", "verify"}
"""What they find is a stream: a line each, before the last one."""


@pytest.fixture
def place(
    *, client: DynamoDBClient, table: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[dict[str, str]]:
    """All that a command can ask for: tables, files, a queue and a bus; and the names of tables here."""
    monkeypatch.chdir(tmp_path)
    store = DynamoDBEventStore(
        client=client, table_name=table, clock_us=lambda: 1_700_000_000_000_000, clock_tolerance_s=None
    )
    store.append("order-1", [NewEvent.of("Happened")] * 3, expected=0)
    event = Event("order-1", 1, "Happened", "1", "{}", "8f7e1c1e-5f3c-4d6f-9a46-0a2b8f6f3a10", 1)
    export([event], tmp_path / "given.gz", settled_until="2026-01-01T00:00:00+00:00")
    queue = FakeSqsQueue()
    queue.park("order-1", 2)
    made, fakes = boto3.Session.client, {"sqs": queue, "events": FakeEventBridge()}
    monkeypatch.setattr(
        boto3.Session, "client", lambda self, name, **of: fakes.get(name) or made(self, name, **of)
    )
    with (
        log_table(client) as log, subscriptions_table(client) as kept, events_table(client) as other,
        events_table(client) as restored,
    ):  # fmt: skip
        put_items(client, restored, client.scan(TableName=table)["Items"])
        variables = {
            "EVENTS_TABLE": table, "LOG_TABLE": log, "SUBSCRIPTIONS_TABLE": kept, "EVENT_BUS": "b",
            "FAILED_EVENTS_QUEUE_URL": QUEUE_URL, "API_URL": "https://a",
        }  # fmt: skip
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        yield {"other": other, "restored": restored, "table": table}
    for name in client.list_tables()["TableNames"]:
        if name.startswith("as-json-"):
            client.delete_table(TableName=name)


def documented() -> dict[str, dict[str, Any]]:
    """Return the last lines that the documentation shows, by command."""
    [section] = re.findall(r"^## --json.*?(?=^## )", TEXT, re.MULTILINE | re.DOTALL)
    [block] = re.findall(r"```json\n(.*?)```", section, re.DOTALL)
    return {line["command"]: line for line in map(json.loads, block.splitlines())}


def test_every_command_is_run_here_and_shown_in_the_documentation() -> None:
    assert {*COMMANDS} == {*documented()} == {*names()}


@pytest.mark.parametrize("command", names())
def test_standard_output_is_json_alone_and_as_it_is_documented(
    place: dict[str, str], run: Run, command: str
) -> None:
    arguments = [place.get(each, each) for each in COMMANDS[command]]

    code, out, err = run(command, *arguments, "--json")

    *lines, last = map(json.loads, out.splitlines())
    assert (last["command"], last["exitCode"]) == (command, code), err
    assert "error" not in last
    assert bool(lines) is (command in WITH_LINES)
    assert all(isinstance(line, dict) and "command" not in line for line in lines)
    shown = documented()[command]
    assert list(last) == list(shown)
    for name, value in last.items():
        assert type(value) is type(shown[name]) or None in {value, shown[name]}, name


@pytest.mark.parametrize("command", sorted({*names()} - {"completion"}))
def test_trouble_is_told_in_json_and_in_words(
    place: dict[str, str], run: Run, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.delenv("AWS_REGION")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/no/such/file")
    arguments = [place.get(each, each) for each in COMMANDS[command]]

    code, out, err = run(command, *arguments, "--json")

    lines = [json.loads(line) for line in out.splitlines()]
    assert (code, lines[-1]["command"], lines[-1]["exitCode"]) == (2, command, 2)
    text = "there is no AWS Region that can be used: You must specify a region."
    told = {"error": f"{text} Set AWS_REGION, give the profile one, or give region_name"}
    if command == "doctor":  # it makes its other checks all the same
        assert {line["repair"] for line in lines[:-1]} == {told["error"]}
    else:
        assert (len(lines), lines[0]) == (1, {"command": command, "exitCode": 2, **told})
        assert told["error"] in err


def test_interruption_is_told_in_json_and_in_words(
    place: dict[str, str], run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("eventstore.cli.stores.read_parameter", interrupted)

    code, out, err = run("verify", "--store", "prod", "--json")

    assert json.loads(out) == {"command": "verify", "exitCode": 130, "error": "Interrupted."}
    assert (code, err) == (130, "Interrupted.\n")


def test_findings_are_lines_before_the_last_one(
    client: DynamoDBClient, place: dict[str, str], run: Run, tmp_path: Path
) -> None:
    client.delete_item(TableName=place["table"], Key=key_of("order-1", 2))

    code, out, _ = run("verify", "--log-table", "", "--json")
    *findings, last = map(json.loads, out.splitlines())
    assert (code, [finding["kind"] for finding in findings]) == (1, ["gap"])
    assert (last["exitCode"], last["findings"], last["isLogCompared"]) == (1, 1, False)

    code, out, _ = run("verify", "--log-table", "", "--json", "--output", tmp_path / "findings")
    assert [json.loads(line)["command"] for line in out.splitlines()] == ["verify"]
    assert json.loads((tmp_path / "findings").read_text()) == findings[0]


def test_file_and_json_do_not_share_standard_output(place: dict[str, str], run: Run) -> None:
    code, out, err = run("export", "-", "--json")

    assert (code, json.loads(out)["exitCode"]) == (2, 2)
    assert "--json: and the file - both take standard output; name a file" in err


def test_json_without_standard_output_is_refused(
    place: dict[str, str], run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdout", None)

    code, _, err = run("restored", "--json")

    assert code == 2
    assert "--json: needs standard output, which is closed" in err


def test_names_that_are_no_ascii_pass_any_encoding(run: Run, place: dict[str, str]) -> None:
    code, out, _ = run("republish", "--stream", "größe/\U0001f680", "--json")

    assert (code, out.isascii()) == (1, True)
    assert json.loads(out)["streamsNotFound"] == ["größe/\U0001f680"]
