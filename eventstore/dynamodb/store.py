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
from eventstore.errors import InvalidArgument, InvalidLimit
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
        write_shards: over how many partitions of the time index new events are spread.
        read_shards: how many are read; at least the highest `write_shards` there ever was. None for
            `write_shards`.
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
        InvalidLimit: numbers of shards that lose events; a settling time with which readers of all events
            would miss some.
        InvalidArgument: a client with which they would; an argument without the methods that are called.
        NotSynchronous: one of the functions is async.

    Consistency: streams are read strongly consistent unless asked otherwise; all events eventually.
    Costs stand at each method of `EventStore`.
    """

    def __init__(
        self,
        *,
        client: DynamoDBClient,
        table_name: str,
        write_shards: int = 1,
        read_shards: int | None = None,
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
        read_shards = write_shards if read_shards is None else read_shards
        check_whole(read_shards, "read_shards", most=SHARDS_MAX)
        check_whole(write_shards, "write_shards", most=SHARDS_MAX)
        if write_shards > read_shards:
            raise InvalidLimit(
                "write_shards",
                f"is {write_shards}, and read_shards {read_shards}; it has to be "
                f"1 <= write_shards <= read_shards <= {SHARDS_MAX}, or events would never be read",
            )
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
            write_shards=write_shards,
            read_shards=read_shards,
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

    def read_log(
        self, *, after: LogPosition | None = None, limit: int = 1_000, tranches: Collection[int] | None = None
    ) -> LogPage:
        """Read what comes next in the log; see `eventstore.read_log`. Needs a store made with a log."""
        if self._log is None:
            raise InvalidArgument("log", "is none: make the store with log=DynamoDBEventLog(...) to read it")
        return read_log(self._log, after=after, limit=limit, tranches=tranches)
