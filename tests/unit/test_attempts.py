"""One call of a handler, and the tries of one event: what comes of them, and what is told of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from eventstore import Event
from eventstore.errors import HandlerUnavailable, InvalidSubscription, NotSynchronous, StoreUnavailable
from eventstore.subscriptions import OnFailure, Terms
from eventstore.subscriptions.attempts import Attempts, Behind, Called, Done, Failure, is_interrupt
from eventstore.subscriptions.projection import CALL, HandlerCall

AWAY = StoreUnavailable(operation="write", reason="throttled")


def event(event_id: int = 5, stream_id: str = "s") -> Event:
    return Event(stream_id, event_id, "E", "{}", "{}", "uid", 1)


def attempts(
    handler: Callable[[Event], object], *, on_failure: OnFailure = OnFailure.SKIP, **terms: Any
) -> Attempts:
    return Attempts(
        "view",
        handler,
        terms=Terms(**({"max_tries": 2} | terms)),
        on_failure=on_failure,
        sleep=lambda _: None,
        jitter=lambda: 1.0,
    )


def fails(_event: Event) -> None:
    raise ValueError("no good")


def make(of: Attempts, **options: Any) -> Done | Failure | Behind:
    given: dict[str, Any] = {"after": 2, "keep": lambda: True} | options
    return of.make(event(), **given)


def noting(raises: BaseException | None = None, **notes: Any) -> Callable[[Event], None]:
    """Return a handler in whose call a projection notes something."""

    def handler(_event: Event) -> None:
        call = CALL.get()
        assert call is not None
        for name, value in notes.items():
            setattr(call, name, value)
        if raises:
            raise raises

    return handler


# --- one call ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("on_failure", "parks_alone"), [(OnFailure.PARK, True), (OnFailure.PARK_STREAM, False)]
)
def test_handler_is_told_of_its_call_while_it_lasts(on_failure: OnFailure, *, parks_alone: bool) -> None:
    calls: list[tuple[Event, HandlerCall | None]] = []
    make(attempts(lambda one: calls.append((one, CALL.get())), on_failure=on_failure))
    assert calls == [(event(), HandlerCall(("s", 5), parks_alone=parks_alone, after=2))]
    assert CALL.get() is None


@pytest.mark.parametrize(
    ("handler", "is_first", "called"),
    [
        (noting(), True, Called(Done(is_repeated=False))),
        (noting(is_repeated=True), True, Called(Done(is_repeated=True))),
        (noting(is_repeated=True), False, Called(Done(is_repeated=False))),
        (noting(behind=0), True, Called(Behind(0))),
        (noting(AWAY, behind=3), True, Called(Behind(3))),
    ],
)
def test_outcome_of_a_call_is_what_a_projection_has_noted(
    handler: Callable[[Event], None], called: Called, *, is_first: bool
) -> None:
    assert attempts(handler).call(event(), after=2, is_first=is_first) == called


@pytest.mark.parametrize(
    ("error", "is_failure"),
    [
        (ValueError("no"), True),
        (asyncio.CancelledError(), True),
        (ExceptionGroup("both", [ValueError("no"), TypeError("no")]), True),
        (KeyboardInterrupt(), False),
        (SystemExit(), False),
        (BaseExceptionGroup("both", [ValueError("no"), SystemExit()]), False),
        (BaseExceptionGroup("deep", [BaseExceptionGroup("both", [ValueError("no"), SystemExit()])]), False),
        (NotSynchronous("handler", "is async"), False),
    ],
)
def test_error_of_a_call_is_a_failure_unless_it_ends_the_worker(
    error: BaseException, *, is_failure: bool
) -> None:
    assert attempts(noting(error)).call(event(), after=2, is_first=True) == Called(
        None, error, is_failure=is_failure
    )


def test_interrupt_of_a_call_is_one_whatever_a_projection_has_noted() -> None:
    stop = KeyboardInterrupt()
    assert attempts(noting(stop, behind=3)).call(event(), after=2, is_first=True) == Called(None, stop)


@pytest.mark.parametrize("raises", [None, ValueError("no good"), KeyboardInterrupt()])
def test_projection_that_was_refused_is_raised_whatever_the_handler_does(
    raises: BaseException | None,
) -> None:
    called = attempts(noting(raises, is_out_of_order=True)).call(event(), after=2, is_first=True)
    assert (called.outcome, called.is_failure) == (None, False)
    assert isinstance(called.error, InvalidSubscription)
    assert CALL.get() is None


def test_work_still_to_be_done_is_refused_with_event_and_handler() -> None:
    def lazy(_event: Event) -> Any:
        return (number for number in range(3))

    error = attempts(lazy).call(event(), after=2, is_first=True).error
    assert isinstance(error, NotSynchronous)
    assert error.field == "handler"
    assert "lazy returned a generator for event 5 of stream 's'" in str(error)


@pytest.mark.parametrize(
    ("error", "is_stop"),
    [
        (KeyboardInterrupt(), True),
        (BaseExceptionGroup("both", [ValueError("no"), KeyboardInterrupt()]), True),
        (BaseExceptionGroup("deep", [BaseExceptionGroup("one", [KeyboardInterrupt()])]), True),
        (BaseExceptionGroup("both", [SystemExit(), KeyboardInterrupt()]), False),
        (ValueError("no"), False),
        (SystemExit(), False),
    ],
)
def test_interrupt_is_the_users_own_stop_and_nothing_else(error: BaseException, *, is_stop: bool) -> None:
    assert is_interrupt(error) is is_stop


# --- what may have been done -------------------------------------------------------------------------------


def test_call_is_the_first_unless_its_event_is_among_those_called_last() -> None:
    of = attempts(fails)
    assert [of.is_first(event(number)) for number in (1, 1, 2, 1)] == [True, False, True, True]
    of = attempts(fails, concurrency=2)
    most = Terms(concurrency=2).look_ahead
    assert [of.is_first(event(number)) for number in range(most)] == [True] * most
    assert [of.is_first(event(number)) for number in (0, most)] == [False, True]  # the second is forgotten
    assert [of.is_first(event(number)) for number in (0, 2, 1)] == [False, False, True]
    assert of.is_first(event(0, "t"))


# --- the tries ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 2])
def test_call_that_has_begun_before_is_the_first_try(count: int) -> None:
    calls: list[str] = []

    def ahead() -> Called:
        calls.append("ahead")
        return (
            Called(None, ValueError("no"), is_failure=True) if count == 2 else Called(Done(is_repeated=False))
        )

    of = attempts(lambda _: calls.append("again"))
    assert make(of, ahead=ahead) == Done(is_repeated=False)
    assert calls == ["ahead", "again"][:count]


def test_events_first_try_alone_says_that_it_was_repeated() -> None:
    tries: list[None] = []

    def handler(_event: Event) -> None:
        tries.append(None)
        if len(tries) == 1:
            raise ValueError("no good")
        noting(is_repeated=True)(_event)

    assert make(attempts(handler)) == Done(is_repeated=False)


def test_failure_has_the_text_and_the_end_of_the_traceback() -> None:
    failure = make(attempts(fails, max_tries=1))
    assert isinstance(failure, Failure)
    assert (failure.reason, type(failure.error)) == ("ValueError: no good", ValueError)
    assert failure.traceback.endswith("ValueError: no good\n")

    def fails_long(_event: Event) -> None:
        raise ValueError("x" * 5_000 + "\udcff.")

    failure = make(attempts(fails_long, max_tries=1))
    assert isinstance(failure, Failure)
    assert failure.reason == f"ValueError: {'x' * 5_000}"[:1_000]
    assert len(failure.traceback) == 4_000
    assert failure.traceback.endswith("x\\udcff.\n")


def test_what_is_away_is_raised_and_not_tried_again() -> None:
    calls: list[None] = []

    def away(_event: Event) -> None:
        calls.append(None)
        raise AWAY

    with pytest.raises(StoreUnavailable):
        make(attempts(away))
    assert len(calls) == 1


def test_error_that_passes_is_told_with_the_event_and_the_subscription() -> None:
    with pytest.raises(HandlerUnavailable) as caught:
        make(attempts(fails, transient=lambda error: isinstance(error, ValueError)))
    told = caught.value
    assert (told.subscription, told.stream_id, told.event_id) == ("view", "s", 5)
    assert (told.reason, type(told.__cause__)) == ("ValueError: no good", ValueError)


def test_question_whether_an_error_passes_may_fail_itself() -> None:
    def broken(_error: BaseException) -> bool:
        raise RuntimeError("b" * 2_000 if long else "broken")

    for long in (False, True):
        failure = make(attempts(fails, transient=broken, max_tries=1))
        assert isinstance(failure, Failure)
        assert len(failure.reason) <= 1_000
        if not long:
            assert failure.reason == (
                "transient raised RuntimeError: broken, when asked whether this passes: ValueError: no good"
            )
        assert isinstance(failure.error, ValueError)

    def away(_error: BaseException) -> bool:
        raise AWAY

    with pytest.raises(StoreUnavailable):
        make(attempts(fails, transient=away))


def test_question_that_returns_later_work_is_refused_by_name() -> None:
    def later(_error: BaseException) -> Any:
        return (number for number in range(3))

    with pytest.raises(NotSynchronous, match="later returned a generator") as caught:
        make(attempts(fails, transient=later))
    assert caught.value.field == "transient"


def test_tries_end_where_the_lease_is_lost() -> None:
    calls: list[None] = []

    def handler(_event: Event) -> None:
        calls.append(None)
        raise ValueError("no good")

    assert isinstance(make(attempts(handler, max_tries=5), keep=lambda: len(calls) < 3), Failure)
    assert len(calls) == 3
