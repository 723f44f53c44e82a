"""What `KEEP=1 make run` decides before it starts: the store, its port, and whether to deploy."""

from __future__ import annotations

import re
import socket
import sqlite3
import time
from pathlib import Path

import pytest

from localcloud import kept_store
from localcloud.commands import clean
from localcloud.fingerprint import fingerprint
from localcloud.keeping import PORT, Kept
from localcloud.processes import LocalCloudError, free_port
from localcloud.state import only_one
from tests.local.test_state import DEPLOYMENT


def test_a_kept_store_stays_on_the_port_of_its_first_run(tmp_path: Path) -> None:
    with Kept.opened(tmp_path) as kept:
        assert (kept.port(None), kept.port(4599), kept.has_port) == (PORT, 4599, False)
        kept.begin(port=4599)
    with Kept.opened(tmp_path) as kept:
        assert (kept.port(None), kept.port(4599), kept.has_port) == (4599, 4599, True)
        with pytest.raises(LocalCloudError, match=r"answers on port 4599: .*KEEP=1 PORT=4599 make run"):
            kept.port(4600)


def test_a_port_that_is_taken_is_an_error_with_the_repair() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(LocalCloudError, match=rf"Port {port} of 127.0.0.1 can't be had .*End it there\."):
            free_port(port, repair="End it there.")


def test_nothing_is_deployed_again_while_the_sources_are_the_same(tmp_path: Path) -> None:
    with Kept.opened(tmp_path) as kept:
        assert kept.deployment("sources") is None
        with kept._store.transaction() as db:
            kept_store.remember(db, {"saved": str(time.time() + 5)})
        kept.deployed(DEPLOYMENT, fingerprint="sources")
    with Kept.opened(tmp_path) as kept:
        assert kept.deployment("sources") == DEPLOYMENT
        assert kept.deployment("other sources") is None


def test_a_deployment_that_is_not_saved_is_not_remembered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("localcloud.keeping._SAVED_WITHIN_S", 0.0)
    with Kept.opened(tmp_path) as kept:
        with pytest.raises(LocalCloudError, match="saves nothing to"):
            kept.deployed(DEPLOYMENT, fingerprint="sources")
        assert kept.deployment("sources") is None


def test_a_run_that_ended_without_saving_is_told(tmp_path: Path) -> None:
    with Kept.opened(tmp_path) as kept:
        assert kept.cut_off_at is None
        kept._store.remember({"saved": "1795773612.5", "ended": "0"})
        assert f"{kept.cut_off_at:%Y-%m-%d %H:%M:%S}" == "2026-11-27 10:00:12"
        kept._store.remember({"ended": "1"})
        assert kept.cut_off_at is None


@pytest.mark.parametrize(
    "broken", [b"not a database, though as long as one's header" * 9, b"SQLite format 3\0" * 64]
)
def test_a_damaged_store_is_refused_with_the_repair_and_left(tmp_path: Path, broken: bytes) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "store.db").write_bytes(broken)
    with (
        pytest.raises(
            LocalCloudError, match=rf"{re.escape(str(tmp_path))}/kept can't be used: .*make clean-local"
        ),
        Kept.opened(tmp_path),
    ):
        pytest.fail("it can't be opened")
    assert (tmp_path / "kept" / "store.db").read_bytes() == broken


def test_a_store_with_a_damaged_page_is_refused(tmp_path: Path) -> None:
    with Kept.opened(tmp_path) as kept, kept._store.transaction() as db:
        db.executemany("INSERT INTO items VALUES ('a', ?, '', ?)", [(str(n), "x" * 500) for n in range(500)])
    path = tmp_path / "kept" / "store.db"
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 8_192] = b"\xff" * 8_192
    path.write_bytes(data)
    with pytest.raises(LocalCloudError, match=r"it (is damaged|can't be read) \("), Kept.opened(tmp_path):
        pytest.fail("it can't be opened")


@pytest.mark.parametrize("name", ["format", "ministack"])
def test_a_store_of_another_version_is_refused_with_the_repair(tmp_path: Path, name: str) -> None:
    with Kept.opened(tmp_path) as kept:
        kept._store.remember({name: "0.9"})
    with (
        pytest.raises(
            LocalCloudError, match=rf"with {name} 0\.9; here it is .*export them.*make clean-local"
        ),
        Kept.opened(tmp_path),
    ):
        pytest.fail("it can't be opened")


def test_another_programs_database_is_refused_and_left(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    with sqlite3.connect(tmp_path / "kept" / "store.db") as other:
        other.execute("CREATE TABLE theirs (a)")
    other.close()
    with pytest.raises(LocalCloudError, match="can't be used"), Kept.opened(tmp_path):
        pytest.fail("it can't be opened")


def test_clean_removes_the_kept_store_and_nothing_else(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "cdk.out").mkdir()
    with Kept.opened(tmp_path):
        pass
    assert clean(tmp_path) == 0
    assert {path.name for path in tmp_path.iterdir()} == {"cdk.out", "run.lock"}
    assert clean(tmp_path) == 0
    assert "There is no kept store" in capsys.readouterr().out


def test_clean_leaves_a_store_that_is_in_use(tmp_path: Path) -> None:
    with Kept.opened(tmp_path):
        pass
    with only_one(tmp_path), pytest.raises(LocalCloudError, match="already up"):
        clean(tmp_path)
    assert (tmp_path / "kept" / "store.db").exists()


def test_a_fingerprint_changes_with_what_is_deployed_alone(tmp_path: Path) -> None:
    for name in ("app.py", "eventstore/store.py", "tests/test_a.py", "docs/a.txt", ".venv/a.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("1")
    first = fingerprint(tmp_path, context=("settlingS=2",))

    (tmp_path / "eventstore" / "__pycache__").mkdir()
    for name in ("tests/test_a.py", "docs/a.txt", ".venv/a.py", "eventstore/__pycache__/a.py", "README.md"):
        (tmp_path / name).write_text("2")
    assert fingerprint(tmp_path, context=("settlingS=2",)) == first

    assert fingerprint(tmp_path, context=("settlingS=3",)) != first
    (tmp_path / "newpackage").mkdir()
    (tmp_path / "newpackage" / "a.py").write_text("")
    second = fingerprint(tmp_path, context=("settlingS=2",))
    (tmp_path / "eventstore" / "store.py").write_text("2")
    assert len({first, second, fingerprint(tmp_path, context=("settlingS=2",))}) == 3
