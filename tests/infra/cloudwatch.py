"""CloudWatch's evaluation of an alarm, as its documentation has it: metric math, late and missing data.

An alarm is evaluated once a minute on what has arrived until then. It gets its last `EvaluationPeriods`
periods and some more (the evaluation range); real data points of the range go before any treatment of what
is missing. Alarms on metrics of AWS/DynamoDB ignore missing data whatever they ask for.
"""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Literal

Series = list[float | None]
State = Literal["OK", "ALARM", "INSUFFICIENT_DATA"]

_STATISTICS: dict[str, Callable[[Sequence[float]], float]] = {
    "Sum": sum,
    "Maximum": max,
    "Minimum": min,
    "Average": lambda values: sum(values) / len(values),
}
_BREACHES: dict[str, Callable[[float, float], bool]] = {
    "GreaterThanOrEqualToThreshold": operator.ge,
    "GreaterThanThreshold": operator.gt,
    "LessThanThreshold": operator.lt,
    "LessThanOrEqualToThreshold": operator.le,
}


@dataclass(frozen=True, slots=True)
class History:
    """What a metric had minute by minute; each value arrives `late_min` minutes after its minute."""

    values: Mapping[int, float] = field(default_factory=dict)
    late_min: int = 0

    def seen(self, first_min: int, end_min: int, *, now_min: int, statistic: str) -> float | None:
        """The statistic of what has arrived of these minutes."""
        arrived_min = min(end_min, now_min - self.late_min)
        if not self.values:
            return None
        found = [self.values[minute] for minute in range(first_min, arrived_min) if minute in self.values]
        return _STATISTICS[statistic](found) if found else None


_NOTHING = History()


@dataclass(frozen=True, slots=True)
class Clockwork:
    """What isn't documented to the last: whether periods slide with the clock, how wide the range is."""

    slides: bool
    more_periods: int


CLOCKWORKS = [Clockwork(slides, more) for slides in (True, False) for more in (0, 2)]


def states(
    alarm: Mapping[str, Any], histories: Mapping[str, History], *, minutes: int, clockwork: Clockwork
) -> Iterator[State]:
    """The state of an alarm in each of so many minutes; a metric's history is found by its id or name."""
    state: State = "INSUFFICIENT_DATA"
    treatment = alarm["TreatMissingData"]
    stats = stats_of(alarm)
    if any(stat["Metric"]["Namespace"] == "AWS/DynamoDB" for stat in stats.values()):
        treatment = "ignore"
    for now_min in range(1, minutes + 1):
        state = next_state(
            _values(alarm, stats, histories, now_min=now_min, clockwork=clockwork),
            alarm["EvaluationPeriods"],
            alarm.get("DatapointsToAlarm", alarm["EvaluationPeriods"]),
            breaches=lambda value: _BREACHES[alarm["ComparisonOperator"]](value, alarm["Threshold"]),
            treatment=treatment,
            state=state,
        )
        yield state


