"""The log's table."""

from constructs import Construct

from eventstore.dynamodb.schema import log as log_schema
from infra.constructs.alarms import Alarms
from infra.constructs.tables import NUMBER, WatchedTable


class LogTable(WatchedTable):
    """The table that `eventstore.dynamodb.schema.log` describes.

    It's retained like the events table: checkpoints of readers are places in it. One that got lost could be
    fed from the events again, but no reader's checkpoint would fit.
    """

    def __init__(self, scope: Construct, id: str, *, retain_data: bool, alarms: Alarms) -> None:
        super().__init__(
            scope,
            id,
            name="Log table",
            partition_key=(log_schema.TRANCHE, NUMBER),
            sort_key=(log_schema.BLOCK, NUMBER),
            throttled=(
                "DynamoDB throttles the log's table: it grew too fast, or a tranche is hot. Fewer and larger "
                "blocks take less: raise logWindowS and logBatchSize."
            ),
            retain_data=retain_data,
            alarms=alarms,
        )
