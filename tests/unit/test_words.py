"""Words that stand nowhere, neither in prose nor in names: the field has a plainer one."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[2]
FOLDERS: Final = ("bench", "docs", "eventstore", "examples", "infra", "lambdas", "localcloud", "tests")
FILES: Final = (
    *("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"),
    *("Makefile", "pyproject.toml", "cdk.json", "app.py"),
)
KINDS: Final = frozenset({".json", ".md", ".py", ".sh", ".toml"})
# With a capital it begins a word, or one in the middle of a name.
INSTEAD: Final = {
    r"(?<![A-Za-z])mend|Mend": "repair, or fix",
    r"\bbesides\b": "also, or beyond",
    r"(?<!there )(?<!There )\bis none\b": "isn't one, is missing, is invalid",
    r"asked for so\b": "invalid",
    r"\bsees? it rest\b": "stays the same",
    r"Again is harmless": "Repeating ... is harmless",
    r'"""(Tell|Say) (whether|the|how|when|which|what|where|why|a|an)\b': "Return",
}


def texts() -> Iterator[tuple[Path, str]]:
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*")):
            is_foreign = "node_modules" in path.parts or path == Path(__file__)
            if path.is_file() and path.suffix in KINDS and not is_foreign:
                yield path.relative_to(ROOT), path.read_text()
    for name in FILES:
        path = ROOT / name
        if path.exists():
            yield path.relative_to(ROOT), path.read_text()


@pytest.mark.parametrize("word", INSTEAD)
def test_word_that_has_a_plainer_one_stands_nowhere(word: str) -> None:
    found = [
        f"{path}:{number}: {line.strip()[:80]} (write {INSTEAD[word]})"
        for path, text in texts()
        for number, line in enumerate(text.splitlines(), start=1)
        if re.search(word, line)
    ]

    assert not found, "\n".join(found)


def test_names_of_tests_have_at_most_72_characters() -> None:
    found = [
        f"{path}: {name}"
        for path, text in texts()
        if path.suffix == ".py"
        for name in re.findall(r"^\s*def (test_\w+)", text, re.MULTILINE)
        if len(name) > 72
    ]

    assert not found, "\n".join(found)
