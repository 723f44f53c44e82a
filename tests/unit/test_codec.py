"""Events as classes: what is stored of them, how older payloads are read, and what is refused when."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
import pytest

from eventstore import Codec, Event, NewEvent, Renamed, correlation
from eventstore.errors import InvalidCodec, InvalidDecision, InvalidJson, UndecodableEvent, UnknownEventName


class Channel(Enum):
    SHOP = "shop"
    PHONE = "phone"


@dataclass(frozen=True)
class Line:
    sku: str
    count: int


@dataclass(frozen=True)
class OrderPlaced:
    order: UUID
    total: Decimal
    at: datetime
    channel: Channel
    lines: tuple[Line, ...] = ()


@dataclass(frozen=True)
class OrderClosed:
    """An event that says all by its name."""


class OrderPaid(msgspec.Struct, frozen=True):
    amount: float | None = None


PLACED = OrderPlaced(
    order=UUID("01890a5d-ac96-774b-bcce-b302099a8057"),
    total=Decimal("49.90"),
    at=datetime(2026, 1, 31, 12, 0, 0, 5, tzinfo=UTC),
    channel=Channel.PHONE,
    lines=(Line("A-1", 2), Line("B-2", 1)),
)


def stored(new: NewEvent) -> Event:
    return Event("order-1", 3, new.name, new.payload, new.metadata, "uid", 1)


def old(name: str, payload: Any, version: object = None) -> Event:
    metadata = {} if version is None else {"schemaVersion": version}
    return stored(NewEvent.of(name, payload, metadata=metadata))


# --- today's classes ----------------------------------------------------------------------------------


@pytest.mark.parametrize("event", [PLACED, OrderPaid(1.5), OrderPaid(), OrderClosed()])
def test_event_comes_back_as_it_was_with_all_of_its_values(event: Any) -> None:
    codec: Codec[Any] = Codec(OrderPlaced, OrderPaid, OrderClosed)
    new = codec.encode(event)
    assert (new.name, new.metadata) == (type(event).__name__, "{}")
    assert codec.decode(stored(new)) == event


def test_payload_is_plain_json_that_others_can_read() -> None:
    assert json.loads(Codec(OrderPlaced).encode(PLACED).payload) == {
        "order": "01890a5d-ac96-774b-bcce-b302099a8057",
        "total": "49.90",
        "at": "2026-01-31T12:00:00.000005Z",
        "channel": "phone",
        "lines": [{"sku": "A-1", "count": 2}, {"sku": "B-2", "count": 1}],
    }


def test_model_of_pydantic_is_stored_by_its_own_methods() -> None:
    class Model:
        """What the codec uses of pydantic's BaseModel, which isn't among this project's tools."""

        def __init__(self, amount: int) -> None:
            self.amount = amount

        def model_dump(self, *, mode: str, by_alias: bool) -> dict[str, Any]:
            assert (mode, by_alias) == ("json", True)
            return {"amount": self.amount}

        @classmethod
        def model_validate_json(cls, text: str) -> Model:
            return cls(json.loads(text)["amount"])

        @classmethod
        def model_validate(cls, data: dict[str, Any]) -> Model:
            return cls(data["amount"])

    codec = Codec(Model, upcasts={("Model", 1): lambda payload: {"amount": payload["sum"]}})
    new = codec.encode(Model(7))
    assert (new.payload, json.loads(new.metadata)) == ('{"amount":7}', {"schemaVersion": 2})
    assert codec.decode(stored(new)).amount == 7
    assert codec.decode(old("Model", {"sum": 9})).amount == 9


def test_name_of_an_event_can_be_another_than_its_classes() -> None:
    codec = Codec(OrderPaid, names={OrderPaid: "order.paid"})
    new = codec.encode(OrderPaid(2.0))
    assert (new.name, codec.names) == ("order.paid", ("order.paid",))
    assert codec.decode(stored(new)) == OrderPaid(2.0)


