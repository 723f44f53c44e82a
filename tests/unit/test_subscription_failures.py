"""What a subscription does when its handler isn't done, is cut off from what it needs, or ends its worker."""

from __future__ import annotations

import asyncio
import functools
import logging
import pickle
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Any, Final

import pytest

from eventstore import (
    Event,
    FailedEventsUnavailable,
    HandlerFailed,
    HandlerUnavailable,
    InvalidSubscription,
    LeaseLost,
    NewEvent,
    NotSynchronous,
    StoreUnavailable,
    SubscriptionNotFound,
    TranchesChanged,
    WorkerIdInUse,
)
from eventstore.adapters.memory import MemoryEventStore
from eventstore.adapters.memory_checkpoints import MemoryEventBodies, MemoryReadModel
from eventstore.adapters.memory_log import MemoryEventLog
from eventstore.subscriptions import From, OnFailure, Projection, Subscription, Terms
from tests.unit.test_subscriptions import World

AWAY: Final = StoreUnavailable(operation="TransactWriteItems", reason="throttled")


def ids(world: World, stream_id: str = "a") -> list[int]:
    return [event_id for stream, event_id in world.seen if stream == stream_id]


def parked(world: World) -> list[tuple[str, int]]:
    return [(of.stream_id, of.event_id) for of in world.checkpoints.read_parked("view")]


# --- handlers that return before their work is done -----------------------------------------------------


async def later(_event: Event) -> None: ...


def generator(_event: Event) -> Iterator[int]:
    yield 1


class Async:
    async def __call__(self, event: Event) -> None: ...

    async def handle(self, event: Event) -> None: ...


@pytest.mark.parametrize(
    "handler",
    [later, generator, Async(), Async().handle, functools.partial(later), functools.partial(Async().handle)],
)
def test_handler_that_is_later_is_refused_when_the_subscription_is_made(handler: Any) -> None:
    with pytest.raises(NotSynchronous, match=r"handler: is .*asyncio\.run"):
        World().worker(handler)


@functools.wraps(later)
def decorated(event: Event) -> object:
    return later(event)


@pytest.mark.parametrize("on_failure", OnFailure)
@pytest.mark.parametrize("handler", [decorated, lambda event: generator(event), lambda _: Future()])  # noqa: PLW0108
def test_handler_that_returns_what_is_later_ends_its_worker_and_nothing_is_stored(
    handler: Any, on_failure: OnFailure
) -> None:
    world = World(tranches=1)
    world.append("a", "Opened", "Changed")
    worker = world.worker(handler, on_failure=on_failure)
    with pytest.raises(NotSynchronous, match="for event 1 of stream 'a'"):
        worker.run_forever()

    assert (worker.counts.handled, worker.counts.skipped, worker.counts.parked) == (0, 0, 0)
    assert world.place() == (1, 0)
    assert parked(world) == []
    assert world.checkpoints.read_group("view").leases[0].owner is None
    world.worker().step()
    assert ids(world) == [1, 2]


def test_handler_that_waits_for_its_async_part_is_fine() -> None:
    world = World(tranches=1)
    world.append("a", "Opened")

    @functools.wraps(later)
    def waits(event: Event) -> None:
        asyncio.run(later(event))
        world.handle(event)

    world.worker(waits).step()
    assert ids(world) == [1]


def test_parked_event_stays_parked_when_the_handler_is_later() -> None:
    world = World(tranches=1)
    world.append("a", "Opened")
    world.worker(fails).step()
    with pytest.raises(NotSynchronous):
        world.worker(decorated).retry_parked()
    assert parked(world) == [("a", 1)]


@pytest.mark.parametrize("project", [later, generator, Async(), None])
def test_projection_that_is_later_is_refused_when_it_is_made(project: Any) -> None:
    with pytest.raises((NotSynchronous, InvalidSubscription), match="project: is"):
        Projection(name="p", project=project, read_model=MemoryReadModel())


