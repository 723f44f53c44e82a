"""A client's HTTP session, with faults put into it in turn."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from botocore.awsrequest import AWSResponse
from botocore.exceptions import ReadTimeoutError

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


@dataclass
class Wire:
    """The client's HTTP session, with faults put into it in turn."""

    send_for_real: Callable[[Any], Any]
    faults: list[str] = field(default_factory=list)
    sent: int = 0

    @classmethod
    def of(cls, client: DynamoDBClient, monkeypatch: pytest.MonkeyPatch) -> Wire:
        """Put faults between a client and DynamoDB Local; pauses between its tries take no time."""
        monkeypatch.setattr("time.sleep", lambda _: None)
        session = client._endpoint.http_session  # type: ignore[attr-defined]
        wire = cls(session.send)
        monkeypatch.setattr(session, "send", wire.send)
        return wire

    def send(self, request: Any) -> Any:
        self.sent += 1
        fault = self.faults.pop(0) if self.faults else ""
        if fault.endswith("Exception"):
            return _answer(request, fault)
        answer = self.send_for_real(request)
        if fault == "lost answer":
            raise ReadTimeoutError(endpoint_url=request.url)
        return answer


def _answer(request: Any, code: str) -> AWSResponse:
    body: dict[str, Any] = {"__type": f"com.amazonaws.dynamodb.v20120810#{code}", "message": code}
    if code == "TransactionCanceledException":
        body["CancellationReasons"] = [{"Code": "TransactionConflict"}, {"Code": "None"}]
    raw = io.BytesIO(json.dumps(body).encode())
    raw.stream = lambda: iter([raw.getvalue()])  # type: ignore[attr-defined]
    return AWSResponse(
        request.url, 400, {"content-type": "application/x-amz-json-1.0", "x-amzn-requestid": "R1"}, raw
    )
