"""Signals that end a process: an exception for most commands, a note for one that must not be cut in two."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

_ENDING: Final = ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGBREAK")


class Signals:
    """What asks the process to end: Ctrl-C, `kill`, a terminal that is closed.

    The first one raises KeyboardInterrupt, so that everything is cleaned up; while `noted`, it's only
    remembered. Later ones are passed over, for they would interrupt the cleaning up: `kill -9` can't be.
    """

    def __init__(self) -> None:
        self._asked = False
        self._raises = True

    def install(self) -> None:
        """Handle them from now on, but for those that the process was started to ignore, as by `nohup`."""
        for name in _ENDING:
            number = getattr(signal, name, None)  # not every system has each
            if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._handle)

    @contextmanager
    def noted(self, tell: Callable[[], None]) -> Iterator[Callable[[], bool]]:
        """Only note signals for a while; gives what returns whether one came.

        Args:
            tell: is called once when one comes, to say that the end takes a moment.

        Raises:
            KeyboardInterrupt: at the end, when one came.
        """
        told = False

        def asked() -> bool:
            nonlocal told
            if self._asked and not told:
                told = True
                tell()
            return self._asked

        self._raises = False
        try:
            yield asked
        finally:
            self._raises = True
        if self._asked:
            raise KeyboardInterrupt

    def _handle(self, _number: int, _frame: FrameType | None) -> None:
        first, self._asked = not self._asked, True
        if first and self._raises:
            raise KeyboardInterrupt
