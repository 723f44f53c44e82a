"""Change the code in small ways, one at a time, and see that a test notices: `make mutants`.

mutmut makes the changes and runs the tests that reach them (`tool.mutmut` in pyproject.toml). What lives
through all tests is either explained in explained.toml or a hole in the tests: then this exits with 1.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import tomllib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from tests.dynamodb_local import dynamodb_local

_MUTMUT = (sys.executable, "-m", "mutmut")
_EXPLAINED = Path(__file__).with_name("explained.toml")
_CLASS, _FUNCTION = re.compile(r"xǁ(\w+)ǁ(\w+)"), re.compile(r"x_(\w+)")


@dataclass(frozen=True, slots=True)
class Survivor:
    """A change that no test has noticed."""

    name: str
    """mutmut's: ``python -m mutmut show NAME`` shows it whole."""
    function: str
    was: str
    became: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Why a change may live; without `was` and `became`, why every change of the function may."""

    function: str
    why: str
    was: str | None = None
    became: str | None = None

    def fits(self, survivor: Survivor) -> bool:
        """Return whether this explains a survivor."""
        return (
            fnmatchcase(survivor.function, self.function)
            and self.was in {None, survivor.was}
            and self.became in {None, survivor.became}
        )


def function_of(name: str) -> str:
    """Turn mutmut's name of a mutant into that of its function, without the package.

    >>> function_of("eventstore._merge.x__share__mutmut_18")
    '_merge._share'
    >>> function_of("eventstore.delivery.publisher.xǁ_QueuesǁremovE__mutmut_2")
    'delivery.publisher._Queues.removE'
    """
    module, _, mangled = name.rpartition("__mutmut_")[0].removeprefix("eventstore.").rpartition(".")
    found = _CLASS.fullmatch(mangled)
    if found:
        return f"{module}.{found[1]}.{found[2]}"
    found = _FUNCTION.fullmatch(mangled)
    return f"{module}.{found[1] if found else mangled}"


def changed(diff: str) -> tuple[str, str]:
    """Take the lines that a diff takes away and those that it adds, each as one line of text."""
    lines = [line for line in diff.splitlines() if not line.startswith(("---", "+++"))]
    was, became = ([line[1:].strip() for line in lines if line.startswith(sign)] for sign in "-+")
    return " ".join(was), " ".join(became)


def survivors(results: str) -> Iterator[Survivor]:
    """Look at each mutant that `mutmut results` lists as one that no test has noticed."""
    for line in results.splitlines():
        name, _, status = line.strip().rpartition(": ")
        if status in {"survived", "no tests", "suspicious"}:
            yield Survivor(name, function_of(name), *changed(_output("show", name)))


def _output(*arguments: str) -> str:
    return subprocess.run([*_MUTMUT, *arguments], capture_output=True, text=True, check=True).stdout


def explanations() -> list[Explanation]:
    """Read the list of the changes that may live."""
    return [Explanation(**entry) for entry in tomllib.loads(_EXPLAINED.read_text("utf-8"))["explained"]]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run mutmut and compare what lives with the list."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("only", nargs="*", help="names of mutants, such as 'eventstore._merge*'")
    parser.add_argument("--processes", type=int, default=os.cpu_count(), help="how many run side by side")
    options = parser.parse_args(arguments)
    with (
        tempfile.TemporaryDirectory() as folder,
        dynamodb_local(Path(folder) / "dynamodb.log", for_long=True) as endpoint,
    ):
        run = [*_MUTMUT, "run", "--max-children", str(options.processes), *options.only]
        ended = subprocess.run(run, env={**os.environ, "DYNAMODB_ENDPOINT": endpoint}, check=False)
        if ended.returncode:
            return ended.returncode
    results = subprocess.run(
        [*_MUTMUT, "results", "--all", "true"], capture_output=True, text=True, check=True
    )
    counts = Counter(line.rpartition(": ")[2] for line in results.splitlines() if ": " in line)
    known, left = explanations(), []
    for survivor in survivors(results):
        if not any(explanation.fits(survivor) for explanation in known):
            left.append(survivor)
            print(f"{survivor.name}\n  - {survivor.was}\n  + {survivor.became}")
    print(", ".join(f"{count} {status}" for status, count in sorted(counts.items())))
    print(f"{len(left)} of them neither noticed nor explained in {_EXPLAINED.name}")
    return 1 if left else 0


if __name__ == "__main__":
    sys.exit(main())
