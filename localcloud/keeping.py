"""`KEEP=1 make run`: the store, its address and what is deployed go on from one run to the next."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from localcloud.deploy import Deployment
from localcloud.kept_store import KeptStore, UnusableStoreError
from localcloud.processes import LocalCloudError

PORT: Final = 4570
"""Where a kept cloud listens unless told otherwise; below the ports that systems give out by themselves."""

NAME: Final = "kept"
"""The folder, beside the logs; `make clean-local` removes it, and nothing else does."""

_SAVED_WITHIN_S: Final = 120.0
WAY_OUT: Final = (
    "Nothing was changed. To keep the events, go back to the version of this checkout that made the store, "
    "and export them. To begin anew without them, run `make clean-local`."
)


class Kept:
    """What `make run` remembers of a kept store."""

    def __init__(self, store: KeptStore) -> None:
        self._store = store

    @classmethod
    @contextmanager
    def opened(cls, folder: Path) -> Iterator[Kept]:
        """Open the kept store of a folder; an empty one is made.

        Raises:
            LocalCloudError: it can't be read, or another version made it; with the way out.
        """
        at = folder / NAME
        try:
            store = KeptStore(at)
        except UnusableStoreError as error:
            raise LocalCloudError(f"The kept store in {at} can't be used: {error}. {WAY_OUT}") from error
        with store:
            yield cls(store)

    @property
    def folder(self) -> Path:
        """Where it is."""
        return self._store.folder

    @property
    def cut_off_at(self) -> datetime | None:
        """When all but the tables was last saved, if the last run ended without saving."""
        saved = self._store.about("saved")
        if saved is None or self._store.about("ended") == "1":
            return None
        return datetime.fromtimestamp(float(saved), UTC)

    @property
    def has_port(self) -> bool:
        """Return whether its port was chosen by an earlier run."""
        return self._store.about("port") is not None

    def port(self, wanted: int | None) -> int:
        """Choose the port: the store's own, once it has one.

        Raises:
            LocalCloudError: another one is wanted.
        """
        own = self._store.about("port")
        if own is None:
            return wanted or PORT
        if wanted not in {None, int(own)}:
            raise LocalCloudError(
                f"The kept store in {self.folder} answers on port {own}: its queues and its API have that in "
                f"their addresses. Run it there (KEEP=1 PORT={own} make run), or run `make clean-local` to "
                "begin anew without its events."
            )
        return int(own)

    def deployment(self, fingerprint: str) -> Deployment | None:
        """Return what is deployed, unless the sources have changed since."""
        told = self._store.about("deployment")
        if told is None or self._store.about("fingerprint") != fingerprint:
            return None
        return Deployment(**json.loads(told))

    def begin(self, *, port: int) -> None:
        """Remember the port, from the first start on: stacks have it in what they are deployed with."""
        self._store.remember({"port": str(port)})

    def deployed(self, deployment: Deployment, *, fingerprint: str) -> None:
        """Remember what is deployed, once the cloud has saved it.

        Raises:
            LocalCloudError: it doesn't save.
        """
        before, deadline = time.time(), time.monotonic() + _SAVED_WITHIN_S
        while float(self._store.about("saved") or 0) <= before + 0.5:  # a picture that was begun after it
            if time.monotonic() > deadline:
                raise LocalCloudError(
                    f"The local cloud saves nothing to {self.folder}; its log says why. What is deployed now "
                    "would be gone with the next start."
                )
            time.sleep(0.1)
        told = json.dumps(asdict(deployment))
        self._store.remember({"deployment": told, "fingerprint": fingerprint})
