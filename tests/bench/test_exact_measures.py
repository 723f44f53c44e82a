"""What this library asks of DynamoDB and EventBridge, held against bench/expected.json.

A change that costs a request, a capacity unit or a call more fails here; one that is meant changes the file,
in the same commit. Times and ratios are in bench/results.json and fail nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench.candidates import Conflict
from bench.index_pages import IndexPages
from bench.meter import Meter, metered
from bench.ours import OURS, Ours, open_ours
from bench.payloads import ITEM_SIZES, KB_BYTES, payload
from bench.sizes import TINY
from bench.wire import Wire
from bench.workloads.appends import exact_appends
from bench.workloads.loads import loads
from bench.workloads.publish import publish

_BENCH = Path(__file__).parents[2] / "bench"
EXPECTED: dict[str, Any] = json.loads((_BENCH / "expected.json").read_text())


@pytest.fixture
def meter(dynamodb_endpoint: str) -> Iterator[Meter]:
    with metered(dynamodb_endpoint) as meter:
        yield meter


def _held(seen: dict[str, Any]) -> dict[str, Any]:
    """Leave out what isn't exact to the byte: the headers' lengths."""
    return {name: value for name, value in seen.items() if not name.startswith("bytes_")}


def test_appends_and_loads_cost_what_is_expected(meter: Meter) -> None:
    told = exact_appends([open_ours], meter)[OURS]
    told |= loads([], meter, replace(TINY, loads=(10, 1_000)))["exact"][OURS]

    assert {workload: _held(seen) for workload, seen in told.items()} == EXPECTED["appends and loads"]


def test_a_conflict_costs_what_is_expected(meter: Meter) -> None:
    with open_ours(meter.endpoint) as ours:
        ours.append("order-1", [payload(KB_BYTES)], after=0)
        meter.reset()
        with pytest.raises(Conflict):
            ours.append("order-1", [payload(KB_BYTES)], after=0)
        seen = _held(meter.usage.as_json())

    assert seen == EXPECTED["conflict"]


@pytest.mark.parametrize("shards", [1, 5, 10])
def test_reading_all_costs_what_is_expected(shards: int) -> None:
    pages = IndexPages(20_000, shards, ITEM_SIZES["1 KB"])
    ours = Ours("http://127.0.0.1:9", "events", shards=shards)
    Wire(ours.client).serve(pages.serve, shards=shards)

    assert ours.read_all() == 20_000
    seen = {"requests": len(pages.read_units), "read_units": sum(pages.read_units)}
    assert seen == EXPECTED["read all of 20,000 events of 1 KB"][str(shards)]


def test_publishing_makes_the_expected_calls() -> None:
    told = publish(replace(TINY, publish_records=1_000))

    assert told["put_events_calls"][OURS] == EXPECTED["PutEvents calls for 1,000 records"]


def test_pages_made_by_rule_cost_what_the_engine_says(meter: Meter) -> None:
    with open_ours(meter.endpoint) as ours:
        ours.seed("order-0000000", payload(KB_BYTES), count=2_500)
        meter.reset()
        assert ours.read_all() == 2_500
    made = IndexPages(2_500, 1, KB_BYTES)
    on_made = Ours("http://127.0.0.1:9", "events")
    Wire(on_made.client).serve(made.serve)
    on_made.read_all()

    assert len(made.read_units) == meter.usage.requests["Query"]
    # The EventIds of one stream have more digits than those of many.
    assert sum(made.read_units) == pytest.approx(meter.usage.read_units, rel=0.005)


def test_write_units_by_rule_are_those_of_the_engine(meter: Meter) -> None:
    """Transactions are counted by rule; the engine's count of single writes shows that the rule is right."""
    with open_ours(meter.endpoint) as ours:
        for size in (64, *range(855, 875), 10_100):
            for name in ("once.", "twice"):  # behind another event, which the next one tells of
                ours.append(f"order-{size}-{name}", [payload(size)], after=0)
            meter.reset()
            ours.append(f"order-{size}-once.", [payload(size)], after=1)
            engine = (meter.usage.write_units, meter.usage.index_write_units)
            meter.reset()
            ours.append(f"order-{size}-twice", [payload(size)] * 2, after=1)
            by_rule = (meter.usage.write_units, meter.usage.index_write_units)

            assert by_rule == (4 * engine[0], 2 * engine[1])


def test_the_published_results_are_those_of_the_expected_measures() -> None:
    results = json.loads((_BENCH / "results.json").read_text())
    published = results["appends"][OURS] | results["loads"]["exact"][OURS]

    for workload, expected in EXPECTED["appends and loads"].items():
        assert _held(published[workload]) == expected
    calls = results["publish"]["put_events_calls"][OURS]
    assert calls == EXPECTED["PutEvents calls for 1,000 records"] * results["publish"]["records"] / 1_000
