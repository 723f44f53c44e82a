"""The event store on DynamoDB: conditional writes to append, queries to read."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING

from eventstore._arguments import check_functions, check_port, check_text, check_whole
from eventstore.dynamodb.appending import EventAppends
from eventstore.dynamodb.clocks import ServerClock, check_client
from eventstore.dynamodb.compression import Compression, check_compression
from eventstore.errors import InvalidArgument
from eventstore.limits import CLOCK_TOLERANCE_S, SETTLING_S, SHARDS_MAX
from eventstore.log.model import LogPage, LogPosition
from eventstore.log.port import EventLog
from eventstore.log.read import read_log

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


class DynamoDBEventStore(EventAppends):
    """An `EventStore` on a DynamoDB table as `schema` describes it; safe to use from several threads.

    Args:
        client: boto3's DynamoDB client, best made with `client.dynamodb_client`.
        table_name: the table of the deployed stack.
        settling_s: seconds until an event counts as settled; at least `SETTLING_MIN_S`, more where
            `clock_tolerance_s` is raised (`limits.settling_min_s`), at most `SETTLING_MAX_S`. Or 0 to hold
            nothing back (for tests: a reader that stores its position would miss events).
        compression: how payloads are stored that it writes; None as plain text. It reads either kind anyway.
        log: the store's log, which `read_log` reads; the deployed log writer writes it.
        clock_tolerance_s: seconds by which this computer's clock may differ from DynamoDB's; the settling
            time of all readers has to cover it. None compares no clocks, and takes any client and settling
            time: for virtual clocks, or an engine on the same computer.
        clock_us, random_bytes, random_shard, jitter, sleep: time and chance, to be replaced in tests.

    Raises:
        InvalidLimit: a settling time with which readers of all events would miss some.
        InvalidArgument: a client with which they would; an argument without the methods that are called.
        NotSynchronous: one of the functions is async.

    Over how many shards of the time index events are spread, and how many are read, the store itself says.

    Consistency: streams are read strongly consistent unless asked otherwise; all events eventually.
    Costs stand at each method of `EventStore`; beside them 1 request and 1 RCU once a process, and 0.5 RCU
    each 10 minutes in which it appends or 30 s in which it reads all streams, for what the store says.
    """

    def __init__(
        self,
        *,
        client: DynamoDBClient,
        table_name: str,
        settling_s: float = SETTLING_S,
        compression: Compression | None = None,
        log: EventLog | None = None,
        clock_tolerance_s: float | None = CLOCK_TOLERANCE_S,
        clock_us: Callable[[], int] = lambda: time.time_ns() // 1_000,
        random_bytes: Callable[[int], bytes] = os.urandom,
        random_shard: Callable[[int], int] = random.randrange,
        jitter: Callable[[], float] = random.random,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        check_text(table_name, "table_name")
        check_compression(compression)
        if log is not None:
            check_port(log, EventLog, "log", only=("tranches", "log_id", "read_tranche"))
        check_functions(
            clock_us=clock_us,
            random_bytes=random_bytes,
            random_shard=random_shard,
            jitter=jitter,
            sleep=sleep,
        )
        check_client(client, settling_s=settling_s, tolerance_s=clock_tolerance_s)
        super().__init__(
            client=client,
            table_name=table_name,
            settling_us=round(settling_s * 1_000_000),
            compression=compression,
            server_clock=ServerClock(tolerance_s=clock_tolerance_s),
            clock_us=clock_us,
            random_bytes=random_bytes,
            random_shard=random_shard,
            jitter=jitter,
            sleep=sleep,
        )
        self._log = log

    def spread_over(self, shards: int) -> None:
        """Append over so many shards of the time index: for the deployment that owns the store.

        Nobody else needs the number. The store keeps it, and each reader and each other writer takes it from
        there. A lower number than the store has is used by this object alone, and its readers go on reading
        all shards.

        Args:
            shards: from 1 to `SHARDS_MAX`; see `eventstore.plan.write_shards_for`.

        Raises:
            InvalidLimit: no such number.

        Consistency: the next append records a higher number; from then on readers learn of it, and the new
        shards are written `FACTS_SPREAD_S` later. No event is missed meanwhile.
        Cost: none; 1 WCU with the append that raises the store's number.
        """
        check_whole(shards, "shards", most=SHARDS_MAX)
        self._deployed_shards = shards

    def read_log(
        self, *, after: LogPosition | None = None, limit: int = 1_000, tranches: Collection[int] | None = None
    ) -> LogPage:
        """Read what comes next in the log; see `eventstore.read_log`. Needs a store made with a log."""
        if self._log is None:
            raise InvalidArgument("log", "is missing: make the store with log=DynamoDBEventLog(...)")
        return read_log(self._log, after=after, limit=limit, tranches=tranches)
