"""What a reader of a tranche makes of the log: turn by turn, and with which reads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from eventstore import Event
from eventstore.errors import MalformedItem, PositionNotInLog
from eventstore.log.model import BEGINNING, BlockPosition, ClosedBlocks
from eventstore.memory.log import MemoryEventLog
from eventstore.subscriptions import Terms
from eventstore.subscriptions.tranche_reader import TrancheReader, Turn

Address = tuple[str, int]
T = 1_000_000_000_000
"""All times are told from this one on, in microseconds."""


class Table:
    """A log of one tranche and the table behind it, which counts what is read."""

    def __init__(self) -> None:
        self.log = MemoryEventLog(tranches=1)
        self.events: dict[Address, Event] = {}
        self.reads: list[list[Address]] = []
        self.damaged: set[Address] = set()

    def put(
        self, stream_id: str, event_id: int, *, at: int, name: str = "E", stamped: int | None = None
    ) -> Event:
        """Write an event at this time, whose Timestamp may be another one."""
        event = Event(stream_id, event_id, name, "{}", "{}", "uid", T + (stamped or at), written_us=T + at)
        self.events[stream_id, event_id] = event
        return event

    def block(self, *addresses: Address) -> None:
        self.log.append_block(0, [self.events[address] for address in addresses])

    def blocks(self, stream_id: str, *ats: int, first: int = 1) -> None:
        """Write events at these times, each in a block of its own."""
        for event_id, at in enumerate(ats, start=first):
            self.put(stream_id, event_id, at=at)
            self.block((stream_id, event_id))

    def read_events(self, addresses: Sequence[Address]) -> dict[Address, Event | MalformedItem]:
        assert 1 <= len(addresses) <= 100
        self.reads.append(list(addresses))
        found: dict[Address, Event | MalformedItem] = {}
        for address in addresses:
            if address in self.damaged:
                found[address] = MalformedItem(stream_id=address[0], event_id=address[1], reason="damaged")
            elif address in self.events:
                found[address] = self.events[address]
        return found

    def reader(
        self, *, horizon: int | None = None, since: int | None = None, **options: Any
    ) -> TrancheReader:
        terms = Terms(warm_up_blocks=options.pop("warm_up", 1), **options.pop("terms", {}))
        given: dict[str, Any] = {
            "tranche": 0,
            "place": BEGINNING,
            "horizon_us": 0 if horizon is None else T + horizon,
            "since_us": 0 if since is None else T + since,
            "names": None,
            "streams": "",
        }
        return TrancheReader(log=self.log, bodies=self, terms=terms, **(given | options))


def told(turns: Sequence[Turn]) -> list[tuple[Any, Any, int]]:
    """Return of each turn its event's address, its place, and what is done before it."""
    return [
        (turn.event and (turn.event.stream_id, turn.event.event_id), turn.place, turn.after) for turn in turns
    ]


def given(turns: Sequence[Turn]) -> list[Address]:
    return [(turn.event.stream_id, turn.event.event_id) for turn in turns if turn.event]


# --- from the beginning ---------------------------------------------------------------------------------


def test_each_turn_has_its_place_and_what_is_done_before_it() -> None:
    table = Table()
    for address in (("a", 1), ("b", 1), ("a", 2), ("x", 1), ("a", 3)):
        table.put(*address, at=10)
    table.block(("a", 1), ("b", 1))
    table.block(("a", 2), ("x", 1), ("b", 1), ("a", 3))
    reader = table.reader(streams=("a"))
    assert told(list(reader.read())) == [
        (("a", 1), (1, 1), 0),
        (None, (2, 0), 0),
        (("a", 2), (2, 1), 0),
        (None, (2, 2), 0),
        (None, (2, 3), 0),
        (("a", 3), (3, 0), 0),
    ]
    assert table.reads == [[("a", 1), ("a", 2), ("a", 3)]]
    assert list(reader.read()) == []
    table.block(("a", 2), ("a", 3))  # repeats
    assert told(list(reader.read())) == [(None, (3, 1), 0), (None, (4, 0), 0)]
    assert len(table.reads) == 1


def test_events_that_the_log_lacks_come_before_the_later_one_and_once() -> None:
    table = Table()
    for event_id in range(1, 8):
        table.put("a", event_id, at=event_id, name="Other" if event_id in {3, 7} else "E")
    table.block(("a", 1))
    table.block(("a", 5))
    table.block(("a", 4), ("a", 2), ("a", 7), ("a", 6))
    assert told(list(table.reader(names={"E"}).read())) == [
        (("a", 1), (2, 0), 0),
        (("a", 2), None, 0),
        (None, None, 0),
        (("a", 4), None, 0),
        (("a", 5), (3, 0), 0),
        (None, (3, 1), 0),
        (None, (3, 2), 0),
        (("a", 6), None, 0),
        (None, (3, 3), 0),
        (None, (4, 0), 0),
    ]


