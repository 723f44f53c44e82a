"""What all alarms have in common, and who hears them."""

from typing import Final

from aws_cdk import Duration, Stack
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_iam as iam
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sns_subscriptions as subscriptions
from constructs import Construct

from infra.settings import AlarmSettings

PERIOD: Final = Duration.minutes(1)


class Alarms(Construct):
    """Makes the alarms that features ask for; tells them to the address or topic of the settings."""

    def __init__(self, scope: Construct, id: str, *, settings: AlarmSettings) -> None:
        super().__init__(scope, id)
        self.settings = settings
        self._topic = self._make_topic()

    def add(
        self,
        scope: Construct,
        id: str,
        *,
        metric: cloudwatch.IMetric,
        threshold: float | None,
        minutes: int = 1,
        description: str,
    ) -> None:
        """Adds to `scope` an alarm: `metric` reaches `threshold` in each of the last `minutes` minutes.

        There is none when `threshold` is None. A minute without data is a good one.
        """
        if threshold is None:
            return
        alarm = cloudwatch.Alarm(
            scope,
            id,
            metric=metric,
            threshold=threshold,
            evaluation_periods=minutes,
            comparison_operator=cloudwatch.ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
            treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,
            alarm_description=description,
        )
        if self._topic is not None:
            alarm.add_alarm_action(actions.SnsAction(self._topic))

    def _make_topic(self) -> sns.ITopic | None:
        if self.settings.topic_arn is not None:
            return sns.Topic.from_topic_arn(self, "Topic", self.settings.topic_arn)
        if self.settings.email is None:
            return None
        topic = sns.Topic(self, "Topic", enforce_ssl=True)
        # With a policy of its own a topic loses the default one, by which the account's alarms may publish.
        topic.add_to_resource_policy(
            iam.PolicyStatement(
                sid="PublishAlarms",
                principals=[iam.ServicePrincipal("cloudwatch.amazonaws.com")],
                actions=["sns:Publish"],
                resources=[topic.topic_arn],
                conditions={"StringEquals": {"aws:SourceAccount": Stack.of(self).account}},
            )
        )
        topic.add_subscription(subscriptions.EmailSubscription(self.settings.email))
        return topic
