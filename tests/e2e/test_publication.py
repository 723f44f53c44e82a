"""From the table's stream to a subscriber's queue."""

from __future__ import annotations

import json
import time
from uuid import uuid4

from localcloud.api import Api, event_text
from tests.e2e.conftest import WAIT_S, Deployed, Inbox

HAPPENED = event_text(name="Happened", payload="1")


def test_appended_event_is_delivered_whole(
    api: Api, inbox: Inbox, deployed: Deployed, stream_id: str
) -> None:
    uid = str(uuid4())
    event = event_text(
        name="OrderPlaced",
        payload='{"total": 12, "note": "ü\\n\\"x\\"", "lines": [{"sku": "A-1"}, null, true]}',
        metadata='{"correlationId": "c-1", "causationId": "c-0", "mine": {"a": 1}}',
        uid=uid,
    )
    appended = api.append(stream_id, expected=0, events=[event]).body

    [delivered] = inbox.events_of(stream_id, count=1)

    assert delivered["source"] == "eventstore"
    assert delivered["detail-type"] == "OrderPlaced"
    assert delivered["detail"] == {
        "specversion": "1.0",
        "id": f"{stream_id}/1",
        "source": "eventstore",
        "type": "OrderPlaced",
        "subject": stream_id,
        "time": appended["events"][0]["timestamp"],
        "datacontenttype": "application/json",
        "streamid": stream_id,
        "eventid": 1,
        "correlationid": "c-1",
        "causationid": "c-0",
        "data": {"total": 12, "note": 'ü\n"x"', "lines": [{"sku": "A-1"}, None, True]},
    }


def test_events_of_a_stream_are_delivered_in_their_order(api: Api, inbox: Inbox, stream_id: str) -> None:
    for batch in range(5):
        api.append(stream_id, expected=batch * 12, events=[HAPPENED] * 12)

    def of_stream(bodies: list[str]) -> list[int]:
        details = [json.loads(body)["detail"] for body in bodies]
        return [detail["eventid"] for detail in details if detail["streamid"] == stream_id]

    bodies = inbox.bodies_until(lambda bodies: len(set(of_stream(bodies))) >= 60)

    first_deliveries = list(dict.fromkeys(of_stream(bodies)))
    assert first_deliveries == list(range(1, 61))


def test_event_over_the_bus_limit_is_delivered_by_reference(
    api: Api, inbox: Inbox, deployed: Deployed, stream_id: str
) -> None:
    api.append(stream_id, expected=0, events=[event_text(name="Scanned", payload=f'"{"x" * 300_000}"')])

    [delivered] = inbox.events_of(stream_id, count=1)

    assert "data" not in delivered["detail"]
    path = delivered["detail"]["dataref"].partition("/streams/")[2]
    assert path == f"{stream_id}/events?from=1&to=1"
    [event] = api.read_stream(stream_id, **{"from": 1, "to": 1})["events"]
    assert event["payload"] == "x" * 300_000


def test_poison_is_parked_while_later_events_flow(
    api: Api, inbox: Inbox, deployed: Deployed, stream_id: str
) -> None:
    session, endpoint = deployed.cloud.session(), deployed.cloud.endpoint
    dynamodb = session.client("dynamodb", endpoint_url=endpoint)
    sqs = session.client("sqs", endpoint_url=endpoint)
    poison = {
        "StreamId": {"S": stream_id},
        "EventId": {"N": "1"},
        "EventName": {"S": "Broken"},
        "Payload": {"S": '{"not JSON'},
        "EventUid": {"S": str(uuid4())},
        "Timestamp": {"N": str(time.time_ns() // 1_000)},
        "GSIKey": {"N": "0"},
    }
    dynamodb.put_item(TableName=deployed.app.events_table, Item=poison)
    try:
        api.append(stream_id, expected=1, events=[HAPPENED])
        api.append(f"{stream_id}:other", expected=0, events=[HAPPENED])

        [later] = inbox.events_of(stream_id, count=1)
        assert later["detail"]["eventid"] == 2
        api.append(f"{stream_id}:third", expected=0, events=[HAPPENED])
        [third] = inbox.events_of(f"{stream_id}:third", count=1)
        assert third["detail"]["eventid"] == 1

        queue_url, parked = deployed.app.failed_events_queue_url, []
        deadline = time.monotonic() + WAIT_S
        while not parked and time.monotonic() < deadline:
            received = sqs.receive_message(QueueUrl=queue_url, MaxNumberOfMessages=10, WaitTimeSeconds=1)
            parked = [json.loads(message["Body"]) for message in received.get("Messages", ())]
            parked = [message for message in parked if message["streamId"] == stream_id]
        assert {(message["streamId"], message["eventId"]) for message in parked} == {(stream_id, 1)}
        assert "is not JSON" in parked[0]["reason"]
    finally:
        # Readers of all streams would meet it too.
        key = {name: poison[name] for name in ("StreamId", "EventId")}
        dynamodb.delete_item(TableName=deployed.app.events_table, Key=key)
