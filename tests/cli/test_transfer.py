"""`export` and `import` on DynamoDB Local: byte by byte, whole or not at all, never over what is there."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from eventstore import Event, NewEvent
from eventstore._uids import uuid7
from eventstore.dynamodb.items import item_from_event, key_of
from eventstore.dynamodb.raw_items import DynamoDBEventsTable
from eventstore.dynamodb.store import DynamoDBEventStore
from eventstore.maintenance.transfer.export import export
from eventstore.maintenance.transfer.importing import check_export
from eventstore.positions import from_us
from tests.cli.conftest import Run
from tests.tables import Meter, begun, events_table, over, put_items

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

ROOT = Path(__file__).parents[2]
Change = Callable[[list[str]], list[str]]

START_US = 1_700_000_000_000_000
PAYLOADS = [
    '{"total":12.50,"id":12345678901234567890123456789012345678}',
    "null",
    ' {"spaces" : "around"} ',
    '{\n  "pretty": true\r\n}',
    '"Übergröße \\u00e9 \U0001f680 \u2028"',
    "[1,2.000,[],{}]",
    "1E400",  # an earlier version took it
]
METADATA = ["{}", '{"correlationId":"c-1"}', '{\n"a": 1.0}']


def events(*, streams: int = 40) -> list[Event]:
    """Make 300 events, 1 second apart, whose texts are hard to keep."""
    return [
        Event(
            stream_id=f"order/{n % streams} ü",
            event_id=n // streams + 1,
            name="Happened",
            payload=PAYLOADS[n % 7],
            metadata=METADATA[n % 3],
            uid=str(UUID(int=n + 1)),
            timestamp_us=START_US + n * 1_000_000,
        )
        for n in range(300)
    ]


def fill(client: DynamoDBClient, table: str) -> DynamoDBEventStore:
    items = [item_from_event(event, shard=number % 2) for number, event in enumerate(events())]
    store = begun(over(DynamoDBEventStore(client=client, table_name=table), 2))
    put_items(client, table, items)
    return store


@pytest.fixture
def other(client: DynamoDBClient) -> Iterator[str]:
    with events_table(client) as name:
        yield name


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    """An export of those events; that the command makes the same is a test of its own."""
    path = tmp_path / "events.ndjson.gz"
    export(events(), path, settled_until="2026-01-01T00:00:00+00:00")
    return path


def all_events(client: DynamoDBClient, table: str) -> list[Event]:
    return list(over(DynamoDBEventStore(client=client, table_name=table), 4).read_all())


def lines_of(path: Path) -> list[str]:
    # Not splitlines(), which breaks at U+2028 too.
    return [f"{line}\n" for line in gzip.decompress(path.read_bytes()).decode().split("\n")[:-1]]


def rewrite(path: Path, change: Change, *, seal: bool = False) -> Path:
    """Change the lines of an export; `seal` gives it a last line that fits again."""
    lines = change(lines_of(path))
    if seal:
        about = json.loads(lines[-1])
        about["export"] |= {
            "events": len(lines) - 1,
            "sha256": hashlib.sha256("".join(lines[:-1]).encode()).hexdigest(),
        }
        lines[-1] = json.dumps(about, separators=(",", ":")) + "\n"
    changed = path.with_name("changed.gz")
    changed.write_bytes(gzip.compress("".join(lines).encode()))
    return changed


def test_round_trip_keeps_every_byte_every_uid_and_every_timestamp(
    client: DynamoDBClient, table: str, other: str, run: Run, tmp_path: Path
) -> None:
    fill(client, table)
    first, second = tmp_path / "first.gz", tmp_path / "second.gz"
    assert run("export", first, "--table", table)[0] == 0

    code, _, err = run("import", first, "--table", other)

    assert code == 0
    assert "The store is new and doesn't say over how many shards its events are spread" in err
    assert "300 events written, 0 already there, 0 failed" in err
    assert all_events(client, other) == all_events(client, table) == events()
    assert run("export", second, "--table", other)[0] == 0
    assert sorted(lines_of(first)[:-1]) == sorted(lines_of(second)[:-1])


def test_payloads_stand_in_the_line_as_they_are(exported: Path) -> None:
    lines = lines_of(exported)

    assert sum(f'"payload":{PAYLOADS[0]}}}' in line for line in lines) == 43
    assert sum(f'"payloadText":{json.dumps(PAYLOADS[3])}' in line for line in lines) == 43
    about = json.loads(lines[300])["export"]
    assert (about["format"], about["events"], len(lines)) == (1, 300, 301)


def test_export_of_a_time_range_has_that_range_in_time_order(
    client: DynamoDBClient, table: str, run: Run, tmp_path: Path
) -> None:
    fill(client, table)
    path = tmp_path / "range.gz"
    from_, to = (from_us(START_US + seconds * 1_000_000).isoformat() for seconds in (100, 150))

    code, _, err = run("export", path, "--table", table, "--from", from_, "--to", to)

    assert code == 0
    assert "50 events" in err
    times = [json.loads(line).get("timestampUs") for line in lines_of(path)]
    assert times == [*(START_US + n * 1_000_000 for n in range(100, 150)), None]


def test_export_waits_until_all_that_was_there_has_settled(
    client: DynamoDBClient, table: str, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = fill(client, table)
    store.append("order/0 ü", [NewEvent.of("Before")], expected=8)
    waits: list[float] = []

    def sleep(pause_s: float) -> None:
        waits.append(pause_s)
        store.append("order/0 ü", [NewEvent.of("Meanwhile")], expected=9)

    monkeypatch.setattr("eventstore.cli.transfer.sleep", sleep)
    path = tmp_path / "events.gz"

    code, _, err = run("export", path, "--table", table)

    assert code == 0
    assert (len(waits), 8 < waits[0] <= 13) == (1, True)
    assert "1 events that were appended while it ran are not in it" in err
    lines = lines_of(path)
    assert json.loads(lines[-1])["export"]["events"] == 301
    assert sum('"eventName":"Before"' in line for line in lines) == 1


def test_export_of_a_range_that_has_settled_waits_for_nothing(
    client: DynamoDBClient, table: str, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(client, table)
    monkeypatch.setattr("eventstore.cli.transfer.sleep", lambda pause_s: pytest.fail("waited"))

    path = tmp_path / "events.gz"

    assert run("export", path, "--table", table, "--to", "2024-01-01T00:00:00Z")[0] == 0
    assert len(lines_of(path)) == 301


@pytest.mark.parametrize("range_", [(), ("--from", "2020-01-01T00:00:00Z")])
def test_export_counts_what_a_wrong_clock_has_stamped_and_exits_1(
    client: DynamoDBClient, table: str, run: Run, tmp_path: Path, range_: tuple[object, ...]
) -> None:
    now_us = time.time_ns() // 1_000
    put_events(client, table, "s", now_us, [*range(4), *(31_536_000_000_000 + n for n in range(6))])
    path = tmp_path / "events.gz"

    code, _, err = run("export", path, "--table", table, *range_)

    assert code == 1
    assert "4 events, " in err
    assert "stream 's' from event 5 on, 6 events: its Timestamp" in err
    assert "ahead of DynamoDB's clock" in err
    assert "6 events of 1 streams are not in the file" in err
    left_out = json.loads(lines_of(path)[-1])["export"]["leftOut"]
    assert (left_out["events"], left_out["first"][0]["eventId"]) == (6, 5)
    assert "the export left out: stream 's' from event 5" in run("import", path, "--check-only")[2]


def test_export_never_touches_a_file_that_is_there(table: str, run: Run, tmp_path: Path) -> None:
    path = tmp_path / "events.gz"
    path.write_text("mine")

    code, _, err = run("export", path, "--table", table)

    assert (code, path.read_text()) == (2, "mine")
    assert "exists; move it away" in err


def damage(client: DynamoDBClient, table: str) -> None:
    """Damage five streams of `fill`, each in another way."""
    key = [key_of(f"order/{n} ü", 4) for n in range(5)]
    client.delete_item(TableName=table, Key=key[0])
    changes: list[tuple[str, Any]] = [
        ("Payload", {"S": "{"}),
        ("EventName", {"S": ""}),
        ("Timestamp", {"N": "1"}),
        ("Payload", {"N": "7"}),
    ]
    for at, (name, value) in enumerate(changes):
        client.update_item(
            TableName=table, Key=key[at + 1], UpdateExpression="SET #n = :v",
            ExpressionAttributeNames={"#n": name}, ExpressionAttributeValues={":v": value},
        )  # fmt: skip


@pytest.mark.parametrize("range_", [(), ("--from", "1970-01-01T00:01:00Z")])
def test_export_of_a_damaged_table_is_a_file_that_import_takes(
    *, client: DynamoDBClient, table: str, other: str, run: Run, tmp_path: Path, range_: tuple[object, ...]
) -> None:
    fill(client, table)
    damage(client, table)
    client.put_item(TableName=table, Item={"StreamId": {"S": "bad"}, "EventId": {"N": "0"}})
    path = tmp_path / "events.gz"

    code, _, err = run("export", path, "--table", table, *range_)

    assert code == 1
    for n in range(5):
        if n != 3 or not range_:  # by time, its event 4 is before the range, and comes behind its event 3
            assert f"left out: stream 'order/{n} ü' from event {5 if n == 0 else 4} on" in err
    code, _, err = run("import", path, "--table", other)
    assert (code, " 0 failed in 0 streams" in err) == (0, True)
    kept = [event for event in events() if int(event.stream_id[6:-2]) > 4 or event.event_id < 4]
    assert all_events(client, other) == kept


def test_export_names_an_item_beside_the_events_and_keeps_the_stream(
    client: DynamoDBClient, table: str, run: Run, tmp_path: Path
) -> None:
    fill(client, table)
    client.put_item(TableName=table, Item={"StreamId": {"S": "order/1 ü"}, "EventId": {"N": "1.5"}})

    code, _, err = run("export", tmp_path / "events.gz", "--table", table)

    assert code == 1
    assert "300 events, " in err
    assert "stream 'order/1 ü' from event 0 on, 1 events: its EventId is 1.5" in err


@pytest.mark.parametrize("name", ["x" * 300, "\u00e9" * 150], ids=["characters", "bytes"])
def test_name_that_no_file_can_have_is_refused_before_anything_is_read(
    tmp_path: Path, table: str, run: Run, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr("eventstore.cli.transfer.sleep", lambda _: pytest.fail("it waits for the scan"))

    code, _, err = run("export", tmp_path / name, "--table", table)

    assert code == 2
    assert name in err
    assert list(tmp_path.iterdir()) == []


def test_two_exports_into_one_file_keep_each_other_and_files_of_others_whole(
    tmp_path: Path, table: str, client: DynamoDBClient, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second one runs whole while the first is in the middle of its own."""
    fill(client, table)
    path, mine = tmp_path / "x.gz", tmp_path / "x.gz.part"
    mine.write_text("mine")
    inside: list[tuple[int, str, str]] = []

    def sleep(pause_s: float) -> None:
        if not inside:
            inside.append((0, "", ""))
            inside[0] = run("export", path, "--table", table)

    monkeypatch.setattr("eventstore.cli.transfer.sleep", sleep)

    code, _, err = run("export", path, "--table", table)

    assert inside[0][0] == 0
    assert (code, "exists; move it away" in err) == (2, True)
    assert run("import", path, "--check-only")[0] == 0
    assert sorted(each.name for each in tmp_path.iterdir()) == ["x.gz", "x.gz.part"]
    assert mine.read_text() == "mine"


