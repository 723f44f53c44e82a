"""Requests made from the OpenAPI document, good ones and bad ones: what is answered is what it says."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode

from eventstore.adapters.memory import MemoryEventStore
from eventstore.adapters.memory_log import MemoryEventLog
from eventstore.adapters.memory_replays import MemoryReplays
from eventstore.http.app import Api
from eventstore.http.append import append_handlers
from eventstore.http.log import log_handlers
from eventstore.http.read import read_handlers
from eventstore.http.replays import replay_handlers
from eventstore.http.routes import OPERATIONS, Operation
from eventstore.replays import Replay, Replays
from tests.http.gateway import Gateway

TARGET = "arn:aws:sqs:eu-central-1:123456789012:rebuild"


class _Engine:
    def start(self, replay: Replay) -> bool:
        """Runs nothing."""
        return True


def _api() -> Api:
    log = MemoryEventLog()
    store = MemoryEventStore(log=log, settling_s=0)
    replays = Replays(store=MemoryReplays(), engine=_Engine(), allowed_targets=[TARGET])
    return Api(
        {**append_handlers(store), **read_handlers(store), **log_handlers(log), **replay_handlers(replays)}
    )


class _Wsgi:
    """The API behind the tests' gateway, which holds answers against the document, as a WSGI application."""

    def __init__(self) -> None:
        self._gateway = Gateway.to(_api())

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        path = f"/{environ['REQUEST_URI'].partition('?')[0].removeprefix('/')}"
        headers = {
            name.removeprefix("HTTP_").replace("_", "-").lower(): value
            for name, value in environ.items()
            if name.startswith("HTTP_")
        }
        if environ.get("CONTENT_TYPE"):
            headers["content-type"] = environ["CONTENT_TYPE"]
        length = int(environ.get("CONTENT_LENGTH") or 0)
        body = base64.b64encode(environ["wsgi.input"].read(length)).decode() if length else None
        answer = self._gateway.send(
            environ["REQUEST_METHOD"],
            path,
            query=environ["QUERY_STRING"],
            body=body,
            body_is_base64=length > 0,
            headers=headers,
        )
        start_response(f"{answer.status} -", [*answer.headers.items(), ("x-correlation-id", "c-1")])
        return [answer.text.encode()]


APP = _Wsgi()
SCHEMA = schemathesis.openapi.from_wsgi("/openapi.json", APP)
CHECKS = [
    schemathesis.checks.not_a_server_error,
    *(
        schemathesis.checks.CHECKS.get_one(name)
        for name in (
            "status_code_conformance",
            "content_type_conformance",
            "response_headers_conformance",
            "response_schema_conformance",
            "negative_data_rejection",
            "unsupported_method",
        )
    ),
]


# Without parameters, or with a text alone, there is nothing that the document forbids.
ALWAYS_VALID = {"getOpenApi", "describeStream"}
CASES = [
    pytest.param(operation, mode, id=f"{operation.name}-{mode.value}")
    for operation in OPERATIONS
    for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)
    if mode is GenerationMode.POSITIVE or operation.name not in ALWAYS_VALID
]


@pytest.mark.parametrize(("operation", "mode"), CASES)
def test_requests_made_from_the_document_are_answered_as_it_says(
    operation: Operation, mode: GenerationMode
) -> None:
    described = SCHEMA[operation.path][operation.method]

    @settings(
        max_examples=8,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(st.data())
    def sends(data: st.DataObject) -> None:
        case = data.draw(described.as_strategy(generation_mode=mode))
        case.call_and_validate(checks=CHECKS)

    sends()
