"""How many write shards the time index needs: the one function that the planner and the CDK app share."""

from __future__ import annotations

from math import ceil, sqrt

from eventstore.limits import WRITE_UNIT_BYTES, WRITES_PER_SHARD_PER_SECOND


def write_units(*, item_kb: float) -> int:
    """Return the write units that one item of `item_kb` (KB of 1,024 bytes) takes: each begun KB is one."""
    return ceil(item_kb * 1_024 / WRITE_UNIT_BYTES)


def write_shards_for(
    *, events_per_second: float, average_item_kb: float, utilisation_percent: float = 100
) -> int:
    """Return how many write shards keep every shard at or below so much of what a partition can write.

    Args:
        events_per_second: at the peak, of all streams together.
        average_item_kb: an event's item with its attribute names, in KB of 1,024 bytes.
        utilisation_percent: how much of a partition's 1,000 write units a second a shard's *mean* load may
            take. 100 is the least number of shards there can be: ceil(events a second x ceil(KB) / 1,000).
            Chance alone then takes a shard over its limit in half of all seconds (ADR 13).
    """
    units_per_second = events_per_second * write_units(item_kb=average_item_kb)
    return max(1, ceil(units_per_second * 100 / (WRITES_PER_SHARD_PER_SECOND * utilisation_percent)))


def safe_utilisation_percent(*, average_item_kb: float, deviations: float) -> float:
    """Return up to what mean load chance keeps a shard below its limit, burst capacity left out.

    A shard that is drawn at random for each event gets a number of events that is Poisson distributed: its
    standard deviation is the root of its mean. With k units an event, a mean of m units a second has a
    deviation of sqrt(k x m), so m + z x sqrt(k x m) = 1,000 gives the highest m for z deviations.

    Args:
        deviations: z. 4.75 is about one second in a million above the limit, for one shard.
    """
    spread = deviations * sqrt(write_units(item_kb=average_item_kb))
    root = (sqrt(spread**2 + 4 * WRITES_PER_SHARD_PER_SECOND) - spread) / 2
    return 100 * root**2 / WRITES_PER_SHARD_PER_SECOND
