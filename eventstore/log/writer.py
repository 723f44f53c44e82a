"""Indexing: the records of the table's stream are put down in the log, each stream's events in their order.

What holds, and where it's done:

- Every event is logged at least once: what isn't known to be logged is reported, to be tried again.
- No event is first logged before an earlier one of its stream: a batch is put in order and filled up from the
  table (`publication_order`), and the blocks of a tranche are written one after the other, up to the first
  that fails.

docs/adr/0007-the-log.md has the reasons, and what they cost.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from eventstore._arguments import check_functions, check_port
from eventstore.errors import LogWritingStopped, MalformedItem, StoreUnavailable
from eventstore.events import Address, Event
from eventstore.limits import INDEX_RESERVE_S, LOG_BLOCK_MAX_BYTES, REORDER_WINDOW_S
from eventstore.log.model import entry_size_bytes, tranche_of
from eventstore.log.port import EventLog
from eventstore.ordering.delivered import DeliveredStreams
from eventstore.ordering.journal import Journal, NoJournal
from eventstore.ordering.stream_order import (
    ChangeRecord,
    Missing,
    Plan,
    StreamOrder,
    StreamReader,
    Trouble,
    window_us,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Logged:
    """What became of a batch."""

    logged: int
    """Events that were logged, those read back included."""
    blocks: int
    """Blocks that they were written in."""
    passed_over: tuple[MalformedItem, ...]
    """Items that are no events: they have no place in the log."""
    max_lag_us: int | None
    """The longest time from an event's Timestamp to its entry; None when none was logged."""
    stopped: LogWritingStopped | None
    """Set when a rest of the batch has to be tried again, from its sequence number on."""
    missing: tuple[Missing, ...] = ()
    """Events before the batch's that weren't logged by this process, and are deleted."""
    unjournaled: str | None = None
    """Why the journal wasn't read or written, if so: events may be logged twice."""


class LogWriter:
    """Logs batches of records; keep it as long as the process lives, for it remembers streams.

    Not for several threads at once. Several processes can feed one log, each with its own shards.

    Args:
        reader: reads events back from the table, strongly consistent.
        log: takes the blocks.
        journal: what all processes have logged lately; None where there's only this one.
        reorder_window_s: how long after a later record of one stream an earlier one may still come, by the
            times at which DynamoDB made them. 0 trusts the table's stream from batch to batch.
        clock_us: tells the time, to be replaced in tests.

    Raises:
        InvalidArgument, InvalidLimit, NotSynchronous: an argument that can't be used.
    """

    def __init__(
        self,
        *,
        reader: StreamReader,
        log: EventLog,
        journal: Journal | None = None,
        reorder_window_s: float = REORDER_WINDOW_S,
        clock_us: Callable[[], int] = lambda: time.time_ns() // 1_000,
    ) -> None:
        check_port(log, EventLog, "log", only=("tranches", "append_block"))
        check_functions(clock_us=clock_us)
        self._log = log
        self._clock_us = clock_us
        self._logged = DeliveredStreams()
        self._order = StreamOrder(
            reader=reader,
            published=self._logged,
            window_us=window_us(reorder_window_s),
            journal=NoJournal() if journal is None else journal,
            clock_us=clock_us,
        )

    def write(self, records: Sequence[ChangeRecord], *, remaining_time_s: Callable[[], float]) -> Logged:
        """Log a batch: one block for each tranche that its events are in, or more when they're large.

        Args:
            records: in the order of the table's stream, by rising sequence number.
            remaining_time_s: how long this may still take; the batch stops `INDEX_RESERVE_S` before.

        Returns:
            What became of the batch. When it stopped: at the lowest sequence number that isn't logged. A
            retry from there passes over what this process has already logged; another process logs it again,
            which readers of the log expect.

        Raises:
            TranchesChanged: nothing can be logged until the number of tranches is set back.

        Cost: 1 put for each tranche in the batch, 1 WCU for each KB. A batch of 100 events of
        different streams, in 4 tranches: 10 WCU, 0.098 an event (measured, ids of 42 characters). Reads:
        see `StreamOrder.plan`.
        """

        check_functions(remaining_time_s=remaining_time_s)

        def in_time() -> bool:
            return remaining_time_s() >= INDEX_RESERVE_S

        plan = self._order.plan(records, in_time=in_time)
        batch = _Batch(set(plan.done))
        trouble = plan.trouble
        blocks: Iterator[tuple[int, list[Event | MalformedItem]]] = iter(())
        try:
            blocks = _blocks(plan, tranches=self._log.tranches)
        except StoreUnavailable as error:
            trouble = _trouble_at_first(records, batch, str(error)) or trouble
        for tranche, block in blocks:
            failed = self._append(tranche, block, batch) if in_time() else "the function's time was up"
            if failed:
                trouble = Trouble(block[0].stream_id, block[0].event_id, failed)
                break
        unjournaled = self._order.journal({stream_id for stream_id, _ in batch.done - plan.done})
        return Logged(
            logged=batch.logged,
            blocks=batch.blocks,
            passed_over=tuple(batch.passed_over),
            max_lag_us=batch.max_lag_us,
            stopped=_stopped(records, batch, trouble) if trouble else None,
            missing=tuple(plan.missing),
            unjournaled=unjournaled or plan.unjournaled,
        )

    def _append(self, tranche: int, block: Sequence[Event | MalformedItem], batch: _Batch) -> str | None:
        """Write a block and remember it; return why it isn't known to be written, if so."""
        events = [one for one in block if isinstance(one, Event)]
        if events:
            try:
                self._log.append_block(tranche, events)
            except StoreUnavailable as error:
                return str(error)
            batch.blocks += 1
        for one in block:
            self._finish(one, batch)
        return None

    def _finish(self, one: Event | MalformedItem, batch: _Batch) -> None:
        batch.done.add((one.stream_id, one.event_id))
        # What precedes an item that is no event was not looked for: only behind a known one does it tell
        # that all before it is done.
        last = self._logged.last_before(one.stream_id, one.event_id)
        if isinstance(one, Event) or last == one.event_id - 1:
            self._logged.add(one.stream_id, one.event_id)
        if isinstance(one, MalformedItem):
            batch.passed_over.append(one)
        else:
            batch.logged += 1
            batch.max_lag_us = max(batch.max_lag_us or 0, self._clock_us() - one.timestamp_us)


