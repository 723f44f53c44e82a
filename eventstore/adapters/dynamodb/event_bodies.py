"""Events by their addresses, many with one request."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from eventstore.adapters.dynamodb.items import event_from_item, key_of
from eventstore.adapters.dynamodb.requests import send
from eventstore.adapters.dynamodb.schema import EVENT_ID, STREAM_ID
from eventstore.errors import MalformedItem, StoreUnavailable
from eventstore.events import Event

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

_MAX_BARREN: Final = 5


class DynamoDBEventBodies:
    """`EventBodies` of an events table; safe to use from several threads.

    Args:
        client: boto3's DynamoDB client, best made with `client.dynamodb_client`.
        table_name: the events table of the deployed stack.
        jitter, sleep: chance and time, to be replaced in tests.
    """

    def __init__(
        self,
        *,
        client: DynamoDBClient,
        table_name: str,
        jitter: Callable[[], float] = random.random,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self._client = client
        self._table_name = table_name
        self._jitter = jitter
        self._sleep = sleep

    def read_events(
        self, addresses: Sequence[tuple[str, int]]
    ) -> dict[tuple[str, int], Event | MalformedItem]:
        """Read events by their addresses; see `EventBodies.read_events`."""
        found: dict[tuple[str, int], Event | MalformedItem] = {}
        keys: Any = [key_of(stream_id, event_id) for stream_id, event_id in addresses]
        barren = 0
        while keys:
            request = {self._table_name: {"Keys": keys, "ConsistentRead": True}}
            answer = send(self._client.batch_get_item, RequestItems=request)
            items = answer["Responses"].get(self._table_name, [])
            for item in items:
                found[item[STREAM_ID]["S"], int(item[EVENT_ID]["N"])] = _event_or_why_not(item)
            # More than 16 MB, or throttled: what is left comes with the next request.
            keys = answer["UnprocessedKeys"].get(self._table_name, {}).get("Keys", [])
            barren = 0 if items else barren + 1
            if keys and barren >= _MAX_BARREN:
                reason = f"DynamoDB left {len(keys)} keys unread {barren} times"
                raise StoreUnavailable(operation="BatchGetItem", reason=reason)
            if keys and barren:
                self._sleep(0.05 * 2**barren * self._jitter())
        return found


def _event_or_why_not(item: dict[str, Any]) -> Event | MalformedItem:
    try:
        return event_from_item(item)
    except MalformedItem as malformed:
        return malformed
