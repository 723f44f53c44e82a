"""The log writer: blocks, order, the stop and what it passes over, each by its rule."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest

from eventstore import ANY, Event, NewEvent
from eventstore.errors import InvalidArgument, MalformedItem, StoreUnavailable, TranchesChanged
from eventstore.limits import INDEX_RESERVE_S, LOG_BLOCK_MAX_BYTES, STREAM_ID_MAX_BYTES
from eventstore.log.model import LogEntry, entry_size_bytes, tranche_of
from eventstore.log.writer import Logged, LogWriter
from eventstore.memory.log import MemoryEventLog
from eventstore.memory.store import MemoryEventStore
from eventstore.ordering.stream_order import ChangeRecord, Missing
from eventstore.testing.log_contract import addresses
from tests.buses import CountingReader
from tests.unit.test_publish import CountingJournal

SECOND_US = 1_000_000
NOON_US = 1_769_860_800 * SECOND_US


class FailingLog(MemoryEventLog):
    """A log that raises `errors`, one for each block; None lets it pass."""

    def __init__(self, *, tranches: int = 4) -> None:
        super().__init__(tranches=tranches)
        self.errors: list[Exception | None] = []
        self.is_away = False

    @property
    def tranches(self) -> int:
        if self.is_away:
            raise StoreUnavailable(operation="get", reason="not reached")
        return super().tranches

    def append_block(self, tranche: int, events: list[Event]) -> int:  # type: ignore[override]
        error = self.errors.pop(0) if self.errors else None
        if error:
            raise error
        return super().append_block(tranche, events)


class Shop:
    """A store, its log and its log writer; time stands still unless it's moved."""

    def __init__(self, *, tranches: int = 4) -> None:
        self.now_us = NOON_US
        self.remaining_s = [60.0]
        self.store = MemoryEventStore(clock_us=lambda: self.now_us)
        self.reader = CountingReader(self.store)
        self.log = FailingLog(tranches=tranches)
        self.log_writer = self.new_log_writer()

    def new_log_writer(self) -> LogWriter:
        return LogWriter(reader=self.reader, log=self.log, clock_us=lambda: self.now_us)

    def has(self, stream_id: str, *, events: int, apart_s: float = 0.0) -> list[Event]:
        appended: list[Event] = []
        for _ in range(events):
            appended += self.store.append(stream_id, [NewEvent.of("Happened")], expected=ANY).events
            self.now_us += round(apart_s * SECOND_US)
        return appended

    def write(self, events: Iterable[Event | MalformedItem]) -> Logged:
        records = [
            ChangeRecord(str(place), event.stream_id, event.event_id, event)
            for place, event in enumerate(events)
        ]
        return self.log_writer.write(records, remaining_time_s=self._remaining_s)

    def _remaining_s(self) -> float:
        return self.remaining_s.pop(0) if len(self.remaining_s) > 1 else self.remaining_s[0]

    def entries(self, stream_id: str | None = None) -> list[LogEntry]:
        found = [entry for n in range(self.log.tranches) for entry in self.log.read_tranche(n)]
        return [entry for entry in found if stream_id in (None, entry.stream_id)]


@pytest.fixture
def shop() -> Shop:
    return Shop()


def test_batch_becomes_one_block_for_each_tranche_it_is_in(shop: Shop) -> None:
    events = [event for number in range(40) for event in shop.has(f"order-{number}", events=2)]

    done = shop.write(events)
    assert (done.logged, done.blocks, done.stopped, done.passed_over) == (80, 4, None, ())
    assert {entry.block for entry in shop.entries()} == {1}
    assert sorted(addresses(shop.entries())) == sorted((of.stream_id, of.event_id) for of in events)


def test_records_out_of_order_are_logged_in_the_order_of_their_stream(shop: Shop) -> None:
    events = shop.has("a", events=5)
    shop.write([events[3], events[0], events[4], events[2], events[1]])
    assert [entry.event_id for entry in shop.entries("a")] == [1, 2, 3, 4, 5]


def test_hole_in_a_batch_is_read_back_and_logged_in_its_place(shop: Shop) -> None:
    events = shop.has("a", events=5, apart_s=60)
    shop.write([events[0], events[4]])
    assert [entry.event_id for entry in shop.entries("a")] == [1, 2, 3, 4, 5]
    shop.write(events[1:4])
    assert [entry.event_id for entry in shop.entries("a")] == [1, 2, 3, 4, 5]


