"""What each operation asks of DynamoDB, exactly: requests, capacity units, items read.

DynamoDB Local tells the units of single writes and of reads as DynamoDB does. Of a transaction it tells
a fixed number, so for those the requests are counted and the units follow from DynamoDB's price list.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from eventstore import ANY, EXISTS, Event, Head, NewEvent
from eventstore.dynamodb.compression import Codec, Compression
from eventstore.dynamodb.facts import StoreFacts
from eventstore.dynamodb.items import item_from_event
from eventstore.dynamodb.store import DynamoDBEventStore
from eventstore.errors import EventTooLarge, VersionConflict
from eventstore.limits import EVENT_OVERHEAD_BYTES, ITEM_MAX_BYTES, TIMESTAMP_MAX_US
from eventstore.memory.store import MemoryEventStore
from eventstore.store import Expect
from eventstore.testing.clock import FakeClock
from tests.tables import Meter, begun, dynamodb_client, events_table, over, put_items

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


def _order(lines: int) -> str:
    chance = random.Random(20_261_124)
    line = '{{"sku":"SKU-{:08}","name":"{}","quantity":{},"unitPrice":"{}.99","taxRate":19}}'
    names = ["steel bolt", "wooden shelf", "garden hose", "desk lamp", "paint, white"]
    return (
        '{"customer":"c-4711","currency":"EUR","lines":['
        + ",".join(
            line.format(
                chance.randrange(10**8), chance.choice(names), chance.randrange(9), chance.randrange(300)
            )
            for _ in range(lines)
        )
        + "]}"
    )


ORDER_4_KB = _order(46)
KB = NewEvent(name="Happened", payload='"' + "x" * 820 + '"')
assert EVENT_OVERHEAD_BYTES + 840 < 1_024


@pytest.fixture
def metered(dynamodb_endpoint: str) -> Iterator[tuple[DynamoDBEventStore, Meter]]:
    client = dynamodb_client(dynamodb_endpoint)
    with events_table(client) as table:
        yield begun(DynamoDBEventStore(client=client, table_name=table)), Meter.on(client)


def test_append_to_a_new_stream_is_one_request_and_one_unit_each(
    metered: tuple[DynamoDBEventStore, Meter],
) -> None:
    store, meter = metered

    store.append("s", [KB], expected=0)

    assert (meter.requests, meter.table_units, meter.index_units) == (["PutItem"], 1.0, 1.0)


def test_append_with_a_known_head_is_one_request_and_one_unit_each(
    metered: tuple[DynamoDBEventStore, Meter],
) -> None:
    store, meter = metered
    head = store.append("s", [KB], expected=0).head
    meter.reset()

    store.append("s", [KB], expected=head)

    assert (meter.requests, meter.table_units, meter.index_units) == (["PutItem"], 1.0, 1.0)


def test_append_with_a_head_that_is_ahead_of_the_clock_is_one_read_more(
    metered: tuple[DynamoDBEventStore, Meter],
) -> None:
    store, meter = metered
    clocks: Any = {"clock_us": lambda: 10**15, "clock_tolerance_s": None}
    behind = DynamoDBEventStore(client=store._client, table_name=store._table_name, **clocks)
    head = store.append("s", [KB], expected=0).head
    behind.append("other", [KB], expected=0)
    meter.reset()

    behind.append("s", [KB], expected=head)

    assert meter.requests == ["GetItem", "PutItem"]
    assert (meter.table_units, meter.index_units) == (2.0, 1.0)


def test_append_with_a_bare_version_is_one_read_more(metered: tuple[DynamoDBEventStore, Meter]) -> None:
    store, meter = metered
    store.append("s", [KB], expected=0)
    meter.reset()

    store.append("s", [KB], expected=1)

    assert meter.requests == ["GetItem", "PutItem"]
    assert (meter.table_units, meter.index_units) == (2.0, 1.0)


@pytest.mark.parametrize("expected", [ANY, EXISTS])
def test_append_without_a_version_is_one_query_more(
    metered: tuple[DynamoDBEventStore, Meter], expected: Expect
) -> None:
    store, meter = metered
    store.append("s", [KB] * 20, expected=0)
    meter.reset()

    store.append("s", [KB], expected=expected)

    assert meter.requests == ["Query", "PutItem"]
    # Two small events are one unit as well; the one before the last shows whether the stream is whole.
    assert (meter.items, meter.table_units, meter.index_units) == (2, 2.0, 1.0)


def test_append_of_ten_events_is_one_transaction(metered: tuple[DynamoDBEventStore, Meter]) -> None:
    store, meter = metered

    store.append("s", [KB] * 10, expected=0)

    assert meter.requests == ["TransactWriteItems"]


@pytest.mark.parametrize("codec", ["zlib", "zstd"])
def test_compression_saves_units_of_writing_and_of_reading(
    metered: tuple[DynamoDBEventStore, Meter], codec: Codec
) -> None:
    """An order of 4 KB is 5 KB as an item, and below 1 when it's compressed."""
    store, meter = metered
    packing = begun(
        DynamoDBEventStore(client=store._client, table_name=store._table_name, compression=Compression(codec))
    )
    event = NewEvent(name="OrderPlaced", payload=ORDER_4_KB)

    for number, (writer, units) in enumerate([(store, 5.0), (packing, 1.0)]):
        meter.reset()
        writer.append(f"s-{number}", [event], expected=0)
        assert (meter.requests, meter.table_units, meter.index_units) == (["PutItem"], units, units)
        for _ in range(19):
            head = writer.append(f"s-{number}", [event], expected=writer.head(f"s-{number}")).head
        meter.reset()
        # Whoever reads needs no setting.
        assert {read.payload for read in store.read_stream(f"s-{number}")} == {ORDER_4_KB}
        assert head.version == 20
        assert meter.requests == ["Query"]
        assert meter.table_units == 22.0 if writer is store else meter.table_units <= 5.0


