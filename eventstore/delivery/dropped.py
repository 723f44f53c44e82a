"""Dropped batches: what a mapping gave up on, by the messages of their queue, and how their events are found.

A message of Lambda's names a shard of the table's stream, the first and the last sequence number, and when
these records arrived; not the events. The stream keeps the records for 24 hours, and as long as they are
there, they say which events it was. Later only the time of arrival is known: then it's all events that were
appended at that time, of whichever stream.
"""

from __future__ import annotations

import json
from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Protocol

from eventstore._arguments import check_functions, check_is, check_port, check_whole
from eventstore.delivery.republish import Chosen, Republish, Republished
from eventstore.errors import InvalidArgument, InvalidRange
from eventstore.events import Event
from eventstore.positions import to_us

_SECOND_US: Final = 1_000_000
_GIVE: Final = "give the body of a message of the dropped-batches queue, as Lambda wrote it"


@dataclass(frozen=True, slots=True, kw_only=True)
class DroppedBatch:
    """Records of one shard that a mapping gave up on."""

    stream_arn: str
    shard_id: str
    first: str
    """The sequence number of its first record."""
    last: str
    records: int
    first_arrival_us: int
    """Microseconds since 1970, to the second."""
    last_arrival_us: int

    @property
    def table_name(self) -> str:
        """The table whose stream it is."""
        return self.stream_arn.partition(":table/")[2].partition("/")[0]

    def window_us(self, *, margin_s: int) -> tuple[int, int]:
        """Return the Timestamps, from and to, that the events of its records can have."""
        margin_us = margin_s * _SECOND_US
        return max(0, self.first_arrival_us - margin_us), self.last_arrival_us + _SECOND_US + margin_us

    @classmethod
    def parse(cls, text: str, *, field: str = "message") -> DroppedBatch:
        """Read a message of a dropped-batches queue.

        Raises:
            InvalidArgument: it's none.
        """
        try:
            return cls.of(json.loads(text), field=field)
        except (ValueError, RecursionError) as error:
            if isinstance(error, InvalidArgument):
                raise
            raise InvalidArgument(field, f"is not JSON: {error}; {_GIVE}") from error

    @classmethod
    def of(cls, message: Any, *, field: str = "message") -> DroppedBatch:
        """Read a message that is no text any more; raises as `parse`."""
        match message:
            case {
                "DDBStreamBatchInfo": {
                    "shardId": str(shard_id),
                    "startSequenceNumber": str(first),
                    "endSequenceNumber": str(last),
                    "approximateArrivalOfFirstRecord": str(first_arrival),
                    "approximateArrivalOfLastRecord": str(last_arrival),
                    "batchSize": int(records),
                    "streamArn": str(stream_arn),
                }
            } if first.isdecimal() and last.isdecimal() and ":table/" in stream_arn:
                return cls(
                    stream_arn=stream_arn,
                    shard_id=shard_id,
                    first=first,
                    last=last,
                    records=records,
                    first_arrival_us=_time_us(first_arrival, field),
                    last_arrival_us=_time_us(last_arrival, field),
                )
        what = "has no DDBStreamBatchInfo with shard, sequence numbers, times, batchSize and streamArn"
        raise InvalidArgument(field, f"{what}; {_GIVE}")


@dataclass(frozen=True, slots=True)
class DroppedMessage:
    """One message of a queue of dropped batches."""

    message_id: str
    receipt: str
    """What deletes it, or shows it again."""
    batch: DroppedBatch | None
    """None when its body can't be read."""
    fault: str = ""


class DroppedMessages(Protocol):
    """A queue of dropped batches, from its other end; methods as of `redrive.ParkedEvents`."""

    def receive(self, *, hidden_s: float) -> Sequence[DroppedMessage]:
        """Take some messages, hidden from others for a while; none when the queue has no more now."""
        ...

    def delete(self, messages: Sequence[DroppedMessage]) -> None:
        """Delete messages."""
        ...

    def release(self, messages: Sequence[DroppedMessage]) -> None:
        """Make messages visible again at once."""
        ...


class DroppedRecords(Protocol):
    """Reads the records of a dropped batch."""

    def read(self, batch: DroppedBatch) -> Sequence[Chosen] | None:
        """Read the events that were inserted, in the order of their records; None when records are gone.

        Raises:
            StoreUnavailable: throttled or unreachable after all tries.

        Cost: 2 requests and 1 more for each 1 MB of records.
        """
        ...


class EventsByTime(Protocol):
    """Reads events of all streams by their times."""

    def of_time(self, from_us: int, end_us: int) -> Iterator[Chosen]:
        """Read the events with a Timestamp in [from_us, end_us), in time order; see `republish.of_time`."""
        ...


