"""No page prints Python that no test runs."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[2]
RUN = {
    "README.md": 2,  # unit/test_distribution.py, infra/test_infra_documented_rule.py
    "docs/decisions.md": 6,  # unit/test_documented_decisions.py
    "docs/library.md": 3,  # unit/test_examples.py
    "docs/subscriptions.md": 8,  # contract/test_documented_subscriptions.py
}


def test_every_block_of_python_is_one_that_a_test_runs() -> None:
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
    printed = {
        page.relative_to(ROOT).as_posix(): page.read_text(encoding="utf-8").count("```python\n")
        for page in pages
    }
    assert {page: count for page, count in printed.items() if count} == RUN
