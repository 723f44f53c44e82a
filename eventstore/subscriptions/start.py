"""Where a new subscription begins in the log, and which events it has."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import suppress
from datetime import datetime
from enum import Enum

from eventstore.arguments import check_port, shown
from eventstore.errors import (
    InvalidEventName,
    InvalidRange,
    InvalidStreamId,
    InvalidSubscription,
    PositionNotInLog,
)
from eventstore.events import check_event_name, check_stream_prefix
from eventstore.limits import SETTLING_S
from eventstore.log import BEGINNING, BlockPosition, EventLog
from eventstore.positions import to_us


class From(Enum):
    """Where a subscription begins that has no checkpoint yet; one that has goes on behind it."""

    BEGINNING = "beginning"
    """Before the first event."""
    CHECKPOINT = "checkpoint"
    """Nowhere else: without a checkpoint `SubscriptionNotFound` is raised."""


def check_start(from_: From | datetime) -> From | datetime:
    """Return a start that can be one.

    Raises:
        InvalidRange: a time without a time zone, or neither a time nor a `From`.
    """
    if not isinstance(from_, (From, datetime)):
        raise InvalidRange("from_", "has to be From.BEGINNING, From.CHECKPOINT or an aware datetime")
    if isinstance(from_, datetime):
        to_us(from_, field="from_")
    return from_


def places_at(log: EventLog, from_: From | datetime) -> list[BlockPosition]:
    """Find where each tranche begins.

    For a time: one block before the first that holds an event of that time less the settling time (10 s).
    So older events come too, as many as those blocks hold. The log's order is that of arrival, so a block
    that the indexer wrote again much later than its events' Timestamps, after a failure, may mislead the
    search by its place; from the beginning nothing is ever missed.

    Cost (DynamoDB): for a time about 2 x log2(blocks) queries a tranche, each of up to 8 blocks; 1 query
    more for each of them that finds nothing, for the tranche's last block.

    Raises:
        InvalidRange, InvalidArgument: no such time, or no log.
    """
    check_port(log, EventLog, "log", only=("tranches", "read_tranche"))
    from_ = check_start(from_)
    if isinstance(from_, From):
        return [BEGINNING] * log.tranches
    return [_first_block(log, tranche, cut_us(from_)) for tranche in range(log.tranches)]


def cut_us(from_: From | datetime) -> int:
    """Return the Timestamp of which older events aren't asked for: a time less the settling time; else 0."""
    if isinstance(from_, From):
        return 0
    return max(0, to_us(from_, field="from_") - round(SETTLING_S * 1_000_000))


def _first_block(log: EventLog, tranche: int, since_us: int) -> BlockPosition:
    """Search the first block that isn't wholly before `cut_us`: blocks 1 ... `low` are, `high` isn't."""
    low, high = 0, 1
    while not _reaches(log, tranche, high, since_us):
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        if _reaches(log, tranche, middle, since_us):
            high = middle
        else:
            low = middle
    return BlockPosition(max(1, high - 1), 0)


def _reaches(log: EventLog, tranche: int, block: int, since_us: int) -> bool:
    """Tell whether a block isn't there (yet), or holds an event of the time or younger."""
    there = False
    with suppress(PositionNotInLog):  # not there by far
        for entry in log.read_tranche(tranche, after=BlockPosition(block, 0), limit=10_000):
            if entry.block != block:
                break
            if entry.timestamp_us >= since_us:
                return True
            there = True
            if entry.ends_block:
                break
    return not there


def check_names(names: Collection[str] | None) -> frozenset[str] | None:
    """Return the names to handle; one that no event can have would pass over events for good."""
    if names is None:
        return None
    if not isinstance(names, Collection):
        raise InvalidSubscription("names", f"is {shown(names)}; give a collection, such as ['OrderPlaced']")
    if isinstance(names, str):
        raise InvalidSubscription("names", f"is one text; give a collection, such as [{names!r}]")
    checked = frozenset(names)
    for name in checked:
        if not isinstance(name, str):
            raise InvalidSubscription("names", f"has {name!r:.80}, which is no text; event names are")
        try:
            check_event_name(name)
        except InvalidEventName as error:
            told = f"has {shown(name)}, which is no event's name: it {error.reason}"
            raise InvalidSubscription("names", told) from error
    if not checked:
        raise InvalidSubscription("names", "is empty, so that no event would be handled; None is for all")
    return checked


def check_streams(prefix: str) -> str:
    """Return the text that the ids of the streams to handle begin with; "" for all."""
    if not isinstance(prefix, str):
        raise InvalidSubscription(
            "streams", f"is {shown(prefix)}; it has to be the text that stream ids begin with"
        )
    try:
        return check_stream_prefix(prefix)
    except InvalidStreamId as error:
        told = f"is {shown(prefix)}; no stream's id begins so: it {error.reason}"
        raise InvalidSubscription("streams", told) from error
