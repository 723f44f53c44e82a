"""Items of the subscriptions table that somebody has changed: an error that names them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, suppress
from typing import Any, Final

import pytest

from eventstore import ANY, NewEvent
from eventstore.dynamodb.checkpoints import DynamoDBCheckpoints
from eventstore.dynamodb.read_model import DynamoDBReadModel
from eventstore.errors import MalformedSubscriptionItem, WorkerIdInUse
from eventstore.log.model import BlockPosition
from eventstore.memory.store import MemoryEventStore
from eventstore.subscriptions import Projection, Subscription, Terms
from tests.tables import dynamodb_client, subscriptions_table
from tests.unit.test_subscriptions import World

LEASE: Final = "group#lease#0000"
WORKER: Final = "group#worker#z"
PARKED: Final = "parked#0000#x#1"
WHOLE_LEASE: Final[dict[str, Any]] = {
    "Tranche": {"N": "0"},
    "Tranches": {"N": "2"},
    "Checkpoint": {"S": "1.0"},
    "Fence": {"N": "0"},
    "Counter": {"N": "0"},
}

NUMBERS = ("Fence", "Counter", "Tranches", "Horizon", "Since")


class Table:
    """The subscriptions table, and a subscription over two tranches that has begun."""

    def __init__(self, endpoint: str, stack: ExitStack) -> None:
        self.client = dynamodb_client(endpoint)
        self.name = stack.enter_context(subscriptions_table(self.client))
        self.world = World(tranches=2)
        self.world.checkpoints = DynamoDBCheckpoints(client=self.client, table_name=self.name)  # type: ignore[assignment]
        for n in range(4):
            self.world.append(f"s{n}", "Opened")
        self.worker().step()

    def worker(self, **options: Any) -> Subscription:
        return self.world.worker(terms=Terms(lease_s=1.0), **options)

    def key(self, item: str) -> dict[str, Any]:
        return {"Subscription": {"S": "view"}, "Item": {"S": item}}

    def put(self, item: str, **attributes: Any) -> None:
        self.client.put_item(TableName=self.name, Item={**self.key(item), **attributes})

    def change(self, item: str, **attributes: Any) -> None:
        found = self.client.get_item(TableName=self.name, Key=self.key(item))["Item"]
        kept = {name: value for name, value in {**found, **attributes}.items() if value is not None}
        self.client.put_item(TableName=self.name, Item=kept)


@pytest.fixture
def table(dynamodb_endpoint: str) -> Iterator[Table]:
    with ExitStack() as stack:
        yield Table(dynamodb_endpoint, stack)


@pytest.fixture(scope="module")
def shared(dynamodb_endpoint: str) -> Iterator[Table]:
    """For tests that put back what they've changed."""
    with ExitStack() as stack:
        yield Table(dynamodb_endpoint, stack)


@pytest.mark.parametrize(
    ("item", "attributes"),
    [
        *[(LEASE, {"Checkpoint": {"S": text}}) for text in ("x", "", "1.5.2", "-1.0", "0.0", "1", "1.-1")],
        *[
            (LEASE, {"Checkpoint": {"S": text}})
            for text in ("\u0661.\u0660", " 1.0", "1.0\n", "01.0", "1_0.0")
        ],
        (LEASE, {"Checkpoint": {"N": "5"}}),
        *[
            (LEASE, {name: None})
            for name in ("Checkpoint", "Fence", "Counter", "Tranches", "Horizon", "Since")
        ],
        *[(LEASE, {name: {"S": "1"}}) for name in NUMBERS],
        *[(LEASE, {name: {"N": "1.5"}}) for name in NUMBERS],
        *[(LEASE, {name: {"N": "-1"}}) for name in NUMBERS],
        *[(LEASE, {"Tranches": {"N": number}}) for number in ("0", "257")],
        *[(LEASE, {"Owner": value}) for value in ({"N": "1"}, {"S": ""}, {"NULL": True})],
        (LEASE, {"Starts": {"N": "1"}}),
        (LEASE, {"Starts": {"N": "1"}, "StartedStream": {"S": "a"}, "StartedEvent": {"S": "1"}}),
        ("group#lease#0099", WHOLE_LEASE),
        ("group#lease#0002", WHOLE_LEASE),
        *[
            (f"group#lease#{text}", WHOLE_LEASE)
            for text in ("x", "", "1", "00000", "\u0660\u0660\u0660\u0661")
        ],
        ("group#other", {}),
        ("group#other", {"Counter": {"N": "1"}}),
        ("group#worker#", {"Counter": {"N": "1"}}),
        (WORKER, {}),
        (WORKER, {"Counter": {"S": "x"}}),
        (WORKER, {"Counter": {"N": "-1"}}),
    ],
    ids=str,
)
def test_changed_item_of_a_group_is_named_with_its_fault_and_its_repair(
    shared: Table, item: str, attributes: dict[str, Any]
) -> None:
    before = shared.client.get_item(TableName=shared.name, Key=shared.key(item)).get("Item")
    (shared.change if before else shared.put)(item, **attributes)
    try:
        for _ in range(2):
            with pytest.raises(MalformedSubscriptionItem, match=r"delete it|put it back") as caught:
                shared.worker().step()
            assert (caught.value.subscription, caught.value.item) == ("view", item)
    finally:
        shared.client.delete_item(TableName=shared.name, Key=shared.key(item))
        if before:
            shared.client.put_item(TableName=shared.name, Item=before)


