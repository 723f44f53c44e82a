"""One reader for several subscriptions: read once, never hiding news or a repair, nobody waiting for long."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import pytest

from eventstore import ANY, Event, NewEvent
from eventstore.errors import (
    BlockMissing,
    InvalidArgument,
    InvalidLimit,
    InvalidRange,
    MalformedItem,
    StoreUnavailable,
)
from eventstore.log.model import BlockPosition, LogEntry
from eventstore.memory.checkpoints import MemoryCheckpoints, MemoryEventBodies
from eventstore.memory.log import MemoryEventLog
from eventstore.memory.store import MemoryEventStore
from eventstore.subscriptions import SharedReader, Subscription, Terms, subscribe

ROOT: Final = Path(__file__).parents[2]
BEGIN = BlockPosition(1, 0)


class CountedLog(MemoryEventLog):
    """Notes each read that isn't strong: behind which place."""

    def __init__(self) -> None:
        super().__init__(tranches=1)
        self.reads: list[BlockPosition | None] = []
        self.strong = 0
        self.before_read: Callable[[], object] = lambda: None

    def read_tranche(
        self,
        tranche: int,
        *,
        after: BlockPosition | None = None,
        limit: int | None = None,
        consistent: bool = True,
    ) -> Iterator[LogEntry]:
        self.strong += consistent
        if not consistent:
            self.reads.append(after)
            self.before_read()
        return super().read_tranche(tranche, after=after, limit=limit)


class CountedBodies(MemoryEventBodies):
    """Notes each request."""

    def __init__(self, store: MemoryEventStore) -> None:
        super().__init__(store)
        self.requests: list[list[tuple[str, int]]] = []
        self.before_read: Callable[[], object] = lambda: None
        self.damaged: set[tuple[str, int]] = set()

    def read_events(
        self, addresses: Sequence[tuple[str, int]]
    ) -> dict[tuple[str, int], Event | MalformedItem]:
        self.requests.append(list(addresses))
        self.before_read()
        found = super().read_events(addresses)
        for address in self.damaged & found.keys():
            found[address] = MalformedItem(stream_id=address[0], event_id=address[1], reason="damaged")
        return found


class World:
    """A store whose log has one tranche, and a reader of it."""

    def __init__(self, **options: Any) -> None:
        self.now = 0.0
        self.log = CountedLog()
        self.store = MemoryEventStore(log=self.log)
        self.bodies = CountedBodies(self.store)
        self.checkpoints = MemoryCheckpoints()
        self.shared = SharedReader(log=self.log, bodies=self.bodies, monotonic=lambda: self.now, **options)

    def append(self, count: int = 1, *, stream: str = "s") -> None:
        self.store.append(stream, [NewEvent.of("Happened")] * count, expected=ANY)

    def read(self, after: BlockPosition = BEGIN, *, limit: int = 100) -> list[int]:
        found = self.shared.log.read_tranche(0, after=after, limit=limit, consistent=False)
        return [entry.event_id for entry in found]

    def worker(self, name: str, handled: list[int], **options: Any) -> Subscription:
        return subscribe(
            name,
            lambda event: handled.append(event.event_id),
            log=self.shared.log,
            bodies=self.shared.bodies,
            checkpoints=self.checkpoints,
            monotonic=lambda: self.now,
            **options,
        )


def test_ten_subscriptions_read_each_block_and_each_event_once() -> None:
    world, handled = World(), [list[int]() for _ in range(10)]
    for count in (100, 50):
        world.append(count)
    workers = [world.worker(f"view-{number}", handled[number]) for number in range(10)]
    for worker in workers:
        worker.step()

    assert handled == [list(range(1, 151))] * 10
    assert world.log.reads == [BEGIN]
    assert [len(addresses) for addresses in world.bodies.requests] == [100, 50]


