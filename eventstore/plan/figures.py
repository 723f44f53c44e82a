"""A figure of a plan: a number with its unit, and the formula that it came from, numbers put in."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Figure:
    """One number of a plan."""

    name: str
    """What programs call it: stable, snake_case."""
    label: str
    value: float
    unit: str
    formula: str
    """How it came about, with the numbers put in."""


def n(value: float) -> str:
    """Write a number as people read it: 12,345 or 0.0984, never more digits than it deserves."""
    if value == int(value) and abs(value) < 1e15:
        return f"{int(value):,}"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"
