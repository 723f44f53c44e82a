"""A rebuilt log in memory: every event, each stream in order, after any interruption, beside nobody."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import pytest

from eventstore import Event
from eventstore.errors import LogInUse, StoreUnavailable
from eventstore.log.model import LogEntry, tranche_of
from eventstore.maintenance.verify import rebuild as rebuilding
from eventstore.maintenance.verify.against_log import LogComparison
from eventstore.maintenance.verify.rebuild import rebuild
from eventstore.memory.log import MemoryEventLog

START_US: Final = 1_700_000_000_000_000
UID: Final = "8f7e1c1e-5f3c-4d6f-9a46-0a2b8f6f3a10"
PART: Final = 50


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rebuilding, "EVENTS_AT_ONCE", PART)


def events(count: int) -> list[Event]:
    """Events of 7 streams by time, three of each Timestamp."""
    return [
        Event(f"s{n % 7}", n // 7 + 1, "Happened", "1", "{}", UID, START_US + n // 3) for n in range(count)
    ]


def entries(log: MemoryEventLog) -> list[LogEntry]:
    return [entry for tranche in range(log.tranches) for entry in log.read_tranche(tranche)]


def is_in_order(log: MemoryEventLog) -> bool:
    """Whether no event's first entry stands before one of an earlier event of its stream."""
    seen: dict[str, int] = {}
    for entry in entries(log):
        if entry.event_id > seen.get(entry.stream_id, 0) + 1:
            return False
        seen[entry.stream_id] = max(entry.event_id, seen.get(entry.stream_id, 0))
    return True


class Failing(MemoryEventLog):
    """Can't be reached at one of its appends."""

    fails_at = 0

    def append_block(self, tranche: int, events: Sequence[Event]) -> int:
        self.fails_at -= 1
        if self.fails_at == 0:
            raise StoreUnavailable(operation="append", reason="throttled")
        return super().append_block(tranche, events)


def test_rebuilt_log_has_every_event_once_and_by_time() -> None:
    log, all_events, noted = MemoryEventLog(), events(330), list[int]()

    count, blocks = rebuild(all_events, LogComparison(log), goes_on=False, note=noted.append)

    assert count == 330
    assert blocks == len({(entry.tranche, entry.block) for entry in entries(log)})
    assert sorted((entry.stream_id, entry.event_id) for entry in entries(log)) == sorted(
        (event.stream_id, event.event_id) for event in all_events
    )
    for tranche in range(log.tranches):
        times = [entry.timestamp_us for entry in log.read_tranche(tranche)]
        assert times == sorted(times)
    assert is_in_order(log)
    assert noted == [all_events[min(at, 330) - 1].timestamp_us for at in range(PART, 330 + PART, PART)]


@pytest.mark.parametrize("fails_at", range(1, 29, 3))
def test_rebuild_goes_on_where_it_was_interrupted_and_repeats_a_part_at_most(fails_at: int) -> None:
    log, all_events, noted = Failing(), events(330), [0]
    log.fails_at = fails_at

    with pytest.raises(StoreUnavailable):
        rebuild(all_events, LogComparison(log), goes_on=False, note=noted.append)
    left = [event for event in all_events if event.timestamp_us >= noted[-1]]
    rebuild(left, LogComparison(log), goes_on=True, note=noted.append)

    found = [(entry.stream_id, entry.event_id) for entry in entries(log)]
    assert {*found} == {(event.stream_id, event.event_id) for event in all_events}
    assert len(found) - 330 <= PART + 3
    assert is_in_order(log)


@pytest.mark.parametrize("at", [0, 60, 329])
def test_block_of_somebody_else_ends_the_rebuild(at: int) -> None:
    log, all_events = MemoryEventLog(), events(330)

    def meanwhile() -> Iterator[Event]:
        for n, event in enumerate(all_events):
            if n == at:
                other = all_events[-1]
                log.append_block(tranche_of(other.stream_id, tranches=log.tranches), [other])
            yield event

    with pytest.raises(LogInUse, match="disable the log writer's mapping"):
        rebuild(meanwhile(), LogComparison(log), goes_on=False, note=lambda _: None)
