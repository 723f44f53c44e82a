"""No table, permission, credentials or Region: each adapter says what is missing, where and what to do."""

from __future__ import annotations

import importlib
import inspect
import json
import pkgutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, Final

import boto3
import pytest
from botocore import exceptions
from botocore.awsrequest import AWSResponse, HeadersDict

import eventstore.aws
import eventstore.dynamodb
from eventstore import Append, NewEvent, connect
from eventstore.aws import sqs_messages
from eventstore.aws.eventbridge import EventBridgeBus
from eventstore.aws.replay_targets import BusTarget, FunctionTarget, QueueTarget
from eventstore.aws.sqs import SqsFailedEvents
from eventstore.aws.sqs_dropped import SqsDroppedMessages
from eventstore.aws.sqs_redrive import SqsParkedEvents
from eventstore.aws.step_functions import StepFunctionsReplays
from eventstore.delivery.cloudevents import Entry
from eventstore.delivery.dropped import DroppedMessage
from eventstore.delivery.publisher import FailedEvent, Refusal
from eventstore.dynamodb.checkpoints import DynamoDBCheckpoints
from eventstore.dynamodb.client import CLIENT_CONFIG, dynamodb_client
from eventstore.dynamodb.event_bodies import DynamoDBEventBodies
from eventstore.dynamodb.facts import StoreFacts
from eventstore.dynamodb.journal import DynamoDBJournal
from eventstore.dynamodb.log import DynamoDBEventLog
from eventstore.dynamodb.log_items import Last, LogItem
from eventstore.dynamodb.log_rebuild import DynamoDBLogRebuild
from eventstore.dynamodb.parked_events import DynamoDBParkedEvents
from eventstore.dynamodb.raw_items import DynamoDBEventsTable
from eventstore.dynamodb.read_model import DynamoDBReadModel
from eventstore.dynamodb.replays import DynamoDBReplays
from eventstore.dynamodb.requests import send
from eventstore.dynamodb.store import DynamoDBEventStore
from eventstore.dynamodb.table_definitions import create_table
from eventstore.errors import (
    AccessDenied,
    CredentialsExpired,
    CredentialsMissing,
    CredentialsRefused,
    FailedEventsUnavailable,
    InvalidInput,
    QueueNotFound,
    ReadModelRefused,
    RegionMissing,
    StoreMisconfigured,
    StoreUnavailable,
    TableNotFound,
    WrongTable,
)
from eventstore.replays.request import Target
from eventstore.subscriptions import is_transient
from tests.contract.test_requests import EVENT, ITEM, LEASE, PARKED, REPLAY, REPLAY_ID, START
from tests.tables import dynamodb_client as local_client
from tests.tables import events_table
from tests.unit.test_dropped import batch

KEYS: Final[Any] = {
    "region_name": "eu-central-1",
    "aws_access_key_id": "local",
    "aws_secret_access_key": "local",
    "endpoint_url": "http://127.0.0.1:9",
}
TABLE: Final = "orders"
QUEUE_URL: Final = "http://127.0.0.1:9/123456789012/failed"
BEGUN: Final = LogItem(1, "log", 0)
ENTRY: Final = Entry(
    stream_id="s", event_id=1, source="shop", detail_type="Happened", detail="{}", timestamp_us=1
)
MESSAGE: Final = DroppedMessage("m", "receipt", None, "")

Call = Callable[[Any], Any]


def of(make: Callable[..., Any], call: Call, **more: Any) -> Call:
    """Make an adapter of a table on a client, and call it."""
    return lambda client: call(make(client=client, table_name=TABLE, **more))


def begun_log(**arguments: Any) -> DynamoDBEventLog:
    log = DynamoDBEventLog(**arguments, monotonic=lambda: 0.0)
    log.begin_with(1)
    log._begun, log._last = LogItem(1, "log"), {0: Last(7, 1)}
    return log


