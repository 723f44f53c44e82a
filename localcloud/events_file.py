"""A file of events: one JSON object a line, checked before anything is sent, its payloads never converted."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from eventstore._checks import event_size_bytes
from eventstore._json import json_members
from eventstore.errors import BadLine, EventTooLarge, InvalidInput
from eventstore.events import NewEvent, check_stream_id
from eventstore.http.errors import InvalidTime
from eventstore.http.times import parse_time
from eventstore.limits import BAD_LINES_TOLD, ITEM_MAX_BYTES, LINE_MAX_BYTES
from eventstore.maintenance.transfer.lines import ENDLESS, skip_line

_REQUIRED: Final = frozenset({"streamId", "eventName", "payload"})
_OPTIONAL: Final = frozenset({"occurredAt", "eventUid"})


class BadFile(RuntimeError):
    """A file that can't be loaded; nothing of it was sent."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line that is an event; `event.uid` is the file's own, if it has one."""

    number: int
    stream_id: str
    event: NewEvent


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """What a file was found to hold."""

    events: int
    streams: int


def check_file(path: Path) -> Contents:
    """Read a whole file and check every line of it.

    Memory: one line, the stream ids, and the uids of lines that have one.

    Raises:
        BadFile: it can't be read twice, has no events, or has bad lines: the first `BAD_LINES_TOLD` of them
            with number and reason.
    """
    try:
        is_file = path.is_file()
        with path.open("rb") if is_file else nullcontext():
            pass
    except OSError as error:
        raise BadFile(f"{path} can't be read: {error.strerror}.") from error
    if not is_file:
        raise BadFile(f"{path} is not a file. Name one: make load FILE=events.ndjson")
    streams: set[str] = set()
    uids: dict[str, int] = {}
    bad: list[BadLine] = []
    events = bad_count = 0
    for line in read_lines(path):
        found = line if isinstance(line, BadLine) else _repeated_uid(line, uids)
        if isinstance(line, Line):
            events += 1
            streams.add(line.stream_id)
        if found is not None:
            bad_count += 1
            bad += [found] if bad_count <= BAD_LINES_TOLD else []
    if bad_count:
        told = [f"{path}:{line.number}: {line.reason}" for line in bad]
        more = f"; the first {BAD_LINES_TOLD} are above" if bad_count > BAD_LINES_TOLD else ""
        raise BadFile("\n".join([*told, f"{bad_count:,} bad lines{more}. Nothing was sent."]))
    if not events:
        raise BadFile(f"{path} has no events.")
    return Contents(events=events, streams=len(streams))


def read_lines(path: Path) -> Iterator[Line | BadLine]:
    """Read the lines of a file in order, up to one without an end; empty ones are passed over.

    Memory: one line.
    """
    with path.open("rb") as file:
        number = 0
        while raw := file.readline(LINE_MAX_BYTES + 1):
            number += 1
            if len(raw) > LINE_MAX_BYTES:
                yield BadLine(number, f"is longer than {LINE_MAX_BYTES:,} bytes; write one event a line")
                if not skip_line(raw, file):
                    yield BadLine(number, ENDLESS)
                    return
            elif raw.strip():
                yield _line(raw, number)


def _line(raw: bytes, number: int) -> Line | BadLine:
    try:
        # Some editors begin a file with a byte order mark.
        members = json_members(raw.decode("utf-8-sig" if number == 1 else "utf-8"), field="line")
        return _event(members, number)
    except UnicodeDecodeError as error:
        return BadLine(number, f"is not UTF-8 at byte {error.start}")
    except json.JSONDecodeError as error:
        return BadLine(number, f"is not a JSON object: {error.msg} at character {error.pos}")
    except RecursionError:
        return BadLine(number, "payload: is nested too deeply; flatten it")
    except (InvalidInput, InvalidTime, _Unfit) as error:
        return BadLine(number, str(error))


class _Unfit(ValueError):
    pass


def _event(members: dict[str, str], number: int) -> Line:
    missing, unknown = _REQUIRED - members.keys(), members.keys() - _REQUIRED - _OPTIONAL
    if missing or unknown:
        faults = [f"{name} is missing" for name in sorted(missing)]
        faults += [f"{name} is not known" for name in sorted(unknown)]
        raise _Unfit(
            f"{', '.join(faults)}; a line has streamId, eventName, payload, and may have occurredAt, eventUid"
        )
    stream_id = check_stream_id(_text(members, "streamId"))
    if "?" in stream_id:
        raise _Unfit("streamId: has a question mark, which the HTTP API can't take in a path; leave it out")
    metadata = "{}"
    if "occurredAt" in members:
        parse_time(_text(members, "occurredAt"), field="occurredAt")
        metadata = f'{{"occurredAt":{members["occurredAt"]}}}'
    event = NewEvent(
        name=_text(members, "eventName"),
        payload=members["payload"],
        metadata=metadata,
        uid=_text(members, "eventUid") if "eventUid" in members else None,
    )
    size_bytes = event_size_bytes(stream_id, event)
    if size_bytes > ITEM_MAX_BYTES:
        raise EventTooLarge("payload", size_bytes=size_bytes, limit_bytes=ITEM_MAX_BYTES)
    return Line(number, stream_id, event)


def _text(members: dict[str, str], name: str) -> str:
    value = json.loads(members[name])
    if not isinstance(value, str):
        raise _Unfit(f"{name}: has to be a text in double quotes")
    return value


def _repeated_uid(line: Line, uids: dict[str, int]) -> BadLine | None:
    uid = line.event.uid
    if uid is None:
        return None
    first = uids.setdefault(uid, line.number)
    return None if first == line.number else BadLine(line.number, f"eventUid: stands on line {first} too")
