"""An event store on DynamoDB: streams with optimistic locking, publication, and replay of everything.

::

    import eventstore
    from eventstore import NO_STREAM, NewEvent

    store = eventstore.connect("prod")  # "memory:" in tests: the same contract, without AWS
    store.append("order-1", [NewEvent.of("OrderPlaced", {"total": 12})], expected=NO_STREAM)

Errors are in `eventstore.errors`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from eventstore.events import Event, Head, NewEvent
from eventstore.positions import Position
from eventstore.store import ANY, EXISTS, NO_STREAM, Append, Appended, EventStore

if TYPE_CHECKING:
    from eventstore.connecting import Store, connect
    from eventstore.decisions.codec import Codec, Renamed
    from eventstore.decisions.correlation import correlation
    from eventstore.decisions.decider import Decider
    from eventstore.decisions.execute import execute
    from eventstore.decisions.joint import decide_over
    from eventstore.delivery.published import Seen, parse_published
    from eventstore.log.model import LogPosition

__version__ = "0.1.0"

_WHEN_ASKED_FOR: Final = {
    "Codec": "decisions.codec",
    "Decider": "decisions.decider",
    "LogPosition": "log.model",
    "Renamed": "decisions.codec",
    "Seen": "delivery.published",
    "Store": "connecting",
    "connect": "connecting",
    "correlation": "decisions.correlation",
    "decide_over": "decisions.joint",
    "execute": "decisions.execute",
    "parse_published": "delivery.published",
}
"""By name the module that has it: the deployed functions need none of them, and begin sooner without."""

__all__ = [
    "ANY",
    "EXISTS",
    "NO_STREAM",
    "Append",
    "Appended",
    "Codec",
    "Decider",
    "Event",
    "EventStore",
    "Head",
    "LogPosition",
    "NewEvent",
    "Position",
    "Renamed",
    "Seen",
    "Store",
    "connect",
    "correlation",
    "decide_over",
    "execute",
    "parse_published",
]


def __getattr__(name: str) -> Any:
    """Import what is only imported when somebody asks for it."""
    if name not in _WHEN_ASKED_FOR:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_WHEN_ASKED_FOR[name]}"), name)
