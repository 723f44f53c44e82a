"""A member of the library: may have three copies at a time."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from eventstore import Codec, Decider

MOST_COPIES: Final = 3


@dataclass(frozen=True)
class CopyBorrowed:
    copy: str


@dataclass(frozen=True)
class CopyGivenBack:
    copy: str


MemberEvent = CopyBorrowed | CopyGivenBack


class HasEnough(Exception):
    """The member has as many copies as a member may have."""


@dataclass(frozen=True)
class Member:
    copies: frozenset[str] = frozenset()

    def apply(self, event: MemberEvent) -> Member:
        if isinstance(event, CopyBorrowed):
            return replace(self, copies=self.copies | {event.copy})
        return replace(self, copies=self.copies - {event.copy})

    def borrow(self, copy: str) -> list[MemberEvent]:
        if len(self.copies) >= MOST_COPIES:
            raise HasEnough
        return [CopyBorrowed(copy)]

    def give_back(self, copy: str) -> list[MemberEvent]:
        return [CopyGivenBack(copy)] if copy in self.copies else []


codec: Codec[MemberEvent] = Codec(CopyBorrowed, CopyGivenBack)
members = Decider(initial=Member, evolve=Member.apply, codec=codec)
