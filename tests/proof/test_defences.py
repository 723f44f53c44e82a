"""Each defence taken away: the proof has to report what follows, or it proves nothing."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import replace
from importlib import import_module
from typing import Any

import pytest
from botocore.exceptions import ClientError

from eventstore import Event, NewEvent, PartlyAppended, StoreUnavailable
from eventstore.adapters.dynamodb.checkpoints import DynamoDBCheckpoints
from eventstore.adapters.dynamodb.items import event_from_item, item_from_event
from eventstore.adapters.dynamodb.log import DynamoDBEventLog
from eventstore.adapters.dynamodb.read_model import DynamoDBReadModel
from eventstore.adapters.dynamodb.replay_schema import FENCE, STATUS
from eventstore.adapters.dynamodb.replays import DynamoDBReplays
from eventstore.adapters.dynamodb.requests import SlotsTaken, send
from eventstore.adapters.dynamodb.store import DynamoDBEventStore
from eventstore.adapters.dynamodb.stream_query import StreamQuery
from eventstore.appends import stamp
from eventstore.cloudevents import Entry
from eventstore.index import Indexer
from eventstore.log import BlockPosition
from eventstore.repeats import Wanted
from eventstore.replay import _Sending
from eventstore.replays import Replay, ReplayStatus
from eventstore.store import Append, Appended
from eventstore.subscriptions import OnFailure
from eventstore.subscriptions.checkpoints import Lease, ParkedEvent
from eventstore.subscriptions.tranche_reader import TrancheReader
from tests.proof.run import Plan, run
from tests.proof.wire import Faults
from tests.simulator.test_defences import (
    AsTheyArrive,
    NeverStops,
    ReadsNoResults,
    WithoutHoles,
    WithoutReadBack,
)

WRITES = Plan(
    publishes=False, logs=False, subscribes=False, replays=False, restores=False, writers=3, appends=16
)
OTHERWISE = replace(WRITES, faults=Faults(otherwise=0.8))
PUBLISHES = replace(WRITES, publishes=True)
LOGS = replace(WRITES, logs=True)
PROJECTS = replace(WRITES, subscribes=True, has_failing_handler=False)
FAILS = replace(WRITES, subscribes=True, has_projection=False)
REPLAYS = replace(WRITES, appends=10, replays=True)
LONG_REPLAYS = replace(REPLAYS, appends=24)
SEEDS = range(1, 33)
"""Tried where the seed at hand shows the breach no longer: a change of what is sent moves all faults."""


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

    def _look_at_taken(self, wanted: list[Wanted], items: list[Any]) -> Any:
        blind = [replace(one, uids=["none"] * len(one.uids), seen={}) for one in wanted]
        conflict = super()._look_at_taken(blind, items)
        for one, other in zip(wanted, blind, strict=True):
            one.head = other.head
        return conflict


class TriesAnew(DynamoDBEventStore):
    """Takes a write whose answer got lost for one that was never done: it looks for a new place."""

    def _try(self, call: Any) -> Any:
        call.is_placed = False
        return super()._try(call)

    def _find_last(self, wanted: Wanted) -> None:
        wanted.head = self.head(wanted.append.stream_id)


class OneByOne(DynamoDBEventStore):
    """Writes the events of an append one after the other, each under its condition."""

    def _write(self, events: list[Event]) -> None:
        for place, event in enumerate(events):
            try:
                super()._write([event])
            except SlotsTaken as taken:
                behind = len(events) - place - 1
                raise SlotsTaken([None] * place + taken.items + [None] * behind) from taken


class TakesGaps(DynamoDBEventStore):
    """Takes what a query returns for all that there is."""

    def _query_events(self, stream: StreamQuery, request: dict[str, Any]) -> Iterator[Event]:
        while not stream.ended:
            answer = self._query(**request, **stream.request())
            yield from map(event_from_item, answer["Items"])
            stream.left -= len(answer["Items"]) if stream.left > 0 else 0
            stream._key = answer.get("LastEvaluatedKey")
            stream.ended = not stream._key or stream.left == 0


class BelievesEverySuccess(DynamoDBEventStore):
    """Takes a write for done when something answers 200."""

    def _write(self, events: list[Event]) -> None:
        try:
            super()._write(events)
        except StoreUnavailable as error:
            if not error.reason.startswith("the answer "):
                raise


class GoesByCodes(DynamoDBEventStore):
    """Takes a refusal for lasting whose code it doesn't know, whatever its status is."""

    def _write(self, events: list[Event]) -> None:
        try:
            super()._write(events)
        except StoreUnavailable as error:
            cause = error.__cause__
            if isinstance(cause, ClientError) and cause.response["Error"]["Code"].isdecimal():
                raise cause from None
            raise


