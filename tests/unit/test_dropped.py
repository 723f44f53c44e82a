"""Dropped batches: their messages, and how their events are found and published."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError

from eventstore import Event
from eventstore.aws.sqs_dropped import SqsDroppedMessages
from eventstore.delivery.cloudevents import EntryFormat
from eventstore.delivery.dropped import DroppedBatch, Recovered, Recovery
from eventstore.delivery.republish import Chosen, Republish
from eventstore.dynamodb.dropped_records import DynamoDBDroppedRecords
from eventstore.dynamodb.items import item_from_event, key_of
from eventstore.dynamodb.schema.events import STORE_STREAM_ID
from eventstore.errors import AccessDenied, InvalidArgument, StoreUnavailable
from eventstore.positions import from_us
from tests.buses import MALFORMED, THROTTLED, RecordingBus
from tests.fake_aws import client_error
from tests.parked_events import QUEUE_URL, FakeSqsQueue

ARN = "arn:aws:dynamodb:eu-central-1:123456789012:table/events/stream/2026-01-31T00:00:00.000"
NOON_US = 1_769_860_800_000_000
MINUTE_US = 60_000_000


def body(**changes: Any) -> dict[str, Any]:
    """A message as Lambda's documentation shows it."""
    batch = {
        "shardId": "shardId-00000001573689847184-864758bb",
        "startSequenceNumber": "800000000003126276362",
        "endSequenceNumber": "800000000003126276370",
        "approximateArrivalOfFirstRecord": "2026-01-31T12:00:00Z",
        "approximateArrivalOfLastRecord": "2026-01-31T12:00:07Z",
        "batchSize": 3,
        "streamArn": ARN,
    }
    return {
        "requestContext": {"condition": "RetryAttemptsExhausted", "approximateInvokeCount": 1},
        "responseContext": {"statusCode": 200, "functionError": "Unhandled"},
        "version": "1.0",
        "timestamp": "2026-02-01T11:13:49.717Z",
        "DDBStreamBatchInfo": batch | changes,
    }


def batch(first: int, *, minute: int = 0, records: int = 1) -> DroppedBatch:
    arrival_us = NOON_US + minute * MINUTE_US
    return DroppedBatch(
        stream_arn=ARN, shard_id="shard", first=str(first), last=str(first + records - 1),
        records=records, first_arrival_us=arrival_us, last_arrival_us=arrival_us,
    )  # fmt: skip


def event(stream_id: str, event_id: int, *, time_us: int = NOON_US) -> Event:
    return Event(stream_id, event_id, "Happened", "1", "{}", "8f7e1c1e-5f3c-4d6f-9a46-0a2b8f6f3a10", time_us)


# --- messages ------------------------------------------------------------------------------------


def test_message_names_shard_sequence_numbers_times_and_table() -> None:
    found = DroppedBatch.parse(json.dumps(body()))

    assert (found.table_name, found.shard_id) == ("events", "shardId-00000001573689847184-864758bb")
    assert (found.first, found.last, found.records) == ("800000000003126276362", "800000000003126276370", 3)
    assert found.window_us(margin_s=15) == (NOON_US - 15_000_000, NOON_US + (7 + 1 + 15) * 1_000_000)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ("[]", "has no DDBStreamBatchInfo"),
        ('{"streamId": "a", "eventId": 1, "reason": ""}', "has no DDBStreamBatchInfo"),
        (json.dumps(body(startSequenceNumber=1)), "has no DDBStreamBatchInfo with"),
        (json.dumps(body(endSequenceNumber="x")), "has no DDBStreamBatchInfo with"),
        (json.dumps(body(streamArn="arn:aws:kinesis:r:1:stream/s")), "has no DDBStreamBatchInfo with"),
        (json.dumps(body(approximateArrivalOfLastRecord="noon")), "'noon', which is no time"),
        (json.dumps(body(approximateArrivalOfFirstRecord="2026-01-31T12:00:00")), "which is no time"),
    ],
)
def test_what_is_no_message_is_refused_with_what_to_give(text: str, told: str) -> None:
    with pytest.raises(InvalidArgument, match=told) as refused:
        DroppedBatch.parse(text)
    assert "give the body of a message" in str(refused.value)


