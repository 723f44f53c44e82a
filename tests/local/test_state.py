"""Where the running local cloud is found."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from localcloud.cloud import Cloud
from localcloud.deploy import Deployment
from localcloud.processes import LocalCloudError
from localcloud.state import State, only_one, published_state, running_state

DEPLOYMENT = Deployment(
    api_url="http://127.0.0.1:1",
    events_table="events",
    log_table="log",
    subscriptions_table="subscriptions",
    event_bus="bus",
    failed_events_queue_url="http://127.0.0.1:1/queue",
)


def told(**changed: Any) -> dict[str, Any]:
    state = State(pid=os.getpid(), endpoint="http://127.0.0.1:1", **vars_of(DEPLOYMENT))
    return {**vars_of(state), **changed}


def vars_of(of: Any) -> dict[str, Any]:
    return {name: getattr(of, name) for name in of.__slots__}


def test_published_state_is_found_as_long_as_the_block_lasts(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]) as process:
        cloud = Cloud(port=1, folder=tmp_path, process=process)  # type: ignore[arg-type]
        with published_state(cloud, DEPLOYMENT) as state:
            assert running_state(tmp_path) == state
        process.kill()
    with pytest.raises(LocalCloudError, match="No local cloud is up"):
        running_state(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "changed", [{"api_url": 5}, {"endpoint": None}, {"more": "x"}], ids=["type", "none", "unknown"]
)
def test_state_that_another_version_wrote_is_told(tmp_path: Path, changed: dict[str, Any]) -> None:
    (tmp_path / "state.json").write_text(json.dumps(told(**changed)))
    with pytest.raises(LocalCloudError, match="of another version of this checkout"):
        running_state(tmp_path)


@pytest.mark.parametrize(
    "broken",
    [
        b"",
        b'{"pid": 12',
        b"[]",
        b"null",
        b'"text"',
        b"{}",
        b'{"pid": "12"}',
        b'{"pid": null}',
        b'{"pid": -1}',
        b'{"pid": 0}',
        b'{"pid": 1e3}',
        b'{"pid": 99999999999999999999}',
        b"\xff\xfe",
    ],
)
def test_broken_state_is_an_error_that_names_the_file(tmp_path: Path, broken: bytes) -> None:
    path = tmp_path / "state.json"
    path.write_bytes(broken)
    with pytest.raises(LocalCloudError, match=rf"{re.escape(str(path))} can't be read .*Remove it"):
        running_state(tmp_path)


def test_state_that_is_no_file_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "state.json").mkdir()
    with pytest.raises(LocalCloudError, match=r"state.json can't be read"):
        running_state(tmp_path)


def test_folder_that_can_not_be_used_is_an_error_that_names_it(tmp_path: Path) -> None:
    folder = tmp_path / "file"
    folder.write_text("")
    with pytest.raises(LocalCloudError, match=r"file can't be used as a folder"), only_one(folder):
        pytest.fail("it can't be held")
    with pytest.raises(LocalCloudError, match=r"state.json can't be read"):
        running_state(folder)
