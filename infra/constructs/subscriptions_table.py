"""The subscriptions table."""

from aws_cdk import aws_dynamodb as dynamodb
from constructs import Construct

from eventstore.dynamodb.schema import subscriptions as schema
from infra.constructs.alarms import Alarms
from infra.constructs.tables import NUMBER, TEXT, WatchedTable, attribute


class SubscriptionsTable(WatchedTable):
    """The table that `eventstore.dynamodb.schema.subscriptions` describes.

    It's retained like the events table: without its checkpoints every subscription begins anew, and without
    the last EventIds every projection takes its events twice.
    """

    def __init__(self, scope: Construct, id: str, *, retain_data: bool, alarms: Alarms) -> None:
        super().__init__(
            scope,
            id,
            name="Subscriptions table",
            partition_key=(schema.SUBSCRIPTION, TEXT),
            sort_key=(schema.ITEM, TEXT),
            throttled=(
                "DynamoDB throttles the subscriptions table: it grew too fast, or one stream's projection is "
                "hot. Workers wait and go on; they fall behind."
            ),
            retain_data=retain_data,
            alarms=alarms,
            index=dynamodb.GlobalSecondaryIndexPropsV2(
                index_name=schema.PARKED,
                partition_key=attribute((schema.SUBSCRIPTION, TEXT)),
                sort_key=attribute((schema.PARKED_AT, NUMBER)),
                projection_type=dynamodb.ProjectionType.KEYS_ONLY,
            ),
        )
