"""The operations on replays: what they answer, and every bad request by its problem type."""

from __future__ import annotations

import json
from typing import Any

import pytest

from eventstore.errors import StoreUnavailable
from eventstore.http.app import Api
from eventstore.http.replays import replay_handlers
from eventstore.memory.replays import MemoryReplays
from eventstore.replays.service import Replay, Replays
from eventstore.testing.clock import FakeClock
from tests.http.gateway import Answer, Gateway

QUEUE = "arn:aws:sqs:eu-central-1:123456789012:rebuild"


class Engine:
    def __init__(self) -> None:
        self.started: list[int] = []
        self.is_up = True

    def start(self, replay: Replay) -> bool:
        if not self.is_up:
            raise StoreUnavailable(operation="StartExecution", reason="secret detail")
        self.started.append(replay.run)
        return True


@pytest.fixture
def engine() -> Engine:
    return Engine()


@pytest.fixture
def gateway(engine: Engine, clock: FakeClock) -> Gateway:
    replays = Replays(store=MemoryReplays(), engine=engine, allowed_targets=[QUEUE], clock_us=clock)
    return Gateway.to(Api(replay_handlers(replays)))


def start(gateway: Gateway, body: object = None, **fields: object) -> Answer:
    text = body if isinstance(body, str) else json.dumps(body or {"target": QUEUE, **fields})
    return gateway.send("POST", "/replays", body=text)


def test_replay_is_begun_and_its_location_told(gateway: Gateway, engine: Engine) -> None:
    answer = start(
        gateway,
        **{"from": "2025-12-01T00:00:00Z", "to": "now", "names": ["OrderPaid"], "streamPrefix": "order-"},
        eventsPerSecond=200,
    )
    assert answer.status == 202
    replay_id = answer.json["replayId"]
    assert answer.headers["location"] == f"replays/{replay_id}"
    assert answer.json == {
        "replayId": replay_id,
        "status": "queued",
        "reason": None,
        "target": QUEUE,
        "from": "2025-12-01T00:00:00.000000Z",
        "to": "2026-01-01T00:00:01.000000Z",
        "names": ["OrderPaid"],
        "streamPrefix": "order-",
        "eventsPerSecond": 200,
        "requested": "2026-01-01T00:00:00.000000Z",
        "ended": None,
        "sent": 0,
        "position": None,
        "positionTime": None,
        "rate": None,
        "timeLeftS": None,
    }
    assert engine.started == [1]
    assert gateway.get(f"/replays/{replay_id}").json == answer.json


def test_replays_are_paused_resumed_cancelled_and_listed(gateway: Gateway, engine: Engine) -> None:
    replay_id = start(gateway).json["replayId"]

    def post(action: str) -> Answer:
        return gateway.send("POST", f"/replays/{replay_id}/{action}")

    assert [post(action).json["status"] for action in ("pause", "resume", "cancel")] == [
        *("paused", "queued", "cancelled")
    ]
    assert engine.started == [1, 2]
    refused = post("resume")
    assert (refused.status, refused.problem, refused.json["replayStatus"]) == (
        409,
        "replay-over",
        "cancelled",
    )
    assert [of["replayId"] for of in gateway.get("/replays").json["replays"]] == [replay_id]


def test_list_is_bounded(gateway: Gateway, clock: FakeClock) -> None:
    ids = []
    for _ in range(3):
        clock.now_us += 1_000_000
        ids.append(start(gateway).json["replayId"])
    listed = [of["replayId"] for of in gateway.get("/replays", limit=2).json["replays"]]
    assert listed == [ids[2], ids[1]]
    for limit in ("0", "101", "x"):
        assert gateway.get("/replays", limit=limit).problem == "invalid-limit"


def start_once(gateway: Gateway, key: str, **fields: object) -> Answer:
    body = json.dumps({"target": QUEUE, **fields})
    return gateway.send("POST", "/replays", body=body, headers={"Idempotency-Key": key})


