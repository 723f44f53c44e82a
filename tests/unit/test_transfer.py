"""The lines of an export, and an import's order, retries and resumption, in memory."""

from __future__ import annotations

import gzip
import json
import os
import random
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from eventstore import Event, NewEvent
from eventstore._uids import uuid7
from eventstore.errors import BadExport, FileExists, InvalidInput, MalformedItem, StoreUnavailable
from eventstore.limits import EQUAL_TIMESTAMPS_MAX_KB, LINE_MAX_BYTES, LINE_SKIPPED_MAX_BYTES, UID_SKEW_S
from eventstore.maintenance.transfer import importing
from eventstore.maintenance.transfer.equal_times import EqualTimes
from eventstore.maintenance.transfer.export import export
from eventstore.maintenance.transfer.importing import Imported, check_export, import_events
from eventstore.maintenance.transfer.lines import Line, read_lines
from eventstore.maintenance.transfer.repeated_uids import RepeatedUids
from eventstore.maintenance.transfer.selection import Selection
from tests.stored_events import MemoryStoredEvents, item

UID = "8f7e1c1e-5f3c-4d6f-9a46-0a2b8f6f3a10"
SETTLED = "2026-01-01T00:00:00+00:00"


def event(stream: str, number: int) -> Event:
    uid = f"{UID[:-8]}{number:08x}"
    return Event(stream, number, "Happened", '{"n":1.50}', "{}", uid, 1_700_000_000_000_000 + number)


def selection(*, end_us: int = 2**62, now_us: int = 2**62) -> Selection:
    return Selection(end_us=end_us, now_us=lambda: now_us, whole_streams=True)


def exported(path: Path, *, streams: int, count: int) -> list[Event]:
    events = [event(f"s{n}", number) for number in range(1, count + 1) for n in range(streams)]
    export(events, path, settled_until=SETTLED)
    return events


@dataclass
class Target(MemoryStoredEvents):
    """Fails every so many puts, half of them after the write; checks that no event comes before another."""

    fails_every: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)
    puts: int = 0

    def put(self, event: Event, *, shard: int) -> Event | MalformedItem | None:
        with self.lock:
            self.puts += 1
            fails = self.fails_every and self.puts % self.fails_every == 0
            assert event.event_id == 1 or (event.stream_id, event.event_id - 1) in self.items
            if fails and self.puts % 2:
                raise StoreUnavailable(operation="PutItem", reason="throttled")
            there = super().put(event, shard=shard)
            if fails:
                raise StoreUnavailable(operation="PutItem", reason="the answer got lost")
            return there


def run(path: Path, target: Target, *, into_existing: bool = False) -> Imported:
    done = Imported()
    for each in import_events(
        path, target, write_shards=3, into_existing=into_existing, sleep=lambda pause_s: None
    ):
        done.add(each)
    return done


def events_of(target: Target) -> list[object]:
    return [item.event for _, item in sorted(target.items.items())]


def key(each: Event) -> tuple[str, int]:
    return each.stream_id, each.event_id


texts = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=20)
json_texts = st.recursive(
    st.one_of(st.just("null"), st.integers().map(str), texts.map(json.dumps)),
    lambda inner: st.lists(inner, max_size=3).map(lambda parts: "[ " + ",\n".join(parts) + "]\t"),
)


@pytest.mark.parametrize("epoch_us", [None, 1_800_000_000_000_000])
def test_event_keeps_its_epoch_in_a_file_and_out_of_it(tmp_path: Path, epoch_us: int | None) -> None:
    path = tmp_path / "events.gz"
    export([replace(event("s", 1), epoch_us=epoch_us)], path, settled_until=SETTLED)
    target = Target()

    assert run(path, target).written == 1
    assert (b"epochUs" in gzip.decompress(path.read_bytes())) == (epoch_us is not None)
    assert [each.event.epoch_us for each in target.items.values() if isinstance(each.event, Event)] == [
        epoch_us
    ]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(stream=texts, name=texts, payload=json_texts)
