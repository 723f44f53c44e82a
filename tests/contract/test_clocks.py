"""Clocks that are off, and clients that would write late: refused before anything is written."""

from __future__ import annotations

from collections.abc import Iterator
from email.utils import formatdate
from typing import Any

import boto3
import pytest
from botocore.config import Config
from hypothesis import given
from hypothesis import strategies as st

from eventstore import ANY, Event, NewEvent
from eventstore.dynamodb.client import CLIENT_CONFIG, dynamodb_client
from eventstore.dynamodb.clocks import ServerClock
from eventstore.dynamodb.store import DynamoDBEventStore
from eventstore.errors import ClockSkewed, InvalidArgument, InvalidLimit, MalformedItem
from eventstore.limits import (
    CLOCK_TOLERANCE_MAX_S,
    CLOCK_TOLERANCE_S,
    CONNECT_TIMEOUT_S,
    INDEX_LAG_S,
    READ_TIMEOUT_S,
    SETTLING_MIN_S,
    SETTLING_S,
    TIMESTAMP_MAX_US,
    settling_min_s,
)
from eventstore.positions import from_us
from eventstore.store import AllEvents
from tests import tables

KEYS: Any = {"region_name": "us-east-1", "aws_access_key_id": "local", "aws_secret_access_key": "local"}
YEAR_S = 365 * 86_400
NOW_S = 1_769_860_800.25


class Clocks:
    """DynamoDB's time, this computer's, and its monotonic clock, all moved by hand."""

    def __init__(self) -> None:
        self.server_s, self.skew_s, self.monotonic_s = NOW_S, 0.0, 100.0
        self.asked = 0

    def now_us(self) -> int:
        return round((self.server_s + self.skew_s) * 1_000_000)

    def move(self, seconds: float, *, asleep: bool = False) -> None:
        self.server_s += seconds
        self.monotonic_s += 0 if asleep else seconds

    def answer(self) -> dict[str, Any]:
        self.move(0.004)
        date = formatdate(self.server_s, usegmt=True)
        self.move(0.004)
        return {"ResponseMetadata": {"HTTPHeaders": {"date": date}}}


def compare(clocks: Clocks, clock: ServerClock) -> None:
    def ask() -> None:
        clocks.asked += 1
        clock.send(clocks.answer)

    clock.now_us(clocks.now_us, ask)


def a_clock(clocks: Clocks) -> ServerClock:
    return ServerClock(tolerance_s=CLOCK_TOLERANCE_S, monotonic_s=lambda: clocks.monotonic_s)


@pytest.mark.parametrize("skew_s", [YEAR_S, 60.0, 3.0, -3.0, -60.0, -YEAR_S, 9_000 * YEAR_S])
def test_clock_that_is_off_is_refused_with_both_times(skew_s: float) -> None:
    clocks = Clocks()
    clock = a_clock(clocks)
    clock.send(clocks.answer)
    clocks.skew_s = skew_s

    with pytest.raises(ClockSkewed) as caught:
        compare(clocks, clock)

    assert caught.value.local == from_us(max(0, min(clocks.now_us(), TIMESTAMP_MAX_US)))
    assert abs(caught.value.server.timestamp() - clocks.server_s) < 1.1
    assert caught.value.tolerance_s == CLOCK_TOLERANCE_S


@given(skew_s=st.floats(-CLOCK_TOLERANCE_S, CLOCK_TOLERANCE_S), pauses=st.lists(st.floats(0, 100_000)))
def test_clock_within_the_tolerance_is_never_refused_nor_asked_about(
    skew_s: float, pauses: list[float]
) -> None:
    clocks = Clocks()
    clock = a_clock(clocks)
    clocks.skew_s = skew_s
    for pause in pauses:
        clock.send(clocks.answer)
        clocks.move(pause)
        compare(clocks, clock)
    assert clocks.asked == 0


def test_answers_together_say_the_time_better_than_one() -> None:
    clocks = Clocks()
    clock = a_clock(clocks)
    for _ in range(40):
        clock.send(clocks.answer)
        clocks.move(0.09)
    clocks.skew_s = CLOCK_TOLERANCE_S + 0.15

    with pytest.raises(ClockSkewed):
        compare(clocks, clock)


def test_computer_that_has_slept_asks_once_and_goes_on() -> None:
    """As a Lambda function does between two requests: its monotonic clock may stand still."""
    clocks = Clocks()
    clock = a_clock(clocks)
    clock.send(clocks.answer)
    clocks.move(3_600, asleep=True)

    compare(clocks, clock)
    compare(clocks, clock)

    assert clocks.asked == 1


