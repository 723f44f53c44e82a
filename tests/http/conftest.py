from __future__ import annotations

import pytest

from eventstore.memory.store import MemoryEventStore
from eventstore.testing.clock import FakeClock
from tests.http.gateway import Gateway


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def store(clock: FakeClock) -> MemoryEventStore:
    return MemoryEventStore(clock_us=clock)


@pytest.fixture
def gateway(store: MemoryEventStore) -> Gateway:
    return Gateway(store)
