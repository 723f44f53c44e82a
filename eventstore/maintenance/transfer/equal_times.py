"""Which Timestamps too many events of a file have, in bounded memory: Misra and Gries' frequent items."""

from __future__ import annotations

from math import ceil
from typing import Final

from eventstore.limits import EQUAL_TIMESTAMPS_MAX_KB

_COUNTERS: Final = 10_000
"""Timestamps that are counted at once (ours): some 1 MB."""


class EqualTimes:
    """Finds each Timestamp whose events are too many to be read at once; refuses no other.

    An event counts as the KB of its line, rounded up. What is counted is never too high, and too low by one
    in `counters` + 1 of the file's KB at most. So in a file of 100,000,000 KB it misses no Timestamp that has
    more than 20,000, and none at all where there are not more Timestamps than counters.

    Args:
        limit_kb: what the events of one Timestamp may have together.
        counters: Timestamps that are counted at once.
    """

    def __init__(self, *, limit_kb: int = EQUAL_TIMESTAMPS_MAX_KB, counters: int = _COUNTERS) -> None:
        self._limit_kb = limit_kb
        self._counters = counters
        self._counts: dict[int, int] = {}
        self._found: set[int] = set()

    def fault(self, timestamp_us: int, *, size_bytes: int) -> str | None:
        """Count one event; return what is wrong, once for each Timestamp. Cost: constant a KB, on average."""
        size_kb = ceil(size_bytes / 1_024)
        while size_kb and timestamp_us not in self._counts and len(self._counts) == self._counters:
            self._counts = {time_us: kb - 1 for time_us, kb in self._counts.items() if kb > 1}
            size_kb -= 1
        if not size_kb:
            return None
        counted_kb = self._counts[timestamp_us] = self._counts.get(timestamp_us, 0) + size_kb
        if counted_kb <= self._limit_kb or timestamp_us in self._found:
            return None
        self._found.add(timestamp_us)
        return (
            f"timestampUs: the events that have {timestamp_us} are more than {self._limit_kb:,} KB, and a "
            "page of all streams that meets one of them reads them all; give each its own microsecond, or "
            "import them as they are with --equal-timestamps"
        )
