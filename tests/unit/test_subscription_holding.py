"""What a worker knows of the tranches that it holds, from when it takes them until it leaves them."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import Any

import pytest

from eventstore import ANY, NewEvent
from eventstore.log.model import BEGINNING
from eventstore.memory.checkpoints import MemoryCheckpoints
from eventstore.memory.log import MemoryEventLog
from eventstore.memory.store import MemoryEventStore
from eventstore.subscriptions import From, OnFailure, ParkedEvent, Terms
from eventstore.subscriptions.checkpoints import Group
from eventstore.subscriptions.holding import Holding
from eventstore.subscriptions.identity import Identity

TERMS = Terms(lease_s=12.0, checkpoint_events=7, checkpoint_s=5.0, concurrency=2)


class Crew:
    """The workers of a subscription of two tranches, by one clock."""

    def __init__(self) -> None:
        self.checkpoints = MemoryCheckpoints()
        self.log = MemoryEventLog(tranches=2)
        MemoryEventStore(log=self.log).append("a", [NewEvent.of("E")], expected=ANY)
        self.now_s = 100.0

    def worker(self, name: str = "w", **options: Any) -> Holding:
        given: dict[str, Any] = {"from_": From.BEGINNING, "on_failure": OnFailure.STOP, "terms": TERMS}
        return Holding(
            "view",
            identity=Identity(name),
            log=self.log,
            checkpoints=self.checkpoints,
            monotonic=lambda: self.now_s,
            **(given | options),
        )

    def hold(self, worker: Holding, *, for_s: int) -> None:
        for _ in range(for_s):
            self.now_s += 1.0
            worker.hold()


@pytest.fixture
def crew() -> Crew:
    return Crew()


def parked(tranche: int, stream_id: str, event_id: int) -> ParkedEvent:
    return ParkedEvent(tranche=tranche, stream_id=stream_id, event_id=event_id, reason="r", parked_at_us=1)


def test_each_tranche_knows_first_and_last_parked_events_of_its_own_streams(crew: Crew) -> None:
    crew.checkpoints.begin("view", [BEGINNING] * 2, log_id=crew.log.log_id)
    for one in (
        parked(0, "a", 2),
        parked(0, "a", 4),
        parked(0, "a", 6),
        parked(0, "b", 3),
        parked(1, "c", 5),
    ):
        crew.checkpoints._kept["view"].parked[one.stream_id, one.event_id] = one
    for on_failure, blocked in (
        (OnFailure.PARK_STREAM, [{"a": (2, 6), "b": (3, 3)}, {"c": (5, 5)}]),
        (OnFailure.PARK, [{}, {}]),
    ):
        worker = crew.worker(on_failure=on_failure)
        crew.hold(worker, for_s=9)
        assert [worker.held[tranche].blocked for tranche in (0, 1)] == blocked
        worker.leave()


def test_events_that_the_last_owner_may_have_died_of_are_suspects(crew: Crew) -> None:
    first = crew.worker("first")
    crew.hold(first, for_s=9)
    assert [held.suspects for held in first.held.values()] == [0, 0]
    second = crew.worker("second")
    crew.hold(second, for_s=60)
    assert TERMS.look_ahead > 0
    assert [held.suspects for held in second.held.values()] == [7 + TERMS.look_ahead] * 2


def test_checkpoint_of_a_tranche_that_is_lost_is_not_stored(crew: Crew) -> None:
    worker = crew.worker()
    crew.hold(worker, for_s=9)
    held = worker.held.pop(0)
    assert not worker.store_if_due(0, held)
    assert not worker.still_holds(0, held)


def test_kept_lease_stores_the_checkpoint_so_that_nothing_is_due(crew: Crew) -> None:
    worker = crew.worker()
    crew.hold(worker, for_s=9)
    held = worker.held[0]
    held.unstored = 3
    crew.hold(worker, for_s=4)
    assert (held.unstored, crew.now_s - held.stored_at <= 4.0) == (0, True)


@pytest.mark.parametrize(
    ("from_", "told"),
    [(From.BEGINNING, "the beginning"), (datetime(2026, 1, 2, tzinfo=UTC), "2026-01-02T00:00:00+00:00")],
)
def test_leases_that_are_gone_are_made_again_at_once_and_said(
    crew: Crew, caplog: pytest.LogCaptureFixture, from_: Any, told: str
) -> None:
    worker = crew.worker(from_=from_)
    crew.hold(worker, for_s=9)
    assert caplog.messages == []
    del crew.checkpoints._kept["view"].leases[1]
    with caplog.at_level(logging.WARNING, "eventstore.subscriptions"):
        made: Group = worker._begin(crew.checkpoints.read_group("view"))
    assert set(made.leases) == {0, 1}
    assert caplog.messages == [
        f"subscription view: tranches [1] have no leases any more; they are read again from {told}"
    ]
