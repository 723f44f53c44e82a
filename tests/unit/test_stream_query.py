"""The query of one stream, page by page: what it asks for, and what it makes of a gap."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from eventstore import Event
from eventstore.dynamodb.stream_query import StreamQuery
from eventstore.errors import StreamGap, UnexpectedItem


def event(event_id: int, stream_id: str = "a") -> Event:
    return Event(stream_id, event_id, "E", "{}", "{}", "uid", event_id)


def query(**options: Any) -> StreamQuery:
    given: dict[str, Any] = {"stream_id": "a", "first": 1, "last": 99, "backward": False, "limit": None}
    return StreamQuery(**(given | options))


class Table:
    """A stream's events, some of which a query doesn't show yet; it answers as DynamoDB does."""

    def __init__(self, *event_ids: int, page: int = 3) -> None:
        self.event_ids = list(event_ids)
        self.page = page
        self.asked: list[tuple[int, int]] = []
        self.limits: list[int | None] = []
        self.waits: list[float] = []

    def query(self, request: dict[str, Any]) -> tuple[list[int], dict[str, Any] | None]:
        values = request["ExpressionAttributeValues"]
        assert request["KeyConditionExpression"] == "StreamId = :stream AND EventId BETWEEN :from AND :to"
        assert values[":stream"] == {"S": "a"}
        low, high = int(values[":from"]["N"]), int(values[":to"]["N"])
        self.asked.append((low, high))
        self.limits.append(request.get("Limit"))
        ids = sorted(self.event_ids, reverse=not request["ScanIndexForward"])
        found = [number for number in ids if low <= number <= high]
        if key := request.get("ExclusiveStartKey"):
            found = found[found.index(key["at"]) + 1 :]
        size = min(self.page, request.get("Limit") or self.page)
        return found[:size], {"at": found[size - 1]} if len(found) >= size else None

    def read(self, stream: StreamQuery, *, shown_after: int | None = None) -> Iterator[int]:
        """Read as `EventReads` does; so many waits later all events are shown."""
        while not stream.ended:
            page, key = self.query(stream.request())
            due, left, whole = stream.due, stream.left, True
            for number in page:
                if number != due:
                    stream.check(event(number), due)
                    if due:
                        whole = False
                        break
                due, left = number + stream.step, left - 1
                yield number
            if stream.go_on(due=due, left=left, whole=whole, key=key):
                self.waits.append(stream.pause_s(jitter=1.0))
                if len(self.waits) == shown_after:
                    self.event_ids = list(range(1, max(self.event_ids) + 1))


# --- what is asked for ------------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [None, 1, 2, 3, 4, 6, 7, 8, 20])
@pytest.mark.parametrize("backward", [False, True])
@pytest.mark.parametrize(("first", "last"), [(1, 99), (3, 5), (4, 99), (1, 4), (7, 7)])
def test_events_of_a_range_are_read_in_order_up_to_the_limit(
    first: int, last: int, *, backward: bool, limit: int | None
) -> None:
    table = Table(*range(1, 8))
    ids = [number for number in range(1, 8) if first <= number <= last]
    ids = (ids[::-1] if backward else ids)[:limit]
    assert list(table.read(query(first=first, last=last, backward=backward, limit=limit))) == ids
    # What is asked for stays the same from page to page: the key says where it goes on.
    assert table.asked == [(first, last)] * len(table.asked)
    assert len(table.asked) <= len(ids) // 3 + 1
    if limit is None:
        assert set(table.limits) == {None}
    else:
        assert table.limits == [limit - 3 * number for number in range(len(table.limits))]
    assert table.waits == []


@pytest.mark.parametrize("backward", [False, True])
def test_stream_that_is_not_there_is_empty(*, backward: bool) -> None:
    table = Table()
    assert list(table.read(query(backward=backward))) == []
    assert (len(table.asked), table.waits) == (1, [])


# --- gaps --------------------------------------------------------------------------------------------------


def test_forward_read_goes_on_at_the_event_that_is_missing() -> None:
    table = Table(1, 3, 4, 5)
    assert list(table.read(query(limit=4), shown_after=2)) == [1, 2, 3, 4]
    assert table.asked == [(1, 99), (2, 99), (2, 99)]
    assert table.limits == [4, 3, 3]


def test_backward_read_goes_on_at_the_event_that_is_missing() -> None:
    table = Table(1, 2, 5, 6)
    assert list(table.read(query(backward=True), shown_after=2)) == [6, 5, 4, 3, 2, 1]
    assert table.asked == [(1, 99), (1, 4), (1, 4), (1, 99)]


def test_backward_read_that_ends_above_its_range_waits_for_the_rest() -> None:
    table = Table(4, 5)
    assert list(table.read(query(first=3, backward=True), shown_after=1)) == [5, 4, 3]
    assert table.asked == [(3, 99), (3, 3)]
    # A read that has its limit doesn't.
    assert list(Table(4, 5).read(query(first=3, backward=True, limit=2))) == [5, 4]
    # One that lacks a single event of it does.
    assert list(Table(4, 5).read(query(first=3, backward=True, limit=3), shown_after=1)) == [5, 4, 3]


def test_backward_read_of_the_first_event_alone_waits_for_it() -> None:
    assert list(Table(2).read(query(backward=True), shown_after=1)) == [2, 1]


@pytest.mark.parametrize(
    ("ids", "options", "missing"),
    [
        ((1, 2, 6, 7), {}, (3, 5)),
        ((3, 4), {}, (1, 2)),
        ((1, 2, 4), {"first": 3}, (3, 3)),
        ((1, 2, 6, 7), {"backward": True}, (3, 5)),
        ((5, 6), {"backward": True, "first": 3}, (3, 4)),
        ((2, 3), {"backward": True}, (1, 1)),
    ],
)
def test_gap_that_stays_is_asked_for_eight_times_and_named(
    ids: tuple[int, ...], options: dict[str, Any], missing: tuple[int, int]
) -> None:
    table = Table(*ids)
    with pytest.raises(StreamGap) as caught:
        list(table.read(query(**options)))
    assert (caught.value.stream_id, caught.value.first_missing, caught.value.last_missing) == ("a", *missing)
    assert len(table.waits) == 7
    assert sum(table.waits) == pytest.approx(0.02 + 0.04 + 0.08 + 0.16 + 0.32 + 0.5 + 0.5)


def test_each_gap_of_a_stream_is_waited_for_anew() -> None:
    table = Table(1, 3)
    stream = query()
    got: list[int] = []
    for _ in range(6):
        stream.go_on(due=2, left=-1, whole=False, key=None)
    table.event_ids = [1, 2, 4]
    with pytest.raises(StreamGap):
        got.extend(table.read(stream))
    assert (got, len(table.waits)) == ([2], 7)


def test_half_of_a_pause_is_waited_for_whatever_chance_says() -> None:
    stream = query()
    stream.go_on(due=1, left=-1, whole=False, key=None)
    assert (stream.pause_s(jitter=0.0), stream.pause_s(jitter=1.0)) == (0.01, 0.02)


# --- events that weren't asked for ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "found", "due", "asked"),
    [
        ({}, event(3, "b"), 3, "'a', EventId 3"),
        ({}, event(2), 3, "'a', EventId 3"),
        ({"first": 3}, event(2), 0, "'a', EventId 3"),
        ({"first": 3, "last": 5}, event(6), 5, "'a', EventId 5"),
        ({"backward": True}, event(4), 3, "'a', EventId 3"),
        ({"backward": True, "first": 2, "last": 5}, event(6), 0, "'a', EventId 2"),
    ],
)
def test_event_that_was_not_asked_for_is_named_with_what_was(
    options: dict[str, Any], found: Event, due: int, asked: str
) -> None:
    with pytest.raises(UnexpectedItem) as caught:
        query(**options).check(found, due)
    assert caught.value.asked == asked
    assert caught.value.answered == f"{found.stream_id!r}, EventId {found.event_id}"


@pytest.mark.parametrize(
    ("options", "found", "due"),
    [
        ({}, 4, 3),
        ({"first": 3, "last": 5}, 5, 3),
        ({"backward": True}, 2, 3),
        ({"backward": True, "first": 2}, 2, 3),
        ({"backward": True, "last": 9}, 9, 0),
        ({"backward": True, "first": 2}, 2, 0),
    ],
)
def test_event_behind_a_gap_and_the_first_of_a_backward_read_are_taken(
    options: dict[str, Any], found: int, due: int
) -> None:
    query(**options).check(event(found), due)
