"""What the store knows about itself: the item (`$store`, 0) of the events table, which `schema` describes.

How many shards of the time index have to be read stands there, and in no reader's settings alone: a reader
who is told a lower number would pass over events in silence. A writer records it before its first event,
raises it before it uses more shards than it names, and doesn't use them until every reader has seen it. So a
store that has events without it has lost it, and no told number takes its place
(docs/adr/0002-random-shards.md).
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from eventstore.adapters.dynamodb.numbers import NotWhole, whole
from eventstore.adapters.dynamodb.requests import Busy, SlotsTaken, checked, send
from eventstore.adapters.dynamodb.schema import (
    EVENT_ID,
    FORMAT,
    FORMAT_VERSION,
    READ_SHARDS,
    READ_SHARDS_BEFORE,
    SINCE,
    STORE_EVENT_ID,
    STORE_STREAM_ID,
    STREAM_ID,
)
from eventstore.arguments import check_whole
from eventstore.errors import MalformedStoreItem, StoreFormatUnknown, StoreItemMissing, StoreUnavailable
from eventstore.errors.store import write_in_doubt
from eventstore.limits import (
    FACTS_CLOCKS_S,
    FACTS_REFRESH_S,
    FACTS_SPREAD_S,
    RESERVED_STREAM_ID_PREFIX,
    SHARDS_MAX,
)

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

_KEY: Final[dict[str, Any]] = {STREAM_ID: {"S": STORE_STREAM_ID}, EVENT_ID: {"N": str(STORE_EVENT_ID)}}
_FREE: Final = f"attribute_not_exists({STREAM_ID})"
_UNCHANGED: Final = "#format = :format AND #shards = :shards AND #since = :since"
_NAMES: Final = {"#format": FORMAT, "#shards": READ_SHARDS, "#since": SINCE}
_MAX_TRIES: Final = 20

_REFRESH_US: Final = round(FACTS_REFRESH_S * 1_000_000)
_SPREAD_US: Final = round(FACTS_SPREAD_S * 1_000_000)
_CLOCKS_US: Final = round(FACTS_CLOCKS_S * 1_000_000)


class StoreFacts:
    """What a store knows about itself, as this process has it; safe to use from several threads.

    Args:
        client: boto3's DynamoDB client.
        table_name: the events table.
        clock_us, jitter, sleep: time and chance, to be replaced in tests.
        sends: sends a request, as `requests.send` does.
        stamp_us: the time that is written, so that others rely on it; None for `clock_us`.
        monotonic_s: a clock that nobody sets, in seconds. It stands still where a computer sleeps, and the
            other is set: how long ago something was is told by both together.

    All methods raise `StoreFormatUnknown`, `MalformedStoreItem` and `StoreUnavailable`, before anything else
    is read or written; those about shards `StoreItemMissing` too.
    """

    def __init__(
        self,
        *,
        client: DynamoDBClient,
        table_name: str,
        clock_us: Callable[[], int] = lambda: time.time_ns() // 1_000,
        jitter: Callable[[], float] = random.random,
        sleep: Callable[[float], object] = time.sleep,
        sends: Callable[..., Any] = send,
        stamp_us: Callable[[], int] | None = None,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._sends = sends
        self._client = checked(client)
        self._table_name = table_name
        self._clock_us = clock_us
        self._stamp_us = stamp_us or clock_us
        self._jitter = jitter
        self._sleep = sleep
        # Replaced whole and never locked: two threads that both read it do no harm, and a fork no less.
        self._copy: _Copy | None = None
        self._looked: _Moment | None = None
        self._monotonic_s = monotonic_s

    @property
    def recorded(self) -> int | None:
        """How many shards have to be read by what was last read of the store; None when it says nothing."""
        copy = self._copy
        return copy.read_shards if copy else None

    def check(self) -> None:
        """Refuse a store whose items this library doesn't know. Cost: 1 request and 1 RCU, once a process."""
        if self._looked is None:
            self._read(consistent=True)

    def read_shards(self, told: int, *, fresh: bool = True, met_events: bool = False) -> int:
        """Return how many shards of the time index have to be read now: never fewer than were written.

        Args:
            told: by the caller's settings; it counts where it's higher, or where nothing is there yet.
            fresh: a store without an item is asked again now; otherwise when the last answer is old.
            met_events: the caller has seen an event, so that there has to be an item.

        Raises:
            StoreItemMissing: there is none.

        Consistency: what is older than `FACTS_REFRESH_S` is read again, eventually consistent; the first
        time, as long as there's no item, and where it seems to have vanished, strongly.
        Cost: 0.5 RCU each `FACTS_REFRESH_S` in which it's asked for; without an item 1 RCU each time.
        """
        copy, looked = self._copy, self._looked
        is_old = looked is None or not self._moment(self._clock_us()).is_within(_REFRESH_US, of=looked)
        if is_old or (copy is None and (fresh or met_events)):
            copy = self._read(consistent=copy is None)
        if copy is None and met_events:
            raise StoreItemMissing
        return max(told, copy.read_shards) if copy else told

    def write_shards(self, wanted: int, *, told: int) -> int:
        """Return over how many shards new events may be spread now, and record what readers have to read.

        The store's number is raised where it is lower than what is told. Which shards it didn't name before,
        every reader knows `FACTS_SPREAD_S` later at the latest; until then what was known before is written.

        Args:
            wanted: by the writer's settings.
            told: how many shards readers read, by the same settings: at least `wanted`.

        Raises:
            StoreItemMissing: it isn't there, though events are.

        Consistency: what was read once is kept as long as the process lives: an item that vanishes later is
        found by readers and by writers that begin then.
        Cost: 1 request and 1 RCU once a process; 1 WCU more when the number is recorded or raised. Once in
        the life of a store, by its first writer, 1 scan of 2 items more, to see that there are no events.
        """
        copy = self._copy
        if copy is None or copy.read_shards < told:
            check_whole(told, "read_shards", most=SHARDS_MAX)
            copy = self._record(told)
        return copy.usable(wanted, now=self._moment(self._stamp_us()))

    def restore(self, read_shards: int, *, written: int) -> None:
        """Put a lost item back; one that is there meanwhile is raised where its number is lower.

        Args:
            read_shards: how many are to be read.
            written: in so many there are events; those beyond are written when every reader knows of them.

        Cost: 1 request, 1 WCU.
        """
        try:
            self._put(None, read_shards, before=written)
        except SlotsTaken:
            with write_in_doubt(_operation(read_shards)):
                self._read(consistent=True)
            self._record(read_shards)

    def _record(self, read_shards: int) -> _Copy:
        copy = self._copy or self._read(consistent=True)
        operation = _operation(read_shards)
        for attempt in range(1, _MAX_TRIES + 1):
            if copy is None and self._has_events():
                # Recorded between the two reads, by a first writer; or lost.
                copy = self._read(consistent=True)
                if copy is None:
                    raise StoreItemMissing
            if copy and copy.read_shards >= read_shards:
                return copy
            try:
                return self._put(copy, read_shards)
            except SlotsTaken:
                # Another writer was first, or an earlier try of ours has done it.
                with write_in_doubt(operation):
                    copy = self._read(consistent=True)
            except Busy:
                self._sleep(min(0.5, 0.01 * 2**attempt) * self._jitter())
        reason = f"other writers were first {_MAX_TRIES} times"
        raise StoreUnavailable(operation=operation, reason=reason)

    def _has_events(self) -> bool:
        return has_events(self._client, self._table_name, sends=self._sends)

    def _put(self, copy: _Copy | None, read_shards: int, *, before: int | None = None) -> _Copy:
        """Put the item, the first time or in place of `copy`; what a later version has added stays in it."""
        now = self._moment(self._stamp_us())
        if copy:
            before = copy.known_to_all(now=now)
        elif before is None:
            # Who finds no item asks again each time, so a first number needs no time to spread.
            before = read_shards
        item = {
            **(copy.item if copy else {**_KEY, FORMAT: {"N": str(FORMAT_VERSION)}}),
            READ_SHARDS: {"N": str(read_shards)},
            READ_SHARDS_BEFORE: {"N": str(before)},
            SINCE: {"N": str(now.time_us)},
        }
        _copy_of(item, now)  # what no reader could read isn't written
        condition: dict[str, Any] = {"ConditionExpression": _FREE}
        if copy:
            condition = {
                "ConditionExpression": _UNCHANGED,
                "ExpressionAttributeNames": _NAMES,
                "ExpressionAttributeValues": {
                    ":format": copy.item[FORMAT],
                    ":shards": copy.item[READ_SHARDS],
                    ":since": copy.item[SINCE],
                },
            }
        send(self._client.put_item, TableName=self._table_name, Item=item, **condition)
        return self._keep(item, now)

    def _read(self, *, consistent: bool) -> _Copy | None:
        # Before the request: whatever it sees, it has at least seen what was there then.
        now = self._moment(self._clock_us())
        answer = self._sends(
            self._client.get_item, TableName=self._table_name, Key=_KEY, ConsistentRead=consistent
        )
        item = answer.get("Item")
        known = self._copy
        if item is None:
            if known and not consistent:  # it has vanished, or the replica lags
                return self._read(consistent=True)
            self._copy, self._looked = None, now
            return None
        copy = self._keep(item, now)
        if not consistent and known and known.read_shards > copy.read_shards:
            # The number never falls: an eventually consistent read has given an earlier one.
            copy = self._copy = known
        self._looked = now
        return copy

    def _moment(self, now_us: int) -> _Moment:
        return _Moment(now_us, self._monotonic_s())

    def _keep(self, item: Mapping[str, Any], now: _Moment) -> _Copy:
        known, copy = self._copy, _copy_of(item, now)
        if known and (known.read_shards, known.since_us) == (copy.read_shards, copy.since_us):
            copy = replace(copy, seen=known.seen)
        self._copy = copy
        return copy


