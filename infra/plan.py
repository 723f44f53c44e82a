"""The plan of an environment, told at synth: the planner's figures for its settings."""

from typing import Final

from aws_cdk import Annotations, Stack

from eventstore.plan import plan_for
from eventstore.plan.figures import n
from eventstore.plan.report import in_short
from infra.settings import Settings

TOO_FEW_SHARDS: Final = "eventstore:writeShards"


def _in_metadata(value: float) -> int | str:
    """A figure as a template's metadata takes it: there are whole numbers and texts, no decimals."""
    return int(value) if value == int(value) else repr(value)


def tell_plan(stack: Stack, *, settings: Settings) -> None:
    """Show the plan with every `cdk synth`, `diff` and `deploy`, and keep its figures in the template.

    Warns where `writeShards` is set below what the events need at the least.
    """
    plan = plan_for(settings.workload)
    Annotations.of(stack).add_info("\n".join(in_short(plan)))
    stack.add_metadata(
        "Plan",
        {
            "capacity": {figure.name: _in_metadata(figure.value) for figure in plan.capacity.figures()},
            "limits": {limit.name: round(limit.events_per_second) for limit in plan.limits},
        },
    )
    least = plan.capacity.least_shards
    if settings.write_shards < least.value:
        Annotations.of(stack).add_warning_v2(
            TOO_FEW_SHARDS,
            f"writeShards is {settings.write_shards}, but {n(settings.load.events_per_second)} events a "
            f"second need {n(least.value)} at least ({least.formula}): the index would throttle appends. "
            "Raise it, or leave it out.",
        )