def test_conflict_is_one_query_more(metered: tuple[DynamoDBEventStore, Meter]) -> None:
    store, meter = metered
    store.append("s", [KB] * 5, expected=0)
    meter.reset()

    with pytest.raises(VersionConflict):
        store.append("s", [KB], expected=0)

    assert meter.requests == ["PutItem", "Query"]


def test_repeated_append_reads_nothing_more(metered: tuple[DynamoDBEventStore, Meter]) -> None:
    store, meter = metered
    event = NewEvent(name="Happened", uid="01890a5d-ac96-774b-bcce-b302099a8057")
    store.append("s", [event], expected=0)
    meter.reset()

    assert store.append("s", [event], expected=0).repeated

    assert meter.requests == ["PutItem"]


def test_load_of_a_stream_is_one_query_and_one_unit_for_each_4_kb(
    metered: tuple[DynamoDBEventStore, Meter],
) -> None:
    store, meter = metered
    store.append("s", [KB] * 40, expected=0)
    meter.reset()

    assert len(list(store.read_stream("s"))) == 40

    assert meter.requests == ["Query"]
    assert meter.table_units == 10.0
    meter.reset()
    list(store.read_stream("s", consistent=False))
    assert meter.table_units == 5.0


def test_page_of_100_events_at_ten_shards_reads_at_most_twice_as_many(dynamodb_endpoint: str) -> None:
    client = dynamodb_client(dynamodb_endpoint)
    with events_table(client) as table:
        chance, clock = random.Random(20_261_123), FakeClock()
        appended = MemoryEventStore(clock_us=clock)
        for stream in range(12):
            clock.move(timedelta(milliseconds=1))
            appended.append(f"s-{stream}", [KB] * 100, expected=0)
        events = appended.read_all(unsettled=True)
        store = begun(over(DynamoDBEventStore(client=client, table_name=table), 10))
        put_items(client, table, [item_from_event(event, shard=chance.randrange(10)) for event in events])
        _read_pages(store, Meter.on(client))


def _read_pages(store: DynamoDBEventStore, meter: Meter) -> None:
    after = None
    for _ in range(11):
        meter.reset()
        page = list(store.read_all(after=after, limit=100, unsettled=True))
        assert len(page) == 100
        assert meter.items <= 200
        assert meter.index_units <= 0.5 * (200 / 4 + len(meter.requests))
        after = page[-1].position


def test_page_among_events_of_one_timestamp_reads_them_once_by_few_requests(
    dynamodb_endpoint: str,
) -> None:
    client = dynamodb_client(dynamodb_endpoint)
    with events_table(client) as table:
        events = [Event(f"s-{n:04}", 1, "Happened", "1", "{}", f"{n:036}", 10**15) for n in range(1_500)]
        store = begun(DynamoDBEventStore(client=client, table_name=table))
        put_items(client, table, [item_from_event(event, shard=0) for event in events])
        meter, after, found = Meter.on(client), None, list[Event]()
        for _ in range(3):
            meter.reset()
            page = list(store.read_all(after=after, limit=500))
            found, after = [*found, *page], page[-1].position
            assert meter.requests.count("Query") <= 3
            assert meter.items <= 1_500
        assert found == events


def test_our_count_of_an_items_bytes_is_0_to_80_above_dynamodbs(
    metered: tuple[DynamoDBEventStore, Meter],
) -> None:
    """The check before sending never lets an item pass that DynamoDB refuses, and refuses few others."""
    client, table = metered[0]._client, metered[0]._table_name
    late = Head("s", 10**15 - 200, 10**15 * 9)
    clocks: Any = {"clock_us": lambda: late.timestamp_us, "clock_tolerance_s": None}
    store = DynamoDBEventStore(client=client, table_name=table, **clocks)
    store.append("first", [NewEvent.of("N")], expected=0)
    facts = StoreFacts(client=client, table_name=table)
    facts.declare_restored(now_us=TIMESTAMP_MAX_US, same_name=True)  # the longest epoch there is
    store = DynamoDBEventStore(client=client, table_name=table, **clocks)
    fits = NewEvent(name="N", payload='"' + "x" * (ITEM_MAX_BYTES - EVENT_OVERHEAD_BYTES - 6) + '"')
    assert store.append("s", [fits], expected=late).version == late.version + 1

    with pytest.raises(EventTooLarge):
        store.append("s", [NewEvent(name="N", payload=fits.payload[:-1] + 'x"')], expected=0)
    assert next(more for more in range(1_000) if not _takes(client, table, fits, more)) <= 80


def _takes(client: DynamoDBClient, table: str, fits: NewEvent, more_bytes: int) -> bool:
    event = Event("s", 10**15 - 100, "N", fits.payload + " " * more_bytes, "{}", "u" * 36, 10**15 * 9)
    item = item_from_event(event, shard=999) | {"Metadata": {"S": "{}"}}
    try:
        client.put_item(TableName=table, Item=item)
    except ClientError as error:
        return "size has exceeded" not in str(error)
    return True
