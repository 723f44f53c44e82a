"""`python -m bench.concurrency`: what `Terms(concurrency=16)` makes of a slow handler, as a ratio in one run.

The handler waits, as one does that calls a database. Events of 64 streams in one tranche, in memory, so that
nothing else takes time; prints the table of docs/subscriptions.md. Takes about half a minute.
"""

from __future__ import annotations

import threading
import time
from typing import Final

from eventstore import ANY, Event, NewEvent
from eventstore.memory.checkpoints import MemoryCheckpoints, MemoryEventBodies
from eventstore.memory.log import MemoryEventLog
from eventstore.memory.store import MemoryEventStore
from eventstore.subscriptions import Terms, subscribe

_STREAMS: Final = 64
_CONCURRENCY: Final = 16


def events_per_second(*, handler_ms: float, concurrency: int, events: int) -> float:
    """Measure how many events a second one worker handles."""
    log = MemoryEventLog(tranches=1)
    store = MemoryEventStore(log=log)
    for number in range(events):
        store.append(f"order-{number % _STREAMS}", [NewEvent.of("OrderPlaced")], expected=ANY)
    never = threading.Event()

    def handle(_event: Event) -> None:
        never.wait(handler_ms / 1_000)

    worker = subscribe(
        "bench",
        handle,
        log=log,
        bodies=MemoryEventBodies(store),
        checkpoints=MemoryCheckpoints(),
        terms=Terms(concurrency=concurrency),
    )
    began = time.perf_counter()
    worker.run(until=lambda: worker.counts.handled == events)
    return events / (time.perf_counter() - began)


def main() -> None:
    print("| handler | concurrency 1 | 16 | ratio |")
    print("|---|---|---|---|")
    for handler_ms, events in ((10, 300), (50, 100)):
        one = events_per_second(handler_ms=handler_ms, concurrency=1, events=events)
        many = events_per_second(
            handler_ms=handler_ms, concurrency=_CONCURRENCY, events=events * _CONCURRENCY
        )
        print(f"| {handler_ms} ms | {one:,.0f} events/s | {many:,.0f} events/s | {many / one:.1f} |")


if __name__ == "__main__":
    main()
