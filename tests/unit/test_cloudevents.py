"""Entries: CloudEvents 1.0 as JSON, the payload untouched, by reference where it can't go along."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventstore import Event
from eventstore._json import to_json
from eventstore._stream_paths import path_fault
from eventstore.delivery.cloudevents import Entry, EntryFormat
from eventstore.errors import NotPublishable
from eventstore.limits import TIMESTAMP_MAX_US

FORMAT = EntryFormat(source="shop", api_url="https://api.example.com")
EVENT = Event(
    stream_id="order-1",
    event_id=2,
    name="OrderPaid",
    payload='{"total": 12.50}',
    metadata="{}",
    uid="019c1465-3c00-7a51-8d0f-1f6d6d1f6a01",
    timestamp_us=1_769_860_800_000_001,
)


def detail(event: Event, entry_format: EntryFormat = FORMAT) -> dict[str, Any]:
    parsed: dict[str, Any] = json.loads(entry_format.entry(event).detail, parse_float=Decimal)
    return parsed


def test_detail_is_a_cloudevent_with_every_required_attribute() -> None:
    assert detail(EVENT) == {
        "specversion": "1.0",
        "id": "order-1/2",
        "source": "shop",
        "type": "OrderPaid",
        "subject": "order-1",
        "time": "2026-01-31T12:00:00.000001Z",
        "datacontenttype": "application/json",
        "streamid": "order-1",
        "eventid": 2,
        "data": {"total": Decimal("12.50")},
    }


def test_event_written_after_a_restore_has_its_epoch_in_its_id_and_beside_it() -> None:
    told = detail(replace(EVENT, epoch_us=EVENT.timestamp_us))
    assert (told.pop("id"), told.pop("epoch")) == (
        "order-1/2@2026-01-31T12:00:00.000001Z",
        "2026-01-31T12:00:00.000001Z",
    )
    before = detail(EVENT)
    assert (before.pop("id"), before) == ("order-1/2", told)


_PARTS = st.sampled_from(["a", "/", "1", "2", "@", "@1970-01-01T00:00:00.000001Z", '"', "é"])
_NAMED = st.tuples(
    st.lists(_PARTS, min_size=1, max_size=6).map("".join),
    st.integers(1, 12),
    st.none() | st.integers(1, 3) | st.integers(1, TIMESTAMP_MAX_US),
)


@given(one=_NAMED, other=_NAMED)
def test_two_events_never_have_one_id_whatever_their_streams_and_epochs(
    one: tuple[str, int, int | None], other: tuple[str, int, int | None]
) -> None:
    ids = [
        detail(replace(EVENT, stream_id=stream_id, event_id=event_id, epoch_us=epoch_us))["id"]
        for stream_id, event_id, epoch_us in (one, other)
    ]
    assert (ids[0] == ids[1]) == (one == other)


@given(one=st.integers(1, TIMESTAMP_MAX_US), other=st.integers(1, TIMESTAMP_MAX_US))
def test_epochs_rise_as_texts_as_they_do_as_times(one: int, other: int) -> None:
    texts = [detail(replace(EVENT, epoch_us=epoch_us))["epoch"] for epoch_us in (one, other)]
    assert (texts[0] < texts[1]) == (one < other)


@pytest.mark.parametrize(
    "payload",
    [
        '{"total": 12345678901234567890.123456789012345678, "e": 1E+2, "z": 1.0}',
        "  [1,\n2]  ",
        '{"a":1,"a":2}',
        "null",
        '"\\u00e9\\ud83d\\ude00 é😀"',
        "9007199254740993",
        "-9223372036854775808",
        "9223372036854775807",
    ],
)
def test_payload_is_embedded_exactly_as_it_was_sent(payload: str) -> None:
    assert FORMAT.entry(replace(EVENT, payload=payload)).detail.endswith(f',"data":{payload}}}')


def test_attributes_follow_the_naming_rule_of_cloudevents() -> None:
    names = detail(replace(EVENT, metadata='{"correlationId":"c","causationId":"d"}')).keys()
    assert all(name.isalnum() and name.islower() and len(name) <= 20 for name in names)


def test_time_always_has_six_digits_of_a_second() -> None:
    assert detail(replace(EVENT, timestamp_us=1_769_860_800_000_000))["time"] == "2026-01-31T12:00:00.000000Z"


def test_correlation_and_causation_come_from_the_metadata() -> None:
    given_ids = detail(replace(EVENT, metadata='{"correlationId":"c-1","causationId":"d/1","user":"anna"}'))
    assert (given_ids["correlationid"], given_ids["causationid"]) == ("c-1", "d/1")
    assert "user" not in given_ids


@pytest.mark.parametrize("value", ["7", "null", '""', '{"a":1}', "1" * 5_000])
def test_correlation_that_is_no_text_is_left_out(value: str) -> None:
    assert "correlationid" not in detail(replace(EVENT, metadata=f'{{"correlationId":{value}}}'))


@pytest.mark.parametrize(("value", "said"), [("2", 2), ("2.0", 2), ("2147483647", 2_147_483_647)])
def test_schema_version_comes_from_the_metadata(value: str, said: int) -> None:
    version = detail(replace(EVENT, metadata=f'{{"schemaVersion":{value}}}'))["schemaversion"]
    assert (version, type(version)) == (said, int)


@pytest.mark.parametrize("value", ["0", "-1", "1.5", '"2"', "null", "true", "2147483648", "1e300"])
def test_schema_version_that_is_no_whole_number_is_left_out(value: str) -> None:
    assert "schemaversion" not in detail(replace(EVENT, metadata=f'{{"schemaVersion":{value}}}'))


def test_long_name_is_cut_in_the_detail_type_and_whole_in_the_type() -> None:
    entry = FORMAT.entry(replace(EVENT, name="é" * 256))
    assert entry.detail_type == "é" * 128
    assert json.loads(entry.detail)["type"] == "é" * 256


def test_size_is_counted_as_eventbridge_counts_it() -> None:
    entry = FORMAT.entry(replace(EVENT, name="Größe"))
    counted = [entry.source, entry.detail_type, entry.detail]
    assert entry.size_bytes == 14 + sum(len(text.encode()) for text in counted)


def test_event_at_the_byte_limit_goes_by_reference_one_byte_below_whole() -> None:
    payload = json.dumps("x" * 20_000)
    exact = EntryFormat(source="shop", api_url="https://api.example.com", max_bytes=1 << 30)
    size_bytes = exact.entry(replace(EVENT, payload=payload)).size_bytes
    whole = replace(exact, max_bytes=size_bytes + 1).entry(replace(EVENT, payload=payload))
    by_reference = replace(exact, max_bytes=size_bytes).entry(replace(EVENT, payload=payload))
    assert "data" in json.loads(whole.detail)
    told = json.loads(by_reference.detail)
    assert "data" not in told
    assert told["dataref"] == "https://api.example.com/streams/order-1/events?from=2&to=2"
    assert told["id"] == "order-1/2"


def test_reference_percent_encodes_the_stream_id() -> None:
    event = replace(EVENT, stream_id="a/b é;&", payload=json.dumps("x" * 300_000))
    assert detail(event)["dataref"] == (
        "https://api.example.com/streams/a%2Fb%20%C3%A9%3B%26/events?from=2&to=2"
    )
    assert detail(event)["subject"] == "a/b é;&"


@pytest.mark.parametrize("stream_id", ["a%2Fb", "..", "a/events", "a?b"])
def test_event_without_an_address_goes_out_whole_or_is_not_publishable(stream_id: str) -> None:
    event = replace(EVENT, stream_id=stream_id)
    assert detail(event)["streamid"] == stream_id
    for payload in (json.dumps("x" * 300_000), "9" * 20):
        with pytest.raises(NotPublishable, match="there is no address: streamId: "):
            FORMAT.entry(replace(event, payload=payload))


def test_number_that_parsers_can_not_read_goes_out_by_reference() -> None:
    assert "dataref" in detail(replace(EVENT, payload="[1e400]"))


@pytest.mark.parametrize("integer", ["9223372036854775808", "-9223372036854775809", "1" * 5_000])
def test_integer_beyond_64_bit_goes_out_by_reference(integer: str) -> None:
    told = detail(replace(EVENT, payload=f'{{"n": [{integer}]}}'))
    assert "data" not in told
    assert told["dataref"].startswith("https://")


def test_many_digits_in_a_text_or_a_decimal_stay_in_the_data() -> None:
    assert detail(replace(EVENT, payload='{"card": "12345678901234567890", "d": 1234567890123456789012.5}'))[
        "data"
    ]


@pytest.mark.parametrize("payload", ['{"a":', '1,"id":"forged"', "NaN", '"\\ud800"', ""])
def test_payload_that_is_not_json_is_not_publishable(payload: str) -> None:
    with pytest.raises(NotPublishable, match="payload") as caught:
        FORMAT.entry(replace(EVENT, payload=payload))
    assert (caught.value.stream_id, caught.value.event_id) == ("order-1", 2)


@pytest.mark.parametrize("metadata", ["[]", '{"correlationId":"\\ud800"}', "{"])
def test_metadata_that_is_no_object_is_not_publishable(metadata: str) -> None:
    with pytest.raises(NotPublishable, match="metadata"):
        FORMAT.entry(replace(EVENT, metadata=metadata))


def test_timestamp_that_is_no_time_is_not_publishable() -> None:
    with pytest.raises(NotPublishable):
        FORMAT.entry(replace(EVENT, timestamp_us=10**30))


def test_event_too_large_even_by_reference_is_not_publishable() -> None:
    with pytest.raises(NotPublishable, match="bytes even without data"):
        FORMAT.entry(replace(EVENT, metadata=json.dumps({"correlationId": "x" * 300_000})))


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(value=_VALUES, stream_id=st.text(min_size=1), name=st.text(min_size=1))
def test_any_event_makes_an_entry_that_says_the_same(value: Any, stream_id: str, name: str) -> None:
    try:
        payload = to_json(value)
        (stream_id + name).encode()
    except ValueError:
        return
    try:
        entry: Entry = FORMAT.entry(replace(EVENT, stream_id=stream_id, name=name, payload=payload))
    except NotPublishable:
        assert path_fault(stream_id), "only what has to go by reference, and has no address, can't go out"
        return
    told = json.loads(entry.detail)
    assert (told["streamid"], told["type"], told["eventid"]) == (stream_id, name, 2)
    assert ("dataref" in told) != ("data" in told)
    if "data" in told:
        assert told["data"] == json.loads(payload)
