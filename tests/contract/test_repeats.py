"""Repeated appends on DynamoDB: costs, transactions seen in part, many writers, sizes at the edge."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from eventstore import ANY, EXISTS, Append, Event, EventStore, Head, NewEvent, execute
from eventstore import _checks as checks
from eventstore._uids import uuid7
from eventstore.dynamodb.appending import _FREE
from eventstore.dynamodb.store import DynamoDBEventStore
from eventstore.errors import (
    EventTooLarge,
    PartlyAppended,
    StoreUnavailable,
    TransactionTooLarge,
    UidNotSearchable,
)
from eventstore.limits import (
    APPEND_MAX_TRIES,
    ITEM_MAX_BYTES,
    TRANSACTION_EVENT_OVERHEAD_BYTES,
    TRANSACTION_MAX_BYTES,
    UID_SEARCH_MAX_BYTES,
    UID_SEARCH_MAX_EVENTS,
)
from eventstore.memory.store import MemoryEventStore
from eventstore.store import Expected
from tests.tables import Meter, begun, dynamodb_client, events_table

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

KB = '"' + "x" * 860 + '"'
LONG = 20_000


def no_uid() -> None:
    return None


def some(count: int = 1, *, payload: str = KB, uid: Callable[[], str | None] = no_uid) -> list[NewEvent]:
    return [NewEvent(name="Happened", payload=payload, uid=uid()) for _ in range(count)]


def uuid4_text() -> str:
    return str(uuid4())


def uuid7_text() -> str:
    return uuid7(now_us=time.time_ns() // 1_000, random_bytes=os.urandom)


@pytest.fixture
def client(dynamodb_endpoint: str) -> DynamoDBClient:
    return dynamodb_client(dynamodb_endpoint)


@pytest.fixture
def store(client: DynamoDBClient) -> Iterator[DynamoDBEventStore]:
    with events_table(client) as table:
        yield begun(DynamoDBEventStore(client=client, table_name=table, settling_s=0))


# --- what it costs ------------------------------------------------------------------------------------


@pytest.fixture
def long_stream(store: DynamoDBEventStore) -> str:
    """A stream at version 20,000, of which those events are there that a search could ever reach."""
    an_hour_ago_us = time.time_ns() // 1_000 - 3_600_000_000
    head = Head("long", LONG - UID_SEARCH_MAX_EVENTS - 200, an_hour_ago_us)
    aged = DynamoDBEventStore(
        client=store._client,
        table_name=store._table_name,
        clock_us=lambda: an_hour_ago_us,
        clock_tolerance_s=None,
    )
    while head.version < LONG:
        head = aged.append("long", some(100), expected=head).head
    return "long"


def test_search_on_a_long_stream_is_bounded_and_one_event_for_a_uuid7_of_now(
    store: DynamoDBEventStore, long_stream: str
) -> None:
    meter = Meter.on(store._client)

    for expected in (ANY, EXISTS):
        with pytest.raises(UidNotSearchable):
            store.append(long_stream, some(uid=uuid4_text), expected=expected)
        assert meter.requests == ["Query"] * 5
        assert meter.items == UID_SEARCH_MAX_EVENTS
        assert meter.table_units <= UID_SEARCH_MAX_EVENTS / 4 + 5
        meter.reset()

    store.append(long_stream, some(uid=uuid7_text), expected=ANY)
    assert meter.requests == ["Query", "PutItem"]
    assert (meter.items, meter.table_units, meter.index_units) == (1, 2.0, 1.0)


def test_search_among_large_events_costs_no_more_than_its_bytes_and_a_query(
    store: DynamoDBEventStore,
) -> None:
    for _ in range(4):
        store.append("s", some(12, payload='"' + "x" * 300_000 + '"'), expected=ANY)
    meter = Meter.on(store._client)

    with pytest.raises(UidNotSearchable):
        store.append("s", some(uid=uuid7_text), expected=ANY)

    page = 1_024 * 1_024
    assert UID_SEARCH_MAX_BYTES / 4_096 <= meter.table_units <= (UID_SEARCH_MAX_BYTES + page) / 4_096


@pytest.mark.parametrize("count", [1, 3])
def test_repeat_under_a_bare_version_reads_nothing_more_than_the_append(
    store: DynamoDBEventStore, count: int
) -> None:
    store.append("s", some(2), expected=0)
    events = some(count, uid=uuid4_text)
    store.append("s", events, expected=2)
    meter = Meter.on(store._client)

    assert store.append("s", events, expected=2).repeated

    assert meter.requests == ["GetItem", "PutItem" if count == 1 else "TransactWriteItems"]


def test_repeat_that_expects_its_own_event_is_known_by_the_read_of_that(store: DynamoDBEventStore) -> None:
    events = some(1, uid=uuid4_text)
    store.append("s", events, expected=0)
    meter = Meter.on(store._client)

    assert store.append("s", events, expected=1).repeated

    assert meter.requests == ["GetItem"]


def test_executions_cost_one_query_and_one_write_and_no_more_from_a_head(
    store: DynamoDBEventStore,
) -> None:
    def run(events: list[NewEvent], at: Head | None = None) -> Any:
        return execute(store, "s", initial=0, fold=lambda n, _: n + 1, decide=lambda _: events, at=at)

    events = some(1, uid=uuid4_text)
    meter = Meter.on(store._client)
    first = run(events)
    assert meter.requests == ["Query", "PutItem"]
    meter.reset()

    second = run(some(1, uid=uuid4_text), first.head)
    assert meter.requests == ["Query", "PutItem"]
    assert (meter.items, meter.table_units) == (1, 2.0)
    meter.reset()

    assert run(events).repeated
    assert meter.requests == ["Query", "Query"]
    assert second.head.version == 2


# --- a transaction that is just becoming visible -------------------------------------------------------


class ShowsHalf(DynamoDBEventStore):
    """Queries don't see the last event of a transaction at first, as they need not."""

    hidden = 0

    def read_stream(self, stream_id: str, **options: Any) -> Iterator[Event]:
        events = list(super().read_stream(stream_id, **options))
        if self.hidden and options.get("to_version"):
            self.hidden -= 1
            events = events[:-1]
        return iter(events)