def test_any_event_comes_back_from_its_line_as_it_was(
    tmp_path_factory: pytest.TempPathFactory, stream: str, name: str, payload: str
) -> None:
    try:
        NewEvent(name=name, payload=payload)
    except InvalidInput:
        return
    if stream.startswith("$"):
        return
    made = Event(stream, 7, name, payload, '{"a": 1.0 }', UID, 1_700_000_000_000_000)
    path = tmp_path_factory.mktemp("lines") / "events.gz"

    export([made], path, settled_until=SETTLED)

    assert [line.event for line in read_lines(path) if isinstance(line, Line)] == [made]
    assert check_export(path, whole_streams=False).events == 1


def test_file_appears_only_when_it_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "events.gz"

    def broken() -> Iterator[Event]:
        yield event("a", 1)
        assert not path.exists()
        raise StoreUnavailable(operation="Scan", reason="throttled")

    with pytest.raises(StoreUnavailable):
        export(broken(), path, settled_until=SETTLED)

    assert list(tmp_path.iterdir()) == []


def test_bad_export_carries_its_bad_lines_and_their_number(tmp_path: Path) -> None:
    path = tmp_path / "events.ndjson"
    path.write_text("{}\n" * 30)

    with pytest.raises(BadExport, match=r"31 bad lines, 21 of them are above") as refused:
        check_export(path, whole_streams=True)

    assert (refused.value.path, refused.value.count) == (path, 31)
    assert [line.number for line in refused.value.lines] == [*range(1, 21), 31]  # the last line is missing


def test_file_that_appears_during_an_export_is_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "events.gz"

    def late() -> Iterator[Event]:
        yield event("a", 1)
        path.write_text("mine")

    with pytest.raises(FileExists):
        export(late(), path, settled_until=SETTLED)

    assert [each.read_text() for each in tmp_path.iterdir()] == ["mine"]


def test_export_works_on_a_file_system_without_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, target: Path) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    path = tmp_path / "events.gz"

    assert exported(path, streams=2, count=2)

    assert check_export(path, whole_streams=True).events == 4
    assert list(tmp_path.iterdir()) == [path]


def test_export_without_links_replaces_no_file_that_appears_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "events.gz"

    def refuse(path: Path, target: Path) -> None:
        path.write_text("mine")
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(Path, "hardlink_to", refuse)

    with pytest.raises(FileExists):
        exported(path, streams=1, count=1)

    assert [each.read_text() for each in tmp_path.iterdir()] == ["mine"]


def test_interrupted_export_removes_its_own_file_alone(tmp_path: Path) -> None:
    mine = tmp_path / "events.gz.part"
    mine.write_text("mine")

    def interrupted() -> Iterator[Event]:
        yield event("a", 1)
        assert len(list(tmp_path.iterdir())) == 2
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export(interrupted(), tmp_path / "events.gz", settled_until=SETTLED)

    assert list(tmp_path.iterdir()) == [mine]


@pytest.mark.parametrize(
    ("payload", "metadata"),
    [("1E400", "{}"), ("9" * 5_000, "{}"), ("1", '{"a":1,"a":2}'), ("1", '{"a":1E999}')],
)
def test_event_that_an_earlier_version_took_goes_from_store_to_store(
    tmp_path: Path, payload: str, metadata: str
) -> None:
    old = Event("s", 1, "Happened", payload, metadata, UID, 1)
    stored, chosen, target = MemoryStoredEvents(), selection(), Target()
    stored.add(item(old))
    path = tmp_path / "events.gz"
    export(chosen.of_table(stored, segments=1), path, settled_until=SETTLED)

    assert check_export(path, whole_streams=True).events == 1
    run(path, target)

    assert events_of(target) == [old]
    assert chosen.left_out.events == 0


def test_uid_in_capitals_is_refused_since_its_repeat_would_not_be_known(tmp_path: Path) -> None:
    path = tmp_path / "events.gz"
    export([Event("s", 1, "Happened", "1", "{}", UID.upper(), 1)], path, settled_until=SETTLED)

    with pytest.raises(BadExport) as caught:
        check_export(path, whole_streams=True)

    assert caught.value.lines[0].number == 1
    assert "write it in lower case" in caught.value.lines[0].reason


def at_once(path: Path, *, times: dict[int, int]) -> None:
    """Export so many events of each Timestamp, each event in a stream of its own."""
    events = (
        Event(f"s{us}-{n}", 1, "Happened", "1", "{}", UID, us)
        for us, count in times.items()
        for n in range(count)
    )
    export(events, path, settled_until=SETTLED)


