"""The lists of what `make run` installs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from localcloud.processes import ROOT

LISTS = sorted(
    path
    for folder in (ROOT, ROOT / "localcloud", ROOT / "lambdas", ROOT / "tests", ROOT / "tests" / "mutants")
    for path in folder.glob("requirements*.txt")
)


@pytest.mark.parametrize("path", LISTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_list_of_requirements_includes_only_lists_that_exist(path: Path) -> None:
    included = re.findall(r"^-r (.+)$", path.read_text(), re.MULTILINE)
    assert [name for name in included if not (path.parent / name).is_file()] == []
