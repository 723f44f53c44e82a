"""Each assertion of the checker can fail: a good history has no breach, one with something wrong has it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any

import pytest

from eventstore import ANY, EXISTS, Appended, Event, Head, NewEvent
from eventstore.delivery.cloudevents import Entry, EntryFormat
from eventstore.errors import ExpectedVersionAhead, VersionConflict
from eventstore.positions import Position
from eventstore.store import Append
from eventstore.subscriptions import OnFailure, Start
from tests.proof.checker import breaches_of_appends, breaches_of_deliveries, breaches_of_tranche
from tests.proof.consumer_checker import (
    breaches_of_attempts,
    breaches_of_ends,
    breaches_of_fences,
    breaches_of_messages,
    breaches_of_pace,
    breaches_of_pauses,
    breaches_of_steps,
    breaches_of_view,
    wanted,
)
from tests.proof.history import (
    Asked,
    Attempt,
    Begun,
    Call,
    Deliveries,
    Fenced,
    History,
    Job,
    Known,
    Operation,
    Read,
    Taken,
    Told,
    Try,
)
from tests.proof.starts import breaches_of_starts

A, B, C, D = "a", "b", "c", "d"


def event(stream_id: str, event_id: int, op: int, n: int = 0, *, name: str = "Happened") -> Event:
    payload = json.dumps({"op": op, "n": n})
    return Event(stream_id, event_id, name, payload, "{}", f"{op}/{stream_id}/{n}", 1_000 + event_id)


@dataclass
class Case:
    """A history that is as it should be, until a test spoils it.

    1: begins `a`. 2: goes on with two events, and begins `b`. 3: expected `a` at 1, and was told that it's at
    3. 4: expected `b` at 5, and was told that it's at 1. 5: no answer, and it's there. 6: none, and it isn't.
    """

    table: dict[str, list[Event]] = field(default_factory=dict)
    history: History = field(default_factory=History)

    def __post_init__(self) -> None:
        self.table = {
            A: [event(A, 1, 1), event(A, 2, 2, 0), event(A, 3, 2, 1)],
            B: [event(B, 1, 2), event(B, 2, 5)],
        }
        self.append(1, [(A, 0, 1)], Try(1, 2, (self.told(A, 1, 1),)))
        both = self.told(A, 2, 3), self.told(B, 1, 1)
        self.append(2, [(A, Head(A, 1, 1_001), 2), (B, ANY, 1)], Try(5, 8, both))
        ahead = ExpectedVersionAhead(stream_id=B, expected=5, actual=1)
        self.append(3, [(A, 1, 1)], Try(9, 10, conflict=VersionConflict(stream_id=A, expected=1, actual=3)))
        self.append(4, [(B, 5, 1)], Try(11, 12, conflict=ahead))
        self.append(5, [(B, EXISTS, 1)], Try(13))
        self.append(6, [(C, 0, 1)], Try(14))
        self.read(A, 1, 3, 4)
        self.read(A, 3, 15, 16)

    def append(self, number: int, parts: list[tuple[str, Any, int]], *tries: Try) -> None:
        appends = [
            Append(
                stream_id,
                tuple(
                    NewEvent(name="Happened", payload=json.dumps({"op": number, "n": n}))
                    for n in range(count)
                ),
                expected,
            )
            for stream_id, expected, count in parts
        ]
        self.history.operations.append(Operation(number, appends, list(tries)))

    def told(self, stream_id: str, first: int, last: int) -> Appended:
        return Appended(stream_id, tuple(self.table[stream_id][first - 1 : last]), repeated=False)

    def read(self, stream_id: str, version: int, invoked: int, returned: int) -> None:
        read = Read(stream_id, invoked, returned, tuple(self.table[stream_id][:version]))
        self.history.reads.append(read)

    def try_(self, number: int) -> Try:
        return self.history.operations[number - 1].tries[0]

    def conflicts(self, number: int, **said: Any) -> None:
        """Let an append be told of a conflict."""
        try_ = self.try_(number)
        assert try_.conflict is not None
        old = try_.conflict
        told = {"stream_id": old.stream_id, "expected": old.expected, "actual": old.actual, **said}
        try_.conflict = type(old)(**told)


def lose_an_append(case: Case) -> None:
    del case.table[A][1:]


def put_others_where_an_append_was_told_to_be(case: Case) -> None:
    case.table[B].reverse()
    case.table[B] = [
        replace(one, event_id=n, timestamp_us=1_000 + n) for n, one in enumerate(case.table[B], 1)
    ]


def invent_an_event(case: Case) -> None:
    case.table[C] = [event(C, 1, 99)]


def write_an_append_twice(case: Case) -> None:
    case.table[A].append(event(A, 4, 1))


def write_half_of_an_append(case: Case) -> None:
    case.table[A][2] = event(A, 3, 7)
    case.append(7, [(A, ANY, 1)], Try(1))


def write_one_stream_of_two(case: Case) -> None:
    del case.table[B]
    case.try_(2).appended = case.try_(2).returned = None


def write_between_the_events_of_an_append(case: Case) -> None:
    case.table[A][2:] = [event(A, 3, 7), event(A, 4, 2, 1)]
    case.append(7, [(A, ANY, 1)], Try(1))


def leave_a_gap(case: Case) -> None:
    del case.table[B][0]


def stamp_an_event_before_its_precedent(case: Case) -> None:
    case.table[B][1] = replace(case.table[B][1], timestamp_us=1)


def write_at_another_version_than_expected(case: Case) -> None:
    case.table[C] = [event(C, 1, 7), event(C, 2, 6)]
    case.append(7, [(C, ANY, 1)], Try(1))


def begin_a_stream_that_was_to_exist(case: Case) -> None:
    case.table[C] = [event(C, 1, 7)]
    case.append(7, [(C, EXISTS, 1)], Try(1))


def win_what_was_taken_before(case: Case) -> None:
    case.history.operations[0].tries[0] = Try(17, 18, (case.told(A, 1, 1),))


def refuse_an_append_and_write_it(case: Case) -> None:
    case.table[A].append(event(A, 4, 3))


def name_a_version_that_was_not_there_yet(case: Case) -> None:
    case.table[A].append(event(A, 4, 7))
    case.append(7, [(A, ANY, 1)], Try(20))
    case.conflicts(3, actual=4)


def name_a_version_that_was_long_passed(case: Case) -> None:
    case.conflicts(3, actual=2)


def refuse_what_is_as_expected(case: Case) -> None:
    case.conflicts(3, expected=3)


def refuse_a_stream_that_exists(case: Case) -> None:
    case.conflicts(3, expected="exists")


def take_a_version_that_is_there_for_one_ahead(case: Case) -> None:
    case.conflicts(4, expected=1)


def change_an_event_after_it_was_read(case: Case) -> None:
    case.history.reads[0] = replace(case.history.reads[0], events=(event(A, 1, 6),))


def read_less_than_was_acknowledged(case: Case) -> None:
    case.read(A, 2, 17, 18)


def read_less_than_another_had_read(case: Case) -> None:
    case.read(B, 2, 17, 18)
    case.read(B, 1, 19, 20)


def read_what_is_appended_later(case: Case) -> None:
    case.read(A, 3, 3, 4)


def answer_an_append_with_another_refusal(case: Case) -> None:
    case.try_(5).refused = ValueError("of its own")


def write_what_was_told_to_be_unwritten(case: Case) -> None:
    case.try_(5).unwritten = True


def append_anew_what_was_done(case: Case) -> None:
    case.history.operations[0].tries.append(Try(17, 18, (case.told(A, 1, 1),)))


def give_an_event_the_place_of_another_expectation(case: Case) -> None:
    operation = case.history.operations[0]
    operation.otherwise.append([replace(operation.appends[0], expected=4)])
    operation.appends = [replace(operation.appends[0], expected=3)]


def know_a_part_and_append_it(case: Case) -> None:
    case.history.known.append(Known(2, True, {"u": 2}, "it was appended at 4"))


def name_another_event_of_a_known_uid(case: Case) -> None:
    case.history.known.append(Known(2, False, {"u": 2}, "uid reused", {"u": 3}))


def write_two_appends_crosswise(case: Case) -> None:
    case.table |= {
        C: [event(C, 1, 7), event(C, 2, 8)],
        D: [event(D, 1, 8), event(D, 2, 7)],
    }
    for number, of_c, of_d in ((7, 1, 2), (8, 2, 1)):
        told = (told_of(case, C, of_c), told_of(case, D, of_d))
        case.append(number, [(C, ANY, 1), (D, ANY, 1)], Try(20, 30, told))


def put_an_append_before_one_that_was_done_earlier(case: Case) -> None:
    """7 was done before 8 began, and 9 is between them: behind 8 in one stream, before 7 in another."""
    case.table |= {
        C: [event(C, 1, 8), event(C, 2, 9)],
        D: [event(D, 1, 9), event(D, 2, 7)],
    }
    case.append(7, [(D, ANY, 1)], Try(20, 22, (told_of(case, D, 2),)))
    case.append(8, [(C, ANY, 1)], Try(23, 30, (told_of(case, C, 1),)))
    case.append(9, [(C, ANY, 1), (D, ANY, 1)], Try(19, 31, (told_of(case, C, 2), told_of(case, D, 1))))


def told_of(case: Case, stream_id: str, event_id: int) -> Appended:
    return case.told(stream_id, event_id, event_id)


def see_what_can_not_be(case: Case) -> None:
    case.history.odd.append("changed: a fold")


@pytest.mark.parametrize(
    ("spoil", "breach"),
    [
        (lose_an_append, "torn: append 2"),
        (lambda case: case.table.pop(A), "lost: append 1 was acknowledged"),
        (put_others_where_an_append_was_told_to_be, "lost: append 2 was told to be b/1"),
        (invent_an_event, "invented: append 99"),
        (write_an_append_twice, "twice: append 1"),
        (write_half_of_an_append, "torn: append 2 is in a with 1 of 2"),
        (write_one_stream_of_two, "torn: append 2 is in b with 0 of 1"),
        (write_between_the_events_of_an_append, "torn: append 2 has others between"),
        (leave_a_gap, "version: b has a gap"),
        (stamp_an_event_before_its_precedent, "order: b/2 has a Timestamp"),
        (write_at_another_version_than_expected, "version: append 6 expected c at 0 and got 2"),
        (begin_a_stream_that_was_to_exist, "version: append 7 expected c to exist"),
        (win_what_was_taken_before, "version: append 1 won a/1, which was taken"),
        (refuse_an_append_and_write_it, "conflict: append 3 was told to be refused, and is there"),
        (
            name_a_version_that_was_not_there_yet,
            "conflict: append 3 was told that a is at 4, not at 1, which",
        ),
        (name_a_version_that_was_long_passed, "conflict: append 3 was told that a is at 2, not at 1, which"),
        (refuse_what_is_as_expected, "conflict: append 3 was told that a is at 3, not at 3, which is no"),
        (
            refuse_a_stream_that_exists,
            "conflict: append 3 was told that a is at 3, not at exists, which is no",
        ),
        (take_a_version_that_is_there_for_one_ahead, "conflict: append 4 was told that b is at 1, not at 1"),
        (change_an_event_after_it_was_read, "changed: a read of a"),
        (read_less_than_was_acknowledged, "stale: a read of a saw 2, below"),
        (read_less_than_another_had_read, "stale: a read of b saw 1, below"),
        (answer_an_append_with_another_refusal, "refused: append 5 was told ValueError"),
        (write_what_was_told_to_be_unwritten, "conflict: append 5 was told that nothing was written"),
        (append_anew_what_was_done, "twice: append 1, which was done, was told to be appended anew"),
        (give_an_event_the_place_of_another_expectation, "version: append 1 expected a at 3 or at 4 and got"),
        (know_a_part_and_append_it, "known: uids of append 2"),
        (name_another_event_of_a_known_uid, "known: uids of append 2"),
        (write_two_appends_crosswise, "cycle: appends "),
        (put_an_append_before_one_that_was_done_earlier, "cycle: appends "),
        (see_what_can_not_be, "changed: a fold"),
        (read_what_is_appended_later, "stale: a read of a saw 3, which was appended after"),
    ],
)
def test_appends_and_reads(spoil: Callable[[Case], object], breach: str) -> None:
    case = Case()
    assert breaches_of_appends(case.history, case.table) == []

    spoil(case)
    found = breaches_of_appends(case.history, case.table)
    assert any(one.startswith(breach) for one in found), found


WHOLE = [(A, 1), (B, 1), (A, 2), (A, 1), (A, 3), (B, 2), (B, 1)]


@pytest.mark.parametrize(
    ("addresses", "breaches"),
    [
        (WHOLE, []),
        (WHOLE[:-2], ["lost: it was never given ('b', 2)"]),
        ([*WHOLE, (C, 1)], ["invented: it was given ('c', 1)"]),
        ([(B, 2), *WHOLE], ["order: it was given b/2 out of turn", "order: it was given b/1 out of turn"]),
        ([], [f"lost: it was never given {one}" for one in [(A, 1), (A, 2), (A, 3), (B, 1), (B, 2)]]),
    ],
)
def test_deliveries(addresses: list[tuple[str, int]], breaches: list[str]) -> None:
    assert breaches_of_deliveries(Deliveries("it", addresses), Case().table) == breaches


def test_deliveries_that_may_end_before_have_to_be_in_order_all_the_same() -> None:
    found = breaches_of_deliveries(Deliveries("it", [(A, 1), (A, 3)]), Case().table, is_whole=False)
    assert found == ["order: it was given a/3 out of turn"]


def test_what_is_wanted_of_a_table() -> None:
    table = {
        "aa": [event("aa", 1, 1, name="Opened"), event("aa", 2, 1, name="Closed")],
        B: [event(B, 1, 1, name="Opened")],
    }
    assert wanted(table, names=["Opened"]) == {"aa": table["aa"][:1], B: table[B]}
    assert wanted(table, prefix="a") == {"aa": table["aa"]}
    assert wanted(table, from_us=1_002) == {"aa": table["aa"][1:], B: []}
    assert wanted(table, to_us=1_002) == {"aa": table["aa"][:1], B: table[B]}


@pytest.mark.parametrize(
    ("read", "is_good"),
    [
        ([(1, 0), (1, 1), (1, 0), (2, 0)], True),
        ([(1, 0), (2, 0), (1, 1)], False),
        ([(1, 0), (2, 0)], False),
        ([(1, 0), (1, 1), (2, 0), (3, 0)], False),
    ],
    ids=["repeats", "late", "passed over", "not there"],
)
def test_tranche_of_the_log(read: list[tuple[int, int]], is_good: bool) -> None:
    assert (list(breaches_of_tranche(0, read, [(1, 0), (1, 1), (2, 0)])) == []) is is_good


def rows(stream_id: str) -> list[str]:
    return [f"{one.event_id}:{one.payload}" for one in Case().table[stream_id]]


@pytest.mark.parametrize(
    ("of_a", "kind"),
    [
        (rows(A), None),
        (rows(A)[1:], "lost"),
        ([*rows(A), rows(A)[0]], "twice"),
        (rows(A)[::-1], "order"),
        ([*rows(A), "4:{}"], "order"),
    ],
    ids=["fold", "lost", "twice", "order", "more"],
)
def test_projection(of_a: list[str], kind: str | None) -> None:
    found = list(breaches_of_view({A: of_a, B: rows(B)}, Case().table))
    assert {one.partition(":")[0] for one in found} == ({kind} if kind else set())


def test_write_under_a_fence_that_was_passed() -> None:
    first, second = Fenced("t", 1, True, 1, 2), Fenced("t", 2, True, 5, 6)
    others = [first, second, Fenced("u", 1, False, 9, 10), Fenced("t", 2, False, 9, 10)]

    assert list(breaches_of_fences([*others, Fenced("t", 1, False, 4, 7)])) == []
    assert list(breaches_of_fences([*others, Fenced("t", 1, False, 7, 8)])) == [
        "fence: t was written to under 1, after 2 was taken"
    ]


def calls(*numbers: int, worker: str = "w") -> list[Attempt]:
    """Calls with events of `a`; those below zero fail."""
    return [Attempt(worker, (A, abs(number)), number > 0) for number in numbers]


WAITS = [OnFailure.STOP, OnFailure.PARK_STREAM]
GOES_ON = [OnFailure.SKIP, OnFailure.PARK]
EACH = [*WAITS, *GOES_ON]


@pytest.mark.parametrize(
    ("attempts", "those", "kinds"),
    [
        (calls(1, 2, 3), EACH, []),
        (calls(1, -2, 2, 1, 2, 3), EACH, []),
        (calls(1, -2, -2, 2, 3), EACH, []),
        (calls(1, 2), EACH, ["lost"]),
        (calls(1, 2, 3, 4), EACH, ["invented"]),
        (calls(2, 1, 3), EACH, ["order"]),
        (calls(1, -2, 3, 2), EACH, ["order"]),
        # Given up: then later ones go on, or wait.
        (calls(1, -2, -2, 3, 2), GOES_ON, []),
        (calls(1, -2, -2, 3, 2), WAITS, ["order"]),
        (calls(1, -2, -2, 3), [OnFailure.SKIP], []),
        (calls(1, -2, -2, 3), [OnFailure.PARK], ["lost"]),
        (calls(1, 2, -3), [OnFailure.SKIP], ["lost"]),
        # Two processes that fail once each haven't given up.
        ([*calls(1, -2), *calls(-2, 3, worker="v")], [OnFailure.SKIP], ["lost", "order"]),
    ],
)
def test_handler_that_fails(attempts: list[Attempt], those: list[OnFailure], kinds: list[str]) -> None:
    table = {A: Case().table[A]}
    for on_failure in those:
        found = breaches_of_attempts(attempts, table, on_failure=on_failure, max_tries=2)
        assert sorted({one.partition(":")[0] for one in found}) == kinds, on_failure


def test_events_that_end_workers_for_ever() -> None:
    ends = [Attempt(f"worker-{n}", (A, 1), is_handled=False) for n in range(5)]
    assert list(breaches_of_ends(ends[:4] * 2, max_starts=2)) == []
    assert list(breaches_of_ends(ends, max_starts=2)) == ["stuck: a/1 has ended 5 workers"]


def owner(fence: int, *, ended: int = 0, begins: int | None = 2, is_freed: bool = False) -> list[Told]:
    """An owner of `a`'s lease that finds so many ends within event 2, and begins an event or none."""
    taken = Taken(0, fence, Start(A, 2, ended) if ended else None)
    return [taken, *([Begun(f"w-{fence}", 0, fence, (A, begins), is_freed)] if begins else [])]


