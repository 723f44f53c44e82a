"""The API behind its real gateway routes."""

from __future__ import annotations

import re
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Event
from urllib.parse import quote

import httpx
import pytest

from localcloud.api import Api, event_text
from localcloud.deploy import SETTLING_S
from tests.e2e.conftest import WAIT_S, Deployed, Inbox

HAPPENED = event_text(name="Happened", payload="1")
EXACT = (
    '{ "integer": 9223372036854775807,  "beyond 2^53": -9007199254740993, "decimal": '
    '12345678901234567890.123456789012345678, "zero": -0.0, "price": 49.90, "exponent": 1E+2 }'
)


def test_sixteen_writers_race_and_exactly_one_wins_each_version(api: Api, stream_id: str) -> None:
    def write(writer: int) -> list[tuple[int, str]]:
        won, version = [], 0
        for number in range(2):
            name = f"Writer{writer}Event{number}"
            while True:
                answer = api.append(stream_id, expected=version, events=[event_text(name=name, payload="1")])
                if not answer.is_conflict:
                    break
                assert answer.body["actual"] > version
                version = answer.body["actual"]
            version = answer.body["version"]
            won.append((version, name))
        return won

    with ThreadPoolExecutor(16) as executor:
        won = sorted(entry for entries in executor.map(write, range(16)) for entry in entries)

    assert [version for version, _ in won] == list(range(1, 33))
    stored = api.read_stream(stream_id)["events"]
    assert [(event["eventId"], event["eventName"]) for event in stored] == won


def test_stale_version_is_a_conflict_that_names_both_versions(http: httpx.Client, stream_id: str) -> None:
    path, body = f"/streams/{stream_id}/events", f'{{"expectedVersion":0,"events":[{HAPPENED}]}}'
    headers = {"content-type": "application/json"}
    assert http.post(path, content=body, headers=headers).status_code == 201

    answer = http.post(path, content=body, headers=headers)

    assert answer.status_code == 409
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["type"] == "urn:eventstore:problem:version-conflict"
    assert (problem["expected"], problem["actual"], problem["streamId"]) == (0, 1, stream_id)


@pytest.mark.parametrize(
    ("method", "path", "status", "problem"),
    [
        ("GET", "/", 404, "not-found"),
        ("GET", "/nothing/here", 404, "not-found"),
        ("GET", "/streams/never-begun", 404, "stream-not-found"),
        ("POST", "/streams/s", 405, "method-not-allowed"),
        ("POST", "/events", 405, "method-not-allowed"),
        ("DELETE", "/streams/s/events", 405, "method-not-allowed"),
        ("PUT", "/streams/s", 405, "method-not-allowed"),
        ("GET", "/events?limit=0", 400, "invalid-limit"),
        ("GET", "/events?after=nonsense", 400, "invalid-position"),
        ("POST", "/streams/s/events", 400, "malformed-json"),
    ],
)
def test_every_error_is_a_problem(
    http: httpx.Client, method: str, path: str, status: int, problem: str
) -> None:
    answer = http.request(method, path)

    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    assert answer.json()["type"] == f"urn:eventstore:problem:{problem}"
    assert answer.json()["detail"]
    assert answer.headers["x-correlation-id"]


def test_openapi_document_is_served(http: httpx.Client) -> None:
    answer = http.get("/openapi.json")

    assert answer.status_code == 200
    assert set(answer.json()["paths"]) >= {"/events", "/streams/{streamId}", "/streams/{streamId}/events"}


@pytest.mark.parametrize("name", ["a/b", "events", "a/events/b", "ü ñ/日本", "a+b&c=d;e,f", "...", " "])
def test_any_stream_id_comes_back_as_it_was_sent(
    api: Api, http: httpx.Client, inbox: Inbox, stream_id: str, name: str
) -> None:
    of_this_test = f"{stream_id}:{name}"

    appended = api.append(of_this_test, expected=0, events=[HAPPENED])

    assert appended.body["streamId"] == of_this_test
    assert [event["streamId"] for event in api.read_stream(of_this_test)["events"]] == [of_this_test]
    described = http.get(f"/streams/{quote(of_this_test, safe='')}").json()
    assert (described["streamId"], described["version"]) == (of_this_test, 1)
    [delivered] = inbox.events_of(of_this_test, count=1)
    assert delivered["detail"]["id"] == f"{of_this_test}/1"


