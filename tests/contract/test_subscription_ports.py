"""The ports of subscriptions, in memory and on the strict engine; and what they cost."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import pytest
from botocore import exceptions
from botocore.exceptions import ClientError

from eventstore import ANY, Event, NewEvent
from eventstore.dynamodb.checkpoints import DynamoDBCheckpoints
from eventstore.dynamodb.event_bodies import DynamoDBEventBodies
from eventstore.dynamodb.log import DynamoDBEventLog
from eventstore.dynamodb.read_model import DynamoDBReadModel
from eventstore.dynamodb.store import DynamoDBEventStore
from eventstore.errors import MalformedItem, ReadModelRefused, StoreUnavailable
from eventstore.log.model import BlockPosition, tranche_of
from eventstore.memory.checkpoints import MemoryCheckpoints
from eventstore.subscriptions import (
    Checkpoints,
    OnFailure,
    ParkedEvent,
    Projection,
    SharedReader,
    Subscription,
    Terms,
    is_transient,
    subscribe,
)
from eventstore.testing import CheckpointsContract
from tests.faulty_wire import Wire
from tests.tables import Meter, dynamodb_client, events_table, log_table, of_tranches, subscriptions_table

ROOT: Final = Path(__file__).parents[2]
START = BlockPosition(1, 0)


class TestMemoryCheckpoints(CheckpointsContract):
    def make_checkpoints(self) -> Checkpoints:
        return MemoryCheckpoints()

    def delete_lease(self, checkpoints: Checkpoints, subscription: str, tranche: int) -> None:
        assert isinstance(checkpoints, MemoryCheckpoints)
        del checkpoints._kept[subscription].leases[tranche]


class TestDynamoDBCheckpoints(CheckpointsContract):
    @pytest.fixture(autouse=True)
    def _engine(self, dynamodb_endpoint: str) -> Iterator[None]:
        self.client = dynamodb_client(dynamodb_endpoint)
        with ExitStack() as self.tables:
            yield

    def make_checkpoints(self) -> Checkpoints:
        self.name = self.tables.enter_context(subscriptions_table(self.client))
        return DynamoDBCheckpoints(client=self.client, table_name=self.name)

    def delete_lease(self, checkpoints: Checkpoints, subscription: str, tranche: int) -> None:
        key: Any = {"Subscription": {"S": subscription}, "Item": {"S": f"group#lease#{tranche:04d}"}}
        assert self.client.get_item(TableName=self.name, Key=key)["Item"]
        self.client.delete_item(TableName=self.name, Key=key)


class Tables:
    """The three tables of a deployed store, and what works on them."""

    def __init__(self, endpoint: str, tables: ExitStack) -> None:
        self.client = dynamodb_client(endpoint)
        self.events = tables.enter_context(events_table(self.client))
        self.blocks = tables.enter_context(log_table(self.client))
        self.subscriptions = tables.enter_context(subscriptions_table(self.client))
        self.store = DynamoDBEventStore(client=self.client, table_name=self.events, settling_s=0)
        self.log = of_tranches(DynamoDBEventLog(client=self.client, table_name=self.blocks), 2)
        self.bodies = DynamoDBEventBodies(client=self.client, table_name=self.events)
        self.checkpoints = DynamoDBCheckpoints(client=self.client, table_name=self.subscriptions)
        self.read_model = DynamoDBReadModel(client=self.client, table_name=self.subscriptions)

    def append(self, stream_id: str, count: int, *, name: str = "Happened") -> tuple[Event, ...]:
        events = self.store.append(
            stream_id, [NewEvent.of(name, n) for n in range(count)], expected=ANY
        ).events
        self.log.append_block(tranche_of(stream_id, tranches=2), events)
        return events

    def subscribe(
        self, handler: Any, *, name: str = "view", shared: SharedReader | None = None, **options: Any
    ) -> Subscription:
        log, bodies = (shared.log, shared.bodies) if shared else (self.log, self.bodies)
        return subscribe(name, handler, log=log, bodies=bodies, checkpoints=self.checkpoints, **options)

    def row(self, key: str) -> dict[str, Any]:
        answer = self.client.get_item(
            TableName=self.subscriptions, Key={"Subscription": {"S": key}, "Item": {"S": "row"}}
        )
        return answer.get("Item", {})  # type: ignore[return-value]

    def count_in(self, key: str, *, table: str | None = None) -> dict[str, Any]:
        return {
            "Update": {
                "TableName": table or self.subscriptions,
                "Key": {"Subscription": {"S": key}, "Item": {"S": "row"}},
                "UpdateExpression": "ADD Seen :one",
                "ExpressionAttributeValues": {":one": {"N": "1"}},
            }
        }


def client_error(code: str, status: int = 400, **answer: Any) -> ClientError:
    response = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}, **answer}
    return ClientError(response, "Query")  # type: ignore[arg-type]


def cancelled(*codes: str) -> ClientError:
    return client_error(
        "TransactionCanceledException", CancellationReasons=[{"Code": code} for code in codes]
    )


@pytest.fixture
def tables(dynamodb_endpoint: str) -> Iterator[Tables]:
    with ExitStack() as stack:
        yield Tables(dynamodb_endpoint, stack)


@pytest.fixture
def wire(tables: Tables, monkeypatch: pytest.MonkeyPatch) -> Wire:
    return Wire.of(tables.client, monkeypatch)


# --- the way through all tables ---------------------------------------------------------------------


def test_projection_on_dynamodb_counts_each_event_once_however_often_read(tables: Tables) -> None:
    tables.append("a", 3)
    tables.append("b", 2)

    def project(event: Event) -> list[dict[str, Any]]:
        return [tables.count_in(f"row-{event.stream_id}")]

    projection = Projection(name="counts", project=project, read_model=tables.read_model)
    worker = tables.subscribe(projection)
    worker.step()
    tables.append("a", 1)
    worker.step()
    worker.close()
    for event in [*tables.store.read_stream("a"), *tables.store.read_stream("b")]:
        projection(event)  # a zombie comes back

    assert tables.row("row-a")["Seen"] == {"N": "4"}
    assert tables.row("row-b")["Seen"] == {"N": "2"}


def test_next_worker_goes_on_behind_the_checkpoint(tables: Tables) -> None:
    tables.append("a", 3)
    seen: list[int] = []
    for count in (3, 3, 5):
        worker = tables.subscribe(lambda event: seen.append(event.event_id))
        worker.step()
        worker.close()
        assert len(seen) == count
        if count == 3 and len(list(tables.store.read_stream("a"))) == 3 and worker.counts.handled == 0:
            tables.append("a", 2)
    assert seen == [1, 2, 3, 4, 5]


def test_damaged_and_missing_items_are_parked_with_their_reasons(tables: Tables) -> None:
    tables.append("a", 3)
    key: Any = {"StreamId": {"S": "a"}, "EventId": {"N": "1"}}
    tables.client.delete_item(TableName=tables.events, Key=key)
    tables.client.update_item(
        TableName=tables.events,
        Key={**key, "EventId": {"N": "2"}},
        UpdateExpression="REMOVE Payload",
    )
    seen: list[int] = []
    worker = tables.subscribe(lambda event: seen.append(event.event_id), on_failure=OnFailure.PARK)
    worker.step()
    worker.close()

    assert seen == [3]
    reasons = [parked.reason for parked in tables.checkpoints.read_parked("view")]
    assert "no such item" in reasons[0]
    assert "Payload" in reasons[1]


# --- bodies -------------------------------------------------------------------------------------------


def test_bodies_come_as_stored_and_absent_ones_are_left_out(tables: Tables) -> None:
    first, second = tables.append("a", 2)
    found = tables.bodies.read_events([("a", 1), ("a", 2), ("a", 3), ("b", 1)])
    assert found == {("a", 1): first, ("a", 2): second}


def test_bodies_of_more_than_one_answer_holds_come_with_more_requests(tables: Tables) -> None:
    payload = '"' + "x" * 390_000 + '"'
    for _ in range(5):
        tables.store.append("a", [NewEvent(name="Big", payload=payload)] * 10, expected=ANY)
    meter = Meter.on(tables.client)
    found = tables.bodies.read_events([("a", number) for number in range(1, 51)])
    assert len(found) == 50
    assert meter.requests == ["GetItem", "BatchGetItem", "BatchGetItem"]  # the store's own, once a process
    assert not any(isinstance(event, MalformedItem) for event in found.values())


def test_keys_that_stay_unread_end_in_an_error(tables: Tables, monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []
    bodies = DynamoDBEventBodies(
        client=tables.client, table_name=tables.events, sleep=waited.append, jitter=lambda: 1.0
    )

    def unprocessed(*, RequestItems: Any) -> Any:  # noqa: N803
        return {"Responses": {}, "UnprocessedKeys": RequestItems}

    monkeypatch.setattr(tables.client, "batch_get_item", unprocessed)
    with pytest.raises(StoreUnavailable, match="left 1 keys unread"):
        bodies.read_events([("a", 1)])
    assert len(waited) == 4


# --- errors of boto3 ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "passes"),
    [
        (client_error("ProvisionedThroughputExceededException"), True),
        (client_error("ThrottlingException"), True),
        (client_error("SlowDown", 503), True),
        (client_error("", 502), True),
        (client_error("429", 429), True),
        (client_error("TransactionConflictException"), True),
        (cancelled("None", "ThrottlingError"), True),
        (cancelled("None", "TransactionConflict"), True),
        (cancelled("ConditionalCheckFailed", "ThrottlingError"), False),
        (cancelled("None"), True),
        (cancelled(), True),
        (client_error("TransactionCanceledException", CancellationReasons=[None]), True),
        (client_error("ConditionalCheckFailedException"), False),
        (client_error("ResourceNotFoundException"), False),
        (client_error("AccessDeniedException", 403), False),
        (exceptions.EndpointConnectionError(endpoint_url="http://x"), True),
        (exceptions.ReadTimeoutError(endpoint_url="http://x"), True),
        (exceptions.ConnectTimeoutError(endpoint_url="http://x"), True),
        (exceptions.ConnectionClosedError(endpoint_url="http://x"), True),
        (exceptions.SSLError(endpoint_url="http://x", error="x"), True),
        (exceptions.ParamValidationError(report="x"), False),
        (exceptions.NoCredentialsError(), False),
    ],
    ids=str,
)
def test_errors_of_boto3_that_pass_are_known_by_what_is_documented_of_them(
    error: Exception, passes: bool
) -> None:
    assert is_transient(error) is passes


def test_handler_whose_own_client_is_throttled_waits(tables: Tables) -> None:
    tables.append("a", 2)
    throttled, seen, slept = iter([True] * 40), list[int](), list[float]()

    def handle(event: Event) -> None:
        if next(throttled, False):
            raise client_error("ProvisionedThroughputExceededException")
        seen.append(event.event_id)

    worker = tables.subscribe(handle, sleep=slept.append)
    worker.run(until=lambda: len(seen) == 2)
    assert (seen, list(tables.checkpoints.read_parked("view"))) == ([1, 2], [])
    assert worker.counts.handled == 2


# --- lost answers -------------------------------------------------------------------------------------


def test_taking_a_lease_whose_answer_got_lost_takes_it(tables: Tables, wire: Wire) -> None:
    tables.checkpoints.begin("view", [START])
    lease = tables.checkpoints.read_group("view").leases[0]
    wire.faults = ["lost answer"]

    taken = tables.checkpoints.take("view", lease, owner="a")
    assert taken
    assert (taken.owner, taken.fence) == ("a", 1)
    assert not wire.faults


def test_projection_whose_answer_got_lost_is_written_once(tables: Tables, wire: Wire) -> None:
    (event,) = tables.append("a", 1)
    wire.faults = ["lost answer"]
    tables.read_model.write([tables.count_in("x")], projection="p", event=event, after=0)

    assert tables.row("x")["Seen"] == {"N": "1"}


def test_projection_that_meets_another_transaction_is_tried_again(tables: Tables, wire: Wire) -> None:
    (event,) = tables.append("a", 1)
    wire.faults = ["TransactionCanceledException"] * 2
    assert tables.read_model.write([], projection="p", event=event, after=0) is None
    assert tables.read_model.write([], projection="p", event=event, after=0) == 1


def test_write_of_a_projection_waits_for_its_turn(tables: Tables) -> None:
    first, second, third = tables.append("a", 3)
    write = tables.count_in("x")

    def tried(event: Event, after: int) -> int | None:
        return tables.read_model.write([write], projection="p", event=event, after=after)

    assert tried(second, 1) == 0
    assert tried(first, 0) is None
    assert tried(third, 2) == 1
    assert tried(third, 1) is None
    assert [tried(event, 0) for event in (first, second, third)] == [3, 3, 3]
    assert tables.row("x")["Seen"] == {"N": "2"}


def test_write_of_a_projection_says_when_its_own_condition_failed(tables: Tables) -> None:
    first, second = tables.append("a", 2)
    refused = tables.count_in("x")
    refused["Update"]["ConditionExpression"] = "attribute_exists(Seen)"
    assert tables.read_model.write([], projection="p", event=first, after=0) is None
    with pytest.raises(ReadModelRefused, match="a condition of its own writes failed"):
        tables.read_model.write([refused], projection="p", event=second, after=1)
    # Not its turn: that is what counts, whatever its writes' own conditions say.
    assert tables.read_model.write([refused], projection="p", event=first, after=0) == 1
    assert tables.read_model.write([refused], projection="q", event=second, after=1) == 0


def test_projection_on_dynamodb_is_exact_on_a_log_in_the_wrong_order(tables: Tables) -> None:
    new = [NewEvent.of("Happened", number) for number in range(4)]
    events = tables.store.append("a", new, expected=0).events
    for number in (3, 0, 2, 1):
        tables.log.append_block(tranche_of("a", tranches=2), [events[number]])
    rows: list[int] = []

    def project(event: Event) -> list[dict[str, Any]]:
        rows.append(event.event_id)
        return [tables.count_in("rows")]

    worker = tables.subscribe(Projection(name="rows", project=project, read_model=tables.read_model))
    worker.step()
    worker.close()
    assert (rows, tables.row("rows")["Seen"]) == ([1, 2, 3, 4], {"N": "4"})


def test_refused_write_of_a_projection_moves_nothing(tables: Tables) -> None:
    (event,) = tables.append("a", 1)
    refused = tables.count_in("x")
    refused["Update"]["ConditionExpression"] = "attribute_exists(Seen)"
    with pytest.raises(ReadModelRefused, match="a condition of its own writes failed") as caught:
        tables.read_model.write([refused], projection="p", event=event, after=0)
    assert (caught.value.stream_id, caught.value.event_id) == ("a", 1)
    writes = [tables.count_in(f"{n}") for n in range(100)]
    with pytest.raises(ReadModelRefused, match="100 writes"):
        tables.read_model.write(writes, projection="p", event=event, after=0)

    assert tables.row("x") == {}
    assert tables.read_model.write([tables.count_in("x")], projection="p", event=event, after=0) is None


# --- what it costs ------------------------------------------------------------------------------------


def test_page_of_events_is_one_query_of_the_log_and_one_batch_for_each_100(tables: Tables) -> None:
    for _ in range(3):
        tables.append("a", 50)
    worker = tables.subscribe(lambda event: None)
    worker.step()
    worker.close()
    tables.append("a", 100)
    tables.append("a", 20)
    meter = Meter.on(tables.client)
    worker = tables.subscribe(lambda event: None, monotonic=lambda: 0.0)
    worker.step()

    gets = [request for request in meter.requests if request == "BatchGetItem"]
    assert worker.counts.handled == 120
    assert len(gets) == 2
    meter.reset()
    tables.append("a", 100)
    meter.reset()
    worker.step()
    # The log of both tranches, the bodies, and the checkpoint after 100 events.
    assert sorted(meter.requests) == ["BatchGetItem", "Query", "Query", "UpdateItem"]
    # 0.5 each 4 KB of the block that one query finds, 1 an event, 1 for the checkpoint.
    assert 101.5 <= meter.table_units <= 102.5


def test_keeping_the_group_costs_a_write_a_lease_one_more_and_a_query(tables: Tables) -> None:
    now = 0.0
    tables.append("a", 1)
    worker = tables.subscribe(lambda event: None, monotonic=lambda: now)
    while worker.step():
        pass
    meter = Meter.on(tables.client)
    now = 1.0
    worker.step()
    assert meter.requests == ["Query", "Query"]  # the two tranches of the log: nothing is due
    meter.reset()

    now = 5.0
    worker.step()
    assert meter.requests[:4] == ["UpdateItem", "UpdateItem", "UpdateItem", "Query"]
    assert meter.table_units == 3 + 1


def test_worker_that_waits_for_news_asks_each_tranche_once_and_not_strongly(tables: Tables) -> None:
    tables.append("a", 3)
    worker = tables.subscribe(lambda event: None, monotonic=lambda: 0.0)
    for _ in range(2):
        worker.step()
    meter = Meter.on(tables.client)
    for _ in range(10):
        worker.step()
    # 0.5 RCU each on AWS: 4 a second with 4 tranches and poll_s 0.5.
    assert (meter.requests, meter.strong) == (["Query"] * 2 * 10, 0)


@pytest.mark.parametrize("number", [1, 10])
def test_subscriptions_of_a_shared_reader_cost_what_one_costs(tables: Tables, number: int) -> None:
    """Beside their checkpoints: 1 query of the log's tranche with news, 0.5 RCU; 1 BatchGetItem, 100 RCU."""
    now = 0.0
    tables.append("a", 1)
    shared = SharedReader(log=tables.log, bodies=tables.bodies, monotonic=lambda: now)
    workers = [
        tables.subscribe(lambda event: None, name=f"view-{each}", shared=shared, monotonic=lambda: now)
        for each in range(number)
    ]
    for now in (0.0, 1.0, 2.0):  # noqa: B007 - the workers' clock
        for worker in workers:
            worker.step()
    tables.append("a", 100)
    meter = Meter.on(tables.client)
    now = 3.0
    for worker in workers:
        worker.step()

    assert sum(worker.counts.handled for worker in workers) == 101 * number
    checkpoints = meter.requests.count("UpdateItem")
    assert checkpoints == number
    # The other tranche is asked, too: 0.5 RCU on AWS, nothing here.
    assert sorted(set(meter.requests)) == ["BatchGetItem", "Query", "UpdateItem"]
    assert (meter.requests.count("Query"), meter.requests.count("BatchGetItem")) == (2, 1)
    assert meter.table_units - checkpoints <= 100 + 0.5 * 2
    meter.reset()
    for now in (4.0, 4.1, 4.2, 4.3):  # noqa: B007
        for worker in workers:
            worker.step()
    # Where news was met at 3.0: looks at 4.0 and 4.2. The other tranche has been silent: at 4.0, then at 4.5.
    assert (meter.requests, meter.strong) == (["Query"] * 3, 0)


