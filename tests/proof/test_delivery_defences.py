"""The defences of publication, log, subscriptions and replays taken away, one by one."""

from __future__ import annotations

from dataclasses import replace

import pytest

from eventstore.subscriptions import OnFailure
from tests.proof.run import run
from tests.proof.taken_away import BESIDE, LOGS, PUBLISHES, REPLAYS, SUBSCRIBES, Less, is_reported
from tests.proof.weaker_delivery import (
    BelievesItsTranches,
    CountsNoSteps,
    ForgetsParkedStreams,
    IgnoresPauses,
    LogWithoutCondition,
    ParksNothing,
    ParksWithoutFence,
    PassesOverUntaken,
    ReplaysWithoutFence,
    ReportsNoFailures,
    SendsAsRead,
    StoresAhead,
    StoresTheHighestDone,
    WaitsForNoTurn,
    WithoutFence,
    WithoutLastEventId,
    believes_replicas,
    counts_no_starts,
    fetches_no_holes,
    frees_as_begun,
    has_no_pace,
    is_handled_when_called,
    looks_at_nothing_missing,
    looks_once,
    takes_all_for_done,
    takes_all_for_lasting,
)
from tests.proof.weaker_stores import ReadsUnsettled
from tests.proof.wire import Faults
from tests.simulator.test_defences import (
    AsTheyArrive,
    NeverStops,
    ReadsNoResults,
    WithoutHoles,
    WithoutReadBack,
)

PROJECTS = replace(SUBSCRIBES, has_failing_handler=False)
FAILS = replace(SUBSCRIBES, has_projection=False)
HANDLES = replace(FAILS, on_failure=OnFailure.PARK_STREAM, has_deadly_events=False)
MANY = replace(HANDLES, appends=40)
WELL = replace(REPLAYS, replay_trouble="")
LONG_REPLAYS = replace(WELL, appends=24)

