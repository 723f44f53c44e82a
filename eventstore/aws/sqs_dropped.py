"""A queue of dropped batches on SQS, from its other end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from eventstore.aws.sqs_messages import SqsMessages
from eventstore.delivery.dropped import DroppedBatch, DroppedMessage
from eventstore.errors import InvalidArgument

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient


class SqsDroppedMessages(SqsMessages[DroppedMessage]):
    """`DroppedMessages` in an SQS queue.

    Args:
        client: boto3's SQS client, best made with `sqs_messages.CLIENT_CONFIG`.
        queue_url: the queue of the deployed stack.
    """

    def __init__(self, *, client: SQSClient, queue_url: str) -> None:
        super().__init__(client=client, queue_url=queue_url, holds="dropped batches", read=_dropped)


def _dropped(message: Any) -> DroppedMessage:
    batch, fault = None, ""
    try:
        batch = DroppedBatch.parse(message["Body"])
    except InvalidArgument as error:
        fault = str(error)
    return DroppedMessage(message["MessageId"], message["ReceiptHandle"], batch, fault)
