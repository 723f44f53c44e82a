"""Handlers that return before their work is done, and those cut off from what they need."""

from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, Final

import pytest

from eventstore import Event
from eventstore.errors import (
    FailedEventsUnavailable,
    HandlerUnavailable,
    InvalidSubscription,
    NotSynchronous,
    StoreUnavailable,
)
from eventstore.memory.checkpoints import MemoryCheckpoints
from eventstore.memory.read_model import MemoryReadModel
from eventstore.subscriptions import OnFailure, Projection, Terms
from tests.unit.test_subscriptions import World

AWAY: Final = StoreUnavailable(operation="TransactWriteItems", reason="throttled")


def ids(world: World, stream_id: str = "a") -> list[int]:
    return [event_id for stream, event_id in world.seen if stream == stream_id]


def parked(world: World) -> list[tuple[str, int]]:
    return [(of.stream_id, of.event_id) for of in world.checkpoints.read_parked("view")]


def fails(_event: Event) -> None:
    raise ValueError("no good \udce9")


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
@pytest.mark.parametrize(
    "handler",
    [
        decorated,
        lambda event: generator(event),  # noqa: PLW0108
        lambda _: Future(),
        lambda _: threading.Thread(),
        lambda event: functools.partial(fails, event),
        lambda event: lambda: fails(event),
    ],
    ids=["coroutine", "generator", "future", "thread", "partial", "function"],
)
def test_handler_that_returns_what_is_later_ends_its_worker_storing_nothing(
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
    worker = world.worker(Projection(name="p", project=lambda _: fails, read_model=read_model))  # type: ignore[arg-type,return-value]
    with pytest.raises(NotSynchronous, match=r"project: .*returned the function .*fails for event 1 of"):
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


@pytest.mark.parametrize("returned", [decorated, lambda _: fails])
def test_error_told_as_transient_by_what_is_never_done_ends_the_worker(returned: Any) -> None:
    world = World(tranches=1)
    world.append("a", "Opened")
    with pytest.raises(NotSynchronous, match="transient: "):
        world.worker(fails, terms=Terms(transient=returned)).step()
    assert world.checkpoints.read_group("view").leases[0].place == (1, 0)


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
            raise error.with_traceback(None)  # without the tracebacks of the times before
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


def test_users_own_passing_trouble_waits_too_and_is_raised_with_its_cause() -> None:
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


# --- projections that a handler calls -------------------------------------------------------------------


@pytest.mark.parametrize("form", ["lambda", "method", "asyncio", "swallows"])
def test_rebuild_by_an_old_projection_is_noticed_whatever_is_around_it(form: str, caplog: Any) -> None:
    world, read_model = World(tranches=1), MemoryReadModel()
    world.append("a", *["Opened"] * 5)
    projection: Projection[Any] = Projection(name="p", project=lambda _: [], read_model=read_model)

    async def project(event: Event) -> None:
        projection(event)

    handlers: dict[str, Any] = {
        "lambda": lambda event: projection(event),  # noqa: PLW0108
        "method": projection.__call__,
        "asyncio": lambda event: asyncio.run(project(event)),
        "swallows": lambda event: [projection(event), None][1],
    }
    first = world.worker(handlers[form])
    first.step()
    assert (first.counts.handled, first.counts.repeated) == (5, 0)
    world.checkpoints = MemoryCheckpoints()
    again = world.worker(handlers[form])
    again.step()
    assert (again.counts.handled, again.counts.repeated) == (5, 5)
    assert "give the Projection a new name" in caplog.text


def test_projection_in_a_handler_that_parks_alone_is_refused_at_once() -> None:
    world, read_model = World(tranches=1), MemoryReadModel()
    world.append("a", *["Opened"] * 3)
    projection: Projection[Any] = Projection(name="p", project=lambda _: [], read_model=read_model)

    def handle(event: Event) -> None:
        with suppress(InvalidSubscription):
            projection(event)

    worker = world.worker(handle, on_failure=OnFailure.PARK)
    with pytest.raises(InvalidSubscription, match="PARK_STREAM"):
        worker.run_forever()
    assert (read_model.last, parked(world), world.place()) == ({}, [], (1, 0))
    world.worker(handle).step()
    assert read_model.last == {("p", "a"): 3}
