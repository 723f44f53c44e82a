"""What the store knows about itself: nobody who is told another number of shards passes over an event."""

from __future__ import annotations

import itertools
import random
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from eventstore import ANY, Append, Event, NewEvent, Position
from eventstore.dynamodb import facts, store_item
from eventstore.dynamodb.changes import stream_records
from eventstore.dynamodb.event_bodies import DynamoDBEventBodies
from eventstore.dynamodb.raw_items import DynamoDBEventsTable
from eventstore.dynamodb.store import DynamoDBEventStore
from eventstore.errors import (
    EventStoreError,
    InvalidLimit,
    MalformedStoreItem,
    StoreFormatUnknown,
    StoreItemMissing,
    StoreUnavailable,
)
from eventstore.maintenance.transfer.export import export
from eventstore.maintenance.transfer.importing import import_events
from tests import tables
from tests.faulty_wire import Wire
from tests.tables import Meter, events_table, over, tables_client

START_US = 1_769_860_800_000_000
KEY: dict[str, Any] = {"StreamId": {"S": "$store"}, "EventId": {"N": "0"}}
HAPPENED = [NewEvent.of("Happened")]


class Table(tables.Table):
    """An events table, and stores on it as several processes have them; their clocks agree."""

    def __init__(self, endpoint: str, name: str) -> None:
        super().__init__(endpoint, name)
        self.now_us = START_US

    def store(self, shards: int | None = 1, **options: Any) -> DynamoDBEventStore:
        """Begin a process that is told so many shards, right or wrong; None for nothing."""
        given: dict[str, Any] = {
            "clock_us": lambda: self.now_us,
            "sleep": lambda _: None,
            "clock_tolerance_s": None,
        } | options
        store = DynamoDBEventStore(client=self.client, table_name=self.name, **given)
        return store if shards is None else over(store, shards)

    def recorded(self) -> tuple[int, int]:
        item = self.item(KEY)
        return int(item["ReadShards"]["N"]), int(item["ReadShardsBefore"]["N"])

    def change(self, **attributes: Any) -> None:
        self.put({**self.item(KEY), **attributes})

    def pass_s(self, seconds: float) -> None:
        self.now_us += round(seconds * 1_000_000)

    def shards(self) -> set[int]:
        return {int(item["GSIKey"]["N"]) for item in self.items() if "GSIKey" in item}


@pytest.fixture
def table(dynamodb_endpoint: str) -> Iterator[Table]:
    with events_table(tables_client(dynamodb_endpoint)) as name:
        yield Table(dynamodb_endpoint, name)


@pytest.fixture
def wire(table: Table, monkeypatch: pytest.MonkeyPatch) -> Wire:
    return Wire.of(table.client, monkeypatch)


def append(store: DynamoDBEventStore, streams: int, name: str = "s") -> set[tuple[str, int]]:
    """Append one event to each of so many streams."""
    return {
        (event.stream_id, event.event_id)
        for n in range(streams)
        for event in store.append(f"{name}-{n}", HAPPENED, expected=ANY).events
    }


def read(store: DynamoDBEventStore, **options: Any) -> set[tuple[str, int]]:
    return {(event.stream_id, event.event_id) for event in store.read_all(**{"unsettled": True, **options})}


# --- the number of shards ---------------------------------------------------------------------------


@pytest.mark.parametrize("told", [4, 1, None, 20])
def test_written_with_8_shards_all_is_read_whatever_a_reader_is_told(table: Table, told: int | None) -> None:
    written = append(table.store(8), 80)
    assert table.shards() == set(range(8))

    assert read(table.store(told)) == written


@pytest.mark.parametrize("told", [4, None])
def test_reader_who_takes_its_own_number_for_the_stores_misses_events(
    table: Table, monkeypatch: pytest.MonkeyPatch, told: int | None
) -> None:
    written = append(table.store(8), 80)
    monkeypatch.setattr(facts.StoreFacts, "read_shards", lambda *_, **__: told or 1)
    assert read(table.store(told)) < written