def test_one_event_too_many_of_one_timestamp_is_refused_where_it_stands(tmp_path: Path) -> None:
    allowed, refused = tmp_path / "allowed.gz", tmp_path / "refused.gz"
    at_once(allowed, times={7: EQUAL_TIMESTAMPS_MAX_KB, 8: 3})
    at_once(refused, times={8: 3, 7: EQUAL_TIMESTAMPS_MAX_KB + 2, 9: EQUAL_TIMESTAMPS_MAX_KB + 1})

    assert check_export(allowed, whole_streams=True).events == EQUAL_TIMESTAMPS_MAX_KB + 3
    with pytest.raises(BadExport) as caught:
        check_export(refused, whole_streams=True)

    assert [(line.number, line.stream_id) for line in caught.value.lines] == [(10_004, None), (20_006, None)]
    assert (
        "timestampUs: the events that have 7 are more than 10,000 KB, and a page"
        in caught.value.lines[0].reason
    )
    assert "--except" not in str(caught.value)
    assert check_export(refused, whole_streams=True, equal_timestamps=True).events == 20_006


def bad_lines(path: Path, **options: Any) -> list[tuple[int, str | None, str]]:
    try:
        check_export(path, whole_streams=True, **options)
    except BadExport as error:
        return [(line.number, line.stream_id, line.reason) for line in error.lines]
    return []


def test_uuid7_of_later_than_its_event_is_refused_as_an_append_does(tmp_path: Path) -> None:
    """Such as one that a script makes now for events of long ago: an append to any looked behind them."""
    path, skew_us = tmp_path / "events.gz", round(UID_SKEW_S * 1_000_000)
    uids = [
        uuid7(now_us=7_000_000_000_000_000, random_bytes=os.urandom),
        uuid7(now_us=1_700_000_000_001_000 + skew_us, random_bytes=os.urandom),
        uuid7(now_us=1_700_000_000_000_000 + skew_us, random_bytes=os.urandom),
        uuid7(now_us=1_600_000_000_000_000, random_bytes=os.urandom),
        UID,
    ]
    events = [replace(event("s", number), uid=uid) for number, uid in enumerate(uids, start=1)]
    export(events, path, settled_until=SETTLED)

    (first, second) = bad_lines(path)
    assert (first[:2], second[:2]) == ((1, "s"), (2, "s"))
    assert "5,300,000,000 s after its timestampUs" in first[2]
    assert "--any-uids" in first[2]
    assert bad_lines(path, any_uids=True) == bad_lines(path, excepted=["s"]) == []


def test_uid_that_stands_twice_in_a_stream_is_refused_wherever_its_lines_are(tmp_path: Path) -> None:
    path = tmp_path / "events.gz"
    events = [event(stream, number) for number in range(1, 300) for stream in ("a", "b", "c")]
    for index in (400, 802, 806):  # of b, b and c, whose second events have that uid as well
        events[index] = replace(events[index], uid=events[3].uid)
    export(events, path, settled_until=SETTLED)

    found = [line[:2] for line in bad_lines(path)]

    assert found == [(index + 1, events[index].stream_id) for index in (400, 802, 806)]
    assert "is event 2 of stream 'b', too" in bad_lines(path)[0][2]
    assert bad_lines(path, any_uids=True) == []
    assert [line[:2] for line in bad_lines(path, excepted=["b"])] == [(807, "c")]


def test_uids_are_compared_in_8_bytes_an_event() -> None:
    repeated, events = RepeatedUids(), [event("s", number) for number in range(1, 20_001)]
    tracemalloc.start()
    try:
        for one in events:
            repeated.add(one)
        size_bytes, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert size_bytes < 20_000 * 8 * 1.5
    assert list(repeated.lines(iter([]), excepted=())) == []


def test_events_that_are_left_out_do_not_count_as_equal_ones(tmp_path: Path) -> None:
    path = tmp_path / "events.gz"
    at_once(path, times={7: EQUAL_TIMESTAMPS_MAX_KB + 2})

    assert check_export(path, whole_streams=True, excepted=["s7-1", "s7-5"]).events == EQUAL_TIMESTAMPS_MAX_KB


