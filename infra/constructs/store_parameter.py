"""The parameter by which `eventstore.connect(name)` finds a store."""

from aws_cdk import Stack
from aws_cdk import aws_events as events
from aws_cdk import aws_ssm as ssm
from constructs import Construct

from eventstore import _store_parameter as store_parameter
from infra.constructs.events_table import EventsTable
from infra.constructs.log_table import LogTable
from infra.constructs.subscriptions_table import SubscriptionsTable
from infra.settings import Settings


class StoreParameter(Construct):
    """Says what is deployed under the environment's name; written anew by each deployment.

    Two stores of one name can't be in one account and Region: the second deployment fails, since the
    parameter is there.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        events_table: EventsTable,
        log_table: LogTable,
        subscriptions_table: SubscriptionsTable,
        bus: events.IEventBus,
        api_url: str,
        failed_events_queue_url: str,
        settings: Settings,
    ) -> None:
        super().__init__(scope, id)
        deployed = store_parameter.StoreParameter(
            events_table=events_table.table.table_name,
            log_table=log_table.table.table_name,
            subscriptions_table=subscriptions_table.table.table_name,
            event_bus=bus.event_bus_name,
            api_url=api_url,
            event_source=settings.publication.event_source,
            failed_events_queue_url=failed_events_queue_url,
            settling_s=settings.settling_s,
            compression=settings.compression,
            clocks=settings.clocks,
        )
        ssm.StringParameter(
            self,
            "Parameter",
            parameter_name=store_parameter.parameter_name(settings.environment),
            description="Where this event store is: read by eventstore.connect.",
            string_value=Stack.of(self).to_json_string(deployed.members()),
        )
