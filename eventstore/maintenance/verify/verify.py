"""A whole verification: the table for itself, then against its time index, then against the log."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import IO, Final, Protocol

from eventstore._arguments import check_flags, check_functions, check_methods, check_port, check_whole
from eventstore.limits import SHARDS_MAX
from eventstore.maintenance.items import scan_side_by_side
from eventstore.maintenance.verify.against_log import LogComparison
from eventstore.maintenance.verify.checkpoints import Checkpoints
from eventstore.maintenance.verify.digests import PartDigests, Parts
from eventstore.maintenance.verify.findings import Finding, Repair
from eventstore.maintenance.verify.naming import Naming
from eventstore.maintenance.verify.segments import (
    HASH_SHIFT,
    TIME_SHIFT,
    Counts,
    Repairer,
    SegmentCheck,
    SegmentState,
    StoredEvents,
    whole,
)

RECHECK_S: Final = 5.0
"""Seconds before parts that differ are read again: what only lags isn't wrong."""

_THREADS: Final = 32
_NO_PARTS: Final = Parts(0, frozenset(), members=0, least=0)


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
        repairer: repairs index attributes.
        repair: repair what can be known; gaps and lost items are never invented.
        known: what was found before; it's written first.
        now_us: DynamoDB's time, by which Timestamps from the future are known.

    Raises:
        InvalidArgument, InvalidLimit, NotSynchronous: an argument that can't be used.

    Consistency: the table is read strongly consistent while writers go on; only what is older than the
    checkpoints' `settled_until_us` is compared with the index and the log, and what differs is read again.

    Memory: two pages (1 MB each) a segment, at most `naming.EVENTS_AT_ONCE` differing events, and the log's.

    Cost of 1,000 events of 1 KB: 250 RCU (the table) + 125 RCU (the index) + the log's; 1 request for each
    1 MB. What differs from the index or the log is named by 1 more scan (250 RCU) for each 100,000 differing
    events, and each of them by 1 or 2 queries. Each suspected gap: 1 query, and that of the rest of its
    stream.
    """

    def __init__(
        self,
        *,
        table: StoredEvents,
        log: LogComparison | None,
        checkpoints: Checkpoints,
        read_shards: int,
        segments: int,
        repairer: Repairer,
        repair: bool = False,
        known: Sequence[Finding] = (),
        now_us: Callable[[], int] = lambda: time.time_ns() // 1_000,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        check_port(table, StoredEvents, "table")
        if log is not None:
            check_port(log, LogComparison, "log")
        check_port(checkpoints, Checkpoints, "checkpoints")
        check_port(repairer, Repairer, "repairer")
        check_whole(read_shards, "read_shards", most=SHARDS_MAX)
        check_whole(segments, "segments")
        check_flags(repair=repair)
        check_functions(now_us=now_us, sleep=sleep)
        self._table = table
        self._log = log
        self._checkpoints = checkpoints
        self._read_shards = read_shards
        self._segments = segments
        self._repairer = repairer
        self._repair = repair
        self._known = tuple(known)
        self._now_us = now_us
        self._sleep = sleep
        self._settled_until_us = checkpoints.settled_until_us
        self._max_parts = max(4_096, 64 * read_shards)

    def run(self, output: IO[str], *, progress: Progress) -> Counts:
        """Verify everything; write the findings as NDJSON; return the counts.

        Raises:
            InvalidArgument, NotSynchronous: an argument that can't be used; nothing was read.
            StoreUnavailable: after all tries; run it again with the same folder to go on.
        """
        check_port(progress, Progress, "progress")
        check_methods(output, ("write", "flush"), "output", give="a file that is open for text")
        counts = Counts()
        for finding in self._known:
            output.write(finding.line())
            _tally(counts, finding)
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
            now_us=self._now_us,
            repairer=self._repairer,
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
        of_index, of_log = table_index.differing(index), _NO_PARTS
        if self._log:
            progress.phase("Comparing with the log")
            of_log = table_log.differing(
                self._log.digests(
                    streams=streams,
                    max_parts=self._max_parts,
                    settled_until_us=self._settled_until_us,
                    repair=self._repair,
                )
            )
            yield from self._log.blocks
        if of_index or of_log:
            progress.phase("Reading again what differs")
            self._sleep(RECHECK_S)
            yield from Naming(
                table=self._table,
                log=self._log,
                read_shards=self._read_shards,
                segments=self._segments,
                settled_until_us=self._settled_until_us,
                repair=self._repair,
                executor=executor,
                streams=streams,
            ).findings(of_index, of_log)

    def _digest_shard(self, shard: int) -> PartDigests:
        digests = PartDigests(max_parts=self._max_parts, shift=TIME_SHIFT)
        for item in self._table.read_index(shard, from_us=0, end_us=self._settled_until_us):
            time_us = whole(item.timestamp)
            if item.is_events and item.event_id >= 1 and time_us is not None:
                digests.add(shard, time_us, item.digest)
        return digests


def _tally(counts: Counts, finding: Finding) -> None:
    counts.findings += 1
    counts.repaired += finding.repair is Repair.DONE
    counts.repairable += finding.repair is Repair.POSSIBLE
