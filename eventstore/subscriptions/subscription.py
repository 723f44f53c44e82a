"""A subscription's worker: reads the tranches it holds, handles their events, stores checkpoints."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection
from contextlib import closing
from datetime import datetime
from functools import partial
from typing import Final

from eventstore._arguments import check_functions, check_is, check_port
from eventstore._synchronous import check_finished, check_synchronous
from eventstore.errors import InvalidSubscription, TransientError, WorkerRunning
from eventstore.log.port import EventLog
from eventstore.subscriptions.ahead import Ahead, Waiting
from eventstore.subscriptions.attempts import Attempts
from eventstore.subscriptions.checkpoints import Checkpoints
from eventstore.subscriptions.handling import Counts, Handling
from eventstore.subscriptions.held import Held
from eventstore.subscriptions.holding import Holding
from eventstore.subscriptions.identity import Identity
from eventstore.subscriptions.keeper import Keeper
from eventstore.subscriptions.missing import MissingEvents
from eventstore.subscriptions.projection import Projection, parked_alone
from eventstore.subscriptions.retry import Retried, retry
from eventstore.subscriptions.start import From, check_names, check_start, check_streams
from eventstore.subscriptions.stop import Stop
from eventstore.subscriptions.terms import Handler, OnFailure, Terms, check_subscription_name, check_worker_id
from eventstore.subscriptions.tranche_reader import EventBodies, TrancheReader, Turn
from eventstore.subscriptions.turns import OneAtATime

_LOGGER: Final = logging.getLogger("eventstore.subscriptions")
_BUSY_POLL_S: Final = 0.1


class Subscription:
    """One worker of a subscription; made by `subscribe`, which tells what its arguments mean.

    Not for several threads (`WorkerRunning`), but for `stop`, which may be called from anywhere. Run more
    workers in other threads or processes to share the tranches; more workers than tranches are idle, ready to
    step in. In a forked child it's another worker, which begins anew: what was held stays with the parent,
    whose threads don't run in the child.

    Raises:
        InvalidSubscriptionName, InvalidSubscription, InvalidArgument, NotSynchronous, InvalidRange: an
            argument is wrong; nothing is read.
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
        worker: str | None,
        monotonic: Callable[[], float],
        now_us: Callable[[], int],
        sleep: Callable[[float], object] | None,
        jitter: Callable[[], float],
    ) -> None:
        check_synchronous(handler, "handler", error=InvalidSubscription)
        check_port(log, EventLog, "log", only=("tranches", "log_id", "read_tranche"))
        check_port(bodies, EventBodies, "bodies")
        check_port(checkpoints, Checkpoints, "checkpoints")
        check_functions(monotonic=monotonic, now_us=now_us, jitter=jitter)
        if sleep is not None:
            check_synchronous(sleep, "sleep", error=InvalidSubscription)
        check_is(on_failure, OnFailure, "on_failure", give="an OnFailure, such as OnFailure.PARK_STREAM")
        check_is(terms, Terms, "terms", give="Terms, such as Terms(lease_s=60)")
        if worker is not None:
            check_worker_id(worker)
        if isinstance(handler, Projection) and on_failure is OnFailure.PARK:
            raise parked_alone()
        self.name = check_subscription_name(name)
        self._log = log
        self._bodies = bodies
        self._checkpoints = checkpoints
        self._names = check_names(names)
        self._streams = check_streams(streams)
        self._on_failure = on_failure
        self._terms = terms
        self._stop = Stop()
        self._turn = OneAtATime(lambda: WorkerRunning(subscription=self.name, worker=self.worker))
        self._sleep = sleep or self._stop.pause
        self._attempts = Attempts(
            self.name, handler, terms=terms, on_failure=on_failure, sleep=self._sleep, jitter=jitter
        )
        self._missing = MissingEvents(bodies=bodies, names=self._names)
        self._failed_last = -1
        self._identity = Identity(worker)
        self._holding = Holding(
            self.name,
            identity=self._identity,
            log=log,
            checkpoints=checkpoints,
            from_=check_start(from_),
            on_failure=on_failure,
            terms=terms,
            monotonic=monotonic,
        )
        self._keeper = Keeper(
            self._holding.membership.renew,
            interval_s=self._terms.lease_s / 6,
            most_s=self._terms.call_s,
            monotonic=monotonic,
            begun_at=lambda: self._ahead.begun_at(),  # noqa: PLW0108 - it is made below
            has_thread=monotonic is time.monotonic,
        )
        self._ahead = Ahead(
            self._attempts,
            concurrency=terms.concurrency,
            look_ahead=terms.look_ahead,
            beside=self._keeper.beside,
            monotonic=monotonic,
            has_threads=monotonic is time.monotonic,
        )
        self._handling = Handling(
            self.name,
            attempts=self._attempts,
            keeper=self._keeper,
            missing=self._missing,
            membership=self._holding.membership,
            on_failure=on_failure,
            terms=terms,
            still_holds=self._still_holds,
            now_us=now_us,
        )

    @property
    def worker(self) -> str:
        """This worker's id; in a forked child another one, unless it was given."""
        return self._identity.worker

    @property
    def counts(self) -> Counts:
        """What this worker has done with the events that it was given."""
        return self._handling.counts

    @property
    def tranches(self) -> frozenset[int]:
        """The tranches that this worker reads now."""
        return frozenset(self._holding.held)

    def run_forever(self) -> None:
        """Handle events until `stop` is called; then store checkpoints and free the leases.

        While DynamoDB, or what the handler needs (`Terms.transient`), is throttled or unreachable it waits,
        logs a warning and tries again: no event fails by that.

        Raises:
            HandlerFailed: with `OnFailure.STOP`, after the checkpoints were stored and the leases freed.
            NotSynchronous: the handler returned before its work was done; checkpoints lie before that event.
            InvalidSubscription: with `OnFailure.PARK`, the handler has called a `Projection`; likewise.
            WorkerRunning: it's at work, in another thread or around this call.
            WorkerIdInUse: another worker has this one's id.
            SubscriptionNotFound, TranchesChanged, BlockMissing, MalformedBlock, PositionNotInLog,
                PositionOfAnotherLog: it can't be read from where it is. For example the log was rebuilt, its
                checkpoint lies behind the end of a log that was restored, or a block of the log is gone.
            MalformedSubscriptionItem: somebody has changed a lease, a worker's or a parked event's item; the
                error says which one, and how to repair it. No other tranche is read in its place.
        """
        self.run(until=lambda: False)

    def run(self, *, until: Callable[[], bool]) -> None:
        """As `run_forever`, and until this answers true: it's asked after each page and each pause.

        Pauses: none while pages are full; 0.1 s after news, since more is likely, then 0.2 and 0.4 s, up to
        `Terms.poll_s`, which is kept from the beginning where it's lower.
        """
        check_synchronous(until, "until", error=InvalidSubscription)
        with self._turn.taken():
            self._run(until)

    def _run(self, until: Callable[[], bool]) -> None:
        failures = 0
        pause_s = self._terms.poll_s
        try:
            while not (self._stop.is_asked() or _is_over(until)):
                try:
                    moved = self._step()
                    failures = 0
                except TransientError as error:
                    failures += 1
                    _LOGGER.warning("subscription %s, worker %s: %s", self.name, self.worker, error)
                    self._attempts.pause(failures)
                    continue
                pause_s = min(self._terms.poll_s, _BUSY_POLL_S if moved else 2 * pause_s)
                if moved < self._terms.page_entries and not _is_over(until):
                    self._sleep(pause_s)
        finally:
            self._close()

    def stop(self) -> None:
        """Let `run` end after the event that is being handled; from any thread or signal handler.

        It also ends a `run` that only begins afterwards, and a `step` handles nothing any more, until the
        worker is closed, as `run` does at its end. Then both begin again.

        No lock is taken, so it can't wait for what the signal has interrupted.
        """
        self._stop.ask()

    def step(self) -> int:
        """Keep the leases, and handle one page of each held tranche; returns how many entries it went on by.

        The loop of `run`, for those who have their own. After an error the next step goes on behind what
        was handled, and with the tranche behind the one that failed. Costs stand at `Membership.keep` and
        `TrancheReader.read`.

        Raises:
            TransientError: DynamoDB, or what the handler needs, is away; the next step goes on.
            And what `run_forever` raises.
        """
        with self._turn.taken():
            return self._step()

    def _step(self) -> int:
        self._holding.hold()
        moved = 0
        for tranche in sorted(self._holding.held, key=lambda of: (of <= self._failed_last, of)):
            try:
                moved += self._read_page(tranche)
            except TransientError:
                self._failed_last = tranche
                raise
        self._failed_last = -1
        return moved

    def close(self) -> None:
        """Store the checkpoints and free the leases, at once. `run` does it; a later one begins again.

        What can't be stored since DynamoDB is unreachable is logged: its events are handled again.

        Raises:
            WorkerRunning: it's at work, in another thread or around this call; end it by `stop`.
        """
        with self._turn.taken():
            self._close()

    def _close(self) -> None:
        try:
            self._holding.leave()
        except TransientError as error:
            _LOGGER.warning("subscription %s, worker %s: %s", self.name, self.worker, error)
            self._holding.forget()
        finally:
            self._keeper.end()
            self._ahead.end()
            self._stop.forget()

    def retry_parked(self) -> Retried:
        """Try every parked event again, each stream in order; what is handled is parked no more.

        Behind an event that fails again the later ones of its stream stay parked, but for
        `OnFailure.PARK`. Workers may run meanwhile, also of this subscription: with `OnFailure.PARK_STREAM`
        they go on parking a stream's events until none is left, and this call goes on until it has seen that.

        Raises:
            TransientError: DynamoDB, or what the handler needs, is away; what is left is parked still.

        Cost: all that is parked once, see `Checkpoints.read_parked`; of a stream that is freed what comes
        meanwhile, and 1 query that finds nothing. 1 RCU for each 4 KB of an event, 1 WCU for each handled.
        """
        return retry(
            self.name,
            checkpoints=self._checkpoints,
            bodies=self._bodies,
            missing=self._missing,
            attempts=self._attempts,
            on_failure=self._on_failure,
        )

    def _read_page(self, tranche: int) -> int:
        held = self._holding.held.get(tranche)
        if held is None:
            return 0
        moved = 0
        # Kept only when its page was read to the end: after anything else it begins anew, at the place.
        reader, held.reader = held.reader or self._reader(tranche, held), None

        def after(turn: Turn) -> int | None:
            return None if self._stop.is_asked() else self._handling.after(held, turn)

        with closing(self._ahead.turns(reader.read(), after, held.done)) as turns:
            for waiting in turns:
                if not self._take(tranche, held, waiting, after):
                    return moved
                moved += waiting.turn.place is not None and waiting.turn.closed is None
                if not self._holding.store_if_due(tranche, held):
                    return moved
        held.reader = reader
        return moved

    def _take(self, tranche: int, held: Held, waiting: Waiting, after: Callable[[Turn], int | None]) -> bool:
        """Do what a turn asks for, and move behind it; False when it's left for the next owner or run."""
        turn = waiting.turn
        if not self._still_holds(tranche, held, is_begun=waiting.call is not None):
            return False
        if turn.event is not None and not self._handle(tranche, held, waiting, after):
            return False
        waiting.call = None  # its turn is over
        held.unstored += turn.event is not None
        if turn.closed:
            self._handling.pass_closed(turn.closed)
        if turn.place is not None:
            held.move(turn.place, turn.horizon_us)
        return True

    def _reader(self, tranche: int, held: Held) -> TrancheReader:
        return TrancheReader(
            log=self._log,
            bodies=self._bodies,
            tranche=tranche,
            place=held.place,
            horizon_us=held.horizon_us,
            since_us=held.since_us,
            names=self._names,
            streams=self._streams,
            terms=self._terms,
        )

    def _handle(
        self, tranche: int, held: Held, waiting: Waiting, after: Callable[[Turn], int | None]
    ) -> bool:
        turn, ahead = waiting.turn, partial(self._ahead.result, waiting, after)
        assert turn.event is not None
        return self._handling.handle(tranche, held, turn.event, after=turn.after, ahead=ahead)

    def _still_holds(self, tranche: int, held: Held, *, is_begun: bool = False) -> bool:
        """Return whether to go on; what has begun before its turn is done, also when `stop` was called."""
        if self._holding.membership.due():
            self._ahead.rest()  # a tranche is given up only while none of its events is at work
        return self._holding.still_holds(tranche, held) and (is_begun or not self._stop.is_asked())


def _is_over(until: Callable[[], bool]) -> bool:
    is_over = until()
    check_finished(is_over, "until", function=until)
    return is_over
