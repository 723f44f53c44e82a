"""Keeps the partitions of ministack's tables in order, so that a query costs what it returns.

ministack sorts a whole partition for each Query, evaluates the key condition on each item of it, and sorts
a whole table for each Scan: seconds for each request from some 30,000 items on, in which nothing else of
the cloud is served (docs/adr/0003). Here a sorted list of keys is kept beside each partition that was
queried. A request is then given to ministack's own code as before, on a view of the table that holds the
items of its page and no others. So what is refused, filtered, projected and answered stays ministack's.

This file and `emulator` are the only ones that rest on ministack's inside. Where something isn't as it
expects, or a request has another form than those known here, ministack answers from the whole table, as
ever: slow, never wrong, and told in its log. tests/local/test_ordered_tables.py compares both, and notices
when ministack has changed.
"""

# ruff: noqa: SLF001 - ministack's inside is what this file is about

from __future__ import annotations

import hashlib
import logging
import re
import threading
from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, Final

_LOG: Final = logging.getLogger("localcloud")
_MEMBERS: Final = "_index_members"

_Key = tuple[Any, Any]
"""A table's partition and sort key, as ministack keeps them."""
_Entry = tuple[tuple[Any, ...], _Key]
"""Where an item stands in its partition, and its key."""

_CONDITION: Final = re.compile(
    r"\s*(?P<hash>[#\w]+)\s*=\s*(?P<is>:\w+)"
    r"(?:\s+AND\s+(?:"
    r"(?P<range>[#\w]+)\s*(?:(?P<compare><=|>=|<|>|=)\s*(?P<to>:\w+)"
    r"|BETWEEN\s+(?P<low>:\w+)\s+AND\s+(?P<high>:\w+))"
    r"|begins_with\s*\(\s*(?P<beginning>[#\w]+)\s*,\s*(?P<prefix>:\w+)\s*\)"
    r"))?\s*",
    re.IGNORECASE,
)


class _LeftToMinistack(Exception):
    """A request on few items, or of another form than those known here."""


class _Partition:
    """The keys of one partition, of a table or of an index, by rising sort key."""

    def __init__(self, place: Callable[[Any], tuple[Any, ...]], keys: Iterable[_Key], items: Any) -> None:
        self.place = place
        self.entries: list[_Entry] = sorted((place(items[pk][sk]), (pk, sk)) for pk, sk in keys)

    def add(self, key: _Key, item: Any) -> None:
        insort(self.entries, (self.place(item), key))

    def remove(self, key: _Key, item: Any) -> None:
        at = bisect_left(self.entries, (self.place(item), key))
        if at < len(self.entries) and self.entries[at][1] == key:
            del self.entries[at]


class _Orders:
    """All that is kept in order of one table: of its indexes by name, of itself by None."""

    def __init__(self, items: Any) -> None:
        self.items = items
        self.partitions: dict[tuple[str | None, Any], _Partition] = {}
        self.hash_keys: list[Any] | None = None


