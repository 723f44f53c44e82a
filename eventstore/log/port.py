"""What a log does, wherever it is kept: the port."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from eventstore.events import Event
from eventstore.log.model import BlockPosition, LogEntry


class EventLog(Protocol):  # pragma: no mutate block (`check_port` would ask for the mutants)
    """The log of one store: blocks of entries in a fixed number of tranches."""

    @property
    def tranches(self) -> int:
        """How many tranches it has: fixed when its first block is written.

        Raises:
            TranchesChanged: it was begun with another number than it's told.
            StoreUnavailable: throttled or unreachable; safe to try again.

        Cost (DynamoDB): 1 query and 1 RCU, once a process; until its first block is there, each time.
        """
        ...

    @property
    def log_id(self) -> str:
        """What tells it from every other log, such as one that was rebuilt; "" until its first block.

        Positions and checkpoints carry it, and are refused by another one. Cost and raises: as `tranches`.
        """
        ...

    def append_block(self, tranche: int, events: Sequence[Event]) -> int:
        """Put a block of entries behind the last block of a tranche; return its number.

        Args:
            tranche: the tranche of all these events' streams (`tranche_of`).
            events: at least one, each stream's in order; only their address is kept.
                `entry_size_bytes` of all of them together stays below `LOG_BLOCK_MAX_BYTES`.

        Raises:
            StoreUnavailable: not known whether it was written; the same again may stand in the log twice,
                which readers expect.
            TranchesChanged: the log was begun with another number of tranches; nothing was written.

        Cost (DynamoDB): 1 request; 1 WCU a KB, which is about 12 entries. Where other writers put blocks into
        the tranche, too: 1 query before it (1 RCU each 4 KB of the last block). When another one was first:
        1 query more and the put again. In a process's first call 1 more to check the number of tranches
        (1 WCU), and for each tranche 1 query more (the last block: 1 RCU each 4 KB).
        """
        ...

    def read_tranche(
        self,
        tranche: int,
        *,
        after: BlockPosition | None = None,
        limit: int | None = None,
        consistent: bool = True,
    ) -> Iterator[LogEntry]:
        """Read the entries of a tranche in their order, as they're asked for.

        Args:
            after: go on behind this place; None for the beginning.
            limit: the number of entries to read at most; None for all.
            consistent: False for half the price: the newest blocks may be missing, mostly for some tens of
                milliseconds, also where an earlier read had them.

        Consistency: strong, so that every block is seen that was written before. With `consistent=False` the
        entries are the first ones of those: it may end earlier, but it passes over nothing. In both, none is
        seen that could be followed by an earlier one, and what is refused is refused by a strong read.

        Raises:
            InvalidRange, InvalidLimit: at once, before anything is read.
            TranchesChanged: at once; the log was begun with another number of tranches than it's told.
            BlockMissing: where a block is gone, behind the entries before it. A place inside of a block that
                was closed since is that behind it.
            PositionNotInLog: at the first entry; `after` lies behind the tranche's end, as after a restore.
                That's noticed as long as the log hasn't grown beyond it again; and, by a process that has
                read up to there itself, only when it's started anew: a block never disappears otherwise.
            StoreUnavailable: throttled or unreachable; safe to go on behind the last entry.

        Cost (DynamoDB): 1 query, and 1 RCU each 4 KB of blocks (about 50 entries); 1 RCU when nothing is
        new. With `consistent=False` half of both, and where the answer has a gap the strong read from there
        on. Many small blocks can take a second query. When nothing is new behind an `after` to which this
        process hasn't read itself, 1 query more for the tranche's last block (1 RCU each 4 KB): once.
        """
        ...

    def close_block(self, tranche: int, block: int) -> bool:
        """Put a closed block, without entries, at the place of one that is gone, so that reading goes on.

        Its events are lost for the log until they're logged again behind its end: `eventstore verify
        --repair` does both. A block that was never there, or is just being written, can't be closed: a later
        one is looked for first, and that was only put where this one was there. Of two who write at the place
        one is refused, so no block is overwritten.

        Returns:
            Whether the place is closed, by this call or before; False where a block with entries is there.

        Raises:
            InvalidRange: there's no such tranche or block, or no later one.
            BlockMissing: the block before is gone, too; close that first.
            StoreUnavailable: not known whether it was written; the same again is harmless.

        Cost (DynamoDB): 2 queries of one block (1 RCU each 4 KB) and 1 put, 1 WCU.
        """
        ...

    def first_since(self, tranche: int, since_us: int) -> BlockPosition:
        """Return a place in a tranche before every event of a time or younger, as near as blocks allow.

        Whatever was imported or logged late, no entry before it has this Timestamp or a higher one: each
        block says which was the highest up to its end. No clock is asked. Behind an event whose Timestamp
        was ahead the place is that event's block, until the time has come.

        Args:
            since_us: microseconds since 1970, UTC.

        Strongly consistent: an event that is logged later stands behind it, too.

        Raises:
            InvalidRange: there's no such tranche or time.
            TranchesChanged, StoreUnavailable: as `read_tranche`.

        Cost (DynamoDB): 1 query of one block (1 RCU each 4 KB), and where it isn't the last block as many
        more as the number of blocks can be halved: 20 for a million.
        """
        ...
