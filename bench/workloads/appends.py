"""The exact measures of appends: requests, capacity units and bytes, counted by the proxy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from bench.candidates import Candidate, Opens
from bench.meter import Meter
from bench.payloads import KB_BYTES, payload


def exact_appends(opens: Sequence[Opens], meter: Meter) -> dict[str, Any]:
    """Count what each candidate asks of DynamoDB; returns {candidate: {workload: counts}}."""
    told: dict[str, Any] = {}
    for open_ in opens:
        with open_(meter.endpoint) as candidate:
            told[candidate.name] = _appends(candidate, meter)
    return told


def _appends(candidate: Candidate, meter: Meter) -> dict[str, Any]:
    event = payload(KB_BYTES)
    works: dict[str, tuple[int, Callable[[], object]]] = {
        "append-1-new": (1, lambda: candidate.append("order-1", [event], after=0)),
        "append-1-head": (1, lambda: candidate.append("order-1", [event], after=1)),
        "append-1-version": (1, lambda: candidate.append("order-1", [event], after=2, head_known=False)),
        "append-10-new": (10, lambda: candidate.append("order-2", [event] * 10, after=0)),
        "append-10-head": (10, lambda: candidate.append("order-2", [event] * 10, after=10)),
    }
    return {name: _counted(meter, events, work) for name, (events, work) in works.items()}


def _counted(meter: Meter, events: int, work: Callable[[], object]) -> dict[str, Any]:
    meter.reset()
    work()
    return {"events": events, **meter.usage.as_json()}
