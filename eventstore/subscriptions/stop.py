"""The end of a worker, asked for from anywhere: other threads, and signal handlers."""

from __future__ import annotations

import threading
from contextlib import suppress


class Stop:
    """Whether a worker is to stop, and its pauses, which end at once then.

    A signal handler runs in between any two steps of the main thread, also those of a pause. So nothing here
    takes a lock that the pause could hold, as an `Event` or a `Condition` does: one lock is held from the
    beginning, a pause waits for it in vain, and to ask is to release it. (`SimpleQueue.get` waits for ever
    where its process is halted for longer than its timeout, at the wrong moment.)
    """

    def __init__(self) -> None:
        self._asked = False
        self._until_asked = threading.Lock()
        self._until_asked.acquire()

    def ask(self) -> None:
        """Ask for the end; from any thread, and from a signal handler whatever it interrupts."""
        self._asked = True
        with suppress(RuntimeError):  # asked before: it's released
            self._until_asked.release()

    def is_asked(self) -> bool:
        """Return whether the end was asked for."""
        return self._asked

    def forget(self) -> None:
        """Begin again: what was asked for has come about."""
        self._asked = False
        self._until_asked.acquire(blocking=False)  # held still, or by the pause that it ended

    def pause(self, seconds: float) -> None:
        """Wait for so long, or until the end is asked for."""
        if self._asked:
            return
        self._until_asked.acquire(timeout=seconds)
