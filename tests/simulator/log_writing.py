"""The real log function behind a simulated event source mapping, with faults by a seed."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any, Final

from botocore.exceptions import ClientError, ReadTimeoutError

from eventstore.dynamodb.log import DynamoDBEventLog
from eventstore.log.model import LogEntry
from tests.fake_aws import load_log_function
from tests.simulator.event_source_mapping import Clock, EventSourceMapping, MaySend, Settings, Shard, always
from tests.simulator.history import Address, History
from tests.simulator.journal_table import JOURNAL_TABLE, JournalTable
from tests.simulator.publication import (
    CachedReads,
    Crash,
    Outages,
    _discarded,
    _Lambda,
    pauses_in_virtual_time,
)
from tests.tables import of_tranches

LOG_TABLE: Final = "log"
TRANCHES: Final = 3


@dataclass(frozen=True, kw_only=True)
class LogFaults:
    """How much goes wrong between the function and the log's table; shares of 1."""

    puts_throttled: float = 0.08
    puts_unanswered: float = 0.05
    """The block is written, but the answer gets lost."""
    puts_slow: float = 0.02
    crashes: float = 0.02
    """Before the put or after it."""
    reads_failing: float = 0.05
    cold_starts: float = 0.1


NO_LOG_FAULTS: Final = LogFaults(**dict.fromkeys(LogFaults.__dataclass_fields__, 0.0))


@dataclass
class LogTable:
    """The log's table: conditional puts and queries by tranche and block, as DynamoDB answers them."""

    items: dict[tuple[int, int], dict[str, Any]] = field(default_factory=dict)

    def put_item(self, *, TableName: str, Item: dict[str, Any], **request: Any) -> dict[str, Any]:  # noqa: N803
        assert TableName == LOG_TABLE
        key = int(Item["Tranche"]["N"]), int(Item["Block"]["N"])
        there = self.items.get(key)
        given = request.get("ExpressionAttributeValues", {}).get(":given")
        if there is not None and (given is None or there["Tranches"] != given):
            raise ClientError(
                {"Error": {"Code": "ConditionalCheckFailedException", "Message": "taken"}, "Item": there},  # type: ignore[typeddict-unknown-key]
                "PutItem",
            )
        self.items[key] = Item
        return {}

    def query(self, *, TableName: str, **request: Any) -> dict[str, Any]:  # noqa: N803
        assert TableName == LOG_TABLE
        assert request["ConsistentRead"] is True
        values = request["ExpressionAttributeValues"]
        tranche, first = int(values[":tranche"]["N"]), int(values.get(":block", {"N": "0"})["N"])
        keys = sorted(
            (key for key in self.items if key[0] == tranche and key[1] >= first),
            reverse=not request.get("ScanIndexForward", True),
        )
        limit = request.get("Limit", len(keys) + 1)
        more = {"LastEvaluatedKey": {}} if len(keys) >= limit else {}
        return {"Items": [self.items[key] for key in keys[:limit]], **more}


class _DynamoDB:
    """One client for both tables, with faults."""

    def __init__(
        self, reads: CachedReads, table: LogTable, faults: LogFaults, clock: Clock, rng: random.Random
    ) -> None:
        self._reads, self._table, self._faults, self._clock, self._rng = reads, table, faults, clock, rng
        self._journal = JournalTable()
        self._failing_reads = Outages(rng, faults.reads_failing)
        self._failing_puts = Outages(rng, faults.puts_throttled)

    def query(self, **request: Any) -> Any:
        self._failing_reads.refuse_some("Query")
        tables = {LOG_TABLE: self._table, JOURNAL_TABLE: self._journal}
        return tables.get(request["TableName"], self._reads).query(**request)

    def batch_get_item(self, **request: Any) -> Any:
        return self._failing_reads.leave_some(self._reads, request)

    def get_item(self, **request: Any) -> Any:
        return self._reads.get_item(**request)

    def put_item(self, **request: Any) -> Any:
        if request["TableName"] == JOURNAL_TABLE:
            self._failing_puts.refuse_some("PutItem")
            return self._journal.put_item(**request)
        chance = self._rng.random
        self._clock.sleep(30.0 if chance() < self._faults.puts_slow else 0.01)
        if chance() < self._faults.crashes:
            raise Crash
        self._failing_puts.refuse_some("PutItem")
        answer = self._table.put_item(**request)
        if chance() < self._faults.crashes:
            raise Crash
        if chance() < self._faults.puts_unanswered:
            raise ReadTimeoutError(endpoint_url="https://dynamodb")
        return answer


