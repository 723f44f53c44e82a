"""A log made anew from the table: the same blocks that a repair appends, for all events, by Timestamp."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Final

from eventstore._arguments import check_flags, check_functions, check_port
from eventstore.errors import LogInUse
from eventstore.events import Event
from eventstore.maintenance.verify.against_log import LogComparison

EVENTS_AT_ONCE: Final = 20_000
"""Events that are put in order and logged together (ours): some 7 blocks of 64 KB in each of 4 tranches."""


def rebuild(
    events: Iterable[Event],
    log: LogComparison,
    *,
    goes_on: bool,
    note: Callable[[int], object],
    logged: Callable[[int], object] = lambda _events: None,
) -> tuple[int, int]:
    """Log events one behind the other; return how many, in how many blocks.

    Each stream's entries are in its order, since its Timestamps rise. A run that goes on begins at the time
    that was noted last: at most `EVENTS_AT_ONCE` events then stand there twice, as readers expect.

    Args:
        events: by rising Timestamp.
        log: the log, to which nobody else writes.
        goes_on: an earlier run has begun it; else the log has no block.
        note: is called with the time up to which all are logged, in microseconds, exclusive.
        logged: is called with the number of events of each part that is logged.

    Raises:
        LogInUse: a block of somebody else is there. What is logged is no order of streams then.
        StoreUnavailable: run it again to go on.

    Memory: `EVENTS_AT_ONCE` events. Cost: of 1,000 events about 85 WCU; of each part 2 RCU for each tranche.
    """
    check_port(log, LogComparison, "log")
    check_flags(goes_on=goes_on)
    check_functions(note=note, logged=logged)
    last = {} if goes_on else dict.fromkeys(range(log.tranches), 0)
    count = blocks = 0
    for part in _parts(events, EVENTS_AT_ONCE):
        for tranche, block in log.append(part):
            if last.setdefault(tranche, block - 1) != block - 1:
                raise LogInUse(log_id=log.log_id)
            last[tranche] = block
            blocks += 1
        if any(log.has_more(tranche, behind=block) for tranche, block in last.items()):
            raise LogInUse(log_id=log.log_id)
        count += len(part)
        note(part[-1].timestamp_us)
        logged(len(part))
    return count, blocks


def _parts(events: Iterable[Event], most: int) -> Iterator[list[Event]]:
    left = iter(events)
    while part := list(islice(left, most)):
        yield part
