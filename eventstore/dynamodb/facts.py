"""What the store knows about itself: the item (`$store`, 0) of the events table, which `schema` describes.

How many shards of the time index have to be read stands there, and nowhere else: a reader who is told a
lower number would pass over events in silence. A writer records it before its first event, raises it before
it uses more shards than it names, and doesn't use them until every reader has seen it. So a store that has
events without it has lost it, and no other number takes its place (docs/adr/0002-random-shards.md).

The name of the table stands there too. A restored table has another one, so nobody writes to it before the
restore is declared, which gives the events from then on an epoch (docs/adr/0014-restores.md).
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from eventstore._arguments import check_whole
from eventstore.dynamodb.requests import Busy, SlotsTaken, checked, send
from eventstore.dynamodb.schema.events import (
    EPOCH,
    EVENT_ID,
    FORMAT,
    FORMAT_VERSION,
    READ_SHARDS,
    READ_SHARDS_BEFORE,
    SINCE,
    STORE_EVENT_ID,
    STORE_STREAM_ID,
    STREAM_ID,
    TABLE,
)
from eventstore.dynamodb.store_item import Copy, Moment, copy_of
from eventstore.errors import (
    InvalidInput,
    RestoreNotDeclared,
    StoreItemMissing,
    StoreUnavailable,
)
from eventstore.errors.store import write_in_doubt
from eventstore.limits import (
    FACTS_REFRESH_S,
    FACTS_WRITER_REFRESH_S,
    RESERVED_STREAM_ID_PREFIX,
    SHARDS_MAX,
)

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

_KEY: Final[dict[str, Any]] = {STREAM_ID: {"S": STORE_STREAM_ID}, EVENT_ID: {"N": str(STORE_EVENT_ID)}}
_FREE: Final = f"attribute_not_exists({STREAM_ID})"
_COMPARED: Final = (FORMAT, READ_SHARDS, SINCE, TABLE, EPOCH)
_MAX_TRIES: Final = 20

_NOT_RESTORED: Final = (
    "is {!r}, by whose name the store was begun: nothing shows a restore. Give the restored table's name; or "
    "--same-name, if it was deleted and restored under its own, or events were deleted from it"
)

_REFRESH_US: Final = round(FACTS_REFRESH_S * 1_000_000)
_WRITER_REFRESH_US: Final = round(FACTS_WRITER_REFRESH_S * 1_000_000)


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
        self._own_name = table_name.rpartition("/")[2]  # an ARN ends with it
        self._clock_us = clock_us
        self._stamp_us = stamp_us or clock_us
        self._jitter = jitter
        self._sleep = sleep
        # Replaced whole and never locked: two threads that both read it do no harm, and a fork no less.
        self._copy: Copy | None = None
        self._looked: Moment | None = None
        self._monotonic_s = monotonic_s

    @property
    def recorded(self) -> int | None:
        """How many shards have to be read by what was last read of the store; None when it says nothing."""
        copy = self._copy
        return copy.read_shards if copy else None

    @property
    def epoch_us(self) -> int | None:
        """The epoch of what is written now, by what was last read of the store; see `Event.epoch_us`."""
        copy = self._copy
        return copy.epoch_us if copy else None

    @property
    def is_declared(self) -> bool:
        """Whether the table is the one that the store says it has, by what was last read of the store."""
        copy = self._copy
        return copy is not None and copy.table == self._own_name

    def check(self) -> None:
        """Refuse a store whose items this library doesn't know. Cost: 1 request and 1 RCU, once a process."""
        if self._looked is None:
            self._read(consistent=True)

    def read_shards(self, told: int = 1, *, fresh: bool = True, met_events: bool = False) -> int:
        """Return how many shards of the time index have to be read now: never fewer than were written.

        Args:
            told: read no fewer; for tools that repair a store.
            fresh: a store without an item is asked again now; otherwise when the last answer is old.
            met_events: the caller has seen an event, so that there has to be an item.

        Raises:
            StoreItemMissing: there is none.

        Consistency: what is older than `FACTS_REFRESH_S` is read again, eventually consistent; the first
        time, as long as there's no item, and where it seems to have vanished, strongly.
        Cost: 0.5 RCU each `FACTS_REFRESH_S` in which it's asked for; without an item 1 RCU each time.
        """
        copy = self._copy
        is_old = self._is_old(_REFRESH_US, now=self._moment(self._clock_us()))
        if is_old or (copy is None and (fresh or met_events)):
            copy = self._read(consistent=copy is None)
        if copy is None and met_events:
            raise StoreItemMissing
        return max(told, copy.read_shards) if copy else told

    def write_shards(self, deployed: int | None = None, *, refresh: bool = True) -> int:
        """Return over how many shards new events may be spread now, and record what readers have to read.

        The store's number is raised where it is lower than the deployed one. Which shards it didn't name
        before, every reader knows `FACTS_SPREAD_S` later at the latest; until then what was known before is
        written.

        Args:
            deployed: as many as the store's own deployment writes. None for as many as the store says: 1
                where it has no events yet.
            refresh: read the item again when it is old; not between an event's stamp and its write.

        Raises:
            StoreItemMissing: it isn't there, though events are.
            RestoreNotDeclared: the item is of another table. It's asked again each time.

        Consistency: a writer that has a number keeps what it read once as long as the process lives: an item
        that vanishes later is found by readers and by writers that begin then. One that has none reads what
        is older than `FACTS_WRITER_REFRESH_S` again, eventually consistent.
        Cost: 1 request and 1 RCU once a process; without a number, 0.5 RCU each `FACTS_WRITER_REFRESH_S` in
        which it writes. 1 WCU when the number is recorded or raised. Once in the life of a store, by its
        first writer, 1 scan of 2 items more, to see that there are no events.
        """
        copy = self._copy
        now = self._moment(self._stamp_us()) if copy else None
        if now and deployed is None and refresh and self._is_old(_WRITER_REFRESH_US, now=now):
            copy = self._read(consistent=False)
        least = 1 if deployed is None else deployed
        if copy is None or copy.read_shards < least:
            check_whole(least, "shards", most=SHARDS_MAX)
            copy = self._record(least)
        self._check_declared(copy)
        known = copy.known_to_all(now=now or self._moment(self._stamp_us()))
        return known if deployed is None else min(deployed, known)

    def declare_restored(self, *, now_us: int, same_name: bool = False) -> Declared:
        """Begin another epoch in a table that was restored: what is written from now on is of it.

        Writers that begin from now on know it; until then they are refused, where the table has a name of its
        own. Who writes to a table of this name already, and goes on, doesn't: let writers start anew.

        Args:
            now_us: the time by DynamoDB's clock.
            same_name: begin one though the item is of this table, so that nothing shows a restore. Then
                each call begins another, which does no harm.

        Raises:
            StoreItemMissing: the item isn't there, though events are.
            InvalidInput: there are neither events nor the item; or nothing shows a restore.

        Consistency: strong. Cost: 1 request and 1 RCU; 1 request and 1 WCU where one begins.
        """
        epoch_us = None
        for attempt in range(1, _MAX_TRIES + 1):
            copy = self._read(consistent=True)
            if copy is None:
                raise self._nothing_to_declare()
            if epoch_us is not None and copy.epoch_us == epoch_us:  # by an earlier try, whose answer got lost
                return Declared(epoch_us=epoch_us, table=copy.table, is_new=True)
            if copy.table == self._own_name and not same_name:
                if copy.epoch_us is None:
                    raise InvalidInput("table", _NOT_RESTORED.format(self._own_name))
                return Declared(epoch_us=copy.epoch_us, table=copy.table, is_new=False)
            epoch_us = max(now_us, (copy.epoch_us or 0) + 1)
            item = {**copy.item, TABLE: {"S": self._own_name}, EPOCH: {"N": str(epoch_us)}}
            try:
                self._put_item(item, copy)
            except SlotsTaken:
                continue
            except Busy:
                self._sleep(min(0.5, 0.01 * 2**attempt) * self._jitter())
                continue
            self._keep(item, self._moment(self._clock_us()))
            return Declared(epoch_us=epoch_us, table=copy.table, is_new=True)
        reason = f"others changed the store's own item {_MAX_TRIES} times"
        raise StoreUnavailable(operation="declare a restore", reason=reason)

    def restore(self, read_shards: int, *, written: int, epoch_us: int | None = None) -> None:
        """Put a lost item back; one that is there meanwhile is raised where its number is lower.

        Args:
            read_shards: how many are to be read.
            written: in so many there are events; those beyond are written when every reader knows of them.
            epoch_us: the highest one that an event has.

        Cost: 1 request, 1 WCU.
        """
        try:
            self._put(None, read_shards, before=written, epoch_us=epoch_us)
        except SlotsTaken:
            with write_in_doubt(_operation(read_shards)):
                self._read(consistent=True)
            self._record(read_shards)

    def _record(self, read_shards: int) -> Copy:
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
            if copy:
                self._check_declared(copy)
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

    def _check_declared(self, copy: Copy) -> None:
        if copy.table != self._own_name:
            # Not kept: when it's declared, the next call finds it.
            self._copy = self._looked = None
            raise RestoreNotDeclared(table=self._own_name, recorded=copy.table)

    def _nothing_to_declare(self) -> Exception:
        if self._has_events():
            return StoreItemMissing()
        return InvalidInput("table", f"is {self._own_name!r}, which has no events: nothing was restored")

    def _has_events(self) -> bool:
        return has_events(self._client, self._table_name, sends=self._sends)

    def _put(
        self, copy: Copy | None, read_shards: int, *, before: int | None = None, epoch_us: int | None = None
    ) -> Copy:
        """Put the item, the first time or in place of `copy`; what a later version has added stays in it."""
        now = self._moment(self._stamp_us())
        if copy:
            before = copy.known_to_all(now=now)
        elif before is None:
            # Who finds no item asks again each time, so a first number needs no time to spread.
            before = read_shards
        new = {**_KEY, FORMAT: {"N": str(FORMAT_VERSION)}, TABLE: {"S": self._own_name}}
        if epoch_us is not None:
            new[EPOCH] = {"N": str(epoch_us)}
        item = {
            **(copy.item if copy else new),
            READ_SHARDS: {"N": str(read_shards)},
            READ_SHARDS_BEFORE: {"N": str(before)},
            SINCE: {"N": str(now.time_us)},
        }
        copy_of(item, now)  # what no reader could read isn't written
        self._put_item(item, copy)
        return self._keep(item, now)

    def _put_item(self, item: Mapping[str, Any], copy: Copy | None) -> None:
        """Put the item where there's none, or where it's still as in `copy`; else raise SlotsTaken."""
        condition: dict[str, Any] = {"ConditionExpression": _FREE}
        if copy:
            there = [name for name in _COMPARED if name in copy.item]
            unchanged = [
                f"#{name} = :{name}" if name in there else f"attribute_not_exists(#{name})"
                for name in _COMPARED
            ]
            condition = {
                "ConditionExpression": " AND ".join(unchanged),
                "ExpressionAttributeNames": {f"#{name}": name for name in _COMPARED},
                "ExpressionAttributeValues": {f":{name}": copy.item[name] for name in there},
            }
        send(self._client.put_item, TableName=self._table_name, Item=item, **condition)

    def _read(self, *, consistent: bool) -> Copy | None:
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
        if not consistent and known and known.is_later(copy):
            # Neither number ever falls: an eventually consistent read has given an earlier item.
            copy = self._copy = known
        self._looked = now
        return copy

    def _is_old(self, span_us: int, *, now: Moment) -> bool:
        """Return whether the store was asked so long ago, by either clock, or never."""
        looked = self._looked
        return looked is None or not now.is_within(span_us, of=looked)

    def _moment(self, now_us: int) -> Moment:
        return Moment(now_us, self._monotonic_s())

    def _keep(self, item: Mapping[str, Any], now: Moment) -> Copy:
        known, copy = self._copy, copy_of(item, now)
        if known and (known.read_shards, known.since_us) == (copy.read_shards, copy.since_us):
            copy = replace(copy, seen=known.seen)
        self._copy = copy
        return copy


def has_events(client: DynamoDBClient, table_name: str, *, sends: Callable[..., Any] = send) -> bool:
    """Return whether a table has an event; the store's own items are none.

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """What the declaration of a restore has found, and done."""

    epoch_us: int
    """The epoch of what is written from now on."""
    table: str | None
    """Of which table the item was."""
    is_new: bool
    """False where it was declared before: nothing was changed."""
