"""Calls of a handler that begin before their turn: events of different streams side by side.

Of each stream one event is at work at a time, in order; behind one that wasn't handled at once the rest of
its stream waits. What came of a call is looked at in the log's order, by the worker alone, so checkpoints,
counts of starts and parked events are as if all went one after the other.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager
from contextvars import copy_context
from dataclasses import dataclass
from itertools import islice

from eventstore.events import Address, Event
from eventstore.subscriptions.attempts import Attempts, Called, Done
from eventstore.subscriptions.tranche_reader import Turn


@dataclass(slots=True, eq=False)
class Waiting:
    """A turn that waits for those before it, with the call of its event if that has begun."""

    turn: Turn
    call: Future[Called] | None = None

    @property
    def address(self) -> Address | None:
        """That of its event; None when there's none."""
        event = self.turn.event
        return (event.stream_id, event.event_id) if event else None

    @property
    def is_handled(self) -> bool:
        """Whether its call is over and has handled the event."""
        return bool(self.call and self.call.done() and isinstance(self.call.result().outcome, Done))


class Ahead:
    """Begins calls ahead; not for several threads at once.

    Args:
        attempts: calls the handler.
        concurrency: so many calls at a time; with 1 nothing begins before its turn.
        look_ahead: so many turns are looked at.
        beside: what is around the wait for calls whose outcome isn't looked at any more.
        monotonic: seconds.
        has_threads: without them a call is made, whole, where it would begin.
    """

    def __init__(
        self,
        attempts: Attempts,
        *,
        concurrency: int,
        look_ahead: int,
        beside: Callable[[], AbstractContextManager[object]],
        monotonic: Callable[[], float],
        has_threads: bool,
    ) -> None:
        self._attempts = attempts
        self._concurrency = concurrency
        self._look_ahead = look_ahead
        self._beside = beside
        self._monotonic = monotonic
        self._has_threads = has_threads
        self._begun: dict[object, float] = {}
        """When each call that is at work in a thread has begun."""
        self._window: deque[Waiting] = deque()
        self._pool: ThreadPoolExecutor | None = None
        self._process = os.getpid()

    def turns(
        self,
        turns: Iterator[Turn],
        after: Callable[[Turn], int | None],
        done: dict[Address, Called],
    ) -> Generator[Waiting, None, None]:
        """Yield each turn when those before it are done with; close this when that isn't gone on with.

        Args:
            after: all events of the turn's stream behind this EventId are handled, or not asked for; None
                for an event that isn't to begin before its turn.
            done: what is handled though its turn hasn't come: added to when this is closed, taken from when
                the same turns come again. So a wait for what is away repeats nothing.
        """
        self._window.clear()
        try:
            while self._fill(turns, done):
                if self._concurrency > 1:
                    self._begin(after)
                yield self._window[0]
                self._window.popleft()
        finally:
            self.rest()
            for one in self._window:
                if one.call and one.address and one.is_handled:
                    done[one.address] = one.call.result()
            self._window.clear()

    def rest(self) -> None:
        """Wait until no call is at work: nobody else is to get these events meanwhile."""
        at_work = self._at_work()
        if at_work and self._process == os.getpid():  # a fork takes no threads along
            with self._beside():
                wait(at_work)

    def result(self, waiting: Waiting, after: Callable[[Turn], int | None]) -> Called | None:
        """Wait for the call of the event whose turn it is, and begin others meanwhile; None for no call."""
        while waiting.call and not waiting.call.done():
            wait(self._at_work(), return_when=FIRST_COMPLETED)
            self._begin(after)
        return waiting.call.result() if waiting.call else None

    def begun_at(self) -> float | None:
        """Return when the call began that is the longest at work; None for none. From any thread."""
        is_ours = self._process == os.getpid()  # a fork takes no threads along
        return min([*self._begun.values()], default=None) if is_ours else None

    def end(self) -> None:
        """End the threads; a later call begins others."""
        if self._pool and self._process == os.getpid():
            self._pool.shutdown(wait=False)
        self._pool = None

    def _fill(self, turns: Iterator[Turn], done: dict[Address, Called]) -> bool:
        for turn in islice(turns, max(1, self._look_ahead) - len(self._window)):
            waiting = Waiting(turn)
            if done and waiting.address in done:
                waiting.call = _over(done.pop(waiting.address))
            self._window.append(waiting)
        return bool(self._window)

    def _at_work(self) -> list[Future[Called]]:
        return [one.call for one in self._window if one.call and not one.call.done()]

    def _begin(self, after: Callable[[Turn], int | None]) -> None:
        """Begin the first event of each stream in whose way no other is."""
        at_work = len(self._at_work())
        for one, event in self._free():
            if at_work == self._concurrency:
                return
            behind = after(one.turn)
            if behind is not None:
                one.call = self._call(event, behind)
                at_work += not one.call.done()

    def _free(self) -> Iterator[tuple[Waiting, Event]]:
        """Yield what isn't begun, and has none of its stream before it that isn't handled."""
        busy: set[str] = set()
        for one in self._window:
            event = one.turn.event
            if event is None:
                continue
            if one.call is None and isinstance(event, Event) and event.stream_id not in busy:
                yield one, event
            if not one.is_handled:
                busy.add(event.stream_id)

    def _call(self, event: Event, after: int) -> Future[Called]:
        is_first = self._attempts.is_first(event)
        if not self._has_threads:
            return _over(self._attempts.call(event, after=after, is_first=is_first))
        if self._process != os.getpid():  # a fork takes no threads along
            self._pool, self._process = None, os.getpid()
            self._begun.clear()
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self._concurrency, thread_name_prefix="eventstore-handler")

        def call() -> Called:
            this = object()
            self._begun[this] = self._monotonic()
            try:
                return self._attempts.call(event, after=after, is_first=is_first)
            finally:
                del self._begun[this]

        return self._pool.submit(copy_context().run, call)


def _over(called: Called) -> Future[Called]:
    """Return what came of a call as one that is over."""
    call: Future[Called] = Future()
    call.set_result(called)
    return call
