import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest

from eventstore import Event, Head, NewEvent, execute
from eventstore.decisions.execute import Executed
from eventstore.errors import (
    HeadNotInStream,
    InvalidDecision,
    InvalidExpectedVersion,
    InvalidInput,
    InvalidLimit,
    NotSynchronous,
    VersionConflict,
)
from eventstore.limits import TRANSACTION_MAX_EVENTS
from eventstore.memory.store import MemoryEventStore


class WatchedStore(MemoryEventStore):
    """Notes what is read of streams, and lets another writer in before an append."""

    def __init__(self) -> None:
        super().__init__()
        self.reads: list[int] = []
        self.ends: list[int | None] = []
        self.appends = 0
        self.rivals = 0

    def read_stream(self, stream_id: str, *, from_version: int = 1, **options):  # type: ignore[no-untyped-def, override]
        self.reads.append(from_version)
        self.ends.append(options.get("to_version"))
        return super().read_stream(stream_id, from_version=from_version, **options)

    def append(self, stream_id, events, *, expected):  # type: ignore[no-untyped-def, override]
        self.appends += 1
        if self.rivals:
            self.rivals -= 1
            super().append(stream_id, [NewEvent(name="Rival")], expected=self.head(stream_id))
        return super().append(stream_id, events, expected=expected)


def names(state: tuple[str, ...], event: Event) -> tuple[str, ...]:
    return (*state, event.name)


def run(store: WatchedStore, **options: object) -> Executed[tuple[str, ...]]:
    return execute(
        store,
        "s",
        initial=(),
        fold=names,
        decide=lambda state: [NewEvent(name=f"After{len(state)}")],
        sleep=lambda _: None,
        **options,  # type: ignore[arg-type]
    )


def test_conflict_reads_only_what_is_new_and_decides_on_it() -> None:
    store = WatchedStore()
    store.append("s", [NewEvent(name="First")] * 3, expected=0)
    store.reads.clear()
    store.rivals = 2

    done = run(store)

    assert done.tries == 3
    assert done.state == ("First",) * 3 + ("Rival", "Rival", "After5")
    assert store.reads == [1, 4, 5]
    assert done.head == store.head("s")


def test_known_state_is_not_read_again_but_for_the_event_at_its_head() -> None:
    store = WatchedStore()
    first = run(store)
    store.reads.clear()

    done = execute(
        store, "s", initial=first.state, at=first.head, fold=names, decide=lambda _: [NewEvent(name="Second")]
    )

    assert store.reads == [1]
    assert done.state == ("After0", "Second")


def test_no_decision_appends_nothing() -> None:
    store = WatchedStore()

    done = execute(store, "s", initial=(), fold=names, decide=lambda _: [])

    assert done == Executed((), Head("s", 0, 0), (), 1)


def test_conflicts_beyond_the_last_try_reach_the_caller_and_pauses_double() -> None:
    store = WatchedStore()
    store.rivals = 99
    pauses: list[float] = []

    with pytest.raises(VersionConflict):
        execute(
            store,
            "s",
            initial=(),
            fold=names,
            decide=lambda _: [NewEvent(name="Late")],
            max_tries=4,
            backoff_s=0.1,
            sleep=pauses.append,
            jitter=lambda: 1.0,
        )

    assert pauses == [0.1, 0.2, 0.4]
    assert all(event.name == "Rival" for event in store.read_stream("s"))


def test_refusal_of_the_business_reaches_the_caller_and_writes_nothing() -> None:
    store = WatchedStore()

    def refuse(_: object) -> list[NewEvent]:
        raise PermissionError("sold out")

    with pytest.raises(PermissionError, match="sold out"):
        execute(store, "s", initial=(), fold=names, decide=refuse)
    assert store.head("s").version == 0


def test_tries_have_to_be_positive() -> None:
    with pytest.raises(InvalidLimit, match="max_tries: is 0; it has to be at least 1"):
        run(WatchedStore(), max_tries=0)


async def decide_later(_state: object) -> list[NewEvent]:
    return [NewEvent(name="Lost")]


def decide_slowly(_state: object) -> Iterator[NewEvent]:
    yield NewEvent(name="Lost")


async def fold_later(state: object, _event: Event) -> object:
    return state


EVENT = NewEvent(name="Happened")
UID = "01890a5d-ac96-774b-bcce-b302099a8057"


