"""One call at a time, and none inside of another."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class OneAtATime:
    """Lets one call in; a second beside it, or out of it, is refused and not kept waiting.

    In a forked child the parent's doesn't count.

    Args:
        refusal: makes the error of the second.
    """

    def __init__(self, refusal: Callable[[], Exception]) -> None:
        self._refusal = refusal
        self._calls: dict[int, object] = {}

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Be the one call, until the end of the block."""
        process, call = os.getpid(), object()
        # Of two threads one is first: this is one step, also for a signal handler.
        if self._calls.setdefault(process, call) is not call:
            raise self._refusal()
        try:
            yield
        finally:
            self._calls.pop(process, None)
