"""What a rebuild does with the log's table beyond writing blocks: it empties it, and keeps how far it is."""

from __future__ import annotations

import base64
import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final

from eventstore._arguments import check_functions, check_text
from eventstore.dynamodb.log_items import LogItem, log_of
from eventstore.dynamodb.requests import SlotsTaken, checked, send
from eventstore.dynamodb.schema.log import (
    BLOCK,
    LOG_ID,
    NEWEST,
    NO_TRANCHE,
    REBUILT,
    TRANCHE,
    TRANCHES,
)
from eventstore.errors import InvalidInput, LogInUse

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

_KEY: Final[dict[str, Any]] = {TRANCHE: {"N": str(NO_TRANCHE)}, BLOCK: {"N": "0"}}
_NAMES: Final = {"#block": BLOCK}
_DELETES: Final = 16


class DynamoDBLogRebuild:
    """The own item of a log that is rebuilt, and the end of the log before it.

    Args:
        client: boto3's DynamoDB client.
        table_name: the log's table.
        random_bytes: chance, to be replaced in tests.
    """

    def __init__(
        self,
        *,
        client: DynamoDBClient,
        table_name: str,
        random_bytes: Callable[[int], bytes] = os.urandom,
    ) -> None:
        check_text(table_name, "table_name")
        check_functions(random_bytes=random_bytes)
        self._client = checked(client, "delete_item", "get_item", "put_item", "query", "scan")
        self._table_name = table_name
        self._random_bytes = random_bytes

    def log(self) -> LogItem | None:
        """Return what the log says of itself; None where it says nothing. Cost: 1 request, 1 RCU.

        Raises:
            MalformedBlock: its item can't be used.
        """
        answer = send(self._client.get_item, TableName=self._table_name, Key=_KEY, ConsistentRead=True)
        item = answer.get("Item")
        return log_of(item) if item else None

    def is_empty(self) -> bool:
        """Return whether the table has no item at all, strongly consistent. Cost: 1 request, mostly 1 RCU."""
        answer = send(self._client.scan, TableName=self._table_name, Limit=1, ConsistentRead=True)
        return not answer["Items"]

    def newest_us(self, tranches: int) -> int:
        """Return the highest Timestamp in the log, 0 without any. Cost: 1 RCU each 4 KB of a last block."""
        return max(self._newest_us(tranche) for tranche in range(tranches))

    def delete_all(self, *, deleted: Callable[[int], object] = lambda _items: None) -> int:
        """Delete all items; return how many those were.

        The log's own item goes first: a deletion that ended half-way leaves blocks of no log.

        Args:
            deleted: is called with the number of items of each page that is gone.

        Raises:
            InvalidInput: the table isn't a log's; nothing was deleted.

        Cost of 1,000 entries: 20 RCU; as many WCU as they were written with, 85 at full blocks.
        """
        request: dict[str, Any] = {
            "TableName": self._table_name,
            "ConsistentRead": True,
            "ProjectionExpression": f"{TRANCHE}, #block",
            "ExpressionAttributeNames": _NAMES,
        }
        items = 0
        with ThreadPoolExecutor(_DELETES) as executor:
            while True:
                answer = send(self._client.scan, **request)
                if not all(TRANCHE in item and BLOCK in item for item in answer["Items"]):
                    raise InvalidInput("log_table", f"is {self._table_name!r}, which is no log's table")
                if not items:
                    self._delete(_KEY)
                list(executor.map(self._delete, answer["Items"]))
                items += len(answer["Items"])
                deleted(len(answer["Items"]))
                if "LastEvaluatedKey" not in answer:
                    return items
                request["ExclusiveStartKey"] = answer["LastEvaluatedKey"]

    def begin(self, tranches: int) -> LogItem:
        """Begin another log in an empty table: nobody else appends to it until `end`. Cost: 1 WCU.

        Raises:
            LogInUse: somebody has begun one meanwhile.
        """
        log_id = base64.urlsafe_b64encode(self._random_bytes(12)).decode()
        begun = LogItem(tranches, log_id, 0)
        self._put(begun, {"ConditionExpression": f"attribute_not_exists({TRANCHE})"})
        return begun

    def note(self, begun: LogItem, rebuilt_us: int) -> LogItem:
        """Store that all events with a lower Timestamp are in the log. Cost: 1 WCU.

        Raises:
            LogInUse: it's another log by now.
        """
        return self._change(begun._replace(rebuilt_us=rebuilt_us))

    def end(self, begun: LogItem) -> LogItem:
        """Store that the log is whole; raises and costs as `note`."""
        return self._change(begun._replace(rebuilt_us=None))

    def _change(self, to: LogItem) -> LogItem:
        condition = {
            "ConditionExpression": f"{LOG_ID} = :log",
            "ExpressionAttributeValues": {":log": {"S": to.log_id}},
        }
        self._put(to, condition)
        return to

    def _put(self, log: LogItem, condition: Mapping[str, Any]) -> None:
        item = {**_KEY, TRANCHES: {"N": str(log.tranches)}, LOG_ID: {"S": log.log_id}}
        if log.rebuilt_us is not None:
            item[REBUILT] = {"N": str(log.rebuilt_us)}
        try:
            send(self._client.put_item, TableName=self._table_name, Item=item, **condition)
        except SlotsTaken as taken:
            there = self.log()
            if there != log:  # else it was done by a try whose answer got lost
                raise LogInUse(log_id=there.log_id if there else "") from taken

    def _newest_us(self, tranche: int) -> int:
        answer = send(
            self._client.query,
            TableName=self._table_name,
            KeyConditionExpression=f"{TRANCHE} = :tranche",
            ExpressionAttributeValues={":tranche": {"N": str(tranche)}},
            ScanIndexForward=False,
            Limit=1,
            ConsistentRead=True,
        )
        numbers = (item.get(NEWEST, {}).get("N", "0") for item in answer["Items"])
        return max((int(number) for number in numbers if number.isdecimal()), default=0)

    def _delete(self, item: Mapping[str, Any]) -> None:
        key = {name: item[name] for name in (TRANCHE, BLOCK)}
        send(self._client.delete_item, TableName=self._table_name, Key=key)
