"""The log's contract, in memory and on the strict engine; and what only the log's table can go through."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import Any, cast

import pytest

from eventstore import ANY, NewEvent
from eventstore.dynamodb.log import DynamoDBEventLog
from eventstore.dynamodb.requests import SlotsTaken
from eventstore.dynamodb.store import DynamoDBEventStore
from eventstore.errors import (
    InvalidArgument,
    InvalidLimit,
    InvalidRange,
    MalformedBlock,
    PositionNotInLog,
    StoreUnavailable,
    TranchesChanged,
)
from eventstore.http.app import Api
from eventstore.http.log import log_handlers
from eventstore.http.requests import Request
from eventstore.log.model import BlockPosition, tranche_of
from eventstore.log.port import EventLog
from eventstore.log.read import read_log
from eventstore.maintenance.verify.against_log import LogComparison
from eventstore.memory.checkpoints import MemoryCheckpoints, MemoryEventBodies
from eventstore.memory.log import MemoryEventLog
from eventstore.memory.store import MemoryEventStore
from eventstore.subscriptions import SharedReader, Subscription, subscribe
from eventstore.subscriptions.start import places_at
from eventstore.testing import EventLogContract
from eventstore.testing.log_contract import addresses, at, logged_events, stream_in
from tests import tables
from tests.faulty_wire import Wire
from tests.tables import Meter, dynamodb_client, log_table, of_tranches, tables_client


class TestMemoryEventLog(EventLogContract):
    def make_log(self, *, tranches: int) -> EventLog:
        return MemoryEventLog(tranches=tranches)

    def lose_block(self, log: EventLog, tranche: int, block: int) -> None:
        assert isinstance(log, MemoryEventLog)
        log.lose_block(tranche, block)


class TestDynamoDBEventLog(EventLogContract):
    @pytest.fixture(autouse=True)
    def _engine(self, dynamodb_endpoint: str) -> Iterator[None]:
        self.client = dynamodb_client(dynamodb_endpoint)
        with ExitStack() as self.tables:
            yield

    def make_log(self, *, tranches: int) -> EventLog:
        name = self.tables.enter_context(log_table(self.client))
        return of_tranches(DynamoDBEventLog(client=self.client, table_name=name), tranches)

    def lose_block(self, log: EventLog, tranche: int, block: int) -> None:
        assert isinstance(log, DynamoDBEventLog)
        key = {"Tranche": {"N": str(tranche)}, "Block": {"N": str(block)}}
        self.client.delete_item(TableName=log._table_name, Key=key)


class TestSharedEventLog(EventLogContract):
    def make_log(self, *, tranches: int) -> EventLog:
        self.behind = MemoryEventLog(tranches=tranches)
        return SharedReader(log=self.behind, bodies=MemoryEventBodies(MemoryEventStore())).log

    def lose_block(self, log: EventLog, tranche: int, block: int) -> None:
        self.behind.lose_block(tranche, block)


def test_memory_store_logs_each_append_at_once() -> None:
    store = MemoryEventStore(log=MemoryEventLog())
    for stream in ("a", "b", "a"):
        store.append(stream, [NewEvent.of("Happened")] * 2, expected=ANY)

    found = addresses(store.read_log().entries)
    assert sorted(found) == [*(("a", n) for n in (1, 2, 3, 4)), *(("b", n) for n in (1, 2))]
    assert [number for stream, number in found if stream == "a"] == [1, 2, 3, 4]


def test_store_without_a_log_says_how_to_make_one_with_it(dynamodb_endpoint: str) -> None:
    with pytest.raises(InvalidArgument, match="log=MemoryEventLog"):
        MemoryEventStore().read_log()
    with pytest.raises(InvalidArgument, match="log=DynamoDBEventLog"):
        DynamoDBEventStore(client=dynamodb_client(dynamodb_endpoint), table_name="t").read_log()


# --- the table --------------------------------------------------------------------------------------


class Table(tables.Table):
    """A log's table, and logs on it as several processes have them."""

    def log(self, *, tranches: int = 3, **options: Any) -> DynamoDBEventLog:
        return of_tranches(DynamoDBEventLog(client=self.client, table_name=self.name, **options), tranches)

    def block(self, tranche: int, number: int) -> dict[str, Any]:
        return self.item({"Tranche": {"N": str(tranche)}, "Block": {"N": str(number)}})


