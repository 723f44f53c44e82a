"""A replay on the deployed app, into one queue, while new streams are created."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import httpx
import pytest

from eventstore.adapters.dynamodb import replay_schema
from eventstore.adapters.dynamodb.replays import DynamoDBReplays
from eventstore.local.api import Api, event_text
from eventstore.local.cloud import ACCOUNT, REGION
from eventstore.replays import Replay
from infra.constructs.replays import machine_definition
from tests.e2e.conftest import WAIT_S, Deployed, Inbox

HAPPENED = event_text(name="Happened", payload='{"n": 1}')


def replay_until(http: httpx.Client, replay_id: str, *statuses: str) -> dict[str, Any]:
    deadline = time.monotonic() + 2 * WAIT_S
    while True:
        replay: dict[str, Any] = http.get(f"/replays/{replay_id}").raise_for_status().json()
        if replay["status"] in statuses:
            return replay
        assert time.monotonic() < deadline, replay
        time.sleep(0.5)


def received(sqs: Any, queue_url: str) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = []
    while True:
        answer = sqs.receive_message(QueueUrl=queue_url, MaxNumberOfMessages=10, WaitTimeSeconds=1)
        if "Messages" not in answer:
            return messages
        messages += [json.loads(message["Body"]) for message in answer["Messages"]]
        for message in answer["Messages"]:
            sqs.delete_message(QueueUrl=queue_url, ReceiptHandle=message["ReceiptHandle"])


@pytest.mark.parametrize("suffix", ["", ".fifo"])
def test_replay_into_one_queue_while_streams_are_created(
    api: Api, http: httpx.Client, inbox: Inbox, deployed: Deployed, suffix: str
) -> None:
    prefix = f"replayed-{uuid4()}/"
    for number in range(20):
        api.append(f"{prefix}old-{number}", expected=0, events=[HAPPENED] * 5)
    expected = {f"{prefix}old-{number}": [1, 2, 3, 4, 5] for number in range(20)}
    inbox.bodies_until(lambda bodies: sum(prefix in body for body in bodies) >= 100)  # published, all of them
    sqs = deployed.cloud.session().client("sqs", endpoint_url=deployed.cloud.endpoint)
    name = f"replay-{uuid4()}{suffix}"
    attributes = {"FifoQueue": "true"} if suffix else {}
    queue_url = sqs.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]

    def create(number: int) -> str:
        stream_id = f"{prefix}new-{number}"
        api.append(stream_id, expected=0, events=[HAPPENED] * 2)
        return stream_id

    with ThreadPoolExecutor(4) as executor:
        creating = [executor.submit(create, number) for number in range(30)]
        for future in creating[:10]:
            future.result()
        body = {"target": f"arn:aws:sqs:{REGION}:{ACCOUNT}:{name}", "streamPrefix": prefix}
        answer = http.post("/replays", json=body)
        assert answer.status_code == 202, answer.text
        replay_id = answer.json()["replayId"]
        created = [future.result() for future in creating]
    replay = replay_until(http, replay_id, "completed", "failed")
    assert replay["status"] == "completed", replay

    messages = received(sqs, queue_url)
    streams: dict[str, list[int]] = {}
    for message in messages:
        assert message["detail-type"] == "Happened"
        assert message["detail"]["replayid"] == replay_id
        streams.setdefault(message["detail"]["streamid"], []).append(message["detail"]["eventid"])
    # Those created before the request have to be there; of the others, those that are come whole.
    assert streams.items() >= {**expected, **{stream_id: [1, 2] for stream_id in created[:10]}}.items()
    assert all(events == [1, 2] for stream_id, events in streams.items() if stream_id not in expected)
    assert replay["sent"] == len(messages)

    # Other subscribers got each event by its publication, and nothing of the replay.
    published = inbox.bodies_until(lambda bodies: sum(f"{prefix}new-" in body for body in bodies) >= 60)
    published += inbox.subscriber.receive()
    assert not any(replay_id in body for body in published)
    sqs.delete_queue(QueueUrl=queue_url)


def test_replay_is_paused_resumed_and_refused(http: httpx.Client, api: Api, deployed: Deployed) -> None:
    prefix = f"paused-{uuid4()}/"
    api.append(f"{prefix}1", expected=0, events=[HAPPENED] * 12)
    sqs = deployed.cloud.session().client("sqs", endpoint_url=deployed.cloud.endpoint)
    name = f"replay-{uuid4()}"
    queue_url = sqs.create_queue(QueueName=name)["QueueUrl"]
    body = {"target": f"arn:aws:sqs:{REGION}:{ACCOUNT}:{name}", "streamPrefix": prefix}
    replay_id = http.post("/replays", json={**body, "eventsPerSecond": 1}).json()["replayId"]
    assert http.post(f"/replays/{replay_id}/pause").json()["status"] == "paused"
    time.sleep(3)
    held = received(sqs, queue_url)
    assert len(held) <= 5
    assert http.post(f"/replays/{replay_id}/resume").json()["status"] == "running"
    replay_until(http, replay_id, "completed")
    events = [message["detail"]["eventid"] for message in held + received(sqs, queue_url)]
    assert list(dict.fromkeys(events)) == list(range(1, 13))

    bus = {"target": f"arn:aws:events:{REGION}:{ACCOUNT}:event-bus/other"}
    refused = http.post("/replays", json=bus)
    assert (refused.status_code, refused.json()["type"]) == (
        403,
        "urn:eventstore:problem:replay-target-not-allowed",
    )
    sqs.delete_queue(QueueUrl=queue_url)


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
