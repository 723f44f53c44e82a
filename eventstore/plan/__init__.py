"""The planner: what a load needs, what gives way first, what a month costs, each figure with its formula.

`python -m eventstore.plan --events-per-second 5000 --item-kb 1.2` prints it; the CDK app takes the same
figures from its settings at synth. Standard library only. docs/scale.md has the reasons, and what is a model.
"""

from __future__ import annotations

from dataclasses import dataclass

from eventstore.plan.bottlenecks import Limit, ladder
from eventstore.plan.capacity import Capacity, capacity_of
from eventstore.plan.cost import monthly_cost
from eventstore.plan.figures import Figure
from eventstore.plan.prices import Prices
from eventstore.plan.quotas import Quotas, quotas_of
from eventstore.plan.shards import safe_utilisation_percent, write_shards_for, write_units
from eventstore.plan.workload import Assumptions, Workload

__all__ = [
    "Assumptions",
    "Capacity",
    "Figure",
    "Limit",
    "Plan",
    "Prices",
    "Quotas",
    "Workload",
    "plan_for",
    "quotas_of",
    "safe_utilisation_percent",
    "write_shards_for",
    "write_units",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a workload needs, meets and costs."""

    workload: Workload
    assumed: Assumptions
    quotas: Quotas
    prices: Prices
    capacity: Capacity
    limits: tuple[Limit, ...]
    """The first to be met comes first."""
    cost: tuple[Figure, ...]
    """US dollars a month; the last one is the sum."""

    @property
    def exceeded(self) -> tuple[Limit, ...]:
        """The limits that are met below the workload's peak."""
        peak = self.workload.events_per_second
        return tuple(limit for limit in self.limits if limit.events_per_second < peak)


def plan_for(
    workload: Workload,
    *,
    assumed: Assumptions | None = None,
    quotas: Quotas | None = None,
    prices: Prices | None = None,
) -> Plan:
    """Plan a store for a workload.

    Args:
        assumed: durations and small sizes; those that aren't measured on AWS.
        quotas: the account's limits; by default those of a new account in us-east-1.
        prices: by default the list prices of us-east-1.
    """
    assumed, quotas, prices = assumed or Assumptions(), quotas or Quotas(), prices or Prices()
    capacity = capacity_of(workload, assumed=assumed, quotas=quotas)
    return Plan(
        workload=workload,
        assumed=assumed,
        quotas=quotas,
        prices=prices,
        capacity=capacity,
        limits=tuple(ladder(workload, capacity, assumed=assumed, quotas=quotas)),
        cost=tuple(monthly_cost(workload, capacity, assumed=assumed, prices=prices)),
    )
