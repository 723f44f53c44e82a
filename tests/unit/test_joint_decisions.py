"""A decision over several aggregates: all or nothing, done once for each command, retried on any conflict."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest

from eventstore import ANY, Codec, Decider, Event, decide_over
from eventstore.errors import (
    InvalidArgument,
    InvalidDecision,
    InvalidStreamId,
    NotSynchronous,
    RepeatedStream,
    StoreUnavailable,
    VersionConflict,
)
from eventstore.memory.store import MemoryEventStore


@dataclass(frozen=True)
class Lent:
    to: str


@dataclass(frozen=True)
class Borrowed:
    copy: str


@dataclass(frozen=True)
class Copy:
    lent_to: str = ""

    def lend(self, member: str) -> list[Lent]:
        if self.lent_to:
            raise NotThere
        return [Lent(member)]


@dataclass(frozen=True)
class Member:
    copies: tuple[str, ...] = ()

    def borrow(self, copy: str) -> list[Borrowed]:
        return [Borrowed(copy)]


class NotThere(Exception):
    pass


def apply_copy(copy: Copy, event: Lent) -> Copy:
    return replace(copy, lent_to=event.to)


def apply_member(member: Member, event: Borrowed) -> Member:
    return replace(member, copies=(*member.copies, event.copy))


copies = Decider(initial=Copy, evolve=apply_copy, codec=Codec(Lent))
members = Decider(initial=Member, evolve=apply_member, codec=Codec(Borrowed))
BOTH = (copies, "copy-1"), (members, "member-7")


class Store(MemoryEventStore):
    """Lets another writer in before a transaction, and hides the end of some streams for some reads."""

    def __init__(self) -> None:
        super().__init__()
        self.rivals: list[tuple[str, Any]] = []
        self.hides: list[str] = []
        self.hidden_reads = 0
        self.reads = 0

    def transact(self, appends: Any) -> Any:
        if self.rivals:
            (stream_id, event), *left = self.rivals
            self.rivals = []  # an append is a transaction here, too
            super().append(stream_id, [event], expected=ANY)
            self.rivals = left
        return super().transact(appends)

    def read_stream(self, stream_id: str, **options: Any) -> Iterator[Event]:
        self.reads += 1
        events = list(super().read_stream(stream_id, **options))
        if stream_id in self.hides and self.hidden_reads:
            self.hidden_reads -= 1
            return iter(events[:-1])
        return iter(events)


@pytest.fixture
def store() -> Store:
    return Store()


def lend(copy: Copy, member: Member) -> tuple[list[Lent], list[Borrowed]]:
    return copy.lend("member-7"), member.borrow("copy-1")


def test_events_of_all_streams_are_appended_together(store: Store) -> None:
    done = decide_over(store, *BOTH, decide=lend)
    copy, member = done.parts
    assert (copy.state, copy.events) == (Copy("member-7"), (Lent("member-7"),))
    assert (member.state, member.events) == (Member(("copy-1",)), (Borrowed("copy-1"),))
    assert (done.result, done.tries, done.repeated) == (None, 1, False)
    assert copies.load(store, "copy-1") == copy.loaded
    assert [event.stream_id for part in done.parts for event in part.appended] == ["copy-1", "member-7"]


def test_refusal_of_one_aggregate_leaves_all_as_they_were(store: Store) -> None:
    decide_over(store, *BOTH, decide=lend)
    with pytest.raises(NotThere):
        decide_over(store, (copies, "copy-1"), (members, "member-8"), decide=lend)
    assert members.load(store, "member-8").head.version == 0


@pytest.mark.parametrize(
    ("decision", "result"),
    [
        (None, None),
        (([], []), None),
        (("why", ([], [])), "why"),
        (("why", ([Lent("x")], ())), "why"),
        (([Lent("x")], []), None),
        (((), [Borrowed("a"), Borrowed("b")]), None),
        ([[Lent("x")], [Borrowed("a")]], None),
        ((None, ([Lent("x")], [Borrowed("a")])), None),
    ],
)
def test_decision_is_a_list_for_each_stream_with_or_without_a_result(
    store: Store, decision: Any, result: object
) -> None:
    done = decide_over(store, *BOTH, decide=lambda *_: decision)
    lists = decision[1] if decision and decision[0] in ("why", None) else decision or ((), ())
    assert done.result == result
    assert [list(part.events) for part in done.parts] == [list(events) for events in lists]


def test_conflict_in_either_stream_is_decided_again(store: Store) -> None:
    store.rivals = [
        ("member-7", members.codec.encode(Borrowed("copy-2"))),
        ("copy-1", copies.codec.encode(Lent("member-9"))),
    ]
    seen: list[tuple[str, int]] = []

    def decide(copy: Copy, member: Member) -> tuple[list[Lent], list[Borrowed]]:
        seen.append((copy.lent_to, len(member.copies)))
        return [Lent("x")], [Borrowed("y")]

    done = decide_over(store, *BOTH, decide=decide)
    assert (seen, done.tries) == ([("", 0), ("", 1), ("member-9", 1)], 3)
    store.rivals = [("copy-1", copies.codec.encode(Lent("z")))] * 2
    with pytest.raises(VersionConflict):
        decide_over(store, *BOTH, decide=decide, max_tries=2)


def never(*_: object) -> None:
    raise AssertionError("it was decided")


@pytest.mark.parametrize(
    "lists",
    [
        ([Lent("a")], [Borrowed("b")]),
        ([Lent("a"), Lent("b")], [Borrowed("b"), Borrowed("c")]),
        ([Lent("a")], []),
        ([], [Borrowed("b"), Borrowed("c")]),
    ],
)
def test_command_that_is_delivered_again_is_not_decided_again(store: Store, lists: Any) -> None:
    first = decide_over(store, *BOTH, decide=lambda *_: ("done", lists), command_id="c")
    for _ in range(2):
        decide_over(store, *BOTH, decide=lambda *_: ([Lent("l")], [Borrowed("l")]))
    store.reads = 0
    again = decide_over(store, *BOTH, decide=never, command_id="c")
    assert [part.appended for part in again.parts] == [part.appended for part in first.parts]
    assert (again.repeated, again.result, again.tries, store.reads) == (True, None, 0, 2)
    assert again.parts[0].loaded.head.version == len(lists[0]) + 2


@pytest.mark.parametrize("hidden", ["copy-1", "member-7"])
def test_command_that_is_becoming_visible_is_waited_for(
    store: Store, hidden: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    monkeypatch.setattr("eventstore.decisions.command_uids.time.sleep", pauses.append)
    decide = lambda *_: ([Lent("a"), Lent("b")], [Borrowed("c"), Borrowed("d")])  # noqa: E731
    first = decide_over(store, *BOTH, decide=decide, command_id="c")
    store.hides, store.hidden_reads = [hidden], 2
    again = decide_over(store, *BOTH, decide=never, command_id="c")
    assert ([part.appended for part in again.parts], len(pauses)) == (
        [part.appended for part in first.parts],
        2,
    )
    store.hidden_reads = 99
    with pytest.raises(StoreUnavailable, match="are visible yet"):
        decide_over(store, *BOTH, decide=never, command_id="c")


async def later(*_: object) -> None:
    pass


@pytest.mark.parametrize(
    ("decide", "error", "reason"),
    [
        (lambda *_: [Lent("a")], InvalidDecision, "return 2 lists of events, or a result and these"),
        (lambda *_: ([Lent("a")], [Borrowed("b")], []), InvalidDecision, "return 2 lists"),
        (lambda *_: ("why", [Lent("a")]), InvalidDecision, "return 2 lists"),
        (lambda *_: ([Borrowed("a")], []), InvalidDecision, "none of the codec's classes"),
        (later, NotSynchronous, "decide"),
        (7, InvalidDecision, "can't be called"),
    ],
)
def test_decision_that_is_none_is_refused_and_nothing_is_written(
    store: Store, decide: Any, error: type[Exception], reason: str
) -> None:
    with pytest.raises(error, match=reason):
        decide_over(store, *BOTH, decide=decide)
    assert [*store.read_stream("copy-1"), *store.read_stream("member-7")] == []


@pytest.mark.parametrize(
    ("aggregates", "error"),
    [
        ((), InvalidArgument),
        (((copies, "copy-1"), (copies, "copy-1")), RepeatedStream),
        (((copies, "copy-1"), (members, "")), InvalidStreamId),
        (((copies, "copy-1"), ("member-7", members)), InvalidArgument),
        ((copies, "copy-1"), InvalidArgument),
    ],
)
def test_aggregates_that_are_none_are_refused(store: Store, aggregates: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="aggregates"):
        decide_over(store, *aggregates, decide=never)


def test_decision_over_more_than_two_streams_is_one_transaction_too(store: Store) -> None:
    three = (*BOTH, (copies, "copy-2"))
    done = decide_over(store, *three, decide=lambda *_: ([Lent("a")], [Borrowed("b")], [Lent("c")]))
    assert [part.loaded.head.version for part in done.parts] == [1, 1, 1]
