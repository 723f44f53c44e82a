"""What the library must reach, and whether it does: each target with its measure from the results."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import ceil
from typing import Any

from bench.ours import OURS, WITH_MSGSPEC
from bench.raw import RAW_NAME

Results = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Target:
    """A target: what is measured, its bound, what was measured."""

    what: str
    bound: str
    measured: str
    reached: bool


def at_most(what: str, value: float, bound: float, unit: str = "x") -> Target:
    """Make a target that's reached below a bound."""
    return Target(what, f"at most {bound:g}{unit}", f"{value:.2f}{unit}", value <= bound)


def at_least(what: str, value: float, bound: float, unit: str = "x") -> Target:
    """Make a target that's reached above a bound."""
    measured = f"{value:,.0f}{unit}" if value >= 100 else f"{value:.1f}{unit}"
    return Target(what, f"at least {bound:,g}{unit}", measured, value >= bound)


def targets(results: Results) -> list[Target]:
    """Hold the results against all targets."""
    return [*_appends(results), *_reads(results), *_processes(results), *_publisher(results)]


def _appends(results: Results) -> Iterator[Target]:
    cpu = results["append_cpu"]
    known, bare = (cpu[name]["candidates"][OURS]["ratio"] for name in ("append-1-head", "append-1-version"))
    yield at_most("append 1 event, known head: CPU to a bare put_item's", known, 1.10)
    yield at_most("append 1 event, bare version: CPU to a bare put_item's", bare, 2.2)
    exact = results["appends"][OURS]["append-1-head"]
    units = (exact["write_units"], exact["index_write_units"])
    yield Target(
        "append 1 event of 1 KB: units of table and index",
        "1 + 1",
        f"{units[0]:g} + {units[1]:g}",
        units == (1.0, 1.0),
    )


def _reads(results: Results) -> Iterator[Target]:
    reads = {
        **{
            f"load {int(name[5:]):,} events": told
            for name, told in results["loads"]["cpu"].items()
            if int(name[5:]) > 10
        },
        "read all, 1 KB, 10 shards": results["read_all_cpu"]["1 KB, 10 shards"],
    }
    for name, measured in reads.items():
        ratios = {candidate: told["ratio"] for candidate, told in measured["candidates"].items()}
        for candidate, reader in ((WITH_MSGSPEC, "as the read function does"), (OURS, "standard json")):
            what = f"{name}, {reader}: events per CPU second to `Table.query`'s"
            yield at_least(what, 1 / ratios[candidate], 4)
            what = f"{name}, {reader}: CPU to json.loads' on the same bytes"
            yield at_most(what, ratios[candidate] / ratios[RAW_NAME], 1.5)
    growth = speedups(results, OURS)
    yield Target(
        "read all: events a second grow with the shards until the CPU is full",
        "growing",
        ", ".join(f"{shards} shard{'s' * (shards > 1)} {ratio:.1f}x" for shards, ratio in growth.items()),
        list(growth.values()) == sorted(growth.values()),
    )
    merge = results["merge_share"]["candidates"]["merge alone"]["ratio"]
    yield Target("the merge's share of reading", "below 10 %", f"{merge:.1%}", merge < 0.1)


def _processes(results: Results) -> Iterator[Target]:
    few, many = sorted(int(count) for count in results["memory"] if count != "ratio")
    what = f"read all: peak memory of {many:,} events to {few:,}"
    yield at_most(what, results["memory"]["ratio"], 1.2)
    for function, bound in (("append", 1.25), ("read", 1.25), ("publish", 1.1)):
        measured = results["cold_imports"][function]
        what = f"start of the {function} function: CPU to importing {measured['base']}"
        yield at_most(what, measured["candidates"][function]["ratio"], bound)


def _publisher(results: Results) -> Iterator[Target]:
    told = results["publish"]
    per_second = 1e6 / told["candidates"][OURS]["median_us"]
    yield at_least("publisher: records per CPU second, network taken out", per_second, 5_000, "")
    calls, least = told["put_events_calls"][OURS], ceil(told["records"] / 10)
    yield Target(
        f"PutEvents calls for {told['records']:,} records", f"{least:,}", f"{calls:,}", calls == least
    )


def speedups(results: Results, name: str) -> dict[int, float]:
    """Return how many times as many events a second come at each number of shards."""
    candidates = results["throughput"][name]["candidates"]
    return {int(work.split(", ")[-1].split()[0]): 1 / told["ratio"] for work, told in candidates.items()}
