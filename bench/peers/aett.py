"""PyPI `aett-dynamodb`: its commit store, on the table that its own management creates."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any
from unittest.mock import patch

import aett.dynamodb
from aett.domain import (
    ConflictingCommitException,
    DuplicateCommitException,
    NonConflictingCommitException,
)
from aett.dynamodb import CommitStore, PersistenceManagement
from aett.eventstore import Commit, EventMessage, TopicMap
from aett.eventstore.topic import Topic
from botocore.client import BaseClient
from pydantic import BaseModel

from bench.candidates import Conflict, NotOffered, retrying

_SEED_COMMIT_EVENTS = 50  # of 1 KB each: its two local indexes count into the 400 KB of an item
# commit() prints DynamoDB's answer; without this the benchmark's own lines would drown in it.
aett.dynamodb.print = lambda *_: None


@Topic("OrderPlaced")
class OrderPlaced(BaseModel):
    """The event, as its documentation defines events; the payload is carried as JSON text."""

    payload: str


class Aett:
    """One commit for each append, whatever the number of its events: a commit is one item."""

    name = "aett-dynamodb"

    def __init__(self, table: str) -> None:
        topics = TopicMap()
        topics.add("OrderPlaced", OrderPlaced)
        self._store = CommitStore(topics, table_name=table, region="us-east-1", profile_name=None)

    @property
    def client(self) -> BaseClient:
        """The client of its resource."""
        return self._store._table.meta.client  # type: ignore[no-any-return]  # noqa: SLF001 - there's no other way to it

    def append(self, stream_id: str, payloads: Sequence[str], *, after: int, head_known: bool = True) -> None:
        """Commit behind revision `after`; the commit's sequence is the revision before it."""
        del head_known
        commit = Commit(
            tenant_id="shop",
            stream_id=stream_id,
            stream_revision=after + len(payloads),
            commit_id=uuid.uuid4(),
            commit_sequence=after,
            commit_stamp=datetime.now(UTC),
            headers={},
            events=[EventMessage(body=OrderPlaced(payload=payload)) for payload in payloads],
            checkpoint_token=0,
        )
        try:
            self._store.commit(commit)
        except (ConflictingCommitException, DuplicateCommitException, NonConflictingCommitException) as error:
            raise Conflict from error

    def load(self, stream_id: str) -> int:
        """Get all commits of a stream and count their events."""
        return sum(len(commit.events) for commit in self._store.get("shop", stream_id))

    def load_and_append(self, stream_id: str, payload: str) -> int:
        """Load and commit until it works."""
        return retrying(self, stream_id, payload)

    def read_all(self) -> int:
        """Get all commits up to now."""
        try:
            return sum(len(commit.events) for commit in self._store.get_all_to("shop", datetime.now(UTC)))
        except Exception as error:
            raise NotOffered(f"get_all_to raises {type(error).__name__}: {error}") from error

    def seed(self, stream_id: str, payload: str, *, count: int) -> None:
        """Make a stream of `count` events, in commits of 50."""
        for done in range(0, count, _SEED_COMMIT_EVENTS):
            self.append(stream_id, [payload] * min(_SEED_COMMIT_EVENTS, count - done), after=done)


@contextmanager
def open_aett(endpoint: str) -> Iterator[Aett]:
    """Open it on a table of its own. It takes its endpoint and credentials from the environment alone."""
    environ = {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
    }
    names: dict[str, Any] = {"commits_table_name": "aett-commits", "snapshots_table_name": "aett-snapshots"}
    with patch.dict(os.environ, environ):
        management = PersistenceManagement(**names, region="us-east-1", profile_name=None)
        management.initialize()
        try:
            yield Aett("aett-commits")
        finally:
            management.drop()
