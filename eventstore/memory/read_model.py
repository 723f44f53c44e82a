"""A projection's read model in memory: the same writes and refusals as on DynamoDB, for tests."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from typing import Any, TypeAlias

from eventstore._arguments import check_text, shown
from eventstore.errors import InvalidInput
from eventstore.events import Event
from eventstore.limits import ITEM_MAX_BYTES, TRANSACTION_MAX_BYTES
from eventstore.memory.locks import Locked
from eventstore.subscriptions.values import (
    KeyValue,
    added,
    attributes,
    is_number,
    item_size,
    plain,
    plain_key,
)
from eventstore.subscriptions.writes import Delete, Put, Update, Write, check_writes, refused, refused_write

_Item: TypeAlias = dict[str, Any]
_Place: TypeAlias = tuple[str, frozenset[tuple[str, Any]]]


class MemoryReadModel(Locked):
    """An `ItemReadModel` in this process; safe to use from several threads.

    Any table is there. Which attributes are its key, and of which types, its first write says.

    ::

        read_model = MemoryReadModel()
        worker = subscribe(..., Projection(name="lent", project=project, read_model=read_model), ...)
        worker.step()
        assert read_model.get("lent", {"Copy": "copy-1"}) == {"Copy": "copy-1", "Member": "ada"}
    """

    def __init__(self) -> None:
        super().__init__()
        self.last: dict[tuple[str, str], int] = {}
        """The last EventId by projection and stream."""
        self._items: dict[_Place, _Item] = {}
        self._keys: dict[str, dict[str, str]] = {}
        """The types of the attributes of a table's key, by its name."""

    def write(self, writes: Sequence[Write], *, projection: str, event: Event, after: int) -> int | None:
        """Write all of it if it's the event's turn, or nothing; see `ReadModel.write`."""
        check_writes(writes, event)
        moved = projection, event.stream_id
        with self._lock:
            last = self.last.get(moved, 0)
            if not after <= last < event.event_id:
                return last
            keys = dict(self._keys)
            changed = self._changed(writes, event, keys)
            self._keys = keys
            for place, item in changed.items():
                if item is None:
                    self._items.pop(place, None)
                else:
                    self._items[place] = item
            self.last[moved] = event.event_id
            return None

    def _changed(
        self, writes: Sequence[Write], event: Event, keys: dict[str, dict[str, str]]
    ) -> dict[_Place, _Item | None]:
        """Return what the writes make of their items, all or none; new tables' keys are put into `keys`."""
        changed: dict[_Place, _Item | None] = {}
        for number, write in enumerate(writes, start=1):
            try:
                _fit(keys, write.table, write.key)
                place = _place(write.table, write.key)
                changed[place] = _after(write, self._items.get(place))
            except InvalidInput as error:
                raise refused_write(event, number, write, error) from error
        sent = sum(map(_sent, writes))
        if sent > TRANSACTION_MAX_BYTES:
            what = f"its writes have {sent:,} bytes; a transaction has room for {TRANSACTION_MAX_BYTES:,}"
            raise refused(event, f"{what}. Put fewer or smaller items")
        return changed

    def get(self, table: str, key: Mapping[str, KeyValue]) -> dict[str, Any] | None:
        """Read an item; see `ItemReadModel.get`. It's a copy."""
        check_text(table, "table")
        wanted = plain_key(key)
        with self._lock:
            _fit(dict(self._keys), table, wanted)
            return deepcopy(self._items.get(_place(table, wanted)))

    def items(self, table: str) -> Iterator[dict[str, Any]]:
        """Read all items of a table; see `ItemReadModel.items`. They are copies, of one moment."""
        check_text(table, "table")
        with self._lock:
            found = [item for (of, _), item in self._items.items() if of == table]
            return iter(deepcopy(found))


def _place(table: str, key: Mapping[str, Any]) -> _Place:
    return table, frozenset(key.items())


def _fit(keys: dict[str, dict[str, str]], table: str, key: Mapping[str, Any]) -> None:
    """Refuse a key that isn't the table's, or note it as the table's."""
    given = {name: "number" if is_number(of) else type(of).__name__ for name, of in key.items()}
    known = keys.setdefault(table, given)
    if given != known:
        has, wanted = (
            ", ".join(f"{name} ({kind})" for name, kind in sorted(of.items())) for of in (given, known)
        )
        raise InvalidInput("key", f"has {has}; the key of the table {table!r} has {wanted}")


def _after(write: Write, there: _Item | None) -> _Item | None:
    """Return the item behind a write."""
    if isinstance(write, Delete):
        return None
    if isinstance(write, Put):
        item: _Item = {**write.key, **attributes(write.item, "item")}
    else:
        item = _updated(write, there or dict(write.key))
    if item_size(item) > ITEM_MAX_BYTES:
        what = (
            f"has {item_size(item):,} bytes; an item has at most {ITEM_MAX_BYTES:,}. Spread it over several"
        )
        raise InvalidInput("item", what)
    return item


def _updated(write: Update, there: _Item) -> _Item:
    item = {**there, **attributes(write.set, "set")}
    for name, more in write.add.items():
        number = there.get(name, 0)
        if not is_number(number):
            raise InvalidInput(f"add[{name!r}]", f"meets {shown(number)}, which is no number; set it first")
        item[name] = added(number, more, f"add[{name!r}]")
    for name, values in write.append.items():
        found = there.get(name, [])
        if not isinstance(found, list):
            raise InvalidInput(f"append[{name!r}]", f"meets {shown(found)}, which is no list; set it first")
        item[name] = [*found, *plain(values, f"append[{name!r}]")]
    for name in write.remove:
        item.pop(name, None)
    return item


def _sent(write: Write) -> int:
    """Return the bytes of what a write sends."""
    match write:
        case Put():
            return item_size({**write.key, **write.item})
        case Update():
            return item_size({**write.key, **write.set, **write.add, **write.append})
    return item_size(write.key)
