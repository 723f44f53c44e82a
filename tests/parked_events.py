"""A queue of failed events, as SQS keeps one: received messages are hidden until released or deleted."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

QUEUE_URL = "https://sqs.eu-central-1.amazonaws.com/123456789012/failed"


@dataclass
class FakeSqsQueue:
    """The calls of boto3's SQS client that a redrive makes; messages in `refuses` can't be deleted."""

    bodies: dict[str, str] = field(default_factory=dict)
    hidden: set[str] = field(default_factory=set)
    refuses: set[str] = field(default_factory=set)
    on_delete: Callable[[list[str]], None] = lambda ids: None

    def park(self, stream_id: str, event_id: int, reason: str = "MalformedDetail: no") -> str:
        return self.put(json.dumps({"streamId": stream_id, "eventId": event_id, "reason": reason}))

    def put(self, body: str) -> str:
        message_id = f"m{len(self.bodies) + 1}"
        self.bodies[message_id] = body
        return message_id

    @property
    def visible(self) -> list[str]:
        return [message_id for message_id in self.bodies if message_id not in self.hidden]

    def receive_message(
        self, *, QueueUrl: str, MaxNumberOfMessages: int, WaitTimeSeconds: int, VisibilityTimeout: int  # noqa: N803
    ) -> dict[str, Any]:  # fmt: skip
        assert QueueUrl == QUEUE_URL
        assert WaitTimeSeconds > 0, "a short poll can miss messages that are there"
        assert 0 < VisibilityTimeout <= 43_200
        taken = self.visible[: min(10, MaxNumberOfMessages)]
        self.hidden.update(taken)
        messages = [{"MessageId": i, "ReceiptHandle": f"r-{i}", "Body": self.bodies[i]} for i in taken]
        return {"Messages": messages} if messages else {}

    def delete_message_batch(self, *, QueueUrl: str, Entries: list[dict[str, Any]]) -> dict[str, Any]:  # noqa: N803
        self.on_delete([entry["ReceiptHandle"].removeprefix("r-") for entry in Entries])
        refused = self.refuses
        return self._each(Entries, lambda message_id: self.bodies.pop(message_id, None), refused)

    def change_message_visibility_batch(self, *, QueueUrl: str, Entries: list[Any]) -> dict[str, Any]:  # noqa: N803
        assert all(entry["VisibilityTimeout"] == 0 for entry in Entries)
        return self._each(Entries, self.hidden.discard, set())

    def _each(
        self, entries: list[dict[str, Any]], do: Callable[[str], object], refused: set[str]
    ) -> dict[str, Any]:
        assert 1 <= len(entries) <= 10
        failed = []
        for entry in entries:
            message_id = entry["ReceiptHandle"].removeprefix("r-")
            if message_id in refused or message_id not in self.bodies:
                failed.append({"Id": entry["Id"], "Code": "InternalError", "Message": "no"})
            else:
                do(message_id)
        return {"Failed": failed} if failed else {}
