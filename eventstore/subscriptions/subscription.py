"""A subscription's worker: reads the tranches it holds, handles their events, stores checkpoints."""

from __future__ import annotations

import logging
import random
import threading
import time
import uuid
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from eventstore.errors import (
    HandlerFailed,
    InvalidSubscription,
    MalformedItem,
    StoreUnavailable,
    SubscriptionNotFound,
    TranchesChanged,
)
from eventstore.events import Event
from eventstore.log import BlockPosition, EventLog
from eventstore.subscriptions.attempts import Attempts
from eventstore.subscriptions.checkpoints import Checkpoints, ParkedEvent
from eventstore.subscriptions.membership import Membership
from eventstore.subscriptions.projection import Projection
from eventstore.subscriptions.start import From, check_start, places_at
from eventstore.subscriptions.terms import Handler, OnFailure, Terms, check_subscription_name
from eventstore.subscriptions.tranche_reader import EventBodies, TrancheReader

_LOGGER: Final = logging.getLogger("eventstore.subscriptions")
_BUSY_POLL_S: Final = 0.1


@dataclass(frozen=True, slots=True)
class Retried:
    """What became of parked events that were tried again."""

    handled: int
    still_parked: int


@dataclass(slots=True)
class _Held:
    """A tranche that this worker reads."""

    place: BlockPosition
    stored_at: float
    blocked: dict[str, int]
    """Streams with parked events, and the first of them: it and later ones are parked."""
    reader: TrancheReader | None = None
    unstored: int = 0


@dataclass(slots=True)
class _Counts:
    handled: int = 0
    skipped: int = 0
    parked: int = 0


