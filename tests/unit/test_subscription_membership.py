"""One worker's part in its group, rule by rule: what it keeps, takes and gives up, and when."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest

from eventstore.errors import StoreUnavailable, WorkerIdInUse
from eventstore.log.model import BEGINNING, BlockPosition
from eventstore.memory.checkpoints import MemoryCheckpoints
from eventstore.subscriptions.checkpoints import Group, Lease, ParkedEvent
from eventstore.subscriptions.identity import Identity
from eventstore.subscriptions.membership import Membership, Progress, _share

LEASE_S = 12.0
INTERVAL_S, DEAD_AFTER_S = 2.0, 8.0
KEPT, FREED, HORIZON_US = 3, 7, 5


class Checkpoints(MemoryCheckpoints):
    """What is called is noted; something may happen before it."""

    def __init__(self) -> None:
        super().__init__()
        self.taken: list[int] = []
        self.before_leave: Callable[[], object] = lambda: None
        self.is_away = self.loses_answers = False

    def take(self, subscription: str, lease: Lease, *, owner: str) -> Lease | None:
        self.taken.append(lease.tranche)
        ours = super().take(subscription, lease, owner=owner)
        if self.loses_answers:
            raise StoreUnavailable(operation="take", reason="no answer")
        return ours

    def join(self, subscription: str, worker: str, *, session: str, is_first: bool) -> bool:
        if self.is_away:
            raise StoreUnavailable(operation="join", reason="throttled")
        return super().join(subscription, worker, session=session, is_first=is_first)

    def leave(self, subscription: str, worker: str, *, counter: int | None = None) -> None:
        self.before_leave()
        super().leave(subscription, worker, counter=counter)


class Team:
    """The workers of a subscription, by one clock."""

    def __init__(self, *, tranches: int = 4) -> None:
        self.checkpoints = Checkpoints()
        self.checkpoints.begin("view", [BEGINNING] * tranches)
        self.now_s = 100.0
        self.lost: list[tuple[str | None, int]] = []
        self.progress: list[tuple[int, bool]] = []
        self.identity = Identity(None)

    def worker(
        self, worker: str | None, *, begin: Callable[[Group], Group] = lambda group: group
    ) -> Membership:
        def progress(tranche: int, is_freed: bool) -> Progress:
            self.progress.append((tranche, is_freed))
            return Progress(BlockPosition(9, FREED if is_freed else KEPT), None, HORIZON_US)

        self.identity = Identity(worker)
        return Membership(
            subscription="view",
            identity=self.identity,
            checkpoints=self.checkpoints,
            lease_s=LEASE_S,
            monotonic=lambda: self.now_s,
            begin=begin,
            progress=progress,
            lose=lambda tranche: self.lost.append((worker, tranche)),
        )

    def group(self) -> Group:
        return self.checkpoints.read_group("view")

    def owners(self) -> dict[int, str | None]:
        return {tranche: lease.owner for tranche, lease in self.group().leases.items()}

    def places(self) -> list[tuple[int, int]]:
        return [lease.place for lease in self.group().leases.values()]

    def steal(self, tranche: int, *, owner: str = "thief") -> None:
        assert self.checkpoints.take("view", self.group().leases[tranche], owner=owner)


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]


# --- when it keeps its leases --------------------------------------------------------------------------


def test_leases_are_kept_each_sixth_of_the_lease_time_from_the_last_begin() -> None:
    team = Team()

    def begin(group: Group) -> Group:
        team.now_s += 1.0  # it takes a while
        return group

    member = team.worker("w", begin=begin)
    assert member.due()
    member.keep()
    team.now_s = 100.0 + INTERVAL_S - 0.001
    assert not member.due()
    team.now_s = 100.0 + INTERVAL_S
    assert member.due()


def test_keep_that_failed_is_due_at_once() -> None:
    team = Team()
    member = team.worker("w")
    team.checkpoints.is_away = True
    with pytest.raises(StoreUnavailable):
        member.keep()
    assert member.due()
    team.checkpoints.is_away = False
    member.keep()
    assert not member.due()


def test_renewal_stores_what_is_held_and_takes_nothing() -> None:
    team = Team()
    member = team.worker("w")
    member.renew()
    assert (team.owners(), team.group().workers) == (dict.fromkeys(range(4)), {"w": 1})
    member.keep()
    member.release(3)
    member.renew()
    assert team.owners() == {0: "w", 1: "w", 2: "w", 3: None}
    assert team.places() == [(9, KEPT)] * 3 + [(9, FREED)]
    assert team.group().workers == {"w": 3}
    assert team.progress == [(3, True), (0, False), (1, False), (2, False)]


# --- what it takes -------------------------------------------------------------------------------------


def test_free_leases_are_taken_and_none_that_is_held_is_taken_again() -> None:
    team = Team()
    member = team.worker("w")
    member.keep()
    team.now_s += INTERVAL_S
    member.keep()
    assert team.checkpoints.taken == sorted(member.leases) == [0, 1, 2, 3]
    assert member.taken_over == set()


@pytest.mark.parametrize(("worker", "tranches"), [("a", [0, 1]), ("b", [1, 2]), ("c", [2, 3])])
def test_worker_begins_at_a_tranche_of_its_own_and_takes_its_share(worker: str, tranches: list[int]) -> None:
    team = Team(tranches=6)
    for name in "abc":
        team.checkpoints.join("view", name, session=name, is_first=True)
    member = team.worker(worker)
    member.keep()
    assert team.checkpoints.taken == sorted(member.leases) == tranches


def test_worker_that_was_forgotten_meanwhile_begins_at_the_first_tranche() -> None:
    team = Team()
    member = team.worker("w", begin=lambda group: Group(group.leases, {}, group.tranches))
    member.keep()
    assert team.checkpoints.taken == [0, 1, 2, 3]


def test_lease_that_rests_for_two_thirds_of_the_lease_time_is_taken_over() -> None:
    team = Team(tranches=2)
    for tranche in (0, 1):
        team.steal(tranche, owner="dead")
    member = team.worker("w")
    member.keep()
    team.now_s += 1.0
    # Tranche 1's owner is alive by now: it's measured anew.
    team.checkpoints.renew("view", team.group().leases[1], place=BEGINNING)
    member.keep()
    team.now_s = 100.0 + DEAD_AFTER_S - 0.001
    member.keep()
    assert member.leases == {}
    team.now_s = 100.0 + DEAD_AFTER_S
    member.keep()
    assert (set(member.leases), member.taken_over) == ({0}, {0})
    team.now_s += 1.0
    member.keep()
    assert (set(member.leases), member.taken_over) == ({0, 1}, {0, 1})


def test_own_lease_whose_taking_was_not_answered_is_taken_at_the_next_keep() -> None:
    team = Team(tranches=1)
    member = team.worker("w")
    team.checkpoints.loses_answers = True
    with pytest.raises(StoreUnavailable):
        member.keep()
    team.checkpoints.loses_answers = False
    assert (member.leases, team.owners()) == ({}, {0: "w"})
    member.keep()
    assert set(member.leases) == {0}


def test_workers_that_rest_for_two_thirds_of_the_lease_time_are_forgotten() -> None:
    team = Team()
    for name in ("dead", "killed", "killed"):
        team.checkpoints.join("view", name, session=name, is_first=True)
    member = team.worker("w")
    member.keep()
    assert len(member.leases) == 1
    team.now_s = 100.0 + DEAD_AFTER_S - 0.001
    member.keep()
    assert len(member.leases) == 1
    team.now_s = 100.0 + DEAD_AFTER_S
    member.keep()
    assert (len(member.leases), set(team.group().workers)) == (4, {"w"})


def test_worker_that_comes_alive_while_it_is_forgotten_stays() -> None:
    team = Team()
    team.checkpoints.join("view", "slow", session="s", is_first=True)
    member = team.worker("w")
    member.keep()
    team.now_s += DEAD_AFTER_S
    team.checkpoints.before_leave = lambda: team.checkpoints.join("view", "slow", session="s", is_first=False)
    member.keep()
    assert set(team.group().workers) == {"slow", "w"}


def test_shares_of_all_workers_are_all_tranches_and_differ_by_one_at_most() -> None:
    for tranches in range(1, 12):
        for count in range(1, 8):
            workers = {f"w{number}" for number in range(count)}
            shares = [_share(tranches, workers, worker) for worker in sorted(workers)]
            assert sum(shares) == tranches
            assert shares == sorted(shares, reverse=True)
            assert shares[0] - shares[-1] <= 1


# --- what it gives up ----------------------------------------------------------------------------------


def test_what_is_over_the_fair_share_is_freed_with_its_checkpoint() -> None:
    team = Team(tranches=5)
    member = team.worker("w")
    member.keep()
    team.checkpoints.join("view", "x", session="s", is_first=True)
    member.keep()
    assert team.owners() == {0: "w", 1: "w", 2: "w", 3: None, 4: None}
    assert team.places() == [(9, KEPT)] * 3 + [(9, FREED)] * 2
    assert team.lost == [("w", 3), ("w", 4)]
    assert {lease.horizon_us for lease in team.group().leases.values()} == {HORIZON_US}


def parked(tranche: int = 0) -> ParkedEvent:
    return ParkedEvent(tranche, "a", 1, "no good", 0)


WRITES: dict[str, tuple[Callable[[Membership], object], object]] = {
    "store": (lambda member: member.store(1), False),
    "park": (lambda member: member.park(parked(1), behind=None), None),
    "release": (lambda member: member.release(1), None),
}


@pytest.mark.parametrize("what", WRITES)
def test_lease_that_was_taken_over_is_dropped_and_said(what: str, caplog: pytest.LogCaptureFixture) -> None:
    team = Team()
    for tranche in (0, 1):
        team.steal(tranche, owner="dead")
    member = team.worker("w")
    member.keep()
    team.now_s += DEAD_AFTER_S
    member.keep()
    assert member.taken_over == {0, 1}
    team.steal(1)
    write, answer = WRITES[what]
    assert write(member) is answer
    assert set(member.leases) == {0, 2, 3}
    assert member.taken_over == {0}
    assert team.lost == [("w", 1)]
    (told,) = said(caplog)
    assert told == (
        "worker 'thief' has taken over tranche 1 of the subscription 'view'; "
        "a handler that takes long needs a longer call_s"
    )
    assert list(team.checkpoints.read_parked("view")) == []
    assert team.places()[1] == BEGINNING


def test_lease_that_is_freed_twice_is_said_by_nobody(caplog: pytest.LogCaptureFixture) -> None:
    team = Team()
    member = team.worker("w")
    member.keep()
    team.checkpoints.release("view", member.leases[2], place=BEGINNING)  # its answer got lost
    member.release(2)
    assert (set(member.leases), team.lost, said(caplog)) == ({0, 1, 3}, [("w", 2)], [])


def test_write_with_a_held_lease_is_done_and_told() -> None:
    team = Team()
    member = team.worker("w")
    member.keep()
    assert member.store(0)
    assert member.park(parked(), behind=None) is True
    assert member.park(parked(), behind=8) is False
    assert list(team.checkpoints.read_parked("view")) == [parked()]
    assert team.progress == [(0, False)]
    assert team.lost == []


# --- its end, and others under its id ------------------------------------------------------------------


def test_worker_that_leaves_frees_all_and_is_forgotten_and_may_come_again() -> None:
    team = Team()
    member = team.worker("w")
    member.keep()
    member.leave()
    assert (member.leases, team.owners(), team.group().workers) == ({}, dict.fromkeys(range(4)), {})
    assert team.lost == [("w", tranche) for tranche in range(4)]
    assert member.due()
    # Another one of its id meanwhile: at first its place is taken.
    team.checkpoints.join("view", "w", session="other", is_first=True)
    member.keep()
    assert set(member.leases) == {0, 1, 2, 3}


def test_worker_whose_id_another_one_has_now_ends_and_leaves_the_other_known() -> None:
    team = Team()
    first = team.worker("w")
    first.keep()
    second = team.worker("w")
    second.keep()
    for _ in range(2):
        with pytest.raises(WorkerIdInUse) as caught:
            first.keep()
        assert (caught.value.subscription, caught.value.worker) == ("view", "w")
        team.now_s += INTERVAL_S
    first.leave()
    assert set(team.group().workers) == {"w"}
    second.keep()


def test_what_is_forgotten_is_told_nobody() -> None:
    team = Team()
    member = team.worker("w")
    member.keep()
    member.taken_over.add(1)
    member.forget()
    assert (member.leases, member.taken_over, team.lost) == ({}, set(), [])
    assert team.owners() == dict.fromkeys(range(4), "w")


# --- a forked child ------------------------------------------------------------------------------------


CHILDS: dict[str, tuple[Callable[[Membership], Any], object]] = {
    "due": (lambda member: member.due(), True),
    "store": (lambda member: member.store(0), False),
    "park": (lambda member: member.park(parked(), behind=None), None),
    "leave": (lambda member: member.leave(), None),
}


@pytest.mark.parametrize("given", [None, "w"])
@pytest.mark.parametrize("what", CHILDS)
def test_forked_child_leaves_all_to_its_parent_and_is_another_worker(what: str, given: str | None) -> None:
    team = Team()
    member = team.worker(given)
    member.keep()
    before, kept = (team.identity.worker, team.identity.session), team.group()
    team.identity._process = -1  # as in a child
    call, answer = CHILDS[what]
    assert call(member) is answer
    assert member.leases == {}
    assert team.lost == [(given, tranche) for tranche in range(4)]
    assert team.group() == kept
    assert list(team.checkpoints.read_parked("view")) == []
    assert (team.identity.worker == before[0]) is (given is not None)
    assert team.identity.session != before[1]
    assert member.due()
    member.keep()  # at first it takes the place of whoever has its id
    assert len(team.group().workers) == (2 if given is None else 1)