@pytest.mark.parametrize(("hidden", "is_seen"), [(1, True), (3, True), (99, False)])
def test_repeat_of_a_transaction_that_is_seen_in_part_looks_again(
    store: DynamoDBEventStore, hidden: int, is_seen: bool
) -> None:
    half = ShowsHalf(client=store._client, table_name=store._table_name, sleep=lambda _: None)
    events = some(3, uid=uuid4_text)
    first = store.append("s", events, expected=0)
    half.hidden = hidden

    if is_seen:
        assert half.append("s", events, expected=1).events == first.events
    else:
        with pytest.raises(PartlyAppended):
            half.append("s", events, expected=1)
    assert store.head("s").version == 3


@pytest.mark.parametrize("jitter", [0.0, 1.0])
def test_part_of_a_transaction_is_waited_for_whatever_chance_says(
    store: DynamoDBEventStore, jitter: float
) -> None:
    pauses: list[float] = []
    half = ShowsHalf(
        client=store._client, table_name=store._table_name, sleep=pauses.append, jitter=lambda: jitter
    )
    events = some(3, uid=uuid4_text)
    store.append("s", events, expected=0)
    half.hidden = 99

    with pytest.raises(PartlyAppended):
        half.append("s", events, expected=1)
    assert 0.3 < sum(pauses) < 0.7


# --- many writers --------------------------------------------------------------------------------------


@pytest.fixture(params=["dynamodb", "memory"])
def either(request: pytest.FixtureRequest) -> EventStore:
    return MemoryEventStore() if request.param == "memory" else request.getfixturevalue("store")


@pytest.mark.parametrize(("expected", "count", "has_uids"), [(ANY, 1, False), (EXISTS, 2, True)])
def test_32_writers_of_one_stream_that_expect_no_version_meet_no_conflict(
    either: EventStore, expected: Expected, count: int, has_uids: bool
) -> None:
    """Each try that fails is another's success, so that fewer tries fail than there are appends."""
    writers, rounds = 32, 2
    assert writers * rounds <= APPEND_MAX_TRIES
    either.append("s", some(1), expected=0)
    barrier = threading.Barrier(writers)

    def write(_: int) -> list[tuple[int, bool]]:
        barrier.wait()
        made = []
        for _ in range(rounds):
            appended = either.append(
                "s", some(count, payload="1", uid=uuid7_text if has_uids else no_uid), expected=expected
            )
            made.append((appended.events[0].event_id, appended.repeated))
        return made

    with ThreadPoolExecutor(writers) as pool:
        made = [one for each in pool.map(write, range(writers)) for one in each]

    assert sorted(made) == [(2 + count * n, False) for n in range(writers * rounds)]


def test_writer_that_always_comes_second_gives_up_as_unavailable(store: DynamoDBEventStore) -> None:
    """In virtual time: another writer takes each place just before."""
    pauses: list[float] = []
    unlucky = Overtaken(
        client=store._client,
        table_name=store._table_name,
        sleep=pauses.append,
        jitter=lambda: 1.0,
    )

    with pytest.raises(StoreUnavailable, match="other writers"):
        unlucky.append("s", some(uid=uuid7_text), expected=ANY)

    assert len(pauses) == APPEND_MAX_TRIES - 1
    assert max(pauses) == 0.2
    assert sum(pauses) <= 20
    assert store.head("s").version == APPEND_MAX_TRIES


def test_pauses_between_tries_double_up_to_200_ms_times_chance(store: DynamoDBEventStore) -> None:
    pauses: list[float] = []
    unlucky = Overtaken(
        client=store._client,
        table_name=store._table_name,
        sleep=pauses.append,
        jitter=lambda: 0.5,
        overtakes=6,
    )

    unlucky.append("s", some(), expected=ANY)

    assert pauses == pytest.approx([0.01, 0.02, 0.04, 0.08, 0.1, 0.1])


