"""docs/benchmarks.md says what bench/results.json says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from bench.report import DOCS, report_text
from bench.targets import at_least, at_most

RESULTS: dict[str, Any] = json.loads((Path(__file__).parents[2] / "bench" / "results.json").read_text())


def test_the_published_report_is_that_of_the_published_results() -> None:
    assert (DOCS / "benchmarks.md").read_text() == report_text(RESULTS)


def test_measure_of_another_boto3_or_machine_is_named_with_it() -> None:
    runs = {name: {**run, "boto3": "1.43.106", "cpu": "A"} for name, run in RESULTS["runs"].items()}
    runs["append_cpu"] |= {"boto3": "1.44.8", "cpu": "B"}

    text = report_text({**RESULTS, "runs": runs})

    assert "\nA (`append_cpu`: B),\n2 cores" in text
    assert "\nboto3 1.43.106 (`append_cpu`: 1.44.8),\n" in text


def test_every_plot_of_the_report_is_there() -> None:
    text = (DOCS / "benchmarks.md").read_text()
    plots = {line.partition("](benchmarks/")[2].rstrip(")") for line in text.splitlines() if line[:2] == "!["}

    assert plots == {path.name for path in (DOCS / "benchmarks").iterdir()}


def test_a_lost_event_is_told() -> None:
    text = report_text(RESULTS)

    for name, told in RESULTS["contended"].items():
        if told["lost"]:
            assert f"| {name} | {told['acknowledged']:g} | **{told['lost']:g}** |" in text


def test_a_target_is_reached_at_its_bound_and_not_beyond() -> None:
    assert at_most("", 1.1, 1.1).reached
    assert not at_most("", 1.101, 1.1).reached
    assert at_least("", 4.0, 4.0).reached
    assert not at_least("", 3.99, 4.0).reached