class SearchesNoUids(DynamoDBEventStore):
    """Appends to any version behind the head, whatever is there."""

    def _find_last(self, wanted: Wanted) -> None:
        if wanted.head is None:
            wanted.head = self.head(wanted.append.stream_id)
        else:
            super()._find_last(wanted)


class LooksAtNoVersion(DynamoDBEventStore):
    """Takes the event at the version that's given for somebody else's."""

    def _find_event(self, wanted: Wanted, expected: int) -> None:
        super()._find_event(wanted, expected)
        wanted.seen.clear()


class WritesTheRest(DynamoDBEventStore):
    """Takes an append that's known in part for a new one."""

    def _answer(self, call: Any) -> tuple[Appended, ...]:
        try:
            return super()._answer(call)
        except PartlyAppended:
            for one in call.wanted:
                one.seen.clear()
                one.head = self.head(one.append.stream_id)
            now_us = self._clock_us()
            events = [stamp(one.append, head=one.head, now_us=now_us, uids=one.uids) for one in call.wanted]
            self._write([event for of in events for event in of])
            return tuple(Appended(of[0].stream_id, of, repeated=False) for of in events)


class LogWithoutCondition(DynamoDBEventLog):
    """Puts a block where it takes the tranche's end to be."""

    def _put(self, item: dict[str, Any], uid: str) -> bool:
        send(self._client.put_item, TableName=self._table_name, Item=item)
        return True


class WithoutFence(DynamoDBCheckpoints):
    """Stores a checkpoint and frees a lease for whoever held it once."""

    def _update(self, *args: Any, condition: str, **options: Any) -> Any:
        return super()._update(*args, condition=_without_fence(condition), **options)


def _without_fence(condition: str) -> str:
    held = "#fence = :fence AND #owner = :owner"
    return condition.replace(held, "(#fence >= :fence OR #owner = :owner)").replace("#fence =", "#fence >=")


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


class ReadsAnOldCopy(DynamoDBEventStore):
    """Reads a stream as it was when it first read it."""

    def read_stream(self, stream_id: str, **options: Any) -> Iterator[Event]:
        copies = self.__dict__.setdefault("copies", {})
        whole = copies.get(stream_id) or list(super().read_stream(stream_id))
        copies[stream_id] = whole
        return iter(whole) if not options else super().read_stream(stream_id, **options)


class ReportsNoFailures(Indexer):
    """Takes a block for written whatever the log says."""

    def _append(self, *args: Any) -> str | None:
        super()._append(*args)
        return None


class StoresAhead(DynamoDBCheckpoints):
    """Stores a checkpoint before what is behind it is handled."""

    def _move(
        self, subscription: str, lease: Lease, place: BlockPosition, *args: Any, **options: Any
    ) -> Lease:
        # Inside of a block, where one entry more is there at least: the log refuses what lies behind its end.
        ahead = place._replace(entries=place.entries + (place.entries > 0))
        return super()._move(subscription, lease, ahead, *args, **options)


class ForgetsParkedStreams(DynamoDBCheckpoints):
    """Doesn't tell a tranche's owner which streams are parked."""

    def read_parked(self, subscription: str, *, tranche: int | None = None) -> Iterator[ParkedEvent]:
        return iter(()) if tranche is not None else super().read_parked(subscription)


class ParksNothing(DynamoDBCheckpoints):
    """Says that it has put an event aside."""

    def park(self, subscription: str, lease: Lease, parked: ParkedEvent) -> None:
        pass