def has_events(client: DynamoDBClient, table_name: str, *, sends: Callable[..., Any] = send) -> bool:
    """Tell whether a table has an event; the store's own items are none.

    Consistency: strong. Cost: mostly 1 request for 2 items, 1 RCU for each 4 KB of them.
    """
    request: dict[str, Any] = {"TableName": table_name, "ConsistentRead": True}
    # Beside the store's own items there are mostly none, or many events.
    limit = 2
    while True:
        answer = sends(client.scan, **request, Limit=limit)
        for item in answer["Items"]:
            if not item.get(STREAM_ID, {}).get("S", "").startswith(RESERVED_STREAM_ID_PREFIX):
                return True
        if "LastEvaluatedKey" not in answer:
            return False
        request["ExclusiveStartKey"] = answer["LastEvaluatedKey"]
        limit = 1_000


def _operation(read_shards: int) -> str:
    return f"record {read_shards} shards"


@dataclass(frozen=True, slots=True)
class _Moment:
    """A moment by a clock that can be set, and by one that can't."""

    time_us: int
    monotonic_s: float

    def is_within(self, span_us: int, *, of: _Moment) -> bool:
        """Return whether both clocks say that it's less than so long after another."""
        passed_us = round((self.monotonic_s - of.monotonic_s) * 1_000_000)
        return 0 <= self.time_us - of.time_us < span_us and passed_us < span_us

    def is_after(self, span_us: int, *, of: _Moment) -> bool:
        """Return whether both clocks say that it's at least so long after another."""
        passed_us = round((self.monotonic_s - of.monotonic_s) * 1_000_000)
        return min(passed_us, self.time_us - of.time_us) >= span_us


