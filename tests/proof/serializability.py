"""Serializability over several streams: all appends together have one order, and time doesn't contradict it.

Each stream alone may be as it should be while two transactions stand crosswise: in one stream the first comes
before the second, in another one behind it. Then no order of the two explains what is there.
"""

from __future__ import annotations

import json
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise

from eventstore import Event
from tests.proof.history import History

Node = tuple[str, int]
"""An append by its number, or a moment by its place among all at which one was told to be done."""


def breaches_of_serializability(history: History, table: Mapping[str, Sequence[Event]]) -> Iterator[str]:
    """Look for a cycle in what must have come before what: by the places in each stream, and by time.

    Time counts where one append was told to be done before another one began. Reads have no part in it: a
    load may show one stream of a transaction while another stream's part isn't visible yet (ADR 1).
    """
    before: dict[Node, set[Node]] = defaultdict(set)
    numbers = {operation.number for operation in history.operations}
    for events in table.values():
        of = [json.loads(event.payload)["op"] for event in events]
        for earlier, later in pairwise(number for number in of if number in numbers):
            if earlier != later:
                before["append", later].add(("append", earlier))
    _put_in_time(before, history)
    try:
        TopologicalSorter(before).prepare()
    except CycleError as error:
        appends = [str(number) for kind, number in error.args[1][1:] if kind == "append"]
        yield f"cycle: appends {', '.join(appends)} each come before the next, and the last before the first"


def _put_in_time(before: dict[Node, set[Node]], history: History) -> None:
    """Put each append behind the last moment before it began at which another one was done."""
    done = {
        operation.number: operation.acknowledged.returned
        for operation in history.operations
        if operation.acknowledged and operation.acknowledged.returned is not None
    }
    moments = sorted(set(done.values()))
    for number, moment in done.items():
        before["moment", bisect_left(moments, moment)].add(("append", number))
    for place in range(1, len(moments)):
        before["moment", place].add(("moment", place - 1))
    for operation in history.operations:
        place = bisect_left(moments, operation.tries[0].invoked)
        if place:
            before["append", operation.number].add(("moment", place - 1))
