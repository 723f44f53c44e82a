"""How large the workloads are: as published, quick for a look, tiny for the tests to see them run."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """Sizes and rounds of all workloads."""

    rounds: int = 5
    append_rounds: int = 21
    appends: int = 50
    """Appends of a candidate's turn, CPU alone. Many short turns: a machine that slows down for a while then
    slows all candidates down."""
    loads: tuple[int, ...] = (10, 1_000, 20_000)
    load_rounds: int = 11
    load_turn_events: int = 2_000
    """Events that a candidate's turn loads, in as many loads as that takes; at least one load."""
    contended_rounds: int = 3
    contended_writers: int = 8
    contended_appends: int = 20
    """Appends of each writer."""
    contended_streams: int = 20
    read_all_rounds: int = 9
    read_all_events: int = 100_000
    """Events of the exact measures; a candidate's turn reads a tenth of them."""
    read_all_turn_bytes: int = 20 * 1_024 * 1_024
    """Bytes at most of a turn."""
    throughput_events: int = 30_000
    throughput_rounds: int = 3
    read_all_sizes: tuple[str, ...] = ("200 B", "1 KB", "10 KB")
    read_all_shards: tuple[int, ...] = (1, 5, 10)
    read_all_engine_events: int = 2_000
    read_all_engine_bytes: int = 1_536 * 1_024
    """At most so many events, and bytes of them, are really written for the exact measures of reading all."""
    memory_events: tuple[int, int] = (100_000, 1_000_000)
    publish_records: int = 10_000
    publish_rounds: int = 5
    cold_functions: tuple[str, ...] = ("append", "read", "log", "publish", "replay", "replays")
    cold_rounds: int = 7
    speed_rounds: int = 5
    speed_appends: int = 50
    speed_load_events: int = 1_000
    compressed_sizes: tuple[str, ...] = ("1 KB", "4 KB", "20 KB")
    compressed_events: int = 100
    """Events that are appended and loaded of each size and codec."""
    probe_events: int = 2_000
    """Events of 1 KB of a stream that doesn't fit into one page."""


PUBLISHED = Scale()
QUICK = Scale(
    rounds=3,
    append_rounds=7,
    appends=30,
    loads=(10, 1_000, 4_000),
    load_rounds=5,
    load_turn_events=1_000,
    contended_rounds=1,
    contended_appends=10,
    read_all_rounds=2,
    read_all_events=20_000,
    throughput_events=10_000,
    throughput_rounds=1,
    memory_events=(20_000, 100_000),
    publish_records=2_000,
    publish_rounds=3,
    cold_rounds=3,
    speed_rounds=2,
    speed_appends=20,
    compressed_events=50,
)
TINY = Scale(
    rounds=1,
    append_rounds=1,
    appends=3,
    loads=(10,),
    load_rounds=1,
    load_turn_events=20,
    contended_rounds=1,
    contended_writers=2,
    contended_appends=2,
    contended_streams=2,
    read_all_rounds=1,
    read_all_events=300,
    throughput_events=300,
    throughput_rounds=1,
    read_all_sizes=("200 B",),
    read_all_shards=(1, 3),
    read_all_engine_bytes=20_000,
    memory_events=(200, 400),
    publish_records=40,
    publish_rounds=1,
    cold_functions=("append",),
    cold_rounds=1,
    speed_rounds=1,
    speed_appends=2,
    speed_load_events=10,
    compressed_sizes=("1 KB",),
    compressed_events=3,
    probe_events=30,
)
