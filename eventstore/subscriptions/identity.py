"""Who a worker is: its id, and the session of the one process that it works in."""

from __future__ import annotations

import os
from uuid import uuid4


class Identity:
    """The id and session of a worker; a forked child is another worker.

    Two processes as one worker would take each other's leases for their own.

    Args:
        worker: the id that was given, which a child keeps (so the earlier worker ends with WorkerIdInUse);
            None has one made for each process.
    """

    def __init__(self, worker: str | None) -> None:
        self._given = worker
        self.take()

    def take(self) -> None:
        """Be the worker of this process."""
        self._process = os.getpid()
        self.worker = self._given or uuid4().hex
        self.session = uuid4().hex

    def is_inherited(self) -> bool:
        """Return whether this process was forked off the worker's."""
        return os.getpid() != self._process
