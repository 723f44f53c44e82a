"""`python -m bench.log_writers`: how often the log's writers meet in a tranche, and what rate they reach.

A simulation in virtual time. Each writer is one shard of the table's stream: it puts a block into each
tranche, one after the other, as `DynamoDBEventLog.append_block` does. Takes some seconds; docs/scale.md has
what it prints.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from eventstore.limits import LOG_TRANCHES
from eventstore.plan import Assumptions, Workload
from eventstore.plan.capacity import log_refused

PUT_S: Final = Assumptions().log_put_ms / 1_000
"""A put or a look, as the planner assumes."""
_CALL_S: Final = 0.015
"""What a batch takes before its first put."""
_SECONDS: Final = 30.0


@dataclass(slots=True)
class Met:
    """What came of a run."""

    blocks: int = 0
    refused: int = 0
    batches: int = 0

    @property
    def batches_per_second(self) -> float:
        return self.batches / _SECONDS

    @property
    def refused_per_block(self) -> float:
        return self.refused / self.blocks


class _Writer:
    """A shard's writer: what it knows of each tranche, and its steps from one pause to the next."""

    def __init__(self, last: list[int], met: Met, rng: random.Random, *, window_s: float) -> None:
        self._last, self._met, self._rng, self._window_s = last, met, rng, window_s
        self._own: dict[int, int] = {}
        self._shared: set[int] = set()

    def steps(self) -> Iterator[float]:
        """Yield how long each step takes; what comes behind a yield happens when it's over."""
        yield self._rng.random() * max(self._window_s, 0.1)
        while True:
            took_s = 0.0
            for pause_s in self._batch():
                took_s += pause_s
                yield pause_s
            self._met.batches += 1
            yield max(0.0, self._window_s * self._rng.uniform(0.9, 1.1) - took_s)

    def _batch(self) -> Iterator[float]:
        yield _CALL_S
        for tranche in range(len(self._last)):
            known = self._own.get(tranche)
            if known is None or tranche in self._shared:
                yield from self._there()
                known = self._last[tranche]
                yield PUT_S / 2
                if known == self._own.get(tranche):
                    self._shared.discard(tranche)
            yield from self._put(tranche, known)

    def _put(self, tranche: int, known: int) -> Iterator[float]:
        attempt = 0
        while True:
            yield from self._there()
            if self._last[tranche] == known:
                break
            self._met.refused += 1
            self._shared.add(tranche)
            yield PUT_S / 2 + min(0.2, 0.005 * 2**attempt) * self._rng.random()
            attempt += 1
            yield from self._there()
            known = self._last[tranche]
            yield PUT_S / 2
        self._met.blocks += 1
        self._last[tranche] = self._own[tranche] = known + 1
        yield PUT_S / 2

    def _there(self) -> Iterator[float]:
        yield PUT_S * self._rng.uniform(0.25, 0.75)


def run(*, writers: int, window_s: float, tranches: int = LOG_TRANCHES, seed: int = 20261126) -> Met:
    """Run writers side by side for 30 s.

    Args:
        window_s: seconds between a shard's batches; 0 for one at once after the other.
    """
    rng, met, last = random.Random(seed), Met(), [0] * tranches
    queue: list[tuple[float, int, Iterator[float]]] = []
    for number in range(writers):
        steps = _Writer(last, met, rng, window_s=window_s).steps()
        queue.append((next(steps), number, steps))
    heapq.heapify(queue)
    while queue[0][0] <= _SECONDS:
        now_s, number, steps = queue[0]
        heapq.heapreplace(queue, (now_s + next(steps), number, steps))
    return met


def main() -> None:
    print("| shards | batches of a shard | batches/s | refused puts a block | by the planner |")
    print("|---|---|---|---|---|")
    for writers, window_s in ((4, 1), (20, 1), (80, 1), (80, 4), (4, 0), (20, 0), (80, 0), (200, 0)):
        met = run(writers=writers, window_s=window_s)
        how = f"each {window_s} s" if window_s else "at once"
        planned = log_refused(
            Workload(events_per_second=1),
            Assumptions(),
            events_per_second=met.batches_per_second * LOG_TRANCHES,
            records=LOG_TRANCHES,  # one event for each tranche
            lanes=writers,
        ).value
        shown = f"{met.batches_per_second:,.0f} | {met.refused_per_block:.2f} | {planned:.2f}"
        print(f"| {writers} | {how} | {shown} |")


if __name__ == "__main__":
    main()
