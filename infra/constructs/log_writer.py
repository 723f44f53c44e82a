"""From the table's stream to the log."""

from functools import partial

from aws_cdk import aws_cloudwatch as cloudwatch
from constructs import Construct

from infra import permissions
from infra.constructs.alarms import Alarms
from infra.constructs.events_table import EventsTable
from infra.constructs.journal_table import JournalTable
from infra.constructs.log_table import LogTable
from infra.constructs.queues import depth
from infra.constructs.stream_consumer import StreamConsumer, lag_widget
from infra.settings import Settings
from infra.synth_rules import RECORD_AGE_MAX_S


class LogWriter(StreamConsumer):
    """Logs every appended event at least once, and those of a stream in their order.

    When its mapping gives up on records, the log has a hole, which the events in the table show and fill.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        events_table: EventsTable,
        journal_table: JournalTable,
        log_table: LogTable,
        settings: Settings,
        alarms: Alarms,
    ) -> None:
        super().__init__(scope, id, events_table=events_table, settings=settings, alarms=alarms)
        self._log_writer = self.consume(
            "LogWriter",
            name="log",
            description="Logs the events of the table's stream.",
            variables={
                "JOURNAL_TABLE": journal_table.table.table_name,
                "LOG_TABLE": log_table.table.table_name,
                **settings.variables("LOG_TRANCHES"),
            },
            statements=partial(
                permissions.write_log,
                journal_table_arn=journal_table.table.table_arn,
                log_table_arn=log_table.table.table_arn,
            ),
            batch_size=settings.log.batch_size,
            window_s=settings.log.window_s,
            max_record_age_s=RECORD_AGE_MAX_S,
            reserved_concurrency=settings.log.reserved_concurrency,
            handled=("Logged", "PassedOver"),
            late="The log falls behind: the log writer is too slow, or a record keeps failing.",
            dropped="The mapping gave up on records: the log lacks events. `verify --repair` logs them.",
        )

    def widgets(self) -> list[cloudwatch.IWidget]:
        return [
            *self._log_writer.widgets(),
            cloudwatch.GraphWidget(
                title="Log: events, items passed over, blocks, dropped batches",
                left=[self._log_writer.metric(name) for name in ("Logged", "PassedOver", "Blocks")],
                right=[depth(self.dropped_batches)],
            ),
            lag_widget(self._log_writer, title="Log: from append to log", lag="LogLag"),
        ]
