"""Appending to streams of a DynamoDB table: conditional writes, and what became of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import Any, Final

from botocore.exceptions import ClientError

from eventstore._backoff import Backoff
from eventstore._checks import (
    check_transaction,
    event_size_bytes,
    has_to_be_read,
    stamp,
    written_us_of,
)
from eventstore._repeats import Wanted, is_seen, settle_visible, want
from eventstore._uids import uuid7
from eventstore.dynamodb.compression import Compression
from eventstore.dynamodb.items import check_address, event_from_item, item_from_event
from eventstore.dynamodb.reading import EventReads
from eventstore.dynamodb.requests import Busy, RefusedForSize, SlotsTaken, pause_s, send_once
from eventstore.dynamodb.schema.events import STREAM_ID
from eventstore.errors import (
    EventTooLarge,
    EventUidReused,
    ExpectedVersionAhead,
    HeadNotInStream,
    InvalidInput,
    PartlyAppended,
    StoreUnavailable,
    StreamGap,
    TransactionTooLarge,
    VersionConflict,
)
from eventstore.errors.store import write_in_doubt
from eventstore.events import Address, Event, Head, NewEvent
from eventstore.limits import (
    APPEND_MAX_TRIES,
    ITEM_MAX_BYTES,
    REQUEST_MAX_TRIES,
    TRANSACTION_MAX_BYTES,
    UID_SEARCH_MAX_EVENTS,
)
from eventstore.store import Append, Appended, Expect, Expected, ExpectedWord

_FREE: Final = f"attribute_not_exists({STREAM_ID})"
_SIZE: Final = re.compile(r"size .*exceed", re.IGNORECASE)
_ITEM_SIZE: Final = re.compile(r"item size", re.IGNORECASE)
_BACKOFF: Final = Backoff(0.02, longest_s=0.2)
_ANSWERS: Final = (VersionConflict, PartlyAppended, EventUidReused)
"""What the events that were found say of an append, also where an earlier try of it was in doubt."""


class EventAppends(EventReads):
    """The appends of a `DynamoDBEventStore`, on top of its reads; arguments and costs as there."""

    def __init__(
        self,
        *,
        compression: Compression | None,
        random_bytes: Callable[[int], bytes],
        random_shard: Callable[[int], int],
        **reads: Any,
    ) -> None:
        super().__init__(**reads)
        self._deployed_shards: int | None = None
        self._compression = compression
        self._random_bytes = random_bytes
        self._random_shard = random_shard

    def append(
        self, stream_id: str, events: Sequence[NewEvent], *, expected: Expected | ExpectedWord
    ) -> Appended:
        """Append 1-100 events to one stream; see `EventStore.append`."""
        return self.transact([Append.of(stream_id, events, expected)])[0]

    def transact(self, appends: Sequence[Append]) -> tuple[Appended, ...]:
        """Append to several streams, all or nothing; see `EventStore.transact`."""
        check_transaction(appends)
        # What it may have to read doesn't come between a stamp and its write.
        self._facts.write_shards(self._deployed_shards)
        made_us = self._clock_us()
        wanted = want(appends, new_uid=lambda: uuid7(now_us=made_us, random_bytes=self._random_bytes))
        call = _Call(wanted, made_us=made_us)
        for attempt in range(1, APPEND_MAX_TRIES + 1):
            with write_in_doubt("append", *_ANSWERS) if call.lost else nullcontext():
                appended = self._try(call)
            if appended:
                return appended
            if attempt < APPEND_MAX_TRIES:
                self._sleep(_BACKOFF.pause_s(attempt, jitter=self._jitter()))
        reason = f"still busy after {APPEND_MAX_TRIES} tries: {call.reason}"
        raise StoreUnavailable(operation="append", reason=reason) from call.trouble

    def _try(self, call: _Call) -> tuple[Appended, ...] | None:
        """Try to append, with one write; None when it has to be tried again."""
        if not call.is_placed and self._find_heads(call):
            return self._answer(call)
        events = self._stamp(call.wanted)
        try:
            self._write(list(chain.from_iterable(events)), _previous_us(call.wanted, events))
            return _appended(events, repeated=False)
        except SlotsTaken as taken:
            conflict = self._look_at_taken(call.wanted, taken.items)
            if is_seen(call.wanted):
                return self._answer(call)
            if conflict:
                raise conflict from taken.__cause__
            call.is_placed = False
            call.trouble, call.reason = taken, "other writers came first each time"
        except Busy as busy:
            call.trouble, call.reason = busy, busy.reason
        except StoreUnavailable:
            # Done or not, the next try meets it at the same places, and knows it by its uids.
            call.lost.append(events)
            if len(call.lost) == REQUEST_MAX_TRIES:
                raise
            self._sleep(pause_s(len(call.lost), jitter=self._jitter()))
        return None

    def _stamp(self, wanted: Iterable[Wanted]) -> list[tuple[Event, ...]]:
        self._facts.check()  # once a process; from then on an answer is at hand that says DynamoDB's time
        now_us = self._now_us()
        written_us = self._server_clock.corrected_us(now_us)
        epoch_us = self._facts.epoch_us
        return [_stamped(one, now_us=now_us, written_us=written_us, epoch_us=epoch_us) for one in wanted]

    def _find_heads(self, call: _Call) -> bool:
        """Find where each append goes; return whether an event of theirs was seen on the way."""
        for one in call.wanted:
            self._find_head(one, now_us=call.made_us)
        call.is_placed = True
        return is_seen(call.wanted)

    def _find_head(self, wanted: Wanted, *, now_us: int) -> None:
        """Find the head to append behind, with as few reads as the expectation allows.

        What is read is looked at: an event with one of the append's own uids says that it was made before.
        """
        stream_id, expected = wanted.append.stream_id, wanted.append.expected
        if isinstance(expected, Expect):
            self._find_last(wanted)
            if expected is Expect.EXISTS and wanted.head == Head(stream_id, 0, 0):
                raise VersionConflict(stream_id=stream_id, expected=str(expected), actual=0)
        elif wanted.head is not None:
            return  # from an earlier try: an event that is there never disappears
        elif isinstance(expected, Head):
            if has_to_be_read(expected, now_us=now_us):
                self._check_head(wanted, expected)
            wanted.head = expected
        elif expected == 0:
            wanted.head = Head(stream_id, 0, 0)
        else:
            self._find_event(wanted, expected)

    def _check_head(self, wanted: Wanted, head: Head) -> None:
        event = self.event_at(head.stream_id, head.version)
        if event is None or event.head != head:
            raise HeadNotInStream(stream_id=head.stream_id, version=head.version)
        wanted.look_at(event)

    def _find_event(self, wanted: Wanted, expected: int) -> None:
        # An event that is there never disappears, so it proves that the stream has no gap up to it: unless
        # somebody deletes events by hand. What was deleted before this one isn't looked for, at any append.
        event = self.event_at(wanted.append.stream_id, expected) or self._find_unseen(wanted, expected)
        if event is not None:
            wanted.head = event.head
            wanted.look_at(event)

    def _find_unseen(self, wanted: Wanted, expected: int) -> Event | None:
        """Read an event that wasn't there; None when the stream's last one says that the append was made."""
        stream_id = wanted.append.stream_id
        actual = self._look_at_last(wanted)
        if wanted.seen:
            return None
        if actual < expected:
            raise ExpectedVersionAhead(stream_id=stream_id, expected=expected, actual=actual)
        # Later ones are there: it was deleted, written between the two reads, or is becoming visible. That's
        # waited for, as by every read of a stream.
        event = next(self.read_stream(stream_id, from_version=expected, limit=1), None)
        if event is None:
            raise StreamGap(stream_id=stream_id, first_missing=expected, last_missing=expected)
        return event

    def _find_last(self, wanted: Wanted) -> None:
        stream_id = wanted.append.stream_id
        if wanted.head is None and wanted.has_given_uids:
            wanted.search(self._backward(stream_id), size_bytes=event_size_bytes)
        elif wanted.head is None:
            wanted.head = self.head(stream_id)
        else:
            # What this call has itself tried can only stand behind the head that it found then: a refused
            # write may have been done all the same, when it was sent twice and the first answer got lost.
            for event in self.read_stream(stream_id, from_version=wanted.head.version + 1):
                wanted.head = event.head
                wanted.look_at(event)

    def _look_at_last(self, wanted: Wanted) -> int:
        """Return a stream's version, its last event looked at."""
        last = next(self.read_stream(wanted.append.stream_id, backward=True, limit=1), None)
        if last is None:
            return 0
        wanted.look_at(last)
        return last.event_id

    def _backward(self, stream_id: str) -> Iterator[Event]:
        """Read a stream from its head back, few events at first: mostly the last one tells enough.

        Of each query no more is asked for than 1 MB ahead of what's looked at.
        """
        to_version, limit, left = None, 1, UID_SEARCH_MAX_EVENTS
        while left:
            last_id = 1
            for event in self.read_stream(stream_id, to_version=to_version, backward=True, limit=limit):
                last_id = event.event_id
                yield event
            if last_id == 1:  # the first one, or there's none
                return
            left -= limit
            to_version, limit = last_id - 1, min(8 * limit, left)

    def _write(self, events: list[Event], previous_us: Mapping[Address, int]) -> None:
        shards = self._facts.write_shards(self._deployed_shards, refresh=False)
        puts = [
            {
                "TableName": self._table_name,
                "Item": item_from_event(
                    event,
                    shard=self._random_shard(shards),
                    compression=self._compression,
                    previous_us=previous_us.get((event.stream_id, event.event_id)),
                ),
                "ConditionExpression": _FREE,
                "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
            }
            for event in events
        ]
        try:
            if len(puts) == 1:
                self._server_clock.send(send_once, self._client.put_item, **puts[0])
            else:
                self._server_clock.send(
                    send_once,
                    self._client.transact_write_items,
                    TransactItems=[{"Put": put} for put in puts],
                )
        except RefusedForSize as error:
            raise _larger(events, is_item=len(events) == 1, limit_bytes=None) from error
        except ClientError as error:
            too_large = _too_large(error, events)
            if too_large is None:
                raise
            raise too_large from error

    def _look_at_taken(
        self, wanted: list[Wanted], items: list[dict[str, Any] | None]
    ) -> VersionConflict | None:
        """Look at the events in the way; return the conflict of the append that has lost its place.

        None when all who did expect no version, and may go behind the new head; or when one of their own
        events was seen.
        """
        places = iter(items)
        lost: list[Wanted] = []
        for one in wanted:
            there = _look_at(one, islice(places, len(one.uids)))
            if isinstance(one.append.expected, Expect):
                one.head = there or one.head
            elif there or not any(items):
                lost.append(one)
        if not lost or is_seen(wanted):
            return None
        first = lost[0]
        assert first.head is not None
        return VersionConflict(
            stream_id=first.append.stream_id,
            expected=first.head.version,
            actual=self._look_at_last(first),
        )

    def _answer(self, call: _Call) -> tuple[Appended, ...]:
        """Return what is stored already, by an earlier call or by a try of this one.

        Raises:
            PartlyAppended, EventUidReused: it's another append.
        """
        stored = settle_visible(call.wanted, self._read_range, sleep=self._sleep, jitter=self._jitter)
        return call.found(stored)

    def _read_range(self, stream_id: str, first: int, last: int) -> Iterator[Event]:
        return self.read_stream(stream_id, from_version=first, to_version=last)


