"""A restored table: nobody writes to it before that is declared, and then no id is given out again."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from eventstore import ANY, Append, Event, NewEvent
from eventstore.delivery.cloudevents import EntryFormat
from eventstore.dynamodb.changes import stream_records
from eventstore.dynamodb.event_bodies import DynamoDBEventBodies
from eventstore.dynamodb.facts import StoreFacts
from eventstore.dynamodb.raw_items import DynamoDBEventsTable
from eventstore.dynamodb.store import DynamoDBEventStore
from eventstore.errors import InvalidInput, RestoreNotDeclared, StoreItemMissing
from eventstore.maintenance.transfer.export import export
from eventstore.maintenance.transfer.importing import import_events
from eventstore.maintenance.verify.store_item import find_lost
from tests.faulty_wire import Wire
from tests.tables import Meter, Table, dynamodb_client, events_table, over, put_items, tables_client

START_US = 1_769_860_800_000_000
EPOCH_US = START_US + 3_600_000_000
KEY: dict[str, Any] = {"StreamId": {"S": "$store"}, "EventId": {"N": "0"}}
HAPPENED = [NewEvent.of("Happened")]
FORMAT = EntryFormat(source="shop", api_url="https://api.example.com")


@pytest.fixture
def table(dynamodb_endpoint: str) -> Iterator[Table]:
    with events_table(tables_client(dynamodb_endpoint)) as name:
        yield Table(dynamodb_endpoint, name)


@pytest.fixture
def restored(dynamodb_endpoint: str, table: Table) -> Iterator[Table]:
    """The table as it was when stream s had 2 events; the store has 4 of them, which its bus has got."""
    writer = store(table)
    writer.append("s", [*HAPPENED, *HAPPENED], expected=0)
    items = table.items()
    writer.append("s", [*HAPPENED, *HAPPENED], expected=2)
    client = dynamodb_client(dynamodb_endpoint)
    with events_table(client) as name:
        put_items(client, name, items)
        yield Table(dynamodb_endpoint, name)


def store(table: Table, shards: int = 1, **options: Any) -> DynamoDBEventStore:
    given: dict[str, Any] = {"clock_us": lambda: START_US, "clock_tolerance_s": None} | options
    return over(DynamoDBEventStore(client=table.client, table_name=table.name, **given), shards)


def facts(table: Table) -> StoreFacts:
    return StoreFacts(client=table.client, table_name=table.name, sleep=lambda _: None)


def declare(table: Table, now_us: int = EPOCH_US, **options: Any) -> int:
    declared = facts(table).declare_restored(now_us=now_us, **options)
    assert declared.is_new
    return declared.epoch_us


def ids(events: list[Event]) -> list[str]:
    return [json.loads(FORMAT.entry(event).detail)["id"] for event in events]


def append_one(table: Table, at: DynamoDBEventStore, _: Path) -> object:
    return at.append("s", HAPPENED, expected=2)


def append_to_any(table: Table, at: DynamoDBEventStore, _: Path) -> object:
    return at.append("new", HAPPENED, expected=ANY)


def transact(table: Table, at: DynamoDBEventStore, _: Path) -> object:
    return at.transact([Append.of("s", HAPPENED, 2), Append.of("t", HAPPENED, 0)])


def raise_shards(table: Table, _: DynamoDBEventStore, __: Path) -> object:
    return store(table, 3).append("new", HAPPENED, expected=0)


def import_one(table: Table, _: DynamoDBEventStore, folder: Path) -> object:
    uid = "8f7e1c1e-5f3c-4d6f-9a46-0a2b8f6f3a10"
    export([Event("i", 1, "N", "1", "{}", uid, START_US)], folder / "f.gz", settled_until="")
    target = DynamoDBEventsTable(client=table.client, table_name=table.name)
    return list(import_events(folder / "f.gz", target, write_shards=1, into_existing=True))


@pytest.mark.parametrize("write", [append_one, append_to_any, transact, raise_shards, import_one])
def test_nothing_is_written_before_the_restore_is_declared(
    restored: Table, tmp_path: Path, write: Callable[[Table, DynamoDBEventStore, Path], object]
) -> None:
    before, writer = restored.items(), store(restored)
    for _ in range(2):
        with pytest.raises(RestoreNotDeclared, match=f"restored --table {restored.name}"):
            write(restored, writer, tmp_path)
        (tmp_path / "f.gz").unlink(missing_ok=True)
    assert restored.items() == before

    declare(restored)
    write(restored, writer, tmp_path)
    assert len(restored.items()) > len(before)


def test_restored_table_is_read_before_that_is_declared(restored: Table) -> None:
    reader = store(restored)
    assert [event.event_id for event in reader.read_stream("s")] == [1, 2]
    assert [event.event_id for event in reader.read_all(unsettled=True)] == [1, 2]
    assert reader.head("s").version == 2


def test_new_events_have_other_ids_than_lost_ones_and_old_events_keep_theirs(
    table: Table, restored: Table
) -> None:
    declare(restored)
    store(restored).append("s", HAPPENED, expected=2)
    store(restored).append("s", HAPPENED, expected=3)

    seen = ids(list(store(table).read_stream("s")))
    now = ids(list(store(restored).read_stream("s")))
    assert now[:2] == seen[:2] == ["s/1", "s/2"]
    assert now[2:] == ["s/3@2026-01-31T13:00:00.000000Z", "s/4@2026-01-31T13:00:00.000000Z"]


def test_whoever_reads_an_event_has_the_same_id_of_it(restored: Table) -> None:
    epoch_us = declare(restored)
    writer = store(restored)
    appended = writer.append("s", HAPPENED, expected=2).events[0]
    scanned = DynamoDBEventsTable(client=restored.client, table_name=restored.name)
    image = restored.item({"StreamId": {"S": "s"}, "EventId": {"N": "3"}})
    change = {"Keys": {name: image[name] for name in KEY}, "NewImage": image, "SequenceNumber": "1"}
    (record,) = stream_records({"Records": [{"eventName": "INSERT", "dynamodb": change}]})
    bodies = DynamoDBEventBodies(client=restored.client, table_name=restored.name).read_events([("s", 3)])
    found = [
        appended,
        record.event,
        *writer.read_stream("s", from_version=3),
        *(event for event in writer.read_all(unsettled=True) if event.event_id == 3),
        *(item.event for item in scanned.read_items("s", from_version=3)),
        *bodies.values(),
    ]
    assert len(found) == 6
    assert {event.epoch_us for event in found if isinstance(event, Event)} == {epoch_us}
    assert len(set(ids([event for event in found if isinstance(event, Event)]))) == 1


def test_declaration_that_is_repeated_changes_nothing(restored: Table) -> None:
    epoch_us = declare(restored)
    before = restored.items()

    again = facts(restored).declare_restored(now_us=EPOCH_US + 5)

    assert (again.epoch_us, again.is_new, again.table) == (epoch_us, False, restored.name)
    assert restored.items() == before


def test_declaration_whose_answer_got_lost_is_known(restored: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    wire = Wire.of(restored.client, monkeypatch)
    wire.faults = ["", "lost answer"]

    assert declare(restored) == EPOCH_US
    assert not wire.faults
    assert restored.item(KEY)["Epoch"] == {"N": str(EPOCH_US)}


def test_epochs_of_a_store_rise_whatever_the_clock_says(restored: Table) -> None:
    epochs = [declare(restored)]
    epochs += [declare(restored, now_us=EPOCH_US - 10 * n, same_name=True) for n in range(3)]
    assert epochs == [EPOCH_US, EPOCH_US + 1, EPOCH_US + 2, EPOCH_US + 3]


def test_table_that_nothing_shows_to_be_restored_is_refused(table: Table) -> None:
    with pytest.raises(InvalidInput, match="has no events: nothing was restored"):
        facts(table).declare_restored(now_us=EPOCH_US)
    store(table).append("s", HAPPENED, expected=0)
    before = table.items()
    with pytest.raises(InvalidInput, match="nothing shows a restore.*--same-name"):
        facts(table).declare_restored(now_us=EPOCH_US)
    table.client.delete_item(TableName=table.name, Key=KEY)
    with pytest.raises(StoreItemMissing):
        facts(table).declare_restored(now_us=EPOCH_US, same_name=True)
    assert [item for item in before if item not in table.items()] == [
        item for item in before if item["StreamId"] == {"S": "$store"}
    ]


def test_table_given_by_its_arn_is_known_by_its_name(restored: Table) -> None:
    arn = f"arn:aws:dynamodb:us-east-1:000000000000:table/{restored.name}"
    assert facts(restored)._own_name == StoreFacts(client=restored.client, table_name=arn)._own_name


def test_writer_that_raises_shards_meanwhile_leaves_the_epoch(
    restored: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has read the item before the declaration, and puts it after that."""
    declare(restored)
    writer = facts(restored)
    writer.check()
    declare(restored, now_us=EPOCH_US + 7, same_name=True)

    assert writer.write_shards(3) == 1

    assert restored.item(KEY)["ReadShards"] == {"N": "3"}
    assert restored.item(KEY)["Epoch"] == {"N": str(EPOCH_US + 7)}
    assert writer.epoch_us == EPOCH_US + 7


