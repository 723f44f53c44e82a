"""A projection's writes and its stream's last EventId, in one transaction."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import ClientError

from eventstore._arguments import check_functions, check_text
from eventstore._passing import TRANSACTION_CANCELED
from eventstore.dynamodb import subscription_items as items
from eventstore.dynamodb.requests import (
    Busy,
    RefusedForSize,
    SlotsTaken,
    checked,
    send,
)
from eventstore.dynamodb.schema import subscriptions as schema
from eventstore.errors import ReadModelRefused, StoreUnavailable, WrongTable
from eventstore.events import Event

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

_MAX_TRIES: Final = 8
_MAX_WRITES: Final = 99


class DynamoDBReadModel:
    """A `ReadModel` whose writes are items of TransactWriteItems: Put, Update, Delete or ConditionCheck.

    Args:
        client: boto3's DynamoDB client. The tables written to have to be in its account and Region.
        table_name: the subscriptions table of the deployed stack, where the last EventIds are kept.
        jitter, sleep: chance and time, to be replaced in tests.

    An event costs 1 transaction: 2 WCU a KB for each write, and 2 for the stream's last EventId.
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
        self._client = checked(client, "transact_write_items")
        self._table_name = table_name
        self._jitter = jitter
        self._sleep = sleep

    def write(
        self, writes: Sequence[Mapping[str, Any]], *, projection: str, event: Event, after: int
    ) -> int | None:
        """Write all of it together with the stream's last EventId; see `ReadModel.write`."""
        if len(writes) > _MAX_WRITES:
            raise _refused(event, f"it makes {len(writes)} writes; a transaction has room for {_MAX_WRITES}")
        transaction = [{"Update": self._move_last(projection, event, after)}, *writes]
        for attempt in range(_MAX_TRIES):
            try:
                send(self._client.transact_write_items, TransactItems=transaction)
                return None
            except SlotsTaken as taken:
                if taken.is_first:
                    return _last_in_the_way(taken.items[0], event, after)
                raise _refused(event, "a condition of its own writes failed") from taken
            except Busy:
                self._sleep(min(0.5, 0.02 * 2**attempt) * self._jitter())
            except RefusedForSize as error:
                raise _refused(event, error.reason) from error
            except WrongTable as error:  # the projection's writes name tables of their own
                raise _refused(event, str(error)) from error
            except ClientError as error:
                if error.response["Error"]["Code"] not in {TRANSACTION_CANCELED, "ValidationException"}:
                    raise
                raise _refused(event, str(error)) from error
        raise StoreUnavailable(operation="project", reason=f"its items were busy {_MAX_TRIES} times")

    def _move_last(self, projection: str, event: Event, after: int) -> dict[str, Any]:
        is_turn, values = f"{schema.EVENT_ID} < :event", {":event": {"N": str(event.event_id)}}
        if after:
            is_turn += f" AND {schema.EVENT_ID} >= :after"
            values[":after"] = {"N": str(after)}
        else:
            is_turn += f" OR attribute_not_exists({schema.EVENT_ID})"
        return {
            "TableName": self._table_name,
            "Key": {
                schema.SUBSCRIPTION: {"S": f"{projection}#{event.stream_id}"},
                schema.ITEM: {"S": schema.LAST_ITEM},
            },
            "UpdateExpression": f"SET {schema.EVENT_ID} = :event",
            "ConditionExpression": is_turn,
            "ExpressionAttributeValues": values,
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        }


def _last_in_the_way(item: Mapping[str, Any] | None, event: Event, after: int) -> int:
    """Return the last EventId that's in the way; what is no later or earlier one would lose the event."""
    if not item:
        if not after:
            raise _refused(event, "the stream's last EventId was in its way, and isn't there")
        return 0
    last = items.last_of(item)
    if after <= last < event.event_id:
        raise items.malformed(
            item, f"its {schema.EVENT_ID} is {last}, and was in the way of {event.event_id}", items.OF_A_LAST
        )
    return last


def _refused(event: Event, reason: str) -> ReadModelRefused:
    return ReadModelRefused(stream_id=event.stream_id, event_id=event.event_id, reason=reason)
