"""Bad input: each fault has its own type, says what, where and how to repair it, and nothing is written."""

# ruff: noqa: E501 - the tables read best with one fault a line
from __future__ import annotations

import base64
import json
import sys
import tracemalloc
from typing import Any
from unittest.mock import Mock
from urllib.parse import quote

import pytest
from hypothesis import example, given
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
from eventstore.replays.service import Replays
from eventstore.testing.clock import FakeClock
from tests.http.gateway import Answer, Gateway, Unescapes

UID = "01890a5d-ac96-774b-bcce-b302099a8057"
PLACED: dict[str, Any] = {"eventName": "OrderPlaced", "payload": {}}


def one(**fields: Any) -> str:
    return json.dumps({"expectedVersion": 1, "events": [{**PLACED, **fields}]})


def raw(payload: str) -> str:
    return f'{{"expectedVersion":1,"events":[{{"eventName":"A","payload":1}},{{"eventName":"B","payload":{payload}}}]}}'


def expecting(version: str) -> str:
    return f'{{"expectedVersion":{version},"events":[{{"eventName":"A","payload":1}}]}}'


def events(*found: Any) -> str:
    return json.dumps({"expectedVersion": 1, "events": found})


DEEP = "[" * 101 + "]" * 101
BOTTOMLESS = "[" * 100_000 + "]" * 100_000
VERSION_HOW = "has to be a version (0 for a stream without events, else the eventId of its last event)"

