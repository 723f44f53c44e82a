"""Parked events that are tried again: which are, in which order, and what is told of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from eventstore import Event
from eventstore.errors import MalformedItem
from eventstore.memory.checkpoints import MemoryEventBodies
from eventstore.subscriptions import OnFailure, Retried, Terms
from tests.unit.test_subscription_order import LooseWorld
from tests.unit.test_subscriptions import World

Failing = Callable[[Event], object]


def fails(*addresses: tuple[str, int], given: list[tuple[str, int]] | None = None) -> Failing:
    """Return a handler that fails at these events, and notes what it was given."""

    def handle(event: Event) -> None:
        address = event.stream_id, event.event_id
        if given is not None:
            given.append(address)
        if address in addresses:
            raise ValueError("no good")

    return handle


class Without(MemoryEventBodies):
    """The events of a world whose item at one address was deleted."""

    def __init__(self, gone: tuple[str, int], world: World) -> None:
        super().__init__(world.store)
        self._gone = gone

    def read_events(
        self, addresses: Sequence[tuple[str, int]]
    ) -> dict[tuple[str, int], Event | MalformedItem]:
        return super().read_events([address for address in addresses if address != self._gone])


def parked(world: World) -> list[tuple[str, int]]:
    return [(of.stream_id, of.event_id) for of in world.checkpoints.read_parked("view")]


def parked_world(on_failure: OnFailure) -> World:
    """Return a world in which a's and b's three events are parked."""
    world = World(tranches=1)
    for stream_id in ("a", "b"):
        world.append(stream_id, *["Opened"] * 3)
    worker = world.worker(lambda _: 1 / 0, on_failure=on_failure)
    worker.step()
    worker.close()
    assert len(parked(world)) == 6
    return world


@pytest.mark.parametrize("on_failure", [OnFailure.PARK_STREAM, OnFailure.SKIP, OnFailure.STOP])
def test_retry_leaves_what_is_behind_a_failure_and_counts_each_event_once(on_failure: OnFailure) -> None:
    world, given = parked_world(OnFailure.PARK_STREAM), list[tuple[str, int]]()
    retrier = world.worker(fails(("a", 2), ("b", 1), given=given), on_failure=on_failure)
    assert retrier.retry_parked() == Retried(handled=1, still_parked=5)
    assert sorted(set(given)) == [("a", 1), ("a", 2), ("b", 1)]
    assert parked(world) == [("a", 2), ("a", 3), ("b", 1), ("b", 2), ("b", 3)]


def test_retry_goes_on_with_other_streams_behind_a_failure() -> None:
    world = parked_world(OnFailure.PARK_STREAM)
    assert world.worker(fails(("a", 1))).retry_parked() == Retried(handled=3, still_parked=3)
    assert parked(world) == [("a", 1), ("a", 2), ("a", 3)]


def test_retry_of_events_parked_alone_tries_each_once() -> None:
    world, given = parked_world(OnFailure.PARK), list[tuple[str, int]]()
    retrier = world.worker(fails(("a", 1), ("b", 2), given=given), on_failure=OnFailure.PARK)
    assert retrier.retry_parked() == Retried(handled=4, still_parked=2)
    assert parked(world) == [("a", 1), ("b", 2)]
    assert given.count(("a", 3)) == given.count(("b", 3)) == 1
    # One that failed isn't tried anew since others of its stream were handled.
    assert given.count(("a", 1)) == given.count(("b", 2)) == Terms().max_tries


def test_retry_makes_as_many_tries_as_a_worker() -> None:
    world, tries = parked_world(OnFailure.PARK_STREAM), list[int]()

    def handle(event: Event) -> None:
        tries.append(event.event_id)
        if len(tries) == 1:
            raise ValueError("no good")

    assert world.worker(handle).retry_parked() == Retried(handled=6, still_parked=0)
    assert tries[:3] == [1, 1, 2]


def test_retry_that_meets_an_event_that_is_gone_leaves_it_parked() -> None:
    world, given = parked_world(OnFailure.PARK), list[tuple[str, int]]()
    retrier = world.worker(fails(given=given), on_failure=OnFailure.PARK, bodies=Without(("a", 2), world))
    assert retrier.retry_parked() == Retried(handled=5, still_parked=1)
    assert parked(world) == [("a", 2)]
    assert ("a", 2) not in given


def test_retry_takes_what_is_parked_meanwhile_though_another_stream_fails() -> None:
    world = parked_world(OnFailure.PARK_STREAM)
    worker = world.worker()

    def handle(event: Event) -> None:
        if event.stream_id == "a":
            raise ValueError("no good")
        if event.event_id == 3:
            world.append("b", "Opened")
            worker.step()
        world.handle(event)

    worker.step()
    assert world.worker(handle).retry_parked() == Retried(handled=4, still_parked=3)
    assert world.seen == [("b", 1), ("b", 2), ("b", 3), ("b", 4)]
    assert parked(world) == [("a", 1), ("a", 2), ("a", 3)]


# --- what a projection misses before a parked event -------------------------------------------------------


def loose_world(*names: str) -> LooseWorld:
    """Return a world whose log has the last event of a stream alone, which is parked without those before."""
    world = LooseWorld()
    world.append("a", *names)
    world.log_it("a", len(names))
    world.work(fails(*[("a", number + 1) for number in range(len(names))]))
    for of in list(world.checkpoints.read_parked("view"))[:-1]:
        world.checkpoints.unpark("view", of)  # by hand
    assert parked(world) == [("a", len(names))]
    return world


def test_retry_gives_a_projection_all_that_it_misses_in_order() -> None:
    world = loose_world(*["Changed"] * 5)
    assert world.worker(world.projection()).retry_parked() == Retried(handled=1, still_parked=0)
    assert world.projected() == [1, 2, 3, 4, 5]


def test_retry_whose_projection_fails_at_what_it_misses_leaves_it_parked() -> None:
    world = loose_world(*["Changed"] * 4)
    projection = world.projection()

    def handle(event: Event) -> None:
        if event.event_id == 3:
            raise ValueError("no good")
        projection(event)

    assert world.worker(handle).retry_parked() == Retried(handled=0, still_parked=1)
    assert world.projected() == [1, 2]
    assert world.worker(projection).retry_parked() == Retried(handled=1, still_parked=0)
    assert world.projected() == [1, 2, 3, 4]


def test_retry_leaves_an_event_parked_while_one_that_is_missed_is_gone() -> None:
    world = loose_world(*["Changed"] * 3)
    retrier = world.worker(world.projection(), bodies=Without(("a", 2), world))
    assert retrier.retry_parked() == Retried(handled=0, still_parked=1)
    assert world.projected() == [1]


def test_retry_gives_a_projection_nothing_from_before_its_subscription() -> None:
    world = LooseWorld()
    world.append("a", *["Changed"] * 30)
    begin = datetime.fromtimestamp(world.clock() / 1_000_000, UTC)
    world.append("a", "Changed", "Changed")
    world.log_it("a", *range(1, 33))
    world.work(fails(("a", 32)), from_=begin)
    assert parked(world) == [("a", 32)]
    assert world.worker(world.projection(), from_=begin).retry_parked() == Retried(1, 0)
    # The 10 s before the time are asked for, too.
    assert world.projected() == list(range(20, 33))


def test_retry_of_a_subscription_whose_leases_are_gone_asks_for_no_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world, reads = loose_world("Changed", "Changed", "Changed"), list[object]()
    read_events = MemoryEventBodies.read_events

    def counted(*args: Any) -> Any:
        reads.append(args)
        return read_events(*args)

    monkeypatch.setattr(MemoryEventBodies, "read_events", counted)
    world.checkpoints._kept["view"].leases.clear()
    assert world.worker(world.projection()).retry_parked() == Retried(1, 0)
    assert world.projected() == [1, 2, 3]
    assert len(reads) == 2  # the parked event, and what is missed before it


def test_retry_of_an_event_whose_turn_it_is_calls_its_handler_once() -> None:
    world, given = loose_world("Changed"), list[int]()
    projection = world.projection()

    def handle(event: Event) -> None:
        given.append(event.event_id)
        projection(event)

    assert world.worker(handle).retry_parked() == Retried(1, 0)
    assert (given, world.projected()) == ([1], [1])
