"""The contract of `EventLog`: what holds on every adapter."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from eventstore import Event, LogPosition
from eventstore.errors import (
    BlockMissing,
    InvalidArgument,
    InvalidLimit,
    InvalidPosition,
    InvalidRange,
    PositionNotInLog,
    PositionOfAnotherLog,
)
from eventstore.events import Address
from eventstore.log.model import BlockPosition, ClosedBlocks, LogEntry, tranche_of
from eventstore.log.port import EventLog
from eventstore.log.read import read_log

TRANCHES = 3


def stream_in(tranche: int, *, number: int = 0) -> str:
    """Name a stream that lives in a tranche; other numbers are other streams."""
    names = (f"order-{number}-{n}" for n in range(1_000))
    return next(name for name in names if tranche_of(name, tranches=TRANCHES) == tranche)


def logged_events(stream_id: str, count: int, *, first: int = 1) -> list[Event]:
    """Make events of a stream as a store gives them."""
    return [
        Event(
            stream_id, number, "Bestellt ✓", '{"n": 1}', "{}", f"uid-{number}", 1_769_860_800_000_000 + number
        )
        for number in range(first, first + count)
    ]


def at(stream_id: str, second: int) -> list[Event]:
    """Make a stream's one event, of a second."""
    return [Event(stream_id, 1, "Happened", "{}", "{}", "uid", second * 1_000_000)]


def addresses(entries: Sequence[LogEntry]) -> list[Address]:
    """Return which events entries are about."""
    return [(entry.stream_id, entry.event_id) for entry in entries]


