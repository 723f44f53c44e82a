"""Appends a file of events over HTTP: in order inside each stream, side by side across streams, resumable.

An event's uid is made from its stream, its place there and its content, and every append expects the version
that the file implies. So a second run appends nothing, a longer file appends what is new, and a stream that
holds other events is left alone and reported.

Memory: one window of the file (10,000 events or 32 MB), about 150 bytes a stream, and the uids that the file
itself gives.
"""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path
from typing import Any, Final
from uuid import UUID, uuid5

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from eventstore.errors import BadLine
from eventstore.limits import TRANSACTION_MAX_EVENTS
from localcloud.api import Api, ApiError, event_text
from localcloud.events_file import BadFile, Line, check_file, read_lines
from localcloud.screen import CONSOLE, phase, say, say_error

WINDOW_EVENTS: Final = 10_000
WINDOW_BYTES: Final = 32 * 1_024 * 1_024
BATCH_BYTES: Final = 1_024 * 1_024
"""Bytes of one append (ours; a transaction takes 4 MB, a request 6 MB)."""

FAILED_STREAMS_TOLD: Final = 20

_UIDS: Final = UUID("5b1e9d0c-6d0c-5c39-9f6b-0e0a2f1f7c11")


@dataclass(slots=True)
class Loaded:
    """What became of events."""

    appended: int = 0
    already_there: int = 0
    failed: int = 0
    """Not stored: the events of an append that was refused, and all later ones of its stream."""
    reasons: list[str] = field(default_factory=list)
    """Why streams failed, one sentence each."""

    @property
    def events(self) -> int:
        """All of them."""
        return self.appended + self.already_there + self.failed

    def add(self, other: Loaded) -> None:
        """Count others too."""
        self.appended += other.appended
        self.already_there += other.already_there
        self.failed += other.failed
        self.reasons += other.reasons


@dataclass(frozen=True, slots=True)
class Placed:
    """An event of the file at its place in its stream."""

    place: int
    """Its EventId, when the stream holds the file's events and no others."""
    line: int
    uid: str
    text: str
    """The event as JSON text, as it is sent."""


def load_file(path: Path, *, url: str, parallel: int = 8) -> Loaded:
    """Check a file whole, then append its events; show progress and the counts at the end.

    Args:
        path: one JSON object a line: streamId, eventName, payload; occurredAt is kept in the metadata,
            eventUid is taken where it's given.
        url: the API.
        parallel: streams that are appended to side by side.

    Raises:
        BadFile: bad lines; nothing was sent.
    """
    with phase(f"Checking {path}", f"{path} is checked"):
        contents = check_file(path)
    say(f"{contents.events:,} events in {contents.streams:,} streams go to {url}")
    began_s = time.monotonic()
    with Api(url, connections=parallel) as api, _progress() as progress:
        bar = progress.add_task("Appending", total=contents.events)
        loaded = Loaded()
        for done in load_events(path, api=api, parallel=parallel):
            loaded.add(done)
            progress.advance(bar, done.events)
    _tell(loaded, streams=contents.streams, seconds=time.monotonic() - began_s)
    return loaded


def load_events(path: Path, *, api: Api, parallel: int) -> Iterator[Loaded]:
    """Append the events of a checked file; yield what became of each stream's events of each window."""
    places: defaultdict[str, int] = defaultdict(int)
    failed: set[str] = set()
    executor = ThreadPoolExecutor(parallel, thread_name_prefix="load")
    try:
        for window in _windows(path):
            appending = {}
            for stream_id, lines in window.items():
                events = _place(stream_id, lines, behind=places[stream_id])
                places[stream_id] += len(events)
                if stream_id in failed:
                    yield Loaded(failed=len(events))
                else:
                    appending[executor.submit(_append_all, api, stream_id, events)] = stream_id
            for future in as_completed(appending):
                loaded = future.result()
                if loaded.failed:
                    failed.add(appending[future])
                yield loaded
    finally:
        executor.shutdown(cancel_futures=True)


def event_uid(stream_id: str, place: int, line: Line) -> str:
    """Make the uid of a file's event: the same for the same stream, place and content."""
    event = line.event
    content = [stream_id, place, event.name, event.payload, event.metadata]
    return str(uuid5(_UIDS, json.dumps(content, ensure_ascii=False)))


class _Refused(RuntimeError):
    pass


