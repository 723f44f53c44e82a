"""The consumer's half: whatever a target is given becomes the event that was published, or a clear error."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventstore import Event, Seen, parse_published
from eventstore.delivery.cloudevents import EntryFormat
from eventstore.delivery.published import PublishedEvent
from eventstore.errors import InvalidPublishedEvent
from eventstore.limits import TIMESTAMP_MAX_US

EVENT = Event(
    "order-1",
    2,
    "OrderPaid",
    '{"total":12.5,"of":[null,"\\u00fc"]}',
    '{"correlationId":"r","causationId":"c","schemaVersion":3,"user":"u"}',
    "01890a5d-ac96-774b-bcce-b302099a8057",
    1_769_860_800_000_001,
)
FORMAT = EntryFormat(source="shop", api_url="https://api.example.com")


def bridged(event: Event = EVENT, form: EntryFormat = FORMAT) -> dict[str, Any]:
    """Return EventBridge's event, as a function is given it."""
    entry = form.entry(event)
    return {
        "version": "0",
        "id": "17793124-05d4-b198-2fde-7ededc63b103",
        "detail-type": entry.detail_type,
        "source": entry.source,
        "account": "123456789012",
        "time": "2026-01-31T12:00:00Z",
        "region": "eu-central-1",
        "resources": [],
        "detail": json.loads(entry.detail),
    }


def changed(**changes: Any) -> dict[str, Any]:
    """Return the CloudEvent with other members; without those that are None."""
    return {key: value for key, value in {**bridged()["detail"], **changes}.items() if value is not None}


@pytest.mark.parametrize(
    "wrap",
    [
        lambda bridge: bridge,
        lambda bridge: bridge["detail"],
        json.dumps,
        lambda bridge: json.dumps(bridge).encode(),
        lambda bridge: json.dumps(bridge["detail"]),
        lambda bridge: {"messageId": "m", "body": json.dumps(bridge), "eventSource": "aws:sqs"},
        lambda bridge: {"MessageId": "m", "Body": json.dumps(bridge), "ReceiptHandle": "r"},
        lambda bridge: json.dumps({"Body": json.dumps(bridge)}),
    ],
    ids=["function", "detail", "text", "bytes", "detail's text", "queue by Lambda", "queue", "queue's text"],
)
def test_every_shape_that_a_target_is_given_becomes_the_event(wrap: Any) -> None:
    published = parse_published(wrap(bridged()))
    assert (published.source, published.id, published.replay_id) == ("shop", "order-1/2", None)
    event = published.event
    assert (event.stream_id, event.event_id, event.name, event.timestamp_us) == (
        *("order-1", 2, "OrderPaid"),
        EVENT.timestamp_us,
    )
    assert event.data() == {"total": 12.5, "of": [None, "ü"]}
    assert json.loads(event.metadata) == {"correlationId": "r", "causationId": "c", "schemaVersion": 3}
    assert (event.uid, event.epoch_us) == ("", None)


@given(
    payload=st.recursive(
        st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
        max_leaves=6,
    ),
    event_id=st.integers(1, 2**40),
    timestamp_us=st.integers(0, TIMESTAMP_MAX_US),
    epoch_us=st.none() | st.integers(0, TIMESTAMP_MAX_US),
    stream_id=st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=8).filter(
        lambda text: not text.startswith("$")
    ),
)
def test_what_the_publisher_writes_comes_back(
    payload: Any, event_id: int, timestamp_us: int, epoch_us: int | None, stream_id: str
) -> None:
    text = json.dumps(payload)
    event = Event(stream_id, event_id, "E", text, "{}", "uid", timestamp_us, epoch_us=epoch_us)
    found = parse_published(bridged(event)).event
    assert (found.stream_id, found.event_id, found.data()) == (stream_id, event_id, payload)
    assert (found.timestamp_us, found.epoch_us) == (timestamp_us, epoch_us)


def test_replayed_event_names_its_replay() -> None:
    form = EntryFormat(source="shop", api_url="https://api.example.com", replay_id="r-1")
    assert parse_published(bridged(form=form)).replay_id == "r-1"


# --- by reference -------------------------------------------------------------------------------------

