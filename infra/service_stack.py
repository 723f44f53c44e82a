"""What can be replaced at any time: the functions, the API, the publication and the dashboard."""

from aws_cdk import CfnOutput, Stack
from aws_cdk import aws_cloudwatch as cloudwatch
from constructs import Construct

from infra.constructs.api_functions import AppendFunction, ReadFunction
from infra.constructs.http_api import HttpApi
from infra.constructs.journal_table import JournalTable
from infra.constructs.log_writer import LogWriter
from infra.constructs.parked_events import ParkedEvents
from infra.constructs.publication import Publication
from infra.constructs.replays import Replays
from infra.constructs.store_parameter import StoreParameter
from infra.data_stack import DataStack
from infra.settings import Settings


class ServiceStack(Stack):
    """Append and read over HTTP, publication, the log, and one dashboard for all of it."""

    def __init__(self, scope: Construct, id: str, *, data: DataStack, settings: Settings) -> None:
        super().__init__(scope, id, description="Event store: API, functions, publication and log.")
        table, alarms = data.events_table, data.alarms
        append = AppendFunction(self, "Append", events_table=table, settings=settings, alarms=alarms)
        read = ReadFunction(
            self, "Read", events_table=table, log_table=data.log_table, settings=settings, alarms=alarms
        )
        replays = Replays(self, "Replays", events_table=table, settings=settings, alarms=alarms)
        api = HttpApi(
            self,
            "Http",
            functions={"append": append, "read": read, "replays": replays.operations},
            settings=settings,
            alarms=alarms,
        )
        replays.send_references_to(api.url)
        journal = JournalTable(self, "Journal", alarms=alarms)
        publication = Publication(
            self,
            "Publication",
            events_table=table,
            journal_table=journal,
            bus=data.bus,
            api_url=api.url,
            settings=settings,
            alarms=alarms,
        )
        log_writer = LogWriter(
            self,
            "Log",
            events_table=table,
            journal_table=journal,
            log_table=data.log_table,
            settings=settings,
            alarms=alarms,
        )
        parked = ParkedEvents(
            self,
            "ParkedEvents",
            subscriptions_table=data.subscriptions_table,
            settings=settings,
            alarms=alarms,
        )
        StoreParameter(
            self,
            "Parameter",
            events_table=table,
            log_table=data.log_table,
            subscriptions_table=data.subscriptions_table,
            bus=data.bus,
            api_url=api.url,
            failed_events_queue_url=publication.failed_events.queue_url,
            settings=settings,
        )
        tables = (table, data.log_table, data.subscriptions_table, journal)
        features = (api, append, read, publication, log_writer, replays, parked, *tables)
        cloudwatch.Dashboard(self, "Dashboard", widgets=[feature.widgets() for feature in features])
        CfnOutput(self, "ApiUrl", value=api.url)
        CfnOutput(self, "FailedEventsQueueUrl", value=publication.failed_events.queue_url)
        CfnOutput(self, "DroppedBatchesQueueUrl", value=publication.dropped_batches.queue_url)
        CfnOutput(self, "UnloggedBatchesQueueUrl", value=log_writer.dropped_batches.queue_url)
