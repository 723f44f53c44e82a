"""Events that end their worker, and what is kept of a failure."""

from __future__ import annotations

import asyncio
import logging
import pickle
from collections.abc import Callable
from typing import Any
from unittest.mock import patch

import pytest

from eventstore import Event, NewEvent
from eventstore.errors import HandlerFailed, StoreUnavailable
from eventstore.log.model import tranche_of
from eventstore.memory.checkpoints import MemoryEventBodies
from eventstore.memory.store import MemoryEventStore
from eventstore.subscriptions import OnFailure, Subscription, Terms
from tests.unit.test_subscriptions import World


def ids(world: World, stream_id: str = "a") -> list[int]:
    return [event_id for stream, event_id in world.seen if stream == stream_id]


def parked(world: World) -> list[tuple[str, int]]:
    return [(of.stream_id, of.event_id) for of in world.checkpoints.read_parked("view")]


def fails(_event: Event) -> None:
    raise ValueError("no good \udce9")


# --- events that end their worker -------------------------------------------------------------------------


class Killed(BaseException):
    """As by kill -9: nothing of the worker runs any more."""


def kills(world: World, event_id: int, error: BaseException) -> Callable[[Event], None]:
    def handle(event: Event) -> None:
        if (event.stream_id, event.event_id) == ("a", event_id):
            raise error
        world.handle(event)

    return handle


@pytest.mark.parametrize("max_starts", [1, 3])
def test_event_that_leaves_its_worker_by_an_exit_is_parked_after_so_many(max_starts: int) -> None:
    world = World(tranches=1)
    world.append("a", *["Opened"] * 4)
    world.append("b", "Opened")
    handle = kills(world, 3, SystemExit(1))
    terms = Terms(max_starts=max_starts)
    for count in range(1, max_starts + 1):
        with pytest.raises(SystemExit):
            world.worker(handle, terms=terms).run_forever()
        start = world.checkpoints.read_group("view").leases[0].start
        assert start is not None
        assert (start.stream_id, start.event_id, start.count) == ("a", 3, count)
    world.worker(handle, terms=terms).run(until=lambda: ("b", 1) in world.seen)

    assert world.seen == [("a", 1), ("a", 2), ("b", 1)]
    assert parked(world) == [("a", 3), ("a", 4)]
    reason = next(iter(world.checkpoints.read_parked("view"))).reason
    assert f"{max_starts} workers ended while they handled it" in reason
    assert world.checkpoints.read_group("view").leases[0].start is None
    assert world.worker().retry_parked().handled == 2


def die(world: World, handler: Any, **options: Any) -> None:
    """Let a worker run until it's killed: it stores and frees nothing more."""
    worker = world.worker(handler, **options)

    def live() -> None:
        for _ in range(20):
            worker.step()
            world.now_s += 5.0

    with pytest.raises(Killed):
        live()


@pytest.mark.parametrize("worker_id", [None, "pod-0"])
def test_event_that_kills_its_worker_is_parked_after_so_many(worker_id: str | None) -> None:
    world = World(tranches=1)
    world.append("a", *["Opened"] * 4)
    world.append("b", "Opened")
    handle = kills(world, 3, Killed())
    for _ in range(4):  # the first one's start isn't counted: there was no reason to
        die(world, handle, worker=worker_id)
        world.now_s += 60.0
    last = world.worker(handle, worker=worker_id)
    for _ in range(10):
        last.step()
        world.now_s += 5.0
    assert parked(world) == [("a", 3), ("a", 4)]
    assert set(world.seen) == {("a", 1), ("a", 2), ("b", 1)}


