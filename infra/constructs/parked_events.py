"""What subscriptions have parked: counted each minute, under alarm."""

from typing import Final

from aws_cdk import Duration
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from constructs import Construct

from infra import permissions
from infra.constructs.alarms import Alarms
from infra.constructs.function import Function
from infra.constructs.subscriptions_table import SubscriptionsTable
from infra.settings import Settings

COUNT_EVERY: Final = Duration.minutes(1)
"""As often as the alarm looks: else it would be over between two counts."""


class ParkedEvents(Construct):
    """Counts parked events and rings for the first one.

    Workers run anywhere, and none of them may be there any more: so the table is counted. A month's 43,200
    short invocations cost some cents.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        subscriptions_table: SubscriptionsTable,
        settings: Settings,
        alarms: Alarms,
    ) -> None:
        super().__init__(scope, id)
        self._counter = Function(
            self,
            "Counter",
            name="parked",
            description="Counts the events that subscriptions have parked.",
            memory_mb=256,
            timeout_s=30,
            variables={"SUBSCRIPTIONS_TABLE": subscriptions_table.table.table_name},
            statements=permissions.count_parked(index_arn=subscriptions_table.index_arn),
            settings=settings,
            alarms=alarms,
        )
        events.Rule(
            self,
            "Count",
            description="Counts parked events.",
            schedule=events.Schedule.rate(COUNT_EVERY),
            targets=[targets.LambdaFunction(self._counter.function)],
        )
        self._parked = self._counter.metric("ParkedEvents", statistic="Maximum")
        alarms.add(
            self,
            "NotEmpty",
            metric=self._parked,
            threshold=1,
            description=(
                "A subscription has parked events, which wait for `retry_parked()`: the log of the function "
                "parked names it. docs/operations.md says what to do."
            ),
        )

    def widgets(self) -> list[cloudwatch.IWidget]:
        return [
            *self._counter.widgets(),
            cloudwatch.GraphWidget(title="Subscriptions: parked events", left=[self._parked]),
        ]