def test_repeat_with_its_key_is_answered_with_the_same_replay(
    gateway: Gateway, engine: Engine, clock: FakeClock
) -> None:
    first = start_once(gateway, "k-1", names=["OrderPaid"])
    assert "idempotent-replay" not in first.headers
    assert (first.status, gateway.last.counts) == (202, {"ReplaysStarted": 1})  # type: ignore[union-attr]
    clock.now_us += 3_600_000_000
    gateway.send("POST", f"/replays/{first.json['replayId']}/pause")

    for key in ("k-1", '"k-1"'):  # as a structured field has it, too
        again = start_once(gateway, key, names=["OrderPaid"], to="now")
        assert (again.status, again.headers["idempotent-replay"]) == (202, "true")
        assert again.headers["location"] == first.headers["location"]
        assert again.json == {**first.json, "status": "paused"}
        assert gateway.last.counts == {}  # type: ignore[union-attr]
    assert engine.started == [1]
    assert len(gateway.get("/replays").json["replays"]) == 1
    assert start_once(gateway, "k-2", names=["OrderPaid"]).json["replayId"] != first.json["replayId"]


@pytest.mark.parametrize(
    "other",
    [
        {"names": ["OrderPlaced"]},
        {"streamPrefix": "order-"},
        {"eventsPerSecond": 5},
        {"from": "2025-01-01T00:00:00Z"},
        {"to": "2025-01-01T00:00:00Z"},
    ],
)
def test_other_request_with_the_same_key_is_refused(
    gateway: Gateway, engine: Engine, other: dict[str, object]
) -> None:
    replay_id = start_once(gateway, "k").json["replayId"]
    refused = start_once(gateway, "k", **other)
    assert (refused.status, refused.problem) == (409, "idempotency-key-reused")
    assert refused.json["replayId"] == replay_id
    assert engine.started == [1]


def test_names_of_a_repeated_request_may_come_in_another_order(gateway: Gateway, engine: Engine) -> None:
    first = start_once(gateway, "k", names=["OrderPaid", "OrderPlaced"])
    again = start_once(gateway, "k", names=["OrderPlaced", "OrderPaid"])
    assert (first.status, again.status) == (202, 202)
    assert again.json["replayId"] == first.json["replayId"]
    assert set(engine.started) == {1}


@pytest.mark.parametrize("key", ["", '""', "k" * 256, "schl\u00fcssel", "a\tb"])
def test_key_that_can_not_be_one_is_refused(gateway: Gateway, engine: Engine, key: str) -> None:
    refused = start_once(gateway, key)
    assert (refused.status, refused.problem, refused.json["field"]) == (
        400,
        "invalid-replay",
        "Idempotency-Key",
    )
    assert engine.started == []
    assert gateway.get("/replays").json == {"replays": []}


def test_repeat_of_what_could_not_be_started_starts_it(gateway: Gateway, engine: Engine) -> None:
    engine.is_up = False
    assert start_once(gateway, "k").status == 503
    engine.is_up = True
    again = start_once(gateway, "k")
    assert (again.status, again.json["status"], again.json["reason"]) == (202, "queued", None)
    assert engine.started == [1]


def test_target_that_is_not_allowed_has_its_own_problem(gateway: Gateway, engine: Engine) -> None:
    answer = start(gateway, target=f"{QUEUE}-2")
    assert (answer.status, answer.problem, answer.json["target"]) == (
        403,
        "replay-target-not-allowed",
        f"{QUEUE}-2",
    )
    assert engine.started == []
    assert gateway.get("/replays").json == {"replays": []}


