"""The events table item by item, past the event store: to verify, repair, export and import it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from email.utils import parsedate_to_datetime
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final

from eventstore._arguments import check_functions, check_text, check_whole
from eventstore.dynamodb.changes import event_or_malformed
from eventstore.dynamodb.clocks import ServerClock
from eventstore.dynamodb.compression import Compression, check_compression
from eventstore.dynamodb.facts import StoreFacts, has_events
from eventstore.dynamodb.items import (
    event_from_item,
    event_of_answer,
    item_from_event,
    key_of,
)
from eventstore.dynamodb.requests import SlotsTaken, checked, send
from eventstore.dynamodb.schema.events import BY_TIME, EVENT_ID, EVENT_UID, GSI_KEY, STREAM_ID, TIMESTAMP
from eventstore.errors import InvalidInput, MalformedItem, UnexpectedItem
from eventstore.errors.store import write_in_doubt
from eventstore.events import Event
from eventstore.limits import CLOCK_TOLERANCE_S, SHARDS_MAX, VERSION_MAX
from eventstore.maintenance.items import ItemPage, StoredItem
from eventstore.positions import to_us

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

_THERE: Final = f"attribute_exists({STREAM_ID})"
_FREE: Final = f"attribute_not_exists({STREAM_ID})"


class DynamoDBEventsTable:
    """A `StoredEvents` and an `ImportTarget` on a DynamoDB table; safe to use from several threads.

    Args:
        client: boto3's DynamoDB client, best made with `client.dynamodb_client`.
        table_name: the table of the deployed stack.
        compression: how payloads are stored that it writes; None as plain text.
        page_items: items of one page of a scan at most; None for as many as 1 MB holds.
        facts: what the store knows about itself; None to read it from the table.
        clock_us: tells the time, to be replaced in tests; None for this computer's clock, corrected by
            DynamoDB's answers.
    """

    def __init__(
        self,
        *,
        client: DynamoDBClient,
        table_name: str,
        compression: Compression | None = None,
        page_items: int | None = None,
        facts: StoreFacts | None = None,
        clock_us: Callable[[], int] | None = None,
    ) -> None:
        check_text(table_name, "table_name")
        check_compression(compression)
        if clock_us is not None:
            check_functions(clock_us=clock_us)
        if page_items is not None:
            check_whole(page_items, "page_items")
        self._client = checked(client, "get_item", "put_item", "query", "scan", "update_item")
        self._table_name = table_name
        self._compression = compression
        self._facts = facts or StoreFacts(client=client, table_name=table_name)
        self._clock_us = clock_us or (lambda: time.time_ns() // 1_000)
        self._server_clock = ServerClock(tolerance_s=CLOCK_TOLERANCE_S if clock_us is None else None)
        self._page = {} if page_items is None else {"Limit": page_items}

    def scan(self, *, segment: int, segments: int, after: str | None) -> ItemPage:
        """Read one page of a segment; see `StoredItems.scan`."""
        self._facts.check()
        request: dict[str, Any] = {
            "TableName": self._table_name,
            "Segment": segment,
            "TotalSegments": segments,
            "ConsistentRead": True,
            **self._page,
        }
        if after is not None:
            request["ExclusiveStartKey"] = json.loads(after)
        answer = send(self._client.scan, **request)
        key = answer.get("LastEvaluatedKey")
        return ItemPage([_stored(item) for item in answer["Items"]], json.dumps(key) if key else None)

    def read_items(
        self, stream_id: str, *, from_version: int, to_version: int | None = None
    ) -> Iterator[StoredItem]:
        """Read items of one stream; see `StoredItems.read_items`."""
        for item in self._query(
            KeyConditionExpression=f"{STREAM_ID} = :stream AND {EVENT_ID} BETWEEN :from AND :to",
            ExpressionAttributeValues={
                ":stream": {"S": stream_id},
                ":from": {"N": str(from_version)},
                ":to": {"N": str(VERSION_MAX if to_version is None else to_version)},
            },
            ConsistentRead=True,
        ):
            if item.stream_id != stream_id:
                answered = f"{item.stream_id!r}, EventId {item.event_id}"
                raise UnexpectedItem(asked=f"stream {stream_id!r}", answered=answered)
            yield item

    def read_index(self, shard: int, *, from_us: int, end_us: int) -> Iterator[StoredItem]:
        """Read one shard of the time index; see `StoredEvents.read_index`."""
        yield from self._query(**_of_shard(shard, from_us=from_us, end_us=end_us))

    def newest(self, shard: int, *, end_us: int) -> StoredItem | None:
        """Read the item with the highest Timestamp before a time, of one shard of the time index.

        Consistency: eventual. Cost: 1 request, 0.5 RCU for each 4 KB of the item.
        """
        newest = self._query(**_of_shard(shard, from_us=0, end_us=end_us), ScanIndexForward=False, Limit=1)
        return next(newest, None)

    def repair(self, item: StoredItem, *, timestamp_us: int, shard: int) -> bool:
        """Give an item its index attributes; see `StoredEvents.repair`."""
        values = {":time": {"N": str(timestamp_us)}, ":shard": {"N": str(shard)}}
        unchanged = [_THERE]
        for name, old, was in (("#time", ":oldTime", item.timestamp), ("#shard", ":oldShard", item.shard)):
            if was is None:
                unchanged.append(f"attribute_not_exists({name})")
            else:
                unchanged.append(f"{name} = {old}")
                values[old] = {"N": was}
        try:
            send(
                self._client.update_item,
                TableName=self._table_name,
                Key=key_of(item.stream_id, item.event_id),
                UpdateExpression="SET #time = :time, #shard = :shard",
                ConditionExpression=" AND ".join(unchanged),
                ExpressionAttributeNames={"#time": TIMESTAMP, "#shard": GSI_KEY},
                ExpressionAttributeValues=values,
            )
        except SlotsTaken:
            return False
        return True

    def spread(self, write_shards: int | None = None) -> int:
        """Return over how many shards events may be spread now; see `ImportTarget.spread`."""
        if write_shards is not None:
            check_whole(write_shards, "write_shards", most=SHARDS_MAX)
        return self._facts.write_shards(write_shards)

    def is_empty(self) -> bool:
        """Return whether the table has no event; see `ImportTarget.is_empty`."""
        return not has_events(self._client, self._table_name)

    def time_us(self) -> int | None:
        """Ask what time it is by DynamoDB's own clock; None when its answers don't say.

        Returns:
            Microseconds since 1970, UTC; exact to a second, and never ahead.

        Cost: 1 request, up to 1 RCU for each 4 KB of one item.
        """
        answer = send(self._client.scan, TableName=self._table_name, Limit=1)
        date = answer["ResponseMetadata"].get("HTTPHeaders", {}).get("date")
        try:
            return to_us(parsedate_to_datetime(date)) if date else None
        except ValueError:  # not a date that HTTP knows, or one without a zone
            return None

    def put(self, event: Event, *, shard: int) -> Event | MalformedItem | None:
        """Write an event at its place, if that is free; see `ImportTarget.put`."""
        # Publication is put in order by when an event was written, which an old Timestamp doesn't tell.
        written = replace(event, written_us=self._server_clock.corrected_us(self._clock_us()))
        try:
            self._server_clock.send(
                send,
                self._client.put_item,
                TableName=self._table_name,
                Item=item_from_event(written, shard=shard, compression=self._compression),
                ConditionExpression=_FREE,
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            )
        except SlotsTaken as taken:
            return self._in_the_way(event, taken)
        return None

    def get(self, stream_id: str, event_id: int) -> Event | None:
        """Read one event, strongly consistent; None when it isn't there. Cost: 1 request, 1 RCU per 4 KB."""
        answer = send(
            self._client.get_item,
            TableName=self._table_name,
            Key=key_of(stream_id, event_id),
            ConsistentRead=True,
        )
        return event_of_answer(answer, stream_id, event_id)

    def _in_the_way(self, event: Event, taken: SlotsTaken) -> Event | MalformedItem | None:
        try:
            item = taken.items[0]
            with write_in_doubt("import"):
                return event_from_item(item) if item else self.get(event.stream_id, event.event_id)
        except MalformedItem as malformed:
            return malformed

    def _query(self, **request: Any) -> Iterator[StoredItem]:
        request["TableName"] = self._table_name
        while True:
            answer = send(self._client.query, **request)
            for item in answer["Items"]:
                yield _stored(item)
            if "LastEvaluatedKey" not in answer:
                return
            request["ExclusiveStartKey"] = answer["LastEvaluatedKey"]


