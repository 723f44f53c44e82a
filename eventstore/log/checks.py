"""What every log checks before it writes or reads."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from eventstore._arguments import is_whole, shown
from eventstore.errors import InvalidArgument, InvalidPosition, InvalidRange, PositionOfAnotherLog
from eventstore.events import Event, check_limit
from eventstore.log.model import BEGINNING, BlockPosition, LogPosition, is_place, tranche_of


def check_block(tranche: int, events: Sequence[Event], *, tranches: int) -> None:
    """Check what every log needs of a block: a stream in a second tranche would lose its order.

    Raises:
        InvalidRange: there's no such tranche.
        InvalidArgument: there are no events, or one of another tranche.
    """
    check_tranche(tranche, tranches=tranches)
    if not isinstance(events, Sequence):
        kind = type(events).__name__
        raise InvalidArgument("events", f"has to be a list of Events in their order, not {kind}")
    if not events:
        raise InvalidArgument("events", "is empty; a block has at least one event")
    for event in events:
        own = tranche_of(event.stream_id, tranches=tranches)
        if own != tranche:
            raise InvalidArgument(
                "events", f"has stream {event.stream_id!r}, which lives in tranche {own}, not in {tranche}"
            )


def check_read(
    tranche: int, *, after: BlockPosition | None, limit: int | None, tranches: int
) -> BlockPosition:
    """Check what every log needs of a read; return the place to read from.

    Raises:
        InvalidRange, InvalidPosition, InvalidLimit: what is wrong and how to repair it.
    """
    check_tranche(tranche, tranches=tranches)
    if after is not None and not is_place(after):
        raise InvalidPosition("after", f"has to be a BlockPosition, not {shown(after)}; take an entry's")
    check_limit(limit)
    return after or BEGINNING


def check_since(tranche: int, since_us: int, *, tranches: int) -> None:
    """Check what every log needs to look for a time.

    Raises:
        InvalidRange: there's no such tranche, or no such time.
    """
    check_tranche(tranche, tranches=tranches)
    if not is_whole(since_us) or since_us < 0:
        raise InvalidRange("since_us", f"is {shown(since_us)}; it has to be microseconds since 1970")


def check_closing(tranche: int, block: int, *, tranches: int) -> None:
    """Check what every log needs to close a place.

    Raises:
        InvalidRange: there's no such tranche, or no such block.
    """
    check_tranche(tranche, tranches=tranches)
    if not is_whole(block) or block < 1:
        raise InvalidRange("block", f"is {shown(block)}; blocks are numbered from 1 on")


def check_position(position: LogPosition, field: str, *, log_id: str, tranches: int) -> None:
    """Check that a position is one of this log, or the beginning of one with as many tranches.

    Raises:
        PositionOfAnotherLog: it's of another log.
        InvalidPosition: it's of a log with another number of tranches.
    """
    if not position.is_beginning and position.log_id != log_id:
        raise PositionOfAnotherLog(given=position.log_id, log_id=log_id)
    if len(position.places) != tranches:
        raise InvalidPosition(field, f"is of a log with {len(position.places)} tranches, not {tranches}")


def check_tranches(given: Collection[int], *, number: int) -> None:
    """Check that a log of so many tranches has these.

    Raises:
        InvalidArgument, InvalidRange: it's no collection, or the log doesn't have one.
    """
    if not isinstance(given, Collection):
        raise InvalidArgument("tranches", f"is {shown(given)}; give a collection, such as [0]")
    for tranche in given:
        check_tranche(tranche, tranches=number)


def check_tranche(tranche: int, *, tranches: int) -> None:
    """Check that a log has a tranche.

    Raises:
        InvalidRange: it doesn't.
    """
    if not is_whole(tranche) or not 0 <= tranche < tranches:
        raise InvalidRange("tranche", f"is {shown(tranche)}; this log has 0 to {tranches - 1}")