class ParksWithoutFence(DynamoDBCheckpoints):
    """Puts an event aside for whoever held the lease once."""

    def park(self, subscription: str, lease: Lease, parked: ParkedEvent) -> None:
        now = self.read_group(subscription).leases[lease.tranche]
        super().park(subscription, replace(lease, fence=now.fence, owner=now.owner), parked)


class IgnoresPauses(DynamoDBReplays):
    """Has steps take a replay for running that is paused."""

    def get(self, replay_id: str) -> Replay | None:
        return _as_running(super().get(replay_id))

    def _update(self, replay_id: str, attributes: Any, *, unless_changed: Any) -> Replay | None:
        is_claim = FENCE in attributes
        kept = {name: value for name, value in unless_changed.items() if not (is_claim and name == STATUS)}
        return _as_running(super()._update(replay_id, attributes, unless_changed=kept))


def _as_running(replay: Replay | None) -> Replay | None:
    is_paused = replay is not None and replay.status is ReplayStatus.PAUSED
    return replace(replay, status=ReplayStatus.RUNNING) if replay and is_paused else replay


class ReadsUnsettled(DynamoDBEventStore):
    """Takes what it reads for all that there will be."""

    def read_all(self, **options: Any) -> Any:
        return super().read_all(**{**options, "unsettled": True})


def fetches_no_holes(reader: TrancheReader, entry: Any) -> Any:
    """Leave out what has no entry of its own."""
    return (step for step in FETCHES(reader, entry) if step.address is None or step.place is not None)


FETCHES = TrancheReader._steps


def reads_nothing_back(reader: TrancheReader) -> None:
    """Begin at the checkpoint, without the blocks before it."""


def compares_nothing(_new: NewEvent, _stored: Event) -> None:
    """Take an event for the one that has its uid."""


def knows_no_command(_folded: object, _new_events: Sequence[NewEvent]) -> None:
    """Take what was decided for new."""


def counts_no_starts(_held: object, _event: Event) -> int:
    """Take each event for one that has never been begun."""
    return 0


def takes_all_for_done(result: object, *_: object, **__: object) -> None:
    """Take whatever a handler returns for done."""
    if isinstance(result, Future):
        result.cancel()


def takes_all_for_lasting(_error: BaseException) -> bool:
    return False


def reads_as_told(_facts: object, told: int, *, fresh: bool = True) -> int:
    """Read as many shards as the settings say."""
    return told


def waits_for_no_reader(copy: Any, *, now_us: int) -> int:
    """Write to new shards at once."""
    return int(copy.read_shards)


def has_no_pace(_replay: Replay) -> int:
    return 10**9


