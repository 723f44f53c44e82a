"""What the log of the subscriptions' act is fed: in turns with holes and repeats, or in the wrong order."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Protocol

from eventstore import Event
from eventstore.dynamodb.log import DynamoDBEventLog
from eventstore.errors import StoreUnavailable
from eventstore.log.model import tranche_of
from tests.proof.checker import Table
from tests.proof.world import Killed, World
from tests.tables import of_tranches

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

_TRANCHES: Final = 3
WARM_UP_BLOCKS: Final = 5
_LOOSE_US: Final = 20_000_000


class Ending(Protocol):
    """What the log is fed by."""

    def has_ended_for(self, pause_s: float) -> bool:
        """Return whether nothing has come for so long, and nothing will."""
        ...


class Feed:
    """What the log is fed: every stream in turns, some entries again, and some never or late."""

    def __init__(self, world: World, log: Callable[[], DynamoDBEventLog], table: Table) -> None:
        self._world, self._new_log, self._table = world, log, table
        self._log = log()
        self._left = dict.fromkeys((stream_id for stream_id in table if table[stream_id]), 0)
        self._late: list[Event] = []
        self._blocks: dict[int, int | None] = dict.fromkeys(range(_TRANCHES), 0)
        """Of each tranche its last block; None while it isn't known."""
        self._logged_in: dict[str, int] = {}
        """Of each stream the block of its last entry."""
        self.ended_us: int | None = None

    def run(self) -> None:
        world = self._world
        while self._left or self._late:
            if self._late and (not self._left or world.chance(0.3)):
                self._append_late()
            else:
                self._append_next(world.rng.choice(list(self._left)))
            world.sleep(world.rng.random() * 0.5)
        self.ended_us = world.now_us

    def has_ended_for(self, pause_s: float) -> bool:
        """Return whether nothing has come for so long, and nothing will."""
        return self.ended_us is not None and self._world.now_us > self.ended_us + round(pause_s * 1_000_000)

    def _append_next(self, stream_id: str) -> None:
        world, events = self._world, self._table[stream_id]
        begin = self._left[stream_id]
        end = min(len(events), begin + world.rng.randint(1, 3))
        first = begin
        if world.chance(0.2):
            world.faults["log's entries doubled"] += begin > 0
            first = world.rng.randint(0, begin)
        chunk = list(events[first:end])
        left_out: list[Event] = []
        if self._may_leave_out(stream_id) and first == begin and world.chance(0.4):
            # Never the last: nothing would lead to it.
            left_out = [event for event in chunk[:-1] if world.chance(0.7)]
        if self._append(stream_id, [event for event in chunk if event not in left_out]):
            world.faults["hole in the log"] += bool(left_out)
            self._late += left_out if world.chance(0.4) else []
            self._left[stream_id] = end
            if end == len(events):
                del self._left[stream_id]

    def _may_leave_out(self, stream_id: str) -> bool:
        """Return whether a worker will know the stream's last entry wherever it begins behind it."""
        last_block = self._blocks[tranche_of(stream_id, tranches=_TRANCHES)]
        if last_block is None:
            return False
        return last_block + 1 - self._logged_in.get(stream_id, 0) <= WARM_UP_BLOCKS

    def _append_late(self) -> None:
        event = self._world.rng.choice(self._late)
        if self._append(event.stream_id, [event]):
            self._world.faults["log's entry late, behind later ones"] += 1
            self._late.remove(event)

    def _append(self, stream_id: str, events: list[Event]) -> bool:
        tranche = tranche_of(stream_id, tranches=_TRANCHES)
        self._blocks[tranche] = None
        try:
            block = self._log.append_block(tranche, events)
        except StoreUnavailable:
            return False
        except Killed:
            self._log = self._new_log()
            return False
        self._blocks[tranche] = self._logged_in[stream_id] = block
        return True


class LooseFeed(Feed):
    """What a log is fed after failures: entries behind later ones of a stream, and a repair at its end."""

    def run(self) -> None:
        world = self._world
        events = [event for stream_id in self._left for event in self._table[stream_id]]
        places = {
            (event.stream_id, event.event_id): (world.chance(0.2), world.rng.random() * _LOOSE_US)
            for event in events
        }

        def place(event: Event) -> tuple[bool, float]:
            is_repaired, late_us = places[event.stream_id, event.event_id]
            return is_repaired, event.timestamp_us + late_us * world.chance(0.5)

        logged: dict[str, int] = {}
        for event in sorted(events, key=place):
            while not self._append(event.stream_id, [event]):
                world.sleep(world.rng.random())
            last = logged.setdefault(event.stream_id, event.event_id)
            world.faults["log's entry late, behind later ones"] += event.event_id < last
            logged[event.stream_id] = max(last, event.event_id)
            world.sleep(world.rng.random() * 0.5)
        self.ended_us = world.now_us


def new_log(world: World, client: DynamoDBClient, table_name: str) -> DynamoDBEventLog:
    return of_tranches(
        DynamoDBEventLog(
            client=client,
            table_name=table_name,
            random_bytes=world.rng.randbytes,
            jitter=world.rng.random,
            sleep=world.sleep,
        ),
        _TRANCHES,
    )
