"""Replays: the history of many streams, sent once more to one consumer; what to ask for and how to steer.

`eventstore.replay` sends; an engine repeats its step until the replay is over. docs/replay.md tells how to
use them, docs/adr/0009-replay-jobs.md why they are built so.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from enum import StrEnum
from fnmatch import fnmatchcase
from math import ceil
from typing import Final, Protocol
from uuid import UUID

from eventstore import replay_requests as requests
from eventstore.arguments import check_functions, check_port, check_texts
from eventstore.errors import (
    ReplayKeyReused,
    ReplayNotFound,
    ReplayOver,
    ReplayTargetNotAllowed,
    StoreUnavailable,
)
from eventstore.errors.store import write_in_doubt
from eventstore.positions import Position
from eventstore.replay_requests import ReplayRequest, Target
from eventstore.uids import uuid7

__all__ = [
    "Replay",
    "ReplayEngine",
    "ReplayRequest",
    "ReplayStatus",
    "ReplayStore",
    "Replays",
    "Started",
    "Target",
]

_TRIES: Final = 5


class ReplayStatus(StrEnum):
    """Where a replay is; the last two are its end."""

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
    status: ReplayStatus = ReplayStatus.RUNNING
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
        """Tell whether it will never send again."""
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
        """Keep a new replay, and return it; or the one, as it is now, that was kept with its key before."""
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

        Returns it as it is now; None, and nothing is stored, unless status and run are still as in `before`.
        """
        ...


class ReplayEngine(Protocol):
    """What repeats the step of a replay until it's over."""

    def start(self, replay: Replay) -> None:
        """Begin a run of a replay; once, however often this is called for the same run.

        Raises:
            StoreUnavailable: it isn't known to have begun.
        """
        ...


@dataclass(frozen=True, slots=True)
class Started:
    """A replay that was asked for; `repeated` when it had been, with the same key, before."""

    replay: Replay
    repeated: bool