def test_nothing_that_is_kept_of_one_log_is_taken_for_another_one() -> None:
    world = World()
    world.append(3)
    assert (world.shared.log.log_id, world.read()) == (world.log.log_id, [1, 2, 3])
    events = world.store.read_stream("s")
    world.log._blocks, world.log._newest, world.log._log_id = [[]], [[]], "another"
    world.log.append_block(0, [*events][2:])

    assert world.read() == [1, 2, 3]
    assert (world.shared.log.log_id, world.read()) == ("another", [3])
    world.read()
    assert len(world.log.reads) == 2


def test_looks_for_news_of_all_are_as_many_as_those_of_one() -> None:
    """Each asks every 0.5 s, each at another moment; the reader asks the log as one of them would."""
    world = World()
    world.append()
    for tenth in range(10_000):
        world.now = tenth / 1_000
        if tenth % 50 == 0:
            world.read(BlockPosition(2, 0))
    assert len(world.log.reads) <= 10 / 0.5 + 4  # also: 0.1, 0.2 and 0.4 s at first


def test_news_is_there_for_all_at_most_a_look_later() -> None:
    world = World()
    world.append()
    assert world.read(BlockPosition(2, 0)) == []
    world.append()
    assert world.read(BlockPosition(2, 0)) == []  # as of the look before
    world.now = 0.11
    assert world.read(BlockPosition(2, 0)) == [2]
    assert world.read(BlockPosition(2, 0)) == [2]
    assert len(world.log.reads) == 2


def test_strong_read_goes_past_what_is_kept() -> None:
    world = World()
    world.append()
    assert world.read() == [1]
    world.append()
    assert world.read() == [1]
    assert [entry.event_id for entry in world.shared.log.read_tranche(0)] == [1, 2]


@pytest.mark.parametrize("first", [1, 7, 9])
def test_pages_cut_anywhere_are_put_together_from_what_is_kept(first: int) -> None:
    world = World()
    for _ in range(4):
        world.append(5)
    found, place = list[int](), BEGIN
    assert len(world.read(limit=first)) == first
    while page := list(world.shared.log.read_tranche(0, after=place, limit=7, consistent=False)):
        found += [entry.event_id for entry in page]
        place = page[-1].position
    assert found == list(range(1, 21))


def test_lost_block_is_refused_for_each_and_its_closing_seen_at_once() -> None:
    world = World()
    for _ in range(5):
        world.append()
    world.log.lose_block(0, 3)
    for _ in range(2):
        with pytest.raises(BlockMissing):
            world.read(BlockPosition(3, 0))
    assert world.read(limit=2) == [1, 2]
    world.shared.log.close_block(0, 3)

    assert world.read() == [1, 2, 4, 5]
    for _ in range(2):
        entries = world.shared.log.read_tranche(0, after=BlockPosition(3, 0), limit=9, consistent=False)
        assert [(entry.event_id, entry.block) for entry in entries] == [(4, 4), (5, 5)]


def test_event_that_is_not_there_or_damaged_is_read_anew_by_each() -> None:
    world = World()
    world.append()
    world.bodies.damaged = {("s", 1)}
    for _ in range(2):
        found = world.shared.bodies.read_events([("s", 1), ("s", 2)])
        assert isinstance(found[("s", 1)], MalformedItem)
        assert ("s", 2) not in found
    world.append()
    world.bodies.damaged = set()

    found = world.shared.bodies.read_events([("s", 1), ("s", 2)])
    assert [type(event) for event in found.values()] == [Event, Event]
    assert world.bodies.requests == [[("s", 1), ("s", 2)]] * 3


def test_event_that_is_asked_for_twice_at_once_is_read_once() -> None:
    world = World()
    world.append()
    world.shared.bodies.read_events([("s", 1), ("s", 1)])
    assert world.bodies.requests == [[("s", 1)]]


def test_what_is_kept_is_forgotten_after_a_time() -> None:
    world = World(keep_s=10)
    world.append()
    world.read()
    world.shared.bodies.read_events([("s", 1)])
    world.now = 9.9
    world.read()
    world.shared.bodies.read_events([("s", 1)])
    assert (world.log.reads.count(BEGIN), len(world.bodies.requests)) == (1, 1)
    world.now = 10.1
    world.read()
    world.shared.bodies.read_events([("s", 1)])
    assert (world.log.reads.count(BEGIN), len(world.bodies.requests)) == (2, 2)


