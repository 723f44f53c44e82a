"""Verification in memory: what DynamoDB can't be brought to do by hand, resumption, and the digests."""

from __future__ import annotations

import io
import json
import os
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventstore import Event
from eventstore._uids import uuid7
from eventstore.errors import BadCheckpoints, BlockMissing, MalformedItem, OtherVerification, StoreUnavailable
from eventstore.limits import UID_SKEW_S
from eventstore.log.model import tranche_of
from eventstore.maintenance.items import StoredItem
from eventstore.maintenance.verify import difference, naming
from eventstore.maintenance.verify.against_log import LogComparison
from eventstore.maintenance.verify.checkpoints import Checkpoints
from eventstore.maintenance.verify.difference import Difference
from eventstore.maintenance.verify.digests import PartDigests
from eventstore.maintenance.verify.repair import IndexRepairer
from eventstore.maintenance.verify.verify import Verification
from eventstore.memory.log import MemoryEventLog
from tests.stored_events import MemoryStoredEvents, item

START_US = 1_700_000_000_000_000
SETTLED_US = START_US + 3_600_000_000
UID = "8f7e1c1e-5f3c-4d6f-9a46-0a2b8f6f3a10"


def event(stream: str, number: int, *, at_us: int | None = None, uid: str = UID) -> Event:
    at_us = START_US + number * 1_000_000 if at_us is None else at_us
    return Event(stream, number, "Happened", '{"n":1.50}', "{}", uid, at_us)


def stream(name: str, count: int) -> list[StoredItem]:
    return [item(event(name, number)) for number in range(1, count + 1)]


def table(*items: StoredItem) -> MemoryStoredEvents:
    stored = MemoryStoredEvents()
    stored.add(*items)
    return stored


class Silent:
    def phase(self, name: str) -> None: ...
    def seen(self, items: int, findings: int) -> None: ...


def verify(
    stored: MemoryStoredEvents, folder: Path, *, log: MemoryEventLog | None = None, repair: bool = False,
    read_shards: int = 2, streams_at_once: int = 500_000, segments: int = 3, settled_us: int = SETTLED_US,
) -> list[dict[str, Any]]:  # fmt: skip
    output = io.StringIO()
    settings = {"segments": segments, "repair": repair}
    checkpoints = Checkpoints(folder, settings=settings, settled_until_us=settled_us)
    settled_until_us = checkpoints.settled_until_us
    repairer = IndexRepairer(
        table=stored,
        read_shards=read_shards,
        settled_until_us=settled_until_us,
        random_shard=lambda shards: shards - 1,
    )
    try:
        counts = Verification(
            table=stored,
            log=LogComparison(log, streams_at_once=streams_at_once) if log else None,
            checkpoints=checkpoints,
            read_shards=read_shards,
            segments=segments,
            repairer=repairer,
            repair=repair,
            sleep=lambda pause_s: None,
        ).run(output, progress=Silent())
    finally:
        checkpoints.close()
    findings = [json.loads(line) for line in output.getvalue().splitlines()]
    assert counts.findings == len(findings)
    return findings


def kinds(findings: Iterable[dict[str, Any]]) -> list[tuple[str, str, int]]:
    return sorted((each["kind"], each["streamId"], each["eventId"]) for each in findings)


def logged(events: Iterable[Event], *, tranches: int = 2) -> MemoryEventLog:
    log = MemoryEventLog(tranches=tranches)
    for each in events:
        log.append_block(tranche_of(each.stream_id, tranches=tranches), [each])
    return log


def test_whole_store_has_no_findings(tmp_path: Path) -> None:
    stored = table(*stream("a", 7), *stream("b", 1), *stream("ü", 4))
    log = logged(each.event for each in stored.items.values() if isinstance(each.event, Event))

    assert verify(stored, tmp_path, log=log) == []
    assert list(tmp_path.iterdir()) == []