def write_nothing(on: DynamoDBReadModel) -> Any:
    put = {"Put": {"TableName": "view", "Item": {"Id": {"S": "1"}}}}
    return on.write([put], projection="p", event=EVENT, after=0)


STORE: Final = DynamoDBEventStore
HAPPENED: Final = (NewEvent.of("Happened"),)
OF_DYNAMODB: Final[dict[str, Call]] = {
    "DynamoDBCheckpoints.begin": of(DynamoDBCheckpoints, lambda on: on.begin("view", [START])),
    "DynamoDBCheckpoints.join": of(
        DynamoDBCheckpoints, lambda on: on.join("view", "w", session="s", is_first=True)
    ),
    "DynamoDBCheckpoints.leave": of(DynamoDBCheckpoints, lambda on: on.leave("view", "w", counter=1)),
    "DynamoDBCheckpoints.park": of(DynamoDBCheckpoints, lambda on: on.park("view", LEASE, PARKED)),
    "DynamoDBCheckpoints.read_group": of(DynamoDBCheckpoints, lambda on: on.read_group("view")),
    "DynamoDBCheckpoints.read_parked": of(DynamoDBCheckpoints, lambda on: [*on.read_parked("view")]),
    "DynamoDBCheckpoints.release": of(DynamoDBCheckpoints, lambda on: on.release("view", LEASE, place=START)),
    "DynamoDBCheckpoints.renew": of(DynamoDBCheckpoints, lambda on: on.renew("view", LEASE, place=START)),
    "DynamoDBCheckpoints.take": of(DynamoDBCheckpoints, lambda on: on.take("view", LEASE, owner="w")),
    "DynamoDBCheckpoints.unpark": of(DynamoDBCheckpoints, lambda on: on.unpark("view", PARKED)),
    "DynamoDBEventBodies.read_events": of(DynamoDBEventBodies, lambda on: on.read_events([("s", 1)])),
    "DynamoDBEventLog.append_block": of(begun_log, lambda on: on.append_block(0, [EVENT])),
    "DynamoDBEventLog.close_block": of(begun_log, lambda on: on.close_block(0, 3)),
    "DynamoDBEventLog.first_since": of(begun_log, lambda on: on.first_since(0, 1)),
    "DynamoDBEventLog.log_id": of(DynamoDBEventLog, lambda on: on.log_id),
    "DynamoDBEventLog.read_tranche": of(DynamoDBEventLog, lambda on: [*on.read_tranche(0)]),
    "DynamoDBEventLog.tranches": of(DynamoDBEventLog, lambda on: on.tranches),
    "DynamoDBEventStore.append": of(STORE, lambda on: on.append("s", HAPPENED, expected=0)),
    "DynamoDBEventStore.event_at": of(STORE, lambda on: on.event_at("s", 1)),
    "DynamoDBEventStore.head": of(STORE, lambda on: on.head("s")),
    "DynamoDBEventStore.read_all": of(STORE, lambda on: [*on.read_all()]),
    "DynamoDBEventStore.read_log": lambda client: DynamoDBEventStore(
        client=client, table_name=TABLE, log=DynamoDBEventLog(client=client, table_name=TABLE)
    ).read_log(),
    "DynamoDBEventStore.read_stream": of(STORE, lambda on: [*on.read_stream("s")]),
    "DynamoDBEventStore.read_times": of(STORE, lambda on: on.read_times([("s", 1)])),
    "DynamoDBEventStore.transact": of(
        STORE, lambda on: on.transact([Append(stream, HAPPENED, 0) for stream in "ab"])
    ),
    "DynamoDBEventsTable.get": of(DynamoDBEventsTable, lambda on: on.get("s", 1)),
    "DynamoDBEventsTable.is_empty": of(DynamoDBEventsTable, lambda on: on.is_empty()),
    "DynamoDBEventsTable.newest": of(DynamoDBEventsTable, lambda on: on.newest(0, end_us=1)),
    "DynamoDBEventsTable.put": of(DynamoDBEventsTable, lambda on: on.put(EVENT, shard=0)),
    "DynamoDBEventsTable.read_index": of(
        DynamoDBEventsTable, lambda on: [*on.read_index(0, from_us=0, end_us=1)]
    ),
    "DynamoDBEventsTable.read_items": of(
        DynamoDBEventsTable, lambda on: [*on.read_items("s", from_version=1)]
    ),
    "DynamoDBEventsTable.repair": of(
        DynamoDBEventsTable, lambda on: on.repair(ITEM, timestamp_us=1, shard=0)
    ),
    "DynamoDBEventsTable.scan": of(
        DynamoDBEventsTable, lambda on: on.scan(segment=0, segments=1, after=None)
    ),
    "DynamoDBEventsTable.spread": of(DynamoDBEventsTable, lambda on: on.spread(1)),
    "DynamoDBEventsTable.time_us": of(DynamoDBEventsTable, lambda on: on.time_us()),
    "DynamoDBJournal.add": of(DynamoDBJournal, lambda on: on.add({"s": 1}), consumer="publish"),
    "DynamoDBJournal.published": of(DynamoDBJournal, lambda on: on.published(["s"]), consumer="publish"),
    "DynamoDBLogRebuild.begin": of(DynamoDBLogRebuild, lambda on: on.begin(1)),
    "DynamoDBLogRebuild.delete_all": of(DynamoDBLogRebuild, lambda on: on.delete_all()),
    "DynamoDBLogRebuild.end": of(DynamoDBLogRebuild, lambda on: on.end(BEGUN)),
    "DynamoDBLogRebuild.is_empty": of(DynamoDBLogRebuild, lambda on: on.is_empty()),
    "DynamoDBLogRebuild.log": of(DynamoDBLogRebuild, lambda on: on.log()),
    "DynamoDBLogRebuild.newest_us": of(DynamoDBLogRebuild, lambda on: on.newest_us(1)),
    "DynamoDBLogRebuild.note": of(DynamoDBLogRebuild, lambda on: on.note(BEGUN, 1)),
    "DynamoDBParkedEvents.count": of(DynamoDBParkedEvents, lambda on: on.count()),
    "DynamoDBReadModel.get": of(DynamoDBReadModel, lambda on: on.get(TABLE, {"Id": "1"})),
    "DynamoDBReadModel.items": of(DynamoDBReadModel, lambda on: [*on.items(TABLE)]),
    "DynamoDBReadModel.write": of(DynamoDBReadModel, write_nothing),
    "DynamoDBReplays.change": of(DynamoDBReplays, lambda on: on.change(REPLAY, before=REPLAY)),
    "DynamoDBReplays.claim": of(DynamoDBReplays, lambda on: on.claim(REPLAY, until_us=1)),
    "DynamoDBReplays.create": of(DynamoDBReplays, lambda on: on.create(REPLAY)),
    "DynamoDBReplays.get": of(DynamoDBReplays, lambda on: on.get("r")),
    "DynamoDBReplays.latest": of(DynamoDBReplays, lambda on: on.latest(limit=1)),
    "DynamoDBReplays.leave": of(DynamoDBReplays, lambda on: on.leave("r", seen=REPLAY)),
    "DynamoDBReplays.queue": of(DynamoDBReplays, lambda on: on.queue()),
    "DynamoDBReplays.save": of(DynamoDBReplays, lambda on: on.save(REPLAY)),
    "StoreFacts.check": of(StoreFacts, lambda on: on.check()),
    "StoreFacts.declare_restored": of(StoreFacts, lambda on: on.declare_restored(now_us=1)),
    "StoreFacts.read_shards": of(StoreFacts, lambda on: on.read_shards(1)),
    "StoreFacts.restore": of(StoreFacts, lambda on: on.restore(1, written=1)),
    "StoreFacts.write_shards": of(StoreFacts, lambda on: on.write_shards(1)),
    "create_table": lambda client: create_table(client, "log", TABLE),
}
"""Every public member of every adapter of a table."""