@dataclass(frozen=True, slots=True)
class _Copy:
    item: Mapping[str, Any]
    """Whole, with what a later version may have added."""
    read_shards: int
    read_shards_before: int
    since_us: int
    """By the clock of the writer who raised it."""
    seen: _Moment
    """By this process's clocks: when it first saw this number."""

    def known_to_all(self, *, now: _Moment) -> int:
        """Return how many shards every reader knows of.

        By this process's own clocks, since it saw the number; or by the writer's, with room for a difference.
        """
        is_old = now.time_us - self.since_us >= _SPREAD_US + _CLOCKS_US
        is_known = is_old or now.is_after(_SPREAD_US, of=self.seen)
        return self.read_shards if is_known else self.read_shards_before

    def usable(self, wanted: int, *, now: _Moment) -> int:
        """Return how many shards may be written."""
        return min(wanted, self.known_to_all(now=now))


def _copy_of(item: Mapping[str, Any], now: _Moment) -> _Copy:
    try:
        version = whole(item, FORMAT, low=1)
        if version > FORMAT_VERSION:
            raise StoreFormatUnknown(format_version=version, known=FORMAT_VERSION)
        read_shards = whole(item, READ_SHARDS, low=1, high=SHARDS_MAX)
        return _Copy(
            item=item,
            read_shards=read_shards,
            read_shards_before=whole(item, READ_SHARDS_BEFORE, low=1, high=read_shards),
            since_us=whole(item, SINCE),
            seen=now,
        )
    except NotWhole as error:
        raise MalformedStoreItem(reason=f"its {error}") from error
