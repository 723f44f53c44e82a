"""The client's CPU for an append, answers served from memory: candidates in Python only."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from itertools import count
from typing import Any

from bench.candidates import Candidate, Opens
from bench.payloads import KB_BYTES, payload
from bench.rounds import Work, cpu_s, summary, take_turns
from bench.sizes import Scale
from bench.wire import Wire, repeated


def append_cpu(opens: Sequence[Opens], endpoint: str, scale: Scale, *, base: str) -> dict[str, Any]:
    """Measure appends of 1 event (new stream, known head, bare version) and of 10; ratios to `base`."""
    with ExitStack() as stack:
        candidates = [stack.enter_context(open_(endpoint)) for open_ in opens]
        wired = [(candidate, _wire(candidate)) for candidate in candidates]
        return {
            name: _measure(wired, appends, scale, base=base)
            for name, appends in (
                ("append-1-new", _new_streams(1)),
                ("append-1-head", _behind_head(1)),
                ("append-1-version", _behind_version),
                ("append-10-new", _new_streams(10)),
                ("append-10-head", _behind_head(10)),
            )
        }


Appends = Callable[[Candidate, int], None]
"""Does so many appends with a candidate."""


def _wire(candidate: Candidate) -> Wire:
    """Record an append of each kind on the engine, and serve its answers from then on."""
    assert candidate.client
    wire, event = Wire(candidate.client), payload(KB_BYTES)

    def one_of_each() -> None:
        candidate.append("order-1", [event], after=0)
        candidate.append("order-1", [event], after=1, head_known=False)
        candidate.append("order-2", [event] * 10, after=0)

    wire.serve(repeated(wire.record(one_of_each)))
    return wire


def _new_streams(events: int) -> Appends:
    def appends(candidate: Candidate, times: int) -> None:
        texts = [payload(KB_BYTES)] * events
        for number in range(times):
            candidate.append(f"new-{number}", texts, after=0)

    return appends


def _behind_head(events: int) -> Appends:
    streams = count(1)

    def appends(candidate: Candidate, times: int) -> None:
        texts, stream_id = [payload(KB_BYTES)] * events, f"known-{next(streams)}"
        for number in range(times):
            candidate.append(stream_id, texts, after=number * events)

    return appends


def _behind_version(candidate: Candidate, times: int) -> None:
    texts = [payload(KB_BYTES)]
    for _ in range(times):
        candidate.append("order-1", texts, after=1, head_known=False)


def _measure(
    wired: Sequence[tuple[Candidate, Wire]], appends: Appends, scale: Scale, *, base: str
) -> dict[str, Any]:
    def work_of(candidate: Candidate, wire: Wire) -> Work:
        return lambda: cpu_s(lambda: appends(candidate, scale.appends), wire)

    works = {candidate.name: work_of(candidate, wire) for candidate, wire in wired}
    measured = take_turns(works, rounds=scale.append_rounds)
    return summary(measured, base=base, per=dict.fromkeys(works, scale.appends))
