"""The plots of docs/benchmarks.md: ratios and exact counts, never bare times."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl

mpl.use("svg")
from matplotlib import pyplot as plt

from bench.ours import OURS, WITH_MSGSPEC
from bench.raw import RAW_NAME
from bench.targets import speedups

_COLOURS: Final = {
    OURS: "#0b6e4f",
    WITH_MSGSPEC: "#57b894",
    "floor (bare boto3)": "#8d99ae",
    "Table.query, paginated": "#b08968",
    RAW_NAME: "#d9d9d9",
    "eventsourcing-dynamodb": "#c1666b",
    "aett-dynamodb": "#d4a017",
    "castore": "#4a6fa5",
    "event-store-adapter-js": "#7d5ba6",
}
_STYLE: Final[Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "eventstore",
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "figure.facecolor": "white",
}

Results = Mapping[str, Any]


def write_plots(results: Results, folder: Path) -> None:
    """Write all plots as SVG files, the same bytes for the same results."""
    folder.mkdir(exist_ok=True)
    with mpl.rc_context(_STYLE):
        _costs(results, folder / "costs.svg")
        _reads(results["loads"]["cpu"], folder / "load-cpu.svg", "Loading a stream")
        _reads(results["read_all_cpu"], folder / "read-all-cpu.svg", "Reading all events")
        _throughput(results, folder / "throughput.svg")
        _contended(results["contended"], folder / "contended.svg")


def _costs(results: Results, path: Path) -> None:
    workloads = {"append-1-head": "append 1", "append-10-head": "append 10"}
    series = {
        name: [
            (told[workload]["write_units"] + told[workload]["index_write_units"]) / told[workload]["events"]
            for workload in workloads
        ]
        for name, told in results["appends"].items()
    }
    _bars(series, list(workloads.values()), "write units an event,\nindex included", "Appending 1 KB", path)


def _reads(measured: Results, path: Path, title: str) -> None:
    names = next(iter(measured.values()))["candidates"]
    series = {
        name: [1 / told["candidates"][name]["ratio"] for told in measured.values()]
        for name in names
        if name != RAW_NAME
    }
    labels = [
        f"{int(label[5:]):,} events" if label.startswith("load-") else label.replace(", ", "\n")
        for label in measured
    ]
    _bars(series, labels, "events per CPU second\n(Table.query = 1)", title, path)


def _bars(series: Mapping[str, list[float]], labels: list[str], unit: str, title: str, path: Path) -> None:
    figure, axes = plt.subplots(figsize=(8, 3.2), layout="constrained")
    width = 0.8 / len(series)
    for number, (name, values) in enumerate(series.items()):
        places = [place + (number - (len(series) - 1) / 2) * width for place in range(len(labels))]
        axes.bar(places, values, width, label=name, color=_COLOURS[name])
    axes.set_xticks(range(len(labels)), labels, fontsize=8 if len(labels) < 5 else 7)
    axes.set_ylabel(unit)
    axes.set_title(title, loc="left")
    axes.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
    _save(figure, path)


def _throughput(results: Results, path: Path) -> None:
    figure, axes = plt.subplots(figsize=(6, 3), layout="constrained")
    for name in results["throughput"]:
        grown = speedups(results, name)
        axes.plot(list(grown), list(grown.values()), marker="o", label=name, color=_COLOURS[name])
    axes.set_xticks(list(speedups(results, OURS)))
    axes.set_xlabel("shards")
    axes.set_ylabel("events a second\n(1 shard = 1)")
    axes.set_ylim(bottom=0)
    axes.set_title("Reading all events, each page 25 ms away", loc="left")
    axes.legend(frameon=False)
    _save(figure, path)


def _contended(measured: Results, path: Path) -> None:
    figure, axes = plt.subplots(figsize=(8, 2.6), layout="constrained")
    names = list(measured)[::-1]
    axes.barh(
        names,
        [measured[name]["requests_per_event"] for name in names],
        color=[_COLOURS[name] for name in names],
    )
    for place, name in enumerate(names):
        lost = measured[name]["lost"]
        told = f" {lost:g} of {measured[name]['acknowledged']:g} acknowledged events lost" if lost else ""
        axes.text(measured[name]["requests_per_event"], place, told, va="center", color="#c1121f")
    axes.set_xlabel("requests for each acknowledged event")
    axes.set_title("8 writers on 20 streams", loc="left")
    _save(figure, path)


def _save(figure: Any, path: Path) -> None:
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
    # matplotlib ends lines with spaces; git would complain.
    path.write_text("\n".join(line.rstrip() for line in path.read_text().splitlines()) + "\n")
