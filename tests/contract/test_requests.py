"""Whatever DynamoDB answers to a write, what comes out is the library's own error."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any
from unittest.mock import Mock

import pytest
from botocore.awsrequest import AWSResponse
from botocore.exceptions import (
    ClientError,
    ConnectionClosedError,
    ConnectTimeoutError,
    HTTPClientError,
    IncompleteReadError,
    ProxyConnectionError,
    ReadTimeoutError,
    SSLError,
)

from eventstore import Event, NewEvent
from eventstore.dynamodb.checkpoints import DynamoDBCheckpoints
from eventstore.dynamodb.items import item_from_event
from eventstore.dynamodb.journal import DynamoDBJournal
from eventstore.dynamodb.log import DynamoDBEventLog
from eventstore.dynamodb.log_items import Last, LogItem
from eventstore.dynamodb.raw_items import DynamoDBEventsTable
from eventstore.dynamodb.read_model import DynamoDBReadModel
from eventstore.dynamodb.replays import DynamoDBReplays, item_from_replay
from eventstore.dynamodb.store import DynamoDBEventStore
from eventstore.errors import (
    EventStoreError,
    EventTooLarge,
    ReadModelRefused,
    StoreMisconfigured,
    StoreUnavailable,
    TransactionTooLarge,
    UnexpectedItem,
)
from eventstore.log.model import BlockPosition
from eventstore.maintenance.items import StoredItem
from eventstore.replays.service import Replay, Replays
from eventstore.subscriptions import ParkedEvent
from eventstore.subscriptions.checkpoints import Lease
from tests.tables import boto3s_client, dynamodb_client, of_tranches

EVENT = Event("s", 1, "Happened", "{}", "{}", "01890a5d-ac96-774b-bcce-b302099a8057", 1)
START = BlockPosition(1, 0)
LEASE = Lease(0, START, "w", 1, 1)
PARKED = ParkedEvent(tranche=0, stream_id="s", event_id=1, reason="r", parked_at_us=1)
REPLAY = Replay(replay_id="r", target="t", from_us=None, to_us=1, requested_us=1, updated_us=1)
REPLAY_ID = "01890a5d-ac96-774b-bcce-b302099a8057"
ITEM = StoredItem(stream_id="s", event_id=1, event=EVENT, uid=None, timestamp=None, shard=None, digest=0)


def pause(_pause_s: float) -> None:
    pass


@dataclass
class Adapters:
    """All that writes, on tables that are never reached."""

    client: Any

    def __post_init__(self) -> None:
        at: dict[str, Any] = {"client": self.client, "table_name": "events"}
        self.store = DynamoDBEventStore(**at, sleep=pause)
        self.table = DynamoDBEventsTable(**at)
        self.log = of_tranches(DynamoDBEventLog(**at, sleep=pause), 1)
        # Its clock stands: it doesn't look again which log it is.
        self.begun_log = of_tranches(DynamoDBEventLog(**at, sleep=pause, monotonic=lambda: 0.0), 1)
        self.begun_log._begun = LogItem(1, "log")
        self.begun_log._last = {0: Last(7, 1)}
        self.checkpoints = DynamoDBCheckpoints(**at, sleep=pause)
        self.read_model = DynamoDBReadModel(**at, sleep=pause)
        self.replays = DynamoDBReplays(**at)
        self.journal = DynamoDBJournal(**at, consumer="publish")


WRITES: dict[str, Callable[[Adapters], object]] = {
    "append": lambda on: on.store.append("s", [NewEvent.of("E")], expected=0),
    "append several": lambda on: on.store.append("s", [NewEvent.of("E")] * 2, expected=0),
    "import": lambda on: on.table.put(EVENT, shard=0),
    "repair": lambda on: on.table.repair(ITEM, timestamp_us=1, shard=0),
    "begin the log": lambda on: on.log.append_block(0, [EVENT]),
    "append to the log": lambda on: on.begun_log.append_block(0, [EVENT]),
    "begin": lambda on: on.checkpoints.begin("view", [START]),
    "take": lambda on: on.checkpoints.take("view", LEASE, owner="w"),
    "renew": lambda on: on.checkpoints.renew("view", LEASE, place=START),
    "release": lambda on: on.checkpoints.release("view", LEASE, place=START),
    "join": lambda on: on.checkpoints.join("view", "w", session="s", is_first=True),
    "leave": lambda on: on.checkpoints.leave("view", "w", counter=1),
    "park": lambda on: on.checkpoints.park("view", LEASE, PARKED),
    "unpark": lambda on: on.checkpoints.unpark("view", PARKED),
    "project": lambda on: on.read_model.write(
        [{"Put": {"TableName": "events", "Item": {}}}], projection="p", event=EVENT, after=0
    ),
    "create a replay": lambda on: on.replays.create(REPLAY),
    "create a replay once": lambda on: on.replays.create(replace(REPLAY, request_key="k")),
    "claim a replay": lambda on: on.replays.claim(REPLAY, until_us=1),
    "save a replay": lambda on: on.replays.save(REPLAY),
    "change a replay": lambda on: on.replays.change(REPLAY, before=REPLAY),
    "tell the journal": lambda on: on.journal.add({"s": 1}),
}


HEADERS = {"content-type": "application/x-amz-json-1.0", "x-amzn-requestid": "R1"}
CODES = {
    "TransactionConflict": "TransactionConflictException",
    "ThrottlingError": "ThrottlingException",
    "ConditionalCheckFailed": "ConditionalCheckFailedException",
}
"""Why a write is refused: as a cancelled transaction has it, and as a single write does."""


def refuse_writes(reason: str) -> Callable[[Any], AWSResponse]:
    """Make the HTTP session of a client: it finds nothing, and refuses what is written for the reason."""

    def send(request: Any) -> AWSResponse:
        operation = request.headers["X-Amz-Target"].decode().rpartition(".")[2]
        if operation in {"GetItem", "Query"}:
            return answer(request, 200, {"Items": [], "Count": 0} if operation == "Query" else {})
        if reason == "ConditionalCheckFailed" and b"ConditionExpression" not in request.body:
            return answer(request, 200, {})
        if operation != "TransactWriteItems":
            return answer(request, 400, {"__type": f"dynamodb#{CODES[reason]}", "message": reason})
        reasons = [{"Code": reason}, {"Code": "None"}]
        cancelled = {"__type": "dynamodb#TransactionCanceledException", "CancellationReasons": reasons}
        return answer(request, 400, cancelled)

    return send


READS: dict[str, Callable[[Adapters], object]] = {
    "head": lambda on: on.store.head("s"),
    "load": lambda on: list(on.store.read_stream("s")),
    "read all": lambda on: list(on.store.read_all()),
    "read times": lambda on: on.store.read_times([("s", 1)]),
    "ask the journal": lambda on: on.journal.published(["s"]),
    "scan": lambda on: on.table.scan(segment=0, segments=1, after=None),
    "get": lambda on: on.table.get("s", 1),
    "read the log": lambda on: list(on.log.read_tranche(0)),
    "read a group": lambda on: on.checkpoints.read_group("view"),
    "read what is parked": lambda on: list(on.checkpoints.read_parked("view")),
    "get a replay": lambda on: on.replays.get("r"),
    "list replays": lambda on: on.replays.latest(limit=1),
}


def answer(request: Any, status: int, body: dict[str, Any]) -> AWSResponse:
    return answer_text(request, status, json.dumps(body).encode(), HEADERS)


def answer_text(request: Any, status: int, body: bytes, headers: dict[str, str]) -> AWSResponse:
    raw = io.BytesIO(body)
    raw.stream = lambda: iter([raw.getvalue()])  # type: ignore[attr-defined]
    return AWSResponse(request.url, status, headers, raw)


def as_of_an_empty_store(request: Any) -> AWSResponse | None:
    """Answer what is asked before a first write: nothing is there, and the store's own item is taken."""
    operation = request.headers["X-Amz-Target"].decode().rpartition(".")[2]
    if operation == "GetItem" or b"$store" in request.body:
        return answer(request, 200, {})
    if b'"Limit": 2' in request.body and operation == "Scan":  # is it empty?
        return answer(request, 200, {"Items": [], "Count": 0})
    return None


