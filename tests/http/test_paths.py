"""Which operation and which stream a path means, whatever the gateway has unescaped."""

from __future__ import annotations

import json
import posixpath
from urllib.parse import quote, urljoin, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventstore import Event
from eventstore._stream_paths import path_fault
from eventstore.delivery.cloudevents import EntryFormat
from eventstore.errors import NotPublishable
from eventstore.http.app import Api
from eventstore.http.append import append_handlers
from eventstore.http.paths import API_ROUTES, DEFAULT_FUNCTION
from eventstore.http.requests import Request
from eventstore.http.routes import OPERATIONS, route
from eventstore.memory.store import MemoryEventStore
from tests.http.gateway import Gateway, Unescapes, event, unescape

PLACED = {"eventName": "OrderPlaced", "payload": {}}
APPEND = {"expectedVersion": 0, "events": [PLACED]}
UID = "01890a5d-ac96-774b-bcce-b302099a8057"
UNESCAPES: list[Unescapes] = ["all but %25", "all", "twice"]
GATEWAYS = pytest.mark.parametrize("unescapes", UNESCAPES)


@GATEWAYS
@pytest.mark.parametrize("stage", ["$default", "live", "streams"])
@pytest.mark.parametrize(
    "stream_id",
    [
        "a/b",
        "a b",
        "a+b",
        " ",
        "Größe-日本-🦊",
        "events",
        "a/events/b",
        "log/replays",
        "openapi.json",
        "a&b=c;d,e",
        "...",
        "a/.../b..",
        "..;/a",
        "~{streamId}",
        "live",
        "x" * 1_024,
    ],
)
def test_stream_id_that_a_path_can_carry_comes_through_it(
    store: MemoryEventStore, stream_id: str, stage: str, unescapes: Unescapes
) -> None:
    gateway = Gateway(store, unescapes=unescapes, stage=stage)
    assert gateway.append(stream_id, PLACED).json["streamId"] == stream_id
    assert [of.stream_id for of in store.read_all(unsettled=True)] == [stream_id]
    path = f"/streams/{quote(stream_id, safe='')}"
    assert gateway.get(path).json["version"] == 1
    assert gateway.get(f"{path}/events").json["events"][0]["streamId"] == stream_id


UNCARRIED = [
    ".",
    "..",
    "a/../b",
    "../events",
    "a/..",
    "./a",
    "/a",
    "a/",
    "a//b",
    "/",
    "a%2Fb",
    "a%252Fb",
    "100%",
    "%",
    "%2e%2e",
    "a?b",
    "a#b",
    "a\\b",
    "..\\events",
    "a/events",
    "\ufffd",
]


# (What has unescaped a path twice has made another id of it before anybody could see.)
@pytest.mark.parametrize("unescapes", ["all but %25", "all"])
@pytest.mark.parametrize("stream_id", UNCARRIED)
def test_stream_id_that_no_path_carries_is_never_taken_for_another(
    store: MemoryEventStore, stream_id: str, unescapes: Unescapes
) -> None:
    gateway = Gateway(store, unescapes=unescapes)
    escaped = quote(stream_id, safe="")
    appended = gateway.send("POST", f"/streams/{escaped}/events", body=json.dumps(APPEND))
    assert appended.status in {400, 405}
    assert list(store.read_all(unsettled=True)) == []
    answer = gateway.get(f"/streams/{escaped}/events")
    # Cut off at a question mark, nothing but the description of what stands before it is left.
    assert answer.problem == ("stream-not-found" if "?" in stream_id else "invalid-stream-id")


def test_stream_id_that_no_path_carries_is_refused_with_the_reason(store: MemoryEventStore) -> None:
    answer = Gateway(store).append("a%2Fb", PLACED)
    assert answer.json["detail"] == (
        "streamId has a percent sign, which this API can't take in a path; "
        "choose another id, or use the library."
    )


def test_gateway_that_leaves_a_path_escaped_is_noticed_and_not_guessed_at(store: MemoryEventStore) -> None:
    gateway = Gateway(store, unescapes="never")
    assert gateway.append("order-1", PLACED).status == 201
    assert gateway.append("a b", PLACED).problem == "invalid-stream-id"


