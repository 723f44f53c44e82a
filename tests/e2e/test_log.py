"""From an append over HTTP to the log: the table's stream, the real log writer, GET /log."""

from __future__ import annotations

import time
from uuid import uuid4

import httpx

from localcloud.api import Api, event_text
from tests.e2e.conftest import WAIT_S


def logged(http: httpx.Client, *, prefix: str) -> list[tuple[str, int, str]]:
    """Follow the log from its beginning to its end, as a reader does that drops what it has seen."""
    seen: dict[str, int] = {}
    found: list[tuple[str, int, str]] = []
    query = {"limit": "50"}
    while True:
        page = http.get("/log", params=query).raise_for_status().json()
        for entry in page["entries"]:
            stream_id, event_id = entry["streamId"], entry["eventId"]
            if event_id > seen.get(stream_id, 0):
                seen[stream_id] = event_id
                if stream_id.startswith(prefix):
                    found.append((stream_id, event_id, entry["eventName"]))
        if page["next"] is None:
            return found
        query["after"] = page["next"]


def test_appended_events_appear_in_the_log_in_the_order_of_their_streams(
    api: Api, http: httpx.Client
) -> None:
    prefix = f"logged-{uuid4()}"
    streams = [f"{prefix}/{number}" for number in range(5)]
    for version in (0, 1, 4):
        count = 3 if version == 1 else 1
        for stream in streams:
            events = [event_text(name=f"Happened{version + n}", payload="1") for n in range(1, count + 1)]
            api.append(stream, expected=version, events=events)

    deadline = time.monotonic() + WAIT_S
    while len(found := logged(http, prefix=prefix)) < 25:
        assert time.monotonic() < deadline, f"within {WAIT_S:g} s only these were logged: {found}"
        time.sleep(0.5)

    for stream in streams:
        assert [entry[1:] for entry in found if entry[0] == stream] == [
            (number, f"Happened{number}") for number in (1, 2, 3, 4, 5)
        ]
    assert len(found) == 25
