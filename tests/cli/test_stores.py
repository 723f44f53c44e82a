"""`create-tables` and `--store`: from nothing to a store that commands and library find by a name."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from eventstore import NewEvent, connect
from tests.cli.conftest import Run
from tests.fake_aws import FakeParameters
from tests.tables import events_table, log_table, subscriptions_table
from tests.unit.test_store_parameter import DEPLOYED

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

ROOT = Path(__file__).parents[2]
HAPPENED = [NewEvent.of("Happened")]


@pytest.fixture
def prefix(client: DynamoDBClient) -> Iterator[str]:
    name = "try-it"
    yield name
    for table in client.list_tables()["TableNames"]:
        if table.startswith(name):
            client.delete_table(TableName=table)


def test_tables_are_made_once_and_the_library_works_on_them(prefix: str, run: Run) -> None:
    code, out, err = run("create-tables", "--prefix", prefix)
    variables = dict(re.findall(r"^export (\w+)=(.*)$", out, re.MULTILINE))
    assert (code, err.count("is made.")) == (0, 3)
    assert variables == {
        "EVENTS_TABLE": "try-it-events",
        "LOG_TABLE": "try-it-log",
        "SUBSCRIPTIONS_TABLE": "try-it-subscriptions",
    }
    store = connect(**{name.lower(): table for name, table in variables.items()})  # type: ignore[arg-type]
    store.append("order-1", HAPPENED, expected=0)

    code, again, err = run("create-tables", "--prefix", prefix)
    assert (code, again, err.count("is there already, and stays as it is.")) == (0, out, 3)
    assert [event.stream_id for event in store.read_stream("order-1")] == ["order-1"]


@pytest.mark.parametrize("prefix", ["", "a b", "x" * 201, "ü"])
def test_prefix_that_no_table_can_have_is_refused(prefix: str, run: Run, client: DynamoDBClient) -> None:
    code, out, err = run("create-tables", "--prefix", prefix)
    assert (code, out) == (2, "")
    assert "--prefix" in err


def test_tables_on_aws_are_made_only_when_asked_for(
    client: DynamoDBClient, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL_DYNAMODB")
    code, out, err = run("create-tables")
    assert (code, out) == (2, "")
    assert "--on-aws: is missing" in err
    assert "dynamodb.us-east-1.amazonaws.com" in err


def test_store_takes_the_place_of_the_options_that_name_its_parts(
    client: DynamoDBClient, table: str, parameters: FakeParameters, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    with log_table(client) as log, subscriptions_table(client) as kept, events_table(client) as other:
        deployed = replace(DEPLOYED, events_table=table, log_table=log, subscriptions_table=kept)
        parameters.parameters["/eventstore/prod"] = json.dumps(deployed.members())
        monkeypatch.setenv("EVENTS_TABLE", "one-of-another-store")

        code, _, err = run("doctor", "--store", "prod")
        assert code == 0
        assert f"table {table!r} is empty" in err
        assert kept in err

        _, _, err = run("doctor", "--store", "prod", "--table", other)
        assert f"table {other!r} is empty" in err
        _, _, err = run("doctor", "--store", "prod", f"--table={other}")
        assert f"table {other!r} is empty" in err


def test_store_that_nobody_knows_is_told_with_those_that_are_there(
    client: DynamoDBClient, parameters: FakeParameters, run: Run
) -> None:
    parameters.parameters["/eventstore/prod"] = "{}"
    for command in ("doctor", "verify", "restored", "rebuild-log", "redrive", "republish"):
        code, out, err = run(command, "--store", "prd")
        assert (code, out) == (2, "")
        assert "no parameter /eventstore/prd in this account and Region. There are: prod." in err


def test_the_documents_way_to_a_store_to_try_runs(
    client: DynamoDBClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (ROOT / "docs" / "operations.md").read_text()
    [block] = [of for of in re.findall(r"```sh\n(.*?)```", text, re.DOTALL) if "create-tables" in of]
    script = block.replace("http://127.0.0.1:8000", client.meta.endpoint_url)
    script = script.replace("$(eventstore ", f"$({sys.executable} -m eventstore ").replace(
        "\npython -c", f"\n{sys.executable} -c"
    )
    for name in ("AWS_ENDPOINT_URL_DYNAMODB", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    try:
        done = subprocess.run(["sh", "-euc", script], cwd=ROOT, capture_output=True, text=True, check=False)
    finally:
        for name in ("orders-events", "orders-log", "orders-subscriptions"):
            client.delete_table(TableName=name)
    assert done.stdout == "Head(stream_id='order-1', version=0, timestamp_us=0, written_us=None)\n", (
        done.stderr
    )
