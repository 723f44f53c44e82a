"""The end of a worker, asked for from anywhere: other threads, and signal handlers."""

from __future__ import annotations

from queue import Empty, SimpleQueue


class Stop:
    """Whether a worker is to stop, and its pauses, which end at once then.

    A signal handler runs in between any two steps of the main thread, also those of a pause. So nothing here
    takes a lock that the pause could hold, as an `Event` or a `Condition` does; `SimpleQueue.put` is made
    for this (it's reentrant).
    """

    def __init__(self) -> None:
        self._asked = False
        self._wake: SimpleQueue[None] = SimpleQueue()

    def ask(self) -> None:
        """Ask for the end; from any thread, and from a signal handler whatever it interrupts."""
        self._asked = True
        self._wake.put(None)

    def is_asked(self) -> bool:
        """Tell whether the end was asked for."""
        return self._asked

    def pause(self, seconds: float) -> None:
        """Wait for so long, or until the end is asked for."""
        if self._asked:
            return
        try:
            self._wake.get(timeout=seconds)
        except Empty:
            return