def queue_of(make: Any, name: str) -> Call:
    def call(client: Any) -> Any:
        queue = make(client=client, queue_url=QUEUE_URL)
        return queue.receive(hidden_s=1) if name == "receive" else getattr(queue, name)([MESSAGE])

    return call


def sent_to(make: Any, service: str, **more: Any) -> Call:
    name = "function:f" if service == "lambda" else "f"
    target = Target.parse(f"arn:aws:{service}:eu-central-1:123456789012:{name}")
    return lambda client: make(client=client, target=target, replay_id=REPLAY_ID, **more).send([ENTRY])


def bus_of(make: Any, name: str) -> Call:
    return lambda client: getattr(make(client=client, bus_name="bus"), name)([ENTRY])


OF_OTHERS: Final[dict[str, tuple[str, Call]]] = {
    "BusTarget.put": ("events", bus_of(BusTarget, "put")),
    "BusTarget.send": ("events", bus_of(BusTarget, "send")),
    "DynamoDBDroppedRecords.read": (
        "dynamodbstreams",
        lambda client: (
            importlib.import_module("eventstore.dynamodb.dropped_records")
            .DynamoDBDroppedRecords(client=client)
            .read(replace(batch(5), shard_id="shardId-" + "0" * 20, first="1" * 25, last="1" * 25))
        ),
    ),
    "EventBridgeBus.put": ("events", bus_of(EventBridgeBus, "put")),
    "FunctionTarget.send": ("lambda", sent_to(FunctionTarget, "lambda")),
    "QueueTarget.send": ("sqs", sent_to(QueueTarget, "sqs")),
    **{
        f"{make.__name__}.{name}": ("sqs", queue_of(make, name))
        for make in (SqsDroppedMessages, SqsParkedEvents)
        for name in ("delete", "receive", "release")
    },
    "SqsFailedEvents.park": (
        "sqs",
        lambda client: SqsFailedEvents(client=client, queue_url=QUEUE_URL).park(FailedEvent("s", 1, "why")),
    ),
    "StepFunctionsReplays.start": (
        "stepfunctions",
        lambda client: StepFunctionsReplays(client=client, machine_arn="machine").start(REPLAY),
    ),
}
CALLS: Final[dict[str, tuple[str, Call]]] = {
    **{name: ("dynamodb", call) for name, call in OF_DYNAMODB.items()},
    **OF_OTHERS,
}
WAITING: Final = {
    "DynamoDBJournal.add": StoreUnavailable,
    "DynamoDBJournal.published": StoreUnavailable,
    "SqsFailedEvents.park": FailedEventsUnavailable,
}
"""Who has to go on or wait whatever it is: the error is a passing one, and its reason says all of it."""
ASK_NOTHING: Final = {"StoreFacts.epoch_us", "StoreFacts.is_declared", "StoreFacts.recorded",
                    "DynamoDBEventLog.begin_with", "DynamoDBEventStore.spread_over"}  # fmt: skip
