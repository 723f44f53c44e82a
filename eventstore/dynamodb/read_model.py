"""A projection's writes and its stream's last EventId, in one transaction."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
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
from eventstore.dynamodb.transact_items import transact_item
from eventstore.dynamodb.values import item, values_of
from eventstore.errors import InvalidInput, ReadModelRefused, StoreUnavailable, WrongTable
from eventstore.events import Event
from eventstore.subscriptions.values import KeyValue, plain_key
from eventstore.subscriptions.writes import Delete, Put, Update, Write, check_writes, refused, refused_write

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

_MAX_TRIES: Final = 8
_VALIDATION: Final = "ValidationException"


class DynamoDBReadModel:
    """An `ItemReadModel` whose writes are one transaction with the stream's last EventId.

    Beside `Put`, `Update` and `Delete` it takes raw items of TransactWriteItems, as boto3 does: dicts with
    Put, Update, Delete or ConditionCheck, for conditions and expressions. A `project` that returns these
    runs on DynamoDB alone, and its type says so.

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
        self._client = checked(client, "transact_write_items", "get_item", "scan")
        self._table_name = table_name
        self._jitter = jitter
        self._sleep = sleep

    def write(
        self, writes: Sequence[Write | Mapping[str, Any]], *, projection: str, event: Event, after: int
    ) -> int | None:
        """Write all of it together with the stream's last EventId; see `ReadModel.write`."""
        check_writes(writes, event, raw=Mapping)
        transaction = [{"Update": self._move_last(projection, event, after)}, *_parts(writes, event)]
        for attempt in range(_MAX_TRIES):
            try:
                send(self._client.transact_write_items, TransactItems=transaction)
                return None
            except SlotsTaken as taken:
                if taken.is_first:
                    return _last_in_the_way(taken.items[0], event, after)
                raise refused(event, "a condition of its own writes failed") from taken
            except Busy:
                self._sleep(min(0.5, 0.02 * 2**attempt) * self._jitter())
            except (RefusedForSize, WrongTable, ClientError) as error:
                if why := _refusal(error, event, writes):
                    raise why from error
                raise
        raise StoreUnavailable(operation="project", reason=f"its items were busy {_MAX_TRIES} times")

    def get(self, table: str, key: Mapping[str, KeyValue]) -> dict[str, Any] | None:
        """Read an item, strongly consistent; see `ItemReadModel.get`."""
        check_text(table, "table")
        wanted = item(plain_key(key), "key")
        try:
            answer = send(self._client.get_item, TableName=table, Key=wanted, ConsistentRead=True)
        except WrongTable as error:
            raise InvalidInput("key", f"isn't one of the table {table!r}: {error.reason}") from error
        except ClientError as error:
            if error.response["Error"]["Code"] != _VALIDATION:
                raise
            raise InvalidInput("key", f"isn't one of the table {table!r}: {error}") from error
        found = answer.get("Item")
        return values_of(found) if found else None

    def items(self, table: str) -> Iterator[dict[str, Any]]:
        """Read all items of a table, strongly consistent; see `ItemReadModel.items`."""
        check_text(table, "table")
        return self._scan(table)

    def _scan(self, table: str) -> Iterator[dict[str, Any]]:
        request: dict[str, Any] = {"TableName": table, "ConsistentRead": True}
        while True:
            page = send(self._client.scan, **request)
            yield from map(values_of, page["Items"])
            if not page.get("LastEvaluatedKey"):
                return
            request["ExclusiveStartKey"] = page["LastEvaluatedKey"]

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


def _last_in_the_way(there: Mapping[str, Any] | None, event: Event, after: int) -> int:
    """Return the last EventId that's in the way; what is no later or earlier one would lose the event."""
    if not there:
        if not after:
            raise refused(event, "the stream's last EventId was in its way, and isn't there")
        return 0
    last = items.last_of(there)
    if after <= last < event.event_id:
        raise items.malformed(
            there, f"its {schema.EVENT_ID} is {last}, and was in the way of {event.event_id}", items.OF_A_LAST
        )
    return last


def _parts(writes: Sequence[Any], event: Event) -> Iterator[Mapping[str, Any]]:
    for number, write in enumerate(writes, start=1):
        try:
            yield transact_item(write) if isinstance(write, (Put, Update, Delete)) else write
        except InvalidInput as error:
            raise refused_write(event, number, write, error) from error


def _refusal(error: Exception, event: Event, writes: Sequence[object]) -> ReadModelRefused | None:
    """Return what a refused transaction means for the projection; None where it isn't about its writes."""
    if isinstance(error, RefusedForSize):
        return refused(event, error.reason)
    # The projection's writes name tables of their own.
    cause = error.__cause__ if isinstance(error, WrongTable) else error
    if not isinstance(cause, ClientError):
        return refused(event, str(error))
    is_of_a_write = cause.response["Error"]["Code"] in {TRANSACTION_CANCELED, _VALIDATION}
    return _because(cause, event, writes) if is_of_a_write else None


def _because(error: ClientError, event: Event, writes: Sequence[object]) -> ReadModelRefused:
    """Return the error with the first write that was refused, as far as DynamoDB names it."""
    reasons: Any = error.response.get("CancellationReasons", [])
    for number, reason in enumerate(reasons):
        message = reason.get("Message") if isinstance(reason, dict) else None
        if number and message:
            return refused_write(event, number, writes[number - 1], message)
    return refused(event, str(error))
