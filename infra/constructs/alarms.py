"""What all alarms have in common, and who hears them."""

from typing import Final

from aws_cdk import Annotations, Duration, Stack
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_iam as iam
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sns_subscriptions as subscriptions
from constructs import Construct

from infra.alarm_settings import AlarmSettings
from infra.synth_rules import LATE_PERIODS

PERIOD: Final = Duration.minutes(1)

UNHEARD: Final = "eventstore:unheardAlarms"


class Alarms(Construct):
    """Makes the alarms that features ask for; sends them to the address or topic of the settings.

    Warns at synth where data is retained and nobody hears them.
    """

    def __init__(self, scope: Construct, id: str, *, settings: AlarmSettings, retain_data: bool) -> None:
        super().__init__(scope, id)
        self.settings = settings
        self._topic = self._make_topic()
        if retain_data and self._topic is None:
            Annotations.of(self).add_warning_v2(
                UNHEARD,
                "Nobody hears the alarms of a store that retains its data: set alarmEmail or alarmTopicArn "
                "in cdk.json, or with -c alarmEmail=...",
            )

    def add(
        self,
        scope: Construct,
        id: str,
        *,
        metric: cloudwatch.IMetric,
        threshold: float | None,
        periods: int = 1,
        late_periods: int = LATE_PERIODS,
        description: str,
    ) -> None:
        """Adds to `scope` an alarm: `metric` reaches `threshold` in `periods` of its last periods.

        It looks at `late_periods` more than that, so that a value that comes late is seen. A period without
        data is a good one; but CloudWatch ignores what is missing of a metric of AWS/DynamoDB, whatever an
        alarm asks for, and leaves the alarm as it was: such metrics need a FILL. There is no alarm when
        `threshold` is None.
        """
        if threshold is None:
            return
        alarm = cloudwatch.Alarm(
            scope,
            id,
            metric=metric,
            threshold=threshold,
            datapoints_to_alarm=periods,
            evaluation_periods=periods + late_periods,
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
