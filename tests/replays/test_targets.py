"""What a queue, a function and a bus are sent, and how their answers are read."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import Mock

import pytest
from botocore.exceptions import EndpointConnectionError

from eventstore import Event
from eventstore.aws.replay_targets import (
    BusTarget,
    FunctionTarget,
    QueueTarget,
    message_group,
    replay_targets,
)
from eventstore.aws.step_functions import StepFunctionsReplays
from eventstore.delivery.cloudevents import Entry, EntryFormat
from eventstore.errors import StoreUnavailable
from eventstore.limits import SQS_BATCH_MAX_BYTES
from eventstore.replays.service import Replay, Target
from tests.fake_aws import FakeEventBridge, client_error

REPLAY_ID = "01890a5d-ac96-774b-bcce-b302099a8057"
QUEUE = Target.parse("arn:aws:sqs:eu-central-1:123456789012:rebuild")
FIFO = Target.parse("arn:aws:sqs:eu-central-1:123456789012:rebuild.fifo")
FUNCTION = Target.parse("arn:aws:lambda:eu-central-1:123456789012:function:rebuild")
FORMAT = EntryFormat(source="shop", api_url="https://api.example.com", replay_id=REPLAY_ID)


def entry(event_id: int, *, stream_id: str = "order-1", payload: str = '{"total": 12.50}') -> Entry:
    uid = "019c1465-3c00-7a51-8d0f-1f6d6d1f6a01"
    return FORMAT.entry(
        Event(stream_id, event_id, "OrderPaid", payload, "{}", uid, 1_769_860_800_000_001 + event_id)
    )


@dataclass
class FakeQueues:
    """SQS, checking what it checks; `fails` gives a message's error code by its place."""

    fails: dict[int, str] = field(default_factory=dict)
    fault: Callable[[], None] = lambda: None
    sent: list[list[dict[str, Any]]] = field(default_factory=list)
    urls_asked: int = 0

    def get_queue_url(self, *, QueueName: str, QueueOwnerAWSAccountId: str) -> dict[str, str]:  # noqa: N803
        self.urls_asked += 1
        return {"QueueUrl": f"https://sqs/{QueueOwnerAWSAccountId}/{QueueName}"}

    def send_message_batch(self, *, QueueUrl: str, Entries: list[dict[str, Any]]) -> dict[str, Any]:  # noqa: N803
        assert QueueUrl.startswith("https://sqs/123456789012/rebuild")
        assert 1 <= len(Entries) <= 10
        assert sum(len(of["MessageBody"].encode()) for of in Entries) <= SQS_BATCH_MAX_BYTES
        assert len({of["Id"] for of in Entries}) == len(Entries)
        self.fault()
        self.sent.append(Entries)
        failed = [
            {"Id": of["Id"], "Code": self.fails[int(of["Id"])], "SenderFault": False}
            for of in Entries
            if int(of["Id"]) in self.fails
        ]
        ids = {of["Id"] for of in failed}
        return {"Successful": [{"Id": of["Id"]} for of in Entries if of["Id"] not in ids], "Failed": failed}


@dataclass
class FakeFunctions:
    answer: dict[str, Any] = field(default_factory=dict)
    fault: Callable[[], None] = lambda: None
    invoked: list[dict[str, Any]] = field(default_factory=list)

    def invoke(self, **request: Any) -> dict[str, Any]:
        self.invoked.append(request)
        self.fault()
        return {"StatusCode": 200, "Payload": io.BytesIO(b'{"errorMessage": "boom"}'), **self.answer}


def throttled() -> None:
    raise client_error("ThrottlingException", "Any")


def unreachable() -> None:
    raise EndpointConnectionError(endpoint_url="https://sqs")


