"""What a lasting refusal of AWS, or botocore's own, means: the one table, for every adapter.

Whether trouble passes by itself comes first, and is `answers`' affair: nothing of that is here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, NoReturn

from botocore import exceptions
from botocore.exceptions import BotoCoreError, ClientError

from eventstore._passing import EXPIRED_CODES
from eventstore.aws.answers import NOT_ANSWERED, is_passing
from eventstore.errors import (
    AccessDenied,
    CredentialsExpired,
    CredentialsMissing,
    CredentialsRefused,
    QueueNotFound,
    RegionMissing,
    StoreMisconfigured,
    StoreUnavailable,
    TableNotFound,
    WrongTable,
)

_NO_TABLE: Final = frozenset({"ResourceNotFoundException", "TableNotFoundException"})
_NO_QUEUE: Final = frozenset({"AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist"})
_DENIED: Final = frozenset(
    {"AccessDenied", "AccessDeniedException", "KMS.AccessDeniedException", "KmsAccessDenied"}
)
_UNKNOWN_CREDENTIALS: Final = frozenset(
    {
        "IncompleteSignature",
        "IncompleteSignatureException",
        "InvalidAccessKeyId",
        "InvalidClientTokenId",
        "InvalidSecurity",
        "InvalidSignatureException",
        "MissingAuthenticationToken",
        "MissingAuthenticationTokenException",
        "SignatureDoesNotMatch",
        "UnrecognizedClientException",
    }
)
_OF_TRANSACTIONS: Final = frozenset({"TransactionCanceledException", "ValidationException"})

_NO_NAME: Final = re.compile(r"Invalid table/index name|'tableName' failed to satisfy constraint")
_NO_INDEX: Final = re.compile(r"does not have the specified index")
_OTHER_KEYS: Final = re.compile(
    r"does not match the schema|Type mismatch for (Index )?[Kk]ey|missed key schema element"
    r"|required keys was not given|Missing the key|Query key condition not supported"
)
"""What AWS and DynamoDB Local say where a table has other keys than a request."""
_ON: Final = re.compile(r"not authorized to perform: (?P<action>\S+)(?: on resource: (?P<resource>\S+))?")

# By what a user can do: fixed credentials are no better by waiting. Those of a provider that doesn't answer
# (CredentialRetrievalError, MetadataRetrievalError) pass, and aren't here.
_NO_CREDENTIALS: Final = (
    exceptions.ConfigNotFound,
    exceptions.ConfigParseError,
    exceptions.InvalidConfigError,
    exceptions.NoAuthTokenError,
    exceptions.NoCredentialsError,
    exceptions.PartialCredentialsError,
    exceptions.ProfileNotFound,
    exceptions.RefreshWithMFAUnsupportedError,
    exceptions.SSOError,
    exceptions.TokenRetrievalError,
    exceptions.UnknownCredentialError,
    # Of later versions than the oldest that is supported.
    *(getattr(exceptions, name) for name in ("LoginError",) if hasattr(exceptions, name)),
)
_NO_REGION: Final = (
    exceptions.EndpointProviderError,
    exceptions.InvalidRegionError,
    exceptions.NoRegionError,
    exceptions.UnknownEndpointError,
    exceptions.UnknownRegionError,
)


def misconfigured(
    error: Exception, operation: Callable[..., Any] | None = None, request: Mapping[str, Any] | None = None
) -> StoreMisconfigured | None:
    """Return what an error of boto3 says of the setup; None where it says nothing of it, or passes.

    Args:
        error: what the request has raised.
        operation: the client's method; None where no request was made.
        request: the method's arguments.
    """
    if isinstance(error, ClientError):
        return None if is_passing(error) else _refused(error, operation, request or {})
    name = _called(operation)
    if isinstance(error, _NO_CREDENTIALS):
        return CredentialsMissing(operation=name, reason=_words(error))
    if isinstance(error, _NO_REGION):
        return RegionMissing(operation=name, reason=_words(error))
    return None


def raise_told(error: Exception, operation: Callable[..., Any], request: Mapping[str, Any]) -> NoReturn:
    """Raise the library's error for what a request has raised; what is known by no name goes on as it is.

    Raises:
        StoreMisconfigured: it can't succeed as it's set up.
        StoreUnavailable: it passes, or there was no answer that can be read.
    """
    told = misconfigured(error, operation, request)
    if told:
        raise told from error
    if isinstance(error, NOT_ANSWERED) or (isinstance(error, ClientError) and is_passing(error)):
        raise StoreUnavailable(operation=_called(operation), reason=str(error)) from error
    raise error


def reason_of(error: Exception, operation: Callable[..., Any], request: Mapping[str, Any]) -> str:
    """Return what a request has raised as a text, with what to do where it's known."""
    told = misconfigured(error, operation, request)
    return told.advice if told else str(error)


