"""What was read lately, kept for other threads of this process; and who is just reading what."""

from __future__ import annotations

import copy
import threading
from collections import OrderedDict
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from eventstore.errors import TransientError

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


@dataclass(slots=True, eq=False)
class Reading(Generic[Key, Value]):
    """A read that is under way in one thread, for which others wait."""

    found: Mapping[Key, Value] | None = None
    """What it has found; None while it's under way, and when it has failed."""
    error: TransientError | None = None
    over: threading.Event = field(default_factory=threading.Event)

    def wait(self) -> Mapping[Key, Value] | None:
        """Wait for its end; return what it has found, None for who has to read for themselves.

        Raises:
            TransientError: what it reads from is away. Each who waits is told so, and asks later: one after
                the other would wait for all tries of those before.
        """
        self.over.wait()
        if self.error:
            raise copy.copy(self.error) from self.error
        return self.found


class Recent(Generic[Key, Value]):
    """Keeps what was read for so long, in so many bytes; safe to use from several threads.

    Args:
        most_bytes: of what is kept, by `size_bytes`; what was read the longest ago goes first.
        keep_s: for so long.
        monotonic: seconds.
    """

    def __init__(
        self,
        *,
        most_bytes: int,
        keep_s: float,
        size_bytes: Callable[[Value], int],
        monotonic: Callable[[], float],
    ) -> None:
        self._most_bytes = most_bytes
        self._keep_s = keep_s
        self._size_bytes = size_bytes
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._kept: OrderedDict[Key, tuple[Value, int, float]] = OrderedDict()
        self._readings: dict[Key, Reading[Key, Value]] = {}
        self.bytes = 0

    def follow(self, key: Key, behind: Callable[[Value], Key], *, most: int) -> list[Value]:
        """Return the value of a key, that of the key behind it and so on, as far as they are kept."""
        found: list[Value] = []
        with self._lock:
            self._forget()
            while len(found) < most and (kept := self._kept.get(key)):
                found.append(kept[0])
                key = behind(kept[0])
        return found

    def claim(
        self, keys: Iterable[Key]
    ) -> tuple[dict[Key, Value], dict[Key, Reading[Key, Value]], Reading[Key, Value], list[Key]]:
        """Return what is there of keys, what others are just reading, and what is to be read by who asks.

        Returns:
            The values that are kept; who reads which others; a reading of the rest, and its keys. This has
            to be given to `end`, whatever comes of it.
        """
        found: dict[Key, Value] = {}
        others: dict[Key, Reading[Key, Value]] = {}
        ours: list[Key] = []
        reading: Reading[Key, Value] = Reading()
        with self._lock:
            self._forget()
            for key in dict.fromkeys(keys):
                if kept := self._kept.get(key):
                    found[key] = kept[0]
                elif key in self._readings:
                    others[key] = self._readings[key]
                else:
                    ours.append(key)
                    self._readings[key] = reading
        return found, others, reading, ours

    def end(self, reading: Reading[Key, Value], keys: Collection[Key]) -> None:
        """Keep what a reading has found, and let those go on who wait for it."""
        with self._lock:
            for key in keys:
                self._readings.pop(key, None)
            for key, value in (reading.found or {}).items():
                self._keep(key, value)
            self._forget()
        reading.over.set()

    def _keep(self, key: Key, value: Value) -> None:
        if key in self._kept:
            self.bytes -= self._kept.pop(key)[1]
        size_bytes = self._size_bytes(value)
        self._kept[key] = value, size_bytes, self._monotonic()
        self.bytes += size_bytes

    def _forget(self) -> None:
        since = self._monotonic() - self._keep_s
        while self._kept:
            _, size_bytes, at = next(iter(self._kept.values()))
            if self.bytes <= self._most_bytes and at > since:
                return
            self._kept.popitem(last=False)
            self.bytes -= size_bytes