def test_projection_that_returns_what_is_later_writes_nothing() -> None:
    world, read_model = World(tranches=1), MemoryReadModel()
    world.append("a", "Opened")
    worker = world.worker(Projection(name="p", project=decorated, read_model=read_model))  # type: ignore[arg-type]
    with pytest.raises(NotSynchronous, match="project: "):
        worker.run_forever()
    assert (read_model.last, world.place()) == ({}, (1, 0))


def test_read_model_that_is_later_is_refused() -> None:
    class Later(MemoryReadModel):
        async def write(self, *_: Any, **__: Any) -> bool:  # type: ignore[override]
            return True

    with pytest.raises(NotSynchronous, match=r"read_model\.write"):
        Projection(name="p", project=lambda _: [], read_model=Later())  # type: ignore[arg-type]


@pytest.mark.parametrize("writes", [None, "write", {"Put": {}}, 1])
def test_projection_that_returns_no_list_is_parked_with_what_it_returned(writes: Any) -> None:
    world, read_model = World(tranches=1), MemoryReadModel()
    world.append("a", "Opened")
    world.worker(Projection(name="p", project=lambda _: writes, read_model=read_model)).step()
    (of,) = world.checkpoints.read_parked("view")
    assert "return a list of writes, empty for none" in of.reason
    assert read_model.last == {}


@pytest.mark.parametrize("options", [{"sleep": asyncio.sleep}, {"terms": "transient"}])
def test_other_functions_that_are_later_are_refused(options: dict[str, Any]) -> None:
    async def transient(_error: BaseException) -> bool:
        return True

    with pytest.raises(NotSynchronous):
        World().worker(**(options | ({"terms": Terms(transient=transient)} if "terms" in options else {})))  # type: ignore[arg-type]


def test_end_that_is_later_is_refused() -> None:
    async def until() -> bool:
        return True

    with pytest.raises(NotSynchronous, match="until"):
        World().worker().run(until=until)  # type: ignore[arg-type]
    with pytest.raises(NotSynchronous, match="until"):
        World().worker().run(until=lambda: until())  # type: ignore[arg-type, return-value]  # noqa: PLW0108


# --- passing trouble --------------------------------------------------------------------------------------


class Cause(Exception):
    """A user's own error around another one."""


def wrapped(error: BaseException) -> Exception:
    cause = Cause("no row")
    cause.__cause__ = error
    return cause


@pytest.mark.parametrize("on_failure", OnFailure)
@pytest.mark.parametrize(
    "error",
    [AWAY, FailedEventsUnavailable(reason="throttled"), wrapped(AWAY), ExceptionGroup("both", [AWAY, AWAY])],
    ids=lambda error: type(error).__name__,
)
def test_store_that_is_away_for_long_fails_no_event(error: Exception, on_failure: OnFailure) -> None:
    world = World(tranches=1)
    for stream in ("a", "b", "c"):
        world.append(stream, "Opened", "Changed")

    def handle(event: Event) -> None:
        if 10 < world.now_s < 70:
            raise error
        world.now_s += 3
        world.handle(event)

    worker = world.worker(handle, on_failure=on_failure)
    worker.run(until=lambda: len(world.seen) == 6)

    assert sorted(world.seen) == [(stream, n) for stream in "abc" for n in (1, 2)]
    assert (worker.counts.handled, worker.counts.skipped, worker.counts.parked) == (6, 0, 0)
    assert parked(world) == []
    assert world.now_s >= 70


def test_group_of_errors_passes_only_as_a_whole() -> None:
    world = World(tranches=1)
    world.append("a", "Opened")

    def handle(_event: Event) -> None:
        raise ExceptionGroup("both", [AWAY, ValueError("no good")])

    world.worker(handle).step()
    assert parked(world) == [("a", 1)]


