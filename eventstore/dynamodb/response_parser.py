"""Reads the answers of DynamoDB that carry items, at little more than the cost of their JSON.

An item comes as ``{"Payload": {"S": "..."}}``, and boto3's client gives it in the same form. botocore's
parser still walks each attribute by the service's model, which takes several times as long as reading the
JSON (ADR 10). This one takes the items as they are and leaves the rest of an answer to botocore.
"""

from __future__ import annotations

import gc
import json
import os
from base64 import b64decode
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import contextmanager
from contextvars import ContextVar
from itertools import chain
from typing import Any, Final, Protocol

_MEMBERS: Final = {
    "BatchGetItemOutput": "Responses",
    "GetItemOutput": "Item",
    "QueryOutput": "Items",
    "ScanOutput": "Items",
}
"""The answers that carry items, by the name of their shape, and the member where the items are."""

_PLAIN: Final = frozenset({"BOOL", "N", "NS", "NULL", "S", "SS"})
"""The types of attributes that stand in the JSON as boto3's client gives them."""

_READS_LATER: Final = ContextVar("reads_later", default=False)


@contextmanager
def read_later() -> Iterator[None]:
    """Let answers that carry items come unread: each is read by who first asks it for more than its metadata.

    For threads that fetch what another one uses: the items are made on the thread, and so in the caches of
    the core, where they're used (ADR 10). Of clients with this parser only; others read theirs as ever.
    """
    token = _READS_LATER.set(True)
    try:
        yield
    finally:
        _READS_LATER.reset(token)


class Parser(Protocol):
    """What botocore asks of a parser of responses."""

    def parse(self, response: dict[str, Any], shape: Any) -> Any:
        """Parse an HTTP response into what boto3's client returns."""
        ...


class ParserFactory(Protocol):
    """botocore's component `response_parser_factory`."""

    def create_parser(self, protocol_name: str) -> Parser:
        """Make a parser for a wire protocol; botocore asks for one at each response."""
        ...


class ItemParserFactory:
    """A `response_parser_factory` whose parsers read items fast; all that isn't items is the ordinary one's.

    Args:
        ordinary: the factory that is registered in the session so far.
        loads: reads JSON.
    """

    def __init__(self, ordinary: ParserFactory, *, loads: Callable[[bytes], Any] = json.loads) -> None:
        self._ordinary = ordinary
        self._loads = loads

    def create_parser(self, protocol_name: str) -> Parser:
        """Make a parser; for another protocol than the JSON that DynamoDB speaks, the ordinary one."""
        ordinary = self._ordinary.create_parser(protocol_name)
        return ItemParser(ordinary, self._loads) if protocol_name == "json" else ordinary


class ItemParser:
    """Parses what carries items into the same as botocore's parser does.

    Errors, other operations and whatever looks otherwise than expected go to the ordinary parser whole.
    """

    def __init__(self, ordinary: Parser, loads: Callable[[bytes], Any]) -> None:
        self._ordinary = ordinary
        self._loads = loads

    def parse(self, response: dict[str, Any], shape: Any) -> Any:
        """Parse an HTTP response into what boto3's client returns."""
        member = _MEMBERS.get(shape.name) if shape is not None else None
        if member is None or response["status_code"] != 200:
            return self._ordinary.parse(response, shape)
        if _READS_LATER.get():
            metadata = self._ordinary.parse({**response, "body": b"{}"}, shape)["ResponseMetadata"]
            return UnreadAnswer(metadata, lambda: self._read(response, shape, member))
        return self._read(response, shape, member)

    def _read(self, response: dict[str, Any], shape: Any, member: str) -> Any:
        try:
            answer = _load_uncollected(self._loads, response["body"])
            items = answer.pop(member)
            _decode_binaries(_flat(items, member))
        except (AttributeError, LookupError, TypeError, ValueError):
            return self._ordinary.parse(response, shape)
        # The rest is small. It goes the ordinary way, and comes back with the response's metadata.
        parsed = self._ordinary.parse({**response, "body": json.dumps(answer).encode()}, shape)
        parsed[member] = items
        return parsed


class UnreadAnswer(MutableMapping[str, Any]):
    """An answer of status 200 that reads itself when it's asked for anything but its metadata or an error.

    botocore asks for these two on the way, handlers of its events for what they like.
    """

    def __init__(self, metadata: dict[str, Any], read: Callable[[], dict[str, Any]]) -> None:
        self._known: dict[str, Any] = {"ResponseMetadata": metadata}
        self._read: Callable[[], dict[str, Any]] | None = read

    def _all(self) -> dict[str, Any]:
        if self._read is not None:
            self._known = {**self._read(), **self._known}
            self._read = None  # and with it the body
        return self._known

    def __getitem__(self, name: str) -> Any:
        return self._known[name] if name in {"ResponseMetadata", "Error"} else self._all()[name]

    def __setitem__(self, name: str, value: Any) -> None:
        self._all()[name] = value

    def __delitem__(self, name: str) -> None:
        del self._all()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._all())

    def __len__(self) -> int:
        return len(self._all())


def _load_uncollected(loads: Callable[[bytes], Any], body: bytes) -> Any:
    """Read a page's JSON while the garbage collector rests.

    A page of 1 MB becomes some 10,000 objects within milliseconds, all of them in use. Each 700 of them would
    set off a collection that finds nothing (ADR 10). It's switched on again by whoever switched it off, so
    that it never rests for longer than one page, however many threads read.
    """
    global _rests  # noqa: PLW0603
    if not gc.isenabled():
        return loads(body)
    gc.disable()
    _rests = True
    try:
        return loads(body)
    finally:
        _rests = False
        gc.enable()


_rests = False
"""Whether a thread has the collector rest just now."""


def _wake_collector() -> None:
    """Switch the collector on in a forked child, to which the thread that let it rest hasn't come along."""
    if _rests:
        gc.enable()


if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
    os.register_at_fork(after_in_child=_wake_collector)


def _flat(items: Any, member: str) -> list[dict[str, Any]]:
    if member == "Items":
        return items  # type: ignore[no-any-return]
    return [items] if member == "Item" else list(chain.from_iterable(items.values()))


def _decode_binaries(items: list[dict[str, Any]]) -> None:
    """Turn base64 into bytes, in place; a page without binaries, lists and maps is never walked in Python."""
    kinds = set().union(*chain.from_iterable(map(dict.values, items)))
    if not kinds <= _PLAIN:
        for item in items:
            _decode_map(item)


def _decode_map(attributes: dict[str, dict[str, Any]]) -> None:
    for attribute in attributes.values():
        _decode(attribute)


def _decode(attribute: dict[str, Any]) -> None:
    for kind, value in attribute.items():
        if kind == "B":
            attribute[kind] = b64decode(value)
        elif kind == "BS":
            attribute[kind] = [b64decode(one) for one in value]
        elif kind == "M":
            _decode_map(value)
        elif kind == "L":
            for one in value:
                _decode(one)
        elif kind not in _PLAIN:
            raise ValueError(f"a type of attributes that is not known here: {kind}")
