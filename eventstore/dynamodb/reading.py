"""Reading events of a DynamoDB table: streams by query, all streams by a merge of the time index's shards."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NoReturn

from eventstore._arguments import check_flags
from eventstore._checks import TimeRange, check_times, check_versions
from eventstore._merge import merge
from eventstore.dynamodb.clocks import ServerClock
from eventstore.dynamodb.facts import StoreFacts
from eventstore.dynamodb.items import (
    check_address,
    event_from_item,
    event_of_answer,
    key_of,
    time_of,
)
from eventstore.dynamodb.requests import checked, get_items, send
from eventstore.dynamodb.schema.events import BY_TIME, EVENT_ID, STREAM_ID, TIMESTAMP, WRITTEN_AT
from eventstore.dynamodb.stream_query import StreamQuery
from eventstore.dynamodb.time_index import TimeShard
from eventstore.events import Address, Event, Head, check_stream_id
from eventstore.limits import RESERVED_STREAM_ID_PREFIX, VERSION_MAX
from eventstore.positions import Position
from eventstore.store import AllEvents

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

_MAX_THREADS: Final = 32


class EventReads:
    """The reads of a `DynamoDBEventStore`; arguments, consistency and costs as there."""

    def __init__(
        self,
        *,
        client: DynamoDBClient,
        table_name: str,
        settling_us: int,
        server_clock: ServerClock,
        clock_us: Callable[[], int],
        jitter: Callable[[], float],
        sleep: Callable[[float], None],
    ) -> None:
        self._client = checked(client, "get_item", "query", "scan")
        self._table_name = table_name
        self._settling_us = settling_us
        self._server_clock = server_clock
        self._clock_us = clock_us
        self._jitter = jitter
        self._sleep = sleep
        self._facts = StoreFacts(
            client=client,
            table_name=table_name,
            clock_us=clock_us,
            jitter=jitter,
            sleep=sleep,
            sends=partial(server_clock.send, send),
            stamp_us=self._now_us,
            # Where no clocks are compared they are the caller's affair, and may be virtual.
            monotonic_s=server_clock.monotonic_s
            if server_clock.is_comparing
            else lambda: clock_us() / 1_000_000,
        )

    def __reduce__(self) -> NoReturn:
        """Refuse to be pickled or copied, by name: what it holds would be refused with botocore's words."""
        raise TypeError(
            f"a {type(self).__name__} can't be pickled or copied: it holds connections. Make one in each "
            "process, or before a fork, which it outlives"
        )

    def head(self, stream_id: str) -> Head:
        """Return a stream's last version; see `EventStore.head`."""
        # Two: the last one alone doesn't show that the one before it can't be seen yet. No more: each would
        # cost all heads some RCU, for appends of more than two events that are just becoming visible.
        last = list(self.read_stream(stream_id, backward=True, limit=2))
        return last[0].head if last else Head(stream_id, 0, 0)

    def event_at(self, stream_id: str, event_id: int) -> Event | None:
        """Read one event, strongly consistent; None when it isn't there. Cost: 1 request, 1 RCU per 4 KB."""
        self._facts.check()
        answer = self._server_clock.send(
            send,
            self._client.get_item,
            TableName=self._table_name,
            Key=key_of(stream_id, event_id),
            ConsistentRead=True,
        )
        return event_of_answer(answer, stream_id, event_id)

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
        check_flags(backward=backward, consistent=consistent)
        check_versions(from_version=from_version, to_version=to_version, limit=limit)
        stream = StreamQuery(
            stream_id=stream_id,
            first=from_version,
            last=VERSION_MAX if to_version is None else to_version,
            backward=backward,
            limit=limit,
        )
        request = {"TableName": self._table_name, "ConsistentRead": consistent}
        return self._query_events(stream, request)

    def read_times(self, addresses: Sequence[Address]) -> dict[Address, int]:
        """Return when events were written, by their addresses; see `publication_order.StreamReader`."""
        if addresses:
            self._facts.check()
        items = get_items(
            self._client,
            self._table_name,
            [key_of(stream_id, event_id) for stream_id, event_id in addresses],
            jitter=self._jitter,
            sleep=self._sleep,
            ProjectionExpression=f"{STREAM_ID}, {EVENT_ID}, {WRITTEN_AT}, #time",
            ExpressionAttributeNames={"#time": TIMESTAMP},
        )
        times = ((item, time_of(item, WRITTEN_AT), time_of(item, TIMESTAMP)) for item in items)
        return {
            check_address(item, *addresses): stamped_us if written_us is None else written_us
            for item, written_us, stamped_us in times
            if stamped_us is not None
        }

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
        check_flags(unsettled=unsettled)
        asked = check_times(from_=from_, to=to, after=after, limit=limit)
        settled_until_us = self._now_us() - self._settling_us
        times = asked if unsettled else asked.settled(settled_until_us)
        found = self._query_shards(times, after, limit, unsettled=unsettled)
        return AllEvents(found, settled_until_us)

    def _query_shards(
        self, times: TimeRange, after: Position | None, limit: int | None, *, unsettled: bool
    ) -> Iterator[Event]:
        from_us, end_us = times.from_us, times.end_us
        if end_us is not None and end_us <= from_us:
            return
        shards: list[TimeShard] = []

        def joining(reached_us: int | None) -> list[TimeShard]:
            """Make the shards that have to be read as well by now; nothing of theirs is older."""
            # Of settled events none can be in a shard that isn't known when their reading begins.
            known = self._shards_to_read(
                fresh=unsettled or not shards, met_events=any(shard.has_events for shard in shards)
            )
            joined = [
                TimeShard(
                    self._query,
                    table_name=self._table_name,
                    shard=shard,
                    from_us=from_us if reached_us is None else max(from_us, reached_us),
                    end_us=end_us,
                )
                for shard in range(len(shards), known)
            ]
            shards.extend(joined)
            return joined

        first = joining(None)
        self._now_us()  # a process's first request has been answered now; before, no time was at hand
        process = os.getpid()
        executor = ThreadPoolExecutor(min(len(first), _MAX_THREADS), thread_name_prefix="read-all")
        try:
            for event in merge(first, executor=executor, after=after, limit=limit, joining=joining):
                yield event
                if os.getpid() != process:
                    raise RuntimeError("this read of all events was begun before a fork; begin it anew")
        finally:
            executor.shutdown(wait=False, cancel_futures=True)

    def _shards_to_read(self, *, fresh: bool, met_events: bool) -> int:
        """Return how many shards of the time index have to be read now.

        Raises:
            StoreItemMissing: nobody can know it: the store has events, and has lost its item.
        """
        number = self._facts.read_shards(fresh=fresh, met_events=met_events)
        if fresh and self._facts.recorded is None and self._has_indexed_events():
            # Recorded between the two reads, by a first writer; or lost, with all events in later shards.
            return self._facts.read_shards(met_events=True)
        return number

    def _has_indexed_events(self) -> bool:
        """Return whether any shard has an event. Cost: 1 request, 0.5 RCU for each 4 KB of that event."""
        request: dict[str, Any] = {"TableName": self._table_name, "IndexName": BY_TIME, "Limit": 1}
        while True:
            answer = self._server_clock.send(send, self._client.scan, **request)
            if answer["Items"] or "LastEvaluatedKey" not in answer:
                return bool(answer["Items"])
            request["ExclusiveStartKey"] = answer["LastEvaluatedKey"]

    def _query_events(self, stream: StreamQuery, request: dict[str, Any]) -> Iterator[Event]:
        self._facts.check()
        while not stream.ended:
            answer = self._query(**request, **stream.request())
            items, key = answer["Items"][::-1], answer.get("LastEvaluatedKey")
            del answer  # so that each item goes with its event, and memory at hand is used again (ADR 10)
            stream_id, due, step, left = stream.stream_id, stream.due, stream.step, stream.left
            whole = True
            while items:
                event = event_from_item(items.pop())
                if (event.event_id != due or event.stream_id != stream_id) and stream.check(event, due):
                    whole = False
                    break
                due = event.event_id + step
                left -= 1
                yield event
            if stream.go_on(due=due, left=left, whole=whole, key=key):
                self._sleep(stream.pause_s(jitter=self._jitter()))

    def _query(self, **request: Any) -> Any:
        return self._server_clock.send(send, self._client.query, **request)

    def _now_us(self) -> int:
        """Return the time; raises ClockSkewed. Cost: nothing; where the clock seems off, 1 query, 0.5 RCU."""
        return self._server_clock.now_us(self._clock_us, self._ask_for_the_time)

    def _ask_for_the_time(self) -> None:
        self._query(
            TableName=self._table_name,
            KeyConditionExpression=f"{STREAM_ID} = :none",
            ExpressionAttributeValues={":none": {"S": RESERVED_STREAM_ID_PREFIX}},
            Limit=1,
        )