CASES = {
    # What is taken away, the plan with it, the breach, and a seed that shows it.
    "append condition": (replace(WRITES, store_type=WithoutCondition), "lost: append", 1),
    "idempotency by uid": (
        replace(WRITES, store_type=WithoutUids, faults=Faults(kills_after=0.1)),
        "twice: append",
        4,
    ),
    "own writes known": (
        replace(WRITES, store_type=KnowsNoOwnWrites, faults=Faults(lost_answers=0.15)),
        "conflict: append",
        3,
    ),
    "same place after a lost answer": (
        replace(WRITES, store_type=TriesAnew, faults=Faults(lost_answers=0.2, transactions_in_the_way=0.2)),
        "twice: append",
        2,
    ),
    "one transaction": (replace(WRITES, store_type=OneByOne), "torn: append", 1),
    "gaps": (
        replace(WRITES, store_type=TakesGaps, faults=Faults(half_visible=1.0, half_visible_s=2.0)),
        "changed: a read",
        1,
    ),
    "answers of others": (
        replace(WRITES, store_type=BelievesEverySuccess, faults=Faults(strange_answers=0.1)),
        "lost: append",
        3,
    ),
    "status before code": (
        replace(WRITES, store_type=GoesByCodes, faults=Faults(strange_answers=0.1)),
        "refused: append",
        1,
    ),
    "search for uids": (replace(OTHERWISE, store_type=SearchesNoUids), "twice: append", 1),
    "look at the version given": (replace(OTHERWISE, store_type=LooksAtNoVersion), "twice: append", 1),
    "appends known in part": (replace(OTHERWISE, store_type=WritesTheRest), "twice: append", 1),
    "clocks compared": (
        replace(WRITES, compares_clocks=False, faults=Faults(wrong_clocks=0.1)),
        "lost: a reader of all events",
        1,
    ),
    "strong reads": (replace(WRITES, store_type=ReadsAnOldCopy), "stale: a read", 1),
    "settling": (replace(WRITES, reads_unsettled=True), "lost: a reader of all events", 1),
    "block condition": (replace(LOGS, log_type=LogWithoutCondition), "lost: a reader of the log", 1),
    "indexer reports failures": (
        replace(LOGS, indexer_type=ReportsNoFailures),
        "lost: a reader of the log",
        2,
    ),
    "subscription's fence": (replace(PROJECTS, checkpoints_type=WithoutFence), "fence: tranche", 1),
    "fence of what is parked": (
        replace(FAILS, checkpoints_type=ParksWithoutFence, on_failure=OnFailure.PARK_STREAM),
        "fence: tranche",
        10,
    ),
    "checkpoint behind what is handled": (
        replace(PROJECTS, checkpoints_type=StoresAhead),
        "lost: a subscription",
        1,
    ),
    "parked streams wait": (
        replace(FAILS, checkpoints_type=ForgetsParkedStreams, on_failure=OnFailure.PARK_STREAM),
        "order: a handler with PARK_STREAM",
        4,
    ),
    "parked events kept": (
        replace(FAILS, checkpoints_type=ParksNothing, on_failure=OnFailure.PARK),
        "lost: a handler with PARK",
        4,
    ),
    "passing trouble of a handler": (
        replace(FAILS, transient=takes_all_for_lasting, on_failure=OnFailure.SKIP, has_deadly_events=False),
        "lost: a handler with SKIP",
        3,
    ),
    "projection's condition": (replace(PROJECTS, read_model_type=WithoutLastEventId), "twice: ", 1),
    "replay's fence": (replace(REPLAYS, replays_type=ReplaysWithoutFence), "fence: the replay", 1),
    "replay waits for what settles": (
        replace(LONG_REPLAYS, replayed_type=ReadsUnsettled),
        ("lost: a replay job up to now", "order: a replay job up to now"),
        1,
    ),
    "replay heeds a pause": (replace(REPLAYS, replays_type=IgnoresPauses), "pause: step", 2),
}
REPLACED = {
    "readers ask the store for its shards": (
        "eventstore.adapters.dynamodb.facts.StoreFacts.read_shards",
        reads_as_told,
        WRITES,
        "lost: a reader of all events",
        1,
    ),
    "writers wait until readers know new shards": (
        "eventstore.adapters.dynamodb.facts._Copy.known_to_all",
        waits_for_no_reader,
        WRITES,
        "lost: a reader of all events",
        5,
    ),
    "known uids compared": (
        "eventstore.repeats._check_same",
        compares_nothing,
        OTHERWISE,
        "known: uids",
        1,
    ),
    "publisher sorts": ("eventstore.publish.PublicationOrder", AsTheyArrive, PUBLISHES, "order: the bus", 1),
    "publisher reads back what precedes": (
        "eventstore.publish.PublicationOrder",
        WithoutReadBack,
        PUBLISHES,
        "order: the bus",
        1,
    ),
    "publisher fills holes": (
        "eventstore.publish.PublicationOrder",
        WithoutHoles,
        PUBLISHES,
        "order: the bus",
        1,
    ),
    "publisher stops at the first": (
        "eventstore.publish.Publisher",
        NeverStops,
        PUBLISHES,
        "order: the bus",
        2,
    ),
    "publisher reads each result": (
        "eventstore.publish.Publisher",
        ReadsNoResults,
        PUBLISHES,
        "lost: the bus",
        1,
    ),
    "indexer reads back what precedes": (
        "eventstore.index.PublicationOrder",
        WithoutReadBack,
        LOGS,
        "order: a reader of the log",
        1,
    ),
    "subscription fetches holes": (
        "eventstore.subscriptions.tranche_reader.TrancheReader._steps",
        fetches_no_holes,
        PROJECTS,
        "lost: a subscription",
        1,
    ),
    "workers that an event ends are counted": (
        "eventstore.subscriptions.held.Held.starts_of",
        counts_no_starts,
        replace(FAILS, on_failure=OnFailure.PARK_STREAM, has_deadly_events=True, repaired_after_s=100.0),
        "stuck: ",
        2,
    ),
    "what is not done yet is refused": (
        "eventstore.subscriptions.attempts.check_finished",
        takes_all_for_done,
        PROJECTS,
        "lost: a subscription",
        3,
    ),
    "subscription reads back before its checkpoint": (
        "eventstore.subscriptions.tranche_reader.TrancheReader._warm_up",
        reads_nothing_back,
        PROJECTS,
        "lost: a subscription",
        1,
    ),
    "replay sends one event of a stream at a time": (
        "eventstore.replay._Sending",
        SendsAsRead,
        REPLAYS,
        "order: a replay job",
        2,
    ),
    "replay stays before what was not taken": (
        "eventstore.replay._Sending",
        PassesOverUntaken,
        REPLAYS,
        "lost: a replay job",
        1,
    ),
    "replay keeps its pace": (
        "eventstore.replay._budget",
        has_no_pace,
        replace(LONG_REPLAYS, replay_pace=2),
        "pace: ",
        3,
    ),
}


