"""Replays: the history of many streams, sent once more to one consumer; what to ask for and how to steer.

`eventstore.replay` sends; an engine repeats its step until the replay is over. docs/replay.md tells how to
use them, docs/adr/0009-replay-jobs.md why they are built so.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from fnmatch import fnmatchcase
from math import ceil
from typing import Final, Literal, Protocol
from uuid import UUID

from eventstore.errors import (
    InvalidRange,
    InvalidReplay,
    ReplayNotFound,
    ReplayOver,
    ReplayTargetNotAllowed,
    StoreUnavailable,
)
from eventstore.limits import (
    EVENT_NAME_MAX_CHARS,
    REPLAY_EVENTS_PER_SECOND_MAX,
    REPLAY_NAMES_MAX,
    REPLAY_NOW_MARGIN_S,
    STREAM_ID_MAX_BYTES,
)
from eventstore.positions import Position, to_us
from eventstore.uids import uuid7

TargetKind = Literal["queue", "function", "bus"]

_ARN: Final = re.compile(
    r"arn:(?P<partition>aws[a-z-]*):(?:"
    r"sqs:(?P<queue_at>[a-z0-9-]+:\d{12}):(?P<queue>[\w-]{1,80}(?:\.fifo)?)|"
    r"lambda:(?P<function_at>[a-z0-9-]+:\d{12}):function:(?P<function>[\w-]{1,140}(?::[\w$-]{1,128})?)|"
    r"events:(?P<bus_at>[a-z0-9-]+:\d{12}):event-bus/(?P<bus>[\w./-]{1,256}))",
    re.ASCII,
)
_KINDS: Final[tuple[TargetKind, ...]] = ("queue", "function", "bus")
_TRIES: Final = 5


@dataclass(frozen=True, slots=True)
class Target:
    """The one consumer of a replay, by the parts of its ARN."""

    arn: str
    kind: TargetKind
    region: str
    account: str
    name: str

    @classmethod
    def parse(cls, arn: str) -> Target:
        """Read the ARN of an SQS queue, a Lambda function or an EventBridge bus.

        Raises:
            InvalidReplay: it is none of the three.
        """
        found = _ARN.fullmatch(arn)
        if not found:
            why = "is not the ARN of an SQS queue, a Lambda function or an EventBridge bus; give one of those"
            raise InvalidReplay("target", why)
        kind = next(kind for kind in _KINDS if found[kind])
        region, account = found[f"{kind}_at"].split(":")
        return cls(arn, kind, region, account, found[kind])


class ReplayStatus(StrEnum):
    """Where a replay is; the last two are its end."""

    RUNNING = "running"
    PAUSED = "paused"
    FAILED = "failed"
    """It stopped by itself, `reason` says why; it goes on from there when it's resumed."""
    COMPLETED = "completed"
    CANCELLED = "cancelled"


