"""`redrive`: parked events go to the bus again."""

from __future__ import annotations

import argparse
import os

from eventstore.adapters import eventbridge, sqs_redrive
from eventstore.adapters.dynamodb.client import dynamodb_client
from eventstore.adapters.dynamodb.store import DynamoDBEventStore
from eventstore.cli.screen import Screen
from eventstore.cli.settings import API, BUS, CLIENT_CONFIG, QUEUE, TABLE, session, whole_number
from eventstore.cloudevents import EntryFormat
from eventstore.limits import PUT_EVENTS_MAX_BYTES
from eventstore.redrive import Filter, Redrive, Redriven

REFUSALS_TOLD = 20


def add_options(parser: argparse.ArgumentParser) -> None:
    """Let the parser know this command's options."""
    for option in (TABLE, QUEUE, BUS, API):
        option.add_to(parser)
    parser.add_argument(
        "--event-source",
        default=os.environ.get("EVENT_SOURCE") or "eventstore",
        help="the entries' source (default: $EVENT_SOURCE, else eventstore)",
    )
    parser.add_argument(
        "--put-events-max-bytes",
        type=whole_number(16 * 1_024, 1_024 * 1_024),
        default=os.environ.get("PUT_EVENTS_MAX_BYTES") or PUT_EVENTS_MAX_BYTES,
        help="bytes of one call (default: $PUT_EVENTS_MAX_BYTES, else 262144)",
    )
    parser.add_argument("--dry-run", action="store_true", help="only tell what could be published")
    parser.add_argument("--stream-prefix", help="only events of streams whose id begins so")
    parser.add_argument("--event-name", help="only events of this name")
    parser.add_argument("--reason-contains", help="only events that were parked for such a reason")


def run(options: argparse.Namespace, screen: Screen) -> int:
    """Redrive; return 0 when all that was meant is published, 1 when some of it still isn't."""
    aws = session()
    redrive = Redrive(
        parked=sqs_redrive.SqsParkedEvents(
            client=aws.client("sqs", config=sqs_redrive.CLIENT_CONFIG), queue_url=QUEUE.of(options)
        ),
        reader=DynamoDBEventStore(
            client=dynamodb_client(aws, config=CLIENT_CONFIG), table_name=TABLE.of(options)
        ),
        bus=eventbridge.EventBridgeBus(
            client=aws.client("events", config=eventbridge.CLIENT_CONFIG), bus_name=BUS.of(options)
        ),
        entry_format=EntryFormat(
            source=options.event_source,
            api_url=API.of(options).rstrip("/"),
            max_bytes=options.put_events_max_bytes,
        ),
    )
    wanted = Filter(
        stream_prefix=options.stream_prefix,
        event_name=options.event_name,
        reason_contains=options.reason_contains,
    )
    with screen.bar("Receiving", unit="messages") as bar:

        def received(count: int) -> None:
            bar.at(count)
            bar.of(count)

        def tried(count: int) -> None:
            bar.add(count)

        def began(count: int) -> None:
            bar.begin("Publishing")
            bar.of(count)
            bar.at(0)

        done = redrive.run(
            wanted=wanted, dry_run=options.dry_run, received=received, began=began, tried=tried
        )
    _tell(done, screen, dry_run=options.dry_run)
    return 0 if done.is_complete else 1


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
