"""What the store on DynamoDB asks a client for when it appends, and what it makes of the answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from eventstore import ANY, Append, Event, EventStore, NewEvent
from eventstore._checks import event_size_bytes
from eventstore.dynamodb.compression import Compression
from eventstore.dynamodb.items import item_from_event, key_of
from eventstore.dynamodb.store import DynamoDBEventStore
from eventstore.errors import (
    AccessDenied,
    EventTooLarge,
    EventUidReused,
    ExpectedVersionAhead,
    StoreUnavailable,
    StreamGap,
    TransactionTooLarge,
    UidNotSearchable,
    VersionConflict,
)
from eventstore.limits import APPEND_MAX_TRIES, ITEM_MAX_BYTES, TRANSACTION_MAX_BYTES, VERSION_MAX
from eventstore.testing import EventStoreContract
from tests.fake_aws import client_error
from tests.fake_dynamodb import FakeDynamoDB, Request, Step
from tests.tables import pause

NOW_US = 1_769_860_800_000_000
NEW = NewEvent.of("E")
WRITES = {"put_item", "transact_write_items"}
BUSY, LOST = "TransactionConflictException", "InternalServerError"


class TestDynamoDBEventStoreOnAClientInMemory(EventStoreContract):
    def make_store(self, *, clock_us: Callable[[], int], settling_s: float) -> EventStore:
        return DynamoDBEventStore(
            client=FakeDynamoDB(),  # type: ignore[arg-type]
            table_name="t",
            settling_s=settling_s,
            clock_us=clock_us,
            clock_tolerance_s=None,
            sleep=pause,
        )


def uid(number: int) -> str:
    """Return a uid that says nothing of its time."""
    return f"00000000-0000-4000-8000-{number:012}"


def events(count: int, stream_id: str = "s") -> list[Event]:
    return [Event(stream_id, n, "E", "null", "{}", uid(n), n) for n in range(1, count + 1)]


def again(*numbers: int) -> list[NewEvent]:
    """Return stored events as their writer gave them."""
    return [NewEvent.of("E", uid=uid(number)) for number in numbers]


class Desk:
    """A store on a stream `s` of so many events, and what it waits."""

    def __init__(self, count: int = 4, **options: Any) -> None:
        self.client = FakeDynamoDB(events(count), read_shards=1)
        self.waits: list[float] = []
        given: dict[str, Any] = {
            "clock_us": lambda: NOW_US,
            "clock_tolerance_s": None,
            "jitter": lambda: 0.5,
            "sleep": self.waits.append,
        } | options
        self.store = DynamoDBEventStore(client=self.client, table_name="t", **given)  # type: ignore[arg-type]

    def operations(self) -> list[str]:
        """Return what was asked for, without the store's own item."""
        return [name for name, request in self.client.asked if request.get("Key") != key_of("$store", 0)]

    def queries(self, *names: str) -> list[tuple[Any, ...]]:
        return [
            (*(request["ExpressionAttributeValues"][name]["N"] for name in names), request.get("Limit"))
            for request in self.client.of("query")
        ]

    def refuse(self, *codes: str, operation: str = "put_item", after: bool = False) -> None:
        """Have so many writes fail in turn, before or after they are done."""
        left = list(codes)

        def step(name: str, request: Request) -> None:
            if name == operation and left:
                raise client_error(left.pop(0), name)

        if after:
            self.client.behind = step
        else:
            self.client.before = step

    def at_first_write(self, step: Step) -> None:
        """Have something happen before the first write of events is done."""
        left = [step]

        def before(operation: str, request: Request) -> None:
            if operation in WRITES and left:
                left.pop()(operation, request)

        self.client.before = before

    def put_as_well(self, *event_ids: int) -> None:
        """Have others' events in the stream."""
        for number in event_ids:
            self.client.put({**self.client.items["s", 1], "EventId": {"N": str(number)}})


# --- the write ---------------------------------------------------------------------------------------------


def put_of(event: Event, previous_us: int | None = None) -> Request:
    return {
        "TableName": "t",
        "Item": item_from_event(event, shard=0, previous_us=previous_us),
        "ConditionExpression": "attribute_not_exists(StreamId)",
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
    }


