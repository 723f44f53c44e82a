"""`doctor`: what it finds, with how to repair it; and that it only reads."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from eventstore import NewEvent
from eventstore.cli import settings
from eventstore.dynamodb.checkpoints import DynamoDBCheckpoints
from eventstore.dynamodb.items import key_of
from eventstore.dynamodb.log import DynamoDBEventLog
from eventstore.dynamodb.log_rebuild import DynamoDBLogRebuild
from eventstore.dynamodb.store import DynamoDBEventStore
from eventstore.log.model import BlockPosition, tranche_of
from eventstore.subscriptions import ParkedEvent
from tests.cli.conftest import Run
from tests.tables import events_table, log_table, over, put_items, subscriptions_table

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


@dataclass(frozen=True, slots=True)
class Deployed:
    """The tables of a store, and what writes to them."""

    client: DynamoDBClient
    events: str
    blocks: str
    subscriptions: str

    def append(self, *, logged: bool = True) -> None:
        store = over(DynamoDBEventStore(client=self.client, table_name=self.events), 3)
        (event,) = store.append("a", [NewEvent.of("Happened")], expected=0).events
        if logged:
            log = DynamoDBEventLog(client=self.client, table_name=self.blocks)
            log.append_block(tranche_of("a", tranches=log.tranches), [event])

    def park(self, subscription: str, count: int) -> None:
        checkpoints = DynamoDBCheckpoints(client=self.client, table_name=self.subscriptions)
        checkpoints.begin(subscription, [BlockPosition(1, 0)])
        lease = checkpoints.take(subscription, checkpoints.read_group(subscription).leases[0], owner="w")
        assert lease
        for number in range(1, count + 1):
            parked = ParkedEvent(0, "a", number, "no good", 1_769_860_800_000_000 + number)
            checkpoints.park(subscription, lease, parked)

    def items(self) -> list[Any]:
        tables = (self.events, self.blocks, self.subscriptions)
        return [self.client.scan(TableName=name)["Items"] for name in tables]


@pytest.fixture
def deployed(client: DynamoDBClient, table: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Deployed]:
    with log_table(client) as blocks, subscriptions_table(client) as subscriptions:
        found = Deployed(client, table, blocks, subscriptions)
        monkeypatch.setenv("EVENTS_TABLE", table)
        monkeypatch.setenv("LOG_TABLE", blocks)
        monkeypatch.setenv("SUBSCRIPTIONS_TABLE", subscriptions)
        yield found


def findings(out: str) -> dict[str, tuple[str, str]]:
    found = [json.loads(line) for line in out.splitlines()]
    return {of["check"]: (of["detail"], of["repair"]) for of in found}


def test_store_that_works_is_well_and_nothing_is_written(deployed: Deployed, run: Run) -> None:
    deployed.append()
    before = deployed.items()
    code, out, err = run("doctor")
    assert (code, out) == (0, "")
    lines = err.splitlines()
    assert [line.partition(":")[0] for line in lines[:-1]] == ["region", "clock", "store", "log", "parked"]
    assert lines[2] == f"store: table {deployed.events!r}, read shards: 3"
    assert "4 tranches, id " in lines[3]
    assert lines[-1] == "All is well."
    assert deployed.items() == before


def test_store_that_is_empty_is_well_and_not_begun_by_it(deployed: Deployed, run: Run) -> None:
    code, out, err = run("doctor")
    assert (code, out) == (0, "")
    assert "is empty: the first append begins the store" in err
    assert "isn't begun: the first event begins it" in err
    assert deployed.items() == [[], [], []]


def test_parked_events_are_named_by_subscription(deployed: Deployed, run: Run) -> None:
    deployed.append()
    deployed.park("view", 2)
    code, out, err = run("doctor")
    assert code == 1
    detail, repair = findings(out)["parked"]
    assert detail == "subscription 'view' has parked 2 events, the first of them 2026-01-31T12:00:00Z"
    assert "retry_parked" in repair
    assert err.splitlines()[-1] == "5 checks, 1 of them not well."


@pytest.mark.parametrize("name", ["LOG_TABLE", "SUBSCRIPTIONS_TABLE"])
def test_a_part_without_its_table_is_left_out_and_told(
    name: str, deployed: Deployed, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    deployed.append()
    monkeypatch.delenv(name)
    code, out, err = run("doctor")
    assert (code, out) == (0, "")
    assert f"left out: give --{name.lower().replace('_', '-')} or {name}" in err


def test_lost_store_item_is_found(deployed: Deployed, run: Run) -> None:
    deployed.append()
    deployed.client.delete_item(TableName=deployed.events, Key=key_of("$store", 0))
    code, out, _ = run("doctor")
    assert code == 1
    assert "its own item ($store) is gone" in findings(out)["store"][0]
    assert "verify --repair" in findings(out)["store"][1]


def test_restore_that_nobody_has_declared_is_found(deployed: Deployed, run: Run) -> None:
    deployed.append()
    with events_table(deployed.client) as restored:
        put_items(deployed.client, restored, deployed.items()[0])
        code, out, _ = run("doctor", "--table", restored)
    assert code == 1
    assert "RestoreNotDeclared" in findings(out)["store"][0]


def test_log_that_was_never_begun_is_found(deployed: Deployed, run: Run) -> None:
    deployed.append(logged=False)
    code, out, _ = run("doctor")
    assert code == 1
    assert "the log writer has logged none" in findings(out)["log"][0]


def test_rebuild_that_was_interrupted_is_found(deployed: Deployed, run: Run) -> None:
    deployed.append(logged=False)
    DynamoDBLogRebuild(client=deployed.client, table_name=deployed.blocks).begin(4)
    code, out, _ = run("doctor")
    assert code == 1
    assert "run it again" in findings(out)["log"][1]


def test_clock_that_is_wrong_is_found(deployed: Deployed, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    deployed.append()
    right = settings.local_us
    monkeypatch.setattr(settings, "local_us", lambda: right() - 60_000_000)
    code, out, _ = run("doctor")
    assert code == 1
    detail, repair = findings(out)["clock"]
    assert "s behind DynamoDB's" in detail
    assert repair.startswith("set it")


def test_table_without_the_index_of_parked_events_is_found(deployed: Deployed, run: Run) -> None:
    deployed.append()
    code, out, _ = run("doctor", "--subscriptions-table", deployed.events)
    assert code == 1
    assert "has no index 'Parked'" in findings(out)["parked"][0]
    assert "deploy the data stack" in findings(out)["parked"][1]


def test_a_check_that_cannot_be_made_hides_no_other(deployed: Deployed, run: Run) -> None:
    deployed.append()
    code, out, err = run("doctor", "--log-table", "none-such")
    assert code == 2
    assert set(findings(out)) == {"log"}
    assert "there is no such table" in findings(out)["log"][1]
    assert "parked: no event is" in err


def test_region_that_is_none_is_told_with_how_to_set_it(
    deployed: Deployed, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_REGION")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    code, out, _ = run("doctor")
    assert code == 2
    assert "AWS_REGION" in findings(out)["region"][1]
