"""How late subscribers are, and a replay of real events, on the app as `cdk deploy` deploys it.

Starts a local cloud of its own, deploys the app, measures, checks that nothing is missing, out of order or
with the wrong subscriber (exit code 1), prints the figures and writes them to `bench/live.json`.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Final

from bench.checks import Delays
from bench.latency import Load, LoadFigures, measure_latency
from bench.readers import ReaderDied
from bench.replaying import ReplayFailed, ReplayFigures, measure_replay
from localcloud.api import ApiError
from localcloud.cloud import local_cloud
from localcloud.deploy import deploy
from localcloud.events_file import BadFile
from localcloud.processes import FOLDER, ROOT, LocalCloudError
from localcloud.screen import phase, say, say_error
from localcloud.state import only_one

EVENTS: Final = ROOT.parent / "shared" / "data" / "permits.ndjson"
FIGURES: Final = ROOT / "bench" / "live.json"
CAVEAT: Final = (
    "A local cloud's times on one machine: its stream, functions and queues are ministack's, in one process. "
    "They say little about AWS; what they show is what a subscriber adds to the way to the log, and that "
    "nothing is lost."
)


_HEADINGS: Final = " ".join(f"{heading:>6}" for heading in ("p50", "p90", "p99", "max"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """All that was measured."""

    caveat: str
    environment: dict[str, str | int | float]
    latency: dict[str, LoadFigures]
    replay: ReplayFigures

    def faults(self) -> list[str]:
        """Return what must not be, a line each."""
        found = [
            f"{load}: {name}: {fault}"
            for load, figures in self.latency.items()
            for name, reader in figures.readers.items()
            for fault in reader.checked.faults
        ]
        found += [f"replay: its queue: {fault}" for fault in self.replay.checked.faults]
        return found + [f"replay: another subscriber: {fault}" for fault in self.replay.others.faults]


def main(arguments: list[str] | None = None) -> int:
    """Measure, tell, write; return the exit code."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if not options.events.is_file():
        parser.error(
            f"{options.events} is not a file. Name one of events, one JSON object a line with streamId, "
            "eventName and payload: make bench-live FILE=events.ndjson, or --events events.ndjson"
        )
    try:
        figures = _measure(options)
    except KeyboardInterrupt:
        say_error("\nInterrupted.")
        return 130
    except (ApiError, BadFile, LocalCloudError, ReaderDied, ReplayFailed) as error:
        say_error(str(error))
        return 1
    for line in _report(figures):
        say(line)
    options.out.write_text(json.dumps(asdict(figures), indent=2) + "\n")
    say(f"\nWritten to {options.out}")
    faults = figures.faults()
    for fault in faults:
        say_error(fault)
    return 1 if faults else 0


def _measure(options: argparse.Namespace) -> Figures:
    loads = (
        Load.sparse(events=max(1, options.count // 10), per_second=1),
        Load.steady(events=options.count, per_second=20),
        Load.bursts(bursts=max(1, options.count // 50), events=50, every_s=2),
    )
    environment = _environment()
    if _load_average() > (os.cpu_count() or 1):
        say("This machine is busy with something else: all times will be too long.", style="yellow")
    folder = FOLDER / "bench"
    with only_one(folder), local_cloud(folder=folder) as cloud:
        with phase("Deploying the app to a local cloud", "The app is deployed") as told:
            app = deploy(cloud, report=told)
        with phase("Measuring how late subscribers are", "Measured how late subscribers are") as told:
            latency = measure_latency(cloud, app, loads, report=told)
        replay = measure_replay(cloud, app, options.events, report=say)
    environment["load_average_after"] = _load_average()
    return Figures(caveat=CAVEAT, environment=environment, latency=latency, replay=replay)


def _environment() -> dict[str, str | int | float]:
    return {
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": f"{platform.system()} {platform.machine()}",
        "cpus": os.cpu_count() or 0,
        "load_average_before": _load_average(),
        "python": platform.python_version(),
        "ministack": version("ministack"),
    }


def _load_average() -> float:
    return round(os.getloadavg()[0], 2)


def _report(figures: Figures) -> Iterator[str]:
    for load in figures.latency.values():
        yield f"\n{load.what}; ms from the event's Timestamp, and from the append's answer"
        yield f"   {'':30} {_HEADINGS}      {_HEADINGS}"
        yield f"   {'in the log (LogLag)':30} {_columns(load.logged)}"
        yield f"   {'published (PublicationLag)':30} {_columns(load.published)}"
        for name, reader in load.readers.items():
            yield f"   {name:30} {_columns(reader.from_timestamp)}      {_columns(reader.from_answer)}"
        yield f"   {'(from request to answer)':30} {_columns(load.answer)}"
    replay = figures.replay
    yield (
        f"\nReplay of {replay.events:,} events in {replay.streams:,} streams into one FIFO queue, while "
        f"{replay.created_streams} streams of 3 events are created, {replay.created_while_running} of them "
        "since its request"
    )
    yield (
        f"   {replay.messages:,} messages, {replay.sent:,} sent, {replay.checked.repeats:,} repeats; "
        f"{replay.duration_s:.1f} s until it completed, {replay.events_a_second:.0f} a second; the last "
        f"received after {replay.delivered_s:.1f} s"
    )
    yield f"   another subscriber: {replay.others_messages:,} messages, {replay.others.repeats:,} repeats"
    yield f"   {len(figures.faults())} faults: missing, out of order, or with the wrong subscriber"
    where = ", ".join(f"{name} {value}" for name, value in figures.environment.items())
    yield f"\n{where}\n{figures.caveat}"


def _columns(delays: Delays) -> str:
    values = (delays.p50_ms, delays.p90_ms, delays.p99_ms, delays.max_ms)
    return " ".join(f"{value:6.0f}" for value in values)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench.live",
        description=__doc__,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--events", type=Path, default=EVENTS, help="the file to replay")
    parser.add_argument(
        "--count", type=int, default=1_000, help="events of a load; of the sparse one a tenth"
    )
    parser.add_argument("--out", type=Path, default=FIGURES, help="where the figures go")
    return parser


if __name__ == "__main__":
    sys.exit(main())