def test_one_event_is_put_where_none_is_and_several_are_in_one_transaction() -> None:
    desk = Desk()
    one = desk.store.append("new", [NEW], expected=0)
    (behind,) = desk.store.append("s", [NEW], expected=4).events
    assert desk.client.of("put_item") == [put_of(one.events[0]), put_of(behind, 4)]
    assert (one.stream_id, one.repeated) == ("new", False)
    (first, second), (third,) = (
        appended.events
        for appended in desk.store.transact([Append("a", (NEW, NEW), 0), Append("b", (NEW,), 0)])
    )
    puts = [put_of(first), put_of(second, NOW_US), put_of(third)]
    assert [request["TransactItems"] for request in desk.client.of("transact_write_items")] == [
        [{"Put": put} for put in puts]
    ]


def test_payload_is_stored_as_the_store_compresses() -> None:
    desk = Desk(compression=Compression("zlib", min_bytes=0))
    desk.store.append("new", [NewEvent.of("E", payload="x" * 1_000)], expected=0)
    assert "PayloadZ" in desk.client.items["new", 1]


def test_event_has_the_stores_epoch() -> None:
    desk = Desk()
    desk.client.items["$store", 0]["Epoch"] = {"N": "5"}
    assert desk.store.append("s", [NEW], expected=4).events[0].epoch_us == 5
    assert desk.client.items["s", 5]["Epoch"] == {"N": "5"}


