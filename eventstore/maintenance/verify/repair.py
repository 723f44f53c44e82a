"""What can be put back: index attributes, made from what is known about an event and its neighbours."""

from __future__ import annotations

import random
from collections.abc import Callable

from eventstore._arguments import check_functions, check_port
from eventstore._uids import uuid7_time_us
from eventstore.maintenance.items import StoredItem
from eventstore.maintenance.verify.segments import StoredEvents, whole


class IndexRepairer:
    """Gives items their GSIKey and Timestamp back.

    GSIKey is a random one of the read shards, as an append's. A Timestamp is never changed. A missing one
    becomes the one that the log has, else the time in the event's uid (a UUIDv7), if that lies between its
    neighbours', else the nearest that does; without neighbours and such a uid nothing is known, and nothing
    is made up.

    An event that is repaired so appears in the past of readers that have passed its Timestamp: their
    subscriptions have to be set back, or the event given to them by hand.

    Args:
        settled_until_us: the Timestamp of a stream's last event becomes lower than this.
        logged_us: tells the Timestamp that the log has of an event (stream id, EventId), if any.
        random_shard: picks one of so many shards.

    Cost: a missing Timestamp: 1 query and 1 RCU, and what `logged_us` costs to repair it. Each repaired
    item: 1 update, and 1 query to see it.
    """

    def __init__(
        self,
        *,
        table: StoredEvents,
        read_shards: int,
        settled_until_us: int,
        logged_us: Callable[[str, int], int | None] = lambda _stream_id, _event_id: None,
        random_shard: Callable[[int], int] = random.randrange,
    ) -> None:
        check_port(table, StoredEvents, "table", only=("repair",))
        check_functions(logged_us=logged_us, random_shard=random_shard)
        self._table = table
        self._read_shards = read_shards
        self._settled_until_us = settled_until_us
        self._logged_us = logged_us
        self._random_shard = random_shard

    def can_repair(self, item: StoredItem, *, behind_us: int) -> bool:
        """Return whether the item's index attributes can be made from what is known."""
        return self._timestamp_us(item, behind_us) is not None

    def repair(self, item: StoredItem, *, behind_us: int) -> StoredItem | None:
        """Make them; return the item as it is then, None when it was changed meanwhile.

        Args:
            behind_us: the Timestamp of the event before; 0 when there's none.
        """
        timestamp_us = self._timestamp_us(item, behind_us, logged_us=self._logged_us)
        assert timestamp_us is not None, "asked `can_repair` first"
        shard = whole(item.shard)
        if shard is None or shard >= self._read_shards:
            shard = self._random_shard(self._read_shards)
        if not self._table.repair(item, timestamp_us=timestamp_us, shard=shard):
            return None
        place = item.event_id
        return next(self._table.read_items(item.stream_id, from_version=place, to_version=place), None)

    def _timestamp_us(
        self,
        item: StoredItem,
        behind_us: int,
        *,
        logged_us: Callable[[str, int], int | None] | None = None,
    ) -> int | None:
        if item.timestamp is not None:
            return whole(item.timestamp)
        before_us = self._before_us(item)
        lowest, highest = behind_us + 1, (before_us or self._settled_until_us) - 1
        if lowest > highest:
            return None
        known_us = logged_us(item.stream_id, item.event_id) if logged_us else None
        if known_us is not None and lowest <= known_us <= highest:
            return known_us
        made_us = _made_us(item.uid)
        if made_us is not None:
            return min(max(made_us, lowest), highest)
        if behind_us:
            return lowest
        return highest if before_us else None

    def _before_us(self, item: StoredItem) -> int | None:
        """Return the next Timestamp in the stream, less room for those that miss theirs before it."""
        later = self._table.read_items(item.stream_id, from_version=item.event_id + 1)
        times = enumerate(whole(there.timestamp) for there in later)
        return next((time_us - missing for missing, time_us in times if time_us is not None), None)


def _made_us(uid: str | None) -> int | None:
    try:
        return uuid7_time_us(uid) if uid else None
    except ValueError:
        return None
