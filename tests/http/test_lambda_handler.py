"""The function around the API: its answers, its logs, its metrics."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from itertools import count
from typing import Any
from uuid import uuid4

import pytest
from aws_lambda_powertools import Logger, Metrics

from eventstore.errors import StoreUnavailable
from eventstore.functions.http import LambdaHandler, lambda_handler
from eventstore.http.app import Api
from eventstore.http.append import append_handlers
from eventstore.http.read import read_handlers
from eventstore.memory.store import MemoryEventStore
from tests.http.gateway import event
from tests.http.test_failures import Failing

REQUEST_ID = "JKJaXmPLvHcESHA="


@dataclass(frozen=True)
class Context:
    """What Lambda tells a function about its invocation."""

    function_name: str = "append"
    memory_limit_in_mb: int = 512
    invoked_function_arn: str = "arn:aws:lambda:eu-central-1:123456789012:function:append"
    aws_request_id: str = "52fdfc07-2182-454f-963f-5f0f9a621d72"


class Function:
    """A function, what it has logged and what it has printed for CloudWatch's metrics."""

    def __init__(self, store: MemoryEventStore, printed: pytest.CaptureFixture[str]) -> None:
        self._log = io.StringIO()
        self._printed = printed
        clock_s = count()
        self.handler: LambdaHandler = lambda_handler(
            Api({**append_handlers(store), **read_handlers(store)}),
            # Powertools keeps one logger a service for the life of the process, and its stream with it.
            logger=Logger(service=f"test-{uuid4()}", stream=self._log),
            metrics=Metrics(namespace="EventStore", service="append"),
            clock_s=lambda: next(clock_s) / 8,
        )

    def __call__(self, sent: dict[str, Any], **headers: str) -> dict[str, Any]:
        more = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.handler({**sent, "headers": {**sent["headers"], **more}}, Context())

    @property
    def logged(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self._log.getvalue().splitlines()]

    def printed(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self._printed.readouterr().out.splitlines()]


@pytest.fixture
def function(store: MemoryEventStore, capsys: pytest.CaptureFixture[str]) -> Function:
    return Function(store, capsys)


def test_answer_is_what_the_gateway_takes(function: Function) -> None:
    answer = function(event("http_append"))
    assert answer["statusCode"] == 201
    assert answer["isBase64Encoded"] is False
    assert json.loads(answer["body"])["version"] == 1
    assert answer["headers"]["location"] == "events?from=1&to=1"
    assert all(isinstance(value, str) for value in answer["headers"].values())
    assert json.loads(json.dumps(answer)) == answer


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ("order-7/place", "order-7/place"),
        ("", REQUEST_ID),
        ("a b", REQUEST_ID),
        ("x" * 129, REQUEST_ID),
        ("ü", REQUEST_ID),
    ],
)
def test_correlation_id_is_the_clients_or_else_the_gateways(
    function: Function, given: str, used: str
) -> None:
    answer = function(event("http_append"), **({"X_Correlation_Id": given} if given else {}))
    assert answer["headers"]["x-correlation-id"] == used
    assert function.logged[0]["correlation_id"] == used


def test_request_makes_one_line_in_the_log(function: Function) -> None:
    function(event("http_append"))
    (line,) = function.logged
    told = {name: line[name] for name in ("level", "message", "method", "path", "status", "duration_ms")}
    assert told == {
        "level": "INFO",
        "message": "request",
        "method": "POST",
        "path": "/streams/order-1/events",
        "status": 201,
        "duration_ms": 125.0,
    }
    assert line["function_request_id"] == Context.aws_request_id


def test_correlation_id_does_not_stay_for_the_next_request(function: Function) -> None:
    function(event("http_append"), x_correlation_id="first")
    function(event("http_read_stream"))
    assert [line["correlation_id"] for line in function.logged] == ["first", REQUEST_ID]


def test_payloads_and_credentials_are_never_logged(
    store: MemoryEventStore, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POWERTOOLS_LOGGER_LOG_EVENT", "true")
    function = Function(store, capsys)
    sent = event("http_append")
    function({**sent, "body": sent["body"].replace("12.50", '"4111111111111111"')})
    function({**sent, "body": sent["body"].replace("12.50", "4111111111111111, NaN")})
    function(event("http_read_stream"))
    logged = json.dumps(function.logged)
    assert "4111111111111111" not in logged
    assert "AWS4-HMAC-SHA256" not in logged
    assert [line.get("problem") for line in function.logged] == [None, "malformed-json", None]


def test_appended_events_and_conflicts_are_counted_once(function: Function) -> None:
    sent = event("http_append")
    two = {
        "expectedVersion": 0,
        "events": [
            {"eventName": "A", "payload": 1, "eventUid": "01890a5d-ac96-774b-bcce-b302099a8057"},
            {"eventName": "B", "payload": 1, "eventUid": "01890a5d-ac97-7c42-9e0e-0a4f1c7a5d11"},
        ],
    }
    function({**sent, "body": json.dumps(two)})
    (metric,) = function.printed()
    assert (metric["Appended"], metric["service"]) == ([2.0], "append")
    assert metric["_aws"]["CloudWatchMetrics"][0]["Namespace"] == "EventStore"
    assert metric["_aws"]["CloudWatchMetrics"][0]["Dimensions"] == [["service"]]
    assert metric["_aws"]["CloudWatchMetrics"][0]["Metrics"] == [{"Name": "Appended", "Unit": "Count"}]

    function({**sent, "body": json.dumps(two)})
    assert function.printed() == []  # repeated: nothing was appended

    function(sent)
    (metric,) = function.printed()
    assert metric["Conflicts"] == [1.0]
    assert "Appended" not in metric


def test_requests_without_anything_to_count_print_no_metrics(function: Function) -> None:
    function(event("http_read_stream"))
    function({**event("http_append"), "body": "{"})
    assert function.printed() == []


@pytest.mark.parametrize(
    "error", [StoreUnavailable(operation="PutItem", reason="throttled"), RuntimeError("a bug")]
)
def test_failure_is_logged_with_its_cause(error: Exception, capsys: pytest.CaptureFixture[str]) -> None:
    function = Function(Failing(error), capsys)
    answer = function(event("http_append"))
    (line,) = function.logged
    assert (line["level"], line["message"], line["status"]) == (
        "ERROR",
        "request failed",
        answer["statusCode"],
    )
    assert line["exception_name"] == type(error).__name__
    assert str(error) in line["exception"]
    assert str(error) not in answer["body"]


def test_client_errors_are_logged_as_what_they_are(function: Function) -> None:
    function(event("http_default_route"))
    (line,) = function.logged
    assert (line["level"], line["status"], line["problem"]) == ("INFO", 405, "method-not-allowed")
