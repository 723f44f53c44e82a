"""Appends asked for again, otherwise: at another expectation, known in part, with other content; commands."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from eventstore import ANY, EXISTS, Event, Head, NewEvent, execute
from eventstore._uids import uuid7
from eventstore.dynamodb.store import DynamoDBEventStore
from eventstore.errors import (
    EventUidReused,
    PartlyAppended,
    StoreUnavailable,
    TransientError,
    VersionConflict,
)
from eventstore.store import Append, Appended, Expected
from tests.proof.history import Known, Operation, Try
from tests.proof.service import NAMES, STREAMS, Service
from tests.proof.world import Killed, World

_DELIVERIES: Final = 5
_NEVER: Final = -1
"""The number of an append that must never be made."""


def ask_otherwise(service: Service, store: DynamoDBEventStore, operation: Operation) -> None:
    """Ask for an append, all of whose events have uids, once more in another way.

    What is appended at other versions than before, is looked for where the store looks: from the head back,
    or at the version that is named, which is an own event's.

    Raises:
        Killed: the process is gone.
    """
    done = operation.acknowledged
    if done is None or done.appended is None:
        repeat(service, store, operation, [replace(one, expected=ANY) for one in operation.appends])
        return
    kind = service.world.rng.choice(["expectation", "expectation", "part", "content"])
    if kind == "expectation":
        expected = [_known_expectation(service.world, told) for told in done.appended]
        pairs = zip(operation.appends, expected, strict=True)
        repeat(service, store, operation, [replace(one, expected=at) for one, at in pairs])
    else:
        _ask_for_another(service, store, operation, done.appended, is_partly_known=kind == "part")


def repeat(
    service: Service, store: DynamoDBEventStore, operation: Operation, appends: Sequence[Append]
) -> None:
    """Ask for it at other expectations."""
    service.world.faults["append repeated at another expectation"] += 1
    operation.otherwise.append(appends)
    try_ = Try(service.world.tick())
    operation.tries.append(try_)
    try:
        try_.appended = store.transact(appends)
    except TransientError:
        return
    except VersionConflict as conflict:
        try_.conflict = conflict
    except Exception as error:  # noqa: BLE001 - the checker tells what an append must not be told
        try_.refused = error
        return
    try_.returned = service.world.tick()


def _known_expectation(world: World, told: Appended) -> Expected:
    own: Expected = world.rng.choice(told.events).event_id
    return world.rng.choice([ANY, EXISTS, own, told.events[0].event_id - 1])


def _ask_for_another(
    service: Service,
    store: DynamoDBEventStore,
    operation: Operation,
    told: Sequence[Appended],
    *,
    is_partly_known: bool,
) -> None:
    """Append a batch of which only a part is known, or one of known uids with another content."""
    rng = service.world.rng
    place = rng.randrange(len(told))
    append, stored = operation.appends[place], told[place].events
    if is_partly_known:
        service.world.faults["append of which a part is known"] += 1
        new = NewEvent(name=NAMES[0], payload=_payload(_NEVER), uid=_uid(service.world))
        if rng.random() < 0.5:
            events, known = (*append.events, new), stored
        else:
            events, known = (new, *append.events[:1]), stored[:1]
    else:
        service.world.faults["known uid with another content"] += 1
        changed = rng.randrange(len(append.events))
        events = tuple(
            replace(event, payload=_payload(_NEVER)) if at == changed else event
            for at, event in enumerate(append.events)
        )
        known = stored[changed : changed + 1]
    asked = Append(append.stream_id, events, rng.choice([ANY, EXISTS]))
    one = Known(operation.number, is_partly_known, {event.uid: event.event_id for event in known})
    service.history.known.append(one)
    try:
        appended = store.append(asked.stream_id, asked.events, expected=asked.expected)
        one.told = f"it was appended at {appended.head.version}"
    except TransientError:
        return
    except PartlyAppended as error:
        one.told, one.stored = "partly appended", dict(error.stored)
    except EventUidReused as error:
        one.told, one.stored = "uid reused", {error.uid: error.event_id}
    except Exception as error:  # noqa: BLE001 - whatever it is, it's the wrong answer
        one.told = repr(error)


class Commander:
    """Has commands executed, each delivered until it's known to be done, and now and then once more."""

    def __init__(self, service: Service, *, commands: int) -> None:
        self._service, self._world, self._commands = service, service.world, commands
        self._snapshots: dict[str, Counted] = {}
        service.writers += 1

    def run(self) -> None:
        for _ in range(self._commands):
            self._command()
            self._world.sleep(self._world.rng.random())
        self._service.writers -= 1

    def _command(self) -> None:
        world, history = self._world, self._service.history
        number, stream_id = len(history.operations) + 1, world.rng.choice(STREAMS)
        count = 1 if world.chance(0.7) else 2
        events = [
            NewEvent(name=NAMES[n], payload=json.dumps({"op": number, "n": n}), uid=_uid(world))
            for n in range(count)
        ]
        operation = Operation(number, [Append(stream_id, tuple(events), ANY)])
        history.operations.append(operation)
        before = self._snapshots.get(stream_id) if world.chance(0.5) else None
        is_done = 0
        for _ in range(_DELIVERIES):
            self._deliver(operation, events, before)
            last = operation.tries[-1]
            is_done += last.appended is not None
            if last.conflict or last.refused or is_done == 2 or (is_done and world.chance(0.5)):
                return
            self._world.faults["command delivered again"] += 1

    def _deliver(self, operation: Operation, events: list[NewEvent], before: Counted | None) -> None:
        world, stream_id = self._world, operation.appends[0].stream_id
        store = self._service.store(clock_us=lambda: world.now_us)
        at = before or Counted(Head(stream_id, 0, 0))
        try_ = Try(world.tick())
        operation.tries.append(try_)
        try:
            done = execute(
                store,
                stream_id,
                initial=at.count,
                fold=_count,
                decide=lambda _: events,
                at=at.head if at.count else None,
                sleep=world.sleep,
                jitter=world.rng.random,
            )
        except (StoreUnavailable, Killed):
            return
        except VersionConflict as conflict:
            try_.conflict, try_.returned = conflict, world.tick()
            return
        except Exception as error:  # noqa: BLE001 - the checker tells what an append must not be told
            try_.refused = error
            return
        try_.returned = world.tick()
        try_.appended = (Appended(stream_id, done.events, repeated=done.repeated),)
        if done.state != done.head.version:
            self._service.history.odd.append(
                f"changed: {stream_id} was folded to {done.state} events at version {done.head.version}"
            )
        self._snapshots[stream_id] = Counted(done.head, done.state)


@dataclass(frozen=True)
class Counted:
    """A snapshot: where a stream was, and its aggregate, the number of its events."""

    head: Head
    count: int = 0


def _count(count: int, _event: Event) -> int:
    return count + 1


def _payload(number: int) -> str:
    return json.dumps({"op": number, "n": 0})


def _uid(world: World) -> str:
    return uuid7(now_us=world.now_us, random_bytes=world.rng.randbytes)
