"""Ports whose writes under a fence are recorded: who was let through, and who was refused."""

from __future__ import annotations

from typing import Any, Final

from eventstore.errors import LeaseLost
from tests.proof.history import Fenced
from tests.proof.world import World

_TAKES: Final = frozenset({"claim", "take"})
_WRITES: Final = frozenset({"park", "release", "renew", "save"})


class Watched:
    """A `Checkpoints` or `ReplayStore`: records writes that were told to be done, and counts the others.

    Args:
        stall_s: for how long a caller may stall before a write; it's then a former owner, mostly.
    """

    def __init__(self, port: Any, world: World, fenced: list[Fenced], *, stall_s: float = 0.0) -> None:
        self._port, self._world, self._fenced, self._stall_s = port, world, fenced, stall_s

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._port, name)
        if name not in _TAKES | _WRITES:
            return method

        def call(*args: Any, **options: Any) -> Any:
            held = next(arg for arg in args if hasattr(arg, "fence"))
            if self._stall_s and name in _WRITES and not self._world.is_healed:
                self._perhaps_stall(share=0.2 if name == "park" else 0.06)
            invoked = self._world.tick()
            try:
                answer = method(*args, **options)
            except LeaseLost:
                self._world.faults["write of a former owner refused"] += 1
                raise
            is_done = answer is not None or name in {"park", "release"}
            if is_done:
                what = f"tranche {held.tranche}" if hasattr(held, "tranche") else "the replay"
                fence, takes = held.fence + (name in _TAKES), name in _TAKES
                self._fenced.append(Fenced(what, fence, takes, invoked, self._world.tick()))
                self._world.faults["lease taken over"] += takes and _is_anothers(held, options)
            elif name in _WRITES:
                self._world.faults["write of a former owner refused"] += 1
            return answer

        return call

    def _perhaps_stall(self, *, share: float) -> None:
        if self._world.chance(share):
            self._world.faults["worker stalled before a write under its fence"] += 1
            self._world.sleep(self._stall_s * (1 + self._world.rng.random()))


def _is_anothers(held: Any, options: Any) -> bool:
    """Return whether a lease that is taken was not freed by its owner: it's gone, or stalls."""
    if hasattr(held, "owner"):
        return held.owner not in {None, options["owner"]}
    return bool(held.lease_until_us)
