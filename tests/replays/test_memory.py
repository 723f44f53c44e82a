"""What a step of a replay holds in memory, whatever the events are: counted in bytes, on DynamoDB Local."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator, Sequence
from unittest.mock import patch

import pytest

from eventstore.delivery.cloudevents import Entry, EntryFormat
from eventstore.delivery.publisher import Refusal
from eventstore.dynamodb.compression import Compression
from eventstore.dynamodb.items import item_from_event
from eventstore.dynamodb.store import DynamoDBEventStore
from eventstore.events import Event
from eventstore.limits import INVOKE_MAX_BYTES, REPLAY_PAGE_BYTES, REPLAY_SHARD_MB, replay_memory_mb
from eventstore.memory.replays import MemoryReplays
from eventstore.replays.service import Replay
from eventstore.replays.step import ReplayStep
from tests.replays.jobs import QUEUE, Consumer
from tests.tables import begun, dynamodb_client, events_table, over, put_items

MB = 1_024 * 1_024
SHARDS = 2
EVENTS = 32
PAGE_BYTES = 6 * MB
PAYLOAD = f'"{"x" * 385_000}🙂"'
"""Each of its characters takes four bytes in memory, because of the last one."""


class Forgetful(Consumer):
    """Takes all, and keeps nothing of it but the addresses."""

    seen: list[tuple[str, int]]

    def send(self, entries: Sequence[Entry]) -> list[Refusal | None]:
        self.seen = [*getattr(self, "seen", []), *((entry.stream_id, entry.event_id) for entry in entries)]
        return [None] * len(entries)


def large(event_id: int) -> Event:
    return Event(
        stream_id="s",
        event_id=event_id,
        name="Grown",
        payload=PAYLOAD,
        metadata="{}",
        uid=f"01890a5d-ac96-774b-bcce-{event_id:012}",
        timestamp_us=1_750_000_000_000_000 + event_id,
    )


@pytest.fixture(params=[None, "zlib"])
def events(request: pytest.FixtureRequest, dynamodb_endpoint: str) -> Iterator[DynamoDBEventStore]:
    client = dynamodb_client(dynamodb_endpoint)
    compression = Compression(request.param) if request.param else None
    with events_table(client) as table:
        store = begun(
            over(DynamoDBEventStore(client=client, table_name=table, compression=compression), SHARDS)
        )
        items = [
            item_from_event(large(number), shard=number % SHARDS, compression=compression)
            for number in range(1, EVENTS + 1)
        ]
        put_items(client, table, items)
        yield store


@patch("eventstore.replays.step.REPLAY_PAGE_BYTES", PAGE_BYTES)
def test_step_holds_a_bounded_part_of_large_events(events: DynamoDBEventStore) -> None:
    target, replays = Forgetful(max_bytes=INVOKE_MAX_BYTES, all_or_nothing=True), MemoryReplays()
    step = ReplayStep(
        store=replays,
        events=events,
        target=lambda _replay: target,
        entry_format=EntryFormat(source="shop", api_url="https://api.example.com", max_bytes=2 * MB),
    )
    now_us = large(EVENTS).timestamp_us + 1
    asked = {"target": QUEUE, "from_us": None, "to_us": now_us, "requested_us": now_us, "updated_us": now_us}
    replays.create(Replay(replay_id="r", **asked))  # type: ignore[arg-type]
    tracemalloc.start()
    try:
        while step.take("r", run=1, steps=1, remaining_time_s=lambda: 150.0).action == "step":
            pass
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert target.seen == [("s", number) for number in range(1, EVENTS + 1)]
    assert peak_bytes < PAGE_BYTES + SHARDS * REPLAY_SHARD_MB * MB + 8 * MB  # the entry that is just made
    assert peak_bytes < EVENTS * len(PAYLOAD) * 4 / 2


@pytest.mark.parametrize(("shards", "memory_mb"), [(1, 1_024), (64, 1_024), (65, 1_032), (1_000, 8_512)])
def test_function_has_memory_for_its_page_and_all_shards(shards: int, memory_mb: int) -> None:
    assert replay_memory_mb(shards) == memory_mb <= 10_240  # the most that Lambda gives
    assert memory_mb * MB - 2 * REPLAY_PAGE_BYTES - shards * REPLAY_SHARD_MB * MB >= 256 * MB
