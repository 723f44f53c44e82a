"""`python -m bench`: run the benchmark and write bench/results.json, docs/benchmarks.md and its plots.

--quick           fewer rounds and events: a first look
--tiny            so small that it tells nothing but that all of it runs; writes no report
--only NAME ...   some of the measures; the others are taken from the results that are there
--report          no measures, only the report from the results that are there
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

from bench.candidates import Opens
from bench.environment import environment, run_of
from bench.floor import Floor, open_floor
from bench.meter import metered
from bench.ours import open_ours
from bench.peers.paths import open_peers
from bench.probes import probes
from bench.report import write_report
from bench.sizes import PUBLISHED, QUICK, TINY, Scale
from bench.workloads.append_cpu import append_cpu
from bench.workloads.appends import exact_appends
from bench.workloads.compression import compression
from bench.workloads.contended import contended_appends
from bench.workloads.loads import loads
from bench.workloads.processes import cold_imports, memory
from bench.workloads.publish import publish
from bench.workloads.read_all import exact_read_all, merge_share, read_all_cpu, throughput
from bench.workloads.speed import speed
from tests.dynamodb_local import dynamodb_local

RESULTS: Final = Path(__file__).parent / "results.json"
ALONE: Final[tuple[Opens, ...]] = (open_ours, open_floor)
"""What needs no peers."""


def measures(
    endpoint: str, python: Sequence[Opens], node: Sequence[Opens], scale: Scale, stack: ExitStack
) -> dict[str, Callable[[], Any]]:
    """Name all measures, each to be called once; those that count go through a proxy that the stack ends."""
    meter = stack.enter_context(metered(endpoint))
    everyone = (*python, *node)
    peers = [open_ for open_ in everyone if open_ not in ALONE]
    return {
        "appends": lambda: exact_appends(everyone, meter),
        "loads": lambda: loads(peers, meter, scale),
        "exact_read_all": lambda: exact_read_all(meter, scale),
        "probes": lambda: probes(everyone, meter, scale),
        "append_cpu": lambda: append_cpu(python, endpoint, scale, base=Floor.name),
        "read_all_cpu": lambda: read_all_cpu(scale),
        "throughput": lambda: throughput(scale),
        "merge_share": lambda: merge_share(scale),
        "publish": lambda: publish(scale),
        "cold_imports": lambda: cold_imports(scale),
        "memory": lambda: memory(scale),
        "contended": lambda: contended_appends(everyone, meter, scale),
        "compression": lambda: compression(meter, scale),
        "speed": lambda: speed(python, endpoint, scale, base=Floor.name),
    }


def run(
    scale: Scale, *, python: Sequence[Opens], node: Sequence[Opens], only: Sequence[str] = ()
) -> Iterator[tuple[str, Any]]:
    """Run measures on a DynamoDB Local of their own; yields what each has seen."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        endpoint = stack.enter_context(dynamodb_local(Path(folder) / "dynamodb.log", for_long=True))
        works = measures(endpoint, python, node, scale, stack)
        unknown = sorted(set(only) - works.keys())
        if unknown:
            raise SystemExit(f"There's no measure {', '.join(unknown)}; there are {', '.join(works)}.")
        for name in only or works:
            began_s = time.monotonic()
            print(f"  {name} ...", end="", flush=True, file=sys.stderr)
            yield name, works[name]()
            print(f" {time.monotonic() - began_s:.0f} s", file=sys.stderr)


def main() -> None:
    """Read the arguments and do what they say."""
    parser = argparse.ArgumentParser(
        prog="python -m bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME")
    parser.add_argument("--report", action="store_true")
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    results: dict[str, Any] = json.loads(arguments.out.read_text()) if arguments.out.exists() else {}
    if not arguments.report:
        python, node = open_peers()
        scale = TINY if arguments.tiny else QUICK if arguments.quick else PUBLISHED
        began_s = time.monotonic()
        for name, told in run(scale, python=(*ALONE, *python), node=node, only=arguments.only):
            # After each one, so that a run that's broken off has lost nothing but its last measure.
            runs = results.get("runs", {}) | {
                name: run_of(time.monotonic() - began_s, quick=scale is not PUBLISHED)
            }
            results |= {name: told, "runs": runs, "environment": environment()}
            arguments.out.write_text(json.dumps(results, indent=1) + "\n")
            began_s = time.monotonic()
    if not arguments.tiny:
        write_report(results)


if __name__ == "__main__":
    main()