class Subscription:
    """One worker of a subscription; made by `subscribe`, which tells what its arguments mean.

    Not for several threads, but for `stop`, which may be called from anywhere. Run more workers in other
    threads or processes to share the tranches; more workers than tranches are idle, ready to step in.
    """

    def __init__(
        self,
        name: str,
        handler: Handler,
        *,
        log: EventLog,
        bodies: EventBodies,
        checkpoints: Checkpoints,
        from_: From | datetime,
        names: Collection[str] | None,
        streams: str,
        on_failure: OnFailure,
        terms: Terms,
        worker: str,
        monotonic: Callable[[], float],
        now_us: Callable[[], int],
        sleep: Callable[[float], object] | None,
        jitter: Callable[[], float],
    ) -> None:
        self.name = check_subscription_name(name)
        self.worker = worker
        self._log = log
        self._bodies = bodies
        self._checkpoints = checkpoints
        self._from = check_start(from_)
        self._names = None if names is None else frozenset(names)
        self._streams = streams
        self._on_failure = on_failure
        self._terms = terms
        self._monotonic = monotonic
        self._now_us = now_us
        self._stopping = threading.Event()
        self._sleep = sleep or self._stopping.wait
        self._attempts = Attempts(handler, max_tries=terms.max_tries, sleep=self._sleep, jitter=jitter)
        self._held: dict[int, _Held] = {}
        self._is_begun = False
        self.counts = _Counts()
        self._membership = Membership(
            subscription=self.name,
            worker=worker,
            checkpoints=checkpoints,
            lease_s=terms.lease_s,
            monotonic=monotonic,
            place=self._place,
            lose=lambda tranche: self._held.pop(tranche, None),
        )

    @property
    def tranches(self) -> frozenset[int]:
        """The tranches that this worker reads now."""
        return frozenset(self._held)

    def run_forever(self) -> None:
        """Handle events until `stop` is called; then store checkpoints and free the leases.

        While DynamoDB is throttled or unreachable it waits, logs a warning and tries again.

        Raises:
            HandlerFailed: with `OnFailure.STOP`, after the checkpoints were stored and the leases freed.
            SubscriptionNotFound, TranchesChanged, MalformedBlock: it can't be read from where it is.
        """
        self.run(until=lambda: False)

    def run(self, *, until: Callable[[], bool]) -> None:
        """As `run_forever`, and until this answers true: it's asked after each page and each pause.

        Pauses: none while pages are full; 0.1 s after news, since more is likely, then 0.2 and 0.4 s, up to
        `Terms.poll_s`, which is kept from the beginning where it's lower.
        """
        failures = 0
        pause_s = self._terms.poll_s
        try:
            while not (self._stopping.is_set() or until()):
                try:
                    moved = self.step()
                    failures = 0
                except StoreUnavailable as error:
                    failures += 1
                    _LOGGER.warning("subscription %s, worker %s: %s", self.name, self.worker, error)
                    self._attempts.pause(failures)
                    continue
                pause_s = min(self._terms.poll_s, _BUSY_POLL_S if moved else 2 * pause_s)
                if moved < self._terms.page_entries and not until():
                    self._sleep(pause_s)
        finally:
            self.close()

    def stop(self) -> None:
        """Let `run` end after the event that is being handled; from any thread or signal handler."""
        self._stopping.set()

    def step(self) -> int:
        """Keep the leases, and handle one page of each held tranche; returns how many entries it went on by.

        The loop of `run`, for those who have their own. After an error the next step goes on behind what
        was handled. Costs stand at `Membership.keep` and `TrancheReader.read`.
        """
        self._begin()
        self._keep_if_due()
        self._hold_new()
        return sum(self._read_page(tranche) for tranche in sorted(self._held))

    def close(self) -> None:
        """Store the checkpoints and free the leases, at once. `run` does it; a later `step` begins again.

        What can't be stored since DynamoDB is unreachable is logged: its events are handled again.
        """
        try:
            self._membership.leave()
        except StoreUnavailable as error:
            _LOGGER.warning("subscription %s, worker %s: %s", self.name, self.worker, error)
            self._membership.leases.clear()
            self._held.clear()

    def retry_parked(self) -> Retried:
        """Try every parked event again, each stream in order; what is handled is parked no more.

        Behind an event that fails again the later ones of its stream stay parked, but for
        `OnFailure.PARK`. Workers may run meanwhile, also of this subscription: with `OnFailure.PARK_STREAM`
        they go on parking a stream's events until none is left, and notice that within a sixth of the lease
        time. Cost: see `Checkpoints.read_parked`; 1 RCU for each 4 KB of an event, 1 WCU for each handled.
        """
        handled = still_parked = 0
        behind: set[str] = set()
        for parked in self._checkpoints.read_parked(self.name):
            if parked.stream_id in behind:
                still_parked += 1
                continue
            address = parked.stream_id, parked.event_id
            event = self._bodies.read_events([address]).get(address)
            reason = f"the item is missing or damaged: {event}"
            if isinstance(event, Event):
                reason = self._attempts.make(event, keep=lambda: True)
            if reason:
                still_parked += 1
                if self._on_failure is not OnFailure.PARK:
                    behind.add(parked.stream_id)
            else:
                self._checkpoints.unpark(self.name, parked)
                handled += 1
        return Retried(handled, still_parked)

    def _begin(self) -> None:
        if self._is_begun:
            return
        leases = self._checkpoints.read_group(self.name).leases
        if self._from is From.CHECKPOINT and not leases:
            raise SubscriptionNotFound(name=self.name)
        if len(leases) > self._log.tranches:
            raise TranchesChanged(begun_with=len(leases), given=self._log.tranches)
        if len(leases) < self._log.tranches:
            self._checkpoints.begin(self.name, places_at(self._log, self._from))
        self._is_begun = True

    def _keep_if_due(self) -> None:
        if not self._membership.due():
            return
        self._membership.keep()
        for tranche, held in self._held.items():
            held.stored_at, held.unstored = self._monotonic(), 0
            if held.blocked:
                held.blocked = self._blocked(tranche)

    def _hold_new(self) -> None:
        for tranche, lease in self._membership.leases.items():
            if tranche not in self._held:
                self._held[tranche] = _Held(lease.place, self._monotonic(), self._blocked(tranche))

    def _place(self, tranche: int) -> BlockPosition:
        held = self._held.get(tranche)
        return held.place if held else self._membership.leases[tranche].place

    def _blocked(self, tranche: int) -> dict[str, int]:
        if self._on_failure is not OnFailure.PARK_STREAM:
            return {}
        blocked: dict[str, int] = {}
        for parked in self._checkpoints.read_parked(self.name, tranche=tranche):
            blocked.setdefault(parked.stream_id, parked.event_id)
        return blocked

    def _read_page(self, tranche: int) -> int:
        held = self._held.get(tranche)
        if held is None:
            return 0
        moved = 0
        # Kept only when its page was read to the end: after anything else it begins anew, at the place.
        reader, held.reader = held.reader or self._reader(tranche, held.place), None
        for turn in reader.read():
            self._keep_if_due()
            if self._held.get(tranche) is not held or self._stopping.is_set():
                return moved
            if turn.event is not None and not self._handle(tranche, held, turn.event):
                return moved
            held.unstored += turn.event is not None
            if turn.place is not None:
                held.place = turn.place
                moved += 1
            if not self._store_if_due(tranche, held):
                return moved
        held.reader = reader
        return moved

    def _reader(self, tranche: int, place: BlockPosition) -> TrancheReader:
        return TrancheReader(
            log=self._log,
            bodies=self._bodies,
            tranche=tranche,
            place=place,
            names=self._names,
            streams=self._streams,
            terms=self._terms,
        )

    def _store_if_due(self, tranche: int, held: _Held) -> bool:
        """Store the checkpoint when it's time; tell whether the tranche is still held."""
        if self._held.get(tranche) is not held:
            return False
        now = self._monotonic()
        due = held.unstored >= self._terms.checkpoint_events
        if not due and not (held.unstored and now - held.stored_at >= self._terms.checkpoint_s):
            return True
        held.stored_at, held.unstored = now, 0
        return self._membership.store(tranche)

    def _handle(self, tranche: int, held: _Held, event: Event | MalformedItem) -> bool:
        """Handle an event, or decide what becomes of it; False when it's left for the next owner or run."""
        first = held.blocked.get(event.stream_id)
        if first is not None and event.event_id > first:
            return self._park(tranche, event, f"behind event {first} of its stream, which is parked")
        if isinstance(event, Event):
            reason = self._attempts.make(event, keep=lambda: self._still_holds(tranche, held))
        else:
            reason = str(event)
        if not reason:
            self.counts.handled += 1
            return True
        return self._still_holds(tranche, held) and self._give_up(tranche, held, event, reason)

    def _still_holds(self, tranche: int, held: _Held) -> bool:
        self._keep_if_due()
        return self._held.get(tranche) is held and not self._stopping.is_set()

    def _give_up(self, tranche: int, held: _Held, event: Event | MalformedItem, reason: str) -> bool:
        if self._on_failure is OnFailure.STOP:
            raise HandlerFailed(
                subscription=self.name, stream_id=event.stream_id, event_id=event.event_id, reason=reason
            )
        if self._on_failure is OnFailure.SKIP:
            self.counts.skipped += 1
            _LOGGER.warning("skipped event %s of %s: %s", event.event_id, event.stream_id, reason)
            return True
        if self._on_failure is OnFailure.PARK_STREAM:
            held.blocked.setdefault(event.stream_id, event.event_id)
        return self._park(tranche, event, reason)

    def _park(self, tranche: int, event: Event | MalformedItem, reason: str) -> bool:
        """Put an event aside; False when the lease is lost, and nothing was put aside."""
        parked = ParkedEvent(tranche, event.stream_id, event.event_id, reason, self._now_us())
        if not self._membership.park(parked):
            return False
        self.counts.parked += 1
        _LOGGER.warning("parked event %s of %s: %s", event.event_id, event.stream_id, reason)
        return True


