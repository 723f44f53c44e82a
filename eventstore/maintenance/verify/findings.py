"""What a verification finds: one kind, one place, one sentence each."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Self


class Kind(StrEnum):
    """What can be wrong."""

    STORE_ITEM_MISSING = "store-item-missing"
    """The item (`$store`, 0), which says how many shards are read, is gone, though there are events."""
    GAP = "gap"
    """EventIds without items, before an event that is there: lost, or never written by this library."""
    MALFORMED = "malformed"
    """An item that is not an event of this store."""
    NOT_INDEXED = "not-indexed"
    """GSIKey or Timestamp is missing, so the event isn't in the time index: no read of all streams has it."""
    UNREAD_SHARD = "unread-shard"
    """GSIKey names a shard that readers don't ask."""
    TIMESTAMP_ORDER = "timestamp-order"
    """A Timestamp that is not higher than that of an earlier event of the stream."""
    FUTURE_TIMESTAMP = "future-timestamp"
    """A Timestamp ahead of DynamoDB's clock, which all later events of the stream follow."""
    UID_AHEAD = "uid-ahead"
    """A UUIDv7 that is further behind its Timestamp than an append takes: none to ANY or EXISTS finds it."""
    MISSING_IN_INDEX = "missing-in-index"
    ONLY_IN_INDEX = "only-in-index"
    INDEX_DIFFERS = "index-differs"
    MISSING_IN_LOG = "missing-in-log"
    ONLY_IN_LOG = "only-in-log"
    LOG_DIFFERS = "log-differs"
    LOG_BLOCK_MISSING = "log-block-missing"
    """Blocks of the log that are gone, though later ones are there: nobody can read on."""
    LOG_BLOCK_MALFORMED = "log-block-malformed"
    """A block of the log that can't be read: nobody can read on."""


class Repair(StrEnum):
    """What `repair` does about a finding."""

    DONE = "done"
    POSSIBLE = "possible"
    NO = "no"
    """It can't be rebuilt from what is there: nothing is invented."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that is wrong."""

    kind: Kind
    stream_id: str | None
    """None when it's about a whole part of the index or the log."""
    event_id: int | None
    last_event_id: int | None = None
    """The end of a gap, the event itself when it's one."""
    tranche: int | None = None
    """Of a block of the log."""
    block: int | None = None
    last_block: int | None = None
    """The last of the missing ones, the block itself when it's one."""
    detail: str
    repair: Repair = Repair.NO

    def repaired(self) -> Self:
        """The same finding, repaired."""
        return replace(self, repair=Repair.DONE)

    def line(self) -> str:
        """Write it as one line of NDJSON."""
        members = {
            "kind": self.kind,
            "streamId": self.stream_id,
            "eventId": self.event_id,
            "lastEventId": self.last_event_id,
            "tranche": self.tranche,
            "block": self.block,
            "lastBlock": self.last_block,
            "detail": self.detail,
            "repair": self.repair,
        }
        present = {name: value for name, value in members.items() if value is not None}
        return json.dumps(present, ensure_ascii=False, separators=(",", ":")) + "\n"
