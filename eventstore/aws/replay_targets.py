"""The consumers that a replay can have: an SQS queue, a Lambda function, an EventBridge bus.

A queue and a function get each event as EventBridge would have delivered it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID, uuid5

from botocore.config import Config

from eventstore.aws import eventbridge
from eventstore.aws.answers import FAILED, ask, has_id
from eventstore.aws.clients import take_client
from eventstore.aws.eventbridge import EventBridgeBus
from eventstore.aws.refusals import reason_of
from eventstore.delivery.cloudevents import Entry
from eventstore.delivery.publisher import Refusal
from eventstore.limits import (
    INVOKE_MAX_BYTES,
    INVOKE_MAX_EVENTS,
    PUT_EVENTS_MAX_BYTES,
    PUT_EVENTS_MAX_ENTRIES,
    REPLAY_CALL_S,
    SQS_BATCH_MAX_BYTES,
    SQS_BATCH_MAX_ENTRIES,
)
from eventstore.replays.calls import ReplayTarget
from eventstore.replays.model import Replay
from eventstore.replays.request import Target

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.type_defs import SendMessageBatchRequestEntryTypeDef

# One try each: the step tries again itself, and only what has failed.
_ONE_TRY: Final[Any] = {"mode": "standard", "total_max_attempts": 1}
SQS_CONFIG: Final = Config(connect_timeout=1.0, read_timeout=5.0, retries=_ONE_TRY)
LAMBDA_CONFIG: Final = Config(connect_timeout=1.0, read_timeout=REPLAY_CALL_S - 2, retries=_ONE_TRY)

_CALL_S: Final = 10.0
_ENVELOPE_BYTES: Final = 1_024
"""What a message has beyond the entry: account, region, time, id, the names of its fields."""
_GROUP_MAX_CHARS: Final = 128
_OF_THE_MESSAGE: Final = frozenset({"InvalidMessageContents", "InvalidParameterValue"})


class QueueTarget:
    """Sends each event as a message of an SQS queue.

    A FIFO queue gets the stream as the message group, so that the stream's order holds up to its consumer,
    and drops what is sent again within 5 minutes. A standard queue promises no order at all.
    """

    max_entries = SQS_BATCH_MAX_ENTRIES
    max_bytes = SQS_BATCH_MAX_BYTES - SQS_BATCH_MAX_ENTRIES * _ENVELOPE_BYTES
    all_or_nothing = False
    reserve_s = _CALL_S

    def __init__(self, *, client: SQSClient, target: Target, replay_id: str) -> None:
        self._client = take_client(client, "sqs", "get_queue_url", "send_message_batch")
        self._target = target
        self._replay_id = replay_id
        self._queue_url = ""

    def send(self, entries: Sequence[Entry]) -> list[Refusal | None]:
        """Send 1-10 entries; a message's own result is read. Cost: 1 request, and 1 GetQueueUrl at first."""
        try:
            url = self._url()
            if not url:
                reason = "the answer is not SQS's: it names no queue"
                return [Refusal(reason, permanent=False)] * len(entries)
            answer = ask(
                self._client.send_message_batch,
                QueueUrl=url,
                Entries=[self._message(place, entry) for place, entry in enumerate(entries)],
            )
        except FAILED as error:
            reason = reason_of(error, self._client.send_message_batch, {"QueueName": self._target.name})
            return [Refusal(reason, permanent=False)] * len(entries)
        refusals: list[Refusal | None] = [Refusal("the answer doesn't say", permanent=False)] * len(entries)
        for taken in answer.get("Successful", []):
            refusals[int(taken["Id"])] = None
        for failed in answer.get("Failed", []):
            reason = f"{failed['Code']}: {failed.get('Message', '')}"
            permanent = failed["Code"] in _OF_THE_MESSAGE
            refusals[int(failed["Id"])] = Refusal(reason, permanent=permanent)
        return refusals

    def _url(self) -> str:
        if not self._queue_url:
            answer = ask(
                self._client.get_queue_url,
                QueueName=self._target.name,
                QueueOwnerAWSAccountId=self._target.account,
            )
            self._queue_url = answer.get("QueueUrl", "")
        return self._queue_url

    def _message(self, place: int, entry: Entry) -> SendMessageBatchRequestEntryTypeDef:
        message: SendMessageBatchRequestEntryTypeDef = {
            "Id": str(place),
            "MessageBody": delivered_text(entry, target=self._target, replay_id=self._replay_id),
        }
        if self._target.name.endswith(".fifo"):
            message["MessageGroupId"] = message_group(entry.stream_id)
            again = f"{self._replay_id}/{entry.event_id}/{entry.stream_id}"
            message["MessageDeduplicationId"] = hashlib.sha256(again.encode()).hexdigest()
        return message


