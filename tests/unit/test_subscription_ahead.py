"""Calls that begin before their turn: which do, how many, and what becomes of them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from contextvars import ContextVar
from typing import Any

import pytest

from eventstore import Event
from eventstore.log.model import BlockPosition
from eventstore.subscriptions import ahead
from eventstore.subscriptions.ahead import Ahead, Waiting
from eventstore.subscriptions.attempts import Behind, Called, Done
from eventstore.subscriptions.tranche_reader import Turn

PATIENCE_S = 60.0
"""Longer than any machine needs: what takes so long never comes."""
Address = tuple[str, int]
DONE, FAILED = Called(Done(is_repeated=False)), Called(None, ValueError("no good"), is_failure=True)


def turn(stream_id: str, event_id: int) -> Turn:
    event = Event(stream_id, event_id, "E", "{}", "{}", "uid", 1)
    return Turn(event, BlockPosition(1, 1), event_id - 1, 0)


NOTHING = Turn(None, BlockPosition(1, 1), 0, 0)
WORKER: ContextVar[str] = ContextVar("worker", default="")


class Desk:
    """Calls, as `Attempts` makes them; those of streams in `blocked` end when they're let go on."""

    def __init__(self, *turns: Turn, has_threads: bool = False, **options: Any) -> None:
        self.turns = list(turns)
        self.pulled = 0
        self.calls: list[tuple[str, int, int, bool]] = []
        self.outcomes: dict[Address, Called] = {}
        self.blocked: dict[str, threading.Event] = {}
        self.names: list[str] = []
        self.workers: list[str] = []
        self.at_work = threading.Semaphore(0)
        self.waits = 0
        self.done: dict[Address, Called] = {}
        self.ahead = Ahead(
            self,  # type: ignore[arg-type]
            beside=self.beside,
            has_threads=has_threads,
            **({"concurrency": 2, "look_ahead": 8, "monotonic": time.monotonic} | options),
        )

    def is_first(self, event: Event) -> bool:
        return event.event_id != 2

    def call(self, event: Event, *, after: int, is_first: bool) -> Called:
        self.calls.append((event.stream_id, event.event_id, after, is_first))
        self.names.append(threading.current_thread().name)
        self.workers.append(WORKER.get())
        self.at_work.release()
        if event.stream_id in self.blocked:
            assert self.blocked[event.stream_id].wait(PATIENCE_S)
        return self.outcomes.get((event.stream_id, event.event_id), DONE)

    @contextmanager
    def beside(self) -> Iterator[None]:
        self.waits += 1
        yield

    def source(self) -> Iterator[Turn]:
        for one in self.turns:
            self.pulled += 1
            yield one

    def begin(self, after: Callable[[Turn], int | None] = lambda turn: turn.after) -> Any:
        return closing(self.ahead.turns(self.source(), after, self.done))

    def begun(self) -> list[Address]:
        return [(stream_id, event_id) for stream_id, event_id, _, _ in self.calls]


# --- what begins ----------------------------------------------------------------------------------------


def test_first_events_of_the_streams_begin_with_what_is_done_before_them() -> None:
    desk = Desk(NOTHING, turn("a", 2), turn("b", 1), turn("a", 3), concurrency=9)
    with desk.begin() as turns:
        assert next(turns).turn is NOTHING
        assert desk.calls == [("a", 2, 1, False), ("b", 1, 0, True), ("a", 3, 2, True)]
        assert [waiting.is_handled for waiting in turns] == [True, True, True]
    assert (desk.done, desk.waits) == ({}, 0)


def test_call_in_a_thread_is_told_the_same_and_has_the_workers_context() -> None:
    desk = Desk(turn("a", 2), turn("b", 1), has_threads=True)
    token = WORKER.set("w")
    try:
        with desk.begin() as turns:
            assert [desk.ahead.result(waiting, lambda _: None) for waiting in turns] == [DONE, DONE]
    finally:
        WORKER.reset(token)
    assert sorted(desk.calls) == [("a", 2, 1, False), ("b", 1, 0, True)]
    assert desk.workers == ["w", "w"]
    desk.ahead.end()


