"""Which events have ended workers: what the leases tell of it, and what is given up for it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from eventstore.subscriptions.checkpoints import Lease, Start
from tests.proof.history import Attempt, Begun, Taken, Told
from tests.simulator.history import Address


class NotedStarts:
    """A worker's `Checkpoints`: notes the leases that it takes, and which event it has stored as begun."""

    def __init__(self, port: Any, worker: str, told: list[Told]) -> None:
        self._port, self._worker, self._told = port, worker, told
        self._found: dict[int, Start | None] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._port, name)

    def take(self, subscription: str, lease: Lease, *, owner: str) -> Lease | None:
        ours: Lease | None = self._port.take(subscription, lease, owner=owner)
        if ours:
            self._found[ours.tranche] = ours.start
            self._told.append(Taken(ours.tranche, ours.fence, ours.start))
        return ours

    def renew(self, subscription: str, lease: Lease, *, start: Start | None = None, **options: Any) -> Any:
        self._note(lease, start, is_freed=False)
        return self._port.renew(subscription, lease, start=start, **options)

    def release(self, subscription: str, lease: Lease, *, start: Start | None = None, **options: Any) -> None:
        self._note(lease, start, is_freed=True)
        self._port.release(subscription, lease, start=start, **options)

    def _note(self, lease: Lease, start: Start | None, *, is_freed: bool) -> None:
        """Note a start that isn't just what the owner has found."""
        if start and start != self._found[lease.tranche]:
            self._told.append(Begun(self._worker, lease.tranche, lease.fence, _address(start), is_freed))


class Ends:
    """Counts the workers that ended within an event, as `Terms.max_starts` promises.

    It's one if it has asked to store the event as begun, and the next one finds it stored. So a worker counts
    that was killed before it called the handler: nothing tells it from one that the event has killed.
    """

    def __init__(self, max_starts: int) -> None:
        self._max_starts = max_starts
        self._taken: dict[int, Taken] = {}
        self._begun: set[tuple[int, int, Address]] = set()
        self._ends: dict[int, tuple[Address, int]] = {}

    def given_up(self, told: Taken | Begun) -> Iterator[Address]:
        """Count the end that a lease tells who takes it; return the event that is to be given up now."""
        if isinstance(told, Begun):
            self._begun.add((told.tranche, told.fence, told.address))
            return
        tranche, before = told.tranche, self._taken.get(told.tranche, Taken(told.tranche, 0, None))
        self._taken[tranche] = told
        if told.start is None:
            self._ends.pop(tranche, None)
            return
        address = _address(told.start)
        known, ends = self._ends.get(tranche, (address, 0))
        if known != address:
            ends = 0
        if (tranche, before.fence, address) in self._begun:
            ends += told.start.count > _count(before.start, address)
        self._ends[tranche] = address, ends
        if ends >= self._max_starts:
            yield address


def breaches_of_starts(told: Sequence[Told]) -> Iterator[str]:
    """Check that no worker has freed a lease with an event as begun, unless it was ended by that event."""
    ended: set[tuple[str, Address]] = set()
    for one in told:
        if isinstance(one, Attempt) and one.ends_worker:
            ended.add((one.worker, one.address))
        elif isinstance(one, Begun) and one.is_freed and (one.worker, one.address) not in ended:
            stream_id, event_id = one.address
            yield f"start: {one.worker} has freed {stream_id}/{event_id} as begun, which didn't end it"


def _address(start: Start) -> Address:
    return start.stream_id, start.event_id


def _count(start: Start | None, address: Address) -> int:
    return start.count if start and _address(start) == address else 0