def test_value_that_json_does_not_know_is_refused_before_anything_is_written() -> None:
    with pytest.raises(InvalidJson):
        Codec(OrderPaid).encode(OrderPaid(float("nan")))


def test_event_of_another_class_is_refused() -> None:
    codec: Codec[Any] = Codec(OrderPaid)
    with pytest.raises(InvalidDecision, match=r"none of the codec's classes \(OrderPaid\)"):
        codec.encode(PLACED)


def test_uid_and_metadata_are_the_events() -> None:
    uid = "01890a5d-ac96-774b-bcce-b302099a8057"
    new = Codec(OrderPaid).encode(OrderPaid(), uid=uid, metadata={"user": "u1"})
    assert (new.uid, json.loads(new.metadata)) == (uid, {"user": "u1"})


# --- earlier versions ---------------------------------------------------------------------------------


def add_channel(payload: dict[str, Any]) -> dict[str, Any]:
    return {**payload, "channel": "shop"}


def in_cents(payload: dict[str, Any]) -> dict[str, Any]:
    return {"amount": payload["cents"] / 100}


@pytest.fixture
def codec() -> Codec[OrderPaid]:
    return Codec(
        OrderPaid,
        upcasts={
            ("OrderPaid", 1): in_cents,
            ("OrderPaid", 2): lambda payload: {"amount": payload["amount"] * 2},
            ("PaymentMade", 1): Renamed("OrderPaid", by=lambda payload: {"cents": payload["c"]}),
            ("PaymentMade", 2): Renamed("OrderPaid", version=3),
        },
    )


@pytest.mark.parametrize(
    ("event", "amount"),
    [
        (old("OrderPaid", {"cents": 150}), 3.0),
        (old("OrderPaid", {"cents": 150}, 1), 3.0),
        (old("OrderPaid", {"amount": 1.5}, 2), 3.0),
        (old("OrderPaid", {"amount": 3.0}, 3), 3.0),
        (old("PaymentMade", {"c": 150}), 3.0),
        (old("PaymentMade", {"amount": 3.0}, 2), 3.0),
    ],
)
def test_earlier_payloads_go_through_the_chain_to_todays_class(
    codec: Codec[OrderPaid], event: Event, amount: float
) -> None:
    assert codec.decode(event) == OrderPaid(amount)


def test_new_events_say_their_version_unless_it_is_the_first(codec: Codec[OrderPaid]) -> None:
    assert json.loads(codec.encode(OrderPaid(1.0)).metadata) == {"schemaVersion": 3}
    assert codec.names == ("OrderPaid", "PaymentMade")


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        (old("OrderPaid", {"amount": 1.0}, 4), "it's of version 4, and the newest .* is 3: update this"),
        (old("OrderPaid", {"amount": "much"}, 3), "ValidationError: Expected `float . null`, got `str`"),
        (old("OrderPaid", [1], 3), "ValidationError: Expected `object`"),
        (old("OrderPaid", {"other": 1}), "KeyError: 'cents'"),
        *[
            (old("OrderPaid", {}, bad), "schemaVersion is .*, not a whole number from 1 on")
            for bad in (0, -1, "2", 1.5, True, None.__class__.__name__)
        ],
    ],
)
def test_event_that_fits_no_class_is_named_with_its_address(
    codec: Codec[OrderPaid], event: Event, reason: str
) -> None:
    with pytest.raises(UndecodableEvent, match=reason) as caught:
        codec.decode(event)
    assert (caught.value.stream_id, caught.value.event_id, caught.value.name) == ("order-1", 3, "OrderPaid")


def test_upcaster_that_returns_no_payload_is_named() -> None:
    wrong: Callable[[dict[str, Any]], Any] = lambda payload: None  # noqa: E731
    codec = Codec(OrderPaid, upcasts={("OrderPaid", 1): wrong})
    with pytest.raises(UndecodableEvent, match="the upcaster of OrderPaid 1 returned None"):
        codec.decode(old("OrderPaid", {}))


