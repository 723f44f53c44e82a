"""Replays on the deployed app, each into one consumer of its own, while new streams are created."""

from __future__ import annotations

import io
import json
import time
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Final
from uuid import uuid4

import httpx
import pytest

from eventstore.dynamodb.replays import DynamoDBReplays
from eventstore.dynamodb.schema import replays as replay_schema
from eventstore.limits import REPLAYS_AT_ONCE
from eventstore.replays.model import Replay
from infra.constructs.replays import machine_definition
from localcloud.api import Api, event_text
from localcloud.cloud import ACCOUNT, REGION
from localcloud.subscriber import Subscriber
from tests.e2e.conftest import WAIT_S, Deployed, Inbox

HAPPENED = event_text(name="Happened", payload='{"n": 1, "text": "\u00fc \\" {}", "of": [null, 1.5]}')

Event = dict[str, Any]

HANDLER: Final = """
import json, os, boto3

sqs = boto3.client("sqs")

def handler(events, context):
    sqs.send_message(QueueUrl=os.environ["SEEN"], MessageBody=json.dumps(events))
    trouble = sqs.receive_message(QueueUrl=os.environ["TROUBLE"]).get("Messages", [])
    for message in trouble:
        sqs.delete_message(QueueUrl=os.environ["TROUBLE"], ReceiptHandle=message["ReceiptHandle"])
        raise RuntimeError("not now")
"""
"""A consumer that tells each array it is given, and then raises as often as it finds a message of trouble."""


@contextmanager
def queue(deployed: Deployed, *, suffix: str = "") -> Iterator[tuple[str, str]]:
    """Make a queue; give its name and its URL."""
    sqs, name = deployed.client("sqs"), f"replay-{uuid4()}{suffix}"
    attributes = {"FifoQueue": "true"} if suffix else {}
    url = sqs.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]
    yield name, url
    sqs.delete_queue(QueueUrl=url)


def received(sqs: Any, queue_url: str, *, count: int) -> list[Any]:
    """Receive until there are so many messages, and whatever comes right behind them."""
    messages: list[Any] = []
    deadline = time.monotonic() + WAIT_S
    while True:
        wait_s = 1 if len(messages) < count else 0
        answer = sqs.receive_message(QueueUrl=queue_url, MaxNumberOfMessages=10, WaitTimeSeconds=wait_s)
        found = answer.get("Messages", [])
        if not found and len(messages) >= count:
            return messages
        assert time.monotonic() < deadline, f"{len(messages)} messages instead of {count}"
        messages += [json.loads(message["Body"]) for message in found]
        if found:
            gone = [{"Id": str(n), "ReceiptHandle": of["ReceiptHandle"]} for n, of in enumerate(found)]
            sqs.delete_message_batch(QueueUrl=queue_url, Entries=gone)


# --- one consumer of each kind ----------------------------------------------------------------------


@dataclass(frozen=True)
class Consumer:
    """A target, and how to see what has reached it."""

    arn: str
    reached: Callable[[int], list[Event]]
    """Takes how many events were sent; gives those that came, repeats included."""


@contextmanager
def queue_consumer(deployed: Deployed, *, suffix: str = "") -> Iterator[Consumer]:
    sqs = deployed.client("sqs")
    with queue(deployed, suffix=suffix) as (name, url):
        arn = f"arn:aws:sqs:{REGION}:{ACCOUNT}:{name}"
        yield Consumer(arn, lambda sent: received(sqs, url, count=sent))


@contextmanager
def bus_consumer(deployed: Deployed) -> Iterator[Consumer]:
    """A bus of its own with a rule to a queue: what EventBridge delivers is seen, not what it's given."""
    events, name = deployed.client("events"), f"replay-{uuid4()}"
    arn = events.create_event_bus(Name=name)["EventBusArn"]
    with Subscriber.on_bus(deployed.cloud, name) as subscriber:
        yield Consumer(arn, lambda sent: received(subscriber.sqs, subscriber.queue_url, count=sent))
    events.delete_event_bus(Name=name)


