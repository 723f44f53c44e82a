"""The proof in its short form: under all faults nothing is lost, doubled or out of order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import cache

import pytest

from eventstore.subscriptions import OnFailure
from tests.proof.run import Report, headline, run, summary
from tests.proof.strange_answers import STRANGE
from tests.proof.taken_away import LOGS, PUBLISHES, REPLAYS, SUBSCRIBES, WRITES

SEED, SUBSCRIBED_SEED = 1, 5
MORE_SEEDS = range(5, 21)  # for what is rare: a change of what is sent moves all faults
FIRST = {"writes": 5, "publication": 5, "log": 5, "subscriptions": 8, "replays": 13, "restores": 5}
ACTS = {
    "writes": WRITES,
    "publication": PUBLISHES,
    "log": LOGS,
    "subscriptions": replace(SUBSCRIBES, has_deadly_events=True),
    "replays": REPLAYS,
    "restores": replace(WRITES, restores=True),
}
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
    for act, plan in ACTS.items():
        for seed in dict.fromkeys((FIRST[act], *MORE_SEEDS)):
            if set(+faults) >= FAULTS[act]:
                break
            on_failure = list(OnFailure)[seed % len(OnFailure)]
            faults += run(dynamodb_endpoint, seed, replace(plan, on_failure=on_failure)).faults
    assert set().union(*FAULTS.values()) - set(+faults) == set()


FAULTS = {
    "writes": STRANGE
    | {
        "another transaction in the way",
        "answer of a read lost after it was done",
        "answer of a write lost after it was done",
        "append of which a part is known",
        "append refused for its clock",
        "append repeated at another expectation",
        "batch of reads answered in part",
        "client that sends a write again refused",
        "clock set minutes to years off",
        "clock stepped back",
        "clock stepped forth",
        "command delivered again",
        "engine not reached",
        "event imported among live writes",
        "import begun again",
        "imported event whose place is taken",
        "index item late",
        "known uid with another content",
        "more shards while readers of every age read",
        "outage",
        "part of a transaction not seen by a read",
        "query answered in part",
        "read of all events refused for its clock",
        "reader killed between handling and storing its position",
        "reader told too few shards",
        "reader's clock set minutes to years off",
        "throttled",
        "transaction visible event by event",
        "write done after its timeout",
        "writer killed at a request",
        "writer paused between stamping and writing",
    },
    "publication": {
        "PutEvents throttled",
        "answer of PutEvents lost after it was done",
        "entry failed in a PutEvents that succeeded",
        "parking throttled",
        "publisher given up while it works",
        "publisher killed after its batch, before its answer",
        "publisher killed at a call of the bus",
        "publisher killed at a request",
        "publisher killed when it parked",
        "publisher killed when it read back",
        "publisher paused before a call of the bus",
        "shard split",
        "stream record doubled",
        "stream record overtaken by a later one of its stream",
        "streams' records come by two shards",
    },
    "log": {
        "feeder killed at a request",
        "hole in the log",
        "log writer given up while it works",
        "log writer killed after its batch, before its answer",
        "log writer killed at a request",
        "log reader killed at a request",
        "log's entries doubled",
        "log's entry late, behind later ones",
        "reader of the log refused for too few tranches",
    },
    "subscriptions": {
        "block of the log lost",
        "block not seen by a read of a replica",
        "CancelledError in a handler",
        "event refused by a handler",
        "handler returned before its work was done",
        "lease taken over",
        "subscription begun at a time, amid imports and repairs",
        "what a handler needs is away",
        "worker ended by SystemExit in its handler",
        "worker killed at a request",
        "worker killed between handling and storing its checkpoint",
        "worker killed in its handler",
        "worker stopped by an event",
        "worker stalled before a write under its fence",
        "worker stalled past its lease",
        "worker with events of several streams at work",
        "write of a former owner refused",
    },
    "replays": {
        "engine killed at a request",
        "event refused by a replay's target",
        "replay paused",
        "replay's step killed after a call of its target",
        "replay's step killed before a call of its target",
        "replay's step killed by whatever it sends",
        "replay's step stalled past its lease",
        "replay's target took its time to refuse",
    },
    "restores": {
        "head from before a restore refused",
        "stream restored to an earlier state",
    },
}
"""But those that are too rare for the short form: a replay that is cancelled."""


def test_seed_repeats_its_run(dynamodb_endpoint: str) -> None:
    plan = replace(SUBSCRIBES, replays=True, appends=5)
    one, other = (run(dynamodb_endpoint, 11, plan) for _ in range(2))
    assert (one.faults, one.checked) == (other.faults, other.checked)
