"""The step of a replay: read a piece of the history, send it to the one consumer, store how far it is.

What holds, and where it's done:

- No event goes out before an earlier one of its stream: events are read in their order; no call holds two
  events of one stream, unless the target takes or refuses it as a whole; behind an event that isn't taken,
  nothing of its stream is sent.
- No event is lost: the position is stored behind events that were taken, never ahead of one that wasn't.
- Steps never run side by side: each begins by raising the replay's fence and keeps others out by a lease
  that is longer than a step can last; an outdated step can't store anything.
"""

from __future__ import annotations

import random
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import takewhile
from math import ceil
from typing import Final, Literal

from eventstore.arguments import check_functions, check_port
from eventstore.cloudevents import Entry, EntryFormat
from eventstore.errors import MalformedItem, NotPublishable, StoreUnavailable
from eventstore.events import Event
from eventstore.limits import (
    PUBLISH_MAX_TRIES,
    REPLAY_BURST_S,
    REPLAY_LEASE_S,
    REPLAY_MAX_FAILED_STEPS,
    REPLAY_MAX_PAUSE_S,
    REPLAY_PAGE_EVENTS,
    REPLAY_REASON_MAX_CHARS,
    REPLAY_RUN_MAX_STEPS,
    REPLAY_STEP_S,
)
from eventstore.positions import from_us
from eventstore.publish import Refusal
from eventstore.replay_calls import ReplayTarget, Sending, address_of
from eventstore.replays import Replay, ReplayStatus, ReplayStore
from eventstore.store import EventStore