def test_export_to_standard_output_is_the_file_and_makes_none(
    client: DynamoDBClient, table: str, tmp_path: Path
) -> None:
    fill(client, table)
    path = tmp_path / "events.gz"
    with path.open("wb") as file:
        done = subprocess.run(
            [sys.executable, "-m", "eventstore", "export", "-", "--table", table, "--segments", "2"],
            cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=file, stderr=subprocess.PIPE,
            check=False, text=True,
        )  # fmt: skip

    assert done.returncode == 0, done.stderr
    assert check_export(path, whole_streams=True).events == 300
    assert list(tmp_path.iterdir()) == [path]


def test_import_of_standard_input_is_refused(run: Run) -> None:
    code, _, err = run("import", "-")

    assert (code, "reads its file several times" in err) == (2, True)


def test_import_of_a_pipe_is_refused_before_anything_is_asked(
    exported: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", "http://127.0.0.1:9")
    options = ["--table", "t"]
    reads, writes = os.pipe()
    try:
        os.write(writes, exported.read_bytes()[:1_000])
        os.close(writes)

        code, out, err = run("import", f"/dev/fd/{reads}", *options)

        assert (code, out) == (2, "")
        assert "write it to a file first" in " ".join(err.split())
        assert os.read(reads, 1_000) == exported.read_bytes()[:1_000]
    finally:
        os.close(reads)


def put_events(client: DynamoDBClient, table: str, stream: str, first_us: int, after_us: list[int]) -> None:
    events = [
        Event(stream, number, "Happened", "1", "{}", str(UUID(int=number)), first_us + us)
        for number, us in enumerate(after_us, start=1)
    ]
    begun(over(DynamoDBEventStore(client=client, table_name=table), 4))
    put_items(client, table, [item_from_event(event, shard=event.event_id % 4) for event in events])


@pytest.mark.parametrize("by_file", [False, True])
def test_import_leaves_named_streams_out_whatever_is_wrong_with_them(
    client: DynamoDBClient, other: str, exported: Path, run: Run, by_file: bool
) -> None:
    def change(lines: list[str]) -> list[str]:
        lines = [line for line in lines if '"streamId":"order/7 ü","eventId":3' not in line]
        return [line.replace("Happened", "") if '"streamId":"order/8 ü"' in line else line for line in lines]

    bad = rewrite(exported, change, seal=True)
    arguments = ("import", bad, "--table", other)
    code, _, err = run(*arguments)
    assert code == 2
    assert "(of stream 'order/8 ü')" in err
    assert "--except leaves a stream out" in err
    names = exported.with_name("names")
    names.write_text("order/7 ü\norder/8 ü\n")
    excepted = ["--except-from", names] if by_file else ["--except", "order/7 ü", "--except", "order/8 ü"]

    code, _, err = run(*arguments, *excepted)

    assert code == 0, err
    assert "15 events in 2 streams are not imported" in err
    assert all_events(client, other) == [
        event for event in events() if event.stream_id not in {"order/7 ü", "order/8 ü"}
    ]


def test_name_to_leave_out_that_the_file_does_not_have_is_refused(
    client: DynamoDBClient, other: str, exported: Path, run: Run
) -> None:
    code, _, err = run(
        "import",
        exported,
        "--table",
        other,
        "--except",
        "order/8",
        "--except",
        "order/8 ü",
    )

    assert code == 2
    assert "--except: the file has no stream 'order/8'. Nothing was written" in err
    assert DynamoDBEventsTable(client=client, table_name=other).is_empty()


def test_import_of_an_event_from_the_future_is_refused(exported: Path, run: Run) -> None:
    ahead_us = time.time_ns() // 1_000 + 3_600_000_000
    path = rewrite(
        exported,
        lambda lines: (
            [re.sub(r'"timestampUs":\d+', f'"timestampUs":{ahead_us}', line) for line in lines[:1]]
            + lines[-1:]
        ),
        seal=True,
    )

    code, _, err = run("import", path, "--check-only")

    assert (code, "s later than can be" in err) == (2, True)


def test_import_of_many_events_of_one_timestamp_has_to_be_asked_for(
    client: DynamoDBClient, other: str, run: Run, tmp_path: Path
) -> None:
    path = tmp_path / "events.gz"
    at_once = [Event(f"s{n}", 1, "Happened", "1", "{}", str(UUID(int=n)), START_US) for n in range(10_001)]
    export(at_once, path, settled_until="2026-01-01T00:00:00+00:00")

    code, _, err = run("import", path, "--table", other)
    assert code == 2
    assert f":10001: timestampUs: the events that have {START_US} are more than 10,000 KB, and" in err
    assert "Nothing was written." in err
    assert DynamoDBEventsTable(client=client, table_name=other).is_empty()
    code, _, err = run("import", path, "--check-only", "--equal-timestamps")
    assert (code, "is whole: 10,001 events in 10,001 streams" in err) == (0, True)


def test_import_of_uids_that_no_append_takes_has_to_be_asked_for(
    client: DynamoDBClient, other: str, run: Run, tmp_path: Path
) -> None:
    path, uid = tmp_path / "events.gz", str(UUID(int=1))
    later = uuid7(now_us=START_US + 60_000_000, random_bytes=os.urandom)
    uids = [uid, later, uid]
    events = [Event("s", n, "Happened", "1", "{}", uid, START_US + n) for n, uid in enumerate(uids, start=1)]
    export(events, path, settled_until="2026-01-01T00:00:00+00:00")

    code, _, err = run("import", path, "--table", other)
    assert (code, ":2: eventUid: is a UUIDv7 of 60 s after" in err) == (2, True)
    assert f":3: eventUid: {uid} is event 1 of stream 's', too" in err
    assert DynamoDBEventsTable(client=client, table_name=other).is_empty()
    code, _, err = run("import", path, "--check-only", "--any-uids")
    assert (code, "is whole: 3 events in 1 streams" in err) == (0, True)


@pytest.mark.parametrize(
    "last",
    ['{"export":1}', '{"export":' + "[" * 100_000,
     '{"export":{"format":1,"events":1e999}}', '{"export":{"format":2}}',
     '{"export":{"format":1,"events":1,"sha256":"","settledUntil":"","leftOut":{"events":1}}}',
     '{"export":{"format":1,"events":1,"sha256":"","settledUntil":"","leftOut":[1]}}'],
)  # fmt: skip
def test_last_line_that_is_none_is_a_bad_line(exported: Path, run: Run, last: str) -> None:
    code, _, err = run("import", rewrite(exported, lambda lines: [*lines[:-1], last]), "--check-only")

    assert (code, ":301: " in err) == (2, True)


def test_import_into_a_store_with_events_has_to_be_asked_for(
    client: DynamoDBClient, other: str, exported: Path, run: Run
) -> None:
    arguments = ("import", exported, "--table", other)
    assert run(*arguments)[0] == 0
    before = all_events(client, other)

    code, _, err = run(*arguments)
    assert (code, "--into-existing" in err) == (2, True)
    code, _, err = run(*arguments, "--into-existing")

    assert code == 0
    assert "0 events written, 300 already there, 0 failed" in err
    assert all_events(client, other) == before


def test_import_of_an_event_is_one_request_and_a_unit_for_table_and_index(
    client: DynamoDBClient, other: str
) -> None:
    meter = Meter.on(client)

    assert DynamoDBEventsTable(client=client, table_name=other).put(events()[0], shard=0) is None

    assert (meter.requests, meter.table_units, meter.index_units) == (["PutItem"], 1.0, 1.0)


def test_import_overwrites_nothing_and_leaves_no_gap(
    client: DynamoDBClient, other: str, exported: Path, run: Run
) -> None:
    store = DynamoDBEventStore(client=client, table_name=other)
    mine = store.append("order/3 ü", [NewEvent.of("Mine")], expected=0).events[0]

    code, _, err = run("import", exported, "--table", other, "--into-existing")

    assert code == 1
    assert "292 events written, 0 already there, 8 failed in 1 streams" in err
    assert f"another event 1, 'Mine' with uid {mine.uid}; nothing is overwritten" in err
    assert list(store.read_stream("order/3 ü")) == [mine]


def test_later_events_go_behind_those_that_are_there_but_never_over_a_gap(
    client: DynamoDBClient, other: str, exported: Path, run: Run
) -> None:
    later = rewrite(exported, lambda lines: [each for each in lines if '"eventId":1,' not in each], seal=True)
    arguments = ("--table", other)

    code, _, err = run("import", later, *arguments)
    assert code == 2
    assert "has event 2 as its first, not 1" in err
    code, _, err = run("import", later, *arguments, "--into-existing")
    assert code == 1
    assert "the store has no event 1, so event 2 would leave a gap" in err
    assert all_events(client, other) == []


def replaced(old: str, new: str, *, at: int) -> Change:
    def change(lines: list[str]) -> list[str]:
        assert old in lines[at]
        return [*lines[:at], lines[at].replace(old, new), *lines[at + 1 :]]

    return change


@pytest.mark.parametrize(
    ("change", "seal", "told"),
    [
        (lambda lines: lines[:-1], False, ":301: the export's last line is missing"),
        (lambda lines: [*lines[:5], *lines[6:]], False, "has 300 events, the file has 299"),
        (replaced("Happened", "Happend", at=7), False, ":301: says that the lines before it have the SHA"),
        (lambda lines: [*lines, lines[0]], False, ":302: stands behind the export's last line"),
        (lambda lines: [*lines[:3], "{\n", *lines[3:]], True, ":4: is not a JSON object"),
        (replaced('"eventName":"Happened"', '"eventName":""', at=2), True, ":3: eventName: has to have 1"),
        (replaced('"eventUid":"', '"eventUid":"x', at=2), True, ":3: eventUid: is not a UUID"),
        (replaced('"timestampUs":', '"timestampUs":-', at=2), True, ":3: timestampUs: is -1"),
        (replaced('"eventId":', '"eventNumber":', at=2), True, ":3: line: eventId is missing, eventNumber"),
        (replaced('"timestampUs":1', '"timestampUs":', at=45), True, "is not higher than"),
    ],
)  # fmt: skip
def test_file_that_is_not_whole_is_refused_before_anything_is_written(
    *, client: DynamoDBClient, other: str, exported: Path, run: Run, change: Change, seal: bool, told: str
) -> None:
    path = rewrite(exported, change, seal=seal)

    code, _, err = run("import", path, "--table", other)

    assert code == 2
    assert told in err
    assert "Nothing was written." in err
    assert DynamoDBEventsTable(client=client, table_name=other).is_empty()


def test_compressed_file_that_was_cut_off_is_refused(other: str, exported: Path, run: Run) -> None:
    cut = exported.with_name("cut.gz")
    cut.write_bytes(exported.read_bytes()[:-2_000])

    code, _, err = run("import", cut, "--table", other)

    assert code == 2
    assert "damaged or cut off" in err


def test_bad_lines_are_told_by_number_the_first_20_of_them(other: str, exported: Path, run: Run) -> None:
    bad = rewrite(exported, lambda lines: ["[]\n"] * 30 + lines)

    code, _, err = run("import", bad, "--table", other)

    assert code == 2
    assert ":20: is not a JSON object" in err
    assert ":21:" not in err
    assert "31 bad lines, 20 of them are above" in err


def test_file_can_be_checked_alone(exported: Path, run: Run) -> None:
    code, _, err = run("import", exported, "--check-only")

    assert code == 0
    assert "is whole: 300 events in 40 streams" in err


@pytest.mark.parametrize("time_", ["yesterday", "2026-01-31T09:30:00"])
def test_time_without_offset_is_refused(table: str, run: Run, tmp_path: Path, time_: str) -> None:
    arguments: tuple[Any, ...] = ("export", tmp_path / "x.gz", "--table", table, "--from", time_)

    code, _, err = run(*arguments)

    assert code == 2
    assert "--from" in err
    assert list(tmp_path.iterdir()) == []


def test_range_of_a_store_without_its_item_is_refused_the_whole_is_not(
    client: DynamoDBClient, table: str, run: Run, tmp_path: Path
) -> None:
    fill(client, table)
    client.delete_item(TableName=table, Key=key_of("$store", 0))
    path = tmp_path / "range.gz"

    code, _, err = run("export", path, "--table", table, "--from", "1970-01-01T00:00:00Z")
    assert (code, path.exists()) == (2, False)
    assert "its own item ('$store', 0)" in err

    assert run("export", path, "--table", table)[0] == 0
