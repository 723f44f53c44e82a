"""EventBridge, SQS and a Lambda context as boto3 and Lambda shape them; and the publish function on them.

The fakes check what the services check, raise what botocore raises, and keep what they have taken.
"""

from __future__ import annotations

import gc
import importlib.util
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any, Final
from unittest.mock import patch

from botocore.exceptions import ClientError

_LAMBDAS: Final = Path(__file__).parents[1] / "lambdas"
_INT64: Final = 2**63

ENVIRON: Final = {
    "AWS_DEFAULT_REGION": "eu-central-1",
    "EVENTS_TABLE": "events",
    "JOURNAL_TABLE": "journal",
    "EVENT_BUS": "events-bus",
    "FAILED_EVENTS_QUEUE_URL": "https://sqs.eu-central-1.amazonaws.com/123456789012/failed",
    "API_URL": "https://api.example.com",
    "EVENT_SOURCE": "shop",
    "POWERTOOLS_SERVICE_NAME": "publish",
    "POWERTOOLS_METRICS_NAMESPACE": "EventStore",
}


def client_error(code: str, operation: str, message: str = "") -> ClientError:
    """Make the error that botocore raises for a code."""
    return ClientError({"Error": {"Code": code, "Message": message or code}}, operation)


@dataclass
class FakeEventBridge:
    """Takes entries as EventBridge does; `entry_fault` gives an entry's error code, `call_fault` raises."""

    entry_fault: Callable[[Mapping[str, Any]], str | None] = lambda entry: None
    call_fault: Callable[[], None] = lambda: None
    on_taken: Callable[[Mapping[str, Any]], None] = lambda entry: None
    max_bytes: int = 256 * 1_024
    calls: list[list[Mapping[str, Any]]] = field(default_factory=list)

    def put_events(self, *, Entries: list[Mapping[str, Any]]) -> dict[str, Any]:  # noqa: N803
        self.calls.append(Entries)
        self.call_fault()
        if not 1 <= len(Entries) <= 10:
            raise client_error("ValidationException", "PutEvents", "1-10 entries")
        if sum(map(self._size_bytes, Entries)) >= self.max_bytes:
            raise client_error(
                "ValidationException", "PutEvents", "Total size of the entries is over the limit"
            )
        results: list[dict[str, str]] = []
        for entry in Entries:
            code = self._refuses(entry) or self.entry_fault(entry)
            if code:
                results.append({"ErrorCode": code, "ErrorMessage": f"{code} says EventBridge"})
            else:
                self.on_taken(entry)
                results.append({"EventId": f"{len(self.calls)}-{len(results)}"})
        failed = sum("ErrorCode" in result for result in results)
        return {"FailedEntryCount": failed, "Entries": results}

    @staticmethod
    def _size_bytes(entry: Mapping[str, Any]) -> int:
        texts = [entry[name] for name in ("Source", "DetailType", "Detail")]
        return 14 + sum(len(text.encode()) for text in texts)

    @staticmethod
    def _refuses(entry: Mapping[str, Any]) -> str | None:
        if not entry["Source"] or not 1 <= len(entry["DetailType"]) <= 128 or entry["Time"].tzinfo is None:
            return "InvalidArgument"
        fits = True

        def look(integer: str) -> None:
            nonlocal fits
            fits = fits and len(integer) <= 20 and -_INT64 <= int(integer) < _INT64

        try:
            detail = json.loads(entry["Detail"], parse_int=look)
        except json.JSONDecodeError:
            return "MalformedDetail"
        return None if isinstance(detail, dict) and fits else "MalformedDetail"


@dataclass
class FakeSqs:
    """Keeps messages; `fault` raises."""

    fault: Callable[[], None] = lambda: None
    on_sent: Callable[[Mapping[str, Any]], None] = lambda message: None
    messages: list[dict[str, Any]] = field(default_factory=list)

    def send_message(self, *, QueueUrl: str, MessageBody: str) -> dict[str, str]:  # noqa: N803
        assert QueueUrl == ENVIRON["FAILED_EVENTS_QUEUE_URL"]
        self.fault()
        self.messages.append(json.loads(MessageBody))
        self.on_sent(self.messages[-1])
        return {"MessageId": str(len(self.messages))}


@dataclass
class LambdaContext:
    """What Lambda gives a handler beside the trigger."""

    remaining_time_s: Callable[[], float] = lambda: 60.0
    function_name: str = "publish"
    memory_limit_in_mb: int = 256
    invoked_function_arn: str = "arn:aws:lambda:eu-central-1:123456789012:function:publish"
    aws_request_id: str = "4d1f5a1c-0000-4000-8000-000000000000"

    def get_remaining_time_in_millis(self) -> int:
        return round(self.remaining_time_s() * 1_000)


def load_publish_function(
    *,
    events: Any,
    sqs: Any,
    dynamodb: Any,
    sleep: Callable[[float], None] = lambda pause_s: None,
    jitter: Callable[[], float] = lambda: 1.0,
    clock_us: Callable[[], int] | None = None,
    **environ: str,
) -> ModuleType:
    """Start an execution environment of the publish function: its real module, on these clients."""
    module = _load("publish", {"events": events, "sqs": sqs, "dynamodb": dynamodb}, environ)
    module.publisher._sleep, module.publisher._jitter = sleep, jitter
    _set_clock(module.publisher, clock_us)
    return module


def load_log_function(
    *,
    dynamodb: Any,
    sleep: Callable[[float], None] = lambda pause_s: None,
    clock_us: Callable[[], int] | None = None,
    **environ: str,
) -> ModuleType:
    """Start an execution environment of the log function: its real module, on this client."""
    module = _load("log", {"dynamodb": dynamodb}, environ)
    module.log_writer._log._sleep = sleep
    _set_clock(module.log_writer, clock_us)
    return module


def _set_clock(consumer: Any, clock_us: Callable[[], int] | None) -> None:
    if clock_us is not None:
        consumer._clock_us = consumer._order._clock_us = consumer._order._journal._clock_us = clock_us


def _load(name: str, clients: Mapping[str, Any], environ: Mapping[str, str]) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"{name}_function", _LAMBDAS / f"{name}.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    with (
        patch.dict(os.environ, {**ENVIRON, **environ}),
        patch("boto3.client", lambda service, **_: clients[service]),
        patch("eventstore.dynamodb.client.dynamodb_client", lambda: clients["dynamodb"]),
    ):
        try:
            spec.loader.exec_module(module)
        finally:  # a start that fails leaves the collector off, which in a function dies with it
            gc.unfreeze()
            gc.enable()
    return module


class FakeParameters:
    """SSM with one parameter; `refuses_lists` is a role that may read it and no more."""

    refuses_lists = False

    def __init__(self) -> None:
        self.parameters: dict[str, str] = {}

    def get_parameter(self, *, Name: str) -> dict[str, Any]:  # noqa: N803
        if Name not in self.parameters:
            raise ClientError({"Error": {"Code": "ParameterNotFound"}}, "GetParameter")
        return {"Parameter": {"Value": self.parameters[Name]}}

    def get_parameters_by_path(self, *, Path: str, MaxResults: int) -> dict[str, Any]:  # noqa: N803
        if self.refuses_lists:
            raise ClientError({"Error": {"Code": "AccessDeniedException"}}, "GetParametersByPath")
        assert 1 <= MaxResults <= 10
        return {"Parameters": [{"Name": name} for name in self.parameters if name.startswith(Path)]}
