"""Which Timestamps too many events of a file have, in bounded memory (the frequent items of Misra and Gries)."""

from __future__ import annotations

from typing import Final

from eventstore.limits import EQUAL_TIMESTAMPS_MAX

_COUNTERS: Final = 10_000
"""Timestamps that are counted at once (ours): some 1 MB."""


class EqualTimes:
    """Counts events by their Timestamps; what it counts is never too high.

    It's too low by one `_COUNTERS`th of the events at most: of a file of 100,000,000 it misses no Timestamp
    that 20,000 have, of one that has 10,000 Timestamps or fewer it misses none at all.
    """

    def __init__(self) -> None:
        self._counts: dict[int, int] = {}
        self._found: set[int] = set()

    def fault(self, timestamp_us: int) -> str | None:
        """Count one event; return what is wrong, once for each Timestamp. Cost: constant on average."""
        counts = self._counts
        count = counts.get(timestamp_us, 0)
        if not count and len(counts) == _COUNTERS:
            self._counts = {time: times - 1 for time, times in counts.items() if times > 1}
            return None
        counts[timestamp_us] = count + 1
        if count < EQUAL_TIMESTAMPS_MAX or timestamp_us in self._found:
            return None
        self._found.add(timestamp_us)
        return (
            f"timestampUs: more than {EQUAL_TIMESTAMPS_MAX:,} events have {timestamp_us}, and each page of all "
            "streams that meets one of them reads them all; spread them by a microsecond an event (inside of "
            "each stream they rise), or import them so with --equal-timestamps"
        )
