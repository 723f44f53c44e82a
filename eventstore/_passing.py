"""Which trouble with AWS's services passes by itself: the one table of codes, statuses and errors.

The adapters and `is_transient` both go by it, so what a handler needs is waited for as the store itself is.
It's data and knows no boto3: errors stand here by their names.
"""

from __future__ import annotations

from typing import Final

# https://docs.aws.amazon.com/sdkref/latest/guide/feature-retry-behavior.html, and what services' models say.
PASSING_CODES: Final = frozenset(
    {
        "BandwidthLimitExceeded",
        "EC2ThrottledException",
        "InternalError",
        "InternalFailure",
        "InternalServerError",
        "InternalServerException",
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
        "ThrottledException",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
        "TransactionInProgressException",
    }
)
"""Codes, of whatever status, of what may succeed in a moment."""

TRANSACTION_CONFLICT: Final = "TransactionConflictException"
"""Passes too; of a write it's known that nothing was written."""

TRANSACTION_CANCELED: Final = "TransactionCanceledException"
"""Passes as its reasons do."""

NO_REASON: Final = "None"
"""What DynamoDB gives as the reason of a part of a transaction that was fine."""

PASSING_REASONS: Final = PASSING_CODES | {
    "ProvisionedThroughputExceeded",
    "ThrottlingError",
    "TransactionConflict",
}
"""Reasons of a cancelled transaction that have nothing to do with what it would write."""

EXPIRED_CODES: Final = frozenset(
    {"ExpiredToken", "ExpiredTokenException", "RequestExpired", "RequestTimeTooSkewed"}
)
"""Credentials that have run out, or a clock that's wrong: never about what is asked for.

They pass for a handler, whose event must not suffer by it. For the store they don't: its error is the user's
to read, and the next start of the process takes new credentials.
"""

PASSING_STATUSES: Final = frozenset({408, 425, 429})
"""Beside those from 500 on."""

SERVER_ERROR: Final = 500
TOO_LARGE: Final = 413

NOT_ANSWERED: Final = frozenset(
    {
        ("botocore.exceptions", "ConnectionError"),  # not connected, by the network, a proxy or TLS
        ("botocore.exceptions", "HTTPClientError"),  # sent, and no answer, or one that broke off
        ("botocore.exceptions", "IncompleteReadError"),
        ("botocore.exceptions", "ChecksumError"),
        ("botocore.exceptions", "CredentialRetrievalError"),
        ("botocore.exceptions", "MetadataRetrievalError"),
        ("botocore.parsers", "ResponseParserError"),
    }
)
"""Errors of botocore, by module and class, after which it isn't known whether a request was done."""


def is_passing_refusal(code: str, status: int, *, has_id: bool = False) -> bool:
    """Return whether a refusal may be over in a moment: by its status first, then by its code.

    One that isn't the service's counts as such, too: that of a proxy or a login page on the way.

    Args:
        code: the error's, or "" where it has none.
        status: HTTP's, or 0 where it's not known.
        has_id: the answer has the id of an AWS request, so it's the service's even without a code, as S3's to
            HEAD is.
    """
    # Where a body has no code that can be read, botocore gives the status as the code, or none.
    is_foreign = code in {str(status), ""} and status != TOO_LARGE and not has_id
    return status >= SERVER_ERROR or status in PASSING_STATUSES or code in PASSING_CODES or is_foreign
