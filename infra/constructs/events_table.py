"""The events table, its index by time and its stream."""

from aws_cdk import Duration
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_dynamodb as dynamodb
from constructs import Construct

from eventstore.adapters.dynamodb import schema
from infra.constructs.alarms import PERIOD, Alarms
from infra.constructs.tables import (
    CAPACITY_UNITS,
    NUMBER,
    TEXT,
    THROTTLES,
    add_throttle_alarm,
    attribute,
    make_table,
)


class EventsTable(Construct):
    """The table that `eventstore.adapters.dynamodb.schema` describes.

    Don't add replicas: two Regions that write would both win the same version.
    """

    def __init__(self, scope: Construct, id: str, *, retain_data: bool, alarms: Alarms) -> None:
        super().__init__(scope, id)
        self.table = make_table(
            self,
            partition_key=(schema.STREAM_ID, TEXT),
            sort_key=(schema.EVENT_ID, NUMBER),
            retain_data=retain_data,
            global_secondary_indexes=[
                dynamodb.GlobalSecondaryIndexPropsV2(
                    index_name=schema.BY_TIME,
                    partition_key=attribute((schema.GSI_KEY, NUMBER)),
                    sort_key=attribute((schema.TIMESTAMP, NUMBER)),
                    projection_type=dynamodb.ProjectionType.ALL,
                )
            ],
            dynamo_stream=dynamodb.StreamViewType.NEW_IMAGE,
        )
        assert self.table.table_stream_arn is not None  # since it has a stream
        self.stream_arn = self.table.table_stream_arn
        self.index_arn = f"{self.table.table_arn}/index/{schema.BY_TIME}"
        add_throttle_alarm(
            self,
            throttles={f"m{number}": metric for number, metric in enumerate(self._metrics(THROTTLES))},
            description=(
                "DynamoDB throttles the events table or its index: the dashboard shows which. An index wants "
                "more shards (eventsPerSecond, readShards); the table has a hot stream, or grew too fast."
            ),
            alarms=alarms,
        )

    def widgets(self) -> list[cloudwatch.IWidget]:
        return [
            cloudwatch.GraphWidget(title="Events table: capacity units", left=self._metrics(CAPACITY_UNITS)),
            cloudwatch.GraphWidget(title="Events table: throttled requests", left=self._metrics(THROTTLES)),
        ]

    def metric_appended(self, *, period: Duration) -> cloudwatch.Metric:
        """Write units of the index: above 0 where events were appended, by whatever client."""
        return cloudwatch.Metric(
            namespace="AWS/DynamoDB",
            metric_name="ConsumedWriteCapacityUnits",
            dimensions_map={
                "TableName": self.table.table_name,
                "GlobalSecondaryIndexName": schema.BY_TIME,
            },
            statistic="Sum",
            period=period,
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
