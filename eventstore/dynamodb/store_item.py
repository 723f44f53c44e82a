"""The store's own item as a process has it, and since when."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from eventstore.dynamodb.numbers import NotWhole, whole
from eventstore.dynamodb.schema.events import (
    EPOCH,
    FORMAT,
    FORMAT_VERSION,
    READ_SHARDS,
    READ_SHARDS_BEFORE,
    SINCE,
    TABLE,
)
from eventstore.errors import MalformedStoreItem, StoreFormatUnknown
from eventstore.limits import FACTS_CLOCKS_S, FACTS_SPREAD_S, SHARDS_MAX, TIMESTAMP_MAX_US

_SPREAD_US: Final = round(FACTS_SPREAD_S * 1_000_000)
_CLOCKS_US: Final = round(FACTS_CLOCKS_S * 1_000_000)


@dataclass(frozen=True, slots=True)
class Moment:
    """A moment by a clock that can be set, and by one that can't."""

    time_us: int
    monotonic_s: float

    def is_within(self, span_us: int, *, of: Moment) -> bool:
        """Return whether both clocks say that it's less than so long after another."""
        passed_us = round((self.monotonic_s - of.monotonic_s) * 1_000_000)
        return 0 <= self.time_us - of.time_us < span_us and passed_us < span_us

    def is_after(self, span_us: int, *, of: Moment) -> bool:
        """Return whether both clocks say that it's at least so long after another."""
        passed_us = round((self.monotonic_s - of.monotonic_s) * 1_000_000)
        return min(passed_us, self.time_us - of.time_us) >= span_us


@dataclass(frozen=True, slots=True)
class Copy:
    """The item as it was read or written."""

    item: Mapping[str, Any]
    """Whole, with what a later version may have added."""
    read_shards: int
    read_shards_before: int
    since_us: int
    """By the clock of the writer who raised it."""
    seen: Moment
    """By this process's clocks: when it first saw this number."""
    table: str | None
    """The name of the table that it was written for."""
    epoch_us: int | None
    """When its last restore was declared."""

    def is_later(self, other: Copy) -> bool:
        """Return whether it has a number that the other one doesn't have yet."""
        return self.read_shards > other.read_shards or (self.epoch_us or 0) > (other.epoch_us or 0)

    def known_to_all(self, *, now: Moment) -> int:
        """Return how many shards every reader knows of.

        By this process's own clocks, since it saw the number; or by the writer's, with room for a difference.
        """
        is_old = now.time_us - self.since_us >= _SPREAD_US + _CLOCKS_US
        is_known = is_old or now.is_after(_SPREAD_US, of=self.seen)
        return self.read_shards if is_known else self.read_shards_before


def copy_of(item: Mapping[str, Any], now: Moment) -> Copy:
    """Read the item strictly.

    Raises:
        StoreFormatUnknown, MalformedStoreItem: this library can't use it.
    """
    try:
        version = whole(item, FORMAT, low=1)
        if version > FORMAT_VERSION:
            raise StoreFormatUnknown(format_version=version, known=FORMAT_VERSION)
        read_shards = whole(item, READ_SHARDS, low=1, high=SHARDS_MAX)
        return Copy(
            item=item,
            read_shards=read_shards,
            read_shards_before=whole(item, READ_SHARDS_BEFORE, low=1, high=read_shards),
            since_us=whole(item, SINCE),
            seen=now,
            table=item.get(TABLE, {}).get("S"),
            epoch_us=whole(item, EPOCH, low=1, high=TIMESTAMP_MAX_US) if EPOCH in item else None,
        )
    except NotWhole as error:
        raise MalformedStoreItem(reason=f"its {error}") from error
