"""On what terms a subscription works: its times and numbers, and what becomes of an event that fails."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from enum import Enum
from typing import Final

from eventstore._arguments import check_number, check_text, check_whole, shown
from eventstore._synchronous import check_synchronous
from eventstore.errors import InvalidArgument, InvalidLimit, InvalidSubscription, InvalidSubscriptionName
from eventstore.events import Event
from eventstore.limits import (
    SUBSCRIPTION_CONCURRENCY_MAX,
    SUBSCRIPTION_LOOK_AHEAD,
    SUBSCRIPTION_PAGE_MAX_ENTRIES,
    WARM_UP_MAX_BLOCKS,
)
from eventstore.subscriptions.transient import is_transient

Handler = Callable[[Event], object]
"""Handles one event: returns when it's done, raises when it isn't. So it's no async function or generator."""

SUBSCRIPTION_NAME_MAX_CHARS: Final = 200
WORKER_ID_MAX_CHARS: Final = 200
LEASE_MIN_S: Final = 0.1
_MOST: Final = {
    "concurrency": SUBSCRIPTION_CONCURRENCY_MAX,
    "page_entries": SUBSCRIPTION_PAGE_MAX_ENTRIES,
    "warm_up_blocks": WARM_UP_MAX_BLOCKS,
}


class OnFailure(Enum):
    """What becomes of an event that a handler can't handle, after all tries."""

    STOP = "stop"
    """The worker stores its checkpoints before the event, frees its leases and raises `HandlerFailed`."""
    SKIP = "skip"
    """The event is logged as a warning and passed over."""
    PARK = "park"
    """The event is put aside; later events of its stream are handled: it's out of order when retried."""
    PARK_STREAM = "park-stream"
    """The event is put aside, and behind it all later events of its stream, until they are retried."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """Times and numbers of a subscription; all of its workers have to have the same `lease_s`.

    Raises:
        InvalidLimit: one of them is no number, not whole, not above 0, or beyond its bound.
        InvalidSubscription, NotSynchronous: `transient` is no plain function.
    """

    lease_s: float = 30.0
    """A dead worker's tranches move within this time."""
    call_s: float = 300.0
    """One call of the handler may take so long, from when it begins: its worker's leases are renewed until
    then. A longer one loses them, and counts as a worker that ended within its event; see `max_starts`."""
    concurrency: int = 1
    """Events that are at work at a time in a worker, each of another stream and in a thread of its own; one
    more while one is tried again. Above 1 the handler has to be safe for threads. At most 256
    (`limits.SUBSCRIPTION_CONCURRENCY_MAX`). When a worker dies, up to 8 events for each are handled again
    beside those since the checkpoint (`limits.SUBSCRIPTION_LOOK_AHEAD`)."""
    checkpoint_events: int = 100
    """Store a checkpoint after so many events ..."""
    checkpoint_s: float = 5.0
    """... or so many seconds: what was handled since is handled again when a worker dies."""
    page_entries: int = 500
    """Entries of the log that are read at a time, of one tranche after the other; at most 10,000
    (`limits.SUBSCRIPTION_PAGE_MAX_ENTRIES`)."""
    poll_s: float = 0.5
    """Seconds between looks for news, at most; while events come, it's looked every 0.1 s."""
    max_tries: int = 5
    """Tries of one event; the pauses before the second, third ... are up to 0.1, 0.2, 0.4 ... 5 s."""
    max_starts: int = 3
    """Workers that ended while they handled one event, until it's given up like one that has failed
    `max_tries` times: killed, out of memory, or left by SystemExit. See `Start`."""
    transient: Callable[[BaseException], bool] = is_transient
    """Return whether an error that a handler raised passes by itself. Then the event hasn't failed: the
    worker waits and gives it to the handler again, for as long as it takes."""
    streams_remembered: int = 100_000
    """Streams of a tranche whose last EventId is remembered, about 20 MB."""
    warm_up_blocks: int = 16
    """Blocks before the checkpoint that are read again, when a tranche is taken, for the streams' last
    EventIds: a hole or a repeat across the checkpoint is known by them. At most 1,000
    (`limits.WARM_UP_MAX_BLOCKS`)."""

    def __post_init__(self) -> None:
        check_synchronous(self.transient, "transient", error=InvalidSubscription)
        for name in (field.name for field in fields(self) if field.name != "transient"):
            value = getattr(self, name)
            # Bounds are numbers of seconds, or of things: these are whole.
            if name.endswith("_s"):
                check_number(value, name)
                if value == 0:
                    raise InvalidLimit(name, "is 0; it has to be above 0")
            else:
                check_whole(value, name, most=_MOST.get(name))
        if self.lease_s < LEASE_MIN_S:
            raise InvalidLimit("lease_s", f"is {self.lease_s}; it has to be at least {LEASE_MIN_S}")

    @property
    def look_ahead(self) -> int:
        """How many events are looked at to find some that can be handled side by side."""
        return SUBSCRIPTION_LOOK_AHEAD * self.concurrency if self.concurrency > 1 else 0


def check_subscription_name(name: str) -> str:
    """Return a name that is fit for a subscription.

    Raises:
        InvalidSubscriptionName: it isn't 1-200 printable ASCII characters, or has a ``#``.
    """
    good = isinstance(name, str) and 0 < len(name) <= SUBSCRIPTION_NAME_MAX_CHARS and name.isascii()
    if not good or not name.isprintable() or "#" in name:
        raise InvalidSubscriptionName(
            "name",
            f"is {shown(name)}; it has to be 1 to {SUBSCRIPTION_NAME_MAX_CHARS} printable ASCII characters, "
            "without '#'",
        )
    return name


def check_worker_id(worker: str) -> None:
    """Check that a worker's id can be part of a key.

    Raises:
        InvalidArgument: it isn't 1-200 printable characters.
    """
    check_text(worker, "worker")
    if len(worker) > WORKER_ID_MAX_CHARS or not worker.isprintable():
        raise InvalidArgument(
            "worker",
            f"is {worker!r:.60}, of {len(worker)} characters; it has to be 1 to {WORKER_ID_MAX_CHARS} "
            "printable ones",
        )