def _is_reported(endpoint: str, plan: Plan, breach: str | tuple[str, ...], seed: int) -> bool:
    """Tell whether a run reports a breach that begins so; the seed first that is known to show it."""
    seeds = dict.fromkeys((seed, *SEEDS))
    return any(one.startswith(breach) for each in seeds for one in run(endpoint, each, plan).breaches)


@pytest.mark.parametrize(("plan", "breach", "seed"), CASES.values(), ids=CASES.keys())
def test_defence_taken_away_is_seen(
    dynamodb_endpoint: str, plan: Plan, breach: str | tuple[str, ...], seed: int
) -> None:
    assert _is_reported(dynamodb_endpoint, plan, breach, seed)


@pytest.mark.parametrize(("name", "weaker", "plan", "breach", "seed"), REPLACED.values(), ids=REPLACED.keys())
def test_defence_replaced_by_a_weaker_one_is_seen(  # noqa: PLR0917 - pytest gives them by name
    dynamodb_endpoint: str,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    weaker: object,
    plan: Plan,
    breach: str,
    seed: int,
) -> None:
    monkeypatch.setattr(name, weaker)
    assert _is_reported(dynamodb_endpoint, plan, breach, seed)


def test_commands_that_are_not_known_are_done_twice(
    dynamodb_endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # By its module, since the package has a function of that name.
    folded = import_module("eventstore.execute")._Folded
    monkeypatch.setattr(folded, "stored", knows_no_command)
    assert _is_reported(dynamodb_endpoint, WRITES, "twice: append", 1)


def test_heads_from_before_a_restore_that_are_not_compared_leave_a_gap(
    dynamodb_endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folded = import_module("eventstore.execute")._Folded
    makes = folded.__init__

    def sees_its_head(self: Any, *args: Any) -> None:
        makes(self, *args)
        self._is_head_seen, self._first_id = True, self.head.version + 1

    monkeypatch.setattr(folded, "__init__", sees_its_head)
    assert _is_reported(dynamodb_endpoint, replace(WRITES, restores=True), "version: ", 1)


def test_index_later_than_the_settling_time_loses_what_the_log_has(dynamodb_endpoint: str) -> None:
    """A reader by time misses for good what the settling time doesn't cover; a reader of the log doesn't."""
    plan = replace(LOGS, faults=Faults(index_lag_s=40.0))
    found = run(dynamodb_endpoint, 1, plan).breaches

    assert any(breach.startswith("lost: a reader of all events") for breach in found)
    assert not [breach for breach in found if "reader of the log" in breach or "tranche" in breach]