@contextmanager
def function_consumer(deployed: Deployed) -> Iterator[Consumer]:
    """A function that raises at its first array, after it has seen it."""
    functions, sqs = deployed.client("lambda"), deployed.client("sqs")
    code = io.BytesIO()
    with zipfile.ZipFile(code, "w") as archive:
        archive.writestr("consumer.py", HANDLER)
    with queue(deployed) as (name, seen), queue(deployed) as (_, trouble):
        sqs.send_message(QueueUrl=trouble, MessageBody="once")
        arn = functions.create_function(
            FunctionName=name,
            Runtime="python3.13",
            Handler="consumer.handler",
            Role=f"arn:aws:iam::{ACCOUNT}:role/any",
            Code={"ZipFile": code.getvalue()},
            Environment={"Variables": {"SEEN": seen, "TROUBLE": trouble}},
            Timeout=60,
        )["FunctionArn"]

        def reached(sent: int) -> list[Event]:
            first, *arrays = received(sqs, seen, count=2)
            assert arrays[0][: len(first)] == first  # what it raised at came again, from its beginning on
            events = [event for array in arrays for event in array]
            while len(events) < sent:
                events += [event for array in received(sqs, seen, count=1) for event in array]
            assert all(len(array) <= 100 for array in arrays)
            return events

        yield Consumer(arn, reached)
        functions.delete_function(FunctionName=name)


CONSUMERS: Final[dict[str, Callable[[Deployed], Any]]] = {
    "queue": queue_consumer,
    "FIFO queue": lambda deployed: queue_consumer(deployed, suffix=".fifo"),
    "function": function_consumer,
    "bus": bus_consumer,
}


# --- what they get ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Replayed:
    """One history, replayed into each consumer side by side, while it grew."""

    published: dict[tuple[str, int], Event]
    """What a subscriber of the app's own bus got."""
    subscribed: list[Event]
    """The same with repeats."""
    before: dict[str, list[int]]
    """The streams that were there before the replays were asked for, and their events."""
    replays: dict[str, Event]
    reached: dict[str, list[Event]]


@pytest.fixture(scope="module")
def replayed(deployed: Deployed) -> Iterator[Replayed]:
    prefix = f"replayed-{uuid4()}/"
    old = {f"{prefix}old-{number}": [1, 2, 3, 4, 5] for number in range(20)}
    with ExitStack() as stack:
        api = stack.enter_context(Api(deployed.app.api_url, connections=8))
        http = stack.enter_context(httpx.Client(base_url=deployed.app.api_url, trust_env=False, timeout=60))
        subscriber = stack.enter_context(Subscriber.on_bus(deployed.cloud, deployed.app.event_bus))
        consumers = {kind: stack.enter_context(make(deployed)) for kind, make in CONSUMERS.items()}

        def append(stream_id: str, count: int) -> str:
            api.append(stream_id, expected=0, events=[HAPPENED] * count)
            return stream_id

        with ThreadPoolExecutor(2) as executor:  # each more makes another worker of the function start
            list(executor.map(lambda stream_id: append(stream_id, 5), old))
            creating = [executor.submit(append, f"{prefix}new-{number}", 2) for number in range(30)]
            new = [future.result() for future in creating[:10]]
            ids = {}
            for kind, consumer in consumers.items():
                answer = http.post("/replays", json={"target": consumer.arn, "streamPrefix": prefix})
                assert answer.status_code == 202, answer.text
                ids[kind] = answer.json()["replayId"]
            for future in creating:
                future.result()
        replays = {kind: replay_until(http, id_, "completed", "failed") for kind, id_ in ids.items()}
        reached = {
            kind: consumers[kind].reached(replay["sent"])
            for kind, replay in replays.items()
            if replay["status"] == "completed"
        }
        bodies = Inbox(subscriber).bodies_until(lambda bodies: len(addresses(map(json.loads, bodies))) >= 160)
        events = [json.loads(body) for body in bodies + subscriber.receive()]
        yield Replayed(
            published={address(event): event for event in events},
            subscribed=events,
            before={**old, **{stream_id: [1, 2] for stream_id in new}},
            replays=replays,
            reached=reached,
        )


def replay_until(http: httpx.Client, replay_id: str, *statuses: str) -> dict[str, Any]:
    deadline = time.monotonic() + 2 * WAIT_S
    while True:
        replay: dict[str, Any] = http.get(f"/replays/{replay_id}").raise_for_status().json()
        if replay["status"] in statuses:
            return replay
        assert time.monotonic() < deadline, replay
        time.sleep(0.2)


def address(event: Event) -> tuple[str, int]:
    return event["detail"]["streamid"], event["detail"]["eventid"]


def addresses(events: Any) -> list[tuple[str, int]]:
    """The events' addresses in the order of their first deliveries."""
    return list(dict.fromkeys(map(address, events)))


