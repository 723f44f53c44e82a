"""POST /streams/{streamId}/events again: answered as the first time, or refused by a problem of its own."""

from __future__ import annotations

import os
from typing import Any

import pytest

from eventstore import NewEvent
from eventstore._uids import uuid7
from eventstore.limits import TIMESTAMP_MAX_US, UID_SEARCH_MAX_EVENTS, UID_SKEW_S
from eventstore.memory.store import MemoryEventStore
from tests.http.gateway import Gateway

UID_1 = "01890a5d-ac96-774b-bcce-b302099a8057"
UID_2 = "01890a5d-ac97-7c42-9e0e-0a4f1c7a5d11"
PLACED = {"eventName": "OrderPlaced", "payload": {"total": 12}, "eventUid": UID_1}
PAID = {"eventName": "OrderPaid", "payload": None, "eventUid": UID_2}


@pytest.mark.parametrize("expected", [1, "any", "exists"])
def test_same_uids_under_another_expectation_are_answered_as_the_first_time(
    gateway: Gateway, store: MemoryEventStore, expected: Any
) -> None:
    first = gateway.append("order-1", PLACED)

    again = gateway.append("order-1", PLACED, expected=expected)

    assert (again.status, again.json) == (201, first.json)
    assert again.headers["idempotent-replay"] == "true"
    assert store.head("order-1").version == 1


@pytest.mark.parametrize("expected", [0, 1, "any", "exists"])
def test_append_that_is_known_in_part_is_refused_with_the_event_ids_found(
    gateway: Gateway, store: MemoryEventStore, expected: Any
) -> None:
    gateway.append("order-1", PLACED)

    answer = gateway.append("order-1", PLACED, PAID, expected=expected)

    assert (answer.status, answer.problem) == (409, "partly-appended")
    assert (answer.json["streamId"], answer.json["stored"]) == ("order-1", {UID_1: 1})
    assert store.head("order-1").version == 1


@pytest.mark.parametrize("expected", [0, 1, "any", "exists"])
@pytest.mark.parametrize(
    ("other", "differs"),
    [({"eventName": "OrderPaid"}, "name"), ({"payload": 1}, "payload"), ({"metadata": {"a": 1}}, "metadata")],
)
def test_known_uid_with_other_content_is_refused_and_nothing_is_dropped(
    gateway: Gateway, store: MemoryEventStore, expected: Any, other: dict[str, Any], differs: str
) -> None:
    gateway.append("order-1", PLACED)

    answer = gateway.append("order-1", {**PLACED, **other}, expected=expected)

    assert (answer.status, answer.problem) == (409, "event-uid-reused")
    told = {name: answer.json[name] for name in ("streamId", "eventId", "eventUid", "differs")}
    assert told == {"streamId": "order-1", "eventId": 1, "eventUid": UID_1, "differs": differs}
    assert store.head("order-1").version == 1


def test_uid_that_cannot_be_ruled_out_is_refused_with_which_uids_to_send(
    gateway: Gateway, store: MemoryEventStore
) -> None:
    head = store.head("order-1")
    for _ in range(UID_SEARCH_MAX_EVENTS // 100 + 1):
        head = store.append("order-1", [NewEvent(name="Happened")] * 100, expected=head).head
    random_uid = {**PLACED, "eventUid": "5d3b1c1e-0f5a-4c39-9d5e-3a6b3f0f9b11"}

    answer = gateway.append("order-1", random_uid, expected="any")

    assert (answer.status, answer.problem) == (409, "uid-not-searchable")
    assert answer.json["limit"] == UID_SEARCH_MAX_EVENTS
    assert "UUIDv7s" in answer.json["detail"]
    assert store.head("order-1") == head


def test_uuid7_too_far_ahead_is_refused_with_its_field(gateway: Gateway, store: MemoryEventStore) -> None:
    ahead_us = store._clock_us() + round((UID_SKEW_S + 5) * 1_000_000)
    ahead = {**PAID, "eventUid": uuid7(now_us=ahead_us, random_bytes=os.urandom)}

    answer = gateway.append("order-1", PLACED, ahead, expected="any")

    assert (answer.status, answer.problem) == (400, "invalid-event-uid")
    assert answer.json["field"] == "events[1].eventUid"
    assert f"{UID_SKEW_S:g} s ahead" in answer.json["detail"]


def test_timestamp_behind_the_year_9999_is_refused_as_not_written() -> None:
    store = MemoryEventStore(clock_us=lambda: TIMESTAMP_MAX_US + 1)

    answer = Gateway(store).append("order-1", PLACED)

    assert (answer.status, answer.problem) == (500, "timestamp-out-of-range")
    assert store.head("order-1").version == 0
