"""Republishing: what is chosen goes out once, each stream in its order, and what failed is told."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from eventstore import Event, NewEvent
from eventstore.delivery.cloudevents import EntryFormat
from eventstore.delivery.publisher import FailedEvent
from eventstore.delivery.republish import (
    INTERRUPTED,
    MAX_TRIES,
    Chosen,
    Republish,
    Republished,
    Wanted,
    of_log,
    of_streams,
    of_time,
    side_by_side,
)
from eventstore.errors import InvalidArgument, MalformedItem
from eventstore.log.model import LogEntry, LogPosition, tranche_of
from eventstore.log.read import read_log
from eventstore.maintenance.items import StoredItem
from eventstore.memory.log import MemoryEventLog
from eventstore.memory.store import MemoryEventStore
from tests.buses import MALFORMED, THROTTLED, RecordingBus

FORMAT = EntryFormat(source="shop", api_url="https://api.example.com")


def event(stream_id: str, event_id: int, *, payload: str = "1", name: str = "Happened") -> Event:
    uid = "8f7e1c1e-5f3c-4d6f-9a46-0a2b8f6f3a10"
    return Event(stream_id, event_id, name, payload, "{}", uid, event_id * 1_000_000)


def send(
    events: Sequence[Chosen], bus: RecordingBus, *, entry_format: EntryFormat = FORMAT, **options: object
) -> Republished:
    done = Republished()
    Republish(
        bus=bus, entry_format=entry_format, jitter=lambda: 1.0, **{"sleep": lambda pause_s: None} | options
    ).send(events, done)
    return done


def test_events_go_out_in_the_order_given_and_no_call_has_two_of_a_stream() -> None:
    chosen = [event(stream, n) for n in (1, 2, 3) for stream in ("a", "b", "c")]
    bus = RecordingBus()

    done = send(chosen, bus)

    assert bus.taken == [(one.stream_id, one.event_id) for one in chosen]
    assert [len(call) for call in bus.calls] == [3, 3, 3]
    assert (done.published, done.is_complete) == (9, True)


def test_a_call_has_ten_entries_at_most_and_stays_below_the_byte_limit() -> None:
    bus = RecordingBus()
    send([event(f"s{n}", 1) for n in range(25)], bus)
    assert [len(call) for call in bus.calls] == [10, 10, 5]

    small = EntryFormat(source="shop", api_url="https://api.example.com", max_bytes=20_000)
    bus = RecordingBus()
    send([event(f"s{n}", 1, payload=f'"{"x" * 9_000}"') for n in range(5)], bus, entry_format=small)
    assert [len(call) for call in bus.calls] == [2, 2, 1]
    assert all(sum(entry.size_bytes for entry in call) < 20_000 for call in bus.calls)


def test_what_fails_for_a_passing_reason_is_sent_again_before_anything_later() -> None:
    bus = RecordingBus(refusals={("a", 1): [THROTTLED] * 3})
    pauses: list[float] = []

    done = send([event("a", 1), event("b", 1), event("a", 2)], bus, sleep=pauses.append)

    assert bus.asked == [[("a", 1), ("b", 1)], *[[("a", 1)]] * 3, [("a", 2)]]
    assert pauses == sorted(pauses)
    assert len(pauses) == 3
    assert (done.published, done.stopped) == (3, None)


def test_what_keeps_failing_ends_all_and_says_where() -> None:
    bus = RecordingBus(refusals={("b", 2): [THROTTLED] * 100})

    done = send([event("a", 1), event("b", 1), event("b", 2), event("c", 3)], bus)

    assert bus.taken == [("a", 1), ("b", 1), ("c", 3)]
    assert len(bus.calls) == 1 + MAX_TRIES
    assert (done.published, done.stopped, done.is_complete) == (3, THROTTLED.reason, False)
    assert done.first_left is not None
    assert (done.first_left.stream_id, done.first_left.event_id) == ("b", 2)


def test_nothing_is_sent_behind_a_stop() -> None:
    bus = RecordingBus(refusals={("a", 1): [THROTTLED] * 100})
    done = Republished()
    republish = Republish(bus=bus, entry_format=FORMAT, sleep=lambda pause_s: None)

    republish.send([event("a", 1), event("a", 2)], done)
    republish.send([event("b", 1)], done)

    assert bus.taken == []


def test_what_is_refused_for_good_is_told_and_its_stream_goes_on() -> None:
    bus = RecordingBus(refusals={("a", 1): [MALFORMED]})
    malformed = MalformedItem(stream_id="b", event_id=1, reason="payload: is not JSON")
    not_json = event("c", 1, payload='{"total":')

    done = send([event("a", 1), malformed, not_json, FailedEvent("d", 9, "gone"), event("a", 2)], bus)

    assert bus.taken == [("a", 2)]
    assert [(failed.stream_id, failed.event_id) for failed in done.refused] == [
        ("b", 1),
        ("c", 1),
        ("d", 9),
        ("a", 1),
    ]
    assert (done.published, done.stopped, done.is_complete) == (1, None, False)


def test_dry_run_counts_and_sends_nothing() -> None:
    bus, seen = RecordingBus(), []

    done = send([event("a", 1), event("a", 2, payload="?")], bus, dry_run=True, progress=seen.append)

    assert (done.published, len(done.refused), bus.calls, sum(seen)) == (1, 1, [], 2)


def test_interruption_ends_between_calls_with_the_first_event_that_is_left() -> None:
    bus = RecordingBus()

    done = send([event("a", 1), event("a", 2), event("a", 3)], bus, ends=lambda: len(bus.calls) == 2)

    assert bus.taken == [("a", 1), ("a", 2)]
    assert done.stopped == INTERRUPTED
    assert done.first_left is not None
    assert done.first_left.event_id == 3


def test_progress_counts_every_event_once() -> None:
    seen: list[int] = []
    bus = RecordingBus(refusals={("s1", 1): [THROTTLED], ("s2", 1): [MALFORMED]})

    send([event(f"s{n}", 1) for n in range(4)], bus, progress=seen.append)

    assert sum(seen) == 4


def test_wrong_arguments_are_refused_by_name() -> None:
    with pytest.raises(InvalidArgument, match="bus"):
        Republish(bus=object(), entry_format=FORMAT)  # type: ignore[arg-type]
    with pytest.raises(InvalidArgument, match="ends"):
        Republish(bus=RecordingBus(), entry_format=FORMAT, ends=True)  # type: ignore[arg-type]


# --- what to send --------------------------------------------------------------------------------


class Items:
    """An events table of these items, in shards by their stream."""

    def __init__(self, *items: StoredItem) -> None:
        self.items = items
        self.open: set[str] = set()
        self.most_open = 0

    def read_index(self, shard: int, *, from_us: int, end_us: int) -> Iterator[StoredItem]:
        in_shard = (item for item in self.items if item.shard == str(shard) and item.timestamp)
        for item in sorted(in_shard, key=lambda item: int(item.timestamp or 0)):
            if from_us <= int(item.timestamp or 0) < end_us:
                yield item

    def read_items(
        self, stream_id: str, *, from_version: int, to_version: int | None = None
    ) -> Iterator[StoredItem]:
        self.open.add(stream_id)
        self.most_open = max(self.most_open, len(self.open))
        for item in self.items:
            if item.stream_id == stream_id and item.event_id >= from_version:
                yield item
        self.open.discard(stream_id)


def item(
    stream_id: str, event_id: int, time_us: int | None, *, shard: int = 0, malformed: bool = False
) -> StoredItem:
    found: Event | MalformedItem = Event(
        stream_id, event_id, "Happened", "1", "{}", "8f7e1c1e-5f3c-4d6f-9a46-0a2b8f6f3a10", time_us or 0
    )
    if malformed:
        found = MalformedItem(stream_id=stream_id, event_id=event_id, reason="no")
    timestamp = None if time_us is None else str(time_us)
    return StoredItem(stream_id, event_id, found, None, timestamp, str(shard), 0)


def addresses(chosen: Iterator[Chosen]) -> list[tuple[str, int]]:
    return [(one.stream_id, one.event_id) for one in chosen]


def test_a_range_of_time_has_every_event_of_every_shard_in_it_and_no_other() -> None:
    table = Items(
        item("a", 1, 5, shard=1), item("a", 2, 10, shard=0), item("b", 1, 7, shard=0),
        item("c", 1, 20, shard=2), item("d", 1, 10, shard=2, malformed=True), item("$store", 0, 8),
    )  # fmt: skip

    found = list(of_time(table, shards=3, from_us=7, to_us=20))

    assert addresses(iter(found)) == [("b", 1), ("a", 2), ("d", 1)]
    assert isinstance(found[2], MalformedItem)
    assert list(of_time(table, shards=3, from_us=20, to_us=7)) == []


def test_streams_are_read_ten_side_by_side_each_in_its_order() -> None:
    names = [f"s{n}" for n in range(25)]
    table = Items(*(item(name, n, n * 10) for name in names for n in (1, 2, 3)))

    found = addresses(of_streams(table, names, from_us=20, to_us=31))

    assert sorted(found) == sorted((name, n) for name in names for n in (2, 3))
    assert all(found.index((name, 2)) < found.index((name, 3)) for name in names)
    assert table.most_open == 10


def test_an_item_without_a_time_is_told_not_published() -> None:
    [found] = of_streams(Items(item("a", 1, None)), ["a"], from_us=0, to_us=9)

    assert isinstance(found, FailedEvent)
    assert "no Timestamp" in found.reason


def test_filters_let_through_what_is_meant() -> None:
    chosen = [event("order-1", 1, name="Paid"), event("order-2", 1), event("cart-1", 1, name="Paid")]

    def left(**wanted: str) -> list[str]:
        return [one.stream_id for one in Wanted(**wanted).of(chosen)]

    assert left() == ["order-1", "order-2", "cart-1"]
    assert left(stream_prefix="order-") == ["order-1", "order-2"]
    assert left(event_name="Paid") == ["order-1", "cart-1"]
    assert left(stream_prefix="order-", event_name="Paid") == ["order-1"]


def test_side_by_side_begins_another_queue_where_one_ends() -> None:
    queues = [iter("ab"), iter(""), iter("cdef"), iter("g")]
    assert "".join(side_by_side(iter(queues), most=2)) == "abcdgef"


class Bodies:
    def __init__(self, store: MemoryEventStore, *, without: set[tuple[str, int]]) -> None:
        self.store = store
        self.without = without
        self.asked: list[int] = []

    def read_events(self, wanted: Sequence[tuple[str, int]]) -> dict[tuple[str, int], Event | MalformedItem]:
        self.asked.append(len(wanted))
        return {
            address: next(self.store.read_stream(address[0], from_version=address[1], limit=1))
            for address in wanted
            if address not in self.without
        }


@pytest.mark.parametrize(
    ("blocks", "numbers"),
    [
        ([[1, 2], [5], [3, 4]], [1, 2, 3, 4, 5]),  # an outage, and what `verify --repair` has logged
        ([[2], [1]], [1, 2]),
        ([[6], [2, 3], [9], [7], [2], [4], [3]], [2, 3, 4, 6, 7, 9]),  # only what's in the range
        ([[5, 3], [4, 5], [1], [4]], [1, 3, 4, 5]),
    ],
)
def test_what_the_log_has_late_goes_before_the_later_ones_of_its_stream(
    blocks: list[list[int]], numbers: list[int]
) -> None:
    log, store = MemoryEventLog(tranches=1), MemoryEventStore()
    events = store.append("a", [NewEvent.of("Happened")] * 9, expected=0).events
    for block in blocks:
        log.append_block(0, [events[number - 1] for number in block])
    bodies = Bodies(store, without=set())

    found = of_log(log, bodies, after=LogPosition.beginning(1), until=None)

    assert addresses(found) == [("a", number) for number in numbers]


class Growing(MemoryEventLog):
    """A log that is written to whenever a tranche was read to its end."""

    grow: Callable[[], object] = lambda _self: None

    def read_tranche(self, tranche: int, **options: Any) -> Iterator[LogEntry]:
        yield from super().read_tranche(tranche, **options)
        self.grow()


def test_a_range_of_the_log_ends_where_the_log_did_when_it_was_asked_for() -> None:
    log, store = Growing(tranches=1), MemoryEventStore()
    events = store.append("a", [NewEvent.of("Happened")] * 9, expected=0).events
    other = store.append("b", [NewEvent.of("Happened")], expected=0).events
    log.append_block(0, events[:5])
    log.grow = lambda: log.append_block(0, [*other, *events[5:]])  # type: ignore[method-assign]
    found = of_log(log, Bodies(store, without=set()), after=LogPosition.beginning(1), until=None)

    assert addresses(found) == [("a", number) for number in range(1, 6)]


def test_a_range_of_the_log_has_its_events_once_and_in_each_streams_order() -> None:
    log, store = MemoryEventLog(tranches=3), MemoryEventStore()
    streams = [f"order-{n}" for n in range(12)]
    events = {name: store.append(name, [NewEvent.of("Happened")] * 20, expected=0).events for name in streams}

    def put(first: int, last: int) -> None:
        for name in streams:
            log.append_block(tranche_of(name, tranches=3), events[name][first:last])

    put(0, 4)
    after = read_log(log).position
    put(2, 9)  # a repeat, and more
    put(5, 15)
    until = read_log(log).position
    put(15, 20)
    bodies = Bodies(store, without={("order-3", 8)})

    found = list(of_log(log, bodies, after=after, until=until))

    # The first repeat stands behind `after`: what is in the range is what is published.
    assert sorted(addresses(iter(found))) == sorted((name, n) for name in streams for n in range(3, 16))
    for name in streams:
        numbers = [one.event_id for one in found if one.stream_id == name]
        assert numbers == sorted(numbers)
    assert [one for one in found if isinstance(one, FailedEvent)] == [
        FailedEvent("order-3", 8, "the table has no such event")
    ]
    assert max(bodies.asked) == 100
    assert len(list(of_log(log, bodies, after=until, until=None))) == 12 * 5
    assert list(of_log(log, bodies, after=LogPosition.beginning(3), until=LogPosition.beginning(3))) == []
