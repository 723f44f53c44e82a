"""What goes wrong between the store and DynamoDB: answers that get lost, throttling, other transactions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ReadTimeoutError

from eventstore import ANY, EXISTS, Append, NewEvent
from eventstore.dynamodb.store import DynamoDBEventStore
from eventstore.errors import ClockSkewed, MalformedItem, StoreUnavailable, TableNotFound
from eventstore.limits import CONNECT_TIMEOUT_S, READ_TIMEOUT_S, REQUEST_MAX_S, REQUEST_MAX_TRIES
from tests.faulty_wire import Wire
from tests.tables import begun, dynamodb_client, events_table, over

UIDS = [f"01890a5d-ac96-774b-bcce-b302099a805{n}" for n in range(10)]


@pytest.fixture
def store(dynamodb_endpoint: str) -> Iterator[DynamoDBEventStore]:
    client = dynamodb_client(dynamodb_endpoint)
    with events_table(client) as table:
        store = DynamoDBEventStore(
            client=client, table_name=table, settling_s=0, sleep=lambda _: None, clock_tolerance_s=None
        )
        yield begun(store)


@pytest.fixture
def wire(store: DynamoDBEventStore, monkeypatch: pytest.MonkeyPatch) -> Wire:
    return Wire.of(store._client, monkeypatch)


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("expected", [0, ANY])
def test_append_whose_answer_got_lost_is_written_once(
    store: DynamoDBEventStore, wire: Wire, count: int, expected: Any
) -> None:
    if expected is ANY:
        wire.faults = ["", "lost answer"]
    else:
        wire.faults = ["lost answer"]

    appended = store.append("s", [NewEvent(name="Happened")] * count, expected=expected)

    assert not wire.faults
    assert appended.repeated is False
    assert tuple(store.read_stream("s")) == appended.events
    assert appended.version == count


@pytest.mark.parametrize("count", [1, 3])
def test_append_that_was_not_answered_at_all_can_be_made_again(
    store: DynamoDBEventStore, wire: Wire, count: int
) -> None:
    events = [NewEvent(name="Happened", uid=uid) for uid in UIDS[:count]]
    wire.faults = ["lost answer"] * 3
    with pytest.raises(StoreUnavailable) as caught:
        store.append("s", events, expected=0)
    assert isinstance(caught.value.__cause__, ReadTimeoutError)

    again = store.append("s", events, expected=0)

    assert again.repeated
    assert tuple(store.read_stream("s")) == again.events
    assert again.version == count


@pytest.mark.parametrize("expected", [0, ANY])
def test_read_that_fails_after_a_lost_answer_says_what_may_have_been_done(
    store: DynamoDBEventStore, wire: Wire, expected: Any
) -> None:
    event = NewEvent(name="Happened", uid=UIDS[0])
    search = [""] if expected is ANY else []
    # Written, not answered; then refused without what is in its way, and the read that looks isn't answered.
    refused = "ConditionalCheckFailedException"
    wire.faults = [*search, "lost answer", refused, *["lost answer"] * REQUEST_MAX_TRIES]

    with pytest.raises(StoreUnavailable, match="may have been done all the same") as caught:
        store.append("s", [event], expected=expected)

    assert not wire.faults
    assert caught.value.operation == "append"
    assert isinstance(caught.value.__cause__, StoreUnavailable)
    assert store.append("s", [event], expected=expected).repeated


def test_read_that_fails_before_anything_is_written_says_that_it_is_a_read(
    store: DynamoDBEventStore, wire: Wire
) -> None:
    wire.faults = ["lost answer"] * REQUEST_MAX_TRIES

    with pytest.raises(StoreUnavailable, match=r"Try again$") as caught:
        store.append("s", [NewEvent(name="Happened")], expected=ANY)

    assert caught.value.operation == "query"


def test_clock_that_is_off_after_a_lost_answer_says_what_may_have_been_done(
    store: DynamoDBEventStore, wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = store._clock_us
    monkeypatch.setattr(store._server_clock, "_tolerance_s", 60)
    store.head("s")  # so that DynamoDB's time is known
    sent = wire.sent
    monkeypatch.setattr(store, "_clock_us", lambda: clock() + (wire.sent > sent) * 3_600_000_000)
    wire.faults = ["lost answer"]

    with pytest.raises(StoreUnavailable, match="may have been done all the same") as caught:
        store.append("s", [NewEvent(name="Happened")], expected=0)

    assert isinstance(caught.value.__cause__, ClockSkewed)
    assert store.head("s").version == 1


def test_throttled_append_is_tried_three_times_and_writes_nothing(
    store: DynamoDBEventStore, wire: Wire
) -> None:
    wire.faults = ["ProvisionedThroughputExceededException"] * 3

    with pytest.raises(StoreUnavailable, match="try again with the same uids"):
        store.append("s", [NewEvent(name="Happened")], expected=0)

    assert wire.sent == 3
    assert store.head("s").version == 0


@pytest.mark.parametrize("fault", ["lost answer", "ThrottlingException"])
def test_each_try_of_a_write_is_stamped_anew_and_sent_by_botocore_once(
    store: DynamoDBEventStore, wire: Wire, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    store.spread_over(1)  # set back as far as here, the clock would have it ask the store again
    stamps: list[int] = []
    attempts: list[Any] = []
    monkeypatch.setattr(store, "_clock_us", lambda: 1_000_000 * (1 + len(attempts)))

    def watched(params: dict[str, Any], **_: Any) -> None:
        stamps.append(int(params["Item"]["Timestamp"]["N"]))

    def sent(request: Any, **_: Any) -> None:
        attempts.append(request.headers["amz-sdk-request"])

    events = store._client.meta.events
    events.register("provide-client-params.dynamodb.PutItem", watched, unique_id="watched")
    events.register("before-send.dynamodb.PutItem", sent, unique_id="sent")
    wire.faults = [fault] * 2
    try:
        appended = store.append("s", [NewEvent(name="Happened")], expected=0)
    finally:
        events.unregister("provide-client-params.dynamodb.PutItem", unique_id="watched")
        events.unregister("before-send.dynamodb.PutItem", unique_id="sent")

    assert stamps == [1_000_000, 2_000_000, 3_000_000]
    assert all(b"attempt=1" in attempt or "attempt=1" in str(attempt) for attempt in attempts)
    # The first try that was done counts, and this call knows it for its own.
    assert appended.events[0].timestamp_us == stamps[0 if fault == "lost answer" else 2]
    assert not appended.repeated


def test_pause_that_the_service_names_is_not_waited_for(
    store: DynamoDBEventStore, wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    """botocore waits as long as the service says (`x-amz-retry-after`) before it sends the old stamp."""
    pauses: list[float] = []
    monkeypatch.setattr("time.sleep", pauses.append)
    monkeypatch.setattr(store, "_sleep", pauses.append)
    refused = wire.send

    def later(request: Any) -> Any:
        answer = refused(request)
        answer.headers["x-amz-retry-after"] = "19750"
        return answer

    monkeypatch.setattr(store._client._endpoint.http_session, "send", later)  # type: ignore[attr-defined]
    wire.faults = ["ThrottlingException"] * 2

    store.append("s", [NewEvent(name="Happened")], expected=0)

    assert sum(pauses) <= REQUEST_MAX_S - REQUEST_MAX_TRIES * (CONNECT_TIMEOUT_S + READ_TIMEOUT_S) + 0.1


def test_call_repeated_after_a_lost_answer_says_so(store: DynamoDBEventStore, wire: Wire) -> None:
    events = [NewEvent(name="Happened", uid=UIDS[0])]
    first = store.append("s", events, expected=0)
    wire.faults = ["lost answer"]

    again = store.append("s", events, expected=0)

    assert (again.events, again.repeated) == (first.events, True)


@pytest.mark.parametrize(
    ("fault", "count"), [("TransactionConflictException", 1), ("TransactionCanceledException", 2)]
)
def test_append_in_the_way_of_another_transaction_is_tried_again(
    store: DynamoDBEventStore, wire: Wire, fault: str, count: int
) -> None:
    wire.faults = [fault] * 5

    assert store.append("s", [NewEvent(name="Happened")] * count, expected=0).version == count
    assert not wire.faults


def test_try_in_the_way_of_another_transaction_is_sent_again_without_a_read(
    store: DynamoDBEventStore, wire: Wire
) -> None:
    wire.faults = ["", "TransactionConflictException", "TransactionConflictException"]

    assert store.append("s", [NewEvent(name="Happened")], expected=ANY).version == 1

    assert wire.sent == 1 + 3


@pytest.mark.parametrize("expected", [ANY, EXISTS])
@pytest.mark.parametrize("has_uids", [False, True])
@pytest.mark.parametrize("count", [1, 2])
def test_append_done_before_its_repetition_was_refused_is_written_once(
    store: DynamoDBEventStore, wire: Wire, count: int, has_uids: bool, expected: Any
) -> None:
    """It's sent twice: it's done, its answer gets lost, and the second is in another's way."""
    store.append("s", [NewEvent(name="Before")] * 2, expected=0)
    refused = "TransactionConflictException" if count == 1 else "TransactionCanceledException"
    events = [NewEvent(name="Happened", uid=uid if has_uids else None) for uid in UIDS[:count]]
    looks_back = [""] * (2 if has_uids else 1)
    wire.faults = [*looks_back, "lost answer", refused]

    appended = store.append("s", events, expected=expected)

    assert not wire.faults
    assert not appended.repeated
    assert tuple(store.read_stream("s", from_version=3)) == appended.events
    assert appended.version == 2 + count


