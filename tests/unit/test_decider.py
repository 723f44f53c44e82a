"""A decision in classes of one's own: done once for each command, however often and late it's delivered."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

import pytest

from eventstore import ANY, Codec, Decider, Event, Head, NewEvent, correlation
from eventstore.decisions.decider import Decided, Loaded
from eventstore.errors import (
    HeadNotInStream,
    InvalidArgument,
    InvalidDecision,
    InvalidInput,
    NotSynchronous,
    StoreUnavailable,
    VersionConflict,
)
from eventstore.memory.store import MemoryEventStore
from eventstore.testing import given


@dataclass(frozen=True)
class Deposited:
    amount: int


@dataclass(frozen=True)
class Withdrawn:
    amount: int


AccountEvent = Deposited | Withdrawn


class TooLittle(Exception):
    pass


@dataclass(frozen=True)
class Account:
    balance: int = 0
    seen: tuple[str, ...] = field(default=(), compare=False)

    def apply(self, event: AccountEvent) -> Account:
        sign = 1 if isinstance(event, Deposited) else -1
        return replace(self, balance=self.balance + sign * event.amount)

    def deposit(self, amount: int) -> Sequence[AccountEvent]:
        return [Deposited(amount)]

    def withdraw(self, amount: int) -> tuple[int, Sequence[AccountEvent]]:
        if amount > self.balance:
            raise TooLittle
        return self.balance - amount, [Withdrawn(amount)]


codec: Codec[AccountEvent] = Codec(Deposited, Withdrawn)
accounts = Decider(initial=Account, evolve=Account.apply, codec=codec)


class Store(MemoryEventStore):
    """Lets another writer in before an append, hides the last event from some reads, and notes reads."""

    def __init__(self) -> None:
        super().__init__()
        self.rivals = 0
        self.hidden_reads = 0
        self.reads: list[int] = []

    def append(self, stream_id: str, events: Any, *, expected: Any) -> Any:
        if self.rivals:
            self.rivals -= 1
            super().append(stream_id, [codec.encode(Deposited(1))], expected=ANY)
        return super().append(stream_id, events, expected=expected)

    def read_stream(self, stream_id: str, *, from_version: int = 1, **options: Any) -> Iterator[Event]:
        self.reads.append(from_version)
        events = list(super().read_stream(stream_id, from_version=from_version, **options))
        if self.hidden_reads:
            self.hidden_reads -= 1
            return iter(events[:-1])
        return iter(events)


@pytest.fixture
def store() -> Store:
    return Store()


def test_decision_is_appended_and_folded(store: Store) -> None:
    done = accounts.transact(store, "a", lambda account: account.deposit(5))
    assert (done.state.balance, done.events, done.head.version) == (5, (Deposited(5),), 1)
    assert (done.tries, done.repeated, done.result) == (1, False, None)
    assert [event.payload for event in done.appended] == ['{"amount":5}']
    assert accounts.load(store, "a") == Loaded(done.state, done.head)


def test_result_of_a_decision_is_returned_with_its_events(store: Store) -> None:
    accounts.transact(store, "a", lambda account: account.deposit(5))
    done = accounts.transact(store, "a", lambda account: account.withdraw(2))
    assert (done.result, done.events, done.state.balance) == (3, (Withdrawn(2),), 3)


def test_two_events_in_a_tuple_are_events_and_no_result(store: Store) -> None:
    done = accounts.transact(store, "a", lambda _: (Deposited(1), Deposited(2)))
    assert (done.result, done.state.balance) == (None, 3)


@pytest.mark.parametrize("nothing", [None, [], (), ("why", []), ("why", ())])
def test_decision_for_nothing_writes_nothing(store: Store, nothing: Any) -> None:
    done = accounts.transact(store, "a", lambda _: nothing)
    assert (done.events, done.head, done.tries) == ((), Head("a", 0, 0), 1)
    assert done.result == ("why" if nothing and nothing[0] else None)
    assert list(store.read_stream("a")) == []


def test_error_of_a_decision_comes_through_and_nothing_is_written(store: Store) -> None:
    with pytest.raises(TooLittle):
        accounts.transact(store, "a", lambda account: account.withdraw(1))
    assert accounts.load(store, "a").head.version == 0


def test_decision_is_made_again_on_what_another_writer_has_appended(store: Store) -> None:
    store.rivals = 2
    balances: list[int] = []

    def decide(account: Account) -> Sequence[AccountEvent]:
        balances.append(account.balance)
        return [Deposited(10)]

    done = accounts.transact(store, "a", decide)
    assert (balances, done.tries, done.state.balance) == ([0, 1, 2], 3, 12)
    store.rivals = 9
    with pytest.raises(VersionConflict):
        accounts.transact(store, "a", decide, max_tries=2)


# --- commands -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("later", [0, 5])
def test_command_that_is_delivered_again_is_not_decided_again(store: Store, count: int, later: int) -> None:
    def decide(account: Account) -> Sequence[AccountEvent]:
        return [Deposited(account.balance + 1)] * count

    first = accounts.transact(store, "a", decide, command_id="c-1")
    for _ in range(later):
        accounts.transact(store, "a", lambda account: account.deposit(1))

    def never(_: Account) -> Sequence[AccountEvent]:
        raise AssertionError("it was decided")

    store.reads.clear()
    again = accounts.transact(store, "a", never, command_id="c-1")
    assert (again.events, again.appended) == (first.events, first.appended)
    assert (again.repeated, again.tries, again.result) == (True, 0, None)
    assert again.head.version == count + later
    assert store.reads == [1], "a repetition costs one read of the stream"


def test_command_is_another_on_another_stream_and_by_another_id(store: Store) -> None:
    for stream_id, command_id in (("a", "c"), ("b", "c"), ("a", "d"), ("a", "c:0"), ("a:c", "")):
        given_id = command_id or None
        done = accounts.transact(store, stream_id, lambda account: account.deposit(1), command_id=given_id)
        assert not done.repeated
    assert (accounts.load(store, "a").head.version, accounts.load(store, "b").head.version) == (3, 1)


def test_command_whose_first_answer_was_lost_is_known_by_its_uids(store: Store) -> None:
    command = UUID("01890a5d-ac96-774b-bcce-b302099a8057")
    accounts.transact(store, "a", lambda account: account.deposit(1), command_id=command)
    again = accounts.transact(store, "a", lambda account: account.deposit(1), command_id=str(command))
    assert (again.repeated, again.state.balance) == (True, 1)


def test_command_that_is_becoming_visible_is_waited_for(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    monkeypatch.setattr("eventstore.decisions.command_uids.time.sleep", pauses.append)
    decide = lambda _: [Deposited(1), Deposited(2)]  # noqa: E731
    first = accounts.transact(store, "a", decide, command_id="c")
    store.hidden_reads = 2
    again = accounts.transact(store, "a", decide, command_id="c")
    assert (again.events, again.head, len(pauses)) == (first.events, first.head, 2)

    store.hidden_reads = 99
    with pytest.raises(StoreUnavailable, match=r"only 1 are visible yet.*Try again$"):
        accounts.transact(store, "a", decide, command_id="c")
    assert accounts.load(MemoryEventStore(), "a").head.version == 0


def test_events_of_a_command_without_an_id_have_uids_of_the_store(store: Store) -> None:
    done = [accounts.transact(store, "a", lambda account: account.deposit(1)) for _ in range(2)]
    assert len({event.uid for one in done for event in one.appended}) == 2


def test_metadata_and_correlation_are_in_every_event(store: Store) -> None:
    with correlation("request-1"):
        done = accounts.transact(store, "a", lambda account: account.deposit(1), metadata={"user": "u"})
    assert done.appended[0].metadata == '{"correlationId":"request-1","user":"u"}'


# --- going on from an earlier state -------------------------------------------------------------------


def test_earlier_state_spares_reading_what_it_has(store: Store) -> None:
    done = accounts.transact(store, "a", lambda _: [Deposited(1)] * 5)
    store.reads.clear()
    more = accounts.transact(store, "a", lambda account: account.deposit(1), at=done.loaded)
    assert (more.state.balance, store.reads) == (6, [5])
    assert accounts.load(store, "a", at=more.loaded).state.balance == 6


def test_state_from_before_a_restore_is_noticed(store: Store) -> None:
    done = accounts.transact(store, "a", lambda account: account.deposit(1))
    restored = MemoryEventStore()
    for load in (accounts.load, lambda *a, at: accounts.transact(*a, lambda _: None, at=at)):
        with pytest.raises(HeadNotInStream):
            load(restored, "a", at=done.loaded)


# --- what is refused ----------------------------------------------------------------------------------


async def later(*_: object) -> list[AccountEvent]:
    return []


@pytest.mark.parametrize(
    ("decide", "error", "reason"),
    [
        (lambda _: Deposited(1), InvalidDecision, "return a list of events, or a result and a list"),
        (lambda _: "Deposited", InvalidDecision, "return a list of events"),
        (lambda _: ["Deposited"], InvalidDecision, r"none of the codec's classes"),
        (lambda _: [NewEvent.of("Deposited")], InvalidDecision, r"none of the codec's classes"),
        (lambda _: {"a": 1}, InvalidDecision, "return a list of events"),
        (later, NotSynchronous, "decide"),
        (lambda _: (one for one in ()), NotSynchronous, "decide"),
        ("decide", InvalidDecision, "can't be called"),
    ],
)
def test_decision_that_is_none_is_refused_and_nothing_is_written(
    store: Store, decide: Any, error: type[Exception], reason: str
) -> None:
    with pytest.raises(error, match=reason):
        accounts.transact(store, "a", decide)
    assert list(store.read_stream("a")) == []


def test_arguments_are_refused_by_name(store: Store) -> None:
    for options, error in (
        ({"initial": 5}, InvalidInput),
        ({"evolve": later}, NotSynchronous),
        ({"codec": None}, InvalidArgument),
    ):
        with pytest.raises(error, match=next(iter(options))):
            Decider(**({"initial": Account, "evolve": Account.apply, "codec": codec} | options))  # type: ignore[arg-type]
    with pytest.raises(InvalidArgument, match="at: has to be Loaded"):
        accounts.load(store, "a", at=Head("a", 1, 1))  # type: ignore[arg-type]
    with pytest.raises(InvalidArgument, match="command_id"):
        accounts.transact(store, "a", lambda _: None, command_id="")
    unfinished = Decider(initial=lambda: later(1), evolve=lambda state, _: state, codec=codec)
    with pytest.raises(NotSynchronous, match="initial"):
        unfinished.load(store, "a")


# --- given, when, then --------------------------------------------------------------------------------


def test_given_when_then_says_what_a_decision_makes_of_a_history() -> None:
    history = given(accounts, Deposited(5), Withdrawn(2))
    assert history.state.balance == 3
    history.when(lambda account: account.withdraw(1)).then(Withdrawn(1)).then_returns(2)
    history.when(lambda account: account.withdraw(9)).then_raises(TooLittle)
    history.when(lambda _: None).then()
    assert given(accounts, *[Deposited(1)] * 230).state.balance == 230


def test_given_when_then_fails_where_something_else_was_decided() -> None:
    history = given(accounts, Deposited(5))
    with pytest.raises(AssertionError, match="decided .*Withdrawn.* expected"):
        history.when(lambda account: account.withdraw(1)).then(Withdrawn(2))
    with pytest.raises(TooLittle):
        history.when(lambda account: account.withdraw(9)).then(Withdrawn(9))
    with pytest.raises(TooLittle):
        history.when(lambda account: account.withdraw(9)).then_returns(1)
    with pytest.raises(TooLittle):
        history.when(lambda account: account.withdraw(9)).then_raises(KeyError)
    with pytest.raises(AssertionError, match="expected TooLittle"):
        history.when(lambda account: account.withdraw(1)).then_raises(TooLittle)
    with pytest.raises(AssertionError, match="returned 4, expected 5"):
        history.when(lambda account: account.withdraw(1)).then_returns(5)


def test_decided_has_what_the_next_decision_begins_at(store: Store) -> None:
    done: Decided[None, Account, AccountEvent] = accounts.transact(
        store, "a", lambda account: account.deposit(1)
    )
    assert done.loaded == Loaded(done.state, done.head)