def test_late_event_that_is_not_known_is_given_behind_known_earlier_ones() -> None:
    table = Table()
    for event_id in range(1, 6):
        table.put("a", event_id, at=event_id)
    table.block(("a", 3))
    table.block(("a", 5))
    table.block(("a", 4))
    reader = table.reader(
        place=BlockPosition(3, 0),
        warm_up=2,
    )
    assert told(list(reader.read())) == [(("a", 4), (4, 0), 2)]


def test_events_are_read_and_given_a_hundred_at_a_time() -> None:
    table = Table()
    addresses = [("a", 1 + number) for number in range(250)]
    for address in addresses:
        table.put(*address, at=10)
    for number, address in enumerate(addresses):
        table.block(address, addresses[number // 2])  # each with a repeat
    turns = table.reader(terms={"page_entries": 500}).read()
    got = [next(turns) for _ in range(3)]
    assert [len(read) for read in table.reads] == [100]
    got += turns
    assert [len(read) for read in table.reads] == [100, 100, 50]
    assert given(got) == addresses
    assert [turn.place for turn in got if turn.place is not None] == [
        BlockPosition(block, 1) if number % 2 == 0 else BlockPosition(block + 1, 0)
        for number, block in ((number, number // 2 + 1) for number in range(500))
    ]


def test_reader_goes_on_page_by_page_where_it_was() -> None:
    table = Table()
    table.blocks("a", 1, 2, 3, 4, 5)
    reader = table.reader(terms={"page_entries": 2})
    pages = [given(list(reader.read())) for _ in range(4)]
    assert pages == [[("a", 1), ("a", 2)], [("a", 3), ("a", 4)], [("a", 5)], []]


def test_first_entry_from_the_beginning_brings_all_before_it_without_a_look() -> None:
    table = Table()
    for event_id in (1, 2, 3):
        table.put("a", event_id, at=event_id)
    table.block(("a", 3))
    assert given(list(table.reader().read())) == [("a", 1), ("a", 2), ("a", 3)]
    assert table.reads == [[("a", 1), ("a", 2), ("a", 3)]]


def test_page_of_which_nothing_is_wanted_reads_no_event() -> None:
    table = Table()
    table.blocks("a", 1, 2, 3)
    assert len(list(table.reader(names={"Other"}).read())) == 3
    assert table.reads == []


def test_event_without_an_item_is_given_as_what_it_is() -> None:
    table = Table()
    table.blocks("a", 1, 2)
    del table.events["a", 1]
    gone, _ = table.reader().read()
    assert isinstance(gone.event, MalformedItem)
    assert (gone.event.stream_id, gone.event.event_id) == ("a", 1)
    assert gone.event.reason == "the log leads to it, but the events table has no such item"


def test_reader_at_a_place_behind_the_logs_end_says_so_when_it_reads() -> None:
    table = Table()
    table.blocks("a", 1)
    reader = table.reader(place=BlockPosition(9, 0))
    with pytest.raises(PositionNotInLog):
        list(reader.read())


# --- horizons, and blocks that are gone -----------------------------------------------------------------


def test_horizon_of_a_place_is_the_latest_write_before_what_is_read_back() -> None:
    table = Table()
    table.blocks("a", 30, 10, 20, 50, 40)
    turns = list(table.reader(warm_up=1, horizon=7).read())
    # Behind block n all from n on is read back: what was written last before it is the horizon.
    assert [(turn.place, turn.horizon_us - T) for turn in turns] == [
        ((2, 0), 7),
        ((3, 0), 30),
        ((4, 0), 30),
        ((5, 0), 30),
        ((6, 0), 50),
    ]
    table.put("b", 1, at=60)
    table.put("b", 2, at=70)
    table.block(("b", 1), ("b", 2))
    # Inside of a block one more is read back than behind it.
    assert [turn.horizon_us - T for turn in table.reader(warm_up=2).read()][-3:] == [30, 30, 50]


def test_reader_keeps_no_more_horizons_than_it_reads_back_blocks() -> None:
    table = Table()
    table.blocks("a", *range(10, 310, 10))
    reader = table.reader(warm_up=3, horizon=5)
    turns = list(reader.read())
    assert [turn.horizon_us - T for turn in turns] == [5, 5, 5, *range(10, 280, 10)]
    assert len(reader._highest_of) == 5


def test_closed_blocks_are_told_at_the_place_behind_them_with_its_horizon() -> None:
    table = Table()
    table.blocks("a", 10, 20, 30, 40, 50)
    for block in (3, 4):
        table.log.lose_block(0, block)
    for block in (3, 4):
        assert table.log.close_block(0, block)
    turns = list(table.reader(warm_up=1).read())
    closed = turns[2]
    assert closed == Turn(None, BlockPosition(5, 0), 0, T + 20, ClosedBlocks(0, 3, 4))
    assert [(turn.place, turn.horizon_us) for turn in turns if turn.place] == [
        ((2, 0), 0),
        ((3, 0), T + 10),
        ((5, 0), T + 20),
        ((6, 0), T + 20),
    ]
    assert given(turns) == [("a", event_id) for event_id in range(1, 6)]


# --- from a place on ------------------------------------------------------------------------------------


def test_what_is_read_back_is_known_and_what_is_before_taken_for_handled() -> None:
    table = Table()
    table.blocks("a", 10, 20)
    table.blocks("b", 30)
    for address in (("a", 3), ("b", 2), ("c", 1)):
        table.put(*address, at=40)
    table.block(("b", 1), ("a", 3), ("b", 2), ("c", 1))
    reader = table.reader(place=BlockPosition(4, 0), warm_up=1, horizon=20)
    assert given(list(reader.read())) == [("a", 3), ("b", 2), ("c", 1)]


@pytest.mark.parametrize(("block", "ids"), [(2, [1, 2]), (3, [2])])
def test_nothing_is_unknown_where_the_tranche_is_read_back_whole(block: int, ids: list[int]) -> None:
    table = Table()
    table.blocks("b", *range(1, block))
    table.put("a", 1, at=39)
    table.put("a", 2, at=40)
    table.block(("a", 2))
    reader = table.reader(place=BlockPosition(block, 0), warm_up=1, horizon=50)
    assert given(list(reader.read())) == [("a", event_id) for event_id in ids]


def test_hole_behind_the_horizon_is_filled_as_far_as_it_is_younger() -> None:
    table = Table()
    for stream_id in ("a", "c"):
        for event_id in range(1, 7):
            table.put(stream_id, event_id, at=10 * event_id)
    table.blocks("b", 1, 2, 100)
    table.block(("a", 6), ("c", 6))
    turns = list(table.reader(place=BlockPosition(4, 0), warm_up=1, horizon=30).read())
    assert told(turns) == [
        (("a", 4), None, 3),
        (("a", 5), None, 3),
        (("a", 6), (4, 1), 3),
        (("c", 4), None, 3),
        (("c", 5), None, 3),
        (("c", 6), (5, 0), 3),
    ]
    # At its own event nobody has read what was written later, and none before it. Each is looked at once.
    assert table.reads[:-1] == [[("a", 5), ("c", 5)], [("a", 3)], [("a", 4)], [("c", 3)], [("c", 4)]]
    assert table.reads[-1] == [(stream_id, event_id) for stream_id in "ac" for event_id in (4, 5, 6)]


def test_event_that_is_gone_before_the_first_one_of_a_stream_is_no_hole() -> None:
    table = Table()
    table.blocks("b", 1, 2, 100)
    table.put("a", 2, at=200)
    table.block(("a", 2))
    reader = table.reader(place=BlockPosition(4, 0), warm_up=1, horizon=30)
    assert given(list(reader.read())) == [("a", 2)]


@pytest.mark.parametrize(("written_us", "before"), [(30, []), (31, [("a", 1)])])
def test_what_precedes_an_event_from_before_the_horizon_is_taken_for_handled(
    written_us: int, before: list[Address]
) -> None:
    table = Table()
    table.blocks("b", 1, 2, 100)
    table.put("a", 1, at=31)
    table.put("a", 2, at=written_us)
    table.block(("a", 2))
    turns = list(table.reader(place=BlockPosition(4, 0), warm_up=1, horizon=30).read())
    assert given(turns) == [*before, ("a", 2)]


def test_what_precedes_the_first_entries_of_a_page_is_looked_at_in_one_read() -> None:
    table = Table()
    table.blocks("b", 1, 2, 100)
    for number in range(130):
        table.put(f"a{number:03}", 1, at=20)
        table.put(f"a{number:03}", 2, at=200)
        table.put(f"a{number:03}", 3, at=201)
    new = [(f"a{number:03}", event_id) for number in range(130) for event_id in (2, 3)]
    others = [("c", 2), ("a-old", 2), ("a-other", 2), ("a-first", 1)]
    table.put("c", 2, at=200)
    table.put("a-old", 2, at=30)
    table.put("a-other", 2, at=200, name="Other")
    table.put("a-first", 1, at=200)
    table.block(*others, *new, ("b", 3))
    reader = table.reader(
        place=BlockPosition(4, 0), warm_up=1, horizon=30, names={"E"}, streams="a", terms={}
    )
    assert given(list(reader.read())) == [("a-old", 2), ("a-first", 1), *new]
    looked_at = [(f"a{number:03}", 1) for number in range(130)]
    assert table.reads[:2] == [looked_at[:100], looked_at[100:]]
    assert [address for read in table.reads[2:] for address in read] == [("a-old", 2), ("a-first", 1), *new]


def test_holes_behind_what_is_known_are_filled_without_a_look() -> None:
    table = Table()
    table.blocks("b", 1, 2)
    for event_id in range(3, 10):
        table.put("b", event_id, at=100 + event_id, name="Other" if event_id in {4, 8} else "E")
    table.put("b", 1, at=100)  # it would be due
    table.block(("b", 3), ("b", 4))
    table.block(("b", 6))
    reader = table.reader(place=BlockPosition(4, 0), warm_up=1, horizon=50, names=["E"])
    assert told(list(reader.read())) == [(("b", 5), None, 2), (("b", 6), (5, 0), 2)]
    table.block(("b", 9))
    assert told(list(reader.read())) == [
        (("b", 7), None, 2),
        (None, None, 2),
        (("b", 9), (6, 0), 2),
    ]
    assert table.reads == [[("b", 5), ("b", 6)], [("b", 7), ("b", 8), ("b", 9)]]


def test_nothing_is_looked_at_for_events_that_are_not_asked_for() -> None:
    table = Table()
    table.blocks("b", 1, 2, 100)
    for event_id in (4, 5, 6):
        table.put("a", event_id, at=100 + event_id, name="Other")
    table.put("a", 7, at=108)
    table.block(("a", 5), ("a", 6))
    reader = table.reader(place=BlockPosition(4, 0), warm_up=1, horizon=30, names={"E"})
    assert told(list(reader.read())) == [(None, (4, 1), 4), (None, (5, 0), 4)]
    assert table.reads == []
    table.block(("a", 7))  # now what is before them may be asked for, too
    assert told(list(reader.read())) == [(None, None, 3), (("a", 7), (6, 0), 3)]
    assert table.reads == [[("a", 4)], [("a", 2)], [("a", 3)], [("a", 4), ("a", 7)]]


def test_damaged_event_before_the_first_one_of_a_stream_is_given() -> None:
    table = Table()
    table.blocks("b", 1, 2, 100)
    for event_id in (1, 2):
        table.put("a", event_id, at=20 + event_id)
    table.damaged.add(("a", 1))
    table.put("a", 2, at=200)
    table.block(("a", 2))
    turns = list(table.reader(place=BlockPosition(4, 0), warm_up=1, horizon=50).read())
    assert given(turns) == [("a", 1), ("a", 2)]
    assert isinstance(turns[0].event, MalformedItem)


# --- from a time on -------------------------------------------------------------------------------------


def test_events_older_than_the_begin_are_passed_over_not_that_of_its_time() -> None:
    table = Table()
    for event_id, at in enumerate((10, 20, 30, 40, 50), start=1):
        table.put("a", event_id, at=at)
    table.block(("a", 1), ("a", 5))
    turns = list(table.reader(since=30).read())
    assert told(turns) == [
        (None, (1, 1), 0),
        (None, None, 0),
        (("a", 3), None, 0),
        (("a", 4), None, 0),
        (("a", 5), (2, 0), 0),
    ]


def test_only_the_timestamps_of_events_are_compared_with_the_begin() -> None:
    table = Table()
    table.put("a", 1, at=100, stamped=29)  # an import
    table.put("a", 2, at=100, stamped=30)
    table.put("a", 3, at=100, stamped=31)
    table.block(("a", 2))
    table.block(("a", 3))
    table.block(("a", 1))
    assert given(list(table.reader(since=30).read())) == [("a", 2), ("a", 3)]
    assert table.reads == [[("a", 1)], [("a", 2), ("a", 3)]]
    table.reads.clear()
    table.log = MemoryEventLog(tranches=1)
    table.block(("a", 3))
    assert given(list(table.reader(since=30).read())) == [("a", 2), ("a", 3)]
    assert table.reads == [[("a", 2)], [("a", 1)], [("a", 2), ("a", 3)]]


def test_hole_behind_an_event_from_before_the_begin_is_filled_without_a_look() -> None:
    table = Table()
    table.blocks("b", 1, 2, 100)
    for event_id in (1, 2, 3):
        table.put("a", event_id, at=200, stamped=28 + event_id)
    table.block(("a", 1))
    reader = table.reader(place=BlockPosition(4, 0), warm_up=1, horizon=50, since=30)
    assert given(list(reader.read())) == []
    table.block(("a", 3))
    assert given(list(reader.read())) == [("a", 2), ("a", 3)]
    assert table.reads == [[("a", 2), ("a", 3)]]