def test_nothing_is_known_before_the_first_answer_or_without_a_date() -> None:
    clocks = Clocks()
    clocks.skew_s = YEAR_S
    clock = a_clock(clocks)
    compare(clocks, clock)
    for metadata in ({}, {"HTTPHeaders": {}}, {"HTTPHeaders": {"date": "soon"}}):
        clock.send(lambda given=metadata: {"ResponseMetadata": given})
        compare(clocks, clock)


# --- the store, on the strict engine ------------------------------------------------------------------------


@pytest.fixture
def table(dynamodb_endpoint: str) -> Iterator[tuple[Any, str]]:
    client = tables.dynamodb_client(dynamodb_endpoint)
    with tables.events_table(client) as name:
        yield client, name


@pytest.mark.parametrize("skew_s", [YEAR_S, 60, -60])
def test_append_and_read_of_all_are_refused_and_nothing_is_written(
    table: tuple[Any, str], skew_s: float
) -> None:
    right = DynamoDBEventStore(client=table[0], table_name=table[1])
    right.append("s", [NewEvent.of("E")], expected=0)
    store = DynamoDBEventStore(
        client=table[0], table_name=table[1], clock_us=lambda: right._clock_us() + round(skew_s * 1_000_000)
    )

    for expected in (1, ANY):
        with pytest.raises(ClockSkewed):
            store.append("s", [NewEvent.of("Off")], expected=expected)
    with pytest.raises(ClockSkewed):
        store.read_all()

    assert [event.name for event in right.read_stream("s")] == ["E"]


@pytest.mark.parametrize("count", [1, 3])
def test_first_append_of_a_process_is_refused_before_anything_is_written(
    table: tuple[Any, str], count: int
) -> None:
    """The store's own item is read once a process, before the first write: an answer is at hand."""
    right = DynamoDBEventStore(client=table[0], table_name=table[1])
    store = DynamoDBEventStore(
        client=table[0], table_name=table[1], clock_us=lambda: right._clock_us() + 60_000_000
    )

    with pytest.raises(ClockSkewed):
        store.append("s", [NewEvent.of("E")] * count, expected=0)

    assert table[0].scan(TableName=table[1])["Items"] == []  # nor the store's own item, by that clock


@pytest.mark.parametrize("unsettled", [True, False])
def test_first_read_of_all_by_a_process_gives_nothing_out_by_a_wrong_clock(
    table: tuple[Any, str], unsettled: bool
) -> None:
    right = DynamoDBEventStore(client=table[0], table_name=table[1])
    right.append("s", [NewEvent.of("E")] * 3, expected=0)
    store = DynamoDBEventStore(
        client=table[0], table_name=table[1], clock_us=lambda: right._clock_us() + 60_000_000
    )
    found: list[Event] = []

    with pytest.raises(ClockSkewed):
        found += store.read_all(unsettled=unsettled)

    assert found == []


def test_comparing_the_clock_of_a_first_read_of_all_takes_no_request(table: tuple[Any, str]) -> None:
    DynamoDBEventStore(client=table[0], table_name=table[1]).append("s", [NewEvent.of("E")], expected=0)
    store = DynamoDBEventStore(client=table[0], table_name=table[1])
    meter = tables.Meter.on(table[0])

    list(store.read_all())

    assert meter.requests == ["GetItem", "Query"]


@pytest.mark.parametrize("time_us", [TIMESTAMP_MAX_US + 1, 10**30, -1])
def test_timestamp_that_no_datetime_has_is_malformed(table: tuple[Any, str], time_us: int) -> None:
    store = DynamoDBEventStore(client=table[0], table_name=table[1])
    store.append("s", [NewEvent.of("E")], expected=0)
    item = table[0].get_item(TableName=table[1], Key={"StreamId": {"S": "s"}, "EventId": {"N": "1"}})["Item"]
    table[0].put_item(TableName=table[1], Item={**item, "Timestamp": {"N": str(time_us)}})

    with pytest.raises(MalformedItem, match="no time from 1970") as caught:
        list(store.read_stream("s"))

    assert (caught.value.stream_id, caught.value.event_id) == ("s", 1)


@given(time_us=st.integers())
def test_no_clock_overflows(time_us: int) -> None:
    assert 1970 <= AllEvents(iter(()), time_us).settled_until.year <= 9999


