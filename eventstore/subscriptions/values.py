"""The values of a read model's items: what may be written, and the one form in which it's read back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, time, timedelta
from decimal import Context, Decimal
from enum import Enum
from typing import Any, Final, TypeAlias
from uuid import UUID

from eventstore._arguments import is_whole, shown
from eventstore.errors import InvalidInput
from eventstore.limits import (
    ITEM_MAX_LEVELS,
    KEY_MAX_BYTES,
    NUMBER_MAX_DIGITS,
    NUMBER_MAX_EXPONENT,
    NUMBER_MIN_EXPONENT,
)

KeyValue: TypeAlias = str | int | Decimal | bytes
"""What an attribute of a key may be."""
Value: TypeAlias = "str | int | Decimal | bool | bytes | Sequence[Value] | Mapping[str, Value] | None"
"""What an attribute may be; inside of lists and mappings the same."""

_KINDS: Final = "a text, an int, a Decimal, a bool, None, bytes, a list or a dict of these"
_REPAIRS: Final[tuple[tuple[type | tuple[type, ...], str], ...]] = (
    (
        float,
        "a float isn't exact: give a Decimal, as event.data(parse_float=Decimal) returns, or a text",
    ),
    ((date, time), "give its isoformat(), or a number of seconds"),
    (timedelta, "give its seconds as an int or a Decimal"),
    ((set, frozenset), "give a sorted list of it"),
    (UUID, "give its str()"),
    (Enum, "give its name or its value"),
    ((bytearray, memoryview), "give bytes of it"),
)
_EXACT: Final = Context(prec=2 * (NUMBER_MAX_EXPONENT - NUMBER_MIN_EXPONENT))
"""No sum of two numbers is rounded in it."""
_MAX_BITS: Final = 420
"""An int with more is beyond 10^126."""


def plain(value: object, at: str, *, level: int = 1) -> Any:
    """Return a copy of a value in the form in which it's read back.

    Tuples become lists, whole Decimals ints; a Decimal loses the zeros at its end.

    Args:
        at: where it stands, for the error.
        level: how deep, the attribute's own value being 1.

    Raises:
        InvalidInput: it can't be stored exactly on each adapter; the reason says how to repair it.
    """
    if level > ITEM_MAX_LEVELS:
        raise InvalidInput(
            at, f"is nested deeper than {ITEM_MAX_LEVELS} levels; flatten it, or write its JSON"
        )
    match value:
        case None | bool():
            return value
        case str():
            return text(value, at)
        case bytes():
            return bytes(value)
        case int() | Decimal():
            return number(value, at)
        case Mapping():
            return attributes(value, at, level=level + 1)
        case Sequence() if not isinstance(value, (bytearray, memoryview)):
            return [plain(each, f"{at}[{place}]", level=level + 1) for place, each in enumerate(value)]
    repair = next((how for kind, how in _REPAIRS if isinstance(value, kind)), f"give {_KINDS}")
    raise InvalidInput(at, f"is {shown(value)}, a {type(value).__qualname__}; {repair}")


def attributes(given: object, at: str, *, level: int = 1) -> dict[str, Any]:
    """Return a copy of a mapping of attributes; raises as `plain`, or for names that aren't texts."""
    if not isinstance(given, Mapping):
        raise InvalidInput(at, f"is {shown(given)}; give a mapping of attributes by their names")
    return {
        attribute_name(name, at): plain(each, f"{at}[{shown(name)}]", level=level)
        for name, each in given.items()
    }


def attribute_name(name: object, at: str) -> str:
    """Return an attribute's name.

    Raises:
        InvalidInput: it's no text of at least one character.
    """
    if not isinstance(name, str) or not name:
        raise InvalidInput(at, f"has the name {shown(name)}; a name is a text of at least one character")
    return text(name, at)


def text(value: str, at: str) -> str:
    """Return a text as a plain str.

    Raises:
        InvalidInput: it isn't UTF-8: half of a surrogate pair is in it.
    """
    try:
        value.encode()
    except UnicodeEncodeError as error:
        what = f"has half of a surrogate pair at {error.start}, which isn't UTF-8; leave it out"
        raise InvalidInput(at, what) from error
    return str.__str__(value)


def number(value: int | Decimal, at: str) -> int | Decimal:
    """Return a number as it's read back: an int where it's whole, else a Decimal without zeros at its end.

    Raises:
        InvalidInput: it has more than 38 digits, is beyond DynamoDB's range, or isn't a number.
    """
    is_small = isinstance(value, Decimal) or value.bit_length() <= _MAX_BITS
    exact = Decimal(value) if is_small else None
    if exact is None or not exact.is_finite():
        raise InvalidInput(at, f"is {shown(value)}; {_NUMBERS}")
    if not exact:
        return 0
    sign, digits, exponent = exact.as_tuple()
    kept = "".join(map(str, digits)).rstrip("0")
    low = int(exponent) + len(digits) - len(kept)
    is_in_range = NUMBER_MIN_EXPONENT <= low + len(kept) - 1 <= NUMBER_MAX_EXPONENT
    if len(kept) > NUMBER_MAX_DIGITS or not is_in_range:
        raise InvalidInput(at, f"is {shown(value)}; {_NUMBERS}")
    return int(exact) if low >= 0 else Decimal((sign, tuple(map(int, kept)), low))


_NUMBERS: Final = (
    f"a number has at most {NUMBER_MAX_DIGITS} digits, and is 0 or from 1E{NUMBER_MIN_EXPONENT} to below "
    f"1E{NUMBER_MAX_EXPONENT + 1} either side of it: round it, or write it as a text"
)


def added(number_there: int | Decimal, more: int | Decimal, at: str) -> int | Decimal:
    """Return the exact sum of two numbers; raises as `number`."""
    return number(_EXACT.add(Decimal(number_there), Decimal(more)), at)


def is_number(value: object) -> bool:
    """Return whether a value is stored as a number, which True isn't."""
    return is_whole(value) or isinstance(value, Decimal)


def plain_key(given: object, at: str = "key") -> dict[str, Any]:
    """Return a copy of an item's key: one attribute, or two with a sort key.

    Raises:
        InvalidInput: another number of them, or one that no key can have.
    """
    key = attributes(given, at)
    if not 1 <= len(key) <= 2:
        raise InvalidInput(at, f"has {len(key)} attributes; give the partition key, and the sort key if any")
    for name, value in key.items():
        where = f"{at}[{name!r}]"
        if not (isinstance(value, (str, bytes)) or is_number(value)):
            raise InvalidInput(where, f"is {shown(value)}; in a key give a text, a number or bytes")
        if isinstance(value, (str, bytes)) and not 1 <= size(value) <= KEY_MAX_BYTES:
            what = f"has {size(value):,} bytes; in a key 1 to {KEY_MAX_BYTES:,} fit. Hash what is longer"
            raise InvalidInput(where, what)
    return key


def size(value: Any) -> int:
    """Return the bytes of a plain value as DynamoDB counts them, give or take one for a number."""
    match value:
        case None | bool():
            return 1
        case str():
            return len(value.encode())
        case bytes():
            return len(value)
        case dict():
            return 3 + sum(size(name) + size(each) + 1 for name, each in value.items())
        case list():
            return 3 + sum(size(each) + 1 for each in value)
    sign, digits, _ = Decimal(value).as_tuple()
    return (len(digits) + 1) // 2 + 1 + sign


def item_size(item: Mapping[str, Any]) -> int:
    """Return the bytes of an item of plain values, names included."""
    return sum(size(name) + size(value) for name, value in item.items())
