"""The client's CPU for a load, recorded answers served from memory: candidates in Python only."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any, Protocol

from botocore.client import BaseClient

from bench.candidates import Opens
from bench.ours import Ours, with_msgspec
from bench.payloads import KB_BYTES, payload
from bench.raw import RAW_NAME, TableQuery, parse_bodies
from bench.rounds import Work, cpu_s, summary, take_turns
from bench.sizes import Scale
from bench.wire import Answer, Wire, repeated


class _Loads(Protocol):
    @property
    def name(self) -> str: ...
    @property
    def client(self) -> BaseClient | None: ...
    def load(self, stream_id: str) -> int: ...


def load_cpu(opens: Sequence[Opens], endpoint: str, scale: Scale) -> dict[str, Any]:
    """Measure loads of each size; ratios to `Table.query` with its paginator, per event that was returned."""
    with ExitStack() as stack:
        candidates = [stack.enter_context(open_(endpoint)) for open_ in opens]
        ours = next(candidate for candidate in candidates if isinstance(candidate, Ours))
        loaders: list[_Loads] = [
            *candidates,
            with_msgspec(endpoint, ours.table),
            TableQuery(endpoint, ours.table),
        ]
        wired = [(loader, Wire(loader.client)) for loader in loaders if loader.client]
        told = {}
        for count in scale.loads:
            for candidate in candidates:
                candidate.seed(f"stream-{count}", payload(KB_BYTES), count=count)
            told[f"load-{count}"] = _measure(wired, f"stream-{count}", count, scale)
        return told


def _measure(
    wired: Sequence[tuple[_Loads, Wire]], stream_id: str, count: int, scale: Scale
) -> dict[str, Any]:
    times = max(1, scale.load_turn_events // count)
    works: dict[str, Work] = {}
    per: dict[str, float] = {}
    for loader, wire in wired:
        answers, per[loader.name] = _recorded(loader, wire, stream_id, times)
        works[loader.name] = _work(loader, wire, stream_id, times)
        if isinstance(loader, TableQuery):
            bodies = [answer.body for answer in answers] * times
            works[RAW_NAME] = _parsing(bodies)
            per[RAW_NAME] = parse_bodies(bodies)
    return summary(take_turns(works, rounds=scale.rounds), base=TableQuery.name, per=per)


def _recorded(loader: _Loads, wire: Wire, stream_id: str, times: int) -> tuple[list[Answer], float]:
    """Record one load; return its answers and how many events so many loads return."""
    returned: list[int] = []
    wire.stop_serving()
    recorded = wire.record(lambda: returned.append(loader.load(stream_id)))
    wire.serve(repeated(recorded))
    return recorded["Query"], returned[0] * times


def _work(loader: _Loads, wire: Wire, stream_id: str, times: int) -> Work:
    def loads() -> None:
        for _ in range(times):
            loader.load(stream_id)

    return lambda: cpu_s(loads, wire)


def _parsing(bodies: Sequence[bytes]) -> Callable[[], float]:
    return lambda: cpu_s(lambda: parse_bodies(bodies))
