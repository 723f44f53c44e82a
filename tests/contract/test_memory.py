from collections.abc import Callable

from eventstore import EventStore
from eventstore.memory.store import MemoryEventStore
from eventstore.testing import EventStoreContract


class TestMemoryEventStore(EventStoreContract):
    def make_store(self, *, clock_us: Callable[[], int], settling_s: float) -> EventStore:
        return MemoryEventStore(clock_us=clock_us, settling_s=settling_s)