def test_projecting_an_event_is_one_transaction(tables: Tables) -> None:
    (event,) = tables.append("a", 1)
    meter = Meter.on(tables.client)
    tables.read_model.write([tables.count_in("x")], projection="p", event=event, after=0)
    assert meter.requests == ["TransactWriteItems"]


def test_parking_is_one_transaction_and_unparking_one_write(tables: Tables) -> None:
    tables.checkpoints.begin("view", [START])
    lease = tables.checkpoints.take("view", tables.checkpoints.read_group("view").leases[0], owner="a")
    assert lease
    meter = Meter.on(tables.client)
    parked = ParkedEvent(0, "s", 1, "why", 1)
    tables.checkpoints.park("view", lease, parked)
    assert (meter.requests, meter.table_units, meter.index_units) == (["TransactWriteItems"], 4.0, 2.0)
    meter.reset()
    tables.checkpoints.unpark("view", parked)
    assert (meter.requests, meter.table_units, meter.index_units) == (["DeleteItem"], 1.0, 1.0)


def test_worker_behind_one_that_was_killed_stores_each_start_of_its_events(
    tables: Tables,
) -> None:
    class Killed(BaseException):
        pass

    def dies(event: Event) -> None:
        if event.event_id == 25:
            raise Killed

    tables.append("a", 40)
    now = 0.0
    terms = Terms(checkpoint_events=10, lease_s=6.0)
    dead = tables.subscribe(dies, monotonic=lambda: now, terms=terms)
    with pytest.raises(Killed):
        dead.step()

    def writes() -> list[str]:
        return [request for request in meter.requests if request == "UpdateItem"]

    meter = Meter.on(tables.client)
    heir = tables.subscribe(lambda event: None, monotonic=lambda: now, terms=terms)
    for now in (0.0, 4.5):  # noqa: B007 - the workers' clock
        meter.reset()
        heir.step()
    # It joins and takes 2 leases. Then 10 starts, one before each event, and a checkpoint after 10 others.
    assert heir.counts.handled == 20
    assert len(writes()) == 3 + 10 + 1
    meter.reset()
    tables.append("a", 20)
    meter.reset()
    heir.step()
    assert (heir.counts.handled, len(writes())) == (40, 2)


