"""This library, as its README uses it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import msgspec
from botocore.client import BaseClient

from bench.candidates import Conflict, client_options, table_of
from bench.floor import events_table_keys, seed_events
from eventstore import Event, Head, NewEvent, execute
from eventstore.dynamodb.client import dynamodb_client
from eventstore.dynamodb.compression import Compression
from eventstore.dynamodb.store import DynamoDBEventStore
from eventstore.errors import VersionConflict

OURS: Final = "this library"
WITH_MSGSPEC: Final = "this library, msgspec"


class Ours:
    """`DynamoDBEventStore` and `execute`; keeps the heads that it has been told, as an application would."""

    def __init__(
        self,
        endpoint: str,
        table: str,
        *,
        shards: int = 1,
        name: str = OURS,
        json_loads: Callable[[bytes], Any] = json.loads,
        compression: Compression | None = None,
    ) -> None:
        self.name = name
        self.table = table
        self._endpoint = endpoint
        self._shards = shards
        self._client: Any = dynamodb_client(json_loads=json_loads, **client_options(endpoint))
        self.store = DynamoDBEventStore(
            client=self._client,
            table_name=table,
            compression=compression,
            clock_tolerance_s=None,  # its client waits as long as the peers' do
        )
        self.store.spread_over(shards)
        self._heads: dict[str, Head] = {}

    @property
    def client(self) -> BaseClient:
        """Its boto3 client."""
        return self._client  # type: ignore[no-any-return]

    def append(self, stream_id: str, payloads: Sequence[str], *, after: int, head_known: bool = True) -> None:
        """Append, behind the head if an earlier call has told it and it's wanted, else behind the version."""
        head = self._heads.get(stream_id) if head_known else None
        expected = head if head and head.version == after else after
        events = [NewEvent(name="OrderPlaced", payload=payload) for payload in payloads]
        try:
            self._heads[stream_id] = self.store.append(stream_id, events, expected=expected).head
        except VersionConflict as error:
            raise Conflict from error

    def load(self, stream_id: str) -> int:
        """Read the stream."""
        return sum(1 for _ in self.store.read_stream(stream_id))

    def load_and_append(self, stream_id: str, payload: str) -> int:
        """Let `execute` do it: after a conflict it reads what is new and no more."""
        event = NewEvent(name="OrderPlaced", payload=payload)
        done = execute(
            self.store, stream_id, initial=0, fold=_counted, decide=lambda _: [event], max_tries=100
        )
        return done.tries - 1

    def read_all(self) -> int:
        """Read all shards, merged by time."""
        return sum(1 for _ in self.store.read_all(unsettled=True))

    def seed(self, stream_id: str, payload: str, *, count: int) -> None:
        """Make a stream of `count` events."""
        self.append(stream_id, [payload], after=0)
        seed_events(self._endpoint, self.table, stream_id, count=count, shards=self._shards)


def with_msgspec(endpoint: str, table: str, *, shards: int = 1) -> Ours:
    """Make this library with msgspec as its reader of JSON, as the read function has it."""
    return Ours(endpoint, table, shards=shards, name=WITH_MSGSPEC, json_loads=msgspec.json.decode)


def _counted(count: int, _: Event) -> int:
    return count + 1


@contextmanager
def open_ours(endpoint: str, *, shards: int = 1) -> Iterator[Ours]:
    """Open this library on a table of its own."""
    with table_of(endpoint, **events_table_keys("our-events")) as table:
        ours = Ours(endpoint, table, shards=shards)
        # What a process reads and records once stands in no operation's figures.
        ours.store._facts.write_shards(shards)  # noqa: SLF001 - no operation does that alone
        yield ours