class FunctionTarget:
    """Invokes a Lambda function with an array of events, in their order, and waits for it to return.

    The function has up to 63 s; when it raises, all of the array comes again.
    """

    max_entries = INVOKE_MAX_EVENTS
    max_bytes = INVOKE_MAX_BYTES
    all_or_nothing = True
    reserve_s = REPLAY_CALL_S

    def __init__(self, *, client: LambdaClient, target: Target, replay_id: str) -> None:
        self._client = take_client(client, "lambda", "invoke")
        self._target = target
        self._replay_id = replay_id

    def send(self, entries: Sequence[Entry]) -> list[Refusal | None]:
        """Invoke the function with 1-100 entries, all of them or none. Cost: 1 invocation."""
        texts = (delivered_text(entry, target=self._target, replay_id=self._replay_id) for entry in entries)
        try:
            answer = ask(
                self._client.invoke,
                FunctionName=self._target.arn,
                InvocationType="RequestResponse",
                Payload=f"[{','.join(texts)}]".encode(),
            )
            said = answer["Payload"].read()[:500].decode(errors="replace")
        except FAILED as error:
            reason = reason_of(error, self._client.invoke, {})
            return [Refusal(reason, permanent=False)] * len(entries)
        if not has_id(answer):
            return [Refusal("the answer is not Lambda's: it has no id", permanent=False)] * len(entries)
        if "FunctionError" in answer:
            return [Refusal(f"the function raised: {said}", permanent=False)] * len(entries)
        return [None] * len(entries)


class BusTarget(EventBridgeBus):
    """Puts events on an EventBridge bus, all of whose rules see them."""

    max_entries = PUT_EVENTS_MAX_ENTRIES
    max_bytes = PUT_EVENTS_MAX_BYTES
    all_or_nothing = False
    reserve_s = 7 * _CALL_S  # a call refused as a whole is repeated entry by entry

    def send(self, entries: Sequence[Entry]) -> list[Refusal | None]:
        """Put 1-10 entries on the bus; see `EventBridgeBus.put`."""
        return self.put(entries)


def replay_targets(client: Callable[..., Any]) -> Callable[[Replay], ReplayTarget]:
    """Return how the target of a replay is made.

    Args:
        client: `boto3.client`; each service's is made when it's first needed, in the target's region.
    """

    def made(replay: Replay) -> ReplayTarget:
        target = Target.parse(replay.target)
        region = {"region_name": target.region}
        if target.kind == "queue":
            sqs = client("sqs", config=SQS_CONFIG, **region)
            return QueueTarget(client=sqs, target=target, replay_id=replay.replay_id)
        if target.kind == "function":
            functions = client("lambda", config=LAMBDA_CONFIG, **region)
            return FunctionTarget(client=functions, target=target, replay_id=replay.replay_id)
        events = client("events", config=eventbridge.CLIENT_CONFIG, **region)
        return BusTarget(client=events, bus_name=target.arn)

    return made


def delivered_text(entry: Entry, *, target: Target, replay_id: str) -> str:
    """Write an entry as EventBridge would deliver it, the detail exactly as it is."""
    time = datetime.fromtimestamp(entry.timestamp_us // 1_000_000, UTC)
    head = {
        "version": "0",
        "id": str(uuid5(UUID(replay_id), f"{entry.stream_id}/{entry.event_id}")),
        "detail-type": entry.detail_type,
        "source": entry.source,
        "account": target.account,
        "time": time.isoformat().replace("+00:00", "Z"),
        "region": target.region,
        "resources": [],
    }
    text = json.dumps(head, separators=(",", ":"))
    # Two characters that SQS doesn't take; in JSON they can only stand inside of a string.
    detail = entry.detail.replace("\ufffe", "\\ufffe").replace("\uffff", "\\uffff")
    return f'{text[:-1]},"detail":{detail}}}'


def message_group(stream_id: str) -> str:
    """Name the FIFO message group of a stream: its id, hashed when it's too long or has other characters."""
    plain = stream_id.isascii() and stream_id.isprintable() and " " not in stream_id
    if plain and len(stream_id) <= _GROUP_MAX_CHARS:
        return stream_id
    return hashlib.sha256(stream_id.encode()).hexdigest()
