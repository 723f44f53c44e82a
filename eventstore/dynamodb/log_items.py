"""Items of the log's table, made and read in one place."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

from eventstore.dynamodb.numbers import NotWhole, whole
from eventstore.dynamodb.schema.log import (
    BLOCK,
    CLOSED,
    ENTRIES,
    LOG_ID,
    NEWEST,
    NO_TRANCHE,
    REBUILT,
    TRANCHE,
    TRANCHES,
)
from eventstore.errors import MalformedBlock, UnexpectedItem
from eventstore.events import Event
from eventstore.limits import LOG_TRANCHES_MAX, TIMESTAMP_MAX_US
from eventstore.log.model import LogEntry, is_log_id


class Last(NamedTuple):
    """A tranche's last block."""

    block: int
    """Its number; 0 for none."""
    newest_us: int | None
    """The highest Timestamp up to its end; None where that isn't known."""

    def newest_with(self, events: Sequence[Event]) -> dict[str, Any]:
        """Return the attribute of a block of these events behind it."""
        if self.newest_us is None:
            return {}
        return {NEWEST: {"N": str(max([self.newest_us, *(event.timestamp_us for event in events)]))}}


NO_BLOCK = Last(0, 0)


def last_of(item: Mapping[str, Any], *, tranche: int) -> Last:
    """Read of a block its number and the highest Timestamp up to its end; raises MalformedBlock."""
    number = number_of(item, tranche=tranche)
    try:
        return Last(number, whole(item, NEWEST) if NEWEST in item else None)
    except NotWhole as error:
        raise MalformedBlock(tranche=tranche, block=number, reason=f"its {error}") from error


def number_of(item: Mapping[str, Any], *, tranche: int) -> int:
    """Read a block's number; raises MalformedBlock where its key isn't one."""
    try:
        return whole(item, BLOCK, low=1)
    except NotWhole as error:
        # What is no whole number can be a key all the same.
        block = int(Decimal(item[BLOCK]["N"]))
        raise MalformedBlock(tranche=tranche, block=block, reason=f"its {error}") from error


class LogItem(NamedTuple):
    """What the log's own item says."""

    tranches: int
    log_id: str
    rebuilt_us: int | None = None
    """While it's rebuilt: all events with a lower Timestamp are in it."""


def log_of(item: Mapping[str, Any], *, cause: Exception | None = None) -> LogItem:
    """Read the log's own item; raises MalformedBlock."""
    try:
        tranches = whole(item, TRANCHES, low=1, high=LOG_TRANCHES_MAX)
        rebuilt_us = whole(item, REBUILT, high=TIMESTAMP_MAX_US) if REBUILT in item else None
    except NotWhole as error:
        raise MalformedBlock(tranche=NO_TRANCHE, block=0, reason=f"its {error}") from cause or error
    log_id = item.get(LOG_ID, {}).get("S", "")
    if not is_log_id(log_id):
        reason = f"its {LOG_ID} is {log_id or 'missing'}, as of a log of a version before 0.1.0"
        raise MalformedBlock(tranche=NO_TRANCHE, block=0, reason=reason) from cause
    return LogItem(tranches, log_id, rebuilt_us)


def entries_text(events: Sequence[Event]) -> str:
    """Return the entries of events as a block has them; what the Timestamp says isn't said twice."""
    rows = [
        [event.stream_id, event.event_id, event.name, event.timestamp_us]
        + ([] if event.written_us is None else [event.written_us])
        for event in events
    ]
    return json.dumps(rows, ensure_ascii=False, separators=(",", ":"))


def block_of(item: Mapping[str, Any], *, tranche: int, at_least: int) -> int:
    """Read the number of a tranche's block; raises UnexpectedItem where it's not one that was asked for."""
    number = number_of(item, tranche=tranche)
    if item[TRANCHE] != {"N": str(tranche)} or number < at_least:
        raise UnexpectedItem(
            asked=f"block {at_least} of tranche {tranche}",
            answered=f"block {number} of tranche {item[TRANCHE]['N']}",
        )
    return number


def is_closed(item: Mapping[str, Any]) -> bool:
    """Return whether a block stands in place of one that was lost."""
    return item.get(CLOSED) == {"BOOL": True}


def closed(last: Last) -> dict[str, Any]:
    """Return the attributes of a block that closes the place behind another one."""
    return {CLOSED: {"BOOL": True}, ENTRIES: {"S": "[]"}, **last.newest_with(())}


def entries_of(tranche: int, number: int, item: Mapping[str, Any]) -> list[LogEntry]:
    """Read the entries of a block; raises MalformedBlock."""
    try:
        rows = json.loads(item[ENTRIES]["S"])
        return [
            LogEntry(
                stream_id=str(stream_id),
                event_id=int(event_id),
                name=str(name),
                timestamp_us=int(timestamp_us),
                written_us=int(written[0] if written else timestamp_us),
                tranche=tranche,
                block=number,
                index=index,
                ends_block=index == len(rows) - 1,
            )
            for index, (stream_id, event_id, name, timestamp_us, *written) in enumerate(rows)
        ]
    except (KeyError, TypeError, ValueError) as error:
        raise MalformedBlock(tranche=tranche, block=number, reason=f"it can't be read: {error}") from error
