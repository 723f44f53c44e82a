"""A plan as text for people, and as values for programs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from typing import Any

from eventstore.plan import Plan, prices, quotas
from eventstore.plan.bottlenecks import Limit
from eventstore.plan.cost import LEFT_OUT
from eventstore.plan.figures import Figure, n
from eventstore.plan.parameters import parameters_of
from eventstore.plan.workload import Assumptions


def as_text(plan: Plan, *, region: str) -> str:
    """Write a plan as a page of text."""
    return "\n".join(_lines(plan, region))


def as_values(plan: Plan, *, region: str) -> dict[str, Any]:
    """Write a plan as what JSON takes; names are stable, units stand beside the numbers."""
    peak = plan.workload.events_per_second
    return {
        "region": region,
        "workload": asdict(plan.workload),
        "assumed": asdict(plan.assumed),
        "quotas": {"asOf": quotas.AS_OF, **asdict(plan.quotas)},
        "prices": {"asOf": prices.AS_OF, **asdict(plan.prices)},
        "capacity": {figure.name: _values(figure) for figure in plan.capacity.figures()},
        "bottlenecks": [{**asdict(limit), "used_percent": limit.used_percent(peak)} for limit in plan.limits],
        "cost": {figure.name: _values(figure) for figure in plan.cost},
    }


def in_short(plan: Plan) -> list[str]:
    """Write what the CDK tells at synth: a line for each thing to know."""
    capacity, peak = plan.capacity, plan.workload.events_per_second
    met = plan.exceeded or plan.limits[:1]
    units = ", ".join(
        f"{what} {n(figure.value)}"
        for what, figure in (
            ("table", capacity.table_write_units),
            ("index", capacity.index_write_units),
            ("log", capacity.log_write_units),
        )
    )
    concurrency = ", ".join(
        f"{who} {n(needed.value)} of {n(at_most.value)}"
        for who, needed, at_most in (
            ("publisher", capacity.publisher_concurrency, capacity.publisher_concurrency_max),
            ("log writer", capacity.log_writer_concurrency, capacity.log_writer_concurrency_max),
        )
    )
    command = (
        f"python -m eventstore.plan --events-per-second {peak:.15g} --item-kb {plan.workload.item_kb:.15g}"
    )
    return [
        f"Plan for {n(peak)} events/s of {n(plan.workload.item_kb)} KB, in a new account in us-east-1",
        f"  write shards: {_short(capacity.write_shards)}; at least {_short(capacity.least_shards)}",
        f"  write units a second: {units}",
        f"  stream functions, calls at a time, needed of what there can be: {concurrency}",
        *(
            f"  {'gives way' if plan.exceeded else 'first limit,'} at {n(round(limit.events_per_second))} "
            f"events/s: {limit.label} ({limit.formula}) -> {limit.remedy}"
            for limit in met
        ),
        f"  all figures: {command}; docs/scale.md",
    ]


def names() -> str:
    """List all numbers that can be changed by name, with their values, units and sources."""
    lines: list[str] = []
    for option, parameters, as_of in (
        ("--quota", quotas.Quotas(), f"us-east-1, as of {quotas.AS_OF}"),
        ("--price", prices.Prices(), f"US dollars, us-east-1, as of {prices.AS_OF}"),
        ("--assume", Assumptions(), "not measured on AWS: put in your own"),
    ):
        lines += ["", f"{option} NAME=VALUE ({as_of})"]
        for name, meaning in parameters_of(parameters):
            value = f"{getattr(parameters, name):,.15g} {meaning.unit}"
            source = f" [{meaning.source}]" if meaning.source else ""
            lines.append(f"  {name:<26} {value:<28} {meaning.about}{source}")
    return "\n".join(lines[1:])


def _lines(plan: Plan, region: str) -> Iterator[str]:
    peak = plan.workload.events_per_second
    yield f"Plan for {n(peak)} events/s of {n(plan.workload.item_kb)} KB at the peak, in {region}"
    yield ""
    yield "Capacity at the peak"
    yield from _table(
        (figure.label, n(figure.value), figure.unit, figure.formula) for figure in plan.capacity.figures()
    )
    yield ""
    yield f"What gives way first (limits as of {quotas.AS_OF}; a new account's, unless changed with --quota)"
    yield from _ladder(plan.limits, peak)
    yield ""
    yield f"A month, in US dollars (us-east-1, as of {prices.AS_OF}, unless changed with --price)"
    yield from _table((figure.label, f"{figure.value:,.2f}", "", figure.formula) for figure in plan.cost)
    yield f"  Left out: {LEFT_OUT}."
    if plan.workload.peak_factor == 1:
        yield "  As if the peak lasted all month: give --peak-factor for the peak divided by the average."


def _ladder(limits: Sequence[Limit], peak: float) -> Iterator[str]:
    for place, limit in enumerate(limits, start=1):
        rate, used = n(round(limit.events_per_second)), limit.used_percent(peak)
        mark = "!" if used > 100 else " "
        yield f" {mark}{place:>2}. at {rate:>10} events/s ({n(round(used))} % used)  {limit.label}"
        yield f"      {limit.value:,g} {limit.unit}: {limit.formula}  [{limit.source}]"
        yield f"      -> {limit.remedy}"
    if any(limit.used_percent(peak) > 100 for limit in limits):
        yield " ! is met below the peak."


def _table(rows: Iterable[tuple[str, str, str, str]]) -> Iterator[str]:
    table = list(rows)
    label, value, unit = (max(len(row[column]) for row in table) for column in range(3))
    for row in table:
        yield f"  {row[0]:<{label}}  {row[1]:>{value}} {row[2]:<{unit}}  = {row[3]}"


def _short(figure: Figure) -> str:
    return f"{n(figure.value)} = {figure.formula}"


def _values(figure: Figure) -> dict[str, Any]:
    return {
        "label": figure.label,
        "value": figure.value,
        "unit": figure.unit,
        "formula": figure.formula,
    }
