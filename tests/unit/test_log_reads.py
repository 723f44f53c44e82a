"""`read_log`: what it asks of a log, what it refuses, and a log that is begun while it's read."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from eventstore import Event
from eventstore.errors import InvalidArgument, InvalidPosition
from eventstore.log.model import BEGINNING, BlockPosition, LogEntry, LogPosition, tranche_of
from eventstore.log.read import read_log
from eventstore.memory.log import MemoryEventLog

MEMBERS = ("tranches", "log_id", "read_tranche")


class Reads:
    """No more of a log than a reader needs."""

    def __init__(self, log: MemoryEventLog) -> None:
        self._log = log
        self.asked: list[tuple[int, int | None]] = []

    @property
    def tranches(self) -> int:
        return self._log.tranches

    @property
    def log_id(self) -> str:
        return self._log.log_id

    def read_tranche(
        self, tranche: int, *, after: BlockPosition | None = None, limit: int | None = None
    ) -> Iterator[LogEntry]:
        self.asked.append((tranche, limit))
        return self._log.read_tranche(tranche, after=after, limit=limit)


class BegunWhileRead(Reads):
    """A log that is begun, with more tranches than it was taken to have, when its first tranche is read."""

    @property
    def tranches(self) -> int:
        return self._log.tranches if self.asked else 2


def filled(*, tranches: int = 4, streams: int = 40) -> MemoryEventLog:
    log = MemoryEventLog(tranches=tranches)
    for number in range(streams):
        name = f"s-{number}"
        log.append_block(
            tranche_of(name, tranches=tranches), [Event(name, 1, "E", "{}", "{}", "uid", number)]
        )
    return log


def test_log_with_no_more_than_its_reader_needs_is_read() -> None:
    whole: Any = Reads(filled())
    assert len(read_log(whole).entries) == 40


@pytest.mark.parametrize("lacking", MEMBERS)
def test_log_that_lacks_what_its_reader_needs_is_refused(lacking: str) -> None:
    members = {name: getattr(Reads, name) for name in MEMBERS if name != lacking}
    part: Any = type("Part", (), members)()
    with pytest.raises(InvalidArgument, match=f"log: is .*, which lacks {lacking}; give"):
        read_log(part)


def test_page_of_a_log_that_is_begun_meanwhile_is_read_anew() -> None:
    log: Any = BegunWhileRead(filled())
    page = read_log(log)
    assert sorted({entry.tranche for entry in page.entries}) == [0, 1, 2, 3]
    assert len(page.position.places) == 4


def test_page_that_is_read_anew_keeps_its_limit_and_its_tranches() -> None:
    log: Any = BegunWhileRead(filled())
    page = read_log(log, limit=3, tranches=[1])
    assert [entry.tranche for entry in page.entries] == [1, 1, 1]
    assert log.asked == [(1, 3), (1, 3)]
    assert [place for tranche, place in enumerate(page.position.places) if tranche != 1] == [BEGINNING] * 3


def test_what_is_no_position_is_refused_with_what_to_give() -> None:
    log: Any = MemoryEventLog(tranches=2)
    text: Any = "cG9z"
    with pytest.raises(
        InvalidPosition, match=r"^after: has to be a LogPosition; make one of its text by Log"
    ):
        read_log(log, after=text)
    no_place: Any = [BEGINNING]
    no_id: Any = 7
    for odd in (LogPosition((no_place, BEGINNING), "a"), LogPosition((BEGINNING, BEGINNING), no_id)):
        message = f"after: is {odd!r:.80}; take a page's `position`"
        with pytest.raises(InvalidPosition, match=f"^{re.escape(message)}$"):
            read_log(log, after=odd)


def test_tranches_that_are_no_collection_are_shown_as_given() -> None:
    several: Any = 7
    text = "tranches: is 7; give a collection, such as [0]"
    with pytest.raises(InvalidArgument, match=f"^{re.escape(text)}$"):
        read_log(MemoryEventLog(tranches=2), tranches=several)
