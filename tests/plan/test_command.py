"""`python -m eventstore.plan`: what it prints, and what it refuses."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from eventstore.plan.__main__ import main

ROOT = Path(__file__).parents[2]
ISSUE = ("--events-per-second", "5000", "--item-kb", "1.2", "--reads", "2000", "--peak-factor", "4")


def test_every_figure_is_printed_with_its_formula(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(ISSUE) == 0
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert "Write shards, at least 10 shards = ceil(5,000 x ceil(1.2) / 1,000)" in lines
    assert "Write shards 13 shards = ceil(5,000 x ceil(1.2) / (1,000 x 80 %))" in lines
    assert "Publisher, needed at a time 11 calls = ceil(5,000 / 100 x 215 ms / 1,000)" in lines
    assert "EventBridge 3,285.00 = 3,285,000,000 events x ceil(1.7 KB / 64) x $1 / 1,000,000" in lines
    first, second = (line for line in lines if line.startswith(("! 1.", "! 2.")))
    assert first == "! 1. at 400 events/s (1,250 % used) Subscription: its handlers"
    assert second == "! 2. at 2,000 events/s (250 % used) Table: warm throughput"


def test_page_of_costs_shows_real_lines(capsys: pytest.CaptureFixture[str]) -> None:
    command, shown = re.findall(
        r"```sh\npython -m eventstore\.plan (.+)\n```\n```\n((?:.+\n)+?)```",
        (ROOT / "docs" / "costs.md").read_text("utf-8"),
    )[0]
    assert main(command.split()) == 0
    printed = capsys.readouterr().out.splitlines()
    assert [line for line in shown.splitlines() if line not in printed] == []
    assert f"({len(shown.splitlines())} of its {len(printed)} lines.)" in (
        ROOT / "docs" / "costs.md"
    ).read_text("utf-8")


def test_json_holds_the_same_figures_and_the_inputs(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*ISSUE, "--json", "--price", "bus_events=2", "--quota", "lambda_concurrency=5000"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["capacity"]["write_shards"] == {
        "label": "Write shards",
        "value": 13,
        "unit": "shards",
        "formula": "ceil(5,000 x ceil(1.2) / (1,000 x 80 %))",
    }
    assert found["bottlenecks"][1]["name"] == "table_warm_throughput"
    assert found["bottlenecks"][1]["used_percent"] == pytest.approx(250)
    assert found["cost"]["bus"]["value"] == pytest.approx(6_570)
    assert found["prices"]["bus_events"] == 2
    assert found["quotas"]["lambda_concurrency"] == 5_000
    assert found["workload"]["events_per_second"] == 5_000


def test_it_runs_as_a_module_with_the_standard_library_alone() -> None:
    code = (
        "import runpy, sys; sys.argv = ['plan', '--events-per-second', '10'];"
        "sys.modules |= dict.fromkeys(('boto3', 'botocore', 'msgspec', 'rich', 'aws_cdk'));"
        "runpy.run_module('eventstore.plan', run_name='__main__')"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("Plan for 10 events/s of 1 KB at the peak, in us-east-1\n")


def test_names_lists_what_can_be_changed_with_unit_and_source(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--names"]) == 0
    out = capsys.readouterr().out
    assert "put_events_per_second      10,000 calls/s" in out
    assert "[EventBridge User Guide, 'Amazon EventBridge quotas']" in out
    assert "lambda_gb_seconds          13.3334 per million GB-seconds" in out
    assert "put_events_ms              20 ms" in out


def test_a_file_of_prices_changes_those_that_it_names(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "prices.json"
    file.write_text('{"write_units": 0.75, "storage": 0.3}')
    assert main([*ISSUE, "--json", "--prices", str(file), "--price", "storage=0.4"]) == 0
    found = json.loads(capsys.readouterr().out)["prices"]
    assert (found["write_units"], found["storage"], found["read_units"]) == (0.75, 0.4, 0.125)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "--events-per-second is missing"),
        (["--events-per-second", "many"], "argument --events-per-second: invalid float value: 'many'"),
        (["--events-per-second", "0"], "--events-per-second: is 0.0; it has to be a number from 0.001"),
        (["--events-per-second", "1", "--item-kb", "401"], "--item-kb: is 401.0; .* from 0.001 to 400"),
        (["--events-per-second", "1", "--reads", "nan"], "--reads: is nan"),
        (["--events-per-second", "1", "--price", "write_unit=1"], "--price: .* did you mean write_units"),
        (["--events-per-second", "1", "--price", "write_units"], "--price: .* NAME=VALUE"),
        (["--events-per-second", "1", "--price", "write_units=dear"], "--price: 'dear' is not a number"),
        (["--events-per-second", "1", "--price", "write_units=-1"], "write_units: is -1.0"),
        (["--events-per-second", "1", "--quota", "table=1"], "--quota: there is none named 'table'"),
        (["--events-per-second", "1", "--assume", "read_back_ms=-1"], "read_back_ms: is -1.0"),
        (["--events-per-second", "1", "--region", "mars"], "region: is 'mars'"),
        (["--events-per-second", "1", "--prices", "/no/such/file"], "--prices: /no/such/file can't be read"),
        (["--events-per-sec", "1"], "unrecognized arguments: --events-per-sec"),
    ],
)
def test_what_is_wrong_is_told_with_exit_code_2(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    captured = capsys.readouterr()
    assert stopped.value.code == 2
    assert captured.out == ""
    assert re.search(message, captured.err), captured.err


@pytest.mark.parametrize("text", ["[1]", "{", '{"write_units": "1"}', '{"writes": 1}'])
def test_a_file_that_holds_no_prices_is_refused(
    text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "prices.json"
    file.write_text(text)
    with pytest.raises(SystemExit) as stopped:
        main(["--events-per-second", "1", "--prices", str(file)])
    assert stopped.value.code == 2
    assert "error: " in capsys.readouterr().err
