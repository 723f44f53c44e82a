"""Blocks of the log that are lost under workers: closed and repaired, nothing stays unhandled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from eventstore import Event
from eventstore.errors import BlockMissing
from eventstore.log.model import tranche_of
from eventstore.subscriptions import Subscription
from tests.property.test_subscriptions import TRANCHES, World, fold


class LossyWorld(World):
    """A world whose log loses blocks now and then, until `verify --repair` comes by."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.lost: list[tuple[int, int]] = []
        self.losses = self.stops = self.closed = 0

    def turn(self) -> None:
        if self.random.random() < 0.03:
            self.lose()
        elif self.lost and self.random.random() < 0.15:
            self.repair()
        super().turn()

    def attempt(self, worker: Subscription, what: Callable[[Subscription], object]) -> None:
        try:
            super().attempt(worker, what)
        except BlockMissing:
            self.stops += 1

    def lose(self) -> None:
        tranche = self.random.randrange(TRANCHES)
        last = len(self.log._blocks[tranche])
        if last > 1:
            block = self.random.randrange(1, last)
            self.log.lose_block(tranche, block)
            self.lost.append((tranche, block))
            self.losses += 1

    def repair(self) -> None:
        """Close what is lost, and log what is in the table and not in the log."""
        for tranche, block in sorted(self.lost):
            assert self.log.close_block(tranche, block)
        self.lost = []
        there = {
            (entry.stream_id, entry.event_id)
            for tranche in range(TRANCHES)
            for entry in self.log.read_tranche(tranche)
        }
        for event in self.store.read_all(unsettled=True):
            if (event.stream_id, event.event_id) not in there:
                self.log.append_block(tranche_of(event.stream_id, tranches=TRANCHES), [event])

    def finish(self) -> None:
        if self.lost:
            self.repair()
        super().finish()
        self.closed = self.workers[0].counts.closed_blocks


def run(seed: int) -> LossyWorld:
    world = LossyWorld(seed)
    for _ in range(300):
        world.turn()
    world.finish()
    return world


@pytest.mark.parametrize("seed", range(20))
def test_lost_blocks_closed_and_logged_again_leave_nothing_unhandled(seed: int) -> None:
    world = run(seed)

    everything = {(event.stream_id, event.event_id) for event in world.store.read_all(unsettled=True)}
    assert set(world.handled) == everything
    assert world.rows == fold(world)


def test_simulation_loses_blocks_before_and_behind_its_workers() -> None:
    worlds = [run(seed) for seed in range(12)]

    assert min(world.losses for world in worlds) > 2
    assert sum(world.stops for world in worlds) > 10
    assert sum(world.closed for world in worlds) > 5


def test_without_what_is_logged_again_the_simulation_finds_the_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    def only_close(self: Any) -> None:
        for tranche, block in sorted(self.lost):
            self.log.close_block(tranche, block)
        self.lost = []

    monkeypatch.setattr(LossyWorld, "repair", only_close)

    def lacks(world: LossyWorld) -> set[tuple[str, int]]:
        events: list[Event] = list(world.store.read_all(unsettled=True))
        return {(event.stream_id, event.event_id) for event in events} - set(world.handled)

    assert any(lacks(run(seed)) for seed in range(40))