def test_event_in_a_hole_that_kills_its_worker_is_parked_too() -> None:
    world, store = World(tranches=1), MemoryEventStore()
    events = store.append("a", [NewEvent.of("Opened")] * 5, expected=0).events
    world.log.append_block(0, events[:1])
    world.log.append_block(0, events[4:])
    bodies, handle = MemoryEventBodies(store), kills(world, 3, Killed())
    for _ in range(4):
        die(world, handle, bodies=bodies)
        world.now_s += 60.0
    last = world.worker(handle, bodies=bodies)
    for _ in range(10):
        last.step()
        world.now_s += 5.0
    assert parked(world) == [("a", 3), ("a", 4), ("a", 5)]


def test_starts_are_stored_only_behind_a_worker_that_did_not_free_its_lease() -> None:
    world, stored = World(tranches=1), list[object]()
    renew = world.checkpoints.renew

    def watched(*args: Any, **options: Any) -> Any:
        stored.append(options["start"])
        return renew(*args, **options)

    world.checkpoints.renew = watched  # type: ignore[method-assign]
    world.append("a", *["Opened"] * 20)
    first = world.worker(kills(world, 20, Killed()), terms=Terms(checkpoint_events=8))
    with pytest.raises(Killed):
        first.step()
    assert stored == [None, None]  # after 8 and 16 events

    stored.clear()
    world.append("a", *["Opened"] * 20)
    world.now_s += 60.0
    second = world.worker(terms=Terms(checkpoint_events=8))
    for _ in range(8):
        second.step()
        world.now_s += 5.0
    starts = [start for start in stored if start is not None]
    assert [start.event_id for start in starts] == list(range(17, 25))  # type: ignore[attr-defined]


def test_users_own_interrupt_is_not_counted() -> None:
    world = World(tranches=1)
    world.append("a", "Opened")
    for _ in range(5):
        with pytest.raises(KeyboardInterrupt):
            world.worker(kills(world, 1, KeyboardInterrupt())).run_forever()
        assert world.checkpoints.read_group("view").leases[0].start is None
    world.worker().step()
    assert ids(world) == [1]


def test_interrupt_takes_back_the_start_that_was_counted() -> None:
    world = World(tranches=1)
    world.append("a", "Opened")
    die(world, kills(world, 1, Killed()))
    for _ in range(5):
        world.now_s += 60.0
        with pytest.raises(KeyboardInterrupt):
            world.worker(kills(world, 1, KeyboardInterrupt())).run(until=lambda: world.now_s > 10_000)
    world.worker().step()
    assert ids(world) == [1]


def test_cancelled_part_of_a_handler_is_a_failure_like_others() -> None:
    world = World(tranches=1)
    world.append("a", "Opened")
    world.append("b", "Opened")

    def handle(event: Event) -> None:
        if event.stream_id == "a":
            raise asyncio.CancelledError
        world.handle(event)

    world.worker(handle).step()
    assert (parked(world), world.seen) == ([("a", 1)], [("b", 1)])


INTERRUPTED = BaseExceptionGroup("tasks", [BaseExceptionGroup("", [KeyboardInterrupt()])])
ALSO_FAILED = BaseExceptionGroup("tasks", [KeyboardInterrupt(), asyncio.CancelledError(), ValueError("x")])


@pytest.mark.parametrize("error", [INTERRUPTED, ALSO_FAILED], ids=["alone", "with what failed"])
def test_users_own_interrupt_in_a_group_is_not_counted(error: BaseExceptionGroup[BaseException]) -> None:
    world = World(tranches=1)
    world.append("a", "Opened")
    for _ in range(5):
        with pytest.raises(BaseExceptionGroup):
            world.worker(kills(world, 1, error)).run_forever()
        assert world.checkpoints.read_group("view").leases[0].start is None
    world.worker().step()
    assert ids(world) == [1]


def test_group_with_an_exit_ends_its_worker_and_is_counted() -> None:
    world = World(tranches=1)
    world.append("a", "Opened")
    error = BaseExceptionGroup("tasks", [KeyboardInterrupt(), SystemExit()])
    with pytest.raises(BaseExceptionGroup):
        world.worker(kills(world, 1, error)).run_forever()
    start = world.checkpoints.read_group("view").leases[0].start
    assert start is not None
    assert start.count == 1


