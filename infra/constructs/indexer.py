"""From the table's stream to the log: the indexer, its event source mapping, the queue of what it dropped."""

from aws_cdk import Duration
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_lambda_event_sources as event_sources
from constructs import Construct

from infra import permissions
from infra.constructs.alarms import PERIOD, Alarms
from infra.constructs.events_table import EventsTable
from infra.constructs.function import Function
from infra.constructs.log_table import LogTable
from infra.constructs.queues import depth, make_queue
from infra.settings import RECORD_AGE_MAX_S, Settings


class Indexer(Construct):
    """Logs every appended event at least once, and those of a stream in their order.

    Its mapping is its own, so that a bus that takes nothing doesn't hold up the log, nor the other way round.
    Two functions are what a table's stream takes; more readers belong behind the log or the bus.
    Records that failed until they were too old are given up by the mapping, which names them in
    `dropped_batches`: then the log has a hole, which the events in the table show and fill.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        events_table: EventsTable,
        log_table: LogTable,
        settings: Settings,
        alarms: Alarms,
    ) -> None:
        super().__init__(scope, id)
        self.dropped_batches = make_queue(self, "DroppedBatches", retain=settings.retain_data)
        self._indexer = Function(
            self,
            "Indexer",
            name="index",
            description="Logs the events of the table's stream.",
            memory_mb=512,
            timeout_s=60,
            variables={
                "EVENTS_TABLE": events_table.table.table_name,
                "LOG_TABLE": log_table.table.table_name,
                "LOG_TRANCHES": str(settings.log.tranches),
                "PARTIAL_BATCH": settings.publication.partial_batch,
            },
            statements=permissions.index(
                table_arn=events_table.table.table_arn,
                stream_arn=events_table.stream_arn,
                log_table_arn=log_table.table.table_arn,
                dropped_batches_queue_arn=self.dropped_batches.queue_arn,
            ),
            settings=settings,
            alarms=alarms,
        )
        lambda_.EventSourceMapping(
            self,
            "Mapping",
            target=self._indexer.function,
            event_source_arn=events_table.stream_arn,
            # The oldest record first: what was appended before the mapping existed is logged too.
            starting_position=lambda_.StartingPosition.TRIM_HORIZON,
            filters=[lambda_.FilterCriteria.filter({"eventName": lambda_.FilterRule.is_equal("INSERT")})],
            batch_size=settings.log.batch_size,
            max_batching_window=Duration.seconds(settings.log.window_s),
            parallelization_factor=1,
            # Retries have no number: they end with success, or when the record is too old.
            report_batch_item_failures=True,
            bisect_batch_on_error=True,
            max_record_age=Duration.seconds(RECORD_AGE_MAX_S),
            on_failure=event_sources.SqsDlq(self.dropped_batches),
        )
        self._iterator_age = self._indexer.function.metric("IteratorAge", statistic="Maximum", period=PERIOD)
        self._add_alarms(alarms)

    def widgets(self) -> list[cloudwatch.IWidget]:
        lag = [self._indexer.metric("IndexLag", statistic=statistic) for statistic in ("p50", "p99")]
        return [
            *self._indexer.widgets(),
            cloudwatch.GraphWidget(
                title="Log: events and blocks, dropped batches",
                left=[self._indexer.metric("Indexed"), self._indexer.metric("Blocks")],
                right=[depth(self.dropped_batches)],
            ),
            cloudwatch.GraphWidget(
                title="Log: from append to log, and age of records, ms",
                left=[*lag, self._iterator_age],
            ),
        ]

    def _add_alarms(self, alarms: Alarms) -> None:
        age_s = alarms.settings.iterator_age_s
        alarms.add(
            self,
            "Late",
            metric=self._iterator_age,
            threshold=None if age_s is None else age_s * 1_000,
            minutes=5,
            description="The log falls behind: the indexer is too slow, or a record keeps failing.",
        )
        alarms.add(
            self.dropped_batches,
            "NotEmpty",
            metric=depth(self.dropped_batches),
            threshold=1,
            description="The mapping gave up on records: the log lacks events of that time.",
        )