@pytest.mark.parametrize("kind", CONSUMERS)
def test_consumer_gets_every_event_in_the_order_of_its_stream(replayed: Replayed, kind: str) -> None:
    replay = replayed.replays[kind]
    assert replay["status"] == "completed", replay
    streams: dict[str, list[int]] = {}
    for stream_id, event_id in addresses(replayed.reached[kind]):
        streams.setdefault(stream_id, []).append(event_id)
    # Those created before the request have to be there; of the others, those that are come whole.
    assert streams.items() >= replayed.before.items()
    assert all(events == [1, 2] for stream_id, events in streams.items() if stream_id not in replayed.before)
    assert replay["sent"] == len(replayed.reached[kind])


@pytest.mark.parametrize("kind", CONSUMERS)
def test_consumer_gets_events_as_they_were_published(replayed: Replayed, kind: str) -> None:
    for event in replayed.reached[kind]:
        published = replayed.published[address(event)]
        assert event["detail-type"] == published["detail-type"] == "Happened"
        assert event["source"] == published["source"]
        assert event["detail"] == {
            **published["detail"],
            "replayid": replayed.replays[kind]["replayId"],
        }


def test_function_gets_events_in_time_order(replayed: Replayed) -> None:
    order = [(event["detail"]["time"], *address(event)) for event in replayed.reached["function"]]
    assert order == sorted(order)


def test_other_subscribers_get_nothing_of_a_replay(replayed: Replayed) -> None:
    # Each event by its publication, and nothing more.
    assert len(replayed.published) == 160
    assert not any("replayid" in event["detail"] for event in replayed.subscribed)


def test_replay_is_paused_resumed_and_refused(http: httpx.Client, api: Api, deployed: Deployed) -> None:
    prefix = f"paused-{uuid4()}/"
    api.append(f"{prefix}1", expected=0, events=[HAPPENED] * 12)
    sqs = deployed.client("sqs")
    with queue(deployed) as (name, url):
        body = {"target": f"arn:aws:sqs:{REGION}:{ACCOUNT}:{name}", "streamPrefix": prefix}
        replay_id = http.post("/replays", json={**body, "eventsPerSecond": 2}).json()["replayId"]
        assert http.post(f"/replays/{replay_id}/pause").json()["status"] == "paused"
        time.sleep(3)
        held = received(sqs, url, count=0)
        assert len(held) <= 10
        assert http.post(f"/replays/{replay_id}/resume").json()["status"] == "queued"
        sent = replay_until(http, replay_id, "completed")["sent"]
        events = held + received(sqs, url, count=sent - len(held))
        assert list(dict.fromkeys(event["detail"]["eventid"] for event in events)) == list(range(1, 13))

    elsewhere = {"target": f"arn:aws:events:{REGION}:{ACCOUNT[:-1]}1:event-bus/other"}
    refused = http.post("/replays", json=elsewhere)
    assert (refused.status_code, refused.json()["type"]) == (
        403,
        "urn:eventstore:problem:replay-target-not-allowed",
    )


def test_more_replays_than_run_at_once_wait_for_their_turn(http: httpx.Client, deployed: Deployed) -> None:
    """What ends a run begins the next: the schedule, which looks each 5 minutes, would be too late."""
    with queue(deployed) as (name, _):
        target = f"arn:aws:sqs:{REGION}:{ACCOUNT}:{name}"
        body = {"target": target, "streamPrefix": f"none-{uuid4()}"}
        ids = [http.post("/replays", json=body).json()["replayId"] for _ in range(REPLAYS_AT_ONCE + 2)]
        deadline = time.monotonic() + 2 * WAIT_S
        while True:
            listed = {of["replayId"]: of["status"] for of in http.get("/replays").json()["replays"]}
            statuses = [listed[replay_id] for replay_id in ids]
            assert statuses.count("running") <= REPLAYS_AT_ONCE
            if set(statuses) == {"completed"}:
                break
            assert time.monotonic() < deadline, statuses
            time.sleep(0.5)


def test_request_with_a_key_begins_one_replay(http: httpx.Client, deployed: Deployed) -> None:
    with queue(deployed) as (name, _):
        body = {"target": f"arn:aws:sqs:{REGION}:{ACCOUNT}:{name}", "streamPrefix": f"none-{uuid4()}"}
        headers = {"Idempotency-Key": str(uuid4())}
        first, again = (http.post("/replays", json=body, headers=headers) for _ in range(2))
        assert (first.status_code, again.status_code) == (202, 202)
        assert again.headers["idempotent-replay"] == "true"
        replay_id = first.json()["replayId"]
        assert again.json()["replayId"] == replay_id
        other = http.post("/replays", json={**body, "names": ["Happened"]}, headers=headers)
        assert other.json()["type"] == "urn:eventstore:problem:idempotency-key-reused"
        assert http.post(f"/replays/{replay_id}/cancel").json()["status"] == "cancelled"


