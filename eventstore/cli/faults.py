"""What went wrong, as a sentence that says where and how to repair it."""

from __future__ import annotations

from typing import Final

from botocore.exceptions import ClientError, NoCredentialsError, NoRegionError

from eventstore.cli.options import Options
from eventstore.errors import FailedEventsUnavailable, StoreUnavailable

_NOT_THERE: Final = "ResourceNotFoundException"
_NO_QUEUE: Final = frozenset({"AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist"})
_DENIED: Final = frozenset({"AccessDenied", "AccessDeniedException"})
_UNKNOWN_CREDENTIALS: Final = frozenset(
    {
        "ExpiredToken",
        "ExpiredTokenException",
        "IncompleteSignatureException",
        "InvalidClientTokenId",
        "InvalidSignatureException",
        "MissingAuthenticationTokenException",
        "SignatureDoesNotMatch",
        "UnrecognizedClientException",
    }
)
_TABLES: Final = {
    "table": "--table",
    "log_table": "--log-table",
    "subscriptions_table": "--subscriptions-table",
}


def sentence(error: Exception, options: Options) -> str:
    """Write an error for somebody at a terminal."""
    match error:
        case NoCredentialsError():
            return "there are no AWS credentials: set AWS_PROFILE, or AWS_ACCESS_KEY_ID and the secret key"
        case NoRegionError():
            return "there is no AWS region: set AWS_REGION, or give the profile one"
        case StoreUnavailable():
            return (
                f"DynamoDB can't be reached, or takes no more requests for now: {error.reason}. "
                "Look at AWS_REGION and AWS_ENDPOINT_URL, and run it again: repeating a command is harmless"
            )
        case FailedEventsUnavailable(__cause__=(NoCredentialsError() | ClientError()) as cause):
            return sentence(cause, options)
        case ClientError():
            return _refused(error, options)
    return str(error) or repr(error)


def _refused(error: ClientError, options: Options) -> str:
    code = error.response["Error"].get("Code")
    if code in _NO_QUEUE:
        return (
            f"there is no such queue in this account and region (--queue-url {options.queue_url!r}): {error}"
        )
    if code == _NOT_THERE:
        given = {name: getattr(options, at, None) for at, name in _TABLES.items()}
        tables = ", ".join(f"{name} {value!r}" for name, value in given.items() if value)
        return f"there is no such table in this account and region ({tables}): {error}"
    if code in _DENIED:
        return f"the credentials don't permit it; docs/permissions.md lists what a command needs: {error}"
    if code in _UNKNOWN_CREDENTIALS:
        return f"AWS doesn't accept the credentials, which are wrong or have expired: {error}"
    return str(error)
