"""What the clients of a run share: the table, the wire to it, and what they know."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from eventstore import Event
from eventstore.dynamodb.items import event_from_item
from eventstore.dynamodb.store import DynamoDBEventStore
from eventstore.limits import CLOCK_TOLERANCE_S
from tests.proof.history import History
from tests.proof.wire import Faults
from tests.proof.world import World

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

STREAMS: Final = tuple([f"order-{number}" for number in range(6)] + [f"cart-{number}" for number in range(3)])
NAMES: Final = ("Placed", "Paid", "Shipped")
SHARDS: Final = 2
MORE_SHARDS: Final = 4


@dataclass
class Service:
    """The table, the wire to it, and what the clients know."""

    world: World
    client: DynamoDBClient
    table_name: str
    faults: Faults
    store_type: type[DynamoDBEventStore] = DynamoDBEventStore
    history: History = field(default_factory=History)
    writers: int = 0
    compares_clocks: bool = True
    patient_client: DynamoDBClient | None = None
    """One that sends a request again by itself."""
    write_shards: int = SHARDS
    """What new processes of writers are told."""

    def store(
        self,
        *,
        clock_us: Callable[[], int],
        store_type: type[DynamoDBEventStore] | None = None,
        shards: int | None = None,
        client: DynamoDBClient | None = None,
    ) -> DynamoDBEventStore:
        """Begin a process with a store of its own; `shards` is what it is told, right or wrong."""
        store = (store_type or self.store_type)(
            client=client or self.client,
            table_name=self.table_name,
            clock_us=clock_us,
            clock_tolerance_s=CLOCK_TOLERANCE_S if self.compares_clocks else None,
            random_bytes=self.world.rng.randbytes,
            random_shard=self.world.rng.randrange,
            jitter=self.world.rng.random,
            sleep=self.world.sleep,
        )
        store.spread_over(shards or self.write_shards)
        store._server_clock._monotonic_s = lambda: self.world.now_us / 1_000_000
        return store


def read_table(client: DynamoDBClient, table_name: str) -> dict[str, list[Event]]:
    """Read every event's item, past the library's own reads."""
    table: dict[str, list[Event]] = {}
    for page in client.get_paginator("scan").paginate(TableName=table_name, ConsistentRead=True):
        for item in page["Items"]:
            if item["StreamId"]["S"].startswith("$"):  # the store's own
                continue
            event = event_from_item(item)
            table.setdefault(event.stream_id, []).append(event)
    return {name: sorted(table[name], key=lambda event: event.event_id) for name in sorted(table)}
