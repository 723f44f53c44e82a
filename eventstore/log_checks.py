"""What every log checks before it writes or reads."""

from __future__ import annotations

from collections.abc import Sequence

from eventstore.arguments import is_whole, shown
from eventstore.errors import InvalidArgument, InvalidPosition, InvalidRange
from eventstore.events import Event, check_limit
from eventstore.log import BEGINNING, BlockPosition, check_tranche, is_place, tranche_of


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
