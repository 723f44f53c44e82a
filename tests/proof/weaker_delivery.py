"""Log, subscriptions and replays with one defence less each."""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import replace
from typing import Any

from eventstore import Event
from eventstore.delivery.cloudevents import Entry
from eventstore.dynamodb.checkpoints import DynamoDBCheckpoints
from eventstore.dynamodb.log import DynamoDBEventLog
from eventstore.dynamodb.log_items import LogItem
from eventstore.dynamodb.read_model import DynamoDBReadModel
from eventstore.dynamodb.replays import DynamoDBReplays
from eventstore.dynamodb.requests import SlotsTaken, send
from eventstore.dynamodb.schema.replays import FAILED_STEPS, FENCE, STATUS
from eventstore.errors import BlockMissing
from eventstore.log.model import BlockPosition, LogEntry
from eventstore.log.writer import LogWriter
from eventstore.replays.calls import Sending
from eventstore.replays.service import Replay, ReplayStatus
from eventstore.subscriptions.ahead import Ahead, Waiting
from eventstore.subscriptions.attempts import Called
from eventstore.subscriptions.checkpoints import Lease, ParkedEvent
from eventstore.subscriptions.holding import Holding
from eventstore.subscriptions.membership import Progress
from eventstore.subscriptions.tranche_reader import TrancheReader, Turn


class LogWithoutCondition(DynamoDBEventLog):
    """Puts a block where it takes the tranche's end to be."""

    def _put(self, item: dict[str, Any], uid: str) -> bool:
        send(self._client.put_item, TableName=self._table_name, Item=item)
        return True


class BelievesItsTranches(DynamoDBEventLog):
    """Has as many tranches as it's told."""

    @property
    def tranches(self) -> int:
        return self._told or super().tranches

    def _take(self, item: Mapping[str, Any], *, cause: SlotsTaken | None = None) -> LogItem:
        told, self._told = self._told, None
        try:
            return super()._take(item, cause=cause)
        finally:
            self._told = told


class ReportsNoFailures(LogWriter):
    """Takes a block for written whatever the log says."""

    def _append(self, *args: Any) -> str | None:
        super()._append(*args)
        return None


class WithoutFence(DynamoDBCheckpoints):
    """Stores a checkpoint and frees a lease for whoever held it once."""

    def _update(self, *args: Any, condition: str, **options: Any) -> Any:
        return super()._update(*args, condition=_without_fence(condition), **options)


def _without_fence(condition: str) -> str:
    held = "#fence = :fence AND #owner = :owner"
    return condition.replace(held, "(#fence >= :fence OR #owner = :owner)").replace("#fence =", "#fence >=")


class WithoutLastEventId(DynamoDBReadModel):
    """Writes an event whether or not it, or a later one of its stream, was written before."""

    def _move_last(self, projection: str, event: Event, after: int) -> dict[str, Any]:
        conditions = {"ConditionExpression", "ReturnValuesOnConditionCheckFailure"}
        # DynamoDB takes no value that no expression has.
        update = super()._move_last(projection, event, 0)
        return {name: value for name, value in update.items() if name not in conditions}


class WaitsForNoTurn(DynamoDBReadModel):
    """Writes every event that's later than the last of its stream, whatever was left out."""

    def _move_last(self, projection: str, event: Event, after: int) -> dict[str, Any]:
        return super()._move_last(projection, event, 0)


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

    def read_parked(
        self, subscription: str, *, tranche: int | None = None, stream_of: ParkedEvent | None = None
    ) -> Iterator[ParkedEvent]:
        return iter(()) if tranche is not None else super().read_parked(subscription, stream_of=stream_of)


class ParksNothing(DynamoDBCheckpoints):
    """Says that it has put an event aside."""

    def park(
        self, subscription: str, lease: Lease, parked: ParkedEvent, *, behind: int | None = None
    ) -> bool:
        return True


