"""The clients of a run: writers and readers, each with its own clock, whose processes die and begin again."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from eventstore import ANY, EXISTS, Head, NewEvent
from eventstore._uids import uuid7
from eventstore.dynamodb.log import DynamoDBEventLog
from eventstore.dynamodb.store import DynamoDBEventStore
from eventstore.errors import ClockSkewed, StoreUnavailable, TranchesChanged, VersionConflict
from eventstore.log.model import LogPosition
from eventstore.log.read import read_log
from eventstore.positions import Position
from eventstore.store import Append, Expected
from tests.proof.history import Deliveries, Operation, Read, Try
from tests.proof.repeats import ask_otherwise
from tests.proof.service import MORE_SHARDS, NAMES, STREAMS, Service
from tests.proof.world import Killed, World

if TYPE_CHECKING:
    pass

_TRIES: Final = 6
_SPREAD_S: Final = 23.0
"""Until new shards are written."""


class Writer:
    """Appends to streams that others append to as well, and tries again what it doesn't know to be done."""

    def __init__(self, service: Service, *, appends: int) -> None:
        self._service, self._world, self._rng = service, service.world, service.world.rng
        self._appends = appends
        self._skew_us = 0
        self._reshards_after = appends
        self._heads: dict[str, Head] = {}
        self._store = self._start()
        service.writers += 1

    def run(self) -> None:
        for number in range(self._appends):
            if number == self._appends * 3 // 4:
                self._world.sleep(_SPREAD_S)
            if self._world.chance(0.1):
                self._step_the_clock()
            if self._world.chance(self._service.faults.wrong_clocks):
                self._set_the_clock_wrong()
            operation = self._decide()
            self._service.history.operations.append(operation)
            self._carry_out(operation)
            self._world.sleep(self._rng.random() * 0.8)
            self._perhaps_ask_otherwise(operation)
            if len(self._service.history.operations) > self._reshards_after and self._world.chance(0.3):
                self._reshard()
        self._service.writers -= 1

    def _start(self) -> DynamoDBEventStore:
        self._heads = {}

        def clock_us() -> int:
            return self._world.now_us + self._skew_us

        if self._service.patient_client and self._world.chance(self._service.faults.patient_clients):
            try:
                return self._service.store(clock_us=clock_us, client=self._service.patient_client)
            except ValueError:
                self._world.faults["client that sends a write again refused"] += 1
        return self._service.store(clock_us=clock_us)

    def _reshard(self) -> None:
        """Begin anew with more shards, as after a deployment; other writers go on as they were."""
        if self._service.write_shards != MORE_SHARDS:
            self._world.faults["more shards while readers of every age read"] += 1
        self._service.write_shards = MORE_SHARDS
        self._reshards_after = 10**9
        self._store = self._start()

    def _step_the_clock(self) -> None:
        before, most = self._skew_us, self._service.faults.clock_skew_s
        self._skew_us = round(self._rng.uniform(-most, most) * 1_000_000)
        self._world.faults[f"clock stepped {'back' if self._skew_us < before else 'forth'}"] += 1

    def _set_the_clock_wrong(self) -> None:
        """Set it a minute to three years off; it's set right when that's noticed, or at the next step."""
        self._skew_us = wrong_by_us(self._world)
        self._world.faults["clock set minutes to years off"] += 1

    def _decide(self) -> Operation:
        number = len(self._service.history.operations) + 1
        streams = 1 if self._world.chance(0.8) else self._rng.randint(2, 4)
        names = sorted({self._rng.choice(STREAMS) for _ in range(streams)})
        has_uids = self._world.chance(0.7)
        parts = []
        for name in names:
            count = 1 if self._world.chance(0.75) else self._rng.randint(2, 4)
            events = tuple(self._event(number, index, has_uid=has_uids) for index in range(count))
            parts.append(Append(name, events, self._expect(name)))
        return Operation(number, parts)

    def _event(self, number: int, index: int, *, has_uid: bool) -> NewEvent:
        uid = uuid7(now_us=self._world.now_us, random_bytes=self._rng.randbytes) if has_uid else None
        payload = json.dumps({"op": number, "n": index})
        return NewEvent(name=self._rng.choice(NAMES), payload=payload, uid=uid)

    def _expect(self, name: str) -> Expected:
        head = self._heads.get(name, Head(name, 0, 0))
        kinds: list[Expected] = [head, head.version, ANY, EXISTS, head.version + 2]
        return self._rng.choices(kinds, weights=[35, 15, 42, 4, 4])[0]

    def _carry_out(self, operation: Operation) -> None:
        may_repeat = operation.appends[0].events[0].uid is not None
        for _ in range(_TRIES if may_repeat else 1):
            try_ = Try(self._world.tick())
            operation.tries.append(try_)
            try:
                try_.appended = self._store.transact(operation.appends)
            except VersionConflict as conflict:
                try_.conflict = conflict
                try_.returned = self._world.tick()
                self._heads[conflict.stream_id] = self._read(conflict.stream_id)
                return
            except ClockSkewed:
                self._world.faults["append refused for its clock"] += 1
                try_.unwritten = True
                self._skew_us = 0
                if self._world.chance(0.5):
                    return
                continue
            except StoreUnavailable:
                continue
            except Killed:
                self._store = self._start()
                continue
            except Exception as error:  # noqa: BLE001 - the checker tells what an append must not be told
                try_.refused = error
                return
            try_.returned = self._world.tick()
            self._heads |= {appended.stream_id: appended.head for appended in try_.appended}
            return

    def _perhaps_ask_otherwise(self, operation: Operation) -> None:
        has_uids = operation.appends[0].events[0].uid is not None
        is_refused = any(try_.conflict or try_.refused for try_ in operation.tries)
        if has_uids and not is_refused and self._world.chance(self._service.faults.otherwise):
            try:
                ask_otherwise(self._service, self._store, operation)
            except Killed:
                self._store = self._start()

    def _read(self, stream_id: str) -> Head:
        read = read_recorded(self._service, self._store, stream_id)
        if read is None:
            self._store = self._start()
        return read.events[-1].head if read and read.events else Head(stream_id, 0, 0)


