"""Each defence of the publication, taken away: the simulation has to see it, or it proves nothing."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any

import pytest

from eventstore import Event
from eventstore.delivery.cloudevents import Entry
from eventstore.delivery.publisher import Publication, Publisher, Refusal, _Batch, _Pending
from eventstore.errors import MalformedItem, PublicationStopped
from eventstore.limits import PUBLISH_MAX_TRIES
from eventstore.ordering.delivered import DeliveredStreams
from eventstore.ordering.stream_order import ChangeRecord, Placed, StreamOrder, Trouble
from tests.simulator.event_source_mapping import Change, Settings, Shard
from tests.simulator.history import History, address_of
from tests.simulator.publication import WINDOW_S, Simulation, one_shard, reordered, side_by_side


class AsTheyArrive(StreamOrder):
    """Leaves a stream's events in the order of their records."""

    def _queue(
        self, _stream_id: str, events: dict[int, tuple[int, ChangeRecord]], *_: object
    ) -> Iterator[Placed]:
        return (Placed(place, record.event) for place, record in events.values())


class WithoutReadBack(StreamOrder):
    """Fills holes inside a batch, but does not look for what precedes it."""

    def _read_back(self, hole: Any, plan: Any) -> list[Event | MalformedItem]:
        return super()._read_back(hole, plan) if hole.is_whole else []


class TakesAllForOld(StreamOrder):
    """Takes everything that precedes a batch for old."""

    def _is_old(self, written_us: int | None, _record: ChangeRecord) -> bool:
        return written_us is not None


class WithoutHoles(StreamOrder):
    """Looks for what precedes a batch, but does not fill the holes inside it."""

    def _read_back(self, hole: Any, plan: Any) -> list[Event | MalformedItem]:
        return [] if hole.is_whole else super()._read_back(hole, plan)


class TrustsAllThatCameBefore(DeliveredStreams):
    """Takes everything before the last published event for published."""

    def has(self, stream_id: str, event_id: int) -> bool:
        return event_id <= self.last_before(stream_id, 10**15)


class SharesCalls(Publisher):
    """Puts events of one stream into one call."""

    def _next_call(self, batch: _Batch) -> list[_Pending]:
        queue = batch.queues._queues[batch.queues.first().work.stream_id]
        return [pending for pending in islice(queue, 10) if isinstance(pending.work, Entry)]

    def _finish(self, batch: _Batch, pending: _Pending, now_us: int) -> None:
        queue = batch.queues._queues[pending.work.stream_id]
        queue.remove(pending)
        queue.appendleft(pending)
        super()._finish(batch, pending, now_us)
        # An event behind the first can be refused for good: it must not be parked twice.
        batch.queues._to_park = deque({id(parking): parking for parking in batch.queues._to_park}.values())


class NeverStops(Publisher):
    """Goes on with a stream whose event has failed too often, and reports that event in the end."""

    def publish(
        self, records: Sequence[ChangeRecord], *, remaining_time_s: Callable[[], float]
    ) -> Publication:
        self._reportable = {(record.stream_id, record.event_id) for record in records}
        self._left: Trouble | None = None
        return super().publish(records, remaining_time_s=remaining_time_s)

    def _send_all(self, batch: _Batch, remaining_time_s: Callable[[], float]) -> Trouble | None:
        return super()._send_all(batch, remaining_time_s) or self._left

    def _send(self, batch: _Batch) -> list[_Pending]:
        failed = super()._send(batch)
        for pending in failed:
            if pending.tries == PUBLISH_MAX_TRIES:
                address = pending.work.stream_id, pending.work.event_id
                if address in self._reportable:
                    self._left = Trouble(*address, "left behind")
                batch.queues.remove(pending)
        return [pending for pending in failed if pending.tries < PUBLISH_MAX_TRIES]


class ReadsNoResults(Publisher):
    """Takes a call that came back for a success of all its entries."""

    def _call(self, batch: _Batch) -> list[tuple[_Pending, Refusal | None]]:
        return [(pending, None) for pending, _ in super()._call(batch)]


class RemembersTooEarly(Publisher):
    """Remembers what it sends, not what was taken."""

    def _next_call(self, batch: _Batch) -> list[_Pending]:
        call = super()._next_call(batch)
        for pending in call:
            self._published.add(pending.work.stream_id, pending.work.event_id)
        return call


def reports_the_last(records: Sequence[ChangeRecord], batch: _Batch, trouble: Trouble) -> PublicationStopped:
    """Report the highest sequence number that isn't done."""
    left = [record for record in records if (record.stream_id, record.event_id) not in batch.done]
    return PublicationStopped(
        sequence_number=left[-1].sequence_number,
        stream_id=trouble.stream_id,
        event_id=trouble.event_id,
        reason=trouble.reason,
    )


def of_events(history: History) -> list[Change]:
    """The changes but those of the store's own item, which a weakened publisher can trip over."""
    return [change for change in history.changes if not address_of(change)[0].startswith("$")]


def one_shard_out_of_order(history: History, rng: random.Random) -> list[Shard]:
    return one_shard(reordered(of_events(history), rng, within_s=WINDOW_S))


def two_shards_that_part(history: History, rng: random.Random) -> list[Shard]:
    shards, _ = side_by_side(of_events(history), rng)
    return shards


Shards = Callable[[History, random.Random], list[Shard]]


def breaches(
    history: History, simulation: Simulation, shards: Shards = one_shard_out_of_order, *, seeds: int = 10
) -> Iterator[str]:
    """Run with one seed after the other; tell the kind of every breach."""
    for seed in range(seeds):
        run = simulation.run(shards(history, random.Random(seed)), seed=seed, settings=Settings(batch_size=8))
        for breach in run.breaches:
            yield "order" if "went out before" in breach else "loss" if "got lost" in breach else breach


def test_with_all_defences_nothing_is_found(history: History, simulation: Simulation) -> None:
    assert set(breaches(history, simulation)) == set()


@pytest.mark.parametrize(
    ("weakened", "breach"),
    [
        ({"StreamOrder": AsTheyArrive}, "order"),
        ({"StreamOrder": WithoutReadBack}, "order"),
        ({"StreamOrder": TakesAllForOld}, "order"),
        ({"StreamOrder": WithoutHoles}, "order"),
        ({"Publisher": SharesCalls}, "order"),
        ({"Publisher": NeverStops}, "order"),
        ({"Publisher": ReadsNoResults}, "loss"),
        ({"Publisher": RemembersTooEarly}, "loss"),
        ({"_stopped": reports_the_last}, "loss"),
    ],
    ids=lambda value: next(iter(value.values())).__name__ if isinstance(value, dict) else value,
)
def test_each_defence_is_needed_and_its_absence_is_seen(
    history: History,
    simulation: Simulation,
    monkeypatch: pytest.MonkeyPatch,
    weakened: dict[str, Any],
    breach: str,
) -> None:
    for name, weaker in weakened.items():
        monkeypatch.setattr(f"eventstore.delivery.publisher.{name}", weaker)
    assert breach in breaches(history, simulation)


def test_memory_of_the_own_run_only_keeps_late_events_from_getting_lost(
    history: History, simulation: Simulation, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert set(breaches(history, simulation, two_shards_that_part)) == {"order"}
    monkeypatch.setattr("eventstore.delivery.publisher.DeliveredStreams", TrustsAllThatCameBefore)
    assert "loss" in breaches(history, simulation, two_shards_that_part)