def test_replica_that_lags_takes_no_epoch_back(restored: Table) -> None:
    now_us = START_US
    declare(restored)
    item_before = restored.item(KEY)
    at = StoreFacts(client=restored.client, table_name=restored.name, clock_us=lambda: now_us)
    declare(restored, now_us=EPOCH_US + 7, same_name=True)
    at.read_shards(1)
    now_us += 31_000_000
    late = [{"Item": item_before}]
    get = at._sends
    at._monotonic_s = lambda: now_us / 1_000_000
    at._sends = lambda call, **request: late.pop() if late else get(call, **request)

    at.read_shards(1)

    assert not late
    assert at.epoch_us == EPOCH_US + 7


def test_lost_item_of_the_store_comes_back_with_the_highest_epoch(restored: Table) -> None:
    epoch_us = declare(restored)
    store(restored).append("s", HAPPENED, expected=2)
    restored.client.delete_item(TableName=restored.name, Key=KEY)
    scanned = DynamoDBEventsTable(client=restored.client, table_name=restored.name)

    lost = find_lost(scanned, segments=2)
    assert lost is not None
    facts(restored).restore(1, written=lost.written, epoch_us=lost.epoch_us)

    assert store(restored).append("s", HAPPENED, expected=3).events[0].epoch_us == epoch_us


def test_epoch_costs_an_append_no_request_and_no_unit(restored: Table) -> None:
    declare(restored)
    writer, meter = store(restored), Meter.on(restored.client)
    head = writer.append("s", HAPPENED, expected=writer.head("s")).head
    meter.reset()

    assert writer.append("s", HAPPENED, expected=head).events[0].epoch_us == EPOCH_US

    assert (meter.requests, meter.table_units, meter.index_units) == (["PutItem"], 1.0, 1.0)


def test_declaration_costs_one_read_and_one_write(restored: Table) -> None:
    meter = Meter.on(restored.client)
    declare(restored)
    assert (meter.requests, meter.table_units) == (["GetItem", "PutItem"], 2.0)
    meter.reset()
    facts(restored).declare_restored(now_us=EPOCH_US)
    assert (meter.requests, meter.table_units) == (["GetItem"], 1.0)
