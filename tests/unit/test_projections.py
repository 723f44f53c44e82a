"""One call of a projection: what it gives its read model, and what it notes of the answer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from eventstore import Event
from eventstore.errors import EventsMissing, InvalidSubscription, NotSynchronous, ReadModelRefused
from eventstore.subscriptions import Projection
from eventstore.subscriptions.projection import CALL, HandlerCall

EVENT = Event("s", 5, "E", "{}", "{}", "uid", 1)


class Model:
    """A read model that answers as it's told to, and keeps what it was asked to write."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[list[str], str, Event, int]] = []

    def write(self, writes: Sequence[str], *, projection: str, event: Event, after: int) -> int | None:
        self.asked.append((list(writes), projection, event, after))
        answer: int | None = self.answers.pop(0)
        return answer


def project(event: Event) -> list[str]:
    return [event.name]


def projection(model: Model) -> Projection[str]:
    return Projection(name="view", project=project, read_model=model)


@pytest.fixture
def call() -> Iterator[HandlerCall]:
    """Be in a handler's call with the event, of whose stream 3 and 4 aren't asked for."""
    call = HandlerCall(("s", 5), parks_alone=False, after=2)
    token = CALL.set(call)
    yield call
    CALL.reset(token)


def test_event_is_written_behind_the_one_before_it() -> None:
    model = Model(None)
    assert projection(model)(EVENT) is True
    assert model.asked == [(["E"], "view", EVENT, 4)]


def test_event_of_a_handlers_call_is_written_behind_what_it_was_given(call: HandlerCall) -> None:
    model = Model(None)
    assert projection(model)(EVENT) is True
    assert model.asked == [(["E"], "view", EVENT, 2)]
    assert (call.is_repeated, call.behind) == (False, None)


@pytest.mark.parametrize("last", [5, 6])
def test_event_that_was_written_before_is_noted_as_repeated(call: HandlerCall, last: int) -> None:
    assert projection(Model(last))(EVENT) is False
    assert (call.is_repeated, call.behind) == (True, None)


def test_lowest_place_at_which_a_projection_misses_events_is_noted(call: HandlerCall) -> None:
    model = Model(1, 0, 1)
    for last, lowest in ((1, 1), (0, 0), (1, 0)):
        with pytest.raises(EventsMissing) as caught:
            projection(model)(EVENT)
        assert caught.value.last_event_id == last
        assert (caught.value.projection, caught.value.stream_id, caught.value.event_id) == ("view", "s", 5)
        assert (call.behind, call.is_repeated) == (lowest, False)


@pytest.mark.parametrize(
    "other", [Event("s", 6, "E", "{}", "{}", "u", 1), Event("t", 5, "E", "{}", "{}", "u", 1)]
)
def test_another_event_than_the_calls_own_is_written_and_not_noted(call: HandlerCall, other: Event) -> None:
    model = Model(None, 9, 0)
    assert projection(model)(other) is True
    assert projection(model)(other) is False
    with pytest.raises(EventsMissing):
        projection(model)(other)
    assert [after for _, _, _, after in model.asked] == [other.event_id - 1] * 3
    assert (call.is_repeated, call.behind) == (False, None)


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ("x", "Model.write returned 'x'; return None or the last EventId"),
        (True, "Model.write returned True; return None or the last EventId"),
        (2, "Model.write returned 2, which isn't in the event's way"),
        (4, "Model.write returned 4, which isn't in the event's way"),
    ],
)
def test_answer_of_a_read_model_that_can_not_be_is_refused_by_name(
    call: HandlerCall, answer: Any, told: str
) -> None:
    with pytest.raises(ReadModelRefused) as caught:
        projection(Model(answer))(EVENT)
    assert caught.value.reason == f"{__name__}.{told}"
    assert (caught.value.stream_id, caught.value.event_id) == ("s", 5)
    assert (call.is_repeated, call.behind) == (False, None)


@pytest.mark.parametrize("writes", ["text", b"text", {"a": 1}, None, 7])
def test_writes_that_are_no_list_are_refused_by_the_functions_name(writes: Any) -> None:
    def wrong(event: Event) -> Any:
        return writes

    model = Model()
    with pytest.raises(ReadModelRefused) as caught:
        Projection(name="view", project=wrong, read_model=model)(EVENT)
    assert f"wrong returned {writes!r}; return a list of writes, empty for none" in caught.value.reason
    assert (caught.value.stream_id, caught.value.event_id, model.asked) == ("s", 5, [])


def later() -> Iterator[str]:
    yield "a write"


def test_work_that_is_still_to_be_done_is_refused_by_what_returned_it() -> None:
    def lazy(event: Event) -> Any:
        return later()

    at = "returned a generator for event 5 of stream 's'"
    with pytest.raises(NotSynchronous, match=rf"^project: .*lazy {at}"):
        Projection(name="view", project=lazy, read_model=Model())(EVENT)
    with pytest.raises(NotSynchronous, match=rf"^read_model.write: .*Model.write {at}"):
        projection(Model(later()))(EVENT)


def test_projection_is_refused_where_events_are_parked_alone() -> None:
    call = HandlerCall(("s", 5), parks_alone=True, after=2)
    token = CALL.set(call)
    model = Model()
    try:
        with pytest.raises(InvalidSubscription) as caught:
            projection(model)(EVENT)
    finally:
        CALL.reset(token)
    assert caught.value.field == "on_failure"
    assert caught.value.reason == (
        "is PARK, but a projection takes no event behind a later one; use PARK_STREAM"
    )
    assert (call.is_out_of_order, model.asked) == (True, [])
