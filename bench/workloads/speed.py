"""Events a second on DynamoDB Local, engine included: candidates in Python only, ratios to the floor."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from itertools import count
from typing import Any

from bench.candidates import Candidate, Opens
from bench.payloads import KB_BYTES, payload
from bench.rounds import Work, summary, take_turns
from bench.sizes import Scale


def speed(opens: Sequence[Opens], endpoint: str, scale: Scale, *, base: str) -> dict[str, Any]:
    """Measure wall time for each event: appends of 1 to new streams, and a load of 1,000 events."""
    with ExitStack() as stack:
        candidates = [stack.enter_context(open_(endpoint)) for open_ in opens]
        for candidate in candidates:
            candidate.seed("stream", payload(KB_BYTES), count=scale.speed_load_events)
        appends = {
            candidate.name: _timed(_appends(candidate, scale.speed_appends)) for candidate in candidates
        }
        loads = {candidate.name: _timed(_load(candidate)) for candidate in candidates}
        # A peer that stops after 1 MB has loaded less: the time is for each event that came.
        loaded = {candidate.name: float(candidate.load("stream")) for candidate in candidates}
        return {
            "append-1-new": summary(
                take_turns(appends, rounds=scale.speed_rounds),
                base=base,
                per=dict.fromkeys(appends, float(scale.speed_appends)),
            ),
            "load": summary(take_turns(loads, rounds=scale.speed_rounds), base=base, per=loaded),
        }


def _appends(candidate: Candidate, times: int) -> Callable[[], None]:
    numbers = count(1)

    def appends() -> None:
        for _ in range(times):
            candidate.append(f"new-{next(numbers)}", [payload(KB_BYTES)], after=0)

    return appends


def _load(candidate: Candidate) -> Callable[[], object]:
    return lambda: candidate.load("stream")


def _timed(work: Callable[[], object]) -> Work:
    def timed() -> float:
        began_s = time.perf_counter()
        work()
        return time.perf_counter() - began_s

    return timed
