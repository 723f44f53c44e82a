"""Functions behind an event source mapping: their processes start cold, take any batch, stall and die."""

from __future__ import annotations

import random
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from math import inf
from typing import Any, Final, Generic, TypeVar

from tests.proof.world import Killed, World
from tests.simulator.event_source_mapping import (
    Change,
    Clock,
    EventSourceMapping,
    FunctionError,
    MaySend,
    Settings,
    Shard,
    always,
)

Process = TypeVar("Process")
_TIMEOUT_S: Final = 60.0
_LOOK_S: Final = 0.1


@dataclass(frozen=True)
class Function(Generic[Process]):
    """A function: how one of its processes starts, and how it handles a batch.

    Args:
        handle: gets the trigger's payload, and tells how many seconds are left.
    """

    start: Callable[[], Process]
    handle: Callable[[Process, Change, Callable[[], float]], Any]


class WorldClock(Clock):
    """An event source mapping's clock that is the world's: to set it is to wait."""

    def __init__(self, world: World) -> None:
        self._world = world

    @property
    def now_s(self) -> float:
        return self._world.now_us / 1_000_000

    @now_s.setter
    def now_s(self, now_s: float) -> None:
        self.sleep(max(0.0, now_s - self.now_s))

    def sleep(self, pause_s: float) -> None:
        self._world.sleep(pause_s)


class Invoked(Generic[Process]):
    """An event source mapping and its function.

    Some invocations are given up while they work, as when their answers get lost: then others get their
    batches, beside them.
    """

    def __init__(
        self,
        function: Function[Process],
        shards: list[Shard],
        world: World,
        rng: random.Random,
        *,
        may_send: MaySend = always,
    ) -> None:
        self._function, self._world, self._rng = function, world, rng
        self._processes: list[Process | None] = [None] * 4
        self._busy: set[int] = set()
        self._last: dict[str, int] = {}
        self._mapping = EventSourceMapping(
            shards,
            self._call,
            settings=Settings(batch_size=rng.choice([2, 5, 8, 20])),
            clock=WorldClock(world),
            rng=rng,
            may_send=may_send,
        )

    def run(self) -> None:
        """Process everything, and wait until nobody is at work any more."""
        self._mapping.run()
        while self._busy:
            self._world.sleep(_LOOK_S)

    def _call(self, trigger: Change, shard_id: str) -> Any:
        world, call = self._world, Future[Any]()
        while len(self._busy) == len(self._processes):
            world.sleep(_LOOK_S)
        place = self._rng.choice([place for place in range(len(self._processes)) if place not in self._busy])
        world.faults[f"{world.role}: another process takes the shard's next batch"] += (
            self._last.get(shard_id, place) != place
        )
        self._last[shard_id] = place
        self._busy.add(place)
        world.spawn(f"{world.role}-{place}", partial(self._invoke, place, trigger, call))
        given_up_us = inf
        if world.chance(0.15):
            given_up_us = world.now_us + 10 ** self._rng.uniform(-2, 1) * 1_000_000
        while not call.done():
            if world.now_us > given_up_us:
                world.faults[f"{world.role} given up while it works"] += 1
                raise FunctionError
            world.sleep(_LOOK_S)
        return call.result()

    def _invoke(self, place: int, trigger: Change, call: Future[Any]) -> None:
        try:
            call.set_result(self._handle(place, trigger))
        except Killed:
            self._processes[place] = None
            call.set_exception(FunctionError())
        finally:
            self._busy.remove(place)

    def _handle(self, place: int, trigger: Change) -> Any:
        world, process = self._world, self._processes[place]
        ends_us = world.now_us + round(_TIMEOUT_S * 1_000_000)
        if process is None or world.chance(0.1):
            process = self._processes[place] = self._function.start()
        answer = self._function.handle(process, trigger, lambda: (ends_us - world.now_us) / 1_000_000)
        perhaps_die(world, 0.1, f"{world.role} killed after its batch, before its answer")
        if world.now_us > ends_us:
            world.faults[f"{world.role} out of time"] += 1
            raise Killed
        return answer


def perhaps_die(world: World, share: float, kind: str) -> None:
    """End the process, by chance."""
    if world.chance(share):
        world.faults[kind] += 1
        raise Killed