class OrderedTables:
    """Answers the Query and Scan requests of ministack's DynamoDB module from keys that are kept in order.

    Args:
        module: `ministack.services.dynamodb`; its functions are replaced for the life of the process.
        from_items: smaller partitions are left to ministack's own way, which is quick enough there.

    Raises:
        AttributeError, TypeError: the module is not as expected; it is left as it was.
    """

    def __init__(self, module: Any, *, from_items: int = 64) -> None:
        self._module = module
        self._from_items = from_items
        self._query = module._query
        self._scan = module._scan
        self._index_item = module._index_item
        self._find = type(module._tables).get
        self._lock = threading.RLock()  # a thread of ministack's deletes expired items
        self._orders: dict[int, _Orders] = {}
        self._view = threading.local()
        self._unknown: set[str] = set()
        for needed in _NEEDED:
            getattr(module, needed)
        module._tables.__class__ = self._tables_with_views(type(module._tables))
        module._query, module._scan, module._index_item = self.query, self.scan, self.index_item

    def query(self, data: Any) -> Any:
        """Answer a Query."""
        return self._answer(self._query, self._view_for_query, data)

    def scan(self, data: Any) -> Any:
        """Answer a Scan."""
        return self._answer(self._scan, self._view_for_scan, data)

    def index_item(self, table: Any, pk: Any, sk: Any, item: Any, add: bool) -> None:
        """Take note of an item that was stored or removed; ministack calls this for each."""
        if not table["sk_name"]:
            self._index_item(table, pk, sk, item, add=add)
            return
        with self._lock:
            # Made while there are few items, and kept up from then on: not by the first query of 300,000.
            self._module._index_members(table)
            self._index_item(table, pk, sk, item, add=add)
            try:
                self._note(table, (pk, sk), item, add=add)
            except Exception:  # noqa: BLE001 - whatever it is, the item is stored, and ministack answers
                _LOG.exception("The order of a table was lost; it is made anew")
                self._orders.pop(id(table["items"]), None)

    def _note(self, table: Any, key: _Key, item: Any, *, add: bool) -> None:
        orders = self._orders_of(table)
        places: list[tuple[str | None, Any]] = [(None, key[0])]
        for name, hashes, ranges in self._module._index_key_schemas(table):
            value = self._module._index_partition(item, hashes, ranges)
            if value is not None:
                places.append((name, value))
        for index, hash_value in places:
            partition = orders.partitions.get((index, hash_value))
            if partition is not None:
                (partition.add if add else partition.remove)(key, item)
            elif add:
                self._partition(orders, table, index, hash_value)
        if orders.hash_keys is not None:
            at = bisect_left(orders.hash_keys, key[0])
            there = at < len(orders.hash_keys) and orders.hash_keys[at] == key[0]
            if add and not there:
                orders.hash_keys.insert(at, key[0])
            elif there and not add and not orders.items.get(key[0]):
                del orders.hash_keys[at]

    def _answer(self, original: Callable[[Any], Any], view_for: Callable[[Any], Any], data: Any) -> Any:
        trouble: Exception | None = None
        try:
            with self._lock:
                self._view.table = view_for(data)
        except _LeftToMinistack:
            pass
        except Exception as error:  # noqa: BLE001 - whatever it is, ministack answers, and it's logged
            trouble = error
        try:
            answer = original(data)
        finally:
            self._view.table = None
        if trouble is not None and answer[0] == 200:  # else it was the request that was wrong
            _LOG.warning("Answered from the whole table: %s", data, exc_info=trouble)
        return answer

    def _tables_with_views(self, kind: Any) -> Any:
        view, find = self._view, self._find

        class TablesWithViews(kind):  # type: ignore[misc]
            __slots__ = ()

            def get(self, key: Any, default: Any = None) -> Any:
                seen = getattr(view, "table", None)
                if seen is not None and seen[0] == key:
                    return seen[1]
                return find(self, key, default)

        return TablesWithViews

    def _table_of(self, data: Any) -> tuple[str, Any]:
        name = self._module._normalize_table_name(data["TableName"])
        table = self._find(self._module._tables, name)
        if table is None or not table["sk_name"]:
            raise _LeftToMinistack
        return name, table

    def _orders_of(self, table: Any) -> _Orders:
        items = table["items"]
        orders = self._orders.get(id(items))
        if orders is None:
            # Tables come and go seldom: those that went are forgotten when another comes.
            there = {id(other["items"]) for other in self._module._tables.all_values()}
            self._orders = {key: kept for key, kept in self._orders.items() if key in there}
            orders = self._orders[id(items)] = _Orders(items)
        return orders

    def _view_for_query(self, data: Any) -> Any:
        condition = data.get("KeyConditionExpression") or ""
        form = _CONDITION.fullmatch(condition)
        if form is None:
            if condition not in self._unknown:
                self._unknown.add(condition)
                _LOG.warning("Answered from the whole table, here and later: %s", condition)
            raise _LeftToMinistack
        name, table = self._table_of(data)
        index = data.get("IndexName")
        key_names = self._key_names(table, index)
        if key_names is None:
            raise _LeftToMinistack
        hash_name, range_name = key_names
        names = data.get("ExpressionAttributeNames") or {}
        ranged = form["range"] or form["beginning"]
        if names.get(form["hash"], form["hash"]) != hash_name or (
            ranged and names.get(ranged, ranged) != range_name
        ):
            raise _LeftToMinistack
        values = data.get("ExpressionAttributeValues") or {}
        hash_value = self._module._extract_key_val(values[form["is"]])
        kind = self._module._get_attr_type(table, range_name)
        orders = self._orders_of(table)
        partition = self._partition(orders, table, index, hash_value)
        if partition is None:
            raise _LeftToMinistack
        first, last = _range(partition.entries, form, lambda at: self._value(values[at], kind))
        entries = self._from_start(partition, first, last, data)
        seen = self._page(entries, table, data)
        members = {index: {hash_value: dict.fromkeys(seen)}} if index else {}
        return name, _view(table, seen, orders.items, members)

    def _key_names(self, table: Any, index: str | None) -> tuple[Any, Any] | None:
        if index is None:
            return table["pk_name"], table["sk_name"]
        hashes, ranges = self._module._index_key_lists(self._module._index_def(table, index))
        return (hashes[0], ranges[0]) if len(hashes) == len(ranges) == 1 else None

    def _value(self, attribute: Any, kind: str) -> Any:
        return self._module._sort_key_value(attribute, kind)

    def _partition(
        self, orders: _Orders, table: Any, index: str | None, hash_value: Any
    ) -> _Partition | None:
        """Find what is kept of a partition, or make it; None where ministack's own way is as quick."""
        found: Any = orders.items.get(hash_value, ())
        if index is not None:
            found = self._module._index_members(table)[index].get(hash_value, ())
        kept = orders.partitions.get((index, hash_value))
        if kept is not None and len(kept.entries) == len(found):
            return kept
        key_names = self._key_names(table, index)
        if len(found) < self._from_items or key_names is None:
            return None
        order = self._module._index_order_keys(table, [key_names[1]])
        value = self._module._index_order_value

        def place(item: Any) -> tuple[Any, ...]:
            return tuple(value(item, name, kind) for name, kind in order)

        keys = found if index is not None else ((hash_value, sk) for sk in found)
        kept = orders.partitions[index, hash_value] = _Partition(place, keys, orders.items)
        return kept

    def _from_start(self, partition: _Partition, first: int, last: int, data: Any) -> Iterator[_Key]:
        entries, start = partition.entries, data.get("ExclusiveStartKey")
        forward = data.get("ScanIndexForward", True)
        if start:
            place = partition.place(start)
            if forward:
                first = max(first, bisect_right(entries, place, key=lambda entry: entry[0]))
            else:
                last = min(last, bisect_left(entries, place, key=lambda entry: entry[0]))
        places = range(first, last) if forward else range(last - 1, first - 1, -1)
        return (entries[at][1] for at in places)

    def _page(self, keys: Iterable[_Key], table: Any, data: Any) -> list[_Key]:
        """Take what ministack takes for a page of these items, and the one that it stops at."""
        seen: list[_Key] = []
        items = table["items"]

        def taken() -> Iterator[Any]:
            for pk, sk in keys:
                seen.append((pk, sk))
                yield items[pk][sk]

        self._module._paginate_evaluated_items(taken(), data.get("Limit"), table, data.get("IndexName"))
        return seen

    def _view_for_scan(self, data: Any) -> Any:
        name, table = self._table_of(data)
        if data.get("IndexName"):
            raise _LeftToMinistack
        orders = self._orders_of(table)
        items, hash_keys = orders.items, orders.hash_keys
        if hash_keys is None or len(hash_keys) != len(items):
            hash_keys = orders.hash_keys = sorted(items)
        start = data.get("ExclusiveStartKey")
        behind = None
        if start:
            value = self._module._extract_key_val
            behind = value(start[table["pk_name"]]), value(start[table["sk_name"]])
        segment, segments = data.get("Segment"), data.get("TotalSegments")

        def keys() -> Iterator[_Key]:
            first = bisect_left(hash_keys, behind[0]) if behind else 0
            for pk in islice(hash_keys, first, None):
                if segments is not None and _segment_of(pk, int(segments)) != int(segment):
                    continue
                for sk in sorted(items[pk]):
                    if behind is None or (pk, sk) > behind:
                        yield pk, sk

        return name, _view(table, self._page(keys(), table, data), items, {})


