"""EventBridge and SQS through boto3's real clients: requests as the services take them, errors told apart."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from unittest.mock import Mock

import boto3
import pytest
from botocore.awsrequest import AWSResponse, HeadersDict
from botocore.exceptions import ClientError, EndpointConnectionError, ReadTimeoutError
from botocore.stub import Stubber

from eventstore import Event
from eventstore.aws import eventbridge, sqs
from eventstore.aws.eventbridge import EventBridgeBus
from eventstore.aws.replay_targets import SQS_CONFIG, FunctionTarget, QueueTarget
from eventstore.aws.sqs import SqsFailedEvents
from eventstore.aws.sqs_redrive import SqsParkedEvents
from eventstore.aws.step_functions import StepFunctionsReplays
from eventstore.delivery.cloudevents import Entry, EntryFormat
from eventstore.delivery.publisher import FailedEvent
from eventstore.errors import FailedEventsUnavailable, StoreUnavailable
from eventstore.replays.service import Replay, Target
from tests.fake_aws import FakeEventBridge, client_error

QUEUE_URL = "https://sqs.eu-central-1.amazonaws.com/123456789012/failed"
KEYS: Any = {"region_name": "eu-central-1", "aws_access_key_id": "x", "aws_secret_access_key": "x"}


def entries(count: int, *, size_bytes: int = 0) -> list[Entry]:
    entry_format = EntryFormat(source="shop", api_url="https://api.example.com", max_bytes=1 << 20)
    event = Event("order", 1, "OrderPaid", f'"{"x" * size_bytes}"', "{}", "uid", 1_769_860_800_999_999)
    return [entry_format.entry(replace(event, stream_id=f"order-{n}")) for n in range(count)]


@pytest.fixture
def stub() -> Iterator[tuple[EventBridgeBus, Stubber]]:
    client = boto3.client("events", config=eventbridge.CLIENT_CONFIG, **KEYS)
    with Stubber(client) as stubber:
        yield EventBridgeBus(client=client, bus_name="bus"), stubber
        stubber.assert_no_pending_responses()


def bus(events: FakeEventBridge) -> EventBridgeBus:
    return EventBridgeBus(client=events, bus_name="bus")  # type: ignore[arg-type]


def test_entry_is_sent_with_the_bus_the_source_the_name_and_whole_seconds(
    stub: tuple[EventBridgeBus, Stubber],
) -> None:
    (entry,) = entries(1)
    request = {
        "EventBusName": "bus",
        "Source": "shop",
        "DetailType": "OrderPaid",
        "Detail": entry.detail,
        "Time": datetime(2026, 1, 31, 12, tzinfo=UTC),
    }
    answer = {"FailedEntryCount": 0, "Entries": [{"EventId": "1"}]}
    stub[1].add_response("put_events", answer, {"Entries": [request]})
    assert stub[0].put([entry]) == [None]


def test_each_entrys_result_is_told_apart(stub: tuple[EventBridgeBus, Stubber]) -> None:
    codes = ["ThrottlingException", "", "MalformedDetail", "InternalFailure", "InvalidArgument", "NewCode"]
    codes += ["NotAuthorizedForSourceException", "AccessDeniedException"]
    results: list[dict[str, str]] = [
        {"ErrorCode": code, "ErrorMessage": "why"} if code else {"EventId": "1"} for code in codes
    ]
    stub[1].add_response("put_events", {"FailedEntryCount": 7, "Entries": results})
    refusals = stub[0].put(entries(8))
    assert [refusal and refusal.permanent for refusal in refusals] == [
        False,
        None,
        True,
        False,
        True,
        False,
        False,
        False,
    ]
    assert refusals[0]
    assert refusals[0].reason == "ThrottlingException: why"


@pytest.mark.parametrize(
    "code", ["ThrottlingException", "InternalException", "AccessDeniedException", "ResourceNotFoundException"]
)
def test_failure_of_a_whole_call_is_passing_for_every_entry(
    stub: tuple[EventBridgeBus, Stubber], code: str
) -> None:
    stub[1].add_client_error("put_events", code)
    refusals = stub[0].put(entries(3))
    assert [refusal and refusal.permanent for refusal in refusals] == [False] * 3


@pytest.mark.parametrize(
    "error",
    [
        EndpointConnectionError(endpoint_url="https://events"),
        ReadTimeoutError(endpoint_url="https://events"),
    ],
)
def test_unreachable_bus_is_a_passing_failure(error: Exception) -> None:
    def fault() -> None:
        raise error

    (refusal,) = bus(FakeEventBridge(call_fault=fault)).put(entries(1))
    assert refusal
    assert not refusal.permanent


def test_request_that_is_refused_as_a_whole_is_split_to_find_the_bad_entry() -> None:
    events = FakeEventBridge()
    good, bad = entries(3), entries(1, size_bytes=300_000)[0]
    refusals = bus(events).put([*good, bad])
    assert [refusal and refusal.permanent for refusal in refusals] == [None, None, None, True]
    assert [len(call) for call in events.calls] == [4, 1, 1, 1, 1]


def test_entry_that_botocore_itself_refuses_is_a_permanent_failure() -> None:
    # A bus without a name fails botocore's own check of the parameters, which a client of yours may have.
    client: Any = Mock(spec=["put_events"])
    client.put_events = lambda Entries: boto3.client("events", **KEYS).put_events(  # noqa: N803 - its own name
        Entries=[{**entry, "EventBusName": ""} for entry in Entries]
    )
    refusals = EventBridgeBus(client=client, bus_name="bus").put(entries(2))
    assert [refusal and refusal.permanent for refusal in refusals] == [True, True]


def test_one_try_only_for_the_publisher_has_its_own() -> None:
    for config in (eventbridge.CLIENT_CONFIG, sqs.CLIENT_CONFIG):
        retries: Any = config.retries  # type: ignore[attr-defined]
        assert retries["total_max_attempts"] == 1


def test_failed_event_is_sent_as_its_address_and_the_reason() -> None:
    client = boto3.client("sqs", config=sqs.CLIENT_CONFIG, **KEYS)
    with Stubber(client) as stubber:
        body = json.dumps({"streamId": "órder", "eventId": 3, "reason": "y" * 1_000})
        stubber.add_response("send_message", {"MessageId": "1"}, {"QueueUrl": QUEUE_URL, "MessageBody": body})
        SqsFailedEvents(client=client, queue_url=QUEUE_URL).park(FailedEvent("órder", 3, "y" * 5_000))
        stubber.assert_no_pending_responses()


@pytest.mark.parametrize(
    "error",
    [client_error("AccessDenied", "SendMessage"), EndpointConnectionError(endpoint_url="https://sqs")],
)
def test_unreachable_queue_is_told(error: Exception) -> None:
    class Down:
        def send_message(self, **_: str) -> None:
            raise error

    failed_events = SqsFailedEvents(client=Down(), queue_url=QUEUE_URL)  # type: ignore[arg-type]
    with pytest.raises(FailedEventsUnavailable, match="Try again"):
        failed_events.park(FailedEvent("a", 1, "why"))


# --- answers of somebody else ------------------------------------------------------------------------------


class _Page:
    """What a login page on the way answers, as urllib3 hands it over."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    def stream(self, *_: Any) -> Iterator[bytes]:
        yield self._body

    def read(self, *_: Any) -> bytes:
        body, self._body = self._body, b""
        return body