@given(
    stream_id=st.text(
        st.sampled_from("ab./%2Fe\\?#é \ufffd🦊") | st.characters(codec="utf-8"), min_size=1, max_size=12
    )
    | st.lists(
        st.sampled_from(["a", ".", "..", "", "events", "%2F", "%25", "b c", "streams", "log"]), min_size=1
    ).map("/".join)
)
def test_every_url_of_an_accepted_id_routes_back_to_it(stream_id: str) -> None:
    for unescapes in UNESCAPES:
        store = MemoryEventStore()
        gateway = Gateway(store, unescapes=unescapes)
        appended = gateway.append(stream_id, PLACED)
        stored = [of.stream_id for of in store.read_all(unsettled=True)]
        fit = not stream_id.startswith("$") and stream_id.isprintable() and path_fault(stream_id) is None
        assert stored == ([stream_id] if appended.status == 201 else [])
        assert not fit or appended.status == 201
        if appended.status == 201:
            path = f"/streams/{quote(stream_id, safe='')}"
            for url, operation in ((path, "describeStream"), (f"{path}/events", "readStream")):
                seen = unescape(url, unescapes)
                assert route("GET", seen)[1] == stream_id
                assert route("GET", seen)[0].name == operation
                # Taken apart and put together again, as browsers and proxies do it.
                assert posixpath.normpath(seen) == seen
                assert urlsplit(urljoin("https://api.example.com/", quote(seen))).path == quote(seen)
            assert gateway.get(path).json["streamId"] == stream_id
            assert gateway.get(f"{path}/events").json["events"][0]["streamId"] == stream_id


@given(
    stream_id=st.text(
        st.sampled_from("ab./%2F?#\\é;") | st.characters(exclude_categories=["Cc", "Cs"]),
        min_size=1,
        max_size=12,
    ).filter(lambda stream_id: not stream_id.startswith("$"))
)
def test_reference_to_a_large_event_leads_to_it_or_is_not_made(stream_id: str) -> None:
    large = Event(stream_id, 7, "E", "9" * 20, "{}", UID, 1)
    entries = EntryFormat(source="s", api_url="https://api.example.com")
    if path_fault(stream_id):
        with pytest.raises(NotPublishable, match="no address"):
            entries.entry(large)
        return
    entry = entries.entry(large)
    url = urlsplit(json.loads(entry.detail)["dataref"])
    for unescapes in UNESCAPES:
        assert route("GET", unescape(url.path, unescapes))[1] == stream_id


def test_dot_segments_never_lead_to_all_streams_events(store: MemoryEventStore) -> None:
    gateway = Gateway(store)
    gateway.append("order-1", PLACED)
    for path in ("/streams/../events", "/streams/%2e%2e/events", "/streams/a%2F..%2F../events"):
        assert gateway.get(path).problem == "invalid-stream-id"


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
        ("DELETE", "/streams/a/events", "GET, HEAD, POST"),
        ("PUT", "/streams/a/events", "GET, HEAD, POST"),
        ("POST", "/streams/a", "GET, HEAD"),
        ("DELETE", "/streams/a", "GET, HEAD"),
        ("POST", "/events", "GET, HEAD"),
        ("OPTIONS", "/openapi.json", "GET, HEAD"),
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
    assert (response.status, response.headers["allow"]) == (405, "GET, HEAD")


def test_request_sent_to_the_wrong_function_is_not_found(store: MemoryEventStore) -> None:
    response = Api(append_handlers(store))(Request.from_event(event("http_read_all")))
    assert (response.status, response.problem) == (404, "not-found")


def test_gateway_sends_every_operation_to_the_function_that_answers_it() -> None:
    routes = {(route.method, route.path): route.function for route in API_ROUTES}
    for operation in OPERATIONS:
        first, _, more = operation.path.removeprefix("/").partition("/")
        path = f"/{first}/{{proxy+}}" if more else operation.path
        assert routes[operation.method, path] == operation.function
        if operation.method == "GET":
            assert routes["HEAD", path] == operation.function
    heads = sum(method == "HEAD" for method, _ in routes)
    assert len(routes) - heads == len({(of.method, of.path.partition("{")[0]) for of in OPERATIONS})


def test_head_is_answered_as_get_without_its_body(store: MemoryEventStore) -> None:
    gateway = Gateway(store)
    gateway.append("a", PLACED)
    for path, query in (
        ("/streams/a", ""),
        ("/streams/b", ""),
        ("/streams/a/events", "limit=1"),
        ("/streams/a/events", "limit=0"),
        ("/events", ""),
        ("/log", ""),
        ("/openapi.json", ""),
    ):
        got, head = gateway.send("GET", path, query=query), gateway.send("HEAD", path, query=query)
        assert (head.status, head.headers, head.text) == (got.status, got.headers, "")
    assert gateway.send("HEAD", "/nowhere").status == 404


def test_head_of_what_is_only_written_is_refused(gateway: Gateway) -> None:
    answer = Gateway.to(Api({})).send("HEAD", "/replays/7/pause")
    assert (answer.status, answer.headers["allow"]) == (405, "POST")


def test_stage_is_cut_off_the_path() -> None:
    request = Request.from_event(event("http_stage"))
    assert request.path == "/streams/order-1"


@pytest.mark.parametrize(
    ("raw_path", "path"), [("/live", "/"), ("/live/", "/"), ("/lively", "/lively"), ("/events", "/events")]
)
def test_only_the_stage_is_cut_off(raw_path: str, path: str) -> None:
    sent = {**event("http_stage"), "rawPath": raw_path}
    assert Request.from_event(sent).path == path