def test_event_behind_one_that_is_ahead_has_dynamodbs_time_of_its_write(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    desk = Desk(clock_tolerance_s=1.0, settling_s=10.0)
    desk.client.date_s = NOW_US / 1_000_000 + 1
    monkeypatch.setattr(desk.store._server_clock, "_monotonic_s", lambda: 7.0)
    desk.client.items["s", 4]["Timestamp"] = {"N": str(NOW_US + 3_600_000_000)}
    (event,) = desk.store.append("s", [NEW], expected=4).events
    assert (event.timestamp_us, event.written_us) == (NOW_US + 3_600_000_001, NOW_US + 1_000_000)


def failed(
    name: str,
    message: str,
    *,
    status: int = 400,
    reasons: tuple[str, ...] = (),
    code: str = "ValidationError",
) -> ClientError:
    response: Any = {
        "Error": {"Code": name, "Message": message},
        "ResponseMetadata": {"HTTPStatusCode": status},
    }
    if reasons:
        response["CancellationReasons"] = [{"Code": code, "Message": text} for text in reasons]
    return ClientError(response, "Write")


LARGEST = NewEvent.of("E", payload="x" * 100)
SIZES = [event_size_bytes("new", event) for event in (NEW, LARGEST, NEW)]
CANCELLED = "TransactionCanceledException"


@pytest.mark.parametrize(
    ("count", "error", "raised", "field", "size_bytes", "limit_bytes"),
    [
        (1, failed("413", "no", status=413), EventTooLarge, "events[0].payload", SIZES[0], None),
        (2, failed("413", "no", status=413), TransactionTooLarge, "events", sum(SIZES[:2]), None),
        (3, failed("413", "no", status=413), TransactionTooLarge, "events", sum(SIZES), None),
        (
            3,
            failed("ValidationException", "Item size has exceeded the maximum"),
            EventTooLarge,
            "events[1].payload",
            SIZES[1],
            ITEM_MAX_BYTES,
        ),
        (
            3,
            failed(CANCELLED, "cancelled", reasons=("", "item SIZE to update has exceeded it", "")),
            EventTooLarge,
            "events[1].payload",
            SIZES[1],
            ITEM_MAX_BYTES,
        ),
        (
            3,
            failed("ValidationException", "The size of the transaction exceeds the limit"),
            TransactionTooLarge,
            "events",
            sum(SIZES),
            TRANSACTION_MAX_BYTES,
        ),
    ],
)
def test_what_is_refused_for_its_size_says_which_event_or_all_of_them(
    count: int, error: ClientError, *, raised: Any, field: str, size_bytes: int, limit_bytes: int | None
) -> None:
    desk = Desk()

    def refuse(operation: str, request: Request) -> None:
        if operation in WRITES:
            raise error

    desk.client.before = refuse
    with pytest.raises(raised) as caught:
        desk.store.append("new", [NEW, LARGEST, NEW][:count], expected=0)
    assert caught.value.field == field
    assert (caught.value.size_bytes, caught.value.limit_bytes) == (size_bytes, limit_bytes)


@pytest.mark.parametrize(
    "error",
    [
        failed("ValidationException", "The key is no number"),
        failed(CANCELLED, "cancelled", reasons=("The key is no number",)),
    ],
)
def test_refusal_for_another_reason_is_raised_as_it_is(error: ClientError) -> None:
    desk = Desk()

    def refuse(operation: str, request: Request) -> None:
        if operation in WRITES:
            raise error

    desk.client.before = refuse
    count = len(error.response.get("CancellationReasons", "12"))
    with pytest.raises((ClientError, StoreUnavailable), match="no number|cancelled"):
        desk.store.append("new", [NEW] * count, expected=0)


# --- tries -------------------------------------------------------------------------------------------------


def test_append_that_stays_in_the_way_gives_up_after_tries_and_pauses() -> None:
    desk = Desk()
    desk.refuse(*[BUSY] * (APPEND_MAX_TRIES + 1))
    with pytest.raises(StoreUnavailable) as caught:
        desk.store.append("s", [NEW], expected=ANY)
    assert caught.value.operation == "append"
    assert caught.value.reason.startswith(f"still busy after {APPEND_MAX_TRIES} tries: ")
    assert BUSY in caught.value.reason
    assert caught.value.__cause__ is not None
    assert desk.waits == [min(0.2, 0.01 * 2**n) * 0.5 for n in range(1, APPEND_MAX_TRIES)]
    assert desk.operations() == ["query"] + ["put_item"] * APPEND_MAX_TRIES


def test_append_that_always_comes_second_says_so() -> None:
    desk = Desk()

    def first(operation: str, request: Request) -> None:
        if operation == "put_item":
            desk.put_as_well(int(request["Item"]["EventId"]["N"]))

    desk.client.before = first
    with pytest.raises(StoreUnavailable, match="tries: other writers came first each time") as caught:
        desk.store.append("s", [NEW], expected=ANY)
    assert caught.value.__cause__ is not None


@pytest.mark.parametrize("is_told", [True, False])
@pytest.mark.parametrize("count", [1, 2])
def test_append_that_expects_no_version_goes_behind_what_came_first(count: int, *, is_told: bool) -> None:
    desk = Desk()

    def first(operation: str, request: Request) -> None:
        desk.put_as_well(5, 6, 7)
        if not is_told and count == 1:
            raise failed("ConditionalCheckFailedException", "")
        if not is_told:
            raise failed(CANCELLED, "", reasons=("", ""), code="ConditionalCheckFailed")

    desk.at_first_write(first)
    appended = desk.store.append("s", [NEW] * count, expected=ANY).events
    assert [event.event_id for event in appended] == list(range(8, 8 + count))
    known = 4 + count if is_told else 4
    assert desk.queries(":from", ":to") == [
        ("1", str(VERSION_MAX), 2),
        (str(known + 1), str(VERSION_MAX), None),
    ]


def test_events_behind_one_in_the_way_are_looked_for_from_the_last_of_them() -> None:
    desk = Desk()
    desk.at_first_write(lambda *_: desk.put_as_well(5))
    appended = desk.store.append("s", [NEW] * 2, expected=ANY).events
    assert [event.event_id for event in appended] == [6, 7]
    assert desk.queries(":from")[1] == ("6", None)


def test_append_whose_answer_got_lost_meets_itself_and_is_no_repetition() -> None:
    desk = Desk()
    desk.refuse(LOST, after=True)
    appended = desk.store.append("s", again(7), expected=4)
    assert ([event.event_id for event in appended.events], appended.repeated) == ([5], False)
    assert desk.operations() == ["get_item", "put_item", "put_item"]
    assert desk.store.append("s", again(7), expected=4).repeated


def test_append_whose_answers_all_get_lost_is_in_doubt_after_three_tries() -> None:
    desk = Desk()
    desk.refuse(*[LOST] * 9)
    with pytest.raises(StoreUnavailable, match="may have been done all the same"):
        desk.store.append("s", [NEW], expected=4)
    assert desk.waits == [0.25, 0.01, 0.5, 0.02]
    assert desk.operations() == ["get_item"] + ["put_item"] * 3


def test_append_that_fails_after_a_lost_answer_is_in_doubt() -> None:
    desk = Desk()
    desk.refuse(LOST, "AccessDeniedException")
    with pytest.raises(
        StoreUnavailable, match="^append did not .* may have been done all the same"
    ) as caught:
        desk.store.append("s", [NEW], expected=4)
    assert caught.value.operation == "append"


def test_append_that_fails_at_once_says_why() -> None:
    desk = Desk()
    desk.refuse("AccessDeniedException")
    with pytest.raises(AccessDenied, match="The request changed nothing"):
        desk.store.append("s", [NEW], expected=4)


def test_conflict_after_a_lost_answer_is_a_conflict() -> None:
    desk = Desk()

    def lose(operation: str, request: Request) -> None:
        desk.put_as_well(5)
        raise client_error(LOST, operation)

    desk.at_first_write(lose)
    with pytest.raises(VersionConflict) as caught:
        desk.store.append("s", [NEW], expected=4)
    assert (caught.value.expected, caught.value.actual) == (4, 5)


# --- where it goes -----------------------------------------------------------------------------------------


def test_version_that_is_there_is_read_alone_another_one_names_the_last() -> None:
    desk = Desk()
    desk.store.append("s", [NEW], expected=4)
    assert desk.operations() == ["get_item", "put_item"]
    for stream_id, version, actual in (("s", 6, 5), ("new", 3, 0)):
        with pytest.raises(ExpectedVersionAhead) as caught:
            desk.store.append(stream_id, [NEW], expected=version)
        assert (caught.value.expected, caught.value.actual) == (version, actual)
    assert desk.queries(":from") == [("1", 1)] * 2


def at_first_read(desk: Desk, *, missing: int, then: Callable[[], None]) -> None:
    """Have an event away at the first read of it alone."""
    item = desk.client.items.pop(("s", missing))

    def behind(operation: str, request: Request) -> None:
        if operation == "get_item" and request["Key"] == key_of("s", missing):
            desk.client.put(item)
            then()

    desk.client.behind = behind


def test_version_that_is_written_between_two_reads_is_found_by_one_query() -> None:
    desk = Desk()
    at_first_read(desk, missing=4, then=lambda: None)
    assert desk.store.append("s", [NEW], expected=4).events[0].event_id == 5
    assert desk.queries(":from") == [("1", 1), ("4", 1)]


def test_version_that_disappears_between_two_reads_is_a_gap() -> None:
    desk = Desk()

    def behind(operation: str, request: Request) -> None:
        if operation == "query":
            desk.client.items.pop(("s", 4), None)

    at_first_read(desk, missing=4, then=lambda: setattr(desk.client, "behind", behind))
    with pytest.raises(StreamGap) as caught:
        desk.store.append("s", [NEW], expected=4)
    assert (caught.value.stream_id, caught.value.first_missing, caught.value.last_missing) == ("s", 4, 4)


# --- repetitions -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("count", "limits"), [(0, [1]), (1, [1]), (9, [1, 8]), (20, [1, 8, 64]), (1_001, [1, 8, 64, 512, 415])]
)
def test_search_for_uids_asks_for_eight_times_as_many_events_each_time(count: int, limits: list[int]) -> None:
    desk = Desk(count)
    if count > 1_000:
        with pytest.raises(UidNotSearchable):
            desk.store.append("s", again(5_000), expected=ANY)
    else:
        desk.store.append("s", again(5_000), expected=ANY)
    assert [limit for _, limit in desk.queries(":to")] == limits
    ends, end = [VERSION_MAX], count
    for limit in limits[:-1]:
        end -= limit
        ends.append(end)
    assert [int(to) for to, _ in desk.queries(":to")] == ends


def test_repetition_that_is_seen_in_part_is_read_where_the_rest_has_to_be() -> None:
    desk = Desk(6)
    appended = desk.store.append("s", again(4, 5, 6), expected=ANY)
    assert ([event.event_id for event in appended.events], appended.repeated) == ([4, 5, 6], True)
    assert desk.queries(":from", ":to") == [("1", str(VERSION_MAX), 1), ("4", "8", None)]


def test_repetition_with_other_content_is_refused_also_after_a_lost_answer() -> None:
    desk = Desk()
    desk.refuse(LOST)
    desk.client.put({**desk.client.items["s", 4], "EventId": {"N": "5"}, "EventUid": {"S": uid(9)}})
    with pytest.raises(EventUidReused):
        desk.store.append("s", [NewEvent.of("Another", uid=uid(9))], expected=4)
