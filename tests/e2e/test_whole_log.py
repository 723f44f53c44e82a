"""A log of some size, read whole: the last file of these tests, for the others read all streams too."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import httpx

from localcloud.load import load_file
from tests.e2e.conftest import WAIT_S, Deployed

STREAMS, EVENTS = 250, 2_000


def test_every_read_of_a_larger_log_costs_its_page_not_the_partition(
    http: httpx.Client, deployed: Deployed, stream_id: str, tmp_path: Path
) -> None:
    path = tmp_path / "events.ndjson"
    streams = [f"{stream_id}/{number % STREAMS}" for number in range(EVENTS)]
    lines = [{"streamId": stream, "eventName": "Happened", "payload": {}} for stream in streams]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    loaded = load_file(path, url=deployed.app.api_url)
    assert (loaded.appended, loaded.failed) == (EVENTS, 0)

    expected = {(stream, event_id) for stream in streams for event_id in range(1, EVENTS // STREAMS + 1)}
    read = follow(http, "/events", "events", until=expected)
    assert {(event["streamId"], event["eventId"]) for event in read} >= expected
    assert len(read) == len({(event["streamId"], event["eventId"]) for event in read})
    follow(http, "/log", "entries", until=expected)
    late = http.get("/events", params={"from": read[-1]["timestamp"]}).raise_for_status().json()["events"]
    assert late[0]["timestamp"] == read[-1]["timestamp"]
    [one] = http.get(f"/streams/{streams[0]}/events", params={"from": 5, "to": 5}).json()["events"]
    assert one["eventId"] == 5

    # How the emulator answers is counted, not how long it takes: each time from the keys of a page.
    output = deployed.cloud.log.read_text(errors="replace")
    assert "Answered from the whole table" not in output
    assert "its tables are slow" not in output


def follow(http: httpx.Client, path: str, field: str, *, until: set[tuple[str, int]]) -> list[dict[str, Any]]:
    """Read page after page until all that is wanted has come."""
    missing, found = set(until), []
    query = {"limit": "100"}
    deadline = time.monotonic() + WAIT_S
    while missing:
        assert time.monotonic() < deadline, f"{len(missing)} never came by {path}"
        page = http.get(path, params=query).raise_for_status().json()
        found += page[field]
        missing -= {(entry["streamId"], entry["eventId"]) for entry in page[field]}
        if page["checkpoint"]:
            query["after"] = page["checkpoint"]
        if page["next"] is None:
            time.sleep(0.2)
    return found
