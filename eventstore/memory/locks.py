"""What is kept in memory goes on in a forked child: its data is whole there, and its lock is free.

A thread that changes something at the moment of a fork isn't there in the child to end that, or to give its
lock back. So a fork waits for such threads first, and in the child each lock is a new one.
"""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections.abc import Sequence
from typing import Any, Final

_PATIENCE_S: Final = 1.0
"""How long a fork waits for locks: a clock that is called under one may hold it for long."""

_owners: dict[int, weakref.ref[Locked]] = {}
_of_this_fork = threading.local()


class Locked:
    """Something that threads share under ``self._lock``, fit for use in each forked child as well."""

    def __init__(self) -> None:
        # Reentrant: the thread that forks may be the one that holds it.
        self._lock = threading.RLock()
        key = id(self)
        _owners[key] = weakref.ref(self, lambda _: _owners.pop(key, None))


def _take_locks() -> None:
    _of_this_fork.held = _taken([owner._lock for owner in _living()])  # noqa: SLF001


def _give_back() -> None:
    for lock in _of_this_fork.held:
        lock.release()


def _make_new_locks() -> None:
    for owner in _living():
        owner._lock = threading.RLock()  # noqa: SLF001


def _taken(locks: Sequence[Any]) -> list[Any]:
    """Take all locks; after `_PATIENCE_S`, those that can be had."""
    until = time.monotonic() + _PATIENCE_S
    awaited = None
    while True:
        held = [lock for lock in locks if lock is awaited or lock.acquire(blocking=False)]
        if len(held) == len(locks) or time.monotonic() >= until:
            return held
        for lock in held:
            lock.release()
        # Wait for one while none is held: who has it may need another one.
        awaited = next(lock for lock in locks if lock not in held)
        if not awaited.acquire(timeout=max(0.0, until - time.monotonic())):
            awaited = None


def _living() -> list[Locked]:
    return [owner for reference in [*_owners.values()] if (owner := reference()) is not None]


if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
    os.register_at_fork(before=_take_locks, after_in_parent=_give_back, after_in_child=_make_new_locks)
