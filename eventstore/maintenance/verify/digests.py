"""Sums of digests over many small parts: two large sets are compared without holding either in memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, Self

_64_BIT: Final = (1 << 64) - 1
_WIDEST: Final = 64


@dataclass(frozen=True, slots=True, order=True)
class Part:
    """The members of a group whose place is in [first, end)."""

    group: int
    first: int
    end: int


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts in which two sets differ, all of one width."""

    shift: int
    numbers: frozenset[tuple[int, int]]
    """Group and number of each."""
    members: int
    """How many members they have on both sides."""
    least: int
    """So many members differ at least."""

    def __bool__(self) -> bool:
        """Whether there are any."""
        return bool(self.numbers)

    def __iter__(self) -> Iterator[Part]:
        """Yield them by group and place."""
        for group, number in sorted(self.numbers):
            yield Part(group, number << self.shift, number + 1 << self.shift)

    def have(self, group: int, place: int) -> bool:
        """Return whether a member belongs to one of them."""
        return (group, place >> self.shift) in self.numbers


class PartDigests:
    """Counts and sums the digests of members by part; addition has no order, so segments can be joined.

    A part is a group (a shard, a tranche) and 2**shift places of it (microseconds, hashes of stream ids).
    When there are more than `max_parts`, they are made twice as wide, so memory is bounded: 200 bytes each.
    """

    def __init__(self, *, max_parts: int, shift: int) -> None:
        self._max_parts = max_parts
        self._shift = shift
        self._sums: dict[tuple[int, int], tuple[int, int]] = {}

    def add(self, group: int, place: int, digest: int) -> None:
        """Count one member."""
        self._add((group, place >> self._shift), 1, digest)

    def join(self, other: PartDigests) -> None:
        """Count all that another has counted."""
        self._widen(other._shift)
        for (group, part), (count, total) in other._sums.items():
            # Counting can make the parts wider in between.
            self._add((group, part << other._shift >> self._shift), count, total)

    def differing(self, other: PartDigests) -> Parts:
        """Find the parts in which the two differ; both end up equally wide."""
        self._widen(other._shift)
        other._widen(self._shift)
        nothing = 0, 0
        counts = {}
        for key in self._sums.keys() | other._sums.keys():
            mine, others = self._sums.get(key, nothing), other._sums.get(key, nothing)
            if mine != others:
                counts[key] = mine[0], others[0]
        return Parts(
            shift=self._shift,
            numbers=frozenset(counts),
            members=sum(mine + others for mine, others in counts.values()),
            least=sum(abs(mine - others) for mine, others in counts.values()),
        )

    def to_json(self) -> dict[str, Any]:
        """Write it as plain values."""
        return {"shift": self._shift, "sums": [[*key, *sums] for key, sums in self._sums.items()]}

    @classmethod
    def from_json(cls, values: dict[str, Any], *, max_parts: int) -> Self:
        """Read what `to_json` wrote."""
        digests = cls(max_parts=max_parts, shift=values["shift"])
        digests._sums = {(group, part): (count, total) for group, part, count, total in values["sums"]}
        return digests

    def _add(self, key: tuple[int, int], count: int, total: int) -> None:
        known_count, known_total = self._sums.get(key, (0, 0))
        self._sums[key] = known_count + count, known_total + total & _64_BIT
        while len(self._sums) > self._max_parts and self._shift < _WIDEST:
            self._widen(self._shift + 1)

    def _widen(self, shift: int) -> None:
        if shift <= self._shift:
            return
        wider: dict[tuple[int, int], tuple[int, int]] = {}
        for (group, part), (count, total) in self._sums.items():
            key = group, part >> shift - self._shift
            known_count, known_total = wider.get(key, (0, 0))
            wider[key] = known_count + count, known_total + total & _64_BIT
        self._sums, self._shift = wider, shift
