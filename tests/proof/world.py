"""A world of actors in virtual time: one runs at a time, and at each request another may take over.

Every actor has a thread of its own, for the code under test is plain blocking code; but only the holder of
the baton runs, and who gets it next is drawn from the seed. So a run is repeatable, and as odd as threads
can be.
"""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Callable
from typing import Final

NOON_US: Final = 1_769_860_800_000_000


class Killed(BaseException):
    """The process is gone: nothing that it would do next is done, and its memory is lost."""


class _Ended(BaseException):
    """The world ends before this actor does, since another one failed."""


class _Actor:
    def __init__(self, world: World, name: str, body: Callable[[], None]) -> None:
        self.name = name
        self.wake_us = world.now_us
        self.is_done = False
        self.error: BaseException | None = None
        self.baton = threading.Semaphore(0)
        self.thread = threading.Thread(target=self._run, args=(world, body), name=name, daemon=True)

    def _run(self, world: World, body: Callable[[], None]) -> None:
        world.current.actor = self
        self.baton.acquire()
        try:
            world.check()
            body()
        except _Ended:
            pass
        except BaseException as error:  # noqa: BLE001 - it's raised again where the world is run
            self.error = error
        finally:
            self.is_done = True
            world.returned.release()


class World:
    """Time, chance and turns; `faults` counts what was made to go wrong, by kind.

    Once `is_healed` is set nothing goes wrong any more.
    """

    def __init__(self, seed: int | str) -> None:
        self.rng = random.Random(seed)
        self.now_us = NOON_US
        self.faults: Counter[str] = Counter()
        self.is_healed = False
        self.returned = threading.Semaphore(0)
        self.current = threading.local()
        self._actors: list[_Actor] = []
        self._tick = 0
        self._is_ending = False

    @property
    def is_in_actor(self) -> bool:
        """Whether the caller holds the baton itself, not a thread that works for who does."""
        return getattr(self.current, "actor", None) is not None

    @property
    def role(self) -> str:
        """What the actor at hand is, such as `worker`; its name without its number."""
        actor: _Actor = self.current.actor
        return actor.name.rstrip("-0123456789")

    def tick(self) -> int:
        """Number what happens: of two moments the later one has the higher number."""
        self._tick += 1
        return self._tick

    def chance(self, share: float) -> bool:
        return self.rng.random() < share

    def spawn(self, name: str, body: Callable[[], None]) -> None:
        """Begin an actor; it runs when it's drawn."""
        actor = _Actor(self, name, body)
        self._actors.append(actor)
        actor.thread.start()

    def step(self) -> None:
        """Let others go first, perhaps."""
        self.sleep(0)

    def sleep(self, pause_s: float) -> None:
        """Wait in virtual time."""
        if not self.is_in_actor:
            return
        actor: _Actor = self.current.actor
        actor.wake_us = self.now_us + round(pause_s * 1_000_000)
        self.returned.release()
        actor.baton.acquire()
        self.check()

    def check(self) -> None:
        if self._is_ending:
            raise _Ended

    def run(self) -> None:
        """Run all actors to their ends; raise what one of them raised."""
        try:
            while self._actors:
                ready = [actor for actor in self._actors if actor.wake_us <= self.now_us]
                if not ready:
                    self.now_us = min(actor.wake_us for actor in self._actors)
                    continue
                self._turn(self.rng.choice(ready))
                self.now_us += self.rng.randrange(100, 2_000)
        except BaseException:
            self._is_ending = True
            for actor in list(self._actors):
                self._turn(actor)
            raise

    def _turn(self, actor: _Actor) -> None:
        actor.baton.release()
        self.returned.acquire()
        if actor.is_done:
            self._actors.remove(actor)
            actor.thread.join()
            if actor.error is not None and not self._is_ending:
                raise actor.error