# (what, the body, the problem type, the field, words of the detail)
BODIES = [
    ("no body", "", "malformed-json", "body", "is empty"),
    ("malformed JSON", '{"expectedVersion": 1,\n "events": [}', "malformed-json", "body", "at line 2, column 13"),
    ("something behind", expecting("1") + "]", "malformed-json", "body", "Extra data at line 1, column 63"),
    ("an unfinished text", '{"expectedVersion": 1, "events": "', "malformed-json", "body", "Unterminated string"),
    ("a raw line break", raw('"a\nb"'), "malformed-json", "body", "Invalid control character"),
    ("a bare word", raw("undefined"), "malformed-json", "body", "Expecting value at line 1, column 89"),
    ("a leading zero", raw("007"), "malformed-json", "body", "delimiter"),
    ("not an object", "[]", "wrong-type", "body", "has to be a JSON object, such as {"),
    ("events no array", '{"expectedVersion":1,"events":{}}', "wrong-type", "events", "has to be an array"),
    ("an event no object", events(PLACED, "B"), "wrong-type", "events[1]", "has to be a JSON object"),
    ("an unknown field", '{"expectedVersion":1,"events":[],"version":1}', "unknown-field", "version", "there are expected"),
    ("a misspelt field", events(PLACED, PLACED, {"eventName": "A", "paylod": 1}), "unknown-field", "events[2].paylod", "payload"),
    ("no expected version", '{"events":[]}', "missing-field", "expectedVersion", "has to be given"),
    ("no events", '{"expectedVersion":1}', "missing-field", "events", "has to be given"),
    ("no name", events({"payload": 1}), "missing-field", "events[0].eventName", "has to be given"),
    ("no payload", events(PLACED, {"eventName": "A"}), "missing-field", "events[1].payload", "has to be given"),
    ("empty events", events(), "empty-append", "events", "give at least one event"),
    ("101 events", events(*[PLACED] * 101), "too-many-events", "events", "has 101 events; one transaction takes 100. Append"),
    ("4 MB together", events(*[{**PLACED, "payload": "x" * 380_000}] * 12), "transaction-too-large", "events", "several calls"),
    ("400 KB in one", events(PLACED, {**PLACED, "payload": "x" * 409_600}), "event-too-large", "events[1].payload", "S3"),
    ("a negative version", expecting("-1"), "invalid-expected-version", "expectedVersion", "is -1; versions run from 0"),
    ("a version too high", expecting("9007199254740993"), "invalid-expected-version", "expectedVersion", "versions run from 0"),
    ("a version of many digits", expecting("9" * 5_000), "invalid-expected-version", "expectedVersion", VERSION_HOW),
    ("a string version", expecting('"1"'), "invalid-expected-version", "expectedVersion", '"any" or "exists"'),
    ("a broken version", expecting("1.0"), "invalid-expected-version", "expectedVersion", VERSION_HOW),
    ("a true version", expecting("true"), "invalid-expected-version", "expectedVersion", VERSION_HOW),
    ("a null version", expecting("null"), "invalid-expected-version", "expectedVersion", VERSION_HOW),
    ("a list for a version", expecting("[]"), "invalid-expected-version", "expectedVersion", VERSION_HOW),
    ("an empty name", one(eventName=""), "invalid-event-name", "events[0].eventName", "1 to 256 characters"),
    ("a long name", one(eventName="A" * 257), "invalid-event-name", "events[0].eventName", "1 to 256 characters"),
    ("a name with a control", one(eventName="A\x07"), "invalid-event-name", "events[0].eventName", "control character U+0007"),
    ("a name no text", one(eventName=7), "invalid-event-name", "events[0].eventName", "has to be a text"),
    ("half a character in a name", '{"expectedVersion":1,"events":[{"eventName":"A\\udc00","payload":1}]}', "invalid-event-name", "events[0].eventName", "lone surrogate"),
    ("a uid no UUID", one(eventUid="7"), "invalid-event-uid", "events[0].eventUid", "is not a UUID such as"),
    ("a null uid", one(eventUid=None), "invalid-event-uid", "events[0].eventUid", "leave it out"),
    ("a uid on some", events({**PLACED, "eventUid": UID}, PLACED), "invalid-event-uid", "eventUid", "every event one, or none"),
    ("one uid twice", events(*[{**PLACED, "eventUid": UID}] * 2), "duplicate-event-uid", "eventUid", "give each event its own"),
    ("NaN", raw('{"a":[1,{"b":NaN}]}'), "invalid-payload", "events[1].payload.a[1].b", "has NaN, which JSON does not know; send null"),
    ("-Infinity", raw("-Infinity"), "invalid-payload", "events[1].payload", "has -Infinity, which JSON does not know"),
    ("a lone high surrogate", raw('{"a":"x\\ud800"}'), "invalid-payload", "events[1].payload.a", "half of a character; send the whole"),
    ("a lone low surrogate", raw('["\\udc00"]'), "invalid-payload", "events[1].payload[0]", "half of a character"),
    ("surrogates exchanged", raw('"\\udc00\\ud800"'), "invalid-payload", "events[1].payload", "half of a character"),
    ("a lone surrogate as a key", raw('{"\\ud800":1}'), "invalid-payload", "events[1].payload", "half of a character"),
    ("half a character unescaped", raw('"\ud800"'), "invalid-payload", "events[1].payload", "half of a character"),
    ("101 levels", raw(DEEP), "invalid-payload", "events[1].payload", "deeper than 100 levels; flatten it"),
    ("101 levels and NaN", raw(f'[NaN,{DEEP}]'), "invalid-payload", "events[1].payload[0]", "has NaN"),
    ("100,000 levels", raw(BOTTOMLESS), "invalid-payload", "body", "deeper than 100 levels; flatten it"),
    ("an event field twice", '{"expectedVersion":1,"events":[{"eventName":"A","payload":1},{"eventName":"A","payload":1,"payload":2}]}', "repeated-field", "events[1].payload", "stands twice in this object; give it once"),
    ("a uid twice", '{"expectedVersion":1,"events":[{"eventUid":null,"eventUid":"7","eventName":"A","payload":1}]}', "repeated-field", "events[0].eventUid", "give it once"),
    ("expectedVersion twice", '{"expectedVersion":1,"expectedVersion":1,"events":[]}', "repeated-field", "expectedVersion", "give it once"),
    ("a name twice, once escaped", '{"expectedVersion":1,"events":[],"e\\u0076ents":[]}', "repeated-field", "events", "give it once"),
    ("events twice", '{"events":[{"eventName":"A","payload":1}],"expectedVersion":1,"events":[{"eventName":"B","payload":1}]}', "repeated-field", "events", "give it once"),
    ("a name of metadata twice", '{"expectedVersion":1,"events":[{"eventName":"A","payload":1,"metadata":{"correlationId":"a","x":1,"correlationId":"b"}}]}', "invalid-payload", "events[0].metadata", "has the name 'correlationId' 2 times; give it once"),
    ("a number of many digits", raw("9" * 1_001), "invalid-payload", "events[1].payload", "has a number of 1,001 characters (99999999999999999999...); parsers take 1,000: send it as a string"),
    ("a fraction of many digits", raw(f'[0.{"1" * 5_000}]'), "invalid-payload", "events[1].payload", "has a number of 5,002 characters"),
    ("a number beyond a double", raw('{"n":[-1e400]}'), "invalid-payload", "events[1].payload", "has the number -1e400, which is beyond a double's range"),
    ("an integer beyond a double", raw("1" + "0" * 309), "invalid-payload", "events[1].payload", "beyond a double's range"),
    ("metadata no object", one(metadata=[]), "invalid-payload", "events[0].metadata", "has to be a JSON object"),
    ("null metadata", one(metadata=None), "invalid-payload", "events[0].metadata", "has to be a JSON object"),
    ("NaN in metadata", '{"expectedVersion":1,"events":[{"eventName":"A","payload":1,"metadata":{"n":NaN}}]}', "invalid-payload", "events[0].metadata.n", "has NaN"),
]  # fmt: skip


