"""Read what comes next in the log, from all tranches."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import replace
from math import ceil

from eventstore._arguments import check_port, check_whole, shown
from eventstore.errors import InvalidPosition
from eventstore.limits import VERSION_MAX
from eventstore.log.checks import check_position, check_tranches
from eventstore.log.model import (
    BlockPosition,
    ClosedBlocks,
    LogEntry,
    LogPage,
    LogPosition,
    closed_before,
    is_place,
)
from eventstore.log.port import EventLog


def read_log(
    log: EventLog,
    *,
    after: LogPosition | None = None,
    limit: int = 1_000,
    tranches: Collection[int] | None = None,
) -> LogPage:
    """Read what comes next in the log, from every tranche its share.

    Each event's entry comes at least once, and some come twice: what feeds the log is delivered at least
    once. So the number of entries is not the number of events. Keep of each stream up to which EventId all
    is handled. An entry that isn't above it is a repeat; for one that is, read the stream from there up to
    it, since an entry can be missing, or come late, behind a later one. Nothing is dropped here: a page knows
    nothing of the pages before it. `eventstore.subscriptions` does all this for you.

    Args:
        after: go on behind this position; None for the beginning.
        limit: the number of entries to read at most; a page with fewer has reached the end of the log as it
            was at that moment.
        tranches: read only these; the position stays where it is in the others.

    Raises:
        InvalidArgument, InvalidPosition, InvalidLimit, InvalidRange: what is wrong and how to repair it.
        BlockMissing: a block is gone; whoever looks after the store closes it.
        PositionOfAnotherLog: `after` is of another log, or of this one before it was rebuilt.
        PositionNotInLog: `after` lies behind the log's end; see `EventLog.read_tranche`.
        TranchesChanged: the log was begun with another number of tranches than it's told.
        StoreUnavailable: throttled or unreachable; safe to try again.

    Consistency: strong in each tranche; see `EventLog.read_tranche`, also for the cost of each tranche.
    """
    check_port(log, EventLog, "log", only=("tranches", "log_id", "read_tranche"))
    check_whole(limit, "limit", most=VERSION_MAX)
    log_id = log.log_id
    number = log.tranches
    if tranches is not None:
        check_tranches(tranches, number=number)
    # Of a log that wasn't begun yet: how many tranches it would have wasn't known then.
    is_beginning = after is None or _checked(after).is_beginning
    if after is None or is_beginning:
        after = LogPosition.beginning(number)
    else:
        check_position(after, "after", log_id=log_id, tranches=number)
    position = replace(after, log_id=log_id)
    # Who is furthest behind comes first, so that a small page passes over no tranche for ever.
    unread = sorted(range(number), key=lambda tranche: position.places[tranche])
    if tranches is not None:
        unread = [tranche for tranche in unread if tranche in tranches]
    entries, position, closed = _read_on(log, position, unread, limit=limit)
    if entries and log.tranches != number:  # it was begun while it was read
        return read_log(log, after=after, limit=limit, tranches=tranches)
    return LogPage(tuple(entries), position, tuple(closed))


def _read_on(
    log: EventLog, position: LogPosition, unread: list[int], *, limit: int
) -> tuple[list[LogEntry], LogPosition, list[ClosedBlocks]]:
    """Read tranches from a position on, each its share and what the others leave over."""
    entries: list[LogEntry] = []
    closed: list[ClosedBlocks] = []
    while unread:
        share = ceil((limit - len(entries)) / len(unread))
        more = []
        for tranche in unread:
            wanted = min(share, limit - len(entries))
            if not wanted:
                break  # the page is full; nothing is unread for it
            page = list(log.read_tranche(tranche, after=position.places[tranche], limit=wanted))
            entries += page
            closed += _closed(position.places[tranche], page)
            if page:
                position = position.behind(page[-1])
            if len(page) == wanted:
                more.append(tranche)
        unread = more
    return entries, position, closed


def _closed(place: BlockPosition, entries: Iterable[LogEntry]) -> Iterator[ClosedBlocks]:
    """Return which blocks between a place and the entries behind it were lost, and are closed."""
    for entry in entries:
        if lost := closed_before(place, entry):
            yield lost
        place = entry.position


def _checked(after: object) -> LogPosition:
    if not isinstance(after, LogPosition):
        raise InvalidPosition("after", "has to be a LogPosition; make one of its text by LogPosition.parse")
    if (
        not isinstance(after.places, tuple)
        or not all(map(is_place, after.places))
        or not isinstance(after.log_id, str)
    ):
        raise InvalidPosition("after", f"is {shown(after)}; take a page's `position`")
    return after
