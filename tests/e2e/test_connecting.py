"""The library on the deployed app: found by its name, and nothing else is told."""

from __future__ import annotations

import time

import httpx

from eventstore import NewEvent, connect
from tests.e2e.conftest import WAIT_S, Deployed


def test_deployed_store_is_found_by_its_name_and_followed(
    deployed: Deployed, http: httpx.Client, stream_id: str
) -> None:
    store = connect("local", session=deployed.cloud.session(), endpoint_url=deployed.cloud.endpoint)
    assert store.deployment is not None
    assert store.deployment.events_table == deployed.app.events_table

    store.append(stream_id, [NewEvent.of("Happened", {"n": 1})] * 3, expected=0)
    answer = http.get(f"/streams/{stream_id}/events").json()
    assert [event["eventId"] for event in answer["events"]] == [1, 2, 3]

    seen: list[int] = []
    worker = store.subscribe(
        f"view-{stream_id}", lambda event: seen.append(event.event_id), streams=stream_id
    )
    deadline = time.monotonic() + WAIT_S
    worker.run(until=lambda: len(seen) == 3 or time.monotonic() > deadline)
    worker.close()
    assert seen == [1, 2, 3]
