"""What a candidate can't do, or does wrongly: tried out, and told as it was seen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from threading import Barrier, Thread
from typing import Any

from bench.candidates import Candidate, Conflict, NotOffered, Opens
from bench.meter import Meter
from bench.payloads import KB_BYTES, payload
from bench.sizes import Scale


@dataclass(frozen=True, slots=True)
class Seen:
    """What a probe has seen; `right` is None where a candidate just doesn't offer it."""

    right: bool | None
    evidence: str


def probes(opens: Sequence[Opens], meter: Meter, scale: Scale) -> dict[str, Any]:
    """Try every candidate; returns {candidate: {probe: {right, evidence}}}."""
    told: dict[str, Any] = {}
    for open_ in opens:
        with open_(meter.endpoint) as candidate:
            told[candidate.name] = {
                "race": asdict(_race(candidate)),
                "gap": asdict(_gap(candidate)),
                "all-or-nothing": asdict(_all_or_nothing(candidate, meter)),
                "101-events": asdict(_hundred_and_one(candidate, meter)),
                "over-1-mb": asdict(_over_a_page(candidate, meter, scale)),
                "read-all": asdict(_read_all(candidate)),
            }
    return told


def _race(candidate: Candidate) -> Seen:
    """Two writers who have both loaded version 1 append to it at the same moment."""
    candidate.append("race", [payload(KB_BYTES)], after=0)
    barrier, outcomes = Barrier(2), []

    def write() -> None:
        barrier.wait()
        outcomes.append(
            _outcome(lambda: candidate.append("race", [payload(KB_BYTES)], after=1, head_known=False))
        )

    writers = [Thread(target=write) for _ in range(2)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    accepted, stored = outcomes.count("accepted"), candidate.load("race") - 1
    return Seen(
        sorted(outcomes) == ["accepted", "conflict"] and stored == 1,
        f"{accepted} of 2 appends acknowledged, {stored} event stored"
        + ("" if accepted == stored else ": the other one is lost"),
    )


def _gap(candidate: Candidate) -> Seen:
    """A writer appends behind version 5 of a stream that has 1 event."""
    candidate.append("gap", [payload(KB_BYTES)], after=0)
    outcome = _outcome(lambda: candidate.append("gap", [payload(KB_BYTES)], after=5, head_known=False))
    return Seen(outcome == "conflict", f"{outcome}; the stream then has {candidate.load('gap')} event(s)")


def _all_or_nothing(candidate: Candidate, meter: Meter) -> Seen:
    """A writer appends 30 events, and the connection breaks behind its first request."""
    meter.refuse_after(1)
    outcome = _outcome(lambda: candidate.append("whole", [payload(KB_BYTES)] * 30, after=0))
    meter.refuse_after(None)
    stored = candidate.load("whole")
    return Seen(stored in {0, 30}, f"{outcome}; {stored} of 30 events stored")


def _hundred_and_one(candidate: Candidate, meter: Meter) -> Seen:
    """101 events of 1 KB in one call; taking all as one unit or refusing all is right."""
    meter.reset()
    outcome = _outcome(lambda: candidate.append("many", [payload(KB_BYTES)] * 101, after=0))
    requests = meter.usage.requests.total()
    stored = candidate.load("many")
    right = stored == 0 or (stored == 101 and requests == 1)
    return Seen(right, f"{outcome}; {stored} stored with {requests} request(s)")


def _over_a_page(candidate: Candidate, meter: Meter, scale: Scale) -> Seen:
    """A stream of some MB is loaded."""
    candidate.seed("long", payload(KB_BYTES), count=scale.probe_events)
    meter.reset()
    returned = candidate.load("long")
    queries = meter.usage.requests["Query"]
    return Seen(
        returned == scale.probe_events,
        f"{returned:,} of {scale.probe_events:,} events returned ({queries} queries), no error",
    )


def _read_all(candidate: Candidate) -> Seen:
    """The events of all streams, in time order."""
    try:
        return Seen(True, f"{candidate.read_all():,} events read")
    except NotOffered as not_offered:
        return Seen(None, str(not_offered))


def _outcome(work: Callable[[], object]) -> str:
    try:
        work()
    except Conflict:
        return "conflict"
    except Exception as error:  # noqa: BLE001 - whatever a candidate raises is what was to be seen
        return f"{type(error).__name__}: {error}"
    return "accepted"
