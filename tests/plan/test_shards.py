"""How many shards: by hand, and the same for every caller."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventstore.plan import safe_utilisation_percent, write_shards_for

RATES = st.floats(min_value=0.1, max_value=1_000_000)
SIZES = st.floats(min_value=0.01, max_value=400)


@pytest.mark.parametrize(
    ("events_per_second", "average_item_kb", "shards"),
    [
        (1, 1, 1),
        (1_000, 1, 1),
        (1_001, 1, 2),
        (1_000, 1.1, 2),
        (5_000, 1.2, 10),
        (5_000, 2.5, 15),
        (1, 0.2, 1),
        (999, 400, 400),
        (1_000_000, 1, 1_000),
    ],
)
def test_least_shards_are_the_formula_of_the_design(
    events_per_second: int, average_item_kb: float, shards: int
) -> None:
    assert write_shards_for(events_per_second=events_per_second, average_item_kb=average_item_kb) == shards


@pytest.mark.parametrize(
    ("events_per_second", "utilisation_percent", "shards"),
    [(4_000, 80, 5), (2_000, 80, 3), (800, 80, 1), (801, 80, 2), (700, 70, 1), (1_000, 50, 2), (1, 1, 1)],
)
def test_room_is_left_in_every_shard(events_per_second: int, utilisation_percent: float, shards: int) -> None:
    found = write_shards_for(
        events_per_second=events_per_second, average_item_kb=1, utilisation_percent=utilisation_percent
    )
    assert found == shards


@given(RATES, RATES, SIZES, SIZES)
def test_more_or_larger_events_never_need_fewer_shards(a: float, b: float, size: float, other: float) -> None:
    (less, more), (small, large) = sorted((a, b)), sorted((size, other))
    assert write_shards_for(events_per_second=less, average_item_kb=small) <= write_shards_for(
        events_per_second=more, average_item_kb=large
    )


@given(RATES, SIZES, st.floats(min_value=1, max_value=100))
def test_no_shard_is_fuller_than_asked_for(rate: float, size: float, percent: float) -> None:
    shards = write_shards_for(events_per_second=rate, average_item_kb=size, utilisation_percent=percent)
    units = rate * -(-size // 1)
    assert units / shards <= 10 * percent * (1 + 1e-9)


def test_room_for_chance_follows_the_root_of_the_load() -> None:
    """m + 4.75 x sqrt(m) = 1,000 has m = 860.65; with 4 units an event m + 4.75 x sqrt(4 m) has 741.3."""
    assert safe_utilisation_percent(average_item_kb=1, deviations=4.75) == pytest.approx(86.065, abs=0.001)
    assert safe_utilisation_percent(average_item_kb=4, deviations=4.75) == pytest.approx(74.134, abs=0.001)
    assert safe_utilisation_percent(average_item_kb=4, deviations=0) == 100