@pytest.fixture
def table(dynamodb_endpoint: str) -> Iterator[Table]:
    with log_table(tables_client(dynamodb_endpoint)) as name:
        yield Table(dynamodb_endpoint, name)


@pytest.fixture
def wire(table: Table, monkeypatch: pytest.MonkeyPatch) -> Wire:
    return Wire.of(table.client, monkeypatch)


def test_block_is_one_item_as_the_schema_has_it(table: Table) -> None:
    stream = stream_in(1)
    table.log(random_bytes=bytes).append_block(1, logged_events(stream, 2))

    item = table.block(1, 1)
    assert item.keys() == {"Tranche", "Block", "Entries", "BlockUid", "Newest"}
    assert json.loads(item["Entries"]["S"]) == [
        [stream, 1, "Bestellt ✓", 1_769_860_800_000_001],
        [stream, 2, "Bestellt ✓", 1_769_860_800_000_002],
    ]
    assert item["Newest"] == {"N": "1769860800000002"}
    assert table.block(-1, 0)["Tranches"] == {"N": "3"}


def test_new_process_goes_behind_the_last_block(table: Table) -> None:
    for number in (1, 2, 3):
        assert table.log().append_block(0, logged_events(stream_in(0), 1, first=number)) == number


def test_writer_who_comes_second_goes_behind_the_first(table: Table) -> None:
    one, two = table.log(), table.log()
    stream, other = stream_in(0), stream_in(0, number=1)
    one.append_block(0, logged_events(stream, 1))
    two.append_block(0, logged_events(other, 1))
    two.append_block(0, logged_events(other, 1, first=2))

    assert one.append_block(0, logged_events(stream, 1, first=2)) == 4
    assert addresses(list(one.read_tranche(0))) == [(stream, 1), (other, 1), (other, 2), (stream, 2)]


def test_put_whose_answer_got_lost_is_known_by_its_uid(table: Table, wire: Wire) -> None:
    log = table.log()
    log.append_block(0, logged_events(stream_in(0), 1))
    wire.faults = ["lost answer"]

    assert log.append_block(0, logged_events(stream_in(0), 1, first=2)) == 2
    assert not wire.faults
    assert [entry.event_id for entry in log.read_tranche(0)] == [1, 2]


def test_put_that_was_never_answered_may_stand_twice_and_leaves_no_gap(table: Table, wire: Wire) -> None:
    log = table.log()
    log.append_block(0, logged_events(stream_in(0), 1))
    wire.faults = ["lost answer"] * 3
    with pytest.raises(StoreUnavailable):
        log.append_block(0, logged_events(stream_in(0), 1, first=2))

    assert log.append_block(0, logged_events(stream_in(0), 1, first=2)) == 3
    assert [entry.event_id for entry in log.read_tranche(0)] == [1, 2, 2]


