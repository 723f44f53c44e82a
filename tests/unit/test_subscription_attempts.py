"""The tries of an event: how many, with what pauses between them, and what is told of those that fail."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from eventstore import Event
from eventstore.errors import MalformedItem, NotSynchronous
from eventstore.subscriptions import OnFailure, Terms
from tests.unit.test_subscriptions import World


class Failing:
    """A handler that fails some events, and counts its calls."""

    def __init__(self, *event_ids: int) -> None:
        self.event_ids = event_ids
        self.calls: list[int] = []

    def __call__(self, event: Event) -> None:
        self.calls.append(event.event_id)
        if event.event_id in self.event_ids:
            raise ValueError(f"not {event.event_id}")


@pytest.mark.parametrize("max_tries", [1, 2, 4])
def test_event_is_tried_so_often_with_growing_pauses_between(max_tries: int) -> None:
    world, handler, pauses = World(tranches=1), Failing(1), list[float]()
    world.append("a", "Opened", "Changed")
    worker = world.worker(
        handler,
        terms=Terms(max_tries=max_tries),
        on_failure=OnFailure.SKIP,
        sleep=pauses.append,
        jitter=lambda: 0.5,
    )
    worker.step()
    assert handler.calls == [1] * max_tries + [2]
    assert pauses == pytest.approx([0.05, 0.1, 0.2][: max_tries - 1])


@pytest.mark.parametrize(("lease_s", "longest_s"), [(12.0, 2.0), (60.0, 5.0)])
def test_no_pause_between_tries_is_longer_than_a_sixth_of_a_lease(lease_s: float, longest_s: float) -> None:
    world, pauses = World(tranches=1), list[float]()
    world.append("a", "Opened")
    terms = Terms(max_tries=9, lease_s=lease_s)
    world.worker(Failing(1), terms=terms, on_failure=OnFailure.SKIP, sleep=pauses.append).step()
    assert max(pauses) == longest_s


def test_each_event_that_is_skipped_is_counted() -> None:
    world = World(tranches=1)
    world.append("a", "Opened", "Changed", "Changed")
    worker = world.worker(Failing(1, 3), terms=Terms(max_tries=1), on_failure=OnFailure.SKIP)
    worker.step()
    assert (worker.counts.skipped, worker.counts.handled) == (2, 1)


def test_parked_event_says_why_and_when_and_behind_which_it_waits() -> None:
    world = World(tranches=1)
    world.append("a", "Opened", "Changed", "Changed")
    terms = Terms(max_tries=1)
    world.worker(
        Failing(1), terms=terms, on_failure=OnFailure.PARK_STREAM, now_us=lambda: 1_700_000_000_000_000
    ).step()
    first, *others = world.checkpoints.read_parked("view")
    assert (first.event_id, first.reason) == (1, "ValueError: not 1")
    assert "raise ValueError" in first.traceback
    why = "behind event 1 of its stream, which is parked"
    assert [(of.event_id, of.reason, of.traceback) for of in others] == [(2, why, ""), (3, why, "")]
    assert {of.parked_at_us for of in (first, *others)} == {1_700_000_000_000_000}


def test_item_that_is_no_event_is_parked_with_what_is_wrong_with_it() -> None:
    world, handler = World(tranches=1), Failing()
    world.append("a", "Opened")
    bad = MalformedItem(stream_id="a", event_id=1, reason="'Payload' is missing")

    class Bodies:
        def read_events(self, _addresses: Any) -> dict[tuple[str, int], Event | MalformedItem]:
            return {("a", 1): bad}

        def read_stream(self, *_: object, **__: object) -> Any:
            return iter(())

    world.worker(handler, bodies=Bodies(), on_failure=OnFailure.PARK).step()
    (parked,) = world.checkpoints.read_parked("view")
    assert (parked.event_id, parked.reason, handler.calls) == (1, str(bad), [])


def test_error_whose_text_can_not_be_made_is_parked_by_its_name() -> None:
    class Mute(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    def fails(_event: Event) -> None:
        raise Mute

    world = World(tranches=1)
    world.append("a", "Opened")
    world.worker(fails, terms=Terms(max_tries=1), on_failure=OnFailure.PARK).step()
    (parked,) = world.checkpoints.read_parked("view")
    assert parked.reason == "Mute: its text can't be made"


def test_handler_that_returns_what_is_later_is_named() -> None:
    def returns_later(_event: Event) -> object:
        return lambda: None

    world = World(tranches=1)
    world.append("a", "Opened")
    with pytest.raises(NotSynchronous) as caught:
        world.worker(returns_later).step()
    assert caught.value.field == "handler"
    assert "returns_later" in str(caught.value)


def test_group_is_not_read_again_before_the_leases_are_due() -> None:
    world, reads = World(tranches=2), list[str]()
    read_group = world.checkpoints.read_group

    def noted(subscription: str) -> Any:
        reads.append(subscription)
        return read_group(subscription)

    world.checkpoints.read_group = noted  # type: ignore[method-assign]
    worker = world.worker()
    worker.step()
    assert reads
    reads.clear()
    world.append("a", "Opened")
    worker.step()
    worker.step()
    assert (reads, world.seen) == ([], [("a", 1)])


def test_error_whose_traceback_can_not_be_made_is_parked_without_one() -> None:
    class Odd(Exception):
        def __getattr__(self, name: str) -> object:
            raise RuntimeError(f"no {name}")

    def fails(_event: Event) -> None:
        raise Odd("no good")

    world = World(tranches=1)
    world.append("a", "Opened")
    world.worker(fails, terms=Terms(max_tries=1), on_failure=OnFailure.PARK).step()
    (parked,) = world.checkpoints.read_parked("view")
    assert (parked.reason, parked.traceback) == ("Odd: no good", "")


def test_interrupt_ends_a_worker_in_a_process_without_asyncio(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_event: Event) -> None:
        monkeypatch.delitem(sys.modules, "asyncio")
        raise KeyboardInterrupt

    world = World(tranches=1)
    world.append("a", "Opened")
    with pytest.raises(KeyboardInterrupt):
        world.worker(interrupted).step()
