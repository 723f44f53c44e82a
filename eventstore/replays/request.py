"""What a replay can be asked for: its one consumer, its range of time, what to send and how fast."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Final, Literal

from eventstore._arguments import is_whole, shown
from eventstore._setting_rules import TARGET_ARN
from eventstore.errors import InvalidEventName, InvalidRange, InvalidReplay, InvalidStreamId
from eventstore.events import check_event_name, check_stream_prefix
from eventstore.limits import (
    IDEMPOTENCY_KEY_MAX_CHARS,
    REPLAY_EVENTS_PER_SECOND_MAX,
    REPLAY_NAMES_MAX,
    REPLAY_NOW_MARGIN_S,
)
from eventstore.positions import to_us

TargetKind = Literal["queue", "function", "bus"]

_KINDS: Final[tuple[TargetKind, ...]] = ("queue", "function", "bus")


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
            InvalidReplay: it isn't one of the three.
        """
        found = re.fullmatch(TARGET_ARN, arn)
        if not found:
            why = "is not the ARN of an SQS queue, a Lambda function or an EventBridge bus; give one of those"
            raise InvalidReplay("target", why)
        kind = next(kind for kind in _KINDS if found[kind])
        region, account = found[f"{kind}_at"].split(":")
        return cls(arn, kind, region, account, found[kind])


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


def time_range(request: ReplayRequest, *, now_us: int) -> tuple[int | None, int]:
    """Return the first Timestamp to send, and the first one to leave out. Raises InvalidRange."""
    from_us = None if request.from_ is None else to_us(request.from_, field="from")
    # The clock of a writer may be a little ahead: what it wrote before the request is to be sent too.
    end_us = now_us + round(REPLAY_NOW_MARGIN_S * 1_000_000)
    if request.to is not None:
        given_us = to_us(request.to, field="to")
        if given_us <= 0:
            raise InvalidRange("to", "is not after 1970; no event has a Timestamp before it")
        if given_us > end_us:
            raise InvalidRange("to", 'is in the future; leave it out, or give "now", for all there is')
        end_us = given_us
    if from_us is not None and (from_us < 0 or from_us >= end_us):
        raise InvalidRange("from", "has to be 1970 or later, and before `to`, which is now when not given")
    return from_us, end_us


def event_names(names: Sequence[str]) -> tuple[str, ...]:
    """Return event names, each once. Raises InvalidReplay."""
    if isinstance(names, str):
        raise InvalidReplay("names", f"is one text; give a collection, such as [{names!r}]")
    if len(names) > REPLAY_NAMES_MAX:
        raise InvalidReplay("names", f"has {len(names)} names; give {REPLAY_NAMES_MAX} at most")
    for index, name in enumerate(names):
        try:
            check_event_name(name, field=f"names[{index}]")
        except InvalidEventName as error:
            raise InvalidReplay(error.field, f"{error.reason}; no event has such a name") from error
    return tuple(dict.fromkeys(names))


def stream_prefix(prefix: str) -> str:
    """Return a prefix of stream ids as it is. Raises InvalidReplay."""
    try:
        return check_stream_prefix(prefix)
    except InvalidStreamId as error:
        raise InvalidReplay(error.field, f"{error.reason}; no stream's id begins so") from error


def events_per_second(rate: int | None) -> int | None:
    """Return a pace as it is. Raises InvalidReplay."""
    if rate is not None and (not is_whole(rate) or not 1 <= rate <= REPLAY_EVENTS_PER_SECOND_MAX):
        why = f"is {shown(rate)}; it has to be a whole number from 1 to {REPLAY_EVENTS_PER_SECOND_MAX:,}"
        raise InvalidReplay("eventsPerSecond", why)
    return rate


def idempotency_key(key: str) -> str:
    """Return a key as it is. Raises InvalidReplay."""
    if not 1 <= len(key) <= IDEMPOTENCY_KEY_MAX_CHARS or not (key.isascii() and key.isprintable()):
        why = f"has to be 1 to {IDEMPOTENCY_KEY_MAX_CHARS} printable ASCII characters, such as a UUID"
        raise InvalidReplay("Idempotency-Key", why)
    return key


def digest(request: ReplayRequest) -> str:
    """Return a SHA-256 by which a request is known when it comes again; "now" is always the same."""
    asked = (
        request.target,
        None if request.from_ is None else to_us(request.from_, field="from"),
        None if request.to is None else to_us(request.to, field="to"),
        sorted(event_names(request.names)),  # they are a set
        request.stream_prefix,
        request.events_per_second,
    )
    return sha256(json.dumps(asked).encode()).hexdigest()
