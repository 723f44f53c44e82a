"""Replays kept in memory: the whole contract, for tests and for trying things out."""

from __future__ import annotations

from dataclasses import replace

from eventstore.errors import StoreUnavailable
from eventstore.limits import REPLAYS_QUEUE_MAX
from eventstore.memory.locks import Locked
from eventstore.replays.model import QUEUE_IS_FULL, Replay, ReplayStatus


class MemoryReplays(Locked):
    """A `ReplayStore` that keeps its replays in this process; safe to use from several threads."""

    def __init__(self) -> None:
        super().__init__()
        self._replays: dict[str, Replay] = {}
        self._ids: dict[str, str] = {}
        self._queue: list[str] = []

    def create(self, replay: Replay) -> Replay:
        """Keep a new replay; see `ReplayStore.create`."""
        with self._lock:
            before = self._ids.get(replay.request_key, replay.replay_id)
            if before != replay.replay_id:
                return self._replays[before]
            self._enqueue(replay, "create a replay")
            if replay.request_key:
                self._ids[replay.request_key] = replay.replay_id
            return self._keep(replay)

    def get(self, replay_id: str) -> Replay | None:
        """Read a replay; see `ReplayStore.get`."""
        with self._lock:
            return self._replays.get(replay_id)

    def latest(self, *, limit: int) -> list[Replay]:
        """Read the newest replays; see `ReplayStore.latest`."""
        with self._lock:
            return [self._replays[replay_id] for replay_id in sorted(self._replays, reverse=True)[:limit]]

    def claim(self, replay: Replay, *, until_us: int) -> Replay | None:
        """Begin a step; see `ReplayStore.claim`."""
        with self._lock:
            there = self._replays.get(replay.replay_id)
            if there is None or there.status is not ReplayStatus.RUNNING:
                return None
            if (there.fence, there.run) != (replay.fence, replay.run):
                return None
            begun, failed_steps = there.fence + 1, there.failed_steps + 1
            return self._keep(replace(there, fence=begun, failed_steps=failed_steps, lease_until_us=until_us))

    def save(self, replay: Replay) -> Replay | None:
        """Store how far a replay is; see `ReplayStore.save`."""
        with self._lock:
            there = self._replays.get(replay.replay_id)
            if there is None or there.fence != replay.fence:
                return None
            return self._keep(
                replace(
                    there,
                    position=replay.position,
                    sent=replay.sent,
                    first_us=replay.first_us,
                    active_us=replay.active_us,
                    updated_us=replay.updated_us,
                    paced_until_us=replay.paced_until_us,
                    failed_steps=replay.failed_steps,
                    reason=replay.reason,
                    lease_until_us=replay.lease_until_us,
                )
            )

    def change(self, replay: Replay, *, before: Replay) -> Replay | None:
        """Store where a replay is; see `ReplayStore.change`."""
        with self._lock:
            there = self._replays.get(replay.replay_id)
            if there is None or (there.status, there.run) != (before.status, before.run):
                return None
            self._enqueue(replay, "resume a replay")
            return self._keep(
                replace(
                    there,
                    status=replay.status,
                    reason=replay.reason,
                    run=replay.run,
                    ended_us=replay.ended_us,
                    updated_us=replay.updated_us,
                    failed_steps=replay.failed_steps,
                )
            )

    def queue(self) -> list[str]:
        """Read the queue; see `ReplayStore.queue`."""
        with self._lock:
            return list(self._queue)

    def leave(self, replay_id: str, *, seen: Replay | None) -> None:
        """Take a replay out of the queue; see `ReplayStore.leave`."""
        with self._lock:
            there = self._replays.get(replay_id)
            now, then = (None if of is None else (of.status, of.run) for of in (there, seen))
            if now == then:
                self._queue = [other for other in self._queue if other != replay_id]

    def _enqueue(self, replay: Replay, operation: str) -> None:
        if replay.status is not ReplayStatus.QUEUED:
            return
        if len(self._queue) >= REPLAYS_QUEUE_MAX:
            raise StoreUnavailable(operation=operation, reason=QUEUE_IS_FULL)
        self._queue.append(replay.replay_id)

    def _keep(self, replay: Replay) -> Replay:
        self._replays[replay.replay_id] = replay
        return replay
