"""A projection's writes as items of TransactWriteItems."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from eventstore.dynamodb.values import attribute, item
from eventstore.subscriptions.writes import Delete, Put, Update, Write


def transact_item(write: Write) -> dict[str, Any]:
    """Return the item of TransactWriteItems that does a write.

    Raises:
        InvalidInput: somebody has changed the write's own dict or list to what can't be stored.
    """
    match write:
        case Put():
            whole = {**item(write.key, "key"), **item(write.item, "item")}
            return {"Put": {"TableName": write.table, "Item": whole}}
        case Delete():
            return {"Delete": _at(write)}
        case Update():
            return {"Update": {**_at(write), **_Expression(write).members()}}


def _at(write: Update | Delete) -> dict[str, Any]:
    return {"TableName": write.table, "Key": item(write.key, "key")}


class _Expression:
    """An update expression; names and values have placeholders, so that any name will do."""

    def __init__(self, write: Update) -> None:
        self._write = write
        self._names: dict[str, str] = {}
        self._values: dict[str, Any] = {}

    def members(self) -> dict[str, Any]:
        """Return the expression with its names and values, as members of an Update."""
        write = self._write
        sets = [f"{name} = {value}" for name, value in self._pairs(write.set, "set")]
        sets += [
            f"{name} = list_append(if_not_exists({name}, :none), {value})"
            for name, value in self._pairs(write.append, "append")
        ]
        if write.append:
            self._values[":none"] = {"L": []}
        clauses = {
            "SET": sets,
            "ADD": [f"{name} {value}" for name, value in self._pairs(write.add, "add")],
            "REMOVE": [self._name(name) for name in write.remove],
        }
        expression = " ".join(f"{word} {', '.join(of)}" for word, of in clauses.items() if of)
        members = {"UpdateExpression": expression, "ExpressionAttributeNames": self._names}
        # DynamoDB takes no empty map of values.
        return {**members, "ExpressionAttributeValues": self._values} if self._values else members

    def _pairs(self, attributes: Mapping[str, object], part: str) -> list[tuple[str, str]]:
        return [
            (self._name(name), self._value(value, f"{part}[{name!r}]")) for name, value in attributes.items()
        ]

    def _name(self, name: str) -> str:
        placeholder = f"#n{len(self._names)}"
        self._names[placeholder] = name
        return placeholder

    def _value(self, value: object, at: str) -> str:
        placeholder = f":v{len(self._values)}"
        self._values[placeholder] = attribute(value, at)
        return placeholder