def test_writer_who_is_never_first_gives_up(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []
    log = table.log(sleep=waited.append, jitter=lambda: 1.0)
    log.append_block(0, logged_events(stream_in(0), 1))

    def taken(*_: Any, **__: Any) -> bool:
        return False

    monkeypatch.setattr(log, "_put", taken)
    with pytest.raises(StoreUnavailable, match="20 times in tranche 0"):
        log.append_block(0, logged_events(stream_in(0), 1, first=2))
    assert len(waited) == 20
    assert max(waited) == 0.2


def test_subscription_whose_checkpoint_is_behind_a_restored_logs_end_stops(
    table: Table, dynamodb_endpoint: str
) -> None:
    stream, checkpoints = stream_in(0), MemoryCheckpoints()
    store = MemoryEventStore()
    store.append(stream, [NewEvent.of("Happened")] * 40, expected=0)
    handled: list[int] = []

    def worker(log: EventLog) -> Subscription:
        return subscribe(
            "view",
            lambda event: handled.append(event.event_id),
            log=log,
            bodies=MemoryEventBodies(store),
            checkpoints=checkpoints,
            worker=f"w{len(handled)}",
        )

    for first in range(1, 41):
        table.log().append_block(0, logged_events(stream, 1, first=first))
    first_one = worker(table.log())
    first_one.step()
    first_one.close()
    assert handled == list(range(1, 41))
    places = {tranche: lease.place for tranche, lease in checkpoints.read_group("view").leases.items()}
    with log_table(table.client) as name:
        for before, blocks in (
            (0, 10),
            (10, 30),
        ):  # without and with some of those read before the checkpoint
            restored = Table(dynamodb_endpoint, name)
            restored.put(table.block(-1, 0))
            for first in range(before + 1, blocks + 1):
                restored.log().append_block(0, logged_events(stream, 1, first=first))

            with pytest.raises(PositionNotInLog, match="begins anew under another name") as caught:
                worker(restored.log()).run_forever()
            assert (caught.value.block, caught.value.last_block) == (41, blocks)
    left = {tranche: lease.place for tranche, lease in checkpoints.read_group("view").leases.items()}
    assert left == places
    assert len(handled) == 40


def test_log_that_was_begun_with_other_tranches_is_not_written_to(table: Table) -> None:
    table.log(tranches=3).append_block(0, logged_events(stream_in(0), 1))

    with pytest.raises(TranchesChanged, match="set the number of tranches back to 3") as caught:
        table.log(tranches=1).append_block(0, logged_events("a", 1))
    assert (caught.value.begun_with, caught.value.given) == (3, 1)
    assert isinstance(caught.value.__cause__, SlotsTaken)
    assert len(list(table.log().read_tranche(0))) == 1


EIGHT = [f"order-{n}" for n in range(40)]


@pytest.fixture
def eight(table: Table) -> set[tuple[str, int]]:
    """80 events in a log of 8 tranches."""
    log = table.log(tranches=8)
    for stream in EIGHT:
        log.append_block(tranche_of(stream, tranches=8), logged_events(stream, 2))
    return {(stream, event_id) for stream in EIGHT for event_id in (1, 2)}


READS: dict[str, Any] = {
    "a page": read_log,
    "a page of the store": lambda log: DynamoDBEventStore(
        client=log._client, table_name="unread", log=log
    ).read_log(),
    "a tranche": lambda log: list(log.read_tranche(1)),
    "the number itself": lambda log: log.tranches,
    "HTTP": lambda log: _over_http(log),  # noqa: PLW0108 - it stands below
    "a subscription": lambda log: _subscription(log).step(),
    "a subscription from a time": lambda log: places_at(log, datetime.now(UTC)),
    "verify": LogComparison,
    "an append": lambda log: log.append_block(tranche_of("a", tranches=log._told), logged_events("a", 1)),
}


def _over_http(log: DynamoDBEventLog) -> object:
    answer = Api(log_handlers(log))(Request(method="GET", path="/log", headers={}, request_id="r"))
    if answer.error:
        raise answer.error
    return answer


@pytest.mark.parametrize("told", [4, 9])
@pytest.mark.parametrize("reads", READS)
@pytest.mark.usefixtures("eight")
def test_whoever_is_told_another_number_of_tranches_gets_no_answer(
    table: Table, reads: str, told: int
) -> None:
    for _ in range(2):  # and no second time either
        with pytest.raises(TranchesChanged) as caught:
            READS[reads](table.log(tranches=told))
        assert (caught.value.begun_with, caught.value.given) == (8, told)


def test_reader_who_is_told_nothing_takes_the_number_from_the_log(
    table: Table, eight: set[tuple[str, int]]
) -> None:
    log = DynamoDBEventLog(client=table.client, table_name=table.name)
    assert log.tranches == 8
    assert set(addresses(read_log(log).entries)) == eight
    seen: set[tuple[str, int]] = set()
    worker = _subscription(log, lambda event: seen.add((event.stream_id, event.event_id)))
    while worker.step():
        pass
    assert seen == eight


def test_writer_who_is_told_nothing_goes_on_with_the_logs_number(
    table: Table, eight: set[tuple[str, int]]
) -> None:
    log = DynamoDBEventLog(client=table.client, table_name=table.name)

    log.append_block(tranche_of("new", tranches=log.tranches), logged_events("new", 1))

    assert set(addresses(read_log(table.log(tranches=8)).entries)) == {*eight, ("new", 1)}


def test_reader_of_a_log_that_is_begun_meanwhile_reads_it_whole(table: Table) -> None:
    log = DynamoDBEventLog(client=table.client, table_name=table.name)
    checkpoint = read_log(log).position
    told = table.log(tranches=4)
    assert read_log(told).entries == ()
    table.log(tranches=8).append_block(tranche_of("a", tranches=8), logged_events("a", 3))

    assert len(read_log(log, after=checkpoint).entries) == 3
    with pytest.raises(TranchesChanged):
        read_log(told)


def test_subscription_before_the_log_begins_with_the_logs_number(table: Table) -> None:
    seen: list[int] = []
    log = DynamoDBEventLog(client=table.client, table_name=table.name)
    worker = _subscription(log, lambda event: seen.append(event.event_id))
    assert worker.step() == 0
    stream = EIGHT[0]
    table.log(tranches=8).append_block(tranche_of(stream, tranches=8), logged_events(stream, 2))

    assert worker.step() == 2
    assert (seen, worker.tranches) == ([1, 2], set(range(8)))


def test_writer_with_another_number_than_the_logs_writes_nothing(
    table: Table,
) -> None:
    late = DynamoDBEventLog(client=table.client, table_name=table.name)
    assert late.tranches == 4
    table.log(tranches=8).append_block(tranche_of("a", tranches=8), logged_events("a", 3))
    stream = next(s for s in EIGHT if tranche_of(s, tranches=4) != tranche_of(s, tranches=8))

    with pytest.raises((TranchesChanged, ValueError)):
        late.append_block(tranche_of(stream, tranches=4), logged_events(stream, 1))

    assert late.append_block(tranche_of(stream, tranches=8), logged_events(stream, 1)) >= 1


def test_log_without_an_id_is_refused_with_the_way_out(table: Table) -> None:
    """As a version before 0.1.0 has begun it."""
    table.put({"Tranche": {"N": "-1"}, "Block": {"N": "0"}, "Tranches": {"N": "3"}})

    for use in (read_log, lambda log: log.append_block(0, logged_events(stream_in(0), 1))):
        with pytest.raises(MalformedBlock, match=r"its LogId is missing.* or rebuild the log"):
            use(table.log())


def test_two_writers_that_begin_a_log_give_it_one_id(table: Table) -> None:
    one, two = table.log(), table.log()
    assert (one.log_id, two.log_id) == ("", "")
    for number, log in enumerate((one, two), start=1):
        log.append_block(0, logged_events(stream_in(0), 1, first=number))

    assert one.log_id == two.log_id == table.block(-1, 0)["LogId"]["S"] != ""


@pytest.mark.parametrize("tranches", ["0", "257", "1.5", None])
def test_damaged_number_of_tranches_is_named(table: Table, tranches: str | None) -> None:
    item: dict[str, Any] = {"Tranche": {"N": "-1"}, "Block": {"N": "0"}}
    if tranches:
        item["Tranches"] = {"N": tranches}
    table.put(item)

    for use in (read_log, lambda log: log.append_block(0, logged_events(stream_in(0), 1))):
        with pytest.raises(MalformedBlock, match="block 0 of the log's tranche -1: its Tranches is"):
            use(table.log())


def _subscription(log: DynamoDBEventLog, handler: Any = lambda event: None) -> Subscription:
    store = MemoryEventStore()
    for stream in EIGHT:
        store.append(stream, [NewEvent.of("Happened")] * 2, expected=0)
    return subscribe(
        "view", handler, log=log, bodies=MemoryEventBodies(store), checkpoints=MemoryCheckpoints()
    )


@pytest.mark.parametrize("tranches", [0, 257])
def test_number_of_tranches_has_to_be_within_its_limits(table: Table, tranches: int) -> None:
    with pytest.raises(InvalidLimit, match="from 1 to 256"):
        table.log(tranches=tranches)


@pytest.mark.parametrize("tranches", [0, 2.5, True, 257])
def test_number_of_tranches_that_nobody_could_read_is_never_written(table: Table, tranches: Any) -> None:
    with pytest.raises(MalformedBlock):
        table.log()._begin(tranches)
    assert table.items() == []


class Hides:
    """A client whose next answers lack a block, as a query's do that passed its place before it was put."""

    def __init__(self, client: Any, block: int, *, times: int) -> None:
        self._client, self._block, self.left = client, block, times

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def query(self, **request: Any) -> Any:
        answer = self._client.query(**request)
        if self.left and len(answer["Items"]) > 1:
            self.left -= 1
            answer["Items"] = [item for item in answer["Items"] if item["Block"]["N"] != str(self._block)]
        return answer


def test_block_that_was_put_while_a_query_went_by_is_not_lost(table: Table) -> None:
    log = table.log()
    for number in range(1, 6):
        log.append_block(0, logged_events(stream_in(0), 1, first=number))
    hides: Any = Hides(table.client, 3, times=1)

    reader = DynamoDBEventLog(client=hides, table_name=table.name)

    assert [entry.event_id for entry in reader.read_tranche(0)] == [1, 2, 3, 4, 5]
    assert hides.left == 0


class Replica:
    """A client whose queries that needn't be consistent meet a replica, which lacks some blocks yet."""

    def __init__(self, client: Any, *lacks: int) -> None:
        self._client, self.lacks, self.asked = client, lacks, list[bool]()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def query(self, **request: Any) -> Any:
        self.asked.append(request["ConsistentRead"])
        answer = self._client.query(**request)
        if not request["ConsistentRead"]:
            lacks = {str(block) for block in self.lacks}
            answer["Items"] = [item for item in answer["Items"] if item["Block"]["N"] not in lacks]
        return answer


def lagging(table: Table, *lacks: int, limit: int | None = None) -> tuple[list[int], list[bool]]:
    """Read five blocks of two entries where a replica lacks some; return EventIds, and how each query was."""
    log = table.log()
    for number in range(1, 10, 2):
        log.append_block(0, logged_events(stream_in(0), 2, first=number))
    replica: Any = Replica(table.client, *lacks)
    reader = DynamoDBEventLog(client=replica, table_name=table.name)
    found = reader.read_tranche(0, limit=limit, consistent=False)
    return [entry.event_id for entry in found], replica.asked[1:]  # the first one is about the log itself


def test_blocks_that_a_replica_lacks_at_the_end_come_with_a_later_read(table: Table) -> None:
    assert lagging(table, 4, 5) == ([1, 2, 3, 4, 5, 6], [False])


@pytest.mark.parametrize("lacks", [(1,), (3,), (2, 3), (1, 2, 3, 4)])
def test_gap_of_a_replica_is_read_strongly_from_there_on(table: Table, lacks: tuple[int, ...]) -> None:
    assert lagging(table, *lacks) == (list(range(1, 11)), [False, True])


def test_limit_holds_where_a_strong_read_goes_on_behind_a_gap(table: Table) -> None:
    assert lagging(table, 2, limit=3) == ([1, 2, 3], [False, True])
    assert lagging(table, 2, limit=2) == ([1, 2], [False])


def test_place_in_a_block_that_a_replica_lacks_is_no_place_behind_the_end(table: Table) -> None:
    log = table.log()
    log.append_block(0, logged_events(stream_in(0), 2))
    replica: Any = Replica(table.client, 1)
    reader = DynamoDBEventLog(client=replica, table_name=table.name)
    inside = BlockPosition(1, 1)

    assert list(reader.read_tranche(0, after=inside, consistent=False)) == []
    replica.lacks = ()
    assert [entry.event_id for entry in reader.read_tranche(0, after=inside, consistent=False)] == [2]


def test_replica_may_show_less_than_it_has_shown_before(table: Table) -> None:
    log, replica = table.log(), cast("Any", Replica(table.client))
    reader = DynamoDBEventLog(client=replica, table_name=table.name)
    for number in (1, 2):
        log.append_block(0, logged_events(stream_in(0), 1, first=number))
    end = list(reader.read_tranche(0, consistent=False))[-1].position
    log.append_block(0, logged_events(stream_in(0), 1, first=3))
    replica.lacks = (1, 2, 3)

    assert list(reader.read_tranche(0, after=end, consistent=False)) == []
    replica.lacks = ()
    assert [entry.event_id for entry in reader.read_tranche(0, after=end, consistent=False)] == [3]


def test_writer_who_is_just_about_to_put_a_block_is_never_closed_out(
    table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It stands still before its put while somebody tries to close the place."""
    writer, other, refused = table.log(), table.log(), list[str]()
    writer.append_block(0, logged_events(stream_in(0), 1))
    put = writer._put

    def stands_still(item: dict[str, Any], uid: str) -> bool:
        try:
            other.close_block(0, 2)
        except InvalidRange as error:
            refused.append(error.field)
        return put(item, uid)

    monkeypatch.setattr(writer, "_put", stands_still)

    assert writer.append_block(0, logged_events(stream_in(0), 1, first=2)) == 2
    assert refused == ["block"]
    assert [entry.event_id for entry in table.log().read_tranche(0)] == [1, 2]


def test_closed_block_is_one_item_without_entries(table: Table) -> None:
    log = table.log()
    for second in (10, 20, 30):
        log.append_block(0, at(stream_in(0, number=second), second))
    table.client.delete_item(TableName=table.name, Key={"Tranche": {"N": "0"}, "Block": {"N": "2"}})
    meter = Meter.on(table.client)

    assert log.close_block(0, 2)

    assert (meter.requests, meter.table_units) == (["Query", "Query", "PutItem"], 3.0)
    assert table.block(0, 2) == {
        "Tranche": {"N": "0"},
        "Block": {"N": "2"},
        "Entries": {"S": "[]"},
        "Closed": {"BOOL": True},
        "Newest": {"N": "10000000"},
    }


@pytest.mark.parametrize("block", ["1.5", "0", "-2"])
def test_block_whose_key_is_no_block_is_named(table: Table, block: str) -> None:
    table.put({"Tranche": {"N": "0"}, "Block": {"N": block}, "Entries": {"S": "[]"}})

    with pytest.raises(MalformedBlock, match=f"tranche 0: its Block is {block}; it has to be a whole"):
        table.log().append_block(0, logged_events(stream_in(0), 1))


def test_key_that_is_no_block_is_told_behind_the_blocks_before_it(table: Table) -> None:
    log = table.log()
    for number in (1, 2):
        log.append_block(0, logged_events(stream_in(0), 1, first=number))
    table.put({"Tranche": {"N": "0"}, "Block": {"N": "2.5"}, "Entries": {"S": "[]"}})

    found = table.log().read_tranche(0)

    assert [next(found).event_id, next(found).event_id] == [1, 2]
    with pytest.raises(MalformedBlock, match="block 2 of the log's tranche 0: its Block is 2.5"):
        next(found)


@pytest.mark.parametrize("entries", [None, "[", "[[1]]", '[["a", "b", "c", "d"]]', "7"])
def test_block_that_can_not_be_read_is_named(table: Table, entries: str | None) -> None:
    item: dict[str, Any] = {"Tranche": {"N": "0"}, "Block": {"N": "1"}}
    if entries is not None:
        item["Entries"] = {"S": entries}
    table.put(item)

    with pytest.raises(MalformedBlock, match="it can't be read"):
        list(table.log().read_tranche(0))


def test_block_behind_one_that_says_no_newest_says_none_and_is_begun_before(table: Table) -> None:
    """As an earlier version has written it: what stands in it, and behind it, can be of any time."""
    log = table.log()
    for second in (10, 20, 30, 40):
        log.append_block(0, at(stream_in(0, number=second), second))
    key = {"Tranche": {"N": "0"}, "Block": {"N": "3"}}
    table.client.update_item(TableName=table.name, Key=key, UpdateExpression="REMOVE Newest")
    assert log.first_since(0, 50_000_000) == (5, 0)
    key["Block"] = {"N": "4"}
    table.client.update_item(TableName=table.name, Key=key, UpdateExpression="REMOVE Newest")

    assert table.log().append_block(0, at(stream_in(0, number=50), 50)) == 5

    assert "Newest" not in table.block(0, 5)
    assert [log.first_since(0, second * 1_000_000) for second in (20, 21, 60)] == [(2, 0), (3, 0), (3, 0)]


# --- what it costs ----------------------------------------------------------------------------------


def test_block_is_one_request_once_the_last_one_is_known(table: Table) -> None:
    log, meter = table.log(), Meter.on(table.client)
    log.append_block(0, logged_events(stream_in(0), 1))
    assert meter.requests == ["PutItem", "Query", "PutItem"]
    meter.reset()

    log.append_block(0, logged_events(stream_in(0), 1, first=2))
    assert (meter.requests, meter.table_units) == (["PutItem"], 1.0)


def test_reading_what_is_new_is_one_query_and_one_unit_for_each_4_kb(table: Table) -> None:
    log, meter = table.log(), Meter.on(table.client)
    log.append_block(0, logged_events(stream_in(0), 50))
    meter.reset()

    entries = list(log.read_tranche(0, limit=1_000))
    assert len(entries) == 50
    assert (meter.requests, meter.table_units) == (["Query"], 1.0)
    meter.reset()
    assert list(log.read_tranche(0, after=entries[-1].position, limit=1_000)) == []
    assert meter.requests == ["Query"]  # 1 unit on AWS; DynamoDB Local counts none where nothing is found


def test_reading_what_may_lag_is_half_the_price_also_where_nothing_is_new(table: Table) -> None:
    log, meter = table.log(), Meter.on(table.client)
    log.append_block(0, logged_events(stream_in(0), 50))
    meter.reset()

    entries = list(log.read_tranche(0, limit=1_000, consistent=False))
    assert (len(entries), meter.requests, meter.table_units) == (50, ["Query"], 0.5)
    meter.reset()
    assert list(log.read_tranche(0, after=entries[-1].position, limit=1_000, consistent=False)) == []
    assert (meter.requests, meter.strong) == (["Query"], 0)  # 0.5 units on AWS


def test_time_is_found_by_halving_the_blocks(table: Table) -> None:
    log, meter = table.log(), Meter.on(table.client)
    for second in range(1, 65):
        log.append_block(0, at(stream_in(0, number=second), second))
    meter.reset()

    assert log.first_since(0, 65_000_000) == (65, 0)
    assert (meter.requests, meter.items) == (["Query"], 1)
    meter.reset()
    assert log.first_since(0, 40_000_000) == (40, 0)
    assert (meter.requests, meter.items) == (["Query"] * 7, 7)


def test_small_page_of_a_long_tranche_reads_few_blocks(table: Table) -> None:
    log, meter = table.log(), Meter.on(table.client)
    for number in range(1, 60):
        log.append_block(0, logged_events(stream_in(0), 1, first=number))
    meter.reset()

    assert len(list(log.read_tranche(0, limit=3))) == 3
    assert (len(meter.requests), meter.items) == (1, 3)
    meter.reset()
    assert len(list(log.read_tranche(0, limit=40))) == 40
    assert (len(meter.requests), meter.items) == (2, 40)
