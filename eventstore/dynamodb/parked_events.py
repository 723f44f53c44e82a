"""What subscriptions have parked, counted for all of them at once."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from eventstore._arguments import check_text
from eventstore.aws.clients import take_client
from eventstore.dynamodb.numbers import NotWhole, whole
from eventstore.dynamodb.requests import send
from eventstore.dynamodb.schema import subscriptions as schema
from eventstore.limits import TIMESTAMP_MAX_US

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

_PAGES_MAX: Final = 4
"""Pages of 1 MB that are read of the index: some 35,000 parked events, 512 RCU (ours)."""


@dataclass(frozen=True, slots=True)
class ParkedCount:
    """How many events a subscription has parked, and since when."""

    subscription: str
    events: int
    oldest_us: int | None
    """Microseconds since 1970 UTC; None where somebody has changed the items' times."""


@dataclass(frozen=True, slots=True)
class ParkedCounts:
    """What is parked, by subscription in the order of their names."""

    counts: tuple[ParkedCount, ...]
    are_whole: bool
    """False when more is parked than is counted: the numbers are lower bounds then."""

    @property
    def events(self) -> int:
        """How many events all subscriptions have parked."""
        return sum(count.events for count in self.counts)


class DynamoDBParkedEvents:
    """Counts the parked events of all subscriptions of a table, by the index that holds nothing else.

    Args:
        client: a DynamoDB client of boto3.
        table_name: the subscriptions table.
    """

    def __init__(self, *, client: DynamoDBClient, table_name: str) -> None:
        check_text(table_name, "table_name")
        self._client = take_client(client, "dynamodb", "scan")
        self._table_name = table_name

    def count(self) -> ParkedCounts:
        """Count what is parked; eventually consistent, so some milliseconds late.

        Cost: 0.5 RCU when nothing is parked; else 1 RCU for some 70 events, and never more than 512 RCU and
        4 requests.

        Raises:
            StoreUnavailable: DynamoDB can't be reached.
            StoreMisconfigured: TableNotFound, WrongTable without the index, AccessDenied and others.
        """
        counts: dict[str, ParkedCount] = {}
        request: dict[str, Any] = {"TableName": self._table_name, "IndexName": schema.PARKED}
        for _ in range(_PAGES_MAX):
            answer = send(self._client.scan, **request)
            for item in answer["Items"]:
                if item[schema.ITEM]["S"].startswith(schema.PARKED_PREFIX):
                    _add(counts, item)
            if "LastEvaluatedKey" not in answer:
                return ParkedCounts(_sorted(counts), are_whole=True)
            request["ExclusiveStartKey"] = answer["LastEvaluatedKey"]
        return ParkedCounts(_sorted(counts), are_whole=False)


def _add(counts: dict[str, ParkedCount], item: dict[str, Any]) -> None:
    name = item[schema.SUBSCRIPTION]["S"]
    before = counts.get(name, ParkedCount(name, 0, None))
    oldest_us = before.oldest_us
    # What has no time that anybody could have meant is counted; `retry_parked` names it.
    with suppress(NotWhole):
        parked_at_us = whole(item, schema.PARKED_AT, high=TIMESTAMP_MAX_US)
        oldest_us = parked_at_us if oldest_us is None else min(oldest_us, parked_at_us)
    counts[name] = ParkedCount(name, before.events + 1, oldest_us)


def _sorted(counts: dict[str, ParkedCount]) -> tuple[ParkedCount, ...]:
    return tuple(counts[name] for name in sorted(counts))
