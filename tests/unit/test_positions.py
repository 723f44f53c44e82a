from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventstore import Position
from eventstore.errors import InvalidPosition, InvalidRange
from eventstore.positions import from_us, to_us

positions = st.builds(
    Position,
    st.integers(0, 10**17),
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40),
    st.integers(1, 10**15),
)


@given(positions)
def test_position_is_read_back_from_its_text(position: Position) -> None:
    text = str(position)
    assert Position.parse(text) == position
    assert text.isascii()
    assert not set(text) & set("/+= %?&#")


@pytest.mark.parametrize("text", ["", "x", "MS8y", "ü", "a b", "....", "0", "MS8xLzEvYQ==", "Mi8xLzEvYQ"])
def test_text_that_is_no_position_is_refused(text: str) -> None:
    with pytest.raises(InvalidPosition) as caught:
        Position.parse(text)
    assert caught.value.field == "after"


@pytest.mark.parametrize("text", [None, 5, b"MS8xLzEvYQ", True, ["MS8xLzEvYQ"]])
def test_what_is_no_text_is_refused_as_a_position(text: Any) -> None:
    with pytest.raises(InvalidPosition, match="has to be a text"):
        Position.parse(text)


def test_order_is_by_time_then_stream_then_event() -> None:
    first, second = Position(1, "b", 9), Position(2, "a", 2)
    third, fourth = Position(2, "a", 10), Position(2, "b", 1)
    assert sorted([fourth, third, second, first]) == [first, second, third, fourth]


@given(st.integers(0, 32_503_680_000_000_000))
def test_times_are_exact_to_the_microsecond(timestamp_us: int) -> None:
    assert to_us(from_us(timestamp_us)) == timestamp_us


def test_times_of_other_zones_are_the_same_instant() -> None:
    berlin = datetime(2026, 1, 1, 1, tzinfo=timezone(timedelta(hours=1)))
    assert to_us(berlin) == to_us(datetime(2026, 1, 1, tzinfo=UTC))


def test_time_without_zone_is_refused() -> None:
    with pytest.raises(InvalidRange, match="no time zone"):
        to_us(datetime(2026, 1, 1))  # noqa: DTZ001
