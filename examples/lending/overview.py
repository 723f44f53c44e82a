"""Who has which copy: a read model, kept by a worker of a subscription.

Run it beside the desk, as often as you like: ``python -m examples.lending.overview prod``.
"""

from __future__ import annotations

import signal
import sys
from datetime import date

import eventstore
from eventstore import Event, Store
from eventstore.subscriptions import Subscription
from examples.lending.copies import CopyLent, CopyReturned, codec


class Overview:
    """Handles each event at least once; the same again changes nothing."""

    def __init__(self) -> None:
        self.lent: dict[str, tuple[str, date]] = {}

    def __call__(self, event: Event) -> None:
        match codec.decode(event):
            case CopyLent(member=member, due=due):
                self.lent[event.stream_id] = member, due
            case CopyReturned():
                self.lent.pop(event.stream_id, None)

    def overdue(self, today: date) -> list[str]:
        """Tell which copies should be back."""
        return sorted(copy for copy, (_, due) in self.lent.items() if due < today)


def follow(store: Store, overview: Overview) -> Subscription:
    """Make a worker that keeps the overview."""
    return store.subscribe("overview", overview, names=["CopyLent", "CopyReturned"])


if __name__ == "__main__":
    worker = follow(eventstore.connect(sys.argv[1]), Overview())
    signal.signal(signal.SIGTERM, lambda *_: worker.stop())
    worker.run(until=lambda: False)
