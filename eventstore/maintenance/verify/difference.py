"""Which members two large sets differ in, by one pass over each and in little memory."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from typing import Final

_TABLES: Final = 3
_CELLS_A_MEMBER: Final = 1.5
CELLS_LEAST: Final = 12_288
"""So few that they cost nothing, so many that three cells of two members hardly ever meet."""
_FEW_CELLS: Final = 20


@dataclass(frozen=True, slots=True)
class Named:
    """The members in which two sets differ."""

    first: list[bytes]
    """Those that only the first set has."""
    second: list[bytes]
    """Those that only the second set has."""
    left_cells: int
    """Cells that didn't give their members back: 0 when all are named."""

    @property
    def is_whole(self) -> bool:
        """Whether all are named."""
        return not self.left_cells

    @property
    def is_nearly_whole(self) -> bool:
        """Whether all but a few are named: one was counted twice, or the cells of two have met."""
        return self.left_cells <= _FEW_CELLS


class Difference:
    """Names the members that only one of two sets has: an invertible Bloom lookup table.

    Each member stands in three cells, each of which keeps the count, the XOR of its members as numbers, and
    that of their hashes. The two sets count in opposite directions, so what both have leaves no trace. A cell
    with a single member left is that member; taken out of its other cells, it makes more of them single
    (Goodrich, Mitzenmacher: "Invertible Bloom Lookup Tables", 2011).

    Args:
        at_most: with so many differing members it names them all, but for a chance below 1 in 10,000.
        salt: chooses the cells; members that have met in theirs part company with another one.

    Memory: 1.5 cells for each of `at_most`, about 100 bytes and a member's own each.
    """

    def __init__(self, *, at_most: int, salt: int = 0) -> None:
        self._width = max(CELLS_LEAST, int(at_most * _CELLS_A_MEMBER)) // _TABLES
        cells = self._width * _TABLES
        self._counts = [0] * cells
        self._members = [0] * cells
        self._hashes = [0] * cells
        self._salt = salt.to_bytes(8, "big")

    def add_first(self, member: bytes) -> None:
        """Count a member of the first set."""
        self._add(_number(member), 1)

    def add_second(self, member: bytes) -> None:
        """Count a member of the second set."""
        self._add(_number(member), -1)

    def named(self) -> Named:
        """Name what differs; the table is empty then, but for what it couldn't name."""
        named: dict[int, list[bytes]] = {1: [], -1: []}
        single = [at for at, count in enumerate(self._counts) if count in named]
        while single:
            at = single.pop()
            count, number = self._counts[at], self._members[at]
            if count in named and number and self._hash(number) == self._hashes[at]:
                named[count].append(_member(number))
                single += self._add(number, -count)
        left = sum(map(any, zip(self._counts, self._members, self._hashes, strict=True)))
        return Named(named[1], named[-1], left)

    def _add(self, number: int, count: int) -> list[int]:
        """Count a member in its cells; return them."""
        hash_ = self._hash(number)
        rest, cells = hash_, []
        for table in range(_TABLES):
            rest, place = divmod(rest, self._width)
            at = table * self._width + place
            self._counts[at] += count
            self._members[at] ^= number
            self._hashes[at] ^= hash_
            cells.append(at)
        return cells

    def _hash(self, number: int) -> int:
        return int.from_bytes(blake2b(_member(number), digest_size=16, salt=self._salt).digest(), "big")


def _number(member: bytes) -> int:
    # A one before it keeps the zeros that it begins with.
    return int.from_bytes(b"\x01" + member, "big")


def _member(number: int) -> bytes:
    return number.to_bytes((number.bit_length() + 7) // 8, "big")[1:]