def test_gaps_are_named_with_their_ends(tmp_path: Path) -> None:
    stored = table(*stream("a", 9), *stream("b", 3))
    for missing in [("a", 2), ("a", 3), ("a", 7), ("b", 1)]:
        del stored.items[missing]

    findings = verify(stored, tmp_path)

    assert sorted((each["streamId"], each["eventId"], each["lastEventId"]) for each in findings) == [
        ("a", 2, 3), ("a", 7, 7), ("b", 1, 1),
    ]  # fmt: skip
    assert {each["kind"] for each in findings} == {"gap"}
    assert {each["repair"] for each in findings} == {"no"}


def test_event_that_only_the_scan_missed_is_no_gap(tmp_path: Path) -> None:
    stored = table(*stream("a", 6))
    stored.hidden_once = {("a", 3)}

    assert verify(stored, tmp_path) == []


@pytest.mark.parametrize("segments", [1, 3])
@pytest.mark.parametrize("order", [str, lambda event_id: -event_id, lambda event_id: event_id * 7 % 31])
def test_order_in_which_a_scan_gives_a_stream_changes_no_finding(
    tmp_path: Path, order: Callable[[int], int | str], segments: int
) -> None:
    def broken() -> MemoryStoredEvents:
        stored = table(*stream("a", 25), *stream("b", 12), *stream("c", 1), *stream("d", 30))
        malformed = MalformedItem(stream_id="b", event_id=0, reason="its EventId is 1.5")
        stored.add(StoredItem("b", 0, malformed, UID, str(START_US), "0", 1))
        stored.add(item(event("a", 7), timestamp=None), item(event("a", 19), shard="7"))
        stored.add(item(event("d", 21, at_us=START_US)), item(event("d", 31, at_us=SETTLED_US + 1)))
        for missing in [("a", 11), ("b", 1), ("b", 2), ("d", 13)]:
            del stored.items[missing]
        return stored

    def found(stored: MemoryStoredEvents) -> list[str]:
        log = logged(each.event for each in stored.items.values() if isinstance(each.event, Event))
        return sorted(map(json.dumps, verify(stored, tmp_path, log=log, segments=segments)))

    other = broken()
    other.scan_order = order

    assert found(other) == found(broken()) != []


def test_interrupted_verification_reads_nothing_twice_in_another_order(
    tmp_path: Path,
) -> None:
    stored = table(*stream("a", 25), *stream("b", 12))
    stored.scan_order, stored.fails_at_scan = str, 5
    with pytest.raises(StoreUnavailable):
        verify(stored, tmp_path, segments=1)

    assert verify(stored, tmp_path, segments=1) == []


def test_gap_before_an_event_that_has_not_settled_is_not_told(tmp_path: Path) -> None:
    stored = table(*stream("a", 2), item(event("a", 4, at_us=SETTLED_US + 1)))

    assert verify(stored, tmp_path) == []


def test_timestamps_that_do_not_increase_are_named(tmp_path: Path) -> None:
    stored = table(item(event("a", 1, at_us=START_US)), item(event("a", 2, at_us=START_US)))

    (finding,) = verify(stored, tmp_path)

    assert (finding["kind"], finding["eventId"], finding["repair"]) == ("timestamp-order", 2, "no")


@pytest.mark.parametrize(
    "change",
    [{"payload": "{"}, {"payload": "NaN"}, {"metadata": "[]"}, {"uid": "no uuid"}, {"name": ""}],
)
def test_contents_that_are_no_event_are_named(tmp_path: Path, change: dict[str, str]) -> None:
    stored = table(item(replace(event("a", 1), **change)))  # type: ignore[arg-type]

    (finding,) = verify(stored, tmp_path)

    assert (finding["kind"], finding["eventId"]) == ("malformed", 1)


@pytest.mark.parametrize(
    "change", [{"payload": "1E400"}, {"payload": "9" * 5_000}, {"metadata": '{"a":1,"a":2}'}]
)
def test_contents_that_an_earlier_version_took_are_no_finding(tmp_path: Path, change: dict[str, str]) -> None:
    assert verify(table(item(replace(event("a", 1), **change))), tmp_path) == []  # type: ignore[arg-type]


