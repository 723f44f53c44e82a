from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from localcloud.processes import HOST, ROOT, LocalCloudError, free_port, group_is_alive, server

PATIENCE_S = 300  # the machine may be busy

SPAWNS_ANOTHER = (
    "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import time; time.sleep(600)'])"
)
LEAVES_ANOTHER = SPAWNS_ANOTHER.replace("run", "Popen")
STARTS_A_SERVER = """
import os, sys, time
from pathlib import Path
from localcloud.processes import server
log, script = sys.argv[1:]
command = [sys.executable, "-c", script]
with server(command, name="It", log=Path(log), environment=dict(os.environ), answers=lambda: True) as process:
    print(process.pid, flush=True)
    time.sleep(600)
"""


def test_server_ends_with_all_that_it_has_started(tmp_path: Path) -> None:
    with server(
        [sys.executable, "-c", SPAWNS_ANOTHER],
        name="It",
        log=tmp_path / "log",
        environment=dict(os.environ),
        answers=lambda: True,
    ) as process:
        assert group_is_alive(process.pid)

    assert not group_is_alive(process.pid)


def test_what_a_server_leaves_behind_ends_with_the_block(tmp_path: Path) -> None:
    with server(
        [sys.executable, "-c", LEAVES_ANOTHER],
        name="It",
        log=tmp_path / "log",
        environment=dict(os.environ),
        answers=lambda: True,
    ) as process:
        process.wait(PATIENCE_S)
        assert group_is_alive(process.pid)

    assert not group_is_alive(process.pid)


def test_server_ends_when_its_starter_is_killed(tmp_path: Path) -> None:
    command = [sys.executable, "-c", STARTS_A_SERVER, str(tmp_path / "log"), SPAWNS_ANOTHER]
    starter = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert starter.stdout is not None
    with starter, starter.stdout:
        group = int(starter.stdout.readline())
        assert group_is_alive(group)
        starter.send_signal(signal.SIGKILL)

    deadline = time.monotonic() + PATIENCE_S
    while group_is_alive(group):
        assert time.monotonic() < deadline, "the server outlived its starter"
        time.sleep(0.02)


def test_server_that_ends_while_starting_shows_the_end_of_its_log(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "import sys; print('no disk'); sys.exit(3)"]

    with (
        pytest.raises(
            LocalCloudError, match=r"It ended with code 3 while starting.\n--- the end of .*\nno disk"
        ),
        server(command, name="It", log=tmp_path / "log", environment=dict(os.environ), answers=lambda: False),
    ):
        pytest.fail("it is not up")


def test_port_that_is_taken_is_an_error_that_says_how_to_name_another() -> None:
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(
            LocalCloudError, match=rf"Port {port} of 127.0.0.1 can't be had .*PORT=4567 make run"
        ):
            free_port(port)


def test_free_port_can_be_bound() -> None:
    with socket.socket() as probe:
        probe.bind((HOST, free_port()))
