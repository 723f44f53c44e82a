"""A subscriber as a user would make one: a rule on the bus whose target is a queue."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from uuid import uuid4

from localcloud.cloud import Cloud

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.type_defs import DeleteMessageBatchRequestEntryTypeDef

_PATTERN: Final = json.dumps({"source": ["eventstore"]})


@dataclass(frozen=True, slots=True)
class Subscriber:
    """A queue that gets every event published from now on."""

    sqs: SQSClient
    queue_url: str

    @classmethod
    @contextmanager
    def on_bus(cls, cloud: Cloud, bus: str) -> Iterator[Subscriber]:
        """Subscribe to a bus for as long as the block lasts."""
        session, name = cloud.session(), f"subscriber-{uuid4()}"
        sqs = session.client("sqs", endpoint_url=cloud.endpoint)
        events = session.client("events", endpoint_url=cloud.endpoint)
        queue_url = sqs.create_queue(QueueName=name)["QueueUrl"]
        queue_arn = sqs.get_queue_attributes(QueueUrl=queue_url, AttributeNames=["QueueArn"])["Attributes"][
            "QueueArn"
        ]
        rule_arn = events.put_rule(Name=name, EventBusName=bus, EventPattern=_PATTERN)["RuleArn"]
        allowed = {
            "Effect": "Allow",
            "Principal": {"Service": "events.amazonaws.com"},
            "Action": "sqs:SendMessage",
            "Resource": queue_arn,
            "Condition": {"ArnEquals": {"aws:SourceArn": rule_arn}},
        }
        policy = json.dumps({"Version": "2012-10-17", "Statement": [allowed]})
        sqs.set_queue_attributes(QueueUrl=queue_url, Attributes={"Policy": policy})
        events.put_targets(Rule=name, EventBusName=bus, Targets=[{"Id": "queue", "Arn": queue_arn}])
        try:
            yield cls(sqs, queue_url)
        finally:
            events.remove_targets(Rule=name, EventBusName=bus, Ids=["queue"])
            events.delete_rule(Name=name, EventBusName=bus)
            sqs.delete_queue(QueueUrl=queue_url)

    def receive(self) -> list[str]:
        """Wait a second at most; return the bodies of up to ten messages, which are then deleted."""
        received = self.sqs.receive_message(
            QueueUrl=self.queue_url, MaxNumberOfMessages=10, WaitTimeSeconds=1
        )
        messages = received.get("Messages", [])
        if messages:
            gone: list[DeleteMessageBatchRequestEntryTypeDef] = [
                {"Id": str(n), "ReceiptHandle": of["ReceiptHandle"]} for n, of in enumerate(messages)
            ]
            self.sqs.delete_message_batch(QueueUrl=self.queue_url, Entries=gone)
        return [message["Body"] for message in messages]
