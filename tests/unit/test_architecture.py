"""What the documents say about folders, files and packages is so."""

from __future__ import annotations

import re
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).parents[2]
TEXTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
PATH = re.compile(r"`((?:bench|docs|eventstore|examples|infra|lambdas|localcloud|tests)/[\w./]*\w/?)`")
ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("text", TEXTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_files_and_folders_that_a_document_names_are_there(text: Path) -> None:
    named = set(PATH.findall(text.read_text(encoding="utf-8")))
    assert {name for name in named if not (ROOT / name).exists()} == set()


@pytest.mark.parametrize("text", TEXTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_of_a_document_lead_to_files_and_headings(text: Path) -> None:
    lost = set()
    for link in re.findall(r"\]\(([^)\s]+)\)", text.read_text(encoding="utf-8")):
        name, _, heading = link.partition("#")
        target = text.parent / name if name else text
        if "://" not in link and (not target.exists() or (heading and heading not in headings(target))):
            lost.add(link)
    assert lost == set()


def headings(path: Path) -> set[str]:
    """The headings of a page, as links name them."""
    found = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in found}


def test_every_package_of_the_library_has_its_row() -> None:
    packages = {path.parent.name for path in (ROOT / "eventstore").glob("*/__init__.py")}
    assert packages - {"errors"} == set(re.findall(r"^\| `eventstore/(\w+)/` \|", ARCHITECTURE, re.MULTILINE))


def test_arrows_of_the_floor_plan_are_imports() -> None:
    graph = grimp.build_graph("eventstore")
    packages = {path.parent.name for path in (ROOT / "eventstore").glob("*/__init__.py")}
    plan = ARCHITECTURE.partition("## Floor plan")[2].partition("```mermaid")[2].partition("```")[0]
    arrows = {
        (source, target)
        for source, targets in re.findall(r"^\s*(\w+)(?:\[[^]]*\])? --> (.+)$", plan, re.MULTILINE)
        for target in re.findall(r"(\w+)(?:\[[^]]*\])?(?: & |$)", targets)
        if {source, target} <= packages
    }
    assert len(arrows) > 15
    assert {
        (source, target)
        for source, target in arrows
        if not graph.direct_import_exists(
            importer=f"eventstore.{source}", imported=f"eventstore.{target}", as_packages=True
        )
    } == set()
