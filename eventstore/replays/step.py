"""The step of a replay: read a piece of the history, send it to the one consumer, store how far it is.

What holds, and where it's done:

- No event goes out before an earlier one of its stream: events are read in their order; no call holds two
  events of one stream, unless the target takes or refuses it as a whole; behind an event that isn't taken,
  nothing of its stream is sent.
- No event is lost: the position is stored behind events that were taken, never ahead of one that wasn't.
- Steps never run side by side: each begins by raising the replay's fence and keeps others out by a lease
  that is longer than a step can last; an outdated step can't store anything.
- No step is repeated for ever: each counts as failed from its beginning, and takes that back when it stores a
  position that has moved. So it counts, too, where it raises, dies or has no time left to say anything.
- A step's memory and time are bounded, whatever the events and the target are: a page ends at
  `REPLAY_PAGE_BYTES`, and no call begins that the time that is left may not be enough for.
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import takewhile
from math import ceil
from typing import Final, Literal

from eventstore._arguments import check_functions, check_port
from eventstore._backoff import Backoff
from eventstore.delivery.cloudevents import Entry, EntryFormat
from eventstore.delivery.publisher import Refusal
from eventstore.errors import MalformedItem, NotPublishable, StoreUnavailable
from eventstore.events import Event
from eventstore.limits import (
    PUBLISH_MAX_TRIES,
    REPLAY_BURST_S,
    REPLAY_LEASE_S,
    REPLAY_MAX_FAILED_STEPS,
    REPLAY_MAX_PAUSE_S,
    REPLAY_PAGE_BYTES,
    REPLAY_PAGE_EVENTS,
    REPLAY_REASON_MAX_CHARS,
    REPLAY_RUN_MAX_STEPS,
    REPLAY_STEP_S,
    REQUEST_MAX_S,
)
from eventstore.positions import Position, from_us
from eventstore.replays.calls import ReplayTarget, Sending
from eventstore.replays.model import Replay, ReplayStatus, ReplayStore
from eventstore.store import EventStore

_BACKOFF: Final = Backoff(0.1)
_BACKOFF_OF_STEPS: Final = Backoff(2, longest_s=REPLAY_MAX_PAUSE_S)
_SECOND_US: Final = 1_000_000
_CAREFUL_EVENTS: Final = 10
_NO_TIME: Final = "a step had no time to send anything: reading or sending takes longer than a step lasts"
_DIED: Final = (
    "its last step ended without an answer, out of memory or of time; the log of the step's function says why"
)
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

        Cost: 1 read and 1 write (1 RCU, 1 WCU), 1 write more for the first step of a run, and for each page
        of `REPLAY_PAGE_EVENTS` events or `REPLAY_PAGE_BYTES` 1 write, one `EventStore.read_all`, and the
        target's calls: the larger of events / max_entries and the most events of one stream. Memory: a page,
        its largest call a few times over, and what `EventStore.read_all` holds (`limits.replay_memory_mb`).
        """
        check_functions(remaining_time_s=remaining_time_s)
        following = self._take(replay_id, run=run, remaining_time_s=remaining_time_s)
        if following.action in {"step", "wait"} and steps >= REPLAY_RUN_MAX_STEPS:
            return replace(following, action="renew")
        return following

    def _take(self, replay_id: str, *, run: int, remaining_time_s: Callable[[], float]) -> NextStep:
        replay = self._store.get(replay_id)
        if replay is None or replay.run != run:
            return NextStep(action="end")
        if replay.status is ReplayStatus.FAILED:  # the answer that said so may have got lost
            return NextStep(action="fail", reason=replay.reason)
        if replay.status is ReplayStatus.QUEUED:  # the first step of its run; its wait was no work
            begun = replace(replay, status=ReplayStatus.RUNNING, updated_us=self._clock_us())
            replay = self._store.change(begun, before=replay)
        if replay is None:
            return _wait(1)
        if replay.status is not ReplayStatus.RUNNING:
            return NextStep(action="end")
        return self._begin(replay, remaining_time_s)

    def _begin(self, replay: Replay, remaining_time_s: Callable[[], float]) -> NextStep:
        now_us = self._clock_us()
        busy_until_us = max(replay.lease_until_us, replay.paced_until_us)
        if busy_until_us > now_us:
            return _wait((busy_until_us - now_us) / _SECOND_US)
        claimed = self._store.claim(replay, until_us=now_us + round(REPLAY_LEASE_S * _SECOND_US))
        if claimed is None:
            return _wait(1)
        if replay.lease_until_us:  # nobody gave it back: the last step has died
            claimed = replace(claimed, reason=_DIED, failed_steps=max(2, claimed.failed_steps))
        if claimed.failed_steps > REPLAY_MAX_FAILED_STEPS:
            return self._give_up(claimed)
        tally = _Tally()
        try:
            following = self._send(claimed, tally, began_us=now_us, remaining_time_s=remaining_time_s)
        except Exception as error:
            self._tell_failure(claimed, error)
            raise
        return replace(following, sent=tally.sent)

    def _give_up(self, claimed: Replay) -> NextStep:
        """Fail a replay whose last steps have raised or died, so that none of them could."""
        saved = self._store.save(replace(claimed, lease_until_us=0))
        return self._end(saved, ReplayStatus.FAILED) if saved else _wait(1)

    def _tell_failure(self, claimed: Replay, error: Exception) -> None:
        """Store why a step fails, and give its lease back so that the next try need not wait for it.

        What was stored last is read anew: it may be further than this step knows, when an answer got lost.
        """
        with suppress(StoreUnavailable):  # the step's own error is raised behind this, and the lease runs out
            stored = self._store.get(claimed.replay_id)
            if stored is not None and stored.fence == claimed.fence:
                reason = f"its step failed: {type(error).__name__}: {error}"[:REPLAY_REASON_MAX_CHARS]
                self._store.save(replace(stored, lease_until_us=0, reason=reason))

    def _send(
        self, replay: Replay, tally: _Tally, *, began_us: int, remaining_time_s: Callable[[], float]
    ) -> NextStep:
        target = self._target(replay)

        def in_time() -> bool:
            spent_s = (self._clock_us() - began_us) / _SECOND_US
            return spent_s < REPLAY_STEP_S and remaining_time_s() >= target.reserve_s + REQUEST_MAX_S

        budget = _budget(replay)
        while True:
            page = self._take_page(replay, target, budget, in_time)
            budget -= page.sent
            tally.sent += page.sent
            if page.trouble is not None or page.is_end or budget <= 0 or not in_time():
                return self._end_step(page)
            saved = self._store.save(page.progress)
            if saved is None or not _is_still(saved, replay):
                return self._leave(saved)
            replay = saved

    def _take_page(
        self, replay: Replay, target: ReplayTarget, budget: int, in_time: Callable[[], bool]
    ) -> _Taken:
        """Read a page and send it. Nothing of it is held behind this, so that there are never two of them."""
        page = self._read(replay, target, budget, in_time)
        sending = Sending(page.entries, target)
        trouble = self._send_entries(sending, in_time)
        settled_until_us = None if sending.queues else page.settled_until_us
        progress = self._progress(replay, page, sending, is_end=settled_until_us is not None)
        if not sending.queues:
            trouble = page.trouble
        return _Taken(progress, sending.sent, trouble, sending.last_refusal, settled_until_us)

    def _read(self, replay: Replay, target: ReplayTarget, budget: int, in_time: Callable[[], bool]) -> _Page:
        limit = _limit(replay, budget)
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
                if page.held_bytes >= REPLAY_PAGE_BYTES or not in_time():
                    return page
                if _is_wanted(replay, event):
                    if len(page.entries) == budget:
                        return page
                    page.add(entry_format.entry(event))
                page.positions.append(event.position)
        except (MalformedItem, NotPublishable) as error:
            page.trouble = Refusal(str(error), permanent=True)
            return page
        if len(page.positions) < limit:
            page.settled_until_us = found.settled_until_us
        return page

    def _send_entries(self, sending: Sending, in_time: Callable[[], bool]) -> Refusal | None:
        """Send until all is done, the time is up (None), or a try too many has failed."""
        while sending.queues and in_time():
            refused = sending.send()
            if refused:
                permanent, times, why = refused
                if permanent or times == PUBLISH_MAX_TRIES:
                    return Refusal(why, permanent)
                self._sleep(_BACKOFF.pause_s(times, jitter=self._jitter()))
        return None

    def _progress(self, replay: Replay, page: _Page, sending: Sending, *, is_end: bool) -> Replay:
        now_us = self._clock_us()
        undone = sending.undone()
        done = list(takewhile(lambda position: position[1:] not in undone, page.positions))
        is_progress = bool(done) or is_end
        return replace(
            replay,
            position=done[-1] if done else replay.position,
            first_us=page.positions[0].timestamp_us
            if replay.first_us is None and page.positions
            else replay.first_us,
            sent=replay.sent + sending.sent,
            active_us=replay.active_us + max(0, now_us - replay.updated_us),
            updated_us=now_us,
            paced_until_us=_paced_until_us(replay, sent=sending.sent, now_us=now_us),
            # Only a position that moves is progress: else one bad stream would have the others sent for ever.
            failed_steps=0 if is_progress else replay.failed_steps,
            reason="",  # of a step that fails, `_end_step` stores it
        )

    def _end_step(self, page: _Taken) -> NextStep:
        """Store how far the step came with its lease given back, in one write, and say how to go on."""
        progress, trouble = page.progress, page.trouble
        if trouble is None and progress.failed_steps:  # its time was up before anything was taken
            trouble = Refusal(page.last_refusal or _NO_TIME, permanent=False)
        if trouble is not None:
            # A step that made progress before is the first of those that fail, not one without a count.
            failed_steps, reason = max(1, progress.failed_steps), trouble.reason[:REPLAY_REASON_MAX_CHARS]
            progress = replace(progress, failed_steps=failed_steps, reason=reason)
        saved = self._store.save(replace(progress, lease_until_us=0))
        if saved is None or not _is_still(saved, progress):
            return self._leave(saved)
        if trouble is None:
            return self._go_on(saved, page.settled_until_us)
        if trouble.permanent or saved.failed_steps >= REPLAY_MAX_FAILED_STEPS:
            return self._end(saved, ReplayStatus.FAILED)
        return _wait(_BACKOFF_OF_STEPS.pause_s(saved.failed_steps, jitter=1))

    def _go_on(self, saved: Replay, settled_until_us: int | None) -> NextStep:
        if settled_until_us is not None:
            if settled_until_us >= saved.to_us:
                return self._end(saved, ReplayStatus.COMPLETED)
            return _wait(min(REPLAY_MAX_PAUSE_S, (saved.to_us - settled_until_us) / _SECOND_US))
        pause_us = saved.paced_until_us - self._clock_us()
        return _wait(pause_us / _SECOND_US) if pause_us > 0 else NextStep(action="step")

    def _leave(self, saved: Replay | None) -> NextStep:
        """Go, since another step has followed (None), or the replay was paused, cancelled or resumed."""
        if saved is None:
            return _wait(1)
        if saved.lease_until_us:
            self._store.save(replace(saved, lease_until_us=0))
        return NextStep(action="end")

    def _end(self, replay: Replay, status: ReplayStatus) -> NextStep:
        now_us = self._clock_us()
        ended = replace(replay, status=status, ended_us=now_us if status is ReplayStatus.COMPLETED else None)
        # In vain when it was paused or cancelled meanwhile: then that holds.
        if replay.status is ReplayStatus.RUNNING:
            self._store.change(ended, before=replay)
            if status is ReplayStatus.FAILED:
                return NextStep(action="fail", reason=replay.reason)
        return NextStep(action="end")