BODIES = [(200, b"<html>log in</html>"), (200, b""), (502, b"<html>bad gateway</html>"), (503, b"[]")]


def behind_a_proxy(service: str, status: int, body: bytes, **options: Any) -> Any:
    client = boto3.client(service, **{**KEYS, **options})

    def answer(request: Any, **_: Any) -> AWSResponse:
        headers = HeadersDict({"content-type": "text/html"})
        return AWSResponse(request.url, status, headers, _Page(body))

    client.meta.events.register("before-send", answer)
    return client


@pytest.mark.parametrize(("status", "body"), BODIES)
def test_answer_that_is_not_the_services_is_no_success(status: int, body: bytes) -> None:
    def client(service: str, config: Any) -> Any:
        return behind_a_proxy(service, status, body, config=config)

    replay_id = "01890a5d-ac96-774b-bcce-b302099a8057"
    queue = Target.parse("arn:aws:sqs:eu-central-1:123456789012:q")
    function = Target.parse("arn:aws:lambda:eu-central-1:123456789012:function:f")
    sqs_client, given = client("sqs", SQS_CONFIG), entries(2)
    senders = [
        EventBridgeBus(client=client("events", eventbridge.CLIENT_CONFIG), bus_name="bus").put,
        QueueTarget(client=sqs_client, target=queue, replay_id=replay_id).send,
        FunctionTarget(client=client("lambda", SQS_CONFIG), target=function, replay_id=replay_id).send,
    ]
    for send in senders:
        assert [refusal and refusal.permanent for refusal in send(given)] == [False, False]

    with pytest.raises(FailedEventsUnavailable):
        SqsFailedEvents(client=sqs_client, queue_url=QUEUE_URL).park(FailedEvent("s", 1, "why"))
    with pytest.raises(FailedEventsUnavailable):
        SqsParkedEvents(client=sqs_client, queue_url=QUEUE_URL).receive(hidden_s=30)
    replay = Replay(replay_id=replay_id, target="t", from_us=None, to_us=1, requested_us=1, updated_us=1)
    machines = client("stepfunctions", SQS_CONFIG)
    with pytest.raises(StoreUnavailable):
        StepFunctionsReplays(
            client=machines, machine_arn="arn:aws:states:eu-central-1:1:stateMachine:m"
        ).start(replay)


def test_refusal_of_status_500_is_passing_whatever_its_code() -> None:
    def fault() -> None:
        response: Any = {
            "Error": {"Code": "ValidationException", "Message": "?"},
            "ResponseMetadata": {"HTTPStatusCode": 500},
        }
        raise ClientError(response, "PutEvents")

    refusals = bus(FakeEventBridge(call_fault=fault)).put(entries(2))

    assert [refusal and refusal.permanent for refusal in refusals] == [False, False]
