"""Whole numbers of items, read strictly: what the store's own tables keep has one form alone."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

DIGITS: Final = "(0|[1-9][0-9]{0,17})"
"""A whole number as it's stored, as a pattern; 18 digits at most."""

_MOST: Final = 10**18 - 1
_WHOLE: Final = re.compile(DIGITS)


class NotWhole(ValueError):
    """What is wrong with an attribute, as words behind "its": "Format is 1.5; it has to be ..."."""


def whole(item: Mapping[str, Any], name: str, *, low: int = 0, high: int = _MOST) -> int:
    """Read an attribute that is a whole number from `low` to `high`, as DynamoDB writes it.

    Raises:
        NotWhole: it's missing, of another type, or another number.
    """
    number = item.get(name, {}).get("N")
    if number is None:
        raise NotWhole(f"{name} is missing or no number")
    if not _WHOLE.fullmatch(number) or not low <= int(number) <= high:
        bounds = f"from {low} on" if high == _MOST else f"from {low} to {high:,}"
        raise NotWhole(f"{name} is {number:.60}; it has to be a whole number {bounds}")
    return int(number)
