"""`redrive`: parked events go to the bus again."""

from __future__ import annotations

from eventstore._command_line import ALL_WELL, SOMETHING_LEFT
from eventstore.aws import eventbridge, sqs_messages, sqs_redrive
from eventstore.cli.options import API, BUS, QUEUE, TABLE, Options
from eventstore.cli.outcome import Outcome
from eventstore.cli.screen import Bar, Screen
from eventstore.cli.settings import client, dynamodb, session
from eventstore.cli.signals import Signals
from eventstore.delivery.cloudevents import EntryFormat
from eventstore.delivery.redrive import Filter, Redrive, Redriven
from eventstore.dynamodb.store import DynamoDBEventStore
from eventstore.events import check_event_name, check_stream_prefix

REFUSALS_TOLD = 20


def run(options: Options, screen: Screen, signals: Signals) -> Outcome:
    """Redrive; the exit code is 0 when all that was meant is published, 1 when some of it still isn't."""
    table_name, queue_url, bus_name = TABLE.of(options), QUEUE.url(options), BUS.of(options)
    wanted = Filter(
        stream_prefix=check_stream_prefix(options.stream_prefix or "", field="--stream-prefix"),
        event_name=_event_name(options.event_name),
        reason_contains=options.reason_contains,
    )
    entry_format = EntryFormat(
        source=options.event_source, api_url=API.url(options), max_bytes=options.put_events_max_bytes
    )
    aws = session()
    redrive = Redrive(
        parked=sqs_redrive.SqsParkedEvents(
            client=client(aws, "sqs", config=sqs_messages.CLIENT_CONFIG), queue_url=queue_url
        ),
        # It only reads streams, so its patience and the clocks don't matter.
        reader=DynamoDBEventStore(client=dynamodb(aws), table_name=table_name, clock_tolerance_s=None),
        bus=eventbridge.EventBridgeBus(
            client=client(aws, "events", config=eventbridge.CLIENT_CONFIG), bus_name=bus_name
        ),
        entry_format=entry_format,
    )
    with (
        signals.noted(lambda: screen.say("Ending: the messages are being made visible again ...")) as asked,
        screen.bar("Receiving", unit="messages") as bar,
    ):
        done = redrive.run(wanted=wanted, dry_run=options.dry_run, progress=_Shown(bar), ends=asked)
        _tell(done, screen, dry_run=options.dry_run)
    return Outcome(
        ALL_WELL if done.is_complete else SOMETHING_LEFT,
        {
            "isDryRun": options.dry_run,
            "published": done.published,
            "deletedMessages": done.deleted,
            "refused": [
                {"streamId": of.stream_id, "eventId": of.event_id, "reason": of.reason} for of in done.refused
            ],
            "unreadable": [{"messageId": of.message_id, "reason": of.fault} for of in done.unreadable],
            "notMeant": done.filtered,
            "stopped": done.stopped,
        },
    )


def _event_name(name: str | None) -> str | None:
    return None if name is None else check_event_name(name, field="--event-name")


class _Shown:
    def __init__(self, bar: Bar) -> None:
        self._bar = bar

    def received(self, messages: int) -> None:
        self._bar.at(messages)
        self._bar.of(messages)

    def began(self, events: int) -> None:
        self._bar.begin("Publishing")
        self._bar.of(events)
        self._bar.at(0)

    def tried(self, events: int) -> None:
        self._bar.add(events)


def _tell(done: Redriven, screen: Screen, *, dry_run: bool) -> None:
    for failed in done.refused[:REFUSALS_TOLD]:
        screen.fail(f"still refused: event {failed.event_id} of stream {failed.stream_id!r}: {failed.reason}")
    if len(done.refused) > REFUSALS_TOLD:
        screen.fail(f"... and {len(done.refused) - REFUSALS_TOLD:,} more")
    for message in done.unreadable[:REFUSALS_TOLD]:
        screen.fail(f"left alone: message {message.message_id} can't be read: {message.fault}")
    if done.stopped:
        screen.fail(f"stopped: {done.stopped}. The rest is in the queue as before: run it again.")
    what = "could be published" if dry_run else "published"
    screen.say(
        f"{done.published:,} events {what}, {done.deleted:,} messages deleted; {len(done.refused):,} events "
        f"still refused, {len(done.unreadable):,} messages unreadable, {done.filtered:,} not meant"
    )
    if dry_run:
        screen.say("Nothing was changed: every message is in the queue as before.")
