"""What contributors are told, and what the repository's services do, agree with the repository."""

from __future__ import annotations

import re
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
    assert jobs["pythons"]["steps"][-2:] == [{"run": "make check"}, {"run": "make boto3"}]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    named = re.findall(r"Python :: (3\.\d+)", "\n".join(project["classifiers"]))
    assert jobs["pythons"]["strategy"]["matrix"]["python"] == named


@pytest.mark.parametrize(("ecosystem", "pattern"), [("pip", "requirements*.txt"), ("npm", "package.json")])
def test_dependabot_looks_at_every_file_of_pins(ecosystem: str, pattern: str) -> None:
    [update] = [of for of in settings("dependabot.yml")["updates"] if of["package-ecosystem"] == ecosystem]
    assert set(update["directories"]) == folders_with(pattern)
