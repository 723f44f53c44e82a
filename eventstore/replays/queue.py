"""The queue of replays: so many run at once, the others wait, in the order in which they were asked for.

The queue is one list, in one item, and new ones are appended to it: **its first `at_once` run.** One that
was among them stays among them, since nothing ever comes before it, and so at most as many are begun as may
run. A replay comes into the list by the write that makes it queued, and leaves it after the write that ends,
pauses or fails it; so none is ever lost, whoever dies in between. One that waits is an id in a list, and
costs nothing.

Whoever changes what runs looks at the list: the request that begins or resumes a replay, the step that ends
one, and a schedule, for whatever ended without a word. Looking twice is looking once: a run is begun by its
name, which the engine takes once.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final, TypeGuard

from eventstore._arguments import check_functions, check_port, check_whole
from eventstore.errors import MalformedReplay
from eventstore.limits import REPLAY_LEASE_S, REPLAY_SILENT_S, REPLAYS_AT_ONCE, REPLAYS_AT_ONCE_MAX
from eventstore.replays.model import Replay, ReplayEngine, ReplayStatus, ReplayStore

_SECOND_US: Final = 1_000_000
_WANTED: Final = frozenset({ReplayStatus.QUEUED, ReplayStatus.RUNNING})


class ReplayQueue:
    """Begins the runs of the replays whose turn it is.

    Args:
        store, engine: where they are kept, and what runs them.
        at_once: how many run at once, 1 to `REPLAYS_AT_ONCE_MAX`. With a lower one than before, those that
            run go on, and none is begun until so few are left.
        clock_us: time, to be replaced in tests.

    Raises:
        InvalidArgument, NotSynchronous: an argument that can't be used.
    """

    def __init__(
        self,
        *,
        store: ReplayStore,
        engine: ReplayEngine,
        at_once: int = REPLAYS_AT_ONCE,
        clock_us: Callable[[], int] = lambda: time.time_ns() // 1_000,
    ) -> None:
        check_port(store, ReplayStore, "store")
        check_port(engine, ReplayEngine, "engine")
        check_whole(at_once, "at_once", most=REPLAYS_AT_ONCE_MAX)
        check_functions(clock_us=clock_us)
        self._store = store
        self._engine = engine
        self._at_once = at_once
        self._clock_us = clock_us

    def start_next(self) -> int:
        """Begin the runs of those whose turn it is and that don't run; return how many wait.

        May be called at any time, by anybody, however often. One of which nothing was stored for
        `REPLAY_SILENT_S` has lost its execution, and gets a new run in its place.

        Raises:
            StoreUnavailable: some may not have been begun; the next call begins them.
            MalformedReplay: one can't be read, and keeps its place; the others were begun.

        Cost: 1 read for the queue (1 RCU for each 100 in it), and 1 for each of its first `at_once` (1 RCU);
        1 StartExecution for each that is begun; 1 transaction for each that is over.
        """
        turn, waiting = self._turn()
        malformed: list[MalformedReplay] = []
        for replay in turn:
            if isinstance(replay, MalformedReplay):
                malformed.append(replay)
            else:
                self._begin(replay)
        if malformed:
            raise malformed[0]
        return waiting

    def _turn(self) -> tuple[list[Replay | MalformedReplay], int]:
        """Read those whose turn it is, after what is over has left the queue; and how many wait."""
        ids, seen = self._look()
        while self._leave(seen):
            ids, seen = self._look()
        return [replay for replay in seen.values() if replay], len(ids) - len(seen)

    def _look(self) -> tuple[list[str], dict[str, Replay | MalformedReplay | None]]:
        ids = list(dict.fromkeys(self._store.queue()))
        return ids, {replay_id: self._read(replay_id) for replay_id in ids[: self._at_once]}

    def _leave(self, seen: Mapping[str, Replay | MalformedReplay | None]) -> bool:
        """Take what is over off the queue; return whether anything was."""
        gone = {replay_id: replay for replay_id, replay in seen.items() if _is_over(replay)}
        for replay_id, replay in gone.items():
            self._store.leave(replay_id, seen=replay)
        return bool(gone)

    def _read(self, replay_id: str) -> Replay | MalformedReplay | None:
        try:
            return self._store.get(replay_id)
        except MalformedReplay as malformed:
            return malformed

    def _begin(self, replay: Replay) -> None:
        if replay.status is ReplayStatus.QUEUED and self._engine.start(replay):
            return
        now_us = self._clock_us()
        last_us = max(replay.updated_us, replay.lease_until_us - round(REPLAY_LEASE_S * _SECOND_US))
        if now_us - last_us <= REPLAY_SILENT_S * _SECOND_US:
            return
        again = replace(replay, status=ReplayStatus.QUEUED, run=replay.run + 1, updated_us=now_us)
        changed = self._store.change(again, before=replay)
        if changed is not None:
            self._engine.start(changed)


def _is_over(replay: Replay | MalformedReplay | None) -> TypeGuard[Replay | None]:
    return replay is None or (isinstance(replay, Replay) and replay.status not in _WANTED)