def test_reader_who_began_before_the_first_event_reads_it(table: Table) -> None:
    reader = table.store(1)
    assert read(reader) == set()

    written = append(table.store(3), 20)
    assert read(reader) == written


def test_first_writer_records_its_shards_in_an_item_of_the_stores_own(table: Table) -> None:
    append(table.store(5), 1)

    number = {name: {"N": str(value)} for name, value in (("Format", 1), ("Since", START_US))}
    shards = {"ReadShards": {"N": "5"}, "ReadShardsBefore": {"N": "5"}}
    assert table.item(KEY) == {**KEY, **number, **shards, "Table": {"S": table.name}}


@pytest.mark.parametrize("shards", [0, 2.5, 3.0, "3", True, 1_001])
def test_number_that_no_reader_could_read_is_never_recorded(table: Table, shards: Any) -> None:
    of: dict[str, Any] = {"client": table.client, "table_name": table.name}
    for use in (
        lambda: table.store(shards),
        lambda: DynamoDBEventsTable(**of).spread(shards),
        lambda: facts.StoreFacts(**of).write_shards(shards),
    ):
        with pytest.raises(InvalidLimit):
            use()
    if shards != "3":
        with pytest.raises(MalformedStoreItem, match="its ReadShards is"):
            facts.StoreFacts(**of)._put(None, shards)
    assert table.items() == []


# --- a writer that is told nothing ------------------------------------------------------------------


def last_shard(shards: int) -> int:
    return shards - 1


def test_writer_who_is_told_nothing_begins_a_store_with_one_shard(table: Table) -> None:
    written = append(table.store(None), 3)

    assert (table.recorded(), table.shards()) == ((1, 1), {0})
    assert read(table.store(None)) == written


def test_writer_who_is_told_nothing_writes_as_many_shards_as_the_store_says(table: Table) -> None:
    append(table.store(8), 1)

    append(table.store(None, random_shard=last_shard), 1, "untold")

    assert (table.recorded(), 7 in table.shards()) == ((8, 8), True)


def test_writer_who_is_told_nothing_learns_of_a_raise_and_waits_for_readers(table: Table) -> None:
    untold = table.store(None, random_shard=last_shard)
    append(untold, 1)
    table.pass_s(1)
    append(table.store(5), 1, "deployed")
    table.pass_s(598)
    append(untold, 1, "a")
    assert table.shards() == {0}  # its copy of the number is young enough

    table.pass_s(1)
    append(untold, 1, "b")
    assert table.shards() == {0, 4}  # for long all readers have known it, by the writer's time that raised it


def test_new_shards_wait_also_where_an_untold_writer_has_just_seen_them(table: Table) -> None:
    untold = table.store(None, random_shard=last_shard)
    append(untold, 1)
    table.pass_s(600)
    append(table.store(5), 1, "deployed")
    append(untold, 1, "a")
    table.pass_s(59)
    append(untold, 1, "b")
    assert table.shards() == {0}

    table.pass_s(1)
    append(untold, 1, "c")
    assert table.shards() == {0, 4}


def test_nothing_is_read_of_the_store_between_a_stamp_and_its_write(table: Table) -> None:
    """The copy gets old in the middle of an append; the settling time has no room for a read there."""
    steps = itertools.count()

    def clock_us() -> int:
        table.now_us += 100_000_000 * (next(steps) % 3 == 1)
        return table.now_us

    append(table.store(None), 1)
    meter, untold = Meter.on(table.client), table.store(None, clock_us=clock_us)
    for n in range(20):
        meter.reset()
        untold.append(f"new-{n}", HAPPENED, expected=0)
        assert meter.requests[-1] == "PutItem"
        assert meter.requests.count("PutItem") == 1


def test_lower_number_of_one_deployment_leaves_what_the_others_write(table: Table) -> None:
    append(table.store(8), 1)
    append(table.store(2), 20, "lower")
    append(table.store(None, random_shard=last_shard), 1, "untold")

    assert (table.recorded(), 7 in table.shards()) == ((8, 8), True)


