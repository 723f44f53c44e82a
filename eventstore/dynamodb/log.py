"""The log on DynamoDB: a conditional put for each block, queries to read."""

from __future__ import annotations

import base64
import os
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from decimal import Decimal
from itertools import islice
from math import ceil
from typing import TYPE_CHECKING, Any, Final

from eventstore._arguments import check_flags, check_functions, check_text, check_whole
from eventstore.dynamodb.log_items import (
    NO_BLOCK,
    Last,
    LogItem,
    block_of,
    closed,
    entries_of,
    entries_text,
    is_closed,
    last_of,
    log_of,
)
from eventstore.dynamodb.requests import SlotsTaken, checked, send
from eventstore.dynamodb.schema.log import (
    BLOCK,
    BLOCK_UID,
    ENTRIES,
    LOG_ID,
    NEWEST,
    NO_TRANCHE,
    TRANCHE,
    TRANCHES,
)
from eventstore.errors import (
    BlockMissing,
    InvalidRange,
    MalformedBlock,
    PositionNotInLog,
    StoreUnavailable,
    TranchesChanged,
)
from eventstore.errors.store import write_in_doubt
from eventstore.events import Event
from eventstore.limits import LOG_LOOK_S, LOG_TRANCHES, LOG_TRANCHES_MAX
from eventstore.log.checks import check_block, check_closing, check_read, check_since
from eventstore.log.model import BlockPosition, LogEntry

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

_FREE: Final = f"attribute_not_exists({TRANCHE})"
_IF_FREE: Final[dict[str, Any]] = {
    "ConditionExpression": _FREE,
    "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
}
_BLOCK_NAME: Final = {"#block": BLOCK}  # a word that DynamoDB's expressions keep for themselves
_MAX_TRIES: Final = 20
_APPEND: Final = "append to the log"
_FIRST_BLOCKS: Final = 8


