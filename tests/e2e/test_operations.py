"""The operator's commands, as they are called, on the deployed app."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
import time
from pathlib import Path

from eventstore.dynamodb.checkpoints import DynamoDBCheckpoints
from eventstore.limits import SETTLING_S
from eventstore.log.model import BlockPosition
from eventstore.subscriptions import ParkedEvent
from localcloud.api import Api, event_text
from tests.e2e.conftest import Deployed, Inbox


def command(deployed: Deployed, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a command as a user does whose environment names the deployed resources."""
    resources = {
        "EVENTS_TABLE": deployed.app.events_table,
        "LOG_TABLE": deployed.app.log_table,
        "EVENT_BUS": deployed.app.event_bus,
        "API_URL": deployed.app.api_url,
    }
    account = {
        "AWS_ENDPOINT_URL": deployed.cloud.endpoint,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
    }
    return subprocess.run(
        [sys.executable, "-m", "eventstore", *map(str, arguments)],
        env=os.environ | resources | account,
        capture_output=True,
        text=True,
        check=False,
    )


def test_store_whose_engine_scans_numbers_as_text_is_exported_whole(
    api: Api, deployed: Deployed, stream_id: str, tmp_path: Path
) -> None:
    """The local cloud's scan gives event 10 before event 2."""
    for version in range(0, 24, 12):
        events = [event_text(name="Happened", payload=str(version + n)) for n in range(12)]
        api.append(stream_id, expected=version, events=events)
    path = tmp_path / "events.ndjson.gz"

    time.sleep(SETTLING_S)
    verified = command(deployed, "verify", "--settling-s", "1")
    exported = command(deployed, "export", path)
    checked = command(deployed, "import", path, "--check-only")

    assert (verified.returncode, verified.stdout) == (0, ""), verified.stderr
    assert exported.returncode == 0, exported.stderr
    assert checked.returncode == 0, checked.stderr
    assert "is whole" in checked.stderr
    lines = [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]
    assert [line["eventId"] for line in lines if line.get("streamId") == stream_id] == list(range(1, 25))


def test_events_of_a_stream_go_out_once_more_as_the_publisher_wrote_them(
    api: Api, deployed: Deployed, inbox: Inbox, stream_id: str
) -> None:
    events = [event_text(name="Happened", payload=str(n)) for n in range(3)]
    api.append(stream_id, expected=0, events=events)
    published = inbox.events_of(stream_id, count=3)

    time.sleep(SETTLING_S)
    done = command(deployed, "republish", "--stream", stream_id)
    again = inbox.events_of(stream_id, count=3)

    assert done.returncode == 0, done.stderr
    assert done.stderr.endswith("3 events published, 0 not publishable\n")
    told = ("source", "detail-type", "detail")
    assert [[of[name] for name in told] for of in again] == [[of[name] for name in told] for of in published]


def test_parked_events_are_counted_by_the_schedule_and_found_by_the_doctor(
    deployed: Deployed, stream_id: str
) -> None:
    """The worker that has parked them is gone, and so are its logs."""
    sender, engine = deployed.client("events"), deployed.client("dynamodb")
    name = f"view-{stream_id}"
    checkpoints = DynamoDBCheckpoints(client=engine, table_name=deployed.app.subscriptions_table)
    checkpoints.begin(name, [BlockPosition(1, 0)])
    lease = checkpoints.take(name, checkpoints.read_group(name).leases[0], owner="w")
    assert lease
    parked = [ParkedEvent(0, stream_id, number, "no good", 1_769_860_800_000_000) for number in (1, 2)]
    for event in parked:
        assert checkpoints.park(name, lease, event)

    functions = deployed.client("lambda")
    [rule] = [of for of in sender.list_rules()["Rules"] if "ParkedEvents" in of["Name"]]
    assert rule["ScheduleExpression"] == "rate(1 minute)"
    [target] = sender.list_targets_by_rule(Rule=rule["Name"])["Targets"]

    def counted() -> dict[str, int]:
        answer = functions.invoke(FunctionName=target["Arn"], Payload=b"{}")
        found = json.loads(answer["Payload"].read())
        assert "FunctionError" not in answer, found
        return {of["subscription"]: of["parked"] for of in found["subscriptions"]}

    def diagnosed() -> tuple[int, str]:
        table = deployed.app.subscriptions_table
        done = command(deployed, "doctor", "--subscriptions-table", table)
        return done.returncode, done.stdout

    assert counted()[name] == 2
    code, findings = diagnosed()
    assert code == 1
    assert f"subscription '{name}' has parked 2 events" in findings

    for event in parked:
        checkpoints.unpark(name, event)
    assert name not in counted()
    assert name not in diagnosed()[1]