class Replays:
    """Begins and steers replays.

    Args:
        store, engine: where they are kept, and what runs them.
        allowed_targets: the ARNs that may be a target; a `*` in one stands for any text.
        clock_us, random_bytes: time and chance, to be replaced in tests.

    Raises:
        InvalidArgument, NotSynchronous: an argument that can't be used.
    """

    def __init__(
        self,
        *,
        store: ReplayStore,
        engine: ReplayEngine,
        allowed_targets: Sequence[str],
        clock_us: Callable[[], int] = lambda: time.time_ns() // 1_000,
        random_bytes: Callable[[int], bytes] = os.urandom,
    ) -> None:
        check_port(store, ReplayStore, "store")
        check_port(engine, ReplayEngine, "engine")
        check_texts(allowed_targets, "allowed_targets")
        check_functions(clock_us=clock_us, random_bytes=random_bytes)
        self._store = store
        self._engine = engine
        self._allowed_targets = allowed_targets
        self._clock_us = clock_us
        self._random_bytes = random_bytes

    def start(self, request: ReplayRequest) -> Replay:
        """Begin a replay, another one with each call.

        Raises:
            InvalidReplay, InvalidRange, ReplayTargetNotAllowed: at once; nothing was begun.
            StoreUnavailable: it may exist, but isn't known to run.

        Cost: 1 write (1 WCU for up to 1 KB), 1 StartExecution.
        """
        replay = self._new(request)
        self._store.create(replay)
        self._run(replay)
        return replay

    def start_once(self, request: ReplayRequest, *, key: str) -> Started:
        """Begin a replay, the same one however often this is called with this key.

        Whatever went wrong the first time, be it between keeping the replay and starting its run: the same
        again begins it, if no step of it has begun yet.

        Args:
            key: 1 to 255 printable ASCII characters of the caller's own, best a UUID.

        Raises:
            ReplayKeyReused: something else was asked for with this key.
            Others as `start`.

        Cost: 1 transaction (4 WCU), 1 StartExecution; again, 1 read (1 RCU) more, and no StartExecution once
        it runs.
        """
        new = replace(
            self._new(request),
            request_key=requests.idempotency_key(key),
            request_digest=requests.digest(request),
        )
        kept = self._store.create(new)
        repeated = kept.replay_id != new.replay_id
        if kept.request_digest != new.request_digest:
            raise ReplayKeyReused(replay_id=kept.replay_id)
        if kept.fence == 0 and kept.status is ReplayStatus.FAILED:
            return Started(self.resume(kept.replay_id), repeated)
        if kept.fence == 0 and kept.status is ReplayStatus.RUNNING:
            self._run(kept)
        return Started(kept, repeated)

    def get(self, replay_id: str) -> Replay:
        """Read a replay. Raises ReplayNotFound. Cost: 1 read (1 RCU)."""
        replay = self._store.get(replay_id) if _is_uid(replay_id) else None
        if replay is None:
            raise ReplayNotFound(replay_id=replay_id)
        return replay

    def latest(self, *, limit: int) -> list[Replay]:
        """Read the replays that were asked for last, the newest first. Cost: 1 query."""
        return self._store.latest(limit=limit)

    def pause(self, replay_id: str) -> Replay:
        """Hold a replay; what its step is just sending still goes out. Raises as `cancel`."""
        return self._change(replay_id, ReplayStatus.PAUSED)

    def resume(self, replay_id: str) -> Replay:
        """Go on with a replay that was paused or failed, from where it was; raises as `cancel`.

        One that is running gets a new run, which takes the place of the one before.
        """
        replay = self._change(replay_id, ReplayStatus.RUNNING)
        self._run(replay)
        return replay

    def cancel(self, replay_id: str) -> Replay:
        """End a replay for good; what its step is just sending still goes out. Again is harmless.

        Raises:
            ReplayNotFound, ReplayOver, StoreUnavailable.

        Cost of each of the three: 1 read, 1 write; to resume, 1 StartExecution more.
        """
        return self._change(replay_id, ReplayStatus.CANCELLED)

    def _new(self, request: ReplayRequest) -> Replay:
        target = Target.parse(request.target)
        if not any(fnmatchcase(target.arn, allowed) for allowed in self._allowed_targets):
            raise ReplayTargetNotAllowed(target=target.arn)
        now_us = self._clock_us()
        from_us, end_us = requests.time_range(request, now_us=now_us)
        return Replay(
            replay_id=uuid7(now_us=now_us, random_bytes=self._random_bytes),
            target=target.arn,
            from_us=from_us,
            to_us=end_us,
            names=requests.event_names(request.names),
            stream_prefix=requests.stream_prefix(request.stream_prefix),
            events_per_second=requests.events_per_second(request.events_per_second),
            requested_us=now_us,
            updated_us=now_us,
        )

    def _change(self, replay_id: str, status: ReplayStatus) -> Replay:
        for attempt in range(_TRIES):
            # Behind the first try, what is read may be what that has written.
            with write_in_doubt(f"{status} a replay") if attempt else nullcontext():
                before = self.get(replay_id)
            resumed = status is ReplayStatus.RUNNING
            if before.status is status and not resumed:
                return before
            if before.is_over or (status is ReplayStatus.PAUSED and before.status is ReplayStatus.FAILED):
                raise ReplayOver(replay_id=replay_id, replay_status=before.status.value, asked=status.value)
            now_us = self._clock_us()
            after = replace(
                before,
                status=status,
                reason="" if resumed else before.reason,
                run=before.run + resumed,
                failed_steps=0 if resumed else before.failed_steps,
                ended_us=now_us if status in _OVER else None,
                updated_us=now_us if resumed else before.updated_us,
            )
            changed = self._store.change(after, before=before)
            if changed is not None:
                return changed
        raise StoreUnavailable(operation=f"{status} a replay", reason="it kept changing meanwhile")

    def _run(self, replay: Replay) -> None:
        try:
            self._engine.start(replay)
        except StoreUnavailable:
            why = "its run could not be started; resume it"
            self._store.change(replace(replay, status=ReplayStatus.FAILED, reason=why), before=replay)
            raise


def _is_uid(text: str) -> bool:
    try:
        return str(UUID(text)) == text
    except ValueError:
        return False
