"""An event as an item of the table, and back."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from math import ceil
from typing import Any

from eventstore.adapters.dynamodb.schema import (
    EVENT_ID,
    EVENT_NAME,
    EVENT_UID,
    GSI_KEY,
    METADATA,
    PAYLOAD,
    STREAM_ID,
    TIMESTAMP,
)
from eventstore.errors import MalformedItem
from eventstore.events import Event, EventSlots


def item_from_event(event: Event, *, shard: int) -> dict[str, Any]:
    """Write an event as an item in DynamoDB's own JSON; empty metadata is left out."""
    item = {
        STREAM_ID: {"S": event.stream_id},
        EVENT_ID: {"N": str(event.event_id)},
        EVENT_NAME: {"S": event.name},
        PAYLOAD: {"S": event.payload},
        EVENT_UID: {"S": event.uid},
        TIMESTAMP: {"N": str(event.timestamp_us)},
        GSI_KEY: {"N": str(shard)},
    }
    if event.metadata != "{}":
        item[METADATA] = {"S": event.metadata}
    return item


def event_from_item(item: Mapping[str, Any]) -> Event:
    """Read an event from an item in DynamoDB's own JSON; attributes that aren't ours are passed over.

    Raises:
        MalformedItem: an attribute is missing or of another type.
    """
    event = EventSlots()
    try:
        event.stream_id = item[STREAM_ID]["S"]
        event.event_id = int(item[EVENT_ID]["N"])
        event.name = item[EVENT_NAME]["S"]
        event.payload = item[PAYLOAD]["S"]
        event.metadata = item[METADATA]["S"] if METADATA in item else "{}"
        event.uid = item[EVENT_UID]["S"]
        event.timestamp_us = int(item[TIMESTAMP]["N"])
        return event.freeze()
    except (KeyError, ValueError) as error:
        raise MalformedItem(
            stream_id=item[STREAM_ID]["S"],
            # A number that is no whole one can't be an EventId, but it can be a key.
            event_id=ceil(Decimal(item[EVENT_ID]["N"])),
            reason=f"{error} is missing or of another type; mend or delete the item",
        ) from error


def key_of(stream_id: str, event_id: int) -> dict[str, Any]:
    """Write the primary key of an event."""
    return {STREAM_ID: {"S": stream_id}, EVENT_ID: {"N": str(event_id)}}
