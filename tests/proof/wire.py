"""The wire between the adapters and DynamoDB Local: requests and answers that get late, lost, or cut off."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email.utils import formatdate
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final, NoReturn
from unittest.mock import patch

from botocore.awsrequest import AWSResponse
from botocore.config import Config
from botocore.exceptions import ConnectTimeoutError, ReadTimeoutError

from eventstore.dynamodb import facts, store_item
from eventstore.dynamodb.client import CLIENT_CONFIG
from tests.proof.strange_answers import answer_as_dynamodb, answer_strangely
from tests.proof.world import Killed, World
from tests.tables import dynamodb_client

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

_WRITES: Final = frozenset({"DeleteItem", "PutItem", "TransactWriteItems", "UpdateItem"})


@dataclass(frozen=True, kw_only=True)
class Faults:
    """How much goes wrong on the wire: shares of 1 of all requests, and seconds at most.

    `clock_skew_s`, twice, `write_pause_s`, `late_write_s` and `index_lag_s` are 8.5 s: below the settling
    time, which covers just them.
    """

    throttled: float = 0.02
    throttled_writes: float = 0.0
    """Besides: of a partition that takes no more."""
    unreachable: float = 0.01
    lost_answers: float = 0.03
    late_writes: float = 0.02
    """The client gets no answer; the write is done all the same, after it has gone on."""
    outages: float = 0.003
    """Nothing is answered for a while: all of the client's tries fail."""
    kills_before: float = 0.01
    kills_after: float = 0.015
    transactions_in_the_way: float = 0.02
    strange_answers: float = 0.02
    """Not DynamoDB's, or not in its form; some after the request was done."""
    half_visible: float = 0.5
    """Of transactions of several events: each becomes visible at a moment of its own."""
    partial_answers: float = 0.1
    """Of what reads several items: the rest comes with the next request."""
    write_pauses: float = 0.1
    """Between stamping and writing."""
    stale_reads: float = 0.3
    """Of queries of the log that needn't be consistent: of what was written lately each block may lack."""
    wrong_clocks: float = 0.04
    """Of appends: before one, the writer's clock is set minutes to years off."""
    wrong_readers_clocks: float = 0.02
    """Of pages of all events: before one, the reader's clock is set so."""
    patient_clients: float = 0.1
    """Of writers' processes: they begin with a client that sends a write again by itself."""
    otherwise: float = 0.2
    """Of appends: they are asked for once more, in another way."""

    outage_s: float = 3.0
    write_pause_s: float = 2.0
    late_write_s: float = 1.0
    index_lag_s: float = 2.5
    clock_skew_s: float = 1.5
    stale_s: float = 2.0
    half_visible_s: float = 0.15
    """Until all events of a transaction are visible; it's answered then."""


