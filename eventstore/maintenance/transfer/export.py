"""Export: the events of a store into one file, whole or not at all."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import IO

from eventstore._arguments import check_functions
from eventstore.errors import InvalidArgument
from eventstore.events import Event
from eventstore.maintenance.transfer.files import new_file
from eventstore.maintenance.transfer.lines import LeftOut, event_line, last_line


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """What an export has written."""

    events: int
    size_bytes: int
    """Of the lines, uncompressed."""
    sha256: str
    settled_until: str


def export(
    events: Iterable[Event],
    path: Path,
    *,
    settled_until: str,
    from_: str | None = None,
    to: str | None = None,
    left_out: LeftOut | None = None,
    written: Callable[[int], None] = lambda _events: None,
) -> Exported:
    """Write events into a file, compressed with gzip; it appears under its name only when it's complete.

    Args:
        events: each stream's in order.
        settled_until, from_, to: what the events are, for the last line.
        left_out: what is not among the events, for the last line; it's read when they have ended.
        written: is told how many events were written so far, each 1,000.

    Raises:
        InvalidArgument, NotSynchronous: an argument that can't be used; nothing was written.
        FileExists: nothing was written. Whatever else happens, nothing is left under the file's name.
    """
    check_events(events)
    check_functions(written=written)
    with new_file(path) as file:
        return export_to(
            file,
            events,
            settled_until=settled_until,
            from_=from_,
            to=to,
            left_out=left_out,
            written=written,
        )


def export_to(
    file: IO[bytes],
    events: Iterable[Event],
    *,
    settled_until: str,
    from_: str | None = None,
    to: str | None = None,
    left_out: LeftOut | None = None,
    written: Callable[[int], None] = lambda _events: None,
) -> Exported:
    """Write events as `export` does, to a file that is open; without its last line it's not complete."""
    check_events(events)
    check_functions(written=written)
    digest, count, size_bytes = sha256(), 0, 0
    with gzip.GzipFile(filename="", fileobj=file, mode="wb", compresslevel=6, mtime=0) as lines:
        for event in events:
            line = event_line(event)
            digest.update(line)
            lines.write(line)
            count += 1
            size_bytes += len(line)
            if count % 1_000 == 0:
                written(count)
        lines.write(
            last_line(
                events=count,
                sha256_hex=digest.hexdigest(),
                from_=from_,
                to=to,
                settled_until=settled_until,
                left_out=left_out,
            )
        )
    written(count)
    return Exported(
        events=count, size_bytes=size_bytes, sha256=digest.hexdigest(), settled_until=settled_until
    )


def check_events(events: object) -> None:
    """Check that events can be read one by one, also by an `AllEvents`. Raises InvalidArgument."""
    if not isinstance(events, Iterable):
        kind = type(events).__name__
        raise InvalidArgument("events", f"is of type {kind}, which can't be iterated over; give an iterable")
