"""The journal: up to where the processes of one consumer have published streams lately.

Lambda promises no affinity between a shard and a process, so what one process remembers another needs to
know. It spares reads and repeats and decides nothing else: without it, events are published more often, in
the same order.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Protocol


class Journal(Protocol):
    """What all processes of one consumer tell each other; best effort."""

    def published(self, stream_ids: Collection[str]) -> Mapping[str, int]:
        """Return up to which EventId streams are published: that event, and all before it.

        Args:
            stream_ids: the streams that are asked for; those of which nothing is known are left out.

        Raises:
            StoreUnavailable: nothing is known now; safe to go on without.
        """
        ...

    def add(self, published: Mapping[str, int]) -> None:
        """Note that these streams are published, up to the EventId of each.

        Raises:
            StoreUnavailable: it may not have been written; safe to go on.
        """
        ...


class NoJournal:
    """A `Journal` for a consumer that is one process alone."""

    def published(self, stream_ids: Collection[str]) -> Mapping[str, int]:  # noqa: ARG002 - it knows nothing
        """Note nothing."""
        return {}

    def add(self, published: Mapping[str, int]) -> None:
        """Keep nothing."""
