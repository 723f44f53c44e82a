"""The uids of a command's events, by which a command that was done is found where its streams are folded."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from typing import Final
from uuid import UUID, uuid5

from eventstore._arguments import check_text
from eventstore._backoff import Backoff
from eventstore.errors import StoreUnavailable
from eventstore.events import Event

_COMMANDS: Final = UUID("6f1d5a0e-9d1e-4b7e-8a43-2f1c0a6b7e55")
_BACKOFF: Final = Backoff(0.02)
VISIBLE_TRIES: Final = 8
"""Looks for the rest of a command's events, which are becoming visible: 5 s in all (ours)."""


class CommandUids:
    """Which uids the events of a command have, and which of these events were found.

    The last event's uid is made otherwise than those before it: so it shows whether all are there.
    """

    def __init__(self, command_id: str | UUID | None, *stream_ids: str) -> None:
        self._command_id = command_id
        self._prefix = ""
        self.found: list[Event] = []
        self._is_whole = False
        if command_id is not None:
            check_text(str(command_id) if isinstance(command_id, UUID) else command_id, "command_id")
            streams = "".join(f"{len(stream_id)}:{stream_id}:" for stream_id in stream_ids)
            self._prefix = f"{streams}{command_id}"
        self._expect()

    def not_visible(self) -> StoreUnavailable:
        """Return the error for a command of which the rest of the events doesn't come."""
        what = f"of the events of the command {self._command_id} only {len(self.found)} are visible yet"
        return StoreUnavailable(operation="read of the stream", reason=what)

    @property
    def is_becoming_visible(self) -> bool:
        """Whether some of its events were found, and the last one wasn't."""
        return bool(self.found) and not self._is_whole

    def look_at(self, event: Event) -> None:
        """Note an event when it's the command's next, whoever has appended it."""
        if event.uid not in self._next or self._is_whole:
            return
        self._is_whole = event.uid == self._next[1]
        self.found.append(event)
        self._expect()

    def uids(self, count: int) -> Sequence[str | None]:
        """Return the uids of so many events."""
        if not self._prefix:
            return [None] * count
        return [self._uid(index, is_last=index == count - 1) for index in range(count)]

    def _expect(self) -> None:
        index = len(self.found)
        self._next = ("", "")
        if self._prefix:
            self._next = self._uid(index, is_last=False), self._uid(index, is_last=True)

    def _uid(self, index: int, *, is_last: bool) -> str:
        return str(uuid5(_COMMANDS, f"{self._prefix}:{index}{'.' if is_last else ''}"))


def pause(attempt: int) -> None:
    """Pause before the next look or try, the first attempt being 0."""
    time.sleep(_BACKOFF.pause_s(attempt + 1, jitter=random.random()))
