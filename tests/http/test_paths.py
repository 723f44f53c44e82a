"""Which operation and which stream a path means, whatever the gateway has unescaped."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventstore.adapters.memory import MemoryEventStore
from eventstore.http.app import Api
from eventstore.http.append import append_handlers
from eventstore.http.paths import API_ROUTES, DEFAULT_FUNCTION
from eventstore.http.requests import Request
from eventstore.http.routes import OPERATIONS
from tests.http.gateway import Gateway, event

PLACED = {"eventName": "OrderPlaced", "payload": {}}
GATEWAYS = pytest.mark.parametrize("unescapes", [True, False], ids=["unescaping gateway", "other gateway"])


@GATEWAYS
@pytest.mark.parametrize("stage", ["$default", "live", "streams"])
@pytest.mark.parametrize(
    "stream_id",
    [
        "a/b",
        "/a//b/",
        "a b",
        "a+b",
        "a%2Fb",
        "100%",
        "%25%",
        "%252541",
        "Größe-日本-🦊",
        "events",
        "a/events/b",
        "a&b=c#d;e",
        "live",
        "x" * 1_024,
    ],
)
def test_any_stream_id_comes_through_a_path(
    store: MemoryEventStore, stream_id: str, stage: str, unescapes: bool
) -> None:
    gateway = Gateway(store, unescapes=unescapes, stage=stage)
    assert gateway.append(stream_id, PLACED).json["streamId"] == stream_id
    assert [of.stream_id for of in store.read_all(unsettled=True)] == [stream_id]
    path = f"/streams/{quote(stream_id, safe='')}"
    assert gateway.get(path).json["version"] == 1
    assert gateway.get(f"{path}/events").json["events"][0]["streamId"] == stream_id


@GATEWAYS
@given(
    stream_id=st.text(
        st.characters(exclude_categories=["Cc", "Cs"], exclude_characters="?"), min_size=1, max_size=40
    )
)
def test_append_and_read_mean_the_same_stream(stream_id: str, unescapes: bool) -> None:
    if stream_id.startswith("$"):
        return
    store = MemoryEventStore()
    gateway = Gateway(store, unescapes=unescapes)
    assert gateway.append(stream_id, PLACED).status == 201
    assert store.head(stream_id).version == 1
    events = gateway.get(f"/streams/{quote(stream_id, safe='')}/events").json["events"]
    assert [of["streamId"] for of in events] == [stream_id]


def test_stream_whose_id_ends_like_a_path_is_described_by_its_last_event(store: MemoryEventStore) -> None:
    gateway = Gateway(store)
    gateway.append("x/events", PLACED, PLACED)
    gateway.append("x", PLACED)
    # The gateway has made this one the events of x; this is what the documents say to ask instead.
    assert gateway.get("/streams/x%2Fevents").json["streamId"] == "x"
    last = gateway.get("/streams/x%2Fevents/events", direction="backward", limit=1).json
    assert (last["streamId"], last["events"][0]["eventId"]) == ("x/events", 2)
    # Where the gateway leaves escapes alone, it can be told.
    assert Gateway(store, unescapes=False).get("/streams/x%2Fevents").json["version"] == 2


@pytest.mark.parametrize(
    "path", ["/", "/orders", "/streams", "/streams/", "/event", "/events/", "/openapi.json/x", "//events"]
)
def test_unknown_path_is_not_found(gateway: Gateway, path: str) -> None:
    for method in ("GET", "POST"):
        answer = gateway.send(method, path, body="{}")
        assert (answer.status, answer.problem) == (404, "not-found")
        assert "/streams/{streamId}/events" in answer.json["detail"]


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("DELETE", "/streams/a/events", "GET, POST"),
        ("PUT", "/streams/a/events", "GET, POST"),
        ("POST", "/streams/a", "GET"),
        ("DELETE", "/streams/a", "GET"),
        ("POST", "/events", "GET"),
        ("HEAD", "/events", "GET"),
        ("OPTIONS", "/openapi.json", "GET"),
    ],
)
def test_wrong_method_is_told_with_those_that_work(
    gateway: Gateway, method: str, path: str, allow: str
) -> None:
    answer = gateway.send(method, path, body="{}")
    assert (answer.status, answer.problem) == (405, "method-not-allowed")
    assert answer.headers["allow"] == allow
    assert answer.json["allow"] == allow.split(", ")


def test_request_of_no_route_is_answered_by_the_default_function() -> None:
    assert DEFAULT_FUNCTION == "read"
    response = Api({})(Request.from_event(event("http_default_route")))
    assert (response.status, response.headers["allow"]) == (405, "GET")


def test_request_sent_to_the_wrong_function_is_not_found(store: MemoryEventStore) -> None:
    response = Api(append_handlers(store))(Request.from_event(event("http_read_all")))
    assert (response.status, response.problem) == (404, "not-found")


def test_gateway_sends_every_operation_to_the_function_that_answers_it() -> None:
    routes = {(route.method, route.path): route.function for route in API_ROUTES}
    for operation in OPERATIONS:
        first, _, more = operation.path.removeprefix("/").partition("/")
        path = f"/{first}/{{proxy+}}" if more else operation.path
        assert routes[operation.method, path] == operation.function
    assert len(routes) == len({(of.method, of.path.partition("{")[0]) for of in OPERATIONS})


def test_stage_is_cut_off_the_path() -> None:
    request = Request.from_event(event("http_stage"))
    assert request.path == "/streams/order-1"


@pytest.mark.parametrize(
    ("raw_path", "path"), [("/live", "/"), ("/live/", "/"), ("/lively", "/lively"), ("/events", "/events")]
)
def test_only_the_stage_is_cut_off(raw_path: str, path: str) -> None:
    sent = {**event("http_stage"), "rawPath": raw_path}
    assert Request.from_event(sent).path == path
