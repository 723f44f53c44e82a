"""Where a subscription begins and what it asks for: what is refused, and with which words."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from eventstore.errors import (
    InvalidArgument,
    InvalidEventName,
    InvalidRange,
    InvalidStreamId,
    InvalidSubscription,
)
from eventstore.log.model import BEGINNING, BlockPosition
from eventstore.log.port import EventLog
from eventstore.memory.log import MemoryEventLog
from eventstore.subscriptions import From
from eventstore.subscriptions.start import check_names, check_start, check_streams, cut_us, places_at

EPOCH = datetime.fromtimestamp(0, UTC)


@pytest.mark.parametrize(
    ("start", "told"),
    [
        ("beginning", "from_: has to be From.BEGINNING, From.CHECKPOINT or an aware datetime"),
        (None, "from_: has to be From.BEGINNING, From.CHECKPOINT or an aware datetime"),
        (EPOCH.replace(tzinfo=None), "from_: has no time zone; give an aware datetime, for example in UTC"),
    ],
)
def test_start_that_is_none_is_told_what_it_has_to_be(start: Any, told: str) -> None:
    with pytest.raises(InvalidRange) as caught:
        check_start(start)
    assert str(caught.value) == told


@pytest.mark.parametrize("start", [*From, EPOCH])
def test_start_that_can_be_one_is_returned_as_it_is(start: Any) -> None:
    assert check_start(start) is start


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (5, "is 5; give a collection, such as ['OrderPlaced']"),
        ("Opened", "is one text; give a collection, such as ['Opened']"),
        (["Opened", 5], "has 5, which is no text; event names are"),
        ([""], "has '', which is no event's name: it has to have 1 to 256 characters"),
        ([], "is empty, so that no event would be handled; None is for all"),
    ],
)
def test_names_that_no_event_has_are_refused_with_what_is_wrong(names: Any, told: str) -> None:
    with pytest.raises(InvalidSubscription) as caught:
        check_names(names)
    assert str(caught.value) == f"names: {told}"
    assert isinstance(caught.value.__cause__, InvalidEventName) is (names == [""])


def test_names_are_kept_as_a_set_and_none_is_for_all() -> None:
    assert check_names(["Opened", "Changed", "Opened"]) == frozenset({"Opened", "Changed"})
    assert check_names(None) is None


@pytest.mark.parametrize(
    ("prefix", "told"),
    [
        (5, "is 5; it has to be the text that stream ids begin with"),
        (
            "$x",
            "is '$x'; no stream's id begins so: it begins with '$', which is reserved; begin otherwise",
        ),
    ],
)
def test_prefix_that_no_stream_has_is_refused_with_what_is_wrong(prefix: Any, told: str) -> None:
    with pytest.raises(InvalidSubscription) as caught:
        check_streams(prefix)
    assert str(caught.value) == f"streams: {told}"
    assert isinstance(caught.value.__cause__, InvalidStreamId) is (prefix == "$x")


def test_prefix_is_kept_as_it_is_and_may_be_empty() -> None:
    assert (check_streams("order-"), check_streams("")) == ("order-", "")


def test_time_is_asked_for_less_the_settling_time_and_never_from_before_1970() -> None:
    assert cut_us(EPOCH + timedelta(seconds=60, microseconds=1)) == 50_000_001
    assert cut_us(EPOCH + timedelta(seconds=10)) == cut_us(EPOCH + timedelta(seconds=3)) == 0
    assert cut_us(From.BEGINNING) == cut_us(From.CHECKPOINT) == 0
    with pytest.raises(InvalidRange, match="^from_: has no time zone"):
        cut_us(EPOCH.replace(tzinfo=None))


def test_what_asks_for_all_times_begins_every_tranche_at_its_beginning() -> None:
    log = MemoryEventLog(tranches=3)
    for start in (From.BEGINNING, From.CHECKPOINT, EPOCH):
        assert places_at(log, start) == [BEGINNING] * 3
    with pytest.raises(InvalidRange, match="^from_: has to be From"):
        places_at(log, "beginning")  # type: ignore[arg-type]


def test_places_are_asked_of_whatever_has_tranches_and_first_places() -> None:
    class Places:
        tranches = 2

        def first_since(self, tranche: int, since_us: int) -> BlockPosition:
            return BlockPosition(since_us, tranche)

    class NoPlaces:
        tranches = 2

    start = EPOCH + timedelta(seconds=10, microseconds=7)
    assert places_at(cast("EventLog", Places()), start) == [(7, 0), (7, 1)]

    class NoTranches:
        first_since = Places.first_since

    for log in (NoPlaces(), NoTranches(), None):
        with pytest.raises(InvalidArgument, match="^log: "):
            places_at(cast("EventLog", log), start)
