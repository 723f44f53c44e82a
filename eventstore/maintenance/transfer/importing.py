"""Import: the events of an export into a store, each at its own place with its own Timestamp.

The file is checked whole before anything is written. Then streams are written side by side, and of each
stream event n only after n - 1 is there. Nothing is ever overwritten: an event that is there identical is
passed over, so running an import again changes nothing; a different one ends its stream's import.
"""

from __future__ import annotations

import random
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol, TypeVar

from eventstore._arguments import check_flags, check_functions, check_port, check_texts, check_whole
from eventstore._backoff import Backoff
from eventstore._uids import uid_ahead_s
from eventstore.errors import BadExport, BadLine, MalformedItem, StoreNotEmpty, StoreUnavailable
from eventstore.events import Event
from eventstore.limits import BAD_LINES_TOLD, SHARDS_MAX, TIMESTAMP_MAX_US
from eventstore.maintenance.transfer.equal_times import EqualTimes
from eventstore.maintenance.transfer.lines import LastLine, LeftOut, Line, check_kind, order_fault, read_lines
from eventstore.maintenance.transfer.repeated_uids import RepeatedUids

WINDOW_EVENTS: Final = 10_000
WINDOW_BYTES: Final = 32 * 1_024 * 1_024
"""Events, and bytes, that are held in memory at once (ours)."""

_MAX_TRIES: Final = 6
_BACKOFF: Final = Backoff(0.2)

_CUT_OFF: Final = "the export's last line is missing: the file was cut off, or isn't read so far"

_T = TypeVar("_T")


class ImportTarget(Protocol):
    """A store that events are written into at their own places."""

    def is_empty(self) -> bool:
        """Return whether it has no event at all, strongly consistent; the store's own items are none.

        Cost: 1 request, 1 RCU.
        """
        ...

    def spread(self, write_shards: int | None = None) -> int:
        """Return over how many shards events may be spread now: as many as the store says.

        With a number, record that readers read so many; it is used a minute after it has risen, when every
        reader knows of it.

        Cost: 1 request and 1 RCU, once; 1 WCU more when the number rises.
        """
        ...

    def put(self, event: Event, *, shard: int) -> Event | MalformedItem | None:
        """Write an event at its place if that is free; else return what is there.

        Raises:
            StoreUnavailable: not known whether it was written; the same again is harmless.

        Cost: 1 request; 1 WCU for each KB and as much for the index.
        """
        ...

    def get(self, stream_id: str, event_id: int) -> Event | None:
        """Read one event, strongly consistent; None when it isn't there."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """What a file was found to hold."""

    events: int
    """To be imported."""
    streams: int
    settled_until: str
    left_out: LeftOut
    """What the export itself didn't write."""
    excepted: dict[str, int]
    """Of each stream that is not to be imported how many lines the file has."""


@dataclass(slots=True)
class Imported:
    """What became of events."""

    written: int = 0
    already_there: int = 0
    failed: int = 0
    """Not written: an event whose place holds another one, and all later ones of its stream."""
    reasons: list[str] = field(default_factory=list)
    """Why streams failed, one sentence each."""

    @property
    def events(self) -> int:
        """All of them."""
        return self.written + self.already_there + self.failed

    def add(self, other: Imported) -> None:
        """Count others too."""
        self.written += other.written
        self.already_there += other.already_there
        self.failed += other.failed
        self.reasons += other.reasons


def check_export(
    path: Path,
    *,
    whole_streams: bool,
    excepted: Collection[str] = (),
    latest_us: int = TIMESTAMP_MAX_US,
    equal_timestamps: bool = False,
    any_uids: bool = False,
    checked: Callable[[int], None] = lambda _events: None,
) -> Contents:
    """Read a file and check all of it: each line, each stream's order, the number of events, the checksum.

    Args:
        whole_streams: each stream has to begin with event 1, as into an empty store.
        excepted: streams that are not to be imported: whatever is wrong with their lines is passed over.
        latest_us: the highest Timestamp that can be: a later one was stamped by a wrong clock.
        equal_timestamps: any number of events may have one Timestamp, not only `EQUAL_TIMESTAMPS_MAX_KB`.
        any_uids: take uids that no append takes: a UUIDv7 that is more than `UID_SKEW_S` later than its
            event's Timestamp, and one that stands twice in a stream.
        checked: is told how many events were checked so far, each 1,000.

    Memory: one line, about 200 bytes a stream, 8 bytes an event (none with `any_uids`), and 1 MB.

    Raises:
        InvalidArgument, NotSynchronous: an argument that can't be used; nothing was read.
        InvalidInput: the file is a pipe, a socket or a device, which can be read only once; nothing was read.
        BadExport: with the first `BAD_LINES_TOLD` bad lines, by number and reason.
        OSError: it can't be read.
    """
    check_texts(excepted, "excepted")
    check_flags(whole_streams=whole_streams, equal_timestamps=equal_timestamps, any_uids=any_uids)
    check_functions(checked=checked)
    check_kind(path)
    check = _Check(
        whole_streams=whole_streams,
        excepted=dict.fromkeys(excepted, 0),
        latest_us=latest_us,
        times=None if equal_timestamps else EqualTimes(),
        uids=None if any_uids else RepeatedUids(),
    )
    for line in read_lines(path):
        check.add(line)
        if check.events % 1_000 == 0:
            checked(check.events)
    for bad in check.uids.lines(read_lines(path), excepted=check.excepted) if check.uids else ():
        check.refuse(bad.number, bad.reason, bad.stream_id)
    if check.end is None:
        check.bad_count += 1
        check.bad.append(BadLine(check.number + 1, _CUT_OFF))
    if check.bad_count or check.end is None:
        raise BadExport(path=path, lines=check.bad, count=check.bad_count)
    checked(check.events)
    return Contents(
        events=check.events,
        streams=len(check.last),
        settled_until=check.end.settled_until,
        left_out=check.end.left_out,
        excepted=check.excepted,
    )


