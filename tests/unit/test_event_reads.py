"""What the store on DynamoDB asks a client for when it reads, and what it gives its own helpers."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from eventstore import Event, Head, NewEvent
from eventstore.dynamodb.items import key_of
from eventstore.dynamodb.store import DynamoDBEventStore
from eventstore.errors import (
    ClockSkewed,
    InvalidArgument,
    InvalidLimit,
    InvalidPosition,
    InvalidRange,
    StoreItemMissing,
    StoreUnavailable,
    StreamGap,
    UnexpectedItem,
)
from eventstore.limits import RESERVED_STREAM_ID_PREFIX
from eventstore.positions import from_us
from tests.fake_aws import client_error
from tests.fake_dynamodb import FakeDynamoDB, Request

NOW_US = 1_769_860_800_000_000
SETTLED_US = NOW_US - 10_000_000
"""With a settling time of 10 s."""
EVENTS = [Event("s", number, "E", "{}", "{}", "uid", number) for number in range(1, 5)]
NEW = [NewEvent.of("E")]


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> FakeDynamoDB:
    monkeypatch.setattr("time.sleep", lambda _: None)
    return FakeDynamoDB(EVENTS, read_shards=1)


@pytest.fixture
def empty(monkeypatch: pytest.MonkeyPatch) -> FakeDynamoDB:
    monkeypatch.setattr("time.sleep", lambda _: None)
    return FakeDynamoDB()


def store(client: Any, **options: Any) -> DynamoDBEventStore:
    given: dict[str, Any] = {
        "clock_us": lambda: NOW_US,
        "clock_tolerance_s": None,
        "settling_s": 10.0,
    } | options
    return DynamoDBEventStore(client=client, table_name="t", **given)


def ids(events: Any) -> list[int]:
    return [event.event_id for event in events]


def values(client: FakeDynamoDB, name: str) -> list[str | None]:
    """Return one of the values of each query."""
    return [request["ExpressionAttributeValues"].get(name, {}).get("N") for request in client.of("query")]


def fails(operation: str, request: Request) -> None:
    raise client_error("InternalServerError", operation)


# --- what it is given ------------------------------------------------------------------------------------


def test_client_that_can_not_read_is_refused_by_what_it_lacks() -> None:
    with pytest.raises(InvalidArgument, match="which lacks get_item, query, scan; give"):
        store(object())


@pytest.mark.parametrize("call", ["get_item", "query", "scan"])
def test_client_of_a_test_need_have_only_what_comes_to_be_called(call: str) -> None:
    store(type("One", (), {call: lambda **_: {}})())


def test_store_waits_by_its_own_chance_for_who_changes_the_stores_item(empty: FakeDynamoDB) -> None:
    waits: list[float] = []

    def once(operation: str, request: Request) -> None:
        if operation == "put_item" and not waits:
            raise client_error("TransactionConflictException", operation)

    empty.before = once
    store(empty, jitter=lambda: 0.5, sleep=waits.append).append("new", NEW, expected=0)
    assert waits == [0.01]


def test_stores_item_is_stamped_by_the_stores_own_clock(empty: FakeDynamoDB) -> None:
    store(empty).append("new", NEW, expected=0)
    assert empty.items["$store", 0]["Since"] == empty.items["new", 1]["Timestamp"] == {"N": str(NOW_US)}


def test_nothing_is_written_by_a_clock_that_is_off(empty: FakeDynamoDB) -> None:
    empty.date_s = NOW_US / 1_000_000 + 3_600
    with pytest.raises(ClockSkewed):
        store(empty, clock_tolerance_s=1.0).append("new", NEW, expected=0)
    assert empty.items == {}
    # The time is asked for anew, by a query that finds nothing.
    assert empty.of("query") == [
        {
            "TableName": "t",
            "KeyConditionExpression": "StreamId = :none",
            "ExpressionAttributeValues": {":none": {"S": RESERVED_STREAM_ID_PREFIX}},
            "Limit": 1,
        }
    ]


@pytest.mark.parametrize(("passed_s", "shards"), [(59.999_999, {"0"}), (60.0, {"0", "4"})])
def test_new_shards_are_used_a_minute_later_by_the_stores_own_clock(
    passed_s: float, shards: set[str]
) -> None:
    now_us, client = NOW_US, FakeDynamoDB(read_shards=1)
    writer = store(
        client, clock_us=lambda: now_us, random_shard=lambda count: count - 1, sleep=lambda _: None
    )
    writer.spread_over(5)
    writer.append("a", NEW, expected=0)
    now_us += round(passed_s * 1_000_000)
    writer.append("b", NEW, expected=0)
    assert {item["GSIKey"]["N"] for item in client.items.values() if "GSIKey" in item} == shards


@pytest.mark.parametrize(("passed_s", "asked"), [(29.999_999, 1), (30.0, 2)])
def test_stores_item_is_read_again_by_the_stores_own_clock(
    client: FakeDynamoDB, passed_s: float, asked: int
) -> None:
    now_us = NOW_US
    reader = store(client, clock_us=lambda: now_us)
    list(reader.read_all())
    now_us += round(passed_s * 1_000_000)
    list(reader.read_all())
    assert len(client.of("get_item")) == asked


@pytest.mark.parametrize("clock", ["wall clock", "monotonic clock"])
def test_stores_item_is_read_again_by_either_clock_where_clocks_are_compared(
    client: FakeDynamoDB, monkeypatch: pytest.MonkeyPatch, clock: str
) -> None:
    passed_s = {"wall clock": 0.0, "monotonic clock": 0.0}
    reader = store(
        client,
        clock_us=lambda: NOW_US + round(passed_s["wall clock"] * 1_000_000),
        clock_tolerance_s=1.0,
    )
    monkeypatch.setattr(reader._server_clock, "_monotonic_s", lambda: 7.0 + passed_s["monotonic clock"])
    list(reader.read_all())
    passed_s[clock] = 30.0
    list(reader.read_all())
    assert len(client.of("get_item")) == 2


# --- reads of one stream -----------------------------------------------------------------------------------


def test_one_event_is_read_by_its_key_strongly_consistent(client: FakeDynamoDB) -> None:
    reader = store(client)
    assert (reader.event_at("s", 3), reader.event_at("s", 9)) == (EVENTS[2], None)
    assert client.of("get_item")[1:] == [
        {"TableName": "t", "Key": key_of("s", number), "ConsistentRead": True} for number in (3, 9)
    ]


def test_read_that_fails_is_unavailable_at_the_first_request_and_later(client: FakeDynamoDB) -> None:
    reader = store(client)
    for is_first in (True, False):
        if not is_first:
            client.before = lambda *_: None
            reader.head("s")
        client.before = fails
        for read in (lambda: reader.event_at("s", 1), lambda: reader.head("s")):
            with pytest.raises(StoreUnavailable):
                read()


@pytest.mark.parametrize("consistent", [True, False])
def test_stream_is_read_as_it_is_asked_for(client: FakeDynamoDB, *, consistent: bool) -> None:
    reader = store(client)
    options: dict[str, Any] = {"from_version": 2, "to_version": 3, "consistent": consistent}
    assert ids(reader.read_stream("s", **options)) == [2, 3]
    assert ids(reader.read_stream("s", **options, limit=1)) == [2]
    assert ids(reader.read_stream("s", **options, backward=True, limit=1)) == [3]
    assert ids(reader.read_stream("s", consistent=consistent)) == [1, 2, 3, 4]
    for request in client.of("query"):
        assert (request["TableName"], request["ConsistentRead"]) == ("t", consistent)
    assert [request.get("Limit") for request in client.of("query")] == [None, 1, 1, None]


def test_stream_is_read_strongly_consistent_unless_asked_otherwise(client: FakeDynamoDB) -> None:
    list(store(client).read_stream("s"))
    assert [request["ConsistentRead"] for request in client.of("query")] == [True]


def test_streams_head_is_its_last_event_of_two_that_are_read(client: FakeDynamoDB) -> None:
    reader = store(client)
    assert (reader.head("s"), reader.head("new")) == (Head("s", 4, 4), Head("new", 0, 0))
    asked = [(request["Limit"], request["ScanIndexForward"]) for request in client.of("query")]
    assert asked == [(2, False)] * 2


@pytest.mark.parametrize(
    ("options", "error", "field"),
    [
        ({"backward": "false"}, InvalidArgument, "backward"),
        ({"consistent": "false"}, InvalidArgument, "consistent"),
        ({"from_version": 0}, InvalidRange, "from"),
        ({"to_version": 0}, InvalidRange, "to"),
        ({"limit": 0}, InvalidLimit, "limit"),
    ],
)
def test_read_of_a_stream_is_refused_at_once_for_what_it_is_asked(
    client: FakeDynamoDB, options: dict[str, Any], error: type[Exception], field: str
) -> None:
    with pytest.raises(error, match=field):
        store(client).read_stream("s", **options)
    assert client.asked == []


def test_stream_is_read_from_page_to_page(client: FakeDynamoDB) -> None:
    client.page = 3
    assert ids(store(client).read_stream("s")) == [1, 2, 3, 4]
    assert [request.get("ExclusiveStartKey") for request in client.of("query")] == [None, {"at": ("s", 3)}]


@pytest.mark.parametrize(("backward", "order"), [(False, [1, 2, 3, 4]), (True, [4, 3, 2, 1])])
def test_event_that_is_not_visible_yet_is_waited_for(
    client: FakeDynamoDB, backward: bool, order: list[int]
) -> None:
    waits: list[float] = []
    client.hidden = {2}

    def sleep(pause_s: float) -> None:
        waits.append(pause_s)
        client.hidden.clear()

    reader = store(client, jitter=lambda: 0.5, sleep=sleep)
    assert ids(reader.read_stream("s", backward=backward)) == order
    assert waits == [0.015]


def test_event_that_stays_away_is_a_gap_behind_which_nothing_is_read(client: FakeDynamoDB) -> None:
    client.hidden = {2, 3}
    found: list[Event] = []
    with pytest.raises(StreamGap) as caught:
        found.extend(store(client, sleep=lambda _: None).read_stream("s"))
    assert (ids(found), caught.value.first_missing, caught.value.last_missing) == ([1], 2, 3)


def test_event_of_another_stream_is_no_part_of_the_one_that_is_read(client: FakeDynamoDB) -> None:
    client.items["s", 2]["StreamId"] = {"S": "another"}
    with pytest.raises(UnexpectedItem, match="another"):
        list(store(client).read_stream("s"))


# --- times -----------------------------------------------------------------------------------------------


def test_times_of_events_are_read_by_their_addresses(client: FakeDynamoDB) -> None:
    waits: list[float] = []
    client.items["s", 1]["WrittenAt"] = {"N": "77"}
    client.items["s", 3].pop("Timestamp")
    batch = client._batch
    left = [{"Responses": {}, "UnprocessedKeys": {"t": {"Keys": [key_of("s", n) for n in (1, 2, 3, 9)]}}}]
    client._batch = lambda asked: left.pop() if left else batch(asked)  # type: ignore[method-assign]

    reader = store(client, jitter=lambda: 0.5, sleep=waits.append)
    assert reader.read_times([("s", n) for n in (1, 2, 3, 9)]) == {("s", 1): 77, ("s", 2): 2}
    assert waits == [0.05]
    assert client.of("get_item") == [{"TableName": "t", "Key": key_of("$store", 0), "ConsistentRead": True}]
    assert client.of("batch_get_item")[1] == {
        "RequestItems": {
            "t": {
                "Keys": [key_of("s", n) for n in (1, 2, 3, 9)],
                "ConsistentRead": True,
                "ProjectionExpression": "StreamId, EventId, WrittenAt, #time",
                "ExpressionAttributeNames": {"#time": "Timestamp"},
            }
        }
    }


def test_times_of_no_events_cost_nothing(client: FakeDynamoDB) -> None:
    assert store(client).read_times([]) == {}
    assert client.asked == []


def test_time_of_an_event_that_was_not_asked_for_is_an_error(client: FakeDynamoDB) -> None:
    client.items["s", 1] = client.items["s", 2]
    with pytest.raises(UnexpectedItem):
        store(client).read_times([("s", 1)])


# --- reads of all streams --------------------------------------------------------------------------------


def test_events_that_are_not_settled_yet_are_read_only_when_asked_for(client: FakeDynamoDB) -> None:
    client.items["s", 4]["Timestamp"] = {"N": str(SETTLED_US)}
    reader = store(client)
    for options, found in (
        ({}, [1, 2, 3]),
        ({"unsettled": False}, [1, 2, 3]),
        ({"unsettled": True}, [1, 2, 3, 4]),
    ):
        read = reader.read_all(**options)  # type: ignore[arg-type]
        assert (read.settled_until_us, ids(read)) == (SETTLED_US, found)
    assert values(client, ":last") == [str(SETTLED_US - 1)] * 2 + [None]


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ({"from_": from_us(2), "to": from_us(4)}, [2, 3]),
        ({"after": EVENTS[1].position}, [3, 4]),
        ({"limit": 3}, [1, 2, 3]),
        ({"after": EVENTS[0].position, "limit": 2}, [2, 3]),
    ],
)
def test_part_of_all_events_is_read(client: FakeDynamoDB, options: dict[str, Any], found: list[int]) -> None:
    assert ids(store(client).read_all(**options)) == found


@pytest.mark.parametrize(
    ("options", "error", "field"),
    [
        ({"unsettled": "false"}, InvalidArgument, "unsettled"),
        ({"limit": 0}, InvalidLimit, "limit"),
        ({"after": "x"}, InvalidPosition, "after"),
        ({"from_": from_us(2), "to": from_us(1)}, InvalidRange, "from"),
    ],
)
def test_read_of_all_events_is_refused_at_once_for_what_it_is_asked(
    client: FakeDynamoDB, options: dict[str, Any], error: type[Exception], field: str
) -> None:
    with pytest.raises(error, match=field):
        store(client).read_all(**options)
    assert client.asked == []


def test_time_in_which_nothing_is_settled_is_not_asked_for(client: FakeDynamoDB) -> None:
    reader = store(client)
    assert list(reader.read_all(from_=from_us(SETTLED_US))) == []
    assert list(reader.read_all(from_=from_us(SETTLED_US) + timedelta(days=1))) == []
    assert client.asked == []
    assert list(reader.read_all(from_=from_us(SETTLED_US - 1))) == []
    assert len(client.of("query")) == 1


def test_all_shards_are_read_of_the_same_time_and_table() -> None:
    client = FakeDynamoDB(EVENTS, read_shards=3, shard=lambda event: event.event_id % 3)
    assert ids(store(client).read_all(from_=from_us(2))) == [2, 3, 4]
    assert sorted(map(str, values(client, ":shard"))) == ["0", "1", "2"]
    assert values(client, ":from") == ["2"] * 3
    assert {request["TableName"] for request in client.of("query")} == {"t"}


def test_shard_that_joins_is_read_from_the_time_that_was_reached(client: FakeDynamoDB) -> None:
    now_us = NOW_US
    client.page = 1
    found = iter(store(client, clock_us=lambda: now_us).read_all(unsettled=True))
    first = next(found)
    client.name_shards(2)
    client.put({**client.items["s", 4], **key_of("late", 1), "GSIKey": {"N": "1"}})
    now_us += 31_000_000
    assert [(event.stream_id, event.event_id) for event in (first, *found)] == [
        ("s", 1),
        ("s", 2),
        ("s", 3),
        ("late", 1),
        ("s", 4),
    ]
    joined = [
        request
        for request in client.of("query")
        if request["ExpressionAttributeValues"][":shard"] == {"N": "1"}
    ]
    assert int(joined[0]["ExpressionAttributeValues"][":from"]["N"]) > 1


@pytest.mark.parametrize(("unsettled", "asked"), [(False, 1), (True, 2)])
def test_store_without_an_item_is_asked_again_before_each_read(
    empty: FakeDynamoDB, unsettled: bool, asked: int
) -> None:
    reader = store(empty)
    for times in (1, 2):
        assert list(reader.read_all(unsettled=unsettled)) == []
        assert len(empty.of("get_item")) == times * asked


def test_events_without_the_stores_item_are_refused(client: FakeDynamoDB) -> None:
    del client.items["$store", 0]
    with pytest.raises(StoreItemMissing):
        list(store(client).read_all())


def test_read_that_was_begun_before_a_fork_ends_in_the_child(
    client: FakeDynamoDB, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = iter(store(client).read_all())
    next(found)
    monkeypatch.setattr("os.getpid", lambda: -1)
    with pytest.raises(RuntimeError) as caught:
        next(found)
    assert str(caught.value) == "this read of all events was begun before a fork; begin it anew"
