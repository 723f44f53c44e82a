"""Events as classes of your own: what stands in a payload, and how older payloads become today's classes."""

from __future__ import annotations

import dataclasses
import importlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from operator import methodcaller
from typing import Any, Generic, NamedTuple, TypeAlias, TypeVar

from eventstore._json import to_json
from eventstore.decisions.correlation import current_ids
from eventstore.errors import InvalidCodec, InvalidDecision, UndecodableEvent, UnknownEventName
from eventstore.events import SCHEMA_VERSION, Event, NewEvent, check_event_name

DomainEvent = TypeVar("DomainEvent")

Form: TypeAlias = tuple[str, int]
"""An event's name and the version of its payload."""
Upcaster: TypeAlias = Callable[[dict[str, Any]], dict[str, Any]]
"""Makes the payload of the next version; may change what it's given."""


@dataclass(frozen=True, slots=True)
class Renamed:
    """An upcaster to another name: ``("OrderPlaced", 1): Renamed("OrderCreated", by=add_channel)``."""

    name: str
    by: Upcaster = lambda payload: payload
    version: int = 1
    """The version of the payload under the new name."""


class Codec(Generic[DomainEvent]):
    """Turns events of your own classes into those of the store, and back.

    ::

        OrderEvent = OrderPlaced | OrderPaid
        codec: Codec[OrderEvent] = Codec(OrderPlaced, OrderPaid, upcasts={("OrderPlaced", 1): add_currency})

    Classes are dataclasses, classes of attrs, Structs of msgspec (all by msgspec: the extra ``codec``), or
    models of pydantic (by their own methods). Their datetimes, Decimals, UUIDs and enums survive. An event's
    name is its class's unless `names` has another.

    What is stored never changes. When a class's payload changes, give an upcaster for each earlier version:
    ``("OrderPlaced", 1)`` makes version 2 of what version 1 has stored. A class without one is in version 1.

    Args:
        types: the classes.
        names: of classes the names of their events, where those aren't the classes' own.
        upcasts: of each earlier name and version the function that makes the next version; a `Renamed` where
            the name changes.

    Raises:
        InvalidCodec: a class without fields, two of one name, or upcasters that have a gap or a circle, or
            lead to no class; or msgspec isn't installed.
    """

    def __init__(
        self,
        *types: type[DomainEvent],
        names: Mapping[type[DomainEvent], str] | None = None,
        upcasts: Mapping[Form, Upcaster | Renamed] | Iterable[tuple[Form, Upcaster | Renamed]] = (),
    ) -> None:
        if not types:
            raise InvalidCodec("types", "there is none; give the classes of the events")
        own = names or {}
        for kind in own:
            if kind not in types:
                raise InvalidCodec("names", f"has {kind!r}, which isn't one of the types")
        self._name_of: dict[type[DomainEvent], str] = {}
        self._types: dict[str, type[DomainEvent]] = {}
        self._conversions: dict[str, _Conversions] = {}
        for kind in types:
            conversions = _conversions(kind)
            name = check_event_name(own.get(kind, kind.__name__), field="names")
            if name in self._types:
                raise InvalidCodec("types", f"{kind!r} and {self._types[name]!r} both have the name {name!r}")
            self._name_of[kind], self._types[name], self._conversions[name] = name, kind, conversions
        self._upcasts = _by_form(upcasts)
        self._version_of = {name: self._newest(name) for name in self._types}
        for form in self._upcasts:
            self._check_chain(form)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the events that it knows, earlier ones included."""
        return tuple(dict.fromkeys([*self._types, *(name for name, _ in self._upcasts)]))

    def encode(
        self, event: DomainEvent, *, uid: str | None = None, metadata: Mapping[str, Any] | None = None
    ) -> NewEvent:
        """Make a new event, with the ids of the `correlation` that is at hand.

        Raises:
            InvalidDecision: it's of none of the classes.
            InvalidJson: it has a value that JSON doesn't know, such as NaN.
        """
        name = self._name_of.get(type(event))
        if name is None:
            known = ", ".join(kind.__name__ for kind in self._name_of)
            raise InvalidDecision("event", f"is {event!r:.80}, of none of the codec's classes ({known})")
        said = {**current_ids(), **(metadata or {})}
        if (version := self._version_of[name]) > 1:
            said[SCHEMA_VERSION] = version
        return NewEvent(
            name=name,
            payload=to_json(self._conversions[name].to_data(event)),
            metadata=to_json(said, field="metadata") if said else "{}",
            uid=uid,
        )

    def decode(self, event: Event) -> DomainEvent:
        """Make the event of one of the classes, by upcasters where it was written by an earlier version.

        Raises:
            UnknownEventName: no class and no upcaster has its name.
            UndecodableEvent: it's of a later version, or its payload doesn't fit the class.
        """
        name, version = event.name, _version(event)
        if name not in self._types and (name, version) not in self._upcasts:
            raise UnknownEventName(
                stream_id=event.stream_id, event_id=event.event_id, name=name, known=self.names
            )
        try:
            if version == self._version_of.get(name):
                decoded: DomainEvent = self._conversions[name].from_text(event.payload)
                return decoded
            return self._upcast(event, version)
        except UndecodableEvent:
            raise
        except Exception as error:
            raise _undecodable(event, f"{type(error).__name__}: {error}") from error

    def _upcast(self, event: Event, version: int) -> DomainEvent:
        form, payload = (event.name, version), json.loads(event.payload)
        while (upcast := self._upcasts.get(form)) is not None:
            by = upcast.by if isinstance(upcast, Renamed) else upcast
            payload = by(payload)
            if not isinstance(payload, dict):
                what = f"the upcaster of {form[0]} {form[1]} returned {payload!r:.80}, not the payload"
                raise _undecodable(event, what)
            form = _next(form, upcast)
        newest = self._version_of.get(form[0])
        if form[1] != newest:
            what = f"it's of version {version}, and the newest that is known here is {newest}"
            raise _undecodable(event, f"{what}: update this program")
        decoded: DomainEvent = self._conversions[form[0]].from_data(payload)
        return decoded

    def _newest(self, name: str) -> int:
        """Return the version that a class's payloads have today; refuse gaps on the way there."""
        earlier = [version for of, version in self._upcasts if of == name]
        reached = [form[1] for form in (_next(*pair) for pair in self._upcasts.items()) if form[0] == name]
        newest = max([1, *reached])
        for version in range(1, newest):
            if version not in earlier:
                what = f"has a gap: nothing makes the next version of {name!r} {version}"
                raise InvalidCodec("upcasts", f"{what}, though {newest} is the newest")
        return newest

    def _check_chain(self, form: Form) -> None:
        way = [form]
        while (upcast := self._upcasts.get(way[-1])) is not None:
            following = _next(way[-1], upcast)
            if following in way:
                circle = " -> ".join(f"{name} {version}" for name, version in [*way, following])
                raise InvalidCodec("upcasts", f"go in a circle: {circle}")
            way.append(following)
        name, version = way[-1]
        if self._version_of.get(name) != version:
            what = f"leads from {form[0]!r} {form[1]} to {name!r} {version}"
            raise InvalidCodec("upcasts", f"{what}, which no class has")