def read_recorded(service: Service, store: DynamoDBEventStore, stream_id: str) -> Read | None:
    """Read a stream and keep what it said; None when the process is killed or nothing is answered."""
    invoked = service.world.tick()
    try:
        events = tuple(store.read_stream(stream_id))
    except (StoreUnavailable, Killed):
        return None
    read = Read(stream_id, invoked, service.world.tick(), events)
    service.history.reads.append(read)
    return read


def ahead_us(service: Service) -> int:
    """Return the time, as far ahead as a clock may be."""
    return service.world.now_us + round(service.faults.clock_skew_s * 1_000_000)


def wrong_by_us(world: World) -> int:
    """Draw by how much a clock is wrong: a minute to three years, ahead or behind."""
    return round(10 ** world.rng.uniform(1.8, 8.0) * world.rng.choice([-1, 1]) * 1_000_000)


def _perhaps_die(world: World) -> None:
    if world.chance(0.05):
        world.faults["reader killed between handling and storing its position"] += 1
        raise Killed


class StreamReader:
    """Reads streams, strongly consistent, for as long as there are writers."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def run(self) -> None:
        world = self._service.world
        while self._service.writers:
            store = self._service.store(clock_us=lambda: world.now_us)
            read_recorded(self._service, store, world.rng.choice(STREAMS))
            world.sleep(world.rng.random())


class AllReader:
    """Pages through all events by position, its clock as far ahead as a clock may be; stores its position.

    Goes on until `quiet_s` after the last writer's end.
    """

    def __init__(
        self, service: Service, name: str, *, unsettled: bool = False, quiet_s: float = 50.0
    ) -> None:
        self.deliveries = Deliveries(name)
        self._service, self._unsettled, self._quiet_s = service, unsettled, quiet_s
        self._wrong_us = 0

    def clock_us(self) -> int:
        """Return the time, as far ahead as a clock may be; or whatever its clock was set to."""
        return self._service.world.now_us + self._wrong_us if self._wrong_us else ahead_us(self._service)

    def _start(self) -> DynamoDBEventStore:
        """Begin a process that is told fewer shards than are written; it lives for a while."""
        self._service.world.faults["reader told too few shards"] += 1
        return self._service.store(clock_us=self.clock_us, shards=1)

    def run(self) -> None:
        world = self._service.world
        stored: Position | None = None
        quiet_since_us = world.now_us
        store = self._start()
        while True:
            if self._service.writers:
                quiet_since_us = world.now_us
            if world.chance(0.02):
                store = self._start()
            if world.chance(self._service.faults.wrong_readers_clocks):
                world.faults["reader's clock set minutes to years off"] += 1
                self._wrong_us = wrong_by_us(world)
            is_right, limit = not self._wrong_us, world.rng.randint(1, 20)
            try:
                page = list(store.read_all(after=stored, limit=limit, unsettled=self._unsettled))
                self.deliveries.add((event.stream_id, event.event_id) for event in page)
                world.step()
                _perhaps_die(world)
            except ClockSkewed:
                world.faults["read of all events refused for its clock"] += 1
                self._wrong_us = 0
                continue
            except (StoreUnavailable, Killed) as error:
                store = self._start() if isinstance(error, Killed) else store
                world.sleep(world.rng.random() / 2)  # the reads side by side take no time themselves
                continue
            stored = page[-1].position if page else stored
            if self._wrong_us and world.chance(0.5):
                self._wrong_us = 0  # where nothing refuses it, it's set right some time all the same
            if not page:
                if is_right and world.now_us > quiet_since_us + self._quiet_s * 1_000_000:
                    return
                world.sleep(world.rng.random() * (2 if self._service.writers else 10))


class LogReader:
    """Reads the log behind its stored position, until the log writers are done and nothing is left.

    Its first process is told too few tranches, until that's refused.

    Args:
        log: makes a process's log that is told so many tranches less than there are.
    """

    def __init__(
        self, world: World, log: Callable[[int], DynamoDBEventLog], feeding: Sequence[object]
    ) -> None:
        self.deliveries = Deliveries("a reader of the log")
        self.tranches: dict[int, list[tuple[int, int]]] = {}
        """Of each tranche the blocks and indexes that were read, at their first delivery."""
        self._world, self._log, self._feeding = world, log, feeding

    def run(self) -> None:
        stored: LogPosition | None = None
        fewer = 1
        while True:
            is_last = not self._feeding
            try:
                page = read_log(self._log(fewer), after=stored, limit=self._world.rng.randint(1, 40))
                self.deliveries.add((entry.stream_id, entry.event_id) for entry in page.entries)
                for entry in page.entries:
                    self.tranches.setdefault(entry.tranche, []).append((entry.block, entry.index))
                self._world.step()
                _perhaps_die(self._world)
            except TranchesChanged:
                self._world.faults["reader of the log refused for too few tranches"] += 1
                fewer = 0
                continue
            except (StoreUnavailable, Killed):
                continue
            stored = page.position
            if not page.entries:
                if is_last:
                    return
                self._world.sleep(self._world.rng.random())
