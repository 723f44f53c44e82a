"""A read model of open orders, projected effectively once by workers that share the work.

Run it without AWS: ``python examples/projection.py``. With ``connect("prod")`` and a table ``open-orders`` of
the key ``Order`` the same lines project into DynamoDB.
"""

from __future__ import annotations

from decimal import Decimal

import eventstore
from eventstore import ANY, Event, NewEvent, Store
from eventstore.subscriptions import Delete, Put, Subscription, Write


def project(event: Event) -> list[Write]:
    """Return what an event changes in the read model."""
    order = {"Order": event.stream_id}
    if event.name == "OrderPlaced":
        return [Put("open-orders", order, {"Total": event.data(parse_float=Decimal)["total"]})]
    if event.name == "OrderCancelled":
        return [Delete("open-orders", order)]
    return []


def worker_of(store: Store) -> Subscription:
    """Make a worker that keeps the read model."""
    return store.subscribe("open-orders", store.projection("open-orders", project))


def totals(store: Store) -> dict[str, Decimal]:
    """Read the read model."""
    items = store.read_model.items("open-orders")
    return {item["Order"]: item["Total"] for item in sorted(items, key=lambda item: str(item["Order"]))}


def main() -> None:
    """Place orders, project them, then go on live in a second worker."""
    store = eventstore.connect("memory:")
    for number in (1, 2, 3):
        placed = NewEvent(name="OrderPlaced", payload=f'{{"total": {number}.50}}')
        store.append(f"order-{number}", [placed], expected=0)
    worker_of(store).run(until=lambda: len(totals(store)) == 3)
    print("history:", totals(store))

    store.append("order-2", [NewEvent.of("OrderCancelled")], expected=ANY)
    worker_of(store).run(until=lambda: len(totals(store)) == 2)
    print("live:", totals(store))

    again = store.projection("open-orders", project)
    for event in store.read_stream("order-2"):
        again(event)  # a repeat changes nothing
    print("repeated:", totals(store))


if __name__ == "__main__":
    main()
