"""Subscriptions that begin at a time, on logs with imports and repairs: whatever is due is handled."""

from __future__ import annotations

import random
from typing import Any

import pytest

from eventstore import Event
from eventstore.limits import SETTLING_S
from eventstore.log.model import tranche_of
from eventstore.memory.checkpoints import MemoryCheckpoints, MemoryEventBodies
from eventstore.memory.log import MemoryEventLog
from eventstore.memory.read_model import MemoryReadModel
from eventstore.memory.store import MemoryEventStore
from eventstore.positions import from_us
from eventstore.subscriptions import Projection, Terms, Update, Write, subscribe
from eventstore.subscriptions.tranche_reader import TrancheReader

TRANCHES = 2
START_US = 1_700_000_000_000_000
MINUTE_US = 60_000_000
NAMES = ("Opened", "Changed")


class Bodies(MemoryEventBodies):
    """The events of a history, by their addresses."""

    def __init__(self, table: dict[tuple[str, int], Event]) -> None:
        super().__init__(MemoryEventStore())
        self._table = table

    def read_events(self, addresses: Any) -> Any:
        return {address: self._table[address] for address in addresses if address in self._table}


class History:
    """Two hours of a store: live events, imports with their original times, outages with their repairs.

    With minutes that are 100 times as long, the outages are of 25 hours and more.
    """

    def __init__(self, seed: int, *, minute_us: int = MINUTE_US) -> None:
        self.minute_us = minute_us
        self.random = random.Random(seed)
        self.log = MemoryEventLog(tranches=TRANCHES)
        self.table: dict[tuple[str, int], Event] = {}
        self.lost: list[Event] = []
        self.now_us = START_US
        self.is_out = False

    def write(self) -> None:
        """Let two hours go by."""
        for turn in range(240):
            self.now_us += self.minute_us // 2
            if turn in {60, 150}:
                self.is_out = True
            if turn in {90, 200}:
                self.repair()
            if self.random.random() < 0.1:
                self.import_stream(turn)
            # A writer's clock may be off, some even by much.
            off_us = self.random.choice([0, 0, 0, -self.minute_us, 5_000_000, 30 * self.minute_us])
            self.put(f"live-{self.random.randrange(12)}", self.now_us + off_us)
        self.repair()

    def import_stream(self, turn: int) -> None:
        """Write a stream of an old system: its times are from before the store to now."""
        at_us = START_US - 60 * self.minute_us
        while at_us < self.now_us and self.random.random() < 0.9:
            self.put(f"imported-{turn}", at_us)
            at_us += self.random.randrange(40 * self.minute_us)

    def put(self, stream_id: str, time_us: int) -> None:
        """Append an event, and log it unless the log is out."""
        event_id = 1 + sum(stream == stream_id for stream, _ in self.table)
        before = self.table.get((stream_id, event_id - 1))
        time_us = max(time_us, before.timestamp_us + 1 if before else 0)
        name = self.random.choice(NAMES)
        event = Event(stream_id, event_id, name, "{}", "{}", f"{stream_id}/{event_id}", time_us)
        self.table[stream_id, event_id] = event
        if self.is_out and self.random.random() < 0.7:
            self.lost.append(event)
        else:
            self.log_events([event])

    def repair(self) -> None:
        """Log what was lost, as `verify --repair` does."""
        self.is_out = False
        self.random.shuffle(self.lost)
        self.lost.sort(key=lambda event: event.timestamp_us)
        self.log_events(self.lost)
        self.lost = []

    def log_events(self, events: list[Event]) -> None:
        for tranche in range(TRANCHES):
            own = [event for event in events if tranche_of(event.stream_id, tranches=TRANCHES) == tranche]
            if own:
                self.log.append_block(tranche, own)

    def due(self, since_us: int, names: tuple[str, ...]) -> set[tuple[str, int]]:
        return {
            address
            for address, event in self.table.items()
            if event.timestamp_us >= since_us and event.name in names
        }

    def subscribe(self, handler: Any, at_us: int, **options: Any) -> None:
        """Let a subscription from a time come to the log's end."""
        worker = subscribe(
            "view",
            handler,
            log=self.log,
            bodies=Bodies(self.table),
            checkpoints=MemoryCheckpoints(),
            from_=from_us(at_us),
            terms=Terms(page_entries=7, warm_up_blocks=5),
            **options,
        )
        while worker.step():
            pass


def starts(history: History) -> list[int]:
    """Choose times to begin at: of a minute, and exactly those of events."""
    times = [START_US + minute * history.minute_us for minute in (-61, 0, 30, 45, 75, 100, 119, 200)]
    events = history.random.sample(list(history.table.values()), 8)
    return times + [event.timestamp_us + round(SETTLING_S * 1_000_000) for event in events]


def handled_from(history: History, at_us: int, **options: Any) -> list[tuple[str, int]]:
    handled: list[tuple[str, int]] = []
    history.subscribe(lambda event: handled.append((event.stream_id, event.event_id)), at_us, **options)
    return handled


@pytest.mark.parametrize("names", [None, ("Changed",)])
@pytest.mark.parametrize("seed", range(12))
def test_start_from_a_time_handles_all_that_is_due_and_nothing_older(
    seed: int, names: tuple[str, ...] | None
) -> None:
    history = History(seed)
    history.write()
    for at_us in starts(history):
        handled = handled_from(history, at_us, names=names)
        since_us = at_us - round(SETTLING_S * 1_000_000)
        assert set(handled) == history.due(since_us, names or NAMES)
        for stream_id in {stream for stream, _ in handled}:
            ids = [event_id for stream, event_id in handled if stream == stream_id]
            assert ids == sorted(set(ids))


def project(event: Event) -> list[Write]:
    return [Update("rows", {"Stream": event.stream_id}, append={"EventIds": [event.event_id]})]


@pytest.mark.parametrize("seed", range(6))
def test_projection_from_a_time_has_all_that_is_due_each_once(seed: int) -> None:
    history = History(seed)
    history.write()
    for at_us in starts(history):
        read_model = MemoryReadModel()
        history.subscribe(Projection(name="view", project=project, read_model=read_model), at_us)
        rows = [(item["Stream"], number) for item in read_model.items("rows") for number in item["EventIds"]]
        assert sorted(rows) == sorted(history.due(at_us - round(SETTLING_S * 1_000_000), NAMES))


class ByOwnTimes(MemoryEventLog):
    """A search among the blocks' own times, as if the log were in their order."""

    def append_block(self, tranche: int, events: Any) -> int:
        number = super().append_block(tranche, events)
        self._newest[tranche][-1] = max(event.timestamp_us for event in events)
        return number


def test_without_what_the_blocks_say_of_those_before_events_are_lost() -> None:
    history = History(0)
    history.log = ByOwnTimes(tranches=TRANCHES)
    history.write()
    assert any(
        history.due(at_us - round(SETTLING_S * 1_000_000), NAMES) - set(handled_from(history, at_us))
        for at_us in starts(history)
    )


def test_without_passing_over_older_events_are_handled(monkeypatch: pytest.MonkeyPatch) -> None:
    history = History(0)
    history.write()
    monkeypatch.setattr("eventstore.subscriptions.subscription.TrancheReader", _reads_all)
    at_us = START_US + 45 * MINUTE_US
    assert set(handled_from(history, at_us)) - history.due(at_us - round(SETTLING_S * 1_000_000), NAMES)


def _reads_all(**options: Any) -> Any:
    reader = TrancheReader(**options)
    reader._since_us = 0
    return reader
