"""Which uids stand twice in a stream of a file: by 8 bytes an event, and a second look at what they name."""

from __future__ import annotations

from array import array
from collections.abc import Collection, Iterable, Iterator
from itertools import islice
from typing import Final

from eventstore.errors import BadLine
from eventstore.events import Event
from eventstore.maintenance.transfer.lines import Line

_PARTS: Final = 256
_NAMED: Final = 10_000
"""Uids whose lines are looked up at most (ours): some 2 MB."""


class RepeatedUids:
    """Finds each uid that stands twice in one stream. Memory: 8 bytes an event."""

    def __init__(self) -> None:
        self._parts = [array("q") for _ in range(_PARTS)]

    def add(self, event: Event) -> None:
        """Note an event."""
        place = _place(event)
        self._parts[place % _PARTS].append(place)

    def lines(self, again: Iterable[object], *, excepted: Collection[str]) -> Iterator[BadLine]:
        """Yield the line of each event whose uid an earlier event of its stream has.

        Args:
            again: the lines of the file once more; read only where two events may have one uid.
            excepted: streams whose lines don't count.
        """
        twice = set(islice(self._repeated(), _NAMED))
        if not twice:
            return
        first: dict[tuple[str, str], int] = {}
        for line in again:
            if not isinstance(line, Line) or line.event.stream_id in excepted:
                continue
            event = line.event
            if _place(event) not in twice:
                continue
            event_id = first.setdefault((event.stream_id, event.uid), event.event_id)
            if event_id != event.event_id:
                reason = (
                    f"eventUid: {event.uid} is event {event_id} of stream {event.stream_id!r}, too, and "
                    "consumers know an event by it; give each its own, or import them with --any-uids"
                )
                yield BadLine(line.number, reason, event.stream_id)

    def _repeated(self) -> Iterator[int]:
        for part in self._parts:
            seen: set[int] = set()
            for place in part if len(set(part)) < len(part) else ():
                if place in seen:
                    yield place
                seen.add(place)


def _place(event: Event) -> int:
    return hash((event.stream_id, event.uid))
