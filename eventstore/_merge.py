"""The k-way merge: many shards, each in time order, become one order of all events.

A chunk is all that lies before the horizon: the lowest Timestamp up to which every shard has been
read. Sorting a chunk is a merge of sorted runs (what Python's sort does best), and events of equal
Timestamps, inside a shard or across, always meet in one chunk.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from itertools import chain, compress, count, islice
from math import ceil, sqrt
from operator import attrgetter, eq
from typing import Protocol

from eventstore.events import Event
from eventstore.positions import Position

_timestamp = attrgetter("timestamp_us")
_position = attrgetter("timestamp_us", "stream_id", "event_id")


@dataclass(frozen=True, slots=True)
class ShardPage:
    """The next events of a shard, by Timestamp; `more` says that others may follow."""

    events: list[Event]
    more: bool


Fetched = Callable[[], ShardPage]
"""A page that has been fetched; call it to read it, once and before the next is fetched."""


class Shard(Protocol):
    """One shard of the time index, being read from its beginning."""

    def fetch(self, *, limit: int | None) -> Fetched:
        """Fetch the next page, on any thread: at most `limit` events, or as many as a page holds."""
        ...


Joining = Callable[[int | None], Sequence[Shard]]
"""Returns the shards that have joined; none of their events is older than the time that was reached (in
microseconds; None before the beginning).
"""


def merge(
    shards: Sequence[Shard],
    *,
    executor: Executor,
    after: Position | None = None,
    limit: int | None = None,
    joining: Joining = lambda _reached_us: (),
) -> Iterator[Event]:
    """Yield the events of all shards by (Timestamp, stream id, EventId), each once.

    Args:
        shards: each gives its events by rising Timestamp.
        executor: where pages are fetched side by side; they're read where the merge is, which is cheaper than
            to have the threads take turns (ADR 10).
        after: leave out everything up to this position.
        limit: stop behind so many events. Without one, the next page of every shard is fetched ahead;
            with one, each shard is asked for its share only.
        joining: asked each time that pages have come; what it returns is read as well from then on.

    Reads: with a limit about that many events; of a Timestamp that more events share, all of them, since
    their order is known only then. While nothing but such a Timestamp is met, each request asks for twice as
    many as the one before it.

    Memory: at most two pages a shard, one of them unread, plus the events of one equal Timestamp.
    """
    return islice(_merge(shards, executor, after, limit, joining), limit)


@dataclass(slots=True)
class _Source:
    shard: Shard
    events: list[Event] = field(default_factory=list)
    more: bool = True
    coming: Future[Fetched] | None = None

    def ask(self, executor: Executor, limit: int | None) -> None:
        if self.coming is None:
            self.coming = executor.submit(self.shard.fetch, limit=limit)

    def take_page(self) -> None:
        assert self.coming is not None
        page = self.coming.result()()
        self.coming = None
        self.events += page.events
        self.more = page.more

    def take_before(self, horizon_us: int | None) -> list[Event]:
        end = len(self.events) if horizon_us is None else bisect_left(self.events, horizon_us, key=_timestamp)
        taken, self.events = self.events[:end], self.events[end:]
        return taken


class _Timeline:
    """All shards side by side, each read up to the horizon or further."""

    def __init__(self, shards: Sequence[Shard], executor: Executor, joining: Joining) -> None:
        self._sources = [_Source(shard) for shard in shards]
        self._executor = executor
        self._joining = joining
        self._holding_back = self._sources
        self._times_as_many = 1
        self.horizon_us: int | None = None
        """No shard has an event below it that isn't at hand; None before the beginning, and at the end."""

    def refill(self, missing: int | None) -> None:
        """Read on in the shards that hold the horizon back, until it's known anew."""
        dry = self._holding_back
        while True:
            self._read(dry, missing)
            # After the pages have come: what they don't have, a shard that isn't known yet can't have either.
            self._sources = self._sources + [_Source(shard) for shard in self._joining(self.horizon_us)]
            open_sources = [source for source in self._sources if source.more]
            dry = [source for source in open_sources if not source.events]
            if not dry:
                break
        self.horizon_us = min((source.events[-1].timestamp_us for source in open_sources), default=None)
        self._holding_back = [
            source for source in open_sources if source.events[-1].timestamp_us == self.horizon_us
        ]

    def take(self) -> list[Event]:
        """Return what lies before the horizon, in order."""
        chunk = list(chain.from_iterable(source.take_before(self.horizon_us) for source in self._sources))
        self._times_as_many = 1 if chunk else 2 * self._times_as_many
        _sort(chunk)
        return chunk

    def _read(self, sources: Sequence[_Source], missing: int | None) -> None:
        active = sum(source.more for source in self._sources)
        for source in sources:
            source.ask(self._executor, _share(missing, active, self._times_as_many))
        for source in sources:
            source.take_page()
            if missing is None and source.more:
                source.ask(self._executor, None)


def _merge(
    shards: Sequence[Shard],
    executor: Executor,
    after: Position | None,
    limit: int | None,
    joining: Joining,
) -> Iterator[Event]:
    timeline = _Timeline(shards, executor, joining)
    missing = limit
    while True:
        timeline.refill(missing)
        chunk = _behind(after, timeline.take())
        yield from chunk
        if timeline.horizon_us is None:
            return
        if after is not None and timeline.horizon_us > after.timestamp_us:
            after = None
        if missing is not None:
            missing = max(1, missing - len(chunk))


def _behind(after: Position | None, chunk: list[Event]) -> list[Event]:
    return chunk if after is None else [event for event in chunk if event.position > after]


def _sort(chunk: list[Event]) -> None:
    """Sort by position: by Timestamp, which costs a third of comparing positions, and then the few ties."""
    chunk.sort(key=_timestamp)
    times = list(map(_timestamp, chunk))
    end = 0
    for first in compress(count(), map(eq, times, islice(times, 1, None))):
        if first >= end:
            end = bisect_right(times, times[first], lo=first)
            chunk[first:end] = sorted(chunk[first:end], key=_position)


def _share(missing: int | None, active: int, times_as_many: int) -> int | None:
    # Random shards: the share's standard deviation is about its root; two of them make a second
    # round rare, one event is for the look ahead at an equal Timestamp.
    if missing is None:
        return None
    share = ceil(missing / max(1, active))
    return times_as_many * (share + max(1, ceil(2 * sqrt(share)) - 1))
