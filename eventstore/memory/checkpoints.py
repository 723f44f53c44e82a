"""Subscriptions in memory: checkpoints and leases, and events' bodies, for tests."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from eventstore._arguments import check_port
from eventstore.errors import LeaseLost, MalformedItem, TranchesChanged
from eventstore.events import Event
from eventstore.log.model import BlockPosition
from eventstore.memory.locks import Locked
from eventstore.store import EventStore
from eventstore.subscriptions.checkpoints import Group, Lease, ParkedEvent, Start


@dataclass(slots=True)
class _Kept:
    leases: dict[int, Lease] = field(default_factory=dict)
    tranches: int = 0
    workers: dict[str, int] = field(default_factory=dict)
    sessions: dict[str, str] = field(default_factory=dict)
    parked: dict[tuple[str, int], ParkedEvent] = field(default_factory=dict)


class MemoryCheckpoints(Locked):
    """`Checkpoints` in this process; safe to use from several threads."""

    def __init__(self) -> None:
        super().__init__()
        self._kept: defaultdict[str, _Kept] = defaultdict(_Kept)

    def read_group(self, subscription: str) -> Group:
        """Read all leases and workers; see `Checkpoints.read_group`."""
        with self._lock:
            kept = self._kept[subscription]
            return Group(dict(kept.leases), dict(kept.workers), kept.tranches if kept.leases else 0)

    def begin(
        self, subscription: str, places: Sequence[BlockPosition], *, since_us: int = 0, log_id: str = ""
    ) -> None:
        """Make the free leases of a subscription; see `Checkpoints.begin`."""
        with self._lock:
            kept = self._kept[subscription]
            if kept.leases and kept.tranches != len(places):
                raise TranchesChanged(begun_with=kept.tranches, given=len(places))
            kept.tranches = len(places)
            for tranche, place in enumerate(places):
                lease = Lease(
                    tranche,
                    place,
                    None,
                    fence=0,
                    counter=0,
                    since_us=since_us,
                    log_id=log_id,
                )
                kept.leases.setdefault(tranche, lease)

    def take(self, subscription: str, lease: Lease, *, owner: str) -> Lease | None:
        """Make a worker the owner of a lease; see `Checkpoints.take`."""
        with self._lock:
            leases = self._kept[subscription].leases
            there = leases.get(lease.tranche)
            if there is None or (there.fence, there.counter) != (lease.fence, lease.counter):
                return None
            leases[lease.tranche] = replace(
                there, owner=owner, fence=there.fence + 1, counter=there.counter + 1
            )
            return leases[lease.tranche]

    def renew(
        self,
        subscription: str,
        lease: Lease,
        *,
        place: BlockPosition,
        start: Start | None = None,
        horizon_us: int | None = None,
    ) -> Lease:
        """Raise a lease's counter and store its checkpoint; see `Checkpoints.renew`."""
        with self._lock:
            there = self._fenced(subscription, lease)
            return self._move(subscription, there, place, start, horizon_us)

    def release(
        self,
        subscription: str,
        lease: Lease,
        *,
        place: BlockPosition,
        start: Start | None = None,
        horizon_us: int | None = None,
    ) -> None:
        """Store the checkpoint a last time and free the lease; see `Checkpoints.release`."""
        with self._lock:
            there = replace(self._fenced(subscription, lease), owner=None)
            self._move(subscription, there, place, start, horizon_us)

    def join(self, subscription: str, worker: str, *, session: str, is_first: bool) -> bool:
        """Raise a worker's counter; see `Checkpoints.join`."""
        with self._lock:
            kept = self._kept[subscription]
            if not is_first and kept.sessions.get(worker, session) != session:
                return False
            kept.workers[worker] = kept.workers.get(worker, 0) + 1
            kept.sessions[worker] = session
            return True

    def leave(self, subscription: str, worker: str, *, counter: int | None = None) -> None:
        """Forget a worker; see `Checkpoints.leave`."""
        with self._lock:
            kept = self._kept[subscription]
            if counter is None or kept.workers.get(worker) == counter:
                kept.workers.pop(worker, None)
                kept.sessions.pop(worker, None)

    def park(
        self, subscription: str, lease: Lease, parked: ParkedEvent, *, behind: int | None = None
    ) -> bool:
        """Put an event aside; see `Checkpoints.park`."""
        with self._lock:
            self._fenced(subscription, lease)
            there = self._kept[subscription].parked
            if behind is not None and (parked.stream_id, behind) not in there:
                return False
            there[parked.stream_id, parked.event_id] = parked
            return True

    def read_parked(
        self, subscription: str, *, tranche: int | None = None, stream_of: ParkedEvent | None = None
    ) -> Iterator[ParkedEvent]:
        """Read what is parked; see `Checkpoints.read_parked`."""
        with self._lock:
            parked = [of for _, of in sorted(self._kept[subscription].parked.items())]
        stream_id = stream_of.stream_id if stream_of else None
        return (of for of in parked if tranche in {None, of.tranche} and stream_id in {None, of.stream_id})

    def unpark(self, subscription: str, parked: ParkedEvent) -> None:
        """Forget a parked event; see `Checkpoints.unpark`."""
        with self._lock:
            self._kept[subscription].parked.pop((parked.stream_id, parked.event_id), None)

    def _move(
        self,
        subscription: str,
        lease: Lease,
        place: BlockPosition,
        start: Start | None,
        horizon_us: int | None,
    ) -> Lease:
        moved = replace(
            lease,
            place=place,
            counter=lease.counter + 1,
            start=start,
            horizon_us=lease.horizon_us if horizon_us is None else horizon_us,
        )
        self._kept[subscription].leases[lease.tranche] = moved
        return moved

    def _fenced(self, subscription: str, lease: Lease) -> Lease:
        there = self._kept[subscription].leases.get(lease.tranche)
        if there is None or (there.owner, there.fence) != (lease.owner, lease.fence):
            taken_by = (there.owner or "") if there else None
            raise LeaseLost(subscription=subscription, tranche=lease.tranche, taken_by=taken_by)
        return there


class MemoryEventBodies:
    """`EventBodies` of a store in memory."""

    def __init__(self, store: EventStore) -> None:
        check_port(store, EventStore, "store", only=("read_stream",))
        self._store = store

    def read_events(
        self, addresses: Sequence[tuple[str, int]]
    ) -> dict[tuple[str, int], Event | MalformedItem]:
        """Read events by their addresses; see `EventBodies.read_events`."""
        return {
            (stream_id, event_id): event
            for stream_id, event_id in addresses
            for event in self._store.read_stream(stream_id, from_version=event_id, to_version=event_id)
        }
