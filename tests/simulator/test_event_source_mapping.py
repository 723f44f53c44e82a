"""The event source mapping's own rules, on small functions: what the publication's tests stand on."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from tests.simulator.event_source_mapping import (
    Change,
    Clock,
    EventSourceMapping,
    FunctionError,
    Settings,
    Shard,
    as_shard,
)

Function = Callable[[Change, str], Any]


def changes(count: int, *, first: int = 1, apart_s: float = 0.0, kind: str = "INSERT") -> list[Change]:
    return [
        {"eventName": kind, "dynamodb": {"Keys": {"n": n}, "ApproximateCreationDateTime": n * apart_s}}
        for n in range(first, first + count)
    ]


def numbers(trigger: Change) -> list[int]:
    return [change["dynamodb"]["Keys"]["n"] for change in trigger["Records"]]


def sequence_number(trigger: Change, n: int) -> str:
    place = numbers(trigger).index(n)
    number: str = trigger["Records"][place]["dynamodb"]["SequenceNumber"]
    return number


def run(
    function: Function, *shards: Shard, settings: Settings | None = None, seed: int = 1
) -> tuple[list[list[int]], EventSourceMapping]:
    """Run a mapping to its end; return the batches that the function was given."""
    batches: list[list[int]] = []

    def recorded(trigger: Change, shard_id: str) -> Any:
        batches.append(numbers(trigger))
        return function(trigger, shard_id)

    mapping = EventSourceMapping(
        shards, recorded, settings=settings or Settings(), clock=Clock(), rng=random.Random(seed)
    )
    mapping.run(max_invocations=500)
    return batches, mapping


def test_batches_are_in_order_and_of_the_batch_size_at_most() -> None:
    batches, _ = run(lambda *_: None, as_shard("0", changes(7)), settings=Settings(batch_size=3))
    assert batches == [[1, 2, 3], [4, 5, 6], [7]]


@pytest.mark.parametrize("answer", [None, {}, {"batchItemFailures": []}, {"batchItemFailures": None}])
def test_answer_without_failures_is_a_success(answer: Any) -> None:
    batches, _ = run(lambda *_: answer, as_shard("0", changes(2)))
    assert batches == [[1, 2]]


def test_lowest_reported_sequence_number_is_the_checkpoint() -> None:
    answers = iter([(4, 3), ()])

    def function(trigger: Change, _: str) -> Any:
        failed = [{"itemIdentifier": sequence_number(trigger, n)} for n in next(answers)]
        return {"batchItemFailures": failed}

    assert run(function, as_shard("0", changes(5)))[0] == [[1, 2, 3, 4, 5], [3, 4, 5]]


@pytest.mark.parametrize("identifier", ["", None, "no such number"])
def test_identifier_that_is_not_of_the_batch_is_a_complete_failure(identifier: Any) -> None:
    answers = iter([{"batchItemFailures": [{"itemIdentifier": identifier}]}, {}])
    assert run(lambda *_: next(answers), as_shard("0", changes(3)))[0] == [[1, 2, 3], [1, 2, 3]]


def test_report_is_not_read_unless_it_was_turned_on() -> None:
    def function(trigger: Change, _: str) -> Any:
        return {"batchItemFailures": [{"itemIdentifier": sequence_number(trigger, 1)}]}

    settings = Settings(report_batch_item_failures=False)
    assert run(function, as_shard("0", changes(3)), settings=settings)[0] == [[1, 2, 3]]


def raises_on(poison: int) -> Function:
    def function(trigger: Change, _: str) -> None:
        if poison in numbers(trigger):
            raise FunctionError

    return function


def test_function_error_bisects_without_a_retry_and_discards_what_is_left() -> None:
    settings = Settings(maximum_retry_attempts=1)
    batches, mapping = run(raises_on(3), as_shard("0", changes(4)), settings=settings)
    assert batches == [[1, 2, 3, 4], [1, 2], [3, 4], [3], [3], [4]]
    (discarded,) = mapping.discarded
    assert (discarded.condition, discarded.batch_size) == ("RetryAttemptsExhausted", 1)
    assert discarded.start_sequence_number == discarded.end_sequence_number


def test_function_error_repeats_the_whole_batch_without_bisect() -> None:
    settings = Settings(bisect_batch_on_function_error=False, maximum_retry_attempts=2)
    batches, mapping = run(raises_on(3), as_shard("0", changes(4)), settings=settings)
    assert batches == [[1, 2, 3, 4]] * 3
    assert mapping.discarded[0].batch_size == 4


def test_records_beyond_the_age_are_discarded_and_the_shard_goes_on() -> None:
    settings = Settings(maximum_record_age_s=30, bisect_batch_on_function_error=False, batch_size=2)
    batches, mapping = run(raises_on(2), as_shard("0", changes(4)), settings=settings)
    assert set(map(tuple, batches[:-1])) == {(1, 2)}
    assert mapping.discarded[0].condition == "RecordAgeExceeded"
    # Its successors had waited for as long: they go the same way.
    assert sum(discarded.batch_size for discarded in mapping.discarded) in {2, 4}


def test_child_shard_waits_for_its_parent() -> None:
    for seed in range(20):
        parent = as_shard("0", changes(6))
        children = [as_shard("1", changes(2, first=11), parents=("0",)), as_shard("2", changes(2, first=21))]
        batches, _ = run(lambda *_: None, parent, *children, settings=Settings(batch_size=2), seed=seed)
        assert batches.index([11, 12]) > batches.index([5, 6])


def test_shards_without_kinship_interleave() -> None:
    orders = set()
    for seed in range(20):
        shards = [as_shard("0", changes(4)), as_shard("1", changes(4, first=11))]
        batches, _ = run(lambda *_: None, *shards, settings=Settings(batch_size=2), seed=seed)
        orders.add(str(batches))
    assert len(orders) > 3


def test_filtered_records_are_passed_over() -> None:
    records = [*changes(2), *changes(2, first=3, kind="MODIFY"), *changes(1, first=5)]
    assert run(lambda *_: None, as_shard("0", records))[0] == [[1, 2, 5]]


def test_window_gathers_what_comes_in_its_time() -> None:
    def batches(window_s: float) -> list[list[int]]:
        settings = Settings(maximum_batching_window_s=window_s)
        return run(lambda *_: None, as_shard("0", changes(6, apart_s=1)), settings=settings)[0]

    assert batches(0) == [[1], [2], [3], [4], [5], [6]]
    assert batches(2.5) == [[1, 2, 3], [4, 5, 6]]


def test_batch_ends_before_its_payload_passes_six_megabytes() -> None:
    records = changes(5)
    for record in records:
        record["dynamodb"]["NewImage"] = "x" * 2_500_000
    assert run(lambda *_: None, as_shard("0", records))[0] == [[1, 2], [3, 4], [5]]
