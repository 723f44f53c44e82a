"""Why a body isn't JSON that can be taken: what, where and how to mend it.

A body that msgspec reads never comes here. In one that it refuses, what JSON doesn't know (NaN, halves of
characters) is found by patterns, and its place by the brackets before it: each a pass over the text, none of
them builds its values.
"""

from __future__ import annotations

import json
import re
from typing import Final

from eventstore.errors import InvalidEventName, InvalidEventUid, InvalidInput, InvalidJson
from eventstore.http.errors import MalformedJson
from eventstore.json_text import STRING_PATTERN, lone_surrogate, lone_surrogate_at
from eventstore.limits import JSON_MAX_DEPTH

_PARSED_MAX_CHARS: Final = 1_048_576
"""Characters up to which Python's parser is asked, since it says best where a text breaks: it builds all
values before it, which take up to some forty times as many bytes."""

_BEFORE_CONSTANT: Final = re.compile(rf'(?:[^"NI-]++|-(?!I)|{STRING_PATTERN})*+', re.DOTALL)
_CONSTANT: Final = re.compile(r"NaN|-?Infinity")
# Closed arrays and objects of few levels are passed over as strings are, so that most brackets aren't looked
# at one by one. One that turns out to be deeper, or open, is gone through again: once a level.
_FLAT: Final = rf'(?:[^][{{}}"]++|{STRING_PATTERN})*+'
_CLOSED: Final = rf"\[{_FLAT}\]|\{{{_FLAT}\}}"
_LOW: Final = rf'(?:[^][{{}}"]++|{STRING_PATTERN}|{_CLOSED})*+'
_WHOLE: Final = rf"{STRING_PATTERN}|\[{_LOW}\]|\{{{_LOW}\}}"
_UP_TO_BRACKET: Final = re.compile(rf'((?:[^][{{}}"]++|{_WHOLE})*+)([][{{}}]?)', re.DOTALL)
_NOT_OWN: Final = re.compile(_WHOLE, re.DOTALL)
_UP_TO_LAST_COMMA: Final = re.compile(rf'(?:(?:[^][{{}}",]++|{_WHOLE})*+,)*+', re.DOTALL)
_NAME: Final = re.compile(rf"\s*({STRING_PATTERN})\s*:", re.DOTALL)
_BYTE: Final = re.compile(r"\(byte (\d+)\)")


class _Constant(ValueError):
    pass


def _refuse_constant(name: str) -> None:
    raise _Constant(name)


_PARSER: Final = json.JSONDecoder(
    parse_int=str, parse_float=str, parse_constant=_refuse_constant, object_pairs_hook=tuple
)


def explain(body: str, *, refused: Exception) -> InvalidInput:
    """Find the first fault of a body that could not be decoded.

    Args:
        body: the text that was refused.
        refused: the decoder's error.
    """
    if isinstance(refused, RecursionError):
        return too_deep("body")
    if not body.strip():
        return MalformedJson("body", "is empty; it has to be a JSON object")
    before = _BEFORE_CONSTANT.match(body)
    constant = _CONSTANT.match(body, before.end()) if before else None
    broken = _broken(body, refused, constant)
    if broken:
        return broken
    if constant:
        return _fault(
            body, constant.start(), f"has {constant[0]}, which JSON does not know; send null or a string"
        )
    half = refused.start if isinstance(refused, UnicodeEncodeError) else lone_surrogate_at(body)
    if half is not None:
        return _fault(body, half, lone_surrogate(half))
    return MalformedJson("body", f"can't be read: {refused}")


def _broken(body: str, refused: Exception, constant: re.Match[str] | None) -> InvalidInput | None:
    """Say where a body breaks, if it does, and does so before the first constant."""
    if len(body) > _PARSED_MAX_CHARS:
        at = _at(body, refused)
        if at is None or (constant and constant.start() <= at):
            return None
        line, column = body.count("\n", 0, at) + 1, at - body.rfind("\n", 0, at)
        return MalformedJson("body", f"is not JSON: it breaks at line {line}, column {column}")
    try:
        _PARSER.decode(body)
    except _Constant:
        return None
    except json.JSONDecodeError as error:
        return MalformedJson("body", f"is not JSON: {error.msg} at line {error.lineno}, column {error.colno}")
    except RecursionError:
        return too_deep("body")
    return None


def _at(body: str, refused: Exception) -> int | None:
    """Return the character that msgspec has stopped at, if it's known and not half of a character."""
    found = _BYTE.search(str(refused))
    if isinstance(refused, UnicodeEncodeError) or lone_surrogate_at(body) is not None:
        return None
    return len(body.encode()[: int(found[1])].decode(errors="ignore")) if found else len(body)


def _fault(body: str, at: int, why: str) -> InvalidInput:
    steps = place(body, at)
    path = "".join(f"[{step}]" if isinstance(step, int) else f".{step[:100]}" for step in steps).lstrip(".")
    match steps:
        case ["events", int(), "eventName", *_]:
            return InvalidEventName(path, why)
        case ["events", int(), "eventUid", *_]:
            return InvalidEventUid(path, why)
        case ["events", int(), "payload" | "metadata", *_]:
            return InvalidJson(path, why)
    return MalformedJson(path or "body", why)


def place(text: str, at: int) -> list[str | int]:
    """Return the names and indexes that lead to a place in a JSON text which is whole up to there."""
    opened: list[_Opened] = []
    for part in _UP_TO_BRACKET.finditer(text, 0, at):
        own, bracket = part.groups()
        if opened and part[0]:
            opened[-1].pass_over(own)
        if bracket in {"[", "{"}:
            opened.append(_Opened(bracket))
        elif bracket:
            opened.pop()
    return [step for container in opened if (step := container.step()) is not None]


class _Opened:
    """An array or object that isn't closed: its elements so far, and the text since the last bracket."""

    __slots__ = ("_bracket", "_index", "_text")

    def __init__(self, bracket: str) -> None:
        self._bracket = bracket
        self._index = 0
        self._text = ""

    def pass_over(self, text: str) -> None:
        """Go on over some text between brackets."""
        self._text = text
        if self._bracket == "[":
            self._index += _NOT_OWN.sub("", text).count(",")

    def step(self) -> str | int | None:
        """Return the index or name of what is under way; None for a name itself."""
        if self._bracket == "[":
            return self._index
        last_comma = _UP_TO_LAST_COMMA.match(self._text)
        name = _NAME.match(self._text, last_comma.end() if last_comma else 0)
        return json.loads(name[1]) if name else None


def too_deep(field: str) -> InvalidJson:
    """Say that a body is nested too deeply."""
    return InvalidJson(field, f"is nested deeper than {JSON_MAX_DEPTH} levels; flatten it")
