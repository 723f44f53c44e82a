"""docs/benchmarks.md, written from the results and from nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from bench.ours import OURS
from bench.raw import RAW_NAME
from bench.targets import speedups, targets
from bench.workloads.read_all import LATENCY_S

DOCS: Final = Path(__file__).parent.parent / "docs"
"""Where the report is written."""
_TEXT: Final = Path(__file__).parent / "report.md"
_WORKLOADS: Final = {
    "append-1-new": "append 1 to a new stream",
    "append-1-head": "append 1, head known",
    "append-1-version": "append 1, only the version known",
    "append-10-new": "append 10 to a new stream",
    "append-10-head": "append 10, head known",
    "load": "load 1,000",
}
_PEERS: Final = (
    "eventsourcing-dynamodb",
    "aett-dynamodb",
    "@castore/event-storage-adapter-dynamodb",
    "event-store-adapter-js",
)
_PROBES: Final = {
    "race": "two writers append behind the same version at once",
    "gap": "append behind version 5 of a stream with 1 event",
    "all-or-nothing": "append 30 events; the connection breaks after the first request",
    "101-events": "append 101 events in one call",
    "over-1-mb": "load a stream of over 1 MB",
    "read-all": "read the events of all streams in time order",
}

Results = Mapping[str, Any]


def write_report(results: Results) -> None:
    """Write docs/benchmarks.md and its plots."""
    from bench.plots import write_plots  # takes a second, and only `make bench` installs matplotlib

    (DOCS / "benchmarks.md").write_text(report_text(results))
    write_plots(results, DOCS / "benchmarks")


def report_text(results: Results) -> str:
    """Write the report: the text of bench/report.md with the tables in their places."""
    tables = {
        "environment": _environment(results),
        "targets": _targets(results),
        "appends": _exact(results["appends"]),
        "loads": _exact(results["loads"]["exact"]),
        "exact_read_all": _exact_read_all(results),
        "append_cpu": _ratios(results["append_cpu"]),
        "load_cpu": _speeds(results["loads"]["cpu"]),
        "read_all_cpu": _speeds(results["read_all_cpu"]),
        "throughput": _throughput(results),
        "contended": _contended(results["contended"]),
        "publish": _publish(results["publish"]),
        "cold_imports": _cold(results["cold_imports"]),
        "memory": _memory(results["memory"]),
        "compression": _compression(results["compression"]),
        "speed": _ratios(results["speed"]),
        "probes": _probes(results["probes"]),
    }
    text = _TEXT.read_text()
    for name, table in tables.items():
        place = f"<!-- {name} -->"
        assert text.count(place) == 1, f"{_TEXT} has to have {place} once"
        text = text.replace(place, table)
    return text


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |" for line in lines)


def _environment(results: Results) -> str:
    """Return where the results were made; when they aren't all of one commit, name all."""
    machine, runs = results["environment"], results["runs"].values()
    quick = ", a quick one" if any(run["quick"] for run in runs) else ""
    commits = " and ".join(sorted({run["commit"] for run in runs}))
    changed = " with changes not committed" if any(run["changed_since"] for run in runs) else ""
    minutes = sum(run["seconds"] for run in runs) / 60
    peers = ", ".join(f"`{name}` {machine['peers'][name]}" for name in _PEERS)
    date = max(run["date"] for run in runs)
    lines = (
        f"Run on {date} at commit {commits}{changed}, in {minutes:.0f} minutes{quick}:",
        f"{_of_runs(results['runs'], 'cpu')},",
        f"{machine['cores']} cores, {machine['memory_gb']} GB; Python {machine['python']},",
        f"boto3 {_of_runs(results['runs'], 'boto3')},",
        f"Node {machine['node']}, DynamoDB Local {machine['dynamodb_local']}.",
        f"Peers: {peers}.",
    )
    return "\n".join(lines)


def _of_runs(runs: Mapping[str, Any], key: str) -> str:
    """Return the machine or version of most measures, and which measures had another."""
    measures: dict[str, list[str]] = {}
    for name, run in runs.items():
        measures.setdefault(run[key], []).append(f"`{name}`")
    usual, *others = sorted(measures, key=lambda one: -len(measures[one]))
    told = [f"{', '.join(measures[one])}: {one}" for one in others]
    return f"{usual} ({'; '.join(told)})" if told else usual


def _targets(results: Results) -> str:
    rows = [
        (target.what, target.bound, target.measured, "yes" if target.reached else "**no**")
        for target in targets(results)
    ]
    return _table(("what", "target", "measured", "reached"), rows)


def _exact(candidates: Mapping[str, Any]) -> str:
    rows = [
        (_name_of(workload), *(_cost(told[workload]) for told in candidates.values()))
        for workload in candidates[OURS]
    ]
    return _table(("", *candidates), rows)


def _name_of(workload: str) -> str:
    kind, _, count = workload.partition("load-")
    return f"load {int(count):,}" if count else _WORKLOADS.get(kind, kind)


def _cost(told: Mapping[str, Any]) -> str:
    requests = sum(told["requests"].values())
    parts = [f"{requests} request{'s' * (requests != 1)}"]
    if told["write_units"]:
        parts.append(f"{told['write_units']:g} + {told['index_write_units']:g} WCU")
    if told["read_units"]:
        parts.append(f"{told['read_units']:,g} RCU")
    parts.append(f"{(told['bytes_sent'] + told['bytes_received']) / 1_000:,.1f} kB")
    returned = told.get("events_returned", told["events"])
    if returned != told["events"]:
        parts.append(f"**only {returned:,} events**")
    return "<br>".join(parts)