@dataclass(frozen=True)
class LogRun:
    """What happened in a run."""

    entries: list[LogEntry]
    mapping: EventSourceMapping
    breaches: list[str]

    @property
    def repeats(self) -> int:
        """How many entries were not an event's first."""
        return len(self.entries) - len({(entry.stream_id, entry.event_id) for entry in self.entries})


class LogSimulation:
    """Runs the log function over the shards of a history."""

    def __init__(self, history: History, dynamodb: CachedReads) -> None:
        self._history = history
        self._dynamodb = dynamodb

    def run(
        self,
        shards: Sequence[Shard],
        *,
        seed: int,
        faults: LogFaults | None = None,
        settings: Settings | None = None,
        lives: bool = False,
        may_send: MaySend = always,
        **environ: str,
    ) -> LogRun:
        """Run to the end; `lives` and `may_send` as of `Simulation.run`."""
        rng = random.Random(seed)
        times_s = [record.created_s for shard in shards for record in shard.records]
        clock = Clock(min(times_s) if lives else max(times_s))
        table = LogTable()
        faults = faults or LogFaults()
        client = _DynamoDB(self._dynamodb, table, faults, clock, rng)

        def start() -> ModuleType:
            return load_log_function(
                dynamodb=client,
                sleep=clock.sleep,
                clock_us=clock.now_us,
                JOURNAL_TABLE=JOURNAL_TABLE,
                EVENTS_TABLE=self._history.table_name,
                LOG_TABLE=LOG_TABLE,
                LOG_TRANCHES=str(TRANCHES),
                # Loggers are shared by name: this one is to be quiet, not that of other tests.
                POWERTOOLS_SERVICE_NAME="simulated-index",
                POWERTOOLS_LOG_LEVEL="CRITICAL",
                **environ,
            )

        mapping = EventSourceMapping(
            shards,
            _Lambda(start, faults, clock, rng, environments=2 * len(shards)),
            settings=settings or Settings(batch_size=rng.choice([1, 2, 3, 5, 10, 40])),
            clock=clock,
            rng=rng,
            may_send=may_send,
        )
        with pauses_in_virtual_time(clock, rng):
            mapping.run()
        log = of_tranches(DynamoDBEventLog(client=table, table_name=LOG_TABLE), TRANCHES)  # type: ignore[arg-type]
        entries = [entry for tranche in range(TRANCHES) for entry in log.read_tranche(tranche)]
        discarded = _discarded(shards, mapping)
        return LogRun(entries, mapping, list(_breaches(entries, self._history, discarded)))


def _breaches(entries: Iterable[LogEntry], history: History, discarded: set[Address]) -> Iterable[str]:
    """Return everything that should not have happened."""
    expected = {address for address, payload in history.payloads.items() if payload is not None}
    seen: set[Address] = set()
    for entry in entries:
        address = entry.stream_id, entry.event_id
        if address not in expected:
            yield f"{address} was logged but never appended"
        if address not in seen:
            yield from (
                f"{address} was logged before {earlier}"
                for number in range(1, entry.event_id)
                if (earlier := (entry.stream_id, number)) in expected - seen - discarded
            )
        seen.add(address)
    yield from (f"{address} got lost" for address in expected - seen - discarded)
