"""All of the DynamoDB client that rests on botocore's inside: the parser of items, and where it's registered.

An item comes as ``{"Payload": {"S": "..."}}``, and boto3's client gives it in the same form. botocore's
parser still walks each attribute by the service's model, which takes several times as long as reading the
JSON (ADR 10). This one takes the items as they are and leaves the rest of an answer to botocore.

Nothing here can break a client. What isn't as expected is done as boto3 does it, and a warning says so
once. `tests/unit/test_foreign_code.py` has a digest of each foreign function that this counts on.
"""

from __future__ import annotations

import json
import logging
from base64 import b64decode
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import contextmanager
from contextvars import ContextVar
from copy import copy
from itertools import chain
from typing import TYPE_CHECKING, Any, Final, Protocol

from botocore import parsers

if TYPE_CHECKING:
    import boto3
    from botocore.credentials import Credentials
    from botocore.session import Session

_LOGGER: Final = logging.getLogger("eventstore.dynamodb")

_PARSERS: Final = "response_parser_factory"
"""botocore's name of the component that makes parsers of responses."""

_JSON_PARSER: Final[type | None] = getattr(parsers, "JSONParser", None)
"""botocore's parser of the protocol that DynamoDB speaks."""

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

NOT_COPIED: Final = (
    "boto3's session can't be copied, so the DynamoDB client is boto3's own and reads items slower"
)
NOT_REGISTERED: Final = (
    "The parser of items can't be registered in botocore's session, so clients read items slower"
)
NOT_READ: Final = "The parser of items has failed, so botocore's own has read the answer"

_unsaid: Final = {NOT_COPIED, NOT_REGISTERED, NOT_READ}


def _say_once(text: str, error: Exception) -> None:
    """Log a warning, the first time in this process."""
    if text in _unsaid:
        _unsaid.discard(text)
        _LOGGER.warning("%s. This is logged once. See ADR 10 of the event store.", text, exc_info=error)


# --- sessions --------------------------------------------------------------------------------------------


def copy_of(session: boto3.Session) -> Session | None:
    """Copy the core of boto3's session with all of its configuration; what is registered there is its own.

    Profile, region, endpoints, config file, defaults, handlers and loaded data: a new session that were told
    some of them would take the rest from the environment, and so from another profile.

    Returns:
        None where the inside of the two isn't as it is known here; a warning is logged once.
    """
    try:
        original: Any = session._session  # noqa: SLF001
        core = copy(original)
        core._components = copy(core._components)  # noqa: SLF001
        for name in ("_components", "_deferred"):
            setattr(core._components, name, dict(getattr(core._components, name)))  # noqa: SLF001
        core.register_component("credential_provider", _CredentialsOf(session))
        _check_is_apart(core, original)
    except Exception as error:  # noqa: BLE001 - whatever it is, boto3 makes a client without this
        _say_once(NOT_COPIED, error)
        return None
    return core  # type: ignore[no-any-return]


def _check_is_apart(core: Any, original: Any) -> None:
    """Check that what is registered in the copy isn't found in the original, by a name that is nobody's."""
    core.register_component("eventstore", True)
    try:
        original.get_component("eventstore")
    except ValueError:
        return
    raise TypeError("a copied session of botocore shares its components with the original")


class _CredentialsOf:
    """A `credential_provider` that hands out another session's credentials, which refresh themselves."""

    def __init__(self, session: boto3.Session) -> None:
        self._session = session

    def load_credentials(self) -> Credentials | None:
        return self._session.get_credentials()


def register(session: Session, *, loads: Callable[[bytes], Any]) -> None:
    """Make the DynamoDB clients that a session creates from now on read items fast.

    Where the inside of botocore isn't as it is known here, a warning is logged once and they read as ever.
    """
    try:
        factory = ItemParserFactory(session.get_component(_PARSERS), loads=loads)
        _check_is_known(factory.create_parser("json"))
        session.register_component(_PARSERS, factory)
    except Exception as error:  # noqa: BLE001 - whatever it is, the session works without
        _say_once(NOT_REGISTERED, error)


def _check_is_known(parser: Parser) -> None:
    if not isinstance(parser, ItemParser):
        raise TypeError(f"{type(parser)} isn't the parser of JSON that is known here")


# --- parsers ---------------------------------------------------------------------------------------------