def test_group_of_cancelled_parts_is_a_failure_like_others() -> None:
    world = World(tranches=1)
    world.append("a", "Opened")
    error = BaseExceptionGroup("tasks", [asyncio.CancelledError(), ValueError("x")])
    world.worker(kills(world, 1, error)).step()
    assert parked(world) == [("a", 1)]


def test_stop_at_an_event_that_ended_workers_gives_it_to_the_next_run() -> None:
    world = World(tranches=1)
    world.append("a", "Opened")
    terms = Terms(max_starts=1)
    with pytest.raises(SystemExit):
        world.worker(kills(world, 1, SystemExit(1)), terms=terms, on_failure=OnFailure.STOP).run_forever()
    with pytest.raises(HandlerFailed, match="1 workers ended"):
        world.worker(terms=terms, on_failure=OnFailure.STOP).run_forever()
    world.worker(terms=terms, on_failure=OnFailure.STOP).step()
    assert ids(world) == [1]


def taken_over(world: World, handler: Callable[[Event], object], **options: Any) -> Subscription:
    """Return a worker that took its tranche from one that's gone, as its handler is called or just before."""
    worker = world.worker(handler, **options)
    for _ in range(10):
        try:
            worker.step()
        except StoreUnavailable:
            return worker
        world.now_s += 5.0
    raise AssertionError("nothing was away")


def is_away(_event: Event) -> None:
    raise StoreUnavailable(operation="append", reason="throttled")


def test_end_while_what_a_handler_needs_is_away_is_not_counted() -> None:
    world = World(tranches=1)
    world.append("a", "Opened")
    die(world, kills(world, 1, Killed()))
    for _ in range(5):
        world.now_s += 60.0
        taken_over(world, is_away)  # killed in its pause: nothing of it runs any more
    world.now_s += 60.0
    taken_over(world, is_away).close()
    world.worker().step()
    assert (ids(world), parked(world)) == ([1], [])


def test_start_that_could_not_be_stored_is_not_counted() -> None:
    world = World(tranches=1)
    world.append("a", "Opened")
    die(world, kills(world, 1, Killed()))
    renew = world.checkpoints.renew

    def without_starts(*args: Any, **options: Any) -> Any:
        if options["start"]:
            raise StoreUnavailable(operation="renew", reason="throttled")
        return renew(*args, **options)

    world.now_s += 60.0
    with patch.object(world.checkpoints, "renew", without_starts):
        taken_over(world, world.handle).close()
    assert (ids(world), world.checkpoints.read_group("view").leases[0].start) == ([], None)


def test_event_that_is_begun_again_counts_once_among_those_that_are_stored() -> None:
    world, stored = World(tranches=1), list[int]()
    world.append("a", *["Opened"] * 4)
    die(world, kills(world, 1, Killed()))
    renew, away = world.checkpoints.renew, [3]

    def watched(*args: Any, **options: Any) -> Any:
        stored.extend([options["start"].event_id] if options["start"] else [])
        return renew(*args, **options)

    def handle(event: Event) -> None:
        if away[0]:
            away[0] -= 1
            is_away(event)
        world.handle(event)

    world.now_s += 60.0
    with patch.object(world.checkpoints, "renew", watched):
        worker = taken_over(world, handle, terms=Terms(checkpoint_events=2))
        for _ in range(2):
            with pytest.raises(StoreUnavailable):
                worker.step()
        worker.step()
    assert (stored, ids(world)) == ([1, 1, 1, 1, 2], [1, 2, 3, 4])


