"""JSON as text: checked, never converted, so that every number stays as it was sent.

Every pass over a text takes time in proportion to its length, whatever stands in it: a pattern either has no
way back (possessive quantifiers) or begins at each place at most once.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Collection
from typing import Any, Final

from eventstore.errors import InvalidJson
from eventstore.limits import JSON_MAX_DEPTH, JSON_NUMBER_MAX_CHARS


class _NotANumber(ValueError):
    pass


class _UnreadableNumber(ValueError):
    pass


class _RepeatedName(ValueError):
    pass


def _refuse_constant(name: str) -> None:
    raise _NotANumber(name)


def _check_integer(number: str) -> None:
    # An integer of fewer digits is neither too long nor beyond a double.
    if len(number) > _SHORT:
        _check_number(number)


def _check_number(number: str) -> None:
    if len(number) > JSON_NUMBER_MAX_CHARS:
        raise _UnreadableNumber(
            f"has a number of {len(number):,} characters ({number[:20]}...); parsers take "
            f"{JSON_NUMBER_MAX_CHARS:,}: send it as a string"
        )
    if math.isinf(float(number)):
        raise _UnreadableNumber(
            f"has the number {number[:20]}{'...' * (len(number) > 20)}, which is beyond a double's "
            "range (1.8e308), so that parsers refuse it or read it as infinite: send it as a string"
        )


_SHORT: Final = 300

STRING_PATTERN: Final = r'"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)'
"""A string, or what there is of one that is cut off."""

# Numbers are only scanned, never built.
_SCANNER = json.JSONDecoder(parse_float=str, parse_int=str, parse_constant=_refuse_constant)
_CHECKER = json.JSONDecoder(
    parse_float=_check_number, parse_int=_check_integer, parse_constant=_refuse_constant
)
# An object becomes a tuple of its members, an array a list: the names of the outermost one are all there.
_MEMBERS = json.JSONDecoder(
    parse_float=str, parse_int=str, parse_constant=_refuse_constant, object_pairs_hook=tuple
)
_CHECKER_OF_MEMBERS = json.JSONDecoder(
    parse_float=_check_number,
    parse_int=_check_integer,
    parse_constant=_refuse_constant,
    object_pairs_hook=tuple,
)


def _check_names(members: list[tuple[str, Any]]) -> None:
    if len(dict(members)) < len(members):
        ((name, count),) = Counter(name for name, _ in members).most_common(1)
        raise _RepeatedName(f"it has {count} keys that JSON writes as {name[:100]!r}")


def _has_only_texts_as_keys(value: object) -> bool:
    """Return whether all names are its own keys as they are, of which no two are equal."""
    waiting = [value]
    for one in waiting:
        if isinstance(one, dict) and not set(map(type, one)) <= {str}:
            return False
        waiting += [each for each in _inside(one) if isinstance(each, (dict, list, tuple))]
    return True


def _inside(value: object) -> Collection[object]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, (list, tuple)) else ()


_CHECKER_OF_NAMES = json.JSONDecoder(parse_float=str, parse_int=str, object_pairs_hook=_check_names)
_DECODERS: Final = {
    (False, False): _CHECKER,
    (True, False): _CHECKER_OF_MEMBERS,
    (False, True): _SCANNER,
    (True, True): _MEMBERS,
}
_SPACE = re.compile(r"[ \t\n\r]*")
_STRING = re.compile(STRING_PATTERN, re.DOTALL)
_BRACKET = re.compile(r"[][{}]")
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
_WHOLE_CHARACTERS = re.compile(
    r"(?:[^\\]++|\\(?:[^u]|u(?![dD][89a-fA-F])|u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}))*+",
    re.DOTALL,
)


def check_json(text: str, *, field: str, only_object: bool = False, stored: bool = False) -> int:
    """Check that a text is JSON (RFC 8259) which every consumer can read.

    Args:
        text: the JSON text.
        field: where it stands, for the error.
        only_object: refuse anything but a JSON object, and one in which a name stands twice (on its first
            level, where the store reads some names itself).
        stored: it's an event's that is stored already: let pass what earlier versions took, numbers that
            some parsers can't read and names that stand twice.

    Returns:
        Its size in bytes of UTF-8.

    Raises:
        InvalidJson: it isn't JSON, has NaN or Infinity, a lone surrogate, more than `JSON_MAX_DEPTH` levels,
            or a number that is longer than `JSON_NUMBER_MAX_CHARS` or beyond a double's range.
    """
    if not isinstance(text, str):
        raise InvalidJson(field, f"has to be JSON text (str), not {type(text).__name__}")
    try:
        size_bytes = len(text) if text.isascii() else len(text.encode())
    except UnicodeEncodeError as error:
        raise InvalidJson(field, lone_surrogate(error.start)) from error
    if text.count("[") + text.count("{") > JSON_MAX_DEPTH:
        _check_depth(text, field)
    try:
        value = _DECODERS[only_object, stored].decode(text)
    except _NotANumber as error:
        raise InvalidJson(field, f"has {error}, which JSON does not know; send null or a string") from error
    except _UnreadableNumber as error:
        raise InvalidJson(field, str(error)) from error
    except json.JSONDecodeError as error:
        raise InvalidJson(field, f"is not JSON: {error.msg} at character {error.pos}") from error
    if only_object:
        _check_members(value, field, once=not stored)
    at = lone_surrogate_at(text)
    if at is not None:
        raise InvalidJson(field, lone_surrogate(at))
    return size_bytes


def lone_surrogate_at(text: str) -> int | None:
    """Return where an escape stands that is half of a character, in a text whose strings are whole."""
    if "\\u" not in text or not _SURROGATE.search(text):
        return None
    found = _WHOLE_CHARACTERS.match(text)
    assert found is not None
    return found.end() if found.end() < len(text) else None


def lone_surrogate(position: int) -> str:
    """Return what is wrong with half of a character."""
    return f"has a lone surrogate at character {position}, half of a character; send the whole character"


def has_unreadable_number(text: str) -> bool:
    """Return whether a JSON text has a number that common parsers refuse, or read as infinite."""
    try:
        _CHECKER.decode(text)
    except _UnreadableNumber:
        return True
    return False


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
        InvalidJson: the value has NaN, Infinity, a lone surrogate, a type that JSON does not know, or a dict
            with keys of which JSON makes the same name, as of 1 and "1".
    """
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        if not _has_only_texts_as_keys(value):
            _CHECKER_OF_NAMES.decode(text)
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidJson(
            field, f"can't be written as JSON: {error}. Give plain values, or JSON text"
        ) from error
    return text


def _check_members(value: Any, field: str, *, once: bool) -> None:
    if not isinstance(value, tuple):
        raise InvalidJson(field, "has to be a JSON object, for example {}")
    if not once:
        return
    names = [name for name, _ in value]
    if len(set(names)) < len(names):
        ((name, count),) = Counter(names).most_common(1)
        raise InvalidJson(field, f"has the name {name[:100]!r} {count} times; give it once")


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
    for bracket in _BRACKET.finditer(_STRING.sub("", text)):
        if bracket[0] in "[{":
            depth += 1
            if depth > JSON_MAX_DEPTH:
                raise InvalidJson(field, f"is nested deeper than {JSON_MAX_DEPTH} levels; flatten it")
        else:
            depth -= 1
