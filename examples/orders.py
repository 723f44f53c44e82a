"""An aggregate on the event store: an order that can be paid once, whoever tries.

Run it without AWS: ``python examples/orders.py``
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from eventstore import Event, EventStore, NewEvent, execute
from eventstore.decisions.execute import Executed
from eventstore.memory.store import MemoryEventStore


@dataclass(frozen=True, slots=True)
class Order:
    """The state of one order, folded from its events."""

    total: Decimal = Decimal(0)
    paid: bool = False


class AlreadyPaid(Exception):
    """The order was paid before."""


def fold(order: Order, event: Event) -> Order:
    """Apply one event."""
    match event.name:
        case "OrderPlaced":
            return replace(order, total=event.data(parse_float=Decimal)["total"])
        case "OrderPaid":
            return replace(order, paid=True)
        case _:
            return order


def pay(order: Order) -> Sequence[NewEvent]:
    """Decide: checked again on the newest state after every conflict."""
    if order.paid:
        raise AlreadyPaid
    return [NewEvent.of("OrderPaid", {"amount": str(order.total)})]


def pay_order(store: EventStore, order_id: str) -> Executed[Order]:
    """Load the order, decide, append; again if another writer came first."""
    return execute(store, f"order-{order_id}", initial=Order(), fold=fold, decide=pay)


def main() -> None:
    """Place an order, pay it, and fail to pay it twice."""
    store = MemoryEventStore(settling_s=0)
    store.append("order-1", [NewEvent(name="OrderPlaced", payload='{"total": 12.30}')], expected=0)

    print(pay_order(store, "1").state)
    try:
        pay_order(store, "1")
    except AlreadyPaid:
        print("the order was paid before")
    for event in store.read_all(unsettled=True):
        print(event.time.isoformat(), event.stream_id, event.event_id, event.name, event.payload)


if __name__ == "__main__":
    main()