@dataclass(slots=True)
class _Check:
    """What is known of a file between two lines."""

    whole_streams: bool
    excepted: dict[str, int]
    latest_us: int
    times: EqualTimes | None
    uids: RepeatedUids | None
    last: dict[str, tuple[int, int]] = field(default_factory=dict)
    """EventId and Timestamp of each stream's last event."""
    events: int = 0
    number: int = 0
    bad: list[BadLine] = field(default_factory=list)
    bad_count: int = 0
    end: LastLine | None = None

    def add(self, line: Line | BadLine | LastLine) -> None:
        self.number = line.number
        stream_id = _stream_of(line)
        if self.end is not None:
            self.refuse(line.number, "stands behind the export's last line", stream_id)
        elif isinstance(line, LastLine):
            self.end = line
            self.refuse(line.number, _last_line_fault(line, self.events + sum(self.excepted.values())))
        elif stream_id is not None and stream_id in self.excepted:
            self.excepted[stream_id] += 1
        elif isinstance(line, Line):
            self.events += 1
            self.refuse(line.number, self._event_fault(line.event), stream_id)
            if self.times:  # of no stream: to leave this one out would not help
                self.refuse(
                    line.number, self.times.fault(line.event.timestamp_us, size_bytes=line.size_bytes)
                )
        else:
            self.refuse(line.number, line.reason, stream_id)

    def refuse(self, number: int, fault: str | None, stream_id: str | None = None) -> None:
        if fault:
            self.bad_count += 1
            self.bad += [BadLine(number, fault, stream_id)] if self.bad_count <= BAD_LINES_TOLD else []

    def _event_fault(self, event: Event) -> str | None:
        fault = order_fault(event, behind=self.last.get(event.stream_id), whole_streams=self.whole_streams)
        self.last[event.stream_id] = event.event_id, event.timestamp_us
        if not fault and event.timestamp_us > self.latest_us:
            late_s = (event.timestamp_us - self.latest_us) / 1_000_000
            return f"timestampUs: {event.timestamp_us} is {late_s:,.0f} s later than can be"
        if not fault and self.uids:
            self.uids.add(event)
            uid_s = uid_ahead_s(event.uid, timestamp_us=event.timestamp_us)
            if uid_s:
                return (
                    f"eventUid: is a UUIDv7 of {uid_s:,.0f} s after its timestampUs, so that an append to "
                    "any or exists wouldn't find it, and write it again; give another UUID, or one of "
                    "that time, or import it with --any-uids"
                )
        return fault