@dataclass(slots=True)
class _Call:
    """One call of `transact`, over all of its tries."""

    wanted: list[Wanted]
    made_us: int
    """When it was made, by the writer's clock."""
    is_placed: bool = False
    """Whether it's known where to append; else that has to be found (anew)."""
    lost: list[list[tuple[Event, ...]]] = field(default_factory=list)
    """The events of each try of which it isn't known whether they were written."""
    trouble: Exception | None = None
    reason: str = ""
    """Why the last try has to be made again."""

    def found(self, stored: list[tuple[Event, ...]]) -> tuple[Appended, ...]:
        return _appended(stored, repeated=self.wanted[0].has_given_uids and stored not in self.lost)


def _too_large(error: ClientError, events: list[Event]) -> InvalidInput | None:
    """Return what DynamoDB has refused for its size, should it ever count more than we do."""
    reasons = error.response.get("CancellationReasons") or [{}]
    texts = [str(error), *(str(reason.get("Message")) for reason in reasons)]
    if not any(map(_SIZE.search, texts)):
        return None
    is_item = any(map(_ITEM_SIZE.search, texts))
    return _larger(events, is_item=is_item, limit_bytes=ITEM_MAX_BYTES if is_item else TRANSACTION_MAX_BYTES)


def _larger(events: list[Event], *, is_item: bool, limit_bytes: int | None) -> InvalidInput:
    sizes = [event_size_bytes(event.stream_id, event) for event in events]
    if not is_item:
        return TransactionTooLarge("events", size_bytes=sum(sizes), limit_bytes=limit_bytes)
    largest = sizes.index(max(sizes))
    too_large = EventTooLarge("payload", size_bytes=sizes[largest], limit_bytes=limit_bytes)
    return too_large.under(f"events[{largest}]")