def test_item_with_no_version_as_its_sort_key_is_named(tmp_path: Path) -> None:
    malformed = MalformedItem(stream_id="a", event_id=-3, reason="its EventId is -3")
    stored = table(StoredItem("a", -3, malformed, UID, str(START_US), "0", 1), *stream("b", 1))

    (finding,) = verify(stored, tmp_path)

    assert (finding["kind"], finding["eventId"], finding["detail"]) == ("malformed", -3, "its EventId is -3")


def test_first_event_of_a_stream_that_is_from_the_future_is_named(tmp_path: Path) -> None:
    ahead_us = time.time_ns() // 1_000 + 120_000_000
    stored = table(
        *stream("a", 2),
        *(item(event("a", n, at_us=ahead_us + n)) for n in (3, 4, 5)),
        item(event("b", 1, at_us=ahead_us - 120_000_000)),
    )

    (finding,) = verify(stored, tmp_path)
    (again,) = verify(stored, tmp_path, repair=True)

    assert (finding["kind"], finding["streamId"], finding["eventId"]) == ("future-timestamp", "a", 3)
    assert "s ahead of DynamoDB's clock" in finding["detail"]
    assert again["repair"] == "no"


def test_uuid7_of_later_than_its_event_is_named_unless_an_append_takes_it(tmp_path: Path) -> None:
    later_us = round(UID_SKEW_S * 1_000_000)
    uids = [uuid7(now_us=START_US + us, random_bytes=os.urandom) for us in (later_us, 2 * later_us)]
    events = [replace(event("a", n, at_us=START_US + n), uid=uid) for n, uid in enumerate(uids, start=1)]

    (finding,) = verify(table(*map(item, events)), tmp_path)

    assert (finding["kind"], finding["streamId"], finding["eventId"]) == ("uid-ahead", "a", 2)
    assert finding["repair"] == "no"


def test_items_of_the_stores_own_are_passed_over(tmp_path: Path) -> None:
    assert verify(table(item(event("$own", 5), shard=None)), tmp_path) == []


def test_event_that_the_index_lost_is_named(tmp_path: Path) -> None:
    stored = table(*stream("a", 5), *stream("b", 5))
    stored.not_indexed = {("a", 4)}

    assert kinds(verify(stored, tmp_path)) == [("missing-in-index", "a", 4)]


def test_event_that_only_the_index_has_is_named(tmp_path: Path) -> None:
    stored = table(*stream("a", 2))
    stored.orphans = [item(event("lost", 1))]

    assert kinds(verify(stored, tmp_path)) == [("only-in-index", "lost", 1)]


def test_event_that_the_index_has_otherwise_is_named(tmp_path: Path) -> None:
    stored = table(*stream("a", 2))
    stored.not_indexed = {("a", 2)}
    stored.orphans = [item(replace(event("a", 2), payload="{}"))]

    assert kinds(verify(stored, tmp_path)) == [("index-differs", "a", 2)]


def test_index_that_only_lags_is_no_finding(tmp_path: Path) -> None:
    stored = table(*stream("a", 2))
    stored.not_indexed = {("a", 2)}
    read_index, asked = stored.read_index, []

    def catching_up(shard: int, *, from_us: int, end_us: int) -> Iterable[StoredItem]:
        asked.append(shard)
        if len(asked) > 2:
            stored.not_indexed = set()
        return read_index(shard, from_us=from_us, end_us=end_us)

    stored.read_index = catching_up  # type: ignore[method-assign, assignment]

    assert verify(stored, tmp_path) == []