def test_append_that_stays_in_the_way_of_other_transactions_gives_up(
    store: DynamoDBEventStore, wire: Wire
) -> None:
    wire.faults = ["TransactionCanceledException"] * 1_000

    with pytest.raises(StoreUnavailable, match="TransactionConflict"):
        store.transact([Append(stream, (NewEvent(name="Happened"),), 0) for stream in "ab"])

    wire.faults.clear()
    assert store.head("a").version == store.head("b").version == 0


def test_engine_that_is_not_there_is_unavailable() -> None:
    store = DynamoDBEventStore(client=dynamodb_client("http://127.0.0.1:9"), table_name="events")

    with pytest.raises(StoreUnavailable):
        store.head("s")
    with pytest.raises(StoreUnavailable):
        list(store.read_all())


def test_missing_table_is_named_with_where_it_was_looked_for(dynamodb_endpoint: str) -> None:
    store = DynamoDBEventStore(client=dynamodb_client(dynamodb_endpoint), table_name="no-such-table")

    with pytest.raises(TableNotFound, match="ResourceNotFound") as caught:
        store.append("s", [NewEvent(name="Happened")], expected=0)
    assert caught.value.tables == ("no-such-table",)
    assert (caught.value.region, caught.value.endpoint) == ("us-east-1", dynamodb_endpoint)


