"""The proof in its short form: nothing gets lost with all defences, and without any one of them it's seen."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from typing import Any

import pytest

from eventstore import Event, NewEvent
from eventstore.adapters.dynamodb.checkpoints import DynamoDBCheckpoints
from eventstore.adapters.dynamodb.log import DynamoDBEventLog
from eventstore.adapters.dynamodb.read_model import DynamoDBReadModel
from eventstore.adapters.dynamodb.replays import DynamoDBReplays
from eventstore.adapters.dynamodb.requests import SlotsTaken, send
from eventstore.adapters.dynamodb.store import DynamoDBEventStore, item_from_event
from eventstore.cloudevents import Entry
from eventstore.replay import _Sending
from eventstore.replays import Replay
from eventstore.store import Append, Appended
from tests.proof.run import Plan, Report, run, summary
from tests.proof.wire import Faults
from tests.simulator.test_defences import (
    AsTheyArrive,
    NeverStops,
    ReadsNoResults,
    WithoutHoles,
    WithoutReadBack,
)

WRITES = Plan(publishes=False, logs=False, subscribes=False, replays=False, writers=3, appends=16)
PUBLISHES = replace(WRITES, publishes=True)
LOGS = replace(WRITES, logs=True)
SUBSCRIBES = replace(WRITES, subscribes=True)
REPLAYS = replace(WRITES, appends=10, replays=True)
SEEDS = (3, 4, 1, 2, 5, 6)  # the first of them shows most


@pytest.fixture(scope="module")
def report(dynamodb_endpoint: str) -> Report:
    return run(dynamodb_endpoint, 3)


def test_under_all_faults_nothing_is_lost_doubled_or_out_of_order(report: Report) -> None:
    assert report.breaches == [], summary(report)


def test_faults_were_injected_everywhere(report: Report) -> None:
    # The bus's rarer faults don't come in each run; a long one has all of them.
    kinds = {kind for kind, count in report.faults.items() if count}
    assert kinds >= {
        "another transaction in the way",
        "answer of a read lost after it was done",
        "answer of a write lost after it was done",
        "clock stepped back",
        "clock stepped forth",
        "engine not reached",
        "entry failed in a PutEvents that succeeded",
        "event refused by a replay's target",
        "index item late",
        "process killed after a request was done",
        "process killed before a request",
        "reader killed between handling and storing its position",
        "replay's step stalled past its lease",
        "shard split",
        "stream record doubled",
        "stream record overtaken by a later one of its stream",
        "throttled",
        "write done after its timeout",
        "worker stalled past its lease",
        "writer paused between stamping and writing",
    }


def test_seed_repeats_its_run(dynamodb_endpoint: str) -> None:
    one, other = (run(dynamodb_endpoint, 11, replace(WRITES, appends=6)) for _ in range(2))
    assert (one.faults, one.checked) == (other.faults, other.checked)


class WithoutCondition(DynamoDBEventStore):
    """Puts events wherever it takes their place to be."""

    def _write(self, events: list[Event]) -> None:
        for event in events:
            item = item_from_event(event, shard=self._random_shard(self._write_shards))
            send(self._client.put_item, TableName=self._table_name, Item=item)


class WithoutUids(DynamoDBEventStore):
    """Forgets the uids that its clients give their events."""

    def transact(self, appends: Sequence[Append]) -> tuple[Appended, ...]:
        def anew(event: NewEvent) -> NewEvent:
            return replace(event, uid=None)

        return super().transact(
            [replace(append, events=tuple(map(anew, append.events))) for append in appends]
        )


class KnowsNoOwnWrites(DynamoDBEventStore):
    """Takes its own event, written by a try whose answer got lost, for somebody else's."""

    def _stored_by_us(self, *_: Any) -> None:
        return None


class OneByOne(DynamoDBEventStore):
    """Writes the events of an append one after the other, each under its condition."""

    def _write(self, events: list[Event]) -> None:
        for place, event in enumerate(events):
            try:
                super()._write([event])
            except SlotsTaken as taken:
                behind = len(events) - place - 1
                raise SlotsTaken([None] * place + taken.items + [None] * behind) from taken


class LogWithoutCondition(DynamoDBEventLog):
    """Puts a block where it takes the tranche's end to be."""

    def _put(self, item: dict[str, Any], uid: str) -> bool:
        send(self._client.put_item, TableName=self._table_name, Item=item)
        return True


class WithoutFence(DynamoDBCheckpoints):
    """Stores a checkpoint and frees a lease for whoever held it once."""

    def _update(self, *args: Any, condition: str, **options: Any) -> Any:
        return super()._update(*args, condition=condition.replace("#fence =", "#fence >="), **options)


