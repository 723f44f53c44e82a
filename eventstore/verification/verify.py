"""A whole verification: the table for itself, then against its time index, then against the log."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import IO, Final, Protocol

from eventstore.stored_items import StoredItem, scan_side_by_side
from eventstore.verification.checkpoints import Checkpoints
from eventstore.verification.digests import Part, PartDigests, rounds
from eventstore.verification.findings import Finding, Kind, Repair
from eventstore.verification.log import Address, LogComparison, log_place
from eventstore.verification.segments import (
    HASH_SHIFT,
    TIME_SHIFT,
    Counts,
    Mender,
    SegmentCheck,
    SegmentState,
    StoredEvents,
    whole,
)

EVENTS_AT_ONCE: Final = 100_000
"""Members of differing parts that are held in memory at once, about 50 MB (ours)."""

RECHECK_S: Final = 5.0
"""Seconds before parts that differ are read again: what only lags isn't wrong."""

_THREADS: Final = 32


class Progress(Protocol):
    """Is told how a verification gets on."""

    def phase(self, name: str) -> None:
        """Another phase has begun."""
        ...

    def seen(self, items: int, findings: int) -> None:
        """So many more items were looked at, and so many findings made."""
        ...


class Verification:
    """Checks the store and says exactly what is wrong.

    Args:
        table: the events table.
        log: None leaves it out.
        checkpoints: where it stands; a run that was interrupted goes on with the pages that are left, and
            compares with the index and the log anew.
        read_shards: the shards of the time index that readers ask.
        segments: of the scan, read side by side.
        mender: mends index attributes.
        repair: mend what can be known; gaps and lost items are never invented.

    Consistency: the table is read strongly consistent while writers go on; only what is older than the
    checkpoints' `settled_until_us` is compared with the index and the log, and what differs is read again.

    Memory: two pages (1 MB each) a segment, at most `EVENTS_AT_ONCE` differing events, and the log's own.

    Cost of 1,000 events of 1 KB: 250 RCU (the table) + 125 RCU (the index) + the log's; 1 request for each
    1 MB. When something differs from the index or the log, 250 RCU more for each 100,000 differing events,
    to name them. Each suspected gap: 1 query, and that of the rest of its stream.
    """

    def __init__(
        self,
        *,
        table: StoredEvents,
        log: LogComparison | None,
        checkpoints: Checkpoints,
        read_shards: int,
        segments: int,
        mender: Mender,
        repair: bool = False,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._table = table
        self._log = log
        self._checkpoints = checkpoints
        self._read_shards = read_shards
        self._segments = segments
        self._mender = mender
        self._repair = repair
        self._sleep = sleep
        self._settled_until_us = checkpoints.settled_until_us
        self._max_parts = max(4_096, 64 * read_shards)

    def run(self, output: IO[str], *, progress: Progress) -> Counts:
        """Verify everything; write the findings as NDJSON; return the counts.

        Raises:
            StoreUnavailable: after all tries; run it again with the same folder to go on.
        """
        counts = Counts()
        with ThreadPoolExecutor(min(_THREADS, max(self._segments, self._read_shards))) as executor:
            progress.phase("Checking the table")
            states = self._check_table(executor, progress)
            for state in states:
                counts.add(state.counts)
            self._checkpoints.write_findings(self._segments, output)
            for finding in self._compare(states, counts.streams, executor, progress):
                output.write(finding.line())
                _tally(counts, finding)
        output.flush()
        self._checkpoints.remove()
        return counts

    def _check_table(self, executor: ThreadPoolExecutor, progress: Progress) -> list[SegmentState]:
        states = [
            self._checkpoints.load(segment, max_parts=self._max_parts) for segment in range(self._segments)
        ]
        checks = [self._segment_check(state) for state in states]
        for state in states:
            progress.seen(state.counts.events, state.counts.findings)
        starts = {segment: state.after for segment, state in enumerate(states) if not state.done}
        for segment, page in scan_side_by_side(
            self._table, executor=executor, starts=starts, segments=self._segments
        ):
            state = states[segment]
            findings = [finding for item in page.items for finding in checks[segment].check(item)]
            for finding in findings:
                _tally(state.counts, finding)
            state.after, state.done = page.after, page.after is None
            self._checkpoints.save(segment, state, findings)
            progress.seen(len(page.items), len(findings))
        return states

    def _segment_check(self, state: SegmentState) -> SegmentCheck:
        return SegmentCheck(
            table=self._table,
            state=state,
            read_shards=self._read_shards,
            settled_until_us=self._settled_until_us,
            mender=self._mender,
            repair=self._repair,
            tranches=self._log.tranches if self._log else 0,
        )

    def _compare(
        self, states: list[SegmentState], streams: int, executor: ThreadPoolExecutor, progress: Progress
    ) -> Iterator[Finding]:
        progress.phase("Comparing with the time index")
        index = PartDigests(max_parts=self._max_parts, shift=TIME_SHIFT)
        table_index = PartDigests(max_parts=self._max_parts, shift=TIME_SHIFT)
        table_log = PartDigests(max_parts=self._max_parts, shift=HASH_SHIFT)
        for state in states:
            table_index.join(state.index)
            table_log.join(state.log)
        for shard_digests in executor.map(self._digest_shard, range(self._read_shards)):
            index.join(shard_digests)
        of_index, of_log = table_index.differing(index), []
        if self._log:
            progress.phase("Comparing with the log")
            of_log = table_log.differing(
                self._log.digests(
                    streams=streams, max_parts=self._max_parts, settled_until_us=self._settled_until_us
                )
            )
        if of_index or of_log:
            progress.phase("Reading again what differs")
            self._sleep(RECHECK_S)
        for parts in rounds(of_index, at_once=EVENTS_AT_ONCE):
            yield from self._compare_index(parts, self._items(parts, executor, self._place_in_index))
        for parts in rounds(of_log, at_once=EVENTS_AT_ONCE):
            assert self._log is not None
            yield from self._log.compare(
                parts,
                self._items(parts, executor, self._place_in_log),
                settled_until_us=self._settled_until_us,
                repair=self._repair,
            )

    def _digest_shard(self, shard: int) -> PartDigests:
        digests = PartDigests(max_parts=self._max_parts, shift=TIME_SHIFT)
        for item in self._table.read_index(shard, from_us=0, end_us=self._settled_until_us):
            time_us = whole(item.timestamp)
            if item.is_events and item.event_id >= 1 and time_us is not None:
                digests.add(shard, time_us, item.digest)
        return digests

    def _items(
        self,
        parts: Sequence[Part],
        executor: ThreadPoolExecutor,
        place: Callable[[StoredItem], tuple[int, int] | None],
    ) -> dict[Address, StoredItem]:
        """Scan the table again for the items of some parts."""
        found = {}
        starts: dict[int, str | None] = dict.fromkeys(range(self._segments))
        for _, page in scan_side_by_side(
            self._table, executor=executor, starts=starts, segments=self._segments
        ):
            for item in page.items:
                at = place(item)
                if at and any(part.has(*at) for part in parts):
                    found[item.stream_id, item.event_id] = item
        return found

    def _compare_index(self, parts: Sequence[Part], items: dict[Address, StoredItem]) -> Iterator[Finding]:
        for part in parts:
            end_us = min(part.end, self._settled_until_us)
            for indexed in self._table.read_index(part.group, from_us=part.first, end_us=end_us):
                if indexed.is_events and indexed.event_id >= 1 and whole(indexed.timestamp) is not None:
                    item = items.pop((indexed.stream_id, indexed.event_id), None)
                    if item is None:
                        yield _found(Kind.ONLY_IN_INDEX, indexed, "is in the time index, not in the table")
                    elif item.digest != indexed.digest:
                        yield _found(Kind.INDEX_DIFFERS, item, "is in the time index with other attributes")
        for item in items.values():
            where = f"shard {item.shard} at {item.timestamp}"
            yield _found(Kind.MISSING_IN_INDEX, item, f"is in the table, not in the time index ({where})")

    def _place_in_index(self, item: StoredItem) -> tuple[int, int] | None:
        shard, time_us = whole(item.shard), whole(item.timestamp)
        if not item.is_events or item.event_id < 1 or shard is None or time_us is None:
            return None
        return (shard, time_us) if time_us < self._settled_until_us else None

    def _place_in_log(self, item: StoredItem) -> tuple[int, int] | None:
        assert self._log is not None
        return log_place(item, tranches=self._log.tranches, settled_until_us=self._settled_until_us)


def _tally(counts: Counts, finding: Finding) -> None:
    counts.findings += 1
    counts.repaired += finding.repair is Repair.DONE
    counts.repairable += finding.repair is Repair.POSSIBLE


def _found(kind: Kind, item: StoredItem, detail: str) -> Finding:
    return Finding(kind=kind, stream_id=item.stream_id, event_id=item.event_id, detail=detail)