def test_repair_gives_index_attributes_back_and_invents_nothing_else(tmp_path: Path) -> None:
    stored = table(
        *stream("a", 3),
        item(event("a", 4), shard=None),
        item(event("a", 5), shard="7"),
        item(event("a", 6), timestamp=None),
        item(event("a", 7), timestamp=None),
        item(event("a", 9)),
        item(event("alone", 1), timestamp=None),
    )

    found = [("gap", "a", 8), ("not-indexed", "a", 4), ("not-indexed", "a", 6), ("not-indexed", "a", 7)]
    found += [("not-indexed", "alone", 1), ("unread-shard", "a", 5)]
    assert kinds(verify(stored, tmp_path)) == found
    repaired = {each["eventId"]: each["repair"] for each in verify(stored, tmp_path, repair=True)}
    assert repaired == {8: "no", 4: "done", 5: "done", 6: "done", 7: "done", 1: "no"}
    left = verify(stored, tmp_path)

    assert kinds(left) == [("gap", "a", 8), ("not-indexed", "alone", 1)]
    times = [int(stored.items["a", number].timestamp or 0) for number in (5, 6, 7, 9)]
    assert times == sorted(set(times))
    assert stored.items["a", 5].shard == "1"


def test_missing_timestamp_becomes_the_time_in_the_uid_when_that_fits(tmp_path: Path) -> None:
    made_ms = START_US // 1_000 + 1_500
    uid = f"{made_ms:012x}"[:8] + "-" + f"{made_ms:012x}"[8:] + "-7abc-8abc-123456789abc"
    stored = table(item(event("a", 1)), item(event("a", 2, uid=uid), timestamp=None))

    verify(stored, tmp_path, repair=True)

    assert stored.items["a", 2].timestamp == str(made_ms * 1_000)


def test_timestamp_without_room_between_its_neighbours_stays_missing(tmp_path: Path) -> None:
    stored = table(
        item(event("a", 1, at_us=START_US)),
        item(event("a", 2), timestamp=None),
        item(event("a", 3, at_us=START_US + 1)),
    )

    (finding,) = verify(stored, tmp_path, repair=True)

    assert (finding["eventId"], finding["repair"]) == (2, "no")
    assert stored.items["a", 2].timestamp is None


