"""An event as an entry of an event bus: CloudEvents 1.0 as JSON, the payload exactly as it was sent.

::

    {"specversion": "1.0", "id": "order-1/2", "source": "eventstore", "type": "OrderPaid",
     "subject": "order-1", "time": "2026-01-31T12:00:00.000001Z", "datacontenttype": "application/json",
     "streamid": "order-1", "eventid": 2, "correlationid": "...", "causationid": "...",
     "data": {"total": 12}}

`source` and `id` together name an event once and for ever: a consumer that has seen them may pass over
a repeat. A store that was restored gives EventIds out again, to other events than those that it has lost. So
an event that was written after a restore carries when that was declared: as `epoch`, and in its `id`::

    {"specversion": "1.0", "id": "order-1/2@2026-02-01T08:30:00.000000Z", ...
     "epoch": "2026-02-01T08:30:00.000000Z", ...}

Both follow from the event alone, so publisher, replays, redrive and republish write the same. Epochs of one
store rise, and as texts too. `eventid` is a number so that consumers and rules can compare it; CloudEvents
has integers of 32 bit, so a strict reader would first stumble at event 2,147,483,648 of one stream (JSON
itself is exact up to 2^53, far above). `correlationid` and `causationid` are the metadata's `correlationId`
and `causationId` when those are texts, `schemaversion` its `schemaVersion` when that is a whole number. What
a replay sends also has its id, as `replayid`.

An event that the bus can't carry goes out by reference: with `dataref`, the address where the HTTP API
has it, in place of `data`. That is one over the byte limit, with an integer beyond 64 bit, or with a number
that parsers can't read (stored by an earlier version: appends refuse it). Where the HTTP API can't have it
either, since no path carries its stream's id, it can't be published: a link that leads nowhere, or to another
stream, would be worse than an event that is parked with the reason.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from eventstore._json import check_json, has_unreadable_number
from eventstore._stream_paths import stream_events_path
from eventstore.errors import InvalidJson, InvalidStreamId, NotPublishable
from eventstore.events import CAUSATION_ID, CORRELATION_ID, SCHEMA_VERSION, Event
from eventstore.limits import DETAIL_TYPE_MAX_CHARS, PUT_EVENTS_INTEGER_MAX, PUT_EVENTS_MAX_BYTES
from eventstore.positions import time_text

_TIME_BYTES: Final = 14
_NINETEEN_DIGITS: Final = re.compile(r"[0-9]{19}")
_INT32_MAX: Final = 2**31 - 1
_FROM_METADATA: Final = {name.lower(): name for name in (CORRELATION_ID, CAUSATION_ID)}
_SCHEMA_VERSION: Final = SCHEMA_VERSION.lower()
# Made once: `json.dumps` and `json.loads` with options make a new one for every text.
_json: Final = json.JSONEncoder(ensure_ascii=False).encode
# Only texts are looked at; as floats, numbers of any length can be passed over.
_parsed_metadata: Final = json.JSONDecoder(parse_int=float).decode


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One event as it goes to an event bus."""

    stream_id: str
    event_id: int
    timestamp_us: int
    source: str
    detail_type: str
    """The event's name, cut to 128 characters; it stands whole in the detail's `type`."""
    detail: str
    """The CloudEvent, JSON text."""

    size_bytes: int = field(init=False)
    """Its size as EventBridge counts it: the time as 14, source, detail-type and detail in UTF-8."""

    def __post_init__(self) -> None:
        texts_bytes = _size_bytes(self.source) + _size_bytes(self.detail_type) + _size_bytes(self.detail)
        object.__setattr__(self, "size_bytes", _TIME_BYTES + texts_bytes)


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryFormat:
    """Writes events as entries.

    Args:
        source: the entries' source, and the CloudEvents' `source`.
        api_url: the HTTP API's address without a trailing slash, for events that go out by reference.
        max_bytes: an entry has to stay below it.
        replay_id: the replay that the entries belong to; becomes the attribute `replayid`.
    """

    source: str
    api_url: str
    max_bytes: int = PUT_EVENTS_MAX_BYTES
    replay_id: str | None = None

    def entry(self, event: Event) -> Entry:
        """Write an event as an entry, by reference when its data can't go with it.

        Raises:
            NotPublishable: its payload or metadata is not JSON, its Timestamp is no time, or it is too
                large even by reference: no append of this library makes such an event. Or it has to go by
                reference and its stream's id can't stand in a path: the library takes such ids, the HTTP API
                doesn't.
        """
        try:
            check_json(event.payload, field="payload", stored=True)
            head = self._head(event)
        except (InvalidJson, OverflowError) as error:
            raise _not_publishable(event, str(error)) from error
        if _fits_64_bit(event.payload) and not has_unreadable_number(event.payload):
            entry = self._entry(event, f'{head},"data":{event.payload}}}')
            if entry.size_bytes < self.max_bytes:
                return entry
        entry = self._entry(event, f'{head},"dataref":{_json(self._address(event))}}}')
        if entry.size_bytes < self.max_bytes:
            return entry
        reason = f"it makes an entry of {entry.size_bytes:,} bytes even without data; shorten its metadata"
        raise _not_publishable(event, reason)

    def _head(self, event: Event) -> str:
        """Write the CloudEvent's attributes: the object up to its data, not closed."""
        stream = _json(event.stream_id)
        epoch = None if event.epoch_us is None else time_text(event.epoch_us)
        # The last "/" stands before the EventId, whatever is in the stream's id: no two events have one id.
        mark = "" if epoch is None else f"@{epoch}"
        head = (
            f'{{"specversion":"1.0","id":{stream[:-1]}/{event.event_id}{mark}","source":{_json(self.source)},'
            f'"type":{_json(event.name)},"subject":{stream},"time":"{time_text(event.timestamp_us)}",'
            f'"datacontenttype":"application/json","streamid":{stream},"eventid":{event.event_id}'
        )
        if epoch is not None:
            head += f',"epoch":"{epoch}"'
        if self.replay_id is not None:
            head += f',"replayid":{_json(self.replay_id)}'
        if event.metadata != "{}":
            check_json(event.metadata, field="metadata", only_object=True, stored=True)
            head += "".join(_of_metadata(_parsed_metadata(event.metadata)))
        return head

    def _entry(self, event: Event, detail: str) -> Entry:
        return Entry(
            stream_id=event.stream_id,
            event_id=event.event_id,
            timestamp_us=event.timestamp_us,
            source=self.source,
            detail_type=event.name[:DETAIL_TYPE_MAX_CHARS],
            detail=detail,
        )

    def _address(self, event: Event) -> str:
        version = event.event_id
        try:
            return f"{self.api_url}{stream_events_path(event.stream_id)}?from={version}&to={version}"
        except InvalidStreamId as error:
            reason = f"its data has to go by reference, and there is no address: {error}"
            raise _not_publishable(event, reason) from error


def _of_metadata(metadata: Mapping[str, Any]) -> Iterator[str]:
    """Write the attributes that come from an event's metadata."""
    for attribute, key in _FROM_METADATA.items():
        if isinstance(metadata.get(key), str) and metadata[key]:
            yield f',"{attribute}":{_json(metadata[key])}'
    version = metadata.get(SCHEMA_VERSION)
    if isinstance(version, float) and version.is_integer() and 1 <= version <= _INT32_MAX:
        yield f',"{_SCHEMA_VERSION}":{version:.0f}'


def _fits_64_bit(payload: str) -> bool:
    if not _NINETEEN_DIGITS.search(payload):
        return True
    fits = True

    def look(integer: str) -> None:
        nonlocal fits
        # The length is looked at first: Python refuses to make numbers of thousands of digits.
        if len(integer) > 20 or not -PUT_EVENTS_INTEGER_MAX - 1 <= int(integer) <= PUT_EVENTS_INTEGER_MAX:
            fits = False

    json.loads(payload, parse_int=look, parse_float=str)
    return fits


def _not_publishable(event: Event, reason: str) -> NotPublishable:
    return NotPublishable(stream_id=event.stream_id, event_id=event.event_id, reason=reason)


def _size_bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())
