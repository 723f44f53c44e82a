"""Rounds in which candidates take turns, and what they tell: medians, and ratios inside of each round."""

from __future__ import annotations

import gc
import random
import time
from collections.abc import Callable, Mapping
from statistics import median
from typing import Any

from bench.wire import Wire

Work = Callable[[], float]
"""Does a candidate's work once; returns what is measured."""


def take_turns(works: Mapping[str, Work], *, rounds: int, seed: int = 4) -> dict[str, list[float]]:
    """Have each candidate work once a round, in another order each time; once before, unmeasured."""
    order = list(works)
    random_ = random.Random(seed)
    measured: dict[str, list[float]] = {name: [] for name in works}
    for work in works.values():
        work()
    for _ in range(rounds):
        random_.shuffle(order)
        for name in order:
            gc.collect()
            measured[name].append(works[name]())
    return measured


def summary(measured: Mapping[str, list[float]], *, base: str, per: Mapping[str, float]) -> dict[str, Any]:
    """Sum up rounds: for each candidate the median per unit, and its ratio to `base` in the same rounds.

    Args:
        per: how many units (events, appends) a candidate's work had.
    """
    of_base = [value / per[base] for value in measured[base]]
    told: dict[str, Any] = {}
    for name, values in measured.items():
        each = [value / per[name] for value in values]
        ratios = [value / other for value, other in zip(each, of_base, strict=True)]
        told[name] = {
            "median_us": round(median(each) * 1e6, 3),
            "ratio": round(median(ratios), 3),
            "ratio_low": round(min(ratios), 3),
            "ratio_high": round(max(ratios), 3),
        }
    return {"base": base, "rounds": len(of_base), "candidates": told}


def cpu_s(work: Callable[[], object], *wires: Wire) -> float:
    """Return the CPU of this process, all threads, for some work, less what answering from memory took."""
    served_s = sum(wire.cpu_s for wire in wires)
    began_s = time.process_time()
    work()
    ended_s = time.process_time()
    return ended_s - began_s - (sum(wire.cpu_s for wire in wires) - served_s)
