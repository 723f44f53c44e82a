"""`make run` as a process: the show, the state for other commands, and an end that leaves nothing behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import pytest

from localcloud.processes import FOLDER, ROOT
from tests.e2e.conftest import WAIT_S

FOLDER_OF_RUN = FOLDER / "e2e-run"
MARK = "EVENTSTORE_TEST_MARK"

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/environ").exists(), reason="looks for processes in /proc"
)


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "localcloud", "--folder", str(FOLDER_OF_RUN), *arguments]


@contextmanager
def started(mark: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        command("run"),
        cwd=ROOT,
        env={**os.environ, **environment, MARK: mark},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def processes_with(mark: str) -> list[str]:
    """Find all processes that have inherited the mark."""
    wanted, found = f"{MARK}={mark}".encode(), []
    for environ in Path("/proc").glob("[0-9]*/environ"):
        try:
            if wanted in environ.read_bytes().split(b"\0"):
                found.append(environ.with_name("cmdline").read_bytes().replace(b"\0", b" ").decode())
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue  # it has ended, or is another user's
    return found


def test_run_once_shows_the_main_job_and_leaves_no_process() -> None:
    mark = str(uuid4())
    with started(mark, RUN_ONCE="1") as process:
        output, _ = process.communicate(timeout=2 * WAIT_S)

    assert process.returncode == 0, output
    for seen in (
        "-> 409 version-conflict: actual 3",
        "decides again",
        "-> 201, version 4",
        "meanwhile   POST /streams/order-1003/events",
        "8 events appended, 8 delivered",
        "nothing is left running",
    ):
        assert seen in output
    assert processes_with(mark) == []
    assert not (FOLDER_OF_RUN / "state.json").exists()


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_run_stays_up_until_it_is_told_to_end(ending: signal.Signals, tmp_path: Path) -> None:
    mark = str(uuid4())
    with started(mark, RUN_ONCE="") as process:
        assert process.stdout is not None
        lines: list[str] = []
        for line in process.stdout:
            lines.append(line)
            if "Every AWS service answers at" in line:
                break
        assert any(line.lstrip().startswith("curl ") for line in lines), "".join(lines)
        assert len(processes_with(mark)) > 2

        file = tmp_path / "events.ndjson"
        file.write_text('{"streamId":"loaded","eventName":"E","payload":1}\n')
        loaded = subprocess.run(
            command("load", str(file)), cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert loaded.returncode == 0, loaded.stderr
        assert "1 events appended, 0 already there, 0 failed" in loaded.stdout
        second = subprocess.run(command("run"), cwd=ROOT, capture_output=True, text=True, check=False)
        assert second.returncode == 1
        assert "is already up" in second.stderr

        process.send_signal(ending)
        assert process.wait(timeout=WAIT_S) == 0
        assert "nothing is left running" in process.stdout.read()
    assert processes_with(mark) == []


def test_load_without_a_running_cloud_says_so(tmp_path: Path) -> None:
    ended = json.dumps({"pid": 2**22 + 1})  # no pid is that high
    of_another_version = json.dumps({"pid": os.getpid(), "table": "events"})
    file = tmp_path / "events.ndjson"
    file.write_text('{"streamId":"s","eventName":"E","payload":1}\n')
    arguments = ["--folder", str(tmp_path), "load", str(file)]
    none_is_up = "No local cloud is up: start one with `make run`"
    for stale, told in (
        (None, none_is_up),
        (ended, none_is_up),
        (of_another_version, "is of another version of this checkout"),
    ):
        if stale is not None:
            (tmp_path / "state.json").write_text(stale)
        loaded = subprocess.run(
            [sys.executable, "-m", "localcloud", *arguments],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert loaded.returncode == 1
        assert told in loaded.stderr
