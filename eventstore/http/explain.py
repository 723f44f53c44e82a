"""Why a body isn't JSON that can be taken: what, where and how to repair it.

A body that msgspec reads never comes here. In one that it refuses, what JSON doesn't know (NaN, halves of
characters) is found by patterns, and its place by the brackets before it: each a pass over the text, none of
them builds its values.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import islice
from typing import Final

from eventstore._json import STRING_PATTERN, lone_surrogate, lone_surrogate_at
from eventstore.errors import InvalidEventName, InvalidEventUid, InvalidInput, InvalidJson
from eventstore.http.errors import MalformedJson
from eventstore.limits import JSON_MAX_DEPTH

_BOM: Final = "\ufeff"
_PARSED_MAX_CHARS: Final = 1_048_576
"""Characters up to which Python's parser is asked, since it says best where a text breaks: it builds all
values before it, which take up to some forty times as many bytes."""

_BEFORE_CONSTANT: Final = re.compile(rf'(?:[^"NI-]++|-(?!I)|{STRING_PATTERN})*+', re.DOTALL)
_CONSTANT: Final = re.compile(r"NaN|-?Infinity")
_STRING: Final = re.compile(STRING_PATTERN, re.DOTALL)
_COLON: Final = re.compile(r"\s*:")
_TOKEN: Final = re.compile(rf"(\[)|(\{{)|([]}}])|(,)|{STRING_PATTERN}", re.DOTALL)
_OPEN_ARRAY, _OPEN_OBJECT, _CLOSE, _COMMA = range(1, 5)  # groups of it
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
    if not body.strip() or body.startswith(_BOM):
        is_bom = body.startswith(_BOM)
        why = (
            "begins with a byte order mark; leave it out"
            if is_bom
            else "is empty; it has to be a JSON object"
        )
        return MalformedJson("body", why)
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
    """Return where a body breaks, if it does, and does so before the first constant."""
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


# complexipy: ignore - one flat loop: there may be millions of tokens, and no function is called for one
def place(text: str, at: int) -> list[str | int]:
    """Return the names and indexes that lead to a place in a JSON text which is whole up to there.

    Each bracket, comma and string before it is looked at once, however they're nested.
    """
    # Of each level: what its array or object was opened by, the index of its element that is under way, and
    # how many strings come before that element: in an object, the next string is its name.
    kinds, indexes, before = [0], [0], [0]
    level = deepest = strings = 0
    for token in _TOKEN.finditer(text, 0, at):
        kind = token.lastindex
        if kind is None:
            strings += 1
        elif kind == _COMMA:
            indexes[level] += 1
            before[level] = strings
        elif kind == _CLOSE:
            level -= level > 0
        else:
            level += 1
            if level > deepest:
                deepest = level
                kinds.append(kind)
                indexes.append(0)
                before.append(strings)
            else:
                kinds[level], indexes[level], before[level] = kind, 0, strings
    opened = range(1, level + 1)
    names = _names(text[:at], [before[of] for of in opened if kinds[of] == _OPEN_OBJECT])
    steps = [indexes[of] if kinds[of] == _OPEN_ARRAY else next(names, None) for of in opened]
    return [step for step in steps if step is not None]


def _names(text: str, numbers: list[int]) -> Iterator[str]:
    """Return some of a text's strings, by their rising numbers, as far as they are names."""
    strings, number = _STRING.finditer(text), -1
    for wanted in numbers:
        found = next(islice(strings, wanted - number - 1, None), None)
        number = wanted
        if found and _COLON.match(text, found.end()):
            yield _read(found[0])


def _read(string: str) -> str:
    try:
        read: str = json.loads(string)
    except ValueError:  # a text that's broken as well, elsewhere: shown as it stands there
        return string[1:-1]
    return read


def too_deep(field: str) -> InvalidJson:
    """Return the refusal of a body that is nested too deeply."""
    return InvalidJson(field, f"is nested deeper than {JSON_MAX_DEPTH} levels; flatten it")
