"""Events by their addresses, many with one request."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from eventstore._arguments import check_functions, check_text
from eventstore.dynamodb.facts import StoreFacts
from eventstore.dynamodb.items import check_address, event_from_item, key_of
from eventstore.dynamodb.requests import checked, get_items
from eventstore.errors import MalformedItem
from eventstore.events import Address, Event

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


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
        check_text(table_name, "table_name")
        check_functions(jitter=jitter, sleep=sleep)
        self._client = checked(client, "batch_get_item")
        self._table_name = table_name
        self._jitter = jitter
        self._sleep = sleep
        self._facts = StoreFacts(client=client, table_name=table_name)

    def read_events(self, addresses: Sequence[Address]) -> dict[Address, Event | MalformedItem]:
        """Read events by their addresses; see `EventBodies.read_events`."""
        if addresses:
            self._facts.check()
        keys = [key_of(stream_id, event_id) for stream_id, event_id in addresses]
        items = get_items(self._client, self._table_name, keys, jitter=self._jitter, sleep=self._sleep)
        return {check_address(item, *addresses): _event_or_why_not(item) for item in items}


def _event_or_why_not(item: dict[str, Any]) -> Event | MalformedItem:
    try:
        return event_from_item(item)
    except MalformedItem as malformed:
        return malformed