@pytest.mark.parametrize(
    ("decide", "error", "told"),
    [
        (decide_later, NotSynchronous, "decide: is .*decide_later, an async function"),
        (decide_slowly, NotSynchronous, "decide_slowly, a generator function"),
        (lambda state: decide_later(state), NotSynchronous, "returned a coroutine"),  # noqa: PLW0108
        (lambda state: decide_slowly(state), NotSynchronous, "returned a generator"),  # noqa: PLW0108
        (functools.partial(decide_later), NotSynchronous, "an async function"),
        (lambda _: "Happened", InvalidDecision, "'Happened'; return a list of NewEvent"),
        (lambda _: EVENT, InvalidDecision, r"one event; return a list, such as \[event\]"),
        (lambda _: {"name": "Happened"}, InvalidDecision, "return a list of NewEvent"),
        (lambda _: [EVENT, "Happened"], InvalidDecision, r"decide\[1\]: .*has to be a NewEvent"),
        (lambda _: True, InvalidDecision, "return a list of"),
        ("decide", InvalidDecision, "can't be called"),
    ],
)
def test_decision_that_is_no_sequence_of_events_writes_nothing(
    decide: Any, error: type[Exception], told: str
) -> None:
    store = WatchedStore()
    with pytest.raises(error, match=told):
        execute(store, "s", initial=(), fold=names, decide=decide)
    assert store.head("s").version == 0


@pytest.mark.parametrize("fold", [fold_later, lambda state, event: fold_later(state, event)])  # noqa: PLW0108
def test_fold_that_returns_before_it_is_done_is_refused_and_nothing_decided(fold: Any) -> None:
    store = WatchedStore()
    store.append("s", [EVENT] * 3, expected=0)
    decided: list[object] = []
    with pytest.raises(NotSynchronous, match="fold"):
        execute(store, "s", initial=(), fold=fold, decide=lambda state: decided.append(state) or [EVENT])  # type: ignore[func-returns-value]
    assert decided == []
    assert store.head("s").version == 3


@pytest.mark.parametrize("decision", [None, (), []])
def test_decision_to_do_nothing_may_be_none(decision: Sequence[NewEvent] | None) -> None:
    store = WatchedStore()
    decide: Callable[[object], Sequence[NewEvent] | None] = lambda _: decision  # noqa: E731
    assert execute(store, "s", initial=(), fold=names, decide=decide).events == ()


@pytest.mark.parametrize(
    ("at", "told"),
    [
        (Head("other", 1, 5), "at: is the head of stream 'other'"),
        (Head("other", 0, 0), "at: is the head of stream 'other'"),
        (1, "at: has to be a Head, not int"),
        (Head("s", -1, 0), "versions run from 0"),
        (Head("s", 0, 5), "which no event has"),
    ],
)
def test_head_of_another_stream_is_refused_before_anything_is_decided(at: Any, told: str) -> None:
    store = WatchedStore()
    store.append("other", [EVENT], expected=0)
    decided: list[object] = []
    with pytest.raises(InvalidExpectedVersion, match=told):
        execute(store, "s", initial=(), fold=names, decide=decided.append, at=at)
    assert (decided, store.reads) == ([], [])


@pytest.mark.parametrize(
    ("others", "told"),
    [
        ([None], "give every event one, or none"),
        ([UID], "stands on two events"),
        ([str(uuid4()) for _ in range(100)], "has 101 events"),
    ],
)
def test_decision_that_no_append_takes_is_refused_as_by_an_append(
    others: list[str | None], told: str
) -> None:
    """Also when one of its uids is known."""
    store = WatchedStore()
    store.append("s", [NewEvent(name="Happened", uid=UID)], expected=0)
    events = [NewEvent(name="Happened", uid=uid) for uid in (UID, *others)]
    for decided in (events, events[::-1]):
        with pytest.raises(InvalidInput, match=told):
            execute(store, "s", initial=(), fold=names, decide=lambda _, decided=decided: decided)  # type: ignore[misc]
    assert store.head("s").version == 1


