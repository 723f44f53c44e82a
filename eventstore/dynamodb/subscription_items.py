"""Items of the subscriptions table, made and read in one place: what has another form is an error.

A lease that's read wrongly would leave a tranche unread, in silence.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any, Final

from eventstore.dynamodb.numbers import DIGITS, NotWhole, whole
from eventstore.dynamodb.schema import subscriptions as schema
from eventstore.errors import MalformedSubscriptionItem, UnexpectedItem
from eventstore.limits import LOG_TRANCHES_MAX
from eventstore.log.model import BlockPosition
from eventstore.subscriptions.checkpoints import Lease, ParkedEvent, Start

_CHECKPOINT: Final = re.compile(rf"{DIGITS}\.{DIGITS}")
_LEASE: Final = re.compile(re.escape(schema.LEASE_PREFIX) + "([0-9]{4})")
_PARKED: Final = re.compile(re.escape(schema.PARKED_PREFIX) + "([0-9]{4})#.*")
_STARTED: Final = frozenset({schema.STARTED_STREAM, schema.STARTED_EVENT, schema.STARTS})

OF_A_LEASE: Final = "put it back from a backup; or delete it, and its tranche is read from the start again"
_OF_A_WORKER: Final = "delete it: a worker that lives writes its own anew"
_OF_AN_EVENT: Final = "put it back from a backup; or delete it, and its event is never handled"
_OF_ANYTHING: Final = "delete it, unless a newer version of this library has written it"
OF_A_LAST: Final = "put it back from a backup, or set its EventId to the stream's last event that's projected"


def key(subscription: str, item: str) -> dict[str, Any]:
    """Return the key of an item."""
    return {schema.SUBSCRIPTION: {"S": subscription}, schema.ITEM: {"S": item}}


def lease_key(subscription: str, tranche: int) -> dict[str, Any]:
    """Return the key of a tranche's lease."""
    return key(subscription, f"{schema.LEASE_PREFIX}{tranche:04d}")


def place_text(place: BlockPosition) -> dict[str, Any]:
    """Return a checkpoint as it's stored."""
    return {"S": f"{place.block}.{place.entries}"}


def parked_prefix(tranche: int | None) -> str:
    """Return with what the sort keys begin of the parked events of a tranche, or of all."""
    return schema.PARKED_PREFIX + ("" if tranche is None else f"{tranche:04d}#")


def parked_item(parked: ParkedEvent) -> str:
    """Return the sort key of a parked event."""
    return f"{parked_stream(parked)}{parked.event_id:016d}"


def parked_stream(parked: ParkedEvent) -> str:
    """Return with what the sort keys begin of the parked events of one's stream."""
    # A stream id can be as long as a whole sort key.
    stream = hashlib.sha256(parked.stream_id.encode()).hexdigest()[:32]
    return f"{parked_prefix(parked.tranche)}{stream}#"


def check_key(item: Mapping[str, Any], subscription: str, prefix: str) -> None:
    """Raise UnexpectedItem for an item of another subscription or kind."""
    found = (item[schema.SUBSCRIPTION]["S"], item[schema.ITEM]["S"])
    if found[0] != subscription or not found[1].startswith(prefix):
        raise UnexpectedItem(asked=f"{subscription!r}, {prefix}...", answered=str(found))


def is_lease(item: Mapping[str, Any]) -> bool:
    """Return whether an item of a group is a lease."""
    return bool(item[schema.ITEM]["S"].startswith(schema.LEASE_PREFIX))


