"""The log's table."""

from typing import Final

from aws_cdk import RemovalPolicy
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_dynamodb as dynamodb
from constructs import Construct

from eventstore.adapters.dynamodb import log_schema
from infra.constructs.alarms import PERIOD, Alarms

_CAPACITY_UNITS: Final = ("ConsumedReadCapacityUnits", "ConsumedWriteCapacityUnits")
_THROTTLES: Final = ("ReadThrottleEvents", "WriteThrottleEvents")


class LogTable(Construct):
    """The table that `eventstore.adapters.dynamodb.log_schema` describes: on demand, encrypted, restorable.

    It's retained like the events table: checkpoints of readers are places in it. One that got lost could be
    fed from the events again, but no reader's checkpoint would fit.
    """

    def __init__(self, scope: Construct, id: str, *, retain_data: bool, alarms: Alarms) -> None:
        super().__init__(scope, id)
        number = dynamodb.AttributeType.NUMBER
        self.table = dynamodb.TableV2(
            self,
            "Table",
            partition_key=dynamodb.Attribute(name=log_schema.TRANCHE, type=number),
            sort_key=dynamodb.Attribute(name=log_schema.BLOCK, type=number),
            billing=dynamodb.Billing.on_demand(),
            encryption=dynamodb.TableEncryptionV2.aws_managed_key(),
            point_in_time_recovery_specification=dynamodb.PointInTimeRecoverySpecification(
                point_in_time_recovery_enabled=True
            ),
            deletion_protection=retain_data,
            removal_policy=RemovalPolicy.RETAIN if retain_data else RemovalPolicy.DESTROY,
        )
        throttles = dict(zip(("reads", "writes"), self._metrics(_THROTTLES), strict=True))
        alarms.add(
            self,
            "Throttled",
            metric=cloudwatch.MathExpression(
                expression=" + ".join(f"FILL({name}, 0)" for name in throttles),
                using_metrics=throttles,
                label="Throttled requests",
                period=PERIOD,
            ),
            threshold=alarms.settings.throttled_requests,
            description=(
                "DynamoDB throttles the log's table: it grew too fast, or a tranche is hot. Fewer and larger "
                "blocks take less: raise logWindowS and logBatchSize."
            ),
        )

    def widgets(self) -> list[cloudwatch.IWidget]:
        return [
            cloudwatch.GraphWidget(title="Log table: capacity units", left=self._metrics(_CAPACITY_UNITS)),
            cloudwatch.GraphWidget(title="Log table: throttled requests", left=self._metrics(_THROTTLES)),
        ]

    def _metrics(self, names: tuple[str, ...]) -> list[cloudwatch.IMetric]:
        return [self.table.metric(name, statistic="Sum", period=PERIOD) for name in names]
