"""POST /streams/{streamId}/events: append events to a stream, all of them or none."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec
from msgspec import Raw, ValidationError

from eventstore.errors import (
    EmptyAppend,
    EventTooLarge,
    InvalidEventName,
    InvalidEventUid,
    InvalidExpectedVersion,
    InvalidInput,
    TransactionTooLarge,
)
from eventstore.events import NewEvent
from eventstore.http.app import Handler
from eventstore.http.envelope import ObjectForm, elements
from eventstore.http.explain import explain
from eventstore.http.models import append_answer
from eventstore.http.requests import Request
from eventstore.http.responses import Response, answer
from eventstore.limits import EVENT_OVERHEAD_BYTES, ITEM_MAX_BYTES, TRANSACTION_MAX_BYTES
from eventstore.store import ANY, EXISTS, EventStore, Expected

_REQUEST: Final = ObjectForm(
    required=("expectedVersion", "events"), example='{"expectedVersion": 0, "events": [...]}'
)
_EVENT: Final = ObjectForm(
    required=("eventName", "payload"),
    optional=("metadata", "eventUid"),
    example='{"eventName": "OrderPlaced", "payload": {}}',
)
_EXPECTED: Final = (
    "has to be a version (0 for a stream without events, else the eventId of its last event), "
    '"any" or "exists"'
)
_EXPECTATIONS: Final = {"any": ANY, "exists": EXISTS}

_text: Final = msgspec.json.Decoder(str).decode
_version: Final = msgspec.json.Decoder(int).decode


def append_handlers(store: EventStore) -> Mapping[str, Handler]:
    """Make the handlers of the operations that write.

    Cost of each: that of `EventStore.append` and no more.
    """

    def append_events(request: Request, stream_id: str) -> Response:
        request.parameters()
        expected, events = _append_request(request.json_text())
        appended = store.append(stream_id, events, expected=expected)
        first, last = appended.events[0].event_id, appended.version
        # Relative to the request's own URL, since a gateway may have cut a stage or a domain's base path off.
        headers = {"location": f"events?from={first}&to={last}"}
        if appended.repeated:
            headers["idempotent-replay"] = "true"
        counts = {} if appended.repeated else {"Appended": len(appended.events)}
        return answer(201, append_answer(appended), headers=headers, counts=counts)

    return {"appendEvents": append_events}


def _append_request(body: str) -> tuple[Expected, list[NewEvent]]:
    """Read a body: what the append expects, and its events, their payloads untouched."""
    try:
        found = _REQUEST.members(body)
        expected = _expected(found["expectedVersion"])
        texts = elements(found["events"], path="events", form=_EVENT)
        if not texts:
            raise EmptyAppend("events", "is empty; give at least one event")
        # Every event's outer part is looked at before the inner part of any: it costs next to nothing.
        parts = [_EVENT.members(text, path=f"events[{index}]") for index, text in enumerate(texts)]
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError) as error:
        raise explain(body, refused=error) from error
    _check_sizes(parts)
    return expected, [_new_event(part, f"events[{index}]") for index, part in enumerate(parts)]


def _expected(text: Raw) -> Expected:
    # An integer alone: 1.0 isn't one here, though msgspec would take it.
    try:
        if bytes(text).lstrip(b"-").isdigit():
            return _version(text)
        return _EXPECTATIONS[_text(text)]
    except (ValidationError, KeyError) as error:
        raise InvalidExpectedVersion("expectedVersion", _EXPECTED) from error


def _check_sizes(parts: list[dict[str, Raw]]) -> None:
    """Refuse by its size, before it's read, what would be refused by it afterwards anyway."""
    total_bytes = 0
    for index, part in enumerate(parts):
        texts = (part[name] for name in ("payload", "metadata") if name in part)
        size_bytes = EVENT_OVERHEAD_BYTES + sum(len(memoryview(text)) for text in texts)
        total_bytes += size_bytes
        if size_bytes > ITEM_MAX_BYTES:
            field = f"events[{index}].payload"
            raise EventTooLarge(field, size_bytes=size_bytes, limit_bytes=ITEM_MAX_BYTES)
    if total_bytes > TRANSACTION_MAX_BYTES:
        raise TransactionTooLarge("events", size_bytes=total_bytes, limit_bytes=TRANSACTION_MAX_BYTES)


def _new_event(part: dict[str, Raw], path: str) -> NewEvent:
    try:
        return NewEvent(
            name=_string(part["eventName"], "eventName"),
            payload=bytes(part["payload"]).decode(),
            metadata=bytes(part["metadata"]).decode() if "metadata" in part else "{}",
            uid=_string(part["eventUid"], "eventUid") if "eventUid" in part else None,
        )
    except InvalidInput as error:
        raise error.under(path) from error.__cause__


def _string(text: Raw, name: str) -> str:
    try:
        return _text(text)
    except ValidationError as error:
        kind, why = _STRINGS[name]
        raise kind(name, why) from error


_STRINGS: Final[dict[str, tuple[type[InvalidInput], str]]] = {
    "eventName": (InvalidEventName, "has to be a text, such as OrderPlaced"),
    "eventUid": (InvalidEventUid, "has to be a UUID as text; leave it out to have one made"),
}