def test_users_own_kind_of_passing_trouble_waits_too_and_step_raises_it_with_its_cause() -> None:
    world = World(tranches=1)
    world.append("a", "Opened")

    def handle(event: Event) -> None:
        if world.now_s < 60:
            raise ConnectionRefusedError("mail server")
        world.handle(event)

    worker = world.worker(handle, terms=Terms(transient=lambda error: isinstance(error, OSError)))
    with pytest.raises(HandlerUnavailable, match="ConnectionRefusedError: mail server") as caught:
        worker.step()
    assert isinstance(caught.value.__cause__, ConnectionRefusedError)
    assert (caught.value.subscription, caught.value.stream_id, caught.value.event_id) == ("view", "a", 1)
    worker.run(until=lambda: bool(world.seen))
    assert world.now_s >= 60


def test_worker_keeps_its_leases_while_it_waits_for_what_its_handler_needs() -> None:
    world = World(tranches=1)
    world.append("a", "Opened")
    terms = Terms(lease_s=3.0)
    other = world.worker(worker="b", terms=terms)

    def handle(event: Event) -> None:
        other.step()
        if world.now_s < 100:
            raise AWAY
        world.handle(event)

    worker = world.worker(handle, worker="a", terms=terms)
    worker.run(until=lambda: bool(world.seen))
    assert world.checkpoints.read_group("view").leases[0].fence == 1
    assert (worker.counts.handled, other.counts.handled) == (1, 0)


def test_tranches_that_can_go_on_do_while_others_wait() -> None:
    world = World(tranches=8)
    for n in range(40):
        world.append(f"s-{n}", "Opened")
    stuck = {f"s-{n}" for n in range(0, 40, 20)}

    def handle(event: Event) -> None:
        if event.stream_id in stuck:
            raise AWAY
        world.handle(event)

    worker = world.worker(handle)
    for _ in range(30):
        with pytest.raises(StoreUnavailable):
            worker.step()
    waiting = {of.stream_id for tranche in range(8) for of in world.log.read_tranche(tranche)} - {
        stream for stream, _ in world.seen
    }
    tranches = {
        tranche for tranche in range(8) if stuck & {of.stream_id for of in world.log.read_tranche(tranche)}
    }
    assert waiting <= {of.stream_id for tranche in tranches for of in world.log.read_tranche(tranche)}
    stuck.clear()
    worker.step()
    assert len(set(world.seen)) == 40


def test_parked_events_stay_parked_while_what_the_handler_needs_is_away() -> None:
    world = World(tranches=1)
    world.append("a", "Opened")
    world.worker(fails).step()

    def away(_event: Event) -> None:
        raise AWAY

    with pytest.raises(StoreUnavailable):
        world.worker(away).retry_parked()
    assert parked(world) == [("a", 1)]


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


# --- the group ----------------------------------------------------------------------------------------------


def test_lease_that_was_deleted_is_made_again_and_its_tranche_read_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    world = World(tranches=2)
    for n in range(6):
        world.append(f"s-{n}", "Opened")
    workers = [world.worker(worker=f"w-{n}") for n in range(2)]
    for _ in range(4):
        for worker in workers:
            worker.step()
        world.now_s += 5.0
    before = len(world.seen)
    del world.checkpoints._kept["view"].leases[1]
    world.append("s-0", "Changed")
    with caplog.at_level(logging.WARNING, "eventstore.subscriptions"):
        for _ in range(4):
            for worker in workers:
                worker.step()
            world.now_s += 5.0
    assert set(world.checkpoints.read_group("view").leases) == {0, 1}
    assert frozenset().union(*(worker.tranches for worker in workers)) == {0, 1}
    again = [(entry.stream_id, entry.event_id) for entry in world.log.read_tranche(1)]
    assert again
    assert set(again) <= set(world.seen[before:])
    assert "tranches [1] have no leases any more; they are read again from the beginning" in caplog.text


