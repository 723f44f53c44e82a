"""What the clients of a run share: the table, the wire to it, and what they know."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from eventstore.adapters.dynamodb.store import DynamoDBEventStore
from tests.proof.history import History
from tests.proof.wire import Faults
from tests.proof.world import World

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

STREAMS: Final = tuple([f"order-{number}" for number in range(6)] + [f"cart-{number}" for number in range(3)])
NAMES: Final = ("Placed", "Paid", "Shipped")
_SHARDS: Final = 3


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

    def store(
        self, *, clock_us: Callable[[], int], store_type: type[DynamoDBEventStore] | None = None
    ) -> DynamoDBEventStore:
        """Begin a process with a store of its own."""
        return (store_type or self.store_type)(
            client=self.client,
            table_name=self.table_name,
            write_shards=_SHARDS,
            clock_us=clock_us,
            clock_tolerance_s=None,
            random_bytes=self.world.rng.randbytes,
            random_shard=self.world.rng.randrange,
            jitter=self.world.rng.random,
            sleep=self.world.sleep,
        )
