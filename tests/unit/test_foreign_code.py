"""Each foreign function whose inside this library counts on is one that somebody has looked at.

By a digest of its source, for each version that `make check BOTO3=oldest`, `make check` and
`make check BOTO3=newest` have met. One that is new is no fault yet: the message says what to look at.
"""

from __future__ import annotations

import hashlib
import importlib
import inspect
import re
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Uses:
    """What of ours counts on foreign functions, and on what of them."""

    ours: str
    counts_on: str
    digests: dict[str, set[str]]


USES = [
    Uses(
        ours="eventstore/dynamodb/_botocore.py: copy_of, register",
        counts_on=(
            "a session keeps all of its own in attributes and in `_components`, which a shallow copy of "
            "it shares; its parts are made of the component `response_parser_factory`, its credentials by "
            "`credential_provider`"
        ),
        digests={
            "botocore.session:Session.__init__": {"2058d533880d"},
            "botocore.session:Session._register_components": {"db149089171b"},
            "botocore.session:Session._register_credential_provider": {"6d713f682557"},
            "botocore.session:Session._register_response_parser_factory": {"103e964017d8"},
            "botocore.session:Session.get_component": {"fa07d36d764e", "3c1d0cae05ec"},
            "botocore.session:Session.register_component": {"61a80ad49299"},
            "botocore.session:Session.get_credentials": {"29c2fb6b1d23"},
            "botocore.session:Session.create_client": {"5aeaadb31c6c", "a1302b106e49"},
            "botocore.session:ComponentLocator": {"8201dcba6056", "9099d53d08ed"},
            "boto3.session:Session.__init__": {"5cb9e8c9a3a6", "e92738173317"},
            "boto3.session:Session.client": {"7b5de8de1c56", "281bdd083700"},
        },
    ),
    Uses(
        ours="eventstore/dynamodb/_botocore.py: ItemParserFactory, ItemParser",
        counts_on=(
            "a parser is made by the protocol for each answer; it takes what it parses from the "
            "response's `body`, gives a dict with `ResponseMetadata`, and turns nothing but binaries of "
            "an item into something else"
        ),
        digests={
            "botocore.endpoint:Endpoint._do_get_response": {"d3fb6d9ddd59", "e1821119dede"},
            "botocore.endpoint:Endpoint._add_modeled_error_fields": {"b1920c6acf17"},
            "botocore.parsers:ResponseParserFactory": {"f93c1abf1f92"},
            "botocore.parsers:ResponseParser.parse": {"0b0148ec887b"},
            "botocore.parsers:BaseJSONParser": {"c46004caf811", "f10dc499a017"},
            "botocore.parsers:JSONParser": {"3f656ec27ea2"},
        },
    ),
    Uses(
        ours="eventstore/dynamodb/_botocore.py: UnreadAnswer; eventstore/dynamodb/requests.py: _check_body",
        counts_on=(
            "between parser and caller only `ResponseMetadata` and `Error` are looked at, and `after- "
            "call` gets the whole body"
        ),
        digests={
            "botocore.endpoint:Endpoint._get_response": {"339d0a8e18a4"},
            "botocore.endpoint:Endpoint._needs_retry": {"fe754d0d1a05", "9621767a04c7"},
            "botocore.endpoint:Endpoint._send_request": {"25420d76181e", "af914535237d"},
            "botocore.client:BaseClient._make_api_call": {"b4e3d9b52f39", "75ba491f61ff"},
        },
    ),
    Uses(
        ours="eventstore/aws/forks.py: _replace_pools, _close_idle; tests/tables.py: _waiting",
        counts_on=(
            "connections are in the pools of `_manager` and `_proxy_managers` alone, idle ones in a "
            "pool's `pool`, a queue with a `mutex`, and a manager is made of `_get_pool_manager_kwargs`"
        ),
        digests={
            "botocore.httpsession:URLLib3Session.__init__": {"9feaa1cb1258"},
            "botocore.httpsession:URLLib3Session._get_pool_manager_kwargs": {"7d28828e1588", "afc825ce8ef0"},
            "botocore.httpsession:URLLib3Session.send": {"9bff6df8cbb3", "07cb8dc21fa7", "e9e502765594"},
            "botocore.httpsession:URLLib3Session.close": {"a74ea14cd741"},
            "urllib3.poolmanager:PoolManager.__init__": {"42f74db2fe98", "f16e97614e30"},
            "urllib3.poolmanager:PoolManager.connection_from_pool_key": {"3d772c8ce703"},
            "urllib3._collections:RecentlyUsedContainer": {"aa23c3a9d495"},
            "urllib3.connectionpool:HTTPConnectionPool.__init__": {"b96c6a9f7be8", "780d831d36f4"},
            "urllib3.connectionpool:HTTPConnectionPool._get_conn": {"78fb22fdf2f9"},
            "urllib3.connectionpool:HTTPConnectionPool._put_conn": {"f4b8abb8b956"},
            "urllib3.connectionpool:HTTPConnectionPool.close": {"1c988baeaf4c"},
            "urllib3.connectionpool:_close_pool_connections": {"b3129a509e21"},
        },
    ),
    Uses(
        ours="eventstore/aws/forks.py: _free_credentials, _fetchers",
        counts_on=(
            "credentials are refreshed under `_refresh_lock` by `_refresh_using`, which reaches its "
            "fetcher's `_session` and `_source_credentials`"
        ),
        digests={
            "botocore.credentials:RefreshableCredentials.__init__": {
                "3ede8b954d85",
                "ebff6237120d",
                "f96b5344637a",
            },
            "botocore.credentials:RefreshableCredentials._refresh": {"38283a1900dd"},
            "botocore.credentials:DeferredRefreshableCredentials.__init__": {
                "f2bebe09ac72",
                "aad72ec39a1c",
                "4a18b62244c7",
            },
            "botocore.credentials:AssumeRoleProvider._load_creds_via_assume_role": {
                "5f978342bb6f",
                "b297606447e6",
            },
            "botocore.credentials:BaseAssumeRoleCredentialFetcher.__init__": {"5cef09542a88"},
            "botocore.credentials:AssumeRoleCredentialFetcher.__init__": {"bc00095b7d84"},
            "botocore.credentials:ContainerProvider.__init__": {"fcc85af22323"},
            "botocore.credentials:ContainerProvider._create_fetcher": {"5418cb126353", "2ea6a4d844f2"},
            "botocore.credentials:InstanceMetadataProvider.load": {"8ee57b743f76", "9f465ba81e73"},
            "botocore.utils:IMDSFetcher.__init__": {"812e2fa4981c"},
            "botocore.utils:ContainerMetadataFetcher.__init__": {"4ec71b8a61e5"},
        },
    ),
]
FUNCTIONS = [(name, digests, uses) for uses in USES for name, digests in uses.digests.items()]