@pytest.mark.parametrize("from_", [From.BEGINNING, datetime(2026, 1, 1, tzinfo=UTC)])
def test_all_leases_deleted_begin_again(from_: Any) -> None:
    world = World(tranches=2)
    world.append("a", "Opened")
    worker = world.worker(from_=from_)
    worker.step()
    world.checkpoints._kept["view"].leases.clear()
    for _ in range(3):
        world.now_s += 5.0
        worker.step()
    assert world.seen == [("a", 1), ("a", 1)]
    assert worker.tranches == {0, 1}


def test_lower_number_of_tranches_is_refused_also_when_the_last_lease_was_deleted() -> None:
    world = World(tranches=4)
    world.worker().step()
    del world.checkpoints._kept["view"].leases[3]
    with pytest.raises(TranchesChanged) as caught:
        world.worker(log=MemoryEventLog(tranches=3)).step()
    assert (caught.value.begun_with, caught.value.given) == (4, 3)


def test_checkpoint_that_was_deleted_is_missed_by_who_has_to_begin_at_it() -> None:
    world = World(tranches=1)
    world.worker().step()
    worker = world.worker(from_=From.CHECKPOINT)
    worker.step()
    world.checkpoints._kept["view"].leases.clear()
    world.now_s += 60.0
    with pytest.raises(SubscriptionNotFound):
        worker.step()


def test_former_owner_of_a_lease_that_was_deleted_and_made_again_stores_nothing() -> None:
    world = World(tranches=1)
    world.append("a", *["Opened"] * 3)
    zombie, owner = world.worker(worker="z"), world.worker(worker="o")
    zombie.step()
    lease = zombie._membership.leases[0]
    world.checkpoints._kept["view"].leases.clear()
    owner.step()
    assert owner._membership.leases[0].fence == lease.fence
    with pytest.raises(LeaseLost) as caught:
        world.checkpoints.renew("view", lease, place=world.place()._replace(entries=3))
    assert caught.value.taken_by == "o"


def test_of_two_workers_under_one_id_the_earlier_is_told_and_nothing_is_lost() -> None:
    world = World(tranches=2)
    earlier, later_one = world.worker(worker="pod"), world.worker(worker="pod")
    for _ in range(5):
        world.append("a", "Opened")
        world.append("b", "Opened")
    earlier.step()
    later_one.step()
    world.now_s += 5.0
    with pytest.raises(WorkerIdInUse, match="under the same id 'pod'") as caught:
        earlier.run_forever()
    assert (caught.value.subscription, caught.value.worker) == ("view", "pod")
    for _ in range(10):
        world.now_s += 5.0
        later_one.step()
    assert later_one.tranches == {0, 1}
    assert set(world.seen) == {(stream, n) for stream in "ab" for n in range(1, 6)}
    assert set(world.checkpoints.read_group("view").workers) == {"pod"}


def test_worker_that_is_started_again_under_its_id_is_not_told() -> None:
    world = World(tranches=1)
    die_at = world.worker(worker="pod")
    die_at.step()
    again = world.worker(worker="pod")
    for _ in range(5):
        world.now_s += 5.0
        again.step()
    again.close()
    again.step()
    assert again.tranches == {0}


# --- a read model that is built anew -----------------------------------------------------------------------


def test_rebuild_with_the_old_projection_is_warned_of_and_counted_apart(
    caplog: pytest.LogCaptureFixture,
) -> None:
    world, read_model = World(tranches=1), MemoryReadModel()
    world.append("a", *["Opened"] * 10)
    old = Projection(name="view", project=lambda _: [], read_model=read_model)
    first = world.worker(old)
    with caplog.at_level(logging.WARNING, "eventstore.subscriptions"):
        first.step()
        first.close()
        assert (first.counts.handled, first.counts.repeated) == (10, 0)
        assert caplog.text == ""

        world.checkpoints = type(world.checkpoints)()  # as under a new name
        rebuild = world.worker(old)
        rebuild.step()
    assert (rebuild.counts.handled, rebuild.counts.repeated) == (10, 10)
    assert caplog.text.count("give the Projection a new name") == 1