_NEEDED: Final = (
    "_extract_key_val",
    "_get_attr_type",
    "_index_def",
    "_index_key_lists",
    "_index_key_schemas",
    "_index_members",
    "_index_order_keys",
    "_index_order_value",
    "_index_partition",
    "_normalize_table_name",
    "_paginate_evaluated_items",
    "_sort_key_value",
)


def _range(entries: list[_Entry], form: re.Match[str], value: Callable[[str], Any]) -> tuple[int, int]:
    """Find the places of the first item that the condition on the sort key holds for, and behind the last."""
    first, last = 0, len(entries)

    def sort_value(entry: _Entry) -> Any:
        return entry[0][0]

    if form["compare"]:
        to = value(form["to"])
        before, behind = (cut(entries, to, key=sort_value) for cut in (bisect_left, bisect_right))
        return {
            "=": (before, behind),
            "<": (first, before),
            "<=": (first, behind),
            ">": (behind, last),
            ">=": (before, last),
        }[form["compare"]]
    if form["low"]:
        return (
            bisect_left(entries, value(form["low"]), key=sort_value),
            bisect_right(entries, value(form["high"]), key=sort_value),
        )
    if form["prefix"]:
        prefix = value(form["prefix"])
        first = bisect_left(entries, prefix, key=sort_value)
        return first, bisect_left(
            entries, True, first, key=lambda entry: not sort_value(entry).startswith(prefix)
        )
    return first, last


def _segment_of(hash_key: Any, segments: int) -> int:
    """Return the segment of a parallel Scan in which ministack gives a partition."""
    return int.from_bytes(hashlib.sha1(str(hash_key).encode()).digest()[:4], "big") % segments  # noqa: S324


def _view(
    table: Mapping[str, Any], keys: Iterable[_Key], items: Any, members: Mapping[str, Any]
) -> dict[str, Any]:
    held: dict[Any, dict[Any, Any]] = {}
    for pk, sk in keys:
        held.setdefault(pk, {})[sk] = items[pk][sk]
    return {**table, "items": held, _MEMBERS: members}
