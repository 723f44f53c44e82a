"""ministack, made fit for a log of some size: `python -m localcloud.emulator` runs it.

Its tables are kept in order (`ordered_tables`), and the functions that consume a table's stream run beside
each other. Where ministack isn't as expected, it runs as it is, and its log says so (docs/adr/0003). When it
is asked to keep what it holds between runs (`kept_services`), it doesn't run then.
"""

# ruff: noqa: SLF001 - ministack's inside is what this file is about

from __future__ import annotations

import importlib
import logging
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from localcloud.kept_services import Keeper
from localcloud.kept_store import KEPT, KeptStore
from localcloud.ordered_tables import OrderedTables

_LOG: Final = logging.getLogger("localcloud")


class ConcurrentConsumers:
    """Lets each function that consumes a table's stream run beside the others, as Lambda does.

    ministack has one thread for all of them: what publishes waits while the log is written.

    Args:
        module: `ministack.services.lambda_svc`; its functions are replaced for the life of the process.
        spawn: runs a function in a thread of its own.

    Raises:
        AttributeError: the module is not as expected; it is left as it was.
    """

    def __init__(self, module: Any, *, spawn: Callable[..., None]) -> None:
        self._poll = module._poll_dynamodb_streams
        self._mappings = module._iter_all_esms
        self._wake = module._esm_wake
        self._spawn = spawn
        self._only = threading.local()
        self._running: set[str] = set()
        module._poll_dynamodb_streams, module._iter_all_esms = self.poll, self.mappings

    def mappings(self) -> Iterator[Any]:
        """Give the event source mappings; to the thread of one of them that one only."""
        only = getattr(self._only, "uuid", None)
        return (found for found in self._mappings() if only is None or found[2]["UUID"] == only)

    def poll(self) -> bool:
        """Let every consumer that rests look for records; ministack calls this at once when there are any."""
        for *_, mapping in self._mappings():
            uuid = mapping["UUID"]
            if ":dynamodb:" in mapping.get("EventSourceArn", "") and uuid not in self._running:
                self._running.add(uuid)
                self._spawn(self._consume, uuid, thread_name=f"stream-{uuid}")
        return False

    def _consume(self, uuid: str) -> None:
        self._only.uuid = uuid
        consumed = False
        try:
            while self._poll():
                consumed = True
        finally:
            self._running.discard(uuid)
            if consumed:
                self._wake.set()  # what came since the last look is taken at once


def main() -> None:
    """Run ministack; keep its tables in order where that's possible."""
    try:
        OrderedTables(importlib.import_module("ministack.services.dynamodb"))
    except (AttributeError, TypeError, ImportError):
        _LOG.exception("This ministack is not the one known: its tables are slow from 30,000 events on")
    try:
        ConcurrentConsumers(
            importlib.import_module("ministack.services.lambda_svc"),
            spawn=importlib.import_module("ministack.core.concurrency").spawn_background,
        )
    except (AttributeError, ImportError):
        _LOG.exception("This ministack is not the one known: what consumes a table's stream takes turns")
    app = importlib.import_module("ministack.app")
    kept = os.environ.get(KEPT)
    if kept:
        Keeper(app, KeptStore(Path(kept)))  # which raises if it isn't as expected: nothing is kept by halves
    app.main()


if __name__ == "__main__":
    main()