def test_repeats_behind_a_workers_death_are_not_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    world, read_model = World(tranches=1), MemoryReadModel()
    projection = Projection(name="view", project=lambda _: [], read_model=read_model)
    world.append("a", *["Opened"] * 10)
    world.worker(projection, worker="dead").step()
    world.append("a", *["Opened"] * 2)
    heir = world.worker(projection)
    with caplog.at_level(logging.WARNING, "eventstore.subscriptions"):
        for _ in range(9):
            world.now_s += 5.0
            heir.step()
    assert (heir.counts.handled, heir.counts.repeated) == (12, 10)
    assert caplog.text == ""


def test_lost_answer_of_a_projection_is_not_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    world = World(tranches=1)
    world.append("a", "Opened")

    class Loses(MemoryReadModel):
        answers = iter([True, False])

        def write(self, *args: Any, **options: Any) -> bool:
            is_written = super().write(*args, **options)
            if next(self.answers):
                raise AWAY
            return is_written

    worker = world.worker(Projection(name="view", project=lambda _: [], read_model=Loses()))
    with caplog.at_level(logging.ERROR - 5, "eventstore.subscriptions"):
        worker.run(until=lambda: worker.counts.handled == 1)
    assert worker.counts.repeated == 0
    assert "Projection" not in caplog.text


# --- the end ------------------------------------------------------------------------------------------------


def test_stop_in_a_signal_handler_ends_the_worker_wherever_it_is() -> None:
    """A signal handler runs between any two steps: `stop` is called at each line of a pause, one after the
    other, and no run may hang. (A lock that the pause holds then, as an Event's, would be waited for.)
    """
    own = {str(Path(sys.modules[Subscription.__module__].__file__ or "").parent), threading.__file__}
    for line in range(1_000):
        world, left, is_asked = World(), line, False
        worker = world.worker(sleep=None, terms=Terms(poll_s=0.001))

        def interrupt(frame: FrameType, event: str, _arg: object, worker: Subscription = worker) -> Any:
            nonlocal left, is_asked
            if frame.f_code.co_filename not in own and str(Path(frame.f_code.co_filename).parent) not in own:
                return interrupt
            if event == "line" and frame.f_code.co_name in {"pause", "wait", "set", "stop", "ask"}:
                left -= 1
                if left == 0:
                    is_asked = True
                    worker.stop()
            return interrupt

        pauses = iter(range(4))

        def work(worker: Subscription = worker, pauses: Any = pauses, interrupt: Any = interrupt) -> None:
            sys.settrace(interrupt)
            try:
                worker.run(until=lambda: next(pauses, None) is None)
            finally:
                sys.settrace(None)

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        thread.join(300)
        assert not thread.is_alive(), f"stop at line {line} of a pause waits for ever"
        if line and not is_asked:
            return
    raise AssertionError("a pause has more than 1,000 lines")


def test_recipe_of_the_documents_ends_the_worker_at_a_signal() -> None:
    world = World()
    worker = world.worker(sleep=None, terms=Terms(poll_s=3_600.0))
    before = signal.signal(signal.SIGTERM, lambda *_: worker.stop())
    main = threading.main_thread().ident
    assert main is not None
    is_running = threading.Event()

    def read_events(addresses: Any) -> Any:
        is_running.set()
        return MemoryEventBodies(world.store).read_events(addresses)

    def end() -> None:
        is_running.wait(300)
        signal.pthread_kill(main, signal.SIGTERM)

    worker._bodies = type("Bodies", (), {"read_events": staticmethod(read_events)})()
    world.append("a", "Opened")
    sender = threading.Thread(target=end)
    sender.start()
    try:
        worker.run_forever()
    finally:
        sender.join()
        signal.signal(signal.SIGTERM, before)
    assert world.checkpoints.read_group("view").workers == {}