"""Members that return what was read before, or keep what they are told."""
NO_ADAPTERS: Final = {"EventReads", "SqsMessages"}
"""Bases: their members are those of the adapters above them."""


def adapters() -> Iterator[type]:
    for package in (eventstore.dynamodb, eventstore.aws):
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            module = importlib.import_module(found.name)
            for kind in vars(module).values():
                is_own = isinstance(kind, type) and kind.__module__ == module.__name__
                made_by = kind.__init__ if is_own else None
                if inspect.isfunction(made_by) and "client" in inspect.signature(made_by).parameters:
                    yield kind


def members(kind: type) -> set[str]:
    return {
        f"{kind.__name__}.{name}"
        for name in dir(kind)
        if not name.startswith("_")
        if isinstance(inspect.getattr_static(kind, name), property) or inspect.isfunction(getattr(kind, name))
    }


def test_every_member_of_every_adapter_that_takes_a_client_is_tried_here() -> None:
    named = {member for kind in adapters() if kind.__name__ not in NO_ADAPTERS for member in members(kind)}
    assert {name for name in CALLS if "." in name} == named - ASK_NOTHING


# --- what AWS refuses, by every member -----------------------------------------------------------------

ARN: Final = "arn:aws:dynamodb:eu-central-1:123456789012:table/orders"
SAYS: Final = (
    "User: arn:aws:iam::123456789012:user/me is not authorized to perform: dynamodb:PutItem on resource: "
    f"{ARN} because no identity-based policy allows the dynamodb:PutItem action"
)
REFUSED: Final[dict[str, tuple[str, type[StoreMisconfigured]]]] = {
    SAYS: ("AccessDeniedException", AccessDenied),
    "The security token included in the request is expired": ("ExpiredTokenException", CredentialsExpired),
    "The security token included in the request is invalid.": (
        "UnrecognizedClientException",
        CredentialsRefused,
    ),
    "The request signature we calculated does not match": ("InvalidSignatureException", CredentialsRefused),
}