def entry(number: int) -> LogEntry:
    stream = f"order-{number:032x}"
    time_us = 10**15 + number
    return LogEntry(stream, number, f"Placed{number}", time_us, time_us, 0, 10**6 + number, number, True)


def event(number: int) -> Event:
    texts = [f"{name}-{number:032x}" for name in ("order", "Placed", "uid")]
    return Event(texts[0], number, texts[1], f"{number}" * 200, "{" + f"{number}" + "}", texts[2], 10**15)


@pytest.mark.parametrize("what", ["entries", "events"])
def test_bytes_that_are_counted_are_those_that_are_taken(what: str) -> None:
    world = World()
    recent: Any = (world.shared.log if what == "entries" else world.shared.bodies)._recent  # type: ignore[attr-defined]
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for number in range(1_000, 6_000):
        value: Any = entry(number) if what == "entries" else event(number)
        key = (0, value.block, value.index) if what == "entries" else (value.stream_id, value.event_id)
        reading = recent.claim([key])[2]
        reading.found = {key: value}
        recent.end(reading, [key])
    taken = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert 0.75 < taken / recent.bytes < 1.05


def test_what_is_kept_stays_within_its_bytes_and_the_oldest_goes_first() -> None:
    world = World(memory_bytes=40_000)
    for _ in range(10):
        world.append(10)
    addresses = [("s", number) for number in range(1, 101)]
    for first in range(0, 100, 10):
        world.shared.bodies.read_events(addresses[first : first + 10])
    recent: Any = world.shared.bodies._recent  # type: ignore[attr-defined]
    assert 10_000 < recent.bytes <= 20_000
    world.bodies.requests.clear()
    world.shared.bodies.read_events(addresses[-10:])
    assert world.bodies.requests == []
    world.shared.bodies.read_events(addresses[:10])
    assert world.bodies.requests == [addresses[:10]]


# --- threads --------------------------------------------------------------------------------------------


