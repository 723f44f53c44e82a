"""The journal's table: puts, and queries of one consumer from a time on, as DynamoDB answers them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

JOURNAL_TABLE: Final = "journal"
_PAGE_ITEMS: Final = 50


@dataclass
class JournalTable:
    """What all processes have put."""

    items: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    puts: int = 0
    queries: int = 0

    def put_item(self, *, TableName: str, Item: dict[str, Any]) -> dict[str, Any]:  # noqa: N803
        """Put an item, whatever is there."""
        assert TableName == JOURNAL_TABLE
        self.puts += 1
        self.items[Item["Consumer"]["S"], Item["WrittenAt"]["S"]] = Item
        return {}

    def query(self, *, TableName: str, **request: Any) -> dict[str, Any]:  # noqa: N803
        """Give a page of small ones."""
        assert TableName == JOURNAL_TABLE
        assert request["ConsistentRead"] is True
        self.queries += 1
        values = request["ExpressionAttributeValues"]
        consumer, first = values[":consumer"]["S"], values[":from"]["S"]
        after = request.get("ExclusiveStartKey", ("", ""))
        keys = sorted(key for key in self.items if key[0] == consumer and key[1] >= first and key > after)
        more = {"LastEvaluatedKey": keys[_PAGE_ITEMS - 1]} if len(keys) > _PAGE_ITEMS else {}
        return {"Items": [self.items[key] for key in keys[:_PAGE_ITEMS]], "Count": 0, **more}