def _windows(path: Path) -> Iterator[dict[str, list[Line]]]:
    window: defaultdict[str, list[Line]] = defaultdict(list)
    events = size_bytes = 0
    for line in read_lines(path):
        if isinstance(line, BadLine):
            raise BadFile(f"{path}:{line.number}: {line.reason}. The file was changed while it was loaded.")
        window[line.stream_id].append(line)
        events += 1
        size_bytes += len(line.event.payload)
        if events == WINDOW_EVENTS or size_bytes >= WINDOW_BYTES:
            yield window
            window = defaultdict(list)
            events = size_bytes = 0
    yield window


def _place(stream_id: str, lines: Sequence[Line], *, behind: int) -> list[Placed]:
    placed = []
    for place, line in enumerate(lines, start=behind + 1):
        event = line.event
        uid = event.uid or event_uid(stream_id, place, line)
        text = event_text(name=event.name, payload=event.payload, metadata=event.metadata, uid=uid)
        placed.append(Placed(place, line.number, uid, text))
    return placed


def _append_all(api: Api, stream_id: str, events: Sequence[Placed]) -> Loaded:
    loaded = Loaded()
    try:
        for batch in _batches(events):
            _append(api, stream_id, batch, loaded)
    except (ApiError, _Refused) as error:
        loaded.failed = len(events) - loaded.events
        at = events[-loaded.failed]
        loaded.reasons.append(f"stream {stream_id!r} from line {at.line} on: {error}")
    return loaded


def _batches(events: Sequence[Placed]) -> Iterator[Sequence[Placed]]:
    begin = size_bytes = 0
    for index, event in enumerate(events):
        event_bytes = len(event.text.encode())
        full = index - begin == TRANSACTION_MAX_EVENTS or size_bytes + event_bytes > BATCH_BYTES
        if full and index > begin:
            yield events[begin:index]
            begin, size_bytes = index, 0
        size_bytes += event_bytes
    yield events[begin:]


def _append(api: Api, stream_id: str, batch: Sequence[Placed], loaded: Loaded) -> None:
    while batch:
        answer = api.append(stream_id, expected=batch[0].place - 1, events=[event.text for event in batch])
        if not answer.is_conflict:
            if answer.replayed:
                loaded.already_there += len(batch)
            else:
                loaded.appended += len(batch)
            return
        there = _count_ours(api, stream_id, batch, version=_version_seen(answer.body))
        loaded.already_there += there
        batch = batch[there:]


def _version_seen(problem: dict[str, Any]) -> int:
    """Return a version of the stream that a conflict shows: its head, or its last event of this batch."""
    if "stored" in problem:
        return max(map(int, problem["stored"].values()))
    if "actual" in problem:
        return int(problem["actual"])
    raise _Refused(str(problem.get("detail", problem)))


def _count_ours(api: Api, stream_id: str, batch: Sequence[Placed], *, version: int) -> int:
    """Count the events at the beginning of a batch that the stream holds already: at least one."""
    first = batch[0].place
    if version < first:
        raise _Refused(f"it is at version {version}, so the file's event {first} would leave a gap")
    last = min(version, batch[-1].place)
    stored = api.read_stream(stream_id, **{"from": first, "to": last, "limit": last - first + 1})["events"]
    both = zip(batch, stored, strict=False)
    ours = sum(1 for _ in takewhile(lambda pair: pair[0].uid == pair[1]["eventUid"], both))
    if not ours:
        raise _Refused(
            f"it holds another event at version {first}, {stored[0]['eventName']!r} with uid "
            f"{stored[0]['eventUid']}. Nothing is overwritten: load into streams that hold no other events"
        )
    return ours


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("events"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=CONSOLE,
        disable=not CONSOLE.is_terminal,
    )


def _tell(loaded: Loaded, *, streams: int, seconds: float) -> None:
    for reason in loaded.reasons[:FAILED_STREAMS_TOLD]:
        say_error(reason)
    if len(loaded.reasons) > FAILED_STREAMS_TOLD:
        say_error(f"... and {len(loaded.reasons) - FAILED_STREAMS_TOLD:,} more streams")
    say(
        f"{loaded.appended:,} events appended, {loaded.already_there:,} already there, "
        f"{loaded.failed:,} failed; {streams:,} streams, {len(loaded.reasons):,} of them failed; "
        f"{seconds:.1f} s, {loaded.events / seconds:,.0f} events/s"
    )
    if loaded.appended >= WINDOW_EVENTS:
        say("Subscribers and GET /log may be behind after a load of this size; they catch up by themselves.")
    if loaded.failed:
        say_error("Loading again is harmless, and appends what is missing once the cause is repaired.")