@pytest.mark.parametrize(
    ("owners", "is_given_up"),
    [
        ([owner(1), owner(2, ended=1), owner(3, ended=2)], True),
        ([owner(1), owner(2, ended=1), owner(4, ended=2)], True),  # 3 didn't learn that it has the lease
        ([owner(1), owner(2, ended=1), owner(3, ended=1), owner(4, ended=2)], True),  # 2 has taken it back
        ([owner(1), owner(2, ended=1)], False),
        ([owner(1), owner(2, ended=1), owner(3, ended=1)], False),
        ([owner(1), owner(2, ended=1), owner(3), owner(4, ended=1)], False),  # 2 was done with it
        # What is counted is an owner's own begin, whatever a lease tells.
        ([owner(1), owner(2, ended=1, begins=None), owner(3, ended=2)], False),
        ([owner(1), owner(2, ended=1, begins=3), owner(3, ended=2)], False),
        ([owner(1), owner(2, ended=2)], False),
    ],
)
def test_event_given_up_since_workers_ended_within_it(owners: list[list[Told]], is_given_up: bool) -> None:
    told = [*calls(1), *chain.from_iterable(owners), *calls(3)]
    table = {A: Case().table[A]}
    found = breaches_of_attempts(told, table, on_failure=OnFailure.SKIP, max_tries=1, max_starts=2)
    kinds = sorted({one.partition(":")[0] for one in found})
    assert kinds == ([] if is_given_up else ["lost", "order"])


