"""`republish`: events of the table go to the bus once more, those that are asked for and no others."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from eventstore._command_line import ALL_WELL, SOMETHING_LEFT
from eventstore._setting_rules import is_url
from eventstore.aws import eventbridge, sqs_dropped, sqs_messages
from eventstore.cli.options import API, BUS, LOG, STANDARD_OUTPUT, TABLE, Options
from eventstore.cli.outcome import Outcome
from eventstore.cli.screen import Bar, Screen
from eventstore.cli.settings import CLIENT_CONFIG, client, clock, dynamodb, given_time, read_shards, session
from eventstore.cli.signals import Signals
from eventstore.delivery.cloudevents import EntryFormat
from eventstore.delivery.dropped import DroppedBatch, DroppedMessage, Recovered, Recovery
from eventstore.delivery.redrive import HIDDEN_S, RESERVE_S
from eventstore.delivery.republish import (
    INTERRUPTED,
    Chosen,
    Republish,
    Wanted,
    of_log,
    of_streams,
    of_time,
)
from eventstore.dynamodb.dropped_records import DynamoDBDroppedRecords
from eventstore.dynamodb.event_bodies import DynamoDBEventBodies
from eventstore.dynamodb.facts import StoreFacts
from eventstore.dynamodb.log import DynamoDBEventLog
from eventstore.dynamodb.raw_items import DynamoDBEventsTable
from eventstore.errors import InvalidInput, InvalidRange
from eventstore.events import check_event_name, check_stream_id, check_stream_prefix
from eventstore.limits import SETTLING_S
from eventstore.log.checks import check_position
from eventstore.log.model import LogPosition
from eventstore.log.port import EventLog
from eventstore.positions import from_us, to_us

if TYPE_CHECKING:
    import boto3
    from mypy_boto3_dynamodb import DynamoDBClient

LISTED: Final = 20

_SETTLING_US: Final = round(SETTLING_S * 1_000_000)
_BY_TIME: Final = ("from_", "to", "stream")
_BY_LOG: Final = ("log_after", "log_until")
_CHOSEN: Final = ("stream_prefix", "event_name")
_WAYS: Final[dict[str, tuple[str, ...]]] = {
    "time": (*_BY_TIME, *_CHOSEN),
    "log": (*_BY_LOG, *_CHOSEN),
    "file": ("dropped",),
    "queue": ("dropped_queue_url",),
}
"""The ways to say which events are meant, and the options of each."""


def run(options: Options, screen: Screen, signals: Signals) -> Outcome:
    """Republish; the exit code is 0 when all that was asked for is published, 1 when some of it isn't."""
    way = _way(options)
    work = _Work(options, screen, batches=_batches(options) if way == "file" else [])
    asked = {"time": work.by_time, "log": work.by_log, "file": work.of_file, "queue": work.of_queue}[way]
    with (
        signals.noted(lambda: screen.say("Ending, when the call that is under way is answered ...")) as ends,
        screen.bar("Publishing", unit="events") as bar,
    ):
        work.begin(way, ends=ends, bar=bar)
        asked()
        _tell(work.done, screen, dry_run=options.dry_run, way=way)
    is_complete = work.done.is_complete and not (work.not_found or work.unreadable)
    return Outcome(ALL_WELL if is_complete else SOMETHING_LEFT, _members(work, is_dry_run=options.dry_run))


def _way(options: Options) -> str:
    """Return the way in which the options say which events are meant.

    Raises:
        InvalidInput: they don't, or in several ways.
    """
    given = [name for names in _WAYS.values() for name in names if getattr(options, name) not in (None, ())]
    if not set(given) - set(_CHOSEN):
        what = "say which events: --from, --stream, --log-after, --dropped or --dropped-queue-url"
        raise InvalidInput("republish", f"publishes what is asked for alone; {what}")
    ways = [way for way, names in _WAYS.items() if {*given} <= {*names}]
    if not ways:
        told = ", ".join(f"--{name.strip('_').replace('_', '-')}" for name in dict.fromkeys(given))
        raise InvalidInput("republish", f"can't go by {told} together; ask for one after the other")
    return ways[0]