_OVER: Final = frozenset({ReplayStatus.COMPLETED, ReplayStatus.CANCELLED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """A replay as it is stored: what was asked for, how far it is, and whose turn it is.

    Times are microseconds since 1970 (UTC).
    """

    replay_id: str
    target: str
    """Its ARN."""
    from_us: int | None
    to_us: int
    """The first Timestamp that isn't sent."""
    names: tuple[str, ...] = ()
    """Event names; none are all."""
    stream_prefix: str = ""
    events_per_second: int | None = None
    requested_us: int
    status: ReplayStatus = ReplayStatus.RUNNING
    reason: str = ""
    """Why it failed, or why its last step couldn't go on."""
    ended_us: int | None = None

    position: Position | None = None
    """All that is wanted up to here was sent."""
    sent: int = 0
    """Messages that the target has taken, repeats included."""
    first_us: int | None = None
    """The Timestamp of the first event that was read."""
    active_us: int = 0
    """For how long it has been running, pauses left out."""
    updated_us: int
    paced_until_us: int = 0
    """When its pace allows the next event."""
    failed_steps: int = 0
    """Steps without progress since the last one that made some."""

    run: int = 1
    """Raised by each resume: a step of an earlier run does nothing."""
    fence: int = 0
    """Raised by each step that begins: an earlier step can't store anything any more."""
    lease_until_us: int = 0
    """Until then no other step begins."""

    @property
    def is_over(self) -> bool:
        """Tell whether it will never send again."""
        return self.status in _OVER

    @property
    def rate(self) -> float | None:
        """Events a second while it ran; None before it has run."""
        return self.sent / (self.active_us / 1_000_000) if self.active_us else None

    @property
    def time_left_s(self) -> int | None:
        """Estimate the seconds until it's through, from how much of the time range took how long.

        None when it doesn't run, or hasn't come far enough to tell.
        """
        if self.status is not ReplayStatus.RUNNING or self.position is None or self.first_us is None:
            return None
        done_us = self.position.timestamp_us - self.first_us
        if done_us <= 0:
            return None
        left_us = max(0, self.to_us - self.position.timestamp_us)
        return ceil(self.active_us * left_us / done_us / 1_000_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayRequest:
    """What to replay, and to whom.

    Args:
        target: the consumer's ARN.
        from_: the first Timestamp to send (aware); None for the beginning.
        to: the first one to leave out; None for now: all that was written before the request.
        names: event names to send; none for all.
        stream_prefix: send only streams whose ids begin so.
        events_per_second: send no faster than that; None for as fast as the target takes them.
    """

    target: str
    from_: datetime | None = None
    to: datetime | None = None
    names: Sequence[str] = ()
    stream_prefix: str = ""
    events_per_second: int | None = None


class ReplayStore(Protocol):
    """Where replays are kept. Every change is under a condition, so that none is lost or undone."""

    def create(self, replay: Replay) -> None:
        """Keep a new replay."""
        ...

    def get(self, replay_id: str) -> Replay | None:
        """Read a replay, strongly consistent."""
        ...

    def latest(self, *, limit: int) -> list[Replay]:
        """Read the replays that were asked for last, the newest first."""
        ...

    def claim(self, replay: Replay, *, until_us: int) -> Replay | None:
        """Begin a step: raise the fence, and keep others out until then.

        Returns None, and changes nothing, unless the replay is running and nobody began a step, or resumed
        it, since it was read.
        """
        ...

    def save(self, replay: Replay) -> Replay | None:
        """Store how far it is: position, sent, first_us, active_us, updated_us, paced_until_us, failed_steps,
        reason and the lease.

        Returns it as it is now, its status perhaps changed by others; None, and nothing is stored, when
        another step has begun meanwhile.
        """
        ...

    def change(self, replay: Replay, *, before: Replay) -> Replay | None:
        """Store status, reason, run, ended_us, updated_us and failed_steps.

        Returns it as it is now; None, and nothing is stored, unless status and run are still as in `before`.
        """
        ...


class ReplayEngine(Protocol):
    """What repeats the step of a replay until it's over."""

    def start(self, replay: Replay) -> None:
        """Begin a run of a replay; once, however often this is called for the same run.

        Raises:
            StoreUnavailable: it isn't known to have begun.
        """
        ...


class Replays:
    """Begins and steers replays.

    Args:
        store, engine: where they are kept, and what runs them.
        allowed_targets: the ARNs that may be a target; a `*` in one stands for any text.
        clock_us, random_bytes: time and chance, to be replaced in tests.
    """

    def __init__(
        self,
        *,
        store: ReplayStore,
        engine: ReplayEngine,
        allowed_targets: Sequence[str],
        clock_us: Callable[[], int] = lambda: time.time_ns() // 1_000,
        random_bytes: Callable[[int], bytes] = os.urandom,
    ) -> None:
        self._store = store
        self._engine = engine
        self._allowed_targets = allowed_targets
        self._clock_us = clock_us
        self._random_bytes = random_bytes

    def start(self, request: ReplayRequest) -> Replay:
        """Begin a replay.

        Raises:
            InvalidReplay, InvalidRange, ReplayTargetNotAllowed: at once; nothing was begun.
            StoreUnavailable: it may exist, but isn't known to run.

        Cost: 1 write (1 WCU for up to 1 KB), 1 StartExecution.
        """
        target = Target.parse(request.target)
        if not any(fnmatchcase(target.arn, allowed) for allowed in self._allowed_targets):
            raise ReplayTargetNotAllowed(target=target.arn)
        now_us = self._clock_us()
        from_us, end_us = _range(request, now_us)
        replay = Replay(
            replay_id=uuid7(now_us=now_us, random_bytes=self._random_bytes),
            target=target.arn,
            from_us=from_us,
            to_us=end_us,
            names=_names(request.names),
            stream_prefix=_stream_prefix(request.stream_prefix),
            events_per_second=_events_per_second(request.events_per_second),
            requested_us=now_us,
            updated_us=now_us,
        )
        self._store.create(replay)
        self._run(replay)
        return replay

    def get(self, replay_id: str) -> Replay:
        """Read a replay. Raises ReplayNotFound. Cost: 1 read (1 RCU)."""
        replay = self._store.get(replay_id) if _is_uid(replay_id) else None
        if replay is None:
            raise ReplayNotFound(replay_id=replay_id)
        return replay

    def latest(self, *, limit: int) -> list[Replay]:
        """Read the replays that were asked for last, the newest first. Cost: 1 query."""
        return self._store.latest(limit=limit)

    def pause(self, replay_id: str) -> Replay:
        """Hold a replay; what its step is just sending still goes out. Raises as `cancel`."""
        return self._change(replay_id, ReplayStatus.PAUSED)

    def resume(self, replay_id: str) -> Replay:
        """Go on with a replay that was paused or failed, from where it was; raises as `cancel`.

        One that is running gets a new run, which takes the place of the one before.
        """
        replay = self._change(replay_id, ReplayStatus.RUNNING)
        self._run(replay)
        return replay

    def cancel(self, replay_id: str) -> Replay:
        """End a replay for good; what its step is just sending still goes out. Again is harmless.

        Raises:
            ReplayNotFound, ReplayOver, StoreUnavailable.

        Cost of each of the three: 1 read, 1 write; to resume, 1 StartExecution more.
        """
        return self._change(replay_id, ReplayStatus.CANCELLED)

    def _change(self, replay_id: str, status: ReplayStatus) -> Replay:
        for _ in range(_TRIES):
            before = self.get(replay_id)
            resumed = status is ReplayStatus.RUNNING
            if before.status is status and not resumed:
                return before
            if before.is_over or (status is ReplayStatus.PAUSED and before.status is ReplayStatus.FAILED):
                raise ReplayOver(replay_id=replay_id, replay_status=before.status.value, asked=status.value)
            now_us = self._clock_us()
            after = replace(
                before,
                status=status,
                reason="" if resumed else before.reason,
                run=before.run + resumed,
                failed_steps=0 if resumed else before.failed_steps,
                ended_us=now_us if status in _OVER else None,
                updated_us=now_us if resumed else before.updated_us,
            )
            changed = self._store.change(after, before=before)
            if changed is not None:
                return changed
        raise StoreUnavailable(operation=f"{status} a replay", reason="it kept changing meanwhile")

    def _run(self, replay: Replay) -> None:
        try:
            self._engine.start(replay)
        except StoreUnavailable:
            why = "its run could not be started; resume it"
            self._store.change(replace(replay, status=ReplayStatus.FAILED, reason=why), before=replay)
            raise


def _range(request: ReplayRequest, now_us: int) -> tuple[int | None, int]:
    from_us = None if request.from_ is None else to_us(request.from_, field="from")
    # The clock of a writer may be a little ahead: what it wrote before the request is to be sent too.
    end_us = now_us + round(REPLAY_NOW_MARGIN_S * 1_000_000)
    if request.to is not None:
        given_us = to_us(request.to, field="to")
        if given_us > end_us:
            raise InvalidRange("to", 'is in the future; leave it out, or give "now", for all there is')
        end_us = given_us
    if end_us <= 0 or (from_us is not None and (from_us < 0 or from_us >= end_us)):
        raise InvalidRange("from", "has to be 1970 or later, and before `to`, which is now when not given")
    return from_us, end_us


def _names(names: Sequence[str]) -> tuple[str, ...]:
    if len(names) > REPLAY_NAMES_MAX:
        raise InvalidReplay("names", f"has {len(names)} names; give {REPLAY_NAMES_MAX} at most")
    for index, name in enumerate(names):
        if not 1 <= len(name) <= EVENT_NAME_MAX_CHARS or not _is_unicode(name):
            why = f"has to be an event's name of 1 to {EVENT_NAME_MAX_CHARS} characters"
            raise InvalidReplay(f"names[{index}]", why)
    return tuple(dict.fromkeys(names))


def _stream_prefix(prefix: str) -> str:
    if not _is_unicode(prefix) or len(prefix.encode()) > STREAM_ID_MAX_BYTES:
        raise InvalidReplay("streamPrefix", f"has to be at most {STREAM_ID_MAX_BYTES:,} bytes of UTF-8")
    return prefix


def _events_per_second(rate: int | None) -> int | None:
    if rate is not None and not 1 <= rate <= REPLAY_EVENTS_PER_SECOND_MAX:
        why = f"is {rate}; it has to be a whole number from 1 to {REPLAY_EVENTS_PER_SECOND_MAX:,}"
        raise InvalidReplay("eventsPerSecond", why)
    return rate


def _is_unicode(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _is_uid(text: str) -> bool:
    try:
        return str(UUID(text)) == text
    except ValueError:
        return False
