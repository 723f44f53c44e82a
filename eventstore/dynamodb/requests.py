"""Requests to DynamoDB whose failures become the library's own errors."""

from __future__ import annotations

# The first connection needs it: loaded here, it's paid for at a function's start and not by a request.
import encodings.idna  # noqa: F401
import random
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeVar
from uuid import uuid4
from zlib import crc32

from botocore.client import BaseClient
from botocore.exceptions import BotoCoreError, ChecksumError, ClientError
from botocore.parsers import ResponseParserError

from eventstore._passing import NO_REASON, PASSING_REASONS, TRANSACTION_CANCELED, TRANSACTION_CONFLICT
from eventstore.aws.answers import (
    NOT_ANSWERED,
    ask,
    foreign,
    is_boto3s,
    is_passing,
    is_too_large,
)
from eventstore.aws.clients import take_client
from eventstore.aws.refusals import misconfigured
from eventstore.dynamodb._botocore import UnreadAnswer
from eventstore.errors import StoreUnavailable
from eventstore.errors.base import PicklableError, is_write
from eventstore.errors.store import write_in_doubt
from eventstore.limits import REQUEST_MAX_TRIES, REQUEST_PAUSE_S

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

CONDITION_FAILED: Final = "ConditionalCheckFailedException"

_MAX_BARREN: Final = 5

_ABOUT_WRITES: Final = {
    CONDITION_FAILED: {"ConditionExpression"},
    TRANSACTION_CANCELED: {"TransactItems"},
}
"""Refusals, and what a request has that can get them. Another one has got another request's answer."""
_PAGE: Final = (("Items", list), ("Count", int))
_MEMBERS: Final[dict[str, tuple[tuple[str, type], ...]]] = {
    "batch_get_item": (("Responses", dict), ("UnprocessedKeys", dict)),
    "query": _PAGE,
    "scan": _PAGE,
}
"""What each answer has, by the name of boto3's method; those of single items and of writes may be empty."""

_ClientT = TypeVar("_ClientT")


def checked(client: _ClientT, *operations: str) -> _ClientT:
    """Have a client's successful answers checked, and its connections never shared across a fork.

    Every adapter takes its client through this; returns the same one. Cost: the checksum, some 1 ms a MB.

    Args:
        operations: the methods that the adapter calls.

    Raises:
        InvalidArgument: it isn't a client of DynamoDB.
    """
    take_client(client, "dynamodb", *operations)
    if isinstance(client, BaseClient):
        client.meta.events.register("after-call.dynamodb", _check_body, unique_id="eventstore-check-body")
    return client


def _check_body(*, http_response: Any, parsed: Any, **_: Any) -> None:
    """Refuse a success whose body was cut or changed on the way.

    botocore reads JSON that is broken as an answer without members: an item that isn't there, a write that
    was done. With one try a request it passes over a wrong checksum, too.
    """
    if http_response.status_code != 200:  # a refusal, or refused by what it lacks
        return
    body: bytes = http_response.content
    told = http_response.headers.get("x-amz-crc32")
    if told is not None:
        computed = str(crc32(body))
        if told != computed:
            raise ChecksumError(checksum_type="crc32", expected_checksum=told, actual_checksum=computed)
    elif type(parsed) is dict and parsed.keys() <= {"ResponseMetadata"} and body.strip() not in {b"{}", b""}:
        # Nothing was found, or a write was done: DynamoDB says that with an empty object, and nothing else.
        raise ResponseParserError(f"the answer is cut off or not DynamoDB's: {body[:80]!r}")


class SlotsTaken(PicklableError):
    """The write was refused since places of its events are taken; `items` are those in the way.

    They stand in the order of the events; None where the place was free or the engine didn't say.
    """

    def __init__(self, items: list[dict[str, Any] | None], *, is_first: bool = True) -> None:
        super().__init__()
        self.items = items
        self.is_first = is_first
        """The first write's condition is among those that failed, whether or not there's an item."""


class Busy(StoreUnavailable):
    """The write was refused for a passing reason (another transaction, throttling); nothing was written.

    So who doesn't try again itself raises what its callers know.
    """


