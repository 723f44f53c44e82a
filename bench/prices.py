"""Sizes and write units by DynamoDB's documented rules: DynamoDB Local doesn't count transactions."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import ceil
from typing import Any


@dataclass
class TableIndexes:
    """The indexes of a table as its CreateTable request had them: keys, and whether all is copied."""

    indexes: dict[str, tuple[frozenset[str], bool]] = field(default_factory=dict)

    @classmethod
    def of(cls, create_table: Mapping[str, Any]) -> TableIndexes:
        """Read the indexes out of a CreateTable request."""
        return cls(
            {
                index["IndexName"]: (
                    frozenset(key["AttributeName"] for key in index["KeySchema"]),
                    index["Projection"]["ProjectionType"] == "ALL",
                )
                for kind in ("GlobalSecondaryIndexes", "LocalSecondaryIndexes")
                for index in create_table.get(kind, ())
            }
        )

    def write_units(self, item: Mapping[str, Any]) -> int:
        """Return what a new item costs in the indexes: a unit each KB where it has the index's keys."""
        size_bytes = item_bytes(item)
        return sum(
            units(size_bytes) if copies_all else 1
            for keys, copies_all in self.indexes.values()
            if keys <= item.keys()
        )


def transaction_units(
    transact_items: Iterable[Mapping[str, Any]], tables: Mapping[str, TableIndexes]
) -> tuple[int, int]:
    """Return what a transaction costs: (units of tables, units of indexes).

    An item written in a transaction costs twice its units, and once in each index that it's in. The size of
    the item behind an Update isn't in the request; it is taken for at most 1 KB.
    """
    of_tables = of_indexes = 0
    for transact_item in transact_items:
        if "Put" in transact_item:
            put = transact_item["Put"]
            of_tables += 2 * units(item_bytes(put["Item"]))
            of_indexes += tables[put["TableName"]].write_units(put["Item"])
        else:
            of_tables += 2
    return of_tables, of_indexes


def units(size_bytes: int) -> int:
    """Return the write units of an item: one for each begun KB."""
    return ceil(size_bytes / 1_024)


def item_bytes(item: Mapping[str, Any]) -> int:
    """Return the size of an item as DynamoDB counts it: names and values, containers with their overhead."""
    return sum(len(name.encode()) + _value_bytes(value) for name, value in item.items())


def _value_bytes(value: Mapping[str, Any]) -> int:
    ((kind, content),) = value.items()
    if kind == "S":
        return len(str(content).encode())
    if kind == "N":
        digits = str(content).lstrip("-").replace(".", "").strip("0")
        return ceil(len(digits) / 2) + 1 + str(content).startswith("-")
    if kind == "B":
        return len(base64.b64decode(content))
    if kind == "M":
        return 3 + sum(len(name.encode()) + _value_bytes(inner) + 1 for name, inner in content.items())
    if kind == "L":
        return 3 + sum(_value_bytes(inner) + 1 for inner in content)
    return 1  # BOOL and NULL; sets don't occur here
