"""The contract of `Checkpoints`: what holds on every adapter."""

from __future__ import annotations

from abc import ABC, abstractmethod
from concurrent.futures import ThreadPoolExecutor

import pytest

from eventstore.errors import LeaseLost, TranchesChanged
from eventstore.log.model import BlockPosition
from eventstore.subscriptions import Checkpoints, Group, Lease, ParkedEvent, Start

NAME = "orders-view"
START = BlockPosition(1, 0)


def taken(checkpoints: Checkpoints, tranche: int = 0, *, owner: str = "a") -> Lease:
    """Take a lease as it stands."""
    lease = checkpoints.take(NAME, checkpoints.read_group(NAME).leases[tranche], owner=owner)
    assert lease
    return lease


class CheckpointsContract(ABC):
    """Subclass it as ``Test...`` and make empty checkpoints; pytest runs the rest."""

    @abstractmethod
    def make_checkpoints(self) -> Checkpoints:
        """Make checkpoints without subscriptions."""

    @abstractmethod
    def delete_lease(self, checkpoints: Checkpoints, subscription: str, tranche: int) -> None:
        """Delete what is stored of a lease, as somebody does by hand."""

    @pytest.fixture
    def checkpoints(self) -> Checkpoints:
        checkpoints = self.make_checkpoints()
        checkpoints.begin(NAME, [START, BlockPosition(7, 3)])
        return checkpoints

    def test_subscription_begins_with_free_leases_at_the_places_given(self, checkpoints: Checkpoints) -> None:
        group = checkpoints.read_group(NAME)
        assert group.leases == {
            0: Lease(0, START, owner=None, fence=0, counter=0),
            1: Lease(1, BlockPosition(7, 3), owner=None, fence=0, counter=0),
        }
        assert (group.workers, group.tranches) == ({}, 2)

    def test_subscriptions_of_other_names_are_apart(self, checkpoints: Checkpoints) -> None:
        assert checkpoints.read_group(NAME + "-2") == Group({}, {})
        assert checkpoints.read_group(NAME[:-1]).leases == {}

    def test_beginning_twice_changes_nothing(self, checkpoints: Checkpoints) -> None:
        lease = taken(checkpoints)
        checkpoints.renew(NAME, lease, place=BlockPosition(9, 0))
        checkpoints.begin(NAME, [START, START])

        assert [of.place for of in checkpoints.read_group(NAME).leases.values()] == [(9, 0), (7, 3)]

    def test_another_number_of_tranches_is_refused(self, checkpoints: Checkpoints) -> None:
        with pytest.raises(TranchesChanged) as caught:
            checkpoints.begin(NAME, [START])
        assert (caught.value.begun_with, caught.value.given) == (2, 1)
        with pytest.raises(TranchesChanged):
            checkpoints.begin(NAME, [START] * 3)

    def test_lease_that_was_deleted_is_made_again_and_the_others_stay(self, checkpoints: Checkpoints) -> None:
        lease = taken(checkpoints, 1)
        checkpoints.renew(NAME, lease, place=BlockPosition(9, 0))
        self.delete_lease(checkpoints, NAME, 0)
        group = checkpoints.read_group(NAME)
        assert (set(group.leases), group.tranches) == ({1}, 2)
        checkpoints.begin(NAME, [START, START])
        assert [of.place for _, of in sorted(checkpoints.read_group(NAME).leases.items())] == [(1, 0), (9, 0)]

    def test_owner_of_a_lease_that_was_deleted_stores_frees_and_parks_nothing(
        self, checkpoints: Checkpoints
    ) -> None:
        lease = taken(checkpoints, owner="a")
        self.delete_lease(checkpoints, NAME, 0)
        self.refuses_all(checkpoints, lease, taken_by=None)
        assert checkpoints.take(NAME, lease, owner="b") is None

        checkpoints.begin(NAME, [START, START])
        self.refuses_all(checkpoints, lease, taken_by="")
        assert taken(checkpoints, owner="b").fence == lease.fence
        self.refuses_all(checkpoints, lease, taken_by="b")
        assert checkpoints.read_group(NAME).leases[0].place == START

    def refuses_all(self, checkpoints: Checkpoints, lease: Lease, *, taken_by: str | None) -> None:
        """Check that nothing is stored under a lease that its owner has lost."""
        for store in (
            lambda: checkpoints.renew(NAME, lease, place=BlockPosition(9, 9)),
            lambda: checkpoints.release(NAME, lease, place=BlockPosition(9, 9)),
            lambda: checkpoints.park(NAME, lease, ParkedEvent(0, "s", 1, "why", 1)),
        ):
            with pytest.raises(LeaseLost) as caught:
                store()
            assert caught.value.taken_by == taken_by
        assert list(checkpoints.read_parked(NAME)) == []

    def test_start_is_kept_with_the_checkpoint_until_the_next_write(self, checkpoints: Checkpoints) -> None:
        start = Start("é" * 512, 7, 2)
        lease = taken(checkpoints)
        renewed = checkpoints.renew(NAME, lease, place=BlockPosition(3, 2), start=start)
        assert renewed == checkpoints.read_group(NAME).leases[0]
        assert (renewed.start, renewed.place) == (start, (3, 2))
        checkpoints.release(NAME, renewed, place=BlockPosition(3, 2), start=start)
        again = taken(checkpoints, owner="b")
        assert again.start == start
        assert checkpoints.renew(NAME, again, place=BlockPosition(3, 3)).start is None
        assert checkpoints.read_group(NAME).leases[0].start is None

    def test_horizon_is_kept_with_the_checkpoint_and_stays_when_none_is_given(
        self, checkpoints: Checkpoints
    ) -> None:
        lease = taken(checkpoints)
        assert (lease.horizon_us, lease.since_us) == (0, 0)
        renewed = checkpoints.renew(NAME, lease, place=BlockPosition(3, 2), horizon_us=7)
        assert checkpoints.renew(NAME, renewed, place=BlockPosition(3, 3)).horizon_us == 7
        checkpoints.release(NAME, renewed, place=BlockPosition(4, 0), horizon_us=9)
        assert taken(checkpoints, owner="b").horizon_us == 9

    def test_time_that_a_subscription_begins_with_is_kept(self, checkpoints: Checkpoints) -> None:
        checkpoints.begin(NAME + "-2", [START], since_us=10**15)
        lease = checkpoints.read_group(NAME + "-2").leases[0]
        assert (lease.since_us, lease.horizon_us) == (10**15, 0)
        ours = checkpoints.take(NAME + "-2", lease, owner="a")
        assert ours
        assert checkpoints.renew(NAME + "-2", ours, place=START, horizon_us=5).since_us == 10**15

    def test_one_of_many_takes_a_lease(self, checkpoints: Checkpoints) -> None:
        lease = checkpoints.read_group(NAME).leases[0]
        with ThreadPoolExecutor(8) as threads:
            found = list(threads.map(lambda n: checkpoints.take(NAME, lease, owner=f"worker-{n}"), range(8)))
        (winner,) = (of for of in found if of)
        assert winner == checkpoints.read_group(NAME).leases[0]
        assert winner.fence == 1

    def test_lease_that_was_renewed_since_it_was_seen_is_not_taken(self, checkpoints: Checkpoints) -> None:
        seen = taken(checkpoints)
        checkpoints.renew(NAME, seen, place=START)

        assert checkpoints.take(NAME, seen, owner="b") is None

    def test_former_owner_stores_frees_and_parks_nothing(self, checkpoints: Checkpoints) -> None:
        zombie = taken(checkpoints, owner="a")
        owner = taken(checkpoints, owner="b")
        checkpoints.renew(NAME, owner, place=BlockPosition(5, 0))

        with pytest.raises(LeaseLost):
            checkpoints.renew(NAME, zombie, place=BlockPosition(9, 9))
        with pytest.raises(LeaseLost):
            checkpoints.release(NAME, zombie, place=BlockPosition(9, 9))
        with pytest.raises(LeaseLost) as caught:
            checkpoints.park(NAME, zombie, ParkedEvent(0, "s", 1, "why", 1))
        assert (caught.value.subscription, caught.value.tranche) == (NAME, 0)
        there = checkpoints.read_group(NAME).leases[0]
        assert (there.owner, there.place) == ("b", (5, 0))
        assert list(checkpoints.read_parked(NAME)) == []

    def test_renewal_stores_the_checkpoint_and_raises_the_counter(self, checkpoints: Checkpoints) -> None:
        lease = taken(checkpoints, 1)
        renewed = checkpoints.renew(NAME, lease, place=BlockPosition(8, 1))

        assert renewed == checkpoints.read_group(NAME).leases[1]
        assert (renewed.place, renewed.owner) == (BlockPosition(8, 1), "a")
        assert renewed.counter > lease.counter

    def test_freed_lease_keeps_its_checkpoint_and_goes_on_under_a_higher_fence(
        self, checkpoints: Checkpoints
    ) -> None:
        lease = taken(checkpoints)
        checkpoints.release(NAME, lease, place=BlockPosition(3, 2))
        free = checkpoints.read_group(NAME).leases[0]
        assert (free.owner, free.place) == (None, BlockPosition(3, 2))
        assert taken(checkpoints, owner="b").fence == lease.fence + 1

    def test_workers_count_up_until_they_leave(self, checkpoints: Checkpoints) -> None:
        for worker in ("a", "b", "a"):
            assert checkpoints.join(NAME, worker, session=worker, is_first=False)
        assert checkpoints.read_group(NAME).workers == {"a": 2, "b": 1}

        checkpoints.leave(NAME, "a", counter=1)  # it moved since
        checkpoints.leave(NAME, "b")
        checkpoints.leave(NAME, "b", counter=1)
        assert checkpoints.read_group(NAME).workers == {"a": 2}

    def test_of_two_sessions_under_one_id_the_later_stays(self, checkpoints: Checkpoints) -> None:
        assert checkpoints.join(NAME, "a", session="1", is_first=True)
        assert checkpoints.join(NAME, "a", session="1", is_first=False)
        assert checkpoints.join(NAME, "a", session="2", is_first=True)
        assert not checkpoints.join(NAME, "a", session="1", is_first=False)
        assert checkpoints.join(NAME, "a", session="2", is_first=False)
        assert checkpoints.read_group(NAME).workers == {"a": 4}
        checkpoints.leave(NAME, "a")  # by somebody who has seen it rest for long
        assert checkpoints.join(NAME, "a", session="2", is_first=False)

    def test_parked_events_come_each_stream_in_order_and_once(self, checkpoints: Checkpoints) -> None:
        lease, other = taken(checkpoints, 0), taken(checkpoints, 1)
        long = "é" * 512
        for event_id in (10, 9, 100, 9):
            checkpoints.park(NAME, lease, ParkedEvent(0, long, event_id, "why ✗", 5))
        checkpoints.park(NAME, other, ParkedEvent(1, "b#1", 1, "why", 6, "Traceback ✗"))

        parked = list(checkpoints.read_parked(NAME))
        assert [of.event_id for of in parked if of.stream_id == long] == [9, 10, 100]
        assert ParkedEvent(0, long, 9, "why ✗", 5) in parked
        assert list(checkpoints.read_parked(NAME, tranche=1)) == [
            ParkedEvent(1, "b#1", 1, "why", 6, "Traceback ✗")
        ]
        first = parked[0]
        of_its_stream = [of for of in parked if of.stream_id == first.stream_id]
        assert list(checkpoints.read_parked(NAME, stream_of=first)) == of_its_stream
        assert list(checkpoints.read_parked(NAME, stream_of=ParkedEvent(0, "b", 1, "", 0))) == []

    def test_event_is_parked_behind_another_only_while_that_is_parked(self, checkpoints: Checkpoints) -> None:
        lease = taken(checkpoints)
        first, second, third = (ParkedEvent(0, "s", number, "why", 5) for number in (1, 2, 3))
        assert not checkpoints.park(NAME, lease, second, behind=1)
        assert checkpoints.park(NAME, lease, first)
        assert checkpoints.park(NAME, lease, second, behind=1)
        assert checkpoints.park(NAME, lease, second, behind=2)  # once more
        checkpoints.unpark(NAME, first)
        checkpoints.unpark(NAME, second)
        assert not checkpoints.park(NAME, lease, third, behind=2)
        assert list(checkpoints.read_parked(NAME)) == []

    def test_former_owner_parks_nothing_behind_a_parked_event(self, checkpoints: Checkpoints) -> None:
        zombie = taken(checkpoints, owner="a")
        assert checkpoints.park(NAME, zombie, ParkedEvent(0, "s", 1, "why", 5))
        taken(checkpoints, owner="b")
        for behind in (1, 9):
            with pytest.raises(LeaseLost):
                checkpoints.park(NAME, zombie, ParkedEvent(0, "s", 2, "why", 5), behind=behind)

    def test_parked_event_is_forgotten_once_and_for_all(self, checkpoints: Checkpoints) -> None:
        parked = ParkedEvent(0, "s", 1, "why", 5)
        checkpoints.park(NAME, taken(checkpoints), parked)
        checkpoints.unpark(NAME, parked)
        checkpoints.unpark(NAME, parked)

        assert list(checkpoints.read_parked(NAME)) == []
        assert len(checkpoints.read_group(NAME).leases) == 2
