"""What the benchmark asks of every candidate, and who they are."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Protocol, TypeAlias

import boto3
from botocore.client import BaseClient
from botocore.config import Config


class Conflict(Exception):
    """The candidate has noticed that somebody else came first; nothing was written."""


class NotOffered(Exception):
    """The candidate has no way to do this; the message says how it shows."""


class Candidate(Protocol):
    """An event store being measured; it has its own table as its documentation wants it."""

    @property
    def name(self) -> str:
        """What the report calls it."""
        ...

    @property
    def client(self) -> BaseClient | None:
        """Its boto3 client, to measure its CPU without the network; None when it isn't Python."""
        ...

    def append(self, stream_id: str, payloads: Sequence[str], *, after: int, head_known: bool = True) -> None:
        """Append events behind version `after` (0: to a new stream), as one unit if the candidate can.

        Args:
            head_known: False forgets what an earlier call on this stream has taught.

        Raises:
            Conflict: the stream is elsewhere.
            Exception: as the candidate says it, for anything else that it refuses.
        """
        ...

    def load(self, stream_id: str) -> int:
        """Read a whole stream as the candidate's objects; return how many events there were."""
        ...

    def load_and_append(self, stream_id: str, payload: str) -> int:
        """Load a stream and append one event, again after a conflict; return the number of conflicts."""
        ...

    def read_all(self) -> int:
        """Read the events of all streams in time order; return how many there were.

        Raises:
            NotOffered: there's no such thing.
        """
        ...

    def seed(self, stream_id: str, payload: str, *, count: int) -> None:
        """Make a stream of `count` events, written fast and exactly as `append` would have left it."""
        ...


Opens: TypeAlias = Callable[[str], AbstractContextManager[Candidate]]
"""Opens a candidate on an endpoint of DynamoDB, with a table of its own."""


def retrying(candidate: Candidate, stream_id: str, payload: str, *, max_tries: int = 100) -> int:
    """Load and append until it works: what a user of a candidate without a loop of its own writes."""
    for conflicts in range(max_tries):
        try:
            candidate.append(stream_id, [payload], after=candidate.load(stream_id), head_known=False)
            return conflicts
        except Conflict:
            continue
    raise AssertionError(f"{candidate.name} didn't come through in {max_tries} tries")


def client_options(endpoint: str) -> dict[str, Any]:
    """What a boto3 client or resource of DynamoDB Local needs."""
    return {
        "endpoint_url": endpoint,
        "region_name": "us-east-1",
        "aws_access_key_id": "local",
        "aws_secret_access_key": "local",
        "config": Config(
            max_pool_connections=50, read_timeout=60, retries={"mode": "standard", "total_max_attempts": 1}
        ),
    }


@contextmanager
def table_of(endpoint: str, **create_table: Any) -> Iterator[str]:
    """Have a table for a while: DynamoDB Local slows down with every table that's left."""
    client = boto3.client("dynamodb", **client_options(endpoint))
    client.create_table(BillingMode="PAY_PER_REQUEST", **create_table)
    try:
        yield str(create_table["TableName"])
    finally:
        client.delete_table(TableName=create_table["TableName"])
        client.close()