@contextmanager
def made() -> Iterator[None]:
    """Have a session or a client that can't be made say what is missing.

    Raises:
        RegionMissing, CredentialsMissing: it's missing, or can't be read.
    """
    try:
        yield
    except BotoCoreError as error:
        told = misconfigured(error)
        if told is None:
            raise
        raise told from error


def _refused(
    error: ClientError, operation: Callable[..., Any] | None, request: Mapping[str, Any]
) -> StoreMisconfigured | None:
    code = str(error.response["Error"].get("Code", ""))
    name = error.operation_name
    reason = f"{code}: {error.response['Error'].get('Message') or 'without a word'}".rstrip(".")
    if code in EXPIRED_CODES:
        return CredentialsExpired(operation=name, code=code, reason=reason)
    if code in _UNKNOWN_CREDENTIALS:
        return CredentialsRefused(operation=name, code=code, reason=reason)
    if code in _DENIED:
        return _denied(error, operation, request, reason)
    if code in _NO_QUEUE:
        return QueueNotFound(queue_url=_queue(request), operation=name, reason=reason)
    return _about_tables(error, operation, request, reason)


def _denied(
    error: ClientError, operation: Callable[..., Any] | None, request: Mapping[str, Any], reason: str
) -> AccessDenied:
    named = _ON.search(reason)
    return AccessDenied(
        action=named["action"] if named else _actions(error.operation_name, operation, request),
        resource=(named and named["resource"]) or ", ".join(_tables(request)) or _queue(request),
        operation=error.operation_name,
        reason=reason,
    )


def _about_tables(
    error: ClientError, operation: Callable[..., Any] | None, request: Mapping[str, Any], reason: str
) -> StoreMisconfigured | None:
    code, tables = error.response["Error"].get("Code"), _tables(request)
    if not tables:
        return None
    cancelled: Any = error.response.get("CancellationReasons") or []
    whys = [reason, *(str(why.get("Message")) for why in cancelled if isinstance(why, dict))]
    if code in _NO_TABLE or any(map(_NO_NAME.search, whys)):
        meta = getattr(getattr(operation, "__self__", None), "meta", None)
        return TableNotFound(
            tables=tables,
            operation=error.operation_name,
            region=str(getattr(meta, "region_name", "")),
            endpoint=str(getattr(meta, "endpoint_url", "")),
            reason=reason,
        )
    if code not in _OF_TRANSACTIONS:
        return None
    for why in whys:
        if _NO_INDEX.search(why) or _OTHER_KEYS.search(why):
            index = str(request.get("IndexName", "")) if _NO_INDEX.search(why) else ""
            return WrongTable(tables=tables, operation=error.operation_name, index=index, reason=why)
    return None


def _tables(request: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names of the tables that a request is about, each once."""
    if "TableName" in request:
        return (str(request["TableName"]),)
    writes = [write for item in request.get("TransactItems", ()) for write in item.values()]
    return tuple(dict.fromkeys([*request.get("RequestItems", ()), *(write["TableName"] for write in writes)]))


def _queue(request: Mapping[str, Any]) -> str:
    return str(request.get("QueueUrl") or request.get("QueueName") or "")


def _actions(name: str, operation: Callable[..., Any] | None, request: Mapping[str, Any]) -> str:
    """Return the actions that a request needs; DynamoDB authorises a transaction by those of its items."""
    model = getattr(getattr(getattr(operation, "__self__", None), "meta", None), "service_model", None)
    service = getattr(model, "signing_name", "") or ("dynamodb" if _tables(request) else "")
    needed = [name]
    if "TransactItems" in request:
        kinds = dict.fromkeys(kind for item in request["TransactItems"] for kind in item)
        needed = [f"{kind}Item" for kind in kinds]
    return ", ".join(f"{service}:{action}" if service else action for action in needed)


def _called(operation: Callable[..., Any] | None) -> str:
    """Return a request's name as AWS calls it: PutItem for boto3's put_item."""
    name = getattr(operation, "__name__", "") if operation else ""
    return "".join(f"{word[:1].upper()}{word[1:]}" for word in name.split("_"))


def _words(error: Exception) -> str:
    return (str(error) or type(error).__name__).rstrip(".")
