"""An event as an item of the table, and back."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Mapping
from decimal import Decimal
from math import ceil
from typing import Any

from eventstore.dynamodb.compression import Compression, NotUnpacked, unpack
from eventstore.dynamodb.schema.events import (
    EPOCH,
    EVENT_ID,
    EVENT_NAME,
    EVENT_UID,
    GSI_KEY,
    METADATA,
    PAYLOAD,
    PAYLOAD_Z,
    PREVIOUS_AT,
    STREAM_ID,
    TIMESTAMP,
    WRITTEN_AT,
)
from eventstore.errors import MalformedItem, UnexpectedItem
from eventstore.events import Address, Event, EventSlots
from eventstore.limits import TIMESTAMP_MAX_US


def item_from_event(
    event: Event, *, shard: int, compression: Compression | None = None, previous_us: int | None = None
) -> dict[str, Any]:
    """Write an event as an item in DynamoDB's own JSON; empty metadata is left out.

    Args:
        previous_us: when the event before it was written, if that is known.
    """
    packed = compression.pack(event.payload) if compression else None
    item: dict[str, Any] = {
        STREAM_ID: {"S": event.stream_id},
        EVENT_ID: {"N": str(event.event_id)},
        EVENT_NAME: {"S": event.name},
        **({PAYLOAD: {"S": event.payload}} if packed is None else {PAYLOAD_Z: {"B": packed}}),
        EVENT_UID: {"S": event.uid},
        TIMESTAMP: {"N": str(event.timestamp_us)},
        GSI_KEY: {"N": str(shard)},
    }
    if event.metadata != "{}":
        item[METADATA] = {"S": event.metadata}
    if event.written_us is not None:
        item[WRITTEN_AT] = {"N": str(event.written_us)}
    if event.epoch_us is not None:
        item[EPOCH] = {"N": str(event.epoch_us)}
    if previous_us is not None:
        item[PREVIOUS_AT] = {"N": str(previous_us)}
    return item


def event_from_item(item: Mapping[str, Any]) -> Event:
    """Read an event from an item in DynamoDB's own JSON; attributes that aren't ours are passed over.

    Raises:
        MalformedItem: an attribute is missing, of another type, or compressed and damaged; or its Timestamp
            is no time from 1970 to the year 9999.
        CompressionUnavailable: its payload is compressed by zstd, which isn't installed here.
    """
    event = EventSlots()
    try:
        event.stream_id = item[STREAM_ID]["S"]
        event.event_id = int(item[EVENT_ID]["N"])
        event.name = item[EVENT_NAME]["S"]
        event.payload = item[PAYLOAD]["S"] if PAYLOAD in item else _unpacked(item)
        event.metadata = item[METADATA]["S"] if METADATA in item else "{}"
        event.uid = item[EVENT_UID]["S"]
        timestamp_us = event.timestamp_us = int(item[TIMESTAMP]["N"])
        event.written_us = time_of(item, WRITTEN_AT) if WRITTEN_AT in item else None
        event.epoch_us = int(item[EPOCH]["N"]) if EPOCH in item else None
        if 0 <= timestamp_us <= TIMESTAMP_MAX_US:
            return event.freeze()
    except KeyError as error:
        raise _malformed(item, f"{error} is missing or of another type") from error
    except ValueError as error:
        raise _malformed(item, _no_whole_number(item) or str(error)) from error
    except NotUnpacked as error:
        raise _malformed(item, f"{PAYLOAD_Z} can't be read: {error}") from error
    raise _malformed(item, f"{TIMESTAMP} is {timestamp_us}, no time from 1970 to the year 9999")


def time_of(item: Mapping[str, Any], name: str) -> int | None:
    """Read a time by which publication is put in order; None when it isn't there, or isn't a time.

    It's no part of the event: one that can't be read makes no event malformed.
    """
    number = item.get(name, {}).get("N", "")
    return int(number) if number.isascii() and number.isdecimal() else None


def _unpacked(item: Mapping[str, Any]) -> str:
    if PAYLOAD_Z not in item:
        raise KeyError(PAYLOAD)
    packed: bytes | str = item[PAYLOAD_Z]["B"]
    # Lambda hands a stream's records over as JSON, where binary is base64; boto3 gives bytes.
    return unpack(packed if isinstance(packed, bytes) else b64decode(packed))


def _no_whole_number(item: Mapping[str, Any]) -> str | None:
    for name in (EVENT_ID, TIMESTAMP, EPOCH):
        number = item.get(name, {}).get("N", "0")
        if not number.lstrip("-").isdigit():
            return f"{name} is {number}, no whole number"
    return None


def _malformed(item: Mapping[str, Any], what: str) -> MalformedItem:
    return MalformedItem(
        stream_id=item[STREAM_ID]["S"],
        # A number that is no whole one can't be an EventId, but it can be a key.
        event_id=ceil(Decimal(item[EVENT_ID]["N"])),
        reason=f"{what}; repair or delete the item",
    )


def key_of(stream_id: str, event_id: int) -> dict[str, Any]:
    """Write the primary key of an event."""
    return {STREAM_ID: {"S": stream_id}, EVENT_ID: {"N": str(event_id)}}


def address_of(item: Mapping[str, Any]) -> Address:
    """Read the primary key of an event: its stream and its EventId."""
    return item[STREAM_ID]["S"], int(item[EVENT_ID]["N"])


def check_address(item: Mapping[str, Any], *asked: Address) -> Address:
    """Return the primary key of an event that was asked for.

    Raises:
        UnexpectedItem: it was not.
    """
    address = address_of(item)
    if address not in asked:
        raise UnexpectedItem(asked=f"{asked[:3]} of {len(asked)}", answered=str(address))
    return address


def event_of_answer(answer: Mapping[str, Any], stream_id: str, event_id: int) -> Event | None:
    """Read the event that a GetItem asked for; None when it isn't there.

    Raises:
        UnexpectedItem: the answer has another item.
        MalformedItem: the item is not an event.
    """
    if "Item" not in answer:
        return None
    check_address(answer["Item"], (stream_id, event_id))
    return event_from_item(answer["Item"])