@pytest.mark.parametrize("count", [1, 3, TRANSACTION_MAX_EVENTS])
def test_repetition_reads_its_own_events_again_and_writes_nothing(count: int) -> None:
    store = WatchedStore()
    store.append("s", [EVENT] * 2, expected=0)
    events = [NewEvent(name="Happened", uid=str(uuid4())) for _ in range(count)]
    first = execute(store, "s", initial=(), fold=names, decide=lambda _: events)
    store.append("s", [EVENT] * 5, expected=first.head)
    store.reads.clear()
    store.ends.clear()
    store.appends = 0

    again = execute(store, "s", initial=(), fold=names, decide=lambda _: events)

    assert (again.repeated, again.events, store.appends) == (True, first.events, 0)
    assert (store.reads, store.ends) == ([1, 3], [None, 2 + count])


def test_decision_that_cannot_be_used_is_told_by_the_name_of_its_function() -> None:
    def decide_wrongly(_state: object) -> Any:
        return "Happened"

    with pytest.raises(InvalidDecision, match=r"decide_wrongly returned 'Happened'; return a list"):
        execute(WatchedStore(), "s", initial=(), fold=names, decide=decide_wrongly)


def test_state_may_be_a_function() -> None:
    store = MemoryEventStore()
    store.append("s", [NewEvent.of("Happened")], expected=0)

    def later(before: Callable[[], int]) -> Callable[[], int]:
        return lambda: before() + 1

    done = execute(store, "s", initial=lambda: 0, fold=lambda state, _: later(state), decide=lambda _: [])
    assert done.state() == 1


def conflicting(**options: Any) -> list[float]:
    """Let another writer be first each time; return the pauses."""
    store, pauses = WatchedStore(), list[float]()
    store.rivals = 99
    given: dict[str, Any] = {"sleep": pauses.append, "jitter": lambda: 1.0}
    with pytest.raises(VersionConflict):
        execute(store, "s", initial=(), fold=names, decide=lambda _: [EVENT], **given | options)
    return pauses


def test_by_default_it_decides_8_times_with_pauses_from_20_ms_on() -> None:
    assert conflicting() == [0.02 * 2**attempt for attempt in range(7)]
    assert conflicting(max_tries=1) == []


def test_pauses_are_a_random_part_of_their_length() -> None:
    assert conflicting(backoff_s=1.0, jitter=lambda: 0.5, max_tries=3) == [0.5, 1.0]


def test_repetition_has_the_newest_state_and_head_and_was_decided_once() -> None:
    store = WatchedStore()
    given: dict[str, Any] = {"initial": (), "fold": names, "decide": lambda _: [replace(EVENT, uid=UID)]}
    first = execute(store, "s", **given)
    run(store)

    again = execute(store, "s", **given)

    assert again == Executed(("Happened", "After1"), store.head("s"), first.events, 1, repeated=True)
    assert execute(store, "s", **given | {"initial": first.state, "at": first.head}) == again


def test_append_that_finds_itself_stored_is_told_as_a_repetition() -> None:
    class Forgetful(WatchedStore):
        """Has appended the events before, though no read shows them yet."""

        def append(self, stream_id, events, *, expected):  # type: ignore[no-untyped-def, override]
            super().append(stream_id, events, expected=expected)
            return super().append(stream_id, events, expected=expected)

    given: dict[str, Any] = {"initial": (), "fold": names, "decide": lambda _: [replace(EVENT, uid=UID)]}
    assert execute(Forgetful(), "s", **given).repeated is True
    assert execute(WatchedStore(), "s", **given).repeated is False


def test_head_of_another_history_is_named() -> None:
    with pytest.raises(HeadNotInStream) as caught:
        run(WatchedStore(), at=Head("s", 3, 7))
    assert (caught.value.stream_id, caught.value.version) == ("s", 3)


def test_head_is_compared_once_however_often_it_is_decided() -> None:
    store = WatchedStore()
    first = run(store)
    store.reads.clear()
    store.rivals = 1
    run(store, at=first.head)
    assert store.reads == [1, 2]


def test_store_that_only_appends_and_reads_streams_is_enough() -> None:
    class Narrow:
        def __init__(self) -> None:
            self._store = MemoryEventStore()
            self.append, self.read_stream = self._store.append, self._store.read_stream

    done = execute(Narrow(), "s", initial=(), fold=names, decide=lambda _: [EVENT])  # type: ignore[arg-type]
    assert done.state == ("Happened",)
    for lacking in ("append", "read_stream"):
        narrow = Narrow()
        delattr(narrow, lacking)
        with pytest.raises(InvalidInput, match=f"lacks {lacking}"):
            execute(narrow, "s", initial=(), fold=names, decide=lambda _: [EVENT])  # type: ignore[arg-type]