def test_message_is_what_eventbridge_would_deliver_its_detail_untouched() -> None:
    queues = FakeQueues()
    target = QueueTarget(client=queues, target=QUEUE, replay_id=REPLAY_ID)  # type: ignore[arg-type]
    assert target.send([entry(3)]) == [None]
    body = queues.sent[0][0]["MessageBody"]
    message = json.loads(body)
    detail = message.pop("detail")
    event_id = message.pop("id")
    assert message == {
        "version": "0",
        "detail-type": "OrderPaid",
        "source": "shop",
        "account": "123456789012",
        "time": "2026-01-31T12:00:00Z",
        "region": "eu-central-1",
        "resources": [],
    }
    assert (detail["id"], detail["replayid"]) == ("order-1/3", REPLAY_ID)
    assert '"data":{"total": 12.50}' in body
    assert set(queues.sent[0][0]) == {"Id", "MessageBody"}
    target.send([entry(3)])
    assert json.loads(queues.sent[1][0]["MessageBody"])["id"] == event_id
    assert queues.urls_asked == 1


def test_each_messages_own_result_is_read() -> None:
    queues = FakeQueues(fails={0: "InternalError", 2: "InvalidMessageContents"})
    target = QueueTarget(client=queues, target=QUEUE, replay_id=REPLAY_ID)  # type: ignore[arg-type]
    first, second, third = target.send([entry(1), entry(1, stream_id="b"), entry(1, stream_id="c")])
    assert first is not None
    assert third is not None
    assert (first.permanent, second, third.permanent) == (False, None, True)


@pytest.mark.parametrize("fault", [throttled, unreachable])
def test_call_that_fails_is_tried_again(fault: Callable[[], None]) -> None:
    for target in (
        QueueTarget(client=FakeQueues(fault=fault), target=QUEUE, replay_id=REPLAY_ID),  # type: ignore[arg-type]
        FunctionTarget(client=FakeFunctions(fault=fault), target=FUNCTION, replay_id=REPLAY_ID),  # type: ignore[arg-type]
    ):
        refusals = target.send([entry(1), entry(1, stream_id="b")])
        assert [refusal and refusal.permanent for refusal in refusals] == [False, False]


def test_fifo_queue_gets_the_stream_as_its_group_and_knows_a_repeat() -> None:
    queues = FakeQueues()
    target = QueueTarget(client=queues, target=FIFO, replay_id=REPLAY_ID)  # type: ignore[arg-type]
    target.send([entry(1), entry(1, stream_id="b")])
    target.send([entry(1)])
    first, other = queues.sent[0]
    again = queues.sent[1][0]
    assert first["MessageGroupId"] == "order-1"
    assert first["MessageDeduplicationId"] == again["MessageDeduplicationId"]
    assert first["MessageDeduplicationId"] != other["MessageDeduplicationId"]
    elsewhere = QueueTarget(client=queues, target=FIFO, replay_id=REPLAY_ID.replace("0", "1"))  # type: ignore[arg-type]
    elsewhere.send([entry(1)])
    assert queues.sent[2][0]["MessageDeduplicationId"] != first["MessageDeduplicationId"]


@pytest.mark.parametrize(
    ("stream_id", "is_kept"),
    [("a" * 128, True), ("a" * 129, False), ("ü", False), ("a b", False), ("a/1", True)],
)
def test_stream_id_that_is_no_group_is_hashed(stream_id: str, is_kept: bool) -> None:
    group = message_group(stream_id)
    assert (group == stream_id) is is_kept
    assert len(group) <= 128
    assert group.isascii()


def test_characters_that_sqs_refuses_are_escaped() -> None:
    queues = FakeQueues()
    target = QueueTarget(client=queues, target=QUEUE, replay_id=REPLAY_ID)  # type: ignore[arg-type]
    target.send([entry(1, payload='"x\uffff\ufffe"')])
    body = queues.sent[0][0]["MessageBody"]
    assert not {"\uffff", "\ufffe"} & {*body}
    assert json.loads(body)["detail"]["data"] == "x\uffff\ufffe"


