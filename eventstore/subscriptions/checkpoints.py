"""What a subscription keeps: a lease with a checkpoint for each tranche, its workers, and parked events."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from eventstore.log.model import BlockPosition


@dataclass(frozen=True, slots=True)
class Start:
    """An event whose handling has begun, by how many workers, and hasn't ended.

    It's kept with the lease only when there's reason to: an error that ends the worker came out of the
    handler (such as SystemExit), or the tranche was taken over from a worker that hadn't freed it. So it's
    known whether one event ends each worker.
    """

    stream_id: str
    event_id: int
    count: int


@dataclass(frozen=True, slots=True)
class Lease:
    """Who reads a tranche for a subscription, and how far it is read."""

    tranche: int
    place: BlockPosition
    """The checkpoint: everything before it is handled, skipped or parked."""
    owner: str | None
    """A worker's id; None when it's free."""
    fence: int
    """Rises with each owner: what an earlier owner sends is refused by it."""
    counter: int
    """Rises with each write: where it stays the same for long enough, the owner is gone."""
    start: Start | None = None
    """The event behind the checkpoint that workers have begun to handle and not ended; None mostly."""
    horizon_us: int = 0
    """As `Turn.horizon_us`: an event that's younger, and in none of the blocks that are read back before the
    checkpoint, was never read."""
    since_us: int = 0
    """Older events aren't asked for; 0 for a subscription that began at the beginning."""
    log_id: str = ""
    """Of which log the place is: `EventLog.log_id`."""


@dataclass(frozen=True, slots=True)
class Group:
    """The leases of a subscription by tranche, and its workers with the counters that they raise."""

    leases: Mapping[int, Lease]
    workers: Mapping[str, int]
    tranches: int = 0
    """So many it was begun with, as its leases say; more than there are leases when some were deleted."""


@dataclass(frozen=True, slots=True)
class ParkedEvent:
    """An event that a handler couldn't handle, put aside with the reason."""

    tranche: int
    stream_id: str
    event_id: int
    reason: str
    parked_at_us: int
    """Microseconds since 1970, UTC."""
    traceback: str = ""
    """Of the handler's last error, its last 4,000 characters; "" where there was none."""


class Checkpoints(Protocol):  # pragma: no mutate block (`check_port` would ask for the mutants)
    """Keeps the leases, workers and parked events of subscriptions, by the subscription's name.

    All methods raise `StoreUnavailable` when throttled or unreachable: the same again is harmless. Those that
    read items raise `MalformedSubscriptionItem` where somebody has changed one: it says which.
    """

    def read_group(self, subscription: str) -> Group:
        """Read all leases and workers, strongly consistent; empty for a name that was never begun.

        Cost (DynamoDB): 1 query, 1 RCU (4 KB hold some 30 leases and workers).
        """
        ...

    def begin(
        self, subscription: str, places: Sequence[BlockPosition], *, since_us: int = 0, log_id: str = ""
    ) -> None:
        """Make the free leases of a subscription, one a tranche at these places; those there stay.

        So a lease that was deleted is made again.

        Args:
            since_us: kept with each new lease.
            log_id: of which log the places are.

        Raises:
            TranchesChanged: it was begun on a log with another number of tranches.

        Cost (DynamoDB): 1 request and 1 WCU for each tranche.
        """
        ...

    def take(self, subscription: str, lease: Lease, *, owner: str) -> Lease | None:
        """Make a worker the owner of a lease, under a higher fence, unless it changed since it was seen.

        Returns the lease as it is now; None when somebody was first.
        Cost (DynamoDB): 1 request, 1 WCU.
        """
        ...

    def renew(
        self,
        subscription: str,
        lease: Lease,
        *,
        place: BlockPosition,
        start: Start | None = None,
        horizon_us: int | None = None,
    ) -> Lease:
        """Raise a lease's counter and store its checkpoint; returns the lease as it is now.

        Args:
            start: kept with the lease until the next write; None forgets an earlier one.
            horizon_us: that of the place; None leaves it as it is.

        Raises:
            LeaseLost: it has another owner now, or none, or was deleted; nothing was stored.

        Cost (DynamoDB): 1 request, 1 WCU.
        """
        ...

    def release(
        self,
        subscription: str,
        lease: Lease,
        *,
        place: BlockPosition,
        start: Start | None = None,
        horizon_us: int | None = None,
    ) -> None:
        """Store the checkpoint a last time and free the lease; otherwise as `renew`."""
        ...

    def join(self, subscription: str, worker: str, *, session: str, is_first: bool) -> bool:
        """Raise a worker's counter, the first time making it known.

        Args:
            session: tells apart workers that have one id.
            is_first: the session is new, and takes the place of another one, perhaps of a worker that died.

        Returns:
            False when another session has taken this one's place since; nothing was stored then.

        Cost (DynamoDB): 1 request, 1 WCU.
        """
        ...

    def leave(self, subscription: str, worker: str, *, counter: int | None = None) -> None:
        """Forget a worker; with a counter only if that didn't change. Cost (DynamoDB): 1 request, 1 WCU."""
        ...

    def park(
        self, subscription: str, lease: Lease, parked: ParkedEvent, *, behind: int | None = None
    ) -> bool:
        """Put an event aside, once however often it's done.

        Args:
            behind: only while this event of its stream is parked. Who unparks that one and then reads what is
                parked so sees all that was parked behind it.

        Returns:
            False when `behind` isn't parked any more; nothing was stored then.

        Raises:
            LeaseLost: as for `renew`; nothing was stored.

        Cost (DynamoDB): 1 transaction, 2 WCU and 2 for each KB of the event's reason and traceback; the same
        again of the event it's parked behind.
        """
        ...

    def read_parked(
        self, subscription: str, *, tranche: int | None = None, stream_of: ParkedEvent | None = None
    ) -> Iterator[ParkedEvent]:
        """Read what is parked, of one tranche or all, strongly consistent; each stream in order.

        Args:
            stream_of: only what is parked of this event's stream, whatever else is parked.

        Cost (DynamoDB): 1 query for each 1 MB, 1 RCU for each 4 KB.
        """
        ...

    def unpark(self, subscription: str, parked: ParkedEvent) -> None:
        """Forget a parked event; nothing when it's gone. Cost (DynamoDB): 1 request, 1 WCU."""
        ...