class DynamoDBEventLog:
    """An `EventLog` in a DynamoDB table, which `log_schema` describes.

    Args:
        client: boto3's DynamoDB client, best made with `client.dynamodb_client`.
        table_name: the log's table.
        rebuilds: it writes the blocks of a log that is being rebuilt, which is refused to others.
        random_bytes, jitter, sleep, monotonic: chance and time, to be replaced in tests.

    Raises:
        InvalidArgument, InvalidLimit, NotSynchronous: an argument that can't be used.

    How many tranches it has, the log itself says; one that isn't begun yet is begun with `LOG_TRANCHES`.

    Keep it as long as the process lives: it remembers each tranche's last block. What it remembers is
    forgotten when the log was rebuilt, which it notices within `LOG_LOOK_S`.

    Cost: which log it is, and how many tranches it has, is read once a process and again each 30 s in which
    it's asked or written, 1 query and 1 RCU; until the log is begun, each time again.
    """

    def __init__(
        self,
        *,
        client: DynamoDBClient,
        table_name: str,
        rebuilds: bool = False,
        random_bytes: Callable[[int], bytes] = os.urandom,
        jitter: Callable[[], float] = random.random,
        sleep: Callable[[float], None] = time.sleep,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        check_text(table_name, "table_name")
        check_flags(rebuilds=rebuilds)
        check_functions(random_bytes=random_bytes, jitter=jitter, sleep=sleep, monotonic=monotonic)
        self._client = checked(client, "put_item", "query")
        self._table_name = table_name
        self._told: int | None = None
        self._rebuilds = rebuilds
        self._random_bytes = random_bytes
        self._jitter = jitter
        self._sleep = sleep
        self._monotonic = monotonic
        self._begun: LogItem | None = None
        self._looked_at = 0.0
        self._forget()

    def _forget(self) -> None:
        self._last: dict[int, Last] = {}
        self._shared: set[int] = set()
        """The tranches in which another writer's block was met behind the last one of our own."""
        self._there: dict[int, int] = {}
        """The highest block of each tranche that was read: the tranche never ends before it."""

    def begin_with(self, tranches: int) -> None:
        """Begin the log with so many tranches: for the deployment that owns it, before its first block.

        Nobody else needs the number. The log keeps it, and each reader takes it from there.

        Args:
            tranches: from 1 to `LOG_TRANCHES_MAX`; so many workers can share a subscription.

        Raises:
            InvalidLimit: no such number.
            TranchesChanged: the log has another number. Where that isn't known yet, each later call raises
                it before anything is read or written.

        Cost: none; the first block records the number.
        """
        check_whole(tranches, "tranches", most=LOG_TRANCHES_MAX)
        if self._begun is not None and self._begun.tranches != tranches:
            raise TranchesChanged(begun_with=self._begun.tranches, given=tranches)
        self._told = tranches

    @property
    def tranches(self) -> int:
        """How many tranches it has; see `EventLog.tranches`."""
        begun = self._begun or self._look()
        return begun.tranches if begun else self._told or LOG_TRANCHES

    @property
    def log_id(self) -> str:
        """What tells it from every other log; see `EventLog.log_id`."""
        begun = self._look_again()
        return begun.log_id if begun else ""

    def append_block(self, tranche: int, events: Sequence[Event]) -> int:
        """Put a block of entries behind the last one of a tranche; see `EventLog.append_block`."""
        if self._begun is not None:
            self._look_again()
        number = (self._begun.tranches if self._begun else self._told) or self.tranches
        check_block(tranche, events, tranches=number)
        if self._begun is None:
            self._begin(number)
        self._refuse_while_rebuilt()
        uid = self._new_id()
        item: dict[str, Any] = {
            TRANCHE: {"N": str(tranche)},
            ENTRIES: {"S": entries_text(events)},
            BLOCK_UID: {"S": uid},
        }
        last = self._last_block(tranche)
        for attempt in range(_MAX_TRIES):
            # The one behind a block that was there leaves no gap: by this a lost block is known for one.
            block = item | {BLOCK: {"N": str(last.block + 1)}, **last.newest_with(events)}
            if self._put(block, uid):
                self._last[tranche] = last_of(block, tranche=tranche)
                return last.block + 1
            self._shared.add(tranche)
            self._sleep(min(0.2, 0.005 * 2**attempt) * self._jitter())
            with write_in_doubt(_APPEND):
                last = self._find_last(tranche)
        reason = f"other writers were first {_MAX_TRIES} times in tranche {tranche}"
        raise StoreUnavailable(operation=_APPEND, reason=reason)

    def read_tranche(
        self,
        tranche: int,
        *,
        after: BlockPosition | None = None,
        limit: int | None = None,
        consistent: bool = True,
    ) -> Iterator[LogEntry]:
        """Read the entries of a tranche in their order; see `EventLog.read_tranche`."""
        check_flags(consistent=consistent)
        place = check_read(tranche, after=after, limit=limit, tranches=self.tranches)
        read = self._entries if consistent else self._entries_lately
        return islice(read(tranche, place, limit), limit)

    def first_since(self, tranche: int, since_us: int) -> BlockPosition:
        """Find the first block that can hold an event of this time; see `EventLog.first_since`."""
        check_since(tranche, since_us, tranches=self.tranches)
        last = self._find_last(tranche)
        if _is_older(last, since_us):
            return BlockPosition(last.block + 1, 0)
        # Blocks up to `low` are older as a whole; the one at `high`, or behind it, isn't.
        low, high = 0, last.block
        while high - low > 1:
            middle = (low + high) // 2
            answer = self._query(tranche, from_block=middle, limit=1, names=f"#block, {NEWEST}")
            found = next((last_of(item, tranche=tranche) for item in answer["Items"]), last)
            low, high = (found.block, high) if _is_older(found, since_us) else (low, middle)
        return BlockPosition(max(1, high), 0)

    def _entries_lately(self, tranche: int, place: BlockPosition, limit: int | None) -> Iterator[LogEntry]:
        """Read what replicas have: where that isn't simply the next blocks, a strong read decides.

        A replica may lack what was written lately, and a query may go to several of them, where the tranche
        is on several partitions. So a block that isn't there may be there; one that is there stays.
        """
        given = 0
        with suppress(BlockMissing, MalformedBlock, PositionNotInLog):
            for entry in self._entries(tranche, place, limit, consistent=False):
                place, given = entry.position, given + 1
                yield entry
            return
        yield from self._entries(tranche, place, None if limit is None else limit - given)

    def _entries(
        self, tranche: int, place: BlockPosition, limit: int | None, *, consistent: bool = True
    ) -> Iterator[LogEntry]:
        number, behind, given = place.block, place.entries, 0
        blocks = None if limit is None else min(limit, _FIRST_BLOCKS)
        while True:
            answer = self._query(tranche, from_block=number, limit=blocks, consistent=consistent)
            first = number
            if answer["Items"]:
                # Rounded down: a key that is no block is told in its turn, behind the blocks before it.
                self._note(tranche, int(Decimal(answer["Items"][-1][BLOCK]["N"])))
            else:
                self._check_end(tranche, BlockPosition(number, behind))
            for item in answer["Items"]:
                there = block_of(item, tranche=tranche, at_least=number)
                if there > number:
                    if not consistent:
                        raise BlockMissing(tranche=tranche, block=number, next_block=there)
                    self._check_lost(tranche, number)
                    break
                entries = entries_of(tranche, number, item)
                if behind > len(entries) and is_closed(item):
                    behind = 0  # what was read of the lost block, and the rest, is logged again
                if behind > len(entries):
                    last = self._find_last(tranche).block
                    raise PositionNotInLog(tranche=tranche, block=number, entries=behind, last_block=last)
                yield from entries[behind:]
                given += len(entries) - behind
                number, behind = number + 1, 0
            else:
                if "LastEvaluatedKey" not in answer:
                    return
                if limit is not None:
                    # As many more blocks as it takes when they hold what these held.
                    blocks = max(1, ceil((limit - given) * (number - first) / max(given, 1)))

    def close_block(self, tranche: int, block: int) -> bool:
        """Close the place of a block that is gone; see `EventLog.close_block`."""
        check_closing(tranche, block, tranches=self.tranches)
        # Before the put: a later block was only begun where this one was there, so where it's free it's lost.
        last = self._find_last(tranche).block
        if last <= block:
            raise InvalidRange(
                "block",
                f"is {block}, and the tranche ends with {last}; only one with a later one behind it is lost",
            )
        before = NO_BLOCK
        if block > 1:
            answer = self._query(tranche, from_block=block - 1, limit=1, names=f"{TRANCHE}, #block, {NEWEST}")
            found = block_of(answer["Items"][0], tranche=tranche, at_least=block - 1)
            if found >= block:
                raise BlockMissing(tranche=tranche, block=block - 1, next_block=found)
            before = last_of(answer["Items"][0], tranche=tranche)
        item = {TRANCHE: {"N": str(tranche)}, BLOCK: {"N": str(block)}, **closed(before)}
        try:
            send(self._client.put_item, TableName=self._table_name, Item=item, **_IF_FREE)
        except SlotsTaken as taken:
            return is_closed(taken.items[0] or {})
        return True

    def _check_lost(self, tranche: int, number: int) -> None:
        """Refuse to go on where a block is lost, and not just put while a query went by its place."""
        item = self._query(tranche, from_block=number, limit=1, names=f"{TRANCHE}, #block")["Items"][0]
        there = block_of(item, tranche=tranche, at_least=number)
        if there > number:
            raise BlockMissing(tranche=tranche, block=number, next_block=there)

    def _last_block(self, tranche: int) -> Last:
        """Return the last block to put behind: our own where nobody else writes, else the one that's read.

        Where others write too, our own is mostly not the last, and a refused put costs five times a look.
        """
        own = self._last.get(tranche)
        if own is not None and tranche not in self._shared:
            return own
        last = self._find_last(tranche)
        if own is not None and last.block == own.block:
            self._shared.discard(tranche)
        return last

    def _note(self, tranche: int, block: int) -> None:
        self._there[tranche] = max(block, self._there.get(tranche, 0))

    def _check_end(self, tranche: int, place: BlockPosition) -> None:
        """Refuse a place that lies behind the tranche's end, when nothing was found from its block on."""
        if not place.entries and place.block - 1 <= self._there.get(tranche, 0):
            return
        last = self._find_last(tranche).block
        if place.rests_on > last:
            raise PositionNotInLog(tranche=tranche, block=place.block, entries=place.entries, last_block=last)
        self._note(tranche, last)

    def _query(
        self, tranche: int, *, from_block: int, limit: int | None, names: str = "", consistent: bool = True
    ) -> Any:
        request: dict[str, Any] = {
            "TableName": self._table_name,
            "KeyConditionExpression": f"{TRANCHE} = :tranche AND #block >= :block",
            "ExpressionAttributeNames": _BLOCK_NAME,
            "ExpressionAttributeValues": {
                ":tranche": {"N": str(tranche)},
                ":block": {"N": str(from_block)},
            },
            "ConsistentRead": consistent,
        }
        if limit is not None:
            request["Limit"] = limit
        if names:
            request["ProjectionExpression"] = names
        return send(self._client.query, **request)

    def _find_last(self, tranche: int) -> Last:
        answer = send(
            self._client.query,
            TableName=self._table_name,
            KeyConditionExpression=f"{TRANCHE} = :tranche",
            ExpressionAttributeValues={":tranche": {"N": str(tranche)}},
            ProjectionExpression=f"#block, {NEWEST}",
            ExpressionAttributeNames=_BLOCK_NAME,
            ScanIndexForward=False,
            Limit=1,
            ConsistentRead=True,
        )
        return next((last_of(item, tranche=tranche) for item in answer["Items"]), NO_BLOCK)

    def _put(self, item: dict[str, Any], uid: str) -> bool:
        """Put a block; tell whether it's there now, be it by an earlier try whose answer got lost."""
        try:
            send(
                self._client.put_item,
                TableName=self._table_name,
                Item=item,
                **_IF_FREE,
            )
        except SlotsTaken as taken:
            in_the_way = taken.items[0] or {}
            return bool(in_the_way.get(BLOCK_UID) == {"S": uid})
        return True

    def _look_again(self) -> LogItem | None:
        """Return which log it is, if it was begun: since it was looked at last, it may have been rebuilt.

        Else the numbers that are remembered of one log would be taken for those of another.
        """
        is_known = self._begun and self._monotonic() - self._looked_at < LOG_LOOK_S
        return self._begun if is_known else self._look()

    def _look(self) -> LogItem | None:
        """Read which log it is, if it was begun; refuse to go on with another number of tranches."""
        answer = send(
            self._client.query,
            TableName=self._table_name,
            KeyConditionExpression=f"{TRANCHE} = :tranche",
            ExpressionAttributeValues={":tranche": {"N": str(NO_TRANCHE)}},
            ConsistentRead=True,
        )
        for item in answer["Items"]:
            self._take(item)
        if not answer["Items"] and self._begun:  # it's deleted, to be rebuilt
            self._begun = None
            self._forget()
        return self._begun

    def _begin(self, tranches: int) -> None:
        """Return which log it is, the first time ever; else refuse another number of tranches."""
        item = {
            TRANCHE: {"N": str(NO_TRANCHE)},
            BLOCK: {"N": "0"},
            TRANCHES: {"N": str(tranches)},
            LOG_ID: {"S": self._new_id()},
        }
        log_of(item)  # what no reader could read isn't written
        try:
            send(self._client.put_item, TableName=self._table_name, Item=item, **_IF_FREE)
        except SlotsTaken as taken:
            there = self._take(taken.items[0] or {}, cause=taken)
            if there.tranches != tranches:
                raise TranchesChanged(begun_with=there.tranches, given=tranches) from taken
        else:
            self._take(item)

    def _refuse_while_rebuilt(self) -> None:
        """Write nothing between the blocks of a rebuild, before earlier events of the streams."""
        if self._rebuilds or self._begun is None or self._begun.rebuilt_us is None:
            return
        begun = self._look()  # what was read may be old
        if begun is None or begun.rebuilt_us is not None:
            reason = "the log is being rebuilt, and nobody else writes to it until that is done"
            # Named as the read that it is: nothing was written.
            raise StoreUnavailable(operation="read of the log's own item before an append", reason=reason)

    def _new_id(self) -> str:
        return base64.urlsafe_b64encode(self._random_bytes(12)).decode()

    def _take(self, item: Mapping[str, Any], *, cause: SlotsTaken | None = None) -> LogItem:
        begun = log_of(item, cause=cause)
        if self._told not in {None, begun.tranches}:
            raise TranchesChanged(begun_with=begun.tranches, given=self._told or 0) from cause
        if self._begun and self._begun.log_id != begun.log_id:
            self._forget()
        self._begun, self._looked_at = begun, self._monotonic()
        return begun


def _is_older(last: Last, since_us: int) -> bool:
    """Return whether all up to a block's end is known to be older."""
    return last.newest_us is not None and last.newest_us < since_us
