"""The ids that tell which events belong together, taken along from where work begins."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from types import MappingProxyType
from typing import Final

from eventstore.errors import InvalidArgument
from eventstore.events import CAUSATION_ID, CORRELATION_ID

_NONE: Final[Mapping[str, str]] = MappingProxyType({})
_ids: Final[ContextVar[Mapping[str, str]]] = ContextVar("eventstore.decisions.correlation", default=_NONE)


@contextmanager
def correlation(correlation_id: str | None = None, *, causation_id: str | None = None) -> Iterator[None]:
    """Give the events of a `Codec` these ids in their metadata, for as long as the block runs.

    ::

        with correlation(request_id, causation_id=command_id):
            orders.transact(store, "order-1", pay)

    What is None stays as it is around the block. It holds for this thread or task, and those that take its
    context over; metadata that is given to an event goes before it.

    Raises:
        InvalidArgument: an id is no text of at least one character.
    """
    given = {CORRELATION_ID: correlation_id, CAUSATION_ID: causation_id}
    for name, value in given.items():
        if value is not None and (not isinstance(value, str) or not value):
            raise InvalidArgument(name, f"is {value!r:.80}; it has to be a text of at least one character")
    token = _ids.set({**_ids.get(), **{name: value for name, value in given.items() if value is not None}})
    try:
        yield
    finally:
        _ids.reset(token)


def current_ids() -> Mapping[str, str]:
    """Return the ids that are at hand here, by their names in the metadata."""
    return _ids.get()
