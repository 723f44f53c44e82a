"""The act of a restore: the table is as it was before, and clients go on from what they had read since.

It's declared before they do, so no event that follows has the CloudEvents id of one that is lost.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from eventstore import Event, Head, NewEvent, execute
from eventstore.delivery.cloudevents import EntryFormat
from eventstore.dynamodb.facts import StoreFacts
from eventstore.dynamodb.items import event_from_item
from eventstore.errors import HeadNotInStream, StoreUnavailable, VersionConflict
from tests.proof.service import NAMES, Service
from tests.proof.wire import wired_client
from tests.proof.world import Killed, World
from tests.tables import dynamodb_client

if TYPE_CHECKING:
    from tests.proof.checker import Table
    from tests.proof.run import Plan, Report


_FORMAT: Final = EntryFormat(source="shop", api_url="https://api.example.com")


def restore(endpoint: str, table_name: str, table: Table, *, plan: Plan, report: Report) -> None:
    """Cut streams off, past the library; have some go on; then have commands go on from kept snapshots.

    Each is refused, or stands behind a stream that is whole: what it folded and what is stored are the same.
    """
    world, client = World(f"{report.seed}/restore"), dynamodb_client(endpoint)
    world.now_us = max(event.timestamp_us for events in table.values() for event in events) + 60_000_000
    with wired_client(world, plan.faults, endpoint) as (wired, wire):
        act = _Restored(Service(world, wired, table_name, plan.faults), table)
        for stream_id in [stream_id for stream_id in table if len(table[stream_id]) > 1][:4]:
            act.cut(client, stream_id)
        facts = StoreFacts(client=client, table_name=table_name)
        facts.declare_restored(now_us=world.now_us, same_name=True)
        world.spawn("commander", act.run)
        world.run()
    for stream_id in act.kept:
        events = _events(client, table_name, stream_id)
        numbers = [event.event_id for event in events]
        if numbers != list(range(1, len(numbers) + 1)):
            report.breaches.append(f"version: {stream_id} has a gap behind what was restored: {numbers}")
        seen, stored = _ids(table[stream_id]), _ids(events)
        left = act.left[stream_id]
        report.checked["events written after a restore"] += len(events) - left
        if stored[:left] != seen[:left]:
            report.breaches.append(f"identity: {stream_id} has other ids than before the restore: {stored}")
        if again := {*stored[left:]} & {*seen}:
            report.breaches.append(f"identity: {stream_id} has ids of lost events again: {sorted(again)}")
    report.breaches += act.odd
    report.faults += world.faults
    report.checked["requests"] += wire.requests
    report.checked["commands from before a restore"] += len(act.kept)


class _Restored:
    def __init__(self, service: Service, table: Table) -> None:
        self.kept: dict[str, Head] = {}
        """Heads from before the restore."""
        self.odd: list[str] = []
        self._service, self._world, self._table = service, service.world, table
        self.left: dict[str, int] = {}
        """The events that are left of each stream."""

    def cut(self, client: Any, stream_id: str) -> None:
        """Leave the first events of a stream, one at least."""
        events = self._table[stream_id]
        left = self._world.rng.randrange(1, len(events))
        for event in events[left:]:
            key = {"StreamId": {"S": stream_id}, "EventId": {"N": str(event.event_id)}}
            client.delete_item(TableName=self._service.table_name, Key=key)
        self.left[stream_id], self.kept[stream_id] = left, events[-1].head
        self._world.faults["stream restored to an earlier state"] += 1

    def run(self) -> None:
        for stream_id, head in self.kept.items():
            if self._world.chance(0.6):
                # Others go on meanwhile, perhaps beyond where the head was.
                more = self._world.rng.randrange(1, head.version - self.left[stream_id] + 3)
                for _ in range(more):
                    self._execute(stream_id, None)
            self._execute(stream_id, head)

    def _execute(self, stream_id: str, at: Head | None) -> None:
        new = NewEvent(name=NAMES[0], payload=json.dumps({"op": -1, "n": 0}))
        try:
            done = execute(
                self._service.store(clock_us=lambda: self._world.now_us),
                stream_id,
                initial=at.version if at else 0,
                fold=_count,
                decide=lambda _: [new],
                at=at,
                sleep=self._world.sleep,
                jitter=self._world.rng.random,
            )
        except HeadNotInStream:
            self._world.faults["head from before a restore refused"] += 1
        except (StoreUnavailable, VersionConflict, Killed):
            pass
        else:
            if at:
                self.odd.append(f"version: {stream_id} went on at {done.head.version}, from before a restore")


def _count(count: int, _event: Event) -> int:
    return count + 1


def _ids(events: Sequence[Event]) -> list[str]:
    return [json.loads(_FORMAT.entry(event).detail)["id"] for event in events]


def _events(client: Any, table_name: str, stream_id: str) -> list[Event]:
    answer = client.query(
        TableName=table_name,
        KeyConditionExpression="StreamId = :stream",
        ExpressionAttributeValues={":stream": {"S": stream_id}},
        ConsistentRead=True,
    )
    return [event_from_item(item) for item in answer["Items"]]
