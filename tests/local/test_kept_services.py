"""All that runs in a kept cloud goes on: after its end, and after a sudden one."""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from localcloud import kept_services
from localcloud.cloud import Cloud, local_cloud
from localcloud.kept_services import Keeper
from localcloud.kept_store import KeptStore
from localcloud.processes import LocalCloudError, server
from tests.local.test_kept_tables import TABLE, fresh_module, item
from tests.ports import lasting_port

PATIENCE_S = 120.0


def client(cloud: Cloud, service: str) -> Any:
    return cloud.session().client(service, endpoint_url=cloud.endpoint)  # type: ignore[call-overload]


def fill(cloud: Cloud) -> None:
    """Make a table, a parameter, and a rule whose queue holds an event."""
    sqs, events = client(cloud, "sqs"), client(cloud, "events")
    url = sqs.create_queue(QueueName="inbox")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    events.create_event_bus(Name="bus")
    events.put_rule(Name="all", EventBusName="bus", EventPattern='{"source": ["test"]}')
    events.put_targets(Rule="all", EventBusName="bus", Targets=[{"Id": "inbox", "Arn": arn}])
    publish(cloud, "first")
    client(cloud, "ssm").put_parameter(Name="/eventstore/x", Value="{}", Type="String")
    client(cloud, "dynamodb").create_table(**TABLE)


def publish(cloud: Cloud, detail_type: str) -> None:
    entry = {"Source": "test", "DetailType": detail_type, "Detail": "{}", "EventBusName": "bus"}
    assert client(cloud, "events").put_events(Entries=[entry])["FailedEntryCount"] == 0


def received(cloud: Cloud) -> list[str]:
    sqs = client(cloud, "sqs")
    url = sqs.get_queue_url(QueueName="inbox")["QueueUrl"]
    answer = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, VisibilityTimeout=0, WaitTimeSeconds=5)
    return sorted(json.loads(message["Body"])["detail-type"] for message in answer.get("Messages", []))


def await_saved(folder: Path) -> None:
    began, deadline = time.time() + 0.1, time.monotonic() + PATIENCE_S
    with KeptStore(folder) as store:
        while float(store.about("saved") or 0) <= began:
            assert time.monotonic() < deadline, "nothing is saved"
            time.sleep(0.05)


def test_what_runs_in_a_kept_cloud_is_there_after_its_end(tmp_path: Path) -> None:
    port, kept = lasting_port(), tmp_path / "kept"
    with local_cloud(folder=tmp_path, port=port, kept=kept) as cloud:
        fill(cloud)
        client(cloud, "dynamodb").put_item(TableName="events", Item=item("a", 1))
    with KeptStore(kept) as store:
        assert store.about("ended") == "1"

    with local_cloud(folder=tmp_path, port=port, kept=kept) as cloud:
        publish(cloud, "second")
        assert received(cloud) == ["first", "second"]
        assert client(cloud, "ssm").get_parameter(Name="/eventstore/x")["Parameter"]["Value"] == "{}"
        dynamodb = client(cloud, "dynamodb")
        assert dynamodb.scan(TableName="events")["Items"] == [item("a", 1)]
        arn = dynamodb.describe_table(TableName="events")["Table"]["LatestStreamArn"]
        shards = client(cloud, "dynamodbstreams").describe_stream(StreamArn=arn)["StreamDescription"]
        assert shards["StreamStatus"] == "ENABLED"


def test_every_answered_write_is_there_after_a_sudden_end(tmp_path: Path) -> None:
    port, kept = lasting_port(), tmp_path / "kept"
    with local_cloud(folder=tmp_path, port=port, kept=kept) as cloud:
        fill(cloud)
        await_saved(kept)
        dynamodb = client(cloud, "dynamodb")
        for number in range(1, 31):
            dynamodb.put_item(TableName="events", Item=item("a", number))
        os.killpg(cloud.process.pid, signal.SIGKILL)
    with KeptStore(kept) as store:
        assert store.about("ended") == "0"

    with local_cloud(folder=tmp_path, port=port, kept=kept) as cloud:
        found = client(cloud, "dynamodb").query(
            TableName="events",
            KeyConditionExpression="StreamId = :a",
            ExpressionAttributeValues={":a": {"S": "a"}},
        )["Items"]
        assert found == [item("a", number) for number in range(1, 31)]
        assert received(cloud) == ["first"]


