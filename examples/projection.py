"""A read model of all orders, projected effectively once by workers that share the work.

Run it without AWS: ``python examples/projection.py``. On AWS the ports are `DynamoDBEventLog`,
`DynamoDBEventBodies`, `DynamoDBCheckpoints` and `DynamoDBReadModel`, and a write is an item of
TransactWriteItems; docs/subscriptions.md has that.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal

from eventstore import ANY, Event, NewEvent
from eventstore.memory.checkpoints import MemoryCheckpoints, MemoryEventBodies
from eventstore.memory.log import MemoryEventLog
from eventstore.memory.read_model import MemoryReadModel
from eventstore.memory.store import MemoryEventStore
from eventstore.subscriptions import Projection, subscribe

Totals = dict[str, Decimal]


def projection_into(totals: Totals) -> Projection[Callable[[], object]]:
    """Make the projection: what an event changes in the read model."""

    def project(event: Event) -> Sequence[Callable[[], object]]:
        if event.name == "OrderPlaced":
            total = event.data(parse_float=Decimal)["total"]
            return [lambda: totals.update({event.stream_id: total})]
        if event.name == "OrderCancelled":
            return [lambda: totals.pop(event.stream_id)]
        return []

    return Projection(name="open-orders", project=project, read_model=MemoryReadModel())


def main() -> None:
    """Place orders, project them, then go on live in a second worker."""
    log = MemoryEventLog()
    store = MemoryEventStore(log=log)
    checkpoints, bodies = MemoryCheckpoints(), MemoryEventBodies(store)
    totals: Totals = {}
    projection = projection_into(totals)

    for number in (1, 2, 3):
        placed = NewEvent(name="OrderPlaced", payload=f'{{"total": {number}.50}}')
        store.append(f"order-{number}", [placed], expected=0)
    worker = subscribe("open-orders", projection, log=log, bodies=bodies, checkpoints=checkpoints)
    worker.run(until=lambda: len(totals) == 3)
    print("history:", dict(sorted(totals.items())))

    store.append("order-2", [NewEvent.of("OrderCancelled")], expected=ANY)
    other = subscribe("open-orders", projection, log=log, bodies=bodies, checkpoints=checkpoints)
    other.run(until=lambda: len(totals) == 2)
    print("live:", dict(sorted(totals.items())))

    for event in store.read_stream("order-2"):
        projection(event)  # a repeat changes nothing
    print("repeated:", dict(sorted(totals.items())))


if __name__ == "__main__":
    main()