def test_predecessor_within_the_window_is_logged_first(shop: Shop) -> None:
    events = shop.has("a", events=3, apart_s=1)
    shop.write([events[2]])
    assert [entry.event_id for entry in shop.entries("a")] == [1, 2, 3]


def test_repeated_batch_is_logged_once_by_one_process_and_again_by_another(shop: Shop) -> None:
    events = shop.has("a", events=3)
    shop.write(events)
    assert shop.write(events).logged == 0
    shop.log_writer = shop.new_log_writer()
    assert shop.write(events).logged == 3
    assert [entry.event_id for entry in shop.entries("a")] == [1, 2, 3, 1, 2, 3]


def test_block_keeps_below_its_limit_whatever_the_names_are(shop: Shop) -> None:
    shop = Shop(tranches=1)
    names = [("é" * (STREAM_ID_MAX_BYTES // 2 - 3)) + f"{number:03}" for number in range(200)]
    done = shop.write([event for name in names for event in shop.has(name, events=1)])

    assert done.blocks == 4
    assert done.logged == 200
    for block in range(1, 5):
        inside = [entry for entry in shop.entries() if entry.block == block]
        assert sum(len(entry.stream_id.encode()) for entry in inside) < LOG_BLOCK_MAX_BYTES


def test_batch_stops_at_the_first_block_that_fails(shop: Shop) -> None:
    events = [event for number in range(12) for event in shop.has(f"order-{number}", events=1)]
    shop.log.errors = [None, StoreUnavailable(operation="put", reason="throttled")]

    done = shop.write(events)
    logged = addresses(shop.entries())
    assert done.stopped is not None
    assert (done.blocks, done.logged) == (1, len(logged))
    first = next(n for n, event in enumerate(events) if (event.stream_id, event.event_id) not in logged)
    assert done.stopped.sequence_number == str(first)
    assert "throttled" in done.stopped.reason
    tranche = sorted({tranche_of(event.stream_id, tranches=4) for event in events})[1]
    of_block = next(event for event in events if tranche_of(event.stream_id, tranches=4) == tranche)
    assert (done.stopped.stream_id, done.stopped.event_id) == (of_block.stream_id, of_block.event_id)

    again = shop.write(events[first:])
    assert again.stopped is None
    assert sorted(addresses(shop.entries())) == sorted((of.stream_id, of.event_id) for of in events)


def test_batch_stops_before_the_functions_time_is_up(shop: Shop) -> None:
    events = [event for number in range(12) for event in shop.has(f"order-{number}", events=1)]
    shop.remaining_s = [60.0] * (12 + 2) + [INDEX_RESERVE_S - 0.1]

    done = shop.write(events)
    assert done.blocks == 2
    assert done.stopped is not None
    assert done.stopped.reason == "the function's time was up"


def test_what_is_left_to_the_functions_end_is_used_up_to_the_reserve(shop: Shop) -> None:
    shop.remaining_s = [INDEX_RESERVE_S]
    assert shop.write(shop.has("a", events=3)[2:]).logged == 3


def test_batch_stops_at_its_first_record_while_the_log_is_away(shop: Shop) -> None:
    events = shop.has("a", events=3)
    shop.write(events[:1])
    shop.log.is_away = True

    done = shop.write(events)
    assert done.stopped is not None
    stopped = done.stopped
    assert (stopped.sequence_number, stopped.stream_id, stopped.event_id) == ("1", "a", 2)
    assert "not reached" in stopped.reason
    assert (done.logged, done.blocks) == (0, 0)
    assert shop.write(events[:1]).stopped is None  # it's logged already


def test_what_can_not_be_read_back_stops_the_batch_and_loses_nothing(shop: Shop) -> None:
    a, b = shop.has("a", events=1), shop.has("b", events=3)
    shop.reader.errors = [StoreUnavailable(operation="query", reason="throttled")]

    done = shop.write([*a, b[2]])
    assert done.stopped is not None
    assert (done.stopped.sequence_number, done.stopped.stream_id) == ("1", "b")
    assert addresses(shop.entries()) == [("a", 1)]


def test_item_that_is_no_event_is_passed_over_and_told(shop: Shop) -> None:
    one, two = shop.has("a", events=2)
    odd = MalformedItem(stream_id="a", event_id=3, reason="Payload is missing")

    done = shop.write([one, two, odd])
    assert done.passed_over == (odd,)
    assert done.stopped is None
    assert [entry.event_id for entry in shop.entries("a")] == [1, 2]
    alone = shop.write([MalformedItem(stream_id="b", event_id=1, reason="Payload is missing")])
    assert (alone.blocks, alone.logged, alone.max_lag_us, len(alone.passed_over)) == (0, 0, None, 1)


def test_event_behind_an_item_that_is_none_needs_no_read(shop: Shop) -> None:
    one, _, three = shop.has("a", events=3)
    shop.write([one, MalformedItem(stream_id="a", event_id=2, reason="Payload is missing")])
    shop.write([three])
    assert (shop.reader.looks, shop.reader.queries) == ([], 0)


def test_item_that_comes_before_what_precedes_it_hides_nothing(shop: Shop) -> None:
    events = shop.has("a", events=4)
    shop.write(events[:1])
    shop.write([MalformedItem(stream_id="a", event_id=3, reason="Payload is missing")])
    shop.write(events[3:])
    assert 2 in [entry.event_id for entry in shop.entries("a")]


def test_block_is_filled_to_its_limit_and_what_is_no_event_takes_nothing(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = Shop(tranches=1)
    events = shop.has("a", events=7)
    odd = MalformedItem(stream_id="b", event_id=1, reason="Payload is missing")
    monkeypatch.setattr("eventstore.log.writer.LOG_BLOCK_MAX_BYTES", 3 * entry_size_bytes(events[0]))

    assert shop.write([*events[:2], odd, *events[2:]]).blocks == 3
    blocks = [entry.block for entry in shop.entries()]
    assert blocks == [1, 1, 1, 2, 2, 2, 3]


def test_lag_is_that_of_the_slowest_event(shop: Shop) -> None:
    assert shop.write(shop.has("b", events=1)).max_lag_us == 0
    events = shop.has("a", events=2, apart_s=1)
    shop.now_us = NOON_US + 7 * SECOND_US
    assert shop.write(events).max_lag_us == 7 * SECOND_US


def test_changed_number_of_tranches_is_raised_and_not_passed_over(shop: Shop) -> None:
    shop.log.errors = [TranchesChanged(begun_with=4, given=8)]
    with pytest.raises(TranchesChanged):
        shop.write(shop.has("a", events=1))


@pytest.mark.parametrize("lacking", ["tranches", "append_block"])
def test_log_needs_what_a_log_writer_calls_and_nothing_else(shop: Shop, lacking: str) -> None:
    members: dict[str, Any] = {"tranches": 4, "append_block": lambda *_: 1}
    LogWriter(reader=shop.reader, log=type("Log", (), members)())
    del members[lacking]
    with pytest.raises(InvalidArgument, match=f"^log: .* lacks {lacking};"):
        LogWriter(reader=shop.reader, log=type("Log", (), members)())


def test_block_that_is_not_written_stops_at_its_first_event(shop: Shop) -> None:
    shop.log.errors = [StoreUnavailable(operation="append", reason="throttled")]
    stopped = shop.write(shop.has("a", events=2)).stopped
    assert stopped is not None
    assert (stopped.stream_id, stopped.event_id, stopped.sequence_number) == ("a", 1, "0")


@pytest.mark.parametrize("is_available", [True, False])
def test_what_is_logged_is_told_to_the_other_processes(shop: Shop, *, is_available: bool) -> None:
    journal = CountingJournal(is_available=is_available)
    shop.log_writer = LogWriter(
        reader=shop.reader, log=shop.log, journal=journal, clock_us=lambda: shop.now_us
    )
    done = shop.write([*shop.has("a", events=2), *shop.has("b", events=1)])
    assert done.logged == 3
    assert journal.told == ([{"a": 2, "b": 1}] if is_available else [])
    assert (done.unjournaled is None) is is_available


def test_deleted_events_are_named_once_they_can_be_on_their_way_no_more(shop: Shop) -> None:
    (first,) = shop.has("a", events=1)
    behind = replace(first, event_id=3)
    shop.now_us = NOON_US + SECOND_US
    done = shop.write([behind])
    assert (done.logged, done.missing, done.stopped is None) == (0, (), False)
    shop.now_us = NOON_US + 3_600 * SECOND_US
    done = shop.write([behind])
    assert done.missing == (Missing("a", 2, 2),)
    assert [entry.event_id for entry in shop.entries("a")] == [1, 3]


def test_tranche_of_a_stream_never_changes() -> None:
    """It's persisted by where the entries are: another hash would break every log there is."""
    assert [tranche_of(name, tranches=4) for name in ("order-1", "order-2", "é/ü 😀", "")] == [3, 1, 1, 0]
