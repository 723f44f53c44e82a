"""From the table's stream to the bus: the publisher, its event source mapping, the queues of what failed."""

from aws_cdk import Duration
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_events as events
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_lambda_event_sources as event_sources
from constructs import Construct

from infra import permissions
from infra.constructs.alarms import PERIOD, Alarms
from infra.constructs.events_table import EventsTable
from infra.constructs.function import Function
from infra.constructs.queues import depth, make_queue
from infra.settings import Settings


class Publication(Construct):
    """Publishes every appended event at least once, and those of a stream in their order.

    An event that EventBridge will never take is parked in `failed_events`, as its key and the reason. Records
    that failed until they were too old are given up by the mapping, which names them in `dropped_batches`.
    Either way the events stay in the table, and an alarm rings.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        events_table: EventsTable,
        bus: events.IEventBus,
        api_url: str,
        settings: Settings,
        alarms: Alarms,
    ) -> None:
        super().__init__(scope, id)
        self.failed_events = make_queue(self, "FailedEvents", retain=settings.retain_data)
        self.dropped_batches = make_queue(self, "DroppedBatches", retain=settings.retain_data)
        publication = settings.publication
        self._publisher = Function(
            self,
            "Publisher",
            name="publish",
            description="Publishes the events of the table's stream on the bus.",
            memory_mb=512,
            timeout_s=60,
            variables={
                "EVENTS_TABLE": events_table.table.table_name,
                "EVENT_BUS": bus.event_bus_name,
                "EVENT_SOURCE": publication.event_source,
                "FAILED_EVENTS_QUEUE_URL": self.failed_events.queue_url,
                "API_URL": api_url,
                "PUT_EVENTS_MAX_BYTES": str(publication.put_events_max_bytes),
                "PARTIAL_BATCH": publication.partial_batch,
            },
            statements=permissions.publish(
                table_arn=events_table.table.table_arn,
                stream_arn=events_table.stream_arn,
                bus_arn=bus.event_bus_arn,
                failed_events_queue_arn=self.failed_events.queue_arn,
                dropped_batches_queue_arn=self.dropped_batches.queue_arn,
            ),
            settings=settings,
            alarms=alarms,
        )
        lambda_.EventSourceMapping(
            self,
            "Mapping",
            target=self._publisher.function,
            event_source_arn=events_table.stream_arn,
            # The oldest record first: what was appended before the mapping existed is published too.
            starting_position=lambda_.StartingPosition.TRIM_HORIZON,
            filters=[lambda_.FilterCriteria.filter({"eventName": lambda_.FilterRule.is_equal("INSERT")})],
            batch_size=publication.batch_size,
            max_batching_window=Duration.seconds(publication.window_s),
            parallelization_factor=1,
            # Retries have no number: they end with success, or when the record is too old.
            report_batch_item_failures=True,
            bisect_batch_on_error=True,
            max_record_age=Duration.seconds(publication.max_record_age_s),
            on_failure=event_sources.SqsDlq(self.dropped_batches),
        )
        self._iterator_age = self._publisher.function.metric(
            "IteratorAge", statistic="Maximum", period=PERIOD
        )
        self._add_alarms(alarms)

    def widgets(self) -> list[cloudwatch.IWidget]:
        lag = [self._publisher.metric("PublicationLag", statistic=statistic) for statistic in ("p50", "p99")]
        return [
            *self._publisher.widgets(),
            cloudwatch.GraphWidget(
                title="Publication: published, parked, waiting in queues",
                left=[self._publisher.metric("Published"), self._publisher.metric("Parked")],
                right=[depth(self.failed_events), depth(self.dropped_batches)],
            ),
            cloudwatch.GraphWidget(
                title="Publication: from append to bus, and age of records, ms",
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
            description="Publication falls behind: the publisher is too slow, or a record keeps failing.",
        )
        alarms.add(
            self.failed_events,
            "NotEmpty",
            metric=depth(self.failed_events),
            threshold=1,
            description="Events are parked that EventBridge won't take: read the reasons, mend, redrive.",
        )
        alarms.add(
            self.dropped_batches,
            "NotEmpty",
            metric=depth(self.dropped_batches),
            threshold=1,
            description="The mapping gave up on records: publish the events of that time from the table.",
        )
