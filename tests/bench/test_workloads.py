"""Each measure of the benchmark runs, tiny, with this library and the floor; `make bench` has the peers."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache
from typing import Any

import pytest

from bench.__main__ import ALONE, measures
from bench.floor import Floor
from bench.ours import OURS
from bench.payloads import payload
from bench.sizes import TINY

NAMES = [
    "appends",
    "loads",
    "exact_read_all",
    "probes",
    "append_cpu",
    "read_all_cpu",
    "throughput",
    "merge_share",
    "publish",
    "cold_imports",
    "memory",
    "contended",
    "compression",
    "speed",
]


Seen = Callable[[str], Any]


@pytest.fixture(scope="module")
def seen(dynamodb_endpoint: str) -> Iterator[Seen]:
    """Run a measure by its name, each once for all tests."""
    with ExitStack() as stack:
        # A measure collects garbage before each turn: not through what all the other tests have left.
        gc.freeze()
        stack.callback(gc.unfreeze)
        works = measures(dynamodb_endpoint, ALONE, (), TINY, stack)
        assert list(works) == NAMES
        yield cache(lambda name: works[name]())


@pytest.mark.parametrize("name", NAMES)
def test_measure_runs_and_tells_of_this_library(seen: Seen, name: str) -> None:
    numbers = _numbers(seen(name))

    assert numbers
    assert all(number >= 0 for number in numbers)


def test_probes_find_this_library_right_and_the_floor_wanting(seen: Seen) -> None:
    assert all(probe["right"] for probe in seen("probes")[OURS].values())
    assert not seen("probes")[Floor.name]["gap"]["right"]


def test_contended_appends_lose_nothing(seen: Seen) -> None:
    assert [candidate["lost"] for candidate in seen("contended").values()] == [0, 0]


@pytest.mark.parametrize("size_bytes", [64, 70, 200, 870, 10_100])
def test_payload_has_exactly_its_size(size_bytes: int) -> None:
    assert len(payload(size_bytes).encode()) == size_bytes
    assert payload(size_bytes) == payload(size_bytes)


def _numbers(told: Any) -> list[float]:
    if isinstance(told, dict):
        return [number for value in told.values() for number in _numbers(value)]
    return [told] if isinstance(told, int | float) else []
