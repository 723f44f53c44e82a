"""The format of an export: one event a line of JSON, and a last line by which the file is known to be whole.

::

    {"streamId":"order-1","eventId":1,"eventName":"OrderPlaced","eventUid":"...","timestampUs":1769860800000000,
     "metadata":{},"payload":{"total":12.50}}
    ...
    {"export":{"format":1,"events":1,"sha256":"...","from":null,"to":null,"settledUntil":"2026-...",
     "leftOut":null}}

`epochUs` stands there where the event was written after a restore: its id on the bus has it (`cloudevents`).
Payload and metadata stand there as the JSON text that the store has, byte by byte. A text with line breaks or
with spaces around it can't, in one line: it stands as a JSON string in `payloadText` or `metadataText`.
`sha256` is that of all lines before the last. `leftOut` is null, or says which events of the range the file
doesn't have::

    {"events":4,"streams":1,"first":[{"streamId":"order-7","eventId":3,"events":4,"reason":"..."}]}

where a stream's `eventId` is the first that is left out, and `first` are the first streams. The file is
compressed with gzip; uncompressed it's read too.
"""

from __future__ import annotations

import gzip
import json
import re
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from stat import S_ISDIR, S_ISREG
from typing import IO, Any, Final, Self

from eventstore._checks import event_size_bytes
from eventstore._json import json_members
from eventstore.errors import BadLine, EventTooLarge, InvalidInput, InvalidJson
from eventstore.events import Event, check_stored, check_stream_id
from eventstore.limits import (
    ITEM_MAX_BYTES,
    LINE_MAX_BYTES,
    LINE_SKIPPED_MAX_BYTES,
    TIMESTAMP_MAX_US,
    VERSION_MAX,
)

FORMAT: Final = 1

LEFT_OUT_LISTED: Final = 100
"""Streams that the last line lists with where they end in the file and why; the others are counted (ours)."""

ENDLESS: Final = (
    f"goes on for more than {LINE_SKIPPED_MAX_BYTES // 1_024 // 1_024} MB; what follows isn't read"
)
"""What is wrong with a line whose end `skip_line` doesn't find."""

_REQUIRED: Final = ("streamId", "eventId", "eventName", "eventUid", "timestampUs")
_TEXTS: Final = {"payload": "payloadText", "metadata": "metadataText"}
_LAST: Final = b'{"export":'
_GZIP: Final = b"\x1f\x8b"
_STREAM: Final = re.compile(rb'\s*\{\s*"streamId"\s*:\s*("(?:[^"\\]|\\.)*")')
_DIGITS: Final = re.compile(r"[0-9]{1,18}")


@dataclass(frozen=True, slots=True)
class Line:
    """A line that is an event."""

    number: int
    event: Event
    size_bytes: int


@dataclass(slots=True)
class LeftOutStream:
    """A stream that ends in the file where it stops being whole."""

    stream_id: str
    event_id: int
    """The first EventId that is left out."""
    reason: str
    events: int = 0
    """How many are left out."""

    def __str__(self) -> str:
        """Write it as a sentence."""
        return (
            f"stream {self.stream_id!r} from event {self.event_id} on, {self.events:,} events: {self.reason}"
        )


@dataclass(slots=True)
class LeftOut:
    """What an export has left out. Memory: `LEFT_OUT_LISTED` streams."""

    events: int = 0
    streams: int = 0
    first: list[LeftOutStream] = field(default_factory=list)
    """The first `LEFT_OUT_LISTED` streams."""

    def add(self, stream: LeftOutStream) -> LeftOutStream:
        """Count a stream; returns it."""
        self.streams += 1
        if len(self.first) < LEFT_OUT_LISTED:
            self.first.append(stream)
        return stream

    def count(self, stream: LeftOutStream) -> None:
        """Count one event of a stream."""
        stream.events += 1
        self.events += 1

    def to_json(self) -> dict[str, Any]:
        """Write it as plain values."""
        first = [
            {
                "streamId": each.stream_id,
                "eventId": each.event_id,
                "events": each.events,
                "reason": each.reason,
            }
            for each in self.first
        ]
        return {"events": self.events, "streams": self.streams, "first": first}

    @classmethod
    def from_json(cls, values: Any) -> Self:
        """Read what `to_json` wrote, and null.

        Raises:
            ValueError, KeyError, TypeError: it's something else.
        """
        if values is None:
            return cls()
        first = [
            LeftOutStream(
                str(each["streamId"]), int(each["eventId"]), str(each["reason"]), int(each["events"])
            )
            for each in values["first"]
        ]
        return cls(int(values["events"]), int(values["streams"]), first)


