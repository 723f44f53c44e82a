"""The main job, shown on the deployed API: the story of a few orders."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from eventstore.dynamodb.schema.events import STORE_STREAM_ID
from localcloud.api import Api, event_text, problem_of
from localcloud.cloud import Cloud
from localcloud.deploy import SETTLING_S, Deployment
from localcloud.screen import say
from localcloud.subscriber import Subscriber

RACED: Final = "order-1001"
OTHER: Final = "order-1002"
CREATED_MEANWHILE: Final = "order-1003"

_PAGE: Final = 3
_WAIT_S: Final = 30.0


class ShowFailed(RuntimeError):
    """The show didn't see what it must: something is broken."""


@dataclass(frozen=True, slots=True)
class _Decided:
    """What a writer wants to happen next, and why."""

    name: str
    payload: str
    why: str


def show(cloud: Cloud, deployment: Deployment) -> None:
    """Append, conflict, retry, load, read all streams, subscribe; each seen or `ShowFailed` raised."""
    with Api(deployment.api_url) as api, Subscriber.on_bus(cloud, deployment.event_bus) as subscriber:
        say("\nA subscriber: an EventBridge rule on the bus, with a queue as its target.")
        _place_orders(api)
        _race(api)
        _load(api)
        appended = _read_all(api)
        _delivered(subscriber, appended)


def count_events(cloud: Cloud, deployment: Deployment) -> int:
    """Count the events of the store, without its own item."""
    dynamodb = cloud.session().client("dynamodb", endpoint_url=cloud.endpoint)
    table = deployment.events_table
    own = dynamodb.query(
        TableName=table,
        KeyConditionExpression="StreamId = :store",
        ExpressionAttributeValues={":store": {"S": STORE_STREAM_ID}},
        Select="COUNT",
    )["Count"]
    return dynamodb.describe_table(TableName=table)["Table"]["ItemCount"] - own


def show_kept(cloud: Cloud, deployment: Deployment) -> None:
    """Return what a kept store holds, and read it through the deployed API; nothing is appended."""
    events = count_events(cloud, deployment)
    say(f"\n{events:,} events are kept from earlier runs. The show is left out: it would append more.")
    with Api(deployment.api_url) as api:
        say(f"GET /events?limit={_PAGE}")
        for event in api.read_all(limit=_PAGE)["events"]:
            say(_line(event, with_stream=True))


def _place_orders(api: Api) -> None:
    say("\n1. Orders are placed (payloads are JSON text and stay as sent: 49.90 stays 49.90)")
    for stream_id, total in ((RACED, "49.90"), (OTHER, "12.00")):
        events = [
            event_text(name="OrderPlaced", payload=f'{{"total": {total}}}'),
            event_text(name="OrderPaid", payload=f'{{"amount": {total}}}'),
        ]
        answer = api.append(stream_id, expected=0, events=events)
        _must(answer.status == 201, f"the first append to {stream_id} was answered with {answer.status}")
        say(f"   POST /streams/{stream_id}/events  expectedVersion 0, 2 events -> 201, version 2")


def _race(api: Api) -> None:
    say(f"\n2. Two writers race on {RACED}: each loads it, decides, and appends behind version 2")
    both_have_loaded = threading.Barrier(2, timeout=_WAIT_S)
    with ThreadPoolExecutor(2) as executor:
        racing = [
            executor.submit(_write, api, writer, decide, both_have_loaded)
            for writer, decide in (("customer", _cancel), ("warehouse", _ship))
        ]
        told = [future.result() for future in racing]
    # The writers' lines are written once both are through, the winner's first.
    for lines in sorted(told, key=len):
        for line in lines:
            say(line)
    _must(sorted(map(len, told)) == [1, 3], "not exactly one of the two writers met a conflict")


def _write(
    api: Api, writer: str, decide: Callable[[Iterable[str]], _Decided], loaded: threading.Barrier
) -> list[str]:
    """Load, decide, append; on a conflict read what is new, decide again, append again."""
    history = [event["eventName"] for event in api.read_stream(RACED)["events"]]
    lines: list[str] = []
    loaded.wait()
    while True:
        version, decided = len(history), decide(history)
        answer = api.append(
            RACED, expected=version, events=[event_text(name=decided.name, payload=decided.payload)]
        )
        post = f"   {writer:<9} POST expectedVersion {version}, {decided.name}"
        if not answer.is_conflict:
            lines.append(f"{post} -> {answer.status}, version {answer.body['version']}{decided.why}")
            return lines
        lines.append(f"{post} -> 409 {problem_of(answer.body)}: actual {answer.body['actual']}")
        new = [event["eventName"] for event in api.read_stream(RACED, **{"from": version + 1})["events"]]
        lines.append(f"   {writer:<9} GET from={version + 1}: {', '.join(new)}; decides again")
        history += new