def test_leases_that_contradict_each_other_are_named(table: Table) -> None:
    table.change(LEASE, Tranches={"N": "3"})
    with pytest.raises(MalformedSubscriptionItem, match="its Tranches is 2, that of the lease before it 3"):
        table.worker().step()


@pytest.mark.parametrize("value", [{"N": "1"}, {"N": "77"}, {"S": "x"}, None])
def test_tranche_of_a_lease_is_that_of_its_key(table: Table, value: Any) -> None:
    table.change(LEASE, Tranche=value)
    worker = table.worker()
    for _ in range(4):
        worker.step()
        table.world.now_s += 5
    assert worker.tranches == {0, 1}


def test_owner_notices_a_change_of_its_lease(table: Table) -> None:
    worker = table.worker(worker="a")
    for _ in range(4):
        worker.step()
        table.world.now_s += 5
    assert worker.tranches == {0, 1}
    for attributes in ({"Counter": {"S": "x"}}, {"Counter": {"N": "1"}, "Owner": {"N": "1"}}):
        table.change(LEASE, **attributes)
        table.world.now_s += 5
        with pytest.raises(MalformedSubscriptionItem) as caught:
            worker.step()
        assert caught.value.item == LEASE


def test_worker_notices_a_change_of_its_own_item(table: Table) -> None:
    worker = table.worker(worker="z")
    worker.step()
    table.change(WORKER, Counter={"S": "x"})
    table.world.now_s += 5
    with pytest.raises(MalformedSubscriptionItem) as caught, suppress(WorkerIdInUse):
        worker.step()
    assert caught.value.item == WORKER


def test_beginning_reads_the_lease_in_its_way_strictly(table: Table) -> None:
    table.change(LEASE, Tranches={"S": "2"})
    with pytest.raises(MalformedSubscriptionItem):
        table.world.checkpoints.begin("view", [BlockPosition(1, 0)] * 2)


def fails(_event: object) -> None:
    raise ValueError("no good")


@pytest.mark.parametrize(
    "attributes",
    [
        {name: value}
        for name in ("StreamId", "EventId", "Reason")
        for value in (
            None,
            {"BOOL": True},
            {"S": "other"} if name in {"StreamId", "EventId"} else {"NULL": True},
        )
    ]
    # DynamoDB takes nothing but numbers for a key of an index.
    + [{"ParkedAt": value} for value in (None, {"N": "-1"}, {"N": "2.5"})]
    + [{"EventId": {"N": "7"}}, {"EventId": {"N": "0"}}, {"Traceback": {"N": "1"}}],
    ids=str,
)
def test_changed_parked_event_is_named(table: Table, attributes: dict[str, Any]) -> None:
    table.world.append("s0", "Changed")
    worker = table.world.worker(fails)
    for _ in range(4):
        worker.step()
        table.world.now_s += 40
    before = len(list(table.world.checkpoints.read_parked("view")))
    assert before >= 1
    found = table.client.query(
        TableName=table.name,
        KeyConditionExpression="Subscription = :name AND begins_with(#item, :parked)",
        ExpressionAttributeNames={"#item": "Item"},
        ExpressionAttributeValues={":name": {"S": "view"}, ":parked": {"S": "parked#"}},
    )["Items"][0]["Item"]["S"]
    table.change(found, **attributes)
    with pytest.raises(MalformedSubscriptionItem) as caught:
        worker.retry_parked()
    assert caught.value.item == found


def test_parked_item_without_anything_is_named(table: Table) -> None:
    table.put(PARKED)
    with pytest.raises(MalformedSubscriptionItem) as caught:
        list(table.world.checkpoints.read_parked("view"))
    assert caught.value.item == PARKED


@pytest.mark.parametrize("value", [{"S": "1"}, {"N": "-1"}, {"N": "2.5"}, {"BOOL": True}])
def test_changed_last_event_of_a_projection_loses_no_event(table: Table, value: Any) -> None:
    store = MemoryEventStore()
    events = store.append("a", [NewEvent.of("Opened")] * 2, expected=ANY).events
    read_model = DynamoDBReadModel(client=table.client, table_name=table.name)
    projection: Projection[Any] = Projection(name="p", project=lambda _: [], read_model=read_model)
    assert projection(events[0])
    key = {"Subscription": {"S": "p#a"}, "Item": {"S": "last"}}
    table.client.put_item(TableName=table.name, Item={**key, "EventId": value})
    with pytest.raises(MalformedSubscriptionItem, match="EventId") as caught:
        projection(events[1])
    assert (caught.value.subscription, caught.value.item) == ("p#a", "last")