class RefusedForSize(StoreUnavailable):
    """The request was refused for its size, by HTTP's 413 alone; nothing was written.

    DynamoDB takes all that the library sends, so it's mostly a proxy on the way.
    """


def send(operation: Callable[..., Any], **request: Any) -> Any:
    """Send one request; try again, up to `REQUEST_MAX_TRIES` times, while DynamoDB can't be reached.

    What is tried again may have been done: a write with a condition meets itself then, which its caller
    has to know. Several writes in one transaction are done once.

    Raises:
        StoreUnavailable: throttled, failing or not reached, at each try.
        Busy: of a write, another transaction is in the way; it's known that nothing was written.
        RefusedForSize: at once; it's known that nothing was written.
        SlotsTaken: of a write with a condition; its callers know what that means, theirs needn't.
        StoreMisconfigured: no table, permission, credentials or Region; at once. Of a write that isn't the
            first try, StoreUnavailable: an earlier one may have been done.
        ClientError: anything else that DynamoDB refuses, as boto3 says it; of a later try as above.
    """
    if "TransactItems" in request:
        request = {"ClientRequestToken": str(uuid4()), **request}
    for attempt in range(1, REQUEST_MAX_TRIES):
        try:
            return _send_again(operation, request) if attempt > 1 else send_once(operation, **request)
        except (Busy, RefusedForSize):
            raise
        except StoreUnavailable:
            time.sleep(pause_s(attempt, jitter=random.random()))
    return _send_again(operation, request)


def _send_again(operation: Callable[..., Any], request: dict[str, Any]) -> Any:
    """Send a request once more: the try before may have been done, whatever becomes of this one."""
    if not is_write(operation.__name__):
        return send_once(operation, **request)
    with write_in_doubt(operation.__name__, SlotsTaken):
        try:
            return send_once(operation, **request)
        except (Busy, RefusedForSize) as error:  # of this try alone it's known that nothing was written
            raise StoreUnavailable(operation=error.operation, reason=error.reason) from error


def send_once(operation: Callable[..., Any], **request: Any) -> Any:
    """Send one request, with one try; raises as `send`.

    After StoreUnavailable a write may have been done, or be done within the time-out of its request.
    """
    try:
        answer = ask(operation, **request)
    except ClientError as error:
        _raise_refusal(error, operation, request)
    except NOT_ANSWERED as error:
        raise StoreUnavailable(operation=operation.__name__, reason=str(error)) from error
    except BotoCoreError as error:
        _raise_lasting(error, operation, request)
    fault = foreign(answer)
    if not fault and not isinstance(answer, UnreadAnswer):  # that one is checked when it's read
        fault = _missing(answer, operation.__name__, request.get("ReturnValues"))
    if fault:
        raise StoreUnavailable(operation=operation.__name__, reason=fault)
    return answer


def is_page(answer: Any) -> bool:
    """Return whether an answer that came unread is a page, by reading it; after False, ask again."""
    try:
        return not ask(_missing, answer=answer, name="query", returns=None)
    except ResponseParserError:
        return False


def _missing(answer: Any, name: str, returns: str | None) -> str:
    """Return which member an answer lacks that all such answers of DynamoDB have, or nothing."""
    if not is_boto3s(answer):
        return ""
    members = (("Attributes", dict),) if returns == "ALL_NEW" else _MEMBERS.get(name, ())
    for member, kind in members:
        if not isinstance(answer.get(member), kind):
            return f"the answer is cut off or not DynamoDB's: it has no {member}"
    return ""


def pause_s(attempt: int, *, jitter: float) -> float:
    """Return the seconds to wait after a failed try of a request, the first being 1."""
    return REQUEST_PAUSE_S * 2.0 ** (attempt - 1) * jitter


def _raise_lasting(error: Exception, operation: Callable[..., Any], request: dict[str, Any]) -> NoReturn:
    told = misconfigured(error, operation, request)
    if told is None:
        raise error
    raise told from error


