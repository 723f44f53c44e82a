"""Redrive: what was parked goes out in order, and only what went out leaves the queue."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.exceptions import EndpointConnectionError

from eventstore import Event, NewEvent
from eventstore.aws.sqs_redrive import SqsParkedEvents
from eventstore.delivery.cloudevents import EntryFormat
from eventstore.delivery.redrive import HIDDEN_S, Filter, Redrive, Redriven
from eventstore.dynamodb.store import DynamoDBEventStore
from eventstore.errors import FailedEventsUnavailable, StoreUnavailable
from eventstore.memory.store import MemoryEventStore
from eventstore.ordering.stream_order import StreamReader
from tests.buses import MALFORMED, THROTTLED, CountingReader, RecordingBus
from tests.cli.conftest import Run
from tests.fake_aws import FakeEventBridge
from tests.parked_events import QUEUE_URL, FakeSqsQueue

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

ALL = Filter()


def store(**streams: int) -> MemoryEventStore:
    made = MemoryEventStore()
    for stream, count in streams.items():
        made.append(stream, [NewEvent.of(f"Happened{n % 2}") for n in range(1, count + 1)], expected=0)
    return made


def redrive(
    queue: FakeSqsQueue, reader: StreamReader, bus: RecordingBus, *, wanted: Filter = ALL,
    dry_run: bool = False, clock_s: Callable[[], float] = lambda: 0.0, max_bytes: int = 256 * 1_024,
) -> Redriven:  # fmt: skip
    return Redrive(
        parked=SqsParkedEvents(client=queue, queue_url=QUEUE_URL),  # type: ignore[arg-type]
        reader=reader,
        bus=bus,
        entry_format=EntryFormat(source="shop", api_url="https://api.example.com", max_bytes=max_bytes),
        clock_s=clock_s,
        sleep=lambda pause_s: None,
    ).run(wanted=wanted, dry_run=dry_run)


def parked(*addresses: tuple[str, int]) -> FakeSqsQueue:
    queue = FakeSqsQueue()
    for address in addresses:
        queue.park(*address)
    return queue


def test_parked_events_go_out_once_each_stream_in_order_and_leave_the_queue() -> None:
    queue, bus = parked(("b", 1), ("a", 5), ("a", 2), ("a", 2), ("a", 4)), RecordingBus()

    done = redrive(queue, store(a=9, b=3), bus)

    assert sorted(bus.taken) == [("a", 2), ("a", 4), ("a", 5), ("b", 1)]
    assert [address for address in bus.taken if address[0] == "a"] == [("a", 2), ("a", 4), ("a", 5)]
    assert (done.published, done.deleted, done.is_complete, queue.bodies) == (4, 5, True, {})


def test_what_lies_between_parked_events_is_not_published_again() -> None:
    bus = RecordingBus()

    redrive(parked(("a", 2), ("a", 90)), store(a=90), bus)

    assert bus.taken == [("a", 2), ("a", 90)]


def test_no_call_has_two_events_of_one_stream_and_order_holds_over_batches() -> None:
    addresses = [(f"s{n % 5}", n // 5 + 1) for n in range(400)]
    queue, bus = parked(*addresses[::-1]), RecordingBus()

    done = redrive(queue, store(s0=80, s1=80, s2=80, s3=80, s4=80), bus)

    assert done.published == 400
    assert all(len({stream for stream, _ in call}) == len(call) for call in bus.asked)
    for n in range(5):
        assert [number for stream, number in bus.taken if stream == f"s{n}"] == list(range(1, 81))


def test_nothing_is_deleted_before_it_is_published() -> None:
    queue, bus = parked(*(("a", n) for n in range(1, 13))), RecordingBus()

    def check(ids: list[str]) -> None:
        for message_id in ids:
            assert ("a", json.loads(queue.bodies[message_id])["eventId"]) in bus.taken

    queue.on_delete = check

    assert redrive(queue, store(a=12), bus).deleted == 12


def test_dry_run_publishes_and_deletes_nothing_and_shows_messages_again() -> None:
    queue, bus = parked(("a", 1), ("a", 2), ("gone", 1)), RecordingBus()

    done = redrive(queue, store(a=2), bus, dry_run=True)

    assert (done.published, done.deleted, len(done.refused)) == (2, 0, 1)
    assert bus.calls == []
    assert len(queue.visible) == 3


def test_event_refused_again_stays_with_its_reason_and_its_stream_goes_on() -> None:
    queue, bus = parked(("a", 1), ("a", 2)), RecordingBus(refusals={("a", 1): [MALFORMED]})

    done = redrive(queue, store(a=2), bus)

    assert [(failed.event_id, failed.reason) for failed in done.refused] == [(1, MALFORMED.reason)]
    assert bus.taken == [("a", 2)]
    assert [json.loads(queue.bodies[each])["eventId"] for each in queue.visible] == [1]
    assert not done.is_complete


def test_passing_refusals_are_tried_again_and_too_many_leave_the_rest() -> None:
    queue = parked(("a", 1), ("b", 1))
    assert redrive(queue, store(a=1, b=1), RecordingBus(refusals={("a", 1): [THROTTLED] * 3})).is_complete
    queue, bus = parked(("a", 1), ("a", 2)), RecordingBus(refusals={("a", 1): [THROTTLED] * 50})

    done = redrive(queue, store(a=2), bus)

    assert done.stopped == THROTTLED.reason
    assert bus.taken == []
    assert len(queue.visible) == 2


def test_redrive_stops_before_its_messages_come_back() -> None:
    queue, bus = parked(("a", 1)), RecordingBus()
    times = iter([0.0])

    done = redrive(queue, store(a=1), bus, clock_s=lambda: next(times, HIDDEN_S))

    assert done.stopped
    assert (bus.taken, queue.visible) == ([], ["m1"])


def test_event_that_the_table_does_not_have_stays_and_is_told() -> None:
    queue = parked(("a", 7), ("$own", 1))

    done = redrive(queue, store(a=2), RecordingBus())

    assert len(done.refused) == 2
    assert "no such event" in done.refused[1].reason
    assert "reserved" in done.refused[0].reason
    assert len(queue.visible) == 2


@pytest.mark.parametrize(
    "body",
    ["no JSON", "[]", '{"streamId": "a", "reason": ""}', '{"streamId": 1, "eventId": 1, "reason": ""}',
     '{"streamId": "a", "eventId": "1", "reason": ""}'],
)  # fmt: skip
def test_unreadable_message_is_told_and_left(body: str) -> None:
    queue = parked(("a", 1))
    left = queue.put(body)

    done = redrive(queue, store(a=1), RecordingBus())

    assert [message.message_id for message in done.unreadable] == [left]
    assert queue.visible == [left]
    assert (done.published, done.is_complete) == (1, False)


@pytest.mark.parametrize(
    ("wanted", "published"),
    [
        (Filter(stream_prefix="order-"), [("order-1", 1), ("order-1", 2)]),
        (Filter(event_name="Happened0"), [("order-1", 2)]),
        (Filter(reason_contains="large"), [("order-1", 2), ("other", 1)]),
        (Filter(stream_prefix="order-", reason_contains="large"), [("order-1", 2)]),
    ],
)
def test_filters_choose_and_the_others_stay(wanted: Filter, published: list[tuple[str, int]]) -> None:
    queue, bus = FakeSqsQueue(), RecordingBus()
    queue.park("order-1", 1)
    queue.park("order-1", 2, "it is too large")
    queue.park("other", 1, "it is too large")

    done = redrive(queue, store(**{"order-1": 2, "other": 1}), bus, wanted=wanted)

    assert sorted(bus.taken) == published
    assert done.filtered == len(queue.visible) == 3 - len(published)
    assert done.is_complete


def test_failing_delete_is_raised_and_everything_is_shown_again() -> None:
    queue, bus = parked(("a", 1), ("b", 1)), RecordingBus()
    queue.refuses = {"m1"}

    with pytest.raises(FailedEventsUnavailable):
        redrive(queue, store(a=1, b=1), bus)

    assert list(queue.bodies) == queue.visible == ["m1"]


def test_failing_read_is_raised_with_every_message_shown_again() -> None:
    queue = parked(("a", 1))
    reader = CountingReader(store(a=1), errors=[StoreUnavailable(operation="Query", reason="throttled")])

    with pytest.raises(StoreUnavailable):
        redrive(queue, reader, RecordingBus())

    assert queue.visible == ["m1"]


def test_unreachable_queue_is_told() -> None:
    class Down:
        def receive_message(self, **_: object) -> None:
            raise EndpointConnectionError(endpoint_url="https://sqs")

        change_message_visibility_batch = receive_message

    with pytest.raises(FailedEventsUnavailable, match="can't be reached"):
        redrive(Down(), store(), RecordingBus())  # type: ignore[arg-type]


def test_command_publishes_from_the_table_and_says_what_it_did(
    client: DynamoDBClient, table: str, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = DynamoDBEventStore(client=client, table_name=table)
    placed: tuple[Event, ...] = events.append(
        "order-1", [NewEvent.of("Placed", {"total": 1})], expected=0
    ).events
    queue, bus = parked(("order-1", 1), ("order-9", 1)), FakeEventBridge()
    queue.put("?")
    made = boto3.Session.client

    def fake(self: Any, service: str, **options: Any) -> Any:
        return {"sqs": queue, "events": bus}.get(service) or made(self, service, **options)

    monkeypatch.setattr(boto3.Session, "client", fake)
    options = ("--table", table, "--queue-url", QUEUE_URL, "--bus", "b", "--api-url", "https://a/")

    code, out, err = run("redrive", *options, "--dry-run")
    assert (code, out, bus.calls, len(queue.visible)) == (1, "", [], 3)
    assert "1 events could be published, 0 messages deleted" in err
    code, _, err = run("redrive", *options, "--stream-prefix", "order-")
    assert code == 1
    assert "1 events published, 1 messages deleted; 1 events still refused, 1 messages unreadable" in err
    assert "event 1 of stream 'order-9': the table has no such event" in err
    detail = json.loads(bus.calls[0][0]["Detail"])
    assert (detail["id"], detail["data"]) == (f"order-1/{placed[0].event_id}", {"total": 1})
    assert run("redrive", "--table", table)[0] == 2


@pytest.mark.parametrize(
    ("option", "given", "why"),
    [
        ("--event-name", "", "--event-name: has to have 1 to 256 characters"),
        ("--event-name", "A\x07", "--event-name: .*control character"),
        ("--stream-prefix", "$store", "--stream-prefix: begins with .* reserved"),
        ("--stream-prefix", "s" * 1_025, "--stream-prefix: has 1,025 bytes"),
    ],
)
def test_choice_that_no_event_can_meet_is_refused_by_its_option(
    run: Run, option: str, given: str, why: str
) -> None:
    needed = ["--table", "t", "--queue-url", QUEUE_URL, "--bus", "b", "--api-url", "https://api.example"]
    code, _, err = run("redrive", *needed, option, given)
    assert code == 2
    assert re.search(why, " ".join(err.split()))
