"""mypy reads only those modules of the CDK that pyproject.toml names: all that infra/ imports are there."""

from __future__ import annotations

import ast
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = [ROOT / "app.py", *sorted((ROOT / "infra").rglob("*.py"))]


def followed() -> set[str]:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    return {
        name
        for override in settings["tool"]["mypy"]["overrides"]
        if override.get("follow_imports") == "normal"
        for name in override["module"]
    }


def imported(source: str) -> set[str]:
    """Name what a module imports of the CDK; a capital letter begins a class of it, no module."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module is not None:
            names |= {node.module, *(f"{node.module}.{of.name}" for of in node.names if of.name.islower())}
        elif isinstance(node, ast.Import):
            names |= {of.name for of in node.names}
    return {name for name in names if name.partition(".")[0] == "aws_cdk"}


def test_mypy_follows_every_module_of_the_cdk_that_infra_imports() -> None:
    found = set().union(*(imported(source.read_text("utf-8")) for source in SOURCES))
    assert {"aws_cdk", "aws_cdk.aws_lambda"} <= found <= followed()


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("from aws_cdk import Duration", {"aws_cdk"}),
        ("from aws_cdk import aws_s3 as s3", {"aws_cdk", "aws_cdk.aws_s3"}),
        ("from aws_cdk.aws_s3 import Bucket", {"aws_cdk.aws_s3"}),
        ("import aws_cdk.aws_s3", {"aws_cdk.aws_s3"}),
        ("import json", set()),
    ],
)
def test_import_of_the_cdk_is_found_however_it_is_written(source: str, names: set[str]) -> None:
    assert imported(source) == names
