"""Values of a read model's items as DynamoDB's attributes, and back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, Final

from eventstore.subscriptions.values import number, plain


def attribute(value: object, at: str) -> dict[str, Any]:
    """Return the attribute of a value.

    Args:
        at: where it stands, for the error.

    Raises:
        InvalidInput: it isn't such a value any more: somebody has changed a write's own dict or list.
    """
    make = _MADE.get(type(value))
    return make(value, at) if make else attribute(plain(value, at), at)


def item(values: Mapping[str, object], at: str) -> dict[str, dict[str, Any]]:
    """Return the attributes of several values by their names; raises as `attribute`."""
    return {name: attribute(value, f"{at}[{name!r}]") for name, value in values.items()}


def value_of(attribute: Mapping[str, Any]) -> Any:
    """Return an attribute's value, in the form that `plain` makes; sets, which others may write, as sets."""
    ((kind, stored),) = attribute.items()
    read = _READ.get(kind)
    return read(stored) if read else stored


def values_of(item: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return an item's values by their names."""
    return {name: value_of(attribute) for name, attribute in item.items()}


def _number(stored: str) -> int | Decimal:
    return number(Decimal(stored), "N")


_MADE: Final[dict[type, Callable[[Any, str], dict[str, Any]]]] = {
    type(None): lambda _, __: {"NULL": True},
    bool: lambda value, _: {"BOOL": value},
    str: lambda value, _: {"S": value},
    bytes: lambda value, _: {"B": value},
    int: lambda value, at: {"N": str(number(value, at))},
    Decimal: lambda value, at: {"N": str(number(value, at))},
    dict: lambda value, at: {"M": item(value, at)},
    list: lambda value, at: {"L": [attribute(each, f"{at}[{n}]") for n, each in enumerate(value)]},
}
"""How an attribute is made, by the types that `plain` returns."""
_READ: Final[dict[str, Callable[[Any], Any]]] = {
    "NULL": lambda _: None,
    "N": _number,
    "M": values_of,
    "L": lambda stored: [value_of(each) for each in stored],
    "NS": lambda stored: {_number(each) for each in stored},
    "SS": set,
    "BS": set,
}
"""How an attribute is read, by its type's letters; others are as boto3 returns them."""
