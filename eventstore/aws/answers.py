"""What an AWS service answers: which trouble passes, and which answers aren't the service's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from botocore import exceptions, parsers
from botocore.exceptions import ClientError
from botocore.parsers import ResponseParserError

from eventstore import _passing as passing

_MODULES: Final = {"botocore.exceptions": exceptions, "botocore.parsers": parsers}
NOT_ANSWERED: Final[tuple[type[Exception], ...]] = tuple(
    getattr(_MODULES[module], name) for module, name in sorted(passing.NOT_ANSWERED)
)
"""Errors of botocore after which it isn't known whether a request was done; trying again may succeed."""


def is_too_large(error: ClientError) -> bool:
    """Return whether a request was refused for its size by the status 413: by the service or a proxy."""
    return error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0) == passing.TOO_LARGE


def is_passing(error: ClientError) -> bool:
    """Return whether a refusal may be over in a moment; one without a code is broken, or a proxy's."""
    code = str(error.response["Error"].get("Code", ""))
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return passing.is_passing_refusal(code, status)


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
    """Return why a successful answer isn't DynamoDB's, or nothing when it is.

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
    """Return whether an answer came by HTTP through boto3's client; of others nothing is known."""
    return "ResponseMetadata" in answer and "HTTPHeaders" in answer["ResponseMetadata"]


def has_id(answer: Any) -> bool:
    """Return whether a successful answer has the id of an AWS request, as each of SQS and Lambda has.

    For answers of which no member says so: an empty queue and a login page on the way look alike otherwise.
    """
    return not is_boto3s(answer) or "x-amzn-requestid" in answer["ResponseMetadata"]["HTTPHeaders"]
