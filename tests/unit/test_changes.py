"""The table's stream: inserts become records; what isn't an event is told, never raised."""

from __future__ import annotations

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from eventstore import Event
from eventstore.dynamodb.changes import stream_records
from eventstore.errors import InvalidArgument, MalformedItem

EVENTS = Path(__file__).parents[1] / "events"
INSERTS: dict[str, Any] = json.loads((EVENTS / "dynamodb_stream_inserts.json").read_text())
OTHERS: dict[str, Any] = json.loads((EVENTS / "dynamodb_stream_other_changes.json").read_text())


def one(**attributes: Any) -> dict[str, Any]:
    trigger = deepcopy({"Records": INSERTS["Records"][:1]})
    change = trigger["Records"][0]["dynamodb"]
    for name, value in attributes.items():
        if value is None:
            del change["NewImage"][name]
        else:
            change["NewImage"][name] = value
        if name in {"StreamId", "EventId"}:
            change["Keys"][name] = value
    return trigger


def test_inserts_become_records_in_their_order() -> None:
    records = stream_records(INSERTS)
    assert [record.sequence_number for record in records] == [
        "4421584500000000017450439091",
        "4421584500000000017450439092",
        "4421584500000000017450439093",
    ]
    assert records[0].event == Event(
        stream_id="order-1",
        event_id=1,
        name="OrderPlaced",
        payload='{"total":12.50,"lines":[{"sku":"A-1","count":2}]}',
        metadata='{"correlationId":"c-1","causationId":"request-7","user":"anna"}',
        uid="019c1465-3c00-7a51-8d0f-1f6d6d1f6a01",
        timestamp_us=1_769_860_800_000_001,
    )
    assert [(record.stream_id, record.event_id) for record in records] == [
        ("order-1", 1),
        ("order-1", 2),
        ("órden/2", 1),
    ]


def test_changes_removals_and_the_stores_own_items_are_passed_over() -> None:
    assert stream_records(OTHERS) == []


@pytest.mark.parametrize(
    "attributes",
    [
        {"Payload": None},
        {"Timestamp": {"S": "yesterday"}},
        {"Timestamp": {"N": "253402300800000000"}},
        {"Timestamp": {"N": "-1"}},
        {"Timestamp": {"N": "1" + "0" * 37}},
        {"EventId": {"N": "1.5"}},
        {"EventId": {"N": "0"}},
        {"EventId": {"N": "-3"}},
        {"EventId": {"N": "1000000000000001"}},
        {"StreamId": {"S": "two\nlines"}},
        {"StreamId": {"S": "x" * 1_025}},
    ],
)
def test_item_that_is_not_an_event_comes_as_malformed_item(attributes: dict[str, Any]) -> None:
    (record,) = stream_records(one(**attributes))
    assert isinstance(record.event, MalformedItem)
    assert record.event.reason
    assert (record.stream_id, record.event_id) == (record.event.stream_id, record.event.event_id)


def test_stream_without_new_images_is_refused_with_the_repair() -> None:
    trigger = one()
    del trigger["Records"][0]["dynamodb"]["NewImage"]
    trigger["Records"][0]["dynamodb"]["StreamViewType"] = "KEYS_ONLY"
    with pytest.raises(InvalidArgument, match="KEYS_ONLY.*set the table's stream up with NEW_IMAGE"):
        stream_records(trigger)
