"""What the desk does: each function is one command, done once however often it's sent."""

from __future__ import annotations

from datetime import date

from eventstore import EventStore, correlation, decide_over
from examples.lending.copies import Copy, CopyBought, CopyEvent, copies
from examples.lending.members import Member, MemberEvent, members


def buy(store: EventStore, copy: str, isbn: str, *, shelf: str, command: str) -> None:
    """Put a new copy on a shelf."""
    copies.transact(store, copy, lambda _: [CopyBought(isbn, shelf)], command_id=command)


def lend(store: EventStore, copy: str, member: str, *, due: date, command: str) -> int:
    """Lend a copy to a member; return how many copies that has now.

    Raises:
        NotOnTheShelf, HasEnough: nothing was changed.
    """

    def decide(book: Copy, reader: Member) -> tuple[list[CopyEvent], list[MemberEvent]]:
        return book.lend(member, due=due), reader.borrow(copy)

    with correlation(command):
        done = decide_over(store, (copies, copy), (members, member), decide=decide, command_id=command)
    reader: Member = done.parts[1].state
    return len(reader.copies)


def bring_back(store: EventStore, copy: str, *, command: str) -> bool:
    """Take a copy back; return whether somebody had it."""
    member = copies.load(store, copy).state.lent_to
    if not member:
        return False

    def decide(book: Copy, reader: Member) -> tuple[list[CopyEvent], list[MemberEvent]]:
        return book.bring_back(), reader.give_back(copy)

    done = decide_over(store, (copies, copy), (members, member), decide=decide, command_id=command)
    return bool(done.parts[0].events)
