"""Who has which copy, and how often each member borrowed: a read model, kept by workers of a subscription.

Run it beside the desk, as often as you like: ``python -m examples.lending.overview prod``.
"""

from __future__ import annotations

import signal
import sys
from datetime import date
from typing import Final

import eventstore
from eventstore import Event, Store
from eventstore.subscriptions import Delete, ItemReadModel, Put, Subscription, Update, Write
from examples.lending.copies import CopyLent, CopyReturned, codec

LENT: Final = "lent-copies"
"""A table with the key Copy (a text)."""
READERS: Final = "readers"
"""A table with the key Member (a text)."""


def project(event: Event) -> list[Write]:
    """Return what an event changes: each once, however often it comes."""
    copy = {"Copy": event.stream_id}
    match codec.decode(event):
        case CopyLent(member=member, due=due):
            lent = Put(LENT, copy, {"Member": member, "Due": due.isoformat()})
            return [lent, Update(READERS, {"Member": member}, add={"Loans": 1})]
        case CopyReturned():
            return [Delete(LENT, copy)]
    return []


def follow(store: Store) -> Subscription:
    """Make a worker that keeps the overview."""
    projection = store.projection("overview", project)
    return store.subscribe("overview", projection, names=["CopyLent", "CopyReturned"])


def loans(read_model: ItemReadModel, member: str) -> int:
    """Return how often a member has borrowed a copy."""
    reader = read_model.get(READERS, {"Member": member})
    return reader["Loans"] if reader else 0


def overdue(read_model: ItemReadModel, today: date) -> list[str]:
    """Return which copies should be back."""
    return sorted(item["Copy"] for item in read_model.items(LENT) if item["Due"] < today.isoformat())


if __name__ == "__main__":
    worker = follow(eventstore.connect(sys.argv[1]))
    signal.signal(signal.SIGTERM, lambda *_: worker.stop())
    worker.run_forever()
