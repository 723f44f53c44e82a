"""A client of DynamoDB on an events table in memory: it keeps what it's asked for, and answers at once.

DynamoDB Local is the judge of what a request means; this is for tests of what is asked for, and how often.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from email.utils import formatdate
from typing import Any

from botocore.exceptions import ClientError

from eventstore import Event
from eventstore.dynamodb.items import address_of, item_from_event

Item = dict[str, Any]
Request = dict[str, Any]
Step = Callable[[str, Request], None]
_FREE = "attribute_not_exists(StreamId)"


def nothing(operation: str, request: Request) -> None:
    """Do nothing around a request."""


class FakeDynamoDB:
    """An events table; `before` and `behind` are called around each request, and may raise.

    Args:
        events: each stands in shard 0, or in the one that `shard` names.
        read_shards: how many shards the store's own item names; None where there's no such item.
    """

    def __init__(
        self,
        events: Iterable[Event] = (),
        *,
        read_shards: int | None = None,
        shard: Callable[[Event], int] = lambda _: 0,
    ) -> None:
        self.items = {
            (event.stream_id, event.event_id): item_from_event(event, shard=shard(event)) for event in events
        }
        if read_shards is not None:
            self.name_shards(read_shards)
        self._lock = threading.Lock()
        self.asked: list[tuple[str, Request]] = []
        self.before: Step = nothing
        self.behind: Step = nothing
        self.date_s: float | None = None
        self.page = 1_000
        self.hidden: set[int] = set()
        """EventIds that no query shows."""

    def name_shards(self, read_shards: int) -> None:
        """Have the store's own item name so many shards, which every reader has known for long."""
        numbers = {"Format": 1, "ReadShards": read_shards, "ReadShardsBefore": read_shards, "Since": 1}
        self.put(
            {"StreamId": {"S": "$store"}, "EventId": {"N": "0"}, "Table": {"S": "t"}} | _numbers(numbers)
        )

    def put(self, item: Item) -> None:
        """Put an item as it is."""
        self.items[address_of(item)] = item

    def of(self, operation: str) -> list[Request]:
        """Return what was asked for by one of boto3's methods."""
        return [request for name, request in self.asked if name == operation]

    def get_item(self, **request: Any) -> Item:
        return self._do("get_item", request, lambda: self._found(address_of(request["Key"])))

    def batch_get_item(self, **request: Any) -> Item:
        return self._do("batch_get_item", request, lambda: self._batch(request["RequestItems"]))

    def query(self, **request: Any) -> Item:
        return self._do("query", request, lambda: self._page(request))

    def scan(self, **request: Any) -> Item:
        return self._do("scan", request, lambda: _items(list(self.items.values())[: request["Limit"]]))

    def put_item(self, **request: Any) -> Item:
        return self._do("put_item", request, lambda: self._write([request], "PutItem"))

    def transact_write_items(self, **request: Any) -> Item:
        puts = [one["Put"] for one in request["TransactItems"]]
        return self._do("transact_write_items", request, lambda: self._write(puts, "TransactWriteItems"))

    def _do(self, operation: str, request: Request, answer: Callable[[], Item]) -> Item:
        self.asked.append((operation, request))
        self.before(operation, request)
        with self._lock:
            answered = answer()
        self.behind(operation, request)
        headers = {"content-type": "application/x-amz-json-1.0", "x-amzn-requestid": "r"}
        if self.date_s is not None:
            headers["date"] = formatdate(self.date_s, usegmt=True)
        return {"ResponseMetadata": {"HTTPHeaders": headers}, **answered}

    def _found(self, address: tuple[str, int]) -> Item:
        return {"Item": self.items[address]} if address in self.items else {}

    def _batch(self, asked: dict[str, Any]) -> Item:
        ((table, request),) = asked.items()
        addresses = [address_of(key) for key in request["Keys"]]
        found = [self.items[address] for address in addresses if address in self.items]
        return {"Responses": {table: found}, "UnprocessedKeys": {}}

    def _page(self, request: Request) -> Item:
        values = {
            name: next(iter(value.values())) for name, value in request["ExpressionAttributeValues"].items()
        }
        if "IndexName" in request:
            low, high = int(values[":from"]), int(values.get(":last", 10**18))
            found = [item for item in self.items.values() if item.get("GSIKey") == {"N": values[":shard"]}]
            found = sorted(found, key=lambda item: int(item["Timestamp"]["N"]))
            found = [item for item in found if low <= int(item["Timestamp"]["N"]) <= high]
        else:
            low, high = int(values.get(":from", 1)), int(values.get(":to", 10**18))
            found = [self.items[key] for key in sorted(self.items) if key[0] in values.values()]
            found = [item for item in found if low <= address_of(item)[1] <= high]
            found = found if request.get("ScanIndexForward", True) else found[::-1]
        if key := request.get("ExclusiveStartKey"):
            found = found[[address_of(item) for item in found].index(key["at"]) + 1 :]
        found = [item for item in found if address_of(item)[1] not in self.hidden]
        size = min(self.page, request.get("Limit", self.page))
        return _items(
            found[:size],
            **({"LastEvaluatedKey": {"at": address_of(found[size - 1])}} if len(found) > size else {}),
        )

    def _write(self, puts: list[Request], operation: str) -> Item:
        taken = [
            self.items.get(address_of(put["Item"])) if put.get("ConditionExpression") == _FREE else None
            for put in puts
        ]
        if any(taken):
            raise refused(operation, taken)
        for put in puts:
            self.put(put["Item"])
        return {}


def refused(operation: str, taken: list[Item | None]) -> ClientError:
    """Make the error of a write whose places are taken."""
    if operation == "PutItem":
        failed: Any = {
            "Error": {"Code": "ConditionalCheckFailedException", "Message": "taken"},
            "Item": taken[0],
        }
        return ClientError(failed, operation)
    reasons = [
        {"Code": "ConditionalCheckFailed", "Item": item} if item else {"Code": "None"} for item in taken
    ]
    cancelled: Any = {
        "Error": {"Code": "TransactionCanceledException", "Message": "cancelled"},
        "CancellationReasons": reasons,
    }
    return ClientError(cancelled, operation)


def _items(items: list[Item], **more: Any) -> Item:
    return {"Items": items, "Count": len(items), **more}


def _numbers(numbers: dict[str, int]) -> Item:
    return {name: {"N": str(number)} for name, number in numbers.items()}
