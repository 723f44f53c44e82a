"""The proof in its short form: under all faults nothing is lost, doubled or out of order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import cache

import pytest

from eventstore.subscriptions import OnFailure
from tests.proof.run import Plan, Report, headline, run, summary
from tests.proof.strange_answers import STRANGE

SEED, SUBSCRIBED_SEED = 1, 3
MORE_SEEDS = range(5, 21)  # for what is rare: a change of what is sent moves all faults
SUBSCRIBES = Plan(publishes=False, logs=False, replays=False, restores=False, writers=3, appends=16)
WRITES = replace(SUBSCRIBES, subscribes=False)
Subscribed = Callable[[OnFailure], Report]


@pytest.fixture(scope="module")
def report(dynamodb_endpoint: str) -> Report:
    return run(dynamodb_endpoint, SEED)


@pytest.fixture(scope="module")
def subscribed(dynamodb_endpoint: str) -> Subscribed:
    def subscribe(on_failure: OnFailure) -> Report:
        return run(dynamodb_endpoint, SUBSCRIBED_SEED, replace(SUBSCRIBES, on_failure=on_failure))

    return cache(subscribe)


def test_under_all_faults_nothing_is_lost_doubled_or_out_of_order(
    report: Report, record_property: Callable[[str, object], None]
) -> None:
    record_property("told", f"the proof, {headline(report)}")
    assert report.breaches == [], summary(report)


@pytest.mark.parametrize("on_failure", OnFailure)
def test_subscription_keeps_its_promise_about_events_that_fail(
    subscribed: Subscribed, on_failure: OnFailure
) -> None:
    report = subscribed(on_failure)
    assert report.breaches == [], summary(report)
    assert report.faults["event refused by a handler"]


@pytest.mark.parametrize("on_failure", OnFailure)
def test_leases_are_taken_over_and_their_former_owners_refused(
    subscribed: Subscribed, on_failure: OnFailure
) -> None:
    faults = subscribed(on_failure).faults
    assert faults["lease taken over"]
    assert faults["write of a former owner refused"]


def test_every_fault_was_injected(dynamodb_endpoint: str, report: Report, subscribed: Subscribed) -> None:
    faults = sum((subscribed(each).faults for each in OnFailure), Counter(report.faults))
    for seed in MORE_SEEDS:
        if set(+faults) >= FAULTS:
            break
        on_failure = list(OnFailure)[seed % len(OnFailure)]
        plan = replace(SUBSCRIBES, on_failure=on_failure, has_deadly_events=True)
        faults += run(dynamodb_endpoint, seed, plan).faults
    assert FAULTS - set(+faults) == set()


FAULTS = STRANGE | {
    "PutEvents throttled",
    "another transaction in the way",
    "append of which a part is known",
    "append repeated at another expectation",
    "command delivered again",
    "known uid with another content",
    "part of a transaction not seen by a read",
    "transaction visible event by event",
    "answer of PutEvents lost after it was done",
    "answer of a read lost after it was done",
    "answer of a write lost after it was done",
    "append refused for its clock",
    "clock set minutes to years off",
    "batch of reads answered in part",
    "clock stepped back",
    "clock stepped forth",
    "engine killed at a request",
    "engine not reached",
    "entry failed in a PutEvents that succeeded",
    "event refused by a handler",
    "event refused by a replay's target",
    "feeder killed at a request",
    "CancelledError in a handler",
    "handler returned before its work was done",
    "head from before a restore refused",
    "hole in the log",
    "what a handler needs is away",
    "worker ended by SystemExit in its handler",
    "worker killed in its handler",
    "index item late",
    "indexer killed after its batch, before its answer",
    "indexer killed at a request",
    "lease taken over",
    "log reader killed at a request",
    "log's entries doubled",
    "log's entry late, behind later ones",
    "more shards while readers of every age read",
    "outage",
    "parking throttled",
    "publisher killed after its batch, before its answer",
    "publisher killed at a call of the bus",
    "publisher killed at a request",
    "publisher killed when it parked",
    "publisher killed when it read back",
    "query answered in part",
    "reader told too few shards",
    "reader killed between handling and storing its position",
    "replay paused",
    "replay's step killed after a call of its target",
    "replay's step killed before a call of its target",
    "replay's step stalled past its lease",
    "shard split",
    "stream record doubled",
    "stream restored to an earlier state",
    "stream record overtaken by a later one of its stream",
    "streams' records come by two shards",
    "throttled",
    "worker killed at a request",
    "worker killed between handling and storing its checkpoint",
    "worker stalled before a write under its fence",
    "worker stalled past its lease",
    "worker stopped by an event",
    "write done after its timeout",
    "write of a former owner refused",
    "writer killed at a request",
    "writer paused between stamping and writing",
}
"""But those that are too rare for the short form, such as a replay that is cancelled."""


def test_seed_repeats_its_run(dynamodb_endpoint: str) -> None:
    plan = replace(SUBSCRIBES, replays=True, appends=5)
    one, other = (run(dynamodb_endpoint, 11, plan) for _ in range(2))
    assert (one.faults, one.checked) == (other.faults, other.checked)
