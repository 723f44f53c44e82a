"""What this process has delivered itself, so far as it remembers."""

from __future__ import annotations

from collections import OrderedDict

from eventstore.limits import STREAMS_REMEMBERED


class DeliveredStreams:
    """Remembers which events this process has published itself: of each stream the last run of them.

    The last run, not only the last event: what came before the run was published by another process, or
    arrives late, and is never passed over.
    """

    def __init__(self, *, max_streams: int = STREAMS_REMEMBERED) -> None:
        self._max_streams = max_streams
        self._runs: OrderedDict[str, tuple[int, int]] = OrderedDict()

    def add(self, stream_id: str, event_id: int) -> None:
        """Remember that an event was published or parked."""
        if event_id < 1:
            return
        first, last = self._runs.get(stream_id, (event_id, event_id))
        if event_id == first - 1:
            first = event_id
        elif event_id == last + 1:
            last = event_id
        elif event_id > last:
            first = last = event_id
        self._runs[stream_id] = first, last
        self._runs.move_to_end(stream_id)
        if len(self._runs) > self._max_streams:
            self._runs.popitem(last=False)

    def has(self, stream_id: str, event_id: int) -> bool:
        """Return whether this process has published an event, as far as it remembers."""
        first, last = self._runs.get(stream_id, (0, -1))
        return first <= event_id <= last

    def through(self, stream_id: str) -> int:
        """Return the last event that this process has published, with all before it; 0 for none."""
        return self._runs.get(stream_id, (0, 0))[1]

    def last_before(self, stream_id: str, event_id: int) -> int:
        """Return the last event before another that was published by this process; 0 for none known."""
        last = self._runs.get(stream_id, (0, 0))[1]
        return last if last < event_id else 0