def test_blocks_that_are_gone_are_named_closed_and_their_events_logged_again(tmp_path: Path) -> None:
    stored = table(*stream("a", 4), *stream("b", 4), *stream("c", 4))
    log = logged((event(name, number) for number in range(1, 5) for name in "abc"), tranches=1)
    for block in (1, 6, 7):
        log.lose_block(0, block)
    gone = {("a", 1), ("c", 2), ("a", 3)}

    def blocks(findings: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
        named = [each for each in findings if each["kind"] == "log-block-missing"]
        return [(each["tranche"], each["block"], each["lastBlock"], each["repair"]) for each in named]

    findings = verify(stored, tmp_path, log=log)
    assert blocks(findings) == [(0, 1, 1, "possible"), (0, 6, 7, "possible")]
    missing = {(each["streamId"], each["eventId"]) for each in findings if each["kind"] == "missing-in-log"}
    assert missing == gone
    with pytest.raises(BlockMissing):
        list(log.read_tranche(0))

    repaired = verify(stored, tmp_path, log=log, repair=True)
    assert blocks(repaired) == [(0, 1, 1, "done"), (0, 6, 7, "done")]
    assert {each["repair"] for each in repaired} == {"done"}
    assert verify(stored, tmp_path, log=log) == []
    entries = list(log.read_tranche(0))
    assert len(entries) == 12
    assert {(entry.stream_id, entry.event_id) for entry in entries[-3:]} == gone


def test_block_that_is_put_back_while_a_repair_runs_is_kept(tmp_path: Path) -> None:
    stored = table(*stream("a", 4))
    log = logged((event("a", number) for number in range(1, 5)), tranches=1)
    kept = log._blocks[0][1]
    log.lose_block(0, 2)
    close = log.close_block

    def put_back_first(tranche: int, block: int) -> bool:
        log._blocks[0][1] = kept
        return close(tranche, block)

    log.close_block = put_back_first  # type: ignore[method-assign]

    assert verify(stored, tmp_path, log=log, repair=True) == []
    assert [entry.event_id for entry in log.read_tranche(0)] == [1, 2, 3, 4]


def test_log_is_compared_both_ways(tmp_path: Path) -> None:
    stored = table(*stream("a", 4), *stream("b", 2), *stream("c", 2))
    entries = [event("a", 1), event("a", 2), event("a", 2), event("a", 4), event("b", 1), event("b", 2)]
    entries += [replace(event("c", 1), name="Other"), event("c", 2), event("lost", 1)]

    findings = verify(stored, tmp_path, log=logged(entries))

    assert kinds(findings) == [
        ("log-differs", "c", 1), ("missing-in-log", "a", 3), ("only-in-log", "lost", 1),
    ]  # fmt: skip


def test_log_of_many_streams_is_read_several_times_with_the_same_findings(tmp_path: Path) -> None:
    stored = table(*(each for n in range(30) for each in stream(f"s{n}", 2)))
    entries = [event(f"s{n}", number) for n in range(30) for number in (1, 2) if (n, number) != (17, 2)]

    assert kinds(verify(stored, tmp_path, log=logged(entries), streams_at_once=4)) == [
        ("missing-in-log", "s17", 2)
    ]


def test_repair_appends_missing_log_entries_and_then_nothing_is_wrong(tmp_path: Path) -> None:
    stored = table(*stream("a", 4), *stream("b", 2))
    log = logged([event("a", 1), event("a", 4)])

    findings = verify(stored, tmp_path, log=log, repair=True)

    assert {(each["kind"], each["repair"]) for each in findings} == {("missing-in-log", "done")}
    assert verify(stored, tmp_path, log=log) == []


def test_interrupted_verification_goes_on_and_finds_the_same(tmp_path: Path) -> None:
    stored = table(*(each for n in range(12) for each in stream(f"s{n}", 5)))
    for n in range(12):
        del stored.items[f"s{n}", 3]
    whole = verify(stored, tmp_path / "whole", segments=2)
    needed, stored.scans = stored.scans, 0
    stored.fails_at_scan = 9
    with pytest.raises(StoreUnavailable):
        verify(stored, tmp_path / "cut", segments=2)
    scanned = stored.scans

    assert verify(stored, tmp_path / "cut", segments=2) == whole
    assert stored.scans - scanned < needed, "it went on where it was"
    assert len(whole) == 12


def test_findings_of_a_page_that_was_not_finished_do_not_stand_twice(tmp_path: Path) -> None:
    stored = table(*stream("a", 2), item(event("a", 4)))
    stored.page_items, stored.fails_at_scan = 1, 3
    with pytest.raises(StoreUnavailable):
        verify(stored, tmp_path, segments=1)
    with (tmp_path / "segment-0000.ndjson").open("a") as file:
        file.write('{"kind":"gap","streamId":"a"')

    assert kinds(verify(stored, tmp_path, segments=1)) == [("gap", "a", 3)]


def test_folder_of_a_run_with_other_settings_is_refused(tmp_path: Path) -> None:
    Checkpoints(tmp_path, settings={"segments": 4}, settled_until_us=1).close()

    with pytest.raises(OtherVerification, match="segments 4, not 8") as refused:
        Checkpoints(tmp_path, settings={"segments": 8}, settled_until_us=1)
    assert (refused.value.name, refused.value.there, refused.value.given) == ("segments", 4, 8)


def interrupted(folder: Path) -> MemoryStoredEvents:
    """Leave the checkpoints of an interrupted run in a folder."""
    stored = table(*stream("a", 2), *stream("b", 4), item(event("a", 4)))
    stored.page_items, stored.fails_at_scan = 1, 5
    with pytest.raises(StoreUnavailable):
        verify(stored, folder, segments=1)
    return stored


def cut_off(content: bytes) -> bytes:
    return content[:-7]


@pytest.mark.parametrize("name", ["run.json", "segment-0000.json"])
@pytest.mark.parametrize(
    "change",
    [
        cut_off,
        lambda _: b"",
        lambda _: b"{}",
        lambda _: b"\xff\n{}",
        lambda old: old.replace(b'": 1', b'": 2'),
    ],
)
def test_checkpoints_that_are_damaged_are_refused_by_name(
    tmp_path: Path, name: str, change: Callable[[bytes], bytes]
) -> None:
    stored = interrupted(tmp_path)
    path = tmp_path / name
    changed = change(path.read_bytes())
    path.write_bytes(changed)

    with pytest.raises(BadCheckpoints, match=f"{name}: it is damaged"):
        verify(stored, tmp_path, segments=1)
    assert path.read_bytes() == changed


def test_findings_of_checkpoints_that_are_cut_off_are_no_findings(tmp_path: Path) -> None:
    stored = interrupted(tmp_path)
    path = tmp_path / "segment-0000.ndjson"
    path.write_bytes(cut_off(path.read_bytes()))

    with pytest.raises(BadCheckpoints, match="its end is missing"):
        verify(stored, tmp_path, segments=1)


def test_folder_of_a_verification_that_is_running_is_refused(tmp_path: Path) -> None:
    running = Checkpoints(tmp_path, settings={"segments": 3, "repair": False}, settled_until_us=1)

    with pytest.raises(BadCheckpoints, match="another verification is using"):
        verify(table(), tmp_path)
    running.close()


def test_files_of_others_stay_in_the_folder(tmp_path: Path) -> None:
    mine = {"segment-notes.txt": "mine", "segment-9999.json": "mine", "readme": "mine"}
    for name, text in mine.items():
        (tmp_path / name).write_text(text)

    assert verify(table(*stream("a", 3)), tmp_path) == []

    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == mine


members = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2**40), st.integers(0, 2**64 - 1)))


