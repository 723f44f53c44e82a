"""The events table, its index by time and its stream."""

from typing import Final

from aws_cdk import RemovalPolicy
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_dynamodb as dynamodb
from constructs import Construct

from eventstore.adapters.dynamodb import schema
from infra.constructs.alarms import PERIOD, Alarms

_CAPACITY_UNITS: Final = ("ConsumedReadCapacityUnits", "ConsumedWriteCapacityUnits")
_THROTTLES: Final = ("ReadThrottleEvents", "WriteThrottleEvents")


class EventsTable(Construct):
    """The table that `eventstore.adapters.dynamodb.schema` describes: on demand, encrypted, restorable.

    `TableV2`, since it is the one that the CDK and DynamoDB develop further; in one Region it costs and
    behaves as `Table` does. Don't add replicas: two Regions that write would both win the same version.
    """

    def __init__(self, scope: Construct, id: str, *, retain_data: bool, alarms: Alarms) -> None:
        super().__init__(scope, id)
        self.table = dynamodb.TableV2(
            self,
            "Table",
            partition_key=_attribute(schema.STREAM_ID, dynamodb.AttributeType.STRING),
            sort_key=_attribute(schema.EVENT_ID, dynamodb.AttributeType.NUMBER),
            global_secondary_indexes=[
                dynamodb.GlobalSecondaryIndexPropsV2(
                    index_name=schema.BY_TIME,
                    partition_key=_attribute(schema.GSI_KEY, dynamodb.AttributeType.NUMBER),
                    sort_key=_attribute(schema.TIMESTAMP, dynamodb.AttributeType.NUMBER),
                    projection_type=dynamodb.ProjectionType.ALL,
                )
            ],
            dynamo_stream=dynamodb.StreamViewType.NEW_IMAGE,
            billing=dynamodb.Billing.on_demand(),
            encryption=dynamodb.TableEncryptionV2.aws_managed_key(),
            point_in_time_recovery_specification=dynamodb.PointInTimeRecoverySpecification(
                point_in_time_recovery_enabled=True
            ),
            deletion_protection=retain_data,
            removal_policy=RemovalPolicy.RETAIN if retain_data else RemovalPolicy.DESTROY,
        )
        assert self.table.table_stream_arn is not None  # since it has a stream
        self.stream_arn = self.table.table_stream_arn
        self.index_arn = f"{self.table.table_arn}/index/{schema.BY_TIME}"
        self._add_alarm(alarms)

    def widgets(self) -> list[cloudwatch.IWidget]:
        return [
            cloudwatch.GraphWidget(title="Events table: capacity units", left=self._metrics(_CAPACITY_UNITS)),
            cloudwatch.GraphWidget(title="Events table: throttled requests", left=self._metrics(_THROTTLES)),
        ]

    def _add_alarm(self, alarms: Alarms) -> None:
        throttles = {f"m{number}": metric for number, metric in enumerate(self._metrics(_THROTTLES))}
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
                "DynamoDB throttles the events table or its index: the dashboard shows which. An index wants "
                "more shards (eventsPerSecond, readShards); the table has a hot stream, or grew too fast."
            ),
        )

    def _metrics(self, names: tuple[str, ...]) -> list[cloudwatch.IMetric]:
        """Each metric of the table and, apart, of the index: DynamoDB counts them so."""
        of_table = {"TableName": self.table.table_name}
        of_index = {**of_table, "GlobalSecondaryIndexName": schema.BY_TIME}
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
            for part, dimensions in (("table", of_table), ("index", of_index))
        ]


def _attribute(name: str, kind: dynamodb.AttributeType) -> dynamodb.Attribute:
    return dynamodb.Attribute(name=name, type=kind)
