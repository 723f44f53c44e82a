"""How the commands reach AWS: as its own command line does, by the environment and its files."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

import boto3
from botocore.config import Config

from eventstore._setting_rules import is_url
from eventstore.aws.refusals import made
from eventstore.cli.screen import Screen
from eventstore.dynamodb.client import dynamodb_client
from eventstore.dynamodb.facts import StoreFacts
from eventstore.dynamodb.raw_items import DynamoDBEventsTable
from eventstore.errors import InvalidInput, InvalidRange

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

# Patient, unlike the functions': a page of a scan is 1 MB, and nobody waits for one answer.
CLIENT_CONFIG: Final = Config(
    connect_timeout=5.0,
    read_timeout=30.0,
    retries={"mode": "standard", "total_max_attempts": 10},
    max_pool_connections=50,
    tcp_keepalive=True,
)


_ClientT = TypeVar("_ClientT")

_SAME_US: Final = 2_000_000

_QUESTION: Final = CLIENT_CONFIG.merge(Config(retries={"mode": "standard", "total_max_attempts": 3}))
"""For the first request: a wrong address or table is known in seconds, not after all tries."""


def session() -> boto3.Session:
    """Make a session as the AWS CLI does: its region, profile and endpoints come from the environment.

    AWS_REGION counts before AWS_DEFAULT_REGION, as in the AWS CLI; boto3 itself doesn't read it. Its
    credentials are read now: those that no request can carry are refused before anything begins.

    Raises:
        InvalidInput: a setting of AWS is invalid, or its credentials can't be any.
        CredentialsMissing: there are none, there is no such profile, or its file can't be read.
    """
    with _settings():
        made = boto3.Session(region_name=os.environ.get("AWS_REGION") or None)
        credentials: Any = made.get_credentials()
        frozen = credentials and credentials.get_frozen_credentials()
    if frozen:  # without any, the first request says so
        _check_credentials(frozen, source=credentials.method)
    return made


def dynamodb(of: boto3.Session, *, config: Config = CLIENT_CONFIG) -> DynamoDBClient:
    """Make a session's client of DynamoDB, a patient one unless told otherwise; raises as `client`."""
    return _made(partial(dynamodb_client, of), config=config)


def client(of: boto3.Session, service: Any, *, config: Config) -> Any:
    """Make another client of a session.

    Raises:
        InvalidInput: a setting of AWS is invalid.
        RegionMissing: no region is set.
    """
    return _made(partial(of.client, service), config=config)


def clock(of: boto3.Session, table_name: str, screen: Screen) -> Clock:
    """Ask DynamoDB for its time, before anything long begins; say so when this machine's differs.

    Raises:
        StoreUnavailable, StoreMisconfigured: it can't be reached, or there's no such table or permission.
    """
    quick = dynamodb(of, config=_QUESTION)
    asked_us = local_us()
    time_us = DynamoDBEventsTable(client=quick, table_name=table_name).time_us()
    if time_us is None:
        screen.say("DynamoDB's answers have no Date: the clock of this machine is used instead.")
        return Clock(0)
    # The Date is cut to its second, and the answer took some time: both are no difference.
    ahead_us = asked_us - time_us - 1_000_000
    behind_us = time_us - local_us()
    difference_us = max(ahead_us, 0) - max(behind_us, 0)
    if abs(difference_us) < _SAME_US:
        return Clock(0)
    word = "ahead of" if difference_us > 0 else "behind"
    seconds = abs(difference_us) / 1_000_000
    screen.say(f"The clock of this machine is {seconds:,.0f} s {word} DynamoDB's, which is used.")
    return Clock(difference_us)


def read_shards(facts: StoreFacts, *, is_empty: Callable[[], bool]) -> int:
    """Return how many shards are read: as many as the store itself says, and 1 of an empty one.

    Args:
        is_empty: whether the store has no events; only asked where it doesn't say it.

    Raises:
        StoreItemMissing: it doesn't say it, and has events.
    """
    shards = facts.read_shards(1)
    return shards if facts.recorded else facts.read_shards(1, met_events=not is_empty())


def given_time(text: str | None, option: str) -> datetime | None:
    """Return the time that an option gives; None where it gives none.

    Raises:
        InvalidRange: it's no time, or has no offset.
    """
    if text is None:
        return None
    try:
        time_ = datetime.fromisoformat(text)
    except ValueError as error:
        raise InvalidRange(option, f"is no time: {error}; write 2026-01-31T09:30:00Z") from error
    if time_.tzinfo is None:
        raise InvalidRange(option, "has no offset; write 2026-01-31T09:30:00Z")
    return time_


def _made(make: Callable[..., _ClientT], *, config: Config) -> _ClientT:
    with _settings():
        client_ = make(config=config)
        url = getattr(getattr(client_, "meta", None), "endpoint_url", None)
        if isinstance(url, str) and not is_url(url):  # botocore notices it at the first request
            raise ValueError(f"the endpoint {url} is no address")
        return client_


def _check_credentials(frozen: Any, *, source: str) -> None:
    """Refuse what a header can't carry, without showing it: botocore would write it into its error."""
    named = {
        "access key (AWS_ACCESS_KEY_ID)": frozen.access_key,
        "secret key (AWS_SECRET_ACCESS_KEY)": frozen.secret_key,
        "session token (AWS_SESSION_TOKEN)": frozen.token,
    }
    for name, text in named.items():
        if text and not (text.isascii() and text.isprintable()):
            found = f"the {name}, found by {source!r}, has characters that no key of AWS has"
            raise InvalidInput("the settings of AWS", f"can't be used: {found}")


@contextmanager
def _settings() -> Iterator[None]:
    """Return whose fault it is: botocore reads its settings here, and has a plain ValueError for some."""
    try:
        with made():
            yield
    except ValueError as error:
        what = (
            f"{str(error).rstrip('.')}. Look at AWS_REGION, at AWS_ENDPOINT_URL (it begins with http:// or "
            "https://), and at the profile and its credential_process"
        )
        raise InvalidInput("the settings of AWS", f"can't be used: {what}") from error


@dataclass(frozen=True, slots=True)
class Clock:
    """DynamoDB's time, to about a second: the one by which stored Timestamps are judged."""

    ahead_us: int
    """By how much this machine's clock is ahead of it."""

    def now_us(self) -> int:
        """Return microseconds since 1970, UTC."""
        return local_us() - self.ahead_us


def local_us() -> int:
    """Return this machine's time, in microseconds since 1970, UTC."""
    return time.time_ns() // 1_000