@dataclass(slots=True)
class _Batch:
    done: set[Address]
    """Streams and events that were logged or passed over."""
    logged: int = 0
    blocks: int = 0
    passed_over: list[MalformedItem] = field(default_factory=list)
    max_lag_us: int | None = None


def _blocks(plan: Plan, *, tranches: int) -> Iterator[tuple[int, list[Event | MalformedItem]]]:
    """Cut what is to be logged into blocks: in the order of arrival, each stream's events in their own."""
    placed = [one for queue in plan.queues.values() for one in queue]
    of_tranche: dict[int, list[Event | MalformedItem]] = {}
    for one in sorted(placed, key=lambda one: one.place):  # stable: events at one place stay in order
        tranche = tranche_of(one.event.stream_id, tranches=tranches)
        of_tranche.setdefault(tranche, []).append(one.event)
    for tranche, events in sorted(of_tranche.items()):
        for block in _cut(events):
            yield tranche, block


def _cut(events: Iterable[Event | MalformedItem]) -> Iterator[list[Event | MalformedItem]]:
    block: list[Event | MalformedItem] = []
    size_bytes = 0
    for event in events:
        entry_bytes = entry_size_bytes(event) if isinstance(event, Event) else 0
        if block and size_bytes + entry_bytes > LOG_BLOCK_MAX_BYTES:
            yield block
            block, size_bytes = [], 0
        block.append(event)
        size_bytes += entry_bytes
    yield block


def _trouble_at_first(records: Sequence[ChangeRecord], batch: _Batch, reason: str) -> Trouble | None:
    undone = (record for record in records if (record.stream_id, record.event_id) not in batch.done)
    return next((Trouble(record.stream_id, record.event_id, reason) for record in undone), None)


def _stopped(records: Sequence[ChangeRecord], batch: _Batch, trouble: Trouble) -> LogWritingStopped:
    first = next(record for record in records if (record.stream_id, record.event_id) not in batch.done)
    return LogWritingStopped(
        sequence_number=first.sequence_number,
        stream_id=trouble.stream_id,
        event_id=trouble.event_id,
        reason=trouble.reason,
    )