class Written:
    """A store with one event, to see that nothing was added."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.store = MemoryEventStore(clock_us=self.clock, settling_s=0)
        self.gateway = Gateway(self.store)
        assert self.gateway.append("order-1", PLACED).status == 201

    def check_unchanged(self) -> None:
        assert len(list(self.store.read_all(unsettled=True))) == 1


@pytest.fixture
def written() -> Written:
    return Written()


def check_told(answer: Answer, status: int, problem: str, field: str | None, words: str) -> None:
    assert (answer.status, answer.problem, answer.json.get("field")) == (status, problem, field)
    assert words in answer.json["detail"]
    assert answer.json["detail"].endswith(".")
    if field:
        assert answer.json["detail"].startswith(f"{field} ")


@pytest.mark.parametrize(
    ("body", "told"), [(row[1], row[2:]) for row in BODIES], ids=[row[0] for row in BODIES]
)
def test_bad_body_is_told_and_nothing_is_written(
    written: Written, body: str, told: tuple[str, str, str]
) -> None:
    check_told(written.gateway.post("order-1", body), 400, *told)
    written.check_unchanged()


def test_sizes_stand_in_the_problem(written: Written) -> None:
    answer = written.gateway.append("order-1", {**PLACED, "payload": "x" * 409_600}, expected=1)
    assert answer.json["limitBytes"] == 409_600
    assert answer.json["sizeBytes"] > 409_600
    answer = written.gateway.append("order-1", *[PLACED] * 101, expected=1)
    assert (answer.json["count"], answer.json["limit"]) == (101, 100)


STREAM_IDS = [
    ("reserved", "$order", "begins with '$', which is reserved; begin otherwise"),
    ("over-long", "x" * 1_025, "has 1,025 bytes of UTF-8; it may have 1,024"),
    ("over-long in bytes", "ü" * 513, "has 1,026 bytes of UTF-8"),
    ("empty", "", "at least one character"),
    ("a control character", "a\x00b", "control character U+0000"),
    ("a percent sign", "a%2Fb", "has a percent sign, which this API can't take in a path"),
]


@pytest.mark.parametrize("unescapes", ["all but %25", "all"])
@pytest.mark.parametrize(
    ("stream_id", "words"), [row[1:] for row in STREAM_IDS], ids=[row[0] for row in STREAM_IDS]
)
def test_bad_stream_id_is_told_and_nothing_is_written(
    written: Written, stream_id: str, words: str, unescapes: Unescapes
) -> None:
    gateway = Gateway(written.store, unescapes=unescapes)
    check_told(gateway.append(stream_id, PLACED), 400, "invalid-stream-id", "streamId", words)
    escaped = quote(stream_id, safe="")
    check_told(gateway.get(f"/streams/{escaped}/events"), 400, "invalid-stream-id", "streamId", words)
    written.check_unchanged()


@pytest.mark.parametrize(
    "path", ["/streams/%ff%fe", "/streams/%ff%fe/events", "/streams/100%", "/streams/%2"]
)
@pytest.mark.parametrize("unescapes", ["all but %25", "all", "never"])
def test_broken_escapes_in_a_path_are_told(written: Written, path: str, unescapes: Unescapes) -> None:
    gateway = Gateway(written.store, unescapes=unescapes)
    check_told(gateway.get(path), 400, "invalid-stream-id", "streamId", "which this API can't take in a path")


QUERIES = [
    ("/streams/a/events", "limit=0", "invalid-limit", "limit", "is 0; ask for 1 to 1,000 events a page"),
    ("/streams/a/events", "limit=100000", "invalid-limit", "limit", "is 100000; ask for 1 to 1,000"),
    ("/streams/a/events", "limit=-1", "invalid-limit", "limit", "is -1; ask for"),
    ("/streams/a/events", "limit=ten", "invalid-limit", "limit", "is ten; ask for"),
    ("/streams/a/events", "limit=1.5", "invalid-limit", "limit", "is 1.5; ask for"),
    ("/streams/a/events", f"limit={'9' * 5000}", "invalid-limit", "limit", "ask for"),
    ("/streams/a/events", "limit=%C2%B2", "invalid-limit", "limit", "is ²; ask for"),
    ("/streams/a/events", "from=0", "invalid-range", "from", "is 0; versions run from 1"),
    ("/streams/a/events", "to=0", "invalid-range", "to", "is 0; versions run from 1"),
    ("/streams/a/events", "from=1&to=0", "invalid-range", "to", "is 0; versions run from 1"),
    ("/events", "to=1969-12-31T23:59:59Z", "invalid-range", "to", "is before 1970"),
    ("/streams/a/events", "from=x", "invalid-range", "from", "is x; versions run from 1"),
    ("/streams/a/events", f"to={10**15 + 1}", "invalid-range", "to", "versions run from 1"),
    ("/streams/a/events", "from=9&to=2", "invalid-range", "from", "is 9, after to = 2; exchange them"),
    ("/streams/a/events", "direction=up", "invalid-parameter", "direction", "is up; it may be forward or backward"),
    ("/streams/a/events", "consistency=weak", "invalid-parameter", "consistency", "it may be strong or eventual"),
    ("/streams/a/events", "form=1", "unknown-parameter", "form", "it has from, to, limit, direction, consistency"),
    ("/streams/a/events", "from=1&from=2", "repeated-parameter", "from", "give it once"),
    ("/streams/a/events", "from=", "invalid-parameter", "from", "is empty; give it a value, or leave it out"),
    ("/streams/a/events", "from", "invalid-parameter", "from", "is empty"),
    ("/streams/a/events", "=1", "unknown-parameter", "query", "is not a parameter"),
    ("/streams/a/events", "from=%ff", "invalid-parameter", "query", "escapes that are not UTF-8"),
    ("/streams/a", "limit=1", "unknown-parameter", "limit", "it has none"),
    ("/log", "from=1", "unknown-parameter", "from", "it has after, limit"),
    ("/openapi.json", "pretty=1", "unknown-parameter", "pretty", "it has none"),
    ("/events", "limit=0", "invalid-limit", "limit", "is 0; ask for 1 to 1,000"),
    ("/events", "limit=100000", "invalid-limit", "limit", "is 100000; ask for 1 to 1,000"),
    ("/events", "after=12", "invalid-position", "after", "give one back exactly as it came"),
    ("/events", "after=MS8tMS8xL2E", "invalid-position", "after", "give one back exactly as it came"),
    ("/events", "from=yesterday", "invalid-time", "from", "write 2026-01-31T09:30:00.123456Z"),
    ("/events", "from=2026-01-31T09:30:00", "invalid-time", "from", "is not a time as RFC 3339 has it"),
    ("/events", "from=2026-01-31", "invalid-time", "from", "is not a time as RFC 3339 has it"),
    ("/events", "from=2026-02-30T00:00:00Z", "invalid-time", "from", "names no time there is"),
    ("/events", "to=2026-01-31T09:30:60Z", "invalid-time", "to", "names no time there is"),
    ("/events", "to=2026-01-31T09:30:00.1234567Z", "invalid-time", "to", "to the microsecond at most"),
    ("/events", "to=2026-01-31T09:30:00%2B25:00", "invalid-time", "to", "is not a time as RFC 3339 has it"),
    ("/events", "from=2026-02-01T00:00:00Z&to=2026-01-01T00:00:00Z", "invalid-range", "from", "is after to; exchange them"),
    ("/events", "direction=forward", "unknown-parameter", "direction", "it has from, to, after, limit, name"),
    ("/events", "name=A&name=B", "repeated-parameter", "name", "give it once"),
]  # fmt: skip


@pytest.mark.parametrize(("path", "query", "told"), [(*row[:2], row[2:]) for row in QUERIES])
def test_bad_query_is_told(gateway: Gateway, path: str, query: str, told: tuple[str, str, str]) -> None:
    check_told(gateway.send("GET", path, query=query), 400, *told)


@pytest.mark.parametrize("operation", OPERATIONS, ids=[operation.name for operation in OPERATIONS])
def test_no_operation_passes_over_a_parameter_that_it_does_not_have(operation: Operation) -> None:
    path = operation.path.replace("{streamId}", "s").replace("{replayId}", UID)
    body = (
        {"target": "arn:aws:sqs:eu-central-1:123456789012:rebuild"}
        if "replays" in path
        else json.loads(one())
    )
    answer = everything().send(operation.method, path, query="nextPage=1", body=json.dumps(body))
    assert (answer.problem, answer.json["field"]) == ("unknown-parameter", "nextPage")


@pytest.mark.parametrize("name", ["pauseReplay", "resumeReplay", "cancelReplay", "startReplay"])
def test_no_change_of_a_replay_passes_over_a_condition(name: str) -> None:
    path = next(of.path for of in OPERATIONS if of.name == name).replace("{replayId}", UID)
    answer = everything().send("POST", path, body="{}", headers={"If-Match": "*"})
    assert (answer.problem, answer.json["field"]) == ("unsupported-header", "if-match")


def everything() -> Gateway:
    engine: Any = Mock(spec=["start"])  # nothing comes that far
    replays = Replays(store=MemoryReplays(), engine=engine, allowed_targets=[])
    store = MemoryEventStore()
    handlers = {**append_handlers(store), **read_handlers(store), **log_handlers(MemoryEventLog())}
    return Gateway.to(Api({**handlers, **replay_handlers(replays)}))


def test_append_takes_no_query(written: Written) -> None:
    answer = written.gateway.send("POST", "/streams/order-1/events", query="dryRun=true", body=one())
    check_told(answer, 400, "unknown-parameter", "dryRun", "it has none")
    written.check_unchanged()


@pytest.mark.parametrize(
    "headers",
    [
        {"content-type": "text/plain"},
        {"content-type": "application/cloudevents+json"},
        {"content-type": "application/json; charset=latin-1"},
        {"content-type": "application/json; charset = utf-16"},
        {"content-type": 'application/json; charset= "utf-16"; charset=utf-8'},
        {"content-encoding": "gzip"},
    ],
)
def test_other_media_types_are_told(written: Written, headers: dict[str, str]) -> None:
    answer = written.gateway.post("order-1", one(), **headers)
    check_told(answer, 415, "unsupported-media-type", None, "and say so: content-type: application/json")
    written.check_unchanged()


CONDITIONS = ["If", "If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since"]
REPEATS = ["Idempotency-Key", "X-Idempotency-Key"]
OTHERS = ["If-Range", "Content-MD5", "Content-Digest", "Digest", "Repr-Digest", "X-HTTP-Method-Override"]
WORDS = {
    **dict.fromkeys(CONDITIONS, "expectedVersion"),
    **dict.fromkeys(REPEATS, "eventUids"),
    **dict.fromkeys(OTHERS, "leave it out"),
}


def test_body_that_begins_with_a_byte_order_mark_is_told_so(written: Written) -> None:
    answer = written.gateway.post("order-1", f"\ufeff{one()}")
    check_told(answer, 400, "malformed-json", "body", "begins with a byte order mark; leave it out")
    written.check_unchanged()


@pytest.mark.parametrize(("header", "words"), WORDS.items())
def test_condition_that_an_append_does_not_heed_is_refused(written: Written, header: str, words: str) -> None:
    answer = written.gateway.post("order-1", one(), **{header: '"2"'})
    check_told(answer, 400, "unsupported-header", header.lower(), words)
    written.check_unchanged()


@pytest.mark.parametrize("header", WORDS)
def test_condition_that_would_only_spare_a_transfer_is_passed_over(written: Written, header: str) -> None:
    assert written.gateway.send("GET", "/streams/order-1/events", headers={header: "*"}).status == 200


def test_names_inside_of_a_payload_are_its_writers_own_affair(written: Written) -> None:
    payload = '{"a":1,"a":2,"b":{"c":1,"c":2}}'
    body = f'{{"expectedVersion":1,"events":[{{"eventName":"A","payload":{payload}}}]}}'
    assert written.gateway.post("order-1", body).status == 201
    assert f'"payload":{payload},' in written.gateway.get("/streams/order-1/events").text


def test_metadata_may_repeat_a_name_deeper_inside(written: Written) -> None:
    metadata = '{"a":{"c":1,"c":2},"b":[{"c":1,"c":2}]}'
    body = f'{{"expectedVersion":1,"events":[{{"eventName":"A","payload":1,"metadata":{metadata}}}]}}'
    assert written.gateway.post("order-1", body).status == 201


# A megabyte and a half each, of the kind that would be worst for what looks for the fault.
LISTS = "[" + "[]," * 499_000
HEAVY = [
    ("NaN behind lists", raw(LISTS + "NaN]"), "invalid-payload", "events[1].payload[499000]"),
    ("NaN behind objects", raw("[" + '{"a":1},' * 180_000 + "NaN]"), "invalid-payload", "events[1].payload[180000]"),
    ("NaN behind strings", raw("[" + '"\\"",' * 240_000 + "NaN]"), "invalid-payload", "events[1].payload[240000]"),
    ("NaN behind names", raw("{" + '"a":1,' * 240_000 + '"n":NaN}'), "invalid-payload", "events[1].payload.n"),
    ("NaN behind levels", raw("[" + ("[" * 50 + "]" * 50 + ",") * 15_000 + "NaN]"), "invalid-payload", "events[1].payload[15000]"),
    ("NaN behind objects in objects", raw("[" + ('{"a":' * 50 + "1" + "}" * 50 + ",") * 5_000 + "NaN]"), "invalid-payload", "events[1].payload[5000]"),
    ("half a character", raw('["' + "\\u00e9" * 220_000 + '\\ud800"]'), "invalid-payload", "events[1].payload[0]"),
    ("a text cut off", raw(LISTS)[:-3], "malformed-json", "body"),
    ("a string cut off", raw('"' + '\\"' * 700_000)[:-4], "malformed-json", "body"),
    ("500,000 events", '{"expectedVersion":0,"events":[' + "{}," * 499_999 + "{}]}", "too-many-events", "events"),
    ("700,000 numbers", '{"expectedVersion":0,"events":[' + "1," * 700_000 + "1]}", "wrong-type", "events[0]"),
    ("a number behind events", '{"expectedVersion":0,"events":[' + "{}," * 490_000 + "1]}", "wrong-type", "events"),
    ("a payload of lists", raw(LISTS + "1]"), "event-too-large", "events[1].payload"),
    ("200,000 names", "{" + ",".join(f'"{n}":1' for n in range(200_000)) + "}", "unknown-field", "0"),
    ("one name 200,000 times", "{" + '"events":1,' * 200_000 + '"events":1}', "repeated-field", "events"),
    ("700,000 levels", raw("[" * 700_000), "invalid-payload", "body"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("body", "told"), [(row[1], row[2:]) for row in HEAVY], ids=[row[0] for row in HEAVY]
)
def test_megabytes_are_refused_in_few_steps_and_little_memory(
    written: Written, body: str, told: tuple[str, str]
) -> None:
    # Whatever a machine's speed: calls of functions as the interpreter counts them, and bytes allocated.
    calls = 0

    def count(_frame: object, event: str, _argument: object) -> None:
        nonlocal calls
        calls += event in {"call", "c_call"}

    tracemalloc.start()
    sys.setprofile(count)
    try:
        answer = written.gateway.post("order-1", body)
    finally:
        sys.setprofile(None)
        peak_bytes = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert (answer.status, answer.problem, answer.json["field"]) == (400, *told)
    assert calls < 20_000
    assert peak_bytes < 16 * 1_048_576
    written.check_unchanged()


def test_body_over_the_limit_is_told(written: Written) -> None:
    answer = written.gateway.append("order-1", {**PLACED, "payload": "x" * 6_300_000}, expected=1)
    check_told(
        answer,
        413,
        "request-too-large",
        None,
        "a request takes 6,291,456. Append the events in several calls",
    )
    assert answer.json["limitBytes"] == 6_291_456
    assert answer.json["sizeBytes"] > 6_300_000
    written.check_unchanged()


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (base64.b64encode(one().encode("utf-16")).decode(), "is not UTF-8 at byte 0"),
        (base64.b64encode(raw('"ü"').encode("latin-1")).decode(), "is not UTF-8 at byte"),
        ("{}", "is not base64"),
    ],
)
def test_bytes_that_are_no_text_are_told(written: Written, body: str, words: str) -> None:
    answer = written.gateway.send("POST", "/streams/order-1/events", body=body, body_is_base64=True)
    check_told(answer, 400, "malformed-json", "body", words)
    written.check_unchanged()


json_like = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=3),
    lambda values: (
        st.lists(values, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["expectedVersion", "events", "eventName", "payload", "metadata", "eventUid", "\ud800", "x"]
            ),
            values,
            max_size=4,
        )
    ),
    max_leaves=15,
)
event_like = st.fixed_dictionaries(
    {"eventName": st.just("A") | json_like, "payload": json_like},
    optional={"metadata": json_like, "eventUid": st.just(UID) | json_like, "x": json_like},
)
body_like = st.fixed_dictionaries(
    {
        "expectedVersion": st.sampled_from([0, 1, "any"]) | json_like,
        "events": st.lists(event_like) | json_like,
    },
    optional={"x": json_like},
)


@given(json_like | body_like)
@example({"expectedVersion": 10**30, "events": [PLACED]})
@example({"expectedVersion": True, "events": [PLACED]})
def test_any_json_is_either_appended_or_refused_with_its_fault(value: object) -> None:
    gateway = Gateway(MemoryEventStore())
    answer = gateway.post("s", json.dumps(value))
    if answer.status != 201:
        assert answer.status in {400, 409}
        # The fault was found by us, not guessed from the decoder's words.
        assert "can't be read" not in answer.json["detail"]
    assert (answer.status == 201) == (gateway.get("/streams/s").status == 200)


@given(st.text(max_size=60) | st.binary(max_size=60).map(lambda data: data.decode("latin-1")))
def test_any_text_as_a_body_is_refused(text: str) -> None:
    answer = Gateway(MemoryEventStore()).post("s", text)
    assert answer.status == 400


@given(st.text(max_size=40))
def test_any_query_is_answered_or_refused(query: str) -> None:
    gateway = Gateway(MemoryEventStore())
    for path in ("/streams/s/events", "/events"):
        assert gateway.send("GET", path, query=query).status in {200, 400}


@pytest.mark.parametrize("text", ["]]", "}", '"a":"\\x', '{"\\x":"'], ids=range(4))
def test_body_that_is_broken_where_nobody_looks_has_a_place_all_the_same(gateway: Gateway, text: str) -> None:
    """Above the length to which a break is looked for, beside half a character."""
    answer = gateway.post("order-1", f"{text}\ud800" + "1" * 1_100_000)
    assert (answer.status, answer.problem) == (400, "malformed-json")
