"""Queues in which failures end: kept for 14 days, under alarm by whoever makes them."""

from aws_cdk import Acknowledgment, Duration, RemovalPolicy, Validations
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from infra.constructs.alarms import PERIOD


def make_queue(scope: Construct, id: str, *, retain: bool) -> sqs.Queue:
    """An encrypted queue that refuses plain HTTP."""
    queue = sqs.Queue(
        scope,
        id,
        encryption=sqs.QueueEncryption.SQS_MANAGED,
        enforce_ssl=True,
        retention_period=Duration.days(14),
        visibility_timeout=Duration.minutes(2),
        removal_policy=RemovalPolicy.RETAIN if retain else RemovalPolicy.DESTROY,
    )
    Validations.of(queue).acknowledge(
        Acknowledgment(
            id="AwsSolutions-SQS3",
            reason="The queue is itself where failures end; its alarm rings for the first message.",
        )
    )
    return queue


def depth(queue: sqs.Queue) -> cloudwatch.Metric:
    """How many messages wait in it."""
    return queue.metric_approximate_number_of_messages_visible(statistic="Maximum", period=PERIOD)
