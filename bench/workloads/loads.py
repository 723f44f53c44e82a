"""Loading an aggregate: exact measures of all candidates, and the client's CPU of those in Python.

The CPU is that of recorded answers, served from memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any, Protocol

from botocore.client import BaseClient

from bench.candidates import Candidate, Opens
from bench.floor import Floor
from bench.meter import Meter
from bench.ours import open_ours, with_msgspec
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


def loads(peers: Sequence[Opens], meter: Meter, scale: Scale) -> dict[str, Any]:
    """Load streams of each size with this library, the floor on its table, and the peers on theirs.

    Returns:
        `exact`: {candidate: {load: counts}}; `cpu`: {load: ratios to `Table.query` with its paginator}, for
        each event that was returned.
    """
    exact: dict[str, Any] = {}
    cpu: dict[str, Any] = {}
    with ExitStack() as stack:
        ours = stack.enter_context(open_ours(meter.endpoint))
        others = [stack.enter_context(open_(meter.endpoint)) for open_ in peers]
        candidates: list[_Loads] = [ours, Floor(meter.endpoint, ours.table), *others]
        readers = (with_msgspec(meter.endpoint, ours.table), TableQuery(meter.endpoint, ours.table))
        wired = [(loader, Wire(loader.client)) for loader in (*candidates, *readers) if loader.client]
        for count in scale.loads:
            name, stream_id = f"load-{count}", f"stream-{count}"
            writers: list[Candidate] = [ours, *others]
            for writer in writers:
                writer.seed(stream_id, payload(KB_BYTES), count=count)
            for candidate in candidates:
                exact.setdefault(candidate.name, {})[name] = _counted(candidate, stream_id, count, meter)
            cpu[name] = _cpu(wired, stream_id, count, meter, scale)
    return {"exact": exact, "cpu": cpu}


def _counted(candidate: _Loads, stream_id: str, count: int, meter: Meter) -> dict[str, Any]:
    meter.reset()
    returned = candidate.load(stream_id)
    return {"events": count, "events_returned": returned, **meter.usage.as_json()}


def _cpu(
    wired: Sequence[tuple[_Loads, Wire]], stream_id: str, count: int, meter: Meter, scale: Scale
) -> dict[str, Any]:
    times = max(1, scale.load_turn_events // count)
    works: dict[str, Work] = {}
    per: dict[str, float] = {}
    for loader, wire in wired:
        answers, per[loader.name] = _recorded(loader, wire, stream_id, times, meter)
        works[loader.name] = _work(loader, wire, stream_id, times)
        if isinstance(loader, TableQuery):
            bodies = [answer.body for answer in answers] * times
            works[RAW_NAME] = _parsing(bodies)
            per[RAW_NAME] = parse_bodies(bodies)
    measured = summary(take_turns(works, rounds=scale.load_rounds), base=TableQuery.name, per=per)
    measured["events"] = count * times
    for _, wire in wired:
        wire.stop_serving()
    return measured


def _recorded(
    loader: _Loads, wire: Wire, stream_id: str, times: int, meter: Meter
) -> tuple[list[Answer], float]:
    """Record one load; return its answers and how many events so many loads return."""
    returned: list[int] = []
    meter.asks = False  # the answers are to be those that a client gets that doesn't ask
    recorded = wire.record(lambda: returned.append(loader.load(stream_id)))
    meter.asks = True
    wire.serve(repeated(recorded))
    return recorded["Query"], float(returned[0] * times)


def _work(loader: _Loads, wire: Wire, stream_id: str, times: int) -> Work:
    def load() -> None:
        for _ in range(times):
            loader.load(stream_id)

    return lambda: cpu_s(load, wire)


def _parsing(bodies: Sequence[bytes]) -> Work:
    return lambda: cpu_s(lambda: parse_bodies(bodies))