def test_call_that_ends_its_worker_is_no_try_that_failed() -> None:
    told = [*calls(1), Attempt("w", (A, 2), is_handled=False, ends_worker=True), *calls(3, 2)]
    table = {A: Case().table[A]}
    found = breaches_of_attempts(told, table, on_failure=OnFailure.SKIP, max_tries=1)
    assert list(found) == ["order: a handler with SKIP was given a/3 out of turn"]


def test_lease_freed_with_an_event_as_begun_that_did_not_end_its_worker() -> None:
    freed = owner(1, is_freed=True)
    end = Attempt("w-1", (A, 2), is_handled=False, ends_worker=True)
    assert list(breaches_of_starts([end, *freed])) == []
    assert list(breaches_of_starts(owner(1))) == []
    for before in ([], [replace(end, worker="w-2")], [replace(end, ends_worker=False)]):
        assert list(breaches_of_starts([*before, *freed])) == [
            "start: w-1 has freed a/2 as begun, which didn't end it"
        ]


def entry(one: Event, **format_: Any) -> Entry:
    return EntryFormat(source="shop", api_url="https://api.example.com", **format_).entry(one)


@pytest.mark.parametrize(
    ("message", "is_good"),
    [
        (entry(event(A, 1, 1), replay_id="r"), True),
        (entry(event(A, 1, 1, name="Other"), replay_id="r"), False),
        (replace(entry(event(A, 1, 1), replay_id="r"), detail_type="Replayed"), False),
        (entry(event(A, 1, 1), replay_id="s"), False),
        (entry(event(A, 1, 2), replay_id="r"), False),
    ],
    ids=["good", "name", "detail-type", "replay", "data"],
)
def test_messages_of_a_replay(message: Entry, is_good: bool) -> None:
    found = list(breaches_of_messages([message], Case().table, replay_id="r"))
    assert (found == []) is is_good
    assert all(one.startswith("changed: ") for one in found)


