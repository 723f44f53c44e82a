"""Pages of the time index as DynamoDB would send them, made on the fly: so many fit in no test engine.

Their sizes and limits follow DynamoDB's rules; a test holds requests and read units against the engine's.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from math import ceil
from typing import Any, Final

from bench.payloads import payload
from bench.prices import item_bytes
from bench.wire import Answer

_PAGE_BYTES: Final = 1_024 * 1_024
_BEGAN_US: Final = 1_700_000_000_000_000


@dataclass
class IndexPages:
    """The index of a table with `count` events on `shards` shards, dealt out in turn.

    Args:
        payload_bytes: the size of each event's payload.
        latency_s: how long each answer takes.
        keep: make each page once and hold all of them, so that making them doesn't get in a measure's way.
    """

    count: int
    shards: int
    payload_bytes: int
    latency_s: float = 0.0
    keep: bool = False
    read_units: list[float] = field(default_factory=list)
    """The units of each answer."""
    bytes_sent: list[int] = field(default_factory=list)
    """The bytes of each answer's body."""

    def __post_init__(self) -> None:
        text = payload(self.payload_bytes)
        self._payload = json.dumps(text)
        example = {
            "StreamId": {"S": "order-0000000"},
            "EventId": {"N": "1"},
            "EventName": {"S": "OrderPlaced"},
            "Payload": {"S": text},
            "EventUid": {"S": "0" * 36},
            "Timestamp": {"N": str(_BEGAN_US + 1)},
            "GSIKey": {"N": "1"},
        }
        self._item_bytes = item_bytes(example)
        self._page_items = _PAGE_BYTES // self._item_bytes
        self._kept: dict[tuple[int, int], Answer] = {}

    def serve(self, operation: str, body: bytes) -> Answer:
        """Answer a query of a shard; begins at its ExclusiveStartKey."""
        assert operation == "Query"
        request: dict[str, Any] = json.loads(body)
        values = request["ExpressionAttributeValues"]
        shard = int(
            values.get(":shard", values.get(":v0"))["N"]
        )  # :v0 is the name that boto3's conditions give
        start = request.get("ExclusiveStartKey")
        first = (int(start["Timestamp"]["N"]) - _BEGAN_US) // self.shards + 1 if start else 0
        if self.latency_s:
            time.sleep(self.latency_s)
        if (shard, first) in self._kept:
            return self._kept[shard, first]
        answer = self._page(shard, first)
        if self.keep:
            self._kept[shard, first] = answer
        return answer

    def page_bodies(self) -> list[bytes]:
        """Give the bodies of all pages, for who reads bytes alone."""
        bodies = []
        for shard in range(self.shards):
            first, of_shard = 0, self._of_shard(shard)
            while first < of_shard:
                bodies.append(self._page(shard, first).body)
                first += self._page_items
        return bodies

    def _of_shard(self, shard: int) -> int:
        return len(range(shard, self.count, self.shards))

    def _page(self, shard: int, first: int) -> Answer:
        last = min(first + self._page_items, self._of_shard(shard))
        items = [self._item(shard, place) for place in range(first, last)]
        more = ""
        if last < self._of_shard(shard) or len(items) == self._page_items:
            key = self._key(shard, last - 1)
            more = f',"LastEvaluatedKey":{{{key}}}'
        count = len(items)
        self.read_units.append(0.5 * max(1, ceil(count * self._item_bytes / 4_096)))
        body = f'{{"Count":{count},"Items":[{",".join(items)}]{more},"ScannedCount":{count}}}'.encode()
        self.bytes_sent.append(len(body))
        return Answer.of(body)

    def _item(self, shard: int, place: int) -> str:
        number = place * self.shards + shard
        return (
            f'{{"EventUid":{{"S":"018bcfe5-6800-7000-8000-{number:012d}"}},"EventName":{{"S":"OrderPlaced"}},'
            f'"Payload":{{"S":{self._payload}}},{self._key(shard, place)}}}'
        )

    def _key(self, shard: int, place: int) -> str:
        number = place * self.shards + shard
        return (
            f'"StreamId":{{"S":"order-{number:07d}"}},"EventId":{{"N":"1"}},'
            f'"GSIKey":{{"N":"{shard}"}},"Timestamp":{{"N":"{_BEGAN_US + number}"}}'
        )
