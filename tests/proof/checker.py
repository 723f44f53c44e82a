"""The checker: tells everything in a history that a store must not do. It knows nothing of how it works.

A breach begins with its kind: `lost`, `twice`, `torn` (part of an append), `version`, `conflict`, `stale` (a
read that doesn't see what it must, or sees what can't be there yet), `order`, `invented`, `changed`, `cycle`
(appends of several streams that no order explains). Those of subscriptions and replay jobs stand in
`consumer_checker`.

Of a stream's history it's linearizability: since a version is won once and an event never changes, it's
enough that each append's versions are the ones it expected, lie behind those of all appends that were
acknowledged before it began, and that each read and conflict shows a version that the stream can have had
between its two moments.
"""

from __future__ import annotations

import json
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise

from eventstore import Event, Head
from eventstore.errors import ExpectedVersionAhead, VersionConflict
from eventstore.store import Append, Appended, Expect, Expected
from tests.proof.history import Deliveries, History, Operation, Try
from tests.proof.serializability import breaches_of_serializability

Table = Mapping[str, Sequence[Event]]
"""Of each stream its events, as they stand in the table in the end."""
Place = tuple[int, int]


def breaches_of_appends(history: History, table: Table) -> list[str]:
    """Check appends, conflicts and reads against each other and the table."""
    return [
        *_table(table),
        *_appends(history, table),
        *_real_time(history, table),
        *_conflicts_and_reads(history, table),
        *_repeats(history),
        *breaches_of_serializability(history, table),
        *history.odd,
    ]


def breaches_of_deliveries(deliveries: Deliveries, table: Table, *, is_whole: bool = True) -> list[str]:
    """Check that a reader was given every event at least once, each stream in order by first delivery.

    Args:
        table: what it has to be given, and nothing else.
        is_whole: False for one that may end before all was given.
    """
    name = deliveries.name
    places = {
        (event.stream_id, event.event_id): place
        for events in table.values()
        for place, event in enumerate(events)
    }
    seen = dict.fromkeys(deliveries.addresses)
    found = [f"invented: {name} was given {address}" for address in seen if address not in places]
    if is_whole:
        found += [f"lost: {name} was never given {address}" for address in places if address not in seen]
    due: dict[str, int] = {}
    for stream_id, event_id in seen:
        place = places.get((stream_id, event_id))
        if place is None:
            continue
        if place != due.get(stream_id, 0):
            found.append(f"order: {name} was given {stream_id}/{event_id} out of turn")
        due[stream_id] = max(due.get(stream_id, 0), place + 1)
    return found


def breaches_of_tranche(tranche: int, read: Sequence[Place], persisted: Sequence[Place]) -> Iterator[str]:
    """Check that a reader of the log saw a tranche as it stands there in the end, nothing late or left out.

    Args:
        read: blocks and indexes of the entries that it was given, repeats included.
        persisted: those that are there.
    """
    if list(dict.fromkeys(read)) != list(persisted):
        yield f"order: tranche {tranche} was read otherwise than it stands there"


def _all(table: Table) -> Iterator[Event]:
    for events in table.values():
        yield from events


def _table(table: Table) -> Iterator[str]:
    for stream_id, events in table.items():
        if [event.event_id for event in events] != list(range(1, len(events) + 1)):
            yield f"version: {stream_id} has a gap"
        for one, other in pairwise(events):
            if one.timestamp_us >= other.timestamp_us:
                yield f"order: {stream_id}/{other.event_id} has a Timestamp that doesn't rise"


def _appends(history: History, table: Table) -> Iterator[str]:
    """Each acknowledged append is there once and whole, where it was told to be; others at most once."""
    there: dict[int, dict[str, list[Event]]] = defaultdict(lambda: defaultdict(list))
    for event in _all(table):
        there[json.loads(event.payload)["op"]][event.stream_id].append(event)
    for operation in history.operations:
        own = there.pop(operation.number, {})
        what = f"append {operation.number}"
        if any(try_.conflict for try_ in operation.tries) and own:
            yield f"conflict: {what} was told to be refused, and is there"
        if own and all(try_.unwritten for try_ in operation.tries):
            yield f"conflict: {what} was told that nothing was written, and is there"
        if operation.acknowledged and not own:
            yield f"lost: {what} was acknowledged and isn't there"
        elif own:
            for place, append in enumerate(operation.appends):
                expected = [append.expected, *(each[place].expected for each in operation.otherwise)]
                yield from _part(what, append, own.get(append.stream_id, []), expected)
        for try_ in operation.tries:
            for appended in try_.appended or ():
                yield from _as_told(what, appended, table)
    yield from (f"invented: append {number} was never made" for number in there)


def _part(what: str, append: Append, events: Sequence[Event], expected: Sequence[Expected]) -> Iterator[str]:
    stream_id, wanted = append.stream_id, [event.payload for event in append.events]
    found = [event.payload for event in events]
    if len(found) > len(set(found)):
        yield f"twice: {what} is in {stream_id} more than once"
    elif found != wanted:
        yield f"torn: {what} is in {stream_id} with {len(found)} of {len(wanted)} events"
    elif events[-1].event_id - events[0].event_id != len(events) - 1:
        yield f"torn: {what} has others between its events in {stream_id}"
    if events and not any(_is_met(one, events[0].event_id) for one in expected):
        wanted_at = " or ".join(map(_text, expected))
        yield f"version: {what} expected {stream_id} {wanted_at} and got {events[0].event_id}"