class WithoutLastEventId(DynamoDBReadModel):
    """Writes an event whether or not it, or a later one of its stream, was written before."""

    def _move_last(self, projection: str, event: Event) -> dict[str, Any]:
        conditions = {"ConditionExpression", "ReturnValuesOnConditionCheckFailure"}
        update = super()._move_last(projection, event)
        return {name: value for name, value in update.items() if name not in conditions}


class ReplaysWithoutFence(DynamoDBReplays):
    """Stores how far a step is, though another has begun since."""

    def save(self, replay: Replay) -> Replay | None:
        newest = self.get(replay.replay_id)
        return super().save(replace(replay, fence=newest.fence) if newest else replay)


class SendsAsRead(_Sending):
    """Puts several events of a stream into a call that may be taken in part."""

    def next_call(self) -> list[Entry]:
        waiting = sorted((entry for queue in self.queues.values() for entry in queue), key=self._place)
        return self._within_limits(waiting, skips=False)

    def finish(self, entry: Entry) -> None:
        self.queues[entry.stream_id].remove(entry)
        self.queues[entry.stream_id].appendleft(entry)
        super().finish(entry)


class PassesOverUntaken(_Sending):
    """Stores its position behind events that weren't taken."""

    def undone(self) -> Collection[tuple[str, int]]:
        return ()


def _found(endpoint: str, plan: Plan, *, seeds: Sequence[int] = SEEDS) -> Callable[[str], bool]:
    """Tell whether a run with one of the seeds reports a kind of breach."""
    return lambda kind: any(kind in run(endpoint, seed, plan).kinds for seed in seeds)


@pytest.mark.parametrize(
    ("plan", "breach"),
    [
        (replace(WRITES, store_type=WithoutCondition), "lost"),
        (replace(WRITES, store_type=WithoutUids, faults=Faults(kills_after=0.1)), "twice"),
        (replace(WRITES, store_type=KnowsNoOwnWrites, faults=Faults(lost_answers=0.15)), "conflict"),
        (replace(WRITES, store_type=OneByOne), "torn"),
        (replace(WRITES, reads_unsettled=True), "lost"),
        (replace(LOGS, log_type=LogWithoutCondition), "lost"),
        (replace(SUBSCRIBES, checkpoints_type=WithoutFence), "fence"),
        (replace(SUBSCRIBES, read_model_type=WithoutLastEventId), "twice"),
        (replace(REPLAYS, replays_type=ReplaysWithoutFence), "fence"),
    ],
    ids=[
        "append condition",
        "idempotency by uid",
        "own writes known",
        "one transaction",
        "settling",
        "block condition",
        "subscription's fence",
        "projection's condition",
        "replay's fence",
    ],
)
def test_defence_taken_away_is_seen(dynamodb_endpoint: str, plan: Plan, breach: str) -> None:
    assert _found(dynamodb_endpoint, plan)(breach)


@pytest.mark.parametrize(
    ("name", "weaker", "plan", "breach"),
    [
        ("eventstore.publish.PublicationOrder", AsTheyArrive, PUBLISHES, "order"),
        ("eventstore.publish.PublicationOrder", WithoutReadBack, PUBLISHES, "order"),
        ("eventstore.publish.PublicationOrder", WithoutHoles, PUBLISHES, "order"),
        ("eventstore.publish.Publisher", NeverStops, PUBLISHES, "order"),
        ("eventstore.publish.Publisher", ReadsNoResults, PUBLISHES, "lost"),
        ("eventstore.index.PublicationOrder", WithoutReadBack, LOGS, "order"),
        ("eventstore.replay._Sending", SendsAsRead, REPLAYS, "order"),
        ("eventstore.replay._Sending", PassesOverUntaken, REPLAYS, "lost"),
    ],
    ids=[
        "publisher sorts",
        "publisher reads back what precedes",
        "publisher fills holes",
        "publisher stops at the first",
        "publisher reads each result",
        "indexer reads back what precedes",
        "replay sends one event of a stream at a time",
        "replay stays before what was not taken",
    ],
)
def test_defence_replaced_by_a_weaker_one_is_seen(  # noqa: PLR0917 - pytest gives them by name
    dynamodb_endpoint: str,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    weaker: type,
    plan: Plan,
    breach: str,
) -> None:
    monkeypatch.setattr(name, weaker)
    assert _found(dynamodb_endpoint, plan)(breach)


def test_index_later_than_the_settling_time_loses_what_the_log_has(dynamodb_endpoint: str) -> None:
    """A reader by time misses for good what the settling time doesn't cover; a reader of the log doesn't."""
    plan = replace(LOGS, faults=Faults(index_lag_s=40.0))
    found = run(dynamodb_endpoint, 1, plan).breaches

    assert any(breach.startswith("lost: a reader of all events") for breach in found)
    assert not [breach for breach in found if "reader of the log" in breach or "tranche" in breach]
