"""The publish function: its real module, from the trigger's payload to answer, metrics and logs."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from types import ModuleType
from typing import Any

import boto3
import pytest

from eventstore import Event
from eventstore.aws import eventbridge
from eventstore.errors import PublicationStopped
from tests.fake_aws import (
    ENVIRON,
    FakeEventBridge,
    FakeSqs,
    LambdaContext,
    client_error,
    load_publish_function,
)
from tests.publishing import answered, trigger

TESTS = Path(__file__).parents[1]
INSERTS: dict[str, Any] = json.loads((TESTS / "events" / "dynamodb_stream_inserts.json").read_text())
OTHERS: dict[str, Any] = json.loads((TESTS / "events" / "dynamodb_stream_other_changes.json").read_text())


class NoReads:
    """A DynamoDB client for batches that need no read; puts are for the journal."""

    def __init__(self) -> None:
        self.journal: list[Any] = []
        self.fault: Exception | None = None

    def get_item(self, **request: Any) -> Any:
        raise AssertionError(request)

    query = transact_write_items = get_item

    def put_item(self, *, TableName: str, Item: Any) -> Any:  # noqa: N803
        assert TableName == "journal"
        if self.fault:
            raise self.fault
        self.journal.append(Item)
        return {}


def throttled_at(event_id: int) -> Callable[[Any], str | None]:
    def fault(entry: Any) -> str | None:
        return "ThrottlingException" if json.loads(entry["Detail"])["eventid"] == event_id else None

    return fault


@pytest.fixture
def events() -> FakeEventBridge:
    return FakeEventBridge()


@pytest.fixture
def sqs() -> FakeSqs:
    return FakeSqs()


@pytest.fixture
def function(events: FakeEventBridge, sqs: FakeSqs) -> ModuleType:
    return load_publish_function(events=events, sqs=sqs, dynamodb=NoReads())


def test_journal_that_can_not_be_written_is_logged_and_stops_nothing(
    events: FakeEventBridge,
    sqs: FakeSqs,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    client = NoReads()
    client.fault = client_error("ThrottlingException", "PutItem")
    function = load_publish_function(events=events, sqs=sqs, dynamodb=client)
    assert function.handler(INSERTS, LambdaContext()) == {"batchItemFailures": []}
    (line,) = [record for record in caplog.records if record.message == "journal not available"]
    assert "ThrottlingException" in told(line, "reason")[0]
    assert [line["Unjournaled"] for line in metrics_of(capsys)] == [[1.0]]


def test_what_is_published_is_journaled_once_a_batch(events: FakeEventBridge, sqs: FakeSqs) -> None:
    client = NoReads()
    load_publish_function(events=events, sqs=sqs, dynamodb=client).handler(INSERTS, LambdaContext())
    (item,) = client.journal
    assert item["Consumer"] == {"S": "publish"}
    assert len(item["Published"]["B"]) == 2 * 9


def metrics_of(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    """Return the lines of metrics that were printed."""
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    return [line for line in lines if "_aws" in line]


def told(log: logging.LogRecord, *names: str) -> tuple[Any, ...]:
    """Return the fields of a line of the log."""
    return tuple(vars(log)[name] for name in names)


def test_function_is_a_composition_root_of_at_most_40_lines() -> None:
    source = TESTS.parent / "lambdas" / "publish.py"
    assert len(source.read_text().splitlines()) <= 40


def test_function_imports_nothing_but_boto3_powertools_and_its_own() -> None:
    code = (
        "import sys, boto3, aws_lambda_powertools; before = set(sys.modules); import publish\n"
        "own = {'eventstore', 'publish', 'settings'}\n"
        "print({name.split('.')[0] for name in set(sys.modules) - before} - sys.stdlib_module_names - own)\n"
        "print(sorted(name for name in sys.modules if name.startswith('eventstore.http')))"
    )
    environ = {**ENVIRON, "PYTHONPATH": f"{TESTS.parent}:{TESTS.parent / 'lambdas'}"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environ, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == ["set()", "[]"]


def test_inserts_go_out_in_order_on_the_bus_of_the_settings(
    function: ModuleType, events: FakeEventBridge
) -> None:
    assert function.handler(INSERTS, LambdaContext()) == {"batchItemFailures": []}
    details = [[json.loads(entry["Detail"])["id"] for entry in call] for call in events.calls]
    assert details == [["order-1/1", "órden/2/1"], ["order-1/2"]]
    entry = events.calls[0][0]
    assert {name: entry[name] for name in ("EventBusName", "Source", "DetailType")} == {
        "EventBusName": "events-bus",
        "Source": "shop",
        "DetailType": "OrderPlaced",
    }
    assert entry["Time"].isoformat() == "2026-01-31T12:00:00+00:00"
    assert '"data":{"total": 12345678901234567890123456789012345.678}' in events.calls[0][1]["Detail"]


@pytest.mark.parametrize(
    ("streams", "events_each", "calls"),
    [
        (1_000, 1, [10] * 100),
        (25, 1, [10, 10, 5]),
        (50, 5, [10] * 25),
        (10, 7, [10] * 7),
        (4, 8, [4] * 8),  # one event of a stream a call
        (1, 12, [1] * 12),
    ],
)
def test_requests_are_a_tenth_of_the_records_or_the_most_of_one_stream(
    streams: int, events_each: int, calls: list[int], sqs: FakeSqs
) -> None:
    client = boto3.client(
        "events",
        config=eventbridge.CLIENT_CONFIG,
        region_name="eu-central-1",
        aws_access_key_id="k",
        aws_secret_access_key="s",
    )
    function = load_publish_function(events=client, sqs=sqs, dynamodb=NoReads())
    sent = answered(client)
    events = [
        Event(f"order-{n}", event_id, "OrderPlaced", '{"total":12.50}', "{}", "uid", 1_769_860_800_000_000)
        for event_id in range(1, events_each + 1)
        for n in range(streams)
    ]
    assert function.handler(trigger(events), LambdaContext()) == {"batchItemFailures": []}
    assert sent == calls


def test_other_changes_do_nothing(function: ModuleType, events: FakeEventBridge) -> None:
    assert function.handler(OTHERS, LambdaContext()) == {"batchItemFailures": []}
    assert events.calls == []


def test_metrics_are_one_line_an_invocation(function: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    function.handler(INSERTS, LambdaContext())
    (line,) = metrics_of(capsys)
    assert line["_aws"]["CloudWatchMetrics"][0]["Namespace"] == "EventStore"
    units = {one["Name"]: one["Unit"] for one in line["_aws"]["CloudWatchMetrics"][0]["Metrics"]}
    assert units == {"Published": "Count", "Parked": "Count", "PublicationLag": "Milliseconds"}
    assert line["service"] == "publish"
    assert (line["Published"], line["Parked"]) == ([3], [0])
    assert line["PublicationLag"][0] > 0


def test_stop_reports_the_checkpoint_and_says_so_in_the_log(
    function: ModuleType,
    events: FakeEventBridge,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    events.entry_fault = throttled_at(2)
    answer = function.handler(INSERTS, LambdaContext())
    assert answer == {"batchItemFailures": [{"itemIdentifier": "4421584500000000017450439092"}]}
    (metrics,) = metrics_of(capsys)
    assert metrics["Published"] == [2]
    (log,) = caplog.records
    assert (log.levelname, log.getMessage()) == ("WARNING", "batch stopped")
    assert told(log, "stream_id", "event_id", "from_sequence_number", "reason") == (
        "order-1",
        2,
        "4421584500000000017450439092",
        "ThrottlingException: ThrottlingException says EventBridge",
    )


def test_stop_raises_where_a_partial_answer_would_be_taken_for_success(
    events: FakeEventBridge, sqs: FakeSqs, capsys: pytest.CaptureFixture[str]
) -> None:
    function = load_publish_function(events=events, sqs=sqs, dynamodb=NoReads(), PARTIAL_BATCH="raise")
    events.entry_fault = throttled_at(2)
    with pytest.raises(PublicationStopped, match="4421584500000000017450439092"):
        function.handler(INSERTS, LambdaContext())
    assert len(metrics_of(capsys)) == 1
    events.entry_fault = lambda entry: None
    assert function.handler(INSERTS, LambdaContext()) == {"batchItemFailures": []}


def test_bad_item_is_parked_as_its_address_and_told_in_the_log(
    function: ModuleType,
    sqs: FakeSqs,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    trigger = deepcopy(INSERTS)
    del trigger["Records"][0]["dynamodb"]["NewImage"]["Payload"]
    assert function.handler(trigger, LambdaContext()) == {"batchItemFailures": []}
    (message,) = sqs.messages
    assert (message["streamId"], message["eventId"]) == ("order-1", 1)
    assert "Payload" in message["reason"]
    (metrics,) = metrics_of(capsys)
    assert (metrics["Published"], metrics["Parked"]) == ([2], [1])
    (log,) = caplog.records
    assert (log.levelname, log.getMessage()) == ("ERROR", "event parked")
    assert told(log, "stream_id", "event_id", "reason") == ("order-1", 1, message["reason"])


def test_failed_parking_keeps_the_record_in_the_stream(
    function: ModuleType, events: FakeEventBridge, sqs: FakeSqs
) -> None:
    def fault() -> None:
        raise client_error("QueueDoesNotExist", "SendMessage")

    sqs.fault = fault
    events.entry_fault = lambda entry: "MalformedDetail"
    answer = function.handler(INSERTS, LambdaContext())
    assert answer == {"batchItemFailures": [{"itemIdentifier": "4421584500000000017450439091"}]}


def test_nothing_is_sent_when_lambda_is_about_to_end_the_function(
    function: ModuleType, events: FakeEventBridge
) -> None:
    answer = function.handler(INSERTS, LambdaContext(remaining_time_s=lambda: 1.0))
    assert answer == {"batchItemFailures": [{"itemIdentifier": "4421584500000000017450439091"}]}
    assert events.calls == []


def test_logs_and_metrics_never_hold_a_payload(
    function: ModuleType,
    events: FakeEventBridge,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    events.entry_fault = lambda entry: "MalformedDetail"
    function.handler(INSERTS, LambdaContext())
    assert len(caplog.records) == 3
    written = capsys.readouterr().out + "".join(str(vars(log)) for log in caplog.records)
    assert "12.50" not in written


def test_missing_setting_ends_the_function_at_its_start() -> None:
    with pytest.raises(ValueError, match="EVENT_BUS is missing"):
        load_publish_function(events=FakeEventBridge(), sqs=FakeSqs(), dynamodb=NoReads(), EVENT_BUS="")
    assert ENVIRON["EVENT_BUS"]