@pytest.fixture
def adapters(monkeypatch: pytest.MonkeyPatch) -> Adapters:
    monkeypatch.setattr("time.sleep", pause)
    return Adapters(dynamodb_client("http://127.0.0.1:9"))


@pytest.mark.parametrize("reason", ["TransactionConflict", "ThrottlingError"])
@pytest.mark.parametrize("write", WRITES)
def test_write_that_is_refused_for_a_passing_reason_is_unavailable(
    adapters: Adapters, monkeypatch: pytest.MonkeyPatch, write: str, reason: str
) -> None:
    monkeypatch.setattr(adapters.client._endpoint.http_session, "send", refuse_writes(reason))

    with pytest.raises(StoreUnavailable):
        WRITES[write](adapters)


@pytest.mark.parametrize("write", WRITES)
def test_condition_that_fails_is_an_answer_or_an_error_of_the_library(
    adapters: Adapters, monkeypatch: pytest.MonkeyPatch, write: str
) -> None:
    monkeypatch.setattr(
        adapters.client._endpoint.http_session, "send", refuse_writes("ConditionalCheckFailed")
    )

    with suppress(EventStoreError):
        WRITES[write](adapters)


def cancelled(count: int) -> bytes:
    reasons = [{"Code": "ConditionalCheckFailed"}] * count
    body = {"__type": "dynamodb#TransactionCanceledException", "CancellationReasons": reasons}
    return json.dumps(body).encode()


