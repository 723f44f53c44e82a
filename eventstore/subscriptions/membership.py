"""One worker's part in its group: which tranches it keeps, takes and gives up.

No two clocks are compared. A worker measures with its own monotonic clock for how long it has seen a lease's
counter rest. An owner raises the counter of each of its leases every sixth of the lease time; who sees one
rest for two thirds of it takes the lease. With a sixth for seeing the last rise, and a sixth until the next
look, a dead worker's tranches move within the lease time.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final, NamedTuple

from eventstore.errors import LeaseLost, WorkerIdInUse
from eventstore.log.model import BlockPosition
from eventstore.subscriptions.checkpoints import Checkpoints, Group, Lease, ParkedEvent, Start
from eventstore.subscriptions.identity import Identity

_LOGGER: Final = logging.getLogger("eventstore.subscriptions")


class Progress(NamedTuple):
    """How far a held tranche is handled, to be stored with its lease."""

    place: BlockPosition
    start: Start | None
    """The event that's begun there; of a lease that is freed, the one that has ended workers."""
    horizon_us: int


class Membership:
    """Keeps the leases of one worker.

    Args:
        session: this worker's, which tells it apart from another one of its id.
        begin: makes the leases of tranches that have none, and returns the group; called with what was read.
        lose: is called with a tranche whose lease was taken by another worker, or given up.
        progress: tells how far a held tranche is handled, to be stored; also with one that is freed.
    """

    def __init__(
        self,
        *,
        subscription: str,
        identity: Identity,
        checkpoints: Checkpoints,
        lease_s: float,
        monotonic: Callable[[], float],
        begin: Callable[[Group], Group],
        progress: Callable[[int, bool], Progress],
        lose: Callable[[int], object],
    ) -> None:
        self._subscription = subscription
        self._identity = identity
        self._checkpoints = checkpoints
        self._interval_s = lease_s / 6
        self._dead_after_s = lease_s * 2 / 3
        self._monotonic = monotonic
        self._begin = begin
        self._progress = progress
        self._lose = lose
        self._kept_at: float | None
        self._be_new()
        self._seen: dict[int | str, tuple[object, float]] = {}
        """Of each tranche and worker what was seen last, and since when."""
        self.leases: dict[int, Lease] = {}
        self.taken_over: set[int] = set()
        """Of them those whose last owner hadn't freed them: it may have died of an event."""

    @property
    def _worker(self) -> str:
        return self._identity.worker

    def due(self) -> bool:
        """Return whether it's time to `keep` again."""
        self._leave_to_parent()
        return self._kept_at is None or self._monotonic() - self._kept_at >= self._interval_s

    def keep(self) -> None:
        """Renew what is held, give up what is over the fair share, take what is missing.

        Raises:
            WorkerIdInUse: another worker has joined under this one's id since.

        Cost (DynamoDB), each sixth of the lease time: 1 WCU, 1 more for each held lease, and 1 RCU.
        """
        begun_at = self._monotonic()
        for tranche in list(self.leases):
            self.store(tranche)
        self._join()
        group = self._begin(self._checkpoints.read_group(self._subscription))
        now = self._monotonic()
        alive = self._alive_workers(group, now)
        share = _share(len(group.leases), alive, self._worker)
        for tranche in sorted(self.leases)[share:]:
            self.release(tranche)
        self._take(group, share, now)
        # Not before: after a failure it's due at once.
        self._kept_at = begun_at

    def renew(self) -> None:
        """Renew what is held, and nothing else: for as long as an event is handled.

        Cost (DynamoDB): 1 WCU, and 1 more for each held lease.
        """
        for tranche in list(self.leases):
            self.store(tranche)
        self._join()

    def store(self, tranche: int) -> bool:
        """Renew a lease and store its checkpoint; tell whether it's still held."""
        if self._leave_to_parent():
            return False
        try:
            self.leases[tranche] = self._checkpoints.renew(
                self._subscription, self.leases[tranche], **self._progress(tranche, False)._asdict()
            )
        except LeaseLost as lost:
            _LOGGER.warning(str(lost))
            self._drop(tranche)
            return False
        return True

    def park(self, parked: ParkedEvent, *, behind: int | None) -> bool | None:
        """Put an event aside; None when its tranche's lease was taken by another worker.

        Returns False when the event it's to be parked `behind` isn't parked any more.
        """
        if self._leave_to_parent():
            return None
        try:
            return self._checkpoints.park(
                self._subscription, self.leases[parked.tranche], parked, behind=behind
            )
        except LeaseLost as lost:
            _LOGGER.warning(str(lost))
            self._drop(parked.tranche)
            return None

    def release(self, tranche: int) -> None:
        """Store the checkpoint and free the lease; nothing is stored when it was taken meanwhile."""
        try:
            self._checkpoints.release(
                self._subscription, self.leases[tranche], **self._progress(tranche, True)._asdict()
            )
        except LeaseLost as lost:
            # Free already: by a first try whose answer got lost.
            if lost.taken_by != "":
                _LOGGER.warning(str(lost))
        self._drop(tranche)

    def leave(self) -> None:
        """Free every lease, with its checkpoint, and be forgotten; a forked child frees nothing."""
        if self._leave_to_parent():
            return
        for tranche in list(self.leases):
            self.release(tranche)
        if not self._is_replaced:  # else it's another worker that's known under this id
            self._checkpoints.leave(self._subscription, self._worker)
        self._be_new()

    def _be_new(self) -> None:
        """Be a worker that hasn't joined yet."""
        self._kept_at = None
        self._has_joined = self._is_replaced = False

    def _leave_to_parent(self) -> bool:
        """In a forked child, leave what's held to the parent and be another worker; tell whether so."""
        if not self._identity.is_inherited():
            return False
        for tranche in list(self.leases):
            self._drop(tranche)
        self._identity.take()
        self._seen.clear()
        self._be_new()
        return True

    def forget(self) -> None:
        """Hold nothing any more, without a word to anybody."""
        self.leases.clear()
        self.taken_over.clear()

    def _join(self) -> None:
        # At first another session's place is taken: that of a container, say, which was started again.
        if not self._checkpoints.join(
            self._subscription, self._worker, session=self._identity.session, is_first=not self._has_joined
        ):
            self._is_replaced = True
            raise WorkerIdInUse(subscription=self._subscription, worker=self._worker)
        self._has_joined = True

    def _take(self, group: Group, share: int, now: float) -> None:
        for tranche in self._in_our_order(group):
            lease = group.leases[tranche]
            rests = self._rests_s(tranche, (lease.fence, lease.counter), now)
            if len(self.leases) >= share or tranche in self.leases:
                continue
            # Our own but not held: the answer to our taking it got lost.
            if lease.owner in {None, self._worker} or rests >= self._dead_after_s:
                self._take_one(tranche, lease)

    def _take_one(self, tranche: int, lease: Lease) -> None:
        ours = self._checkpoints.take(self._subscription, lease, owner=self._worker)
        if ours:
            self.leases[tranche] = ours
            if lease.owner is not None:
                self.taken_over.add(tranche)

    def _in_our_order(self, group: Group) -> list[int]:
        """Begin at another tranche than the other workers, so that not all go for the same ones."""
        tranches = sorted(group.leases)
        first = sorted(group.workers).index(self._worker) if self._worker in group.workers else 0
        return tranches[first:] + tranches[:first]

    def _alive_workers(self, group: Group, now: float) -> set[str]:
        alive = {self._worker}
        for worker, counter in group.workers.items():
            if worker == self._worker:
                continue
            if self._rests_s(worker, counter, now) < self._dead_after_s:
                alive.add(worker)
            else:
                self._checkpoints.leave(self._subscription, worker, counter=counter)
        return alive

    def _rests_s(self, what: int | str, value: object, now: float) -> float:
        """Return for how long this worker has seen a value unchanged."""
        seen, since = self._seen.get(what, (None, now))
        if seen != value:
            since = now
            self._seen[what] = value, now
        return now - since

    def _drop(self, tranche: int) -> None:
        del self.leases[tranche]
        self.taken_over.discard(tranche)
        self._lose(tranche)


def _share(tranches: int, workers: set[str], worker: str) -> int:
    """Return how many tranches are this worker's part: all parts together are all tranches."""
    part, left_over = divmod(tranches, len(workers))
    return part + (sorted(workers).index(worker) < left_over)
