"""Replay jobs as they are kept: where each is and how far, and the ports to where they are kept and to what
runs them.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from math import ceil
from typing import Final, Protocol

from eventstore.limits import REPLAYS_QUEUE_MAX
from eventstore.positions import Position

QUEUE_IS_FULL: Final = (
    f"{REPLAYS_QUEUE_MAX:,} replays run or wait already; nothing was written. Cancel some, or try again later"
)


class ReplayStatus(StrEnum):
    """Where a replay is; the last two are its end."""

    QUEUED = "queued"
    """It waits for its turn, or for its first step."""
    RUNNING = "running"
    PAUSED = "paused"
    FAILED = "failed"
    """It stopped by itself, `reason` says why; it goes on from there when it's resumed."""
    COMPLETED = "completed"
    CANCELLED = "cancelled"


_OVER: Final = frozenset({ReplayStatus.COMPLETED, ReplayStatus.CANCELLED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """A replay as it is stored: what was asked for, how far it is, and whose turn it is.

    Times are microseconds since 1970 (UTC).
    """

    replay_id: str
    target: str
    """Its ARN."""
    from_us: int | None
    to_us: int
    """The first Timestamp that isn't sent."""
    names: tuple[str, ...] = ()
    """Event names; none are all."""
    stream_prefix: str = ""
    events_per_second: int | None = None
    requested_us: int
    request_key: str = ""
    """The caller's own, by which the request is known when it comes again; empty when there's none."""
    request_digest: str = ""
    """Of what was asked for with the key."""
    status: ReplayStatus = ReplayStatus.QUEUED
    reason: str = ""
    """Why it failed, or why its last step couldn't go on."""
    ended_us: int | None = None

    position: Position | None = None
    """All that is wanted up to here was sent."""
    sent: int = 0
    """Messages that the target has taken, repeats included."""
    first_us: int | None = None
    """The Timestamp of the first event that was read."""
    active_us: int = 0
    """For how long it has been running, pauses left out."""
    updated_us: int
    paced_until_us: int = 0
    """When its pace allows the next event."""
    failed_steps: int = 0
    """Steps that have begun since the last one that made progress."""

    run: int = 1
    """Raised by each resume: a step of an earlier run does nothing."""
    fence: int = 0
    """Raised by each step that begins: an earlier step can't store anything any more."""
    lease_until_us: int = 0
    """Until then no other step begins."""

    @property
    def is_over(self) -> bool:
        """Return whether it will never send again."""
        return self.status in _OVER

    @property
    def rate(self) -> float | None:
        """Events a second while it ran; None before it has run."""
        return self.sent / (self.active_us / 1_000_000) if self.active_us else None

    @property
    def time_left_s(self) -> int | None:
        """Estimate the seconds until it's through, from how much of the time range took how long.

        None when it doesn't run, or hasn't come far enough to tell.
        """
        if self.status is not ReplayStatus.RUNNING or self.position is None or self.first_us is None:
            return None
        done_us = self.position.timestamp_us - self.first_us
        if done_us <= 0:
            return None
        left_us = max(0, self.to_us - self.position.timestamp_us)
        return ceil(self.active_us * left_us / done_us / 1_000_000)


class ReplayStore(Protocol):
    """Where replays are kept. Every change is under a condition, so that none is lost or undone."""

    def create(self, replay: Replay) -> Replay:
        """Keep a new replay, and return it; or the one, as it is now, that was kept with its key before.

        One that is queued goes to the end of the queue, together with that.

        Raises:
            StoreUnavailable: of the queue, too: it's full, and nothing was kept.
        """
        ...

    def get(self, replay_id: str) -> Replay | None:
        """Read a replay, strongly consistent."""
        ...

    def latest(self, *, limit: int) -> list[Replay]:
        """Read the replays that were asked for last, the newest first."""
        ...

    def claim(self, replay: Replay, *, until_us: int) -> Replay | None:
        """Begin a step: raise the fence, count one more step without progress, keep others out until then.

        Returns None, and changes nothing, unless the replay is running and nobody began a step, or resumed
        it, since it was read.
        """
        ...

    def save(self, replay: Replay) -> Replay | None:
        """Store how far it is: position, sent, first_us, active_us, updated_us, paced_until_us, failed_steps,
        reason and the lease.

        Returns it as it is now, its status perhaps changed by others; None, and nothing is stored, when
        another step has begun meanwhile.
        """
        ...

    def change(self, replay: Replay, *, before: Replay) -> Replay | None:
        """Store status, reason, run, ended_us, updated_us and failed_steps.

        One that becomes queued goes to the end of the queue, together with that. It may stand there already.

        Returns it as it is now; None, and nothing is stored, unless status and run are still as in `before`.

        Raises:
            StoreUnavailable: of the queue, too: it's full, and nothing was stored.
        """
        ...

    def queue(self) -> list[str]:
        """Read the ids of the replays that are queued or running, strongly consistent, in the order in which
        they were queued; some that are neither any more may stand among them.
        """
        ...

    def leave(self, replay_id: str, *, seen: Replay | None) -> None:
        """Take a replay out of the queue, unless its status or run is another than in `seen` (None: it isn't
        there).
        """
        ...


class ReplayEngine(Protocol):
    """What repeats the step of a replay until it's over."""

    def start(self, replay: Replay) -> bool:
        """Begin a run of a replay; once, however often this is called for the same run.

        Returns False when it had been begun before, and may be over. As long as it isn't, True is right, too.

        Raises:
            StoreUnavailable: it isn't known to have begun.
        """
        ...
