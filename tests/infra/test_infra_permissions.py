"""What each function may do: exactly this, and what its code calls is within it."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import pytest

from eventstore import ANY, EXISTS, Event, NewEvent
from eventstore.dynamodb.journal import DynamoDBJournal
from eventstore.dynamodb.log import DynamoDBEventLog
from eventstore.dynamodb.parked_events import DynamoDBParkedEvents
from eventstore.dynamodb.schema.events import BY_TIME
from eventstore.dynamodb.schema.subscriptions import PARKED
from eventstore.dynamodb.store import DynamoDBEventStore
from eventstore.errors import EventStoreError
from eventstore.log.read import read_log
from eventstore.log.writer import LogWriter
from eventstore.ordering.stream_order import ChangeRecord
from tests.infra.conftest import LOCAL_REPLAY_TARGETS, Synthesized
from tests.tables import over

TABLE = "EventsTable4B7491D3.Arn"
INDEX = f"{TABLE}/index/ByTime"
STORE_ITEM = f"{TABLE} $store"
"""The one item of the table that says how many shards it has."""
LOG_TABLE = "LogTable81E80B89.Arn"
JOURNAL_TABLE = "JournalTableE0A5D4A5.Arn"
STREAM = "EventsTable4B7491D3.StreamArn"
BUS = "BusEA82B648.Arn"
FAILED_EVENTS = "PublicationFailedEvents1C4EF162.Arn"
REPLAYS_TABLE = "ReplaysTable0996A4FF.Arn"
REPLAY_MACHINE = "ReplaysMachine1F18F151"
UNLOGGED_BATCHES = "LogDroppedBatches2910D66C.Arn"
PARKED_INDEX = "SubscriptionsTable34714BC1.Arn/index/Parked"
DROPPED_BATCHES = "PublicationDroppedBatches865B39F1.Arn"


def traces_and_log_of(function: str) -> set[tuple[str, str]]:
    return {
        *((action, f"log of {function}") for action in ("logs:CreateLogStream", "logs:PutLogEvents")),
        *((action, "*") for action in ("xray:PutTelemetryRecords", "xray:PutTraceSegments")),
    }


ALLOWED = {
    "append": {
        *((f"dynamodb:{action}", TABLE) for action in ("GetItem", "PutItem", "Query", "Scan")),
        *traces_and_log_of("append"),
    },
    "read": {
        *(("dynamodb:Query", resource) for resource in (TABLE, INDEX, LOG_TABLE)),
        ("dynamodb:Scan", INDEX),
        ("dynamodb:GetItem", STORE_ITEM),
        *traces_and_log_of("read"),
    },
    "publish": {
        *(
            (f"dynamodb:{action}", STREAM)
            for action in ("DescribeStream", "GetRecords", "GetShardIterator", "ListStreams")
        ),
        *((f"dynamodb:{action}", TABLE) for action in ("BatchGetItem", "Query")),
        ("dynamodb:GetItem", STORE_ITEM),
        *((f"dynamodb:{action}", JOURNAL_TABLE) for action in ("PutItem", "Query")),
        ("events:PutEvents", BUS),
        *(("sqs:SendMessage", queue) for queue in (FAILED_EVENTS, DROPPED_BATCHES)),
        *traces_and_log_of("publish"),
    },
    "log": {
        *(
            (f"dynamodb:{action}", STREAM)
            for action in ("DescribeStream", "GetRecords", "GetShardIterator", "ListStreams")
        ),
        *((f"dynamodb:{action}", TABLE) for action in ("BatchGetItem", "Query")),
        ("dynamodb:GetItem", STORE_ITEM),
        *(
            (f"dynamodb:{action}", table)
            for action in ("PutItem", "Query")
            for table in (LOG_TABLE, JOURNAL_TABLE)
        ),
        ("sqs:SendMessage", UNLOGGED_BATCHES),
        *traces_and_log_of("log"),
    },
    "replay": {
        ("dynamodb:Query", INDEX),
        ("dynamodb:Scan", INDEX),
        ("dynamodb:GetItem", STORE_ITEM),
        *(
            (f"dynamodb:{action}", REPLAYS_TABLE)
            for action in ("ConditionCheckItem", "GetItem", "UpdateItem")
        ),
        *traces_and_log_of("replay"),
    },
    "replays": {
        *(
            (f"dynamodb:{action}", REPLAYS_TABLE)
            for action in ("ConditionCheckItem", "GetItem", "PutItem", "Query", "UpdateItem")
        ),
        ("states:StartExecution", REPLAY_MACHINE),
        *traces_and_log_of("replays"),
    },
    "parked": {("dynamodb:Scan", PARKED_INDEX), *traces_and_log_of("parked")},
}


QUEUES, FUNCTIONS, BUSES = LOCAL_REPLAY_TARGETS
SENDING = {
    ("sqs:GetQueueUrl", QUEUES),
    ("sqs:SendMessage", QUEUES),
    ("lambda:InvokeFunction", FUNCTIONS),
    ("events:PutEvents", BUSES),
}
"""What the replay function may as well, in `local` alone."""


def allowed(app: Synthesized, name: str) -> set[tuple[str, str]]:
    """Every (action, resource) of the role of a function."""
    function = next(
        of for of in app.properties("AWS::Lambda::Function") if of["Handler"] == f"{name}.handler"
    )
    own_log = f"{app.resolve(function['LoggingConfig']['LogGroup'])}.Arn"
    role = app.resources("AWS::IAM::Role")[app.resolve(function["Role"]).removesuffix(".Arn")]["Properties"]
    assert "ManagedPolicyArns" not in role
    found = set()
    for policy in role["Policies"]:
        for statement in policy["PolicyDocument"]["Statement"]:
            assert statement.keys() - {"Condition"} == {"Sid", "Effect", "Action", "Resource"}
            item = f" {leading_key(statement)}" if "Condition" in statement else ""
            assert statement["Effect"] == "Allow"
            actions = statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
            given = statement["Resource"]
            for resource in map(app.resolve, given if isinstance(given, list) else [given]):
                found |= {
                    (action, f"log of {name}" if resource == own_log else f"{resource}{item}")
                    for action in actions
                }
    return found


def leading_key(statement: dict[str, Any]) -> str:
    """The one partition of a table that a statement is about."""
    (condition,) = statement["Condition"].items()
    operator, keys = condition
    assert operator == "ForAllValues:StringEquals"
    ((name, values),) = keys.items()
    assert name == "dynamodb:LeadingKeys"
    (key,) = values if isinstance(values, list) else [values]
    return str(key)


@pytest.mark.parametrize("name", ALLOWED)
def test_a_function_may_do_exactly_what_it_needs(
    name: str, app: Synthesized, apps: Mapping[str, Synthesized]
) -> None:
    sending = SENDING if name == "replay" and app is apps["local"] else set()
    assert allowed(app, name) == ALLOWED[name] | sending


def test_no_function_gets_permissions_elsewhere(app: Synthesized) -> None:
    of_the_replays_machine = 1
    assert len(app.resources("AWS::IAM::Role")) == len(ALLOWED) + of_the_replays_machine
    assert [*app.resources("AWS::IAM::Policy")] == ["ReplaysRenew3BAA8D08"]
    assert not app.resources("AWS::IAM::ManagedPolicy")


class RecordingClient:
    """A DynamoDB client whose table is empty; remembers what it was asked."""

    def __init__(self) -> None:
        self.calls: set[tuple[str, str]] = set()

    def _record(self, action: str, request: dict[str, Any]) -> dict[str, Any]:
        table = {"log": LOG_TABLE, "journal": JOURNAL_TABLE}.get(request["TableName"], TABLE)
        if action == "GetItem" and request["Key"]["StreamId"]["S"] == "$store":
            table = STORE_ITEM
        if "IndexName" in request:
            table = {BY_TIME: INDEX, PARKED: PARKED_INDEX}[request["IndexName"]]
        self.calls.add((f"dynamodb:{action}", table))
        return {"Items": []}

    def query(self, **request: Any) -> dict[str, Any]:
        return self._record("Query", request)

    def scan(self, **request: Any) -> dict[str, Any]:
        return self._record("Scan", request)

    def get_item(self, **request: Any) -> dict[str, Any]:
        return self._record("GetItem", request)

    def batch_get_item(self, *, RequestItems: dict[str, Any]) -> dict[str, Any]:  # noqa: N803
        for table_name in RequestItems:
            self._record("BatchGetItem", {"TableName": table_name})
        return {"Responses": {}, "UnprocessedKeys": {}}

    def put_item(self, **request: Any) -> dict[str, Any]:
        return self._record("PutItem", request)

    def transact_write_items(self, *, TransactItems: list[dict[str, Any]]) -> dict[str, Any]:  # noqa: N803
        """DynamoDB authorises a transaction by the action of each of its items."""
        for item in TransactItems:
            (operation,) = item
            self._record(f"{operation}Item", item[operation])
        return {}


def test_appending_calls_nothing_that_its_role_does_not_allow() -> None:
    client = RecordingClient()
    store = over(DynamoDBEventStore(client=client, table_name="events"), 1)  # type: ignore[arg-type]
    event = NewEvent(name="OrderPlaced", payload="{}")
    for expected in (0, 7, ANY, EXISTS):
        for events in ([event], [event, event]):
            with suppress(EventStoreError):
                store.append("order-1", events, expected=expected)
    assert {("dynamodb:PutItem", TABLE), ("dynamodb:GetItem", TABLE)} <= client.calls
    assert client.calls - {("dynamodb:GetItem", STORE_ITEM)} <= ALLOWED["append"]  # it may get any item


def test_reading_calls_nothing_that_the_roles_of_readers_do_not_allow() -> None:
    client = RecordingClient()
    store = over(DynamoDBEventStore(client=client, table_name="events"), 1)  # type: ignore[arg-type]
    store.head("order-1")
    assert [*store.read_stream("order-1")] == []
    assert client.calls <= ALLOWED["publish"]
    assert [*store.read_all()] == []
    assert client.calls <= ALLOWED["read"]
    assert client.calls == {
        ("dynamodb:GetItem", STORE_ITEM),
        ("dynamodb:Query", TABLE),
        ("dynamodb:Query", INDEX),
        ("dynamodb:Scan", INDEX),
    }


def test_reading_all_streams_calls_nothing_that_the_replays_role_forbids() -> None:
    client = RecordingClient()
    store = DynamoDBEventStore(client=client, table_name="events")  # type: ignore[arg-type]
    assert [*store.read_all()] == []
    assert client.calls <= ALLOWED["replay"]


def test_logging_and_reading_the_log_call_nothing_that_their_roles_forbid() -> None:
    client = RecordingClient()
    log = DynamoDBEventLog(client=client, table_name="log")  # type: ignore[arg-type]
    assert read_log(log).entries == ()
    assert client.calls == {("dynamodb:Query", LOG_TABLE)} <= ALLOWED["read"]

    store = DynamoDBEventStore(client=client, table_name="events")  # type: ignore[arg-type]
    event = Event("order-1", 7, "OrderPlaced", "{}", "{}", "uid", 1)
    journal = DynamoDBJournal(client=client, table_name="journal", consumer="log")  # type: ignore[arg-type]
    done = LogWriter(reader=store, log=log, journal=journal).write(
        [ChangeRecord("1", "order-1", 7, event)], remaining_time_s=lambda: 60.0
    )
    assert (done.logged, done.stopped, done.unjournaled) == (1, None, None)
    assert client.calls == {
        ("dynamodb:BatchGetItem", TABLE),
        ("dynamodb:GetItem", STORE_ITEM),
        ("dynamodb:Query", TABLE),
        ("dynamodb:Query", LOG_TABLE),
        ("dynamodb:PutItem", LOG_TABLE),
        ("dynamodb:Query", JOURNAL_TABLE),
        ("dynamodb:PutItem", JOURNAL_TABLE),
    }
    assert client.calls <= ALLOWED["log"]


def test_counting_parked_events_reads_nothing_but_their_index() -> None:
    client = RecordingClient()
    parked = DynamoDBParkedEvents(client=client, table_name="subscriptions")  # type: ignore[arg-type]
    assert parked.count().events == 0
    assert client.calls == {("dynamodb:Scan", PARKED_INDEX)} <= ALLOWED["parked"]