def _exact_read_all(results: Results) -> str:
    rows = []
    for name, told in results["read_all_cpu"].items():
        exact, engine = told["exact"], results["exact_read_all"][name]
        of_ours = engine[OURS]
        assert of_ours["events"] == next(seen["events"] for seen in engine.values())
        rows.append(
            (
                name,
                f"{exact['events']:,}",
                f"{exact['requests']:,}",
                f"{exact['read_units']:,.1f}",
                f"{exact['read_units'] / exact['events']:.3f}",
                f"{exact['body_bytes'] / exact['events']:,.0f}",
                f"{of_ours['read_units'] / of_ours['events']:.3f} at {of_ours['events']:,}",
                "yes" if _same_cost(engine) else "no",
            )
        )
    head = (
        "",
        "events",
        "queries",
        "RCU",
        "RCU an event",
        "bytes an event",
        "on the engine",
        "same as the floor",
    )
    return _table(head, rows)


def _same_cost(engine: Mapping[str, Any]) -> bool:
    costs = {(told["read_units"], sum(told["requests"].values())) for told in engine.values()}
    return len(costs) == 1


def _ratios(measured: Mapping[str, Any]) -> str:
    names = list(next(iter(measured.values()))["candidates"])
    rows = [
        (_name_of(workload), *(_ratio(told["candidates"][name]) for name in names))
        for workload, told in measured.items()
    ]
    return _table(("", *names), rows)


def _ratio(told: Mapping[str, float]) -> str:
    if told["ratio_low"] == told["ratio_high"]:
        return f"{told['ratio']:.2f}"
    return f"{told['ratio']:.2f} ({told['ratio_low']:.2f}-{told['ratio_high']:.2f})"


def _speeds(measured: Mapping[str, Any]) -> str:
    """Return events per CPU second relative to the base: the ratios of times, turned round."""
    names = list(next(iter(measured.values()))["candidates"])
    rows = []
    for workload, told in measured.items():
        candidates = told["candidates"]
        own_to_raw = candidates[OURS]["ratio"] / candidates[RAW_NAME]["ratio"]
        speeds = (f"{1 / candidates[name]['ratio']:.1f}" for name in names)
        name = f"{_name_of(workload)}<br>{told['events']:,} events a turn"
        rows.append((name, *speeds, f"{own_to_raw:.2f}"))
    return _table(("", *names, f"CPU of {OURS} to {RAW_NAME}"), rows)


def _throughput(results: Results) -> str:
    rows = [
        (name, *(f"{speedup:.1f}" for speedup in speedups(results, name).values()))
        for name in results["throughput"]
    ]
    shards = speedups(results, OURS)
    note = f"\n\nEach page takes {LATENCY_S * 1_000:g} ms to come; the CPU does the rest."
    return _table(("", *(f"{count} shard{'s' * (count > 1)}" for count in shards)), rows) + note


def _contended(measured: Mapping[str, Any]) -> str:
    rows = [
        (
            name,
            f"{told['acknowledged']:g}",
            f"**{told['lost']:g}**" if told["lost"] else "0",
            f"{told['conflicts_per_event']:.2f}",
            f"{told['requests_per_event']:.2f}",
            f"{told['write_units_per_event']:.2f}",
            f"{told['read_units_per_event']:.2f}",
        )
        for name, told in measured.items()
    ]
    head = ("", "acknowledged", "of these lost", "conflicts an event", "requests", "WCU", "RCU")
    return _table(head, rows)


def _compression(measured: Mapping[str, Any]) -> str:
    rows = [
        (
            size,
            codec,
            f"{exact['write_units']:.2f}",
            f"{exact['read_units']:.2f}",
            _ratio(told["append"]["candidates"][codec]),
            _ratio(told["load"]["candidates"][codec]),
        )
        for size, told in measured.items()
        for codec, exact in told["exact"].items()
    ]
    head = ("event", "codec", "WCU an append", "RCU of an event, loaded", "CPU of an append", "CPU of a load")
    return _table(head, rows)


def _publish(told: Mapping[str, Any]) -> str:
    rows = [
        (name, f"{calls:,}", _ratio(told["candidates"][name]))
        for name, calls in told["put_events_calls"].items()
    ]
    return _table(("", f"PutEvents calls for {told['records']:,} records", "CPU a record to the floor"), rows)


def _cold(measured: Mapping[str, Any]) -> str:
    rows = [
        (function, told["base"], _ratio(told["candidates"][function])) for function, told in measured.items()
    ]
    return _table(("function", "to importing", "CPU"), rows)


def _memory(told: Mapping[str, Any]) -> str:
    counts = sorted(int(count) for count in told if count != "ratio")
    rows = [(f"{count:,} events", f"{told[str(count)]['peak_bytes'] / 2**20:,.0f} MB") for count in counts]
    return _table(("read all of", "peak memory of the process"), [*rows, ("ratio", f"{told['ratio']:.2f}")])


def _probes(measured: Mapping[str, Any]) -> str:
    return "\n\n".join(_probe(measured, probe) for probe in _PROBES)


def _probe(measured: Mapping[str, Any], probe: str) -> str:
    def rows() -> Iterator[tuple[str, str, str]]:
        for name, seen in measured.items():
            told = seen[probe]
            right = {True: "yes", False: "**no**", None: "not offered"}[told["right"]]
            yield name, right, " ".join(told["evidence"].split())

    return f"**{_PROBES[probe][0].upper()}{_PROBES[probe][1:]}**\n\n{_table(('', 'right', 'seen'), rows())}"