def refusing(service: str, code: str, message: str, *, sent: list[Any] | None = None) -> Any:
    """Make a client whose every request is refused."""
    config = {"config": CLIENT_CONFIG} if service == "dynamodb" else {"config": sqs_messages.CLIENT_CONFIG}
    client = boto3.client(service, **{**KEYS, **config})  # type: ignore[call-overload]

    def refuse(request: Any, **_: Any) -> AWSResponse:
        if sent is not None:
            sent.append(request)
        headers = HeadersDict(
            {"content-type": "application/x-amz-json-1.0", "x-amzn-requestid": "R1", "x-amzn-errortype": code}
        )
        body = json.dumps({"__type": f"x#{code}", "message": message}).encode()
        if client.meta.service_model.metadata["protocol"] == "query":  # SQS, to the oldest botocore
            error = f"<Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error>"
            body = f"<ErrorResponse>{error}<RequestId>R1</RequestId></ErrorResponse>".encode()
        raw: Any = type("Raw", (), {"stream": lambda *_: iter([body]), "read": lambda *_: body})()
        return AWSResponse(request.url, 400, headers, raw)

    client.meta.events.register("before-send", refuse)
    return client


def without_credentials(service: str, error: Exception) -> Any:
    """Make a client whose credentials can't be had."""
    client = boto3.client(service, **KEYS)  # type: ignore[call-overload]
    if service == "dynamodb":
        client = boto3.client(service, config=CLIENT_CONFIG, **KEYS)  # type: ignore[call-overload]

    def fail(**_: Any) -> None:
        raise error

    client.meta.events.register("before-sign", fail)
    return client


def error_of(name: str, client: Any) -> Exception | str:
    """Call it; return the error, or the text of the refusal it has told."""
    try:
        answered = CALLS[name][1](client)
    except Exception as error:  # noqa: BLE001 - what it is decides the test
        return error
    (refusal,) = answered
    assert isinstance(refusal, Refusal)
    assert not refusal.permanent
    return refusal.reason


def assert_told(name: str, told: Exception | str, kind: type[StoreMisconfigured], text: str) -> None:
    if isinstance(told, str):
        assert text in told
    elif name in WAITING:
        assert type(told) is WAITING[name]
        assert text in told.reason  # type: ignore[attr-defined]
        assert "changed nothing" not in str(told)
    else:
        assert type(told) is kind, repr(told)
        assert text in str(told)
        assert isinstance(told.__cause__, exceptions.ClientError | exceptions.BotoCoreError)


