"""The public surface: a change here is a change that users see."""

import importlib
import pkgutil
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import eventstore
from eventstore import errors

ROOT = Path(__file__).parents[2]
HOMES = {kind.__module__ for kind in vars(errors).values() if isinstance(kind, type)}


def test_public_names_are_pinned() -> None:
    assert set(eventstore.__all__) == {
        "ANY", "Append", "Appended", "Codec", "Decider", "EXISTS", "Event", "EventStore", "Head",
        "LogPosition", "NO_STREAM", "NewEvent", "Position", "Renamed", "Seen", "Store", "connect",
        "correlation", "decide_over", "execute", "parse_published",
    }  # fmt: skip


def drawn() -> dict[str, str]:
    """The tree of the docstring: each error and the one above it."""
    above: list[str] = []
    tree: dict[str, str] = {}
    for line in (errors.__doc__ or "").splitlines():
        if error := re.match(r"    ((?:[│├└─ ]{4})*)([A-Z]\w+)", line):
            depth = len(error[1]) // 4
            above[depth:] = [error[2]]
            tree[error[2]] = above[depth - 1] if depth else "PicklableError"
    return tree


def kinds_below(kind: type[Exception]) -> Iterator[type[Exception]]:
    for below in kind.__subclasses__():
        yield below
        yield from kinds_below(below)


def test_every_error_is_public_and_in_the_tree_that_the_docstring_draws() -> None:
    tree = {
        name: kind.__mro__[1].__name__
        for name, kind in vars(errors).items()
        if isinstance(kind, type) and issubclass(kind, errors.EventStoreError)
    }

    assert drawn() == tree
    assert set(tree) <= set(errors.__all__)


def test_no_module_but_those_of_the_errors_makes_an_error_of_its_own() -> None:
    for module in pkgutil.walk_packages(eventstore.__path__, "eventstore."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)

    homes = {kind.__module__ for kind in kinds_below(errors.EventStoreError)}
    others = {home for home in homes if home.startswith("eventstore.") and home not in HOMES}

    # What only an HTTP request can get wrong; and the adapter's own word for a StoreUnavailable.
    assert others == {"eventstore.http.errors", "eventstore.dynamodb.requests"}


def test_importing_the_library_imports_no_third_party() -> None:
    code = (
        "import sys, eventstore, eventstore.memory.store, eventstore.memory.log\n"
        "import eventstore.dynamodb.schema.events, eventstore.dynamodb.schema.log\n"
        "print({name.split('.')[0] for name in sys.modules} - sys.stdlib_module_names - {'__main__'})"
    )
    done = subprocess.run(
        [sys.executable, "-S", "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )

    assert done.stdout.strip() == "{'eventstore'}"


def test_what_is_imported_when_asked_for_is_there_and_other_names_are_not() -> None:
    assert eventstore.Decider.__module__ == "eventstore.decisions.decider"
    for name in eventstore.__all__:
        assert getattr(eventstore, name) is not None
    assert not hasattr(eventstore, "Manager")
