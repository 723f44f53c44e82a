"""An event source mapping of a DynamoDB stream: what Lambda promises of it, in virtual time.

From the Lambda Developer Guide ("Process DynamoDB records with Lambda", "Configuring partial batch
response", "Retain discarded records", "Control which events Lambda sends to your function"):

- A shard is processed in order, one batch at a time; a child shard after its parent has been read to its end.
- A batch is sent when it's full, when its payload reaches 6 MB, or when its window is over.
- An answer without failures (null, {}, an empty or null list) is a success. With reported failures the lowest
  sequence number is the checkpoint: everything from there on is sent again, nothing before it. An answer with
  an identifier that isn't one of the batch is a complete failure.
- A function error repeats the batch; with bisect it's split into halves first, which costs no retry.
- Records beyond the retries or the age are discarded into the failure destination, and the shard goes on.
- Records that the filter does not match are passed over.

Not said there, chosen here: a checkpoint that moves forward starts the count of retries anew.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from json import dumps
from math import inf
from typing import Any, Final

Change = dict[str, Any]
"""One record of a trigger's payload."""

PAYLOAD_MAX_BYTES: Final = 6 * 1_024 * 1_024


class FunctionError(Exception):
    """The function raised, or ran out of time."""


@dataclass
class Clock:
    """Time that passes only when somebody waits."""

    now_s: float = 0.0

    def sleep(self, pause_s: float) -> None:
        self.now_s += pause_s

    def now_us(self) -> int:
        """Return it in microseconds, as clocks are injected."""
        return round(self.now_s * 1_000_000)


@dataclass(frozen=True)
class Record:
    """A record at its place in a shard."""

    sequence_number: str
    created_s: float
    change: Change
    size_bytes: int


MaySend = Callable[[Record, Sequence[Record]], bool]
"""Whether a record may be sent now: it, and the next record of each other shard that is being read."""


def always(_record: Record, _waiting: Sequence[Record]) -> bool:
    """Hold no record back."""
    return True


@dataclass
class Shard:
    """A shard: its records by rising sequence number, and the shards that come before it."""

    shard_id: str
    records: list[Record]
    parents: tuple[str, ...] = ()
    is_open: bool = False
    """Whether records are still to come."""


@dataclass(frozen=True)
class Discarded:
    """What the failure destination is told: where the records were, never what they said."""

    shard_id: str
    condition: str
    start_sequence_number: str
    end_sequence_number: str
    batch_size: int


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The mapping's parameters, by their names in CreateEventSourceMapping; -1 is without end."""

    batch_size: int = 100
    maximum_batching_window_s: float = 0.0
    report_batch_item_failures: bool = True
    bisect_batch_on_function_error: bool = True
    maximum_retry_attempts: int = -1
    maximum_record_age_s: float = -1.0
    filter: Callable[[Change], bool] = lambda change: change["eventName"] == "INSERT"


@dataclass
class _Poller:
    """One shard being processed: the parts of the batch at hand that are still to do, first part first."""

    shard: Shard
    position: int = 0
    parts: list[list[Record]] = field(default_factory=list)
    attempts: int = 0
    next_at_s: float = 0.0
    gathers_since_s: float = inf

    @property
    def is_done(self) -> bool:
        return not (self.parts or self.shard.is_open) and self.position == len(self.shard.records)

    @property
    def next_record(self) -> Record | None:
        if self.parts:
            return self.parts[0][0]
        return self.shard.records[self.position] if self.position < len(self.shard.records) else None


