"""`python -m eventstore` as a process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("arguments", "code"), [(["--help"], 0), (["verify", "--help"], 0), ([], 2), (["x"], 2)]
)
def test_command_line_explains_itself(arguments: list[str], code: int) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "eventstore", *arguments],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert done.returncode == code
    assert "usage: python -m eventstore" in done.stdout + done.stderr
