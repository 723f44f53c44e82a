"""Where the running local cloud of this checkout is found by other commands: `.local/state.json`."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from eventstore.local.cloud import Cloud
from eventstore.local.deploy import Deployment
from eventstore.local.processes import LocalCloudError


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
        LocalCloudError: another one is using it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "run.lock").open("w") as lock:
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
    """Tell other commands where the cloud is, for as long as the block lasts."""
    state = State(pid=cloud.process.pid, endpoint=cloud.endpoint, **asdict(deployment))
    path = _path(cloud.folder)
    path.write_text(json.dumps(asdict(state), indent=2) + "\n")
    try:
        yield state
    finally:
        path.unlink(missing_ok=True)


def running_state(folder: Path) -> State:
    """Tell where the running local cloud is.

    Raises:
        LocalCloudError: none is running, or one of another version of this checkout.
    """
    try:
        told = json.loads(_path(folder).read_text())
        os.kill(told["pid"], 0)
    except (FileNotFoundError, ProcessLookupError) as error:
        raise LocalCloudError(
            "No local cloud is up: start one with `make run` in another terminal."
        ) from error
    try:
        return State(**told)
    except TypeError as error:
        raise LocalCloudError(
            f"The local cloud that is up (process {told['pid']}) is of another version of this checkout: "
            "end it with Ctrl-C where `make run` runs, and start it anew."
        ) from error


def _path(folder: Path) -> Path:
    return folder / "state.json"