@pytest.mark.parametrize("outcome", [FAILED, Called(Behind(0))])
def test_behind_an_event_that_was_not_handled_at_once_its_stream_waits(outcome: Called) -> None:
    desk = Desk(turn("a", 1), turn("a", 2), turn("b", 1))
    desk.outcomes["a", 1] = outcome
    with desk.begin() as turns:
        first: Waiting = next(turns)
        assert desk.begun() == [("a", 1), ("b", 1)]
        assert (first.is_handled, desk.ahead.result(first, lambda _: None)) == (False, outcome)


def test_event_whose_turn_has_not_come_does_not_begin_and_its_stream_waits() -> None:
    desk = Desk(turn("a", 1), turn("a", 2), turn("b", 1))
    with desk.begin(lambda turn: None if turn.event and turn.event.stream_id == "a" else 0) as turns:
        first: Waiting = next(turns)
        assert desk.begun() == [("b", 1)]
        assert (first.call, desk.ahead.result(first, lambda _: 0)) == (None, None)


def test_nothing_begins_before_its_turn_where_one_call_is_made_at_a_time() -> None:
    desk = Desk(turn("a", 1), turn("b", 1), concurrency=1)
    with desk.begin() as turns:
        assert [waiting.call for waiting in turns] == [None, None]
    assert desk.calls == []


@pytest.mark.parametrize(("look_ahead", "most"), [(0, 1), (1, 1), (3, 3)])
def test_no_more_turns_are_looked_at_than_are_asked_for(look_ahead: int, most: int) -> None:
    desk = Desk(*(turn(f"s-{number}", 1) for number in range(9)), look_ahead=look_ahead)
    with desk.begin() as turns:
        for number, _ in enumerate(turns):
            assert desk.pulled == min(9, number + most)
            assert len(desk.calls) == desk.pulled
    assert desk.pulled == 9


@pytest.mark.parametrize("concurrency", [2, 3])
def test_no_more_calls_are_at_work_than_are_asked_for(concurrency: int) -> None:
    desk = Desk(*(turn(f"s-{number}", 1) for number in range(9)), has_threads=True, concurrency=concurrency)
    desk.blocked = {f"s-{number}": threading.Event() for number in range(9)}
    with desk.begin() as turns:
        for number in range(9):
            waiting = next(turns)
            at_work = [one for one in desk.ahead._window if one.call]
            assert len(at_work) == min(concurrency, 9 - number, 8)
            desk.blocked[f"s-{number}"].set()
            assert desk.ahead.result(waiting, lambda _: None) is DONE
    desk.ahead.end()


# --- what becomes of them -------------------------------------------------------------------------------


def test_outcome_is_had_while_later_calls_are_at_work_and_others_begin() -> None:
    desk = Desk(turn("a", 1), turn("b", 1), turn("c", 1), has_threads=True)
    desk.blocked = {name: threading.Event() for name in "abc"}
    with desk.begin() as turns:
        first: Waiting = next(turns)
        desk.blocked["a"].set()
        assert desk.ahead.result(first, lambda turn: turn.after) is DONE
        window = list(desk.ahead._window)
        assert window[1].call is not None
        assert not window[1].call.done()
        for blocked in desk.blocked.values():
            blocked.set()
    desk.ahead.end()


def test_what_was_handled_ahead_is_kept_for_its_turn_and_called_once() -> None:
    desk = Desk(turn("a", 1), turn("b", 1), turn("c", 1))
    desk.outcomes["c", 1] = FAILED
    with desk.begin() as turns:
        next(turns)
    assert desk.done == {("a", 1): DONE, ("b", 1): DONE}  # what failed is tried again
    with desk.begin() as turns:
        assert [desk.ahead.result(waiting, lambda _: 0) for waiting in turns] == [DONE, DONE, FAILED]
    assert desk.begun() == [("a", 1), ("b", 1), ("c", 1), ("c", 1)]
    assert desk.done == {}


def test_what_was_handled_behind_an_unhandled_event_waits_for_its_turn() -> None:
    desk = Desk(turn("a", 1), turn("b", 1))
    desk.outcomes["a", 1] = FAILED
    with desk.begin() as turns:
        next(turns)
    assert set(desk.done) == {("b", 1)}
    with desk.begin() as turns:
        assert [desk.ahead.result(waiting, lambda _: 0) for waiting in turns] == [FAILED, DONE]
    assert desk.begun() == [("a", 1), ("b", 1), ("a", 1)]


