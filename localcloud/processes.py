"""Servers on this machine: started on a free port, ended for certain with all that they have started."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parent.parent
FOLDER: Final = ROOT / ".local"
HOST: Final = "127.0.0.1"

# Patience, for a busy machine: neither is waited for when the process is there, or gone.
_STARTS_WITHIN_S: Final = 120.0
_ENDS_WITHIN_S: Final = 60.0


class LocalCloudError(RuntimeError):
    """Something of the local cloud can't be started, ended or deployed; the message says why."""


@contextmanager
def server(
    command: Sequence[str | Path],
    *,
    name: str,
    log: Path,
    environment: Mapping[str, str],
    answers: Callable[[], bool],
    saves: bool = False,
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server for as long as the block lasts.

    It ends with every process that it has started, also when this process is killed within the block. The
    process's pid is that of their process group.

    Args:
        command: the program and its arguments.
        name: what to call it in errors.
        log: where its output goes.
        environment: all of its environment.
        answers: asks it once whether it is ready.
        saves: it is told to end, and has time to save, before it is killed with what it has started.

    Raises:
        LocalCloudError: it ended while starting, didn't answer in time (with the end of its log), or left
            processes behind.
    """
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "localcloud.guarded", *(["--saves"] if saves else []), *command],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        _await_answer(process, name, log, answers)
        yield process
    finally:
        _end(process, name)


def free_port(
    wanted: int | None = None,
    *,
    repair: str = "Name another one (PORT=4567 make run), or none, and a free one is taken.",
) -> int:
    """Find a free port of 127.0.0.1, or make sure that the wanted one is.

    Args:
        wanted: the port; None for any free one.
        repair: what the error tells to do when it's taken.

    Raises:
        LocalCloudError: it's taken, or can't be had.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, wanted or 0))
        except (OSError, OverflowError) as error:
            raise LocalCloudError(f"Port {wanted} of {HOST} can't be had ({error}). {repair}") from error
        port: int = probe.getsockname()[1]
    return port


def group_is_alive(pid: int) -> bool:
    """Return whether any process of this process group is left."""
    try:
        os.killpg(pid, 0)
    except ProcessLookupError:
        return False
    processes = [*Path("/proc").glob("[0-9]*/stat")]
    # Where the first process reaps nothing (some containers), ended ones stay listed: look at their state.
    return any(_is_running_in(pid, stat) for stat in processes) if processes else True


def log_tail(log: Path, *, lines: int = 20) -> str:
    """Return the end of a log, to be shown in an error."""
    text = log.read_text(errors="replace").rstrip().splitlines()[-lines:]
    return "\n".join([f"--- the end of {log}:", *text])


def _is_running_in(group: int, stat: Path) -> bool:
    try:
        state, _, pgrp = stat.read_text().rpartition(")")[2].split()[:3]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return int(pgrp) == group and state not in "ZX"


def _await_answer(
    process: subprocess.Popen[bytes], name: str, log: Path, answers: Callable[[], bool]
) -> None:
    deadline = time.monotonic() + _STARTS_WITHIN_S
    while not answers():
        if process.poll() is not None:
            raise LocalCloudError(
                f"{name} ended with code {process.returncode} while starting.\n{log_tail(log)}"
            )
        if time.monotonic() > deadline:
            raise LocalCloudError(f"{name} didn't answer within {_STARTS_WITHIN_S:g} s.\n{log_tail(log)}")
        time.sleep(0.05)


def _end(process: subprocess.Popen[bytes], name: str) -> None:
    assert process.stdin is not None
    process.stdin.close()
    deadline = time.monotonic() + _ENDS_WITHIN_S
    while process.poll() is None or group_is_alive(process.pid):
        if process.poll() is not None:
            with suppress(ProcessLookupError):  # the last one has just ended
                os.killpg(process.pid, signal.SIGKILL)  # the server has ended, and left others behind
        if time.monotonic() > deadline:
            raise LocalCloudError(f"Processes of {name} are left: see `ps -g {process.pid}`.")
        time.sleep(0.02)
