"""Subscriptions in memory: blocks of the log are lost and closed under workers; others begin at a time.

These worlds are those of tests/property, by the run's seed: there each of their defences is taken away once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from eventstore.limits import SETTLING_S
from tests.property import test_lost_blocks as lost_blocks
from tests.property import test_starts as starts
from tests.property.test_subscriptions import fold

if TYPE_CHECKING:
    from tests.proof.run import Report


def follow_a_log_that_loses_blocks(report: Report) -> None:
    """Have workers come, die and stand still on a log of which blocks are deleted and logged again."""
    world = lost_blocks.run(report.seed)
    everything = {(event.stream_id, event.event_id) for event in world.store.read_all(unsettled=True)}
    if missing := everything - set(world.handled):
        report.breaches.append(f"lost: {len(missing)} events, behind blocks that were lost and closed")
    if world.rows != fold(world):
        report.breaches.append("order: a projection of a log that lost blocks is not the fold of its events")
    report.faults["block of the log lost"] += world.losses
    report.faults["worker stopped before a lost block"] += world.stops
    report.checked["deliveries to a subscription of a log that loses blocks"] += len(world.handled)


def begin_at_times(report: Report) -> None:
    """Begin subscriptions at many times of a log with imports, wrong clocks, outages of a day and repairs."""
    history = starts.History(report.seed, minute_us=100 * starts.MINUTE_US)
    history.write()
    for at_us in starts.starts(history):
        handled = starts.handled_from(history, at_us)
        due = history.due(at_us - round(SETTLING_S * 1_000_000), starts.NAMES)
        if missing := due - set(handled):
            report.breaches.append(f"lost: {len(missing)} events that were due for a start from a time")
        if older := set(handled) - due:
            report.breaches.append(f"old: {len(older)} events of before the time that was begun at")
        report.faults["subscription begun at a time, amid imports and repairs"] += 1
        report.checked["deliveries to subscriptions from a time"] += len(handled)
