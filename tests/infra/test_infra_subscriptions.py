"""What a worker of a subscription may do: exactly this, and what it calls is within it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from eventstore import Event
from eventstore.subscriptions import Projection
from infra import permissions
from tests.contract.test_subscription_ports import Tables

ROOT = Path(__file__).parents[2]
_OF_TRANSACTIONS = {"ConditionCheck": "ConditionCheckItem", "Put": "PutItem", "Update": "UpdateItem"}


def allowed(**arns: str) -> set[tuple[str, str]]:
    statements = [of.to_statement_json() for of in permissions.subscribe(**arns)]
    return {
        (action, of["Resource"])
        for of in statements
        for action in (of["Action"] if isinstance(of["Action"], list) else [of["Action"]])
    }


@pytest.fixture
def tables(dynamodb_endpoint: str) -> Iterator[Tables]:
    with ExitStack() as stack:
        yield Tables(dynamodb_endpoint, stack)


def test_workers_call_exactly_what_they_are_allowed(tables: Tables) -> None:
    calls: set[tuple[str, str]] = set()

    def note(params: dict[str, Any], model: Any, **_: Any) -> None:
        if "TransactItems" in params:
            for item in params["TransactItems"]:
                ((kind, of),) = item.items()
                calls.add((f"dynamodb:{_OF_TRANSACTIONS[kind]}", of["TableName"]))
        else:
            for table in params.get("RequestItems", [params.get("TableName")]):
                calls.add((f"dynamodb:{model.name}", table))

    tables.append("a", 3)
    tables.client.meta.events.register("provide-client-params.dynamodb.*", note)

    def project(event: Event) -> list[dict[str, Any]]:
        if event.event_id == 2:
            raise ValueError("no good")
        return []

    projection = Projection(name="p", project=project, read_model=tables.read_model)
    worker = tables.subscribe(projection, sleep=lambda _: None)
    worker.step()
    worker.retry_parked()
    worker.close()

    assert worker.counts.parked == 2
    assert calls == allowed(
        events_table_arn=tables.events,
        log_table_arn=tables.blocks,
        subscriptions_table_arn=tables.subscriptions,
    )


def test_the_documents_policy_is_this_one() -> None:
    text = (ROOT / "docs/permissions.md").read_text()
    (block,) = (of for of in re.findall(r"```json\n(.*?)```", text, re.DOTALL) if "KeepCheckpoints" in of)
    expected = permissions.subscribe(
        events_table_arn="EVENTS_TABLE_ARN",
        log_table_arn="LOG_TABLE_ARN",
        subscriptions_table_arn="SUBSCRIPTIONS_TABLE_ARN",
    )
    assert json.loads(block)["Statement"] == [of.to_statement_json() for of in expected]