class EventLogContract(ABC):
    """Subclass it as ``Test...`` and make an empty log; pytest runs the rest."""

    @abstractmethod
    def make_log(self, *, tranches: int) -> EventLog:
        """Make a log without blocks."""

    @abstractmethod
    def lose_block(self, log: EventLog, tranche: int, block: int) -> None:
        """Take a block away past the log, as a deletion by hand does."""

    @pytest.fixture
    def log(self) -> EventLog:
        return self.make_log(tranches=TRANCHES)

    # --- append -----------------------------------------------------------------------------------

    def test_blocks_of_a_tranche_are_numbered_from_1_without_gaps(self, log: EventLog) -> None:
        for tranche in (0, 2):
            stream = stream_in(tranche)
            numbers = [log.append_block(tranche, logged_events(stream, 1, first=n)) for n in range(1, 6)]
            assert numbers == [1, 2, 3, 4, 5]

    def test_entry_says_when_its_event_was_written_where_the_timestamp_does_not(self, log: EventLog) -> None:
        first, imported, third = logged_events(stream_in(1), 3)
        log.append_block(1, [first, replace(imported, written_us=third.timestamp_us + 10**15), third])
        assert [entry.written_us for entry in log.read_tranche(1)] == [
            first.timestamp_us,
            third.timestamp_us + 10**15,
            third.timestamp_us,
        ]

    def test_entries_come_back_as_they_were_put_down(self, log: EventLog) -> None:
        stream = stream_in(1)
        log.append_block(1, logged_events(stream, 2))
        log.append_block(1, logged_events(stream, 1, first=3))

        assert list(log.read_tranche(1)) == [
            LogEntry(
                stream_id=stream,
                event_id=number,
                name="Bestellt ✓",
                timestamp_us=1_769_860_800_000_000 + number,
                written_us=1_769_860_800_000_000 + number,
                tranche=1,
                block=block,
                index=index,
                ends_block=ends,
            )
            for number, block, index, ends in [(1, 1, 0, False), (2, 1, 1, True), (3, 2, 0, True)]
        ]

    def test_stream_ids_of_any_characters_come_back(self, log: EventLog) -> None:
        for stream in ('quote"back\\slash', "é/ü 😀", "[1,2]"):
            tranche = tranche_of(stream, tranches=TRANCHES)
            log.append_block(tranche, logged_events(stream, 1))
            assert (stream, 1) in addresses(list(log.read_tranche(tranche)))

    def test_writers_side_by_side_lose_nothing_and_leave_no_gap(self, log: EventLog) -> None:
        streams = [stream_in(0, number=number) for number in range(4)]

        def write(stream: str) -> list[int]:
            return [log.append_block(0, logged_events(stream, 2, first=n)) for n in (1, 3, 5)]

        with ThreadPoolExecutor(len(streams)) as threads:
            numbers = [number for found in threads.map(write, streams) for number in found]

        assert sorted(numbers) == list(range(1, 13))
        entries = list(log.read_tranche(0))
        assert len(entries) == 24
        for stream in streams:
            assert [of for name, of in addresses(entries) if name == stream] == [1, 2, 3, 4, 5, 6]

    def test_stream_of_another_tranche_is_refused(self, log: EventLog) -> None:
        with pytest.raises(InvalidArgument, match="lives in tranche 1, not in 0"):
            log.append_block(0, logged_events(stream_in(1), 1))
        assert list(log.read_tranche(0)) == []

    def test_empty_block_is_refused(self, log: EventLog) -> None:
        with pytest.raises(InvalidArgument, match="at least one"):
            log.append_block(0, [])

    # --- read a tranche ---------------------------------------------------------------------------

    def test_reading_goes_on_behind_any_entry(self, log: EventLog) -> None:
        stream = stream_in(2)
        for first, count in ((1, 3), (4, 1), (5, 2)):
            log.append_block(2, logged_events(stream, count, first=first))
        entries = list(log.read_tranche(2))

        for place, entry in enumerate(entries):
            assert list(log.read_tranche(2, after=entry.position)) == entries[place + 1 :]

    def test_position_behind_a_block_needs_no_second_look_at_it(self, log: EventLog) -> None:
        log.append_block(0, logged_events(stream_in(0), 3))

        assert list(log.read_tranche(0))[-1].position == BlockPosition(2, 0)

    @pytest.mark.parametrize("limit", [1, 2, 3, 7, 8, 9, 40, 41, 1_000])
    def test_limit_counts_entries_whatever_the_blocks_hold(self, log: EventLog, limit: int) -> None:
        stream, first = stream_in(0), 1
        for count in (1, 1, 1, 1, 1, 1, 1, 1, 1, 30, 1, 2):
            log.append_block(0, logged_events(stream, count, first=first))
            first += count

        found = list(log.read_tranche(0, limit=limit))
        assert [entry.event_id for entry in found] == list(range(1, 43))[:limit]

    def test_what_is_written_later_only_ever_comes_behind(self, log: EventLog) -> None:
        first, second = stream_in(0), stream_in(0, number=1)
        log.append_block(0, logged_events(first, 2))
        before = list(log.read_tranche(0))
        log.append_block(0, logged_events(second, 2))

        assert list(log.read_tranche(0))[:2] == before
        assert addresses(list(log.read_tranche(0, after=before[-1].position))) == [(second, 1), (second, 2)]

    def test_tranche_without_blocks_is_empty(self, log: EventLog) -> None:
        assert list(log.read_tranche(0)) == []

    @pytest.mark.parametrize("tranche", [-1, TRANCHES])
    def test_tranche_that_the_log_has_not_is_refused(self, log: EventLog, tranche: int) -> None:
        with pytest.raises(InvalidRange, match="0 to 2"):
            log.read_tranche(tranche)

    @pytest.mark.parametrize("limit", [0, -1, True, 2.5, "2", 10**30])
    def test_limit_that_is_no_number_from_1_on_is_refused(self, log: EventLog, limit: Any) -> None:
        with pytest.raises(InvalidLimit):
            log.read_tranche(0, limit=limit)
        with pytest.raises(InvalidLimit):
            read_log(log, limit=limit)

    @pytest.mark.parametrize("place", [("1", 0), (1, None), (1.5, 0), (True, 0), (None, None)])
    def test_place_that_is_no_numbers_is_refused_before_reading(self, log: EventLog, place: Any) -> None:
        with pytest.raises(InvalidPosition):
            log.read_tranche(0, after=BlockPosition(*place))
        with pytest.raises(InvalidPosition):
            read_log(log, after=LogPosition((BlockPosition(*place),) * TRANCHES, log.log_id))

    def test_set_of_events_is_refused_for_it_has_no_order(self, log: EventLog) -> None:
        unordered: Any = set(logged_events(stream_in(0), 2))
        with pytest.raises(InvalidArgument, match=r"^events: "):
            log.append_block(0, unordered)

    def test_end_of_the_log_is_a_position(self, log: EventLog) -> None:
        log.append_block(0, logged_events(stream_in(0), 2))

        for _ in range(2):
            assert list(log.read_tranche(0, after=BlockPosition(2, 0))) == []
            assert list(log.read_tranche(1, after=BlockPosition(1, 0))) == []
        log.append_block(0, logged_events(stream_in(0), 1, first=3))
        assert addresses(list(log.read_tranche(0, after=BlockPosition(2, 0)))) == [(stream_in(0), 3)]

    @pytest.mark.parametrize("place", [(3, 0), (3, 1), (2, 1), (99, 0), (1, 3), (99, 5)])
    def test_position_behind_the_logs_end_is_refused(self, log: EventLog, place: tuple[int, int]) -> None:
        log.append_block(1, logged_events(stream_in(1), 2))

        for read in range(2):
            with pytest.raises(PositionNotInLog) as caught:
                list(log.read_tranche(1, after=BlockPosition(*place), limit=5 if read else None))
            error = caught.value
            assert (error.tranche, error.block, error.entries, error.last_block) == (1, *place, 1)

    @pytest.mark.parametrize("place", [(2, 0), (1, 1)])
    def test_position_in_a_log_without_blocks_is_refused(self, log: EventLog, place: tuple[int, int]) -> None:
        with pytest.raises(PositionNotInLog):
            list(log.read_tranche(0, after=BlockPosition(*place)))

    def test_position_behind_the_end_of_one_tranche_is_refused_for_the_log(self, log: EventLog) -> None:
        for tranche in range(TRANCHES):
            log.append_block(tranche, logged_events(stream_in(tranche), 1))
        kept = LogPosition((BlockPosition(2, 0), BlockPosition(4, 0), BlockPosition(1, 0)), log.log_id)

        with pytest.raises(PositionNotInLog):
            read_log(log, after=kept)
        assert len(read_log(log, after=kept, tranches=[0, 2]).entries) == 1

    # --- where a time begins ----------------------------------------------------------------------

    def test_no_event_of_a_time_or_younger_stands_before_its_place(self, log: EventLog) -> None:
        times = [50, 20, 70, 30, 90, 10, 60, 90, 80, 40, 95]  # as imports and repairs put them there
        for number, second in enumerate(times):
            log.append_block(0, at(stream_in(0, number=number), second))

        for since in range(101):
            place = log.first_since(0, since * 1_000_000)
            before = times[: place.block - 1]
            assert place.entries == 0
            assert all(second < since for second in before)
            assert place.block > len(times) or times[place.block - 1] >= since

    def test_place_of_a_time_is_kept_by_writers_side_by_side(self, log: EventLog) -> None:
        def write(number: int) -> None:
            for second in (number, 100 - number, number):
                log.append_block(0, at(stream_in(0, number=number), second))

        with ThreadPoolExecutor(4) as threads:
            list(threads.map(write, range(4)))

        entries = list(log.read_tranche(0))
        for since in range(102):
            place = log.first_since(0, since * 1_000_000)
            before = [entry.timestamp_us for entry in entries if entry.position <= place]
            assert not before or max(before) < since * 1_000_000
            block = [entry.timestamp_us for entry in entries if entry.block == place.block]
            assert not block or max(block) >= since * 1_000_000

    @pytest.mark.parametrize("since_us", [0, 1, 10**18])
    def test_every_time_begins_a_tranche_without_blocks_at_its_beginning(
        self, log: EventLog, since_us: int
    ) -> None:
        assert log.first_since(1, since_us) == BlockPosition(1, 0)

    @pytest.mark.parametrize("since_us", [-1, 1.5, True, "1", None])
    def test_time_that_is_none_is_refused(self, log: EventLog, since_us: Any) -> None:
        with pytest.raises(InvalidRange, match=r"^since_us: "):
            log.first_since(0, since_us)
        with pytest.raises(InvalidRange, match=r"^tranche: "):
            log.first_since(TRANCHES, 0)

    # --- blocks that are lost ---------------------------------------------------------------------

    def lossy(self, log: EventLog, *lost: int, blocks: int = 6) -> str:
        """Fill tranche 0 with blocks of two events, and lose some; return the stream."""
        stream = stream_in(0)
        for number in range(blocks):
            log.append_block(0, logged_events(stream, 2, first=2 * number + 1))
        for block in lost:
            self.lose_block(log, 0, block)
        return stream

    def test_lost_block_is_named_behind_what_stands_before_it(self, log: EventLog) -> None:
        self.lossy(log, 3, 4)

        found = log.read_tranche(0)
        assert [next(found).event_id for _ in range(4)] == [1, 2, 3, 4]
        with pytest.raises(BlockMissing) as caught:
            next(found)
        assert (caught.value.tranche, caught.value.block, caught.value.next_block) == (0, 3, 5)
        for after in (BlockPosition(3, 0), BlockPosition(3, 1), BlockPosition(4, 0)):
            with pytest.raises(BlockMissing):
                list(log.read_tranche(0, after=after, limit=1))
        assert len(list(log.read_tranche(0, after=BlockPosition(5, 0)))) == 4

    def test_consistent_is_true_or_false(self, log: EventLog) -> None:
        for bad in ("false", 0, None):
            with pytest.raises(InvalidArgument, match=r"^consistent: "):
                log.read_tranche(0, limit=1, consistent=bad)  # type: ignore[arg-type]

    def test_read_that_may_lag_passes_over_nothing_and_names_what_is_lost(self, log: EventLog) -> None:
        self.lossy(log, 3, 4)

        found = log.read_tranche(0, consistent=False)
        assert [next(found).event_id for _ in range(4)] == [1, 2, 3, 4]
        with pytest.raises(BlockMissing) as caught:
            next(found)
        assert (caught.value.tranche, caught.value.block, caught.value.next_block) == (0, 3, 5)
        for after, limit in ((BlockPosition(3, 0), 1), (BlockPosition(2, 1), 2)):
            with pytest.raises(BlockMissing):
                list(log.read_tranche(0, after=after, limit=limit, consistent=False))
        for block in (3, 4):
            log.close_block(0, block)
        for limit in (1, 3, 6, 8, 99):
            found = log.read_tranche(0, limit=limit, consistent=False)
            assert [entry.event_id for entry in found] == [1, 2, 3, 4, 9, 10, 11, 12][:limit]
        with pytest.raises(PositionNotInLog):
            list(log.read_tranche(0, after=BlockPosition(8, 0), consistent=False))

    def test_closed_places_are_read_over_and_told(self, log: EventLog) -> None:
        self.lossy(log, 3, 4)
        assert [log.close_block(0, block) for block in (3, 4)] == [True, True]

        assert [entry.event_id for entry in log.read_tranche(0)] == [1, 2, 3, 4, 9, 10, 11, 12]
        first = read_log(log, limit=4)
        assert first.closed == ()
        second = read_log(log, after=first.position, limit=2)
        assert second.closed == (ClosedBlocks(tranche=0, first=3, last=4),)
        assert read_log(log, after=second.position).closed == ()

    def test_place_inside_of_a_lost_block_is_that_behind_it(self, log: EventLog) -> None:
        self.lossy(log, 3)
        log.close_block(0, 3)

        for entries in (0, 1, 2, 99):
            found = list(log.read_tranche(0, after=BlockPosition(3, entries)))
            assert [entry.event_id for entry in found] == list(range(7, 13))
        with pytest.raises(PositionNotInLog):
            list(log.read_tranche(0, after=BlockPosition(4, 3)))

    def test_only_a_lost_block_is_closed(self, log: EventLog) -> None:
        self.lossy(log, 2)
        assert log.close_block(0, 1) is False
        assert log.close_block(0, 5) is False
        for block in (6, 7, 99):  # the last one, and what isn't there yet
            with pytest.raises(InvalidRange, match=r"^block: .*only one with a later one behind it"):
                log.close_block(0, block)
        for bad in (0, -1, True, "1"):
            with pytest.raises(InvalidRange, match=r"^block: "):
                log.close_block(0, bad)  # type: ignore[arg-type]
        with pytest.raises(InvalidRange, match=r"^tranche: "):
            log.close_block(TRANCHES, 1)
        assert len(list(log.read_tranche(0, after=BlockPosition(3, 0)))) == 8

        assert [log.close_block(0, 2), log.close_block(0, 2)] == [True, True]
        assert log.append_block(0, logged_events(stream_in(0), 1, first=13)) == 7
        assert len(list(log.read_tranche(0))) == 11

    def test_places_are_closed_one_after_the_other(self, log: EventLog) -> None:
        self.lossy(log, 1, 2, 3)
        with pytest.raises(BlockMissing) as caught:
            log.close_block(0, 2)
        assert (caught.value.block, caught.value.next_block) == (1, 4)
        assert [log.close_block(0, block) for block in (1, 2, 3)] == [True] * 3
        assert [entry.event_id for entry in log.read_tranche(0)] == [7, 8, 9, 10, 11, 12]

    def test_place_of_a_time_counts_a_closed_block_with_those_before_it(self, log: EventLog) -> None:
        for number, second in enumerate([10, 50, 30, 40, 60]):
            log.append_block(0, at(stream_in(0, number=number), second))
        for block in (2, 3):
            self.lose_block(log, 0, block)
            log.close_block(0, block)

        begins = {second: log.first_since(0, second * 1_000_000).block for second in (5, 30, 50, 55, 61)}
        assert begins == {5: 1, 30: 4, 50: 4, 55: 5, 61: 6}

    # --- read the log -----------------------------------------------------------------------------

    @pytest.mark.parametrize("limit", [1, 2, 5, 100])
    def test_page_by_page_every_entry_comes_once_and_each_stream_in_order(
        self, log: EventLog, limit: int
    ) -> None:
        streams = [stream_in(tranche, number=number) for tranche in (0, 1) for number in range(2)]
        for first in (1, 3, 4):
            for stream in streams:
                events = logged_events(stream, 2 if first == 1 else 1, first=first)
                log.append_block(tranche_of(stream, tranches=TRANCHES), events)

        found, position = _page_by_page(log, limit=limit)
        numbers_of: dict[str, list[int]] = {}
        for stream, number in found:
            numbers_of.setdefault(stream, []).append(number)
        assert numbers_of == {stream: [1, 2, 3, 4] for stream in streams}
        assert read_log(log, after=position).entries == ()

    def test_small_pages_pass_over_no_tranche(self, log: EventLog) -> None:
        for n in range(1, 9):
            for tranche in range(TRANCHES):
                log.append_block(tranche, logged_events(stream_in(tranche), 1, first=n))
        position: LogPosition | None = None
        seen: list[int] = []
        for _ in range(TRANCHES):
            page = read_log(log, after=position, limit=1)
            position = page.position
            seen.append(page.entries[0].tranche)
        assert sorted(seen) == [0, 1, 2]

    def test_page_takes_from_every_tranche_its_share_and_what_others_leave(self, log: EventLog) -> None:
        log.append_block(0, logged_events(stream_in(0), 20))
        log.append_block(1, logged_events(stream_in(1), 1))
        log.append_block(2, logged_events(stream_in(2), 20))

        tranches = [entry.tranche for entry in read_log(log, limit=9).entries]
        assert [tranches.count(tranche) for tranche in range(TRANCHES)] == [4, 1, 4]

    def test_chosen_tranches_are_read_and_the_others_stay(self, log: EventLog) -> None:
        for tranche in range(TRANCHES):
            log.append_block(tranche, logged_events(stream_in(tranche), 2))

        page = read_log(log, tranches=[1, 2])
        assert {entry.tranche for entry in page.entries} == {1, 2}
        assert addresses(read_log(log, after=page.position).entries) == [(stream_in(0), 1), (stream_in(0), 2)]

    def test_position_of_another_log_is_refused(self, log: EventLog) -> None:
        log.append_block(0, logged_events(stream_in(0), 1))
        other = self.make_log(tranches=TRANCHES)
        other.append_block(0, logged_events(stream_in(0), 1))
        position = read_log(other).position
        for given in (position, LogPosition(position.places), LogPosition((BlockPosition(2, 0),) * 5, "x")):
            with pytest.raises(PositionOfAnotherLog) as caught:
                read_log(log, after=given)
            assert (caught.value.given, caught.value.log_id) == (given.log_id, log.log_id)
        with pytest.raises(InvalidPosition, match=r"^after: is of a log with 5 tranches, not 3"):
            read_log(log, after=LogPosition((BlockPosition(2, 0),) * 5, log.log_id))

    def test_log_has_an_id_of_its_own_that_stays(self, log: EventLog) -> None:
        log.append_block(0, logged_events(stream_in(0), 1))
        log_id = log.log_id
        log.append_block(0, logged_events(stream_in(0), 1, first=2))
        other = self.make_log(tranches=TRANCHES)
        other.append_block(0, logged_events(stream_in(0), 1))

        assert re.fullmatch(r"[A-Za-z0-9_-]{1,64}", log_id)
        assert log.log_id == log_id != other.log_id
        assert read_log(log).position.log_id == log_id

    def test_beginning_is_one_place_whatever_the_tranches(self, log: EventLog) -> None:
        """As it was given out before the log was begun, whose number of tranches wasn't known then."""
        log.append_block(1, logged_events(stream_in(1), 2))

        assert len(read_log(log, after=LogPosition.beginning(5)).entries) == 2


def _page_by_page(log: EventLog, *, limit: int) -> tuple[list[Address], LogPosition]:
    """Read all entries, each page behind the text of the position before it."""
    found: list[Address] = []
    position: LogPosition | None = None
    while True:
        page = read_log(log, after=position, limit=limit)
        found += addresses(page.entries)
        position = LogPosition.parse(str(page.position))
        if len(page.entries) < limit:
            return found, position
