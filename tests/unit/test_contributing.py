"""What contributors are told, and what the repository's services do, agree with the repository."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "CONTRIBUTING.md").read_text()
KEPT = {".venv", ".local", "node_modules"}


def settings(name: str) -> Any:
    return yaml.safe_load((ROOT / ".github" / name).read_text())


def folders_with(pattern: str) -> set[str]:
    found = (path for path in ROOT.rglob(pattern) if not KEPT & set(path.relative_to(ROOT).parts))
    return {f"/{path.parent.relative_to(ROOT).as_posix()}".replace("/.", "/") for path in found}


def test_commands_for_contributors_are_targets_of_the_makefile() -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"\bmake ([a-z-]+)", TEXT))
    assert {"check", "test", "mutants", "soak"} <= targets
    assert targets <= set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))


def test_folders_that_contributors_are_told_of_are_there() -> None:
    told = {name.rstrip("/") for name in re.findall(r"`((?:tests|eventstore|docs)/[\w/]*)`", TEXT)}
    assert len(told) > 15
    assert {name for name in told if not (ROOT / name).is_dir()} == set()
    tests = {path.name for path in (ROOT / "tests").iterdir() if path.is_dir()}
    assert {f"tests/{name}" for name in tests - {"events", "golden", "mutants", "__pycache__"}} <= told


def test_ci_runs_what_a_submission_has_to_pass_on_every_python() -> None:
    jobs = settings("workflows/ci.yml")["jobs"]
    assert jobs["whole"]["steps"][-1] == {"run": ".ci/run"}
    commands = ["make check", "make check BOTO3=oldest", "make check BOTO3=newest"]
    assert [step.get("run") for step in jobs["pythons"]["steps"][-3:]] == commands
    assert (ROOT / ".ci" / "run").read_text().splitlines()[-2:] == commands[1:]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    named = re.findall(r"Python :: (3\.\d+)", "\n".join(project["classifiers"]))
    assert jobs["pythons"]["strategy"]["matrix"]["python"] == named


def test_check_with_a_boto3_runs_the_clients_tests_on_it() -> None:
    for boto3 in ("oldest", "pinned", "newest"):
        dry = subprocess.run(
            ["make", "--dry-run", "check", f"BOTO3={boto3}"],
            cwd=ROOT, capture_output=True, text=True, check=True,
        )  # fmt: skip
        *_, last = dry.stdout.splitlines()
        assert last.startswith(f"PYTHONPATH={ROOT}/.local/boto3/{boto3} .venv/bin/python -m pytest")
        tests = [Path(word) for word in last.split() if word.startswith("tests/")]
        assert {"test_client.py", "test_foreign_code.py"} <= {path.name for path in tests}
        assert all((ROOT / path).exists() for path in tests)
    other = subprocess.run(
        ["make", "--dry-run", "check", "BOTO3=1.40"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert "there are oldest, pinned and newest" in other.stderr


@pytest.mark.parametrize(("ecosystem", "pattern"), [("pip", "requirements*.txt"), ("npm", "package.json")])
def test_dependabot_looks_at_every_file_of_pins(ecosystem: str, pattern: str) -> None:
    [update] = [of for of in settings("dependabot.yml")["updates"] if of["package-ecosystem"] == ecosystem]
    assert set(update["directories"]) == folders_with(pattern)