def import_events(
    path: Path,
    target: ImportTarget,
    *,
    write_shards: int | None = None,
    into_existing: bool = False,
    excepted: Collection[str] = (),
    parallel: int = 16,
    random_shard: Callable[[int], int] = random.randrange,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[Imported]:
    """Write the events of a checked file; yield what became of each stream's events of each window.

    Args:
        path: a file that `check_export` has passed, with ``whole_streams=not into_existing`` and the same
            `excepted`.
        write_shards: over how many shards of the time index the events are spread; None for as many as the
            store says.
        into_existing: the store may have events.
        excepted: streams that are left out, as in `check_export`.
        parallel: streams that are written side by side.

    Raises:
        InvalidArgument, InvalidLimit, NotSynchronous: at once; an argument that can't be used.
        StoreNotEmpty: at once; nothing was written.
        StoreUnavailable: after several tries; run it again with `into_existing` to go on.

    Cost of 1,000 events of 1 KB: 1,000 requests, 1,000 WCU + 1,000 for the index. Memory: one window of the
    file, and the streams that failed.
    """
    check_texts(excepted, "excepted")
    check_flags(into_existing=into_existing)
    check_port(target, ImportTarget, "target")
    if write_shards is not None:
        check_whole(write_shards, "write_shards", most=SHARDS_MAX)
    check_whole(parallel, "parallel")
    check_functions(random_shard=random_shard, sleep=sleep)
    if not into_existing and not target.is_empty():
        raise StoreNotEmpty
    writer = _Writer(target, write_shards=write_shards, random_shard=random_shard, sleep=sleep)
    return _import(path, writer, frozenset(excepted), parallel=parallel)


def _import(path: Path, writer: _Writer, excepted: frozenset[str], *, parallel: int) -> Iterator[Imported]:
    failed: set[str] = set()
    executor = ThreadPoolExecutor(parallel, thread_name_prefix="import")
    try:
        for window in _windows(path, excepted):
            writing = {}
            for stream_id, lines in window.items():
                if stream_id in failed:
                    yield Imported(failed=len(lines))
                else:
                    writing[executor.submit(writer.write, lines)] = stream_id
            for future in as_completed(writing):
                imported = future.result()
                if imported.failed:
                    failed.add(writing[future])
                yield imported
    finally:
        executor.shutdown(cancel_futures=True)


class _Differs(Exception):
    pass


class _Writer:
    def __init__(
        self,
        target: ImportTarget,
        *,
        write_shards: int | None,
        random_shard: Callable[[int], int],
        sleep: Callable[[float], None],
    ) -> None:
        self._target = target
        self._write_shards = write_shards
        self._random_shard = random_shard
        self._sleep = sleep

    def write(self, lines: Sequence[Line]) -> Imported:
        """Write some events of one stream, in order."""
        imported = Imported()
        for line in lines:
            try:
                if line is lines[0] and line.event.event_id > 1:
                    self._check_before(line.event)
                if self._put(line.event):
                    imported.written += 1
                else:
                    imported.already_there += 1
            except _Differs as differs:
                imported.failed = len(lines) - imported.events
                reason = f"stream {line.event.stream_id!r} from line {line.number} on: {differs}"
                imported.reasons.append(reason)
                break
        return imported

    def _put(self, event: Event) -> bool:
        shard = self._random_shard(self._try(lambda: self._target.spread(self._write_shards)))
        there = self._try(lambda: self._target.put(event, shard=shard))
        if there is None:
            return True
        if there != event:
            what = (
                there.reason if isinstance(there, MalformedItem) else f"{there.name!r} with uid {there.uid}"
            )
            raise _Differs(f"the store has another event {event.event_id}, {what}; nothing is overwritten")
        return False

    def _check_before(self, event: Event) -> None:
        """Prove that an event leaves no gap behind it, nor a Timestamp that isn't lower."""
        before_id = event.event_id - 1
        try:
            before = self._try(lambda: self._target.get(event.stream_id, before_id))
        except MalformedItem as malformed:
            raise _Differs(str(malformed)) from malformed
        if before is None:
            raise _Differs(f"the store has no event {before_id}, so event {event.event_id} would leave a gap")
        if before.timestamp_us >= event.timestamp_us:
            times = f"{event.timestamp_us}, not higher than {before.timestamp_us}"
            raise _Differs(f"its Timestamp is {times}, that of the store's event {before_id}")

    def _try(self, operation: Callable[[], _T]) -> _T:
        for attempt in range(1, _MAX_TRIES):
            try:
                return operation()
            except StoreUnavailable:
                self._sleep(_BACKOFF.pause_s(attempt, jitter=1))
        return operation()


def _windows(path: Path, excepted: frozenset[str]) -> Iterator[dict[str, list[Line]]]:
    window: defaultdict[str, list[Line]] = defaultdict(list)
    events = size_bytes = 0
    for line in read_lines(path):
        if isinstance(line, LastLine):
            break
        if _stream_of(line) in excepted:
            continue
        if isinstance(line, BadLine):
            raise BadExport(path=path, lines=[line], count=1)
        window[line.event.stream_id].append(line)
        events += 1
        size_bytes += line.size_bytes
        if events == WINDOW_EVENTS or size_bytes >= WINDOW_BYTES:
            yield window
            window = defaultdict(list)
            events = size_bytes = 0
    yield window


def _stream_of(line: Line | BadLine | LastLine) -> str | None:
    match line:
        case Line():
            return line.event.stream_id
        case BadLine():
            return line.stream_id
    return None


def _last_line_fault(line: LastLine, events: int) -> str | None:
    if line.events != events:
        return f"says that the export has {line.events:,} events, the file has {events:,}"
    if line.sha256 != line.is_sha256:
        return f"says that the lines before it have the SHA-256 {line.sha256}, they have {line.is_sha256}"
    return None
