"""The model: partitions as token buckets, and ways to choose an event's shard. All chance comes from a seed.

What is modelled of DynamoDB, each as its documents have it:

- A partition takes 1,000 write units a second. What it didn't use it may keep for 300 s (burst capacity),
  which DynamoDB doesn't promise: so everything is run with and without it.
- An index that is throttled throttles the table's writes: a refused unit is a refused append.
- A partition of the index is never split for heat: its sort key, the Timestamp, only rises, so all new writes
  would go on to one side of any split.

What is not modelled: the queue between table and index (DynamoDB doesn't say how long it is), partitions that
hold several shards, and splits of the table for heat, which help against everything but one busy stream.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, floor, lgamma, log, sqrt
from statistics import quantiles
from typing import Final

from eventstore.limits import WRITES_PER_SHARD_PER_SECOND

UNITS_PER_SECOND: Final = WRITES_PER_SHARD_PER_SECOND
BURST_S: Final = 300
"""Seconds of unused capacity that a partition keeps (DynamoDB Developer Guide, 'Burst capacity')."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of the writes."""

    throttled_share: float
    """Of all units that were asked for."""
    throttled_seconds: float
    """Share of the seconds in which at least one unit was refused anywhere."""
    worst_backlog_s: float
    """With retries: the longest that a shard's queue ever was, as seconds of its capacity."""


def by_chance(shards: int) -> list[float]:
    """The shares of the shards when each event draws its own: equal."""
    return [1 / shards] * shards


def by_stream(shards: int, *, streams: int, exponent: float, rng: random.Random) -> list[float]:
    """The shares of the shards when each stream has its own, with streams that are Zipf distributed.

    Args:
        exponent: 0 for streams that are equally busy; the busiest is 2^exponent times as busy as the second.
    """
    shares = [0.0] * shards
    total = 0.0
    for place in range(1, streams + 1):
        weight = place**-exponent
        shares[rng.randrange(shards)] += weight
        total += weight
    return [share / total for share in shares]


def poisson(mean: float, rng: random.Random) -> int:
    """Draw a number of events, exactly: by multiplication, from 10 on by transformed rejection (PTRS)."""
    if mean < 10:
        least, product, drawn = exp(-mean), rng.random(), 0
        while product > least:
            product *= rng.random()
            drawn += 1
        return drawn
    b = 0.931 + 2.53 * sqrt(mean)
    a = -0.059 + 0.02483 * b
    inverse_alpha, v_r, log_mean = 1.1239 + 1.1328 / (b - 3.4), 0.9277 - 3.6224 / (b - 2), log(mean)
    while True:
        u, v = rng.random() - 0.5, 1 - rng.random()
        us = 0.5 - abs(u)
        drawn = floor((2 * a / us + b) * u + mean + 0.43) if us else -1
        if us >= 0.07 and v <= v_r:
            return drawn
        if drawn < 0 or (us < 0.013 and v > us):
            continue
        if log(v) + log(inverse_alpha) - log(a / (us * us) + b) <= (
            drawn * log_mean - mean - lgamma(drawn + 1)
        ):
            return drawn


def run(
    *,
    events_per_second: float,
    shares: Sequence[float],
    seconds: int,
    rng: random.Random,
    units_per_event: int = 1,
    burst_s: float = 0,
    retry: bool = False,
) -> Outcome:
    """Write at a steady mean rate, with the chance of independent writers, and count what is refused.

    Args:
        shares: each shard's share of the events.
        burst_s: seconds of unused capacity that a partition keeps; it begins with that much.
        retry: what is refused comes again in the next second, on top of what is new.
    """
    kept = burst_s * UNITS_PER_SECOND
    saved, waiting = [kept] * len(shares), [0.0] * len(shares)
    asked = refused = 0.0
    bad_seconds, longest = 0, 0.0
    for _ in range(seconds):
        bad = False
        for shard, share in enumerate(shares):
            new = poisson(events_per_second * share, rng) * units_per_event
            offered, room = new + waiting[shard], saved[shard] + UNITS_PER_SECOND
            served = min(offered, room)
            over = offered - served
            saved[shard] = min(room - served, kept)
            asked += new
            refused += over
            bad = bad or over > 0
            longest = max(longest, over)
            if retry:
                waiting[shard] = over
        bad_seconds += bad
    return Outcome(
        throttled_share=refused / asked if asked else 0.0,
        throttled_seconds=bad_seconds / seconds,
        worst_backlog_s=longest / UNITS_PER_SECOND if retry else 0.0,
    )


def hottest(
    *, events_per_second: float, shares: Sequence[float], seconds: int, rng: random.Random
) -> list[float]:
    """The load of the hottest shard, second by second, as a share of what a partition takes."""
    return [
        max(poisson(events_per_second * share, rng) for share in shares) / UNITS_PER_SECOND
        for _ in range(seconds)
    ]


def chance_of_throttling(*, mean_units: float, units_per_event: int, shards: int) -> float:
    """The probability that a second takes any of the shards over its limit, burst left out: at most.

    Exact for one shard (the tail of a Poisson distribution), and shards times that for several.
    """
    mean = mean_units / units_per_event
    most = UNITS_PER_SECOND // units_per_event
    tail, event = 0.0, most + 1
    while True:
        term = exp(event * log(mean) - mean - lgamma(event + 1))
        tail += term
        if term < tail * 1e-12 or event > most + 100_000:
            return min(1.0, shards * tail)
        event += 1


def utilisation_percent_for(*, chance: float, units_per_event: int, shards: int) -> float:
    """The highest mean load, in % of the limit, that keeps `chance_of_throttling` at or below a chance."""
    low, high = 0.001, float(UNITS_PER_SECOND)
    for _ in range(60):
        middle = (low + high) / 2
        found = chance_of_throttling(mean_units=middle, units_per_event=units_per_event, shards=shards)
        low, high = (middle, high) if found <= chance else (low, middle)
    return 100 * low / UNITS_PER_SECOND


def band(values: Sequence[float]) -> tuple[float, float, float]:
    """The 5th, 50th and 95th percentile."""
    cuts = quantiles(values, n=20, method="inclusive")
    return cuts[0], cuts[9], cuts[18]