REFERRED = EntryFormat(source="shop", api_url="https://api.example.com", max_bytes=600)
LARGE = Event("order/1", 7, "Big", json.dumps("x" * 900), '{"user":"u"}', EVENT.uid, EVENT.timestamp_us)
ANSWER = {
    "events": [
        {
            "eventId": 7,
            "eventName": "Big",
            "eventUid": EVENT.uid,
            "payload": "x" * 900,
            "metadata": {"user": "u"},
            "timestamp": "2026-01-31T12:00:00.000001Z",
        }
    ]
}


@pytest.mark.parametrize("answer", [json.dumps(ANSWER), json.dumps(ANSWER).encode()])
def test_event_that_went_out_by_reference_is_fetched(answer: str | bytes) -> None:
    asked: list[str] = []

    def fetch(url: str) -> str | bytes:
        asked.append(url)
        return answer

    assert parse_published(bridged(LARGE, REFERRED), fetch=fetch).event == LARGE
    assert asked == ["https://api.example.com/streams/order%2F1/events?from=7&to=7"]


def test_reference_without_a_fetch_is_told_with_its_address() -> None:
    with pytest.raises(InvalidPublishedEvent, match=r"dataref: is https://api.*Give fetch"):
        parse_published(bridged(LARGE, REFERRED))


@pytest.mark.parametrize("answer", ["[]", "{}", '{"events": []}', '{"events": [{"eventId": 8}]}'])
def test_reference_that_leads_to_no_such_event_is_told(answer: str) -> None:
    with pytest.raises(InvalidPublishedEvent, match="answered without event 7 of stream 'order/1'"):
        parse_published(bridged(LARGE, REFERRED), fetch=lambda _: answer)


# --- what is no published event -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ("{", "record: is not JSON"),
        ("7", "record: is int, not an object"),
        (None, "record: is NoneType, not an object"),
        ([], "record: is list"),
        ({}, "record: has neither"),
        ({"detail": {"detail": {"detail": {"detail": {}}}}}, "record: has neither"),
        ({"body": "{"}, "record: is not JSON"),
        (changed(streamid=None), "streamid: is None"),
        (changed(streamid="$store"), "streamid: begins with"),
        (changed(eventid="2"), "eventid: is '2'; it has to be a whole number"),
        (changed(eventid=True), "eventid"),
        (changed(eventid=0), "eventid"),
        (changed(type=""), "type: is ''"),
        (changed(type="x" * 257), "type: has to have 1 to 256"),
        (changed(source=None), "source"),
        (changed(id=3), "id"),
        (changed(time="yesterday"), "time: is 'yesterday', no time"),
        (changed(time="2026-01-31T12:00:00"), "time"),
        (changed(epoch="x"), "epoch"),
        (changed(data=None), "data: and dataref are both missing"),
        (changed(correlationid=7), "correlationid"),
        (changed(schemaversion="1"), "schemaversion"),
        (changed(replayid=7), "replayid"),
    ],
    ids=str,
)
def test_what_is_no_published_event_is_told_with_what_is_wrong(record: Any, reason: str) -> None:
    with pytest.raises(InvalidPublishedEvent, match=reason):
        parse_published(record)


def test_event_without_data_is_one_whose_payload_is_null() -> None:
    detail = bridged()["detail"] | {"data": None}
    assert parse_published(detail).event.payload == "null"


# --- repeats ------------------------------------------------------------------------------------------


def published(event_id: int, *, source: str = "shop") -> PublishedEvent:
    event = Event("s", event_id, "E", "null", "{}", "", 1)
    return PublishedEvent(source, f"s/{event_id}", event, None)


def test_repeats_are_known_once_their_event_is_handled() -> None:
    seen = Seen(most=2)
    assert not seen.has(published(1))
    seen.add(published(1))
    assert seen.has(published(1))
    assert not seen.has(published(1, source="other"))
    seen.add(published(2))
    seen.add(published(1))
    seen.add(published(3))
    assert [seen.has(published(number)) for number in (1, 2, 3)] == [True, False, True]
    with pytest.raises(ValueError, match="most"):
        Seen(most=0)
