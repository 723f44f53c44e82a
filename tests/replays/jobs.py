"""A replay job in memory: target and engine fail wherever a test says; time goes as the engine waits."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from eventstore import ANY, NewEvent
from eventstore.delivery.cloudevents import Entry, EntryFormat
from eventstore.delivery.publisher import Refusal
from eventstore.memory.replays import MemoryReplays
from eventstore.memory.store import MemoryEventStore
from eventstore.replays.queue import ReplayQueue
from eventstore.replays.service import Replay, ReplayRequest, Replays, ReplayStore
from eventstore.replays.step import NextStep, ReplayStep
from eventstore.testing.clock import FakeClock

QUEUE = "arn:aws:sqs:eu-central-1:123456789012:rebuild"
TIMEOUT_S = 150.0

Address = tuple[str, int]


class Killed(BaseException):
    """The process of a step is gone; nothing of it runs any more."""


@dataclass
class Consumer:
    """A target that records what it takes; `refuses` tells of each entry why it isn't taken."""

    max_entries: int = 10
    max_bytes: int = 256 * 1_024
    all_or_nothing: bool = False
    reserve_s: float = 10.0
    refuses: Callable[[Entry], Refusal | None] = lambda _entry: None
    before_call: Callable[[], None] = lambda: None
    calls: list[list[Entry]] = field(default_factory=list)
    taken: list[Entry] = field(default_factory=list)

    def send(self, entries: Sequence[Entry]) -> list[Refusal | None]:
        assert entries, "a call without entries"
        self.before_call()
        self.calls.append(list(entries))
        results = [self.refuses(entry) for entry in entries]
        if self.all_or_nothing and any(results):
            results = [next(filter(None, results))] * len(entries)
        self.taken += [entry for entry, refusal in zip(entries, results, strict=True) if refusal is None]
        return results

    @property
    def addresses(self) -> list[Address]:
        return [(entry.stream_id, entry.event_id) for entry in self.taken]

    def first_deliveries(self) -> dict[str, list[int]]:
        """The EventIds of each stream, each at its first delivery."""
        streams: dict[str, list[int]] = {}
        for stream_id, event_id in dict.fromkeys(self.addresses):
            streams.setdefault(stream_id, []).append(event_id)
        return streams


class Engine:
    """Takes step after step as the state machine does: retries what raised, waits, renews."""

    def __init__(self, clock: FakeClock, take: Callable[..., NextStep]) -> None:
        self.waiting: deque[tuple[str, int]] = deque()
        self.begun: set[tuple[str, int]] = set()
        self.waits_s: list[int] = []
        self.renewed = self.steps = self.retries = 0
        self._clock = clock
        self._take = take
        self.start_next: Callable[[], int] = lambda: 0
        """Called by the last step of each run."""

    def start(self, replay: Replay) -> bool:
        """Begin an execution by its name, once."""
        name = (replay.replay_id, replay.run)
        if name in self.begun:
            return False
        self.begun.add(name)
        self.waiting.append(name)
        return True

    def run(self, *, most_steps: int = 10_000) -> None:
        """Run every execution to its end, or so many steps."""
        while self.waiting:
            replay_id, run = self.waiting.popleft()
            action, steps = "step", 0
            while action in {"step", "wait", "renew"}:
                self.steps += 1
                if self.steps > most_steps:
                    self.waiting.append((replay_id, run))
                    return
                steps = 1 if action == "renew" else steps + 1
                self.renewed += action == "renew"
                following = self._retried(replay_id, run, steps)
                action = following.action
                if action == "wait":
                    self.waits_s.append(following.wait_s)
                    self._clock.move(timedelta(seconds=following.wait_s))

    def _retried(self, replay_id: str, run: int, steps: int) -> NextStep:
        while True:
            try:
                following = self._take(replay_id, run=run, steps=steps, remaining_time_s=lambda: TIMEOUT_S)
                if following.action in {"end", "fail"}:
                    self.start_next()
                return following
            except Killed:
                self.retries += 1
                self._clock.move(timedelta(seconds=2))


class Job:
    """Everything that a replay needs, in memory."""

    def __init__(
        self, *, settling_s: float = 10.0, replays: ReplayStore | None = None, at_once: int = 10
    ) -> None:
        self.clock = FakeClock()
        self.events = MemoryEventStore(clock_us=self.clock, settling_s=settling_s)
        self.consumer = Consumer()
        self.pauses_s: list[float] = []
        self.jitter = 1.0
        self.store: ReplayStore = replays or MemoryReplays()
        self.engine = Engine(self.clock, self.take)
        self.queue = ReplayQueue(store=self.store, engine=self.engine, at_once=at_once, clock_us=self.clock)
        self.engine.start_next = self.queue.start_next
        self.replays = Replays(
            store=self.store,
            engine=self.engine,
            allowed_targets=[QUEUE],
            at_once=at_once,
            clock_us=self.clock,
        )

    def take(self, replay_id: str, **options: object) -> NextStep:
        """Take a step in a process of its own."""
        step = ReplayStep(
            store=self.store,
            events=self.events,
            target=self._target,
            entry_format=EntryFormat(source="shop", api_url="https://api.example.com"),
            clock_us=self.clock,
            jitter=lambda: self.jitter,
            sleep=self.pauses_s.append,
        )
        return step.take(replay_id, **options)  # type: ignore[arg-type]

    def _target(self, replay: Replay) -> Consumer:
        assert replay.target == QUEUE
        return self.consumer

    def append(self, stream_id: str, *names: str) -> None:
        self.events.append(stream_id, [NewEvent.of(name) for name in names or ("E",)], expected=ANY)
        self.clock.move(timedelta(milliseconds=1))

    def fill(self, *, streams: int, events: int, seed: int = 1) -> None:
        """Append to streams in turns by chance."""
        turns = [f"s-{number}" for number in range(streams) for _ in range(events)]
        random.Random(seed).shuffle(turns)
        for stream_id in turns:
            self.append(stream_id)

    def start(self, **request: object) -> Replay:
        return self.replays.start(ReplayRequest(target=QUEUE, **request))  # type: ignore[arg-type]

    def run(self, **request: object) -> Replay:
        """Start a replay, run it to its end, and return it as it is then."""
        replay = self.start(**request)
        self.engine.run()
        return self.replays.get(replay.replay_id)
