"""A step that fails: nothing of what was stored is lost, and the next one need not wait for its lease."""

from __future__ import annotations

import pytest

from eventstore import StoreUnavailable
from eventstore.adapters.memory_replays import MemoryReplays
from eventstore.limits import REPLAY_LEASE_S
from eventstore.replays import Replay
from tests.replays.jobs import Job


class FailingReplays(MemoryReplays):
    """Can't be reached at the `fails_at`-th storing of a position, before the write or behind it."""

    def __init__(self, *, fails_at: int, written: bool, reads_fail: bool = False) -> None:
        super().__init__()
        self.fails_at, self.written, self.reads_fail = fails_at, written, reads_fail
        self.saves = 0

    def save(self, replay: Replay) -> Replay | None:
        self.saves += 1
        if self.saves != self.fails_at:
            return super().save(replay)
        if self.written:
            super().save(replay)
        raise StoreUnavailable(operation="UpdateItem", reason="timed out")

    def get(self, replay_id: str) -> Replay | None:
        if self.reads_fail and self.saves == self.fails_at:
            raise StoreUnavailable(operation="GetItem", reason="not reached")
        return super().get(replay_id)


def fails_in_its_second_page(*, written: bool, reads_fail: bool = False) -> tuple[Job, Replay]:
    replays = FailingReplays(fails_at=2, written=written, reads_fail=reads_fail)
    job = Job(settling_s=0, replays=replays)
    job.fill(streams=3, events=400)
    replay = job.start()
    with pytest.raises(StoreUnavailable, match="UpdateItem"):
        job.take(replay.replay_id, run=1, steps=1, remaining_time_s=lambda: 150.0)
    replays.reads_fail = False
    return job, replay


@pytest.mark.parametrize(("written", "sent"), [(False, 500), (True, 1_000)])
def test_step_that_fails_gives_its_lease_back_and_loses_nothing_of_what_was_stored(
    written: bool, sent: int
) -> None:
    job, replay = fails_in_its_second_page(written=written)
    stored = job.replays.get(replay.replay_id)
    assert (stored.lease_until_us, stored.sent) == (0, sent)
    job.engine.run()
    assert sum(job.engine.waits_s) <= 2  # for the last events to settle, not for the lease
    assert job.replays.get(replay.replay_id).status == "completed"
    assert job.consumer.first_deliveries() == {f"s-{n}": list(range(1, 401)) for n in range(3)}
    assert len(job.consumer.taken) == 1_200 + (1_000 - sent)  # the page whose place wasn't stored came twice


def test_step_that_cannot_give_its_lease_back_raises_what_it_failed_by_and_its_lease_runs_out() -> None:
    job, replay = fails_in_its_second_page(written=False, reads_fail=True)
    following = job.take(replay.replay_id, run=1, steps=2, remaining_time_s=lambda: 150.0)
    assert (following.action, following.wait_s) == ("wait", REPLAY_LEASE_S)
    job.engine.run()
    assert job.replays.get(replay.replay_id).status == "completed"


def test_step_that_fails_after_another_has_followed_leaves_the_other_its_lease() -> None:
    job = Job(settling_s=0)
    job.fill(streams=1, events=3)
    replay = job.start()
    claimed: list[Replay | None] = []

    def followed() -> None:
        stored = job.store.get(replay.replay_id)
        assert stored is not None
        claimed.append(job.store.claim(stored, until_us=stored.lease_until_us + 1))
        raise StoreUnavailable(operation="SendMessageBatch", reason="not reached")

    job.consumer.before_call = followed
    with pytest.raises(StoreUnavailable):
        job.take(replay.replay_id, run=1, steps=1, remaining_time_s=lambda: 150.0)
    assert job.store.get(replay.replay_id) == claimed[0]
