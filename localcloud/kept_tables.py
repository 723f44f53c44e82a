"""Keeps ministack's DynamoDB tables on disk: a write is answered once it is there.

ministack saves its state at its end alone, stream records not at all, and says of neither when it fails
(docs/adr/0003). Here each request that has changed a table is one transaction of SQLite, before its answer:
the items, and the stream's records that no function has consumed yet.
"""

# ruff: noqa: SLF001 - ministack's inside is what this file is about

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from localcloud.kept_store import KeptStore

# What else ministack keeps of DynamoDB, by the names of its own state; tables have a way of their own here.
_BESIDE_TABLES: Final = (
    "tags",
    "ttl_settings",
    "pitr_settings",
    "kinesis_destinations",
    "contributor_insights",
    "backups",
    "resource_policies",
    "exports",
    "imports",
)
_Keys = dict[tuple[str, str], None]


class KeptTables:
    """The tables of ministack's DynamoDB module, kept in a store.

    Args:
        module: `ministack.services.dynamodb`; its functions are replaced for the life of the process.
        store: where they are kept.
        saves: saves the definitions of all tables, when an item comes for one that isn't saved yet.

    Raises:
        AttributeError: the module is not as expected; it is left as it was.
    """

    def __init__(self, module: Any, store: KeptStore, *, saves: Callable[[], None]) -> None:
        self._module = module
        self._store = store
        self._saves = saves
        self._set, self._remove, self._handle = module._set_item, module._remove_item, module.handle_request
        self.lock = threading.RLock()
        """Held from `write` to the commit: a thread of ministack's deletes expired items meanwhile."""
        self._changed: dict[str, _Keys] = {}
        self._kept_items: dict[str, Any] = {}
        self._kept_records: dict[str, Any] = {}
        self._ends: dict[str, int] = {}
        for needed in ("_tables", "_stream_records", "_stream_trimmed", "_update_counts", "_INDEX_MEMBERS"):
            getattr(module, needed)
        module._set_item, module._remove_item = self.set_item, self.remove_item
        module.handle_request = self.handle_request

    def set_item(self, table: Any, pk: str, sk: str, item: Any) -> Any:
        """Store an item, and take note of it."""
        self._note(table, pk, sk)
        return self._set(table, pk, sk, item)

    def remove_item(self, table: Any, pk: str, sk: str) -> Any:
        """Remove an item, and take note of it."""
        self._note(table, pk, sk)
        return self._remove(table, pk, sk)

    async def handle_request(self, *request: Any) -> Any:
        """Answer a request once what it has changed is kept."""
        answer = await self._handle(*request)
        with self.lock:
            if any(arn not in self._kept_items for arn in self._changed):
                self._saves()
            if self._changed or self._has_records():
                with self._store.transaction() as db:
                    written = self.write(db)
                written()
        return answer

    def definitions(self) -> dict[str, Any]:
        """Return ministack's state of DynamoDB, without the items."""
        module, without = self._module, {"items", self._module._INDEX_MEMBERS}
        tables = type(module._tables)()
        for (account, region, name), table in module._tables.all_items():
            kept = {key: value for key, value in table.items() if key not in without}
            tables.set_scoped(account, region, name, {**kept, "items": {}})
        return {"tables": tables, **{name: getattr(module, f"_{name}") for name in _BESIDE_TABLES}}

    def write(self, db: sqlite3.Connection, *, all_tables: bool = False) -> Callable[[], None]:
        """Write what has changed, under the lock; call what is returned once that is committed.

        Args:
            db: with an open transaction.
            all_tables: the tables' definitions are written, too: forget what isn't theirs.
        """
        tables = {table["TableArn"]: (key, table) for key, table in self._module._tables.all_items()}
        known = tables if all_tables else {arn: at for arn, at in tables.items() if arn in self._kept_items}
        items: dict[str, Any] = {}
        records: dict[str, Any] = {}
        ends: dict[str, int] = {}
        for arn, (key, table) in known.items():
            self._write_items(db, arn, table["items"], self._changed.get(arn, {}))
            items[arn] = table["items"]
            records[arn], ends[arn] = self._write_records(db, arn, key)
        if all_tables:
            _forget(db, but=tables)

        def written() -> None:
            self._kept_items, self._kept_records, self._ends = items, records, ends
            left = {} if all_tables else self._changed
            self._changed = {arn: keys for arn, keys in left.items() if arn not in items}

        return written

    def load(self) -> None:
        """Fill the tables, whose definitions are there, with what is kept."""
        tables = {table["TableArn"]: (key, table) for key, table in self._module._tables.all_items()}
        for arn, pk, sk, item in self._store.rows("SELECT arn, pk, sk, item FROM items"):
            tables[arn][1]["items"][pk][sk] = json.loads(item)
        records: dict[str, list[Any]] = {}
        for arn, record in self._store.rows("SELECT arn, record FROM records ORDER BY arn, place"):
            records.setdefault(arn, []).append(json.loads(record))
        ends = {arn: int(place) for arn, place in self._store.pairs("SELECT arn, place FROM streams")}
        for arn, (key, table) in tables.items():
            self._module._update_counts(table)
            self._kept_items[arn] = table["items"]
            self._ends[arn] = ends.get(arn, 0)
            if arn in ends:
                left = self._kept_records[arn] = records.get(arn, [])
                self._module._stream_records.set_scoped(*key, left)
                self._module._stream_trimmed.set_scoped(*key, ends[arn] - len(left))

    def drop_consumed(self, db: sqlite3.Connection, consumed: Mapping[str, int]) -> None:
        """Forget the stream's records that every function has passed; given by ARN of the table."""
        for arn, place in consumed.items():
            db.execute("DELETE FROM records WHERE arn = ? AND place < ?", (arn, place))

    def _note(self, table: Any, pk: str, sk: str) -> None:
        with self.lock:
            self._changed.setdefault(table["TableArn"], {})[pk, sk] = None

    def _has_records(self) -> bool:
        return any(
            self._place(key) + len(records) != self._ends.get(table["TableArn"], 0)
            for key, table, records in self._streams()
        )

    def _streams(self) -> Iterator[tuple[Any, Any, Any]]:
        for key, records in self._module._stream_records.all_items():
            table = self._module._tables.get_scoped(*key)
            if table is not None:
                yield key, table, records

    def _place(self, key: Any) -> int:
        place: int = self._module._stream_trimmed.get_scoped(*key, 0)
        return place

    def _write_items(self, db: sqlite3.Connection, arn: str, items: Any, changed: _Keys) -> None:
        keys = [*changed]
        if self._kept_items.get(arn) is not items:  # another table by this name, or one that was restored
            db.execute("DELETE FROM items WHERE arn = ?", (arn,))
            keys = [(pk, sk) for pk, held in items.items() for sk in held]
        put, gone = [], []
        for pk, sk in keys:
            item = items.get(pk, {}).get(sk)
            if item is None:
                gone.append((arn, pk, sk))
            else:
                put.append((arn, pk, sk, json.dumps(item)))
        db.executemany("DELETE FROM items WHERE arn = ? AND pk = ? AND sk = ?", gone)
        db.executemany("INSERT OR REPLACE INTO items VALUES (?, ?, ?, ?)", put)

    def _write_records(self, db: sqlite3.Connection, arn: str, key: Any) -> tuple[Any, int]:
        records = self._module._stream_records.get_scoped(*key)
        place = self._place(key)
        begin = self._ends.get(arn, 0)
        if self._kept_records.get(arn) is not records:  # another stream, or none any more
            db.execute("DELETE FROM records WHERE arn = ?", (arn,))
            db.execute("DELETE FROM streams WHERE arn = ?", (arn,))
            begin = place
        if records is None:
            return None, 0
        end = place + len(records)
        if begin != end or self._kept_records.get(arn) is not records:
            new = records[max(0, begin - place) :]
            rows = [(arn, end - len(new) + n, json.dumps(record)) for n, record in enumerate(new)]
            db.executemany("INSERT OR REPLACE INTO records VALUES (?, ?, ?)", rows)
            db.execute("INSERT OR REPLACE INTO streams VALUES (?, ?)", (arn, end))
        return records, end


def _forget(db: sqlite3.Connection, *, but: Mapping[str, Any]) -> None:
    known = db.execute("SELECT DISTINCT arn FROM items UNION SELECT arn FROM streams").fetchall()
    gone = [(arn,) for (arn,) in known if arn not in but]
    db.executemany("DELETE FROM items WHERE arn = ?", gone)
    db.executemany("DELETE FROM records WHERE arn = ?", gone)
    db.executemany("DELETE FROM streams WHERE arn = ?", gone)
