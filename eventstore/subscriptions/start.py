"""Where a new subscription begins in the log, and which events it has."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from enum import Enum

from eventstore._arguments import check_port, shown
from eventstore.errors import (
    InvalidEventName,
    InvalidRange,
    InvalidStreamId,
    InvalidSubscription,
)
from eventstore.events import check_event_name, check_stream_prefix
from eventstore.limits import SETTLING_S
from eventstore.log.model import BEGINNING, BlockPosition
from eventstore.log.port import EventLog
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

    For a time: before every event of that time less the settling time (10 s), whatever was imported or logged
    late; see `EventLog.first_since`. Older events that stand behind that place are passed over by the reader.

    Cost (DynamoDB): for a time that of `EventLog.first_since` for each tranche.

    Raises:
        InvalidRange, InvalidArgument: no such time, or no log.
    """
    check_port(log, EventLog, "log", only=("tranches", "first_since"))
    from_ = check_start(from_)
    since_us = cut_us(from_)
    if not since_us:
        return [BEGINNING] * log.tranches
    return [log.first_since(tranche, since_us) for tranche in range(log.tranches)]


def cut_us(from_: From | datetime) -> int:
    """Return the Timestamp of which older events aren't asked for: a time less the settling time; else 0."""
    if isinstance(from_, From):
        return 0
    return max(0, to_us(from_, field="from_") - round(SETTLING_S * 1_000_000))


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
