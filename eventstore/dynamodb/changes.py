"""Records of the table's stream, as Lambda hands them over, become records of the domain."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from eventstore.dynamodb.items import event_from_item, time_of
from eventstore.dynamodb.schema.events import EVENT_ID, PREVIOUS_AT, STREAM_ID
from eventstore.errors import InvalidArgument, InvalidStreamId, MalformedItem
from eventstore.events import Event, check_stream_id
from eventstore.limits import RESERVED_STREAM_ID_PREFIX, VERSION_MAX
from eventstore.ordering.stream_order import ChangeRecord

_WHOLE: Final = re.compile(r"-?[0-9]+")


def stream_records(trigger: Mapping[str, Any]) -> list[ChangeRecord]:
    """Read the inserted events of a batch, in its order; an item that isn't an event comes as MalformedItem.

    Args:
        trigger: what the event source mapping of a DynamoDB stream sends, with NEW_IMAGE.

    Returns:
        One record for each INSERT. Other changes don't make events (and an event never changes), and the
        store's own items are none: they are passed over.

    Raises:
        InvalidArgument: the stream doesn't carry new images; it has to be set up with NEW_IMAGE.
    """
    return [
        _record(change["dynamodb"])
        for change in trigger["Records"]
        if change["eventName"] == "INSERT"
        and not change["dynamodb"]["Keys"][STREAM_ID]["S"].startswith(RESERVED_STREAM_ID_PREFIX)
    ]


def _record(change: Mapping[str, Any]) -> ChangeRecord:
    if "NewImage" not in change:
        raise InvalidArgument(
            "Records",
            f"have no NewImage (the stream's view type is {change.get('StreamViewType')}); "
            "set the table's stream up with NEW_IMAGE or NEW_AND_OLD_IMAGES",
        )
    stream_id, number = change["Keys"][STREAM_ID]["S"], change["Keys"][EVENT_ID]["N"]
    event = event_or_malformed(stream_id, number, change["NewImage"])
    created_s = change.get("ApproximateCreationDateTime")
    return ChangeRecord(
        change["SequenceNumber"],
        stream_id,
        event.event_id,
        event,
        created_us=None if created_s is None else round(created_s * 1_000_000),
        previous_us=time_of(change["NewImage"], PREVIOUS_AT),
    )


def event_or_malformed(stream_id: str, number: str, item: Mapping[str, Any]) -> Event | MalformedItem:
    """Read an item whose key is `stream_id` and `number`; never raises.

    Everything that could make a later read of this event raise is caught here: what was written by hand
    must not stop the events of other streams.
    """
    event_id = int(number) if _WHOLE.fullmatch(number) else 0
    if not 1 <= event_id <= VERSION_MAX:
        reason = f"its {EVENT_ID} is {number}; events have 1, 2, 3 ... Delete the item"
        return MalformedItem(stream_id=stream_id, event_id=event_id, reason=reason)
    try:
        check_stream_id(stream_id, field=STREAM_ID)
        return event_from_item(item)
    except InvalidStreamId as error:
        return MalformedItem(stream_id=stream_id, event_id=event_id, reason=f"{error}. Delete the item")
    except MalformedItem as malformed:
        return malformed
