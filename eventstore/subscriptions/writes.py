"""What a projection writes: items of tables, the same in memory and on DynamoDB."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, TypeAlias

from eventstore._arguments import check_text, check_texts, shown
from eventstore.errors import InvalidInput, ReadModelRefused
from eventstore.events import Event
from eventstore.limits import PROJECTION_MAX_WRITES
from eventstore.subscriptions.values import (
    KeyValue,
    Value,
    attribute_name,
    attributes,
    is_number,
    plain_key,
)


@dataclass(frozen=True, slots=True)
class Put:
    """Put an item, in place of what is there under its key.

    Args:
        table: the table's name.
        key: the names and values of its partition key and, if it has one, its sort key.
        item: the other attributes: texts, ints, Decimals, bools, None, bytes, and lists and dicts of these.

    What is given is copied, in the form in which it's read back: tuples as lists, whole Decimals as ints.

    Raises:
        InvalidInput: a value that can't be stored exactly, such as a float; its field says where it stands.

    Cost (DynamoDB): 2 WCU for each KB of the larger one of the item before and the item after.

    >>> Put("lent", {"Copy": "copy-1"}, {"Member": "ada", "Shelves": ("A", "B")}).item
    {'Member': 'ada', 'Shelves': ['A', 'B']}
    """

    table: str
    key: Mapping[str, KeyValue]
    item: Mapping[str, Value] = field(default_factory=dict)

    def __post_init__(self) -> None:
        try:
            _check_place(self)
            object.__setattr__(self, "item", attributes(self.item, "item"))
            _check_apart(self, ("item",))
        except InvalidInput as error:
            raise error.under(described(self)) from None


@dataclass(frozen=True, slots=True)
class Update:
    """Change attributes of an item; one that isn't there is made, with its key.

    Args:
        table: the table's name.
        key: the names and values of its partition key and, if it has one, its sort key.
        set: attributes that get these values.
        add: numbers that are added to attributes; one that isn't there counts as 0.
        append: lists that are put behind attributes; one that isn't there counts as an empty list.
        remove: the names of attributes that go.

    Each attribute is named once. Values are those of `Put`, and are copied as there.

    Raises:
        InvalidInput: a value that can't be stored exactly, an attribute that's named twice, or no change.

    Cost (DynamoDB): 2 WCU for each KB of the larger one of the item before and the item after.

    >>> Update("readers", {"Member": "ada"}, add={"Loans": 1}, append={"Copies": ["copy-1"]}).add
    {'Loans': 1}
    """

    table: str
    key: Mapping[str, KeyValue]
    set: Mapping[str, Value] = field(default_factory=dict, kw_only=True)
    add: Mapping[str, int | Decimal] = field(default_factory=dict, kw_only=True)
    append: Mapping[str, Sequence[Value]] = field(default_factory=dict, kw_only=True)
    remove: Sequence[str] = field(default=(), kw_only=True)

    def __post_init__(self) -> None:
        try:
            _check_place(self)
            for name in ("set", "add", "append"):
                object.__setattr__(self, name, attributes(getattr(self, name), name))
            check_texts(self.remove, "remove")
            object.__setattr__(self, "remove", tuple(attribute_name(name, "remove") for name in self.remove))
            _check_changes(self)
            _check_apart(self, ("set", "add", "append", "remove"))
        except InvalidInput as error:
            raise error.under(described(self)) from None


@dataclass(frozen=True, slots=True)
class Delete:
    """Delete an item; nothing happens where there's none.

    Args:
        table: the table's name.
        key: the names and values of its partition key and, if it has one, its sort key.

    Raises:
        InvalidInput: a key that no item can have.

    Cost (DynamoDB): 2 WCU for each KB of the item.

    >>> Delete("lent", {"Copy": "copy-1"})
    Delete(table='lent', key={'Copy': 'copy-1'})
    """

    table: str
    key: Mapping[str, KeyValue]

    def __post_init__(self) -> None:
        try:
            _check_place(self)
        except InvalidInput as error:
            raise error.under(described(self)) from None


Write: TypeAlias = Put | Update | Delete
"""What a projection writes that runs unchanged in memory and on DynamoDB."""


def described(write: Write) -> str:
    """Return a write as errors name it: what it does, and to which item."""
    return f"{type(write).__name__}({shown(write.table)}, {shown(write.key)})"


def check_writes(writes: Sequence[object], event: Event, *, raw: type | None = None) -> None:
    """Check what all writes of an event have to keep together.

    Args:
        raw: another class of writes that the read model takes as they are.

    Raises:
        ReadModelRefused: more than 99 writes, one that's of another class, or two of one item.
    """
    if len(writes) > PROJECTION_MAX_WRITES:
        what = f"it makes {len(writes)} writes; a transaction has room for {PROJECTION_MAX_WRITES}"
        raise refused(event, f"{what}. Put fewer, larger items")
    places: dict[tuple[str, frozenset[tuple[str, Any]]], tuple[int, Write]] = {}
    for number, write in enumerate(writes, start=1):
        if isinstance(write, (Put, Update, Delete)):
            first, other = places.setdefault((write.table, frozenset(write.key.items())), (number, write))
            if other is not write or first != number:
                both = f"{described(other)} and {described(write)}"
                what = f"its writes {first} and {number} are of one item: {both}"
                raise refused(event, f"{what}. Make them one write")
        elif raw is None or not isinstance(write, raw):
            what = f"its write {number} is {shown(write)}, a {type(write).__qualname__}"
            raise refused(event, f"{what}; return Put, Update or Delete of eventstore.subscriptions")


def refused_write(event: Event, number: int, write: object, reason: object) -> ReadModelRefused:
    """Return the error of an event of whose writes, counted from 1, one can't be done."""
    of = described(write) if isinstance(write, (Put, Update, Delete)) else "a raw one"
    return refused(event, f"its write {number}, {of}, is refused: {reason}")


def refused(event: Event, reason: str) -> ReadModelRefused:
    """Return the error of an event whose writes can't be done."""
    return ReadModelRefused(stream_id=event.stream_id, event_id=event.event_id, reason=reason)


def _check_place(write: Write) -> None:
    check_text(write.table, "table")
    object.__setattr__(write, "key", plain_key(write.key))


def _check_changes(write: Update) -> None:
    if not (write.set or write.add or write.append or write.remove):
        raise InvalidInput("set", "is empty, as are add, append and remove; name at least one attribute")
    for name, more in write.add.items():
        if not is_number(more):
            raise InvalidInput(f"add[{name!r}]", f"is {shown(more)}; add an int or a Decimal, or use set")
    for name, values in write.append.items():
        if not isinstance(values, list):
            raise InvalidInput(f"append[{name!r}]", f"is {shown(values)}; append a list, such as [value]")


def _check_apart(write: Put | Update, parts: Sequence[str]) -> None:
    """Refuse an attribute that two parts name: DynamoDB takes one change of it."""
    named = dict.fromkeys(write.key, "key")
    for part in parts:
        for name in getattr(write, part):
            if name in named:
                before = f"{part} twice" if named[name] == part else f"{named[name]} and {part}"
                raise InvalidInput(part, f"names {name!r}, which stands in {before}; leave one out")
            named[name] = part
