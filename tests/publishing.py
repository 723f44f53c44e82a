"""What the publish function is given and gets back, with the network taken out: to count calls and CPU by.

calls = answered(client)   # boto3's own EventBridge client; from now on it's answered from memory
handler(trigger(events), LambdaContext())
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from botocore.awsrequest import AWSPreparedRequest, AWSResponse

from eventstore import Event
from eventstore.dynamodb.items import item_from_event, key_of

if TYPE_CHECKING:
    from mypy_boto3_events import EventBridgeClient


def trigger(events: Iterable[Event]) -> dict[str, Any]:
    """Make what the event source mapping sends for these events."""
    return {"Records": [_record(place, event) for place, event in enumerate(events, 1)]}


def answered(client: EventBridgeClient) -> list[int]:
    """Answer a client's PutEvents calls: all is taken; return a list that gets each call's number of entries.

    botocore does everything else as ever: it serializes, signs and parses.
    """
    calls: list[int] = []

    def answer(request: AWSPreparedRequest, **_: Any) -> AWSResponse:
        entries = json.loads(request.body)["Entries"]
        calls.append(len(entries))
        taken = [{"EventId": "11710aed-b79e-4468-a20b-bb3c0c3b4860"} for _ in entries]
        body = json.dumps({"FailedEntryCount": 0, "Entries": taken}).encode()
        headers = {"content-type": "application/x-amz-json-1.1", "content-length": str(len(body))}
        return AWSResponse(request.url, 200, headers, _Raw(body))

    client.meta.events.register("before-send", answer)
    return calls


def _record(place: int, event: Event) -> dict[str, Any]:
    return {
        "eventID": f"{place:032x}",
        "eventName": "INSERT",
        "eventVersion": "1.1",
        "eventSource": "aws:dynamodb",
        "awsRegion": "eu-central-1",
        "dynamodb": {
            "ApproximateCreationDateTime": event.timestamp_us // 1_000_000,
            "Keys": key_of(event.stream_id, event.event_id),
            "NewImage": item_from_event(event, shard=0),
            "SequenceNumber": f"44215845000000000{place:011}",
            "SizeBytes": 300,
            "StreamViewType": "NEW_IMAGE",
        },
        "eventSourceARN": "arn:aws:dynamodb:eu-central-1:123456789012:table/events/stream/2026",
    }


class _Raw:
    """The body of an answer as urllib3 would give it."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    def stream(self) -> Iterator[bytes]:
        yield self._body
