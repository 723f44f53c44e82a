"""The time index: one shard of it, read as the merge asks."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from eventstore._merge import Fetched, ShardPage
from eventstore.dynamodb._botocore import read_later
from eventstore.dynamodb.items import event_from_item
from eventstore.dynamodb.requests import is_page
from eventstore.dynamodb.schema.events import BY_TIME, GSI_KEY, PAYLOAD_Z, TIMESTAMP
from eventstore.events import Event
from eventstore.limits import TIME_PAGE_MAX_CHARS


class TimeShard:
    """The events of one shard with from_us <= Timestamp < end_us, by rising Timestamp.

    Args:
        query: sends one Query (the client's, with its errors mapped).
        end_us: None for no end.

    Consistency: eventual, as every global secondary index.
    Cost: each `fetch` is 1 query; 0.5 RCU for each 4 KB it returns. Memory: a page of 1 MB, as DynamoDB
    counts it. Compressed payloads make several pages of one answer, so that none holds more when they're
    unpacked.
    """

    def __init__(
        self, query: Callable[..., Any], *, table_name: str, shard: int, from_us: int, end_us: int | None
    ) -> None:
        self._query = query
        self._more = True
        self.has_events = False
        """Whether one was fetched."""
        values = {":shard": {"N": str(shard)}, ":from": {"N": str(from_us)}}
        times = "#time >= :from"
        if end_us is not None:
            # BETWEEN includes its end; the range doesn't.
            values[":last"] = {"N": str(end_us - 1)}
            times = "#time BETWEEN :from AND :last"
        self._packed: deque[Any] = deque()
        """Items of the last answer that aren't unpacked yet."""
        self._request: dict[str, Any] = {
            "TableName": table_name,
            "IndexName": BY_TIME,
            "KeyConditionExpression": f"{GSI_KEY} = :shard AND {times}",
            "ExpressionAttributeNames": {"#time": TIMESTAMP},
            "ExpressionAttributeValues": values,
        }

    def fetch(self, *, limit: int | None) -> Fetched:
        """Fetch the next page of the shard."""
        if self._packed:
            return self._unpacked
        if limit is not None:
            self._request["Limit"] = limit
        with read_later():
            answer = self._query(**self._request)
        return lambda: self._page(answer)

    def _page(self, answer: Any) -> ShardPage:
        if not is_page(answer):  # come unread, it's checked only now
            answer = self._query(**self._request)
        key = answer.get("LastEvaluatedKey")
        self._more = bool(key)
        if key:
            self._request["ExclusiveStartKey"] = key
        items = answer["Items"]
        self.has_events = self.has_events or bool(items)
        if any(PAYLOAD_Z in item for item in items):
            self._packed.extend(items)
            return self._unpacked()
        return ShardPage([event_from_item(item) for item in items], more=self._more)

    def _unpacked(self) -> ShardPage:
        events: list[Event] = []
        chars = 0
        while self._packed and chars < TIME_PAGE_MAX_CHARS:
            events.append(event_from_item(self._packed.popleft()))
            chars += len(events[-1].payload)
        return ShardPage(events, more=self._more or bool(self._packed))