def beside(*calls: Callable[[], object]) -> list[object]:
    """Make calls in threads of their own; return what came of them."""
    came: list[object] = [None] * len(calls)

    def run(number: int) -> None:
        try:
            came[number] = calls[number]()
        except Exception as error:  # noqa: BLE001 - it's looked at
            came[number] = error

    threads = [threading.Thread(target=run, args=(number,)) for number in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert not any(thread.is_alive() for thread in threads)
    return came


def when_waited_for(recent: Any, number: int) -> Callable[[], None]:
    """Return what waits until so many others wait for the reading of this thread."""
    waiting, claim = threading.Semaphore(0), recent.claim

    def counted(keys: Any) -> Any:
        claimed = claim(keys)
        if claimed[1]:
            waiting.release()
        return claimed

    recent.claim = counted

    def wait() -> None:
        for _ in range(number):
            assert waiting.acquire(timeout=20)

    return wait


def test_who_asks_while_another_reads_waits_for_that_reading() -> None:
    world = World()
    world.append(3)
    world.log.before_read = when_waited_for(world.shared.log._recent, 2)  # type: ignore[attr-defined]
    assert beside(world.read, world.read, world.read) == [[1, 2, 3]] * 3
    assert world.log.reads == [BEGIN]

    world.bodies.before_read = when_waited_for(world.shared.bodies._recent, 2)  # type: ignore[attr-defined]
    asks = [lambda: len(world.shared.bodies.read_events([("s", 1), ("s", 2)]))] * 3
    assert beside(*asks) == [2, 2, 2]
    assert len(world.bodies.requests) == 1


def test_who_waits_is_told_when_the_store_is_away_and_tries_nothing_itself() -> None:
    world = World()
    world.append(3)
    wait = when_waited_for(world.shared.bodies._recent, 2)  # type: ignore[attr-defined]

    def away() -> None:
        wait()
        raise StoreUnavailable(operation="read", reason="throttled")

    world.bodies.before_read = away
    asks = [lambda: world.shared.bodies.read_events([("s", 1)])] * 3
    errors = beside(*asks)
    assert [str(error) for error in errors] == [str(errors[0])] * 3
    assert all(isinstance(error, StoreUnavailable) for error in errors)
    assert len({id(error) for error in errors}) == 3
    assert len(world.bodies.requests) == 1
    world.bodies.before_read = lambda: None
    assert list(world.shared.bodies.read_events([("s", 1)])) == [("s", 1)]


@pytest.mark.parametrize("what", ["log", "bodies"])
def test_who_waits_for_a_thread_that_was_interrupted_reads_for_itself(what: str) -> None:
    world = World()
    world.append(3)
    port: Any = world.log if what == "log" else world.bodies
    wait = when_waited_for(getattr(world.shared, what)._recent, 1)
    is_first = iter([True])

    def interrupted() -> None:
        if next(is_first, False):
            wait()
            raise ZeroDivisionError

    port.before_read = interrupted
    ask: Callable[[], int] = (
        (lambda: len(world.read()))
        if what == "log"
        else (lambda: len(world.shared.bodies.read_events([("s", 1), ("s", 2), ("s", 3)])))
    )
    assert {type(came) for came in beside(ask, ask)} == {ZeroDivisionError, int}
    assert ask() == 3


def test_other_places_are_read_side_by_side() -> None:
    world = World()
    for _ in range(3):
        world.append()
    both = threading.Barrier(2, timeout=20)
    world.log.before_read = both.wait
    found = beside(lambda: world.read(limit=1), lambda: world.read(BlockPosition(3, 0), limit=1))
    assert found == [[1], [3]]


FORKS = """
from tests.forked import in_child
from tests.unit.test_shared_reader import BEGIN, World

world = World()
world.append(3)
world.read()
for port, key in ((world.shared.log, (0, 2, 0)), (world.shared.bodies, ("s", 1))):
    port._recent.claim([key])  # another thread of the parent's is just reading that

def work():
    assert world.read() == [1, 2, 3]
    assert len(world.shared.bodies.read_events([("s", 1)])) == 1
    assert world.log.reads == [BEGIN, BEGIN]

with world.shared.log._recent._lock, world.shared.bodies._recent._lock:
    raise SystemExit(in_child(work, patience_s=20))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_forked_child_waits_for_nobody_and_keeps_nothing_of_its_parent() -> None:
    done = subprocess.run([sys.executable, "-c", FORKS], cwd=ROOT, check=False, timeout=120)
    assert done.returncode == 0


# --- arguments ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"log": 1}, InvalidArgument),
        ({"bodies": object()}, InvalidArgument),
        ({"memory_bytes": 0}, InvalidLimit),
        ({"memory_bytes": 1.5}, InvalidLimit),
        ({"keep_s": 0}, InvalidLimit),
        ({"poll_s": "1"}, InvalidLimit),
    ],
)
def test_arguments_that_can_not_be_used_are_refused_at_once(
    options: dict[str, Any], error: type[Exception]
) -> None:
    world = World()
    with pytest.raises(error, match=f"^{next(iter(options))}: "):
        SharedReader(**{"log": world.log, "bodies": world.bodies, **options})


def test_reads_of_a_shared_log_are_checked_at_once() -> None:
    world = World()
    with pytest.raises(InvalidRange):
        world.shared.log.read_tranche(1, limit=1, consistent=False)
    with pytest.raises(InvalidLimit):
        world.shared.log.read_tranche(0, limit=-1, consistent=False)


def test_subscriptions_that_are_apart_come_to_the_same_end() -> None:
    world, one, other = World(memory_bytes=20_000), list[int](), list[int]()
    terms = Terms(page_entries=7)
    ahead, behind = world.worker("ahead", one, terms=terms), world.worker("behind", other, terms=terms)
    for number in range(60):
        world.append(3)
        world.now += 0.2
        ahead.step()
        if number % 9 == 0:
            behind.step()
    for _ in range(60):
        world.now += 0.6
        ahead.step()
        behind.step()
    assert one == other == list(range(1, 181))