def test_a_state_that_can_not_be_restored_starts_nothing_and_stays(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    with local_cloud(folder=tmp_path, kept=kept) as cloud:
        fill(cloud)
    with KeptStore(kept) as store, store.transaction() as db:
        db.execute("UPDATE services SET state = '{\"queues\": 1' WHERE name = 'sqs'")
    with pytest.raises(LocalCloudError, match="while starting"), local_cloud(folder=tmp_path, kept=kept):
        pytest.fail("it started")
    with KeptStore(kept) as store:
        assert dict(store.pairs("SELECT name, state FROM services"))["sqs"] == '{"queues": 1'
        assert store.about("ended") == "1"


class Ministack:
    """The parts of ministack that a keeper replaces or asks."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        scoped = importlib.import_module("ministack.core.responses").AccountRegionScopedDict
        self.order: list[str] = []
        self.stacks, self.functions = scoped(), scoped()
        self.packages = folder / "lambda-blobs"
        self.lambdas = SimpleNamespace(
            get_state=self._state("lambda", {"functions": self.functions}),
            _prune_orphan_code_blobs=lambda _referenced: self.order.append("packages dropped"),
            _esms=scoped(),
            _dynamodb_stream_positions=scoped(),
            CODE_BLOB_DIR=str(self.packages),
        )
        modules = {
            "core.persistence": importlib.import_module("ministack.core.persistence"),
            "services.lambda_svc": self.lambdas,
            "services.cloudformation": SimpleNamespace(_stacks=self.stacks),
            "services.dynamodb": fresh_module(),
        }
        monkeypatch.setattr(kept_services, "_module", modules.__getitem__)
        self.app = SimpleNamespace(
            _build_persistence_save_dict=lambda: {
                "sqs": self._state("sqs", {}),
                "lambda": self.lambdas.get_state,
            },
            _state_map={"lambda": "lambda_svc"},
            _get_module=lambda _name: SimpleNamespace(load_persisted_state=self.order.append),
        )

    def _state(self, name: str, state: Any) -> Any:
        def get() -> Any:
            self.order.append(name)
            return state

        return get


@pytest.fixture
def ministack(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Ministack:
    return Ministack(monkeypatch, tmp_path)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[KeptStore]:
    with KeptStore(tmp_path) as store:
        yield store


def test_a_deployment_in_progress_is_not_saved_by_halves(ministack: Ministack, store: KeptStore) -> None:
    keeper = Keeper(ministack.app, store)
    ministack.stacks["Data"] = {"StackStatus": "CREATE_COMPLETE"}
    ministack.stacks["Service"] = {"StackStatus": "CREATE_IN_PROGRESS"}
    keeper.end(None)
    assert (store.about("saved"), store.about("ended")) == (None, None)

    ministack.stacks["Service"] = {"StackStatus": "CREATE_COMPLETE"}
    keeper.end(None)
    assert store.about("ended") == "1"


def test_what_functions_consumed_is_read_before_the_queues_they_fill(
    ministack: Ministack, store: KeptStore
) -> None:
    Keeper(ministack.app, store).save()
    assert ministack.order == ["lambda", "sqs", "packages dropped"]


def test_records_wait_for_the_function_that_is_furthest_behind(
    ministack: Ministack, store: KeptStore
) -> None:
    keeper = Keeper(ministack.app, store)
    table = "arn:aws:dynamodb:us-east-1:000000000000:table/events"
    for uuid in ("publish", "log", "new"):
        ministack.lambdas._esms[uuid] = {"EventSourceArn": f"{table}/stream/1"}
    for uuid, place in (("publish", 9), ("log", 4)):
        ministack.lambdas._dynamodb_stream_positions[uuid] = place
    assert keeper._consumed() == {table: 0}
    ministack.lambdas._dynamodb_stream_positions["new"] = 7
    assert keeper._consumed() == {table: 4}


def test_a_function_without_its_package_is_an_error(ministack: Ministack, store: KeptStore) -> None:
    ministack.functions["publish"] = {"code_zip": {"code_blob_ref": "0d32"}, "versions": {}}
    Keeper(ministack.app, store).save()
    keeper = Keeper(ministack.app, store)
    with pytest.raises(RuntimeError, match=r"package of a function is missing: .*0d32\.zip"):
        keeper.restore()


def test_a_state_that_a_thread_changes_meanwhile_is_read_again(
    ministack: Ministack, store: KeptStore
) -> None:
    keeper = Keeper(ministack.app, store)
    tries = iter([RuntimeError("dictionary changed size"), RuntimeError("dictionary changed size"), None])

    def changing() -> Any:
        error = next(tries)
        if error is not None:
            raise error
        return {"queues": 1}

    assert keeper._text(changing) == '{"queues": 1}'


def test_a_server_that_saves_is_told_to_end_first(tmp_path: Path) -> None:
    saves = (
        "import signal, subprocess, sys, time; from pathlib import Path\n"
        "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        "def end(*_):\n    Path(sys.argv[1]).write_text('saved'); sys.exit(0)\n"
        "signal.signal(signal.SIGTERM, end); Path(sys.argv[2]).touch(); time.sleep(600)\n"
    )
    ready, saved = tmp_path / "ready", tmp_path / "saved"
    command = [sys.executable, "-c", saves, str(saved), str(ready)]
    with server(
        command,
        name="It",
        log=tmp_path / "log",
        environment=dict(os.environ),
        answers=ready.exists,
        saves=True,
    ):
        assert not saved.exists()
    assert saved.read_text() == "saved"
