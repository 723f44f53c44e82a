"""What is stored with a place while a worker goes on, and when: checkpoints, and the starts of events."""

from __future__ import annotations

from typing import Any

import pytest

from eventstore import Event, NewEvent
from eventstore.errors import StoreUnavailable
from eventstore.log.model import tranche_of
from eventstore.memory.checkpoints import MemoryEventBodies
from eventstore.memory.read_model import MemoryReadModel
from eventstore.memory.store import MemoryEventStore
from eventstore.subscriptions import Projection, Start, Terms
from tests.unit.test_subscription_order import LooseWorld
from tests.unit.test_subscription_starts import Killed, die, is_away, kills
from tests.unit.test_subscriptions import World


def renewals(world: World, monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, Start | None]]:
    """Return what grows by each checkpoint that is stored: the block of its place, and the start."""
    stored, renew = list[tuple[int, Start | None]](), world.checkpoints.renew

    def noted(*args: Any, **options: Any) -> Any:
        stored.append((options["place"].block, options["start"]))
        return renew(*args, **options)

    monkeypatch.setattr(world.checkpoints, "renew", noted)
    return stored


def test_checkpoint_is_stored_at_the_moment_that_is_due(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(tranches=1)
    for _ in range(5):
        world.append("a", "Opened")

    def slow(event: Event) -> None:
        world.now_s += 0.5
        world.handle(event)

    stored = renewals(world, monkeypatch)
    world.worker(slow, terms=Terms(checkpoint_s=1.0)).step()
    assert [block for block, _ in stored] == [3, 5]


def test_event_that_is_stored_as_begun_is_no_second_write(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(tranches=1)
    world.append("a", *["Opened"] * 2)
    die(world, kills(world, 1, Killed()))
    world.now_s += 60.0
    worker = world.worker(terms=Terms(checkpoint_events=2))
    while not worker.tranches:
        stored = renewals(world, monkeypatch)
        worker.step()
        world.now_s += 5.0
    assert [start for _, start in stored] == [Start("a", 1, 1), Start("a", 2, 1)]


def test_start_of_a_later_event_of_a_hole_stays_stored(monkeypatch: pytest.MonkeyPatch) -> None:
    world, store = World(tranches=1), MemoryEventStore()
    events = store.append("a", [NewEvent.of("Opened")] * 4, expected=0).events
    world.log.append_block(0, events[:1])
    world.log.append_block(0, events[3:])
    bodies = MemoryEventBodies(store)
    with pytest.raises(SystemExit):
        world.worker(kills(world, 3, SystemExit(1)), bodies=bodies).run_forever()
    assert world.checkpoints.read_group("view").leases[0].start == Start("a", 3, 1)

    stored = renewals(world, monkeypatch)
    world.worker(bodies=bodies, terms=Terms(checkpoint_events=1)).step()
    assert [start for _, start in stored] == [Start("a", 3, 1), Start("a", 3, 2), None, None]


def test_wait_within_an_event_that_ended_a_worker_keeps_its_count() -> None:
    world = World(tranches=1)
    world.append("a", "Opened")
    with pytest.raises(SystemExit):
        world.worker(kills(world, 1, SystemExit(1))).run_forever()
    with pytest.raises(StoreUnavailable):
        world.worker(is_away).step()  # and then it's killed
    assert world.checkpoints.read_group("view").leases[0].start == Start("a", 1, 1)


def test_lease_that_is_freed_before_its_tranche_was_read_stays_as_it_was() -> None:
    world = World(tranches=2)
    first, second = (
        next(name for name in "abcdefgh" if tranche_of(name, tranches=2) == tranche) for tranche in (0, 1)
    )
    world.append(second, "Opened", "Changed")

    def ends(event: Event) -> None:
        if event.event_id == 2:
            raise SystemExit

    with pytest.raises(SystemExit):
        world.worker(ends).run_forever()
    before = world.checkpoints.read_group("view").leases[1]
    assert before.start == Start(second, 2, 1)
    assert before.place != (1, 0)

    world.checkpoints.join("view", "zoe", session="s", is_first=True)
    world.append(first, "Opened", "Changed")

    def leaves(_event: Event) -> None:
        world.checkpoints.leave("view", "zoe")
        world.now_s += 20.0
        worker.stop()

    worker = world.worker(leaves, worker="bob")
    worker.run_forever()
    after = world.checkpoints.read_group("view").leases[1]
    assert after.fence > before.fence
    assert (after.owner, after.place, after.start) == (None, before.place, before.start)
    assert after.horizon_us == before.horizon_us


def test_event_whose_lease_is_lost_as_it_begins_is_not_gone_on_by(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(tranches=1)
    world.append("a", "Opened")
    with pytest.raises(SystemExit):
        world.worker(kills(world, 1, SystemExit(1))).run_forever()
    renew = world.checkpoints.renew

    def taken_before(*args: Any, **options: Any) -> Any:
        world.checkpoints.take("view", world.checkpoints.read_group("view").leases[0], owner="another")
        return renew(*args, **options)

    monkeypatch.setattr(world.checkpoints, "renew", taken_before)
    assert (world.worker().step(), world.seen) == (0, [])


def test_stop_while_a_projection_catches_up_passes_no_event() -> None:
    world, stops = LooseWorld(), [1]
    world.append("a", *["Changed"] * 3)
    world.pass_time()
    world.work(world.projection())
    world.log_it("a", 3)
    projection = world.projection()

    def stopped(event: Event) -> bool:
        taken = projection(event)
        if event.event_id in stops:
            stops.clear()
            worker.stop()
        return taken

    worker = world.worker(stopped)
    worker.step()
    assert (worker.counts.handled, world.projected()) == (1, [1])
    worker.close()
    world.work(projection)
    assert world.projected() == [1, 2, 3]


@pytest.mark.parametrize(
    ("order", "is_told"),
    [("nrrr", False), ("nrrrr", True), ("rnrrr", False), ("rrnrr", False), ("rrrnrrr", False)],
)
def test_repeats_of_an_heir_are_told_when_more_than_a_checkpoint_in_a_row(
    caplog: pytest.LogCaptureFixture, order: str, is_told: bool
) -> None:
    """Of new events and repeats in this order, where a checkpoint is stored after 3 events."""
    world = World(tranches=1)
    projection = Projection(name="view", project=lambda _: [], read_model=MemoryReadModel())
    world.append("x", "Opened")
    first = world.worker(projection)
    first.step()
    first.close()
    for kind in order:
        world.append(kind, "Opened")
    for event in world.store.read_stream("r"):
        projection(event)

    heir = world.worker(projection, terms=Terms(checkpoint_events=3))
    heir.step()
    assert (heir.counts.handled, heir.counts.repeated) == (len(order), order.count("r"))
    told = "subscription view: its projection has taken event 4 of r before, so it changes nothing"
    assert (told in caplog.text) == is_told
    assert ("its projection has taken" in caplog.text) == is_told
