"""Eight writers on few streams, some more wanted than others: what conflicts cost, and what gets lost."""

from __future__ import annotations

import random
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import accumulate
from statistics import median
from typing import Any

from bench.candidates import Candidate, Opens
from bench.meter import Meter
from bench.payloads import KB_BYTES, payload
from bench.sizes import Scale

_EXPONENT = 1.1


def contended_appends(opens: Sequence[Opens], meter: Meter, scale: Scale) -> dict[str, Any]:
    """Have 8 threads load and append until it works; streams by Zipf's law, the same for all candidates.

    Returns for each candidate, medians over rounds: conflicts, requests and units for each acknowledged
    event, and the number of acknowledged events that aren't stored afterwards (all rounds together).
    """
    rounds: dict[str, list[dict[str, float]]] = {}
    for number in range(scale.contended_rounds):
        for open_ in opens if number % 2 == 0 else reversed(opens):
            with open_(meter.endpoint) as candidate:
                rounds.setdefault(candidate.name, []).append(_round(candidate, meter, scale, seed=number))
    return {name: _summed(of_candidate) for name, of_candidate in rounds.items()}


def zipf_streams(count: int, *, streams: int, seed: int) -> list[str]:
    """Choose streams, the k-th with a weight of 1/k^1.1."""
    weights = list(accumulate(1 / rank**_EXPONENT for rank in range(1, streams + 1)))
    chosen = random.Random(seed).choices(range(streams), cum_weights=weights, k=count)
    return [f"hot-{stream}" for stream in chosen]


def _round(candidate: Candidate, meter: Meter, scale: Scale, *, seed: int) -> dict[str, float]:
    event = payload(KB_BYTES)
    for stream in range(scale.contended_streams):
        candidate.append(f"hot-{stream}", [event], after=0)
    wanted = zipf_streams(
        scale.contended_writers * scale.contended_appends, streams=scale.contended_streams, seed=seed
    )
    meter.reset()

    def write(streams: list[str]) -> int:
        return sum(candidate.load_and_append(stream_id, event) for stream_id in streams)

    with ThreadPoolExecutor(scale.contended_writers) as writers:
        shares = [wanted[first :: scale.contended_writers] for first in range(scale.contended_writers)]
        conflicts = sum(writers.map(write, shares))
    usage = meter.usage
    stored = sum(candidate.load(f"hot-{stream}") for stream in range(scale.contended_streams))
    return {
        "acknowledged": len(wanted),
        "conflicts": conflicts,
        "requests": usage.requests.total(),
        "read_units": usage.read_units,
        "write_units": usage.write_units + usage.index_write_units,
        "lost": len(wanted) + scale.contended_streams - stored,
    }


def _summed(rounds: Sequence[dict[str, float]]) -> dict[str, float]:
    def each(name: str) -> float:
        return round(median(one[name] / one["acknowledged"] for one in rounds), 3)

    return {
        "acknowledged": sum(one["acknowledged"] for one in rounds),
        "lost": sum(one["lost"] for one in rounds),
        "conflicts_per_event": each("conflicts"),
        "requests_per_event": each("requests"),
        "read_units_per_event": each("read_units"),
        "write_units_per_event": each("write_units"),
    }