def test_ten_largest_entries_fit_into_one_batch() -> None:
    limit = QueueTarget.max_bytes // 10
    payload = f'"{"x" * (limit - 400)}"'
    entries = [entry(1, stream_id=f"s-{number}", payload=payload) for number in range(10)]
    assert limit - 200 < entries[0].size_bytes < limit
    target = QueueTarget(client=FakeQueues(), target=QUEUE, replay_id=REPLAY_ID)  # type: ignore[arg-type]
    assert target.send(entries) == [None] * 10


def test_function_is_invoked_once_with_an_array_and_waited_for() -> None:
    functions = FakeFunctions()
    target = FunctionTarget(client=functions, target=FUNCTION, replay_id=REPLAY_ID)  # type: ignore[arg-type]
    assert target.send([entry(1), entry(2)]) == [None, None]
    [invoked] = functions.invoked
    assert (invoked["FunctionName"], invoked["InvocationType"]) == (FUNCTION.arn, "RequestResponse")
    assert [of["detail"]["eventid"] for of in json.loads(invoked["Payload"])] == [1, 2]


def test_function_that_raises_has_taken_nothing() -> None:
    target = FunctionTarget(
        client=FakeFunctions(answer={"FunctionError": "Unhandled"}),  # type: ignore[arg-type]
        target=FUNCTION,
        replay_id=REPLAY_ID,
    )
    refusals = target.send([entry(1), entry(2)])
    assert [refusal and refusal.permanent for refusal in refusals] == [False, False]
    assert refusals[0] is not None
    assert "boom" in refusals[0].reason


def test_bus_gets_entries_as_the_publisher_puts_them() -> None:
    events = FakeEventBridge()
    bus = BusTarget(client=events, bus_name="arn:aws:events:eu-central-1:123456789012:event-bus/b")  # type: ignore[arg-type]
    assert bus.send([entry(1)]) == [None]
    [[put]] = events.calls
    assert (put["DetailType"], put["EventBusName"].endswith("event-bus/b")) == ("OrderPaid", True)
    assert json.loads(put["Detail"])["replayid"] == REPLAY_ID


@pytest.mark.parametrize(
    ("arn", "service", "kind"),
    [
        (QUEUE.arn, "sqs", QueueTarget),
        (FUNCTION.arn, "lambda", FunctionTarget),
        ("arn:aws:events:eu-central-1:123456789012:event-bus/b", "events", BusTarget),
    ],
)
def test_target_is_made_by_its_arn_in_its_region(arn: str, service: str, kind: type[object]) -> None:
    asked = []

    def client(name: str, **options: Any) -> object:
        asked.append((name, options["region_name"]))
        return Mock()

    replay = Replay(replay_id=REPLAY_ID, target=arn, from_us=None, to_us=1, requested_us=1, updated_us=1)
    assert type(replay_targets(client)(replay)) is kind
    assert asked == [(service, "eu-central-1")]


class FakeEngine:
    """Step Functions: one execution a name."""

    class exceptions:  # noqa: N801
        class ExecutionAlreadyExists(Exception):
            pass

    def __init__(self) -> None:
        self.started: dict[str, str] = {}

    def start_execution(self, *, stateMachineArn: str, name: str, input: str) -> dict[str, str]:  # noqa: N803
        if stateMachineArn != "machine":
            raise client_error("StateMachineDoesNotExist", "StartExecution")
        if name in self.started:
            raise self.exceptions.ExecutionAlreadyExists
        self.started[name] = input
        return {"executionArn": name}


def test_run_is_started_once_and_a_failure_is_told() -> None:
    engine = FakeEngine()
    replay = Replay(
        replay_id=REPLAY_ID, target=QUEUE.arn, from_us=None, to_us=1, requested_us=1, updated_us=1, run=2
    )
    for _ in range(2):
        StepFunctionsReplays(client=engine, machine_arn="machine").start(replay)
    assert engine.started == {f"{REPLAY_ID}-2": f'{{"replayId": "{REPLAY_ID}", "run": 2, "steps": 0}}'}
    with pytest.raises(StoreUnavailable):
        StepFunctionsReplays(client=engine, machine_arn="other").start(replay)