@dataclass(slots=True, kw_only=True)
class Recovered(Republished):
    """What became of dropped batches."""

    by_records: int = 0
    """Batches whose records were still there: exactly their events were sent."""
    by_time: int = 0
    """Batches of which only the times are known: all events of these times were sent."""
    short: list[DroppedBatch] = field(default_factory=list)
    """Batches of whose times the table has fewer events than the batch had records."""

    @property
    def is_complete(self) -> bool:
        """Whether every event of every batch is known to be published."""
        return not (self.refused or self.stopped or self.short)


def _pass(_batches: Sequence[DroppedBatch]) -> None:
    pass


class Recovery:
    """Publishes the events of dropped batches.

    Args:
        republish: sends them.
        records: reads records, as long as they are there.
        events: reads the events of a time.
        margin_s: by how much an event's Timestamp may differ from its record's arrival, since writing takes
            time and clocks differ.

    Raises:
        InvalidArgument, NotSynchronous: an argument that can't be used.
    """

    def __init__(
        self,
        *,
        republish: Republish,
        records: DroppedRecords,
        events: EventsByTime,
        margin_s: int,
    ) -> None:
        check_is(republish, Republish, "republish", give="a Republish")
        check_port(records, DroppedRecords, "records")
        check_port(events, EventsByTime, "events")
        check_whole(margin_s, "margin_s", least=0)
        self._republish = republish
        self._records = records
        self._events = events
        self._margin_s = margin_s

    def run(
        self,
        batches: Iterable[DroppedBatch],
        done: Recovered,
        *,
        recovered: Callable[[Sequence[DroppedBatch]], None] = _pass,
    ) -> None:
        """Publish the events of batches, the oldest first; put down in `done` what becomes of them.

        Args:
            recovered: is called with batches when all of their events are published.

        Raises:
            StoreUnavailable: what was published till then stands in `done`; run it again.

        Of a batch whose records are gone all events go out that were appended at that time, of whichever
        stream; those of times that overlap go out once. Events with other Timestamps than of their writing,
        as imports have, aren't found so: `Recovered.short` names the batches in which more records were than
        events are found.

        Cost: see `DroppedRecords.read`, `republish.of_time` and `Republish.send`. Memory: one batch, and 8
        bytes for each event that is found by time.
        """
        check_functions(recovered=recovered)
        gone: list[DroppedBatch] = []
        for batch in sorted(batches, key=_arrival):
            events = self._records.read(batch)
            if events is None:
                gone.append(batch)
                continue
            self._by_time(gone, done, recovered)
            gone = []
            refused = len(done.refused)
            self._republish.send(events, done)
            if done.stopped:
                return
            done.by_records += 1
            if len(done.refused) == refused:
                recovered([batch])
        self._by_time(gone, done, recovered)

    def _by_time(
        self,
        gone: Sequence[DroppedBatch],
        done: Recovered,
        recovered: Callable[[Sequence[DroppedBatch]], None],
    ) -> None:
        for from_us, end_us, batches in self._windows(gone):
            times_us = array("q")
            refused = len(done.refused)
            self._republish.send(_counted(self._events.of_time(from_us, end_us), times_us), done)
            if done.stopped:
                return
            done.by_time += len(batches)
            short = [batch for batch in batches if self._found(batch, times_us) < batch.records]
            done.short += short
            if len(done.refused) == refused:
                recovered([batch for batch in batches if batch not in short])

    def _windows(self, batches: Sequence[DroppedBatch]) -> Iterator[tuple[int, int, list[DroppedBatch]]]:
        """Yield the times of batches, those that overlap together."""
        together: list[DroppedBatch] = []
        from_us = end_us = 0
        for batch in batches:
            begins_us, ends_us = batch.window_us(margin_s=self._margin_s)
            if together and begins_us > end_us:
                yield from_us, end_us, together
                together = []
            from_us, end_us = (from_us, max(end_us, ends_us)) if together else (begins_us, ends_us)
            together.append(batch)
        if together:
            yield from_us, end_us, together

    def _found(self, batch: DroppedBatch, times_us: array[int]) -> int:
        begins_us, ends_us = batch.window_us(margin_s=self._margin_s)
        return bisect_left(times_us, ends_us) - bisect_left(times_us, begins_us)


def _counted(events: Iterable[Chosen], times_us: array[int]) -> Iterator[Chosen]:
    """Pass events on; take down the Timestamps, which rise."""
    for chosen in events:
        if isinstance(chosen, Event):
            times_us.append(chosen.timestamp_us)
        yield chosen


def _arrival(batch: DroppedBatch) -> tuple[int, int]:
    return batch.first_arrival_us, int(batch.first)


def _time_us(text: str, field: str) -> int:
    try:
        return to_us(datetime.fromisoformat(text))
    except (ValueError, InvalidRange) as error:
        raise InvalidArgument(field, f"has {text!r}, which is no time; {_GIVE}") from error