def _raise_refusal(error: ClientError, operation: Callable[..., Any], request: dict[str, Any]) -> NoReturn:
    code = error.response["Error"].get("Code", "")
    # By its status first: what failed inside of DynamoDB has failed, whatever its body is called.
    if is_passing(error):
        raise StoreUnavailable(operation=error.operation_name, reason=str(error)) from error
    if is_too_large(error):
        reason = f"{error}. The request was refused for its size; a proxy on the way takes less than DynamoDB"
        raise RefusedForSize(operation=error.operation_name, reason=reason) from error
    if code in _ABOUT_WRITES and not _ABOUT_WRITES[code] & request.keys():
        reason = f"{error}: the answer isn't this request's, which can't be refused so"
        raise StoreUnavailable(operation=error.operation_name, reason=reason) from error
    if code == CONDITION_FAILED:
        raise SlotsTaken([_item(error.response)]) from error
    if code == TRANSACTION_CANCELED:
        _check_cancelled(error, len(request["TransactItems"]))
    if code == TRANSACTION_CONFLICT:
        raise Busy(operation=error.operation_name, reason=str(error)) from error
    _raise_lasting(error, operation, request)


def get_items(
    client: DynamoDBClient,
    table_name: str,
    keys: list[dict[str, Any]],
    *,
    jitter: Callable[[], float],
    sleep: Callable[[float], object],
    **options: Any,
) -> Iterator[dict[str, Any]]:
    """Get the items of at most 100 different keys, strongly consistent, in any order.

    Args:
        options: what else BatchGetItem takes for a table, such as a projection.

    Raises:
        StoreUnavailable: as `send`, or DynamoDB answers again and again without reading a key.

    Cost: 1 request for up to 16 MB; 1 RCU for each 4 KB of each item, and for each that isn't there.
    """
    barren = 0
    while keys:
        request: Any = {table_name: {**options, "Keys": keys, "ConsistentRead": True}}
        answer = send(client.batch_get_item, RequestItems=request)
        yield from answer["Responses"].get(table_name, [])
        # More than 16 MB, or throttled: what is left comes with the next request.
        left = answer["UnprocessedKeys"].get(table_name, {}).get("Keys", [])
        barren = barren + 1 if len(left) == len(keys) else 0
        keys = left
        if barren >= _MAX_BARREN:
            reason = f"DynamoDB left {len(keys)} keys unread {barren} times"
            raise StoreUnavailable(operation="BatchGetItem", reason=reason)
        if barren:
            sleep(0.05 * 2**barren * jitter())


def _check_cancelled(error: ClientError, writes: int) -> None:
    """Raise what a cancelled transaction's reasons mean; return where one of them lasts."""
    reasons = _reasons_of(error, writes)
    codes = {reason.get("Code") or NO_REASON if isinstance(reason, dict) else NO_REASON for reason in reasons}
    if codes <= {NO_REASON}:
        # Nothing was written if this is DynamoDB's; but its answers name a reason.
        reason = f"{error}: the answer is cut off or not DynamoDB's: it has no reason for the cancellation"
        raise StoreUnavailable(operation=error.operation_name, reason=reason) from error
    if "ConditionalCheckFailed" in codes:
        is_first = isinstance(reasons[0], dict) and reasons[0].get("Code") == "ConditionalCheckFailed"
        raise SlotsTaken([_item(reason) for reason in reasons], is_first=is_first) from error
    if codes & PASSING_REASONS and codes <= PASSING_REASONS | {NO_REASON}:
        reason = ", ".join(sorted(codes & PASSING_REASONS))
        raise Busy(operation=error.operation_name, reason=reason) from error


def _reasons_of(error: ClientError, writes: int) -> list[Any]:
    """Return the reasons of a cancelled transaction, one for each write."""
    reasons: list[Any] = error.response.get("CancellationReasons", [])
    if reasons and len(reasons) != writes:
        reason = (
            f"{error}: the answer isn't this request's: it has {len(reasons)} reasons for {writes} writes"
        )
        raise StoreUnavailable(operation=error.operation_name, reason=reason) from error
    return reasons


def _item(answer: Any) -> dict[str, Any] | None:
    return answer.get("Item") or None
