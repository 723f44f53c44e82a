"""Replays: the history of many streams, sent once more to one consumer; what to ask for and how to steer.

`eventstore.replays.queue` begins them in their turn, `eventstore.replays.step` sends; an engine repeats its
step until the replay is over. docs/replay.md tells how to use them, docs/adr/0009-replay-jobs.md why they
are built so.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Final
from uuid import UUID

from eventstore._arguments import check_functions, check_port, check_texts
from eventstore._uids import uuid7
from eventstore.errors import (
    MalformedReplay,
    ReplayKeyReused,
    ReplayNotFound,
    ReplayOver,
    ReplayTargetNotAllowed,
    StoreUnavailable,
)
from eventstore.errors.store import write_in_doubt
from eventstore.limits import REPLAYS_AT_ONCE
from eventstore.replays import request as requests
from eventstore.replays.model import Replay, ReplayEngine, ReplayStatus, ReplayStore
from eventstore.replays.queue import ReplayQueue
from eventstore.replays.request import ReplayRequest, Target

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
        at_once: how many run at once, 1 to `REPLAYS_AT_ONCE_MAX`; the others wait for their turn.
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
        at_once: int = REPLAYS_AT_ONCE,
        clock_us: Callable[[], int] = lambda: time.time_ns() // 1_000,
        random_bytes: Callable[[int], bytes] = os.urandom,
    ) -> None:
        check_port(store, ReplayStore, "store")
        check_port(engine, ReplayEngine, "engine")
        check_texts(allowed_targets, "allowed_targets")
        check_functions(clock_us=clock_us, random_bytes=random_bytes)
        self._store = store
        self._queue = ReplayQueue(store=store, engine=engine, at_once=at_once, clock_us=clock_us)
        self._allowed_targets = allowed_targets
        self._clock_us = clock_us
        self._random_bytes = random_bytes

    def start(self, request: ReplayRequest) -> Replay:
        """Begin a replay, another one with each call. It's queued, and runs in its turn: mostly at once.

        Raises:
            InvalidReplay, InvalidRange, ReplayTargetNotAllowed: at once; nothing was begun.
            StoreUnavailable: it may exist, and is begun in its turn then; or the queue is full.

        Cost: 1 transaction (2 WCU for up to 1 KB, and 2 for each 26 replays in the queue), and that of
        `ReplayQueue.start_next`.
        """
        replay = self._new(request)
        self._store.create(replay)
        self._start_next()
        return replay

    def start_once(self, request: ReplayRequest, *, key: str) -> Started:
        """Begin a replay, the same one however often this is called with this key.

        Whatever went wrong the first time, be it between keeping the replay and starting its run: the same
        again begins it, if it's its turn.

        Args:
            key: 1 to 255 printable ASCII characters of the caller's own, best a UUID.

        Raises:
            ReplayKeyReused: something else was asked for with this key.
            Others as `start`.

        Cost: as `start`, and 2 WCU for the key; again, 1 read (1 RCU) more, and nothing else once it runs.
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
        if kept.status is ReplayStatus.QUEUED:
            self._start_next()
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
        return self._held(replay_id, ReplayStatus.PAUSED)

    def resume(self, replay_id: str) -> Replay:
        """Go on with a replay that was paused or failed, from where it was, in its turn; raises as `cancel`.

        One that is running gets a new run, which takes the place of the one before.
        """
        replay = self._change(replay_id, ReplayStatus.QUEUED)
        self._start_next()
        return replay

    def cancel(self, replay_id: str) -> Replay:
        """End a replay for good; what its step is just sending still goes out. Repeating it is harmless.

        Raises:
            ReplayNotFound, ReplayOver, StoreUnavailable.

        Cost: 1 read and 1 write; to leave the queue, 1 read and 1 transaction more (2 WCU, and 2 for each 26
        replays in it). To pause costs the same, to resume as much as `start` and 2 reads.
        """
        return self._held(replay_id, ReplayStatus.CANCELLED)

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

    def _start_next(self) -> None:
        with suppress(MalformedReplay):  # another one: who looks on schedule tells of it
            self._queue.start_next()

    def _held(self, replay_id: str, status: ReplayStatus) -> Replay:
        held = self._change(replay_id, status)
        self._store.leave(replay_id, seen=held)
        return held

    def _change(self, replay_id: str, status: ReplayStatus) -> Replay:
        for attempt in range(_TRIES):
            # Behind the first try, what is read may be what that has written.
            with write_in_doubt(f"{status} a replay") if attempt else nullcontext():
                before = self.get(replay_id)
            resumed = status is ReplayStatus.QUEUED
            if before.status is status:
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
                ended_us=now_us if status is ReplayStatus.CANCELLED else None,
                updated_us=now_us if resumed else before.updated_us,
            )
            changed = self._store.change(after, before=before)
            if changed is not None:
                return changed
        raise StoreUnavailable(operation=f"{status} a replay", reason="it kept changing meanwhile")


def _is_uid(text: str) -> bool:
    try:
        return str(UUID(text)) == text
    except ValueError:
        return False
