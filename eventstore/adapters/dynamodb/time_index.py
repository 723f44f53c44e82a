"""The time index: one shard of it, read as the merge asks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from eventstore.adapters.dynamodb.items import event_from_item
from eventstore.adapters.dynamodb.requests import is_page
from eventstore.adapters.dynamodb.response_parser import read_later
from eventstore.adapters.dynamodb.schema import BY_TIME, GSI_KEY, TIMESTAMP
from eventstore.merge import Fetched, ShardPage


class TimeShard:
    """The events of one shard with from_us <= Timestamp < end_us, by rising Timestamp.

    Args:
        query: sends one Query (the client's, with its errors mapped).
        end_us: None for no end.

    Consistency: eventual, as every global secondary index.
    Cost: each `fetch` is 1 query; 0.5 RCU for each 4 KB it returns.
    """

    def __init__(
        self, query: Callable[..., Any], *, table_name: str, shard: int, from_us: int, end_us: int | None
    ) -> None:
        self._query = query
        self.has_events = False
        """Whether one was fetched."""
        values = {":shard": {"N": str(shard)}, ":from": {"N": str(from_us)}}
        times = "#time >= :from"
        if end_us is not None:
            # BETWEEN includes its end; the range doesn't.
            values[":last"] = {"N": str(end_us - 1)}
            times = "#time BETWEEN :from AND :last"
        self._request: dict[str, Any] = {
            "TableName": table_name,
            "IndexName": BY_TIME,
            "KeyConditionExpression": f"{GSI_KEY} = :shard AND {times}",
            "ExpressionAttributeNames": {"#time": TIMESTAMP},
            "ExpressionAttributeValues": values,
        }

    def fetch(self, *, limit: int | None) -> Fetched:
        """Fetch the next page of the shard."""
        if limit is not None:
            self._request["Limit"] = limit
        with read_later():
            answer = self._query(**self._request)
        return lambda: self._page(answer)

    def _page(self, answer: Any) -> ShardPage:
        if not is_page(answer):  # come unread, it's checked only now
            answer = self._query(**self._request)
        key = answer.get("LastEvaluatedKey")
        if key:
            self._request["ExclusiveStartKey"] = key
        self.has_events = self.has_events or bool(answer["Items"])
        return ShardPage([event_from_item(item) for item in answer["Items"]], more=bool(key))
