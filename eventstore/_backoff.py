"""How long to wait before the next try."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import Final

_MOST_DOUBLINGS: Final = 64
"""Longer than anybody waits, and still a number that a float can have."""


@dataclass(frozen=True, slots=True)
class Backoff:
    """Pauses that double from try to try.

    Chance shortens each of them: those who were refused together don't come back together.
    """

    first_s: float
    """The pause behind the first try."""
    longest_s: float = inf

    def pause_s(self, tries: int, *, jitter: float) -> float:
        """Return the seconds to wait behind so many tries that failed, at least 1.

        Args:
            jitter: which part of the pause, 0 to 1.
        """
        return min(self.longest_s, self.first_s * 2.0 ** min(tries - 1, _MOST_DOUBLINGS)) * jitter
