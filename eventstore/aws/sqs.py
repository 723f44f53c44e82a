"""The failed events on SQS: one message for each, with the event's address and the reason."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from botocore.config import Config

from eventstore._arguments import check_text
from eventstore.aws.answers import FAILED, ask
from eventstore.aws.clients import take_client
from eventstore.aws.refusals import reason_of
from eventstore.delivery.publisher import FailedEvent
from eventstore.errors import FailedEventsUnavailable

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

CLIENT_CONFIG: Final = Config(
    # One try: the publisher tries again itself.
    connect_timeout=1.0,
    read_timeout=5.0,
    retries={"mode": "standard", "total_max_attempts": 1},
)
"""Give it to boto3: ``boto3.client("sqs", config=CLIENT_CONFIG)``."""

_REASON_MAX_CHARS: Final = 1_000


class SqsFailedEvents:
    """`FailedEvents` in an SQS queue: messages such as ``{"streamId": ..., "eventId": 3, "reason": ...}``.

    Args:
        client: boto3's SQS client, best made with `CLIENT_CONFIG`.
        queue_url: the queue of the deployed stack.
    """

    def __init__(self, *, client: SQSClient, queue_url: str) -> None:
        check_text(queue_url, "queue_url")
        self._client = take_client(client, "sqs", "send_message")
        self._queue_url = queue_url

    def park(self, failed: FailedEvent) -> None:
        """Send the address of a failed event to the queue; at least once.

        Raises:
            FailedEventsUnavailable: it isn't known to be there; safe to try again.

        Cost: 1 request.
        """
        message = {
            "streamId": failed.stream_id,
            "eventId": failed.event_id,
            "reason": failed.reason[:_REASON_MAX_CHARS],
        }
        request: Any = {"QueueUrl": self._queue_url, "MessageBody": json.dumps(message)}
        try:
            answer = ask(self._client.send_message, **request)
        except FAILED as error:
            # Also what lasts: who publishes keeps the batch until the queue takes the event.
            reason = reason_of(error, self._client.send_message, request)
            raise FailedEventsUnavailable(reason=reason) from error
        if "MessageId" not in answer:
            raise FailedEventsUnavailable(reason="the answer is not SQS's: it has no MessageId")
