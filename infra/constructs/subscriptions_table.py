"""The subscriptions table."""

from typing import Final

from aws_cdk import RemovalPolicy
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_dynamodb as dynamodb
from constructs import Construct

from eventstore.adapters.dynamodb import subscription_schema
from infra.constructs.alarms import PERIOD, Alarms

_THROTTLES: Final = {"reads": "ReadThrottleEvents", "writes": "WriteThrottleEvents"}


class SubscriptionsTable(Construct):
    """The table that `eventstore.adapters.dynamodb.subscription_schema` describes: on demand, restorable.

    It's retained like the events table: without its checkpoints every subscription begins anew, and without
    the last EventIds every projection takes its events twice.
    """

    def __init__(self, scope: Construct, id: str, *, retain_data: bool, alarms: Alarms) -> None:
        super().__init__(scope, id)
        text = dynamodb.AttributeType.STRING
        self.table = dynamodb.TableV2(
            self,
            "Table",
            partition_key=dynamodb.Attribute(name=subscription_schema.SUBSCRIPTION, type=text),
            sort_key=dynamodb.Attribute(name=subscription_schema.ITEM, type=text),
            billing=dynamodb.Billing.on_demand(),
            encryption=dynamodb.TableEncryptionV2.aws_managed_key(),
            point_in_time_recovery_specification=dynamodb.PointInTimeRecoverySpecification(
                point_in_time_recovery_enabled=True
            ),
            deletion_protection=retain_data,
            removal_policy=RemovalPolicy.RETAIN if retain_data else RemovalPolicy.DESTROY,
        )
        metrics: dict[str, cloudwatch.IMetric] = {
            name: self.table.metric(metric, statistic="Sum", period=PERIOD)
            for name, metric in _THROTTLES.items()
        }
        alarms.add(
            self,
            "Throttled",
            metric=cloudwatch.MathExpression(
                expression=" + ".join(f"FILL({name}, 0)" for name in metrics),
                using_metrics=metrics,
                label="Throttled requests",
                period=PERIOD,
            ),
            threshold=alarms.settings.throttled_requests,
            description=(
                "DynamoDB throttles the subscriptions table: it grew too fast, or one stream's projection is "
                "hot. Workers wait and go on; they fall behind."
            ),
        )
