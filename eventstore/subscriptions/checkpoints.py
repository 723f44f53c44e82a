"""What a subscription keeps: a lease with a checkpoint for each tranche, its workers, and parked events."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from eventstore.log import BlockPosition


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
    """Rises with each write: who sees it rest for long enough knows that the owner is gone."""


@dataclass(frozen=True, slots=True)
class Group:
    """The leases of a subscription by tranche, and its workers with the counters that they raise."""

    leases: Mapping[int, Lease]
    workers: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class ParkedEvent:
    """An event that a handler couldn't handle, put aside with the reason."""

    tranche: int
    stream_id: str
    event_id: int
    reason: str
    parked_at_us: int
    """Microseconds since 1970, UTC."""


class Checkpoints(Protocol):
    """Keeps the leases, workers and parked events of subscriptions, by the subscription's name.

    All methods raise `StoreUnavailable` when throttled or unreachable: the same again is harmless.
    """

    def read_group(self, subscription: str) -> Group:
        """Read all leases and workers, strongly consistent; empty for a name that was never begun.

        Cost (DynamoDB): 1 query, 1 RCU (4 KB hold some 30 leases and workers).
        """
        ...

    def begin(self, subscription: str, places: Sequence[BlockPosition]) -> None:
        """Make the free leases of a subscription, one a tranche at these places; those there stay.

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

    def renew(self, subscription: str, lease: Lease, *, place: BlockPosition) -> Lease:
        """Raise a lease's counter and store its checkpoint; returns the lease as it is now.

        Raises:
            LeaseLost: another worker has taken it; nothing was stored.

        Cost (DynamoDB): 1 request, 1 WCU.
        """
        ...

    def release(self, subscription: str, lease: Lease, *, place: BlockPosition) -> None:
        """Store the checkpoint a last time and free the lease; otherwise as `renew`."""
        ...

    def join(self, subscription: str, worker: str) -> None:
        """Raise a worker's counter, the first time making it known. Cost (DynamoDB): 1 request, 1 WCU."""
        ...

    def leave(self, subscription: str, worker: str, *, counter: int | None = None) -> None:
        """Forget a worker; with a counter only if that didn't change. Cost (DynamoDB): 1 request, 1 WCU."""
        ...

    def park(self, subscription: str, lease: Lease, parked: ParkedEvent) -> None:
        """Put an event aside, once however often it's done.

        Raises:
            LeaseLost: another worker has taken the lease; nothing was stored.

        Cost (DynamoDB): 1 transaction, 4 WCU.
        """
        ...

    def read_parked(self, subscription: str, *, tranche: int | None = None) -> Iterator[ParkedEvent]:
        """Read what is parked, of one tranche or all, strongly consistent; each stream in order.

        Cost (DynamoDB): 1 query for each 1 MB, 1 RCU for each 4 KB.
        """
        ...

    def unpark(self, subscription: str, parked: ParkedEvent) -> None:
        """Forget a parked event; nothing when it's gone. Cost (DynamoDB): 1 request, 1 WCU."""
        ...
