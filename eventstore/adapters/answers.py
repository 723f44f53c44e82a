"""What an AWS service answers: which trouble passes, and which answers aren't the service's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from botocore import exceptions
from botocore.exceptions import ClientError
from botocore.parsers import ResponseParserError

NOT_ANSWERED: Final = (
    exceptions.ConnectionError,  # not connected, by the network, a proxy or TLS
    exceptions.HTTPClientError,  # sent, and no answer, or one that broke off
    exceptions.IncompleteReadError,
    exceptions.ResponseStreamingError,
    exceptions.ChecksumError,
    exceptions.CredentialRetrievalError,
    exceptions.MetadataRetrievalError,
    ResponseParserError,
)
"""Errors of botocore after which it isn't known whether a request was done; trying again may succeed."""

PASSING_CODES: Final = frozenset(
    {
        "BandwidthLimitExceeded",
        "InternalError",
        "InternalFailure",
        "InternalServerError",
        "LimitExceededException",
        "PriorRequestNotComplete",
        "ProvisionedThroughputExceededException",
        "ReplicatedWriteConflictException",
        "RequestLimitExceeded",
        "RequestThrottled",
        "RequestThrottledException",
        "RequestTimeout",
        "RequestTimeoutException",
        "ServiceUnavailable",
        "ServiceUnavailableException",
        "SlowDown",
        "Throttling",
        "ThrottledException",
        "ThrottlingException",
        "TooManyRequestsException",
        "TransactionInProgressException",
    }
)
"""Codes, of whatever status, of what may succeed in a moment."""

_PASSING_STATUSES: Final = frozenset({408, 425, 429})
_TOO_LARGE: Final = 413


def is_too_large(error: ClientError) -> bool:
    """Tell whether a request was refused for its size by the status 413: by the service or a proxy."""
    return error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0) == _TOO_LARGE


def is_passing(error: ClientError) -> bool:
    """Tell whether a refusal may be over in a moment: by its status first, then by its code.

    One that isn't the service's counts as such, too: that of a proxy or a login page on the way.
    """
    code = str(error.response["Error"].get("Code", ""))
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    # Where a body has no code that can be read, botocore gives the status as the code, or none.
    is_foreign = code in {str(status), ""} and status != _TOO_LARGE
    return status >= 500 or status in _PASSING_STATUSES or code in PASSING_CODES or is_foreign


def ask(operation: Callable[..., Any], **request: Any) -> Any:
    """Send a request; an answer on which botocore's parser stumbles is a ResponseParserError.

    Such as the JSON list or text of a proxy where an object should be.
    """
    try:
        return operation(**request)
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        if not _is_parsers(error):
            raise
        raise ResponseParserError(f"the answer can't be read: {error!r}") from error


def _is_parsers(error: Exception) -> bool:
    trace = error.__traceback__
    modules = set()
    while trace is not None:
        modules.add(trace.tb_frame.f_globals.get("__name__"))
        trace = trace.tb_next
    return ResponseParserError.__module__ in modules


FAILED: Final = (ClientError, exceptions.BotoCoreError, ResponseParserError)
"""All that botocore raises for a request that was sent, or could not be."""


def foreign(answer: Any) -> str:
    """Say why a successful answer is none of DynamoDB's, or nothing when it is.

    A login page, a proxy or a load balancer answers 200 with what it likes. botocore reads that as an answer
    without members, so a write would count as done. Every answer of DynamoDB has the
    content type, a body, and an id or a checksum.
    """
    if not is_boto3s(answer):
        return ""
    headers = answer["ResponseMetadata"]["HTTPHeaders"]
    content_type = headers.get("content-type", "")
    if not content_type.startswith("application/x-amz-json"):
        return f"the answer is not DynamoDB's: its content type is {content_type!r}"
    if not ("x-amzn-requestid" in headers or "x-amz-crc32" in headers):
        return "the answer is not DynamoDB's: it has neither an id nor a checksum"
    return "the answer has no body" if headers.get("content-length") == "0" else ""


def is_boto3s(answer: Any) -> bool:
    """Tell whether an answer came by HTTP through boto3's client; of others nothing is known."""
    return "ResponseMetadata" in answer and "HTTPHeaders" in answer["ResponseMetadata"]


def has_id(answer: Any) -> bool:
    """Tell whether a successful answer has the id of an AWS request, as each of SQS and Lambda has.

    For answers of which no member says so: an empty queue and a login page on the way look alike otherwise.
    """
    return not is_boto3s(answer) or "x-amzn-requestid" in answer["ResponseMetadata"]["HTTPHeaders"]
