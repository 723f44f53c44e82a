"""GET /events: all streams in time order, page by page, and following what comes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventstore import NewEvent
from eventstore.http import read
from eventstore.http.app import Api
from eventstore.http.read import read_handlers
from eventstore.http.requests import Request
from eventstore.http.times import parse_time
from eventstore.limits import PAGE_MAX_EVENTS
from eventstore.memory.store import MemoryEventStore
from eventstore.positions import from_us, time_text, to_us
from eventstore.testing.clock import FakeClock
from tests.http.gateway import Gateway, event


def append(store: MemoryEventStore, stream_id: str, *names: str) -> None:
    store.append(stream_id, [NewEvent.of(name) for name in names], expected=store.head(stream_id).version)


def keys(page: Any) -> list[tuple[str, int]]:
    return [(of["streamId"], of["eventId"]) for of in page["events"]]


def settle(clock: FakeClock) -> None:
    clock.move(timedelta(seconds=11))


def test_events_come_in_time_order_with_stream_and_position(
    gateway: Gateway, store: MemoryEventStore, clock: FakeClock
) -> None:
    append(store, "b", "B1")
    clock.move(timedelta(seconds=1))
    append(store, "a", "A1")
    settle(clock)
    page = gateway.get("/events").json
    assert keys(page) == [("b", 1), ("a", 1)]
    assert page["events"][0]["timestamp"] == "2026-01-01T00:00:00.000000Z"
    assert page["checkpoint"] == page["events"][-1]["position"]
    assert page["next"] is None
    assert page["settledUntil"] == "2026-01-01T00:00:02.000000Z"


def test_empty_store_has_nothing_to_go_on_from(gateway: Gateway) -> None:
    page = gateway.get("/events").json
    assert (page["events"], page["next"], page["checkpoint"]) == ([], None, None)


def test_events_that_may_still_be_joined_by_others_are_held_back(
    gateway: Gateway, store: MemoryEventStore, clock: FakeClock
) -> None:
    append(store, "a", "A1")
    clock.move(timedelta(seconds=10))
    assert gateway.get("/events").json["events"] == []
    clock.move(timedelta(microseconds=1))
    assert keys(gateway.get("/events").json) == [("a", 1)]


@pytest.mark.parametrize("limit", [1, 2, 5, 6, 7])
def test_pages_give_every_event_once(
    gateway: Gateway, store: MemoryEventStore, clock: FakeClock, limit: int
) -> None:
    for stream_id in ("c", "a", "b"):
        append(store, stream_id, "First", "Second")
    settle(clock)
    found, query = [], {"limit": limit}
    while True:
        page = gateway.get("/events", **query).json
        assert len(page["events"]) == min(limit, 6 - len(found))
        assert page["checkpoint"] == page["events"][-1]["position"]
        found += keys(page)
        if page["next"] is None:
            break
        assert page["next"] == page["checkpoint"]
        query["after"] = page["next"]
    assert found == [("a", 1), ("b", 1), ("c", 1), ("a", 2), ("b", 2), ("c", 2)]


def test_range_includes_its_beginning_and_leaves_out_its_end(
    gateway: Gateway, store: MemoryEventStore, clock: FakeClock
) -> None:
    for version in range(4):
        append(store, "a", f"E{version}")
        clock.move(timedelta(seconds=1))
    settle(clock)
    page = gateway.get("/events", **{"from": "2026-01-01T00:00:01Z", "to": "2026-01-01T00:00:03Z"}).json
    assert keys(page) == [("a", 2), ("a", 3)]
    same = gateway.get(
        "/events", **{"from": "2026-01-01T01:00:01+01:00", "to": "2025-12-31T19:00:03-05:00"}
    ).json
    assert same == page
    after = gateway.get("/events", after=page["events"][0]["position"], to="2026-01-01T00:00:03Z").json
    assert keys(after) == [("a", 3)]


def test_plus_sign_of_an_offset_may_stand_unescaped(
    gateway: Gateway, store: MemoryEventStore, clock: FakeClock
) -> None:
    append(store, "a", "E")
    settle(clock)
    answer = gateway.send("GET", "/events", query="from=2026-01-01T01:00:00+01:00")
    assert keys(answer.json) == [("a", 1)]


def test_names_filter_events_and_every_page_says_how_to_go_on(
    gateway: Gateway, store: MemoryEventStore, clock: FakeClock
) -> None:
    append(store, "a", "Placed", "Paid", "Paid", "Sent", "Paid", "Sent")
    settle(clock)
    page = gateway.get("/events", name="Paid", limit=2).json
    assert keys(page) == [("a", 2), ("a", 3)]
    assert page["next"] == page["events"][-1]["position"]
    page = gateway.get("/events", name="Paid", limit=2, after=page["next"]).json
    assert keys(page) == [("a", 5)]
    assert page["next"] is None
    # It has looked at the last event as well, and will not again.
    assert gateway.get("/events", after=page["checkpoint"]).json["events"] == []


def test_filtered_request_looks_at_a_bounded_number_of_events(
    gateway: Gateway, store: MemoryEventStore, clock: FakeClock
) -> None:
    for version in range(0, 2 * PAGE_MAX_EVENTS + 100, 100):
        store.append("a", [NewEvent.of("Common")] * 100, expected=version)
    append(store, "a", "Rare")
    settle(clock)
    pages = [gateway.get("/events", name="Rare", limit=1).json]
    while pages[-1]["next"]:
        pages.append(gateway.get("/events", name="Rare", limit=1, after=pages[-1]["next"]).json)
    assert [len(page["events"]) for page in pages] == [0, 0, 1]


def test_filtered_request_looks_at_a_bounded_number_of_bytes(
    store: MemoryEventStore, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(read, "RESPONSE_MAX_BYTES", 10_000)
    for version in range(10):
        store.append("a", [NewEvent.of("Large", "x" * 4_000)], expected=version)
    settle(clock)
    gateway, query, pages = Gateway(store), {"name": "Rare"}, 0
    while True:
        page = gateway.get("/events", **query).json
        pages += 1
        if page["next"] is None:
            break
        query["after"] = page["next"]
    assert pages == 5


@given(
    st.lists(
        st.one_of(
            st.tuples(
                st.just("append"),
                st.sampled_from("abc"),
                st.lists(st.sampled_from("XY"), min_size=1, max_size=4),
            ),
            st.tuples(st.just("wait"), st.integers(0, 15_000_000)),
            st.tuples(st.just("poll"), st.integers(1, 4)),
        ),
        max_size=25,
    ),
    st.sampled_from([None, "X", "Y"]),
)
def test_poller_gets_every_event_once_and_in_order(steps: list[Any], name: str | None) -> None:
    clock = FakeClock()
    store = MemoryEventStore(clock_us=clock)
    gateway = Gateway(store)
    found: list[tuple[str, int]] = []
    query: dict[str, object] = {} if name is None else {"name": name}

    def poll(limit: int) -> None:
        while True:
            page = gateway.get("/events", limit=limit, **query).json
            found.extend(keys(page))
            if page["checkpoint"]:
                query["after"] = page["checkpoint"]
            if page["next"] is None:
                return

    for step in steps:
        match step:
            case ("append", stream_id, names):
                append(store, stream_id, *names)
            case ("wait", microseconds):
                clock.move(timedelta(microseconds=microseconds))
            case ("poll", limit):
                poll(limit)
    settle(clock)
    poll(2)
    expected = [event for event in store.read_all(unsettled=True) if name in {None, event.name}]
    assert found == [(of.stream_id, of.event_id) for of in expected]


def test_event_of_the_gateway_is_read_as_it_is(store: MemoryEventStore) -> None:
    response = Api(read_handlers(store))(Request.from_event(event("http_read_all")))
    assert response.status == 200


@given(
    st.integers(to_us(datetime(1, 1, 2, tzinfo=UTC)), to_us(datetime(9999, 12, 30, tzinfo=UTC))).map(from_us),
    st.integers(-24 * 60 + 1, 24 * 60 - 1),
    st.sampled_from(["T", "t", " "]),
)
def test_time_of_any_offset_is_read_to_the_microsecond(time: datetime, minutes: int, separator: str) -> None:
    there = time.astimezone(timezone(timedelta(minutes=minutes)))
    text = there.isoformat(timespec="microseconds").replace("T", separator)
    assert parse_time(text, field="from") == time


@given(st.integers(0, to_us(datetime(9999, 12, 31, tzinfo=UTC))))
def test_times_are_written_so_that_they_can_be_read(timestamp_us: int) -> None:
    text = time_text(timestamp_us)
    assert len(text) == len("2026-01-31T09:30:00.123456Z")
    assert parse_time(text, field="from") == from_us(timestamp_us)


@pytest.mark.parametrize(
    "text", ["2026-01-31T09:30:00Z", "2026-01-31T09:30:00.5z", "2026-01-31T09:30:00.500000000Z"]
)
def test_seconds_may_have_any_number_of_digits_that_say_microseconds(text: str) -> None:
    assert parse_time(text, field="from").replace(microsecond=0) == datetime(2026, 1, 31, 9, 30, tzinfo=UTC)
