"""What subscriptions have parked, counted on DynamoDB Local by the index that holds nothing else."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from aws_lambda_powertools import Logger, Metrics

from eventstore import Event
from eventstore.dynamodb.parked_events import DynamoDBParkedEvents, ParkedCount
from eventstore.functions.parked import parked_handler
from eventstore.log.model import BlockPosition
from eventstore.subscriptions import ParkedEvent, Projection
from tests.contract.test_subscription_ports import Tables
from tests.fake_aws import LambdaContext
from tests.tables import Meter, put_items


@pytest.fixture
def tables(dynamodb_endpoint: str) -> Iterator[Tables]:
    with ExitStack() as stack:
        yield Tables(dynamodb_endpoint, stack)


def parked_events(tables: Tables) -> DynamoDBParkedEvents:
    return DynamoDBParkedEvents(client=tables.client, table_name=tables.subscriptions)


def refuse(event: Event) -> list[dict[str, Any]]:
    if event.stream_id == "bad":
        raise ValueError("no good")
    return []


def parked_items(subscription: str, count: int, *, parked_at: str = "7") -> list[dict[str, Any]]:
    return [
        {
            "Subscription": {"S": subscription},
            "Item": {"S": f"parked#0000#{'0' * 32}#{number:016d}"},
            "ParkedAt": {"N": parked_at},
        }
        for number in range(count)
    ]


def test_parked_events_are_counted_by_subscription_until_they_are_handled(tables: Tables) -> None:
    tables.append("bad", 2)
    tables.append("good", 3)
    workers = [
        tables.subscribe(Projection(name=name, project=refuse, read_model=tables.read_model), name=name)
        for name in ("view", "mail")
    ]
    for worker in workers:
        worker.step()
    counts = parked_events(tables).count()
    assert [(of.subscription, of.events) for of in counts.counts] == [("mail", 2), ("view", 2)]
    for of in counts.counts:
        times = [parked.parked_at_us for parked in tables.checkpoints.read_parked(of.subscription)]
        assert of.oldest_us == min(times)
    assert (counts.events, counts.are_whole) == (4, True)

    for parked in tables.checkpoints.read_parked("view"):
        tables.checkpoints.unpark("view", parked)
    assert [of.subscription for of in parked_events(tables).count().counts] == ["mail"]


def test_counting_reads_no_item_while_nothing_is_parked(tables: Tables) -> None:
    tables.append("good", 3)
    tables.subscribe(lambda event: None, name="view").step()  # leases, workers and checkpoints are there
    meter = Meter.on(tables.client)
    assert parked_events(tables).count().counts == ()
    assert (meter.requests, meter.items, meter.strong) == (["Scan"], 0, 0)
    assert (meter.table_units, meter.index_units) == (0, 0)  # AWS counts 0.5, its least


def test_counting_many_is_bounded_and_says_so(tables: Tables, monkeypatch: pytest.MonkeyPatch) -> None:
    put_items(tables.client, tables.subscriptions, parked_items("view", 90))
    scan, asked = tables.client.scan, []

    def pages_of_twenty(**request: Any) -> Any:
        asked.append(request)
        return scan(**request, Limit=20)

    monkeypatch.setattr(tables.client, "scan", pages_of_twenty)
    counts = parked_events(tables).count()
    assert (counts.events, counts.are_whole, len(asked)) == (80, False, 4)


def test_an_item_of_a_changed_time_is_counted_and_other_items_are_not(tables: Tables) -> None:
    changed = [*parked_items("a", 1, parked_at="1.5"), *parked_items("b", 2, parked_at="1e40")]
    other = {"Subscription": {"S": "c"}, "Item": {"S": "group#lease#0000"}, "ParkedAt": {"N": "1"}}
    put_items(tables.client, tables.subscriptions, [*changed, other, *parked_items("d", 1)])
    found = parked_events(tables).count().counts
    assert found == (ParkedCount("a", 1, None), ParkedCount("b", 2, None), ParkedCount("d", 1, 7))


def test_the_function_emits_how_many_there_are_and_names_their_subscriptions(
    tables: Tables, capsys: pytest.CaptureFixture[str]
) -> None:
    handler = parked_handler(
        parked_events(tables),
        logger=Logger(service="parked"),
        metrics=Metrics(namespace="EventStore", service="parked"),
    )

    def lines() -> list[dict[str, Any]]:
        return [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    assert handler({}, LambdaContext()) == {"parked": 0, "areAllCounted": True, "subscriptions": []}
    (line,) = lines()
    assert line["ParkedEvents"] == [0]

    tables.checkpoints.begin("view", [BlockPosition(1, 0)])
    lease = tables.checkpoints.take("view", tables.checkpoints.read_group("view").leases[0], owner="a")
    assert lease
    tables.checkpoints.park("view", lease, ParkedEvent(0, "s", 1, "why", 1_769_860_800_000_000))
    told = {"subscription": "view", "parked": 1, "oldest": "2026-01-31T12:00:00+00:00"}
    answer = handler({}, LambdaContext())
    assert answer == {"parked": 1, "areAllCounted": True, "subscriptions": [told]}
    metric, warning = lines()
    assert metric["ParkedEvents"] == [1]
    assert warning["level"] == "WARNING"
    assert {key: warning[key] for key in (*told, "are_all_counted")} == {**told, "are_all_counted": True}
