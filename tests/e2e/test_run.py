"""`make run` as a process: the show, the state for other commands, and an end that leaves nothing behind."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from localcloud.api import Api, event_text
from localcloud.processes import FOLDER, ROOT
from localcloud.state import running_state
from tests.e2e.conftest import WAIT_S
from tests.ports import lasting_port

FOLDER_OF_RUN = FOLDER / "e2e-run"
MARK = "EVENTSTORE_TEST_MARK"

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/environ").exists(), reason="looks for processes in /proc"
)


def command(*arguments: str, folder: Path = FOLDER_OF_RUN) -> list[str]:
    return [sys.executable, "-m", "localcloud", "--folder", str(folder), *arguments]


@contextmanager
def started(
    mark: str, *, folder: Path = FOLDER_OF_RUN, **environment: str
) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        command("run", folder=folder),
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


def until_it_is_up(process: subprocess.Popen[str]) -> list[str]:
    """Read what a run writes until it is up."""
    assert process.stdout is not None
    lines: list[str] = []
    for line in process.stdout:
        lines.append(line)
        if "Every AWS service answers at" in line:
            return lines
    pytest.fail("".join(lines))


def logged_streams(url: str) -> set[str]:
    answer = httpx.get(f"{url}/log", params={"limit": 100}, trust_env=False, timeout=60).raise_for_status()
    return {entry["streamId"] for entry in answer.json()["entries"]}


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
        lines = until_it_is_up(process)
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


@pytest.fixture
def kept() -> Iterator[Path]:
    folder = FOLDER / "e2e-kept"
    shutil.rmtree(folder, ignore_errors=True)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def test_a_kept_store_goes_on_after_an_end_and_after_a_kill(kept: Path) -> None:
    mark, environment = str(uuid4()), {"KEEP": "1", "PORT": str(lasting_port()), "RUN_ONCE": ""}
    with started(mark, folder=kept, **environment) as process:
        lines = until_it_is_up(process)
        assert any("8 events appended, 8 delivered" in line for line in lines)
        first = running_state(kept)
        with Api(first.api_url) as api:
            assert (
                api.append("order-2001", expected=0, events=[event_text(name="E", payload="1")]).status == 201
            )
        os.killpg(first.pid, signal.SIGKILL)
        assert process.wait(timeout=WAIT_S) == 1

    with started(mark, folder=kept, **environment) as process:
        output = "".join(until_it_is_up(process))
        assert (
            "The last run ended without saving everything. The tables have all that was answered." in output
        )
        assert "deployed as it was: its sources have not changed" in output
        assert "9 events are kept from earlier runs" in output
        second = running_state(kept)
        assert second.api_url == first.api_url
        deadline = time.monotonic() + WAIT_S
        while "order-2001" not in logged_streams(second.api_url):
            assert time.monotonic() < deadline, "the log writer didn't go on"
            time.sleep(0.2)
        with Api(second.api_url) as api:
            answer = api.append("order-2001", expected=1, events=[event_text(name="F", payload="2")])
            assert answer.body["version"] == 2
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=WAIT_S) == 0

    with started(mark, folder=kept, **{**environment, "RUN_ONCE": "1"}) as process:
        output, _ = process.communicate(timeout=WAIT_S)
    assert process.returncode == 0, output
    assert "10 events are kept from earlier runs" in output
    assert "without saving" not in output
    assert processes_with(mark) == []
