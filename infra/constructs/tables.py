"""The store's tables: what they have in common, and the alarm and the widgets of each."""

from collections.abc import Mapping
from typing import Any, Final

from aws_cdk import RemovalPolicy
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_dynamodb as dynamodb
from constructs import Construct

from infra.constructs.alarms import PERIOD, Alarms

NUMBER: Final = dynamodb.AttributeType.NUMBER
TEXT: Final = dynamodb.AttributeType.STRING
CAPACITY_UNITS: Final = ("ConsumedReadCapacityUnits", "ConsumedWriteCapacityUnits")
THROTTLES: Final = ("ReadThrottleEvents", "WriteThrottleEvents")

Key = tuple[str, dynamodb.AttributeType]


def attribute(key: Key) -> dynamodb.Attribute:
    name, kind = key
    return dynamodb.Attribute(name=name, type=kind)


def make_table(
    scope: Construct,
    *,
    partition_key: Key,
    sort_key: Key,
    retain_data: bool,
    is_restorable: bool = True,
    **more: Any,
) -> dynamodb.TableV2:
    """The scope's own table: on demand, encrypted, restorable where that is of use, retained where data is.

    `TableV2`, since it is the one that the CDK and DynamoDB develop further; in one Region it costs and
    behaves as `Table` does.
    """
    return dynamodb.TableV2(
        scope,
        "Table",
        partition_key=attribute(partition_key),
        sort_key=attribute(sort_key),
        billing=dynamodb.Billing.on_demand(),
        encryption=dynamodb.TableEncryptionV2.aws_managed_key(),
        point_in_time_recovery_specification=dynamodb.PointInTimeRecoverySpecification(
            point_in_time_recovery_enabled=is_restorable
        ),
        deletion_protection=retain_data,
        removal_policy=RemovalPolicy.RETAIN if retain_data else RemovalPolicy.DESTROY,
        **more,
    )


def add_throttle_alarm(
    scope: Construct, *, throttles: Mapping[str, cloudwatch.IMetric], description: str, alarms: Alarms
) -> None:
    """Adds the alarm that rings for throttled requests, all of these metrics together."""
    alarms.add(
        scope,
        "Throttled",
        metric=cloudwatch.MathExpression(
            expression=" + ".join(f"FILL({name}, 0)" for name in throttles),
            using_metrics=throttles,
            label="Throttled requests",
            period=PERIOD,
        ),
        threshold=alarms.settings.throttled_requests,
        description=description,
    )


def table_throttles(table: dynamodb.TableV2) -> dict[str, cloudwatch.IMetric]:
    """The throttles of a table without an index, as `add_throttle_alarm` takes them."""
    reads, writes = (table.metric(name, statistic="Sum", period=PERIOD) for name in THROTTLES)
    return {"reads": reads, "writes": writes}


class WatchedTable(Construct):
    """A table with two keys, an alarm for when it's throttled, and widgets.

    `name` begins the titles of its widgets; `throttled` says what the alarm means, and what to do; the rest
    is what `make_table` takes.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        name: str,
        partition_key: Key,
        sort_key: Key,
        throttled: str,
        retain_data: bool,
        alarms: Alarms,
        **more: Any,
    ) -> None:
        super().__init__(scope, id)
        self._name = name
        self.table = make_table(
            self, partition_key=partition_key, sort_key=sort_key, retain_data=retain_data, **more
        )
        add_throttle_alarm(self, throttles=table_throttles(self.table), description=throttled, alarms=alarms)

    def widgets(self) -> list[cloudwatch.IWidget]:
        return [
            cloudwatch.GraphWidget(title=f"{self._name}: capacity units", left=self._metrics(CAPACITY_UNITS)),
            cloudwatch.GraphWidget(title=f"{self._name}: throttled requests", left=self._metrics(THROTTLES)),
        ]

    def _metrics(self, names: tuple[str, ...]) -> list[cloudwatch.IMetric]:
        return [self.table.metric(name, statistic="Sum", period=PERIOD) for name in names]
