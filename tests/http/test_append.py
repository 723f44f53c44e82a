"""POST /streams/{streamId}/events: what is appended, what is answered."""

from __future__ import annotations

import base64
import json
from urllib.parse import urljoin

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventstore import NewEvent
from eventstore.http.app import Api
from eventstore.http.append import append_handlers
from eventstore.http.requests import Request
from eventstore.memory.store import MemoryEventStore
from tests.http.gateway import Gateway, event

UID_1 = "01890a5d-ac96-774b-bcce-b302099a8057"
UID_2 = "01890a5d-ac97-7c42-9e0e-0a4f1c7a5d11"
PLACED = {"eventName": "OrderPlaced", "payload": {"total": 12}}
PAID = {"eventName": "OrderPaid", "payload": None}


def test_append_answers_201_with_what_the_store_gave_each_event(gateway: Gateway) -> None:
    answer = gateway.append("order-1", {**PLACED, "eventUid": UID_1}, {**PAID, "eventUid": UID_2})
    assert answer.status == 201
    assert answer.json == {
        "streamId": "order-1",
        "version": 2,
        "events": [
            {"eventId": 1, "eventUid": UID_1, "timestamp": "2026-01-01T00:00:00.000000Z"},
            {"eventId": 2, "eventUid": UID_2, "timestamp": "2026-01-01T00:00:00.000001Z"},
        ],
    }
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    assert "idempotent-replay" not in answer.headers


def test_location_leads_to_the_appended_events_wherever_the_api_is_mounted(gateway: Gateway) -> None:
    gateway.append("a/b", PLACED)
    answer = gateway.append("a/b", PLACED, PAID, expected=1)
    url = urljoin("https://api.example.com/base/live/streams/a%2Fb/events", answer.headers["location"])
    assert url == "https://api.example.com/base/live/streams/a%2Fb/events?from=2&to=3"
    found = gateway.send("GET", "/streams/a%2Fb/events", query=url.partition("?")[2]).json
    assert [of["eventName"] for of in found["events"]] == ["OrderPlaced", "OrderPaid"]


@pytest.mark.parametrize("name", ["http_append", "http_append_base64"])
def test_event_of_the_gateway_is_appended_as_it_is(name: str, store: MemoryEventStore) -> None:
    response = Api(append_handlers(store))(Request.from_event(event(name)))
    assert response.status == 201
    assert response.counts == {"Appended": 1}
    (stored,) = store.read_stream("order-1")
    assert (stored.name, stored.payload, stored.metadata) == (
        "OrderPlaced",
        '{"total": 12.50}',
        '{"correlationId": "c-1"}',
    )


def test_any_and_exists_append_behind_whatever_is_there(gateway: Gateway) -> None:
    assert gateway.append("order-1", PLACED, expected="any").json["version"] == 1
    assert gateway.append("order-1", PLACED, expected="any").json["version"] == 2
    assert gateway.append("order-1", PLACED, expected="exists").json["version"] == 3


def test_repeated_append_answers_as_the_first_did_and_writes_nothing(
    gateway: Gateway, store: MemoryEventStore
) -> None:
    first = gateway.append("order-1", {**PLACED, "eventUid": UID_1}, expected=0)
    gateway.append("order-1", PAID, expected=1)
    for expected in (0, "any"):
        again = gateway.append("order-1", {**PLACED, "eventUid": UID_1.upper()}, expected=expected)
        assert (again.status, again.text) == (201, first.text)
        assert again.headers["idempotent-replay"] == "true"
        assert again.headers["location"] == first.headers["location"]
        assert gateway.last is not None
        assert gateway.last.counts == {}
    assert store.head("order-1").version == 2


def test_stale_version_conflicts_with_where_the_stream_is(gateway: Gateway, store: MemoryEventStore) -> None:
    gateway.append("order-1", PLACED, PAID)
    answer = gateway.append("order-1", PAID, expected=1)
    assert answer.status == 409
    assert answer.json == {
        "type": "urn:eventstore:problem:version-conflict",
        "title": "Another writer was first",
        "status": 409,
        "detail": "Stream 'order-1' is at version 2, not at 1; "
        "read what is new, check your conditions again and append again.",
        "streamId": "order-1",
        "expected": 1,
        "actual": 2,
    }
    assert gateway.last is not None
    assert gateway.last.counts == {"Conflicts": 1}
    assert store.head("order-1").version == 2


def test_version_ahead_of_the_head_has_its_own_type(gateway: Gateway, store: MemoryEventStore) -> None:
    gateway.append("order-1", PLACED)
    answer = gateway.append("order-1", PAID, expected=7)
    assert (answer.status, answer.problem) == (409, "expected-version-ahead")
    assert (answer.json["expected"], answer.json["actual"]) == (7, 1)
    assert "does not exist" in answer.json["detail"]
    assert store.head("order-1").version == 1


