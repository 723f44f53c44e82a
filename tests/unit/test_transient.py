"""Which errors pass by themselves: for the store's adapters and for handlers by one table."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Final

import pytest
from botocore import exceptions
from botocore.exceptions import ClientError
from botocore.parsers import ResponseParserError

from eventstore import Event
from eventstore import _passing as passing
from eventstore.aws.answers import NOT_ANSWERED
from eventstore.dynamodb.requests import RefusedForSize, send_once
from eventstore.errors import StoreUnavailable
from eventstore.subscriptions import OnFailure, Terms, is_transient
from tests.unit.test_subscriptions import World

AWAY: Final = StoreUnavailable(operation="Query", reason="throttled")
CODES: Final = sorted(
    {
        *passing.PASSING_CODES,
        passing.TRANSACTION_CONFLICT,
        passing.TRANSACTION_CANCELED,
        "",
        "AccessDeniedException",
        "ConditionalCheckFailedException",
        "ResourceNotFoundException",
        "UnrecognizedClientException",
        "ValidationException",
    }
)
STATUSES: Final = (0, 200, 302, 304, 400, 401, 403, 404, 408, 409, 413, 425, 429, 500, 502, 503, 504, 599)


def refusal(code: str, status: int, **answer: Any) -> ClientError:
    response = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}, **answer}
    return ClientError(response, "PutItem")  # type: ignore[arg-type]


def store_waits_for(error: Any) -> bool:
    def put_item(**_: Any) -> Any:
        raise error

    try:
        # A request that can be refused so: else the answer would be another request's.
        reasons = getattr(error, "response", {}).get("CancellationReasons", [])
        send_once(put_item, ConditionExpression="c", TransactItems=[{}] * len(reasons))
    except StoreUnavailable as failed:
        return not isinstance(failed, RefusedForSize)
    except Exception:  # noqa: BLE001 - whatever else it is, the store doesn't wait
        return False
    raise AssertionError


@pytest.mark.parametrize("status", STATUSES[1:])
def test_store_and_handlers_wait_for_the_same_refusals(status: int) -> None:
    for code in [*CODES, str(status)]:
        assert is_transient(refusal(code, status)) is store_waits_for(refusal(code, status)), code


@pytest.mark.parametrize(
    "code", sorted(passing.PASSING_REASONS | {"None", "ConditionalCheckFailed", "Other"})
)
def test_store_and_handlers_wait_for_the_same_cancelled_transactions(code: str) -> None:
    for codes in ([code], ["None", code], ["None", "ThrottlingError", code]):
        error = refusal(passing.TRANSACTION_CANCELED, 400, CancellationReasons=[{"Code": of} for of in codes])
        assert is_transient(error) is store_waits_for(error), codes


BOTOCORES: Final = {
    name: kind
    for name, kind in vars(exceptions).items()
    if isinstance(kind, type) and issubclass(kind, exceptions.BotoCoreError)
} | {"ResponseParserError": ResponseParserError}


@pytest.mark.parametrize("name", sorted(BOTOCORES))
def test_store_and_handlers_wait_for_the_same_errors_of_botocore(name: str) -> None:
    class Raised(BOTOCORES[name]):  # type: ignore[misc]
        def __init__(self) -> None:
            """Made without the texts that each asks for."""

    assert is_transient(Raised()) is store_waits_for(Raised()) is issubclass(Raised, NOT_ANSWERED)


@pytest.mark.parametrize("code", sorted(passing.EXPIRED_CODES))
def test_expired_credentials_are_waited_for_by_handlers_not_by_the_store(code: str) -> None:
    assert is_transient(refusal(code, 403))
    assert not store_waits_for(refusal(code, 403))


@pytest.mark.parametrize("status", [304, 400, 403, 404, 412])
def test_answer_of_aws_without_a_body_as_to_head_is_no_passing_trouble(status: int) -> None:
    metadata = {"HTTPStatusCode": status, "RequestId": "7X"}
    assert not is_transient(refusal(str(status), status, ResponseMetadata=metadata))


# --- errors of any form ---------------------------------------------------------------------------------


class Odd(ClientError):
    """As somebody else may have made it."""

    def __init__(self, response: object) -> None:
        self.response = response  # type: ignore[assignment]


@pytest.mark.parametrize(
    "response",
    [
        None,
        [],
        {},
        {"Error": None},
        {"Error": {}},
        {"Error": {"Code": None}, "ResponseMetadata": None},
        {"Error": {"Code": ["SlowDown"]}, "ResponseMetadata": {"HTTPStatusCode": "400"}},
        {"Error": {"Code": 400}, "ResponseMetadata": {"HTTPStatusCode": None}},
        {"Error": {"Code": {}}, "ResponseMetadata": []},
        {"Error": {"Code": "TransactionCanceledException"}, "CancellationReasons": [{"Code": ["Other"]}]},
    ],
    ids=str,
)
def test_refusal_of_any_form_is_told_without_an_error(response: object) -> None:
    assert not is_transient(Odd(response))


def test_refusal_without_a_response_is_told_without_an_error() -> None:
    assert not is_transient(ClientError.__new__(ClientError))


@pytest.mark.parametrize("code", [None, ["SlowDown"], "", "404"])
def test_refusal_without_a_readable_code_is_foreign_unless_it_has_an_id(code: object) -> None:
    answered = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": 404}}
    assert is_transient(Odd(answered))
    assert not is_transient(Odd(answered | {"ResponseMetadata": {"HTTPStatusCode": 404, "RequestId": "7X"}}))


def test_transaction_cancelled_for_all_passing_reasons_at_once_is_waited_for() -> None:
    reasons = [{"Code": code} for code in sorted(passing.PASSING_REASONS | {passing.NO_REASON})]
    assert is_transient(refusal(passing.TRANSACTION_CANCELED, 400, CancellationReasons=reasons))


def test_response_of_another_library_is_not_read() -> None:
    class Theirs(Exception):
        response: Final = {"Error": {"Code": "SlowDown"}, "ResponseMetadata": {"HTTPStatusCode": 503}}

    assert not is_transient(Theirs())


def from_itself(last: BaseException | None) -> BaseException:
    error = ValueError("x")
    error.__cause__ = error if last is None else last
    return error


def in_a_circle(last: BaseException | None) -> BaseException:
    first, second = ValueError("first"), ValueError("second")
    first.__cause__, second.__cause__ = second, last or first
    return first


def before_a_circle(last: BaseException | None) -> BaseException:
    first, second, third = ValueError("first"), ValueError("second"), ValueError("third")
    first.__cause__, second.__cause__, third.__cause__ = second, third, last or second
    return first


def in_a_long_chain(last: BaseException | None) -> BaseException:
    error = last
    for _ in range(2_000):
        further = ValueError("\0\ud800" + "x" * 100)
        further.__cause__, error = error, further
    assert error is not None
    return error


def in_deep_groups(last: BaseException | None) -> BaseException:
    error = last or ValueError("x")
    for _ in range(2_000):
        error = BaseExceptionGroup("of one", [error])
    return error


def in_a_circle_of_groups(last: BaseException | None) -> BaseException:
    first, shared = ValueError("first"), last or ValueError("shared")
    group = ExceptionGroup("both", [first, shared, shared])  # type: ignore[list-item]
    first.__cause__ = group if last is None else shared
    return group


FORMS: Final = [
    from_itself,
    in_a_circle,
    before_a_circle,
    in_a_long_chain,
    in_deep_groups,
    in_a_circle_of_groups,
]


@pytest.mark.parametrize("form", FORMS)
def test_error_of_any_form_passes_only_with_what_it_rests_on(
    form: Callable[[BaseException | None], BaseException],
) -> None:
    assert is_transient(form(AWAY))
    assert not is_transient(form(None))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("on_failure", [OnFailure.PARK, OnFailure.SKIP])
def test_error_of_any_form_ends_no_worker(
    form: Callable[[BaseException | None], BaseException],
    on_failure: OnFailure,
    caplog: pytest.LogCaptureFixture,
) -> None:
    world = World(tranches=1)
    world.append("a", "Opened")
    world.append("b", "Opened")

    def handle(event: Event) -> None:
        if event.stream_id == "a":
            raise form(None)
        world.handle(event)

    with caplog.at_level(logging.WARNING):
        worker = world.worker(handle, on_failure=on_failure)
        worker.step()
    assert (worker.counts.parked + worker.counts.skipped, world.seen) == (1, [("b", 1)])


# --- a `transient` of the user's own --------------------------------------------------------------------


def test_fault_in_transient_is_the_events_failure_and_named_as_such() -> None:
    world = World(tranches=1)
    world.append("a", "Opened")
    world.append("b", "Opened")

    def handle(event: Event) -> None:
        if event.stream_id == "a":
            raise ValueError("no good")
        world.handle(event)

    terms = Terms(transient=lambda error: error.response["x"])  # type: ignore[attr-defined]
    world.worker(handle, terms=terms).step()
    (of,) = world.checkpoints.read_parked("view")
    assert (of.stream_id, world.seen) == ("a", [("b", 1)])
    assert of.reason.startswith("transient raised AttributeError: 'ValueError' object")
    assert of.reason.endswith("when asked whether this passes: ValueError: no good")
    assert "in handle" in of.traceback


def test_store_that_is_away_for_transient_is_waited_for() -> None:
    world = World(tranches=1)
    world.append("a", "Opened")

    def transient(_error: BaseException) -> bool:
        raise AWAY

    def handle(event: Event) -> None:
        if world.now_s < 60:
            raise ValueError("no good")
        world.handle(event)

    world.worker(handle, terms=Terms(transient=transient)).run(until=lambda: bool(world.seen))
    assert world.now_s >= 60
