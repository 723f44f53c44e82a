"""Whatever DynamoDB answers to a write, what comes out is the library's own error."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import pytest
from botocore.awsrequest import AWSResponse

from eventstore import BlockPosition, Event, EventStoreError, NewEvent, StoreUnavailable
from eventstore.adapters.dynamodb.checkpoints import DynamoDBCheckpoints
from eventstore.adapters.dynamodb.events_table import DynamoDBEventsTable
from eventstore.adapters.dynamodb.log import DynamoDBEventLog
from eventstore.adapters.dynamodb.read_model import DynamoDBReadModel
from eventstore.adapters.dynamodb.replays import DynamoDBReplays
from eventstore.adapters.dynamodb.store import DynamoDBEventStore
from eventstore.replays import Replay
from eventstore.stored_items import StoredItem
from eventstore.subscriptions import ParkedEvent
from eventstore.subscriptions.checkpoints import Lease
from tests.tables import dynamodb_client

EVENT = Event("s", 1, "Happened", "{}", "{}", "01890a5d-ac96-774b-bcce-b302099a8057", 1)
START = BlockPosition(1, 0)
LEASE = Lease(0, START, "w", 1, 1)
PARKED = ParkedEvent(tranche=0, stream_id="s", event_id=1, reason="r", parked_at_us=1)
REPLAY = Replay(replay_id="r", target="t", from_us=None, to_us=1, requested_us=1, updated_us=1)
ITEM = StoredItem(stream_id="s", event_id=1, event=EVENT, uid=None, timestamp=None, shard=None, digest=0)


def pause(_pause_s: float) -> None:
    pass


@dataclass
class Adapters:
    """All that writes, on tables that are never reached."""

    client: Any

    def __post_init__(self) -> None:
        at: dict[str, Any] = {"client": self.client, "table_name": "t"}
        self.store = DynamoDBEventStore(**at, sleep=pause)
        self.table = DynamoDBEventsTable(**at)
        self.log = DynamoDBEventLog(**at, tranches=1, sleep=pause)
        self.begun_log = DynamoDBEventLog(**at, tranches=1, sleep=pause)
        self.begun_log._tranches_are_checked = True
        self.begun_log._last = {0: 7}
        self.checkpoints = DynamoDBCheckpoints(**at, sleep=pause)
        self.read_model = DynamoDBReadModel(**at, sleep=pause)
        self.replays = DynamoDBReplays(**at)


WRITES: dict[str, Callable[[Adapters], object]] = {
    "append": lambda on: on.store.append("s", [NewEvent.of("E")], expected=0),
    "append several": lambda on: on.store.append("s", [NewEvent.of("E")] * 2, expected=0),
    "import": lambda on: on.table.put(EVENT, shard=0),
    "mend": lambda on: on.table.mend(ITEM, timestamp_us=1, shard=0),
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
        [{"Put": {"TableName": "t", "Item": {}}}], projection="p", event=EVENT
    ),
    "create a replay": lambda on: on.replays.create(REPLAY),
    "create a replay once": lambda on: on.replays.create(replace(REPLAY, request_key="k")),
    "claim a replay": lambda on: on.replays.claim(REPLAY, until_us=1),
    "save a replay": lambda on: on.replays.save(REPLAY),
    "change a replay": lambda on: on.replays.change(REPLAY, before=REPLAY),
}


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
            return answer(request, 200, {"Items": []})
        if reason == "ConditionalCheckFailed" and b"ConditionExpression" not in request.body:
            return answer(request, 200, {})
        if operation != "TransactWriteItems":
            return answer(request, 400, {"__type": f"dynamodb#{CODES[reason]}", "message": reason})
        reasons = [{"Code": reason}, {"Code": "None"}]
        cancelled = {"__type": "dynamodb#TransactionCanceledException", "CancellationReasons": reasons}
        return answer(request, 400, cancelled)

    return send


def answer(request: Any, status: int, body: dict[str, Any]) -> AWSResponse:
    raw = io.BytesIO(json.dumps(body).encode())
    raw.stream = lambda: iter([raw.getvalue()])  # type: ignore[attr-defined]
    return AWSResponse(request.url, status, {"content-type": "application/x-amz-json-1.0"}, raw)


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