class _Work:
    """One run of the command: what it reaches, and what has become of the events."""

    def __init__(self, options: Options, screen: Screen, *, batches: list[DroppedBatch]) -> None:
        self.done = Recovered()
        self.not_found: list[str] = []
        """Streams without an event of that time."""
        self.unreadable: list[DroppedMessage] = []
        self._options = options
        self._screen = screen
        self._batches = batches
        self._table_name = TABLE.of(options)
        self._bus_name = BUS.of(options)
        self._format = EntryFormat(
            source=options.event_source, api_url=API.url(options), max_bytes=options.put_events_max_bytes
        )
        check_stream_prefix(options.stream_prefix or "", field="--stream-prefix")
        if options.event_name is not None:
            check_event_name(options.event_name, field="--event-name")
        for stream_id in options.stream:
            check_stream_id(stream_id, field="--stream")
        self._wanted = Wanted(stream_prefix=options.stream_prefix, event_name=options.event_name)
        self._from, self._to = given_time(options.from_, "--from"), given_time(options.to, "--to")
        if self._from is not None and self._to is not None and self._to <= self._from:
            raise InvalidRange("--from", "is not before --to; exchange them")
        if self._to is not None and self._from is None and not options.stream:
            raise InvalidInput("--from", "is missing; --to alone would publish all of history before it")
        self._aws: boto3.Session = session()
        self._clock = clock(self._aws, self._table_name, screen)

    def begin(self, way: str, *, ends: Callable[[], bool], bar: Bar) -> None:
        """Make what sends events."""
        hidden_until_s = time.monotonic() + HIDDEN_S - RESERVE_S  # a queue's messages, which then come back
        self._ends: Callable[[], bool] = lambda: (
            ends() or (way == "queue" and time.monotonic() > hidden_until_s)
        )
        self._republish = Republish(
            bus=eventbridge.EventBridgeBus(
                client=client(self._aws, "events", config=eventbridge.CLIENT_CONFIG), bus_name=self._bus_name
            ),
            entry_format=self._format,
            dry_run=self._options.dry_run,
            progress=bar.add,
            ends=self._ends,
        )

    def by_time(self) -> None:
        """Publish by time, of all streams or of those that are named."""
        from_us_ = 0 if self._from is None else max(0, to_us(self._from))
        end_us = self._settled_us()
        if self._to is not None:
            end_us = min(end_us, to_us(self._to))
        if not self._options.stream:
            self._send(self.of_time(from_us_, end_us))
            return
        stream_ids = list(dict.fromkeys(self._options.stream))
        seen: set[str] = set()
        found = of_streams(self._table, stream_ids, from_us=from_us_, to_us=end_us)
        self._send(_noted(found, seen))
        if not self.done.stopped:
            for stream_id in stream_ids:
                if stream_id not in seen:
                    self.not_found.append(stream_id)
                    self._screen.fail(f"not found: stream {stream_id!r} has no event of that time")

    def by_log(self) -> None:
        """Publish by the places of entries in the log."""
        log = DynamoDBEventLog(client=self._dynamodb, table_name=LOG.of(self._options))
        after = _position(self._options.log_after, "--log-after", log)
        until = _position(self._options.log_until, "--log-until", log)
        bodies = DynamoDBEventBodies(client=self._dynamodb, table_name=self._table_name)
        beginning = LogPosition.beginning(log.tranches)
        self._send(of_log(log, bodies, after=after or beginning, until=until))

    def of_file(self) -> None:
        """Publish the events of the batches that a file names."""
        self._recover(self._batches, lambda _batches: None)

    def of_queue(self) -> None:
        """Publish the events of all batches of a queue; delete each message when its events are published."""
        url = self._options.dropped_queue_url
        if not is_url(url):
            what = f"is {url!r}; it has to begin with https:// and a host"
            raise InvalidInput("--dropped-queue-url", what)
        sqs = client(self._aws, "sqs", config=sqs_messages.CLIENT_CONFIG)
        queue = sqs_dropped.SqsDroppedMessages(client=sqs, queue_url=url.rstrip("/"))
        messages: dict[str, DroppedMessage] = {}
        try:
            while page := queue.receive(hidden_s=HIDDEN_S):
                messages |= {message.message_id: message for message in page}
                if self._ends():
                    self.done.stopped = INTERRUPTED
                    return
            self._of_messages(queue, messages)
        finally:
            queue.release(list(messages.values()))

    def _of_messages(
        self, queue: sqs_dropped.SqsDroppedMessages, messages: dict[str, DroppedMessage]
    ) -> None:
        of_batch: dict[DroppedBatch, list[DroppedMessage]] = {}
        for message in messages.values():
            if message.batch is None:
                self.unreadable.append(message)
                self._screen.fail(f"left alone: message {message.message_id} can't be read: {message.fault}")
            else:
                of_batch.setdefault(message.batch, []).append(message)

        def delete(batches: Sequence[DroppedBatch]) -> None:
            if not self._options.dry_run:
                recovered = [message for batch in batches for message in of_batch[batch]]
                queue.delete(recovered)
                for message in recovered:
                    del messages[message.message_id]

        self._recover(list(of_batch), delete)

    def _recover(
        self, batches: Sequence[DroppedBatch], recovered: Callable[[Sequence[DroppedBatch]], None]
    ) -> None:
        for batch in batches:
            if batch.table_name != self._table_name.rpartition("/")[2]:
                what = f"is {self._table_name!r}, but a batch is of the table {batch.table_name!r}"
                raise InvalidInput("--table", f"{what}; take the queue and the table of one store")
        streams = client(self._aws, "dynamodbstreams", config=CLIENT_CONFIG)
        Recovery(
            republish=self._republish,
            records=DynamoDBDroppedRecords(client=streams),
            events=self,
            margin_s=self._options.margin_s,
        ).run(batches, self.done, recovered=recovered)

    def _send(self, events: Iterable[Chosen]) -> None:
        self._republish.send(self._wanted.of(events), self.done)

    def of_time(self, from_us: int, end_us: int) -> Iterator[Chosen]:
        """Read the events of a time; see `EventsByTime`."""
        return of_time(self._table, shards=self._shards, from_us=from_us, to_us=end_us)

    def _settled_us(self) -> int:
        """Return up to when the index has everything; younger events are the publisher's."""
        return self._clock.now_us() - _SETTLING_US

    @cached_property
    def _dynamodb(self) -> DynamoDBClient:
        return dynamodb(self._aws)

    @cached_property
    def _facts(self) -> StoreFacts:
        return StoreFacts(client=self._dynamodb, table_name=self._table_name)

    @cached_property
    def _table(self) -> DynamoDBEventsTable:
        return DynamoDBEventsTable(client=self._dynamodb, table_name=self._table_name, facts=self._facts)

    @cached_property
    def _shards(self) -> int:
        return read_shards(self._facts, is_empty=self._table.is_empty)