def test_messages_of_a_queue_are_read_and_those_that_can_not_be_say_why() -> None:
    queue = FakeSqsQueue()
    queue.put(json.dumps(body()))
    queue.put("?")

    good, bad = SqsDroppedMessages(client=queue, queue_url=QUEUE_URL).receive(hidden_s=60)  # type: ignore[arg-type]

    assert good.batch == DroppedBatch.parse(json.dumps(body()))
    assert (bad.batch, bad.message_id) == (None, "m2")
    assert "is not JSON" in bad.fault


# --- records -------------------------------------------------------------------------------------


class Streams:
    """DynamoDB Streams with one shard, which answers page by page; `fault` raises."""

    def __init__(self, *pages: Sequence[tuple[int, Event | None]], fault: Exception | None = None) -> None:
        self.pages = pages
        self.fault = fault
        self.asked: list[Mapping[str, Any]] = []

    def get_shard_iterator(self, **request: Any) -> dict[str, str]:
        self.asked.append(request)
        if self.fault:
            raise self.fault
        return {"ShardIterator": "0"}

    def get_records(self, *, ShardIterator: str) -> dict[str, Any]:  # noqa: N803
        number = int(ShardIterator)
        self.asked.append({"ShardIterator": ShardIterator})
        records = [self._record(*of) for of in self.pages[number]] if number < len(self.pages) else []
        return {"Records": records, "NextShardIterator": str(number + 1)}

    def _record(self, number: int, inserted: Event | None) -> dict[str, Any]:
        change: dict[str, Any] = {"SequenceNumber": str(number), "Keys": key_of("changed", 1)}
        change["ApproximateCreationDateTime"] = from_us(NOON_US)
        if inserted is None:
            return {"eventName": "MODIFY", "dynamodb": change}
        change["Keys"] = key_of(inserted.stream_id, inserted.event_id)
        return {
            "eventName": "INSERT", "dynamodb": {**change, "NewImage": item_from_event(inserted, shard=0)}
        }  # fmt: skip


def records_of(streams: Streams, asked: DroppedBatch) -> list[tuple[str, int]] | None:
    found = DynamoDBDroppedRecords(client=streams).read(asked)  # type: ignore[arg-type]
    return None if found is None else [(one.stream_id, one.event_id) for one in found]


def test_records_of_the_batch_are_read_and_no_others() -> None:
    streams = Streams(
        [], [(5, event("a", 1)), (6, None)], [], [(7, event("b", 1)), (8, event("a", 2)), (9, event("a", 3))]
    )

    assert records_of(streams, batch(5, records=4)) == [("a", 1), ("b", 1), ("a", 2)]
    assert streams.asked[0] == {
        "StreamArn": ARN,
        "ShardId": "shard",
        "ShardIteratorType": "AT_SEQUENCE_NUMBER",
        "SequenceNumber": "5",
    }  # fmt: skip
    assert len(streams.asked) == 5


def test_the_stores_own_items_are_no_events_of_a_batch() -> None:
    assert records_of(Streams([(5, event(STORE_STREAM_ID, 0)), (6, event("a", 1))]), batch(5, records=2)) == [
        ("a", 1)
    ]


@pytest.mark.parametrize(
    "streams",
    [
        Streams(fault=client_error("TrimmedDataAccessException", "GetShardIterator")),
        Streams(fault=client_error("ResourceNotFoundException", "GetShardIterator")),
        Streams([(6, event("a", 2))]),
        Streams([(5, event("a", 1))], []),
        Streams(),
    ],
    ids=["trimmed", "no shard or stream", "first gone", "last not there", "nothing"],
)
def test_records_that_are_gone_in_part_are_gone(streams: Streams) -> None:
    assert records_of(streams, batch(5, records=2)) is None


def test_trouble_with_the_stream_is_not_taken_for_records_that_are_gone() -> None:
    with pytest.raises(StoreUnavailable):
        records_of(Streams(fault=EndpointConnectionError(endpoint_url="https://streams")), batch(5))
    with pytest.raises(StoreUnavailable):
        records_of(Streams(fault=client_error("ThrottlingException", "GetShardIterator")), batch(5))
    with pytest.raises(AccessDenied, match="GetShardIterator"):
        records_of(Streams(fault=client_error("AccessDeniedException", "GetShardIterator")), batch(5))


# --- recovery ------------------------------------------------------------------------------------


class Records:
    """The records that are still there, by a batch's first sequence number."""

    def __init__(self, **there: Sequence[Chosen]) -> None:
        self.there = {name.removeprefix("at"): events for name, events in there.items()}

    def read(self, of: DroppedBatch) -> Sequence[Chosen] | None:
        return self.there.get(of.first)


