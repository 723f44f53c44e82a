"""The table of the journal, by which the processes of a consumer tell each other what is published."""

from constructs import Construct

from eventstore.dynamodb.schema import journal as journal_schema
from infra.constructs.alarms import Alarms
from infra.constructs.tables import TEXT, WatchedTable


class JournalTable(WatchedTable):
    """The table that `eventstore.dynamodb.schema.journal` describes.

    It holds nothing that anybody would miss: what is in it spares reads and repeats for two minutes. So it
    goes with the functions, and has no backups.
    """

    def __init__(self, scope: Construct, id: str, *, alarms: Alarms) -> None:
        super().__init__(
            scope,
            id,
            name="Journal table",
            partition_key=(journal_schema.CONSUMER, TEXT),
            sort_key=(journal_schema.WRITTEN_AT, TEXT),
            throttled=(
                "DynamoDB throttles the journal's table: it grew too fast. Until it has adapted, events may "
                "be published and logged twice; the order holds."
            ),
            retain_data=False,
            alarms=alarms,
            is_restorable=False,
            time_to_live_attribute=journal_schema.EXPIRES_AT,
        )
