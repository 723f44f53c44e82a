"""Holes inside of a batch: what is read back, how far, with how many queries, and what goes out once."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from functools import partial
from typing import Any

import pytest

from eventstore import Event
from eventstore.errors import MalformedItem, StoreUnavailable
from eventstore.limits import NOT_YET_VISIBLE_S, READ_BACK_MAX_EVENTS
from eventstore.ordering.stream_order import ChangeRecord, Missing
from tests.unit.test_publish import (
    NOON_US,
    OLD_S,
    SECOND_US,
    CountingJournal,
    Shop,
    ids,
    sequence_number,
    stored,
)

HOUR_S = 3_600.0


@pytest.mark.parametrize("missing", [1, 63, 64, 65, 128, 129, READ_BACK_MAX_EVENTS])
def test_hole_of_several_pages_is_read_back_whole(missing: int) -> None:
    shop = Shop()
    events = shop.has("a", events=missing + 2, apart_s=HOUR_S)
    shop.publish([events[0], events[-1]])
    assert ids(shop.bus.taken, "a") == [event.event_id for event in events]


@pytest.mark.parametrize(("missing", "queries"), [(1, 1), (63, 1), (64, 1), (65, 2), (128, 2)])
def test_hole_costs_a_query_for_each_64_events(missing: int, queries: int) -> None:
    shop = Shop()
    events = shop.has("a", events=missing + 2, apart_s=HOUR_S)
    shop.publish([events[0], events[-1]])
    assert (shop.reader.queries, shop.reader.largest_page) == (queries, 64)


def test_hole_that_is_one_too_wide_is_not_read_back() -> None:
    shop = Shop()
    events = shop.has("a", events=READ_BACK_MAX_EVENTS + 3, apart_s=HOUR_S)
    shop.publish([events[0], events[-1]])
    assert ids(shop.bus.taken, "a") == [1, READ_BACK_MAX_EVENTS + 3]


def test_hole_deep_in_a_long_stream_is_as_wide_as_elsewhere() -> None:
    shop = Shop()
    events = shop.has("a", events=904, apart_s=HOUR_S)
    shop.publish([events[899], events[903]])
    assert ids(shop.bus.taken, "a") == [900, 901, 902, 903, 904]


def test_what_stands_behind_a_filled_hole_does_not_fill_it_again() -> None:
    shop = Shop()
    events = shop.has("a", events=5, apart_s=HOUR_S)
    shop.publish([events[0], events[3], events[4]])
    assert ids(shop.bus.taken, "a") == [1, 2, 3, 4, 5]
    assert shop.reader.queries == 1


def test_bad_item_in_its_place_leaves_no_hole_behind_it() -> None:
    shop = Shop()
    events = shop.has("a", events=3, apart_s=HOUR_S)
    bad = MalformedItem(stream_id="a", event_id=2, reason="'Payload' is missing")
    done = shop.publish([events[0], bad, events[2]])
    assert ids(shop.bus.taken, "a") == [1, 3]
    assert [failed.event_id for failed in done.parked] == [2]
    assert shop.reader.queries == 0


def test_what_this_process_has_published_is_left_out_of_a_hole() -> None:
    shop = Shop()
    events = shop.has("a", events=7, apart_s=HOUR_S)
    shop.publish([events[4], events[5]])
    shop.publish([events[2], events[6]])
    assert ids(shop.bus.taken, "a") == [5, 6, 3, 4, 7]


def test_stop_behind_repeats_reports_the_first_record_that_is_not_done() -> None:
    shop = Shop()
    done, open_ = shop.has("a", events=2), shop.has("b", events=2, apart_s=0.1)
    shop.publish(done)
    shop.reader.errors = [StoreUnavailable(operation="Query", reason="throttled")]
    stopped = shop.publish([*done, open_[1]]).stopped
    assert stopped
    assert (stopped.sequence_number, stopped.stream_id, stopped.event_id) == (sequence_number(2), "b", 2)


def test_no_more_than_the_bound_is_read_back_within_the_window() -> None:
    shop = Shop()
    pages = READ_BACK_MAX_EVENTS // 64 + 1
    events = shop.has("a", events=pages * 64 + 3)
    shop.publish([events[-1]])
    assert ids(shop.bus.taken, "a") == [event.event_id for event in events[-pages * 64 - 1 :]]
    assert shop.reader.queries == pages


def test_bad_items_count_toward_the_bound_on_what_is_read_back() -> None:
    shop = Shop()
    *earlier, last = shop.has("a", events=READ_BACK_MAX_EVENTS + 3)
    shop.reader.errors = [
        MalformedItem(stream_id="a", event_id=event.event_id, reason="'Payload' is missing")
        for event in reversed(earlier)
    ]
    done = shop.take([shop.record(last, created_s=0.0, previous_s=0.0)])
    assert [failed.event_id for failed in done.parked] == [event.event_id for event in earlier[2:]]
    assert shop.reader.queries == READ_BACK_MAX_EVENTS


def test_hole_behind_a_bad_item_that_tells_of_an_old_one_is_filled() -> None:
    shop = Shop()
    shop.has("a", events=2, apart_s=OLD_S)
    *_, last = shop.has("a", events=2)
    bad = MalformedItem(stream_id="a", event_id=2, reason="'Payload' is missing")
    created_us = NOON_US + round(OLD_S * SECOND_US)
    first = ChangeRecord(sequence_number(2), "a", 2, bad, created_us=created_us, previous_us=NOON_US)
    shop.take([first, shop.record(last, created_s=2 * OLD_S)])
    assert ids(shop.bus.taken, "a") == [3, 4]


@pytest.mark.parametrize(("young_us", "waits"), [(1, True), (0, False)])
@pytest.mark.parametrize(
    ("gone", "told"), [([2, 3], "EventIds 2-3"), ([1, 2, 3], "EventIds 1-3"), ([3], "EventId 3")]
)
def test_missing_event_counts_as_deleted_once_it_must_be_visible(
    gone: list[int], told: str, young_us: int, waits: bool
) -> None:
    shop = Shop()
    *_, last = shop.has("a", events=4)
    (other,) = shop.has("b", events=1)
    delete(shop, "a", gone)
    shop.now_us = last.timestamp_us + round(NOT_YET_VISIBLE_S * SECOND_US) - young_us
    done = shop.publish([other, last])
    if waits:
        assert done.stopped
        assert (done.stopped.stream_id, done.stopped.event_id) == ("a", 4)
        assert done.stopped.reason == f"{told} of stream 'a' can't be seen yet"
    else:
        assert (done.stopped, done.missing) == (None, (Missing("a", gone[0], gone[-1]),))


def test_event_above_a_bad_item_of_a_hole_that_is_deleted_is_told() -> None:
    shop = Shop()
    *_, last = shop.has("a", events=5)
    delete(shop, "a", [4], bad=3)
    shop.now_us = last.timestamp_us + round(NOT_YET_VISIBLE_S * SECOND_US)
    done = shop.publish([last])
    assert (ids(shop.bus.taken, "a"), [failed.event_id for failed in done.parked]) == ([1, 2, 5], [3])
    assert done.missing == (Missing("a", 4, 4),)


def delete(shop: Shop, stream_id: str, event_ids: Collection[int], *, bad: int = 0) -> None:
    """Take events away; reads then find what DynamoDB's adapter does."""
    streams = shop.store._streams
    streams[stream_id] = [event for event in streams[stream_id] if event.event_id not in event_ids]

    def read_stream(stream_id: str, **options: Any) -> Iterator[Event]:
        for event in stored(streams, stream_id, **options):
            if event.event_id == bad:
                raise MalformedItem(stream_id=stream_id, event_id=bad, reason="'Payload' is missing")
            yield event

    shop.store.read_stream = partial(read_stream)  # type: ignore[method-assign]


def test_journal_that_can_not_be_asked_is_told_though_it_can_be_added_to() -> None:
    class Unread(CountingJournal):
        def published(self, stream_ids: Collection[str]) -> dict[str, int]:
            raise StoreUnavailable(operation="journal", reason=f"throttled: {len(stream_ids)}")

    shop = Shop()
    shop.journal = Unread()
    shop.publisher = shop.new_publisher()
    assert "throttled: 1" in str(shop.publish(shop.has("a", events=2)[1:]).unjournaled)
