"""The path of a stream in a URL: which stream ids one can carry through any gateway, and how.

Gateways, proxies and clients unescape a path once or twice, take dot segments out of it, fold slashes, and
cut it at what comes to look like a query. An id that only comes through when none of them does would be read
as another stream. So it's refused where a path is made or read; the library takes every id that
`check_stream_id` does.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import quote

from eventstore.errors import InvalidStreamId

_STREAMS: Final = "/streams/"
_EVENTS: Final = "/events"

_UNCARRIED: Final = re.compile(r"[%?#\\\ufffd]")
_CALLED: Final = {
    "%": "a percent sign",
    "?": "a question mark",
    "#": "a number sign",
    "\\": "a backslash",
    "\ufffd": "U+FFFD, which broken escapes turn into",
}


def path_fault(stream_id: str) -> str | None:
    """Return what a path can't carry of a stream id, such as "has a percent sign"; None for a fit one.

    A fit id stays itself however often it's unescaped; it's no other path once dot segments are taken out and
    slashes folded; and its path is never that of another stream's events.
    """
    found = _UNCARRIED.search(stream_id)
    if found:
        return f"has {_CALLED[found[0]]}"
    segments = stream_id.split("/")
    if "" in segments:
        return "has a slash at its beginning or end, or two in a row"
    if "." in segments or ".." in segments:
        return "has a segment of one or two dots alone"
    if stream_id.endswith(_EVENTS):
        return f"ends with {_EVENTS}"
    return None


def check_carried(stream_id: str, *, field: str = "streamId") -> str:
    """Return a stream id that a path can carry.

    Raises:
        InvalidStreamId: a path can't.
    """
    fault = path_fault(stream_id)
    if fault:
        why = f"{fault}, which this API can't take in a path; choose another id, or use the library"
        raise InvalidStreamId(field, why)
    return stream_id


def stream_events_path(stream_id: str) -> str:
    """Return the path of a stream's events, escaped once, from the API's root on.

    Raises:
        InvalidStreamId: a path can't carry the id.
    """
    return f"{_STREAMS}{quote(check_carried(stream_id), safe='')}{_EVENTS}"
