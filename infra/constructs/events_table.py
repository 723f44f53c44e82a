"""The events table, its index by time and its stream."""

from aws_cdk import Duration
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_dynamodb as dynamodb
from constructs import Construct

from eventstore.dynamodb.schema import events as schema
from infra.constructs.alarms import Alarms
from infra.constructs.tables import NUMBER, TEXT, WatchedTable, attribute


class EventsTable(WatchedTable):
    """The table that `eventstore.dynamodb.schema.events` describes.

    Don't add replicas: two Regions that write would both win the same version.
    """

    def __init__(self, scope: Construct, id: str, *, retain_data: bool, alarms: Alarms) -> None:
        super().__init__(
            scope,
            id,
            name="Events table",
            partition_key=(schema.STREAM_ID, TEXT),
            sort_key=(schema.EVENT_ID, NUMBER),
            throttled=(
                "DynamoDB throttles the events table or its index: the dashboard shows which. An index wants "
                "more shards (eventsPerSecond); the table has a hot stream, or grew too fast."
            ),
            retain_data=retain_data,
            alarms=alarms,
            index=dynamodb.GlobalSecondaryIndexPropsV2(
                index_name=schema.BY_TIME,
                partition_key=attribute((schema.GSI_KEY, NUMBER)),
                sort_key=attribute((schema.TIMESTAMP, NUMBER)),
                projection_type=dynamodb.ProjectionType.ALL,
            ),
            dynamo_stream=dynamodb.StreamViewType.NEW_IMAGE,
        )
        assert self.table.table_stream_arn is not None  # since it has a stream
        self.stream_arn = self.table.table_stream_arn

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
