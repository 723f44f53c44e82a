"""The real publish function behind a simulated event source mapping, with faults by a seed."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import inf
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any, Final
from unittest.mock import patch

from botocore.exceptions import ReadTimeoutError

from eventstore import IndexingStopped, PublicationStopped
from eventstore.limits import REQUEST_MAX_TRIES
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
from tests.simulator.history import Address, History, Ledger, address_of, time_s

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

_TIMEOUT_S: Final = 60.0


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
    changes_of_environment: float = 0.1


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
        reads = _FailingReads(self._dynamodb, Outages(rng, faults.reads_failing))

        def start() -> ModuleType:
            return load_publish_function(
                events=bus,
                sqs=sqs,
                dynamodb=reads,
                sleep=clock.sleep,
                jitter=rng.random,
                EVENTS_TABLE=self._history.table_name,
                # Loggers are shared by name: this one is to be quiet, not that of other tests.
                POWERTOOLS_SERVICE_NAME="simulated-publish",
                POWERTOOLS_LOG_LEVEL="CRITICAL",
                **environ,
            )

        mapping = EventSourceMapping(
            shards,
            _Lambda(start, faults, clock, rng),
            settings=settings or Settings(batch_size=rng.choice([1, 2, 3, 5, 10, 40])),
            clock=clock,
            rng=rng,
            may_send=may_send,
        )
        with pauses_in_virtual_time(clock, rng):
            mapping.run()
        discarded = _discarded(shards, mapping)
        return Run(ledger, mapping, bus, discarded, ledger.breaches(self._history, discarded=discarded))


@contextmanager
def pauses_in_virtual_time(clock: Clock, rng: random.Random) -> Iterator[None]:
    """Have the pauses before a request's further tries take no time of this machine."""
    time = SimpleNamespace(sleep=clock.sleep)
    with patch.multiple("eventstore.adapters.dynamodb.requests", time=time, random=rng):
        yield


class _Lambda:
    """Execution environments: each shard mostly keeps its own; they start cold, crash and time out."""

    def __init__(
        self, start: Callable[[], ModuleType], faults: Faults, clock: Clock, rng: random.Random
    ) -> None:
        self._start, self._faults, self._clock, self._rng = start, faults, clock, rng
        self._environments: dict[str, ModuleType] = {}

    def __call__(self, trigger: Change, shard_id: str) -> Any:
        chance = self._rng.random
        if shard_id not in self._environments or chance() < self._faults.cold_starts:
            self._environments[shard_id] = self._start()
        elif chance() < self._faults.changes_of_environment:
            other = self._rng.choice(sorted(self._environments))
            mine, theirs = self._environments[shard_id], self._environments[other]
            self._environments[shard_id], self._environments[other] = theirs, mine
        ends_s = self._clock.now_s + _TIMEOUT_S
        context = LambdaContext(remaining_time_s=lambda: ends_s - self._clock.now_s)
        try:
            answer = self._environments[shard_id].handler(trigger, context)
        except (PublicationStopped, IndexingStopped) as error:
            raise FunctionError from error
        except Crash as error:
            del self._environments[shard_id]
            raise FunctionError from error
        if self._clock.now_s > ends_s:
            del self._environments[shard_id]
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
    def __init__(self, reads: CachedReads, outages: Outages) -> None:
        self._reads, self._outages = reads, outages

    def query(self, **request: Any) -> Any:
        self._outages.refuse_some("Query")
        return self._reads.query(**request)

    def batch_get_item(self, **request: Any) -> Any:
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


def reordered(
    changes: Sequence[Change], rng: random.Random, *, within_s: float, in_order: Collection[str] = ()
) -> list[Change]:
    """Let records overtake others whose Timestamp is at most so many seconds older.

    Args:
        in_order: streams that keep their own order, and come when they were written, not at their Timestamps.
    """
    at_s, keys = time_s(changes[0]) if changes else 0.0, []
    for change in changes:
        if address_of(change)[0] not in in_order:
            at_s = time_s(change, otherwise_s=at_s)
        keys.append(at_s + rng.random() * within_s)
    result = [changes[place] for place in sorted(range(len(changes)), key=keys.__getitem__)]
    for stream_id in in_order:
        places = [place for place, change in enumerate(result) if address_of(change)[0] == stream_id]
        ordered = [change for change in changes if address_of(change)[0] == stream_id]
        for place, change in zip(places, ordered, strict=True):
            result[place] = change
    return result


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
    return [as_shard("shard-0", changes, created_s=time_s)]


def split(changes: Sequence[Change], rng: random.Random) -> list[Shard]:
    """A shard that ends somewhere, and two that follow it, each with the streams of its half."""
    end = rng.randrange(len(changes) // 4, 3 * len(changes) // 4)
    halves: tuple[list[Change], list[Change]] = ([], [])
    sides: dict[str, int] = {}
    for change in changes[end:]:
        halves[sides.setdefault(address_of(change)[0], rng.randrange(2))].append(change)
    return [
        as_shard("shard-0", changes[:end], created_s=time_s),
        as_shard("shard-1", halves[0], parents=("shard-0",), created_s=time_s),
        as_shard("shard-2", halves[1], parents=("shard-0",), created_s=time_s),
    ]


def side_by_side(
    changes: Sequence[Change], rng: random.Random, *, skew_s: float = inf, in_order: Collection[str] = ()
) -> tuple[list[Shard], MaySend]:
    """Two shards without kinship; each stream's events come by both, but for those that keep their order.

    Args:
        skew_s: by how much, in Timestamps, a shard may run ahead of whatever waits in the other. Repeats,
            events of streams in order, and items without a Timestamp hold nothing back and aren't held.
    """
    halves: tuple[list[Change], list[Change]] = ([], [])
    times_s: tuple[list[float | None], list[float | None]] = ([], [])
    seen: set[Address] = set()
    for change in changes:
        address = address_of(change)
        half = 0 if address[0] in in_order else rng.randrange(2)
        halves[half].append(change)
        is_free = address[0] in in_order or address in seen
        times_s[half].append(None if is_free else time_s(change, otherwise_s=None))
        seen.add(address)
    shards = [as_shard(f"shard-{n}", half, created_s=time_s) for n, half in enumerate(halves)]
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