@dataclass(slots=True)
class _Tally:
    sent: int = 0


@dataclass(slots=True)
class _Page:
    """What is read, up to the first event that the budget, the bytes or the time leave out, or that can't be
    sent. No event is kept whole: its entry is, if it's wanted.
    """

    positions: list[Position] = field(default_factory=list)
    """Of all events."""
    entries: list[Entry] = field(default_factory=list)
    """Of those that are wanted."""
    held_bytes: int = 0
    """Memory that the entries take: up to four bytes a character."""
    trouble: Refusal | None = None
    """Why the event behind the page can't be sent."""
    settled_until_us: int | None = None
    """Only where nothing settled comes behind the page."""

    def add(self, entry: Entry) -> None:
        self.entries.append(entry)
        self.held_bytes += sys.getsizeof(entry.detail)


@dataclass(frozen=True, slots=True)
class _Taken:
    """What became of a page."""

    progress: Replay
    """How far the replay is now, not yet stored."""
    sent: int
    trouble: Refusal | None
    """Why the step can't go on."""
    last_refusal: str
    """Why the target didn't take what it refused last; empty for nothing."""
    settled_until_us: int | None
    """Only where nothing settled comes behind the page, and all of it was sent."""

    @property
    def is_end(self) -> bool:
        return self.settled_until_us is not None


def _is_still(saved: Replay, before: Replay) -> bool:
    return saved.status is ReplayStatus.RUNNING and saved.run == before.run


def _is_wanted(replay: Replay, event: Event) -> bool:
    return event.stream_id.startswith(replay.stream_prefix) and (
        not replay.names or event.name in replay.names
    )


def _limit(replay: Replay, budget: int) -> int:
    """Count the events that are read for a page."""
    # Where some are left out, more have to be read than may be sent.
    limit = REPLAY_PAGE_EVENTS if replay.names or replay.stream_prefix else budget
    # What is sent behind an event that isn't taken is sent again: after a failure it's kept little.
    return min(limit, _CAREFUL_EVENTS if replay.failed_steps > 1 else REPLAY_PAGE_EVENTS)


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