def subscribe(
    name: str,
    handler: Handler,
    *,
    log: EventLog,
    bodies: EventBodies,
    checkpoints: Checkpoints,
    from_: From | datetime = From.BEGINNING,
    names: Collection[str] | None = None,
    streams: str = "",
    on_failure: OnFailure = OnFailure.PARK_STREAM,
    terms: Terms | None = None,
    worker: str | None = None,
    monotonic: Callable[[], float] = time.monotonic,
    now_us: Callable[[], int] = lambda: time.time_ns() // 1_000,
    sleep: Callable[[float], object] | None = None,
    jitter: Callable[[], float] = random.random,
) -> Subscription:
    """Make a worker of a subscription that handles every event at least once, each stream in order.

    Args:
        name: the subscription's; workers of one name share its tranches and checkpoints. To read all
            again, take a new name.
        handler: handles one event, or raises; a function, or a `Projection` (effectively once).
        log, bodies, checkpoints: the store's log, its events, and where checkpoints are kept.
        from_: where it begins when it has no checkpoint: see `From`, `places_at`.
        names: only events of these names; None for all.
        streams: only streams whose ids begin so; the same for all workers of a name.
        on_failure: what becomes of an event that fails `Terms.max_tries` times, or isn't readable.
        terms: times and numbers.
        worker: this worker's id, another one for each; None makes one.
        monotonic, now_us, sleep, jitter: time and chance, to be replaced in tests. Without a `sleep`, pauses
            end when `stop` is called.

    Raises:
        InvalidSubscriptionName, InvalidSubscription, InvalidRange, InvalidLimit: at once; nothing is read.

    Consistency: strong reads throughout. What was handled since the last checkpoint is handled again when
    a worker dies; events after that keep their streams' order. Order across streams isn't kept.
    """
    if isinstance(handler, Projection) and on_failure is OnFailure.PARK:
        raise InvalidSubscription(
            "on_failure", "is PARK, but a projection takes no event behind a later one; use PARK_STREAM"
        )
    if isinstance(names, str):
        raise InvalidSubscription("names", f"is one text; give a collection, such as [{names!r}]")
    return Subscription(
        name,
        handler,
        log=log,
        bodies=bodies,
        checkpoints=checkpoints,
        from_=from_,
        names=names,
        streams=streams,
        on_failure=on_failure,
        terms=terms or Terms(),
        worker=worker or uuid.uuid4().hex,
        monotonic=monotonic,
        now_us=now_us,
        sleep=sleep,
        jitter=jitter,
    )
