"""What users give is checked where they give it: numbers, functions, and objects that have a port's methods.

Else a wrong argument shows when it's used: in a worker that runs, or behind a write. An object isn't asked of
which class it is, but whether it has the methods of the port, so anything that has them will do.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from functools import cache
from inspect import get_annotations, isfunction
from itertools import chain
from math import isfinite
from typing import Any, Final, Generic, Protocol, TypeGuard

from eventstore._synchronous import REPAIR, check_synchronous, name_of, shows_to_be_later
from eventstore.errors import InvalidArgument, InvalidLimit, NotSynchronous


def check_port(given: object, port: type, field: str, *, only: Collection[str] = ()) -> None:
    """Check that an object has a port's methods, and that none of them returns before its work is done.

    Nothing of the object is called, and none of its properties is read that the port has as one.

    Args:
        port: a Protocol, or a class whose methods are asked for.
        field: which argument it is.
        only: the methods that are used, where it's not all of the port's.

    Raises:
        InvalidArgument: it lacks some; the reason names them.
        NotSynchronous: one of them is async, or a generator where the port returns no iterator.

    Cost: some microseconds a method.
    """
    wanted = {name: member for name, member in _members(port).items() if not only or name in only}
    give = f"an object that has what {port.__module__}.{port.__qualname__} has: {', '.join(wanted)}"
    _check_members(given, wanted, field, give)


def check_methods(given: object, names: Collection[str], field: str, *, give: str) -> None:
    """Check that an object has some methods, as `check_port` does.

    Args:
        give: what to give, for the error.
    """
    _check_members(given, dict.fromkeys(names, _METHOD), field, give)


def check_functions(**functions: object) -> None:
    """Check that each of these arguments is a function, and that none returns before its work is done.

    Raises:
        InvalidArgument: one can't be called.
        NotSynchronous: one is async or a generator.
    """
    for field, function in functions.items():
        check_synchronous(function, field, error=InvalidArgument)


def check_is(given: object, kind: type | tuple[type, ...], field: str, *, give: str) -> None:
    """Check that an argument is of a class of this library.

    Args:
        give: what to give, for the error.

    Raises:
        InvalidArgument: it isn't.
    """
    if not isinstance(given, kind):
        raise InvalidArgument(field, f"is {_told(given)}; give {give}")


def check_flags(**flags: object) -> None:
    """Check that each of these arguments is True or False: the text "false" would count as true.

    Raises:
        InvalidArgument: one is neither.
    """
    for field, flag in flags.items():
        if not isinstance(flag, bool):
            raise InvalidArgument(field, f"is {shown(flag)}; give True or False")


def check_text(given: object, field: str) -> None:
    """Check that an argument is a text of at least one character.

    Raises:
        InvalidArgument: it isn't.
    """
    if not isinstance(given, str) or not given:
        raise InvalidArgument(field, f"is {shown(given)}; it has to be a text of at least one character")


def check_texts(given: object, field: str) -> None:
    """Check that an argument is a collection of texts, and not one text, which would be one of letters.

    Raises:
        InvalidArgument: it isn't.
    """
    if isinstance(given, str) or not isinstance(given, Collection):
        raise InvalidArgument(field, f"is {shown(given)}; give a collection of texts, such as ['a', 'b']")
    for text in given:
        if not isinstance(text, str):
            raise InvalidArgument(field, f"has {shown(text)}, which is no text")


def check_whole(given: object, field: str, *, least: int = 1, most: int | None = None) -> None:
    """Check that an argument is a whole number within its bounds.

    Raises:
        InvalidLimit: it isn't.
    """
    if not is_whole(given):
        raise InvalidLimit(field, f"has to be a whole number, not {type(given).__name__}")
    if given < least or (most is not None and given > most):
        bounds = f"at least {least}" if most is None else f"from {least} to {most}"
        raise InvalidLimit(field, f"is {shown(given)}; it has to be {bounds}")


def check_number(given: object, field: str, *, least: float = 0.0, most: float | None = None) -> None:
    """Check that an argument is a finite number within its bounds.

    Raises:
        InvalidLimit: it isn't.
    """
    if isinstance(given, bool) or not isinstance(given, (int, float)):
        raise InvalidLimit(field, f"has to be a number, not {type(given).__name__}")
    # An integer beyond a float's range is finite, and no float can be made of it.
    is_finite = isinstance(given, int) or isfinite(given)
    if not is_finite or given < least or (most is not None and given > most):
        bounds = f"of at least {least:g}" if most is None else f"from {least:g} to {most:,}"
        raise InvalidLimit(field, f"is {shown(given)}; it has to be a finite number {bounds}")
    if isinstance(given, int) and given.bit_length() > _FLOAT_BITS:
        raise InvalidLimit(field, f"is {shown(given)}; a float has no such number")


def is_whole(value: object) -> TypeGuard[int]:
    """Return whether it's an integer, which True and 1.0 are not."""
    return isinstance(value, int) and not isinstance(value, bool)


