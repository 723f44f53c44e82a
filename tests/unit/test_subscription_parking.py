"""Parked streams: what waits is what is stored, one retry frees a stream, nothing is read in vain."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from eventstore import Event
from eventstore.errors import StoreUnavailable
from eventstore.subscriptions import ParkedEvent
from tests.unit.test_subscriptions import World, failing


def parked_ids(world: World) -> list[int]:
    return [of.event_id for of in world.checkpoints.read_parked("view")]


def test_park_that_is_throttled_blocks_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    world, fails = World(tranches=1), [True]
    world.append("a", *["Opened"] * 4)
    park = world.checkpoints.park

    def busy(*args: Any, **options: Any) -> bool:
        if not fails:
            return park(*args, **options)
        fails.clear()  # meanwhile what was wrong with the event passes, too
        raise StoreUnavailable(operation="park", reason="throttled")

    def handle(event: Event) -> None:
        if event.event_id == 2 and fails:
            raise ValueError("no good")
        world.handle(event)

    monkeypatch.setattr(world.checkpoints, "park", busy)
    worker = world.worker(handle)
    with pytest.raises(StoreUnavailable):
        worker.step()
    worker.step()
    assert ([event_id for _, event_id in world.seen], parked_ids(world)) == ([1, 2, 3, 4], [])


def test_one_retry_frees_a_stream_that_goes_on_meanwhile() -> None:
    world = World(tranches=1)
    world.append("a", *["Opened"] * 3)
    worker = world.worker(failing(world, 1))
    worker.step()
    assert parked_ids(world) == [1, 2, 3]
    left = [20]

    def retried(event: Event) -> None:
        world.handle(event)
        if left[0]:
            left[0] -= 1
            world.append("a", "Opened")
            worker.step()  # it parks what comes behind what is still parked

    assert world.worker(retried).retry_parked().still_parked == 0
    assert parked_ids(world) == []
    world.append("a", "Opened")
    worker.step()  # at once: no time goes by
    assert [event_id for _, event_id in world.seen] == list(range(1, 25))
    assert parked_ids(world) == []


def test_worker_of_parked_streams_reads_them_once(monkeypatch: pytest.MonkeyPatch) -> None:
    world, reads = World(tranches=1), list[object]()
    read_parked = world.checkpoints.read_parked

    def counted(*args: Any, **options: Any) -> Iterator[ParkedEvent]:
        reads.append(args)
        return read_parked(*args, **options)

    world.append("a", *["Opened"] * 50)
    monkeypatch.setattr(world.checkpoints, "read_parked", counted)
    worker = world.worker(failing(world, 1))
    for _ in range(100):
        worker.step()
        world.now_s += 5.0
    assert (worker.counts.parked, len(reads)) == (50, 1)


def test_retry_reads_what_stays_parked_once_however_long_it_frees_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world, read, left = World(tranches=1), list[str](), [20]
    for number in range(30):
        world.append(f"bad-{number}", "Opened")
    world.append("a", *["Opened"] * 3)
    worker = world.worker(lambda event: 1 / 0)
    worker.step()
    read_parked = world.checkpoints.read_parked

    def noted(*args: Any, **options: Any) -> Iterator[ParkedEvent]:
        for of in read_parked(*args, **options):
            read.append(of.stream_id)
            yield of

    def retried(event: Event) -> None:
        if event.stream_id != "a":
            raise ValueError("still no good")
        if left[0]:
            left[0] -= 1
            world.append("a", "Opened")
            worker.step()

    monkeypatch.setattr(world.checkpoints, "read_parked", noted)
    retry = world.worker(retried).retry_parked()
    assert (retry.handled, retry.still_parked) == (23, 30)
    assert (len(read) - read.count("a"), read.count("a")) == (30, 23)
