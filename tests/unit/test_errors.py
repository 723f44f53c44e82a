"""Every error of the project can be pickled and copied, with its text and its data."""

from __future__ import annotations

import copy
import importlib
import inspect
import multiprocessing
import pickle
import pkgutil
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import pytest

import eventstore
import infra
import settings as functions_settings
from eventstore import NewEvent
from eventstore._checks import check_transaction
from eventstore.errors import BadLine, EventStoreError, InvalidJson, StoreUnavailable, TooManyEvents
from eventstore.store import Append

SAMPLES: Final[dict[str, Any]] = {
    "Any": {"there": [1, None]},
    "Mapping[str, int]": {"01890a5d-ac96-774b-bcce-b302099a8057": 3},
    "Path": Path("events.ndjson.gz"),
    "Sequence[BadLine]": [BadLine(3, "no JSON"), BadLine(9, "no name")],
    "Sequence[str]": ["GET", "POST"],
    "datetime | None": datetime(2026, 1, 31, 9, 30, tzinfo=UTC),
    "datetime": datetime(2026, 1, 31, 9, 30, tzinfo=UTC),
    "float": 1.5,
    "int": 7,
    "int | None": None,
    "int | str": "exists",
    "bool": False,
    "list[dict[str, Any] | None]": [{"EventId": {"N": "1"}}, None],
    "object": ("a message", 1),
    "str | None": None,
    "str": "é 'quoted' %s {}",
    "tuple[str, ...]": ("one", "two"),
}
"""A value for each annotation of an error's argument; a new kind of argument needs one more."""


def modules(package: ModuleType) -> Iterator[ModuleType]:
    yield package
    for found in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        if not found.name.endswith("__main__"):
            yield importlib.import_module(found.name)


def errors() -> list[type[BaseException]]:
    """Every class of errors that the project defines, whoever may see it."""
    return sorted(
        {
            value
            for module in (*modules(eventstore), *modules(infra), functions_settings)
            for value in vars(module).values()
            if isinstance(value, type)
            if issubclass(value, BaseException)
            if value.__module__ == module.__name__
        },
        key=lambda error: f"{error.__module__}.{error.__qualname__}",
    )


def made(kind: type[BaseException]) -> BaseException:
    """Make an error as its signature asks for."""
    if not inspect.isfunction(kind.__init__):  # as the language has it: any arguments
        return kind("what happened", 2)
    arguments, options = [], {}
    for name, parameter in list(inspect.signature(kind.__init__).parameters.items())[1:]:
        if parameter.kind is parameter.VAR_POSITIONAL:
            arguments += ["what happened", 2]
        elif parameter.kind is parameter.KEYWORD_ONLY:
            options[name] = SAMPLES[str(parameter.annotation)]
        else:
            arguments.append(SAMPLES[str(parameter.annotation)])
    return kind(*arguments, **options)


def assert_same(there: BaseException, error: BaseException) -> None:
    assert type(there) is type(error)
    assert (there.args, str(there), repr(there)) == (error.args, str(error), repr(error))
    assert vars(there) == vars(error)


COPIES: Final = {
    **{
        f"pickle {n}": lambda error, n=n: pickle.loads(pickle.dumps(error, n))
        for n in range(pickle.HIGHEST_PROTOCOL + 1)
    },
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
}


@pytest.mark.parametrize("kind", errors(), ids=lambda kind: f"{kind.__module__}.{kind.__qualname__}")
@pytest.mark.parametrize("how", COPIES)
def test_error_is_the_same_when_pickled_or_copied(kind: type[BaseException], how: str) -> None:
    error = made(kind)
    error.add_note("seen by the worker of tranche 3")
    assert_same(COPIES[how](error), error)


def test_walk_finds_the_whole_tree() -> None:
    def below(kind: type[BaseException]) -> set[type[BaseException]]:
        return {kind}.union(*(below(leaf) for leaf in kind.__subclasses__()))

    ours = {kind for kind in below(EventStoreError) if kind.__module__.startswith("eventstore.")}
    assert ours <= set(errors())
    assert len(ours) > 42


@pytest.mark.parametrize("how", COPIES)
def test_invalid_input_keeps_where_its_field_stands(how: str) -> None:
    error = InvalidJson("payload", "is not JSON").under("events[2]").under("appends[1]")
    there = COPIES[how](error)
    assert_same(there, error)
    assert there.field == "appends[1].events[2].payload"
    assert str(there.under("body")) == "body.appends[1].events[2].payload: is not JSON"
    assert str(error) == "appends[1].events[2].payload: is not JSON"


class OwnError(StoreUnavailable):
    """A user's own leaf, with an argument more, and slots."""

    __slots__ = ("_tries",)

    def __init__(self, tries: int, *, table: str) -> None:
        super().__init__(operation="Query", reason=table)
        self._tries = tries


@pytest.mark.parametrize("how", ["copy", "deepcopy"])
def test_a_users_own_leaf_of_the_tree_needs_nothing_of_its_own(how: str) -> None:
    error = OwnError(3, table="orders")
    there = COPIES[how](error)
    assert_same(there, error)
    assert there._tries == 3


def test_process_pool_outlives_an_error_of_the_store_and_hands_on_its_data() -> None:
    appends = [Append("s", (NewEvent.of("Happened"),) * 101, 0)]
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        with pytest.raises(TooManyEvents) as caught:
            pool.submit(check_transaction, appends).result()
        assert (caught.value.count, caught.value.limit) == (101, 100)
        assert pool.submit(abs, -1).result() == 1


@pytest.mark.parametrize("operation", ["Query", "query", "Scan", "GetItem", "batch_get_item", "BatchGetItem"])
def test_read_that_did_not_succeed_speaks_of_no_write(operation: str) -> None:
    text = str(StoreUnavailable(operation=operation, reason="throttled"))
    assert text == f"{operation} did not succeed: throttled. Try again"


@pytest.mark.parametrize("operation", ["PutItem", "transact_write_items", "append", "StartExecution"])
def test_write_that_did_not_succeed_says_how_to_repeat_it(operation: str) -> None:
    text = str(StoreUnavailable(operation=operation, reason="timed out"))
    assert "may have been done all the same: try again with the same uids and the same expectation" in text
