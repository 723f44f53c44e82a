"""Why a body can't be taken: what, where and how to mend it.

A body that msgspec decodes never comes here. One that it refuses is read again by Python's own parser, which
also takes what JSON doesn't know (NaN, halves of characters), so that the fault can be found and named.
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterator
from typing import Any, Final

from eventstore.errors import (
    InvalidEventName,
    InvalidEventUid,
    InvalidExpectedVersion,
    InvalidInput,
    InvalidJson,
)
from eventstore.http.errors import MalformedJson, MissingField, UnknownField, WrongType
from eventstore.json_text import check_json
from eventstore.limits import JSON_MAX_DEPTH

_EXPECTED: Final = (
    "has to be a version (0 for a stream without events, else the eventId of its last event), "
    '"any" or "exists"'
)
_LIST: Final = "has to be an array of events, such as [{...}]"
_OBJECT: Final = 'has to be a JSON object, such as {"expectedVersion": 0, "events": [...]}'
_EVENT: Final = 'has to be a JSON object, such as {"eventName": "OrderPlaced", "payload": {}}'

_TEXTS: Final[tuple[tuple[str, type[InvalidInput], str], ...]] = (
    ("eventName", InvalidEventName, "has to be a text, such as OrderPlaced"),
    ("eventUid", InvalidEventUid, "has to be a UUID as text; leave it out to have one made"),
)


def explain(body: str, *, refused: str) -> InvalidInput:
    """Find the first fault of a body that could not be decoded as an `AppendRequest`.

    Args:
        body: the text that was refused.
        refused: what the decoder said, for a fault that isn't found here.
    """
    try:
        value = _TOLERANT.decode(body)
    except json.JSONDecodeError as error:
        if not body.strip():
            return MalformedJson("body", f"is empty; it {_OBJECT}")
        return MalformedJson("body", f"is not JSON: {error.msg} at line {error.lineno}, column {error.colno}")
    except RecursionError:
        return _too_deep("body")
    return next(_faults(value), MalformedJson("body", f"can't be read: {refused}"))


def _digits(number: str) -> int:
    # All that matters here is that it is an integer; one of many digits is beyond any version.
    return int(number[:20])


def _fraction(_number: str) -> float:
    return 0.5


_TOLERANT: Final = json.JSONDecoder(parse_int=_digits, parse_float=_fraction, parse_constant=float)


def _faults(body: Any) -> Iterator[InvalidInput]:
    if not isinstance(body, dict):
        yield WrongType("body", _OBJECT)
        return
    yield from _field_faults(body, "", required=("expectedVersion", "events"), optional=())
    expected = body.get("expectedVersion")
    if expected not in ("any", "exists") and (isinstance(expected, bool) or not _is_version(expected)):
        yield InvalidExpectedVersion("expectedVersion", _EXPECTED)
    events = body["events"]
    if not isinstance(events, list):
        yield WrongType("events", _LIST)
        return
    for index, event in enumerate(events):
        yield from _event_faults(event, f"events[{index}]")


def _is_version(value: Any) -> bool:
    return isinstance(value, int) and abs(value) < 10**18


def _event_faults(event: Any, path: str) -> Iterator[InvalidInput]:
    if not isinstance(event, dict):
        yield WrongType(path, _EVENT)
        return
    required, optional = ("eventName", "payload"), ("metadata", "eventUid")
    yield from _field_faults(event, f"{path}.", required=required, optional=optional)
    for name, kind, why in _TEXTS:
        text = event.get(name, "")
        if not isinstance(text, str):
            yield kind(f"{path}.{name}", why)
        yield from (kind(fault.field, fault.reason) for fault in _value_faults(text, f"{path}.{name}"))
    for name in ("payload", "metadata"):
        yield from _value_faults(event.get(name), f"{path}.{name}")


def _field_faults(
    value: dict[str, Any], prefix: str, *, required: Collection[str], optional: Collection[str]
) -> Iterator[InvalidInput]:
    known = (*required, *optional)
    for name in value:
        if name not in known:
            yield UnknownField(f"{prefix}{name[:100]}", f"is not a field; there are {', '.join(known)}")
    for name in required:
        if name not in value:
            yield MissingField(f"{prefix}{name}", "is missing; it has to be given")


def _value_faults(value: Any, path: str) -> Iterator[InvalidInput]:
    """Find what JSON does not know, wherever it stands; without recursion, however deep."""
    waiting = [(value, path, 1)]
    while waiting:
        inner, where, depth = waiting.pop()
        if isinstance(inner, dict | list):
            if depth > JSON_MAX_DEPTH:
                yield _too_deep(path)
                return
            parts = list(inner.items() if isinstance(inner, dict) else enumerate(inner))
            yield from (fault for part in parts for fault in _leaf_faults(part[0], where))
            waiting += [(part, _join(where, key), depth + 1) for key, part in reversed(parts)]
        else:
            yield from _leaf_faults(inner, where)


def _leaf_faults(value: Any, path: str) -> Iterator[InvalidInput]:
    if isinstance(value, str) or (isinstance(value, float) and not math.isfinite(value)):
        try:
            check_json(json.dumps(value), field=path)
        except InvalidJson as error:
            yield error


def _join(path: str, key: str | int) -> str:
    return f"{path}[{key}]" if isinstance(key, int) else f"{path}.{key[:100]}"


def _too_deep(field: str) -> InvalidJson:
    return InvalidJson(field, f"is nested deeper than {JSON_MAX_DEPTH} levels; flatten it")
