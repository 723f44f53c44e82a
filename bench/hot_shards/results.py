"""What docs/scale.md shows, worked out from one seed: the simulation, and the planner's ladder beside it."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any, Final

from bench.hot_shards.model import (
    BURST_S,
    UNITS_PER_SECOND,
    band,
    by_chance,
    by_stream,
    hottest,
    run,
    utilisation_percent_for,
)
from eventstore.limits import SHARD_UTILISATION_PERCENT
from eventstore.plan import Workload, plan_for, write_shards_for
from eventstore.plan.capacity import READ_UNIT_KB, events_read_for_a_page

SEED: Final = 20_261_124
PAGE_EVENTS: Final = 100
CHANCE: Final = 1e-6
"""Of a second in which any shard is over its limit: one in 11 days of an unbroken peak."""

_RATES: Final = (100, 300, 1_000, 3_000, 10_000, 30_000, 100_000, 300_000, 1_000_000)
_SHARDS: Final = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000)
_ZIPF: Final = 0.8


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How much is simulated."""

    rates: Sequence[int] = _RATES
    shards: Sequence[int] = _SHARDS
    seconds: int = 300
    streams: int = 100_000
    assignments: int = 20
    """Ways in which streams fall on shards, for the band by stream."""


def work_out(*, seed: int = SEED, size: Size | None = None) -> dict[str, Any]:
    """Work out everything that is plotted: the same seed and size give the same numbers."""
    size = size or Size()

    def rng(part: str) -> random.Random:
        return random.Random(f"{seed}/{part}")  # each part its own, so that one can change without the others

    return {
        "seed": seed,
        "seconds": size.seconds,
        "streams": size.streams,
        "zipf": _ZIPF,
        "throttled": _throttled(size, rng),
        "hottest": _hottest(size, rng),
        "headroom": _headroom(size),
        "sustained": _sustained(size, rng),
        "readers": _readers(size),
        "ladder": ladder_of(events_per_second=4_000),
        "steps": [
            {"events_per_second": rate, **steps_at(events_per_second=rate)}
            for rate in (1_000, 10_000, 100_000, 1_000_000)
        ],
    }


def _shards_at(rate: float, utilisation_percent: float) -> int:
    return write_shards_for(
        events_per_second=rate, average_item_kb=1, utilisation_percent=utilisation_percent
    )


def _throttled(size: Size, rng: Callable[[str], random.Random]) -> dict[str, list[dict[str, float]]]:
    found: dict[str, list[dict[str, float]]] = {}
    for scheme in ("single key", "by stream", "random, least shards", "random, with room"):
        rows = []
        for rate in size.rates:
            room = 100 if scheme == "random, least shards" else SHARD_UTILISATION_PERCENT
            shards = 1 if scheme == "single key" else _shards_at(rate, room)
            for burst_s in (0, BURST_S):
                chance = rng(f"throttled/{scheme}/{rate}/{burst_s}")
                shares = (
                    by_stream(shards, streams=size.streams, exponent=_ZIPF, rng=chance)
                    if scheme == "by stream"
                    else by_chance(shards)
                )
                outcome = run(
                    events_per_second=rate, shares=shares, seconds=size.seconds, rng=chance, burst_s=burst_s
                )
                rows.append(
                    {
                        "events_per_second": rate,
                        "shards": shards,
                        "burst_s": burst_s,
                        "throttled_share": outcome.throttled_share,
                        "throttled_seconds": outcome.throttled_seconds,
                    }
                )
        found[scheme] = rows
    return found


def _hottest(size: Size, rng: Callable[[str], random.Random]) -> list[dict[str, float]]:
    """The hottest shard's load at a mean of `SHARD_UTILISATION_PERCENT`, by chance and by stream."""
    rows = []
    for shards in size.shards:
        rate = shards * UNITS_PER_SECOND * SHARD_UTILISATION_PERCENT / 100
        chance = rng(f"hottest/{shards}")
        at_random = hottest(
            events_per_second=rate, shares=by_chance(shards), seconds=min(size.seconds, 100), rng=chance
        )
        of_streams = [
            max(by_stream(shards, streams=size.streams, exponent=_ZIPF, rng=chance)) * rate / UNITS_PER_SECOND
            for _ in range(size.assignments)
        ]
        rows.append(
            {"shards": shards}
            | dict(zip(("random_low", "random", "random_high"), band(at_random), strict=True))
            | dict(zip(("stream_low", "stream", "stream_high"), band(of_streams), strict=True))
        )
    return rows


def _headroom(size: Size) -> list[dict[str, float]]:
    """How full a shard may be on average so that `CHANCE` isn't passed, burst left out."""
    return [
        {
            "item_kb": item_kb,
            "shards": shards,
            "utilisation_percent": utilisation_percent_for(
                chance=CHANCE, units_per_event=item_kb, shards=shards
            ),
        }
        for item_kb in (1, 2, 4, 10)
        for shards in size.shards
    ]


def _sustained(size: Size, rng: Callable[[str], random.Random]) -> list[dict[str, float]]:
    """One shard under a steady load with retries and without burst: does what is refused catch up?"""
    rows = []
    for utilisation_percent in (80, 90, 95, 98, 100, 102):
        outcome = run(
            events_per_second=UNITS_PER_SECOND * utilisation_percent / 100,
            shares=[1.0],
            seconds=120 * size.seconds,
            rng=rng(f"sustained/{utilisation_percent}"),
            retry=True,
        )
        rows.append(
            {
                "utilisation_percent": utilisation_percent,
                "throttled_seconds": outcome.throttled_seconds,
                "worst_backlog_s": outcome.worst_backlog_s,
            }
        )
    return rows


def _readers(size: Size) -> list[dict[str, float]]:
    """What a page of all streams costs, and how fast a replay can be, by the number of shards."""
    rows = []
    for shards in size.shards:
        read = events_read_for_a_page(shards=shards, page_events=PAGE_EVENTS)
        units = shards * 0.5 * ceil(read / shards / READ_UNIT_KB)
        plan = plan_for(Workload(events_per_second=1, write_shards=shards))
        rows.append(
            {
                "shards": shards,
                "queries": shards,
                "events_read": read,
                "read_units": units,
                "replay_events_per_second": plan.capacity.replay_events_per_second.value,
            }
        )
    return rows


def ladder_of(*, events_per_second: float) -> list[dict[str, Any]]:
    """The planner's limits for a new store of events of 1 KB, planned for a rate: the first one first."""
    plan = plan_for(Workload(events_per_second=events_per_second))
    return [{"label": limit.label, "events_per_second": limit.events_per_second} for limit in plan.limits]


def steps_at(*, events_per_second: float) -> dict[str, Any]:
    """What has to be raised for a rate, in the order in which it gives way."""
    plan = plan_for(Workload(events_per_second=events_per_second))
    return {
        "shards": plan.capacity.write_shards.value,
        "exceeded": [
            {"name": limit.name, "label": limit.label, "events_per_second": limit.events_per_second}
            for limit in plan.exceeded
        ],
    }