# --- a number that was lost -------------------------------------------------------------------------


def lost(table: Table) -> set[tuple[str, int]]:
    """Have events in three shards, and the store's own item deleted."""
    written = append(table.store(3), 60)
    assert table.shards() == {0, 1, 2}
    table.client.delete_item(TableName=table.name, Key=KEY)
    return written


@pytest.mark.parametrize("told", [1, 3, 7])
@pytest.mark.parametrize("options", [{}, {"unsettled": False}, {"limit": 1}])
def test_reader_who_meets_an_event_without_the_stores_item_refuses(
    table: Table, told: int, options: dict[str, Any]
) -> None:
    lost(table)
    table.pass_s(3_600)
    found: list[Event] = []

    with pytest.raises(StoreItemMissing, match="verify --repair"):
        found += table.store(told).read_all(**{"unsettled": True, **options})

    assert found == []
    assert len(list(table.store(told).read_stream("s-0"))) == 1


def in_later_shards(table: Table) -> None:
    """Have a few events, none in the first shard, and the store's own item deleted."""
    append(table.store(3, random_shard=last_shard), 2)
    assert table.shards() == {2}
    table.client.delete_item(TableName=table.name, Key=KEY)
    table.pass_s(3_600)


@pytest.mark.parametrize("unsettled", [True, False])
def test_lost_item_is_noticed_also_where_the_first_shard_has_no_event(table: Table, unsettled: bool) -> None:
    in_later_shards(table)
    with pytest.raises(StoreItemMissing):
        read(table.store(None), unsettled=unsettled)


