"""A command's manners, whatever becomes of its outputs and whenever it is ended."""

from __future__ import annotations

import importlib
import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from eventstore._command_line import INTERRUPTED, NOBODY_READS, TROUBLE
from eventstore._setting_rules import is_url
from eventstore.cli.main import main
from eventstore.cli.signals import Signals

ROOT = Path(__file__).parents[2]


def ended(*arguments: str, stdout: int | None) -> subprocess.CompletedProcess[str]:
    """Run a command of ours; with None it has no standard output at all."""
    return subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": ""},  # argparse hides a write's error
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("module", ["eventstore", "eventstore.plan", "localcloud"])
def test_command_whose_output_nobody_reads_ends_in_silence(module: str) -> None:
    read, write = os.pipe()
    os.close(read)
    try:
        done = ended(module, "--help", stdout=write)
    finally:
        os.close(write)
    assert (done.returncode, done.stderr) == (NOBODY_READS, "")


@pytest.mark.parametrize("module", ["eventstore", "eventstore.plan", "localcloud"])
def test_command_whose_output_finds_no_room_says_so(module: str) -> None:
    with Path("/dev/full").open("wb") as full:
        done = ended(module, "--help", stdout=full.fileno())
    assert (done.returncode, done.stderr) == (
        TROUBLE,
        "The output can't be written: No space left on device\n",
    )


@pytest.mark.parametrize("module", ["eventstore", "eventstore.plan", "localcloud"])
def test_command_without_an_output_ends_as_any_other(module: str) -> None:
    without_one = (
        "import runpy, sys; sys.stdout, sys.argv = None, ['it', '--help']; "
        f"runpy.run_module({module!r}, run_name='__main__')"
    )
    done = subprocess.run(
        [sys.executable, "-c", without_one], cwd=ROOT, stderr=subprocess.PIPE, text=True, check=False
    )
    assert "Traceback" not in done.stderr
    assert done.returncode == 0


def interrupt(_name: str) -> None:
    raise KeyboardInterrupt


def test_command_that_is_interrupted_while_it_starts_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(importlib, "import_module", interrupt)
    assert main(["verify", "--table", "t"]) == INTERRUPTED
    assert capsys.readouterr().err == "Interrupted.\n"


def test_process_that_is_interrupted_while_it_imports_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Signals, "install", lambda _: None)
    monkeypatch.setattr(importlib, "import_module", interrupt)
    with pytest.raises(SystemExit) as ended_with:
        runpy.run_module("eventstore", run_name="__main__")
    assert ended_with.value.code == INTERRUPTED
    assert capsys.readouterr().err == "Interrupted.\n"


def test_prices_that_are_nested_too_deep_are_refused(tmp_path: Path) -> None:
    prices = tmp_path / "prices.json"
    prices.write_text("[" * 100_000)
    arguments = ["eventstore.plan", "--events-per-second", "1", "--prices", str(prices)]
    done = ended(*arguments, stdout=subprocess.DEVNULL)
    assert done.returncode == TROUBLE
    assert done.stderr.startswith("python -m eventstore.plan: error: --prices: ")


@pytest.mark.parametrize("variable", ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_DYNAMODB"])
@pytest.mark.parametrize("port", ["abc", "99999", "0"])
def test_endpoint_with_a_port_that_is_none_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], variable: str, port: str
) -> None:
    for name, value in {
        "REGION": "us-east-1",
        "ACCESS_KEY_ID": "local",
        "SECRET_ACCESS_KEY": "local",
    }.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    monkeypatch.setenv(variable, f"http://127.0.0.1:{port}")
    assert main(["verify", "--table", "t"]) == TROUBLE
    assert "Look at AWS_REGION, at AWS_ENDPOINT_URL" in capsys.readouterr().err


@pytest.mark.parametrize(
    "text", ["http://h:99999", "http://h:x", "http://h:0", "ftp://h", "http://", " http://h"]
)
def test_address_that_nothing_can_be_reached_at_is_none(text: str) -> None:
    assert not is_url(text)
    assert is_url("https://example.com:8443/path")
