"""The functions as they are deployed, with events of the gateway, on DynamoDB Local."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.http.gateway import event
from tests.http.test_lambda_handler import Context
from tests.tables import dynamodb_client, events_table, log_table

LAMBDAS = Path(__file__).parents[2] / "lambdas"


@pytest.fixture
def _environment(dynamodb_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    client = dynamodb_client(dynamodb_endpoint)
    with events_table(client) as events, log_table(client) as log:
        _set_environment(dynamodb_endpoint, monkeypatch, events=events, log=log)
        yield


def _set_environment(endpoint: str, monkeypatch: pytest.MonkeyPatch, *, events: str, log: str) -> None:
    environment = {
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL_DYNAMODB": endpoint,
        "EVENTS_TABLE": events,
        "LOG_TABLE": log,
        "LOG_TRANCHES": "4",
        "WRITE_SHARDS": "3",
        "SETTLING_S": "0",
        "POWERTOOLS_METRICS_NAMESPACE": "EventStore",
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)


def load(name: str) -> ModuleType:
    """Import a function's module anew, as a cold start does."""
    spec = importlib.util.spec_from_file_location(f"deployed_{name}", LAMBDAS / f"{name}.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.usefixtures("_environment")
def test_what_the_append_function_writes_the_read_function_reads() -> None:
    append, read = load("append"), load("read")

    def body(answer: dict[str, Any]) -> Any:
        return json.loads(answer["body"])

    appended = append.handler(event("http_append"), Context())
    assert (appended["statusCode"], body(appended)["version"]) == (201, 1)
    conflict = append.handler(event("http_append_base64"), Context())
    assert conflict["statusCode"] == 409
    assert body(conflict) | {"detail": ""} == {
        "type": "urn:eventstore:problem:version-conflict",
        "title": "Another writer was first",
        "status": 409,
        "detail": "",
        "streamId": "order-1",
        "expected": 0,
        "actual": 1,
    }

    stream = read.handler(event("http_read_stream"), Context())
    assert stream["statusCode"] == 200
    assert '"payload":{"total": 12.50},"metadata":{"correlationId": "c-1"},' in stream["body"]
    everything = read.handler(event("http_read_all"), Context())
    assert [of["streamId"] for of in body(everything)["events"]] == ["order-1"]
    assert body(read.handler(event("http_stage"), Context()))["version"] == 1
    assert read.handler(event("http_default_route"), Context())["statusCode"] == 405


@pytest.mark.parametrize("name", ["append", "read", "publish", "log"])
def test_composition_root_fits_on_a_page(name: str) -> None:
    assert len((LAMBDAS / f"{name}.py").read_text().splitlines()) <= 40
