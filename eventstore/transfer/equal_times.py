"""Which Timestamps too many events of a file have, in bounded memory: Misra and Gries' frequent items."""

from __future__ import annotations

from typing import Final

from eventstore.limits import EQUAL_TIMESTAMPS_MAX

_COUNTERS: Final = 10_000
"""Timestamps that are counted at once (ours): some 1 MB."""


class EqualTimes:
    """Finds each Timestamp that too many events have; refuses none that fewer have.

    What it counts is never too high, and too low by one in `counters` + 1 of all events at most. So in a file
    of 100,000,000 it misses no Timestamp that more than 20,000 have, and none at all where there are not more
    Timestamps than counters.

    Args:
        limit: events that may have one Timestamp.
        counters: Timestamps that are counted at once.
    """

    def __init__(self, *, limit: int = EQUAL_TIMESTAMPS_MAX, counters: int = _COUNTERS) -> None:
        self._limit = limit
        self._counters = counters
        self._counts: dict[int, int] = {}
        self._found: set[int] = set()

    def fault(self, timestamp_us: int) -> str | None:
        """Count one event; return what is wrong, once for each Timestamp. Cost: constant on average."""
        counts = self._counts
        count = counts.get(timestamp_us, 0)
        if not count and len(counts) == self._counters:
            self._counts = {time_us: times - 1 for time_us, times in counts.items() if times > 1}
            return None
        counts[timestamp_us] = count + 1
        if count < self._limit or timestamp_us in self._found:
            return None
        self._found.add(timestamp_us)
        return (
            f"timestampUs: more than {self._limit:,} events have {timestamp_us}, and a page of all streams "
            "that meets one of them reads them all; give each its own microsecond, or import them as they "
            "are with --equal-timestamps"
        )
