"""Positions of the log: text and back, and nothing else taken for one."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventstore import Event, LogPosition
from eventstore.errors import InvalidPosition
from eventstore.log.model import BlockPosition, LogEntry, tranche_of
from eventstore.log.read import read_log
from eventstore.memory.log import MemoryEventLog

places = st.builds(BlockPosition, st.integers(1, 10**12), st.integers(0, 10_000))


@given(st.lists(places, min_size=1, max_size=256))
def test_position_comes_back_from_its_text(found: list[BlockPosition]) -> None:
    position = LogPosition(tuple(found), "log-1")
    assert LogPosition.parse(str(position)) == position


@given(st.lists(places, min_size=1, max_size=9))
def test_text_of_a_position_can_stand_in_an_address_as_it_is(found: list[BlockPosition]) -> None:
    assert re.fullmatch("[A-Za-z0-9_-]+", str(LogPosition(tuple(found), "log-1")))


@pytest.mark.parametrize("extra", ["=", "==", "====", " ", "\n", "+", "/", "!", "é", "A"])
def test_text_with_anything_more_than_a_position_is_refused(extra: str) -> None:
    for count in range(1, 4):
        text = str(LogPosition.beginning(count))
        for changed in (text + extra, extra + text, text[:3] + extra + text[3:]):
            with pytest.raises(InvalidPosition, match="after: is not a position of this log"):
                LogPosition.parse(changed)


def test_page_of_the_log_has_a_thousand_entries_unless_told_otherwise() -> None:
    log = MemoryEventLog(tranches=1)
    log.append_block(0, [Event("s", number, "E", "{}", "{}", "uid", number) for number in range(1, 1_002)])
    assert len(read_log(log).entries) == 1_000


@pytest.mark.parametrize(
    "raw",
    [
        "", "2", "2/", "3/a/1.0", "2/a", "2/a/1", "2/a/0.0", "2/a/1.-1", "2/a/1.0.0", "2/a/01.0", "2/a/a.b",
        "2/a/1.0/", "2/a/ 1.0", "2//2.0", "2//1.1", "2/a b/1.0", "2/ü/1.0", "2/1.0",
    ],
)  # fmt: skip
def test_text_that_is_no_position_is_refused(raw: str) -> None:
    text = base64.urlsafe_b64encode(raw.encode()).rstrip(b"=").decode()
    with pytest.raises(InvalidPosition, match="after: is not a position of this log"):
        LogPosition.parse(text)


def test_position_of_before_logs_had_ids_says_so() -> None:
    for raw in ("1/1.0", "1/7.3/1.0"):
        text = base64.urlsafe_b64encode(raw.encode()).rstrip(b"=").decode()
        with pytest.raises(InvalidPosition, match=r"didn't say of which log; read from the beginning"):
            LogPosition.parse(text)


@given(st.text(max_size=40))
def test_any_text_is_taken_or_refused_with_words(text: str) -> None:
    with suppress(InvalidPosition):
        assert str(LogPosition.parse(text)) == text


class BegunMeanwhile(MemoryEventLog):
    """A log that says what its reader was told, until somebody begins it while it is read."""

    is_begun = False

    @property
    def tranches(self) -> int:
        return super().tranches if self.is_begun else 2

    def read_tranche(self, *args: Any, **options: Any) -> Iterator[LogEntry]:
        self.is_begun = True
        return super().read_tranche(*args, **options)


def test_page_of_a_log_begun_while_it_is_read_has_all_of_its_tranches() -> None:
    log = BegunMeanwhile(tranches=3)
    log.is_begun = True
    for number in range(30):
        event = Event(f"s{number}", 1, "Happened", "1", "{}", "", 1)
        log.append_block(tranche_of(event.stream_id, tranches=3), [event])
    log.is_begun = False
    page = read_log(log)
    assert (len(page.entries), len(page.position.places)) == (30, 3)