# Timestamp, KB, how often.
runs = st.lists(st.tuples(st.integers(0, 4), st.integers(1, 5), st.integers(1, 4)), max_size=12)


@example(runs=[(0, 4, 2), (1, 1, 1), (2, 1, 1), (0, 4, 2)], limit_kb=8, counters=2)
@given(runs=runs, limit_kb=st.integers(1, 12), counters=st.integers(1, 4))
def test_no_timestamp_is_refused_falsely_and_none_passes_with_more(
    runs: list[tuple[int, int, int]], limit_kb: int, counters: int
) -> None:
    events = [(us, kb) for us, kb, often in runs for _ in range(often)]
    equal = EqualTimes(limit_kb=limit_kb, counters=counters)

    faults = [us for us, kb in events if equal.fault(us, size_bytes=(kb - 1) * 1_024 + 1)]

    times = {us for us, _ in events}
    missed_kb = 0 if len(times) <= counters else sum(kb for _, kb in events) // (counters + 1)
    assert len(faults) == len(set(faults))
    for time_us in times:
        size_kb = sum(kb for us, kb in events if us == time_us)
        assert size_kb > limit_kb or time_us not in faults
        assert size_kb <= limit_kb + missed_kb or time_us in faults


def test_timestamps_are_counted_in_bounded_memory() -> None:
    equal = EqualTimes(limit_kb=6, counters=10)
    tracemalloc.start()
    try:
        assert not any(equal.fault(us % 9_999, size_bytes=2_000) for us in range(10_000, 30_000))
        size_bytes, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert size_bytes < 20_000


def test_few_large_events_of_one_timestamp_are_as_much_as_many_small_ones(tmp_path: Path) -> None:
    path = tmp_path / "events.gz"
    payload = f'"{"x" * 390 * 1_024}"'
    export(
        (Event(f"s{n}", 1, "Happened", payload, "{}", UID, 7) for n in range(26)), path, settled_until=SETTLED
    )

    with pytest.raises(BadExport) as caught:
        check_export(path, whole_streams=True)

    assert [line.number for line in caught.value.lines] == [26]


BEGINNINGS = ['{"streamId":"s1","payload":"', '{"export":{"from":"', ""]


def test_pipe_is_refused_with_nothing_of_it_read() -> None:
    reads, writes = os.pipe()
    try:
        os.write(writes, b"{}\n")
        os.close(writes)

        with pytest.raises(InvalidInput, match="is a pipe, .* write it to a file first"):
            check_export(Path(f"/dev/fd/{reads}"), whole_streams=True)

        assert os.read(reads, 9) == b"{}\n"
    finally:
        os.close(reads)


@pytest.mark.parametrize("beginning", BEGINNINGS)
@pytest.mark.parametrize("compressed", [False, True])
def test_line_without_an_end_is_refused_after_a_bounded_part(
    tmp_path: Path, beginning: str, compressed: bool
) -> None:
    path = tmp_path / "events"
    read_bytes = LINE_MAX_BYTES + LINE_SKIPPED_MAX_BYTES
    path.write_text(beginning)
    if compressed:
        path.write_bytes(gzip.compress(beginning.encode() + bytes(read_bytes + 1), compresslevel=1))
    else:
        os.truncate(path, 2**40)  # a terabyte of zeros that takes no room

    with pytest.raises(BadExport) as caught:
        check_export(path, whole_streams=True, excepted=["s1"])

    told = {(line.number, line.reason) for line in caught.value.lines}
    assert (1, "goes on for more than 64 MB; what follows isn't read") in told
    assert all(number <= 2 for number, _ in told)


@pytest.mark.parametrize("beginning", BEGINNINGS)
def test_line_that_is_too_long_is_passed_over_and_the_next_has_its_number(
    tmp_path: Path, beginning: str
) -> None:
    path = tmp_path / "events"
    path.write_text(f"{beginning}{'x' * 3 * LINE_MAX_BYTES}\n[]\n")

    with pytest.raises(BadExport) as caught:
        check_export(path, whole_streams=True)

    assert [(line.number, line.reason[:14]) for line in caught.value.lines] == [
        (1, "is longer than"), (2, "is not a JSON "), (3, "the export's l"),
    ]  # fmt: skip


