"""`python -m eventstore.plan`: the planner's command line.

Exit codes: 0 planned, 2 an option is wrong or the output can't be written, 130 interrupted, 141 nobody
reads it.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any, Final, NoReturn

from eventstore._command_line import TROUBLE, run_command
from eventstore.errors import InvalidInput
from eventstore.plan import Assumptions, Prices, Workload, plan_for, quotas_of, report
from eventstore.plan.parameters import changed, parameters_of

_DESCRIPTION: Final = (
    "Plan an event store: shards, capacity units, functions at a time, which limit is met first, and what a "
    "month costs. Nothing is asked of AWS. docs/scale.md tells what is a model and what is measured."
)
_EXAMPLE: Final = (
    "example: python -m eventstore.plan --events-per-second 5000 --item-kb 1.2 --reads 2000 --peak-factor 4"
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return the exit code."""
    return run_command(lambda: _run(arguments))


def _run(arguments: Sequence[str] | None) -> int:
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.names:
        print(report.names())
        return 0
    if options.events_per_second is None:
        parser.error("--events-per-second is missing: how many events are appended a second at the peak?")
    try:
        given = {name: getattr(options, name) for name, _ in parameters_of(Workload)}
        plan = plan_for(
            Workload(**{name: value for name, value in given.items() if value is not None}),
            assumed=changed(Assumptions(), _numbers("assume", options.assume), what="--assume"),
            quotas=changed(quotas_of(options.region), _numbers("quota", options.quota), what="--quota"),
            prices=_prices(options.prices, options.price),
        )
    except InvalidInput as error:
        _refuse(parser, error)
    if options.json:
        print(json.dumps(report.as_values(plan, region=options.region), indent=2))
    else:
        print(report.as_text(plan, region=options.region))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m eventstore.plan",
        description=_DESCRIPTION,
        epilog=_EXAMPLE,
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    workload = parser.add_argument_group("the load, and how the store is set")
    defaults = {one.name: one.default for one in fields(Workload)}
    for name, meaning in parameters_of(Workload):
        default = defaults[name]
        shown = "" if default in (None, MISSING) else f" (default {default:g})"
        workload.add_argument(
            _option(name),
            type=float,
            metavar="N",
            help=f"{meaning.about}, {meaning.unit}{shown}".replace("%", "%%"),
        )
    inputs = parser.add_argument_group("limits, prices, assumptions")
    inputs.add_argument(
        "--region", default="us-east-1", help="whose default quotas of EventBridge and API Gateway hold"
    )
    inputs.add_argument("--prices", type=Path, metavar="FILE", help='JSON: {"name": price, ...}')
    for option, what in (("--price", "a price"), ("--quota", "a limit"), ("--assume", "a duration or size")):
        inputs.add_argument(
            option, action="append", default=[], metavar="NAME=VALUE", help=f"change {what}; may be repeated"
        )
    inputs.add_argument("--names", action="store_true", help="list those names, values, units and sources")
    parser.add_argument("--json", action="store_true", help="print JSON for programs")
    return parser


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _numbers(what: str, changes: Sequence[str]) -> dict[str, float]:
    numbers = {}
    for change in changes:
        name, equals, value = change.partition("=")
        try:
            numbers[name] = float(value)
        except ValueError as error:
            reason = f"is {change!r}; it has to be NAME=VALUE" if not equals else f"{value!r} is not a number"
            raise InvalidInput(f"--{what}", reason) from error
    return numbers


def _prices(file: Path | None, changes: Sequence[str]) -> Prices:
    of_file: Any = {}
    if file is not None:
        try:
            of_file = json.loads(file.read_text("utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            raise InvalidInput("--prices", f"{file} can't be read: {error}") from error
        if not isinstance(of_file, dict):
            raise InvalidInput("--prices", f'{file} is no JSON object {{"name": price, ...}}')
    return changed(changed(Prices(), of_file, what="--prices"), _numbers("price", changes), what="--price")


def _refuse(parser: argparse.ArgumentParser, error: InvalidInput) -> NoReturn:
    names = {name for name, _ in parameters_of(Workload)}
    where = _option(error.field) if error.field in names else error.field
    parser.exit(TROUBLE, f"{parser.prog}: error: {where}: {error.reason}\n")


if __name__ == "__main__":
    sys.exit(main())
