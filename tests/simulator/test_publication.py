"""Every event is published or parked, and none before an earlier one of its stream, whatever goes wrong."""

from __future__ import annotations

import random

import pytest

from tests.simulator.event_source_mapping import Settings
from tests.simulator.history import History
from tests.simulator.publication import (
    NO_FAULTS,
    WINDOW_S,
    Faults,
    Simulation,
    by_stream,
    doubled,
    one_shard,
    reordered,
    side_by_side,
    split,
)


def test_history_has_what_the_simulation_is_about(history: History) -> None:
    kinds = {change["eventName"] for change in history.changes}
    assert kinds == {"INSERT", "MODIFY"}
    assert len(history.payloads) > 250
    assert [address for address, payload in history.payloads.items() if payload is None] == [("odd", 3)]


def test_without_faults_every_event_is_published_once(history: History, simulation: Simulation) -> None:
    run = simulation.run(one_shard(history.changes), seed=1, faults=NO_FAULTS)
    assert run.breaches == []
    assert run.ledger.repeats == 0
    assert run.mapping.discarded == []


@pytest.mark.parametrize("seed", range(3))
def test_environments_that_rotate_publish_each_event_once_and_read_none_back(
    history: History, simulation: Simulation, seed: int
) -> None:
    shards = by_stream(history.changes, count=4)
    settings = Settings(batch_size=5)
    run = simulation.run(shards, seed=seed, faults=NO_FAULTS, settings=settings, lives=True)
    assert run.breaches == []
    assert run.ledger.repeats <= 0.05 * len(history.payloads)
    # Records of a transaction come in any order: what lies behind the border of a batch is read back.
    assert run.reads <= 0.05 * len(history.payloads)
    assert run.journal.puts <= run.mapping.invocations
    assert run.journal.queries <= run.mapping.invocations


# --- what must hold -------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(12))
def test_one_shard_with_records_out_of_order_and_doubled(
    history: History, simulation: Simulation, seed: int
) -> None:
    rng = random.Random(seed)
    changes = doubled(reordered(history.changes, rng, within_s=WINDOW_S), rng)
    run = simulation.run(one_shard(changes), seed=seed, lives=seed % 2 == 0)
    assert run.breaches == []
    assert run.mapping.discarded == []


@pytest.mark.parametrize("seed", range(8))
def test_shard_that_is_split_and_its_children(history: History, simulation: Simulation, seed: int) -> None:
    rng = random.Random(seed)
    changes = doubled(reordered(history.changes, rng, within_s=WINDOW_S), rng)
    run = simulation.run(split(changes, rng), seed=seed, lives=seed % 2 == 0)
    assert run.breaches == []


@pytest.mark.parametrize("seed", range(8))
def test_streams_whose_events_come_by_two_shards_that_keep_within_the_window(
    history: History, simulation: Simulation, seed: int
) -> None:
    rng = random.Random(seed)
    changes = doubled(reordered(history.changes, rng, within_s=WINDOW_S), rng)
    shards, may_send = side_by_side(changes, rng, skew_s=WINDOW_S)
    run = simulation.run(shards, seed=seed, may_send=may_send)
    assert run.breaches == []


@pytest.mark.parametrize("seed", range(4))
def test_function_that_raises_instead_of_reporting(
    history: History, simulation: Simulation, seed: int
) -> None:
    rng = random.Random(seed)
    changes = doubled(reordered(history.changes, rng, within_s=WINDOW_S), rng)
    settings = Settings(
        batch_size=10, report_batch_item_failures=False, bisect_batch_on_function_error=seed % 2 == 0
    )
    run = simulation.run(one_shard(changes), seed=seed, settings=settings, PARTIAL_BATCH="raise")
    assert run.breaches == []


@pytest.mark.parametrize("seed", range(4))
def test_unfiltered_mapping_with_a_window(history: History, simulation: Simulation, seed: int) -> None:
    rng = random.Random(seed)
    settings = Settings(batch_size=25, maximum_batching_window_s=2.0, filter=lambda change: True)
    run = simulation.run(
        one_shard(reordered(history.changes, rng, within_s=WINDOW_S)),
        seed=seed,
        settings=settings,
        lives=True,
    )
    assert run.breaches == []


@pytest.mark.parametrize("seed", range(4))
def test_events_discarded_by_the_mapping_are_told_to_the_failure_destination(
    history: History, simulation: Simulation, seed: int
) -> None:
    rng = random.Random(seed)
    settings = Settings(batch_size=5, maximum_retry_attempts=1, maximum_record_age_s=300)
    run = simulation.run(
        one_shard(reordered(history.changes, rng, within_s=WINDOW_S)),
        seed=seed,
        faults=Faults(calls_throttled=0.5, events_stuck=0.2),
        settings=settings,
        lives=True,
    )
    assert run.mapping.discarded
    assert run.breaches == []


def test_refused_events_and_odd_items_are_parked_and_nothing_else(
    history: History, simulation: Simulation
) -> None:
    run = simulation.run(one_shard(history.changes), seed=3)
    parked = {address for what, address, _ in run.ledger.done if what == "parked"}
    assert parked == run.bus.refused | {("odd", 3)}
    assert len(parked) > 3


# --- the limit that is documented -----------------------------------------------------------------


def test_shards_apart_beyond_the_window_cost_the_order_but_never_an_event(
    history: History, simulation: Simulation
) -> None:
    breaches = []
    for seed in range(6):
        rng = random.Random(seed)
        shards, _ = side_by_side(history.changes, rng)
        run = simulation.run(shards, seed=seed)
        breaches += run.breaches
    assert breaches
    assert all("went out before" in breach for breach in breaches)
