"""Publishing: from the records of the table's stream to PutEvents, the network taken out."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import boto3
from botocore.client import BaseClient

from bench.payloads import ITEM_SIZES, payload
from bench.rounds import Work, cpu_s, summary, take_turns
from bench.sizes import Scale
from bench.wire import Answer, Wire
from eventstore.aws import eventbridge
from eventstore.delivery.cloudevents import EntryFormat
from eventstore.delivery.publisher import FailedEvent, Publisher
from eventstore.dynamodb.changes import stream_records
from eventstore.events import Event

_BEGAN_US: Final = 1_700_000_000_000_000
BATCH_RECORDS: Final = 100
"""Records of one invocation, as cdk.json sets it."""
FLOOR_NAME: Final = "floor (bare boto3)"
OURS_NAME: Final = "this library"


def publish(scale: Scale) -> dict[str, Any]:
    """Publish records of 1 KB, each of another stream; ratios of CPU a record to bare put_events calls.

    The floor writes the same CloudEvents by hand and sends ten with each call; it checks nothing, keeps no
    order and doesn't read its answers.
    """
    triggers = list(_triggers(scale.publish_records))
    works: dict[str, Work] = {}
    calls: dict[str, int] = {}
    for name, publishes in ((OURS_NAME, _ours), (FLOOR_NAME, _floor)):
        client = _client()
        wire = Wire(client)
        wire.serve(_all_taken)
        publishes(client, triggers)
        calls[name] = wire.requests
        works[name] = _work(publishes, client, wire, triggers)
    measured = summary(
        take_turns(works, rounds=scale.publish_rounds),
        base=FLOOR_NAME,
        per=dict.fromkeys(works, float(scale.publish_records)),
    )
    return {**measured, "records": scale.publish_records, "put_events_calls": calls}


Publishes = Callable[[BaseClient, list[dict[str, Any]]], None]


def _work(publishes: Publishes, client: BaseClient, wire: Wire, triggers: list[dict[str, Any]]) -> Work:
    return lambda: cpu_s(lambda: publishes(client, triggers), wire)


def _client() -> BaseClient:
    client: BaseClient = boto3.client(
        "events",
        endpoint_url="http://127.0.0.1:9",
        region_name="us-east-1",
        aws_access_key_id="local",
        aws_secret_access_key="local",  # noqa: S106 - nobody checks it
        config=eventbridge.CLIENT_CONFIG,
    )
    return client


def _ours(client: Any, triggers: list[dict[str, Any]]) -> None:
    publisher = Publisher(
        reader=_NothingMissing(),
        bus=eventbridge.EventBridgeBus(client=client, bus_name="events"),
        failed_events=_NothingFails(),
        entry_format=EntryFormat(source="shop", api_url="https://api.example.com"),
    )
    for trigger in triggers:
        done = publisher.publish(stream_records(trigger), remaining_time_s=lambda: 60.0)
        assert done.published == len(trigger["Records"])


def _floor(client: Any, triggers: list[dict[str, Any]]) -> None:
    for trigger in triggers:
        records = trigger["Records"]
        for first in range(0, len(records), 10):
            client.put_events(Entries=[_entry(record) for record in records[first : first + 10]])


def _entry(record: dict[str, Any]) -> dict[str, Any]:
    image = record["dynamodb"]["NewImage"]
    stream_id, event_id = image["StreamId"]["S"], int(image["EventId"]["N"])
    time = datetime.fromtimestamp(int(image["Timestamp"]["N"]) / 1e6, UTC)
    attributes = {
        "specversion": "1.0",
        "id": f"{stream_id}/{event_id}",
        "source": "shop",
        "type": image["EventName"]["S"],
        "subject": stream_id,
        "time": time.isoformat(),
        "datacontenttype": "application/json",
        "streamid": stream_id,
        "eventid": event_id,
    }
    return {
        "EventBusName": "events",
        "Source": "shop",
        "DetailType": image["EventName"]["S"],
        "Detail": f'{json.dumps(attributes)[:-1]},"data":{image["Payload"]["S"]}}}',
        "Time": time,
    }


def _triggers(count: int) -> Iterator[dict[str, Any]]:
    """Make what Lambda hands over: batches of inserts, each of a new stream."""
    text = payload(ITEM_SIZES["1 KB"])
    for first in range(0, count, BATCH_RECORDS):
        yield {
            "Records": [_record(number, text) for number in range(first, min(first + BATCH_RECORDS, count))]
        }


def _record(number: int, text: str) -> dict[str, Any]:
    keys = {"StreamId": {"S": f"order-{number:07d}"}, "EventId": {"N": "1"}}
    image = {
        **keys,
        "EventName": {"S": "OrderPlaced"},
        "Payload": {"S": text},
        "EventUid": {"S": f"018bcfe5-6800-7000-8000-{number:012d}"},
        "Timestamp": {"N": str(_BEGAN_US + number)},
        "GSIKey": {"N": "0"},
    }
    change = {
        "Keys": keys,
        "NewImage": image,
        "SequenceNumber": f"{number:021d}",
        "SizeBytes": 1_024,
        "StreamViewType": "NEW_IMAGE",
    }
    return {
        "eventID": f"{number:032x}",
        "eventName": "INSERT",
        "eventSource": "aws:dynamodb",
        "dynamodb": change,
    }


def _all_taken(operation: str, body: bytes) -> Answer:
    assert operation == "PutEvents"
    entries = len(json.loads(body)["Entries"])
    taken = ",".join(f'{{"EventId":"{number:032x}"}}' for number in range(entries))
    return Answer.of(
        f'{{"Entries":[{taken}],"FailedEntryCount":0}}'.encode(), content_type="application/x-amz-json-1.1"
    )


class _NothingMissing:
    def read_stream(self, stream_id: str, **_: Any) -> Iterator[Event]:
        raise AssertionError(f"the first event of {stream_id} needs no read-back")

    def read_times(self, addresses: Sequence[tuple[str, int]]) -> dict[tuple[str, int], int]:
        raise AssertionError(f"first events need no look: {addresses}")


class _NothingFails:
    def park(self, failed: FailedEvent) -> None:
        raise AssertionError(f"{failed} can be published")
