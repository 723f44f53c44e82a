"""The plots of docs/scale.md, as small SVG files that don't change unless the numbers do."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import matplotlib as mpl

mpl.use("svg")

from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.hot_shards.results import CHANCE, PAGE_EVENTS
from eventstore.limits import SHARD_UTILISATION_PERCENT

_STYLE: Final[dict[Any, Any]] = {
    "svg.hashsalt": "scale",
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.3,
    "legend.frameon": False,
    "figure.constrained_layout.use": True,
}
_COLOURS: Final = ("#b33", "#d80", "#37a", "#284")
_FLOOR: Final = 1e-6
"""Where a share of nothing stands on a logarithmic axis."""


def draw(results: dict[str, Any], *, folder: Path) -> None:
    """Write throttled.svg, hottest.svg, headroom.svg, ladder.svg and readers.svg into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    with plt.rc_context(_STYLE):
        for name, figure in (
            ("throttled", _throttled(results)),
            ("hottest", _hottest(results)),
            ("headroom", _headroom(results)),
            ("ladder", _ladder(results)),
            ("readers", _readers(results)),
        ):
            for axis in figure.axes:
                axis.minorticks_off()
            figure.savefig(folder / f"{name}.svg", metadata={"Date": None})
            plt.close(figure)


def _throttled(results: dict[str, Any]) -> Figure:
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.4), sharey=True)
    for axis, burst_s, title in zip(
        axes,
        (0, 300),
        ("without burst capacity", f"with it, the first {results['seconds']} s"),
        strict=True,
    ):
        for (scheme, rows), colour in zip(results["throttled"].items(), _COLOURS, strict=True):
            some = [row for row in rows if row["burst_s"] == burst_s]
            axis.plot(
                [row["events_per_second"] for row in some],
                [100 * max(row["throttled_share"], _FLOOR) for row in some],
                marker="o",
                markersize=3,
                color=colour,
                label=scheme,
            )
        axis.set(xscale="log", yscale="log", xlabel="events a second, 1 KB each", title=title)
    axes[0].set_ylabel("appends throttled, % (0.0001: none)")
    axes[1].legend(loc="center left", fontsize=8)
    return figure


def _hottest(results: dict[str, Any]) -> Figure:
    figure, axis = plt.subplots(figsize=(6, 3.4))
    rows = results["hottest"]
    shards = [row["shards"] for row in rows]
    for kind, colour, label in (
        ("random", _COLOURS[2], "random, in a second"),
        ("stream", _COLOURS[1], "by stream, all the time"),
    ):
        axis.plot(
            shards, [100 * row[kind] for row in rows], marker="o", markersize=3, color=colour, label=label
        )
        low, high = ([100 * row[f"{kind}_{end}"] for row in rows] for end in ("low", "high"))
        axis.fill_between(shards, low, high, color=colour, alpha=0.2, linewidth=0)
    axis.axhline(100, color="#888", linestyle="--", linewidth=1)
    axis.axhline(SHARD_UTILISATION_PERCENT, color="#888", linewidth=1)
    axis.set(
        xscale="log",
        yscale="log",
        xlabel="write shards, each 80 % full on average",
        ylabel="load of the hottest shard, %",
    )
    axis.yaxis.set_major_formatter("{x:,.0f}")
    axis.legend(title="median, 5-95 %")
    return figure


def _headroom(results: dict[str, Any]) -> Figure:
    figure, axis = plt.subplots(figsize=(6, 3.4))
    for item_kb, colour in zip((1, 2, 4, 10), reversed(_COLOURS), strict=True):
        rows = [row for row in results["headroom"] if row["item_kb"] == item_kb]
        axis.plot(
            [row["shards"] for row in rows],
            [row["utilisation_percent"] for row in rows],
            marker="o",
            markersize=3,
            color=colour,
            label=f"{item_kb} KB",
        )
    axis.axhline(SHARD_UTILISATION_PERCENT, color="#888", linewidth=1)
    axis.set(
        xscale="log",
        ylim=(40, 100),
        xlabel="write shards",
        ylabel=f"mean load, % of the limit,\nthat throttles 1 second in {1 / CHANCE:,.0f}",
    )
    axis.legend(title="item", ncols=2)
    return figure


def _ladder(results: dict[str, Any]) -> Figure:
    figure, axis = plt.subplots(figsize=(9, 4.6))
    rows = [row for row in results["ladder"] if row["events_per_second"] <= 2_000_000][::-1]
    rates = [row["events_per_second"] for row in rows]
    axis.barh([row["label"] for row in rows], rates, height=0.6, color=_COLOURS[2])
    for place, rate in enumerate(rates):
        axis.text(rate * 1.15, place, f"{rate:,.0f}", va="center", fontsize=8)
    axis.axvline(4_000, color=_COLOURS[0], linestyle="--", linewidth=1)
    axis.set(xscale="log", xlim=(100, 6_000_000), xlabel="events a second, 1 KB each, at which it's met")
    axis.grid(visible=False, axis="y")
    return figure


def _readers(results: dict[str, Any]) -> Figure:
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.2))
    rows = results["readers"]
    shards = [row["shards"] for row in rows]

    def line(axis: Axes, key: str, colour: str, label: str) -> None:
        axis.plot(shards, [row[key] for row in rows], marker="o", markersize=3, color=colour, label=label)

    line(axes[0], "events_read", _COLOURS[1], "events read, at most")
    line(axes[0], "queries", _COLOURS[2], "queries")
    line(axes[0], "read_units", _COLOURS[3], "read units")
    axes[0].axhline(PAGE_EVENTS, color="#888", linewidth=1)
    axes[0].set(xscale="log", yscale="log", xlabel="read shards", title=f"a page of {PAGE_EVENTS} events")
    axes[0].legend()
    line(axes[1], "replay_events_per_second", _COLOURS[2], "")
    axes[1].set(
        xscale="log", yscale="log", xlabel="read shards", title="replay, events of 1 KB a second, at most"
    )
    for axis in axes:
        axis.yaxis.set_major_formatter("{x:,.0f}")
    return figure