def _noted(events: Iterable[Chosen], seen: set[str]) -> Iterator[Chosen]:
    """Pass events on; note their streams."""
    for chosen in events:
        seen.add(chosen.stream_id)
        yield chosen


def _position(text: str | None, option: str, log: EventLog) -> LogPosition | None:
    if text is None:
        return None
    position = LogPosition.parse(text, field=option)
    check_position(position, option, log_id=log.log_id, tranches=log.tranches)
    return position


def _batches(options: Options) -> list[DroppedBatch]:
    """Read the file of a message: its body, or the answer of `aws sqs receive-message`."""
    if options.dropped == STANDARD_OUTPUT:
        if sys.stdin is None:
            raise InvalidInput("--dropped", "is -, but standard input is closed; give a file")
        text = sys.stdin.read()
    else:
        try:
            text = options.dropped.read_bytes().decode()
        except UnicodeDecodeError as error:
            raise InvalidInput("--dropped", f"{options.dropped} is not UTF-8") from error
    try:
        answer: Any = json.loads(text)
    except (ValueError, RecursionError):
        answer = None
    match answer:
        case {"Messages": [_, *_] as messages} if all(
            isinstance(message, dict) and isinstance(message.get("Body"), str) for message in messages
        ):
            return [DroppedBatch.parse(message["Body"], field="--dropped") for message in messages]
    return [DroppedBatch.parse(text, field="--dropped")]


def _tell(done: Recovered, screen: Screen, *, dry_run: bool, way: str) -> None:
    for failed in done.refused[:LISTED]:
        screen.fail(f"not published: event {failed.event_id} of stream {failed.stream_id!r}: {failed.reason}")
    if len(done.refused) > LISTED:
        screen.fail(f"... and {len(done.refused) - LISTED:,} more")
    for batch in done.short[:LISTED]:
        arrived = from_us(batch.first_arrival_us).isoformat()
        screen.fail(
            f"not all found: the batch of {arrived} had {batch.records:,} records, and the table has fewer "
            "events of that time. Imports keep older times: give --stream or --from"
        )
    if len(done.short) > LISTED:
        screen.fail(f"... and {len(done.short) - LISTED:,} more batches")
    if done.stopped:
        screen.fail(f"stopped: {done.stopped}. {_how_to_go_on(done, way)}")
    what = "could be published" if dry_run else "published"
    of_batches = f"; {done.by_records:,} batches by their records, {done.by_time:,} by their times"
    screen.say(
        f"{done.published:,} events {what}, {len(done.refused):,} not publishable"
        f"{of_batches if way in {'file', 'queue'} else ''}"
    )
    if dry_run:
        screen.say("Nothing was sent.")


def _members(work: _Work, *, is_dry_run: bool) -> dict[str, object]:
    done, left = work.done, work.done.first_left
    return {
        "isDryRun": is_dry_run,
        "published": done.published,
        "refused": [
            {"streamId": of.stream_id, "eventId": of.event_id, "reason": of.reason} for of in done.refused
        ],
        "streamsNotFound": work.not_found,
        "unreadable": [{"messageId": of.message_id, "reason": of.fault} for of in work.unreadable],
        "batchesByRecords": done.by_records,
        "batchesByTime": done.by_time,
        "batchesNotAllFound": [
            {"firstArrival": from_us(of.first_arrival_us).isoformat(), "records": of.records}
            for of in done.short
        ],
        "stopped": done.stopped,
        "firstLeft": left and {"streamId": left.stream_id, "eventId": left.event_id},
    }


def _how_to_go_on(done: Recovered, way: str) -> str:
    if way == "queue":
        return "The rest is in the queue as before: run it again."
    if way == "time" and done.first_left is not None:
        return f"To go on: --from {from_us(done.first_left.timestamp_us).isoformat()}"
    return "Run it again: consumers take the events that went out for repeats."
