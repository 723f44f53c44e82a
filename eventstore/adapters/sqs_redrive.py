"""The queue of failed events on SQS, from its other end: received, deleted, shown again."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from botocore.config import Config

from eventstore.adapters.answers import FAILED, ask, has_id
from eventstore.adapters.clients import take_client
from eventstore.arguments import check_text
from eventstore.errors import FailedEventsUnavailable
from eventstore.publish import FailedEvent
from eventstore.redrive import ParkedMessage

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

CLIENT_CONFIG: Final = Config(connect_timeout=2.0, read_timeout=10.0, retries={"mode": "standard"})
"""Give it to boto3: ``boto3.client("sqs", config=CLIENT_CONFIG)``."""

_BATCH: Final = 10
"""Messages of one request (SQS: 10)."""

_WAIT_S: Final = 2
"""Seconds that SQS waits for a message: only then it asks all of its servers, and none means none."""


_FAULT: Final = "it has no text streamId, whole number eventId and text reason"


class SqsParkedEvents:
    """`ParkedEvents` in an SQS queue.

    Args:
        client: boto3's SQS client, best made with `CLIENT_CONFIG`.
        queue_url: the queue of the deployed stack.
    """

    def __init__(self, *, client: SQSClient, queue_url: str) -> None:
        check_text(queue_url, "queue_url")
        self._client = take_client(
            client, "sqs", "change_message_visibility_batch", "delete_message_batch", "receive_message"
        )
        self._queue_url = queue_url

    def receive(self, *, hidden_s: float) -> list[ParkedMessage]:
        """Take up to 10 messages; see `ParkedEvents.receive`. Cost: 1 request."""
        answer = self._send(
            self._client.receive_message,
            MaxNumberOfMessages=_BATCH,
            WaitTimeSeconds=_WAIT_S,
            VisibilityTimeout=round(hidden_s),
        )
        return [_parked(message) for message in answer.get("Messages", [])]

    def delete(self, messages: Sequence[ParkedMessage]) -> None:
        """Delete messages; see `ParkedEvents.delete`. Cost: 1 request for each 10."""
        failed = self._send_all(self._client.delete_message_batch, messages, {})
        if failed:
            raise FailedEventsUnavailable(reason=f"{len(failed)} messages failed, the first: {failed[0]}")

    def release(self, messages: Sequence[ParkedMessage]) -> None:
        """Make messages visible again; see `ParkedEvents.release`. Cost: 1 request for each 10."""
        failed = None
        for first in range(0, len(messages), _BATCH):
            batch = messages[first : first + _BATCH]
            try:
                # What fails for a single message (it's deleted, its receipt is too old) needs no repair.
                self._send_all(self._client.change_message_visibility_batch, batch, {"VisibilityTimeout": 0})
            except FailedEventsUnavailable as error:  # the others may still succeed
                failed = error
        if failed:
            raise failed

    def _send_all(
        self, operation: Callable[..., Any], messages: Sequence[ParkedMessage], options: dict[str, Any]
    ) -> list[str]:
        failed: list[str] = []
        for first in range(0, len(messages), _BATCH):
            entries = [
                {"Id": str(number), "ReceiptHandle": message.receipt, **options}
                for number, message in enumerate(messages[first : first + _BATCH])
            ]
            answer = self._send(operation, Entries=entries)
            failed += [f"{each['Code']}: {each.get('Message', '')}" for each in answer.get("Failed", [])]
        return failed

    def _send(self, operation: Callable[..., Any], **request: Any) -> Any:
        try:
            answer = ask(operation, QueueUrl=self._queue_url, **request)
        except FAILED as error:
            raise FailedEventsUnavailable(reason=str(error)) from error
        if not has_id(answer):
            raise FailedEventsUnavailable(reason="the answer is not SQS's: it has no id")
        return answer


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
