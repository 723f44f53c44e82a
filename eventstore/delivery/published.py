"""The consumer's half of publication: what the bus or a replay gives, as an event; repeats are dropped."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from eventstore._arguments import check_whole
from eventstore._json import to_json
from eventstore.errors import InvalidInput, InvalidPublishedEvent
from eventstore.events import (
    CAUSATION_ID,
    CORRELATION_ID,
    SCHEMA_VERSION,
    Event,
    check_event_name,
    check_stream_id,
)
from eventstore.positions import to_us

_METADATA: Final = {name.lower(): name for name in (CORRELATION_ID, CAUSATION_ID)}
_SCHEMA_VERSION: Final = SCHEMA_VERSION.lower()


@dataclass(frozen=True, slots=True)
class PublishedEvent:
    """An event as it came from the bus or from a replay."""

    source: str
    id: str
    """With `source` it names the event for ever: see `Seen`."""
    event: Event
    """Its uid is empty, and its metadata has the ids and the schema version alone, unless it was fetched: the
    bus has no more."""
    replay_id: str | None
    """The replay that has sent it; None for news."""


def parse_published(
    record: Mapping[str, Any] | str | bytes, *, fetch: Callable[[str], str | bytes] | None = None
) -> PublishedEvent:
    """Make an event of what a target of EventBridge, or of a replay, is given.

    ::

        def handler(batch, context):                      # a function behind a queue
            for record in batch["Records"]:
                published = parse_published(record, fetch=signed_get)
                if not seen.has(published):
                    handle(published.event)
                    seen.add(published)

    Args:
        record: EventBridge's event, as a function is given it; a record of SQS with that in its body; the
            CloudEvent alone; or the JSON text of one of these.
        fetch: gets what an address of the store's HTTP API answers, signed as the API asks for: for events
            that went out by reference.

    Raises:
        InvalidPublishedEvent: it's none of them, or went out by reference and there is no `fetch`.
        And what `fetch` raises.
    """
    detail = _detail(record)
    stream_id, event_id = _stream_id(detail), _whole(detail, "eventid")
    name, source, id_ = _text(detail, "type"), _text(detail, "source"), _text(detail, "id")
    replay_id = _text(detail, "replayid") if "replayid" in detail else None
    epoch_us = _time_us(detail, "epoch") if "epoch" in detail else None
    if "dataref" in detail:
        fetched = _fetched(_text(detail, "dataref"), fetch, stream_id=stream_id, event_id=event_id)
        return PublishedEvent(source, id_, replace(fetched, epoch_us=epoch_us), replay_id)
    if "data" not in detail:
        raise _fault("data", "and dataref are both missing")
    metadata: dict[str, str | int] = {
        key: _text(detail, name) for name, key in _METADATA.items() if name in detail
    }
    if _SCHEMA_VERSION in detail:
        metadata[SCHEMA_VERSION] = _whole(detail, _SCHEMA_VERSION)
    event = Event(
        stream_id=stream_id,
        event_id=event_id,
        name=_checked(check_event_name, name, "type"),
        payload=to_json(detail["data"]),
        metadata=to_json(metadata) if metadata else "{}",
        uid="",
        timestamp_us=_time_us(detail, "time"),
        epoch_us=epoch_us,
    )
    return PublishedEvent(source, id_, event, replay_id)


class Seen:
    """Knows which events were handled lately: the bus, queues and functions deliver at least once.

    Add an event when it's handled, not before: then an event whose handling failed comes again. It's this
    process's memory alone, so it drops most repeats, not all: where one would do harm, keep `source` and `id`
    with what the event changes, in one transaction.

    Args:
        most: how many events it remembers; the oldest go first. Some 300 bytes each.
    """

    def __init__(self, *, most: int = 10_000) -> None:
        check_whole(most, "most")
        self._most = most
        self._keys: OrderedDict[tuple[str, str], None] = OrderedDict()

    def has(self, published: PublishedEvent) -> bool:
        """Return whether an event was handled, by its source and id."""
        return (published.source, published.id) in self._keys

    def add(self, published: PublishedEvent) -> None:
        """Remember that an event is handled."""
        key = published.source, published.id
        self._keys[key] = None
        self._keys.move_to_end(key)
        if len(self._keys) > self._most:
            self._keys.popitem(last=False)


def _detail(record: object) -> Mapping[str, Any]:
    """Find the CloudEvent in whatever is around it."""
    for _ in range(4):  # a text, a record, a text, EventBridge's event
        if isinstance(record, (str, bytes)):
            record = _parsed(record)
        if not isinstance(record, Mapping):
            raise _fault("record", f"is {type(record).__name__}, not an object")
        if "specversion" in record:
            return record
        found = next((record[key] for key in ("body", "Body", "detail") if key in record), None)
        if found is None:
            break
        record = found
    raise _fault("record", "has neither a CloudEvent, nor a detail or body with one")


def _parsed(text: str | bytes) -> object:
    try:
        return json.loads(text)
    except ValueError as error:
        raise _fault("record", f"is not JSON: {error}") from error


def _fetched(url: str, fetch: Callable[[str], str | bytes] | None, *, stream_id: str, event_id: int) -> Event:
    if fetch is None:
        raise _fault("dataref", f"is {url}: the event went out by reference. Give fetch, which gets it there")
    answer = _parsed(fetch(url))
    events = answer.get("events") if isinstance(answer, Mapping) else None
    for found in events if isinstance(events, list) else ():
        if isinstance(found, Mapping) and found.get("eventId") == event_id:
            return Event(
                stream_id=stream_id,
                event_id=event_id,
                name=_text(found, "eventName"),
                payload=to_json(found.get("payload")),
                metadata=to_json(found.get("metadata", {})),
                uid=_text(found, "eventUid"),
                timestamp_us=_time_us(found, "timestamp"),
            )
    raise _fault("dataref", f"{url} answered without event {event_id} of stream {stream_id!r}")


def _stream_id(detail: Mapping[str, Any]) -> str:
    return _checked(check_stream_id, _text(detail, "streamid"), "streamid")


def _checked(check: Callable[..., str], text: str, name: str) -> str:
    try:
        return check(text, field=name)
    except InvalidInput as error:
        raise _fault(name, error.reason) from error


def _text(found: Mapping[str, Any], name: str) -> str:
    text = found.get(name)
    if not isinstance(text, str) or not text:
        raise _fault(name, f"is {text!r:.80}; it has to be a text")
    return text


def _whole(found: Mapping[str, Any], name: str) -> int:
    number = found.get(name)
    if type(number) is not int or number < 1:
        raise _fault(name, f"is {number!r:.80}; it has to be a whole number from 1 on")
    return number


def _time_us(found: Mapping[str, Any], name: str) -> int:
    text = _text(found, name)
    try:
        return to_us(datetime.fromisoformat(text), field=name)
    except (InvalidInput, ValueError) as error:
        raise _fault(name, f"is {text!r:.80}, no time: {error}") from error


def _fault(name: str, reason: str) -> InvalidPublishedEvent:
    return InvalidPublishedEvent(name, reason)
