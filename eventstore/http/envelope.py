"""The outer part of a body: its objects' names and the texts of their values, each exactly as it was sent.

Nothing inside of a value is made here, and every pass is one of msgspec's in C: what a body costs is in
proportion to its bytes, and what it holds is counted and measured before any of it becomes an object.
"""

from __future__ import annotations

from itertools import takewhile
from typing import Any, Final

import msgspec
from msgspec import UNSET, Raw, UnsetType, ValidationError, defstruct

from eventstore.errors import InvalidInput, TooManyEvents
from eventstore.http.errors import MissingField, RepeatedField, UnknownField, WrongType
from eventstore.limits import TRANSACTION_MAX_EVENTS


class _Name:
    """A name of an object: a dict that is given it twice fails at once, in place of the last one winning."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text

    def __hash__(self) -> int:
        return hash(self.text)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, _Name) and other.text == self.text:
            raise RepeatedField(self.text, "stands twice in this object; give it once")
        return False


class ObjectForm:
    """An object of a body, by the names of its fields.

    Args:
        required, optional: the names that it has to have, and those that it may have.
        example: what it looks like, for errors.
    """

    def __init__(self, *, required: tuple[str, ...], optional: tuple[str, ...] = (), example: str) -> None:
        self._required = required
        self._known = frozenset((*required, *optional))
        self._unknown = f"is not a field; there are {', '.join((*required, *optional))}"
        self._why = f"has to be a JSON object, such as {example}"
        self._decode = msgspec.json.Decoder(dict[_Name, Raw], dec_hook=self._name).decode

    def members(self, text: Raw | str, *, path: str = "") -> dict[str, Raw]:
        """Split an object into the texts of its members.

        Args:
            text: JSON text.
            path: where the object stands, such as ``events[2]``; empty for the body.

        Raises:
            WrongType, UnknownField, RepeatedField, MissingField: what is wrong and how to repair it.
            msgspec.DecodeError, UnicodeEncodeError, RecursionError: it isn't JSON.
        """
        try:
            found = {name.text: value for name, value in self._decode(text).items()}
            for name in self._required:
                if name not in found:
                    raise MissingField(name, "is missing; it has to be given")
        except ValidationError as error:
            # What `_name` has raised comes as the cause of the decoder's own error.
            if isinstance(error.__cause__, InvalidInput):
                raise _under(path, error.__cause__) from None
            raise self.wrong_type(path or "body") from error
        except InvalidInput as error:
            raise _under(path, error) from None
        return found

    def wrong_type(self, path: str) -> WrongType:
        """Return the error that what stands there isn't such an object."""
        return WrongType(path, self._why)

    def _name(self, _kind: type, text: str) -> _Name:
        # Raised at once, so that an object of a million names costs no more than one.
        if text not in self._known:
            raise UnknownField(text[:100], self._unknown)
        return _Name(text)


def elements(text: Raw, *, path: str, form: ObjectForm) -> list[Raw]:
    """Split an array of events into their texts, once it's known that they are few enough.

    Raises:
        WrongType: it isn't an array, or one of them isn't an object.
        TooManyEvents: there are more than `TRANSACTION_MAX_EVENTS`.
    """
    try:
        first = _first(text)
    except ValidationError as error:
        raise WrongType(path, "has to be an array of events, such as [{...}]") from error
    fields = (getattr(first, name) for name in _First.__struct_fields__)
    found = [*takewhile(lambda event: event is not UNSET, fields)]
    for index, event in enumerate(found):
        if bytes(memoryview(event)[:1]) != b"{":
            raise form.wrong_type(f"{path}[{index}]")
    if len(found) > TRANSACTION_MAX_EVENTS:
        raise TooManyEvents(path, count=_count(text, path), limit=TRANSACTION_MAX_EVENTS)
    return found


def _count(text: Raw, path: str) -> int:
    try:
        return len(_objects(text))
    except ValidationError as error:
        raise WrongType(path, "has to be an array of objects alone") from error


def _under(path: str, error: InvalidInput) -> InvalidInput:
    return error.under(path) if path else error


# An array as a struct: the first elements become fields, and the rest is passed over, however many they are.
_First: Final = defstruct(
    "_First",
    [(f"event_{index}", Raw | UnsetType, UNSET) for index in range(TRANSACTION_MAX_EVENTS + 1)],
    array_like=True,
)
_first: Final = msgspec.json.Decoder(_First).decode
# To count objects, nothing is kept of each.
_Object: Final[Any] = defstruct("_Object", [], gc=False)
_objects: Final = msgspec.json.Decoder(list[_Object]).decode