def digests(of: Iterable[tuple[int, int, int]], *, max_parts: int = 8) -> PartDigests:
    made = PartDigests(max_parts=max_parts, shift=2)
    for member in of:
        made.add(*member)
    return made


@given(members, st.randoms())
def test_same_members_have_the_same_digests_in_any_order_and_grouping(of: list[Any], random: Any) -> None:
    shuffled = random.sample(of, len(of))
    joined = digests(shuffled[::2])
    joined.join(digests(shuffled[1::2]))

    assert not digests(of).differing(joined)
    assert not digests(of, max_parts=1_000).differing(joined)


@given(members, st.tuples(st.integers(0, 3), st.integers(0, 2**40), st.integers(1, 2**64 - 1)))
def test_a_member_more_is_seen_in_its_part_alone(of: list[Any], more: tuple[int, int, int]) -> None:
    parts = digests(of).differing(digests([*of, more]))

    assert len(list(parts)) == 1
    assert parts.have(more[0], more[1])
    assert (parts.members, parts.least) == (sum(parts.have(*each[:2]) for each in of) * 2 + 1, 1)


sets = st.sets(st.binary(max_size=40), max_size=60)


@given(sets, sets, st.integers(0, 3))
def test_members_in_which_two_sets_differ_are_named(first: set[bytes], second: set[bytes], salt: int) -> None:
    cells = Difference(at_most=1_000, salt=salt)
    for member in first:
        cells.add_first(member)
    for member in second:
        cells.add_second(member)

    named = cells.named()

    assert (set(named.first), set(named.second)) == (first - second, second - first)
    assert len(named.first) + len(named.second) == len(first ^ second)
    assert named.is_whole