@pytest.mark.parametrize(
    ("body", "problem", "field"),
    [
        ("{", "malformed-json", "body"),
        ("[]", "wrong-type", "body"),
        ('{"form": 1}', "unknown-field", "form"),
        ('{"to": "now"}', "missing-field", "target"),
        ('{"target": "a", "target": "b"}', "repeated-field", "target"),
        ({"target": QUEUE, "to": "1970-01-01T00:00:00Z"}, "invalid-range", "to"),
        ({"target": 7}, "wrong-type", "target"),
        ({"target": "queue"}, "invalid-replay", "target"),
        ({"target": QUEUE, "from": "yesterday"}, "invalid-time", "from"),
        ({"target": QUEUE, "to": None}, "wrong-type", "to"),
        ({"target": QUEUE, "to": "2030-01-01T00:00:00Z"}, "invalid-range", "to"),
        (
            {"target": QUEUE, "from": "2025-01-02T00:00:00Z", "to": "2025-01-01T00:00:00Z"},
            "invalid-range",
            "from",
        ),
        ({"target": QUEUE, "names": "OrderPaid"}, "wrong-type", "names"),
        ({"target": QUEUE, "names": [""]}, "invalid-replay", "names[0]"),
        ({"target": QUEUE, "streamPrefix": 1}, "wrong-type", "streamPrefix"),
        ({"target": QUEUE, "eventsPerSecond": 1.5}, "invalid-replay", "eventsPerSecond"),
        ({"target": QUEUE, "eventsPerSecond": True}, "invalid-replay", "eventsPerSecond"),
        ({"target": QUEUE, "eventsPerSecond": None}, "invalid-replay", "eventsPerSecond"),
        ({"target": QUEUE, "eventsPerSecond": 0}, "invalid-replay", "eventsPerSecond"),
        ({"target": QUEUE, "names": ["A", "a\n"]}, "invalid-replay", "names[1]"),
        ({"target": QUEUE, "names": ["A" * 257]}, "invalid-replay", "names[0]"),
        ({"target": QUEUE, "streamPrefix": "a\x07"}, "invalid-replay", "streamPrefix"),
        ({"target": QUEUE, "streamPrefix": "$"}, "invalid-replay", "streamPrefix"),
        ({"target": QUEUE, "streamPrefix": "ü" * 513}, "invalid-replay", "streamPrefix"),
    ],
)
def test_bad_requests_say_what_and_where(
    gateway: Gateway, engine: Engine, body: Any, problem: str, field: str
) -> None:
    answer = start(gateway, body)
    assert (answer.status, answer.problem, answer.json["field"]) == (400, problem, field)
    assert engine.started == []


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("", ("malformed-json", "body", "is empty")),
        (" \n", ("malformed-json", "body", "is empty")),
        ("{", ("malformed-json", "body", "is not JSON")),
        ('{"target":"\\ud800"}', ("malformed-json", "target", "half of a character")),
        (
            '{"target":"q","streamPrefix":"\\udc00"}',
            ("malformed-json", "streamPrefix", "half of a character"),
        ),
        ('{"target":"q","names":["A","\\ud800"]}', ("malformed-json", "names[1]", "half of a character")),
        ('{"target":"q","names":["\ud800"]}', ("malformed-json", "names[0]", "half of a character")),
        ('{"target":"q","eventsPerSecond":NaN}', ("malformed-json", "eventsPerSecond", "has NaN")),
        ('{"target":"q","eventsPerSecond":1e400}', ("invalid-replay", "eventsPerSecond", "from 1 to")),
        (
            f'{{"target":"q","eventsPerSecond":{"1" * 5_000}}}',
            ("invalid-replay", "eventsPerSecond", "from 1 to"),
        ),
        ('{"target":"q","names":' + "[" * 100_000, ("malformed-json", "body", "flatten it")),
    ],
)
def test_bodies_that_are_no_json_are_answered_as_an_appends_are(
    gateway: Gateway, engine: Engine, body: str, told: tuple[str, str, str]
) -> None:
    answer, (problem, field, words) = gateway.send("POST", "/replays", body=body), told
    assert (answer.status, answer.problem, answer.json["field"]) == (400, problem, field)
    assert words in answer.json["detail"]
    assert engine.started == []


@pytest.mark.parametrize("path", ["/replays/7", "/replays/01890a5d-ac96-774b-bcce-b302099a8057"])
def test_unknown_replay_is_not_found(gateway: Gateway, path: str) -> None:
    assert gateway.get(path).problem == "replay-not-found"
    for action in ("pause", "resume", "cancel"):
        assert gateway.send("POST", f"{path}/{action}").problem == "replay-not-found"


def test_other_paths_and_methods_are_refused(gateway: Gateway) -> None:
    assert gateway.get("/replays/").problem == "not-found"
    assert gateway.get("/replays/7/8/9").problem == "not-found"
    assert gateway.send("POST", "/replays/7/stop").problem == "not-found"
    assert gateway.send("POST", "/replays/7").problem == "method-not-allowed"
    assert gateway.get("/replays/7/pause").problem == "method-not-allowed"


def test_replay_that_could_not_be_started_is_told_without_its_cause(gateway: Gateway, engine: Engine) -> None:
    engine.is_up = False
    answer = start(gateway)
    assert (answer.status, answer.problem) == (503, "unavailable")
    assert "secret" not in answer.text
    assert "repeat the request with the same Idempotency-Key" in answer.json["detail"]
    [listed] = gateway.get("/replays").json["replays"]
    assert (listed["status"], listed["reason"]) == ("queued", None)
    engine.is_up = True
    assert gateway.send("POST", f"/replays/{listed['replayId']}/resume").json["status"] == "queued"
    assert engine.started == [1]
