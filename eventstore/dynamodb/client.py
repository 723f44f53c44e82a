"""How the DynamoDB client of a store is made."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from copy import copy
from typing import TYPE_CHECKING, Any, Final

import boto3
from botocore.config import Config
from botocore.session import Session, get_session

from eventstore._arguments import check_functions, check_is, check_methods
from eventstore.aws.forks import fork_safe
from eventstore.aws.refusals import made
from eventstore.dynamodb.response_parser import ItemParserFactory
from eventstore.limits import CONNECT_TIMEOUT_S, READ_TIMEOUT_S

if TYPE_CHECKING:
    from botocore.credentials import Credentials
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

_PARSERS: Final = "response_parser_factory"


def dynamodb_client(
    session: boto3.Session | None = None,
    *,
    config: Config | None = None,
    json_loads: Callable[[bytes], Any] = json.loads,
    **options: Any,
) -> DynamoDBClient:
    """Make the client for a store: boto3's own, set up by `CLIENT_CONFIG`, that reads items fast.

    Its answers are those of `boto3.client("dynamodb")`, of which every store takes one as well; it needs
    about a fifth of the CPU to read a page of events, and four fifths for any other request (ADR 10). Your
    session and its clients stay as they are. In each forked child it drops its connections.

    Args:
        session: whose configuration to use: region, profile, endpoints, event handlers and credentials,
            refreshed as there; None for boto3's default session.
        config: what to set otherwise than `CLIENT_CONFIG`; a user agent or an application's id, too.
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
        private = _copy_of(session or boto3.DEFAULT_SESSION or boto3.Session())
        register_parser(private, json_loads=json_loads)
        settings = CLIENT_CONFIG.merge(config) if config else CLIENT_CONFIG
        client: Any = private.create_client("dynamodb", config=_saying_who(settings, private), **options)
    return fork_safe(client)  # type: ignore[no-any-return]


def register_parser(session: Session, *, json_loads: Callable[[bytes], Any] = json.loads) -> None:
    """Make the DynamoDB clients that a botocore session creates from now on read items fast.

    For a program that has one session for all services: ``boto3.Session(botocore_session=session)``.
    """
    session.register_component(_PARSERS, ItemParserFactory(session.get_component(_PARSERS), loads=json_loads))


def _saying_who(settings: Any, session: Session) -> Config:
    """Fix the user agent, which botocore puts together twice a request otherwise (ADR 10).

    Unless one is given, or the id of an application that botocore puts into its own.
    """
    if settings.user_agent or settings.user_agent_appid or session.get_config_variable("user_agent_appid"):
        return settings  # type: ignore[no-any-return]
    # What is extra, botocore adds to this one, too.
    agent = session.user_agent().removesuffix(f" {session.user_agent_extra}")
    return settings.merge(Config(user_agent=agent))  # type: ignore[no-any-return]


def _copy_of(session: boto3.Session) -> Session:
    """Copy a session's core, with all of its configuration; what is registered in the copy is its own.

    Profile, region, endpoints, config file, defaults and loaded data: a new session that were told some of
    them would take the rest from the environment, and so from another profile. This leans on the inside of
    boto3 and botocore, here alone. Where that is another one some day, a new session has to do, and a
    RuntimeWarning says what isn't taken over.
    """
    try:
        core: Any = copy(session._session)  # noqa: SLF001
        core._components = copy(core._components)  # noqa: SLF001
        for name in ("_components", "_deferred"):
            setattr(core._components, name, dict(getattr(core._components, name)))  # noqa: SLF001
    except (AttributeError, TypeError, ValueError):
        core = _new_like(session)
    core.register_component("credential_provider", _CredentialsOf(session))
    return core  # type: ignore[no-any-return]


def _new_like(session: boto3.Session) -> Session:
    """Make a session with another one's profile and region, by what boto3 has for everybody."""
    warnings.warn(
        f"boto3 {boto3.__version__} keeps its sessions otherwise than is known here: of yours, the DynamoDB "
        "client has the profile, region and credentials alone, no event handlers or settings made in code. "
        "Give it endpoint_url and config where they matter, or use boto3's own client with CLIENT_CONFIG",
        RuntimeWarning,
        stacklevel=4,
    )
    core = get_session()
    if session.profile_name != "default":
        core.set_config_variable("profile", session.profile_name)
    if session.region_name:
        core.set_config_variable("region", session.region_name)
    boto3.Session(botocore_session=core)  # puts itself into the core's user agent
    return core


class _CredentialsOf:
    """A `credential_provider` that hands out another session's credentials, which refresh themselves."""

    def __init__(self, session: boto3.Session) -> None:
        self._session = session

    def load_credentials(self) -> Credentials | None:
        return self._session.get_credentials()