def _by_form(
    upcasts: Mapping[Form, Upcaster | Renamed] | Iterable[tuple[Form, Upcaster | Renamed]],
) -> dict[Form, Upcaster | Renamed]:
    found: dict[Form, Upcaster | Renamed] = {}
    for form, upcast in upcasts.items() if isinstance(upcasts, Mapping) else upcasts:
        is_form = isinstance(form, tuple) and len(form) == 2 and isinstance(form[0], str)
        if not is_form or type(form[1]) is not int or form[1] < 1:
            raise InvalidCodec("upcasts", f"has {form!r:.80}; it has to be a name and a version from 1 on")
        if form in found:
            raise InvalidCodec("upcasts", f"has two for {form[0]!r} {form[1]}; keep one of them")
        if not callable(upcast.by if isinstance(upcast, Renamed) else upcast):
            raise InvalidCodec("upcasts", f"has {upcast!r:.80} for {form[0]!r} {form[1]}; give a function")
        found[form] = upcast
    return found


def _next(form: Form, upcast: Upcaster | Renamed) -> Form:
    return (upcast.name, upcast.version) if isinstance(upcast, Renamed) else (form[0], form[1] + 1)


def _version(event: Event) -> int:
    said = json.loads(event.metadata).get(SCHEMA_VERSION, 1) if event.metadata != "{}" else 1
    if type(said) is not int or said < 1:
        raise _undecodable(event, f"its {SCHEMA_VERSION} is {said!r:.40}, not a whole number from 1 on")
    return said


def _undecodable(event: Event, reason: str) -> UndecodableEvent:
    return UndecodableEvent(
        stream_id=event.stream_id, event_id=event.event_id, name=event.name, reason=reason
    )


# --- the libraries whose classes events can be ----------------------------------------------------------


class _Conversions(NamedTuple):
    """A class's events to data that JSON knows, and back from a payload's text or its data."""

    to_data: Callable[[Any], Any]
    from_text: Callable[[str], Any]
    from_data: Callable[[dict[str, Any]], Any]


def _conversions(kind: object) -> _Conversions:
    """Find them once for each class: they are called for each event."""
    if not isinstance(kind, type):
        raise InvalidCodec("types", f"has {kind!r:.80}, which is no class")
    if hasattr(kind, "model_validate_json") and hasattr(kind, "model_dump"):
        of: Any = kind
        dump = methodcaller("model_dump", mode="json", by_alias=True)
        return _Conversions(dump, of.model_validate_json, of.model_validate)
    if not (
        dataclasses.is_dataclass(kind)
        or hasattr(kind, "__attrs_attrs__")
        or hasattr(kind, "__struct_fields__")
    ):
        what = f"{kind.__name__} has no fields that anybody could store"
        raise InvalidCodec("types", f"{what}: make it a dataclass, or a class of attrs, msgspec or pydantic")
    try:
        msgspec: Any = importlib.import_module("msgspec")
    except ModuleNotFoundError as error:
        what = "msgspec isn't installed here, which stores dataclasses, attrs and Structs"
        raise InvalidCodec("types", f"{what}: pip install 'eventstore-dynamodb[codec]'") from error
    return _Conversions(
        msgspec.to_builtins, partial(msgspec.json.decode, type=kind), partial(msgspec.convert, type=kind)
    )