@pytest.mark.parametrize("missing", ["EventName", "Payload", "EventUid", "Timestamp"])
def test_item_that_is_not_an_event_is_named(store: DynamoDBEventStore, missing: str) -> None:
    store.append("s", [NewEvent(name="Happened")], expected=0)
    item = store._client.get_item(
        TableName=store._table_name, Key={"StreamId": {"S": "s"}, "EventId": {"N": "1"}}
    )["Item"]
    del item[missing]
    store._client.put_item(TableName=store._table_name, Item=item)

    with pytest.raises(MalformedItem) as caught:
        list(store.read_stream("s"))
    assert (caught.value.stream_id, caught.value.event_id) == ("s", 1)
    assert missing in caught.value.reason


def test_item_whose_key_is_no_event_id_is_named(store: DynamoDBEventStore) -> None:
    store._client.put_item(
        TableName=store._table_name, Item={"StreamId": {"S": "s"}, "EventId": {"N": "1.5"}}
    )

    with pytest.raises(MalformedItem) as caught:
        list(store.read_stream("s"))
    assert (caught.value.stream_id, caught.value.event_id) == ("s", 2)


def test_events_stay_readable_when_the_shards_change(store: DynamoDBEventStore) -> None:
    def with_shards(shards: int) -> DynamoDBEventStore:
        return over(
            DynamoDBEventStore(client=store._client, table_name=store._table_name, settling_s=0), shards
        )

    for n, shards in enumerate([1, 8, 2]):
        for stream in range(10):
            with_shards(shards).append(f"{n}-{stream}", [NewEvent(name="Happened")], expected=0)
    before = list(with_shards(8).read_all(limit=15, unsettled=True))[-1].position

    assert len(list(with_shards(2).read_all(unsettled=True))) == 30
    assert len(list(with_shards(20).read_all(after=before, unsettled=True))) == 15