class Wire:
    """The HTTP session of a client, with faults drawn from the world's seed."""

    def __init__(self, world: World, faults: Faults, send_for_real: Callable[[Any], Any]) -> None:
        self._world = world
        self._faults = faults
        self._send_for_real = send_for_real
        self._visible_us: dict[tuple[str, str], int] = {}
        self._uncommitted_us: dict[tuple[str, str], int] = {}
        self._logged_us: dict[tuple[str, str], int] = {}
        """When each block of the log was written."""
        self._out_until_us = 0
        self._asked: Counter[str] = Counter()
        self.requests = 0

    def send(self, request: Any) -> Any:
        """Send a request, or what becomes of it."""
        operation = _text(request.headers["X-Amz-Target"]).partition(".")[2]
        body = json.loads(request.body)
        if not self._world.is_in_actor:  # a shard that is read side by side: the reader has the baton
            return self._dated(self._read_beside(request, body))
        self.requests += 1
        self._world.step()
        if self._world.is_healed:
            return self._dated(self._send_for_real(request))
        if operation == "Query" and self._world.chance(self._faults.partial_answers):
            self._cut_short(request, body)
        if operation in _WRITES:
            self._pause()
        self._perhaps_be_out(request)
        answer = self._dated(self._spoil(request, operation, body))
        self._world.step()
        return answer

    @property
    def events_written(self) -> int:
        """How many there are."""
        return len(self._visible_us)

    def committed_us(self, stream_id: str, event_id: int) -> int:
        """Return when an event of a transaction can be read; 0 for any other."""
        return self._uncommitted_us.get((stream_id, str(event_id)), 0)

    def _dated(self, answer: Any) -> Any:
        """Have the engine's clock be the world's."""
        answer.headers["date"] = formatdate(self._world.now_us // 1_000_000, usegmt=True)
        return answer

    def _pause(self) -> None:
        if self._world.chance(self._faults.write_pauses):
            self._world.faults["writer paused between stamping and writing"] += 1
            self._world.sleep(self._world.rng.random() * self._faults.write_pause_s)

    def _spoil(self, request: Any, operation: str, body: Any) -> Any:
        faults, drawn = self._faults, self._world.rng.random()
        is_write = operation in _WRITES

        def falls(share: float) -> bool:
            nonlocal drawn
            drawn -= share
            return drawn < 0

        if falls(faults.throttled + faults.throttled_writes * is_write):
            return self._refuse(request, "ProvisionedThroughputExceededException", "throttled")
        if falls(faults.unreachable):
            self._world.faults["engine not reached"] += 1
            raise ConnectTimeoutError(endpoint_url=request.url)
        if falls(faults.kills_before):
            self._kill()
        if falls(faults.transactions_in_the_way) and _may_be_in_a_transaction(body):
            return self._refuse_for_a_transaction(request, body)
        if falls(faults.late_writes) and is_write:
            self._world.faults["write done after its timeout"] += 1
            self._world.spawn("late write", lambda: self._send_late(request, body))
            raise ReadTimeoutError(endpoint_url=request.url)
        if falls(faults.strange_answers):
            return answer_strangely(self._world, request, lambda: self._send(request, body))
        answer = self._perhaps_without_some(request, body, self._send(request, body))
        if falls(faults.lost_answers):
            what = "write" if is_write else "read"
            self._world.faults[f"answer of a {what} lost after it was done"] += 1
            raise ReadTimeoutError(endpoint_url=request.url)
        if falls(faults.kills_after):
            self._kill()
        return answer

    def _perhaps_be_out(self, request: Any) -> None:
        world = self._world
        if world.chance(self._faults.outages):
            world.faults["outage"] += 1
            self._out_until_us = world.now_us + round(world.rng.random() * self._faults.outage_s * 1_000_000)
        if world.now_us < self._out_until_us:
            raise ConnectTimeoutError(endpoint_url=request.url)

    def _kill(self) -> NoReturn:
        self._world.faults[f"{self._world.role} killed at a request"] += 1
        raise Killed

    def _cut_short(self, request: Any, body: Any) -> None:
        """Have a query answered in pages of a few items, as DynamoDB does with large ones."""
        most = self._world.rng.randint(1, 3)
        if body.get("Limit", most + 1) > most:
            body["Limit"] = most
            request.body = json.dumps(body).encode()
            request.headers["Content-Length"] = str(len(request.body))
            self._world.faults["query answered in part"] += 1

    def _perhaps_without_some(self, request: Any, body: Any, answer: Any) -> Any:
        """Leave some keys of a batch of reads unread, perhaps all of them."""
        if "RequestItems" not in body or not self._world.chance(2 * self._faults.partial_answers):
            return answer
        told = json.loads(answer.content) if answer.status_code == 200 else {}
        for table_name, items in told.get("Responses", {}).items():
            if not items:
                continue
            items.sort(key=_address)
            left = items[self._world.rng.randrange(len(items)) :]
            addresses = {_address(item) for item in left}
            asked = body["RequestItems"][table_name]
            keys = [key for key in asked["Keys"] if _address(key) in addresses]
            told["Responses"][table_name] = items[: -len(left)]
            told["UnprocessedKeys"] = {table_name: asked | {"Keys": keys}}
            self._world.faults["batch of reads answered in part"] += 1
        return answer_as_dynamodb(request, 200, told) if told else answer

    def _send_late(self, request: Any, body: Any) -> None:
        self._world.sleep(self._world.rng.random() * self._faults.late_write_s)
        self._send(request, body)

    def _send(self, request: Any, body: Any) -> Any:
        parts = [body, *(each["Put"] for each in body.get("TransactItems", ()) if "Put" in each)]
        items = [part["Item"] for part in parts if "GSIKey" in part.get("Item", ())]
        if any(self._uncommitted_us.get(_address(item), 0) > self._world.now_us for item in items):
            return self._refuse_for_a_transaction(request, body)
        answer = self._send_for_real(request)
        if answer.status_code == 200:
            if len(items) > 1 and self._world.chance(self._faults.half_visible):
                self._become_visible(items)
            for item in items:
                self._lag(item)
            for item in (part["Item"] for part in parts if "Entries" in part.get("Item", ())):
                self._logged_us[_block(item)] = self._world.now_us
        answer = self._without_the_late(request, body, answer)
        if not body.get("ConsistentRead", True) and self._world.chance(self._faults.stale_reads):
            return self._of_a_replica(request, answer)
        return answer

    def _of_a_replica(self, request: Any, answer: Any) -> Any:
        """Leave blocks out that were written lately, each by chance: a read may meet several replicas."""
        world, told = self._world, json.loads(answer.content) if answer.status_code == 200 else {}
        items = told.get("Items", [])
        has_them_since = world.now_us - round(world.rng.random() * self._faults.stale_s * 1_000_000)
        seen = [
            item
            for item in items
            if "Entries" not in item or self._logged_us[_block(item)] <= has_them_since or world.chance(0.5)
        ]
        if len(seen) == len(items):
            return answer
        world.faults["block not seen by a read of a replica"] += len(items) - len(seen)
        return answer_as_dynamodb(request, 200, told | {"Items": seen, "Count": len(seen)})

    def _become_visible(self, items: list[Any]) -> None:
        """Have a transaction's events committed one by one, in any order; then it's answered.

        Queries and batches of reads are read-committed toward transactions. An event that isn't committed
        isn't seen, and a write to its place is refused.
        """
        world = self._world
        world.faults["transaction visible event by event"] += 1
        for item in items:
            at_us = world.now_us + round(world.rng.random() * self._faults.half_visible_s * 1_000_000)
            self._uncommitted_us[_address(item)] = at_us
        last_us = max(self._uncommitted_us[_address(item)] for item in items)
        world.sleep((last_us - world.now_us) / 1_000_000)

    def _lag(self, item: Any) -> None:
        lag_s = self._world.rng.random() ** 2 * self._faults.index_lag_s
        self._world.faults["index item late"] += 1
        self._visible_us.setdefault(_address(item), self._world.now_us + round(lag_s * 1_000_000))

    def _read_beside(self, request: Any, body: Any) -> Any:
        # Not from the world's own chance, since several threads come here in any order.
        what = f"{self._world.now_us}/{body['ExpressionAttributeValues']}/{body.get('ExclusiveStartKey')}"
        if self._world.now_us < self._out_until_us:
            raise ConnectTimeoutError(endpoint_url=request.url)
        self._asked[what] += 1  # a thread's own: it names its shard
        if random.Random(f"{what}/{self._asked[what]}").random() < self._faults.throttled:
            # Not counted: a read whose reader has failed at another shard may come or not.
            return _refused(request, "ProvisionedThroughputExceededException")
        return self._without_the_late(request, body, self._send_for_real(request))

    def _without_the_late(self, request: Any, body: Any, answer: Any) -> Any:
        now_us = self._world.now_us
        if "IndexName" in body:
            late = {address for address, at_us in self._visible_us.items() if at_us > now_us}
        else:
            late = {address for address, at_us in self._uncommitted_us.items() if at_us > now_us}
        told = json.loads(answer.content) if late and answer.status_code == 200 else {}
        if not told.keys() & {"Item", "Items", "Responses"}:
            return answer
        hidden = 0

        def seen(items: list[Any]) -> list[Any]:
            nonlocal hidden
            left = [item for item in items if "StreamId" not in item or _address(item) not in late]
            hidden += len(items) - len(left)
            return left

        if "Items" in told:
            told["Items"] = seen(told["Items"])
        elif "Item" in told:
            told = {} if not seen([told["Item"]]) else told
        else:
            told["Responses"] = {name: seen(items) for name, items in told["Responses"].items()}
        if hidden and "IndexName" not in body:
            self._world.faults["part of a transaction not seen by a read"] += 1
        return answer_as_dynamodb(request, 200, told) if hidden else answer

    def _refuse_for_a_transaction(self, request: Any, body: Any) -> AWSResponse:
        what = "TransactionCanceled" if "TransactItems" in body else "TransactionConflict"
        return self._refuse(request, f"{what}Exception", "another transaction in the way")

    def _refuse(self, request: Any, code: str, kind: str) -> AWSResponse:
        self._world.faults[kind] += 1
        return _refused(request, code)


@contextmanager
def wired_client(world: World, faults: Faults, endpoint: str) -> Iterator[tuple[DynamoDBClient, Wire]]:
    """Have a client on such a wire; the adapters' tries of a request wait in virtual time."""
    client = dynamodb_client(endpoint)
    session = client._endpoint.http_session  # type: ignore[attr-defined]
    wire = Wire(world, faults, session.send)
    session.send = wire.send
    time = SimpleNamespace(sleep=lambda _: world.sleep(world.rng.random() / 2 if world.is_in_actor else 0))
    # New shards are written sooner than after a minute, and still later than all readers ask again.
    with (
        patch("eventstore.dynamodb.requests.time", time),
        patch("botocore.endpoint.time", SimpleNamespace(sleep=world.sleep)),
        patch.multiple(facts, _REFRESH_US=20_000_000),
        patch.multiple(store_item, _SPREAD_US=22_000_000, _CLOCKS_US=4_000_000),
    ):
        yield client, wire


def patient_client(wire: Wire, endpoint: str) -> DynamoDBClient:
    """Make a client on a wire that sends a request up to eight times by itself, with its old stamp."""
    retries: Any = {"mode": "standard", "total_max_attempts": 8}
    client = dynamodb_client(endpoint, config=CLIENT_CONFIG.merge(Config(retries=retries)))
    client._endpoint.http_session.send = wire.send  # type: ignore[attr-defined]
    return client


def _address(item: Any) -> tuple[str, str]:
    return item["StreamId"]["S"], item["EventId"]["N"]


def _block(item: Any) -> tuple[str, str]:
    return item["Tranche"]["N"], item["Block"]["N"]


def _may_be_in_a_transaction(body: Any) -> bool:
    """Return whether a request is a transaction, or writes what others write in one: events."""
    return "TransactItems" in body or "GSIKey" in body.get("Item", ())


def _refused(request: Any, code: str) -> AWSResponse:
    body: dict[str, Any] = {"__type": f"com.amazonaws.dynamodb.v20120810#{code}", "message": code}
    if code == "TransactionCanceledException":
        body["CancellationReasons"] = [{"Code": "TransactionConflict"}]
    return answer_as_dynamodb(request, 400, body)


def _text(header: str | bytes) -> str:
    return header.decode() if isinstance(header, bytes) else header
