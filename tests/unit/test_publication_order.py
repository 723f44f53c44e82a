"""Holes inside of a batch: what is read back, how far, with how many queries, and what goes out once."""

from __future__ import annotations

import pytest

from eventstore import MalformedItem, StoreUnavailable
from eventstore.limits import READ_BACK_MAX_EVENTS
from tests.unit.test_publish import Shop, ids, sequence_number

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
