"""The operations that read: a stream, where a stream is, all streams in time order, and what the API is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Final, Generic, NamedTuple, TypeVar

import msgspec

from eventstore.errors import InvalidLimit, InvalidRange, StreamNotFound
from eventstore.events import Event
from eventstore.http.app import Handler
from eventstore.http.errors import InvalidParameter
from eventstore.http.models import (
    AllEventsPage,
    PositionedEvent,
    StoredEvent,
    StreamDescription,
    StreamPage,
    positioned_event,
    stored_event,
)
from eventstore.http.requests import Request
from eventstore.http.responses import Response, answer, size_in_answer_bytes
from eventstore.http.times import parse_time
from eventstore.limits import PAGE_DEFAULT_EVENTS, PAGE_MAX_EVENTS, RESPONSE_MAX_BYTES, VERSION_MAX
from eventstore.positions import Position, time_text
from eventstore.store import EventStore

_Model = TypeVar("_Model", StoredEvent, PositionedEvent)

_OPENAPI: Final = Path(__file__).with_name("openapi.json")
"""`make openapi` writes it."""


def read_handlers(store: EventStore) -> Mapping[str, Handler]:
    """Make the handlers of the operations that read."""
    reads = _Reads(store)
    return {
        "readStream": reads.read_stream,
        "describeStream": reads.describe_stream,
        "readAll": reads.read_all,
        "getOpenApi": _get_openapi,
    }


class _Reads:
    def __init__(self, store: EventStore) -> None:
        self._store = store

    def read_stream(self, request: Request, stream_id: str) -> Response:
        """Answer with a page of a stream.

        Cost: that of `EventStore.read_stream`, with one event more than the page holds, to see whether any
        follows.
        """
        given = request.parameters("from", "to", "limit", "direction", "consistency")
        limit = limit_of(given)
        from_version, to_version = _version(given, "from"), _version(given, "to")
        if from_version and to_version and from_version > to_version:
            raise InvalidRange("from", f"is {from_version}, after to = {to_version}; exchange them")
        backward = _choice(given, "direction", "forward", "backward")
        found = self._store.read_stream(
            stream_id,
            from_version=from_version or 1,
            to_version=to_version,
            backward=backward,
            limit=limit + 1,
            consistent=not _choice(given, "consistency", "strong", "eventual"),
        )
        page = _take_page(found, stored_event, limit=limit)
        next_version = page.following.event_id if page.following else None
        return answer(200, StreamPage(stream_id=stream_id, events=page.events, next=next_version))

    def describe_stream(self, request: Request, stream_id: str) -> Response:
        """Answer with a stream's version and the times of its first and last event.

        Cost: 2 queries of 1 event each, strongly consistent (1 RCU each for events of <= 4 KB).
        """
        request.parameters()
        head = self._store.head(stream_id)
        if not head.version:
            raise StreamNotFound(stream_id=stream_id)
        first = next(self._store.read_stream(stream_id, limit=1))
        return answer(
            200,
            StreamDescription(
                stream_id=stream_id,
                version=head.version,
                first_timestamp=time_text(first.timestamp_us),
                last_timestamp=time_text(head.timestamp_us),
            ),
        )

    def read_all(self, request: Request, _stream_id: str) -> Response:
        """Answer with a page of all streams in time order, of settled events only.

        Cost: that of `EventStore.read_all` with a limit of one event more than the page holds. With `name`
        the limit is PAGE_MAX_EVENTS + 1, whatever the page's own is, and at most RESPONSE_MAX_BYTES of events
        are looked at.
        """
        given = request.parameters("from", "to", "after", "limit", "name")
        limit, name = limit_of(given), given.get("name")
        after = Position.parse(given["after"]) if "after" in given else None
        looks = limit if name is None else PAGE_MAX_EVENTS
        found = self._store.read_all(
            from_=parse_time(given["from"], field="from") if "from" in given else None,
            to=parse_time(given["to"], field="to") if "to" in given else None,
            after=after,
            limit=looks + 1,
        )
        page = _take_page(found, positioned_event, limit=limit, looks=looks, name=name)
        checkpoint = page.last.position if page.last else after
        position = str(checkpoint) if checkpoint else None
        return answer(
            200,
            AllEventsPage(
                events=page.events,
                next=position if page.following else None,
                checkpoint=position,
                settled_until=time_text(found.settled_until_us),
            ),
        )


def _get_openapi(request: Request, _stream_id: str) -> Response:
    request.parameters()
    return answer(200, msgspec.Raw(_OPENAPI.read_bytes()))


class _Page(NamedTuple, Generic[_Model]):
    events: list[_Model]
    last: Event | None
    """The last one that was looked at, in the page or not."""
    following: Event | None
    """What the next page begins with, if there is one."""


def _take_page(
    found: Iterable[Event],
    model: Callable[[Event], _Model],
    *,
    limit: int,
    looks: int = PAGE_MAX_EVENTS,
    name: str | None = None,
) -> _Page[_Model]:
    """Fill a page with events, of one name if that's given: one at least, if there's any.

    Args:
        looks: how many events are looked at; of these at most RESPONSE_MAX_BYTES.
    """
    events: list[_Model] = []
    last: Event | None = None
    size_bytes = 0
    for looked_at, event in enumerate(found):
        one = model(event)
        size_bytes += size_in_answer_bytes(one)
        is_full = looked_at == looks or len(events) == limit
        if is_full or (last is not None and size_bytes > RESPONSE_MAX_BYTES):
            return _Page(events, last, event)
        if name is None or event.name == name:
            events.append(one)
        last = event
    return _Page(events, last, None)


def limit_of(given: Mapping[str, str]) -> int:
    """Return how many events a page has at most; raises InvalidLimit."""
    text = given.get("limit", str(PAGE_DEFAULT_EVENTS))
    limit = _integer(text)
    if limit is None or not 1 <= limit <= PAGE_MAX_EVENTS:
        raise InvalidLimit("limit", f"is {_shown(text)}; ask for 1 to {PAGE_MAX_EVENTS:,} events a page")
    return limit


def _version(given: Mapping[str, str], field: str) -> int | None:
    if field not in given:
        return None
    version = _integer(given[field])
    if version is None or not 1 <= version <= VERSION_MAX:
        raise InvalidRange(field, f"is {_shown(given[field])}; versions run from 1 to {VERSION_MAX}")
    return version


def _choice(given: Mapping[str, str], field: str, usual: str, other: str) -> bool:
    """Return whether the other of two values was chosen."""
    value = given.get(field, usual)
    if value not in (usual, other):
        raise InvalidParameter(field, f"is {_shown(value)}; it may be {usual} or {other}")
    return value == other


_DIGITS_MAX: Final = 20


def _integer(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= _DIGITS_MAX else None


def _shown(text: str) -> str:
    return text if len(text) <= _DIGITS_MAX else f"{text[:_DIGITS_MAX]}..."
