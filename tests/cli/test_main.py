"""`python -m eventstore` as a process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("arguments", "code"),
    [(["--help"], 0), (["verify", "--help"], 0), ([], 2), (["x"], 2), (["verify", "--x"], 2)],
)
def test_command_line_explains_itself(arguments: list[str], code: int) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "eventstore", *arguments],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert done.returncode == code
    assert "Usage: eventstore " in done.stdout + done.stderr


def test_options_that_stderr_can_not_tell_of_end_with_exit_code_2() -> None:
    """As in a process that was started without an output for errors."""
    code = "import sys; sys.stderr = None; from eventstore.cli.main import main; sys.exit(main(['x']))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=False)

    assert (done.returncode, done.stdout, done.stderr) == (2, b"", b"")