def test_pace_of_a_replay() -> None:
    job = Job(progress=[(0, 65), (1_000_000, 75), (60_000_000, 600)])

    def found(events_per_second: int | None) -> list[str]:
        return list(breaches_of_pace(job, events_per_second=events_per_second, began_us=0))

    assert found(None) == []
    assert found(10) == []
    assert found(9) == [
        "pace: 65 were sent in 0.0 s, at 9 a second",
        "pace: 75 were sent in 1.0 s, at 9 a second",
        "pace: 600 were sent in 60.0 s, at 9 a second",
    ]


PAUSE, RESUME = Asked("pause", 10, 12), Asked("resume", 30, 32)
STEP_BEGINS, STEP_STORES = Fenced("r", 2, True, 20, 21), Fenced("r", 1, False, 14, 15)


@pytest.mark.parametrize(
    ("job", "breaches"),
    [
        (Job([Fenced("r", 1, True, 11, 14)], [Call(1, 13), Call(1, 16)], [PAUSE, RESUME]), []),
        (Job([STEP_STORES], [Call(1, 13), Call(1, 14), Call(2, 31), Call(1, 40)], [PAUSE, RESUME]), []),
        (Job([STEP_BEGINS], [], [RESUME]), []),
        (Job([STEP_BEGINS], [], [Asked("pause", 10, None)]), []),
        (Job([STEP_BEGINS], [], [PAUSE, Asked("resume", 11, 25)]), []),
        (Job([STEP_BEGINS], [], [PAUSE, Asked("resume", 13, 14)]), []),
        (Job([STEP_BEGINS], [], [PAUSE, RESUME]), ["pause: step 2 began after the replay was held"]),
        (Job([STEP_BEGINS], [], [Asked("cancel", 1, 2)]), ["pause: step 2 began after the replay was held"]),
        (
            Job([STEP_STORES], [Call(1, 16)], [PAUSE, RESUME]),
            ["pause: step 1 went on though the replay was held"],
        ),
    ],
    ids=[
        "at work",
        "until it stores, and when resumed",
        "not paused",
        "not told to be paused",
        "resumed at the same time",
        "resumed before",
        "begins while paused",
        "begins when cancelled",
        "goes on behind its store",
    ],
)
def test_pauses_of_a_replay(job: Job, breaches: list[str]) -> None:
    assert list(breaches_of_pauses(job)) == breaches


def test_steps_of_a_replay_that_never_gets_on() -> None:
    here, there = Position(1, "s", 1), Position(2, "s", 2)
    none: list[tuple[int, Position | None]] = [(1, None)] * 3
    job = Job(steps=none + [(1, here)] * 4 + [(2, here)] * 3 + [(2, there)])
    assert list(breaches_of_steps(job, most=4)) == []
    assert list(breaches_of_steps(job, most=3)) == [
        f"stuck: run 1 of the replay began 4 steps in a row at {here}"
    ]