class ParksWithoutFence(DynamoDBCheckpoints):
    """Puts an event aside for whoever held the lease once."""

    def park(
        self, subscription: str, lease: Lease, parked: ParkedEvent, *, behind: int | None = None
    ) -> bool:
        now = self.read_group(subscription).leases[lease.tranche]
        ours = replace(lease, fence=now.fence, owner=now.owner)
        return super().park(subscription, ours, parked, behind=behind)


def fetches_no_holes(reader: TrancheReader, entry: Any) -> Any:
    """Leave out what has no entry of its own."""
    return (step for step in FETCHES(reader, entry) if step.address is None or step.place is not None)


FETCHES = TrancheReader._steps


def believes_replicas(
    log: DynamoDBEventLog, tranche: int, place: BlockPosition, limit: int | None
) -> Iterator[LogEntry]:
    """Take a gap in what a replica has for blocks that are gone, and go on behind it."""
    while True:
        try:
            yield from log._entries(tranche, place, limit, consistent=False)
        except BlockMissing as missing:
            place = BlockPosition(missing.next_block, 0)
        else:
            return


def looks_once(shared: Any, tranche: int, place: BlockPosition) -> bool:
    """Take the end of the log that was found once for its end from then on."""
    look = shared._looks.get(tranche)
    return look is not None and look.place == place


def counts_no_starts(_held: object, _event: Event) -> int:
    """Take each event for one that has never been begun."""
    return 0


def frees_as_begun(holding: Holding, tranche: int, _is_freed: bool) -> Progress:
    """Free a tranche with the event that is at hand, as though it had ended the worker."""
    of = holding.held.get(tranche) or holding.membership.leases[tranche]
    return Progress(of.place, of.start, of.horizon_us)


def takes_all_for_done(result: object, *_: object, **__: object) -> None:
    """Take whatever a handler returns for done."""
    if isinstance(result, Future):
        result.cancel()


def takes_all_for_lasting(_error: BaseException) -> bool:
    return False


class ReplaysWithoutFence(DynamoDBReplays):
    """Stores how far a step is, though another has begun since."""

    def save(self, replay: Replay) -> Replay | None:
        newest = self.get(replay.replay_id)
        return super().save(replace(replay, fence=newest.fence) if newest else replay)


class CountsNoSteps(DynamoDBReplays):
    """Takes a step for one that has failed only when it comes as far as saying so."""

    def _update(self, replay_id: str, attributes: Any, *, unless_changed: Any) -> Replay | None:
        if FENCE in attributes:
            attributes = {name: value for name, value in attributes.items() if name != FAILED_STEPS}
        return super()._update(replay_id, attributes, unless_changed=unless_changed)


class SendsAsRead(Sending):
    """Puts several events of a stream into a call that may be taken in part."""

    def next_call(self) -> list[Entry]:
        waiting = sorted((entry for queue in self.queues.values() for entry in queue), key=self._place)
        return self._within_limits(waiting, skips=False)

    def finish(self, entry: Entry) -> None:
        self.queues[entry.stream_id].remove(entry)
        self.queues[entry.stream_id].appendleft(entry)
        super().finish(entry)


class PassesOverUntaken(Sending):
    """Stores its position behind events that weren't taken."""

    def undone(self) -> Collection[tuple[str, int]]:
        return ()


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


def has_no_pace(_replay: Replay) -> int:
    return 10**9


class StoresTheHighestDone(Ahead):
    """Moves on behind whatever is done, though something before it isn't."""

    def turns(
        self,
        turns: Iterator[Turn],
        after: Callable[[Turn], int | None],
        done: dict[tuple[str, int], Called],
    ) -> Generator[Waiting, None, None]:
        window = self._window
        window.clear()
        try:
            while self._fill(turns, done):
                self._begin(after)
                waiting = next((one for one in window if one.is_handled), window[0])
                yield waiting
                window.remove(waiting)
        finally:
            window.clear()


def looks_at_nothing_missing(*_: object) -> None:
    """Take what isn't there for deleted."""


def _is_over(waiting: Waiting) -> bool:
    """Take an event for handled as soon as its call is over, whatever came of it."""
    return bool(waiting.call and waiting.call.done())


is_handled_when_called = property(_is_over)
