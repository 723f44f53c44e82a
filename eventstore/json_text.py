"""JSON as text: checked, never converted, so that every number stays as it was sent."""

from __future__ import annotations

import json
import re
from typing import Any

from eventstore.errors import InvalidJson
from eventstore.limits import JSON_MAX_DEPTH


class _NotANumber(ValueError):
    pass


def _refuse_constant(name: str) -> None:
    raise _NotANumber(name)


# Numbers are only scanned, never built: a number of 10,000 digits is as good as any other.
_SCANNER = json.JSONDecoder(parse_float=str, parse_int=str, parse_constant=_refuse_constant)
_SPACE = re.compile(r"[ \t\n\r]*")
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)
_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|.)", re.DOTALL)


def check_json(text: str, *, field: str, only_object: bool = False) -> int:
    """Check that a text is JSON (RFC 8259) which every consumer can read.

    Args:
        text: the JSON text.
        field: where it stands, for the error.
        only_object: refuse anything but a JSON object.

    Returns:
        Its size in bytes of UTF-8.

    Raises:
        InvalidJson: it isn't JSON, has NaN or Infinity, a lone surrogate, or more than
            `JSON_MAX_DEPTH` levels.
    """
    if not isinstance(text, str):
        raise InvalidJson(field, f"has to be JSON text (str), not {type(text).__name__}")
    try:
        size_bytes = len(text) if text.isascii() else len(text.encode())
    except UnicodeEncodeError as error:
        raise InvalidJson(field, _lone_surrogate(error.start)) from error
    if text.count("[") + text.count("{") > JSON_MAX_DEPTH:
        _check_depth(text, field)
    try:
        value = _SCANNER.decode(text)
    except _NotANumber as error:
        raise InvalidJson(field, f"has {error}, which JSON does not know; send null or a string") from error
    except json.JSONDecodeError as error:
        raise InvalidJson(field, f"is not JSON: {error.msg} at character {error.pos}") from error
    if only_object and not isinstance(value, dict):
        raise InvalidJson(field, "has to be a JSON object, for example {}")
    if "\\u" in text:
        _check_surrogates(text, field)
    return size_bytes


def json_members(text: str, *, field: str) -> dict[str, str]:
    """Split a JSON object into the texts of its members, each exactly as it stands there.

    Raises:
        json.JSONDecodeError: it's not a JSON object, or a name stands twice.
        InvalidJson: it has NaN or Infinity.
    """
    try:
        return _members(text)
    except _NotANumber as error:
        raise InvalidJson(field, f"has {error}, which JSON does not know; write null or a string") from error


def to_json(value: Any, *, field: str = "payload") -> str:
    """Write a plain Python value as compact JSON text.

    Decimals and other types have no one way into JSON: encode them with the library of your choice
    and give the text.

    Raises:
        InvalidJson: the value has NaN, Infinity, a lone surrogate or a type that JSON does not know.
    """
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidJson(
            field, f"can't be written as JSON: {error}. Give plain values, or JSON text"
        ) from error


def _members(text: str) -> dict[str, str]:
    members: dict[str, str] = {}
    at = _skip(text, 0)
    at = _expect(text, at, "{")
    while not text.startswith("}", at):
        if members:
            at = _expect(text, at, ",")
        name, end = _SCANNER.raw_decode(text, at)
        if not isinstance(name, str) or not text.startswith('"', at):
            raise json.JSONDecodeError("expecting a name in double quotes", text, at)
        if name in members:
            raise json.JSONDecodeError(f"{name!r} stands twice", text, at)
        begin = _expect(text, _skip(text, end), ":")
        _, end = _SCANNER.raw_decode(text, begin)
        members[name] = text[begin:end]
        at = _skip(text, end)
    if _skip(text, at + 1) != len(text):
        raise json.JSONDecodeError("there is more behind the object", text, at + 1)
    return members


def _skip(text: str, at: int) -> int:
    space = _SPACE.match(text, at)
    assert space is not None
    return space.end()


def _expect(text: str, at: int, what: str) -> int:
    if not text.startswith(what, at):
        raise json.JSONDecodeError(f"expecting {what!r}", text, at)
    return _skip(text, at + len(what))


def _check_depth(text: str, field: str) -> None:
    depth = 0
    for character in _STRING.sub("", text):
        if character in "[{":
            depth += 1
            if depth > JSON_MAX_DEPTH:
                raise InvalidJson(field, f"is nested deeper than {JSON_MAX_DEPTH} levels; flatten it")
        elif character in "]}":
            depth -= 1


def _check_surrogates(text: str, field: str) -> None:
    high_ends_at = -1
    for escape in _ESCAPE.finditer(text):
        code = int(escape[1], 16) if escape[1] else 0
        pairs_up = high_ends_at == escape.start()
        if high_ends_at >= 0 and not (pairs_up and 0xDC00 <= code <= 0xDFFF):
            raise InvalidJson(field, _lone_surrogate(high_ends_at - 6))
        if 0xDC00 <= code <= 0xDFFF and not pairs_up:
            raise InvalidJson(field, _lone_surrogate(escape.start()))
        high_ends_at = escape.end() if 0xD800 <= code <= 0xDBFF else -1
    if high_ends_at >= 0:
        raise InvalidJson(field, _lone_surrogate(high_ends_at - 6))


def _lone_surrogate(position: int) -> str:
    return f"has a lone surrogate at character {position}, half of a character; send the whole character"
