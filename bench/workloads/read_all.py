"""Reading all: exact on the engine, CPU and throughput with pages from memory, and the merge."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

from botocore.client import BaseClient

from bench.floor import Floor
from bench.index_pages import IndexPages
from bench.meter import Meter
from bench.ours import OURS, Ours, open_ours, with_msgspec
from bench.payloads import ITEM_SIZES, payload
from bench.raw import RAW_NAME, TableQuery, parse_bodies
from bench.rounds import Work, cpu_s, summary, take_turns
from bench.sizes import Scale
from bench.wire import Wire
from eventstore import Event
from eventstore._merge import Fetched, ShardPage, merge

_NOWHERE = "http://127.0.0.1:9"  # nothing listens; every request is answered from memory
LATENCY_S = 0.025
"""How long a page of 1 MB takes to come, in the measure of throughput (assumed, not measured)."""


class _ReadsAll(Protocol):
    @property
    def name(self) -> str: ...
    @property
    def client(self) -> BaseClient: ...
    def read_all(self) -> int: ...


def exact_read_all(meter: Meter, scale: Scale) -> dict[str, Any]:
    """Count requests and units of reading events that are really in DynamoDB Local, by size and shards."""
    told: dict[str, Any] = {}
    for size in scale.read_all_sizes:
        payload_bytes = ITEM_SIZES[size]
        count = min(scale.read_all_engine_events, scale.read_all_engine_bytes // (payload_bytes + 130))
        for shards in scale.read_all_shards:
            with open_ours(meter.endpoint, shards=shards) as ours:
                ours.seed("order-1", payload(payload_bytes), count=count)
                floor = Floor(meter.endpoint, ours.table, shards=shards)
                told[f"{size}, {_shards(shards)}"] = {
                    candidate.name: _counted(candidate, meter) for candidate in (ours, floor)
                }
    return told


def _shards(count: int) -> str:
    return f"{count} shard{'s' * (count > 1)}"


def _counted(candidate: _ReadsAll, meter: Meter) -> dict[str, Any]:
    meter.reset()
    return {"events": candidate.read_all(), **meter.usage.as_json()}


def read_all_cpu(scale: Scale) -> dict[str, Any]:
    """Measure the client's CPU for each event, by size and shards; ratios to `Table.query` paginated."""
    return {
        f"{size}, {_shards(shards)}": _cpu(ITEM_SIZES[size], shards, scale)
        for size in scale.read_all_sizes
        for shards in scale.read_all_shards
    }


def _cpu(payload_bytes: int, shards: int, scale: Scale) -> dict[str, Any]:
    count = min(scale.read_all_events // 10, scale.read_all_turn_bytes // (payload_bytes + 130))
    pages = IndexPages(count, shards, payload_bytes, keep=True)
    works: dict[str, Work] = {}
    for candidate in _on_nothing(shards):
        wire = Wire(candidate.client)
        wire.serve(pages.serve, shards=pages.shards)
        works[candidate.name] = _reading(candidate, wire, count)
    bodies = pages.page_bodies()
    works[RAW_NAME] = lambda: cpu_s(lambda: parse_bodies(bodies))
    per = dict.fromkeys(works, float(count))
    measured = summary(take_turns(works, rounds=scale.read_all_rounds), base=TableQuery.name, per=per)
    exact = _exact(IndexPages(scale.read_all_events, shards, payload_bytes), shards)
    return {**measured, "events": count, "exact": exact}


def _exact(pages: IndexPages, shards: int) -> dict[str, float]:
    """Count one read of this library alone, by the rules that the pages are made with."""
    ours = Ours(_NOWHERE, "events", shards=shards)
    Wire(ours.client).serve(pages.serve, shards=pages.shards)
    assert ours.read_all() == pages.count
    return {
        "events": pages.count,
        "requests": len(pages.read_units),
        "read_units": sum(pages.read_units),
        "body_bytes": sum(pages.bytes_sent),
    }


def _on_nothing(shards: int) -> list[_ReadsAll]:
    return [made(_NOWHERE, "events", shards=shards) for made in (Ours, with_msgspec, Floor, TableQuery)]


def _reading(candidate: _ReadsAll, wire: Wire, count: int) -> Work:
    def read() -> None:
        assert candidate.read_all() == count

    return lambda: cpu_s(read, wire)


def throughput(scale: Scale) -> dict[str, Any]:
    """Measure events a second of this library and of the floor when each page takes 25 ms, by shards.

    Ratios are to the first number of shards of the same candidate in the same round.
    """
    works: dict[str, Work] = {}
    for shards in scale.read_all_shards:
        pages = IndexPages(scale.throughput_events, shards, ITEM_SIZES["1 KB"], latency_s=LATENCY_S)
        for candidate in (Ours(_NOWHERE, "events", shards=shards), Floor(_NOWHERE, "events", shards=shards)):
            Wire(candidate.client).serve(pages.serve, shards=pages.shards)
            works[f"{candidate.name}, {_shards(shards)}"] = _timed(candidate.read_all)
    measured = take_turns(works, rounds=scale.throughput_rounds)
    told = {}
    for name in (OURS, Floor.name):
        of_candidate = {work: values for work, values in measured.items() if work.startswith(name)}
        base = next(iter(of_candidate))
        told[name] = summary(
            of_candidate, base=base, per=dict.fromkeys(of_candidate, float(scale.throughput_events))
        )
    return told


def _timed(work: Callable[[], object]) -> Work:
    def timed() -> float:
        began_s = time.perf_counter()
        work()
        return time.perf_counter() - began_s

    return timed


def merge_share(scale: Scale) -> dict[str, Any]:
    """Measure the merge's share of reading: its CPU on pages that are already read, to that of all of it."""
    shards = max(scale.read_all_shards)
    pages = IndexPages(scale.throughput_events, shards, ITEM_SIZES["1 KB"])
    ours = Ours(_NOWHERE, "events", shards=shards)
    wire = Wire(ours.client)
    wire.serve(pages.serve, shards=pages.shards)
    by_shard = [_read_pages(scale.throughput_events, shard, shards) for shard in range(shards)]

    def merged() -> None:
        with ThreadPoolExecutor(shards) as executor:
            merging = merge([_PagesRead(iter(of_shard)) for of_shard in by_shard], executor=executor)
            assert sum(1 for _ in merging) == scale.throughput_events

    works: dict[str, Work] = {
        "read all": _reading(ours, wire, scale.throughput_events),
        "merge alone": lambda: cpu_s(merged),
    }
    measured = take_turns(works, rounds=scale.rounds)
    return summary(measured, base="read all", per=dict.fromkeys(works, float(scale.throughput_events)))


def _read_pages(count: int, shard: int, shards: int) -> list[list[Event]]:
    text = payload(ITEM_SIZES["1 KB"])
    events = [
        Event(f"order-{number:07d}", 1, "OrderPlaced", text, "{}", "0" * 36, 1_700_000_000_000_000 + number)
        for number in range(shard, count, shards)
    ]
    return [events[first : first + 1_000] for first in range(0, len(events), 1_000)]


class _PagesRead:
    """A shard whose pages have been read already."""

    def __init__(self, pages: Iterator[list[Event]]) -> None:
        self._pages = pages

    def fetch(self, *, limit: int | None) -> Fetched:
        """Give the next page."""
        del limit
        events = next(self._pages, None)
        return lambda: ShardPage(list(events or ()), more=events is not None)