_FIRST_PAUSE_S: Final = 0.1
_SECOND_US: Final = 1_000_000
_CAREFUL_EVENTS: Final = 10
_CREDIT_US: Final = 1_500_000
"""For how long a pace that wasn't used up is made up for: waits are whole seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NextStep:
    """What the engine has to do after a step."""

    action: Literal["step", "wait", "renew", "end", "fail"]
    """`renew`: go on with a new execution, since the one so far has a long history."""
    wait_s: int = 0
    reason: str = ""
    """Why it failed."""
    sent: int = 0
    """Messages that the target has taken in this step."""


class ReplayStep:
    """Takes the steps of any replay.

    Args:
        store: keeps the replays.
        events: is read; settled events only.
        target: makes the consumer for a replay.
        entry_format: writes events as entries.
        clock_us, jitter, sleep: time and chance, to be replaced in tests.

    Raises:
        InvalidArgument, NotSynchronous: an argument that can't be used.
    """

    def __init__(
        self,
        *,
        store: ReplayStore,
        events: EventStore,
        target: Callable[[Replay], ReplayTarget],
        entry_format: EntryFormat,
        clock_us: Callable[[], int] = lambda: time.time_ns() // 1_000,
        jitter: Callable[[], float] = random.random,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        check_port(store, ReplayStore, "store")
        check_port(events, EventStore, "events", only=("read_all",))
        check_port(entry_format, EntryFormat, "entry_format", only=("entry",))
        check_functions(target=target, clock_us=clock_us, jitter=jitter, sleep=sleep)
        self._store = store
        self._events = events
        self._target = target
        self._format = entry_format
        self._clock_us = clock_us
        self._jitter = jitter
        self._sleep = sleep

    def take(
        self, replay_id: str, *, run: int, steps: int, remaining_time_s: Callable[[], float]
    ) -> NextStep:
        """Take one step: send for at most `REPLAY_STEP_S` seconds, then say how to go on.

        A step may be repeated, at any time, by anybody: it sends again at most what was sent since the
        position was last stored, one page.

        Args:
            run: which run of the replay asks; one that was followed by another ends here.
            steps: how many steps this execution has taken.
            remaining_time_s: how long this may still take.

        Cost: 1 read and 2 writes (1 RCU, 1 WCU each), and for each `REPLAY_PAGE_EVENTS` events 1 write,
        one `EventStore.read_all`, and the target's calls: the larger of events / max_entries and the most
        events of one stream.
        """
        check_functions(remaining_time_s=remaining_time_s)
        following = self._take(replay_id, run=run, remaining_time_s=remaining_time_s)
        if following.action in {"step", "wait"} and steps >= REPLAY_RUN_MAX_STEPS:
            return replace(following, action="renew")
        return following

    def _take(self, replay_id: str, *, run: int, remaining_time_s: Callable[[], float]) -> NextStep:
        replay = self._store.get(replay_id)
        if replay is None or replay.status is not ReplayStatus.RUNNING or replay.run != run:
            return NextStep(action="end")
        now_us = self._clock_us()
        busy_until_us = max(replay.lease_until_us, replay.paced_until_us)
        if busy_until_us > now_us:
            return _wait((busy_until_us - now_us) / _SECOND_US)
        claimed = self._store.claim(replay, until_us=now_us + round(REPLAY_LEASE_S * _SECOND_US))
        if claimed is None:
            return _wait(1)
        tally = _Tally()
        try:
            following = self._send(claimed, tally, began_us=now_us, remaining_time_s=remaining_time_s)
        except Exception:
            self._give_up(claimed)
            raise
        return replace(following, sent=tally.sent)

    def _give_up(self, claimed: Replay) -> None:
        """Give the lease back, if that can be done, so that the next try need not wait until it has run out.

        What was stored last is read anew: it may be further than this step knows, when an answer got lost.
        """
        with suppress(StoreUnavailable):  # the step's own error is raised behind this, and the lease runs out
            stored = self._store.get(claimed.replay_id)
            if stored is not None and stored.fence == claimed.fence:
                self._release(stored)

    def _send(
        self, replay: Replay, tally: _Tally, *, began_us: int, remaining_time_s: Callable[[], float]
    ) -> NextStep:
        target = self._target(replay)

        def in_time() -> bool:
            spent_s = (self._clock_us() - began_us) / _SECOND_US
            return spent_s < REPLAY_STEP_S and remaining_time_s() >= target.reserve_s

        budget = _budget(replay)
        while budget > 0 and in_time():
            page = self._read(replay, target, budget)
            sending = Sending(page.entries, target)
            trouble = self._send_entries(sending, in_time)
            if not sending.queues:
                trouble = page.trouble
            budget -= sending.sent
            tally.sent += sending.sent
            saved = self._store.save(self._progress(replay, page, sending))
            if saved is None:
                return _wait(1)
            if saved.status is not ReplayStatus.RUNNING or saved.run != replay.run:
                self._release(saved)
                return NextStep(action="end")
            replay = saved
            if trouble is not None:
                return self._stop(replay, trouble)
            if page.settled_until_us is not None and not sending.queues:
                return self._at_the_end(replay, page.settled_until_us)
        return self._go_on(replay)

    def _read(self, replay: Replay, target: ReplayTarget, budget: int) -> _Page:
        # Where some are left out, more have to be read than may be sent.
        limit = REPLAY_PAGE_EVENTS if replay.names or replay.stream_prefix else budget
        # What is sent behind an event that isn't taken is sent again: after a failure it's kept little.
        limit = min(limit, _CAREFUL_EVENTS if replay.failed_steps else REPLAY_PAGE_EVENTS)
        found = self._events.read_all(
            from_=None if replay.from_us is None else from_us(replay.from_us),
            to=from_us(replay.to_us),
            after=replay.position,
            limit=limit,
        )
        entry_format = replace(
            self._format, replay_id=replay.replay_id, max_bytes=min(self._format.max_bytes, target.max_bytes)
        )
        page = _Page()
        try:
            for event in found:
                if _is_wanted(replay, event):
                    if len(page.entries) == budget:
                        return page
                    page.entries.append(entry_format.entry(event))
                page.events.append(event)
        except (MalformedItem, NotPublishable) as error:
            page.trouble = Refusal(str(error), permanent=True)
            return page
        if len(page.events) < limit:
            page.settled_until_us = found.settled_until_us
        return page

    def _send_entries(self, sending: Sending, in_time: Callable[[], bool]) -> Refusal | None:
        """Send until all is done, the time is up (None), or a try too many has failed."""
        tries: Counter[tuple[str, int]] = Counter()
        while sending.queues and in_time():
            call = sending.next_call()
            refused: list[tuple[bool, int, str]] = []
            for entry, refusal in zip(call, sending.target.send(call), strict=True):
                if refusal is None:
                    sending.finish(entry)
                    continue
                tries[address_of(entry)] += 1
                why = f"event {entry.event_id} of stream {entry.stream_id!r} was not taken: {refusal.reason}"
                refused.append((refusal.permanent, tries[address_of(entry)], why))
            if refused:
                permanent, times, why = max(refused)
                if permanent or times == PUBLISH_MAX_TRIES:
                    return Refusal(why, permanent)
                self._sleep(_FIRST_PAUSE_S * 2 ** (times - 1) * self._jitter())
        return None

    def _progress(self, replay: Replay, page: _Page, sending: Sending) -> Replay:
        now_us = self._clock_us()
        undone = sending.undone()
        done = list(takewhile(lambda event: address_of(event) not in undone, page.events))
        return replace(
            replay,
            position=done[-1].position if done else replay.position,
            first_us=page.events[0].timestamp_us
            if replay.first_us is None and page.events
            else replay.first_us,
            sent=replay.sent + sending.sent,
            active_us=replay.active_us + max(0, now_us - replay.updated_us),
            updated_us=now_us,
            paced_until_us=_paced_until_us(replay, sent=sending.sent, now_us=now_us),
            # Only a position that moves is progress: else one bad stream would have the others sent for ever.
            failed_steps=0 if done else replay.failed_steps,
            reason="" if done else replay.reason,
        )

    def _stop(self, replay: Replay, trouble: Refusal) -> NextStep:
        """Wait longer with each step that makes no progress; after too many, or in vain, fail."""
        failed_steps = replay.failed_steps + 1
        reason = trouble.reason[:REPLAY_REASON_MAX_CHARS]
        released = self._release(replace(replay, failed_steps=failed_steps, reason=reason))
        if released is None:
            return _wait(1)
        if trouble.permanent or failed_steps >= REPLAY_MAX_FAILED_STEPS:
            return self._end(released, ReplayStatus.FAILED)
        return _wait(min(2**failed_steps, REPLAY_MAX_PAUSE_S))

    def _at_the_end(self, replay: Replay, settled_until_us: int) -> NextStep:
        """Nothing more can be read: through when nothing can still appear, else wait for what settles."""
        released = self._release(replay)
        if released is None:
            return _wait(1)
        if settled_until_us >= replay.to_us:
            return self._end(released, ReplayStatus.COMPLETED)
        return _wait(min(REPLAY_MAX_PAUSE_S, (replay.to_us - settled_until_us) / _SECOND_US))

    def _go_on(self, replay: Replay) -> NextStep:
        self._release(replay)
        pause_us = replay.paced_until_us - self._clock_us()
        return _wait(pause_us / _SECOND_US) if pause_us > 0 else NextStep(action="step")

    def _end(self, replay: Replay, status: ReplayStatus) -> NextStep:
        now_us = self._clock_us()
        ended = replace(replay, status=status, ended_us=now_us if status is ReplayStatus.COMPLETED else None)
        # In vain when it was paused or cancelled meanwhile: then that holds.
        if replay.status is ReplayStatus.RUNNING:
            self._store.change(ended, before=replay)
            if status is ReplayStatus.FAILED:
                return NextStep(action="fail", reason=replay.reason)
        return NextStep(action="end")

    def _release(self, replay: Replay) -> Replay | None:
        return self._store.save(replace(replay, lease_until_us=0))


@dataclass(slots=True)
class _Tally:
    sent: int = 0


@dataclass(slots=True)
class _Page:
    """What is read, up to the first event that the budget leaves out or that can't be sent."""

    events: list[Event] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)
    """Those of the events that are wanted."""
    trouble: Refusal | None = None
    """Why the event behind the page can't be sent."""
    settled_until_us: int | None = None
    """Only where nothing settled comes behind the page."""


def _is_wanted(replay: Replay, event: Event) -> bool:
    return event.stream_id.startswith(replay.stream_prefix) and (
        not replay.names or event.name in replay.names
    )


def _budget(replay: Replay) -> int:
    """Count the events that a step may send at its replay's pace."""
    if replay.events_per_second is None:
        return sys.maxsize
    return ceil(replay.events_per_second * REPLAY_BURST_S)


def _paced_until_us(replay: Replay, *, sent: int, now_us: int) -> int:
    """Return when the pace allows the next event, after so many were sent just now."""
    if replay.events_per_second is None:
        return 0
    begin_us = max(replay.paced_until_us, now_us - _CREDIT_US)
    return begin_us + ceil(sent * _SECOND_US / replay.events_per_second)


def _wait(wait_s: float) -> NextStep:
    return NextStep(action="wait", wait_s=max(1, ceil(wait_s)))