def test_further_tries_read_only_what_is_new(store: DynamoDBEventStore) -> None:
    store.append("s", some(50), expected=0)
    unlucky = Overtaken(client=store._client, table_name=store._table_name, sleep=lambda _: None, overtakes=5)
    meter = Meter.on(store._client)

    assert unlucky.append("s", some(), expected=ANY).version == 56

    writes = meter.requests.count("PutItem")
    # The head's query reads the event before it, too, which shows that there's no gap.
    assert (writes, meter.requests.count("Query"), meter.items) == (5 + 6, 6, 2)


def test_further_try_goes_behind_all_that_others_have_appended(store: DynamoDBEventStore) -> None:
    store.append("s", some(), expected=0)
    unlucky = Overtaken(
        client=store._client, table_name=store._table_name, sleep=lambda _: None, overtakes=1, by=3
    )
    meter = Meter.on(store._client)

    assert unlucky.append("s", some(), expected=ANY).version == 5

    assert meter.requests.count("PutItem") == 3 + 2


class Overtaken(DynamoDBEventStore):
    """Another writer takes the place of its append, and `by` places from there, before it can."""

    def __init__(self, *, overtakes: int = 10**9, by: int = 1, **options: Any) -> None:
        super().__init__(**options)
        self.overtakes, self.by = overtakes, by

    def _write(self, events: list[Event], previous_us: Mapping[tuple[str, int], int]) -> None:
        if self.overtakes:
            self.overtakes -= 1
            first = events[0]
            for event_id in range(first.event_id, first.event_id + self.by):
                super()._write([replace(first, event_id=event_id, uid=str(uuid4()))], previous_us)
        super()._write(events, previous_us)


# --- sizes ---------------------------------------------------------------------------------------------


def _transaction(stream_id: str, count: int, size_bytes: int, *, metadata: str) -> tuple[NewEvent, ...]:
    """Make events that are so many bytes together, as this library counts them."""
    fixed = checks.event_size_bytes(stream_id, NewEvent(name="N", payload='""', metadata=metadata))
    left = size_bytes - count * (fixed + TRANSACTION_EVENT_OVERHEAD_BYTES)
    each, more = divmod(left, count)
    return tuple(
        NewEvent(name="N", payload='"' + "x" * (each + (index < more)) + '"', metadata=metadata)
        for index in range(count)
    )


@pytest.mark.parametrize("count", [11, 60, 100])
@pytest.mark.parametrize("metadata", ["{}", '{"by":"me"}'])
def test_largest_transaction_that_we_let_pass_is_taken_the_next_refused_here(
    store: DynamoDBEventStore, count: int, metadata: str
) -> None:
    late = Head("s", 10**15 - 200, 253_402_300_000_000_000)
    store = DynamoDBEventStore(
        client=store._client,
        table_name=store._table_name,
        clock_us=lambda: late.timestamp_us,
        clock_tolerance_s=None,
    )

    fits = _transaction("s", count, TRANSACTION_MAX_BYTES, metadata=metadata)
    assert store.append("s", fits, expected=late).version == late.version + count

    too_large = _transaction("s", count, TRANSACTION_MAX_BYTES + 1, metadata=metadata)
    with pytest.raises(TransactionTooLarge):
        store.append("s", too_large, expected=late)


def test_each_event_of_a_transaction_counts_with_the_text_of_its_condition() -> None:
    assert len(_FREE) <= TRANSACTION_EVENT_OVERHEAD_BYTES <= len(_FREE) + 8


@pytest.mark.parametrize("streams", [1, 2])
def test_transaction_that_only_dynamodb_counts_as_too_large_is_too_large(
    store: DynamoDBEventStore, monkeypatch: pytest.MonkeyPatch, streams: int
) -> None:
    monkeypatch.setattr(checks, "TRANSACTION_MAX_BYTES", TRANSACTION_MAX_BYTES * 2)
    events = _transaction("s", 12 // streams, (TRANSACTION_MAX_BYTES + 90_000) // streams, metadata="{}")

    with pytest.raises(TransactionTooLarge) as caught:
        store.transact([Append(f"s{n}", events, 0) for n in range(streams)])

    assert (caught.value.field, caught.value.limit_bytes) == ("events", TRANSACTION_MAX_BYTES)
    assert store.head("s0").version == 0


@pytest.mark.parametrize("count", [1, 2])
def test_item_that_only_dynamodb_counts_as_too_large_is_too_large(
    store: DynamoDBEventStore, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    monkeypatch.setattr(checks, "ITEM_MAX_BYTES", ITEM_MAX_BYTES * 2)
    events = [*some(count - 1), NewEvent(name="N", payload='"' + "x" * (ITEM_MAX_BYTES + 9) + '"')]

    with pytest.raises(EventTooLarge) as caught:
        store.append("s", events, expected=0)

    assert caught.value.field == f"events[{count - 1}].payload"
    assert caught.value.limit_bytes == ITEM_MAX_BYTES < caught.value.size_bytes
    assert store.head("s").version == 0
