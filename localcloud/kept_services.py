"""Keeps all that runs in a ministack between its runs, in a store of `kept_store`.

The tables are written with each request (`kept_tables`). All else, such as queues, functions and stacks, is
written as one picture about once a second. What a function had consumed is part of that picture, and so are
the queues that its work filled: after a sudden end, work is done again, never left out.
"""

# ruff: noqa: SLF001 - ministack's inside is what this file is about

from __future__ import annotations

import asyncio
import importlib
import json
import logging
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from localcloud.kept_store import KeptStore, remember
from localcloud.kept_tables import KeptTables

_LOG: Final = logging.getLogger("localcloud")
_EACH_S: Final = 1.0
_SHARE: Final = 20
"""A picture takes its time from all else: at most one part in so many."""
_TRIES: Final = 5


class Keeper:
    """Saves what ministack holds, and gives it back when it starts.

    Args:
        app: `ministack.app`; its functions that load and save are replaced for the life of the process.
        store: where it is kept.

    Raises:
        AttributeError, ImportError: this ministack is not as expected.
    """

    def __init__(self, app: Any, store: KeptStore) -> None:
        self._app = app
        self._store = store
        self._persistence = _module("core.persistence")
        self._functions = _module("services.lambda_svc")
        self._stacks = _module("services.cloudformation")._stacks
        self._tables = KeptTables(_module("services.dynamodb"), store, saves=self.save)
        self._packages: set[str] = set()
        self._drop_packages = self._functions._prune_orphan_code_blobs
        # A package is dropped once no picture names it any more, and not before.
        self._functions._prune_orphan_code_blobs = self._note_packages
        for needed in ("_build_persistence_save_dict", "_state_map", "_get_module"):
            getattr(app, needed)
        app._load_persisted_state, app.save_all, app.PERSIST_STATE = self.begin, self.end, True
        self._saved: dict[str, str] = {}
        self._task: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Give ministack what is kept, and save from now on; it calls this when it starts.

        When something can't be restored, the process ends: its server would go on, empty, after an exception.
        """
        try:
            self.restore()
        except Exception:  # noqa: BLE001 - it's logged, and ends the process
            _LOG.exception("What is kept can't be restored. Nothing is overwritten")
            logging.shutdown()
            os._exit(1)
        self._store.remember({"ended": "0"})
        self._task = asyncio.get_running_loop().create_task(self._save_on())

    def restore(self) -> None:
        """Give ministack what is kept.

        Raises:
            Exception: something can't be restored.
        """
        saved: dict[str, str] = dict(self._store.pairs("SELECT name, state FROM services"))
        for name, module in self._app._state_map.items():
            if name in saved:
                state = json.loads(saved[name], object_hook=self._persistence._json_object_hook)
                if name == "lambda":
                    self._check_packages(state)
                self._app._get_module(module).load_persisted_state(state)
        self._tables.load()
        self._saved = saved

    def save(self, *, ended: bool = False) -> None:
        """Write a picture of everything, unless a stack is being deployed: it is kept whole or not at all."""
        if any(stack["StackStatus"].endswith("_IN_PROGRESS") for stack in self._stacks.all_values()):
            return
        consumed = self._consumed()
        states = self._states()
        with self._tables.lock:
            with self._store.transaction() as db:
                written = self._tables.write(db, all_tables=True)
                changed = [(name, state) for name, state in states.items() if self._saved.get(name) != state]
                db.executemany("INSERT OR REPLACE INTO services VALUES (?, ?)", changed)
                self._tables.drop_consumed(db, consumed)
                remember(db, {"saved": str(time.time()), "ended": str(int(ended))})
            written()
        self._saved |= states
        self._drop_packages(self._packages)

    def end(self, _services: object) -> None:
        """Save for the last time; ministack calls this when it is told to end."""
        if self._task is not None:
            self._task.cancel()
        self.save(ended=True)

    async def _save_on(self) -> None:
        rest_s = _EACH_S
        while True:
            await asyncio.sleep(rest_s)
            began_s = time.monotonic()
            try:
                self.save()
            except Exception:  # noqa: BLE001 - it's logged, and `make run` notices that nothing is saved
                _LOG.exception("What runs in this cloud can't be saved just now; it is tried again")
            rest_s = max(_EACH_S, _SHARE * (time.monotonic() - began_s))

    def _states(self) -> dict[str, str]:
        # The functions first: the queues, read later, hold the work of all that they say is consumed.
        getters = {"lambda": self._functions.get_state, **self._app._build_persistence_save_dict()}
        getters["dynamodb"] = self._tables.definitions
        states = {}
        for name, get_state in getters.items():
            text = self._text(get_state)
            if text is not None:
                states[name] = text
        return states

    def _text(self, get_state: Callable[[], Any]) -> str | None:
        for attempt in range(1, _TRIES + 1):
            try:
                state = get_state()
                return None if state is None else json.dumps(state, default=self._persistence._json_default)
            except RuntimeError:  # a thread has changed it meanwhile
                if attempt == _TRIES:
                    raise
        raise AssertionError("the last try returns or raises")

    def _consumed(self) -> dict[str, int]:
        """Return, by stream ARN of a table, up to which place every function has consumed it."""
        consumed: dict[str, int] = {}
        for (account, region, uuid), mapping in self._functions._esms.all_items():
            table = mapping.get("EventSourceArn", "").partition("/stream/")[0]
            place = self._functions._dynamodb_stream_positions.get_scoped(account, region, uuid, 0)
            consumed[table] = min(place, consumed.get(table, place))
        return consumed

    def _note_packages(self, referenced: set[str]) -> None:
        self._packages = referenced

    def _check_packages(self, state: Mapping[str, Any]) -> None:
        folder = Path(self._functions.CODE_BLOB_DIR)
        for function in state["functions"].all_values():
            for version in (function, *function.get("versions", {}).values()):
                code = version.get("code_zip")
                if isinstance(code, dict) and not (folder / f"{code['code_blob_ref']}.zip").is_file():
                    raise RuntimeError(
                        f"The package of a function is missing: {folder}/{code['code_blob_ref']}.zip"
                    )


def _module(name: str) -> Any:
    return importlib.import_module(f"ministack.{name}")