ANOTHERS = [
    *((call, b'{"__type":"x#ConditionalCheckFailedException"}') for call in (*READS, "unpark", "project")),
    *((call, cancelled(2)) for call in (*READS, "append", "renew")),
    *((call, cancelled(3)) for call in ("append several", "park", "create a replay once")),
]
"""Refusals that a call can't get."""


@pytest.mark.parametrize(("call", "body"), ANOTHERS)
def test_refusal_of_another_request_is_unavailable(
    adapters: Adapters, monkeypatch: pytest.MonkeyPatch, call: str, body: bytes
) -> None:
    monkeypatch.setattr(
        adapters.client._endpoint.http_session, "send", lambda sent: answer_text(sent, 400, body, HEADERS)
    )

    with pytest.raises(StoreUnavailable):
        (READS | WRITES)[call](adapters)


def test_append_that_is_told_of_another_streams_event_in_its_way_is_an_error(
    adapters: Adapters, monkeypatch: pytest.MonkeyPatch
) -> None:
    item = item_from_event(EVENT, shard=0, compression=None)
    item["StreamId"] = {"S": "another"}
    body = json.dumps({"__type": "x#ConditionalCheckFailedException", "Item": item}).encode()

    def send(request: Any) -> AWSResponse:
        if b"ConditionExpression" in request.body and b'"EventName"' in request.body:
            return answer_text(request, 400, body, HEADERS)
        return as_of_an_empty_store(request) or answer(request, 200, {})

    monkeypatch.setattr(adapters.client._endpoint.http_session, "send", send)

    with pytest.raises(UnexpectedItem):
        WRITES["append"](adapters)


PORTAL = (200, b"<html>please log in</html>", {"content-type": "text/html"})
NO_REASON = b',"CancellationReasons":[{"Code":"None"},{"Code":"None"}]}'
CUT = b',"CancellationReasons":[null,null]}'
TROUBLE: dict[str, tuple[int, bytes, dict[str, str]]] = {
    "500 with a code": (500, b'{"__type":"dynamodb#InternalServerError"}', HEADERS),
    "500 with a code that means something else": (500, b'{"__type":"x#ValidationException"}', HEADERS),
    "500 without a body": (500, b"", {}),
    "502 of HTML": (502, b"<html>bad gateway</html>", {"content-type": "text/html"}),
    "503 of text": (503, b"Service Unavailable", {"content-type": "text/plain"}),
    "503 of a list": (503, b"[]", {"content-type": "application/json"}),
    "503 of a JSON text": (503, b'"gone"', {"content-type": "application/json"}),
    "504 without type": (504, b"{}", HEADERS),
    "InternalFailure": (400, b'{"__type":"dynamodb#InternalFailure"}', HEADERS),
    "LimitExceeded": (400, b'{"__type":"dynamodb#LimitExceededException"}', HEADERS),
    "ReplicatedWriteConflict": (400, b'{"__type":"x#ReplicatedWriteConflictException"}', HEADERS),
    "400 without a code": (400, b'{"__type":null}', HEADERS),
    "400 of an empty code": (400, b'{"__type":"","message":"no"}', HEADERS),
    "cancelled without reasons": (400, b'{"__type":"x#TransactionCanceledException"}', HEADERS),
    "cancelled for no reason": (400, b'{"__type":"x#TransactionCanceledException"' + NO_REASON, HEADERS),
    "cancelled for something cut off": (400, b'{"__type":"x#TransactionCanceledException"' + CUT, HEADERS),
    "429": (429, b"", {}),
    "redirect to a login page": (302, b"", {"location": "http://portal"}),
    "403 of a proxy": (403, b"<html>forbidden</html>", {"content-type": "text/html"}),
    "login page": PORTAL,
    "empty success": (200, b"", {}),
    "empty success with headers": (200, b"", {**HEADERS, "content-length": "0"}),
    "success of somebody else": (200, b"{}", {"content-type": "application/json"}),
    "success without id and checksum": (200, b"{}", {"content-type": "application/x-amz-json-1.0"}),
    "success that is cut off": (200, b'{"Item', HEADERS),
    "success that is cut off to a byte": (200, b"{", HEADERS),
    "success that is HTML": (200, PORTAL[1], HEADERS),
    "success of other members": (200, b'{"status":"ok"}', HEADERS),
    "success without anything": (200, b"null", HEADERS),
    "success that is a list": (200, b"[]", HEADERS),
    "success that is a text": (200, b'"ok"', HEADERS),
    "success whose members are none": (
        200,
        b'{"Item":null,"Items":null,"Responses":null,"UnprocessedKeys":null,"Attributes":null}',
        HEADERS,
    ),
    "success of another checksum": (200, b'{"Count":0,"Items":[]}', {**HEADERS, "x-amz-crc32": "2745614147"}),
    "success of a checksum that isn't one": (200, b"{}", {**HEADERS, "x-amz-crc32": "none"}),
}


