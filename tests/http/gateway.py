"""API Gateway's part in the tests: requests become events of payload format 2.0, answers are read back.

Every answer is held against the OpenAPI document: its status, its problem type, its headers and its body.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote, unquote, urlencode

from jsonschema import Draft202012Validator

from eventstore import EventStore
from eventstore.http.app import Api
from eventstore.http.append import append_handlers
from eventstore.http.docs.openapi import openapi_document
from eventstore.http.log import log_handlers
from eventstore.http.read import read_handlers
from eventstore.http.requests import Request
from eventstore.http.responses import Response
from eventstore.http.routes import OPERATIONS
from eventstore.log.port import EventLog
from eventstore.memory.log import MemoryEventLog
from eventstore.memory.store import MemoryEventStore

EVENTS = Path(__file__).parents[1] / "events"
_ESCAPES = re.compile(r"(?:%[0-9A-Fa-f]{2})+")
Unescapes = Literal["all but %25", "all", "twice", "never"]


def event(name: str) -> dict[str, Any]:
    """Read an event from tests/events."""
    found: dict[str, Any] = json.loads((EVENTS / f"{name}.json").read_text())
    return found


@dataclass(frozen=True)
class Answer:
    """What a client gets."""

    status: int
    headers: Mapping[str, str]
    text: str

    @property
    def json(self) -> Any:
        return json.loads(self.text)

    @property
    def problem(self) -> str:
        """The name of the problem type."""
        assert self.headers["content-type"] == "application/problem+json"
        name: str = self.json["type"].removeprefix("urn:eventstore:problem:")
        return name


class Gateway:
    """Sends requests through the API as API Gateway does.

    Args:
        unescapes: what of a path it unescapes before a function sees it. An HTTP API does it with all of it,
            or all but %25 (reports differ), and cuts it off at a question mark; something before it may have
            done so once already.
        stage: the stage in the URL; ``$default`` has none there.
        log: the store's log; an empty one of its own if there's none.
    """

    def __init__(
        self,
        store: EventStore,
        *,
        unescapes: Unescapes = "all but %25",
        stage: str = "$default",
        log: EventLog | None = None,
    ) -> None:
        log = log or MemoryEventLog()
        self._api = Api({**append_handlers(store), **read_handlers(store), **log_handlers(log)})
        self._unescapes = unescapes
        self._stage = stage
        self.last: Response | None = None

    @classmethod
    def to(cls, api: Api) -> Gateway:
        """Make a gateway in front of other operations."""
        gateway = cls(MemoryEventStore())
        gateway._api = api
        return gateway

    def get(self, path: str, **query: object) -> Answer:
        return self.send("GET", path, query=urlencode(query))

    def append(
        self, stream_id: str, *events: Mapping[str, Any], expected: object = 0, **more: object
    ) -> Answer:
        body = {"expectedVersion": expected, "events": events, **more}
        return self.post(stream_id, json.dumps(body))

    def post(self, stream_id: str, body: str | None, **headers: str) -> Answer:
        """Append with a body as it is."""
        return self.send("POST", f"/streams/{quote(stream_id, safe='')}/events", body=body, headers=headers)

    def send(
        self,
        method: str,
        path: str,
        *,
        query: str = "",
        body: str | None = None,
        body_is_base64: bool = False,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send a request whose path and query are escaped already."""
        raw_path = unescape(path, self._unescapes)
        prefix = "" if self._stage == "$default" else f"/{self._stage}"
        sent = copy.deepcopy(_template())
        sent |= {"rawPath": prefix + raw_path, "rawQueryString": query, "isBase64Encoded": body_is_base64}
        sent["headers"] |= {name.replace("_", "-"): value for name, value in (headers or {}).items()}
        sent["requestContext"]["http"] |= {"method": method, "path": prefix + raw_path}
        sent["requestContext"]["stage"] = self._stage
        if body is None:
            del sent["body"]
        else:
            sent["body"] = body
        request = Request.from_event(sent)
        self.last = response = self._api(request)
        answer = Answer(response.status, response.headers, response.body.decode())
        _check_documented(method, request.path, answer)
        return answer


@cache
def _template() -> dict[str, Any]:
    return event("http_append")


def unescape(path: str, what: Unescapes) -> str:
    """Unescape a path as a gateway does."""
    if what == "never":
        return path
    if what == "all but %25":
        return _all_but_percent(path).partition("?")[0]
    for _ in range(2 if what == "twice" else 1):
        path = unquote(path).partition("?")[0]
    return path


def _all_but_percent(path: str) -> str:
    def part(found: re.Match[str]) -> str:
        runs = re.split("%25", found[0])
        return "%25".join(bytes.fromhex(run.replace("%", "")).decode(errors="replace") for run in runs)

    return _ESCAPES.sub(part, path)


def _check_documented(method: str, path: str, answer: Answer) -> None:
    template = next((of.path for of in OPERATIONS if re.fullmatch(_pattern(of.path), path, re.DOTALL)), None)
    operations = openapi_document()["paths"].get(template, {})
    operation = operations.get("get" if method == "HEAD" else method.lower())
    if operation is None:
        # Nothing is documented where there is nothing; the problem's form still is.
        if method != "HEAD":
            assert answer.problem in {"not-found", "method-not-allowed"}
            _validator("Problem").validate(answer.json)
        assert answer.status in {404, 405}
        return
    documented = operation["responses"][str(answer.status)]
    (media_type, content), *_ = documented["content"].items()
    assert answer.headers["content-type"] == media_type
    if method == "HEAD":
        assert not answer.text
    elif media_type == "application/problem+json":
        assert answer.problem in content["examples"], (
            f"{answer.problem} is not documented for {method} {path}"
        )
    if "$ref" in content["schema"] and method != "HEAD":
        _validator(content["schema"]["$ref"].rpartition("/")[2]).validate(answer.json)
    extra = set(answer.headers) - {"content-type", "cache-control", "x-content-type-options"}
    assert extra <= set(documented["headers"]), f"{extra} are not documented for {method} {path}"


def _pattern(template: str) -> str:
    pattern = template.replace("{streamId}", ".*").replace("{replayId}", "[^/]+")
    return pattern.replace("/openapi.json", r"/openapi\.json")


@cache
def _validator(schema: str) -> Draft202012Validator:
    components = openapi_document()["components"]
    return Draft202012Validator({"$ref": f"#/components/schemas/{schema}", "components": components})