def source_of(name: str) -> str:
    module, _, path = name.partition(":")
    foreign: Any = importlib.import_module(module)
    for attribute in path.split("."):
        foreign = getattr(foreign, attribute)
    return inspect.getsource(foreign)


def unknown(name: str, known: set[str], uses: Uses) -> str:
    """Return what to look at when a foreign function isn't one of those that are known; else nothing."""
    package = name.partition(".")[0]
    try:
        source = source_of(name)
    except (AttributeError, ImportError) as error:
        seen = f"is gone ({error})"
    else:
        digest = hashlib.sha256(source.encode()).hexdigest()[:12]
        if digest in known:
            return ""
        seen = f"has another source than the known ones, digest {digest!r}"
    return (
        f"{name} of {package} {version(package)} {seen}. Look at {uses.ours}, which counts on this: "
        f"{uses.counts_on}. If it still holds and the client's tests pass, add the digest to "
        f"{Path(__file__).name}; else change our code, for the older versions too."
    )


@pytest.mark.parametrize(("name", "known", "uses"), FUNCTIONS, ids=[name for name, *_ in FUNCTIONS])
def test_foreign_function_is_one_that_was_looked_at(name: str, known: set[str], uses: Uses) -> None:
    message = unknown(name, known, uses)
    assert not message, message


def test_function_that_changed_or_is_gone_is_told_with_what_to_look_at() -> None:
    uses = USES[0]

    changed = unknown("botocore.session:Session.get_component", {"000000000000"}, uses)
    gone = unknown("botocore.session:Session.get_part", set(), uses)

    assert re.match(
        r"botocore\.session:Session\.get_component of botocore [\d.]+ has another source .* "
        r"digest '\w{12}'\. Look at eventstore/dynamodb/_botocore\.py: copy_of, register, which counts on "
        r"this: a session keeps",
        changed,
    )
    assert re.match(r"botocore\.session:Session\.get_part of botocore [\d.]+ is gone \(.*\)\. Look at", gone)


def test_what_counts_on_a_foreign_inside_is_there() -> None:
    for uses in USES:
        for path, names in re.findall(r"([\w/]+\.py): ([\w, ]+)", uses.ours):
            text = (ROOT / path).read_text(encoding="utf-8")
            for name in names.split(", "):
                assert re.search(rf"^(def|class) {name}\b", text, re.MULTILINE), f"{path} has no {name}"


def test_only_these_files_reach_into_what_is_foreign() -> None:
    """`_` attributes of objects that aren't ours, by the linter's rule that forbids them elsewhere."""
    reaching = {
        path.relative_to(ROOT).as_posix()
        for folder in ("eventstore", "infra", "lambdas")
        for path in (ROOT / folder).rglob("*.py")
        if "SLF001" in path.read_text(encoding="utf-8")
    }

    # The locks in memory are this library's own.
    assert reaching == {
        "eventstore/dynamodb/_botocore.py",
        "eventstore/aws/forks.py",
        "eventstore/memory/locks.py",
    }