@pytest.mark.parametrize("message", REFUSED)
@pytest.mark.parametrize("name", CALLS)
def test_refusal_that_lasts_is_told_by_every_member(name: str, message: str) -> None:
    code, kind = REFUSED[message]
    told = error_of(name, refusing(CALLS[name][0], code, message))
    assert_told(name, told, kind, message.rstrip("."))


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (exceptions.NoCredentialsError(), CredentialsMissing),
        (exceptions.PartialCredentialsError(provider="env", cred_var="secret"), CredentialsMissing),
        (exceptions.TokenRetrievalError(provider="sso", error_msg="gone"), CredentialsMissing),
        (exceptions.UnauthorizedSSOTokenError(), CredentialsMissing),
        (exceptions.NoRegionError(), RegionMissing),
    ],
    ids=lambda given: type(given).__name__ if isinstance(given, Exception) else "",
)
@pytest.mark.parametrize("name", CALLS)
def test_credentials_or_a_region_that_are_missing_are_told_by_every_member(
    name: str, error: Exception, kind: type[StoreMisconfigured]
) -> None:
    told = error_of(name, without_credentials(CALLS[name][0], error))
    assert_told(name, told, kind, str(error).rstrip("."))


@pytest.mark.parametrize("name", OF_DYNAMODB)
def test_table_that_is_not_there_is_named_by_every_member(dynamodb_endpoint: str, name: str) -> None:
    if name == "create_table":
        return
    told = error_of(name, local_client(dynamodb_endpoint))
    assert_told(name, told, TableNotFound, repr(TABLE))
    if isinstance(told, TableNotFound):
        assert TABLE in told.tables
        assert (told.region, told.endpoint) == ("us-east-1", dynamodb_endpoint)


# --- what each error has -------------------------------------------------------------------------------


def test_action_and_resource_are_those_that_aws_names() -> None:
    told = error_of("DynamoDBEventsTable.put", refusing("dynamodb", "AccessDeniedException", SAYS))
    assert isinstance(told, AccessDenied)
    assert (told.action, told.resource, told.operation) == ("dynamodb:PutItem", ARN, "PutItem")
    assert "Grant dynamodb:PutItem to the principal; docs/permissions.md lists" in str(told)
    assert str(told).endswith("The request changed nothing")


def test_actions_of_a_transaction_are_its_items_where_aws_names_none() -> None:
    told = error_of("DynamoDBReadModel.write", refusing("dynamodb", "AccessDeniedException", "no"))
    assert isinstance(told, AccessDenied)
    assert told.action == "dynamodb:UpdateItem, dynamodb:PutItem"
    assert told.resource == "orders, view"


def test_read_that_is_refused_speaks_of_no_change() -> None:
    told = error_of("DynamoDBEventStore.head", refusing("dynamodb", "AccessDeniedException", SAYS))
    assert "changed nothing" not in str(told)


def test_queue_that_is_not_there_is_named() -> None:
    told = error_of("SqsParkedEvents.receive", refusing("sqs", "QueueDoesNotExist", "no"))
    assert isinstance(told, QueueNotFound)
    assert told.queue_url == QUEUE_URL


@pytest.mark.parametrize("code", ["RequestExpired", "RequestTimeTooSkewed"])
def test_request_that_comes_too_late_says_to_set_the_clock(code: str) -> None:
    told = error_of("DynamoDBEventStore.head", refusing("dynamodb", code, "late"))
    assert isinstance(told, CredentialsExpired)
    assert "Set this computer's clock" in str(told)


def test_lasting_refusal_is_sent_once_and_waited_for_by_nobody() -> None:
    sent: list[Any] = []
    told = error_of("DynamoDBEventStore.head", refusing("dynamodb", "AccessDeniedException", "no", sent=sent))
    assert len(sent) == 1
    assert isinstance(told, Exception)
    assert not is_transient(told)


def test_expired_credentials_in_a_handler_are_waited_for_as_before() -> None:
    told = CredentialsExpired(operation="PutItem", code="ExpiredTokenException", reason="expired")
    assert is_transient(told)


def test_lasting_code_of_a_failing_service_passes() -> None:
    def put_item(**_: Any) -> Any:
        response: Any = {
            "Error": {"Code": "AccessDeniedException"},
            "ResponseMetadata": {"HTTPStatusCode": 500},
        }
        raise exceptions.ClientError(response, "PutItem")

    with pytest.raises(StoreUnavailable):
        send(put_item, TableName=TABLE)


