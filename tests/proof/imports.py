"""An import among live writes: two processes write a file's events, of long ago, beside the writers."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from unittest.mock import patch

from eventstore import Event, NewEvent
from eventstore._uids import uuid7
from eventstore.dynamodb.facts import StoreFacts
from eventstore.dynamodb.raw_items import DynamoDBEventsTable
from eventstore.errors import MalformedItem, StoreUnavailable
from eventstore.maintenance.transfer.export import export
from eventstore.maintenance.transfer.importing import check_export, import_events
from eventstore.store import Append, Appended
from tests.proof.history import Deliveries, Operation, Try
from tests.proof.service import NAMES, STREAMS, Service
from tests.proof.world import NOON_US, Killed, World
from tests.simulator.history import Address

if TYPE_CHECKING:
    from tests.proof.checker import Table

_CONTESTED: Final = STREAMS[-1]
"""A live stream, of which the file has other events: whoever is first has a place."""
_OLD_STREAMS: Final = ("old-0", "old-1", "old-2")
IMPORTED_INTO: Final = (*_OLD_STREAMS, _CONTESTED)
"""Their records come in order: the Timestamps of what is imported are further apart than its writes, so
that the window by which others are put in order says nothing of them (ADR 4)."""
_WINDOW_EVENTS: Final = 9
_MONTH_US: Final = 30 * 86_400_000_000
_SETTLED_US: Final = 10_000_000


class Import:
    """A file of events of long ago, and who imports it.

    An event is acknowledged when it's told to be there, and never before.
    """

    def __init__(self, service: Service, table_type: type[DynamoDBEventsTable], folder: Path) -> None:
        self.there_us: dict[Address, int] = {}
        """Of each event when it was first told to be there."""
        self._service, self._world, self._table_type = service, service.world, table_type
        self._operations: dict[Address, Operation] = {}
        events = [
            event
            for stream_id in IMPORTED_INTO
            for event in self._stream(stream_id, service.world.rng.randint(3, 8))
        ]
        self._count = len(events)
        self._path = folder / "events.ndjson.gz"
        export(events, self._path, settled_until="2026-01-01T00:00:00+00:00")
        check_export(self._path, whole_streams=True)

    def begin(self) -> None:
        """Have two processes import it, from some moment on."""
        for number in range(2):
            self._world.spawn(f"importer-{number}", self._run)

    def without(self, table: Table, *, there_before_us: int = 0) -> Table:
        """Leave out of a table what was imported, but for what was there, and seen by all, at some time."""
        left_out = {address for address in self._operations if not self._is_seen(address, there_before_us)}
        return {
            stream_id: [event for event in events if (stream_id, event.event_id) not in left_out]
            for stream_id, events in table.items()
        }

    def without_deliveries(self, deliveries: Deliveries, *, there_before_us: int = 0) -> Deliveries:
        """Leave the same out of what was delivered: a reader may have passed its times, or not."""
        kept = (
            address
            for address in deliveries.addresses
            if address not in self._operations or self._is_seen(address, there_before_us)
        )
        return Deliveries(deliveries.name, list(kept))

    def _is_seen(self, address: Address, at_us: int) -> bool:
        there_us = self.there_us.get(address)
        return there_us is not None and there_us + _SETTLED_US <= at_us

    def _stream(self, stream_id: str, count: int) -> Iterator[Event]:
        """Make a stream's events, from seconds to months after each other, and keep them as appends."""
        rng, history = self._world.rng, self._service.history
        timestamp_us = NOON_US - 24 * _MONTH_US
        for event_id in range(1, count + 1):
            timestamp_us += 1 + round(_MONTH_US * rng.random() ** 8)
            new = NewEvent(
                name=rng.choice(NAMES),
                payload=json.dumps({"op": len(history.operations) + 1, "n": 0}),
                uid=uuid7(now_us=timestamp_us, random_bytes=rng.randbytes),
            )
            operation = Operation(len(history.operations) + 1, [Append(stream_id, (new,), event_id - 1)])
            operation.tries.append(Try(self._world.tick()))
            history.operations.append(operation)
            self._operations[stream_id, event_id] = operation
            yield Event(
                stream_id=stream_id,
                event_id=event_id,
                name=new.name,
                uid=str(new.uid),
                timestamp_us=timestamp_us,
                payload=new.payload,
                metadata=new.metadata,
            )

    def _run(self) -> None:
        """Import until it's told to be done; who was killed or had no answer begins again."""
        world = self._world
        while True:
            world.sleep(world.rng.random() * 3)
            try:
                self._import()
                return
            except (StoreUnavailable, Killed):
                world.faults["import begun again"] += 1

    def _import(self) -> None:
        world, client, table_name = self._world, self._service.client, self._service.table_name
        facts = StoreFacts(
            client=client,
            table_name=table_name,
            clock_us=lambda: world.now_us,
            jitter=world.rng.random,
            sleep=world.sleep,
            monotonic_s=lambda: world.now_us / 1_000_000,
        )
        table = self._table_type(
            client=client, table_name=table_name, facts=facts, clock_us=lambda: world.now_us
        )
        parts = import_events(
            self._path,
            _Told(table, self),
            write_shards=self._service.write_shards,
            into_existing=True,
            random_shard=world.rng.randrange,
            sleep=world.sleep,
        )
        told = list(parts)
        if sum(part.events for part in told) != self._count:
            self._service.history.odd.append("lost: an import didn't say what became of each event")
        refused = [reason for part in told for reason in part.reasons]
        world.faults["imported event whose place is taken"] += len(refused)
        self._service.history.odd += [
            f"conflict: an import was told of its own stream: {reason}"
            for reason in refused
            if repr(_CONTESTED) not in reason
        ]

    def acknowledge(self, event: Event) -> None:
        """Keep that an event was told to be there."""
        address = event.stream_id, event.event_id
        self.there_us.setdefault(address, self._world.now_us)
        try_ = self._operations[address].tries[0]
        try_.appended = (Appended(event.stream_id, (event,), repeated=False),)
        try_.returned = try_.returned or self._world.tick()


