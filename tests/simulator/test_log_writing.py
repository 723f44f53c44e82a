"""Every event is logged, and none first before an earlier one of its stream, whatever goes wrong."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from eventstore import Event
from eventstore.errors import LogWritingStopped, MalformedItem
from eventstore.log.writer import LogWriter, _Batch
from eventstore.ordering.stream_order import ChangeRecord, Trouble
from tests.simulator.event_source_mapping import Settings, Shard
from tests.simulator.history import History
from tests.simulator.log_writing import NO_LOG_FAULTS, LogFaults, LogSimulation
from tests.simulator.publication import (
    WINDOW_S,
    Simulation,
    doubled,
    one_shard,
    reordered,
    side_by_side,
    split,
)
from tests.simulator.test_defences import AsTheyArrive, WithoutHoles, WithoutReadBack


@pytest.fixture
def log_simulation(history: History, simulation: Simulation) -> LogSimulation:
    return LogSimulation(history, simulation._dynamodb)


def test_without_faults_every_event_is_logged_once(history: History, log_simulation: LogSimulation) -> None:
    run = log_simulation.run(one_shard(history.changes), seed=1, faults=NO_LOG_FAULTS)
    assert run.breaches == []
    assert len(run.entries) == len([payload for payload in history.payloads.values() if payload])
    assert run.mapping.discarded == []


@pytest.mark.parametrize("seed", range(10))
def test_one_shard_with_records_out_of_order_and_doubled(
    history: History, log_simulation: LogSimulation, seed: int
) -> None:
    rng = random.Random(seed)
    changes = doubled(reordered(history.changes, rng, within_s=WINDOW_S), rng)
    run = log_simulation.run(one_shard(changes), seed=seed, lives=seed % 2 == 0)
    assert run.breaches == []
    assert run.mapping.discarded == []


@pytest.mark.parametrize("seed", range(6))
def test_shard_that_is_split_and_its_children(
    history: History, log_simulation: LogSimulation, seed: int
) -> None:
    rng = random.Random(seed)
    changes = doubled(reordered(history.changes, rng, within_s=WINDOW_S), rng)
    assert log_simulation.run(split(changes, rng), seed=seed, lives=seed % 2 == 0).breaches == []


@pytest.mark.parametrize("seed", range(6))
def test_streams_whose_events_come_by_two_shards_that_keep_within_the_window(
    history: History, log_simulation: LogSimulation, seed: int
) -> None:
    rng = random.Random(seed)
    changes = doubled(reordered(history.changes, rng, within_s=WINDOW_S), rng)
    shards, may_send = side_by_side(changes, rng, skew_s=WINDOW_S)
    assert log_simulation.run(shards, seed=seed, may_send=may_send).breaches == []


@pytest.mark.parametrize("seed", range(4))
def test_function_that_raises_instead_of_reporting(
    history: History, log_simulation: LogSimulation, seed: int
) -> None:
    rng = random.Random(seed)
    changes = doubled(reordered(history.changes, rng, within_s=WINDOW_S), rng)
    settings = Settings(
        batch_size=10, report_batch_item_failures=False, bisect_batch_on_function_error=seed % 2 == 0
    )
    run = log_simulation.run(one_shard(changes), seed=seed, settings=settings, PARTIAL_BATCH="raise")
    assert run.breaches == []
    assert run.repeats > 0


@pytest.mark.parametrize("seed", range(3))
def test_events_discarded_by_the_mapping_are_told_to_the_failure_destination(
    history: History, log_simulation: LogSimulation, seed: int
) -> None:
    rng = random.Random(seed)
    run = log_simulation.run(
        one_shard(reordered(history.changes, rng, within_s=WINDOW_S)),
        seed=seed,
        faults=LogFaults(puts_throttled=0.8),
        settings=Settings(batch_size=5, maximum_retry_attempts=1, maximum_record_age_s=300),
        lives=True,
    )
    assert run.mapping.discarded
    assert run.breaches == []


def test_shards_apart_beyond_the_window_cost_the_order_but_never_an_event(
    history: History, log_simulation: LogSimulation
) -> None:
    breaches = []
    for seed in range(4):
        rng = random.Random(seed)
        shards, _ = side_by_side(history.changes, rng)
        breaches += log_simulation.run(shards, seed=seed).breaches
    assert breaches
    assert all("was logged before" in breach for breach in breaches)


# --- each defence, taken away -----------------------------------------------------------------------


class TakesAllForWritten(LogWriter):
    """Does not look at whether a block was written."""

    def _append(self, tranche: int, block: Sequence[Event | MalformedItem], batch: _Batch) -> str | None:
        if super()._append(tranche, block, batch):
            for one in block:
                self._finish(one, batch)
        return None


class RemembersTooEarly(LogWriter):
    """Remembers what it's about to write, not what was written."""

    def _append(self, tranche: int, block: Sequence[Event | MalformedItem], batch: _Batch) -> str | None:
        for one in block:
            self._logged.add(one.stream_id, one.event_id)
        return super()._append(tranche, block, batch)


def reports_the_last(records: Sequence[ChangeRecord], batch: _Batch, trouble: Trouble) -> LogWritingStopped:
    """Report the highest sequence number that isn't done."""
    left = [record for record in records if (record.stream_id, record.event_id) not in batch.done]
    return LogWritingStopped(
        sequence_number=left[-1].sequence_number,
        stream_id=trouble.stream_id,
        event_id=trouble.event_id,
        reason=trouble.reason,
    )


def breaches(history: History, simulation: LogSimulation, *, seeds: int = 6) -> Iterator[str]:
    """Run with one seed after the other; tell the kind of every breach."""
    shards: Callable[[History, random.Random], list[Shard]] = lambda history, rng: one_shard(  # noqa: E731
        reordered(history.changes, rng, within_s=WINDOW_S)
    )
    for seed in range(seeds):
        run = simulation.run(shards(history, random.Random(seed)), seed=seed, settings=Settings(batch_size=8))
        for breach in run.breaches:
            yield "order" if "logged before" in breach else "loss" if "got lost" in breach else breach


def test_with_all_defences_nothing_is_found(history: History, log_simulation: LogSimulation) -> None:
    assert set(breaches(history, log_simulation)) == set()


@pytest.mark.parametrize(
    ("weakened", "breach"),
    [
        (("StreamOrder", AsTheyArrive), "order"),
        (("StreamOrder", WithoutReadBack), "order"),
        (("StreamOrder", WithoutHoles), "order"),
        (("_stopped", reports_the_last), "loss"),
    ],
)
def test_each_defence_is_needed_and_its_absence_is_seen(
    history: History,
    log_simulation: LogSimulation,
    monkeypatch: pytest.MonkeyPatch,
    weakened: tuple[str, Any],
    breach: str,
) -> None:
    monkeypatch.setattr(f"eventstore.log.writer.{weakened[0]}", weakened[1])
    assert breach in breaches(history, log_simulation)


@pytest.mark.parametrize("weaker", [TakesAllForWritten, RemembersTooEarly])
def test_log_writer_that_trusts_what_it_has_not_seen_written_loses_events(
    history: History, log_simulation: LogSimulation, monkeypatch: pytest.MonkeyPatch, weaker: type[LogWriter]
) -> None:
    monkeypatch.setattr("eventstore.log.writer.LogWriter", weaker)
    assert "loss" in breaches(history, log_simulation)
