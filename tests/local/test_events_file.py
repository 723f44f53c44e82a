from __future__ import annotations

import os
from pathlib import Path

import pytest

from eventstore.limits import BAD_LINES_TOLD, LINE_MAX_BYTES
from localcloud.events_file import BadFile, Line, check_file, read_lines

GOOD = '{"streamId":"s","eventName":"E","payload":1}'


def write(folder: Path, *lines: str | bytes) -> Path:
    path = folder / "events.ndjson"
    path.write_bytes(b"\n".join(line if isinstance(line, bytes) else line.encode() for line in lines) + b"\n")
    return path


def only_line(path: Path) -> Line:
    [line] = read_lines(path)
    assert isinstance(line, Line)
    return line


@pytest.mark.parametrize(
    "payload",
    [
        "12.50",
        "-0.0",
        "1e300",
        "9007199254740993",
        "0.12345678901234567890123456789012345678",
        '{"b": 1,  "a":[1 , 2.0],"\\u00e9":"\\/"}',
        '"}, \\"payload\\": 2"',
        "null",
        "[" * 100 + "]" * 100,
    ],
)
def test_payload_stays_as_it_stands_in_the_file(tmp_path: Path, payload: str) -> None:
    path = write(tmp_path, f'{{ "payload" : {payload} , "eventName":"E", "streamId" : "s" }}')

    assert only_line(path).event.payload == payload


def test_occurred_at_is_kept_in_the_metadata(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD[:-1] + ',"occurredAt":"2010-10-02T07:20:39.266Z"}')

    assert only_line(path).event.metadata == '{"occurredAt":"2010-10-02T07:20:39.266Z"}'


def test_empty_lines_a_byte_order_mark_and_windows_line_ends_do_not_matter(tmp_path: Path) -> None:
    path = write(tmp_path, b"\xef\xbb\xbf" + GOOD.encode() + b"\r", "", "  ", GOOD)

    assert [line.number for line in read_lines(path)] == [1, 4]
    assert check_file(path).events == 2


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("nonsense", "is not a JSON object: expecting '{' at character 0"),
        ("[1]", "is not a JSON object"),
        (GOOD + "x", "there is more behind the object"),
        (GOOD[:-1], "is not a JSON object"),
        ('{"streamId":"s" "eventName":"E"}', "expecting ','"),
        ('{"streamId":"s",}', "is not a JSON object"),
        ('{1:"s"}', "expecting a name in double quotes"),
        ('{"streamId":"s","streamId":"t"}', "'streamId' stands twice"),
        ('{"streamId":"s"}', "eventName is missing, payload is missing; a line has"),
        (GOOD[:-1] + ',"occuredAt":"x"}', "occuredAt is not known; a line has"),
        (GOOD.replace('"s"', "7"), "streamId: has to be a text"),
        (GOOD.replace('"s"', '"$s"'), "is reserved"),
        (GOOD.replace('"s"', '"s?"'), "has a question mark"),
        (GOOD.replace('"s"', '""'), "streamId: has to be a text of at least one character"),
        (GOOD.replace('"E"', '""'), "eventName: has to have 1 to 256 characters"),
        (GOOD.replace(":1}", ":NaN}"), "has NaN, which JSON does not know"),
        (GOOD.replace(":1}", ':"\\ud800"}'), "lone surrogate"),
        (GOOD.replace(":1}", ":" + "[" * 101 + "]" * 101 + "}"), "nested deeper than 100 levels"),
        (GOOD.replace(":1}", ":" + "[" * 100_000 + "]" * 100_000 + "}"), "nested"),
        (GOOD.replace(":1}", f':"{"x" * 410_000}"}}'), "payload: makes an item of"),
        (GOOD[:-1] + ',"occurredAt":"yesterday"}', "occurredAt: is not a time as RFC 3339 has it"),
        (GOOD[:-1] + ',"occurredAt":"2010-10-02T07:20:39"}', "occurredAt: is not a time"),
        (GOOD[:-1] + ',"eventUid":"1"}', "eventUid: is not a UUID"),
        (b'{"streamId":"\xff"}', "is not UTF-8 at byte 13"),
    ],
)
def test_bad_line_is_reported_with_its_number(tmp_path: Path, line: str | bytes, reason: str) -> None:
    path = write(tmp_path, GOOD, line, GOOD)

    with pytest.raises(BadFile) as caught:
        check_file(path)

    first, last = str(caught.value).split("\n")
    assert first.startswith(f"{path}:2: ")
    assert reason in first
    assert last == "1 bad lines. Nothing was sent."


def test_line_that_is_too_long_is_passed_over_without_being_held(tmp_path: Path) -> None:
    path = write(tmp_path, "x" * (2 * LINE_MAX_BYTES + 7), GOOD)

    with pytest.raises(BadFile, match=":1: is longer than 4,194,304 bytes"):
        check_file(path)
    assert [line.number for line in read_lines(path)] == [1, 2]


def test_line_without_an_end_is_refused_after_a_bounded_part(tmp_path: Path) -> None:
    path = tmp_path / "events.ndjson"
    path.write_bytes(f"{GOOD}\n".encode())
    os.truncate(path, 2**40)  # a terabyte of zeros that takes no room

    with pytest.raises(BadFile, match=":2: goes on for more than 64 MB; what follows isn't read"):
        check_file(path)


def test_event_uid_that_stands_twice_is_a_bad_line(tmp_path: Path) -> None:
    uid = GOOD[:-1] + ',"eventUid":"01890a5d-ac96-774b-bcce-b302099a8057"}'
    path = write(
        tmp_path,
        uid,
        GOOD,
        uid.upper()
        .replace("STREAMID", "streamId")
        .replace("EVENTNAME", "eventName")
        .replace("PAYLOAD", "payload")
        .replace("EVENTUID", "eventUid"),
    )

    with pytest.raises(BadFile, match=":3: eventUid: stands on line 1 too"):
        check_file(path)


def test_many_bad_lines_are_counted_and_only_the_first_are_told(tmp_path: Path) -> None:
    path = write(tmp_path, *["{}"] * 1_000)

    with pytest.raises(BadFile) as caught:
        check_file(path)

    told = str(caught.value).split("\n")
    assert len(told) == BAD_LINES_TOLD + 1
    assert told[-1] == "1,000 bad lines; the first 20 are above. Nothing was sent."


def test_what_is_no_file_or_has_no_events_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadFile, match="is not a file"):
        check_file(tmp_path)
    with pytest.raises(BadFile, match="has no events"):
        check_file(write(tmp_path, ""))
