"""Plain and compressed payloads lie in one table, and every reader reads both."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING
from unittest.mock import patch

import pytest

from eventstore import Event, NewEvent
from eventstore.dynamodb.compression import Compression
from eventstore.dynamodb.event_bodies import DynamoDBEventBodies
from eventstore.dynamodb.items import key_of
from eventstore.dynamodb.raw_items import DynamoDBEventsTable
from eventstore.dynamodb.store import DynamoDBEventStore
from eventstore.errors import EventTooLarge
from eventstore.limits import ITEM_MAX_BYTES
from tests.tables import boto3s_client, dynamodb_client, events_table

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

COMPRESSIONS = [None, Compression("zlib"), Compression("zstd")]
UIDS = [f"01890a5d-ac96-774b-bcce-b302099a80{n:02}" for n in range(9)]
PAYLOADS = [f'{{"number": {n}, "text": "{"Größe 🙂 " * 100}"}}' for n in range(9)]
EVENTS = [NewEvent(name="Happened", payload=PAYLOADS[n], uid=UIDS[n]) for n in range(9)]


@pytest.fixture(params=["ours", "boto3's"])
def mixed(request: pytest.FixtureRequest, dynamodb_endpoint: str) -> Iterator[tuple[DynamoDBClient, str]]:
    """A stream whose events were written plain, by zlib and by zstd in turn: alone, and in transactions."""
    client = (dynamodb_client if request.param == "ours" else boto3s_client)(dynamodb_endpoint)
    with events_table(client) as table:
        stores = [
            DynamoDBEventStore(client=client, table_name=table, compression=compression)
            for compression in COMPRESSIONS
        ]
        for turn, store in enumerate(stores):
            store.append("s", [EVENTS[turn]], expected=turn)
        for turn, store in enumerate(stores):
            store.append("s", EVENTS[3 + 2 * turn : 5 + 2 * turn], expected=3 + 2 * turn)
        forms = [
            "PayloadZ" if "PayloadZ" in item else "Payload"
            for item in client.scan(TableName=table)["Items"]
            if "EventName" in item
        ]
        assert (forms.count("Payload"), forms.count("PayloadZ")) == (3, 6)
        yield client, table


def test_every_reader_reads_both_kinds(mixed: tuple[DynamoDBClient, str]) -> None:
    client, table = mixed
    store = DynamoDBEventStore(client=client, table_name=table, settling_s=0)
    items = DynamoDBEventsTable(client=client, table_name=table)
    addresses = [("s", number) for number in range(1, 10)]

    stream = list(store.read_stream("s"))

    assert [event.payload for event in stream] == PAYLOADS
    assert list(store.read_all(unsettled=True)) == stream
    bodies = DynamoDBEventBodies(client=client, table_name=table).read_events(addresses)
    assert [bodies[address] for address in addresses] == stream
    scanned = items.scan(segment=0, segments=1, after=None).items
    assert [item.event for item in scanned if item.is_events] == stream
    assert [item.event for item in items.read_items("s", from_version=1)] == stream
    assert [item.event for item in items.read_index(0, from_us=0, end_us=1 << 60)] == stream
    assert [items.get(*address) for address in addresses] == stream


@pytest.mark.parametrize("limit", [None, 4, 9])
def test_one_answer_of_compressed_payloads_makes_several_pages(
    mixed: tuple[DynamoDBClient, str], limit: int | None
) -> None:
    client, table = mixed
    store = DynamoDBEventStore(client=client, table_name=table, settling_s=0)
    with patch("eventstore.dynamodb.time_index.TIME_PAGE_MAX_CHARS", 2_500):
        events = list(store.read_all(unsettled=True, limit=limit))
    assert [event.payload for event in events] == PAYLOADS[:limit]


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_a_retry_is_known_whichever_way_the_first_try_was_stored(
    mixed: tuple[DynamoDBClient, str], compression: Compression | None
) -> None:
    client, table = mixed
    store = DynamoDBEventStore(client=client, table_name=table, compression=compression)

    for first, last in [(0, 1), (1, 2), (2, 3), (3, 5), (5, 7), (7, 9)]:
        again = store.append("s", EVENTS[first:last], expected=first)
        assert again.repeated
        assert [event.payload for event in again.events] == PAYLOADS[first:last]


def test_an_import_knows_an_event_that_is_there_in_another_form(mixed: tuple[DynamoDBClient, str]) -> None:
    client, table = mixed
    event = next(DynamoDBEventStore(client=client, table_name=table).read_stream("s"))
    packing = DynamoDBEventsTable(client=client, table_name=table, compression=Compression("zlib"))

    assert packing.put(event, shard=0) == event
    assert packing.put(Event("t", 1, "N", event.payload, "{}", UIDS[0], 1), shard=0) is None
    assert "PayloadZ" in client.get_item(TableName=table, Key=key_of("t", 1))["Item"]


def test_a_payload_has_to_fit_an_item_without_compression(mixed: tuple[DynamoDBClient, str]) -> None:
    """So that every store can read, export and import it: no setting decides on what can be an event."""
    client, table = mixed
    store = DynamoDBEventStore(client=client, table_name=table, compression=Compression("zstd"))
    large = "[" + "1," * (ITEM_MAX_BYTES // 2 - 200) + "1]"

    with pytest.raises(EventTooLarge):
        store.append("t", [NewEvent(name="N", payload=large + " " * 400)], expected=0)

    appended = store.append("t", [NewEvent(name="N", payload=large)] * 8, expected=0)
    assert list(store.read_stream("t")) == list(appended.events)
