"""Requests made from the OpenAPI document, good ones and bad ones: what is answered is what it says."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from eventstore.http.app import Api
from eventstore.http.append import append_handlers
from eventstore.http.log import log_handlers
from eventstore.http.read import read_handlers
from eventstore.http.replays import replay_handlers
from eventstore.http.routes import OPERATIONS, Operation
from eventstore.memory.log import MemoryEventLog
from eventstore.memory.replays import MemoryReplays
from eventstore.memory.store import MemoryEventStore
from eventstore.replays.service import Replay, Replays
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


@dataclass(frozen=True)
class Described:
    """What schemathesis makes of the document."""

    schema: Any
    checks: list[Any]
    modes: Mapping[str, Any]


@pytest.fixture(scope="module")
def described() -> Described:
    """Read the document; schemathesis takes a second to import, in which others only collect these tests."""
    import schemathesis  # noqa: PLC0415

    names = (
        "status_code_conformance",
        "content_type_conformance",
        "response_headers_conformance",
        "response_schema_conformance",
        "negative_data_rejection",
        "unsupported_method",
    )
    named = (schemathesis.checks.CHECKS.get_one(name) for name in names)
    return Described(
        schema=schemathesis.openapi.from_wsgi("/openapi.json", _Wsgi()),
        checks=[schemathesis.checks.not_a_server_error, *named],
        modes={mode.value: mode for mode in schemathesis.GenerationMode},
    )


# Without parameters, or with a text alone, there is nothing that the document forbids.
ALWAYS_VALID = {"getOpenApi", "describeStream"}
CASES = [
    pytest.param(operation, mode, id=f"{operation.name}-{mode}")
    for operation in OPERATIONS
    for mode in ("positive", "negative")
    if mode == "positive" or operation.name not in ALWAYS_VALID
]


@pytest.mark.parametrize(("operation", "mode"), CASES)
def test_requests_made_from_the_document_are_answered_as_it_says(
    operation: Operation, mode: str, described: Described
) -> None:
    route = described.schema[operation.path][operation.method]

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
        case = data.draw(route.as_strategy(generation_mode=described.modes[mode]))
        case.call_and_validate(checks=described.checks)

    sends()