def test_exists_of_a_stream_without_events_conflicts(gateway: Gateway) -> None:
    answer = gateway.append("order-1", PLACED, expected="exists")
    assert (answer.status, answer.problem) == (409, "version-conflict")
    assert (answer.json["expected"], answer.json["actual"]) == ("exists", 0)


NUMBERS = (
    '{"id": 9007199254740993, "big": 123456789012345678901234567890123456789012, '
    '"amount": 12345678901234567890.123456789012345678, "exponent": 1E+2, "zero": -0.0, "trailing": 1.50}'
)


def test_numbers_come_back_digit_for_digit(gateway: Gateway) -> None:
    body = f'{{"expectedVersion":0,"events":[{{"eventName":"Measured","payload":{NUMBERS}}}]}}'
    assert gateway.post("m", body).status == 201
    for direction in ("forward", "backward"):
        assert f'"payload":{NUMBERS},' in gateway.get("/streams/m/events", direction=direction).text


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.decimals(allow_nan=False, allow_infinity=False).map(lambda number: _Literal(format(number, "f")))
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda values: (
        st.lists(values, max_size=4)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), values, max_size=4)
    ),
    max_leaves=12,
)


class _Literal(str):
    """A number, digit for digit."""

    __slots__ = ()


def _write(value: object, *, ascii_only: bool, space: str) -> str:
    if isinstance(value, _Literal):
        return str(value)
    if isinstance(value, list):
        parts = (_write(part, ascii_only=ascii_only, space=space) for part in value)
        return f"[{space}{f',{space}'.join(parts)}]"
    if isinstance(value, dict):
        pairs = (
            ":".join(_write(part, ascii_only=ascii_only, space=space) for part in pair)
            for pair in value.items()
        )
        return f"{{{space}{f',{space}'.join(pairs)}}}"
    return json.dumps(value, ensure_ascii=ascii_only)


@given(json_values, st.booleans(), st.sampled_from(["", " ", "\n\t"]), st.booleans())
def test_any_json_payload_comes_back_byte_for_byte(
    value: object, ascii_only: bool, space: str, in_base64: bool
) -> None:
    payload = _write(value, ascii_only=ascii_only, space=space)
    gateway = Gateway(MemoryEventStore())
    body = f'{{"expectedVersion":0,"events":[{{"eventName":"E","payload":{space}{payload}{space}}}]}}'
    sent = base64.b64encode(body.encode()).decode() if in_base64 else body
    assert gateway.send("POST", "/streams/s/events", body=sent, body_is_base64=in_base64).status == 201
    text = gateway.get("/streams/s/events").text
    assert f'"payload":{payload},"metadata":{{}},' in text


@given(st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), json_values, max_size=4))
def test_any_metadata_comes_back_byte_for_byte(value: dict[str, object]) -> None:
    metadata = _write(value, ascii_only=False, space=" ")
    gateway = Gateway(MemoryEventStore())
    body = f'{{"expectedVersion":0,"events":[{{"eventName":"E","payload":1,"metadata":{metadata}}}]}}'
    assert gateway.post("s", body).status == 201
    assert f'"metadata":{metadata},' in gateway.get("/streams/s/events").text


def test_payload_of_a_hundred_levels_is_taken(gateway: Gateway, store: MemoryEventStore) -> None:
    payload = "[" * 100 + "]" * 100
    body = f'{{"expectedVersion":0,"events":[{{"eventName":"E","payload":{payload}}}]}}'
    assert gateway.post("s", body).status == 201
    assert next(store.read_stream("s")).payload == payload


@pytest.mark.parametrize(
    "content_type",
    [
        "application/json",
        "Application/JSON; charset=UTF-8",
        'application/json;charset="utf-8"',
        "application/json ; charset = utf-8",
        "",
    ],
)
def test_json_in_utf8_is_taken_however_it_is_declared(gateway: Gateway, content_type: str) -> None:
    body = json.dumps({"expectedVersion": 0, "events": [PLACED]})
    assert gateway.post("s", body, content_type=content_type).status == 201


def test_hundred_events_are_appended_at_once(gateway: Gateway) -> None:
    assert gateway.append("s", *[PLACED] * 100).json["version"] == 100


def test_library_and_api_write_the_same_event(gateway: Gateway, store: MemoryEventStore) -> None:
    gateway.post("a", '{"expectedVersion":0,"events":[{"eventName":"E","payload":{"n":1}}]}')
    store.append("b", [NewEvent.of("E", {"n": 1})], expected=0)
    (first,), (second,) = store.read_stream("a"), store.read_stream("b")
    assert (first.name, first.payload, first.metadata) == (second.name, second.payload, second.metadata)
