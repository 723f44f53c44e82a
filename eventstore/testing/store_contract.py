"""What the parts of the contract of `EventStore` work with."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from datetime import timedelta
from typing import Final
from uuid import uuid4

import pytest

from eventstore import EventStore, NewEvent
from eventstore.testing.clock import FakeClock

HOUR: Final = timedelta(hours=1)
SETTLING_S: Final = 10.0


def some_events(count: int = 1, *, name: str = "Happened", with_uids: bool = False) -> list[NewEvent]:
    """Make new events with distinct payloads."""
    return [NewEvent.of(name, {"n": n}, uid=str(uuid4()) if with_uids else None) for n in range(count)]


class StoreContract(ABC):
    """Makes the store that a part of the contract is tested with."""

    @abstractmethod
    def make_store(self, *, clock_us: Callable[[], int], settling_s: float) -> EventStore:
        """Make a store without events."""

    @pytest.fixture
    def clock(self) -> FakeClock:
        return FakeClock()

    @pytest.fixture
    def store(self, clock: FakeClock) -> EventStore:
        return self.make_store(clock_us=clock, settling_s=SETTLING_S)