def _look_at(wanted: Wanted, items: Iterable[dict[str, Any] | None]) -> Head | None:
    """Look at the events at an append's places; return the head of the last one, None for none.

    Raises:
        UnexpectedItem: one of another place.
    """
    assert wanted.head is not None
    last: Head | None = None
    for event_id, item in enumerate(items, start=wanted.head.version + 1):
        if item:
            check_address(item, (wanted.append.stream_id, event_id))
            event = event_from_item(item)
            wanted.look_at(event)
            last = event.head
    return last


def _stamped(wanted: Wanted, *, now_us: int, written_us: int, epoch_us: int | None) -> tuple[Event, ...]:
    assert wanted.head is not None
    return stamp(
        wanted.append,
        head=wanted.head,
        now_us=now_us,
        uids=wanted.uids,
        written_us=written_us,
        epoch_us=epoch_us,
    )


def _previous_us(wanted: Sequence[Wanted], appended: Sequence[tuple[Event, ...]]) -> dict[Address, int]:
    """Return when the event before each one was written; nothing of a stream's first."""
    return {
        (event.stream_id, event.event_id): written_us_of(before)
        for one, events in zip(wanted, appended, strict=True)
        for event, before in zip(events, (one.head, *events), strict=False)
        if before is not None and event.event_id > 1
    }


def _appended(stored: Sequence[tuple[Event, ...]], *, repeated: bool) -> tuple[Appended, ...]:
    return tuple(Appended(events[0].stream_id, events, repeated=repeated) for events in stored)