# --- the sum of the settling time ---------------------------------------------------------------------------


def store_on(client: Any, **options: Any) -> DynamoDBEventStore:
    return DynamoDBEventStore(client=client, table_name="t", **options)


def test_settling_time_covers_all_that_makes_an_event_late() -> None:
    config: Any = dynamodb_client(**KEYS).meta.config
    late_s = config.connect_timeout + config.read_timeout

    assert config.retries["total_max_attempts"] == 1
    assert late_s + 2 * CLOCK_TOLERANCE_S + INDEX_LAG_S <= SETTLING_MIN_S <= SETTLING_S
    assert SETTLING_MIN_S == CONNECT_TIMEOUT_S + READ_TIMEOUT_S + 2 * CLOCK_TOLERANCE_S + INDEX_LAG_S


@pytest.mark.parametrize(
    ("config", "what"),
    [
        (None, "more than once"),
        (Config(retries={"mode": "standard"}), "more than once"),
        (CLIENT_CONFIG.merge(Config(retries={"max_attempts": 3})), "more than once"),
        (CLIENT_CONFIG.merge(Config(read_timeout=60)), "read_timeout"),
        (CLIENT_CONFIG.merge(Config(connect_timeout=5)), "connect_timeout"),
    ],
)
def test_client_that_would_write_late_is_refused(config: Any, what: str) -> None:
    client = boto3.client("dynamodb", config=config, **KEYS)

    with pytest.raises(InvalidArgument, match=what):
        store_on(client)
    with pytest.raises(InvalidArgument, match=what):
        store_on(client, settling_s=0)
    store_on(client, clock_tolerance_s=None)


def test_longer_time_outs_take_a_longer_settling_time() -> None:
    client = dynamodb_client(config=Config(read_timeout=READ_TIMEOUT_S + 5), **KEYS)

    store_on(client, settling_s=SETTLING_MIN_S + 5)
    with pytest.raises(InvalidArgument, match="raise settling_s"):
        store_on(client, settling_s=SETTLING_MIN_S + 4)


@pytest.mark.parametrize("settling_s", [0.5, 2, SETTLING_MIN_S - 0.1])
def test_settling_time_below_the_sum_is_refused(settling_s: float) -> None:
    client = dynamodb_client(**KEYS)

    with pytest.raises(InvalidLimit, match="SETTLING_MIN_S"):
        store_on(client, settling_s=settling_s)
    store_on(client, settling_s=0)
    store_on(client, settling_s=settling_s, clock_tolerance_s=None)


@pytest.mark.parametrize("tolerance_s", [CLOCK_TOLERANCE_S + 0.1, 60.0, CLOCK_TOLERANCE_MAX_S])
def test_settling_time_has_to_cover_the_tolerance_that_is_given(tolerance_s: float) -> None:
    client, least_s = dynamodb_client(**KEYS), settling_min_s(tolerance_s)
    assert least_s == pytest.approx(SETTLING_MIN_S + 2 * (tolerance_s - CLOCK_TOLERANCE_S))

    store_on(client, settling_s=least_s, clock_tolerance_s=tolerance_s)
    for settling_s in (SETTLING_S, least_s - 0.1, 0):  # 0: it writes for others, whose readers wait 10 s
        with pytest.raises(InvalidLimit, match=f"at least {least_s:g}, here and for all readers"):
            store_on(client, settling_s=settling_s, clock_tolerance_s=tolerance_s)


def test_lower_tolerance_lowers_no_settling_time() -> None:
    client = dynamodb_client(**KEYS)
    store_on(client, clock_tolerance_s=0.5)
    with pytest.raises(InvalidLimit, match="at least 10"):
        store_on(client, clock_tolerance_s=0.5, settling_s=SETTLING_MIN_S - 1)


def test_longer_time_outs_and_a_higher_tolerance_add_up() -> None:
    client = dynamodb_client(config=Config(read_timeout=READ_TIMEOUT_S + 5), **KEYS)

    store_on(client, settling_s=SETTLING_MIN_S + 5 + 6, clock_tolerance_s=CLOCK_TOLERANCE_S + 3)
    with pytest.raises(InvalidArgument, match="together they may be 9.5 s"):
        store_on(client, settling_s=SETTLING_MIN_S + 4 + 6, clock_tolerance_s=CLOCK_TOLERANCE_S + 3)