class EventSourceMapping:
    """Sends the records of shards to a function until all are processed or discarded.

    Args:
        function: is called with the trigger's payload and its shard; raises FunctionError.
        may_send: holds a record back, for tests that bound by how much one shard runs ahead.
    """

    def __init__(
        self,
        shards: Iterable[Shard],
        function: Callable[[Change, str], Any],
        *,
        settings: Settings,
        clock: Clock,
        rng: random.Random,
        may_send: MaySend = always,
    ) -> None:
        self._pollers = {shard.shard_id: _Poller(shard) for shard in shards}
        self._function = function
        self._settings = settings
        self._clock = clock
        self._rng = rng
        self._may_send = may_send
        self.discarded: list[Discarded] = []
        self.invocations = 0

    def run(self, *, max_invocations: int = 20_000) -> None:
        """Process everything; fail when that takes more invocations than it may."""
        while any(not poller.is_done for poller in self._pollers.values()):
            assert self.invocations < max_invocations, "the mapping does not come to an end"
            ready = [poller for poller in self._pollers.values() if self._is_open(poller)]
            due = [poller for poller in ready if poller.next_at_s <= self._clock.now_s]
            if not due:
                self._clock.now_s = min(poller.next_at_s for poller in ready)
                continue
            self._step(self._rng.choice(due))

    def _is_open(self, poller: _Poller) -> bool:
        parents = (self._pollers[parent] for parent in poller.shard.parents)
        return not poller.is_done and all(parent.is_done for parent in parents)

    def _step(self, poller: _Poller) -> None:
        if not poller.parts:
            batch = self._gather(poller)
            if not batch:
                return
            poller.parts, poller.attempts = [batch], 0
        part = self._without_the_old(poller)
        if part:
            self._invoke(poller, part)

    def _gather(self, poller: _Poller) -> list[Record]:
        """Take the next batch of a shard, or set the time at which to look again."""
        settings, records = self._settings, poller.shard.records
        waiting = [
            other.next_record
            for other in self._pollers.values()
            if other is not poller and self._is_open(other) and other.next_record
        ]
        batch: list[Record] = []
        size_bytes, end, is_full = 0, poller.position, False
        for record in records[poller.position :]:
            if record.created_s > self._clock.now_s or not self._may_send(record, waiting):
                break
            if settings.filter(record.change):
                is_full = (
                    len(batch) == settings.batch_size or size_bytes + record.size_bytes > PAYLOAD_MAX_BYTES
                )
                if is_full:
                    break
                batch.append(record)
                size_bytes += record.size_bytes
            end += 1
        if batch and not is_full and end < len(records):
            poller.gathers_since_s = min(poller.gathers_since_s, self._clock.now_s)
            window_ends_s = poller.gathers_since_s + settings.maximum_batching_window_s
            if self._clock.now_s < window_ends_s:
                poller.next_at_s = min(window_ends_s, max(records[end].created_s, self._clock.now_s + 0.01))
                return []
        poller.gathers_since_s = inf
        poller.position = end
        if not batch:
            looks_at_s = self._clock.now_s + 0.25
            poller.next_at_s = max(records[end].created_s, looks_at_s) if end < len(records) else looks_at_s
        return batch

    def _without_the_old(self, poller: _Poller) -> list[Record]:
        part, age_s = poller.parts[0], self._settings.maximum_record_age_s
        if age_s < 0:
            return part
        old = [record for record in part if self._clock.now_s - record.created_s > age_s]
        if old:
            self._discard(poller, old, "RecordAgeExceeded")
            poller.parts[0] = part = [record for record in part if record not in old]
            if not part:
                del poller.parts[0]
        return part

    def _invoke(self, poller: _Poller, part: list[Record]) -> None:
        self.invocations += 1
        trigger = {"Records": [record.change for record in part]}
        try:
            checkpoint = self._checkpoint(self._function(trigger, poller.shard.shard_id), part)
        except FunctionError:
            if self._settings.bisect_batch_on_function_error and len(part) > 1:
                middle = len(part) // 2
                poller.parts[:1] = [part[:middle], part[middle:]]
            else:
                self._retry(poller)
            return
        if checkpoint == len(part):
            del poller.parts[0]
            poller.attempts = 0
        else:
            poller.parts[0] = part[checkpoint:]
            poller.attempts = 0 if checkpoint else poller.attempts
            self._retry(poller)

    def _checkpoint(self, answer: Any, part: list[Record]) -> int:
        """Return how many records of a part an answer calls done."""
        failures = (
            (answer or {}).get("batchItemFailures") if self._settings.report_batch_item_failures else None
        )
        if not failures:
            return len(part)
        numbers = [record.sequence_number for record in part]
        identifiers = [failure.get("itemIdentifier") for failure in failures]
        if any(identifier not in numbers for identifier in identifiers):
            return 0
        return min(numbers.index(identifier) for identifier in identifiers)

    def _retry(self, poller: _Poller) -> None:
        poller.attempts += 1
        most = self._settings.maximum_retry_attempts
        if 0 <= most < poller.attempts:
            self._discard(poller, poller.parts.pop(0), "RetryAttemptsExhausted")
            poller.attempts = 0
        else:
            poller.next_at_s = self._clock.now_s + min(60.0, 0.5 * 2**poller.attempts)

    def _discard(self, poller: _Poller, records: list[Record], condition: str) -> None:
        first, last = records[0].sequence_number, records[-1].sequence_number
        self.discarded.append(Discarded(poller.shard.shard_id, condition, first, last, len(records)))


def as_shard(
    shard_id: str,
    changes: Iterable[Change],
    *,
    parents: tuple[str, ...] = (),
) -> Shard:
    """Make a shard of changes in this order, numbering them anew, as a stream numbers what it holds."""
    records = []
    latest_s = 0.0
    for place, change in enumerate(changes):
        number = f"{42_000_000 + place:028}"
        numbered = {**change, "dynamodb": {**change["dynamodb"], "SequenceNumber": number}}
        latest_s = max(latest_s, change["dynamodb"]["ApproximateCreationDateTime"])
        records.append(Record(number, latest_s, numbered, len(dumps(numbered))))
    return Shard(shard_id, records, parents)