def lease_of(item: Mapping[str, Any]) -> Lease:
    """Read a lease; whose tranche it is says its key.

    Raises:
        MalformedSubscriptionItem: it's none of this library's.
    """
    found = _LEASE.fullmatch(item[schema.ITEM]["S"])
    if not found:
        raise malformed(item, "its key names no tranche in four digits", _OF_ANYTHING)
    tranche, tranches = int(found[1]), tranches_of(item)
    if tranche >= tranches:
        raise malformed(item, f"the log has only {tranches} tranches", "delete it")
    checkpoint = _text(item, schema.CHECKPOINT, OF_A_LEASE)
    place = _CHECKPOINT.fullmatch(checkpoint)
    if not place or place[1] == "0":
        reason = f"its {schema.CHECKPOINT} is {checkpoint!r:.60}, and not like '1.0', a block and its entries"
        raise malformed(item, reason, OF_A_LEASE)
    return Lease(
        tranche=tranche,
        place=BlockPosition(int(place[1]), int(place[2])),
        owner=_text(item, schema.OWNER, OF_A_LEASE) if schema.OWNER in item else None,
        fence=_whole(item, schema.FENCE, OF_A_LEASE),
        counter=_whole(item, schema.COUNTER, OF_A_LEASE),
        start=_start_of(item) if item.keys() & _STARTED else None,
        horizon_us=_whole(item, schema.HORIZON, OF_A_LEASE),
        since_us=_whole(item, schema.SINCE, OF_A_LEASE),
        log_id=_text(item, schema.LOG_ID, OF_A_LEASE, may_be_empty=True),
    )


def tranches_of(item: Mapping[str, Any]) -> int:
    """Read of a lease with how many tranches its subscription was begun; raises as `lease_of`."""
    return _whole(item, schema.TRANCHES, OF_A_LEASE, low=1, high=LOG_TRANCHES_MAX)


def worker_of(item: Mapping[str, Any]) -> tuple[str, int]:
    """Read a worker's id and counter; raises as `lease_of`."""
    name: str = item[schema.ITEM]["S"]
    if not name.startswith(schema.WORKER_PREFIX) or name == schema.WORKER_PREFIX:
        raise malformed(item, "it's neither a lease nor a worker", _OF_ANYTHING)
    return name.removeprefix(schema.WORKER_PREFIX), _whole(item, schema.COUNTER, _OF_A_WORKER)


def parked_of(item: Mapping[str, Any]) -> ParkedEvent:
    """Read a parked event; whose tranche it is says its key. Raises as `lease_of`."""
    found = _PARKED.fullmatch(item[schema.ITEM]["S"])
    parked = ParkedEvent(
        tranche=int(found[1]) if found else 0,
        stream_id=_text(item, schema.STREAM_ID, _OF_AN_EVENT),
        event_id=_whole(item, schema.EVENT_ID, _OF_AN_EVENT, low=1),
        reason=_text(item, schema.REASON, _OF_AN_EVENT, may_be_empty=True),
        parked_at_us=_whole(item, schema.PARKED_AT, _OF_AN_EVENT),
        traceback=_text(item, schema.TRACEBACK, _OF_AN_EVENT) if schema.TRACEBACK in item else "",
    )
    if item[schema.ITEM]["S"] != parked_item(parked):
        reason = f"its key isn't that of its event, {parked.event_id} of stream {parked.stream_id!r:.80}"
        raise malformed(item, reason, _OF_AN_EVENT)
    return parked


def last_of(item: Mapping[str, Any]) -> int:
    """Read the last EventId of a projection and a stream; raises as `lease_of`."""
    return _whole(item, schema.EVENT_ID, OF_A_LAST)


def malformed(item: Mapping[str, Any], reason: str, repair: str) -> MalformedSubscriptionItem:
    """Return the error of an item that can't be read."""
    return MalformedSubscriptionItem(
        subscription=item[schema.SUBSCRIPTION]["S"],
        item=item[schema.ITEM]["S"],
        reason=reason,
        repair=repair,
    )


def _start_of(item: Mapping[str, Any]) -> Start:
    return Start(
        _text(item, schema.STARTED_STREAM, OF_A_LEASE),
        _whole(item, schema.STARTED_EVENT, OF_A_LEASE),
        _whole(item, schema.STARTS, OF_A_LEASE),
    )


def _whole(item: Mapping[str, Any], name: str, repair: str, **bounds: int) -> int:
    try:
        return whole(item, name, **bounds)
    except NotWhole as error:
        raise malformed(item, f"its {error}", repair) from error


def _text(item: Mapping[str, Any], name: str, repair: str, *, may_be_empty: bool = False) -> str:
    text = item.get(name, {}).get("S")
    if text is None or not (text or may_be_empty):
        raise malformed(item, f"its {name} is missing, empty or no text", repair)
    return str(text)