CASES = {
    "tranches compared": Less(replace(LOGS, log_type=BelievesItsTranches), "lost: a reader of the log", 1),
    "block condition": Less(replace(LOGS, log_type=LogWithoutCondition), "lost: a reader of the log", 1),
    "log writer reports failures": Less(
        replace(LOGS, log_writer_type=ReportsNoFailures), "lost: a reader of the log", 6
    ),
    "subscription's fence": Less(replace(PROJECTS, checkpoints_type=WithoutFence), "fence: tranche", 1),
    "fence of what is parked": Less(replace(MANY, checkpoints_type=ParksWithoutFence), "fence: tranche", 11),
    "checkpoint behind what is handled": Less(
        replace(PROJECTS, checkpoints_type=StoresAhead), "lost: a subscription", 5
    ),
    "parked streams wait": Less(
        replace(MANY, checkpoints_type=ForgetsParkedStreams), "order: a handler with PARK_STREAM", 12
    ),
    "streams wait behind what failed": Less(
        replace(FAILS, on_failure=OnFailure.PARK_STREAM),
        "order: a handler with PARK_STREAM",
        4,
        replaced="eventstore.subscriptions.ahead.Waiting.is_handled",
        by=is_handled_when_called,
    ),
    "checkpoint before the lowest undone event": Less(
        replace(HANDLES, on_failure=OnFailure.STOP),
        "lost: a handler with STOP",
        7,
        replaced="eventstore.subscriptions.subscription.Ahead",
        by=StoresTheHighestDone,
    ),
    "publisher waits for what is not visible yet": Less(
        BESIDE,
        "order: the bus",
        1,
        replaced="eventstore.ordering.stream_order.StreamOrder._look_at_missing",
        by=looks_at_nothing_missing,
    ),
    "parked events kept": Less(
        replace(FAILS, checkpoints_type=ParksNothing, on_failure=OnFailure.PARK),
        "lost: a handler with PARK",
        5,
    ),
    "passing trouble of a handler": Less(
        replace(FAILS, transient=takes_all_for_lasting, on_failure=OnFailure.SKIP, has_deadly_events=False),
        "lost: a handler with SKIP",
        4,
    ),
    "projection's condition": Less(replace(PROJECTS, read_model_type=WithoutLastEventId), "twice: ", 1),
    "replay's fence": Less(replace(WELL, replays_type=ReplaysWithoutFence), "fence: the replay", 1),
    "replay counts a step before it works": Less(
        replace(REPLAYS, replays_type=CountsNoSteps, replay_trouble="deadly"), "stuck: run", 1
    ),
    "replay waits for what settles": Less(
        replace(LONG_REPLAYS, replayed_type=ReadsUnsettled),
        ("lost: a replay job up to now", "order: a replay job up to now"),
        11,
    ),
    "replay heeds a pause": Less(replace(WELL, replays_type=IgnoresPauses), "pause: step", 1),
    "publisher sorts": Less(
        PUBLISHES,
        "order: the bus",
        1,
        replaced="eventstore.delivery.publisher.StreamOrder",
        by=AsTheyArrive,
    ),
    "publisher reads back what precedes": Less(
        PUBLISHES,
        "order: the bus",
        1,
        replaced="eventstore.delivery.publisher.StreamOrder",
        by=WithoutReadBack,
    ),
    "publisher fills holes": Less(
        PUBLISHES,
        "order: the bus",
        2,
        replaced="eventstore.delivery.publisher.StreamOrder",
        by=WithoutHoles,
    ),
    "publisher stops at the first": Less(
        PUBLISHES, "order: the bus", 2, replaced="eventstore.delivery.publisher.Publisher", by=NeverStops
    ),
    "publisher reads each result": Less(
        PUBLISHES, "lost: the bus", 1, replaced="eventstore.delivery.publisher.Publisher", by=ReadsNoResults
    ),
    "log writer reads back what precedes": Less(
        LOGS,
        "order: a reader of the log",
        1,
        replaced="eventstore.log.writer.StreamOrder",
        by=WithoutReadBack,
    ),
    "subscription fetches holes": Less(
        HANDLES,
        "lost: a handler with PARK_STREAM",
        2,
        replaced="eventstore.subscriptions.tranche_reader.TrancheReader._steps",
        by=fetches_no_holes,
    ),
    "replica's gap is looked at strongly": Less(
        PROJECTS,
        "lost: a subscription",
        6,
        replaced="eventstore.dynamodb.log.DynamoDBEventLog._entries_lately",
        by=believes_replicas,
    ),
    "shared reader looks for news again": Less(
        PROJECTS,
        "lost: ",
        1,
        replaced="eventstore.subscriptions.shared_reader._SharedLog._is_end",
        by=looks_once,
    ),
    "projection waits for an event's turn": Less(
        replace(PROJECTS, read_model_type=WaitsForNoTurn),
        "lost: a subscription",
        1,
        replaced="eventstore.subscriptions.tranche_reader.TrancheReader._steps",
        by=fetches_no_holes,
    ),
    "workers that an event ends are counted": Less(
        replace(FAILS, on_failure=OnFailure.PARK_STREAM, has_deadly_events=True, repaired_after_s=100.0),
        "stuck: ",
        4,
        replaced="eventstore.subscriptions.held.Held.starts_of",
        by=counts_no_starts,
    ),
    "workers that free an event are not counted": Less(
        replace(FAILS, on_failure=OnFailure.PARK_STREAM, has_deadly_events=False),
        "start: ",
        8,
        replaced="eventstore.subscriptions.holding.Holding._progress",
        by=frees_as_begun,
    ),
    "what is not done yet is refused": Less(
        replace(FAILS, on_failure=OnFailure.SKIP),
        "lost: a handler with SKIP",
        2,
        replaced="eventstore.subscriptions.attempts.check_finished",
        by=takes_all_for_done,
    ),
    "replay sends one event of a stream at a time": Less(
        WELL, "order: a replay job", 2, replaced="eventstore.replays.step.Sending", by=SendsAsRead
    ),
    "replay stays before what was not taken": Less(
        WELL, "lost: a replay job", 6, replaced="eventstore.replays.step.Sending", by=PassesOverUntaken
    ),
    "replay keeps its pace": Less(
        replace(LONG_REPLAYS, replay_pace=2),
        "pace: ",
        6,
        replaced="eventstore.replays.step._budget",
        by=has_no_pace,
    ),
}


@pytest.mark.parametrize("less", CASES.values(), ids=CASES)
def test_defence_taken_away_is_seen(dynamodb_endpoint: str, less: Less) -> None:
    assert is_reported(dynamodb_endpoint, less)


def test_index_later_than_the_settling_time_loses_what_the_log_has(dynamodb_endpoint: str) -> None:
    """A reader by time misses for good what the settling time doesn't cover; a reader of the log doesn't."""
    plan = replace(LOGS, faults=Faults(index_lag_s=40.0))
    found = run(dynamodb_endpoint, 1, plan).breaches

    assert any(breach.startswith("lost: a reader of all events") for breach in found)
    assert not [breach for breach in found if "reader of the log" in breach or "tranche" in breach]
