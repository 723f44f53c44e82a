"""`restored`: the table was restored; what is written from now on is known from what was lost."""

from __future__ import annotations

from typing import Final

from eventstore._checks import written_us_of
from eventstore._command_line import ALL_WELL
from eventstore.cli.options import TABLE, Options
from eventstore.cli.outcome import Outcome
from eventstore.cli.screen import Screen
from eventstore.cli.settings import clock, dynamodb, session
from eventstore.cli.signals import Signals
from eventstore.dynamodb.facts import StoreFacts
from eventstore.dynamodb.raw_items import DynamoDBEventsTable
from eventstore.errors import InvalidInput
from eventstore.events import Event
from eventstore.positions import time_text

_QUIET_US: Final = 60_000_000
"""What was written within it shows that somebody still writes (ours)."""


def run(options: Options, screen: Screen, _signals: Signals) -> Outcome:
    """Declare a restore; the exit code is 0 when it is declared, by this run or an earlier one.

    Cost: 1 RCU for the time, 1 for the store's own item, 0.5 for each shard, 1 WCU.
    """
    table_name = TABLE.of(options)
    aws = session()
    now_us = clock(aws, table_name, screen).now_us()
    client = dynamodb(aws)
    facts = StoreFacts(client=client, table_name=table_name)
    table = DynamoDBEventsTable(client=client, table_name=table_name, facts=facts)
    shards = facts.read_shards(1)
    last = None
    if options.same_name or not facts.is_declared:
        last = _last(table, shards, now_us=now_us)
    declared = facts.declare_restored(now_us=now_us, same_name=options.same_name)
    epoch = time_text(declared.epoch_us)
    outcome = Outcome(
        ALL_WELL,
        {
            "table": table_name,
            "from": declared.table,
            "epoch": epoch,
            "isNew": declared.is_new,
            "lastEventAt": last and time_text(last.timestamp_us),
        },
    )
    if not declared.is_new:
        screen.say(f"The restore of {table_name!r} is declared already, with the epoch {epoch}.")
        screen.say("Nothing was changed.")
        return outcome
    screen.say(f"{table_name!r} is declared to be restored, from {declared.table!r}.")
    screen.say(f"What is written from now on has the epoch {epoch}, also in its CloudEvents id.")
    if last:
        screen.say(f"What is there keeps its id. Its last event is of {time_text(last.timestamp_us)}.")
    screen.say("Let writers start anew now.")
    return outcome


def _last(table: DynamoDBEventsTable, shards: int, *, now_us: int) -> Event | None:
    """Read the last event; refuse when somebody writes, with an epoch that ends now."""
    found = (table.newest(shard, end_us=now_us + _QUIET_US) for shard in range(shards))
    events = (item.event for item in found if item and isinstance(item.event, Event))
    last = max(events, key=lambda event: event.timestamp_us, default=None)
    if last is None or abs(now_us - written_us_of(last)) >= _QUIET_US:
        return last
    what = f"event {last.event_id} of stream {last.stream_id!r} is of {time_text(written_us_of(last))}"
    how = "stop all writers, and run this again after a minute. Nothing was changed"
    raise InvalidInput("--table", f"is still written to: {what}. A restore is declared first: {how}")
