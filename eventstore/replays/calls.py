"""The calls of a replay's step to its target: which entries go into the next one, and what became of each."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Collection, Sequence
from itertools import islice
from math import ceil
from typing import Protocol

from eventstore.delivery.cloudevents import Entry
from eventstore.delivery.publisher import Refusal
from eventstore.events import Address


class ReplayTarget(Protocol):
    """The one consumer of a replay."""

    max_entries: int
    """Entries of one call."""
    max_bytes: int
    """Bytes of all entries of one call, as `Entry.size_bytes` counts them; the call stays below it."""
    all_or_nothing: bool
    """A call is taken or refused as a whole, and its entries are seen in their order."""
    reserve_s: float
    """Seconds that one call takes at most."""

    def send(self, entries: Sequence[Entry]) -> Sequence[Refusal | None]:
        """Send entries; return for each, in their order, None or why it wasn't taken."""
        ...


class Sending:
    """The entries of a page on their way to the target."""

    def __init__(self, entries: Sequence[Entry], target: ReplayTarget) -> None:
        self.target = target
        self.queues: dict[str, deque[Entry]] = {}
        self._places = {address_of(entry): place for place, entry in enumerate(entries)}
        for entry in entries:
            self.queues.setdefault(entry.stream_id, deque()).append(entry)
        self._tries: Counter[Address] = Counter()
        self._refusals: dict[Address, str] = {}
        self.sent = 0

    @property
    def last_refusal(self) -> str:
        """Why the target didn't take what it refused last, of what it hasn't taken since; empty for none."""
        return next(reversed(self._refusals.values()), "")

    def send(self) -> tuple[bool, int, str] | None:
        """Make the next call; return what `refuse` says of the entry that is worst off, None for none."""
        call = self.next_call()
        refused: list[tuple[bool, int, str]] = []
        for entry, refusal in zip(call, self.target.send(call), strict=True):
            if refusal is None:
                self.finish(entry)
            else:
                refused.append(self.refuse(entry, refusal))
        return max(refused, default=None)

    def next_call(self) -> list[Entry]:
        """Choose the entries of the next call, within the target's limits.

        Of each stream its next event. The earliest of all comes first, so that each call that is taken moves
        the position, however few of them a step has time for; then those whose rest is as long as the calls
        that are left, which makes the fewest calls there can be. A target that is all or nothing gets what
        comes next.
        """
        if self.target.all_or_nothing:
            waiting = [entry for queue in self.queues.values() for entry in queue]
            return self._within_limits(sorted(waiting, key=self._place), skips=False)
        lengths = [len(queue) for queue in self.queues.values()]
        calls_left = max(ceil(sum(lengths) / self.target.max_entries), *lengths)
        earliest = min(self._place(queue[0]) for queue in self.queues.values())

        def urgency(queue: deque[Entry]) -> tuple[bool, bool, int]:
            place = self._place(queue[0])
            return place != earliest, len(queue) < calls_left, place

        by_urgency = sorted(self.queues.values(), key=urgency)
        call = self._within_limits([queue[0] for queue in by_urgency], skips=True)
        return sorted(call, key=self._place)

    def finish(self, entry: Entry) -> None:
        """Count an entry as taken; it's the next one of its stream."""
        queue = self.queues[entry.stream_id]
        queue.popleft()
        if not queue:
            del self.queues[entry.stream_id]
        self._refusals.pop(address_of(entry), None)
        self.sent += 1

    def refuse(self, entry: Entry, refusal: Refusal) -> tuple[bool, int, str]:
        """Take note that it hasn't; return whether it never will, how many times it has not, and why."""
        key = address_of(entry)
        self._tries[key] += 1
        why = f"event {entry.event_id} of stream {entry.stream_id!r} was not taken: {refusal.reason}"
        self._refusals.pop(key, None)
        self._refusals[key] = why
        return refusal.permanent, self._tries[key], why

    def undone(self) -> Collection[Address]:
        """Return the addresses of the entries that the target hasn't taken."""
        return {address_of(entry) for queue in self.queues.values() for entry in queue}

    def _within_limits(self, entries: Sequence[Entry], *, skips: bool) -> list[Entry]:
        call: list[Entry] = []
        size_bytes = 0
        for entry in entries:
            if size_bytes + entry.size_bytes < self.target.max_bytes:
                call.append(entry)
                size_bytes += entry.size_bytes
            elif not skips:
                break
        return list(islice(call, self.target.max_entries))

    def _place(self, entry: Entry) -> int:
        return self._places[address_of(entry)]


def address_of(entry: Entry) -> Address:
    """Return the address of the event that an entry is made of."""
    return entry.stream_id, entry.event_id
