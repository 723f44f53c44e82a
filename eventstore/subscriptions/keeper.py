"""Keeps a worker's leases while its handler is at work with one event."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

_LOGGER: Final = logging.getLogger("eventstore.subscriptions")


class Keeper:
    """Renews leases out of a thread of its own, but for no longer than one call of the handler may take.

    A call that takes longer loses its leases, as a worker that is gone does: whoever takes them over counts
    the event as begun, and gives it up after `Terms.max_starts`.

    Args:
        renew: renews what is held; called in this thread only while `beside` is entered.
        interval_s: so often it's looked whether that's due.
        most_s: for so long a call is renewed.
        begun_at: when the call began that is the longest at work in another thread; None for none.
        monotonic: seconds.
        has_thread: without one, it's only looked when `look` is called.
    """

    def __init__(
        self,
        renew: Callable[[], object],
        *,
        interval_s: float,
        most_s: float,
        monotonic: Callable[[], float],
        begun_at: Callable[[], float | None] = lambda: None,
        has_thread: bool,
    ) -> None:
        self._renew = renew
        self._interval_s = interval_s
        self._most_s = most_s
        self._begun_elsewhere_at = begun_at
        self._monotonic = monotonic
        self._has_thread = has_thread
        self._begin_anew()

    def _begin_anew(self) -> None:
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._thread: threading.Thread | None = None
        self._process = os.getpid()
        self._begun_at: float | None = None
        self._renewed_at = 0.0

    @contextmanager
    def beside(self) -> Iterator[None]:
        """Keep the leases for as long as the block lasts; behind it nothing is renewed any more."""
        if self._process != os.getpid():  # a fork takes no thread along, and a lock as it is
            self._begin_anew()
        if self._has_thread and self._thread is None:
            self._thread = threading.Thread(
                target=self._run, args=(self._over,), name="eventstore-leases", daemon=True
            )
            self._thread.start()
        self._begun_at = self._renewed_at = self._monotonic()
        try:
            yield
        finally:
            with self._lock:  # behind a renewal that is under way
                self._begun_at = None

    def look(self) -> None:
        """Renew the leases when a call is at work and it's time."""
        with self._lock:
            begun_at, now = self._begun_at, self._monotonic()
            if begun_at is None or now - self._renewed_at < self._interval_s:
                return
            # A call that has begun ahead counts from there, not from when its turn came.
            elsewhere_at = self._begun_elsewhere_at()
            if now - (begun_at if elsewhere_at is None else min(begun_at, elsewhere_at)) > self._most_s:
                return
            try:
                self._renew()
                self._renewed_at = now
            except Exception as error:  # noqa: BLE001 - the worker meets it, too, between events
                _LOGGER.warning("leases can't be renewed while an event is handled: %s", error)

    def end(self) -> None:
        """End the thread; a later call begins another."""
        self._over.set()
        self._over, self._thread = threading.Event(), None

    def _run(self, over: threading.Event) -> None:
        while not over.wait(self._interval_s / 2):
            self.look()
