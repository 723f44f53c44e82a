"""What a defence is taken away for: a plan of the proof, and the breach that it has to report then."""

from __future__ import annotations

import random
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Final
from unittest.mock import patch

from eventstore.errors import PositionNotInLog
from tests.proof.run import Plan, run

WRITES: Final = Plan(
    publishes=False,
    logs=False,
    subscribes=False,
    replays=False,
    restores=False,
    side_by_side=False,
    writers=3,
    appends=16,
)
PUBLISHES: Final = replace(WRITES, publishes=True)
LOGS: Final = replace(WRITES, logs=True)
SUBSCRIBES: Final = replace(WRITES, subscribes=True)
REPLAYS: Final = replace(WRITES, appends=10, replays=True)
BESIDE: Final = replace(WRITES, writers=0, commands=0, appends=30, side_by_side=True)
_SEEDS: Final = range(1, 33)
"""Tried where the seed at hand shows the breach no longer: a change of what is sent moves all faults."""


@dataclass(frozen=True)
class Less:
    """A defence that is taken away.

    Args:
        plan: what is done, perhaps with the weaker part in it.
        breach: how what must be reported begins; one of several, perhaps.
        seed: one that shows it.
        replaced: what is replaced in the code by `by`, where no plan has a place for it.
    """

    plan: Plan
    breach: str | tuple[str, ...]
    seed: int
    replaced: str = ""
    by: object = None


def is_reported(endpoint: str, less: Less) -> bool:
    """Return whether a run reports the breach; the seed first that is known to show it."""
    for each in dict.fromkeys((less.seed, *_SEEDS)):
        random.seed(each)  # botocore's own pauses, where it makes some, come from there
        try:
            with patch(less.replaced, less.by) if less.replaced else nullcontext():
                found = run(endpoint, each, less.plan).breaches
        except (
            PositionNotInLog
        ):  # a checkpoint stored ahead, of a block with no entry more: refused by itself
            continue
        if any(one.startswith(less.breach) for one in found):
            return True
    return False
