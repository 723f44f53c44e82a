"""Where the running local cloud of this checkout is found by other commands: `.local/state.json`."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Final

from localcloud.cloud import Cloud
from localcloud.deploy import Deployment
from localcloud.processes import LocalCloudError

_NONE_IS_UP: Final = "No local cloud is up: start one with `make run` in another terminal."


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """A local cloud that is up, with the app deployed."""

    pid: int
    """The local cloud's process."""
    endpoint: str
    api_url: str
    events_table: str
    log_table: str
    subscriptions_table: str
    event_bus: str
    failed_events_queue_url: str


@contextmanager
def only_one(folder: Path) -> Iterator[None]:
    """Hold a folder for one local cloud at a time.

    Raises:
        LocalCloudError: another one is using it, or it can't be written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        opened = (folder / "run.lock").open("w")
    except OSError as error:
        raise LocalCloudError(f"{folder} can't be used as a folder for logs and state: {error}") from error
    with opened as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise LocalCloudError(
                f"A local cloud of {folder} is already up (or starting): see the terminal where `make run` "
                "runs, and end it there with Ctrl-C."
            ) from error
        yield


@contextmanager
def published_state(cloud: Cloud, deployment: Deployment) -> Iterator[State]:
    """Let other commands know where the cloud is, for as long as the block lasts."""
    state = State(pid=cloud.process.pid, endpoint=cloud.endpoint, **asdict(deployment))
    path = _path(cloud.folder)
    whole = path.with_suffix(".new")
    whole.write_text(json.dumps(asdict(state), indent=2) + "\n")
    whole.replace(path)  # at once: no other command reads half of it
    try:
        yield state
    finally:
        path.unlink(missing_ok=True)


def running_state(folder: Path) -> State:
    """Return where the running local cloud is.

    Raises:
        LocalCloudError: none is running, or one of another version of this checkout; or the file that says
            so can't be read.
    """
    path = _path(folder)
    try:
        told = _Told(json.loads(path.read_text()))
    except FileNotFoundError as error:
        raise LocalCloudError(_NONE_IS_UP) from error
    except (OSError, ValueError) as error:
        raise LocalCloudError(
            f"{path} can't be read as what `make run` wrote there ({error}). Remove it. A local cloud writes "
            "it when it starts: if one is up, end it with Ctrl-C where `make run` runs, and start it anew."
        ) from error
    if not told.is_alive():
        raise LocalCloudError(_NONE_IS_UP)
    state = told.state()
    if state is None:
        raise LocalCloudError(
            f"The local cloud that is up (process {told.pid}) is of another version of this checkout: "
            "end it with Ctrl-C where `make run` runs, and start it anew."
        )
    return state


class _Told:
    """What the file of a state says.

    Raises:
        ValueError: it names no process.
    """

    def __init__(self, told: object) -> None:
        pid = told.get("pid") if isinstance(told, dict) else None
        if not isinstance(told, dict) or not isinstance(pid, int) or not 0 < pid < 2**31:
            raise ValueError("it names no process")
        self.pid = pid
        self._told = told

    def is_alive(self) -> bool:
        """Return whether the process is still running."""
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:  # it runs, as another user's
            return True
        return True

    def state(self) -> State | None:
        """Return the state; None when a version of other fields wrote it."""
        texts = {field.name for field in fields(State)} - {"pid"}
        if self._told.keys() != {"pid", *texts}:
            return None
        if not all(isinstance(self._told[name], str) for name in texts):
            return None
        return State(**self._told)


def _path(folder: Path) -> Path:
    return folder / "state.json"