def stats_of(alarm: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """What an alarm reads: the metrics of its expression by their ids, or its one metric by its name."""
    if "Metrics" in alarm:
        return {of["Id"]: of["MetricStat"] for of in alarm["Metrics"] if "MetricStat" in of}
    metric = {"Namespace": alarm["Namespace"], "MetricName": alarm["MetricName"]}
    return {alarm["MetricName"]: {"Metric": metric, "Period": alarm["Period"], "Stat": alarm["Statistic"]}}


def next_state(
    values: Series,
    periods: int,
    to_alarm: int,
    *,
    breaches: Callable[[float], bool],
    treatment: str,
    state: State,
) -> State:
    """The state after an evaluation range, its oldest value first."""
    real = [breaches(value) for value in reversed(values) if value is not None]
    if all(value is not None for value in values[-periods:]) or len(real) >= periods:
        return "ALARM" if sum(real[:periods]) >= to_alarm else "OK"
    missing = periods - len(real)
    if sum(real) + (missing if treatment == "breaching" else 0) >= to_alarm:
        return "ALARM"
    if treatment in {"breaching", "notBreaching"} or not all(real):
        return "OK"
    if treatment == "ignore":
        return state
    if not real:
        return "INSUFFICIENT_DATA"
    oldest = next(age for age, value in enumerate(values) if value is not None)
    return "ALARM" if len(values) - oldest >= to_alarm else "OK"


def _values(
    alarm: Mapping[str, Any],
    stats: Mapping[str, Any],
    histories: Mapping[str, History],
    *,
    now_min: int,
    clockwork: Clockwork,
) -> Series:
    series: dict[str, Series] = {}
    for name, stat in stats.items():
        period_min, rest = divmod(stat["Period"], 60)
        assert rest == 0
        end_min = now_min if clockwork.slides else now_min - now_min % period_min
        history = histories.get(name, _NOTHING)
        series[name] = [
            history.seen(
                end_min - (back + 1) * period_min,
                end_min - back * period_min,
                now_min=now_min,
                statistic=stat["Stat"],
            )
            for back in reversed(range(alarm["EvaluationPeriods"] + clockwork.more_periods))
        ]
    if "Metrics" not in alarm:
        (found,) = series.values()
        return found
    (expression,) = (of["Expression"] for of in alarm["Metrics"] if "Expression" in of)
    periods_s = {stat["Period"] for stat in stats.values()}
    assert len(periods_s) == 1, "an alarm's metrics have one period"
    of = tuple((name, tuple(values)) for name, values in series.items())
    return [*_evaluated(expression, of, periods_s.pop())]


# --- metric math ----------------------------------------------------------------------------------


def evaluate(
    expression: str, series: Mapping[str, Series], *, period_s: int, fills_empty: bool = True
) -> Series:
    """The time series that an expression makes of others.

    `fills_empty` is false for a CloudWatch in which a series without one value stays empty in FILL, and is 0
    beside one that has values.
    """
    found = _Math(series, period_s, fills_empty).of(_parsed(expression))
    assert isinstance(found, list), "an alarm needs a time series, and this is a number"
    return found


@cache
def _evaluated(
    expression: str, series: tuple[tuple[str, tuple[float | None, ...]], ...], period_s: int
) -> Sequence[float | None]:
    """Evaluate once what many minutes of many histories have alike."""
    return evaluate(expression, {name: [*values] for name, values in series}, period_s=period_s)


@cache
def _parsed(expression: str) -> ast.expr:
    words = re.sub(r"\bAND\b|&&", "and", re.sub(r"\bOR\b|\|\|", "or", expression))
    return ast.parse(words, mode="eval").body


_OPERATORS: dict[type[ast.AST], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.And: lambda left, right: bool(left) and bool(right),
    ast.Or: lambda left, right: bool(left) or bool(right),
}


@dataclass(frozen=True, slots=True)
class _Math:
    series: Mapping[str, Series]
    period_s: int
    fills_empty: bool

    def of(self, node: ast.expr) -> Any:  # noqa: PLR0911 - a case for each kind of node
        match node:
            case ast.Constant(value=int() | float() as number):
                return float(number)
            case ast.Name(id=name):
                return self.series[name]
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return self._each(operator.sub, 0.0, self.of(operand))
            case ast.BinOp(left=left, op=operation, right=right):
                return self._each(_OPERATORS[type(operation)], self.of(left), self.of(right))
            case ast.Compare(left=left, ops=[operation], comparators=[right]):
                return self._each(_OPERATORS[type(operation)], self.of(left), self.of(right))
            case ast.BoolOp(op=operation, values=[first, *others]):
                found = self.of(first)
                for other in others:
                    found = self._each(_OPERATORS[type(operation)], found, self.of(other))
                return found
            case ast.List(elts=elements):
                return tuple(self.of(element) for element in elements)
            case ast.Call(func=ast.Name(id=name), args=arguments):
                return getattr(self, f"_{name.lower()}")(*arguments)
        raise AssertionError(f"an expression of a kind that this doesn't know: {ast.unparse(node)}")

    def _each(self, operation: Callable[[float, float], float], *sides: Any) -> Any:
        lengths = {len(side) for side in sides if isinstance(side, list)}
        if not lengths:
            return float(operation(*sides))
        (length,) = lengths
        rows = zip(*(side if isinstance(side, list) else [side] * length for side in sides), strict=True)
        if not self.fills_empty:
            rows = zip(*(self._as_zeros(side, length) for side in sides), strict=True)
        return [self._one(operation, row) for row in rows]

    @staticmethod
    def _as_zeros(side: Any, length: int) -> Series:
        """A side as it counts beside one with values: an empty series as zeros."""
        if not isinstance(side, list):
            return [side] * length
        return side if any(value is not None for value in side) else [0.0] * length

    @staticmethod
    def _one(operation: Callable[..., float], row: Sequence[float | None]) -> float | None:
        if None in row:
            return None
        try:
            return float(operation(*row))
        except ZeroDivisionError:
            return None  # no data point

    def _fill(self, node: ast.expr, by: ast.expr) -> Series:
        filled: Series = []
        repeats = isinstance(by, ast.Name) and by.id == "REPEAT"
        found: Series = self.of(node)
        if not (self.fills_empty or any(value is not None for value in found)):
            return found
        for value in found:
            last = filled[-1] if filled else None
            filled.append(value if value is not None else last if repeats else self.of(by))
        return filled

    def _diff(self, node: ast.expr) -> Series:
        found: Series = self.of(node)
        return [None, *self._each(operator.sub, found[1:], found[:-1])] if found else []

    def _rate(self, node: ast.expr) -> Series:
        rate: Series = self._each(operator.truediv, self._diff(node), float(self.period_s))
        return rate

    def _if(self, condition: ast.expr, then: ast.expr, otherwise: ast.expr) -> Series:
        chosen = self.of(condition)
        sides = [self.of(side) for side in (then, otherwise)]
        yes, no = (side if isinstance(side, list) else [side] * len(chosen) for side in sides)
        return [
            None if one is None else (yes_one if one else no_one)
            for one, yes_one, no_one in zip(chosen, yes, no, strict=True)
        ]

    def _sum(self, node: ast.expr) -> Any:
        return self._over(sum, self.of(node))

    def _max(self, node: ast.expr) -> Any:
        return self._over(max, self.of(node))

    def _min(self, node: ast.expr) -> Any:
        return self._over(min, self.of(node))

    @staticmethod
    def _over(function: Callable[[Sequence[float]], float], found: Any) -> Any:
        """Of one series a number; of several a series, of what each has at a time."""
        if isinstance(found, list):
            return float(function([value for value in found if value is not None]))
        rows = [[value for value in row if value is not None] for row in zip(*found, strict=True)]
        return [function(row) if row else None for row in rows]
