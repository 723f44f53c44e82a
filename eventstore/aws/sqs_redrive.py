"""The queue of failed events on SQS, from its other end."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from eventstore.aws.sqs_messages import SqsMessages
from eventstore.delivery.publisher import FailedEvent
from eventstore.delivery.redrive import ParkedMessage

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

_FAULT: Final = "it has no text streamId, whole number eventId and text reason"


class SqsParkedEvents(SqsMessages[ParkedMessage]):
    """`ParkedEvents` in an SQS queue.

    Args:
        client: boto3's SQS client, best made with `sqs_messages.CLIENT_CONFIG`.
        queue_url: the queue of the deployed stack.
    """

    def __init__(self, *, client: SQSClient, queue_url: str) -> None:
        super().__init__(client=client, queue_url=queue_url, holds="failed events", read=_parked)


def _parked(message: Any) -> ParkedMessage:
    failed = fault = None
    try:
        match json.loads(message["Body"]):
            case {"eventId": bool()}:
                fault = _FAULT
            case {"streamId": str(stream_id), "eventId": int(event_id), "reason": str(reason)}:
                failed = FailedEvent(stream_id, event_id, reason)
            case _:
                fault = _FAULT
    except (ValueError, RecursionError) as error:
        fault = f"it is not JSON: {error}"
    return ParkedMessage(message["MessageId"], message["ReceiptHandle"], failed, fault or "")
