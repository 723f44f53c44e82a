"""What outlives every deployment: the events table, the log's table and the bus."""

from aws_cdk import CfnOutput, RemovalPolicy, Stack
from aws_cdk import aws_events as events
from constructs import Construct

from infra.constructs.alarms import Alarms
from infra.constructs.events_table import EventsTable
from infra.constructs.log_table import LogTable
from infra.constructs.subscriptions_table import SubscriptionsTable
from infra.plan import tell_plan
from infra.settings import Settings


class DataStack(Stack):
    """The events table with its stream, the tables of the log and of subscriptions, and the bus."""

    def __init__(self, scope: Construct, id: str, *, settings: Settings) -> None:
        super().__init__(
            scope,
            id,
            description="Event store: the tables of events, of the log and of subscriptions, and the bus.",
            termination_protection=settings.retain_data,
        )
        self.alarms = Alarms(self, "Alarms", settings=settings.alarms, retain_data=settings.retain_data)
        self.events_table = EventsTable(self, "Events", retain_data=settings.retain_data, alarms=self.alarms)
        self.log_table = LogTable(self, "Log", retain_data=settings.retain_data, alarms=self.alarms)
        self.subscriptions_table = SubscriptionsTable(
            self, "Subscriptions", retain_data=settings.retain_data, alarms=self.alarms
        )
        self.bus = events.EventBus(self, "Bus", description="Every event of the event store.")
        # The rules and archives of subscribers hang on it.
        self.bus.apply_removal_policy(RemovalPolicy.RETAIN if settings.retain_data else RemovalPolicy.DESTROY)
        CfnOutput(self, "EventsTableName", value=self.events_table.table.table_name)
        CfnOutput(self, "LogTableName", value=self.log_table.table.table_name)
        CfnOutput(self, "SubscriptionsTableName", value=self.subscriptions_table.table.table_name)
        CfnOutput(self, "EventBusName", value=self.bus.event_bus_name)
        CfnOutput(self, "EventBusArn", value=self.bus.event_bus_arn)
        tell_plan(self, settings=settings)
