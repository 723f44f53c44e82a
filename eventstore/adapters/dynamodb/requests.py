"""Requests to DynamoDB whose failures become the library's own errors."""

from __future__ import annotations

# The first connection needs it: loaded here, it's paid for at a function's start and not by a request.
import encodings.idna  # noqa: F401
from collections.abc import Callable
from typing import Any, Final

from botocore import exceptions
from botocore.exceptions import ClientError

from eventstore.errors import StoreUnavailable

CONDITION_FAILED: Final = "ConditionalCheckFailedException"
TRANSACTION_CANCELED: Final = "TransactionCanceledException"
TRANSACTION_CONFLICT: Final = "TransactionConflictException"

_UNAVAILABLE: Final = frozenset(
    {
        "InternalServerError",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "ServiceUnavailable",
        "ThrottlingException",
        "TransactionInProgressException",
    }
)
_NOT_THERE: Final = (exceptions.ConnectionError, exceptions.HTTPClientError)

# Reasons of a cancelled transaction that are not about the events themselves: it may work in a moment.
_PASSING: Final = frozenset({"TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"})


class SlotsTaken(Exception):
    """The write was refused since places of its events are taken; `items` are those in the way.

    They stand in the order of the events; None where the place was free or the engine didn't say.
    """

    def __init__(self, items: list[dict[str, Any] | None]) -> None:
        super().__init__()
        self.items = items


class Busy(StoreUnavailable):
    """The write was refused for a passing reason (another transaction, throttling); nothing was written.

    So who doesn't try again itself raises what its callers know.
    """


def send(operation: Callable[..., Any], **request: Any) -> Any:
    """Send one request.

    Raises:
        StoreUnavailable: throttled or not reached after all of the client's tries.
        Busy: of a write, as above; it's known that nothing was written.
        SlotsTaken: of a write with a condition; its callers know what that means, theirs needn't.
        ClientError: anything else, such as a missing table or permission, as boto3 says it.
    """
    try:
        return operation(**request)
    except ClientError as error:
        code = error.response["Error"]["Code"]
        if code == CONDITION_FAILED:
            raise SlotsTaken([_item(error.response)]) from error
        if code == TRANSACTION_CANCELED:
            _raise_cancelled(error)
        if code == TRANSACTION_CONFLICT:
            raise Busy(operation=error.operation_name, reason=str(error)) from error
        if code in _UNAVAILABLE:
            raise StoreUnavailable(operation=error.operation_name, reason=str(error)) from error
        raise
    except _NOT_THERE as error:
        raise StoreUnavailable(operation=operation.__name__, reason=str(error)) from error


def _raise_cancelled(error: ClientError) -> None:
    reasons: list[dict[str, Any]] = error.response.get("CancellationReasons", [])  # type: ignore[assignment]
    codes = {reason.get("Code") or "None" for reason in reasons}
    if "ConditionalCheckFailed" in codes:
        raise SlotsTaken([_item(reason) for reason in reasons]) from error
    if codes & _PASSING and codes <= _PASSING | {"None"}:
        reason = ", ".join(sorted(codes & _PASSING))
        raise Busy(operation=error.operation_name, reason=reason) from error
    raise error


def _item(answer: Any) -> dict[str, Any] | None:
    return answer.get("Item") or None
