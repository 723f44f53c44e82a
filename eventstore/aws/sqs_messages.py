"""A queue on SQS from the end at which an operator takes its messages: received, deleted, shown again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, Generic, Protocol, TypeVar

from botocore.config import Config

from eventstore._arguments import check_functions, check_text
from eventstore.aws.answers import FAILED, ask, has_id
from eventstore.aws.clients import take_client
from eventstore.aws.refusals import misconfigured
from eventstore.errors import FailedEventsUnavailable, StoreMisconfigured

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

CLIENT_CONFIG: Final = Config(connect_timeout=2.0, read_timeout=10.0, retries={"mode": "standard"})
"""Give it to boto3: ``boto3.client("sqs", config=CLIENT_CONFIG)``."""

_BATCH: Final = 10
"""Messages of one request (SQS: 10)."""

_WAIT_S: Final = 2
"""Seconds that SQS waits for a message: only then it asks all of its servers, and none means none."""


class Received(Protocol):
    """A message that was received; `receipt` deletes it, or shows it again."""

    @property
    def receipt(self) -> str: ...


_Message = TypeVar("_Message", bound=Received)


class SqsMessages(Generic[_Message]):
    """The messages of an SQS queue.

    Args:
        client: boto3's SQS client, best made with `CLIENT_CONFIG`.
        queue_url: the queue of the deployed stack.
        holds: what it's the queue of, for errors.
        read: reads a message as SQS has it.
    """

    def __init__(
        self, *, client: SQSClient, queue_url: str, holds: str, read: Callable[[Any], _Message]
    ) -> None:
        check_text(queue_url, "queue_url")
        check_functions(read=read)
        self._client = take_client(
            client, "sqs", "change_message_visibility_batch", "delete_message_batch", "receive_message"
        )
        self._queue_url = queue_url
        self._holds = holds
        self._read = read

    def receive(self, *, hidden_s: float) -> list[_Message]:
        """Take up to 10 messages; see `ParkedEvents.receive`. Cost: 1 request."""
        answer = self._send(
            self._client.receive_message,
            MaxNumberOfMessages=_BATCH,
            WaitTimeSeconds=_WAIT_S,
            VisibilityTimeout=round(hidden_s),
        )
        return [self._read(message) for message in answer.get("Messages", [])]

    def delete(self, messages: Sequence[_Message]) -> None:
        """Delete messages; see `ParkedEvents.delete`. Cost: 1 request for each 10."""
        failed = self._send_all(self._client.delete_message_batch, messages, {})
        if failed:
            raise self._unavailable(f"{len(failed)} messages failed, the first: {failed[0]}")

    def release(self, messages: Sequence[_Message]) -> None:
        """Make messages visible again; see `ParkedEvents.release`. Cost: 1 request for each 10."""
        failed: FailedEventsUnavailable | StoreMisconfigured | None = None
        for first in range(0, len(messages), _BATCH):
            batch = messages[first : first + _BATCH]
            try:
                # What fails for a single message (it's deleted, its receipt is too old) needs no repair.
                self._send_all(self._client.change_message_visibility_batch, batch, {"VisibilityTimeout": 0})
            except (FailedEventsUnavailable, StoreMisconfigured) as error:  # the others may still succeed
                failed = error
        if failed:
            raise failed

    def _send_all(
        self, operation: Callable[..., Any], messages: Sequence[_Message], options: dict[str, Any]
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
        request = {"QueueUrl": self._queue_url, **request}
        try:
            answer = ask(operation, **request)
        except FAILED as error:
            raise misconfigured(error, operation, request) or self._unavailable(str(error)) from error
        if not has_id(answer):
            raise self._unavailable("the answer is not SQS's: it has no id")
        return answer

    def _unavailable(self, reason: str) -> FailedEventsUnavailable:
        return FailedEventsUnavailable(reason=reason, queue=self._holds)
