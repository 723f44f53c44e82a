"""What a worker knows to be handled of the streams of a tranche, and from when on it would know."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Final

_MAX_RANGES: Final = 64
# An event written so long before the log where it stands was logged late: what follows it may stand before
# it. By less the log's order differs from that of the writes anyway, since batches are late.
_SLACK_US: Final = 600_000_000


class Known:
    """The EventIds of one stream that are known to be handled or passed over, as ranges."""

    __slots__ = ("is_settled", "last_us", "ranges")

    def __init__(self) -> None:
        self.ranges: list[tuple[int, int]] = []
        """First and last of each, rising and apart."""
        self.last_us = 0
        """When the last one was written."""
        self.is_settled = False
        """It's known that nothing before the last range is to be handled, but what the log still brings."""

    @property
    def last(self) -> int:
        """The highest EventId; 0 for none."""
        return self.ranges[-1][1] if self.ranges else 0

    @property
    def first(self) -> int:
        """Where the last range begins; 0 for none."""
        return self.ranges[-1][0] if self.ranges else 0

    def has(self, event_id: int) -> bool:
        """Return whether an event is known to be handled or passed over."""
        return any(first <= event_id <= last for first, last in reversed(self.ranges))

    def lowest_before(self, event_id: int) -> int:
        """Return from which EventId on all before this one are known; itself when not even the last is."""
        before = event_id - 1
        return next((first for first, last in self.ranges if first <= before <= last), event_id)

    def add(self, event_id: int, written_us: int = 0) -> None:
        """Note that an event is handled or passed over."""
        if event_id >= self.last:
            self.last_us = max(written_us, self.last_us)
        if self.ranges and event_id == self.last + 1:
            self.ranges[-1] = self.first, event_id
            return
        first = last = event_id
        apart = []
        for begin, end in self.ranges:
            if end + 1 < event_id or begin > event_id + 1:
                apart.append((begin, end))
            else:
                first, last = min(first, begin), max(last, end)
        self.ranges = sorted([*apart, (first, last)])[-_MAX_RANGES:]

    def unknown(self, first: int, end: int) -> list[range]:
        """Return the gaps among the EventIds from `first` to before `end`."""
        gaps = []
        for begin, last in self.ranges:
            if first < min(begin, end):
                gaps.append(range(first, min(begin, end)))
            first = max(first, last + 1)
        return [*gaps, range(first, end)] if first < end else gaps


class KnownStreams:
    """Remembers so many streams; what it forgets raises the horizon.

    Args:
        horizon_us: an event that's unknown and was written after this time is certainly not handled: it would
            be known. One written before may be, before the worker began to remember. It isn't the Timestamp
            that counts: an import's is of long ago, wherever it stands in the log.
    """

    def __init__(self, *, most: int, horizon_us: int) -> None:
        self._most = most
        self.horizon_us = horizon_us
        self._streams: OrderedDict[str, Known] = OrderedDict()

    def of(self, stream_id: str) -> Known:
        """Return what is known of a stream, to be added to."""
        return self._streams.get(stream_id) or Known()

    def note(self, stream_id: str, known: Known) -> None:
        """Remember what is known of a stream, and forget the one that was noted the longest ago."""
        self._streams[stream_id] = known
        self._streams.move_to_end(stream_id)
        if len(self._streams) > self._most:
            _, forgotten = self._streams.popitem(last=False)
            self.horizon_us = max(self.horizon_us, forgotten.last_us)

    def is_certain_behind(self, known: Known) -> bool:
        """Return whether a stream's events behind the last known one are known not to be handled."""
        return not self.horizon_us or known.last_us > self.horizon_us - _SLACK_US

    def first_unhandled(
        self, known: Known, event_id: int, written_us: int, *, is_due: Callable[[int], bool]
    ) -> int:
        """Return from which EventId on a stream's unknown events before this one are to be handled.

        Args:
            written_us: when the event was; those before it in its stream were before.
            is_due: looks whether an event of the stream was written after the horizon, and is asked for.
        """
        low = known.last + 1
        if not self.horizon_us:
            return low if known.is_settled else first_true(1, event_id, is_due)
        if not self.is_certain_behind(known):
            return first_true(low, event_id, is_due) if written_us > self.horizon_us else event_id
        if known.is_settled or known.first == 1 or known.last_us <= self.horizon_us:
            return low
        before = max((last for _, last in known.ranges[:-1]), default=0)
        below = first_true(before + 1, known.first, is_due)
        return below if below < known.first else low


def first_true(low: int, end: int, is_true: Callable[[int], bool]) -> int:
    """Return the lowest number from `low` on for which it's true, as it is for all above; `end` for none."""
    step = 1
    while low < end:
        looked_at = max(low, end - step)
        if is_true(looked_at):
            end, step = looked_at, 2 * step
            continue
        while end - looked_at > 1:
            middle = (looked_at + end) // 2
            if is_true(middle):
                end = middle
            else:
                looked_at = middle
        break
    return end
