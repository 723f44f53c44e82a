"""How a worker of a subscription is made."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Collection
from datetime import datetime

from eventstore.log.port import EventLog
from eventstore.subscriptions.checkpoints import Checkpoints
from eventstore.subscriptions.start import From
from eventstore.subscriptions.subscription import Subscription
from eventstore.subscriptions.terms import Handler, OnFailure, Terms
from eventstore.subscriptions.tranche_reader import EventBodies


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
        handler: handles one event, or raises; a plain function, or a `Projection` (effectively once).
        log, bodies, checkpoints: the store's log, its events, and where checkpoints are kept.
        from_: where it begins when it has no checkpoint: see `From`, `places_at`.
        names: only events of these names; None for all.
        streams: only streams whose ids begin so; the same for all workers of a name.
        on_failure: what becomes of an event that fails `Terms.max_tries` times, or isn't readable.
        terms: times and numbers.
        worker: this worker's id, up to 200 characters, another one for each; None makes one, in a forked
            child another one. Of two workers under one id the one that began first ends with `WorkerIdInUse`.
        monotonic, now_us, sleep, jitter: time and chance, to be replaced in tests. Without a `sleep`, pauses
            end when `stop` is called. With another `monotonic` no thread renews leases while an event is
            handled.

    Raises:
        InvalidSubscriptionName, InvalidSubscription, InvalidArgument, NotSynchronous, InvalidRange: at once;
            nothing is read. Of an object that lacks methods of its port they are named.

    Consistency: events are read strongly; what is new in the log may come some tens of milliseconds later
    (`EventLog.read_tranche`), in its order and without a gap. What was handled since the last checkpoint is
    handled again when a worker dies; events after that keep their streams' order. Order across streams
    isn't kept.
    """
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
        terms=Terms() if terms is None else terms,
        worker=worker,
        monotonic=monotonic,
        now_us=now_us,
        sleep=sleep,
        jitter=jitter,
    )
