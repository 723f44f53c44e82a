"""The real publish function behind a simulated event source mapping, with faults by a seed."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import inf
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any, Final, Protocol
from unittest.mock import patch
from zlib import crc32

from botocore.exceptions import ReadTimeoutError

from eventstore.errors import LogWritingStopped, PublicationStopped
from eventstore.limits import REORDER_WINDOW_S, REQUEST_MAX_TRIES
from tests.fake_aws import FakeEventBridge, FakeSqs, LambdaContext, client_error, load_publish_function
from tests.simulator.event_source_mapping import (
    Change,
    Clock,
    EventSourceMapping,
    FunctionError,
    MaySend,
    Record,
    Settings,
    Shard,
    always,
    as_shard,
)
from tests.simulator.history import Address, History, Ledger, address_of, created_s
from tests.simulator.journal_table import JOURNAL_TABLE, JournalTable

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

_TIMEOUT_S: Final = 60.0
WINDOW_S: Final = REORDER_WINDOW_S - 0.1
"""Seconds within which a record may come behind a later one."""


class Crash(Exception):
    """The execution environment ends in the middle of an invocation."""


class CachedReads:
    """DynamoDB Local's answers to reads, kept: a history that is written does not change any more."""

    def __init__(self, client: DynamoDBClient) -> None:
        self._client = client
        self._answers: dict[str, Any] = {}

    def query(self, **request: Any) -> Any:
        return self._kept(self._client.query, request)

    def batch_get_item(self, **request: Any) -> Any:
        return self._kept(self._client.batch_get_item, request)

    def get_item(self, **request: Any) -> Any:
        return self._kept(self._client.get_item, request)

    def _kept(self, operation: Callable[..., Any], request: Mapping[str, Any]) -> Any:
        key = repr((operation.__name__, sorted(request.items())))
        if key not in self._answers:
            self._answers[key] = operation(**request)
        return self._answers[key]


@dataclass(frozen=True, kw_only=True)
class Faults:
    """How much goes wrong; shares of 1."""

    calls_throttled: float = 0.03
    calls_unanswered: float = 0.02
    """The bus has taken the entries, but the answer gets lost."""
    calls_slow: float = 0.01
    crashes: float = 0.01
    entries_failing: float = 0.05
    events_stuck: float = 0.02
    """Fail up to 12 times in a row."""
    events_refused: float = 0.02
    """Are never taken."""
    parks_failing: float = 0.1
    reads_failing: float = 0.03
    cold_starts: float = 0.1


NO_FAULTS: Final = Faults(**dict.fromkeys(Faults.__dataclass_fields__, 0.0))


class Bus(FakeEventBridge):
    """An EventBridge with faults."""

    def __init__(
        self, faults: Faults, history: History, ledger: Ledger, clock: Clock, rng: random.Random
    ) -> None:
        super().__init__(on_taken=ledger.publish, entry_fault=self._fault)
        self._faults, self._clock, self._rng = faults, clock, rng
        addresses = sorted(history.payloads)
        self.refused = {one for one in addresses if rng.random() < faults.events_refused}
        self._stuck = {one: rng.randint(3, 12) for one in addresses if rng.random() < faults.events_stuck}

    def put_events(self, *, Entries: list[Any]) -> dict[str, Any]:  # noqa: N803
        chance = self._rng.random
        self._clock.sleep(25.0 if chance() < self._faults.calls_slow else 0.02)
        if chance() < self._faults.calls_throttled:
            raise client_error("ThrottlingException", "PutEvents")
        if chance() < self._faults.crashes:
            raise Crash
        answer = super().put_events(Entries=Entries)
        if chance() < self._faults.calls_unanswered:
            raise ReadTimeoutError(endpoint_url="https://events")
        return answer

    def _fault(self, entry: Mapping[str, Any]) -> str | None:
        address = _address(entry)
        if address in self.refused:
            return "MalformedDetail"
        if self._stuck.get(address):
            self._stuck[address] -= 1
            return "InternalFailure"
        return "ThrottlingException" if self._rng.random() < self._faults.entries_failing else None


def _address(entry: Any) -> Address:
    head = entry["Detail"][:2_000]
    stream_id = head.split('"subject":"', 1)[1].split('"', 1)[0]
    return stream_id, int(head.split('"eventid":', 1)[1].split(",", 1)[0])


@dataclass(frozen=True)
class Run:
    """What happened in a run."""

    ledger: Ledger
    mapping: EventSourceMapping
    bus: Bus
    discarded: set[Address]
    breaches: list[str]
    journal: JournalTable
    reads: int
    """Requests to the events' table."""


