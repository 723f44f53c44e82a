"""The tranches that a worker holds: begun with the log, kept by their leases, each as far as it's handled."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime
from typing import Final

from eventstore.errors import PositionOfAnotherLog, SubscriptionNotFound, TranchesChanged
from eventstore.log.port import EventLog
from eventstore.subscriptions.checkpoints import Checkpoints, Group
from eventstore.subscriptions.held import Held
from eventstore.subscriptions.identity import Identity
from eventstore.subscriptions.membership import Membership, Progress
from eventstore.subscriptions.start import From, cut_us, places_at
from eventstore.subscriptions.terms import OnFailure, Terms

_LOGGER: Final = logging.getLogger("eventstore.subscriptions")


class Holding:
    """Keeps what a worker holds.

    Args:
        from_: where the subscription begins when it has no checkpoint.
        on_failure: with PARK_STREAM, streams with parked events are known of each held tranche.
    """

    def __init__(
        self,
        subscription: str,
        *,
        identity: Identity,
        log: EventLog,
        checkpoints: Checkpoints,
        from_: From | datetime,
        on_failure: OnFailure,
        terms: Terms,
        monotonic: Callable[[], float],
    ) -> None:
        self._subscription = subscription
        self._log = log
        self._checkpoints = checkpoints
        self._from = from_
        self._on_failure = on_failure
        self._terms = terms
        self._monotonic = monotonic
        self._begun_with: tuple[str, int] | None = None
        """Which log it is, and how many tranches that has."""
        self.held: dict[int, Held] = {}
        self.membership: Final = Membership(
            subscription=subscription,
            identity=identity,
            checkpoints=checkpoints,
            lease_s=terms.lease_s,
            monotonic=monotonic,
            begin=self._begin,
            progress=self._progress,
            lose=lambda tranche: self.held.pop(tranche, None),
        )

    def hold(self) -> None:
        """Begin the subscription if that's to be done, keep the leases, and hold what is new among them."""
        log_id = self._log.log_id
        if not (log_id or self._begun_with):
            return  # which log it is, and how many tranches it has, is known with its first block
        if self._begun_with != (log_id, self._log.tranches):  # or it's another one since
            self._begin(self._checkpoints.read_group(self._subscription))
        self._keep_if_due()
        for tranche, lease in self.membership.leases.items():
            if tranche not in self.held:
                self.held[tranche] = Held.of(
                    lease,
                    now=self._monotonic(),
                    blocked=self._blocked(tranche),
                    is_taken_over=tranche in self.membership.taken_over,
                    suspects=self._terms.checkpoint_events + self._terms.look_ahead,
                )

    def still_holds(self, tranche: int, held: Held) -> bool:
        """Keep the leases when it's time; tell whether a tranche is still held, as it was then."""
        self._keep_if_due()
        return self.held.get(tranche) is held

    def store_if_due(self, tranche: int, held: Held) -> bool:
        """Store the checkpoint when it's time; tell whether the tranche is still held."""
        if self.held.get(tranche) is not held:
            return False
        now = self._monotonic()
        due = held.unstored >= self._terms.checkpoint_events
        if not due and not (held.unstored and now - held.stored_at >= self._terms.checkpoint_s):
            return True
        held.stored_at, held.unstored = now, 0
        return self.membership.store(tranche)

    def leave(self) -> None:
        """Store every checkpoint and free every lease."""
        self.membership.leave()

    def forget(self) -> None:
        """Hold nothing any more, without a word to anybody."""
        self.membership.forget()
        self.held.clear()

    def _begin(self, group: Group) -> Group:
        """Make the leases of tranches that have none: at the first time, and when they were deleted."""
        log_id, tranches = self._log.log_id, self._log.tranches
        missing = set(range(tranches)) - group.leases.keys()
        _check(group, log_id=log_id, tranches=tranches)
        if missing and log_id:
            if self._from is From.CHECKPOINT and not group.leases:
                raise SubscriptionNotFound(name=self._subscription)
            if self._begun_with is not None:
                _LOGGER.warning(
                    "subscription %s: tranches %s have no leases any more; they are read again from %s",
                    self._subscription,
                    sorted(missing),
                    "the beginning" if isinstance(self._from, From) else self._from.isoformat(),
                )
            self._checkpoints.begin(
                self._subscription,
                places_at(self._log, self._from),
                since_us=cut_us(self._from),
                log_id=log_id,
            )
            group = self._checkpoints.read_group(self._subscription)
        self._begun_with = log_id, tranches
        return group

    def _keep_if_due(self) -> None:
        if not self.membership.due():
            return
        self.membership.keep()
        for held in self.held.values():
            held.stored_at, held.unstored = self._monotonic(), 0

    def _progress(self, tranche: int, is_freed: bool) -> Progress:
        held = self.held.get(tranche)
        if held is None:
            lease = self.membership.leases[tranche]
            return Progress(lease.place, lease.start, lease.horizon_us)
        return Progress(held.place, held.ended if is_freed else held.start, held.horizon_us)

    def _blocked(self, tranche: int) -> dict[str, tuple[int, int]]:
        if self._on_failure is not OnFailure.PARK_STREAM:
            return {}
        blocked: dict[str, tuple[int, int]] = {}
        for parked in self._checkpoints.read_parked(self._subscription, tranche=tranche):
            known = blocked.get(parked.stream_id)
            blocked[parked.stream_id] = known[0] if known else parked.event_id, parked.event_id
        return blocked


def _check(group: Group, *, log_id: str, tranches: int) -> None:
    """See that leases are of this log, and of all its tranches."""
    for lease in group.leases.values():
        if lease.log_id != log_id:
            raise PositionOfAnotherLog(given=lease.log_id, log_id=log_id)
    if group.leases and group.tranches != tranches:
        raise TranchesChanged(begun_with=group.tranches, given=tranches)
