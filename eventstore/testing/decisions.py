"""Given, when, then: what a `Decider` decides, without a store."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic

from eventstore.decisions.codec import DomainEvent
from eventstore.decisions.decider import Decider, State
from eventstore.events import NewEvent
from eventstore.limits import TRANSACTION_MAX_EVENTS
from eventstore.memory.store import MemoryEventStore

_STREAM = "given"


@dataclass(frozen=True, slots=True)
class Outcome(Generic[State, DomainEvent]):
    """What came of a decision: its events and result, or what it raised."""

    state: State
    events: tuple[DomainEvent, ...]
    result: Any
    error: Exception | None

    def then(self, *events: DomainEvent) -> Outcome[State, DomainEvent]:
        """Check that exactly these events were decided, none for nothing; return the same outcome."""
        if self.error is not None:
            raise self.error
        assert self.events == events, f"decided {self.events}, expected {events}"
        return self

    def then_raises(self, error: type[Exception]) -> Exception:
        """Check that the decision was refused by such an error; return it."""
        assert self.error is not None, f"decided {self.events}, expected {error.__name__}"
        if not isinstance(self.error, error):
            raise self.error
        return self.error

    def then_returns(self, result: object) -> Outcome[State, DomainEvent]:
        """Check what was returned beside the events; return the same outcome."""
        if self.error is not None:
            raise self.error
        assert self.result == result, f"returned {self.result!r}, expected {result!r}"
        return self


@dataclass(frozen=True, slots=True)
class Given(Generic[State, DomainEvent]):
    """The events of a stream; each `when` begins with these."""

    decider: Decider[State, DomainEvent]
    events: tuple[NewEvent, ...]

    @property
    def state(self) -> State:
        """What the events make."""
        return self.decider.load(self._store(), _STREAM).state

    def when(self, decide: Callable[[State], Any]) -> Outcome[State, DomainEvent]:
        """Decide; what is raised is kept for `Outcome.then_raises`."""
        try:
            decided = self.decider.transact(self._store(), _STREAM, decide)
        except Exception as error:  # noqa: BLE001 - it's raised again by who doesn't expect it
            return Outcome(self.state, (), None, error)
        return Outcome(decided.state, decided.events, decided.result, None)

    def _store(self) -> MemoryEventStore:
        store = MemoryEventStore()
        for first in range(0, len(self.events), TRANSACTION_MAX_EVENTS):
            store.append(_STREAM, self.events[first : first + TRANSACTION_MAX_EVENTS], expected=first)
        return store


def given(decider: Decider[State, DomainEvent], *events: DomainEvent) -> Given[State, DomainEvent]:
    """Begin with these events, which the codec writes and reads as it does for a store.

    ::

        given(orders, OrderPlaced(total=12)).when(lambda order: order.pay()).then(OrderPaid())
        given(orders).when(lambda order: order.pay()).then_raises(NothingToPay)
    """
    return Given(decider, tuple(decider.codec.encode(event) for event in events))