class Simulation:
    """Runs the publish function over the shards of a history."""

    def __init__(self, history: History, dynamodb: CachedReads) -> None:
        self._history = history
        self._dynamodb = dynamodb

    def run(
        self,
        shards: Sequence[Shard],
        *,
        seed: int,
        faults: Faults | None = None,
        settings: Settings | None = None,
        lives: bool = False,
        may_send: MaySend = always,
        **environ: str,
    ) -> Run:
        """Run to the end.

        Args:
            lives: records come at their time; else all of them are there from the start.
            may_send: as of `EventSourceMapping`.
        """
        rng = random.Random(seed)
        faults = faults or Faults()
        times_s = [record.created_s for shard in shards for record in shard.records]
        clock = Clock(min(times_s) if lives else max(times_s))
        ledger = Ledger()
        bus = Bus(faults, self._history, ledger, clock, rng)
        sqs = FakeSqs(fault=lambda: _maybe(rng, faults.parks_failing, "SendMessage"), on_sent=ledger.park)
        journal = JournalTable()
        client = _FailingReads(self._dynamodb, journal, Outages(rng, faults.reads_failing))

        def start() -> ModuleType:
            return load_publish_function(
                events=bus,
                sqs=sqs,
                dynamodb=client,
                sleep=clock.sleep,
                jitter=rng.random,
                clock_us=clock.now_us,
                EVENTS_TABLE=self._history.table_name,
                JOURNAL_TABLE=JOURNAL_TABLE,
                # Loggers are shared by name: this one is to be quiet, not that of other tests.
                POWERTOOLS_SERVICE_NAME="simulated-publish",
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
        discarded = _discarded(shards, mapping)
        breaches = ledger.breaches(self._history, discarded=discarded)
        return Run(ledger, mapping, bus, discarded, breaches, journal, client.reads)


@contextmanager
def pauses_in_virtual_time(clock: Clock, rng: random.Random) -> Iterator[None]:
    """Have the pauses before a request's further tries take no time of this machine."""
    time = SimpleNamespace(sleep=clock.sleep)
    with patch.multiple("eventstore.dynamodb.requests", time=time, random=rng):
        yield


class _ColdStarts(Protocol):
    @property
    def cold_starts(self) -> float: ...


class _Lambda:
    """Execution environments: any of them takes any shard's batch; they start cold, crash and time out."""

    def __init__(
        self,
        start: Callable[[], ModuleType],
        faults: _ColdStarts,
        clock: Clock,
        rng: random.Random,
        *,
        environments: int,
    ) -> None:
        self._start, self._faults, self._clock, self._rng = start, faults, clock, rng
        self._environments: list[ModuleType | None] = [None] * environments

    def __call__(self, trigger: Change, _shard_id: str) -> Any:
        place = self._rng.randrange(len(self._environments))
        environment = self._environments[place]
        if environment is None or self._rng.random() < self._faults.cold_starts:
            environment = self._environments[place] = self._start()
        ends_s = self._clock.now_s + _TIMEOUT_S
        context = LambdaContext(remaining_time_s=lambda: ends_s - self._clock.now_s)
        try:
            answer = environment.handler(trigger, context)
        except (PublicationStopped, LogWritingStopped) as error:
            raise FunctionError from error
        except Crash as error:
            self._environments[place] = None
            raise FunctionError from error
        if self._clock.now_s > ends_s:
            self._environments[place] = None
            raise FunctionError
        return answer


class Outages:
    """Refuses requests to DynamoDB by chance: for one try, or for all tries of a request."""

    def __init__(self, rng: random.Random, share: float) -> None:
        self._rng, self._share, self._left = rng, share, 0

    def refuse_some(self, operation: str) -> None:
        """Raise what botocore raises for a refused try, or do nothing."""
        if self._left:
            self._left -= 1
        elif self._rng.random() < self._share:
            self._left = self._rng.choice([0, REQUEST_MAX_TRIES - 1])
        else:
            return
        raise client_error("ThrottlingException", operation)

    def leave_some(self, reads: CachedReads, request: Mapping[str, Any]) -> Any:
        """Answer a BatchGetItem, or throttle all of it, or leave some of its keys unread."""
        self.refuse_some("BatchGetItem")
        ((table, asked),) = request["RequestItems"].items()
        keys = asked["Keys"]
        if self._rng.random() >= 5 * self._share or len(keys) == 1:
            return reads.batch_get_item(**request)
        some = self._rng.randrange(1, len(keys))
        answer = reads.batch_get_item(RequestItems={table: {**asked, "Keys": keys[:some]}})
        return {**answer, "UnprocessedKeys": {table: {**asked, "Keys": keys[some:]}}}


class _FailingReads:
    """One client for the events' table and the journal's, with faults."""

    def __init__(self, reads: CachedReads, journal: JournalTable, outages: Outages) -> None:
        self._reads, self._journal, self._outages = reads, journal, outages
        self.reads = 0

    def query(self, **request: Any) -> Any:
        self._outages.refuse_some("Query")
        if request["TableName"] == JOURNAL_TABLE:
            return self._journal.query(**request)
        self.reads += 1
        return self._reads.query(**request)

    def put_item(self, **request: Any) -> Any:
        self._outages.refuse_some("PutItem")
        return self._journal.put_item(**request)

    def batch_get_item(self, **request: Any) -> Any:
        self.reads += 1
        return self._outages.leave_some(self._reads, request)

    def get_item(self, **request: Any) -> Any:
        return self._reads.get_item(**request)


def _maybe(rng: random.Random, share: float, operation: str) -> None:
    if rng.random() < share:
        raise client_error("ThrottlingException", operation)


def _discarded(shards: Iterable[Shard], mapping: EventSourceMapping) -> set[Address]:
    records = {shard.shard_id: shard.records for shard in shards}
    return {
        address_of(record.change)
        for one in mapping.discarded
        for record in records[one.shard_id]
        if one.start_sequence_number <= record.sequence_number <= one.end_sequence_number
    }


# --- how a stream's records reach the function ------------------------------------------------------


def reordered(changes: Sequence[Change], rng: random.Random, *, within_s: float) -> list[Change]:
    """Let records overtake others that were made at most so many seconds before."""
    keys = [created_s(change) + rng.random() * within_s for change in changes]
    return [changes[place] for place in sorted(range(len(changes)), key=keys.__getitem__)]


def doubled(changes: Sequence[Change], rng: random.Random, *, share: float = 0.05) -> list[Change]:
    """Let some records come a second time, at any later place."""
    result = list(changes)
    for change in changes:
        if rng.random() < share:
            first = result.index(change)
            result.insert(rng.randint(first + 1, min(len(result), first + 60)), change)
    return result


def one_shard(changes: Sequence[Change]) -> list[Shard]:
    """All records in one shard."""
    return [as_shard("shard-0", changes)]


def by_stream(changes: Sequence[Change], *, count: int) -> list[Shard]:
    """Several shards, each with all events of its streams."""
    parts: list[list[Change]] = [[] for _ in range(count)]
    for change in changes:
        parts[crc32(address_of(change)[0].encode()) % count].append(change)
    return [as_shard(f"shard-{n}", part) for n, part in enumerate(parts)]


def split(changes: Sequence[Change], rng: random.Random) -> list[Shard]:
    """A shard that ends somewhere, and two that follow it, each with the streams of its half."""
    end = rng.randrange(len(changes) // 4, 3 * len(changes) // 4)
    halves: tuple[list[Change], list[Change]] = ([], [])
    sides: dict[str, int] = {}
    for change in changes[end:]:
        halves[sides.setdefault(address_of(change)[0], rng.randrange(2))].append(change)
    return [
        as_shard("shard-0", changes[:end]),
        as_shard("shard-1", halves[0], parents=("shard-0",)),
        as_shard("shard-2", halves[1], parents=("shard-0",)),
    ]


def side_by_side(
    changes: Sequence[Change], rng: random.Random, *, skew_s: float = inf
) -> tuple[list[Shard], MaySend]:
    """Two shards without kinship; each stream's events come by both.

    Args:
        skew_s: how much later than whatever waits in the other shard a record may have been made. Repeats
            hold nothing back and aren't held.
    """
    halves: tuple[list[Change], list[Change]] = ([], [])
    times_s: tuple[list[float | None], list[float | None]] = ([], [])
    seen: set[Address] = set()
    for change in changes:
        address = address_of(change)
        half = rng.randrange(2)
        halves[half].append(change)
        times_s[half].append(None if address in seen else created_s(change))
        seen.add(address)
    shards = [as_shard(f"shard-{n}", half) for n, half in enumerate(halves)]
    own_s: dict[int, float] = {}
    waits_s: dict[int, float] = {}
    for shard, of_shard in zip(shards, times_s, strict=True):
        earliest_s = inf
        for record, at_s in zip(reversed(shard.records), reversed(of_shard), strict=True):
            earliest_s = min(earliest_s, inf if at_s is None else at_s)
            own_s[id(record)] = -inf if at_s is None else at_s
            waits_s[id(record)] = earliest_s

    def may_send(record: Record, waiting: Sequence[Record]) -> bool:
        earliest_s = min((waits_s[id(other)] for other in waiting), default=inf)
        return own_s[id(record)] <= earliest_s + skew_s

    return shards, may_send
