"""How the DynamoDB client of a store is made."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import boto3
from botocore.config import Config
from botocore.session import Session

from eventstore._arguments import check_functions, check_is, check_methods
from eventstore.aws.forks import fork_safe
from eventstore.aws.refusals import made
from eventstore.dynamodb import _botocore
from eventstore.limits import CONNECT_TIMEOUT_S, READ_TIMEOUT_S

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

CLIENT_CONFIG: Final = Config(
    connect_timeout=CONNECT_TIMEOUT_S,
    read_timeout=READ_TIMEOUT_S,
    # One try: the adapters try again themselves. An event is stamped before it's sent, and botocore would
    # send it once more with the old stamp, after a pause that the service may name (`x-amz-retry-after`).
    retries={"mode": "standard", "total_max_attempts": 1},
    # One connection for each shard that is read side by side, and some for appends meanwhile.
    max_pool_connections=50,
    tcp_keepalive=True,
)
"""The timeouts of a store's client, and one try a request; `dynamodb_client` sets them."""


def dynamodb_client(
    session: boto3.Session | None = None,
    *,
    config: Config | None = None,
    json_loads: Callable[[bytes], Any] = json.loads,
    **options: Any,
) -> DynamoDBClient:
    """Make the client for a store: boto3's own, set up by `CLIENT_CONFIG`, that reads items fast.

    Its answers are those of `boto3.client("dynamodb")`, of which every store takes one as well; it needs
    about a fifth of the CPU to read a page of events (ADR 10). Where the inside of boto3 isn't as it is known
    here, it reads as boto3's own does, and a warning of the logger ``eventstore.dynamodb`` says so once. Your
    session and its clients stay as they are. In each forked child it drops its connections.

    Args:
        session: whose configuration to use: region, profile, endpoints, event handlers and credentials,
            refreshed as there; None for boto3's default session.
        config: what to set otherwise than `CLIENT_CONFIG`.
        json_loads: reads the JSON of answers that carry items; with ``msgspec.json.decode`` or
            ``orjson.loads`` reading takes half the CPU again.
        options: more arguments of `boto3.client`, for example ``endpoint_url`` or ``region_name``.

    Raises:
        InvalidArgument, NotSynchronous: it's no session, configuration or function.
        RegionMissing, CredentialsMissing: there is no Region, or no such profile.
    """
    if session is not None:
        check_methods(session, ("client", "get_credentials"), "session", give="a boto3.Session")
    check_is(config, (Config, type(None)), "config", give="a botocore.config.Config")
    check_functions(json_loads=json_loads)
    with made():
        own = session or boto3.DEFAULT_SESSION or boto3.Session()
        create: Callable[..., Any] = own.client
        if (private := _botocore.copy_of(own)) is not None:
            _botocore.register(private, loads=json_loads)
            create = private.create_client
        settings = CLIENT_CONFIG.merge(config) if config else CLIENT_CONFIG
        client = create("dynamodb", config=settings, **options)
    return fork_safe(client)  # type: ignore[no-any-return]


def register_parser(session: Session, *, json_loads: Callable[[bytes], Any] = json.loads) -> None:
    """Make the DynamoDB clients that a botocore session creates from now on read items fast.

    For a program that has one session for all services: ``boto3.Session(botocore_session=session)``. With a
    botocore whose inside isn't known, nothing changes, and a warning is logged once.

    Raises:
        InvalidArgument, NotSynchronous: it's no session of botocore, or no function.
    """
    check_is(session, Session, "session", give="a botocore.session.Session")
    check_functions(json_loads=json_loads)
    _botocore.register(session, loads=json_loads)
