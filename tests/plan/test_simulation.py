"""The simulation of hot shards: the same seed gives the same result, and it can fail."""

from __future__ import annotations

import json
import random
import re
from math import expm1
from pathlib import Path
from statistics import fmean, pvariance

import pytest

from bench import log_writers
from bench.hot_shards.model import (
    by_chance,
    by_stream,
    chance_of_throttling,
    hottest,
    poisson,
    run,
    utilisation_percent_for,
)
from bench.hot_shards.results import Size, steps_at, work_out
from eventstore.plan import safe_utilisation_percent

TINY = Size(rates=(100, 3_000), shards=(1, 3), seconds=3, streams=50, assignments=3)
DOCS = Path(__file__).parents[2] / "docs"


def test_same_seed_gives_the_same_result_and_another_one_does_not() -> None:
    assert work_out(seed=7, size=TINY) == work_out(seed=7, size=TINY)
    assert work_out(seed=7, size=TINY)["hottest"] != work_out(seed=8, size=TINY)["hottest"]


@pytest.mark.parametrize("mean", [0.5, 9.5, 10.5, 80, 1_000])
def test_events_are_poisson_distributed(mean: float) -> None:
    rng = random.Random(1)
    drawn = [poisson(mean, rng) for _ in range(20_000)]
    deviation = (mean / len(drawn)) ** 0.5
    assert abs(fmean(drawn) - mean) < 4 * deviation
    assert pvariance(drawn) == pytest.approx(mean, rel=0.05)


def test_a_single_key_takes_1_000_a_second_and_no_more() -> None:
    """Twice as much: half of it is refused. Half as much: nothing."""
    twice, half = (
        run(events_per_second=rate, shares=[1.0], seconds=50, rng=random.Random(1)) for rate in (2_000, 500)
    )
    assert twice.throttled_share == pytest.approx(0.5, abs=0.01)
    assert twice.throttled_seconds == 1
    assert (half.throttled_share, half.throttled_seconds) == (0, 0)


def test_at_exactly_the_limit_every_other_second_is_throttled() -> None:
    """The mean of what is over is sqrt(1,000 / 2 pi) = 12.6 units a second: 1.26 %."""
    full = run(events_per_second=1_000, shares=[1.0], seconds=4_000, rng=random.Random(1))
    assert full.throttled_seconds == pytest.approx(0.5, abs=0.03)
    assert full.throttled_share == pytest.approx(0.0126, abs=0.001)


def test_random_shards_with_room_are_never_throttled_and_without_always() -> None:
    with_room, without = (
        run(events_per_second=20_000, shares=by_chance(shards), seconds=100, rng=random.Random(1))
        for shards in (25, 20)
    )
    assert with_room.throttled_share == 0
    assert without.throttled_seconds > 0.99


def test_shards_by_stream_are_hotter_than_random_ones() -> None:
    rng = random.Random(1)
    shares = by_stream(20, streams=2_000, exponent=0.8, rng=rng)
    assert sum(shares) == pytest.approx(1)
    assert max(shares) > 1.5 / 20
    hot, even = (
        fmean(hottest(events_per_second=10_000, shares=of, seconds=20, rng=rng))
        for of in (shares, by_chance(20))
    )
    assert hot > 1.3 * even


def test_burst_capacity_lends_what_was_saved_and_then_no_more() -> None:
    """300 s saved are 300,000 units: 2,000 a second use them up in 300 s."""
    early, late = (
        run(events_per_second=2_000, shares=[1.0], seconds=seconds, rng=random.Random(1), burst_s=300)
        for seconds in (290, 600)
    )
    assert early.throttled_share == 0
    assert late.throttled_share == pytest.approx(0.25, abs=0.01)


def test_larger_events_take_more_units() -> None:
    outcome = run(events_per_second=500, shares=[1.0], seconds=50, rng=random.Random(1), units_per_event=4)
    assert outcome.throttled_share == pytest.approx(0.5, abs=0.02)


def test_retries_catch_up_below_the_limit_and_never_above() -> None:
    below, above = (
        run(events_per_second=rate, shares=[1.0], seconds=1_000, rng=random.Random(1), retry=True)
        for rate in (950, 1_050)
    )
    assert below.worst_backlog_s < 0.2
    assert above.worst_backlog_s == pytest.approx(50, rel=0.1)


def test_chance_of_throttling_is_the_tail_of_a_poisson_distribution() -> None:
    """P(Poisson(860) > 1,000) = 1.43e-6, from the normal's tail beyond 4.75 deviations: 1.02e-6, skewed."""
    one = chance_of_throttling(mean_units=860, units_per_event=1, shards=1)
    assert one == pytest.approx(1.5e-6, rel=0.2)
    assert chance_of_throttling(mean_units=860, units_per_event=1, shards=10) == pytest.approx(10 * one)
    assert chance_of_throttling(mean_units=1_000, units_per_event=1, shards=1) == pytest.approx(
        0.49, abs=0.01
    )


@pytest.mark.parametrize("item_kb", [1, 2, 4, 10])
def test_exact_room_is_near_the_planners_rule(item_kb: int) -> None:
    exact = utilisation_percent_for(chance=1e-6, units_per_event=item_kb, shards=1)
    assert exact == pytest.approx(safe_utilisation_percent(average_item_kb=item_kb, deviations=4.75), abs=2.5)


def test_documents_show_the_committed_results() -> None:
    """docs/scale/results.json is of this code: what needs no chance is worked out again."""
    committed = json.loads((DOCS / "scale" / "results.json").read_text("utf-8"))
    again = work_out(size=TINY)
    for part in ("seed", "ladder", "steps"):
        assert committed[part] == json.loads(json.dumps(again[part]), parse_float=_six_digits), part


def test_documents_name_the_rates_that_the_planner_works_out() -> None:
    ladder = (DOCS / "scale.md").read_text("utf-8").partition("## The log's writers meet")[0]
    rows = re.findall(r"^\| ([\d,]+)(?: events/s)? \| (.+) \|$", ladder, re.MULTILINE)
    assert [rate for rate, _ in rows] == ["1,000", "10,000", "100,000", "1,000,000"]
    seen: set[str] = set()
    for rate, what in rows:
        exceeded = steps_at(events_per_second=float(rate.replace(",", "")))["exceeded"]
        all_met = {f"{round(limit['events_per_second']):,}" for limit in exceeded}
        named = {
            number
            for group in re.findall(r"\(([^)]+)\)", what)
            for number in re.findall(r"\d[\d,]*\d", group)
        }
        seen |= named
        assert named <= all_met, rate
        assert all_met <= seen, rate


def _six_digits(text: str) -> float:
    return float(f"{float(text):.6g}")


def test_writers_of_the_log_meet_as_often_as_the_planner_says() -> None:
    for writers, window_s in ((20, 1.0), (80, 1.0), (80, 4.0)):
        met = log_writers.run(writers=writers, window_s=window_s)
        planned = expm1(met.batches_per_second * log_writers.PUT_S)
        assert met.refused_per_block == pytest.approx(planned, abs=0.16)


def test_many_writers_of_the_log_reach_at_least_what_the_planner_counts_on() -> None:
    alone = 1 / log_writers.PUT_S
    for writers in (40, 80, 200):
        met = log_writers.run(writers=writers, window_s=0)
        assert met.batches_per_second >= 0.7 * alone