@dataclass(frozen=True, slots=True, kw_only=True)
class LastLine:
    """What the last line says of the file, and what the file is."""

    number: int
    events: int
    sha256: str
    settled_until: str
    is_sha256: str
    """The digest of the lines that were read before it."""
    left_out: LeftOut


def event_line(event: Event) -> bytes:
    """Write an event as one line."""
    epoch = "" if event.epoch_us is None else f'"epochUs":{event.epoch_us},'
    return (
        f'{{"streamId":{_text(event.stream_id)},"eventId":{event.event_id},"eventName":{_text(event.name)},'
        f'"eventUid":{_text(event.uid)},"timestampUs":{event.timestamp_us},{epoch}'
        f"{_json_member('metadata', event.metadata)},{_json_member('payload', event.payload)}}}\n"
    ).encode()


def line_fault(event: Event) -> str | None:
    """Return what keeps an import from reading an event back as it is; its own code decides."""
    try:
        read = _line(event_line(event), 1)
    except UnicodeEncodeError as error:
        return f"it is no Unicode text: {error}"
    if isinstance(read, BadLine):
        return read.reason
    return None if read.event == event else "its payload or metadata is not one JSON value"


def order_fault(event: Event, *, behind: tuple[int, int] | None, whole_streams: bool) -> str | None:
    """Return what is wrong with an event's place in its stream.

    Args:
        behind: EventId and Timestamp of the event before it in the file, if there's one.
        whole_streams: the first event of a stream has to be event 1.
    """
    last_id, last_us = behind or (0, -1)
    if event.event_id != last_id + 1 and (behind or whole_streams):
        where = f"behind event {last_id}" if behind else "as its first"
        return f"stream {event.stream_id!r} has event {event.event_id} {where}, not {last_id + 1}"
    if event.timestamp_us <= last_us:
        times = f"{event.timestamp_us} is not higher than {last_us}"
        return f"timestampUs: {times}, that of event {last_id} of stream {event.stream_id!r}"
    return None


def last_line(
    *,
    events: int,
    sha256_hex: str,
    from_: str | None,
    to: str | None,
    settled_until: str,
    left_out: LeftOut | None,
) -> bytes:
    """Write the line that ends an export."""
    about = {
        "format": FORMAT,
        "events": events,
        "sha256": sha256_hex,
        "from": from_,
        "to": to,
        "settledUntil": settled_until,
        "leftOut": left_out.to_json() if left_out and left_out.events else None,
    }
    return f"{json.dumps({'export': about}, separators=(',', ':'))}\n".encode()


def check_kind(path: Path) -> None:
    """Check that a file gives the same bytes each time that it's opened: a pipe gives them once.

    Raises:
        InvalidInput: it's a pipe, a socket or a device; it was not opened, so a pipe's writer loses nothing.
        OSError: it isn't there.
    """
    mode = path.stat().st_mode
    if not (S_ISREG(mode) or S_ISDIR(mode)):  # opening a folder says what it is
        once = "is a pipe, a socket or a device, and an import reads its file several times"
        raise InvalidInput("file", f"{path} {once}: write it to a file first, then give that file's name")


def read_lines(path: Path) -> Iterator[Line | BadLine | LastLine]:
    """Read the lines of an export in order, up to one without an end. Memory: one line."""
    digest = sha256()
    number = 0
    with path.open("rb") as file:
        compressed = file.read(2) == _GZIP
        file.seek(0)
        lines: IO[bytes] = gzip.GzipFile(fileobj=file) if compressed else file  # type: ignore[assignment]
        try:
            while raw := lines.readline(LINE_MAX_BYTES + 1):
                number += 1
                is_long = len(raw) > LINE_MAX_BYTES
                if raw.startswith(_LAST) and not is_long:
                    yield _last_line(raw, number, digest.hexdigest())
                    continue
                digest.update(raw)
                yield _line(raw, number)
                if is_long and not skip_line(raw, lines, digest.update):
                    yield BadLine(number, ENDLESS)
                    return
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            yield BadLine(number + 1, f"the compressed file is damaged or cut off here: {error}")


