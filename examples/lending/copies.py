"""A copy of a book: it's on the shelf, or somebody has it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date
from typing import Any

from eventstore import Codec, Decider


@dataclass(frozen=True)
class CopyBought:
    isbn: str
    shelf: str


@dataclass(frozen=True)
class CopyLent:
    member: str
    due: date


@dataclass(frozen=True)
class CopyReturned:
    pass


CopyEvent = CopyBought | CopyLent | CopyReturned


class NotOnTheShelf(Exception):
    """Nobody can borrow it: it was never bought, or somebody has it."""


@dataclass(frozen=True)
class Copy:
    isbn: str = ""
    lent_to: str = ""

    def apply(self, event: CopyEvent) -> Copy:
        match event:
            case CopyBought(isbn=isbn):
                return replace(self, isbn=isbn)
            case CopyLent(member=member):
                return replace(self, lent_to=member)
            case CopyReturned():
                return replace(self, lent_to="")

    def lend(self, member: str, *, due: date) -> list[CopyEvent]:
        if not self.isbn or self.lent_to:
            raise NotOnTheShelf
        return [CopyLent(member, due)]

    def bring_back(self) -> list[CopyEvent]:
        return [CopyReturned()] if self.lent_to else []


def name_a_shelf(payload: dict[str, Any]) -> dict[str, Any]:
    """Make today's payload of an event that was stored before shelves had names."""
    return {**payload, "shelf": "unknown"}


codec: Codec[CopyEvent] = Codec(CopyBought, CopyLent, CopyReturned, upcasts={("CopyBought", 1): name_a_shelf})
copies = Decider(initial=Copy, evolve=Copy.apply, codec=codec)