class Parser(Protocol):
    """What botocore asks of a parser of responses."""

    def parse(self, *given: Any, **named: Any) -> Any:
        """Parse an HTTP response, by a shape of the service's model, into what boto3's client returns."""
        ...


class ParserFactory(Protocol):
    """botocore's component `response_parser_factory`."""

    def create_parser(self, *given: Any, **named: Any) -> Parser:
        """Make a parser for a wire protocol; botocore asks for one at each response."""
        ...


class _Around:
    """Stands in front of an object of botocore, and has all that it has."""

    def __init__(self, ordinary: Any) -> None:
        self.ordinary = ordinary

    def __getattr__(self, name: str) -> Any:
        if name == "ordinary":  # not set yet, as in a copy that is being made
            raise AttributeError(name)
        return getattr(self.ordinary, name)


class ItemParserFactory(_Around):
    """A `response_parser_factory` whose parsers read items fast; all that isn't items is the ordinary one's.

    Args:
        ordinary: the factory that is registered in the session so far.
        loads: reads JSON.
    """

    def __init__(self, ordinary: ParserFactory, *, loads: Callable[[bytes], Any] = json.loads) -> None:
        super().__init__(ordinary.ordinary if isinstance(ordinary, ItemParserFactory) else ordinary)
        self._loads = loads

    def create_parser(self, *given: Any, **named: Any) -> Parser:
        """Make a parser; for another protocol than the JSON that DynamoDB speaks, the ordinary one."""
        ordinary: Parser = self.ordinary.create_parser(*given, **named)
        # Not one that inherits from it: aiobotocore's, for one, has to be awaited.
        return ItemParser(ordinary, self._loads) if type(ordinary) is _JSON_PARSER else ordinary


class ItemParser(_Around):
    """Parses what carries items into the same as botocore's parser does.

    Errors, other operations and whatever looks otherwise than expected go to the ordinary parser untouched.
    """

    def __init__(self, ordinary: Parser, loads: Callable[[bytes], Any]) -> None:
        super().__init__(ordinary)
        self._loads = loads

    def parse(self, *given: Any, **named: Any) -> Any:
        """Parse an HTTP response into what boto3's client returns, whatever botocore hands over."""
        return _fast_or(
            lambda: self._fast(*given, **named), otherwise=lambda: self.ordinary.parse(*given, **named)
        )

    def _fast(self, response: dict[str, Any], shape: Any, *given: Any, **named: Any) -> Any:
        """Read an answer that carries items; None for any other, and when it has none."""
        member = _MEMBERS.get(getattr(shape, "name", ""))
        if member is None or response["status_code"] != 200:
            return None

        def rest(body: bytes) -> Any:
            return self.ordinary.parse({**response, "body": body}, shape, *given, **named)

        def read() -> Any:
            return self._read(response["body"], member, rest)

        if not _READS_LATER.get():
            return read()
        whole = response["body"]
        return UnreadAnswer(rest(b"{}")["ResponseMetadata"], lambda: _fast_or(read, lambda: rest(whole)))

    def _read(self, body: bytes, member: str, rest: Callable[[bytes], Any]) -> Any:
        answer = self._loads(body)
        items = answer.pop(member, None)
        if items is None:
            return None
        _decode_binaries(_flat(items, member))
        # The rest is small. It goes the ordinary way, and comes back with the response's metadata.
        parsed = rest(json.dumps(answer).encode())
        parsed[member] = items
        return parsed


def _fast_or(fast: Callable[[], Any], otherwise: Callable[[], Any]) -> Any:
    """Do it the fast way, and the ordinary way where that gives None or fails; a failure is logged once.

    DynamoDB has done what the answer is about, so no fault of the fast way may hide it.
    """
    try:
        answer = fast()
    except Exception as error:  # noqa: BLE001 - whatever it is, botocore reads the same bytes
        _say_once(NOT_READ, error)
        answer = None
    return otherwise() if answer is None else answer


# --- answers that are read later -------------------------------------------------------------------------


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


# --- items -----------------------------------------------------------------------------------------------


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
        if kind not in _PLAIN:
            attribute[kind] = _decoded(kind, value)


def _decoded(kind: str, value: Any) -> Any:
    match kind:
        case "B":
            return b64decode(value)
        case "BS":
            return [b64decode(one) for one in value]
        case "M":
            _decode_map(value)
        case "L":
            for one in value:
                _decode(one)
        case _:
            raise ValueError(f"a type of attributes that is not known here: {kind}")
    return value
