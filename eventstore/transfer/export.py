"""Export: the events of a store into one file, whole or not at all."""

from __future__ import annotations

import gzip
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from eventstore.errors import FileExists, MalformedItem
from eventstore.events import Event
from eventstore.stored_items import StoredItem, StoredItems, in_stream_order, scan_side_by_side
from eventstore.transfer.lines import event_line, last_line


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
    written: Callable[[int], None] = lambda _events: None,
) -> Exported:
    """Write events into a file, compressed with gzip; it appears under its name only when it's complete.

    Args:
        events: each stream's in order.
        settled_until, from_, to: what the events are, for the last line.
        written: is told how many events were written so far, each 1,000.

    Raises:
        FileExists: nothing was written. Whatever else happens, nothing is left under the file's name.
    """
    if path.exists():
        raise FileExists(path=path)
    part = path.with_name(f"{path.name}.part")
    digest, count, size_bytes = sha256(), 0, 0
    try:
        with part.open("wb") as file:
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
                    )
                )
            file.flush()
            os.fsync(file.fileno())
        # Unlike a rename, a link never replaces a file that has appeared meanwhile.
        try:
            path.hardlink_to(part)
        except FileExistsError as error:
            raise FileExists(path=path) from error
        except OSError:  # a file system without links
            if path.exists():
                raise FileExists(path=path) from None
            part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    written(count)
    return Exported(
        events=count, size_bytes=size_bytes, sha256=digest.hexdigest(), settled_until=settled_until
    )


def table_events(table: StoredItems, *, segments: int, settled_until_us: int) -> Iterator[Event]:
    """Read every event of the table that is older than `settled_until_us`: each stream in order.

    The streams stand in no order, those of several segments between each other.

    Raises:
        MalformedItem: at the first item that is not an event, or has no Timestamp: `verify` names them all.

    Consistency: strong. Every event that was written before the scan began and is older than
    `settled_until_us` is there, also one that its time index doesn't have (yet). Timestamps rise inside a
    stream, so what is left out is the end of a stream, never its middle.

    Cost: 250 RCU for 1,000 events of 1 KB, 1 request for each 1 MB. Memory: two pages (1 MB) a segment.
    """
    places = dict.fromkeys(range(segments), ("", 0))
    starts: dict[int, str | None] = dict.fromkeys(range(segments))
    with ThreadPoolExecutor(segments, thread_name_prefix="export") as executor:
        for segment, page in scan_side_by_side(table, executor=executor, starts=starts, segments=segments):
            for item in page.items:
                if item.is_events:
                    stream_id, version = places[segment]
                    if item.stream_id != stream_id:
                        version = 0
                    for found in in_stream_order(item, version=version, table=table):
                        event = _event(found)
                        version = event.event_id
                        if event.timestamp_us < settled_until_us:
                            yield event
                    places[segment] = item.stream_id, version


def _event(item: StoredItem) -> Event:
    if isinstance(item.event, MalformedItem):
        raise item.event
    if item.timestamp is None:
        reason = "it has no Timestamp; `verify --repair` gives it one where that is known"
        raise MalformedItem(stream_id=item.stream_id, event_id=item.event_id, reason=reason)
    return item.event
