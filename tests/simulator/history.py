"""A history of appends on DynamoDB Local, the stream it made, and what must be true of its publication."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, overload

from eventstore import Append, Head, NewEvent
from eventstore.adapters.dynamodb.store import DynamoDBEventStore
from eventstore.limits import PUT_EVENTS_MAX_BYTES
from tests.simulator.event_source_mapping import Change

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodbstreams import DynamoDBStreamsClient

Address = tuple[str, int]

_NOON_US: Final = 1_769_860_800_000_000
_NOON_S: Final = _NOON_US / 1_000_000
_STREAMS: Final = 24


@dataclass(frozen=True)
class History:
    """What was written, as the table's stream tells it."""

    table_name: str
    changes: list[Change]
    payloads: Mapping[Address, str | None]
    """Of each insert its payload; None where the item isn't an event."""


@dataclass
class Ledger:
    """What EventBridge has taken and what was parked, in the order in which it happened."""

    done: list[tuple[str, Address, str]] = field(default_factory=list)

    def publish(self, entry: Mapping[str, Any]) -> None:
        detail = json.loads(entry["Detail"])
        self.done.append(("published", (detail["streamid"], detail["eventid"]), entry["Detail"]))

    def park(self, message: Mapping[str, Any]) -> None:
        self.done.append(("parked", (message["streamId"], message["eventId"]), message["reason"]))

    @property
    def repeats(self) -> int:
        """How many publications were not an event's first."""
        published = [address for what, address, _ in self.done if what == "published"]
        return len(published) - len(set(published))

    def breaches(self, history: History, *, discarded: Iterable[Address] = ()) -> list[str]:
        """Tell everything that should not have happened."""
        lost_elsewhere = set(discarded)
        found: list[str] = []
        seen: set[Address] = set()
        for what, (stream_id, event_id), text in self.done:
            address = (stream_id, event_id)
            if address not in history.payloads:
                found.append(f"{address} was {what} but never appended")
                continue
            payload = history.payloads[address]
            if what == "published" and (payload is None or not _says(text, payload)):
                found.append(f"{address} was published with other data")
            if what == "published" and address not in seen:
                found += [
                    f"{address} went out before {(stream_id, earlier)}"
                    for earlier in range(1, event_id)
                    if (stream_id, earlier) not in seen and (stream_id, earlier) not in lost_elsewhere
                ]
            seen.add(address)
        found += [f"{address} got lost" for address in history.payloads.keys() - seen - lost_elsewhere]
        return found


def _says(detail: str, payload: str) -> bool:
    if len(payload) > PUT_EVENTS_MAX_BYTES:
        return '"dataref":' in detail and '"data":' not in detail
    return detail.endswith(f',"data":{payload}}}')


def write_history(client: DynamoDBClient, table_name: str, *, seed: int, appends: int) -> None:
    """Append to streams, one event, several, or to several streams at once; now and then something odd."""
    rng = random.Random(seed)
    now_us = _NOON_US
    store = DynamoDBEventStore(
        client=client, table_name=table_name, clock_us=lambda: now_us, clock_tolerance_s=None
    )
    heads: dict[str, Head] = {}

    def append(*streams: str, most: int) -> None:
        appends = [
            Append(name, tuple(new(rng.randint(1, most))), heads.get(name, Head(name, 0, 0)))
            for name in streams
        ]
        for appended in store.transact(appends):
            heads[appended.stream_id] = appended.head

    def stream() -> str:
        return f"order-{min(rng.randrange(_STREAMS), rng.randrange(_STREAMS))}"

    def new(count: int) -> list[NewEvent]:
        return [
            NewEvent.of("Happened", {"n": rng.random(), "text": "é" * rng.randrange(20)})
            for _ in range(count)
        ]

    for _ in range(appends):
        kind = rng.random()
        if kind < 0.65:
            append(stream(), most=1)
        elif kind < 0.85:
            append(stream(), most=6)
        else:
            append(*sorted({stream() for _ in range(rng.randint(2, 5))}), most=3)
        scale_s = rng.choices([0.02, 1.0, 6.0, 4_000.0], weights=[50, 30, 15, 5])[0]
        now_us += round(rng.random() * scale_s * 1_000_000)
    large = NewEvent(name="Grew", payload=json.dumps("x" * 300_000))
    store.append("large/é", [*new(1), large, *new(1)], expected=0)
    _write_an_item_that_is_no_event(client, table_name, store.append("odd", new(2), expected=0).head)
    store.append("odd", new(2), expected=Head("odd", 3, now_us))
    # An event never changes and never goes away. If somebody does it all the same, it's not an event.
    key = {"StreamId": {"S": "odd"}, "EventId": {"N": "1"}}
    client.update_item(
        TableName=table_name,
        Key=key,
        UpdateExpression="SET GSIKey = :n",
        ExpressionAttributeValues={":n": {"N": "7"}},
    )


def _write_an_item_that_is_no_event(client: DynamoDBClient, table_name: str, head: Head) -> None:
    key = {"StreamId": {"S": head.stream_id}, "EventId": {"N": str(head.version + 1)}}
    client.put_item(TableName=table_name, Item={**key, "Colour": {"S": "blue"}})


def read_history(client: DynamoDBClient, streams: DynamoDBStreamsClient, table_name: str) -> History:
    """Read the table's stream to its end, as changes in the form that Lambda gives to functions."""
    arn = client.describe_table(TableName=table_name)["Table"]["LatestStreamArn"]
    changes: list[Change] = []
    for shard in streams.describe_stream(StreamArn=arn)["StreamDescription"]["Shards"]:
        iterator: str | None = streams.get_shard_iterator(
            StreamArn=arn, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"
        )["ShardIterator"]
        while iterator:
            answer = streams.get_records(ShardIterator=iterator)
            if not answer["Records"]:
                break
            changes += [_as_lambda_has_it(record, arn) for record in answer["Records"]]
            iterator = answer.get("NextShardIterator")
    return History(table_name, changes, dict(_payloads(changes)))


def _as_lambda_has_it(record: Any, arn: str) -> Change:
    created = record["dynamodb"]["ApproximateCreationDateTime"].timestamp()
    change = {**record["dynamodb"], "ApproximateCreationDateTime": created}
    return {**record, "dynamodb": change, "eventSourceARN": arn}


def _payloads(changes: Iterable[Change]) -> Iterable[tuple[Address, str | None]]:
    for change in changes:
        # The store's own items are no events.
        if change["eventName"] == "INSERT" and not address_of(change)[0].startswith("$"):
            payload = change["dynamodb"]["NewImage"].get("Payload")
            yield address_of(change), payload["S"] if payload else None


def address_of(change: Change) -> Address:
    """Tell which event a change is about."""
    keys = change["dynamodb"]["Keys"]
    return keys["StreamId"]["S"], int(keys["EventId"]["N"])


@overload
def time_s(change: Change, *, otherwise_s: float = _NOON_S) -> float: ...
@overload
def time_s(change: Change, *, otherwise_s: None) -> float | None: ...
def time_s(change: Change, *, otherwise_s: float | None = _NOON_S) -> float | None:
    """Tell the Timestamp of a change's event in seconds; some time for an item that has none."""
    timestamp = change["dynamodb"].get("NewImage", {}).get("Timestamp")
    return int(timestamp["N"]) / 1_000_000 if timestamp else otherwise_s