def machine_with(deployed: Deployed, table: str, **states: Any) -> str:
    """The replays' state machine with some of its states changed, on a table of its own; return its ARN."""
    definition = machine_definition(
        partition="aws",
        step_arn=f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:missing",
        table_name=table,
    )
    for name, changes in states.items():
        definition["States"][name] |= changes
    sfn = deployed.cloud.session().client("stepfunctions", endpoint_url=deployed.cloud.endpoint)
    arn: str = sfn.create_state_machine(
        name=f"replays-{uuid4()}",
        definition=json.dumps(definition),
        roleArn=f"arn:aws:iam::{ACCOUNT}:role/any",
    )["stateMachineArn"]
    return arn


def ended(deployed: Deployed, execution_arn: str) -> str:
    sfn = deployed.cloud.session().client("stepfunctions", endpoint_url=deployed.cloud.endpoint)
    deadline = time.monotonic() + WAIT_S
    while True:
        status: str = sfn.describe_execution(executionArn=execution_arn)["status"]
        if status != "RUNNING":
            return status
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_machine_tells_that_the_step_keeps_failing(deployed: Deployed) -> None:
    session, endpoint = deployed.cloud.session(), deployed.cloud.endpoint
    dynamodb = session.client("dynamodb", endpoint_url=endpoint)
    sfn = session.client("stepfunctions", endpoint_url=endpoint)
    table = f"replays-{uuid4()}"
    keys = {replay_schema.KIND: "HASH", replay_schema.REPLAY_ID: "RANGE"}
    dynamodb.create_table(
        TableName=table,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"} for key in keys],
        KeySchema=[{"AttributeName": key, "KeyType": kind} for key, kind in keys.items()],
    )
    replays = DynamoDBReplays(client=dynamodb, table_name=table)
    running = Replay(
        replay_id=str(uuid4()), target="t", from_us=None, to_us=1, requested_us=1, updated_us=1, run=2
    )
    replays.create(running)
    machine = machine_with(deployed, table, Step={"Retry": []})

    def run(run: int) -> tuple[str, Replay | None]:
        asked = json.dumps({"replayId": running.replay_id, "run": run, "steps": 0})
        execution = sfn.start_execution(stateMachineArn=machine, input=asked)["executionArn"]
        return ended(deployed, execution), replays.get(running.replay_id)

    assert run(1) == ("SUCCEEDED", running)  # an earlier run has nothing to tell any more
    status, failed = run(2)
    assert status == "FAILED"
    assert failed is not None
    assert failed.status == "failed"
    assert "its step kept failing (Lambda.ResourceNotFoundException)" in failed.reason
    dynamodb.delete_table(TableName=table)


def test_machine_goes_on_in_a_new_execution_of_itself(deployed: Deployed) -> None:
    sfn = deployed.cloud.session().client("stepfunctions", endpoint_url=deployed.cloud.endpoint)
    name = f"renewed-{uuid4()}"
    machine = machine_with(deployed, "no-table")
    definition = json.loads(sfn.describe_state_machine(stateMachineArn=machine)["definition"])
    asked = {"replayId": "r", "run": 1, "steps": 500, "action": "renew", "waitS": 0, "renewedName": name}
    definition["States"]["Step"] = {
        "Type": "Choice",
        "Choices": [{"Variable": "$.steps", "NumericEquals": 500, "Next": "Follow"}],
        "Default": "Done",
    }
    sfn.update_state_machine(stateMachineArn=machine, definition=json.dumps(definition))
    first = sfn.start_execution(stateMachineArn=machine, input=json.dumps(asked))["executionArn"]
    assert ended(deployed, first) == "SUCCEEDED"
    renewed = first.rpartition(":")[0] + f":{name}"
    assert ended(deployed, renewed) == "SUCCEEDED"
    given = json.loads(sfn.describe_execution(executionArn=renewed)["input"])
    assert {key: given[key] for key in ("replayId", "run", "steps")} == {
        "replayId": "r",
        "run": 1,
        "steps": 0,
    }
