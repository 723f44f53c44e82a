"""From the table's stream to the bus; and the queue of events that the bus won't take."""

from functools import partial

from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_events as events
from constructs import Construct

from infra import permissions
from infra.constructs.alarms import Alarms
from infra.constructs.events_table import EventsTable
from infra.constructs.journal_table import JournalTable
from infra.constructs.queues import depth, make_queue
from infra.constructs.stream_consumer import StreamConsumer, lag_widget
from infra.settings import Settings


class Publication(StreamConsumer):
    """Publishes every appended event at least once, and those of a stream in their order.

    An event that EventBridge will never take is parked in `failed_events`, as its key and the reason. Whether
    parked or given up by the mapping, events stay in the table, and an alarm rings.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        events_table: EventsTable,
        journal_table: JournalTable,
        bus: events.IEventBus,
        api_url: str,
        settings: Settings,
        alarms: Alarms,
    ) -> None:
        super().__init__(scope, id, events_table=events_table, settings=settings, alarms=alarms)
        self.failed_events = make_queue(self, "FailedEvents", retain=settings.retain_data)
        publication = settings.publication
        self._publisher = self.consume(
            "Publisher",
            name="publish",
            description="Publishes the events of the table's stream on the bus.",
            variables={
                "JOURNAL_TABLE": journal_table.table.table_name,
                "EVENT_BUS": bus.event_bus_name,
                "FAILED_EVENTS_QUEUE_URL": self.failed_events.queue_url,
                "API_URL": api_url,
                **settings.variables("EVENT_SOURCE", "PUT_EVENTS_MAX_BYTES"),
            },
            statements=partial(
                permissions.publish,
                journal_table_arn=journal_table.table.table_arn,
                bus_arn=bus.event_bus_arn,
                failed_events_queue_arn=self.failed_events.queue_arn,
            ),
            batch_size=publication.batch_size,
            window_s=publication.window_s,
            max_record_age_s=publication.max_record_age_s,
            reserved_concurrency=publication.reserved_concurrency,
            handled=("Published", "Parked"),
            late="Publication falls behind: the publisher is too slow, or a record keeps failing.",
            dropped="The mapping gave up on records: `republish --dropped-queue-url` publishes their events.",
        )
        alarms.add(
            self.failed_events,
            "NotEmpty",
            metric=depth(self.failed_events),
            threshold=1,
            description="Events are parked that EventBridge won't take: read the reasons, repair, redrive.",
        )

    def widgets(self) -> list[cloudwatch.IWidget]:
        return [
            *self._publisher.widgets(),
            cloudwatch.GraphWidget(
                title="Publication: published, parked, waiting in queues",
                left=[self._publisher.metric("Published"), self._publisher.metric("Parked")],
                right=[depth(self.failed_events), depth(self.dropped_batches)],
            ),
            lag_widget(self._publisher, title="Publication: from append to bus", lag="PublicationLag"),
        ]
