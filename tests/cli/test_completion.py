"""Completion by bash, zsh and fish: the script, and what a word can go on with."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from eventstore.cli.commands import names
from tests.cli.conftest import Run

ROOT = Path(__file__).parents[2]
BLOCKED = "import sys; sys.modules.update(dict.fromkeys(['rich', 'boto3', 'botocore']))\n"
MAIN = "from eventstore.cli.main import main; sys.exit(main())"


def completed(line: str) -> list[str]:
    """Return what bash is given for the last word of a command line, in a process without boto3 and rich."""
    asked = {
        "COMP_WORDS": line,
        "COMP_CWORD": str(len(line.split(" ")) - 1),
        "_EVENTSTORE_COMPLETE": "bash_complete",
    }
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", BLOCKED + MAIN],
        cwd=ROOT, env={**os.environ, **asked}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_script_of_each_shell_asks_this_command(run: Run, shell: str) -> None:
    code, out, err = run("completion", shell)

    assert (code, err) == (0, "")
    assert "eventstore" in out
    assert f"_EVENTSTORE_COMPLETE={shell}_complete" in out
    code, as_json, _ = run("completion", shell, "--json")
    assert (code, json.loads(as_json)["script"]) == (0, out.removesuffix("\n"))


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_script_is_one_that_its_shell_can_read(run: Run, shell: str) -> None:
    if not shutil.which(shell):
        pytest.skip(f"{shell} isn't installed here")
    _, script, _ = run("completion", shell)

    done = subprocess.run([shell, "-n"], input=script, capture_output=True, text=True, check=False)

    assert (done.returncode, done.stderr) == (0, "")


def test_shell_that_nobody_wrote_a_script_for_is_refused(run: Run) -> None:
    code, out, err = run("completion", "csh")

    assert (code, out) == (2, "")
    assert "'bash', 'zsh', 'fish'" in err


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("eventstore re", ["rebuild-log", "redrive", "republish", "restored"]),
        ("eventstore verify --st", ["--store"]),
        ("eventstore import f --compression zs", ["zstd"]),
        ("eventstore completion f", ["fish"]),
    ],
)
def test_prefix_is_completed_without_boto3_and_rich(line: str, words: list[str]) -> None:
    assert completed(line) == [f"plain,{word}" for word in words]


def test_every_command_is_among_what_an_empty_word_can_be() -> None:
    assert completed("eventstore ") == [f"plain,{name}" for name in sorted(names())]


def test_file_is_left_to_the_shell() -> None:
    assert completed("eventstore verify --output fi") == ["file,fi"]


def test_documented_line_makes_bash_complete_commands(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "operations.md").read_text()
    [block] = [block for block in re.findall(r"```sh\n(.*?)```", text, re.DOTALL) if "completion" in block]
    lines = dict(re.findall(r"^(.*eventstore completion (\w+).*?) *#", block, re.MULTILINE))
    assert [*lines.values()] == ["bash", "zsh", "fish"]
    program = tmp_path / "eventstore"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m eventstore "$@"\n')
    program.chmod(0o755)
    asks = "COMP_WORDS=(eventstore re) COMP_CWORD=1; _eventstore_completion eventstore; echo ${COMPREPLY[@]}"

    done = subprocess.run(
        ["bash", "-euc", f"{next(iter(lines))}\ncomplete -p eventstore\n{asks}"],
        cwd=ROOT, env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert (done.returncode, done.stderr) == (0, "")
    registered, words = done.stdout.splitlines()
    assert registered.endswith("-F _eventstore_completion eventstore")
    assert words.split() == ["rebuild-log", "redrive", "republish", "restored"]
