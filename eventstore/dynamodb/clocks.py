"""What DynamoDB's own clock says, and whether this computer's agrees.

Each answer has a Date: the second in which it was made, between the request and its arrival. A few answers
together say the time to within some milliseconds. That costs nothing.

Appends and reads of all streams are compared: at the first ones of a process, behind its first answer and
before anything is stamped, written or given out. Reads of one stream aren't: they rest on no clock.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final

from eventstore._arguments import check_number
from eventstore.errors import ClockSkewed, InvalidArgument, InvalidLimit
from eventstore.limits import (
    CLOCK_TOLERANCE_MAX_S,
    CLOCK_TOLERANCE_S,
    CONNECT_TIMEOUT_S,
    READ_TIMEOUT_S,
    SETTLING_MAX_S,
    SETTLING_MIN_S,
    TIMESTAMP_MAX_US,
    settling_min_s,
)
from eventstore.positions import from_us

_DATE_S: Final = 1.0
_DRIFT: Final = 200e-6
"""Seconds a second by which two clocks may run apart at most."""


class ServerClock:
    """Compares this computer's clock with DynamoDB's; safe to use from several threads.

    Args:
        tolerance_s: by how many seconds they may differ; None to compare nothing.
        monotonic_s: a clock that nobody sets, in seconds.
    """

    def __init__(
        self, *, tolerance_s: float | None, monotonic_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._tolerance_s = tolerance_s
        self._monotonic_s = monotonic_s
        self._date = ("", 0.0)
        self._known: tuple[float, float, float] | None = None
        """DynamoDB's time less the monotonic clock's: at least, at most, and when that was found."""

    @property
    def is_comparing(self) -> bool:
        """Whether clocks are compared at all."""
        return self._tolerance_s is not None

    def monotonic_s(self) -> float:
        """Return the time by the clock that nobody sets, in seconds."""
        return self._monotonic_s()

    def send(self, sends: Callable[..., Any], *args: Any, **request: Any) -> Any:
        """Send a request and note the Date of its answer."""
        sent_s = self._monotonic_s()
        answer = sends(*args, **request)
        if self._tolerance_s is not None and "ResponseMetadata" in answer:
            date = answer["ResponseMetadata"].get("HTTPHeaders", {}).get("date")
            if date:
                self._note(date, sent_s, self._monotonic_s())
        return answer

    def now_us(self, clock_us: Callable[[], int], ask: Callable[[], object]) -> int:
        """Return what this computer's clock says, compared with DynamoDB's if an answer is at hand.

        Args:
            clock_us: this computer's clock.
            ask: sends any request by `send`. Only where the clocks seem to differ: a computer that has slept
                learns the time anew.

        Raises:
            ClockSkewed: they differ by more than is tolerated.
        """
        now_us = clock_us()
        if self._skew_s(now_us):
            ask()
            now_us = clock_us()
            skew_s = self._skew_s(now_us)
            if skew_s and self._tolerance_s is not None:
                raise ClockSkewed(
                    local=_time(now_us),
                    server=_time(now_us - round(skew_s * 1_000_000)),
                    tolerance_s=self._tolerance_s,
                )
        return now_us

    def corrected_us(self, now_us: int) -> int:
        """Return the time: what this computer's clock says, as far as DynamoDB's answers agree."""
        known = self._known
        if known is None:
            return now_us
        monotonic_s = self._monotonic_s()
        drift = _DRIFT * max(0.0, monotonic_s - known[2])
        earliest_us = round((monotonic_s + known[0] - drift) * 1_000_000)
        latest_us = round((monotonic_s + known[1] + drift) * 1_000_000)
        return max(earliest_us, min(now_us, latest_us))

    def _note(self, date: str, sent_s: float, received_s: float) -> None:
        if date != self._date[0]:
            try:
                self._date = (date, parsedate_to_datetime(date).timestamp())
            except ValueError:  # none that can be read: nothing is known by it
                return
        low, high = self._date[1] - received_s, self._date[1] + _DATE_S - sent_s
        known = self._known
        if known is not None:
            drift = _DRIFT * max(0.0, received_s - known[2])
            tighter = max(low, known[0] - drift), min(high, known[1] + drift)
            # Where they don't overlap, one of the clocks was set, or this computer has slept.
            low, high = tighter if tighter[0] <= tighter[1] else (low, high)
        self._known = (low, high, received_s)

    def _skew_s(self, now_us: int) -> float:
        """Return by how many seconds this clock is certainly ahead (below 0: behind); 0 when tolerated."""
        known, tolerance_s = self._known, self._tolerance_s
        if known is None or tolerance_s is None:
            return 0.0
        monotonic_s = self._monotonic_s()
        drift = _DRIFT * max(0.0, monotonic_s - known[2])
        now_s = now_us / 1_000_000
        ahead_s = now_s - (monotonic_s + known[1] + drift)
        behind_s = monotonic_s + known[0] - drift - now_s
        if ahead_s > tolerance_s:
            return ahead_s
        return -behind_s if behind_s > tolerance_s else 0.0


def _time(time_us: int) -> datetime:
    """Return a time, or the nearest that a datetime can have: a clock may be set to anything."""
    return from_us(max(0, min(time_us, TIMESTAMP_MAX_US)))


def check_client(client: Any, *, settling_s: float, tolerance_s: float | None) -> None:
    """Refuse a client, a settling time or a tolerance with which readers of all events would miss some.

    Args:
        settling_s: the readers' settling time; 0 holds nothing back, and is for tests.
        tolerance_s: None where the clocks are the caller's affair: then the settling time is, too.

    Raises:
        InvalidLimit: a time that can't be used.
        InvalidArgument: the client, with what to set.
    """
    check_number(settling_s, "settling_s", most=SETTLING_MAX_S)
    if tolerance_s is None:
        return
    check_number(tolerance_s, "clock_tolerance_s", most=CLOCK_TOLERANCE_MAX_S)
    least_s = settling_min_s(tolerance_s)
    # Who holds nothing back still writes for readers that do.
    covered_s = settling_s or SETTLING_MIN_S
    if settling_s and settling_s < SETTLING_MIN_S:
        raise InvalidLimit(
            "settling_s",
            f"is {settling_s:g}; it has to be at least {least_s:g} "
            "(limits.SETTLING_MIN_S): as long as an event may take to appear. 0 holds none back, for tests",
        )
    if covered_s < least_s:
        raise InvalidLimit(
            "clock_tolerance_s",
            f"is {tolerance_s:g}; events may appear so late then that settling_s has to be at least "
            f"{least_s:g}, here and for all readers, but it is {settling_s:g}. Raise it, or leave "
            f"clock_tolerance_s at {CLOCK_TOLERANCE_S:g}; None compares no clocks, for tests",
        )
    config = getattr(getattr(client, "meta", None), "config", None)
    if config is None:  # not boto3's
        return
    tries = (config.retries or {}).get("total_max_attempts")
    if tries != 1:
        raise InvalidArgument(
            "client",
            "sends a request more than once (its Config.retries): an event would be written late, "
            "with an old stamp. The store tries again itself. Make the client with dynamodb_client(), or "
            "Config(retries={'mode': 'standard', 'total_max_attempts': 1})",
        )
    room_s = covered_s - least_s + CONNECT_TIMEOUT_S + READ_TIMEOUT_S
    timeouts = (config.connect_timeout, config.read_timeout)
    if None in timeouts or sum(timeouts) > room_s:
        raise InvalidArgument(
            "client",
            f"has a connect_timeout and read_timeout of {timeouts[0]} and {timeouts[1]} s; together "
            f"they may be {room_s:g} s (Config), or an event could be written later than readers wait for. "
            "Make the client with dynamodb_client(), or raise settling_s here and for all readers",
        )
