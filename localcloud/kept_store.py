"""What a local cloud keeps between runs: one SQLite file, written as it goes and not only at the end.

The local cloud's process and the one of `make run` both open it. Each transaction is whole, or it isn't
there: SQLite keeps what was committed when its process is killed.
"""

from __future__ import annotations

import importlib.metadata
import sqlite3
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Self

KEPT: Final = "LOCALCLOUD_KEPT"
"""The variable that tells the local cloud's process where its kept store is."""

FORMAT: Final = "1"
"""Raise it when a table below changes: stores of another format are refused, with the way out."""

_BUSY_S: Final = 60.0
_SCHEMA: Final = """
CREATE TABLE about (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE services (name TEXT PRIMARY KEY, state TEXT NOT NULL);
CREATE TABLE items (arn TEXT, pk TEXT, sk TEXT, item TEXT NOT NULL, PRIMARY KEY (arn, pk, sk));
CREATE TABLE streams (arn TEXT PRIMARY KEY, place INTEGER NOT NULL);
CREATE TABLE records (arn TEXT, place INTEGER, record TEXT NOT NULL, PRIMARY KEY (arn, place));
"""


class UnusableStoreError(RuntimeError):
    """What is kept can't be read, or is of another version; the message says why."""


class KeptStore:
    """The file of a kept store.

    Args:
        folder: where it is; it is made when it isn't there.

    Raises:
        UnusableStoreError: the file is damaged, or of another format or ministack.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = threading.RLock()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(
                folder / "store.db", timeout=_BUSY_S, isolation_level=None, check_same_thread=False
            )
        except (OSError, sqlite3.Error) as error:
            raise UnusableStoreError(f"it can't be opened ({error})") from error
        try:
            self._check()
        except sqlite3.Error as error:
            self._db.close()
            raise UnusableStoreError(f"it can't be read ({error})") from error
        except BaseException:
            self._db.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._db.close()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Write all that the block writes, or nothing when it raises."""
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
                self._db.execute("COMMIT")
            except BaseException:
                self._db.execute("ROLLBACK")
                raise

    def rows(self, query: str) -> Iterator[tuple[str, ...]]:
        """Give the rows of a query."""
        with self._lock:
            yield from self._db.execute(query)

    def pairs(self, query: str) -> Iterator[tuple[str, str]]:
        """Give the rows of a query of two columns."""
        yield from ((first, second) for first, second in self.rows(query))

    def about(self, name: str) -> str | None:
        """Return what was remembered by this name."""
        with self._lock:
            found = self._db.execute("SELECT value FROM about WHERE name = ?", (name,)).fetchone()
        return None if found is None else str(found[0])

    def remember(self, values: Mapping[str, str]) -> None:
        """Keep texts by name."""
        with self.transaction() as db:
            remember(db, values)

    def _check(self) -> None:
        # NORMAL: a commit is safe from the death of the process, and costs no wait for the disk.
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = NORMAL")
        found = self._db.execute("PRAGMA quick_check(1)").fetchone()[0]
        if found != "ok":
            raise UnusableStoreError(f"it is damaged ({found})")
        made_by = {"format": FORMAT, "ministack": importlib.metadata.version("ministack")}
        if self._db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0:
            with self.transaction() as db:
                for statement in _SCHEMA.split(";"):
                    db.execute(statement)
                remember(db, made_by)
        for name, now in made_by.items():
            then = self.about(name)
            if then != now:
                raise UnusableStoreError(
                    f"it was made by a version of this checkout with {name} {then}; here it is {now}"
                )


def remember(db: sqlite3.Connection, values: Mapping[str, str]) -> None:
    """Keep texts by name, in a transaction that is open."""
    db.executemany("INSERT OR REPLACE INTO about VALUES (?, ?)", values.items())