# --- tables with other keys ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", OF_DYNAMODB)
def test_table_with_other_keys_is_named_by_every_member(dynamodb_endpoint: str, name: str) -> None:
    client = local_client(dynamodb_endpoint)
    is_of_log = "Log" in name or name.endswith("read_log")
    scans = {"is_empty", "time_us", "delete_all", "count", "items"}
    if name == "create_table" or name.rpartition(".")[2] in scans:  # a scan takes any table
        return
    kind = "subscriptions" if is_of_log or "Event" in name or "Facts" in name else "log"
    assert create_table(client, kind, TABLE)
    try:
        told = error_of(name, client)
    finally:
        client.delete_table(TableName=TABLE)
    if name == "DynamoDBReadModel.write":  # it may be one of the projection's own tables
        assert isinstance(told, ReadModelRefused)
        assert isinstance(told.__cause__, WrongTable)
        return
    if name == "DynamoDBReadModel.get":  # the key is the caller's
        assert isinstance(told, InvalidInput)
        return
    assert_told(name, told, WrongTable, repr(TABLE))


def test_index_that_is_missing_is_named(dynamodb_endpoint: str) -> None:
    client = local_client(dynamodb_endpoint)
    with events_table(client) as table, pytest.raises(WrongTable, match="no index 'Parked'") as caught:
        DynamoDBParkedEvents(client=client, table_name=table).count()
    assert (caught.value.tables, caught.value.index) == ((table,), "Parked")


# --- at once, when it's connected ----------------------------------------------------------------------


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An environment in which nothing of AWS is set."""
    for name in (
        "REGION",
        "DEFAULT_REGION",
        "ACCESS_KEY_ID",
        "SECRET_ACCESS_KEY",
        "SESSION_TOKEN",
        "PROFILE",
    ):
        monkeypatch.delenv(f"AWS_{name}", raising=False)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, "/dev/null")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    return monkeypatch


CONNECTS: Final[dict[str, dict[str, str]]] = {"name": {"name": "prod"}, "tables": {"events_table": "orders"}}


@pytest.mark.parametrize("by", CONNECTS)
def test_connect_without_a_region_says_so_at_once(bare: pytest.MonkeyPatch, by: str) -> None:
    with pytest.raises(RegionMissing, match="Set AWS_REGION"):
        connect(**CONNECTS[by])  # type: ignore[arg-type]


def test_connect_by_name_without_credentials_says_so_at_once(bare: pytest.MonkeyPatch) -> None:
    with pytest.raises(CredentialsMissing, match="Set AWS_PROFILE"):
        connect(**CONNECTS["name"], region_name="eu-central-1", endpoint_url="http://127.0.0.1:9")  # type: ignore[arg-type]


@pytest.mark.parametrize("by", CONNECTS)
def test_connect_with_a_profile_that_is_not_there_names_it(bare: pytest.MonkeyPatch, by: str) -> None:
    bare.setenv("AWS_PROFILE", "nobody")
    with pytest.raises(CredentialsMissing, match="nobody"):
        connect(**CONNECTS[by])  # type: ignore[arg-type]


def test_connect_by_name_with_a_wrong_endpoint_is_unavailable(bare: pytest.MonkeyPatch) -> None:
    bare.setattr("time.sleep", lambda _: None)
    with pytest.raises(StoreUnavailable, match="http://127.0.0.1:9"):
        connect(**CONNECTS["name"], session=boto3.Session("a", "b"), region_name="eu-central-1",
                endpoint_url="http://127.0.0.1:9")  # type: ignore[arg-type]  # fmt: skip


def test_client_without_a_region_says_so(bare: pytest.MonkeyPatch) -> None:
    with pytest.raises(RegionMissing):
        dynamodb_client()