def test_start_that_is_not_taken_back_is_told_and_hides_no_error(caplog: pytest.LogCaptureFixture) -> None:
    world = World(tranches=1)
    world.append("a", "Opened")
    die(world, kills(world, 1, Killed()))
    renew, is_begun = world.checkpoints.renew, [False]

    def only_starts(*args: Any, **options: Any) -> Any:
        if is_begun[0]:
            raise StoreUnavailable(operation="renew", reason="throttled")
        is_begun[0] = options["start"] is not None
        return renew(*args, **options)

    world.now_s += 60.0
    with patch.object(world.checkpoints, "renew", only_starts):
        worker = taken_over(world, is_away)
    assert "subscription view: event 1 of a counts as begun until the next write: renew did" in caplog.text
    worker.close()
    assert world.checkpoints.read_group("view").leases[0].start is None


def test_wait_of_a_worker_whose_lease_was_taken_stores_nothing() -> None:
    world = World(tranches=1)
    world.append("a", "Opened")
    die(world, kills(world, 1, Killed()))
    checkpoints, join = world.checkpoints, world.checkpoints.join

    def lose(_event: Event) -> None:
        checkpoints.take("view", checkpoints.read_group("view").leases[0], owner="another")
        world.now_s += 60.0
        raise ValueError

    def join_before(*args: Any, **options: Any) -> bool:
        if checkpoints.read_group("view").leases[0].owner == "another":
            raise StoreUnavailable(operation="join", reason="throttled")
        return join(*args, **options)

    world.now_s += 60.0
    with patch.object(checkpoints, "join", join_before):
        taken_over(world, lose)
    start = checkpoints.read_group("view").leases[0].start
    assert start is not None
    assert start.count == 1


def test_tranche_that_moves_between_tries_of_an_event_counts_none() -> None:
    world = World(tranches=2)
    stream_id = next(name for name in "abcdefgh" if tranche_of(name, tranches=2) == 1)
    world.append(stream_id, "Opened")

    def kill(_event: Event) -> None:
        raise Killed

    def share(_event: Event) -> None:
        world.checkpoints.join("view", "zoe", session="s", is_first=True)
        world.now_s += 6.0
        raise ValueError

    die(world, kill)
    world.now_s += 60.0
    worker = world.worker(share, worker="bob")
    for _ in range(6):
        worker.step()
        world.now_s += 5.0
    lease = world.checkpoints.read_group("view").leases[1]
    assert (worker.tranches, lease.owner, lease.start) == ({0}, None, None)


# --- what is kept of a failure ----------------------------------------------------------------------------


def test_traceback_is_kept_with_the_parked_event_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    world = World(tranches=1)
    world.append("a", *["Opened"] * 2)
    with caplog.at_level(logging.WARNING, "eventstore.subscriptions"):
        world.worker(fails).step()

    first, behind = world.checkpoints.read_parked("view")
    assert first.reason == r"ValueError: no good \udce9"
    assert "in fails" in first.traceback
    assert first.traceback.endswith("ValueError: no good \\udce9\n")
    assert behind.traceback == ""
    assert "in fails" in caplog.text
    first.traceback.encode()


def test_long_traceback_keeps_its_end() -> None:
    world = World(tranches=1)
    world.append("a", "Opened")

    def handle(_event: Event) -> None:
        raise ValueError("x" * 9_000 + "end")

    world.worker(handle).step()
    (of,) = world.checkpoints.read_parked("view")
    assert len(of.traceback) == 4_000
    assert of.traceback.endswith("end\n")


def test_error_that_can_not_be_written_is_a_failure_like_others() -> None:
    class Unwritable(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no text")

    world = World(tranches=1)
    world.append("a", "Opened")
    world.worker(kills(world, 1, Unwritable())).step()
    assert next(iter(world.checkpoints.read_parked("view"))).reason == "Unwritable: its text can't be made"


def test_stop_carries_the_handlers_error_as_cause_and_as_text() -> None:
    world = World(tranches=1)
    world.append("a", "Opened")
    with pytest.raises(HandlerFailed) as caught:
        world.worker(fails, on_failure=OnFailure.STOP).step()
    assert isinstance(caught.value.__cause__, ValueError)
    assert "in fails" in pickle.loads(pickle.dumps(caught.value)).traceback