def skip_line(raw: bytes, lines: IO[bytes], read: Callable[[bytes], object] = lambda _part: None) -> bool:
    """Read on to the end of a line that is too long; return False if it's `LINE_SKIPPED_MAX_BYTES` away.

    Args:
        raw: the part of it that was read.
        read: is given each further part.
    """
    left = LINE_SKIPPED_MAX_BYTES
    while raw and not raw.endswith(b"\n"):
        if not left:
            return False
        raw = lines.readline(min(left, LINE_MAX_BYTES))
        left -= len(raw)
        read(raw)
    return True


def _line(raw: bytes, number: int) -> Line | BadLine:
    if len(raw) > LINE_MAX_BYTES:
        return BadLine(number, f"is longer than {LINE_MAX_BYTES:,} bytes", _stream_of(raw))
    try:
        return Line(number, _event(json_members(raw.decode(), field="line")), len(raw))
    except UnicodeDecodeError as error:
        reason = f"is not UTF-8 at byte {error.start}"
    except json.JSONDecodeError as error:
        reason = f"is not a JSON object: {error.msg} at character {error.pos}"
    except RecursionError:
        reason = "is nested too deeply"
    except InvalidInput as error:
        reason = str(error)
    return BadLine(number, reason, _stream_of(raw))


def _stream_of(raw: bytes) -> str | None:
    """Return whose line it was meant to be, as an export writes it; None when even that can't be known."""
    start = _STREAM.match(raw)
    try:
        stream_id = json.loads(start[1]) if start else None
    except ValueError:
        return None
    return stream_id if isinstance(stream_id, str) else None


def _last_line(raw: bytes, number: int, is_sha256: str) -> LastLine | BadLine:
    try:
        about: dict[str, Any] = json.loads(raw)["export"]
        if about["format"] != FORMAT:
            return BadLine(number, f"the file has format {about['format']}; this version reads {FORMAT}")
        return LastLine(
            number=number,
            events=int(about["events"]),
            sha256=str(about["sha256"]),
            settled_until=str(about["settledUntil"]),
            is_sha256=is_sha256,
            left_out=LeftOut.from_json(about.get("leftOut")),
        )
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        return BadLine(number, f"is not the last line of an export: {error!r}")


def _event(members: dict[str, str]) -> Event:
    known = {*_REQUIRED, *_TEXTS, *_TEXTS.values(), "epochUs"}
    faults = [f"{name} is missing" for name in _REQUIRED if name not in members]
    faults += [f"{name} is not known" for name in sorted(members.keys() - known)]
    faults += [
        f"give either {raw} or {text}"
        for raw, text in _TEXTS.items()
        if (raw in members) == (text in members)
    ]
    if faults:
        raise InvalidJson("line", ", ".join(faults))
    event = Event(
        stream_id=check_stream_id(_string(members, "streamId")),
        event_id=_number(members, "eventId", low=1, high=VERSION_MAX),
        name=_string(members, "eventName"),
        payload=_json_text(members, "payload"),
        metadata=_json_text(members, "metadata"),
        uid=_string(members, "eventUid"),
        timestamp_us=_number(members, "timestampUs", low=0, high=TIMESTAMP_MAX_US),
        epoch_us=_number(members, "epochUs", low=1, high=TIMESTAMP_MAX_US) if "epochUs" in members else None,
    )
    check_stored(event)
    size_bytes = event_size_bytes(event.stream_id, event)
    if size_bytes > ITEM_MAX_BYTES:
        raise EventTooLarge("payload", size_bytes=size_bytes, limit_bytes=ITEM_MAX_BYTES)
    return event


def _json_text(members: dict[str, str], name: str) -> str:
    return members[name] if name in members else _string(members, _TEXTS[name])


def _string(members: dict[str, str], name: str) -> str:
    value = json.loads(members[name], parse_int=str, parse_float=str) if members[name][0] == '"' else None
    if not isinstance(value, str):
        raise InvalidJson(name, "has to be a text in double quotes")
    return value


def _number(members: dict[str, str], name: str, *, low: int, high: int) -> int:
    text = members[name]
    if not _DIGITS.fullmatch(text) or not low <= int(text) <= high:
        raise InvalidJson(name, f"is {text[:40]}; it has to be a whole number from {low} to {high:,}")
    return int(text)


def _json_member(name: str, text: str) -> str:
    if "\n" in text or "\r" in text or text != text.strip(" \t"):
        return f'"{_TEXTS[name]}":{_text(text)}'
    return f'"{name}":{text}'


def _text(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