events_with_faults = st.lists(
    st.tuples(
        st.sampled_from(["a", "b"]),
        st.integers(1, 6),
        st.integers(0, 8),
        st.sampled_from(["1", "{", "[] []", '1,"eventId":2', '{"a":1,"a":2}', "NaN", "", '"\\ud800"']),
        st.sampled_from(["{}", "[]", '{"a":1}']),
    ),
    max_size=12,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(events_with_faults)
def test_whatever_a_table_holds_its_export_is_a_file_that_import_takes(
    tmp_path_factory: pytest.TempPathFactory, of: list[tuple[str, int, int, str, str]]
) -> None:
    stored = MemoryStoredEvents()
    for stream_id, event_id, timestamp_us, payload, metadata in of:
        uid = f"{UID[:-1]}{event_id}"  # each its own: an import refuses what has that of another
        stored.add(item(Event(stream_id, event_id, "Happened", payload, metadata, uid, timestamp_us)))
    path = tmp_path_factory.mktemp("any") / "events.gz"
    chosen = selection(end_us=7, now_us=7)

    done = export(chosen.of_table(stored, segments=2), path, settled_until=SETTLED, left_out=chosen.left_out)

    contents = check_export(path, whole_streams=True)
    assert contents.events == done.events
    assert done.events + chosen.left_out.events + chosen.young == len(stored.items)
    assert contents.left_out.events == chosen.left_out.events


@pytest.mark.parametrize("window", [7, 10_000])
def test_failing_and_lost_answers_are_tried_again_with_each_stream_in_order(
    tmp_path: Path, window: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importing, "WINDOW_EVENTS", window)
    path = tmp_path / "events.gz"
    events = exported(path, streams=9, count=8)
    target = Target(fails_every=5)

    done = run(path, target)

    assert (done.events, done.failed) == (72, 0)
    assert events_of(target) == sorted(events, key=key)
    assert {item.shard for item in target.items.values()} == {"0", "1", "2"}


def test_interrupted_import_goes_on_and_changes_nothing_twice(tmp_path: Path) -> None:
    path = tmp_path / "events.gz"
    events = exported(path, streams=5, count=6)
    target = Target(fails_every=1)
    with pytest.raises(StoreUnavailable):
        run(path, target)
    target.fails_every = 0

    first, second = run(path, target, into_existing=True), run(path, target, into_existing=True)

    assert (first.events, first.failed) == (30, 0)
    assert (second.written, second.already_there) == (0, 30)
    assert events_of(target) == sorted(events, key=key)


def test_stream_that_holds_another_event_fails_alone_and_from_there_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importing, "WINDOW_EVENTS", 4)
    path = tmp_path / "events.gz"
    exported(path, streams=3, count=5)
    target = Target()
    other = Event("s1", 3, "Other", "null", "{}", UID, 1_700_000_000_000_003)
    for number in (1, 2):
        MemoryStoredEvents.put(target, event("s1", number), shard=0)
    MemoryStoredEvents.put(target, other, shard=random.randrange(1))

    done = run(path, target, into_existing=True)

    assert (done.written, done.already_there, done.failed) == (10, 2, 3)
    assert len(done.reasons) == 1
    assert "stream 's1' from line 8 on" in done.reasons[0]
    assert target.get("s1", 3) == other
    assert target.get("s1", 4) is None


@pytest.mark.parametrize("order", [int, str, lambda event_id: -event_id, lambda event_id: event_id * 7 % 31])
def test_export_has_each_stream_whole_and_in_order_whatever_a_scan_gives(
    order: Callable[[int], int | str],
) -> None:
    stored = MemoryStoredEvents(scan_order=order)
    events = [event(f"s{n}", number) for n in range(5) for number in range(1, 7 * n + 2)]
    stored.add(*(item(each) for each in events), item(event("$own", 5), shard=None))

    read = list(selection().of_table(stored, segments=2))

    assert sorted(read, key=key) == sorted(events, key=key)
    for n in range(5):
        assert [each.event_id for each in read if each.stream_id == f"s{n}"] == list(range(1, 7 * n + 2))
