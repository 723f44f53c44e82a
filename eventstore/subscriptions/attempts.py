"""Trying an event until it's handled, with growing pauses."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

from eventstore.events import Event
from eventstore.subscriptions.terms import Handler

_LOGGER: Final = logging.getLogger("eventstore.subscriptions")
_REASON_MAX_CHARS: Final = 1_000
_BACKOFF_MAX_S: Final = 5.0


class Attempts:
    """Calls a handler, again after it has raised.

    Args:
        handler: handles one event, or raises.
        max_tries: how often an event is given to it.
        sleep, jitter: time and chance.
    """

    def __init__(
        self,
        handler: Handler,
        *,
        max_tries: int,
        sleep: Callable[[float], object],
        jitter: Callable[[], float],
    ) -> None:
        self._handler = handler
        self._max_tries = max_tries
        self._sleep = sleep
        self._jitter = jitter

    def make(self, event: Event, *, keep: Callable[[], bool]) -> str:
        """Try an event until it's handled, or tell why it isn't.

        Args:
            keep: asked after each pause; False ends the attempts.
        """
        reason = ""
        for attempt in range(1, self._max_tries + 1):
            try:
                self._handler(event)
                return ""
            except Exception as error:  # noqa: BLE001 - whatever a handler raises is its failure
                reason = f"{type(error).__name__}: {error}"[:_REASON_MAX_CHARS]
                _LOGGER.info("event %s of %s failed: %s", event.event_id, event.stream_id, reason)
            if attempt < self._max_tries:
                self.pause(attempt)
                if not keep():
                    break
        return reason

    def pause(self, attempt: int) -> None:
        """Wait behind so many attempts that failed in a row: 0.1, 0.2, 0.4 ... 5 s at most."""
        self._sleep(min(_BACKOFF_MAX_S, 0.1 * 2.0 ** min(attempt - 1, 10)) * self._jitter())
