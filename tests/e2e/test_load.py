"""Loading a file over HTTP, twice."""

from __future__ import annotations

import json
import random
from pathlib import Path

from localcloud.api import Api
from localcloud.load import load_file
from tests.e2e.conftest import Deployed, Inbox

STREAMS, EVENTS = 40, 400


def test_file_is_stored_and_delivered_whole_and_loading_again_adds_nothing(
    api: Api, inbox: Inbox, deployed: Deployed, stream_id: str, tmp_path: Path
) -> None:
    chance = random.Random(7)
    lines = [
        {
            "streamId": f"{stream_id}/{chance.randrange(STREAMS)}",
            "eventName": f"Happened{number % 5}",
            "occurredAt": f"2010-10-02T07:20:{number % 60:02}.266Z",
            "payload": {"number": number},
        }
        for number in range(EVENTS)
    ]
    path = tmp_path / "events.ndjson"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))

    first = load_file(path, url=deployed.app.api_url)
    again = load_file(path, url=deployed.app.api_url)

    assert (first.appended, first.already_there, first.failed) == (EVENTS, 0, 0)
    assert (again.appended, again.already_there, again.failed) == (0, EVENTS, 0)

    stored = {}
    for stream in {line["streamId"] for line in lines}:
        events = api.read_stream(stream, limit=1_000)["events"]
        assert [event["eventId"] for event in events] == list(range(1, len(events) + 1))
        stored[stream] = [
            (event["eventName"], event["payload"], event["metadata"]["occurredAt"]) for event in events
        ]
    expected: dict[str, list[object]] = {}
    for line in lines:
        expected.setdefault(line["streamId"], []).append(
            (line["eventName"], line["payload"], line["occurredAt"])
        )
    assert stored == expected

    def delivered(bodies: list[str]) -> set[int]:
        details = [json.loads(body)["detail"] for body in bodies]
        return {of["data"]["number"] for of in details if of["streamid"].startswith(f"{stream_id}/")}

    inbox.bodies_until(lambda bodies: len(delivered(bodies)) == EVENTS)
