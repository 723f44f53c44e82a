"""Named numbers that a user may change: each has a unit, bounds and a meaning; a fact has a source."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Final, TypeVar

from eventstore.errors import InvalidInput, InvalidLimit

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

ANY: Final = 1e15
"""The highest of what has no limit."""

_KEY: Final = "parameter"
_Set = TypeVar("_Set", bound="DataclassInstance")


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """What a number means."""

    about: str
    unit: str
    low: float
    high: float
    source: str
    whole: bool

    @property
    def bounds(self) -> str:
        return f"from {self.low:,.15g} to {self.high:,.15g}"

    def refuses(self, value: Any) -> str | None:
        """Return what a value has to be, if it isn't that."""
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not self.low <= value <= self.high:  # NaN is in no range
            within = f"of {self.low:,g} or more" if self.high == ANY else self.bounds
            return f"number {within}"
        return "whole number" if self.whole and value != int(value) else None


def parameter(
    default: float | None,
    about: str,
    *,
    unit: str,
    low: float = 0,
    high: float = ANY,
    source: str = "",
    whole: bool = False,
) -> Any:
    """Declare a field of a set of parameters."""
    meaning = Parameter(about=about, unit=unit, low=low, high=high, source=source, whole=whole)
    return field(default=default, metadata={_KEY: meaning})


def parameters_of(parameters: DataclassInstance | type[DataclassInstance]) -> Iterator[tuple[str, Parameter]]:
    """Name every parameter of a set, with its meaning."""
    for one in fields(parameters):
        if _KEY in one.metadata:
            yield one.name, one.metadata[_KEY]


def check(parameters: DataclassInstance) -> None:
    """Check every number of a set against its bounds.

    Raises:
        InvalidLimit: the first that is not a number within them.
    """
    for name, meaning in parameters_of(parameters):
        value = getattr(parameters, name)
        if value is not None and (needed := meaning.refuses(value)):
            raise InvalidLimit(name, f"is {value!r}; it has to be a {needed}")


def changed(parameters: _Set, changes: Mapping[str, object], *, what: str) -> _Set:
    """Return a set with some of its numbers changed.

    Args:
        what: the set's name in the error, such as ``price``.

    Raises:
        InvalidInput: there's no parameter of that name; the error names the nearest.
        InvalidLimit: a number is out of its bounds.
    """
    known = [name for name, _ in parameters_of(parameters)]
    for name in changes:
        if name not in known:
            near = get_close_matches(name, known, n=2) or known
            raise InvalidInput(what, f"there is none named {name!r}; did you mean {' or '.join(near)}?")
    return replace(parameters, **dict(changes))
