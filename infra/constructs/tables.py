"""The store's tables: what they have in common, and the alarm and the widgets of each."""

from collections.abc import Sequence
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
    scope: Construct,
    *,
    table: dynamodb.TableV2,
    index: str | None = None,
    description: str,
    alarms: Alarms,
) -> None:
    """Adds the alarm that rings for throttled requests of a table and its index, all together."""
    parts = ("reads", "writes") if index is None else ("reads", "indexReads", "writes", "indexWrites")
    throttles = dict(zip(parts, table_metrics(table, THROTTLES, index=index), strict=True))
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


def table_metrics(
    table: dynamodb.TableV2, names: Sequence[str], *, index: str | None = None
) -> list[cloudwatch.IMetric]:
    """Each metric of the table and, apart, of its index: DynamoDB counts them so."""
    of_table = {"TableName": table.table_name}
    parts = {"table": of_table}
    if index is not None:
        parts["index"] = {**of_table, "GlobalSecondaryIndexName": index}
    return [
        cloudwatch.Metric(
            namespace="AWS/DynamoDB",
            metric_name=name,
            dimensions_map=dimensions,
            statistic="Sum",
            period=PERIOD,
            label=f"{name}, {part}",
        )
        for name in names
        for part, dimensions in parts.items()
    ]


class WatchedTable(Construct):
    """A table with two keys and at most one index, an alarm for when it's throttled, and widgets.

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
        index: dynamodb.GlobalSecondaryIndexPropsV2 | None = None,
        **more: Any,
    ) -> None:
        super().__init__(scope, id)
        self._name = name
        self._index = index.index_name if index else None
        self.table = make_table(
            self,
            partition_key=partition_key,
            sort_key=sort_key,
            retain_data=retain_data,
            global_secondary_indexes=[index] if index else None,
            **more,
        )
        add_throttle_alarm(self, table=self.table, index=self._index, description=throttled, alarms=alarms)

    @property
    def index_arn(self) -> str:
        """The ARN of its index."""
        assert self._index is not None, "only asked of tables with an index"
        return f"{self.table.table_arn}/index/{self._index}"

    def widgets(self) -> list[cloudwatch.IWidget]:
        return [
            cloudwatch.GraphWidget(
                title=f"{self._name}: {title}", left=table_metrics(self.table, names, index=self._index)
            )
            for title, names in (("capacity units", CAPACITY_UNITS), ("throttled requests", THROTTLES))
        ]