class Table:
    """The events of the table, by time."""

    def __init__(self, events: Sequence[Event]) -> None:
        self.events = events
        self.asked: list[tuple[int, int]] = []

    def of_time(self, from_us: int, end_us: int) -> Iterator[Chosen]:
        self.asked.append((from_us, end_us))
        yield from (one for one in self.events if from_us <= one.timestamp_us < end_us)


def recover(
    batches: Sequence[DroppedBatch], *, bus: RecordingBus, records: Records, table: Sequence[Event] = (),
) -> tuple[Recovered, list[DroppedBatch], list[tuple[int, int]]]:  # fmt: skip
    events = Table(table)
    recovered: list[DroppedBatch] = []
    done = Recovered()
    Recovery(
        republish=Republish(
            bus=bus, entry_format=EntryFormat(source="s", api_url="https://a"), sleep=lambda pause_s: None
        ),
        records=records,
        events=events,
        margin_s=10,
    ).run(batches, done, recovered=recovered.extend)
    return done, recovered, events.asked


def test_batches_whose_records_are_there_go_out_exactly_the_oldest_first() -> None:
    bus = RecordingBus()
    records = Records(at5=[event("a", 3)], at9=[event("a", 4), event("b", 1)])

    done, recovered, asked = recover([batch(9, minute=1, records=2), batch(5)], bus=bus, records=records)

    assert bus.taken == [("a", 3), ("a", 4), ("b", 1)]
    assert [one.first for one in recovered] == ["5", "9"]
    assert (done.by_records, done.by_time, asked, done.is_complete) == (2, 0, [], True)


def test_batches_without_records_go_out_by_time_and_overlaps_once() -> None:
    bus = RecordingBus()
    table = [event("a", n, time_us=NOON_US + n * 4_000_000) for n in range(1, 40)]
    batches = [batch(1), batch(2), batch(3, minute=2)]

    done, recovered, asked = recover(batches, bus=bus, records=Records(), table=table)

    seconds = [((first - NOON_US) / 1e6, (end - NOON_US) / 1e6) for first, end in asked]
    assert seconds == [(-10, 11), (110, 131)]
    assert bus.taken == [("a", n) for n in (1, 2, 28, 29, 30, 31, 32)]
    assert (done.by_time, recovered, done.is_complete) == (3, batches, True)


def test_old_batches_go_out_by_time_before_younger_ones_by_their_records() -> None:
    bus = RecordingBus()

    done, _, _ = recover(
        [batch(9, minute=5), batch(1)], bus=bus, records=Records(at9=[event("a", 2)]), table=[event("a", 1)]
    )

    assert bus.taken == [("a", 1), ("a", 2)]
    assert (done.by_records, done.by_time) == (1, 1)


def test_batch_of_which_the_table_has_fewer_events_is_not_recovered() -> None:
    bus = RecordingBus()
    imported = event("a", 1, time_us=NOON_US - 3_600_000_000)

    done, recovered, _ = recover(
        [batch(1, records=2)], bus=bus, records=Records(), table=[imported, event("b", 1)]
    )

    assert bus.taken == [("b", 1)]
    assert ([one.first for one in done.short], recovered, done.is_complete) == (["1"], [], False)


@pytest.mark.parametrize("is_there", [True, False])
def test_batch_with_an_event_that_is_refused_is_not_recovered(is_there: bool) -> None:
    bus = RecordingBus(refusals={("a", 1): [MALFORMED]})
    records = Records(at1=[event("a", 1)]) if is_there else Records()

    done, recovered, _ = recover([batch(1)], bus=bus, records=records, table=[event("a", 1)])

    assert (recovered, len(done.refused), done.is_complete) == ([], 1, False)


@pytest.mark.parametrize("is_there", [True, False])
def test_nothing_behind_a_stop_is_recovered(is_there: bool) -> None:
    bus = RecordingBus(refusals={("a", 1): [THROTTLED] * 100})
    records = Records(at1=[event("a", 1)], at2=[event("a", 2)]) if is_there else Records(at2=[event("a", 2)])

    done, recovered, _ = recover(
        [batch(1), batch(2, minute=9)], bus=bus, records=records, table=[event("a", 1)]
    )

    assert (bus.taken, recovered, done.stopped) == ([], [], THROTTLED.reason)