def test_parking_with_a_traceback_costs_by_its_kilobytes(tables: Tables) -> None:
    tables.checkpoints.begin("view", [START])
    lease = tables.checkpoints.take("view", tables.checkpoints.read_group("view").leases[0], owner="a")
    assert lease
    meter = Meter.on(tables.client)
    tables.checkpoints.park("view", lease, ParkedEvent(0, "s", 1, "why", 1, "x" * 4_000))
    assert (meter.requests, meter.table_units) == (["TransactWriteItems"], 2.0 + 2 * 5)


KILLED: Final = """
import os, sys
from eventstore.dynamodb.checkpoints import DynamoDBCheckpoints
from eventstore.dynamodb.event_bodies import DynamoDBEventBodies
from eventstore.dynamodb.log import DynamoDBEventLog
from eventstore.subscriptions import subscribe
from tests.tables import dynamodb_client

endpoint, events, log, kept = sys.argv[1:]
client = dynamodb_client(endpoint)


def handle(event):
    if event.event_id == 2:
        os._exit(137)


checkpoints = DynamoDBCheckpoints(client=client, table_name=kept)
blocks = DynamoDBEventLog(client=client, table_name=log)
blocks.begin_with(2)
worker = subscribe(
    "view",
    handle,
    log=blocks,
    bodies=DynamoDBEventBodies(client=client, table_name=events),
    checkpoints=checkpoints,
    worker="pod-0",
)
worker.run(until=lambda: bool(list(checkpoints.read_parked("view"))))
"""


def test_event_whose_worker_ends_with_137_each_time_is_parked(tables: Tables, dynamodb_endpoint: str) -> None:
    tables.append("a", 3)
    names = [dynamodb_endpoint, tables.events, tables.blocks, tables.subscriptions]
    codes = [
        subprocess.run([sys.executable, "-c", KILLED, *names], cwd=ROOT, check=False).returncode
        for _ in range(5)
    ]
    # Its container is started again under its id: 3 counted starts behind one that wasn't.
    assert codes == [137, 137, 137, 137, 0]
    parked = list(tables.checkpoints.read_parked("view"))
    assert [(of.stream_id, of.event_id) for of in parked] == [("a", 2), ("a", 3)]
    assert "3 workers ended" in parked[0].reason
