"""A boto3 client's wire: recorded, or served from memory, at botocore's public event before-send."""

from __future__ import annotations

import io
import json
import time
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import cycle
from typing import Any
from zlib import crc32

from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.client import BaseClient
from botocore.httpsession import URLLib3Session


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer as it came over the wire."""

    status: int
    headers: dict[str, str]
    body: bytes

    @classmethod
    def of(cls, body: bytes, *, content_type: str = "application/x-amz-json-1.0") -> Answer:
        """Make an answer as DynamoDB sends it, with the checksum that botocore verifies."""
        headers = {
            "Server": "Server",
            "Content-Type": content_type,
            "Content-Length": str(len(body)),
            "x-amzn-RequestId": "0000000000000000000000000000000000000000000000000000",
            "x-amz-crc32": str(zlib.crc32(body)),
        }
        return cls(200, headers, body)


Serves = Callable[[str, bytes], Answer]
"""Answers a request in DynamoDB's place, by its operation and its body."""


class Wire:
    """A client's wire: it leads to the engine until `record` or `serve` say otherwise.

    `cpu_s` tells how much CPU the answering has taken, to be left out of the client's.
    """

    def __init__(self, client: BaseClient) -> None:
        self._serves: Serves | None = None
        self._own_answer = _own_answer(1)
        self._recording: dict[str, list[Answer]] | None = None
        self._session = URLLib3Session()
        self._cpu: list[float] = []
        events: Any = client.meta.events  # typed as if handlers of this event returned nothing
        events.register("before-send", self._on_send)

    @property
    def cpu_s(self) -> float:
        """Seconds of CPU that answering has taken until now."""
        return sum(self._cpu)

    @property
    def requests(self) -> int:
        """How many requests were answered from memory."""
        return len(self._cpu)

    def record(self, work: Callable[[], object]) -> dict[str, list[Answer]]:
        """Do some work on the engine; return its answers by operation, in their order."""
        self._recording = defaultdict(list)
        try:
            work()
            return self._recording
        finally:
            self._recording = None

    def serve(self, serves: Serves, *, shards: int = 1) -> None:
        """Answer from memory from now on, as a store of so many shards."""
        self._serves = serves
        self._own_answer = _own_answer(shards)
        self._cpu.clear()

    def stop_serving(self) -> None:
        """Lead to the engine again."""
        self._serves = None

    def _on_send(self, request: AWSPreparedRequest, **_: Any) -> AWSResponse | None:
        operation = _operation(request)
        if self._recording is not None:
            response = self._session.send(request)
            answer = Answer(response.status_code, dict(response.headers), response.content)
            self._recording[operation].append(answer)
            return response
        if self._serves is None:
            return None
        began_s = time.thread_time()
        body: Any = request.body
        answer = self._own_answer if b'"$store"' in body else self._serves(operation, body)
        headers: Any = answer.headers
        response = AWSResponse(request.url, answer.status, headers, _Raw(answer.body))
        self._cpu.append(time.thread_time() - began_s)
        return response


def _own_answer(shards: int) -> Answer:
    """Answer with the store's own item, which a reader of all streams asks for once in 30 s."""
    numbers = {"Format": 1, "ReadShards": shards, "ReadShardsBefore": shards, "Since": 1}
    item = {
        "StreamId": {"S": "$store"},
        "EventId": {"N": "0"},
        "Table": {"S": "table"},
        **{name: {"N": str(number)} for name, number in numbers.items()},
    }
    text = json.dumps({"Item": item}).encode()
    headers = {
        "content-type": "application/x-amz-json-1.0",
        "x-amz-crc32": str(crc32(text)),
        "x-amzn-requestid": "1",
    }
    return Answer(200, headers, text)


def repeated(recorded: dict[str, list[Answer]]) -> Serves:
    """Serve what was recorded, each operation's answers in their order, again and again."""
    answers = {operation: cycle(of_operation) for operation, of_operation in recorded.items()}
    return lambda operation, _: next(answers[operation])


def _operation(request: AWSPreparedRequest) -> str:
    target = request.headers.get("X-Amz-Target", b"")
    text = target.decode() if isinstance(target, bytes) else str(target)
    return text.rpartition(".")[2]


class _Raw(io.BytesIO):
    def stream(self, amt: int = 0, decode_content: bool | None = None) -> Iterator[bytes]:
        del amt, decode_content
        yield self.getvalue()
