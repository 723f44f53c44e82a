"""The count of parked events as a Lambda function that a schedule calls."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

from eventstore.positions import from_us

if TYPE_CHECKING:
    from aws_lambda_powertools import Logger, Metrics

    from eventstore.dynamodb.parked_events import DynamoDBParkedEvents

ParkedHandler: TypeAlias = Callable[[dict[str, Any], Any], dict[str, Any]]


def parked_handler(parked: DynamoDBParkedEvents, *, logger: Logger, metrics: Metrics) -> ParkedHandler:
    """Make the function's handler: each call counts what subscriptions have parked.

    It makes one line of metrics (ParkedEvents, also when it's 0), and a warning in the log for each
    subscription with parked events. The answer has the same, for who calls it by hand.
    """

    @logger.inject_lambda_context
    def handler(_trigger: dict[str, Any], _context: Any) -> dict[str, Any]:
        found = parked.count()
        metrics.add_metric(name="ParkedEvents", unit="Count", value=found.events)
        metrics.flush_metrics()
        subscriptions = [
            {
                "subscription": count.subscription,
                "parked": count.events,
                "oldest": None if count.oldest_us is None else from_us(count.oldest_us).isoformat(),
            }
            for count in found.counts
        ]
        for told in subscriptions:
            logger.warning("events are parked", extra={**told, "are_all_counted": found.are_whole})
        return {"parked": found.events, "areAllCounted": found.are_whole, "subscriptions": subscriptions}

    return handler
