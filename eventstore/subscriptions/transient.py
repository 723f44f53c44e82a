"""Which errors of a handler pass by themselves, so that waiting is right and giving up is not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from eventstore import _passing as passing
from eventstore.errors import CredentialsExpired, TransientError

_REFUSED: Final = ("botocore.exceptions", "ClientError")


def is_transient(error: BaseException) -> bool:
    """Return whether an error says that something is throttled or can't be reached.

    True for this library's `TransientError`, such as StoreUnavailable; for boto3's errors of any service that
    the store itself waits for: throttling, a conflict of transactions, a failure of the service or a proxy
    (statuses from 500 on, 408, 425, 429), no answer, a broken one, credentials that can't be fetched; for
    credentials that have expired; for an error raised `from` such a one; and for a group of nothing else.

    Errors of other libraries are not known here, and that of a service that a handler calls may well come
    from the one event, as that something is missing or not permitted: give `Terms` a `transient` of your own
    for them.
    """
    found = _found(error)
    passing_ones = {id(each) for each in found if _passes_itself(each)}
    # From the far end: a chain of causes may be thousands long, or lead back into itself.
    while True:
        before = len(passing_ones)
        for each in reversed(found):
            rests_on = _rests_on(each)
            if rests_on and all(id(further) in passing_ones for further in rests_on):
                passing_ones.add(id(each))
        if len(passing_ones) == before:
            return id(error) in passing_ones


def _found(error: BaseException) -> list[BaseException]:
    """Return an error with all that it rests on, each once."""
    found = [error]
    known = {id(error)}
    for each in found:
        for further in _rests_on(each):
            if id(further) not in known:
                known.add(id(further))
                found.append(further)
    return found


def _rests_on(error: BaseException) -> Sequence[BaseException]:
    """Return which errors all have to pass for this one to pass, if it doesn't by itself."""
    if isinstance(error, BaseExceptionGroup):
        return error.exceptions
    return () if error.__cause__ is None else (error.__cause__,)


def _passes_itself(error: BaseException) -> bool:
    if isinstance(error, (TransientError, CredentialsExpired)):
        return True
    # boto3's, by what is documented of them, without importing it.
    kinds = {(kind.__module__, kind.__name__) for kind in type(error).__mro__}
    if kinds & passing.NOT_ANSWERED:
        return True
    return _REFUSED in kinds and _is_passing_refusal(getattr(error, "response", None))


def _is_passing_refusal(response: object) -> bool:
    """Read what a ClientError holds, which anybody may have made."""
    refusal, metadata = _of(response, "Error"), _of(response, "ResponseMetadata")
    code, status = _of(refusal, "Code"), _of(metadata, "HTTPStatusCode")
    code = code if isinstance(code, str) else ""
    status = status if isinstance(status, int) else 0
    # Without a status it's no answer, so there's nobody else's either.
    has_id = not status or bool(_of(metadata, "RequestId"))
    if passing.is_passing_refusal(code, status, has_id=has_id):
        return True
    if status == passing.TOO_LARGE:
        return False
    if code == passing.TRANSACTION_CANCELED:
        return _is_unrelated(response)
    return code == passing.TRANSACTION_CONFLICT or code in passing.EXPIRED_CODES


def _is_unrelated(cancelled: object) -> bool:
    """Return whether a transaction's reasons have nothing to do with what it would write."""
    given = _of(cancelled, "CancellationReasons")
    # DynamoDB always names one: without any, the answer is cut off or somebody else's.
    codes = (
        {str(_of(reason, "Code") or passing.NO_REASON) for reason in given}
        if isinstance(given, list)
        else set()
    )
    return codes <= passing.PASSING_REASONS | {passing.NO_REASON}


def _of(given: object, name: str) -> Any:
    return given.get(name) if isinstance(given, dict) else None