_FLOAT_BITS: Final = 1_000


def shown(given: object) -> str:
    """Return a value as an error shows it: cut short, whatever its own repr may do."""
    if isinstance(given, int) and given.bit_length() > _SHOWN_BITS:
        # Python itself writes none of 4,300 digits or more.
        return f"a whole number of {given.bit_length():,} bits"
    try:
        return f"{given!r:.80}"
    except Exception:  # noqa: BLE001 - a repr of the user's, or of a list with such a number
        return _of_kind(given)


_SHOWN_BITS: Final = 256
_NO_PORTS: Final = frozenset({object, Protocol, Generic})


class _Member:
    """A member of a port."""

    def __init__(self, *, is_method: bool, may_yield: bool) -> None:
        self.is_method = is_method
        self.may_yield = may_yield


_METHOD: Final = _Member(is_method=True, may_yield=False)


def _check_members(given: object, wanted: Mapping[str, _Member], field: str, give: str) -> None:
    if isinstance(given, type):
        raise InvalidArgument(field, f"is the class {given.__qualname__}; give an object of it")
    lacking = [name for name, member in wanted.items() if not _has(given, name, member, field)]
    if lacking:
        raise InvalidArgument(field, f"is {_told(given)}, which lacks {', '.join(lacking)}; give {give}")


@cache
def _members(port: type) -> dict[str, _Member]:
    """Return what a port has, by name: its methods and properties, not what begins with an underscore."""
    members: dict[str, _Member] = {}
    kinds = [kind for kind in port.__mro__ if kind not in _NO_PORTS]
    for name, member in chain.from_iterable(map(_members_of, kinds)):
        if not name.startswith("_"):
            members.setdefault(name, member)
    return members


def _members_of(kind: type) -> Iterator[tuple[str, _Member]]:
    for name, member in vars(kind).items():
        returns = str(getattr(member, "__annotations__", {}).get("return", ""))
        yield name, _Member(is_method=isfunction(member), may_yield="Iterator" in returns)
    for name in get_annotations(kind):
        yield name, _Member(is_method=False, may_yield=False)


def _has(given: object, name: str, member: _Member, field: str) -> bool:
    """Return whether an object has a member; a property isn't read, since it may ask a table."""
    kind: Any = type(given)
    found = getattr(kind, name, None)
    if not member.is_method:
        return found is not None or hasattr(kind, "__getattr__") or name in getattr(given, "__dict__", ())
    if not callable(found):  # an attribute of the object, or what it hands on to another
        found = getattr(given, name, None)
    if not callable(found):
        return False
    later = shows_to_be_later(found, may_yield=member.may_yield)
    if later:
        raise NotSynchronous(f"{field}.{name}", f"is {name_of(found)}, {later}: {REPAIR}")
    return True


def _told(given: object) -> str:
    """Return what was given, for an error: short, and without what its own repr may do."""
    if given is None or isinstance(given, (bool, bytes, float, int, str)):
        return shown(given)
    return name_of(given) if isfunction(given) else _of_kind(given)


def _of_kind(given: object) -> str:
    return f"a {type(given).__module__}.{type(given).__qualname__}"
