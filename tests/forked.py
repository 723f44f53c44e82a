"""A forked child of a test's own process: for programs that tests run, since pytest's must not be forked."""

from __future__ import annotations

import os
import signal
import traceback
from collections.abc import Callable


def in_child(
    work: Callable[[], object], *, meanwhile: Callable[[], object] = lambda: None, patience_s: int = 0
) -> int:
    """Fork, work in the child, and return its exit code: 0 when that was done without an error.

    Args:
        meanwhile: is done by the parent before it waits.
        patience_s: after this the child is ended by SIGALRM; 0 for never.
    """
    pid = os.fork()
    if pid == 0:
        signal.alarm(patience_s)
        code = 1
        try:
            work()
            code = 0
        except BaseException:  # noqa: BLE001 - the child ends here, whatever it was
            traceback.print_exc()
        os._exit(code)
    meanwhile()
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