def test_without_a_look_for_events_a_lost_item_would_hide_them(
    table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_later_shards(table)
    monkeypatch.setattr(DynamoDBEventStore, "_has_indexed_events", lambda _: False)
    assert read(table.store(None)) == set()


def test_item_that_is_recorded_while_a_reader_looks_for_events_counts(
    table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = DynamoDBEventStore._has_indexed_events

    def first_comes_between(store: DynamoDBEventStore) -> bool:
        append(table.store(3, random_shard=last_shard), 2)
        return looks(store)

    monkeypatch.setattr(DynamoDBEventStore, "_has_indexed_events", first_comes_between)
    assert len(read(table.store(None))) == 2


def test_writer_who_begins_without_the_stores_item_writes_nothing(table: Table) -> None:
    lost(table)
    before = table.items()

    for write in (
        lambda: table.store().append("new", HAPPENED, expected=0),
        lambda: table.store().append("s-0", HAPPENED, expected=1),
        lambda: table.store().append("s-0", HAPPENED, expected=ANY),
        lambda: table.store().transact([Append.of(name, HAPPENED, ANY) for name in ("a", "b")]),
        lambda: DynamoDBEventsTable(client=table.client, table_name=table.name).spread(1),
    ):
        with pytest.raises(StoreItemMissing):
            write()
    assert table.items() == before


def test_running_reader_notices_within_its_refresh_that_the_item_is_gone(table: Table) -> None:
    written = append(table.store(3), 60)
    reader = table.store(1)
    assert read(reader) == written
    table.client.delete_item(TableName=table.name, Key=KEY)
    table.pass_s(30)

    with pytest.raises(StoreItemMissing):
        read(reader)
    with pytest.raises(StoreItemMissing):
        append(reader, 1, "new")


def test_reader_goes_on_where_only_a_replica_lacks_the_item(table: Table, wire: Wire) -> None:
    written = append(table.store(3), 20)
    reader, meter = table.store(1), Meter.on(table.client)
    assert read(reader) == written
    table.pass_s(30)
    get = reader._facts._sends
    late = [{}]
    reader._facts._sends = lambda call, **request: late.pop() if late else get(call, **request)
    meter.reset()

    assert read(reader) == written
    assert (meter.requests.count("GetItem"), late) == (1, [])


def test_writer_who_comes_second_knows_the_first_from_a_lost_item(table: Table) -> None:
    """The first records its number and writes just between the second's two reads."""
    second = table.store(1)
    sends, scans = second._facts._sends, 0

    def first_comes_between(call: Any, **request: Any) -> Any:
        nonlocal scans
        if "Key" not in request and not scans:
            scans += 1
            append(table.store(3), 20, "first")
        return sends(call, **request)

    second._facts._sends = first_comes_between
    append(second, 1, "second")

    assert (scans, table.recorded()) == (1, (3, 3))
    assert len(read(table.store(1))) == 21


def test_item_that_is_put_back_is_read_at_once_and_new_shards_wait(table: Table) -> None:
    written = lost(table)
    facts.StoreFacts(client=table.client, table_name=table.name, stamp_us=lambda: table.now_us).restore(
        5, written=3
    )
    assert table.recorded() == (5, 3)
    assert read(table.store(1)) == written

    writer = table.store(5)
    append(writer, 60, "a")
    assert table.shards() == {0, 1, 2}
    table.pass_s(60)
    append(writer, 60, "b")
    assert table.shards() == {0, 1, 2, 3, 4}


def test_item_that_a_writer_has_recorded_meanwhile_is_only_raised(table: Table) -> None:
    append(table.store(4), 1)
    for shards in (3, 6):
        facts.StoreFacts(client=table.client, table_name=table.name).restore(shards, written=1)
    assert table.recorded() == (6, 4)


# --- the number while it rises ----------------------------------------------------------------------


def test_settled_read_that_begins_after_the_first_events_reads_all_shards(table: Table) -> None:
    reader = table.store(1, settling_s=0)
    assert read(reader, unsettled=False) == set()
    written = append(table.store(8, random_shard=lambda shards: shards - 1), 2)
    table.pass_s(20)  # less than what a copy may be old

    assert read(reader, unsettled=False) == written


def test_lower_number_of_write_shards_leaves_what_is_read(table: Table) -> None:
    written = append(table.store(5), 60)
    table.pass_s(3_600)
    written |= append(table.store(2), 20, "later")

    assert table.recorded() == (5, 5)
    assert read(table.store(2)) == written


def test_new_shards_are_written_when_every_reader_knows_of_them(table: Table) -> None:
    append(table.store(1), 20)
    table.pass_s(3_600)
    writer = table.store(5)
    append(writer, 40, "a")
    assert (table.recorded(), table.shards()) == ((5, 1), {0})
    table.pass_s(59)
    another = table.store(5)
    append(another, 40, "b")
    append(writer, 40, "c")
    assert table.shards() == {0}

    table.pass_s(1)
    append(another, 40, "d")
    assert table.shards() == {0}
    append(writer, 60, "e")
    assert table.shards() == {0, 1, 2, 3, 4}


@pytest.mark.parametrize(("ahead_s", "spreads"), [(-86_400, False), (0, False), (300, False), (361, True)])
def test_writer_with_another_clock_waits_by_its_own(table: Table, ahead_s: float, spreads: bool) -> None:
    """It waits a minute from when it saw the number; another writer's time counts when it's long ago."""
    append(table.store(1), 1)
    table.pass_s(3_600)
    append(table.store(5), 1, "raised")
    table.pass_s(1)
    apart_us = round((ahead_s - 1) * 1_000_000)
    writer = table.store(5, clock_us=lambda: table.now_us + apart_us)
    append(writer, 60, "a")
    assert (len(table.shards()) > 1) is spreads

    table.pass_s(60)
    append(writer, 60, "b")
    assert table.shards() == {0, 1, 2, 3, 4}


def test_second_raise_within_the_minute_leaves_what_readers_know(table: Table) -> None:
    append(table.store(1), 1)
    table.pass_s(3_600)
    append(table.store(5), 1, "a")
    table.pass_s(59)
    append(table.store(8), 1, "b")
    assert table.recorded() == (8, 1)


def test_two_writers_that_raise_at_once_leave_the_higher_number(table: Table) -> None:
    append(table.store(1), 1)
    barrier = threading.Barrier(6)

    def raise_to(shards: int) -> None:
        store = table.store(shards)
        barrier.wait()
        append(store, 1, f"w{shards}")

    with ThreadPoolExecutor(6) as executor:
        list(executor.map(raise_to, [3, 8, 5, 2, 7, 8]))
    assert table.recorded() == (8, 1)


def test_two_writers_that_begin_at_once_leave_the_higher_number(table: Table) -> None:
    barrier = threading.Barrier(6)

    def begin(shards: int) -> None:
        store = table.store(shards)
        barrier.wait()
        append(store, 4, f"w{shards}")

    with ThreadPoolExecutor(6) as executor:
        list(executor.map(begin, [3, 8, 5, 2, 7, 4]))
    assert table.recorded()[0] == 8
    assert len(read(table.store(1))) == 24


@pytest.mark.parametrize("before", [None, 1])
def test_record_whose_answer_got_lost_is_known(table: Table, wire: Wire, before: int | None) -> None:
    if before:
        append(table.store(before), 1)
    wire.faults = ["", "lost answer"]

    append(table.store(3), 20, "a")

    assert not wire.faults
    assert table.recorded() == (3, before or 3)


def test_append_that_can_not_read_the_stores_item_writes_nothing(table: Table, wire: Wire) -> None:
    wire.faults = ["ProvisionedThroughputExceededException"] * 3
    with pytest.raises(StoreUnavailable):
        table.store().append("s", HAPPENED, expected=0)

    assert table.items() == []


def test_raise_keeps_what_a_later_version_has_added(table: Table) -> None:
    append(table.store(1), 1)
    table.change(Later={"S": "kept"})

    append(table.store(3), 1, "a")

    assert table.item(KEY)["Later"] == {"S": "kept"}
    assert table.recorded() == (3, 1)


def test_reading_that_goes_on_for_minutes_takes_in_shards_that_join(table: Table) -> None:
    """Pages of two events: the reading is in the middle when the shards rise."""
    written: set[tuple[str, int]] = set()
    for n in range(20):
        written |= append(table.store(1), 1, f"early-{n}")
        table.pass_s(0.01)
    reader = table.store(1)
    query = reader._query
    reader._query = lambda **request: query(**request, Limit=2)  # type: ignore[method-assign]
    found = iter(reader.read_all(unsettled=True))
    seen = [next(found) for _ in range(5)]

    table.pass_s(3_600)
    writer = table.store(4)
    append(writer, 1, "raised")
    table.pass_s(60)
    later = append(writer, 60, "later")
    seen += found

    assert table.shards() == {0, 1, 2, 3}
    positions = [event.position for event in seen]
    assert positions == sorted(set(positions))
    assert {(event.stream_id, event.event_id) for event in seen} >= written | later


class _Follower:
    """Reads all streams now and then, settled events only, each time behind its checkpoint."""

    def __init__(self, table: Table, *, every_s: float, begins_s: float, told: int | None) -> None:
        self.table, self.every_s, self.due_s = table, every_s, begins_s
        self.store = table.store(told)
        self.checkpoint: Position | None = None
        self.seen: set[tuple[str, int]] = set()

    def look(self) -> None:
        for event in self.store.read_all(after=self.checkpoint):
            self.checkpoint = event.position
            self.seen.add((event.stream_id, event.event_id))


def missed_by_followers(table: Table, seed: int, *, untold: bool = False) -> int:
    """Reshard 1 -> 5 -> 9 under readers of every age; count what they have missed in the end.

    Deployments raise the number. Where somebody is told nothing: half of the readers, and as many writers
    as the deployments have.
    """
    rng = random.Random(seed)
    number = itertools.count()
    tells = itertools.cycle([1, None] if untold else [1])
    followers = [
        _Follower(table, every_s=every_s, begins_s=begins_s, told=next(tells))
        for every_s, begins_s in [(3, 0), (12, 0), (27, 3), (33, 45), (45, 3), (18, 90)]
    ]
    skews = [round(rng.uniform(-2, 2) * 1_000_000) for _ in range(3)]

    def writer(shards: int | None) -> DynamoDBEventStore:
        skew_us = rng.choice(skews)
        return table.store(shards, clock_us=lambda: table.now_us + skew_us, random_shard=rng.randrange)

    writers = [writer(1), writer(1)]
    others = [writer(None), writer(None)] if untold else []
    begin_s = {48, 69, 78, 105} if untold else set()
    written: set[tuple[str, int]] = set()
    for second in range(0, 210, 3):
        if second in {45, 66}:  # the second begins within the first one's minute
            writers.append(writer(5))
        if second == 75:
            writers.append(writer(9))
        if second == 150:
            writers = [writer(9), writers[-1]]
        others += [writer(None)] * (second in begin_s)  # just after a raise, too
        for store in writers + others:
            written |= append(store, 1, f"o-{next(number)}")
        for follower in followers:
            if second >= follower.due_s:
                follower.due_s = second + follower.every_s
                follower.look()
        table.pass_s(3)
    table.pass_s(60)
    for follower in followers:
        follower.look()
    assert table.shards() > {0, 4}
    return sum(len(written - follower.seen) for follower in followers)


@pytest.mark.parametrize(("seed", "untold"), [(1, False), (2, False), (1, True), (2, True)])
def test_readers_of_every_age_miss_nothing_when_shards_rise(
    table: Table, monkeypatch: pytest.MonkeyPatch, seed: int, untold: bool
) -> None:
    monkeypatch.setattr(facts, "_WRITER_REFRESH_US", 9_000_000)  # as readers do: so it's seen at every age
    assert missed_by_followers(table, seed, untold=untold) == 0


@pytest.mark.parametrize("untold", [False, True])
@pytest.mark.parametrize("taken_away", ["_SPREAD_US", "_REFRESH_US"])
def test_readers_miss_events_without_the_wait_or_without_the_refresh(
    table: Table, monkeypatch: pytest.MonkeyPatch, taken_away: str, untold: bool
) -> None:
    module = store_item if taken_away == "_SPREAD_US" else facts
    monkeypatch.setattr(module, taken_away, 0 if taken_away == "_SPREAD_US" else 10**12)
    assert missed_by_followers(table, 1, untold=untold) > 0


# --- an item that can't be used ---------------------------------------------------------------------


def every_use(table: Table, path: Path) -> dict[str, Any]:
    """What a process may begin with."""
    events_table = DynamoDBEventsTable(client=table.client, table_name=table.name)
    export([Event("n", 1, "N", "1", "{}", "01890a5d-ac96-774b-bcce-b302099a8057", 1)], path, settled_until="")
    return {
        "append": lambda: table.store().append("new", HAPPENED, expected=0),
        "append any": lambda: table.store().append("new", HAPPENED, expected=ANY),
        "head": lambda: table.store().head("s-0"),
        "read a stream": lambda: list(table.store().read_stream("s-0")),
        "read an event": lambda: table.store().event_at("s-0", 1),
        "read times": lambda: table.store().read_times([("s-0", 1)]),
        "read all": lambda: list(table.store().read_all()),
        "bodies": lambda: DynamoDBEventBodies(client=table.client, table_name=table.name).read_events(
            [("s-0", 1)]
        ),
        "scan": lambda: events_table.scan(segment=0, segments=1, after=None),
        "import": lambda: list(import_events(path, events_table, write_shards=1, into_existing=True)),
    }


def test_store_of_a_newer_format_is_neither_read_nor_written(table: Table, tmp_path: Path) -> None:
    append(table.store(), 1)
    table.change(Format={"N": "2"})
    before = table.items()

    for name, use in every_use(table, tmp_path / "e.gz").items():
        with pytest.raises(StoreFormatUnknown, match="format 2, and this version of eventstore knows 1"):
            pytest.fail(f"{name}: {use()}")
    assert table.items() == before


DAMAGES: list[tuple[dict[str, Any], str]] = [
    ({"ReadShards": {"S": "5"}}, "its ReadShards is missing or no number"),
    ({"ReadShards": {"N": "0"}}, "its ReadShards is 0; it has to be a whole number from 1 to 1,000"),
    ({"ReadShards": {"N": "2.5"}}, "its ReadShards is 2.5"),
    ({"ReadShards": {"N": "1001"}}, "its ReadShards is 1001"),
    ({"ReadShardsBefore": {"N": "2"}}, "its ReadShardsBefore is 2; it has to be a whole number from 1 to 1"),
    ({"Since": {"N": "-1"}}, "its Since is -1"),
    ({"Format": {"NULL": True}}, "its Format is missing or no number"),
    ({"Format": {"N": "0"}}, "its Format is 0"),
]


@pytest.mark.parametrize(("damage", "reason"), DAMAGES)
def test_damaged_item_is_named_and_nothing_is_written(
    table: Table, tmp_path: Path, damage: dict[str, Any], reason: str
) -> None:
    append(table.store(), 1)
    table.change(**damage)
    before = table.items()

    for name, use in every_use(table, tmp_path / "e.gz").items():
        with pytest.raises(MalformedStoreItem, match=f"'\\$store', 0\\) can't be used: {reason}"):
            pytest.fail(f"{name}: {use()}")
    assert table.items() == before


def test_reader_notices_a_format_that_has_risen_meanwhile(table: Table) -> None:
    append(table.store(), 1)
    reader = table.store()
    assert len(read(reader)) == 1
    table.change(Format={"N": "2"})

    table.pass_s(30)
    with pytest.raises(EventStoreError, match="format 2"):
        read(reader)


# --- who passes over it -----------------------------------------------------------------------------


def test_store_with_no_event_but_its_own_item_is_empty_for_an_import(table: Table) -> None:
    target = DynamoDBEventsTable(client=table.client, table_name=table.name)
    assert target.is_empty()
    target.spread(3)
    for n in range(40):
        table.put({"StreamId": {"S": "$other"}, "EventId": {"N": str(n)}})
    assert target.is_empty()

    append(table.store(), 1)
    assert not target.is_empty()


def test_records_of_the_stores_own_item_are_passed_over(table: Table) -> None:
    append(table.store(), 1)
    change = {"Keys": KEY, "NewImage": table.item(KEY), "SequenceNumber": "1"}
    records = [{"eventName": name, "dynamodb": change} for name in ("INSERT", "MODIFY")]

    assert stream_records({"Records": records}) == []


def test_item_is_not_in_the_index(table: Table) -> None:
    append(table.store(), 1)

    assert len(read(table.store())) == 1


# --- what it costs ----------------------------------------------------------------------------------


def test_writer_reads_it_once_a_process(table: Table) -> None:
    append(table.store(3), 1)
    meter, store = Meter.on(table.client), table.store(3)
    append(store, 1, "a")
    assert meter.requests == ["GetItem", "Query", "PutItem"]
    meter.reset()

    table.pass_s(86_400)
    store.append("b", HAPPENED, expected=0)
    assert meter.requests == ["PutItem"]


def test_writer_told_nothing_reads_it_each_ten_minutes_for_half_a_unit(table: Table) -> None:
    append(table.store(3), 1)
    meter, store = Meter.on(table.client), table.store(None)
    store.append("a", HAPPENED, expected=0)
    assert meter.requests == ["GetItem", "PutItem"]
    meter.reset()

    for n in range(100):
        table.pass_s(6)
        store.append(f"b-{n}", HAPPENED, expected=0)
    assert meter.requests == ["PutItem"] * 99 + ["GetItem", "PutItem"]
    assert (meter.table_units, meter.index_units) == (100.5, 100.0)


def test_first_writer_of_all_writes_it_once(table: Table) -> None:
    meter, store = Meter.on(table.client), table.store(3)

    store.append("a", HAPPENED, expected=0)

    assert meter.requests == ["GetItem", "Scan", "PutItem", "PutItem"]
    # 1 RCU that finds nothing, 1 WCU for the item, 1 for the event; the engine has an empty scan for nothing.
    assert (meter.table_units, meter.index_units) == (3.0, 1.0)


def test_reader_of_streams_reads_it_once_a_process(table: Table) -> None:
    append(table.store(), 2)
    meter, store = Meter.on(table.client), table.store()

    for stream_id in ("s-0", "s-1"):
        list(store.read_stream(stream_id))
        store.head(stream_id)
        table.pass_s(3_600)

    assert meter.requests == ["GetItem"] + ["Query"] * 4
    assert meter.table_units == 5.0


def test_reader_of_all_streams_reads_it_each_30_seconds_for_half_a_unit(table: Table) -> None:
    append(table.store(), 2)
    meter, store = Meter.on(table.client), table.store()
    read(store)
    assert (meter.requests, meter.table_units) == (["GetItem", "Query"], 1.0)
    meter.reset()

    for _ in range(60):
        read(store)
        table.pass_s(1)

    assert meter.requests.count("GetItem") == 1
    assert meter.table_units == 0.5


class _Clocks:
    """The two clocks of one process: one that is set, one that stands still while the computer sleeps."""

    def __init__(self, table: Table) -> None:
        self.off_s, self.monotonic_s, self._table = 0.0, 7.0, table

    def now_us(self) -> int:
        return self._table.now_us + round(self.off_s * 1_000_000)

    def pass_s(self, seconds: float, *, asleep: bool = False) -> None:
        self._table.pass_s(seconds)
        self.monotonic_s += 0 if asleep else seconds

    def facts(self) -> facts.StoreFacts:
        return facts.StoreFacts(
            client=self._table.client,
            table_name=self._table.name,
            clock_us=self.now_us,
            stamp_us=lambda: self._table.now_us,
            monotonic_s=lambda: self.monotonic_s,
        )


def _raised(table: Table) -> _Clocks:
    """Have a store raised from 1 shard to 5 just now."""
    append(table.store(1), 1)
    table.pass_s(3_600)
    append(table.store(5), 1)
    return _Clocks(table)


@pytest.mark.parametrize("off_s", [-3_600.0, 3_600.0])
def test_writers_clock_that_is_set_has_new_shards_no_earlier(table: Table, off_s: float) -> None:
    clocks = _raised(table)
    writer = clocks.facts()
    clocks.off_s = off_s
    assert writer.write_shards(5) == 1
    clocks.off_s = 0.0
    assert writer.write_shards(5) == 1
    clocks.off_s = 3_600.0  # what is stamped is compared: it isn't believed by itself
    assert writer.write_shards(5) == 1
    clocks.off_s = min(0.0, off_s)
    clocks.pass_s(3_700)
    assert writer.write_shards(5) == 5


@pytest.mark.parametrize("how", ["it is set back", "it sleeps", "time passes"])
def test_readers_copy_gets_old_by_either_of_its_clocks(table: Table, how: str) -> None:
    append(table.store(1), 1)
    clocks = _Clocks(table)
    reader = clocks.facts()
    assert reader.read_shards(1) == 1
    append(table.store(5), 1)
    if how == "it is set back":
        clocks.off_s = -29.0
    clocks.pass_s(31, asleep=how == "it sleeps")
    assert reader.read_shards(1) == 5


def test_stores_copy_gets_old_though_its_wall_clock_is_set_back(
    table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    passed_s = 0.0
    append(table.store(1), 1)
    reader = over(DynamoDBEventStore(client=table.client, table_name=table.name), 1)
    monkeypatch.setattr(reader._server_clock, "_monotonic_s", lambda: time.monotonic() + passed_s)
    reader._facts.read_shards(1)
    append(table.store(5), 1)

    passed_s = 31.0

    assert reader._facts.read_shards(1) == 5
