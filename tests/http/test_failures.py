"""When the store fails: nothing leaks to the client, everything goes to the log."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from eventstore import Event
from eventstore.errors import AccessDenied, MalformedItem, StoreUnavailable
from eventstore.memory.store import MemoryEventStore
from eventstore.store import AllEvents
from tests.http.gateway import Answer, Gateway

SECRET = "arn:aws:dynamodb:eu-central-1:123456789012:table/events"
PLACED = {"eventName": "OrderPlaced", "payload": {}}


class Failing(MemoryEventStore):
    def __init__(self, error: Exception) -> None:
        super().__init__()
        self._error = error

    def transact(self, *_: Any) -> Any:
        raise self._error

    def head(self, *_: Any) -> Any:
        raise self._error

    def read_stream(self, *_: Any, **__: Any) -> Any:
        raise self._error
        yield

    def read_all(self, **_: Any) -> Any:
        raise self._error


def all_answers(error: Exception) -> list[Answer]:
    gateway = Gateway(Failing(error))
    answers = [gateway.append("s", PLACED)]
    for path in ("/streams/s", "/streams/s/events", "/events"):
        answers.append(gateway.get(path))
        assert gateway.last is not None
        assert gateway.last.error is error
    return answers


@pytest.mark.parametrize("operation", ["Query", "PutItem"])
def test_unavailable_store_is_told_with_when_to_try_again(operation: str) -> None:
    answers = all_answers(StoreUnavailable(operation=operation, reason=f"throttled: {SECRET}"))
    for answer in answers:
        assert (answer.status, answer.problem) == (503, "unavailable")
        assert answer.headers["retry-after"] == "1"
        assert SECRET not in answer.text
    appended, *read = answers
    assert (
        "may have been written: repeat it with the same event uids and the same expectedVersion"
        in (appended.json["detail"])
    )
    for answer in read:
        assert answer.json["detail"] == "Try again after `Retry-After` seconds. Nothing was written."


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError(SECRET),
        KeyError(SECRET),
        AccessDenied(action="dynamodb:PutItem", resource=SECRET, operation="PutItem", reason="no"),
    ],
)
def test_bug_is_told_without_anything_of_it(error: Exception) -> None:
    answers = all_answers(error)
    for answer in answers:
        assert (answer.status, answer.problem) == (500, "internal")
        assert "x-correlation-id" in answer.json["detail"]
        assert SECRET not in answer.text
    assert "may have been written: repeat it with the same event uids" in answers[0].json["detail"]


def test_malformed_item_is_named_so_that_it_can_be_repaired() -> None:
    error = MalformedItem(stream_id="s", event_id=7, reason="EventName is missing")
    for answer in all_answers(error):
        assert (answer.status, answer.problem) == (500, "malformed-item")
        assert (answer.json["streamId"], answer.json["eventId"]) == ("s", 7)


@pytest.mark.parametrize("broken", [{"payload": '{"total": '}, {"payload": "NaN"}, {"metadata": "1 2"}])
def test_item_that_was_written_by_hand_does_not_make_an_unreadable_answer(broken: dict[str, str]) -> None:
    class ByHand(MemoryEventStore):
        def read_stream(self, *_: Any, **__: Any) -> Iterator[Event]:
            yield replace(Event("s", 7, "Happened", "null", "{}", "", 1), **broken)  # type: ignore[arg-type]

        def read_all(self, **_: Any) -> AllEvents:
            return AllEvents(self.read_stream(), 2)

    gateway = Gateway(ByHand())
    for path in ("/streams/s/events", "/events"):
        answer = gateway.get(path)
        assert (answer.status, answer.problem) == (500, "malformed-item")
        assert (answer.json["streamId"], answer.json["eventId"]) == ("s", 7)