def _is_met(expected: Expected, first: int) -> bool:
    if isinstance(expected, Expect):
        return expected is Expect.ANY or first > 1
    return first == (expected.version if isinstance(expected, Head) else expected) + 1


def _text(expected: Expected) -> str:
    if expected is Expect.EXISTS:
        return "to exist"
    return f"at {expected.version if isinstance(expected, Head) else expected}"


def _as_told(what: str, appended: Appended, table: Table) -> Iterator[str]:
    events = table.get(appended.stream_id, ())
    first = appended.events[0].event_id
    if tuple(events[first - 1 : appended.version]) != appended.events:
        yield f"lost: {what} was told to be {appended.stream_id}/{first} ff., where others are"


class _Moments:
    """Of each stream: which version it had reached for sure, and which it can have had, at a moment."""

    def __init__(self, history: History, table: Table) -> None:
        sure: dict[str, list[tuple[int, int]]] = defaultdict(list)
        for operation in history.operations:
            for try_ in operation.tries:
                for appended in try_.appended or ():
                    sure[appended.stream_id].append((_end(try_), appended.version))
        for read in history.reads:
            sure[read.stream_id].append((read.returned, len(read.events)))
        self._sure = {stream_id: _rising(moments) for stream_id, moments in sure.items()}
        begun = {operation.number: operation.tries[0].invoked for operation in history.operations}
        self._begun = {
            stream_id: [begun.get(json.loads(event.payload)["op"], 0) for event in events]
            for stream_id, events in table.items()
        }

    def at_least(self, stream_id: str, moment: int) -> int:
        """Return the version that was reached before a moment: acknowledged, or seen by a read."""
        moments = self._sure.get(stream_id, [])
        place = bisect_left(moments, (moment, 0))
        return moments[place - 1][1] if place else 0

    def at_most(self, stream_id: str, moment: int) -> int:
        """Return the version that can have been reached at a moment: all appends up to it had begun."""
        version = 0
        for begun in self._begun.get(stream_id, ()):
            if begun > moment:
                break
            version += 1
        return version


def _rising(moments: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    result: list[tuple[int, int]] = []
    for moment, version in sorted(moments):
        result.append((moment, max(version, result[-1][1] if result else 0)))
    return result


def _end(try_: Try) -> int:
    assert try_.returned is not None
    return try_.returned


def _real_time(history: History, table: Table) -> Iterator[str]:
    moments = _Moments(history, table)
    for operation in history.operations:
        done = operation.acknowledged
        for appended in (done.appended or ()) if done else ():
            first = appended.events[0].event_id
            if first <= moments.at_least(appended.stream_id, operation.tries[0].invoked):
                yield (
                    f"version: append {operation.number} won {appended.stream_id}/{first}, "
                    "which was taken before it began"
                )


def _conflicts_and_reads(history: History, table: Table) -> Iterator[str]:
    moments = _Moments(history, table)
    for operation in history.operations:
        for try_ in operation.tries:
            if try_.conflict:
                yield from _conflict(operation, try_, try_.conflict, moments)
            if try_.refused:
                yield f"refused: append {operation.number} was told {try_.refused!r}"
    for read in history.reads:
        version, stream_id = len(read.events), read.stream_id
        if tuple(table.get(stream_id, ())[:version]) != read.events:
            yield f"changed: a read of {stream_id} saw other events than are there in the end"
        if version < moments.at_least(stream_id, read.invoked):
            yield f"stale: a read of {stream_id} saw {version}, below what was there before it began"
        if version > moments.at_most(stream_id, read.returned):
            yield f"stale: a read of {stream_id} saw {version}, which was appended after it"


def _conflict(operation: Operation, try_: Try, said: VersionConflict, moments: _Moments) -> Iterator[str]:
    stream_id, actual, expected = said.stream_id, said.actual, said.expected
    what = f"conflict: append {operation.number} was told that {stream_id} is at {actual}, not at {expected}"
    if not moments.at_least(stream_id, try_.invoked) <= actual <= moments.at_most(stream_id, _end(try_)):
        yield f"{what}, which it wasn't then"
    if isinstance(said, ExpectedVersionAhead):
        # The head is read after the event was found missing, so it may have come to be meanwhile.
        if isinstance(expected, int) and moments.at_least(stream_id, try_.invoked) >= expected:
            yield f"{what}, which was there"
    elif (isinstance(expected, int) and actual <= expected) or (expected == "exists" and actual):
        yield f"{what}, which is no conflict"


def _repeats(history: History) -> Iterator[str]:
    """Check what was told of appends that are known: all of each, or some of it."""
    for operation in history.operations:
        done = False
        for try_ in operation.tries:
            for appended in try_.appended or ():
                if done and not appended.repeated:
                    yield f"twice: append {operation.number}, which was done, was told to be appended anew"
            done = done or try_.appended is not None
    for one in history.known:
        right = "partly appended" if one.is_partly else "uid reused"
        if one.told is not None and (one.told, one.stored) != (right, one.known):
            yield (
                f"known: uids of append {one.number}, which are {one.known}, were given again, "
                f"and what was told is: {one.told}, {one.stored}"
            )
