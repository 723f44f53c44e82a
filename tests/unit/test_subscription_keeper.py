"""Handlers that take long: their leases are renewed meanwhile, for so long and no longer."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from eventstore import Event
from eventstore.errors import StoreUnavailable
from eventstore.subscriptions import Subscription, Terms
from eventstore.subscriptions.keeper import Keeper
from tests.unit.test_subscriptions import World


class Hangs(BaseException):
    """The test leaves a worker whose handler never returns."""


def takes(world: World, worker: Callable[[], Subscription], seconds: int) -> None:
    """Let time go by in a handler, as its worker's second thread sees it."""
    for _ in range(seconds):
        world.now_s += 1.0
        worker()._keeper.look()


def test_event_of_most_of_the_lease_time_is_handled_once() -> None:
    world = World(tranches=2)
    for number in range(8):
        world.append(f"s-{number}", "Opened", "Changed")
    others = [world.worker(worker="z-other")]  # of two, the first by name keeps what is over its share

    def handle(event: Event) -> None:
        world.handle(event)
        for _ in range(25):
            takes(world, lambda: slow, 1)
            for other in others:
                other.step()

    slow: Subscription = world.worker(handle, worker="a-slow")
    for _ in range(20):
        for worker in (slow, *others):
            worker.step()
        world.now_s += 1.0
    assert len(world.seen) == 16 == len(set(world.seen))
    assert slow.counts.handled > 0


@pytest.mark.parametrize("max_starts", [1, 3])
def test_event_that_takes_longer_than_it_may_is_parked_after_so_many(max_starts: int) -> None:
    world = World(tranches=1)
    world.append("a", "Opened")
    world.append("b", "Opened")
    calls, workers = [0], list[Subscription]()

    def hangs(event: Event) -> None:
        if event.stream_id == "b":
            world.handle(event)
            return
        calls[0] += 1
        takes(world, lambda: workers[-1], 200)
        raise Hangs

    for _ in range(20):
        workers.append(world.worker(hangs, terms=Terms(call_s=60.0, max_starts=max_starts)))
        try:
            for _ in range(10):
                workers[-1].step()
                world.now_s += 5.0
        except Hangs:
            continue
        break
    assert calls[0] <= max_starts + 1
    assert [of.stream_id for of in world.checkpoints.read_parked("view")] == ["a"]
    assert world.seen == [("b", 1)]


def test_lease_is_renewed_for_as_long_as_a_call_may_take_and_not_behind_it() -> None:
    now, renewed = [100.0], list[float]()
    keeper = Keeper(
        lambda: renewed.append(now[0]),
        interval_s=5.0,
        most_s=15.0,
        monotonic=lambda: now[0],
        has_thread=False,
    )
    keeper.look()
    with keeper.beside():
        for _ in range(30):
            now[0] += 1.0
            keeper.look()
    now[0] += 10.0
    keeper.look()
    assert renewed == [105.0, 110.0, 115.0]


def test_renewal_that_fails_is_told_and_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    now, tries = [0.0], [0]

    def renew() -> None:
        tries[0] += 1
        raise StoreUnavailable(operation="renew", reason="throttled")

    keeper = Keeper(renew, interval_s=5.0, most_s=100.0, monotonic=lambda: now[0], has_thread=False)
    with keeper.beside():
        for _ in range(2):
            now[0] += 5.0
            keeper.look()
    assert tries == [2]
    told = "leases can't be renewed while an event is handled: renew did not succeed: throttled"
    assert [message[: len(told)] for message in caplog.messages] == [told] * 2


def test_thread_looks_twice_an_interval_until_it_ends() -> None:
    waits: list[float] = []

    class Over(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            assert timeout is not None
            waits.append(timeout)
            return len(waits) == 3

    looks: list[None] = []

    def now() -> float:
        looks.append(None)
        return 0.0

    keeper = Keeper(lambda: None, interval_s=5.0, most_s=15.0, monotonic=now, has_thread=True)
    keeper._run(Over())
    assert (waits, len(looks)) == ([2.5] * 3, 2)


def test_one_thread_keeps_the_leases_of_all_calls_until_the_end() -> None:
    before = set(threading.enumerate())

    def threads() -> set[threading.Thread]:
        return set(threading.enumerate()) - before

    keeper = Keeper(lambda: None, interval_s=5.0, most_s=15.0, monotonic=lambda: 0.0, has_thread=True)
    with keeper.beside():
        first = threads()
    with keeper.beside():
        assert threads() == first
    keeper.end()
    for thread in first:
        thread.join(300)
    assert (len(first), threads()) == (1, set())


def test_worker_renews_its_lease_in_a_second_thread_while_its_handler_waits() -> None:
    world = World(tranches=1)
    world.append("a", "Opened")

    def counter() -> int:
        return world.checkpoints.read_group("view").leases[0].counter

    def handle(event: Event) -> None:
        begun, patience = counter(), time.monotonic() + 300
        while counter() < begun + 3 and time.monotonic() < patience:
            time.sleep(0.01)
        assert counter() >= begun + 3
        world.handle(event)

    before = set(threading.enumerate())
    worker = world.worker(handle, monotonic=time.monotonic, terms=Terms(lease_s=0.3))
    worker.step()
    assert world.seen == [("a", 1)]
    (thread,) = (one for one in set(threading.enumerate()) - before if one.name == "eventstore-leases")
    worker.close()
    thread.join(300)
    assert not thread.is_alive()