def _cancel(history: Iterable[str]) -> _Decided:
    if "OrderShipped" in history:
        return _Decided("ReturnRequested", '{"refund": 49.90}', " (too late to cancel)")
    return _Decided("OrderCancelled", '{"refund": 49.90}', "")


def _ship(history: Iterable[str]) -> _Decided:
    if "OrderCancelled" in history:
        return _Decided("PickingStopped", '{"shelf": "A-17"}', " (nothing to ship any more)")
    return _Decided("OrderShipped", '{"parcel": "CH-7784"}', "")


def _load(api: Api) -> None:
    say(f"\n3. GET /streams/{RACED}/events")
    events = api.read_stream(RACED)["events"]
    for event in events:
        say(_line(event))
    _must([event["eventId"] for event in events] == [1, 2, 3, 4], f"{RACED} doesn't hold the versions 1 to 4")


def _read_all(api: Api) -> list[dict[str, Any]]:
    say(
        f"\n4. GET /events?limit={_PAGE}: all streams in time order, while {CREATED_MEANWHILE} is created\n"
        f"   (an event is given once it has settled: after {SETTLING_S} s here, 10 s on AWS)"
    )
    seen: list[dict[str, Any]] = []
    for number, page in enumerate(_pages(api, events=8), start=1):
        say(f"   page {number}, settledUntil {_clock(page['settledUntil'])}")
        for event in page["events"]:
            say(_line(event, with_stream=True))
        seen += page["events"]
        if number == 1:
            _create_meanwhile(api)
    places = [(event["timestamp"], event["streamId"], event["eventId"]) for event in seen]
    _must(places == sorted(set(places)), "the events were not given in order, each once")
    _must(len(seen) == 8, f"{len(seen)} events were given instead of 8")
    _must(CREATED_MEANWHILE in {event["streamId"] for event in seen}, f"{CREATED_MEANWHILE} was missed")
    return seen


def _pages(api: Api, *, events: int) -> Iterator[dict[str, Any]]:
    """Read page after page until so many events were given, and wait for events to settle."""
    after: dict[str, str] = {}
    deadline = time.monotonic() + _WAIT_S
    while events > 0:
        _must(time.monotonic() < deadline, f"not all events were given within {_WAIT_S:g} s")
        page = api.read_all(limit=_PAGE, **after)
        if page["events"]:
            yield page
            events -= len(page["events"])
        if page["checkpoint"]:
            after = {"after": page["checkpoint"]}
        if page["next"] is None:
            time.sleep(0.2)


def _create_meanwhile(api: Api) -> None:
    events = [
        event_text(name="OrderPlaced", payload='{"total": 7.25}'),
        event_text(name="OrderPaid", payload='{"amount": 7.25}'),
    ]
    answer = api.append(CREATED_MEANWHILE, expected=0, events=events)
    say(f"   meanwhile   POST /streams/{CREATED_MEANWHILE}/events, 2 events -> {answer.status}")


def _delivered(subscriber: Subscriber, appended: Sequence[dict[str, Any]]) -> None:
    say("\n5. What the rule delivered to the subscriber's queue (this local bus writes 49.90 as 49.9)")
    missing = {(event["streamId"], event["eventId"]): event for event in appended}
    deadline = time.monotonic() + _WAIT_S
    while missing:
        _must(time.monotonic() < deadline, f"never delivered: {sorted(missing)}")
        for body in subscriber.receive():
            delivered = json.loads(body, parse_float=Decimal)
            event = delivered["detail"]
            say(f"   {delivered['detail-type']:<16} {event['id']:<14} {_plain(event['data'])}")
            stored = missing.pop((event["streamid"], event["eventid"]), None)
            _must(
                stored is None or stored["payload"] == event["data"], f"{event['id']} was delivered changed"
            )
    say(f"   {len(appended)} events appended, {len(appended)} delivered")


def _line(event: dict[str, Any], *, with_stream: bool = False) -> str:
    place = f"{event['streamId']}/{event['eventId']}" if with_stream else f"{event['eventId']}"
    return (
        f"   {place:<{12 if with_stream else 2}} {_clock(event['timestamp'])} {event['eventName']:<16} "
        + _plain(event["payload"])
    )


def _plain(payload: dict[str, Any]) -> str:
    return ", ".join(
        f"{name} {json.dumps(value) if isinstance(value, str) else value}" for name, value in payload.items()
    )


def _clock(timestamp: str) -> str:
    return timestamp[11:-1]


def _must(holds: bool, otherwise: str) -> None:
    if not holds:
        raise ShowFailed(f"The show failed: {otherwise}.")
