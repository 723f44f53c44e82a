"""A history of appends on DynamoDB Local, the stream it made, and what must be true of its publication."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from eventstore import Append, Event, Head, NewEvent
from eventstore.dynamodb.raw_items import DynamoDBEventsTable
from eventstore.dynamodb.store import DynamoDBEventStore
from eventstore.limits import CLOCK_TOLERANCE_S, PUT_EVENTS_MAX_BYTES
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
        """Return everything that should not have happened."""
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


class _Writers:
    """Writers whose clocks differ, whose writes take a while, and who import; `committed_s` is true."""

    def __init__(self, client: DynamoDBClient, table_name: str, rng: random.Random) -> None:
        self.now_us = _NOON_US
        self.committed_s: dict[Address, float] = {}
        self._client, self._table_name, self._rng = client, table_name, rng
        self._error_us = 0
        self._heads: dict[str, Head] = {}
        self._store = DynamoDBEventStore(
            client=client,
            table_name=table_name,
            clock_us=lambda: self.now_us + self._error_us,
            clock_tolerance_s=None,
        )

    def append(self, *appends: tuple[str, Sequence[NewEvent]], error_s: float | None = None) -> None:
        """Append behind what was written last, by a clock that is off; it takes up to its time-outs."""
        most_s = CLOCK_TOLERANCE_S if error_s is None else 0.0
        self._error_us = round((self._rng.uniform(-most_s, most_s) + (error_s or 0.0)) * 1_000_000)
        called = [Append(name, tuple(new), self._heads.get(name, Head(name, 0, 0))) for name, new in appends]
        appended = self._store.transact(called)
        self.now_us += round(self._rng.choices([0.01, 5.5], weights=[9, 1])[0] * 1_000_000)
        for of in appended:
            self._heads[of.stream_id] = of.head
            self._commit(of.events)

    def import_(self, stream_id: str, count: int) -> None:
        """Import a stream of events of long ago, months apart; others append behind them at once."""
        table = DynamoDBEventsTable(
            client=self._client, table_name=self._table_name, clock_us=lambda: self.now_us
        )
        for number in range(1, count + 1):
            at_us = _NOON_US - (count - number + 1) * 30 * 86_400_000_000
            event = Event(stream_id, number, "Happened", "1", "{}", str(UUID(int=number)), at_us)
            assert table.put(event, shard=0) is None
            self.now_us += 3_000
            self._commit([event])
        self._heads[stream_id] = self._store.head(stream_id)

    def _commit(self, events: Sequence[Event]) -> None:
        for event in events:
            self.committed_s[event.stream_id, event.event_id] = self.now_us / 1_000_000

    def head(self, stream_id: str) -> Head:
        """The last event of a stream."""
        return self._heads[stream_id]

    def append_behind(self, stream_id: str, event_id: int, new: Sequence[NewEvent]) -> None:
        """Append behind an item that is no event."""
        self._heads[stream_id] = Head(stream_id, event_id, self.now_us)
        self.append((stream_id, new))


def write_history(
    client: DynamoDBClient, table_name: str, *, seed: int, appends: int
) -> Mapping[Address, float]:
    """Append to streams, one event, several, or to several streams at once; now and then something odd.

    Returns:
        When each event was written, in seconds.
    """
    rng = random.Random(seed)
    writers = _Writers(client, table_name, rng)
    streams = [f"order-{number}" for number in range(_STREAMS)]

    def stream() -> str:
        return streams[min(rng.randrange(len(streams)), rng.randrange(len(streams)))]

    def new(most: int) -> list[NewEvent]:
        return [
            NewEvent.of("Happened", {"n": rng.random(), "text": "é" * rng.randrange(20)})
            for _ in range(rng.randint(1, most))
        ]

    for number in range(appends):
        kind = rng.random()
        if kind < 0.65:
            writers.append((stream(), new(1)))
        elif kind < 0.85:
            writers.append((stream(), new(6)))
        else:
            writers.append(*((name, new(3)) for name in sorted({stream() for _ in range(rng.randint(2, 5))})))
        if number == appends // 3:
            writers.append(("order-0", new(1)), error_s=86_400.0)
        if number in {appends // 4, appends // 2}:
            writers.import_(f"old-{number}", 8)
            streams.insert(0, f"old-{number}")
        scale_s = rng.choices([0.02, 1.0, 6.0, 4_000.0], weights=[50, 30, 15, 5])[0]
        writers.now_us += round(rng.random() * scale_s * 1_000_000)
    large = NewEvent(name="Grew", payload=json.dumps("x" * 300_000))
    writers.append(("large/é", [*new(1), large, *new(1)]))
    writers.append(("odd", [*new(1), *new(1)]))
    _write_an_item_that_is_no_event(client, table_name, writers.head("odd"))
    writers.append_behind("odd", 3, new(1))
    # An event never changes and never goes away. If somebody does it all the same, it's not an event.
    key = {"StreamId": {"S": "odd"}, "EventId": {"N": "1"}}
    client.update_item(
        TableName=table_name,
        Key=key,
        UpdateExpression="SET GSIKey = :n",
        ExpressionAttributeValues={":n": {"N": "7"}},
    )
    return writers.committed_s


def _write_an_item_that_is_no_event(client: DynamoDBClient, table_name: str, head: Head) -> None:
    key = {"StreamId": {"S": head.stream_id}, "EventId": {"N": str(head.version + 1)}}
    client.put_item(TableName=table_name, Item={**key, "Colour": {"S": "blue"}})


def read_history(
    client: DynamoDBClient,
    streams: DynamoDBStreamsClient,
    table_name: str,
    committed_s: Mapping[Address, float] | None = None,
) -> History:
    """Read the table's stream to its end, as changes in the form that Lambda gives to functions.

    Each says when it was made: when it was committed, or as the event says, in whole seconds.
    """
    changes = TableStream(client, streams, table_name).read()
    at_s = _NOON_S
    for change in changes:
        at_s = (committed_s or {}).get(address_of(change)) or _written_s(change) or at_s
        change["dynamodb"]["ApproximateCreationDateTime"] = float(int(at_s))
    return History(table_name, changes, dict(_payloads(changes)))


class TableStream:
    """A table's stream, read on from where it was."""

    def __init__(self, client: DynamoDBClient, streams: DynamoDBStreamsClient, table_name: str) -> None:
        self._streams = streams
        self._arn = client.describe_table(TableName=table_name)["Table"]["LatestStreamArn"]
        self._iterators: dict[str, str] = {}

    def read(self) -> list[Change]:
        """Read what is new, as changes in the form that Lambda gives to functions."""
        changes: list[Change] = []
        for shard in self._streams.describe_stream(StreamArn=self._arn)["StreamDescription"]["Shards"]:
            iterator = self._iterators.get(shard["ShardId"]) or self._first(shard["ShardId"])
            while True:
                answer = self._streams.get_records(ShardIterator=iterator)
                changes += [_as_lambda_has_it(record, self._arn) for record in answer["Records"]]
                iterator = answer.get("NextShardIterator", iterator)
                if not answer["Records"]:
                    break
            self._iterators[shard["ShardId"]] = iterator
        return changes

    def _first(self, shard_id: str) -> str:
        return self._streams.get_shard_iterator(
            StreamArn=self._arn, ShardId=shard_id, ShardIteratorType="TRIM_HORIZON"
        )["ShardIterator"]


def _written_s(change: Change) -> float | None:
    image = change["dynamodb"].get("NewImage", {})
    at_us = image.get("WrittenAt", image.get("Timestamp"))
    return int(at_us["N"]) / 1_000_000 if at_us else None


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
    """Return which event a change is about."""
    keys = change["dynamodb"]["Keys"]
    return keys["StreamId"]["S"], int(keys["EventId"]["N"])


def created_s(change: Change) -> float:
    """Return when a record was made, in seconds."""
    return float(change["dynamodb"]["ApproximateCreationDateTime"])
