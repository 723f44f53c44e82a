"""What publication costs at the table: requests and capacity units, as DynamoDB Local counts them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from eventstore import Event, NewEvent
from eventstore.delivery.cloudevents import EntryFormat
from eventstore.delivery.publisher import Publisher
from eventstore.dynamodb.store import DynamoDBEventStore
from eventstore.ordering.stream_order import ChangeRecord
from tests.buses import RecordingBus, RecordingFailedEvents
from tests.tables import Meter, dynamodb_client, events_table

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


class Costs:
    """A store on DynamoDB Local, its publisher, and a meter on what both ask."""

    def __init__(self, client: DynamoDBClient, table_name: str) -> None:
        self.now_us = 1_769_860_800_000_000
        self.store = DynamoDBEventStore(
            client=client, table_name=table_name, clock_us=lambda: self.now_us, clock_tolerance_s=None
        )
        self.meter = Meter.on(client)
        self.bus = RecordingBus()
        self.publisher = Publisher(
            reader=self.store,
            bus=self.bus,
            failed_events=RecordingFailedEvents(),
            entry_format=EntryFormat(source="shop", api_url="https://api.example.com"),
        )

    def append(
        self, *, events: int, apart_s: float, stream_id: str = "a", size_bytes: int = 0
    ) -> list[Event]:
        appended: list[Event] = []
        new = NewEvent(name="Happened", payload=f'"{"x" * size_bytes}"')
        for _ in range(events):
            appended += self.store.append(stream_id, [new], expected=len(appended)).events
            self.now_us += round(apart_s * 1_000_000)
        self.meter.reset()
        return appended

    def publish(self, *events: Event) -> None:
        records = [
            ChangeRecord(str(place), event.stream_id, event.event_id, event)
            for place, event in enumerate(events)
        ]
        assert self.publisher.publish(records, remaining_time_s=lambda: 60.0).stopped is None


@pytest.fixture
def costs(dynamodb_endpoint: str) -> Iterator[Costs]:
    client = dynamodb_client(dynamodb_endpoint)
    with events_table(client, is_streamed=True) as table_name:
        yield Costs(client, table_name)


def test_first_event_of_a_stream_and_a_remembered_stream_cost_no_read(costs: Costs) -> None:
    first, second = costs.append(events=2, apart_s=1)
    costs.publish(first)
    costs.publish(second)
    assert costs.meter.requests == []


def test_preceding_event_beyond_the_window_costs_one_request_and_one_unit(costs: Costs) -> None:
    events = costs.append(events=3, apart_s=60)
    costs.publish(events[2])
    assert (costs.meter.requests, costs.meter.table_units) == (["BatchGetItem"], 1.0)


@pytest.mark.parametrize(("streams", "requests"), [(100, 1), (101, 2)])
def test_preceding_events_of_100_streams_cost_one_request_and_a_unit_each(
    costs: Costs, streams: int, requests: int
) -> None:
    last = [costs.append(events=2, apart_s=60, stream_id=f"order-{n}")[1] for n in range(streams)]
    costs.publish(*last)
    assert costs.meter.requests == ["BatchGetItem"] * requests
    assert costs.meter.table_units == streams
    assert len(costs.bus.taken) == streams


def test_preceding_events_of_large_payload_cost_their_size_and_are_not_sent(costs: Costs) -> None:
    _, second = costs.append(events=2, apart_s=60, size_bytes=40_000)
    costs.publish(second)
    assert (costs.meter.requests, costs.meter.table_units) == (["BatchGetItem"], 10.0)


def test_preceding_events_within_the_window_cost_a_query_besides(costs: Costs) -> None:
    events = costs.append(events=6, apart_s=0.1)
    costs.publish(events[5])
    assert (costs.meter.requests, costs.meter.table_units) == (["BatchGetItem", "Query"], 2.0)
    assert [event_id for _, event_id in costs.bus.taken] == [1, 2, 3, 4, 5, 6]


def test_hole_inside_a_batch_costs_one_query(costs: Costs) -> None:
    events = costs.append(events=5, apart_s=60)
    costs.publish(events[0], events[4])
    assert (costs.meter.requests, costs.meter.table_units, costs.meter.items) == (["Query"], 1.0, 3)