class _Told:
    """The table, as an import writes it; what is told to be there is kept."""

    def __init__(self, table: DynamoDBEventsTable, of: Import) -> None:
        self._table, self._of = table, of

    def __getattr__(self, name: str) -> Any:
        return getattr(self._table, name)

    def put(self, event: Event, *, shard: int) -> Event | MalformedItem | None:
        """Write an event, as the table does."""
        there = self._table.put(event, shard=shard)
        if there is None or there == event:
            self._of.acknowledge(event)
        return there


class _Actors:
    """An executor whose threads are actors of a world."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._begun: list[Future[Any]] = []

    def submit(self, call: Callable[..., Any], *args: Any) -> Future[Any]:
        future = Future[Any]()
        self._begun.append(future)
        self._world.spawn("import's thread", partial(_fill, future, call, *args))
        return future

    def shutdown(self, **_: Any) -> None:
        """Wait for all, as an executor does for those that have begun."""
        list(_as_completed(self._world, self._begun))


def _fill(future: Future[Any], call: Callable[..., Any], *args: Any) -> None:
    try:
        future.set_result(call(*args))
    except (Exception, Killed) as error:  # noqa: BLE001 - it's raised to who asks for the result
        future.set_exception(error)


def _as_completed(world: World, futures: Iterable[Future[Any]]) -> Iterator[Future[Any]]:
    waiting = list(futures)
    while waiting:
        done = [future for future in waiting if future.done()]
        waiting = [future for future in waiting if future not in done]
        yield from done
        if waiting:
            world.sleep(0.02)


def imports_in(world: World) -> Any:
    """Have imports write in a world: in small windows, their threads in virtual time."""
    return patch.multiple(
        "eventstore.maintenance.transfer.importing",
        ThreadPoolExecutor=lambda *_, **__: _Actors(world),
        as_completed=partial(_as_completed, world),
        WINDOW_EVENTS=_WINDOW_EVENTS,
    )
