"""The report of `make mutants`: names and changes as the list of explanations writes them."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from tests.mutants.__main__ import Explanation, Survivor, changed, explanations, function_of

ROOT = Path(__file__).parents[2]
DIFF = """\
--- eventstore/_merge.py
+++ eventstore/_merge.py
@@ -1,5 +1,5 @@
 def _share(missing: int | None, active: int) -> int | None:
-    return share + 1
+    return share + 2
"""


@pytest.mark.parametrize(
    ("name", "function"),
    [
        ("eventstore._merge.x__share__mutmut_18", "_merge._share"),
        (
            "eventstore.delivery.publisher.xǁ_Queuesǁnext_call__mutmut_2",
            "delivery.publisher._Queues.next_call",
        ),
        ("eventstore.dynamodb.items.x_key_of__mutmut_1", "dynamodb.items.key_of"),
    ],
)
def test_function_of_a_mutant_is_named_as_in_the_code(name: str, function: str) -> None:
    assert function_of(name) == function


def test_change_is_the_line_before_and_the_line_after() -> None:
    assert changed(DIFF) == ("return share + 1", "return share + 2")


@pytest.mark.parametrize(
    ("explanation", "fits"),
    [
        (Explanation(function="_merge.*", why="y"), True),
        (Explanation(function="_merge._share", was="return share + 1", why="y"), True),
        (Explanation(function="_merge._share", was="return share + 1", became="return 2", why="y"), False),
        (Explanation(function="log.*", why="y"), False),
    ],
)
def test_explanation_fits_its_function_and_lines_only(explanation: Explanation, fits: bool) -> None:
    survivor = Survivor("name", "_merge._share", "return share + 1", "return share + 2")
    assert explanation.fits(survivor) is fits


def test_every_explanation_has_a_reason() -> None:
    assert all(explanation.why.strip() for explanation in explanations())


def test_files_that_are_changed_and_tests_that_notice_are_there() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["mutmut"]
    named = [*settings["only_mutate"], *settings["pytest_add_cli_args_test_selection"]]
    assert [name for name in named if not list(ROOT.glob(name))] == []
