"""Which errors of a handler pass by themselves, so that waiting is right and giving up is not."""

from __future__ import annotations

from typing import Any, Final

from eventstore.errors import TransientError

# Of AWS's services, with a status below 500. https://docs.aws.amazon.com/sdkref/latest/guide/feature-retry-behavior.html
_THROTTLED: Final = frozenset(
    {
        "BandwidthLimitExceeded",
        "EC2ThrottledException",
        "LimitExceededException",
        "PriorRequestNotComplete",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "RequestThrottled",
        "RequestThrottledException",
        "SlowDown",
        "ThrottledException",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
        "TransactionConflictException",
        "TransactionInProgressException",
    }
)
_CANCELLED_BY: Final = frozenset(
    {"None", "ProvisionedThroughputExceeded", "ThrottlingError", "TransactionConflict"}
)
"""Reasons of a cancelled transaction that have nothing to do with what it would write."""
_TOO_MANY_REQUESTS: Final = 429
_SERVER_ERROR: Final = 500
_NOT_REACHED: Final = frozenset({"ConnectionError", "HTTPClientError"})
"""botocore's own: whatever keeps a request from an answer derives from one of these."""


def is_transient(error: BaseException) -> bool:
    """Tell whether an error says that something is throttled or can't be reached.

    True for this library's `TransientError`, such as StoreUnavailable; for boto3's errors that tell of
    throttling, of a conflict of transactions, of a status of 500 or more, or of no answer; for an error
    raised `from` such a one; and for a group of nothing else. Errors of other libraries are not known here,
    and that of a service that a handler calls may well come from the one event: give `Terms` a `transient`
    of your own for them.
    """
    if isinstance(error, BaseExceptionGroup):
        return all(is_transient(part) for part in error.exceptions)
    if isinstance(error, TransientError) or _is_of_aws(error):
        return True
    return error.__cause__ is not None and is_transient(error.__cause__)


def _is_of_aws(error: BaseException) -> bool:
    """Know boto3's errors by what is documented of them, without importing it."""
    if any(
        kind.__module__ == "botocore.exceptions" and kind.__name__ in _NOT_REACHED
        for kind in type(error).__mro__
    ):
        return True
    response: Any = getattr(error, "response", None)
    if not isinstance(response, dict) or not isinstance(response.get("Error"), dict):
        return False
    code = response["Error"].get("Code")
    metadata = response.get("ResponseMetadata")
    status = metadata.get("HTTPStatusCode", 0) if isinstance(metadata, dict) else 0
    if code == "TransactionCanceledException":
        told: Any = response.get("CancellationReasons") or []
        # DynamoDB always names one: without any, the answer is cut off or somebody else's.
        return {each.get("Code") or "None" for each in told if isinstance(each, dict)} <= _CANCELLED_BY
    return code in _THROTTLED or status == _TOO_MANY_REQUESTS or status >= _SERVER_ERROR
