"""Leases and workers that come and go by hand, rebuilds with an old projection, and the end."""

from __future__ import annotations

import logging
import signal
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Any, Final

import pytest

from eventstore import Event
from eventstore.errors import (
    InvalidArgument,
    LeaseLost,
    PositionOfAnotherLog,
    StoreUnavailable,
    SubscriptionNotFound,
    TranchesChanged,
    WorkerIdInUse,
    WorkerRunning,
)
from eventstore.memory.checkpoints import MemoryEventBodies
from eventstore.memory.log import MemoryEventLog
from eventstore.memory.read_model import MemoryReadModel
from eventstore.subscriptions import From, Projection, Subscription, Terms
from eventstore.subscriptions.stop import Stop
from tests.unit.test_subscriptions import World

AWAY: Final = StoreUnavailable(operation="TransactWriteItems", reason="throttled")


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


def same_log(world: World, *, tranches: int) -> MemoryEventLog:
    """Make what the world's log would be with another number of tranches."""
    log = MemoryEventLog(tranches=tranches)
    log._log_id = world.log.log_id
    return log


def test_lower_number_of_tranches_is_refused_without_a_last_lease_too() -> None:
    world = World(tranches=4)
    world.worker().step()
    del world.checkpoints._kept["view"].leases[3]
    with pytest.raises(TranchesChanged) as caught:
        world.worker(log=same_log(world, tranches=3)).step()
    assert (caught.value.begun_with, caught.value.given) == (4, 3)


def test_leases_of_another_log_are_refused_and_stay() -> None:
    world = World(tranches=2)
    world.append("a", "Opened")
    first = world.worker()
    first.step()
    first.close()
    before = dict(world.checkpoints.read_group("view").leases)
    rebuilt = MemoryEventLog(tranches=2)
    for from_ in (From.BEGINNING, From.CHECKPOINT):
        with pytest.raises(PositionOfAnotherLog, match="begins anew under another name") as caught:
            world.worker(log=rebuilt, from_=from_).step()
        assert (caught.value.given, caught.value.log_id) == (world.log.log_id, rebuilt.log_id)
    assert world.checkpoints.read_group("view").leases == before
    assert {lease.log_id for lease in before.values()} == {world.log.log_id}


@pytest.mark.parametrize("log_id", ["another", ""], ids=["rebuilt", "deleted"])
def test_worker_that_nobody_stopped_ends_when_its_log_is_another_one(log_id: str) -> None:
    world = World(tranches=2)
    world.append("a", "Opened")
    worker = world.worker()
    worker.step()
    before = {tranche: of.place for tranche, of in world.checkpoints.read_group("view").leases.items()}
    known, world.log._log_id = world.log.log_id, log_id
    for _ in range(2):
        with pytest.raises(PositionOfAnotherLog) as caught:
            worker.step()
        assert (caught.value.given, caught.value.log_id) == (known, log_id)
    assert {
        tranche: of.place for tranche, of in world.checkpoints.read_group("view").leases.items()
    } == before


def test_worker_begins_no_leases_while_there_is_no_log_any_more() -> None:
    world = World(tranches=2)
    world.append("a", "Opened")
    worker = world.worker()
    worker.step()
    world.checkpoints._kept["view"].leases.clear()
    world.log._log_id = ""
    worker.step()
    assert world.checkpoints.read_group("view").leases == {}


def test_subscription_begins_with_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(tranches=2)
    world.append("a", "Opened")
    worker = world.worker()
    with monkeypatch.context() as not_begun:
        not_begun.setattr(world.log, "_log_id", "")
        assert worker.step() == 0
        assert world.checkpoints.read_group("view").leases == {}
    assert worker.step() == 1
    assert world.seen == [("a", 1)]


def test_checkpoint_that_was_deleted_is_missed_by_who_has_to_begin_at_it() -> None:
    world = World(tranches=1)
    world.worker().step()
    worker = world.worker(from_=From.CHECKPOINT)
    worker.step()
    world.checkpoints._kept["view"].leases.clear()
    world.now_s += 60.0
    with pytest.raises(SubscriptionNotFound):
        worker.step()


def test_former_owner_of_a_lease_that_was_made_again_stores_nothing() -> None:
    world = World(tranches=1)
    world.append("a", *["Opened"] * 3)
    zombie, owner = world.worker(worker="z"), world.worker(worker="o")
    zombie.step()
    lease = zombie._holding.membership.leases[0]
    world.checkpoints._kept["view"].leases.clear()
    owner.step()
    assert owner._holding.membership.leases[0].fence == lease.fence
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


def test_pause_that_is_over_before_it_began_to_wait_ends_all_the_same() -> None:
    """As after a halt of the process; a `SimpleQueue` that has a timeout waits for ever then."""

    def pause_often() -> None:
        for _ in range(30_000):
            Stop().pause(1e-9)

    thread = threading.Thread(target=pause_often, daemon=True)
    thread.start()
    thread.join(60)
    assert not thread.is_alive()


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


# --- one worker in several threads ------------------------------------------------------------------------


def test_second_thread_of_one_worker_is_refused_and_each_event_handled_once() -> None:
    world = World(tranches=1)
    world.append("a", *["Opened"] * 3)
    refused: list[type[BaseException]] = []

    def call(method: Callable[[], object]) -> None:
        try:
            method()
        except Exception as error:  # noqa: BLE001 - which one is what's tested
            refused.append(type(error))

    def handle(event: Event) -> None:
        for method in (worker.step, worker.run_forever, worker.close):
            thread = threading.Thread(target=call, args=[method])
            thread.start()
            thread.join()
            call(method)  # out of the handler itself
        world.handle(event)

    worker = world.worker(handle)
    worker.run(until=lambda: len(world.seen) >= 3)
    assert world.seen == [("a", 1), ("a", 2), ("a", 3)]
    assert refused == [WorkerRunning] * 18
    worker.step()  # another call, when the first is over
    worker.close()


# --- again behind a stop ----------------------------------------------------------------------------------


def test_stop_ends_the_run_that_begins_next_then_the_worker_may_run_again() -> None:
    world = World(tranches=1)
    world.append("a", "Opened")
    worker = world.worker()
    worker.stop()
    worker.stop()
    worker.run_forever()
    assert world.seen == []
    worker.run(until=lambda: bool(world.seen))
    assert world.seen == [("a", 1)]


def test_step_handles_nothing_behind_a_stop_until_the_worker_is_closed() -> None:
    world = World(tranches=1)
    world.append("a", "Opened")
    worker = world.worker()
    worker.stop()
    assert (worker.step(), world.seen) == (0, [])
    worker.close()
    assert (worker.step(), world.seen) == (1, [("a", 1)])


def test_stop_ends_a_pause_at_once_each_time() -> None:
    world = World(tranches=1)
    worker = world.worker(sleep=None, terms=Terms(poll_s=3_600.0, lease_s=36_000.0))
    for _ in range(3):
        thread = threading.Thread(target=worker.run_forever)
        thread.start()
        worker.stop()
        thread.join(60)
        assert not thread.is_alive()


@pytest.mark.parametrize("worker_id", [b"x", "", "x" * 201, "\ud800", "x\x00y", 5])
def test_worker_id_that_no_key_can_hold_is_refused_at_once(worker_id: Any) -> None:
    with pytest.raises(InvalidArgument, match=r"^worker: "):
        World().worker(worker=worker_id)
    World().worker(worker="ä" * 200)
