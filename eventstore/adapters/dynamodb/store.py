"""The event store on DynamoDB: conditional writes to append, queries to read."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from eventstore.adapters.dynamodb.compression import Compression
from eventstore.adapters.dynamodb.items import address_of, event_from_item, item_from_event, key_of
from eventstore.adapters.dynamodb.requests import Busy, SlotsTaken, get_items, send
from eventstore.adapters.dynamodb.schema import EVENT_ID, STREAM_ID, TIMESTAMP
from eventstore.adapters.dynamodb.time_index import TimeShard
from eventstore.appends import check_times, check_transaction, check_versions, stamp
from eventstore.errors import ExpectedVersionAhead, StoreUnavailable, VersionConflict
from eventstore.events import Event, Head, NewEvent, check_stream_id
from eventstore.limits import SETTLING_S, SHARDS_MAX, UID_SKEW_S, VERSION_MAX
from eventstore.log import EventLog, LogPage, LogPosition, read_log
from eventstore.merge import merge
from eventstore.positions import Position
from eventstore.store import AllEvents, Append, Appended, Expect, Expected
from eventstore.uids import uuid7, uuid7_time_us

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

_FREE: Final = f"attribute_not_exists({STREAM_ID})"
_MAX_TRIES: Final = 20
_MAX_THREADS: Final = 32


class DynamoDBEventStore:
    """An `EventStore` on a DynamoDB table as `schema` describes it; safe to use from several threads.

    Args:
        client: boto3's DynamoDB client, best made with `client.dynamodb_client`.
        table_name: the table of the deployed stack.
        write_shards: over how many partitions of the time index new events are spread.
        read_shards: how many are read; at least the highest `write_shards` there ever was. None for
            `write_shards`.
        settling_s: seconds until an event counts as settled.
        compression: how payloads are stored that it writes; None as plain text. It reads either kind anyway.
        log: the store's log, which `read_log` reads; the deployed indexer writes it.
        clock_us, random_bytes, random_shard, jitter, sleep: time and chance, to be replaced in tests.

    Consistency: streams are read strongly consistent unless asked otherwise; all events eventually.
    Costs stand at each method of `EventStore`.
    """

    def __init__(
        self,
        *,
        client: DynamoDBClient,
        table_name: str,
        write_shards: int = 1,
        read_shards: int | None = None,
        settling_s: float = SETTLING_S,
        compression: Compression | None = None,
        log: EventLog | None = None,
        clock_us: Callable[[], int] = lambda: time.time_ns() // 1_000,
        random_bytes: Callable[[int], bytes] = os.urandom,
        random_shard: Callable[[int], int] = random.randrange,
        jitter: Callable[[], float] = random.random,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        read_shards = write_shards if read_shards is None else read_shards
        if not 1 <= write_shards <= read_shards <= SHARDS_MAX:
            raise ValueError(
                f"write_shards is {write_shards} and read_shards {read_shards}; it has to be "
                f"1 <= write_shards <= read_shards <= {SHARDS_MAX}, or events would never be read"
            )
        self._client = client
        self._table_name = table_name
        self._write_shards = write_shards
        self._read_shards = read_shards
        self._settling_us = round(settling_s * 1_000_000)
        self._compression = compression
        self._log = log
        self._clock_us = clock_us
        self._random_bytes = random_bytes
        self._random_shard = random_shard
        self._jitter = jitter
        self._sleep = sleep

    def append(self, stream_id: str, events: Sequence[NewEvent], *, expected: Expected) -> Appended:
        """Append 1-100 events to one stream; see `EventStore.append`."""
        return self.transact([Append(stream_id, tuple(events), expected)])[0]

    def transact(self, appends: Sequence[Append]) -> tuple[Appended, ...]:
        """Append to several streams, all or nothing; see `EventStore.transact`."""
        check_transaction(appends)
        now_us = self._clock_us()
        # Made once for all tries: a write whose answer got lost is known by them.
        uids = [
            [event.uid or uuid7(now_us=now_us, random_bytes=self._random_bytes) for event in append.events]
            for append in appends
        ]
        known = appends[0].events[0].uid is not None
        first_heads: list[Head | None] = [None] * len(appends)
        for attempt in range(1, _MAX_TRIES + 1):
            plans = [self._plan(*each) for each in zip(appends, uids, first_heads, strict=True)]
            first_heads = [first or plan.head for first, plan in zip(first_heads, plans, strict=True)]
            if any(plan.earlier for plan in plans):
                stored = self._already_stored(plans)
                if stored:
                    return _appended(stored, repeated=known)
            now_us = self._clock_us()
            events = [stamp(plan.append, head=plan.head, now_us=now_us, uids=plan.uids) for plan in plans]
            try:
                self._write([event for of in events for event in of])
                return _appended(events, repeated=False)
            except SlotsTaken as taken:
                stored = self._stored_by_us(plans, taken.items)
                if stored:
                    return _appended(stored, repeated=known)
                conflict = self._conflict(plans, taken.items, may_retry=attempt < _MAX_TRIES)
                if conflict:
                    raise conflict from taken.__cause__
            except Busy as busy:
                if attempt == _MAX_TRIES:
                    raise StoreUnavailable(operation="append", reason=f"still busy: {busy.reason}") from busy
            self._sleep(min(0.5, 0.01 * 2**attempt) * self._jitter())
        raise AssertionError("the last try returns or raises")

    def head(self, stream_id: str) -> Head:
        """Tell a stream's last version; see `EventStore.head`."""
        last = next(self.read_stream(stream_id, backward=True, limit=1), None)
        return last.head if last else Head(stream_id, 0, 0)

    def read_stream(
        self,
        stream_id: str,
        *,
        from_version: int = 1,
        to_version: int | None = None,
        backward: bool = False,
        limit: int | None = None,
        consistent: bool = True,
    ) -> Iterator[Event]:
        """Read the events of one stream in order; see `EventStore.read_stream`."""
        check_stream_id(stream_id)
        check_versions(from_version=from_version, to_version=to_version, limit=limit)
        request = {
            "TableName": self._table_name,
            "KeyConditionExpression": f"{STREAM_ID} = :stream AND {EVENT_ID} BETWEEN :from AND :to",
            "ExpressionAttributeValues": {
                ":stream": {"S": stream_id},
                ":from": {"N": str(from_version)},
                ":to": {"N": str(VERSION_MAX if to_version is None else to_version)},
            },
            "ScanIndexForward": not backward,
            "ConsistentRead": consistent,
        }
        return self._query_events(request, limit)

    def read_times(self, addresses: Sequence[tuple[str, int]]) -> dict[tuple[str, int], int]:
        """Read the Timestamps of events by their addresses; see `publication_order.StreamReader`."""
        items = get_items(
            self._client,
            self._table_name,
            [key_of(stream_id, event_id) for stream_id, event_id in addresses],
            jitter=self._jitter,
            sleep=self._sleep,
            ProjectionExpression=f"{STREAM_ID}, {EVENT_ID}, #time",
            ExpressionAttributeNames={"#time": TIMESTAMP},
        )
        times = ((item, item.get(TIMESTAMP, {}).get("N", "")) for item in items)
        return {address_of(item): int(time_us) for item, time_us in times if time_us.isdecimal()}

    def read_all(
        self,
        *,
        from_: datetime | None = None,
        to: datetime | None = None,
        after: Position | None = None,
        limit: int | None = None,
        unsettled: bool = False,
    ) -> AllEvents:
        """Read the events of all streams in time order; see `EventStore.read_all`."""
        from_us, end_us = check_times(from_=from_, to=to, after=after, limit=limit)
        settled_until_us = self._clock_us() - self._settling_us
        if not unsettled:
            end_us = settled_until_us if end_us is None else min(end_us, settled_until_us)
        return AllEvents(self._query_shards(from_us, end_us, after, limit), settled_until_us)

    def read_log(
        self, *, after: LogPosition | None = None, limit: int = 1_000, tranches: Collection[int] | None = None
    ) -> LogPage:
        """Read what comes next in the log; see `eventstore.read_log`. Needs a store made with a log."""
        if self._log is None:
            raise ValueError("this store was made without a log; make it with log=DynamoDBEventLog(...)")
        return read_log(self._log, after=after, limit=limit, tranches=tranches)

    def _query_shards(
        self, from_us: int, end_us: int | None, after: Position | None, limit: int | None
    ) -> Iterator[Event]:
        if end_us is not None and end_us <= from_us:
            return
        shards = [
            TimeShard(self._query, table_name=self._table_name, shard=shard, from_us=from_us, end_us=end_us)
            for shard in range(self._read_shards)
        ]
        executor = ThreadPoolExecutor(min(self._read_shards, _MAX_THREADS), thread_name_prefix="read-all")
        try:
            yield from merge(shards, executor=executor, after=after, limit=limit)
        finally:
            executor.shutdown(wait=False, cancel_futures=True)

    def _query_events(self, request: dict[str, Any], limit: int | None) -> Iterator[Event]:
        missing = limit
        while True:
            if missing is not None:
                request["Limit"] = missing
            answer = self._query(**request)
            items, key = answer["Items"][::-1], answer.get("LastEvaluatedKey")
            del answer  # so that each item goes with its event, and memory at hand is used again (ADR 10)
            if missing is not None:
                missing -= len(items)
            while items:
                yield event_from_item(items.pop())
            if missing == 0 or not key:
                return
            request["ExclusiveStartKey"] = key

    def _query(self, **request: Any) -> Any:
        return send(self._client.query, **request)

    def _plan(self, append: Append, uids: list[str], first_head: Head | None) -> _Plan:
        """Find the head to append behind, with as few reads as the expectation allows.

        Args:
            first_head: what the first try of this call found; None when this is it.
        """
        stream_id, expected = append.stream_id, append.expected
        if isinstance(expected, Head):
            return _Plan(append, uids, expected)
        if isinstance(expected, Expect):
            return self._plan_behind_last(append, uids, expected, first_head)
        if expected == 0:
            return _Plan(append, uids, Head(stream_id, 0, 0))
        # An event that is there never disappears, so it proves that the stream has no gap up to it.
        answer = send(
            self._client.get_item,
            TableName=self._table_name,
            Key=key_of(stream_id, expected),
            ConsistentRead=True,
        )
        if "Item" not in answer:
            raise ExpectedVersionAhead(
                stream_id=stream_id, expected=expected, actual=self.head(stream_id).version
            )
        return _Plan(append, uids, event_from_item(answer["Item"]).head)

    def _plan_behind_last(
        self, append: Append, uids: list[str], expected: Expect, first_head: Head | None
    ) -> _Plan:
        head, earlier = self._last_and_earlier(append, uids[0], first_head)
        if expected is Expect.EXISTS and not head.version:
            raise VersionConflict(stream_id=append.stream_id, expected=str(expected), actual=0)
        return _Plan(append, uids, head, earlier)

    def _last_and_earlier(self, append: Append, uid: str, first_head: Head | None) -> tuple[Head, int]:
        """Find the stream's head and, on the way back from it, the first event of an earlier try."""
        if first_head is None and append.events[0].uid is None:
            return self.head(append.stream_id), 0
        # What this call has itself tried can only stand behind the head that it first found: a refused write
        # may have been done all the same, when the client sent it twice and the first answer got lost.
        searched = first_head.version if first_head else 0
        made_us = uuid7_time_us(uid)
        oldest_us = 0 if made_us is None else made_us - round(UID_SKEW_S * 1_000_000)
        head: Head | None = None
        for event in self._backward(append.stream_id):
            head = head or event.head
            if event.uid == uid:
                return head, event.event_id
            if event.timestamp_us < oldest_us or event.event_id <= searched:
                break
        return head or Head(append.stream_id, 0, 0), 0

    def _backward(self, stream_id: str) -> Iterator[Event]:
        """Read a stream from its head back, few events at first: mostly the last one tells enough."""
        to_version, limit = None, 1
        while True:
            events = list(self.read_stream(stream_id, to_version=to_version, backward=True, limit=limit))
            yield from events
            if len(events) < limit or events[-1].event_id == 1:
                return
            to_version, limit = events[-1].event_id - 1, min(8 * limit, 1_000)

    def _write(self, events: list[Event]) -> None:
        puts = [
            {
                "TableName": self._table_name,
                "Item": item_from_event(
                    event, shard=self._random_shard(self._write_shards), compression=self._compression
                ),
                "ConditionExpression": _FREE,
                "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
            }
            for event in events
        ]
        if len(puts) == 1:
            send(self._client.put_item, **puts[0])
        else:
            send(self._client.transact_write_items, TransactItems=[{"Put": put} for put in puts])

    def _stored_by_us(
        self, plans: list[_Plan], items: list[dict[str, Any] | None]
    ) -> list[tuple[Event, ...]] | None:
        """Return the stored events when those in the way are our own, written by an earlier try."""
        ours = [uid for plan in plans for uid in plan.uids]
        there = [event_from_item(item) if item else None for item in items]
        if any(event and event.uid != uid for event, uid in zip(there, ours, strict=True)):
            return None
        if None in there:
            return self._already_stored(plans)
        stored = iter(event for event in there if event)
        return [tuple(islice(stored, len(plan.uids))) for plan in plans]

    def _already_stored(self, plans: list[_Plan]) -> list[tuple[Event, ...]] | None:
        stored = []
        for plan in plans:
            first = plan.earlier or plan.head.version + 1
            events = tuple(
                self.read_stream(
                    plan.append.stream_id, from_version=first, to_version=first + len(plan.uids) - 1
                )
            )
            if [event.uid for event in events] != plan.uids:
                return None
            stored.append(events)
        return stored

    def _conflict(
        self, plans: list[_Plan], items: list[dict[str, Any] | None], *, may_retry: bool
    ) -> VersionConflict | None:
        """Find the append that lost its place; None when all who did may simply go behind the new head."""
        places = iter(items)
        for plan in plans:
            taken = any(list(islice(places, len(plan.uids)))) or not any(items)
            expected = plan.append.expected
            if not taken or (isinstance(expected, Expect) and may_retry):
                continue
            return VersionConflict(
                stream_id=plan.append.stream_id,
                expected=str(expected) if isinstance(expected, Expect) else plan.head.version,
                actual=self.head(plan.append.stream_id).version,
            )
        return None


@dataclass(frozen=True, slots=True)
class _Plan:
    append: Append
    uids: list[str]
    head: Head
    earlier: int = 0
    """The EventId under which an earlier try of this append was found; 0 for none."""


def _appended(stored: Sequence[tuple[Event, ...]], *, repeated: bool) -> tuple[Appended, ...]:
    return tuple(Appended(events[0].stream_id, events, repeated=repeated) for events in stored)
