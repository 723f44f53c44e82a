"""Appending to streams of a DynamoDB table: conditional writes, and what became of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import Any, Final

from eventstore.adapters.dynamodb.compression import Compression
from eventstore.adapters.dynamodb.items import event_from_item, item_from_event
from eventstore.adapters.dynamodb.reading import EventReads
from eventstore.adapters.dynamodb.requests import Busy, SlotsTaken, pause_s, send_once
from eventstore.adapters.dynamodb.schema import STREAM_ID
from eventstore.appends import check_transaction, stamp
from eventstore.errors import ExpectedVersionAhead, StoreUnavailable, VersionConflict
from eventstore.events import Event, Head, NewEvent
from eventstore.limits import REQUEST_MAX_TRIES, UID_SKEW_S
from eventstore.store import Append, Appended, Expect, Expected
from eventstore.uids import uuid7, uuid7_time_us

_FREE: Final = f"attribute_not_exists({STREAM_ID})"
_MAX_TRIES: Final = 20


class EventAppends(EventReads):
    """The appends of a `DynamoDBEventStore`, on top of its reads; arguments and costs as there."""

    def __init__(
        self,
        *,
        write_shards: int,
        compression: Compression | None,
        random_bytes: Callable[[int], bytes],
        random_shard: Callable[[int], int],
        **reads: Any,
    ) -> None:
        super().__init__(**reads)
        self._write_shards = write_shards
        self._compression = compression
        self._random_bytes = random_bytes
        self._random_shard = random_shard

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
        call = _Call(appends, uids)
        for attempt in range(1, _MAX_TRIES + 1):
            appended = self._try(call, may_retry=attempt < _MAX_TRIES)
            if appended:
                return appended
            self._sleep(min(0.5, 0.01 * 2**attempt) * self._jitter())
        raise AssertionError("the last try returns or raises")

    def _try(self, call: _Call, *, may_retry: bool) -> tuple[Appended, ...] | None:
        """Try to append, with one write; None when it has to be tried again."""
        stored = None if call.plans else self._plan_all(call)
        if stored:
            return call.found(stored)
        plans, now_us = call.plans, self._clock_us()
        events = [stamp(plan.append, head=plan.head, now_us=now_us, uids=plan.uids) for plan in plans]
        try:
            self._write(_flat(events))
            return _appended(events, repeated=False)
        except SlotsTaken as taken:
            stored = self._stored_by_us(plans, taken.items)
            if stored:
                return call.found(stored)
            conflict = self._conflict(plans, taken.items, may_retry=may_retry)
            if conflict:
                raise conflict from taken.__cause__
            call.plans = []
        except Busy as busy:
            if not may_retry:
                raise StoreUnavailable(operation="append", reason=f"still busy: {busy.reason}") from busy
        except StoreUnavailable:
            # Done or not, the next try meets it at the same places, and knows it by its uids.
            call.lost.append(_flat(events))
            if len(call.lost) == REQUEST_MAX_TRIES:
                raise
            self._sleep(pause_s(len(call.lost), jitter=self._jitter()))
        return None

    def _plan_all(self, call: _Call) -> list[tuple[Event, ...]] | None:
        """Find where to append; return the events when an earlier call has stored them."""
        heads: Sequence[Head | None] = call.first_heads or [None] * len(call.appends)
        call.plans = [self._plan(*each) for each in zip(call.appends, call.uids, heads, strict=True)]
        call.first_heads = call.first_heads or [plan.head for plan in call.plans]
        return self._already_stored(call.plans) if any(plan.earlier for plan in call.plans) else None

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
        event = self.event_at(stream_id, expected)
        if event is None:
            actual = self.head(stream_id).version
            raise ExpectedVersionAhead(stream_id=stream_id, expected=expected, actual=actual)
        return _Plan(append, uids, event.head)

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
            send_once(self._client.put_item, **puts[0])
        else:
            send_once(self._client.transact_write_items, TransactItems=[{"Put": put} for put in puts])

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


@dataclass(slots=True)
class _Call:
    """One call of `transact`, over all of its tries."""

    appends: Sequence[Append]
    uids: list[list[str]]
    plans: list[_Plan] = field(default_factory=list)
    """Where to append; none when that has to be found (anew)."""
    first_heads: list[Head] = field(default_factory=list)
    """What the first try found."""
    lost: list[list[Event]] = field(default_factory=list)
    """The events of each try of which it isn't known whether they were written."""

    def found(self, stored: list[tuple[Event, ...]]) -> tuple[Appended, ...]:
        """Return what is stored already: by an earlier call, or by a try of this one."""
        known = self.appends[0].events[0].uid is not None
        return _appended(stored, repeated=known and _flat(stored) not in self.lost)


def _flat(events: Sequence[Sequence[Event]]) -> list[Event]:
    return list(chain.from_iterable(events))


def _appended(stored: Sequence[tuple[Event, ...]], *, repeated: bool) -> tuple[Appended, ...]:
    return tuple(Appended(events[0].stream_id, events, repeated=repeated) for events in stored)