def test_turn_that_is_over_is_not_kept() -> None:
    desk = Desk(NOTHING, turn("a", 1), turn("b", 1))
    with desk.begin() as turns:
        assert [next(turns).address for _ in range(2)] == [None, ("a", 1)]
        next(turns)
    assert set(desk.done) == {("b", 1)}


def test_end_of_the_turns_waits_for_what_is_at_work_with_the_leases_kept() -> None:
    desk = Desk(turn("a", 1), turn("b", 1), has_threads=True)
    desk.blocked["b"] = threading.Event()
    with desk.begin() as turns:
        first: Waiting = next(turns)
        desk.ahead.result(first, lambda _: None)
        threading.Timer(0.02, desk.blocked["b"].set).start()
    assert desk.waits == 1
    assert set(desk.done) == {("a", 1), ("b", 1)}
    desk.ahead.end()


def test_time_is_told_of_the_call_that_is_the_longest_at_work() -> None:
    times = iter([3.0, 5.0])
    desk = Desk(turn("a", 1), turn("b", 1), has_threads=True, monotonic=lambda: next(times))
    desk.blocked = {name: threading.Event() for name in "ab"}

    def one_by_one(turn: Turn) -> int:
        assert turn.event is not None
        if turn.event.stream_id == "b":
            assert desk.at_work.acquire(timeout=PATIENCE_S)
        return 0

    told = [desk.ahead.begun_at()]
    with desk.begin(one_by_one) as turns:
        first: Waiting = next(turns)
        assert desk.at_work.acquire(timeout=PATIENCE_S)
        told.append(desk.ahead.begun_at())
        desk.blocked["a"].set()
        desk.ahead.result(first, lambda _: None)
        told.append(desk.ahead.begun_at())
        ours, desk.ahead._process = desk.ahead._process, -1
        told.append(desk.ahead.begun_at())  # a fork takes no threads along
        desk.ahead._process = ours
        desk.blocked["b"].set()
        desk.ahead.result(next(turns), lambda _: None)
    assert [*told, desk.ahead.begun_at()] == [None, 3.0, 5.0, None, None]
    desk.ahead.end()


# --- threads, and forks ----------------------------------------------------------------------------------


class Pools(list[tuple[Any, ...]]):
    """The pools of threads that were made and ended, and how."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__()
        pools = self

        class Watched(ThreadPoolExecutor):
            def __init__(self, *args: Any, **options: Any) -> None:
                pools.append(("made", *args, *options.values()))
                super().__init__(*args, **options)

            def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
                pools.append(("ended", wait))
                super().shutdown(wait, cancel_futures=cancel_futures)

        monkeypatch.setattr(ahead, "ThreadPoolExecutor", Watched)


MADE, ENDED = ("made", 2, "eventstore-handler"), ("ended", False)


def test_threads_are_made_once_and_ended_without_a_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    pools = Pools(monkeypatch)
    desk = Desk(*(turn(f"s-{number}", 1) for number in range(5)), has_threads=True)
    assert pools == []
    for _ in range(2):
        with desk.begin() as turns:
            assert [desk.ahead.result(one, lambda turn: turn.after) for one in turns] == [DONE] * 5
        desk.ahead.end()
    assert pools == [MADE, ENDED, MADE, ENDED]
    assert all(name.startswith("eventstore-handler") for name in desk.names)
    desk.ahead.end()
    assert len(pools) == 4


def test_forked_child_waits_for_no_thread_of_its_parent_and_makes_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pools = Pools(monkeypatch)
    desk = Desk(turn("a", 1), has_threads=True)
    desk.blocked["a"] = threading.Event()
    with desk.begin() as turns:
        next(turns)
        desk.ahead._process = -1  # as in a child, where the call's thread doesn't run
    assert (desk.waits, desk.done) == (0, {})
    desk.blocked["a"].set()
    with desk.begin() as turns:
        assert [desk.ahead.result(one, lambda _: 0) for one in turns] == [DONE]
    assert pools == [MADE, MADE]
    desk.ahead._process = -1
    desk.ahead.end()
    assert pools == [MADE, MADE]
