"""Positions of the log: text and back, and nothing else taken for one."""

from __future__ import annotations

import base64
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventstore import BlockPosition, InvalidPosition, LogPosition

places = st.builds(BlockPosition, st.integers(1, 10**12), st.integers(0, 10_000))


@given(st.lists(places, min_size=1, max_size=256))
def test_position_comes_back_from_its_text(found: list[BlockPosition]) -> None:
    position = LogPosition(tuple(found))
    assert LogPosition.parse(str(position)) == position


@pytest.mark.parametrize(
    "raw",
    ["", "1", "1/", "2/1.0", "1/1", "1/0.0", "1/1.-1", "1/1.0.0", "1/01.0", "1/a.b", "1/1.0/", "1/ 1.0"],
)
def test_text_that_is_no_position_is_refused(raw: str) -> None:
    text = base64.urlsafe_b64encode(raw.encode()).rstrip(b"=").decode()
    with pytest.raises(InvalidPosition, match="after: is not a position of this log"):
        LogPosition.parse(text)


@given(st.text(max_size=40))
def test_any_text_is_taken_or_refused_with_words(text: str) -> None:
    with suppress(InvalidPosition):
        assert str(LogPosition.parse(text)) == text