def _of_shard(shard: int, *, from_us: int, end_us: int) -> dict[str, Any]:
    return {
        "IndexName": BY_TIME,
        "KeyConditionExpression": f"{GSI_KEY} = :shard AND #time BETWEEN :from AND :last",
        "ExpressionAttributeNames": {"#time": TIMESTAMP},
        "ExpressionAttributeValues": {
            ":shard": {"N": str(shard)},
            ":from": {"N": str(from_us)},
            ":last": {"N": str(end_us - 1)},
        },
    }


def _stored(item: Mapping[str, Any]) -> StoredItem:
    try:
        stream_id, number = item[STREAM_ID]["S"], item[EVENT_ID]["N"]
    except KeyError as error:
        what = f"an item has no text {STREAM_ID} or no number {EVENT_ID}, but the keys {sorted(item)[:10]}"
        raise InvalidInput("table", f"is not an events table: {what}") from error
    # An item without Timestamp lacks an index attribute; whether it's an event otherwise is told apart.
    event = event_or_malformed(stream_id, number, {TIMESTAMP: {"N": "0"}, **item})
    # `default`: attributes of other programs can be binary.
    text = json.dumps(item, sort_keys=True, default=repr)
    return StoredItem(
        stream_id=stream_id,
        event_id=event.event_id,
        event=event,
        uid=item.get(EVENT_UID, {}).get("S"),
        timestamp=item.get(TIMESTAMP, {}).get("N"),
        shard=item.get(GSI_KEY, {}).get("N"),
        digest=int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big"),
    )