@pytest.mark.parametrize("count", [900, 1_000])
def test_as_many_members_as_allowed_are_named_among_a_million(count: int) -> None:
    cells = Difference(at_most=1_000)
    for n in range(20_000):
        cells.add_first(b"%d" % n)
        cells.add_second(b"%d" % (n + count // 2))

    assert len(cells.named().first) == count // 2


def test_more_members_than_allowed_are_known_to_be_too_many() -> None:
    cells = Difference(at_most=1_000)
    for n in range(40_000):
        cells.add_first(b"%d" % n)

    assert not cells.named().is_nearly_whole


def test_member_that_was_counted_twice_leaves_the_others_named() -> None:
    cells = Difference(at_most=1_000)
    for member in (b"twice", b"twice", b"once"):
        cells.add_first(member)

    named = cells.named()

    assert (named.first, named.is_whole, named.is_nearly_whole) == ([b"once"], False, True)


def scattered(*, streams: int, each: int) -> MemoryStoredEvents:
    """Make a table of which the index lacks one event a stream; each stream is in other seconds."""
    stored = table()
    for n in range(streams):
        times = (START_US + n * 3_000_000 + number * 1_000 for number in range(1, each + 1))
        stored.add(*(item(event(f"s{n}", at + 1, at_us=us)) for at, us in enumerate(times)))
        stored.not_indexed.add((f"s{n}", 1 + n % each))
    stored.page_items = 10_000
    return stored


@pytest.mark.parametrize("repair", [False, True])
def test_findings_in_200_parts_of_the_index_cost_one_scan_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, repair: bool
) -> None:
    monkeypatch.setattr(naming, "EVENTS_AT_ONCE", 200)
    stored = scattered(streams=200, each=20)

    findings = verify(stored, tmp_path, segments=1, repair=repair, settled_us=START_US * 2)

    assert kinds(findings) == sorted(("missing-in-index", f"s{n}", 1 + n % 20) for n in range(200))
    assert stored.scans == 2


def test_findings_of_index_and_log_cost_one_scan_together(tmp_path: Path) -> None:
    stored = scattered(streams=40, each=5)
    events = [each.event for each in stored.items.values() if isinstance(each.event, Event)]
    log = logged(each for each in events if each.event_id != 2)

    findings = verify(stored, tmp_path, log=log, segments=1, settled_us=START_US * 2)

    assert len(kinds(findings)) == 80
    assert stored.scans == 2


@pytest.mark.parametrize(("at_once", "most"), [(50, 9), (25, 17), (200, 2)])
def test_scans_grow_with_the_findings_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at_once: int, most: int
) -> None:
    monkeypatch.setattr(naming, "EVENTS_AT_ONCE", at_once)
    monkeypatch.setattr(difference, "CELLS_LEAST", 48)
    stored = scattered(streams=200, each=5)

    findings = verify(stored, tmp_path, segments=1, settled_us=START_US * 2)

    assert len(kinds(findings)) == 200
    assert stored.scans <= most


def test_differences_that_no_count_shows_are_split_until_they_can_be_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(naming, "EVENTS_AT_ONCE", 100)
    monkeypatch.setattr(difference, "CELLS_LEAST", 96)
    stored = scattered(streams=400, each=5)
    stored.orphans = [
        item(replace(stored.items[address].event, payload="{}"))  # type: ignore[type-var, arg-type]
        for address in stored.not_indexed
    ]

    findings = verify(stored, tmp_path, segments=1, settled_us=START_US * 2)

    assert len(kinds(findings)) == 400
    assert {each["kind"] for each in findings} == {"index-differs"}
    assert stored.scans <= 32


def test_item_that_a_scan_gives_twice_is_told_and_hides_no_other(tmp_path: Path) -> None:
    stored = scattered(streams=40, each=5)
    scan = stored.scan

    def twice(*, segment: int, segments: int, after: str | None) -> Any:
        page = scan(segment=segment, segments=segments, after=after)
        if stored.scans > 1:
            page.items.append(page.items[0])
        return page

    stored.scan = twice  # type: ignore[method-assign]

    findings = verify(stored, tmp_path, segments=1, settled_us=START_US * 2)

    named = [each for each in findings if "streamId" in each]
    (other,) = (each for each in findings if "streamId" not in each)
    assert len(named) == 39
    assert "verify again" in other["detail"]
    assert stored.scans < 20
