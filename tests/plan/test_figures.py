"""Each figure of a plan against one that was worked out by hand."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eventstore import _merge as merge
from eventstore.errors import InvalidInput, InvalidLimit
from eventstore.plan import Assumptions, Plan, Prices, Quotas, Workload, plan_for, quotas_of
from eventstore.plan.capacity import events_read_for_a_page, log_refused, log_units_per_event
from eventstore.plan.report import in_short

ISSUE = Workload(events_per_second=5_000, item_kb=1.2, reads=2_000, peak_factor=4)


def value(plan: Plan, name: str) -> float:
    figure = getattr(plan.capacity, name)
    assert figure.name == name
    return float(figure.value)


def rate(plan: Plan, name: str) -> float:
    return next(limit.events_per_second for limit in plan.limits if limit.name == name)


def cost(plan: Plan, name: str) -> float:
    return next(figure.value for figure in plan.cost if figure.name == name)


# --- capacity ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "by_hand"),
    [
        ("least_shards", 10),  # 5,000 x 2 / 1,000
        ("write_shards", 13),  # / 80 %: 12.5
        ("table_write_units", 10_000),
        ("index_write_units", 10_000),
        ("table_read_units", 11_000),  # 2,000 x 3 + 5,000
        ("index_read_units", 0),
        ("stored_events", 39_420_000_000),  # 1,250 x 2,628,000 x 12
        ("stream_shards", 10),
        ("stream_shards_grown", 4_879),  # 39.42e9 x 1,328.8 bytes = 48,784 GB, 10 GB each
        ("publisher_batch_ms", 215),  # 5 + 1 x 10 + 10 x 20
        ("publisher_concurrency", 11),  # 50 batches a second x 0.215 = 10.75
        ("publisher_concurrency_max", 10),
        ("log_writer_batch_ms", 35),  # 5 + 1 x 10 + 4 x 5
        ("log_writer_concurrency", 2),  # 50 x 0.035 = 1.75
        ("put_events_calls", 500),
        ("api_requests", 7_000),
        ("api_concurrency", 140),  # 7,000 x 20 ms
    ],
)
def test_capacity_of_the_issues_example(name: str, by_hand: float) -> None:
    assert value(plan_for(ISSUE), name) == pytest.approx(by_hand)


def test_log_of_full_batches_costs_what_was_measured() -> None:
    """25 entries of 82 bytes are 2.002 KB and half a KB more: 2.502 units a block, 4 blocks for 100 events.

    tests/contract/test_log_costs.py measures 0.098.
    """
    workload = Workload(events_per_second=5_000)
    assert log_units_per_event(workload, Assumptions(), records=100) == pytest.approx(0.10008, abs=1e-5)
    # 50 blocks a second in each tranche, 5 ms a put: e^0.25 puts a block; a checkpoint every 100 events
    assert value(plan_for(workload), "log_refused") == pytest.approx(0.2840, abs=1e-4)
    assert value(plan_for(workload), "log_write_units") == pytest.approx(
        5_000 * 0.10008 * 1.2840 + 50, abs=0.1
    )


def test_who_writes_the_log_alone_is_never_refused() -> None:
    workload = Workload(events_per_second=1_000)
    refused = log_refused(workload, Assumptions(), events_per_second=1_000, records=1, lanes=1)
    assert refused.value == 0


def test_log_of_lone_events_costs_a_unit_each() -> None:
    assert log_units_per_event(Workload(events_per_second=1), Assumptions(), records=1) == 1


def test_transactions_write_the_table_at_twice_the_price_the_index_at_once() -> None:
    plan = plan_for(Workload(events_per_second=1_000, events_per_append=10))
    assert (value(plan, "table_write_units"), value(plan, "index_write_units")) == (2_000, 1_000)
    assert value(plan, "api_requests") == 200  # 100 appends, a load before each


def test_loads_round_up_the_whole_stream_not_each_event() -> None:
    """1,000 loads of 10 events of 1 KB: 10 KB, 3 units each. No subscription."""
    plan = plan_for(Workload(events_per_second=1_000, subscriptions=0))
    assert value(plan, "table_read_units") == 3_000


def test_pages_ask_every_shard() -> None:
    """10 shards, pages of 100: 10 + 6 events a shard, 16 KB, 4 units halved; 10 shards, 5 pages a second."""
    plan = plan_for(Workload(events_per_second=1, write_shards=10, pages=5))
    assert value(plan, "index_read_units") == 100


@given(st.integers(1, 1_000), st.integers(1, 1_000))
def test_a_page_reads_what_the_merge_asks_for(shards: int, page_events: int) -> None:
    asked = merge._share(page_events, shards, 1)
    assert asked is not None
    assert events_read_for_a_page(shards=shards, page_events=page_events) == shards * asked


def test_subscriptions_poll_every_tranche_and_read_what_is_new() -> None:
    """4 tranches twice a second, and 4,096 events of 82 bytes: 82 units; half of it as reads that may lag.

    The log writer looks at a tranche's last block before each put: 40.96 batches, 4 tranches, e^0.2048 puts.
    """
    plan = plan_for(Workload(events_per_second=4_096, subscriptions=1))
    assert value(plan, "log_read_units") == pytest.approx(45 + 40.96 * 4 * 1.22728, abs=0.01)


def test_subscriptions_that_share_a_reader_read_as_one_and_store_their_own() -> None:
    ten, shared, one = (
        plan_for(Workload(events_per_second=4_096, subscriptions=number, log_readers=readers))
        for number, readers in ((10, None), (10, 1), (1, None))
    )
    for name in ("table_read_units", "log_read_units"):
        assert value(shared, name) == value(one, name) < value(ten, name)
    assert value(shared, "log_write_units") == value(ten, "log_write_units")
    assert cost(shared, "log_reads") == cost(one, "log_reads")
    more_than_there_are = Workload(events_per_second=1, subscriptions=2, log_readers=5)
    assert more_than_there_are.readers == 2


def test_readers_of_all_events_are_as_many_as_quota_and_partitions_allow() -> None:
    """At 4,096 events a second loads take 12,288 units of 40,000, a reader 4,096; of 1 KB or of 4 are one."""
    assert value(plan_for(Workload(events_per_second=4_096)), "readers_max") == 6
    quotas = Quotas(table_read_units=10_000_000)
    # 12,000 units of the log's 4 partitions less the log writer's looks (201.1), 45 a reader.
    assert value(plan_for(Workload(events_per_second=4_096), quotas=quotas), "readers_max") == 262
    assert value(plan_for(Workload(events_per_second=100_000)), "readers_max") == 0


def test_quota_that_does_not_help_is_not_to_be_raised() -> None:
    """What 4 tranches give is 12,000 units a second, whatever table and account may."""
    for tranches, is_limit in ((4, False), (13, False), (14, True)):
        plan = plan_for(Workload(events_per_second=100, subscriptions=100, log_tranches=tranches))
        assert any(limit.name == "log_read_quota" for limit in plan.limits) is is_limit
    plan = plan_for(Workload(events_per_second=4_000, subscriptions=300, warm_read_units=10**7))
    limits = {limit.name: limit for limit in plan.limits}
    assert limits["log_partition_reads"] in plan.exceeded
    assert "quota raised" not in limits["log_partition_reads"].remedy
    assert limits["table_read_quota"].remedy.startswith("let subscriptions of a process share a reader")
    alone = plan_for(Workload(events_per_second=4_000, log_readers=1, subscriptions=300))
    assert not any("share a reader" in limit.remedy for limit in alone.limits if limit.name[:5] == "table")


def test_replays_read_all_partitions_at_once_up_to_the_tables_quota() -> None:
    assert (
        value(plan_for(Workload(events_per_second=1, write_shards=4)), "replay_events_per_second") == 96_000
    )
    assert (
        value(plan_for(Workload(events_per_second=1, write_shards=100)), "replay_events_per_second")
        == 320_000
    )


@pytest.mark.parametrize(
    ("batch_size", "read_back_percent", "by_hand"),
    [(100, 100, 225), (100, 0, 215), (1, 100, 45), (250, 100, 545), (250, 40, 525)],
)
def test_publisher_looks_at_100_streams_with_each_request(
    batch_size: int, read_back_percent: float, by_hand: float
) -> None:
    """5 ms, 10 ms for the journal, 10 ms for each 100 streams to look at, 20 ms for each 10 events."""
    workload = Workload(events_per_second=1, batch_size=batch_size, read_back_percent=read_back_percent)
    assert value(plan_for(workload), "publisher_batch_ms") == by_hand


# --- limits ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "by_hand"),
    [
        ("index_partitions", 6_500),  # 13 shards x 1,000 / 2
        ("subscription_handlers", 400),  # 4 tranches, one event of 10 ms at a time in each
        ("table_warm_throughput", 2_000),
        ("table_warm_reads", 5_454.55),  # 5,000 x 12,000 / 11,000
        ("table_write_quota", 20_000),
        ("index_write_quota", 20_000),
        ("table_read_quota", 18_181.82),
        ("publisher", 4_651.16),  # 10 x 100 / 0.215
        ("log_writer", 28_571.43),  # 10 x 100 / 0.035
        ("log_order", 14_000),  # 200 batches a second, 70 % of them where writers meet
        ("put_events_quota", 100_000),
        ("invocations_quota", 18_750),
        ("lambda_concurrency", 32_679.7),  # 11 + 2 + 140 calls at 5,000
        ("api_quota", 7_142.86),
        ("hottest_stream_writes", 500_000),
        ("hottest_stream_publication", 50_000),  # 50 a second, of 0.1 %
    ],
)
def test_limits_of_the_issues_example(name: str, by_hand: float) -> None:
    assert rate(plan_for(ISSUE), name) == pytest.approx(by_hand, rel=1e-4)


def test_limits_come_in_the_order_in_which_they_are_met() -> None:
    plan = plan_for(ISSUE)
    rates = [limit.events_per_second for limit in plan.limits]
    assert rates == sorted(rates)
    assert plan.limits[1].name == "table_warm_throughput"
    assert [limit.name for limit in plan.exceeded] == [
        *("subscription_handlers", "table_warm_throughput", "index_warm_throughput", "publisher")
    ]


def test_every_limit_has_its_source_and_what_to_do() -> None:
    plan = plan_for(Workload(events_per_second=1, pages=1, api_requests_per_second=100))
    assert len(plan.limits) == 23
    assert len({limit.name for limit in plan.limits}) == 23
    assert all(limit.source and limit.remedy and limit.formula and limit.unit for limit in plan.limits)


def test_a_warmed_table_has_more_stream_shards_and_keeps_up() -> None:
    plan = plan_for(Workload(events_per_second=5_000, item_kb=1.2, warm_write_units=11_000))
    assert value(plan, "stream_shards") == 11
    assert rate(plan, "publisher") == pytest.approx(5_116.28, abs=0.01)


def test_a_raised_quota_moves_its_limit_alone() -> None:
    plan = plan_for(ISSUE, quotas=Quotas(invocations_per_second=100_000))
    assert rate(plan, "invocations_quota") == 100_000
    assert rate(plan, "api_quota") == rate(plan_for(ISSUE), "api_quota")


def test_stage_of_the_api_is_a_limit_where_it_is_known() -> None:
    plan = plan_for(Workload(events_per_second=4_000, api_requests_per_second=2_000))
    assert rate(plan, "api_stage") == 1_000


@pytest.mark.parametrize(
    ("region", "put_events", "invocations", "api"),
    [
        ("us-east-1", 10_000, 18_750, 10_000),
        ("eu-central-1", 2_400, 4_500, 10_000),
        ("eu-south-1", 400, 750, 2_500),
        ("eu-moon-9", 400, 750, 10_000),
    ],
)
def test_quotas_differ_by_region(region: str, put_events: int, invocations: int, api: int) -> None:
    quotas = quotas_of(region)
    assert (quotas.put_events_per_second, quotas.invocations_per_second) == (put_events, invocations)
    assert quotas.api_requests_per_second == api


@pytest.mark.parametrize("region", ["", "frankfurt", "eu-central", "eu-central-one"])
def test_what_is_no_region_is_refused(region: str) -> None:
    with pytest.raises(InvalidInput, match="region: .* such as eu-west-1"):
        quotas_of(region)


# --- cost --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "by_hand"),
    [
        ("table_writes", 4_106.25),  # 10,000 / 4 x 2,628,000 = 6,570 million at 0.625
        ("index_writes", 4_106.25),
        ("table_reads", 903.375),  # 7,227 million at 0.125
        ("log_reads", 26.51438),  # ((54.0488 + 200 x e^0.25) / 4 + 3) x 2.628 million at 0.125
        ("stream_reads", 0),
        ("api", 4_599),  # 1,750 a second
        ("bus", 3_285),
        ("append_function", 1_533),  # 3,285 million x (0.2 + 0.020 x 13.3334)
    ],
)
def test_month_of_the_issues_example(name: str, by_hand: float) -> None:
    assert cost(plan_for(ISSUE), name) == pytest.approx(by_hand, rel=1e-5)


def test_the_last_item_is_the_sum() -> None:
    *items, total = plan_for(ISSUE).cost
    assert total.name == "total"
    assert total.value == pytest.approx(sum(item.value for item in items))


def test_storage_holds_table_index_and_log() -> None:
    """1,000 events/s for a month: 2.628e9. Table 2.628e9 x 1,124 bytes = 2,751 GB, log 200.7 GB."""
    plan = plan_for(Workload(events_per_second=1_000, retention_months=1))
    assert cost(plan, "storage") == pytest.approx(0.25 * (2 * 2_751.00 + 200.70), rel=1e-4)
    assert cost(plan, "point_in_time_recovery") == pytest.approx(0.2 * (2_751.00 + 200.70), rel=1e-4)


def test_a_replay_reads_all_that_is_stored_at_half_price() -> None:
    """2.628e9 events of 1 KB: an eighth of a unit each, 328.5 million; two of them."""
    plan = plan_for(Workload(events_per_second=1_000, retention_months=1, replays_per_month=2))
    assert cost(plan, "replays") == pytest.approx(82.125)


def test_events_over_64_kb_cost_the_bus_more() -> None:
    small, large = (plan_for(Workload(events_per_second=1, item_kb=kb)) for kb in (63, 64))
    assert cost(large, "bus") == 2 * cost(small, "bus")


def test_library_users_pay_no_api() -> None:
    plan = plan_for(Workload(events_per_second=1_000, http_percent=0))
    assert [cost(plan, name) for name in ("api", "append_function", "read_function")] == [0, 0, 0]


def test_prices_are_inputs() -> None:
    doubled = plan_for(ISSUE, prices=Prices(write_units=1.25))
    assert cost(doubled, "table_writes") == 2 * cost(plan_for(ISSUE), "table_writes")


# --- what holds for every workload -------------------------------------------------------------------

WORKLOADS = st.fixed_dictionaries(
    {
        "item_kb": st.floats(0.1, 400),
        "events_per_append": st.integers(1, 100),
        "peak_factor": st.floats(1, 100),
        "pages": st.floats(0, 100),
        "subscriptions": st.integers(0, 20),
        "retention_months": st.floats(0, 120),
        "http_percent": st.floats(0, 100),
        "read_back_percent": st.floats(0, 100),
        "batch_size": st.integers(1, 10_000),
        "log_tranches": st.integers(1, 256),
    }
)
GROWING = (
    *("least_shards", "write_shards", "table_write_units", "index_write_units", "log_write_units"),
    *("table_read_units", "stored_gb", "stream_shards", "stream_shards_grown", "put_events_calls"),
    *("publisher_concurrency", "log_writer_concurrency", "api_concurrency", "api_requests"),
)


@settings(max_examples=60)
@given(WORKLOADS, st.floats(0.01, 500_000), st.floats(1, 2))
def test_more_events_never_need_or_cost_less(given: dict[str, float], rate: float, more: float) -> None:
    less, greater = (
        plan_for(Workload(events_per_second=events, reads=10, **given)) for events in (rate, rate * more)
    )
    for name in GROWING:
        assert value(less, name) <= value(greater, name) * (1 + 1e-9), name
    for name in (
        "table_writes",
        "index_writes",
        "log_writes",
        "table_reads",
        "storage",
        "bus",
        "api",
    ):
        assert cost(less, name) <= cost(greater, name) * (1 + 1e-9), name
    # Of more shards each is asked for less, and that is rounded up to units: a page may cost less by it.
    without_pages = [cost(plan, "total") - cost(plan, "index_reads") for plan in (less, greater)]
    assert without_pages[0] <= without_pages[1] * (1 + 1e-9)


@settings(max_examples=60)
@given(WORKLOADS, st.floats(0.01, 1_000_000))
def test_every_number_is_finite_and_not_below_zero(given: dict[str, float], rate: float) -> None:
    plan = plan_for(Workload(events_per_second=rate, **given))
    numbers = [figure.value for figure in (*plan.capacity.figures(), *plan.cost)]
    numbers += [limit.events_per_second for limit in plan.limits]
    assert all(math.isfinite(number) and number >= 0 for number in numbers)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"events_per_second": 0}, "events_per_second: is 0; .* from 0.001 to 1,000,000"),
        ({"events_per_second": math.nan}, "events_per_second: is nan"),
        ({"item_kb": 401}, "item_kb: is 401; .* to 400"),
        ({"reads": -1}, "reads: is -1; .* of 0 or more"),
        ({"write_shards": 1.5}, "write_shards: is 1.5; it has to be a whole number"),
        ({"utilisation_percent": 101}, "utilisation_percent: is 101"),
    ],
)
def test_a_number_out_of_its_bounds_is_refused(wrong: dict[str, float], message: str) -> None:
    with pytest.raises(InvalidLimit, match=message):
        Workload(**({"events_per_second": 1} | wrong))


def test_in_short_tells_the_first_limit_when_none_is_met() -> None:
    (line,) = (
        line
        for line in in_short(
            plan_for(Workload(events_per_second=100, write_shards=2, handler_concurrency=16))
        )
        if "events/s: " in line
    )
    assert line == (
        "  first limit, at 1,860 events/s: Publisher: one batch a stream shard at a time (4 x 100 records / "
        "215 ms) -> more partitions, so more stream shards: each 1,000 WCU/s it's warmed for take "
        "465; events are late, not lost, for 23 h"
    )