@pytest.mark.parametrize("name", ["a/events", "/events/", "a%2Fb", "100%", "a#b", "a/../b", ".."])
def test_stream_id_that_no_path_carries_is_refused(http: httpx.Client, stream_id: str, name: str) -> None:
    path = f"/streams/{quote(f'{stream_id}/{name}', safe='')}/events"

    refused = http.post(path, json={"expectedVersion": 0, "events": [{"eventName": "E", "payload": 1}]})

    assert refused.status_code == 400
    assert refused.json()["type"] == "urn:eventstore:problem:invalid-stream-id"


def test_numbers_come_back_exactly_as_sent(
    api: Api, http: httpx.Client, deployed: Deployed, stream_id: str
) -> None:
    api.append(stream_id, expected=0, events=[event_text(name="Measured", payload=EXACT)])

    assert f'"payload":{EXACT},' in http.get(f"/streams/{stream_id}/events").text
    session = deployed.cloud.session()
    dynamodb = session.client("dynamodb", endpoint_url=deployed.cloud.endpoint)
    key = {"StreamId": {"S": stream_id}, "EventId": {"N": "1"}}
    item = dynamodb.get_item(TableName=deployed.app.events_table, Key=key, ConsistentRead=True)["Item"]
    assert item["Payload"]["S"] == EXACT


def test_numbers_reach_the_bus(api: Api, inbox: Inbox, stream_id: str) -> None:
    api.append(stream_id, expected=0, events=[event_text(name="Measured", payload=EXACT)])

    [delivered] = inbox.events_of(stream_id, count=1)

    # This local bus parses and writes the detail: integers stay exact, decimals become floats.
    assert delivered["detail"]["data"] == {
        "integer": 9223372036854775807,
        "beyond 2^53": -9007199254740993,
        "decimal": 12345678901234567890.123456789012345678,
        "zero": 0.0,
        "price": 49.9,
        "exponent": 100.0,
    }


def test_pages_of_all_streams_have_each_event_once_while_streams_are_created(
    api: Api, stream_id: str
) -> None:
    enough = Event()
    appended: Counter[tuple[str, int]] = Counter()

    def create_streams() -> None:
        for number in range(60):
            created = f"{stream_id}:{number}"
            api.append(created, expected=0, events=[HAPPENED] * 3)
            appended.update((created, event_id) for event_id in (1, 2, 3))
            if enough.is_set():
                return

    read: Counter[tuple[str, int]] = Counter()
    places: list[tuple[str, str, int]] = []
    after: dict[str, str] = {}
    pages_meanwhile = 0
    deadline = time.monotonic() + WAIT_S
    with ThreadPoolExecutor(1) as executor:
        creating = executor.submit(create_streams)
        # Until the page that is empty although all has settled.
        settled_at = float("inf")
        try:
            while True:
                assert time.monotonic() < deadline
                asked_at = time.monotonic()
                page = api.read_all(limit=7, **after)
                places += [(of["timestamp"], of["streamId"], of["eventId"]) for of in page["events"]]
                after = {"after": page["checkpoint"]} if page["checkpoint"] else after
                if not creating.done():
                    pages_meanwhile += bool(page["events"])
                    continue
                settled_at = min(settled_at, time.monotonic() + SETTLING_S + 0.5)
                if page["next"] is None and asked_at > settled_at:
                    break
        finally:
            enough.set()
        creating.result()

    read.update((of, event_id) for _, of, event_id in places if of.startswith(stream_id))
    assert pages_meanwhile > 1
    assert read == appended
    assert places == sorted(places)


def test_answer_says_until_when_events_have_settled(api: Api, stream_id: str) -> None:
    api.append(stream_id, expected=0, events=[HAPPENED])

    asked_at = datetime.now(UTC)
    page = api.read_all(limit=1_000)
    answered_at = datetime.now(UTC)

    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", page["settledUntil"])
    settling = timedelta(seconds=SETTLING_S)
    assert asked_at - settling <= datetime.fromisoformat(page["settledUntil"]) <= answered_at - settling
    assert all(event["timestamp"] < page["settledUntil"] for event in page["events"])