@pytest.fixture(params=["ours", "boto3's"])
def either(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Adapters:
    monkeypatch.setattr("time.sleep", pause)
    made = dynamodb_client if request.param == "ours" else boto3s_client
    return Adapters(made("http://127.0.0.1:9"))


@pytest.mark.parametrize("trouble", TROUBLE)
def test_answer_that_is_no_success_is_unavailable_for_writes_and_reads(
    either: Adapters, monkeypatch: pytest.MonkeyPatch, trouble: str
) -> None:
    monkeypatch.setattr(
        either.client._endpoint.http_session, "send", lambda sent: answer_text(sent, *TROUBLE[trouble])
    )

    for call in (*WRITES.values(), *READS.values()):
        with pytest.raises(StoreUnavailable):
            call(either)


IN_DOUBT: dict[str, Callable[[Adapters], object]] = {
    **{name: WRITES[name] for name in ("import", "append to the log", "create a replay once")},
    "record the shards": lambda on: on.store._facts.write_shards(1),
    "steer a replay": lambda on: Replays(
        store=on.replays, engine=Mock(spec=["start"]), allowed_targets=[]
    ).pause(REPLAY_ID),
}


@pytest.mark.parametrize("write", IN_DOUBT)
def test_read_that_fails_behind_a_write_says_that_it_may_have_been_done(
    either: Adapters, monkeypatch: pytest.MonkeyPatch, write: str
) -> None:
    refused: list[Any] = []

    def send(request: Any) -> AWSResponse:
        operation = request.headers["X-Amz-Target"].decode().rpartition(".")[2]
        if operation in {"GetItem", "Query", "Scan"}:
            if refused:
                return answer(request, 503, {})
            is_replay = REPLAY_ID.encode() in request.body
            there = {"Item": item_from_replay(replace(REPLAY, replay_id=REPLAY_ID))} if is_replay else {}
            return answer(request, 200, there if operation == "GetItem" else {"Items": [], "Count": 0})
        refused.append(request)
        return refuse_writes("ConditionalCheckFailed")(request)

    monkeypatch.setattr(either.client._endpoint.http_session, "send", send)

    with pytest.raises(StoreUnavailable, match="It may have been done all the same"):
        IN_DOUBT[write](either)
    assert refused


REFUSED_FOR_SIZE = {
    "append": EventTooLarge,
    "append several": TransactionTooLarge,
    "project": ReadModelRefused,
}
"""What the writer can make smaller; of all else the library says that it can't be written now."""


@pytest.mark.parametrize("body", [b"", b"<html>too large</html>", b'{"__type":"x#RequestTooLarge"}'])
def test_refusal_for_its_size_alone_is_said_as_such_or_as_unavailable(
    either: Adapters, monkeypatch: pytest.MonkeyPatch, body: bytes
) -> None:
    def refuse(request: Any) -> AWSResponse:
        begun = as_of_an_empty_store(request)
        if begun:
            return begun
        headers = HEADERS if body.startswith(b"{") else {"content-type": "text/html"}
        return answer_text(request, 413, body, headers)

    monkeypatch.setattr(either.client._endpoint.http_session, "send", refuse)

    for name, call in WRITES.items():
        with pytest.raises(REFUSED_FOR_SIZE.get(name, StoreUnavailable)):
            call(either)
    for name in ("load", "head", "read times", "scan", "read the log"):
        with pytest.raises(StoreUnavailable):
            READS[name](either)


def test_item_that_only_a_transactions_reasons_call_too_large_is_said_so(
    either: Adapters, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = {
        "__type": "x#TransactionCanceledException",
        "message": "Transaction cancelled, please refer cancellation reasons for specific reasons",
        "CancellationReasons": [
            {"Code": "None"},
            {"Code": "ValidationError", "Message": "Item size has exceeded the maximum allowed size"},
        ],
    }

    def refuse(request: Any) -> AWSResponse:
        return as_of_an_empty_store(request) or answer(request, 400, body)

    monkeypatch.setattr(either.client._endpoint.http_session, "send", refuse)

    with pytest.raises(EventTooLarge):
        WRITES["append several"](either)


@pytest.mark.parametrize(
    "error",
    [
        ReadTimeoutError(endpoint_url="http://d"),
        ConnectTimeoutError(endpoint_url="http://d"),
        ConnectionClosedError(endpoint_url="http://d"),
        SSLError(endpoint_url="http://d", error="broken"),
        ProxyConnectionError(proxy_url="http://p", error="refused"),
        HTTPClientError(error="decode"),
        IncompleteReadError(actual_bytes=1, expected_bytes=2),
    ],
    ids=lambda error: type(error).__name__,
)
def test_connection_that_breaks_is_unavailable_for_writes_and_reads(
    either: Adapters, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def broken(_: Any) -> AWSResponse:
        raise error

    monkeypatch.setattr(either.client._endpoint.http_session, "send", broken)

    for call in (*WRITES.values(), *READS.values()):
        with pytest.raises(StoreUnavailable):
            call(either)


LASTING = {
    "expired credentials": (400, "ExpiredTokenException"),
    "no permission": (400, "AccessDeniedException"),
    "no table": (400, "ResourceNotFoundException"),
    "not valid": (400, "ValidationException"),
    "too large": (413, "RequestTooLarge"),
    "another transaction": (400, "TransactionConflictException"),
}


@pytest.mark.parametrize("refusal", LASTING)
def test_write_refused_after_a_lost_answer_is_said_to_be_in_doubt(
    either: Adapters, monkeypatch: pytest.MonkeyPatch, refusal: str
) -> None:
    status, code = LASTING[refusal]
    lost: list[Any] = []

    def send(request: Any) -> AWSResponse:
        begun = as_of_an_empty_store(request)
        if begun:
            return begun
        if not lost:
            lost.append(request)
            raise ReadTimeoutError(endpoint_url="http://d")
        return answer(request, status, {"__type": f"dynamodb#{code}", "message": "no"})

    monkeypatch.setattr(either.client._endpoint.http_session, "send", send)

    for name, call in WRITES.items():
        lost.clear()
        with pytest.raises(StoreUnavailable, match="may have been done all the same") as caught:
            call(either)
        assert lost, name
        assert type(caught.value) is StoreUnavailable, name


@pytest.mark.parametrize(
    "code", ["AccessDeniedException", "ResourceNotFoundException", "ValidationException"]
)
def test_refusal_that_stays_is_sent_once_and_has_dynamodbs_own_words(
    either: Adapters, monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    sent: list[Any] = []

    def refuse(request: Any) -> AWSResponse:
        sent.append(request)
        return answer(request, 400, {"__type": f"dynamodb#{code}", "message": "no"})

    monkeypatch.setattr(either.client._endpoint.http_session, "send", refuse)

    with pytest.raises((ClientError, StoreMisconfigured), match=code):
        either.store.append("s", [NewEvent.of("E")], expected=0)
    with pytest.raises((ClientError, StoreMisconfigured), match=code):
        list(either.store.read_stream("s"))
    assert len(sent) == 2


@pytest.mark.parametrize("body", [b"{}", b'{"Items":[]}', b'{"Count":0}', b'{"Items":[],"Count":"0"}'])
def test_page_that_lacks_what_each_page_has_is_no_end_of_a_read(
    either: Adapters, monkeypatch: pytest.MonkeyPatch, body: bytes
) -> None:
    monkeypatch.setattr(
        either.client._endpoint.http_session, "send", lambda sent: answer_text(sent, 200, body, HEADERS)
    )

    for name in ("load", "read all", "scan", "read the log", "read what is parked", "list replays"):
        with pytest.raises(StoreUnavailable):
            READS[name](either)


def test_page_of_all_events_that_is_cut_off_once_is_asked_for_again(
    either: Adapters, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []

    def cut_first(request: Any) -> AWSResponse:
        if b"ByTime" not in request.body:
            return answer(request, 200, {})
        if b":shard" not in request.body:  # whether there are events, though there's no item of the store
            return answer(request, 200, {"Count": 0, "Items": []})
        asked.append(request)
        return answer_text(request, 200, b'{"Count":0,"Items":[]}'[: 9 if len(asked) == 1 else None], HEADERS)

    monkeypatch.setattr(either.client._endpoint.http_session, "send", cut_first)

    assert list(either.store.read_all()) == []
    assert len(asked) == 2