@pytest.mark.parametrize("event", [old("OrderShipped", {}), old("PaymentMade", {}, 9)])
def test_event_of_a_name_that_nobody_knows_is_named(codec: Codec[OrderPaid], event: Event) -> None:
    with pytest.raises(UnknownEventName, match="add its class, or an upcaster") as caught:
        codec.decode(event)
    assert (caught.value.name, caught.value.known) == (event.name, ("OrderPaid", "PaymentMade"))


# --- what no codec can be made of ---------------------------------------------------------------------


class Plain:
    pass


class Tuple(NamedTuple):
    amount: int


def same(payload: dict[str, Any]) -> dict[str, Any]:
    return payload


@pytest.mark.parametrize(
    ("types", "options", "reason"),
    [
        ((), {}, "there is none"),
        ((Plain,), {}, "Plain has no fields .* make it a dataclass"),
        ((Tuple,), {}, "Tuple has no fields"),
        ((OrderPaid(),), {}, "is no class"),
        ((OrderPaid, OrderPaid), {}, "both have the name 'OrderPaid'"),
        ((OrderPaid, OrderClosed), {"names": {OrderPaid: "OrderClosed"}}, "both have the name"),
        ((OrderPaid,), {"names": {OrderClosed: "x"}}, "isn't one of the types"),
        ((OrderPaid,), {"upcasts": {("OrderPaid", 2): same}}, "gap: .* next version of 'OrderPaid' 1"),
        (
            (OrderPaid,),
            {"upcasts": {("OrderPaid", 1): same, ("OrderPaid", 3): same}},
            "gap: .* next version of 'OrderPaid' 2",
        ),
        (
            (OrderPaid,),
            {"upcasts": {("Other", 1): same}},
            "leads from 'Other' 1 to 'Other' 2, which no class",
        ),
        (
            (OrderPaid,),
            {"upcasts": {("Other", 1): Renamed("OrderPaid", version=3)}},
            "gap: .* next version of 'OrderPaid' 1",
        ),
        (
            (OrderPaid,),
            {"upcasts": {("A", 1): Renamed("B"), ("B", 1): Renamed("A")}},
            "circle: A 1 -> B 1 -> A 1",
        ),
        ((OrderPaid,), {"upcasts": [(("OrderPaid", 1), same)] * 2}, "two for 'OrderPaid' 1"),
        ((OrderPaid,), {"upcasts": {("OrderPaid", 0): same}}, "a name and a version from 1 on"),
        ((OrderPaid,), {"upcasts": {"OrderPaid": same}}, "a name and a version from 1 on"),
        ((OrderPaid,), {"upcasts": {("OrderPaid", 1): "same"}}, "give a function"),
    ],
)
def test_what_no_codec_can_be_made_of_is_refused_when_it_is_made(
    types: tuple[Any, ...], options: dict[str, Any], reason: str
) -> None:
    with pytest.raises(InvalidCodec, match=reason):
        Codec(*types, **options)


def test_missing_msgspec_is_told_with_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "msgspec", None)
    with pytest.raises(InvalidCodec, match=r"pip install 'eventstore-dynamodb\[codec\]'"):
        Codec(OrderClosed)


# --- ids that go along --------------------------------------------------------------------------------


def test_events_have_the_ids_of_the_correlation_that_is_at_hand() -> None:
    codec = Codec(OrderPaid)

    def said(**metadata: Any) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(codec.encode(OrderPaid(), metadata=metadata).metadata)
        return found

    with correlation("request-1", causation_id="command-1"):
        assert said() == {"correlationId": "request-1", "causationId": "command-1"}
        with correlation(causation_id="event-2"):
            assert said(user="u") == {
                "correlationId": "request-1",
                "causationId": "event-2",
                "user": "u",
            }
        assert said(causationId="own") == {"correlationId": "request-1", "causationId": "own"}
    assert said() == {}


@pytest.mark.parametrize("bad", ["", 7, b"x"])
def test_id_that_is_no_text_is_refused(bad: Any) -> None:
    with pytest.raises(ValueError, match="correlationId"), correlation(bad):
        pass
