"""`rebuild-log`: the log is made anew from the table."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from eventstore._command_line import ALL_WELL, SOMETHING_LEFT
from eventstore.cli.options import LOG, TABLE, Options
from eventstore.cli.outcome import Outcome
from eventstore.cli.screen import Screen
from eventstore.cli.settings import clock, dynamodb, read_shards, session
from eventstore.cli.signals import Signals
from eventstore.delivery.publisher import FailedEvent
from eventstore.delivery.republish import Chosen, of_time
from eventstore.dynamodb.facts import StoreFacts
from eventstore.dynamodb.log import DynamoDBEventLog
from eventstore.dynamodb.log_items import LogItem
from eventstore.dynamodb.log_rebuild import DynamoDBLogRebuild
from eventstore.dynamodb.raw_items import DynamoDBEventsTable
from eventstore.errors import InvalidInput, MalformedBlock, MalformedItem
from eventstore.events import Event
from eventstore.limits import LOG_TRANCHES
from eventstore.maintenance.verify.against_log import LogComparison
from eventstore.maintenance.verify.rebuild import rebuild
from eventstore.positions import from_us

_LISTED = 20


def run(options: Options, screen: Screen, _signals: Signals) -> Outcome:
    """Rebuild the log; the exit code is 0 when all events are in it, 1 when some can't be.

    Cost of 1,000 events of 1 KB: 125 RCU of the index, about 85 WCU of the log. To delete the log before it:
    20 RCU and 85 WCU for 1,000 entries, more where its blocks are small.
    """
    table_name, log_name = TABLE.of(options), LOG.of(options)
    if log_name.rpartition("/")[2] == table_name.rpartition("/")[2]:
        raise InvalidInput("--log-table", f"is {log_name!r}, the events table")
    aws = session()
    clock_ = clock(aws, table_name, screen)
    client = dynamodb(aws)
    facts = StoreFacts(client=client, table_name=table_name)
    table = DynamoDBEventsTable(client=client, table_name=table_name, facts=facts)
    shards = read_shards(facts, is_empty=table.is_empty)
    end_us = clock_.now_us() - options.settling_s * 1_000_000
    work = _Work(options, screen, DynamoDBLogRebuild(client=client, table_name=log_name))
    begun, goes_on = work.begin(now_us=clock_.now_us())
    log = DynamoDBEventLog(client=client, table_name=log_name, rebuilds=True)
    from_us_ = begun.rebuilt_us or 0
    with screen.bar("Logging", unit="events") as bar:
        events, blocks = rebuild(
            work.events(of_time(table, shards=shards, from_us=from_us_, to_us=end_us)),
            LogComparison(log),
            goes_on=goes_on,
            note=lambda rebuilt_us: work.rebuild.note(begun, rebuilt_us),
            logged=bar.add,
        )
    work.rebuild.end(begun)
    for left in work.left[:_LISTED]:
        screen.fail(f"not logged: event {left.event_id} of stream {left.stream_id!r}: {left.reason}")
    if len(work.left) > _LISTED:
        screen.fail(f"... and {len(work.left) - _LISTED:,} more")
    screen.say(
        f"{events:,} events logged in {blocks:,} blocks of {begun.tranches} tranches, up to "
        f"{from_us(end_us).isoformat()}; {len(work.left):,} can't be."
    )
    screen.say(
        "Let the functions start anew, enable the log writer's mapping, and run verify after a minute."
    )
    return Outcome(
        SOMETHING_LEFT if work.left else ALL_WELL,
        {
            "events": events,
            "blocks": blocks,
            "tranches": begun.tranches,
            "logId": begun.log_id,
            "until": from_us(end_us).isoformat(),
            "left": [
                {"streamId": each.stream_id, "eventId": each.event_id, "reason": each.reason}
                for each in work.left
            ],
        },
    )


@dataclass(slots=True)
class _Work:
    options: Options
    screen: Screen
    rebuild: DynamoDBLogRebuild
    left: list[MalformedItem | FailedEvent] = field(default_factory=list)
    """Items that are no events: they can't be logged."""

    def begin(self, *, now_us: int) -> tuple[LogItem, bool]:
        """Return the log to write, and whether an earlier run has begun it."""
        there = self._there()
        if there and there.rebuilt_us is not None and not self.options.delete:
            at = from_us(there.rebuilt_us).isoformat()
            self.screen.say(f"Going on with the rebuild that was interrupted, at {at} ...")
            return there, True
        if not self.rebuild.is_empty():
            self._delete(there, now_us=now_us)
        begun = self.rebuild.begin(there.tranches if there else LOG_TRANCHES)
        self.screen.say(f"Logging all events in another log, {begun.log_id} ...")
        return begun, False

    def events(self, found: Iterable[Chosen]) -> Iterator[Event]:
        """Pass events on; note what isn't one."""
        for each in found:
            if isinstance(each, Event):
                yield each
            else:
                self.left.append(each)

    def _there(self) -> LogItem | None:
        try:
            return self.rebuild.log()
        except MalformedBlock:  # also one of a version before 0.1.0
            if not self.options.delete:
                raise
            return None

    def _delete(self, there: LogItem | None, *, now_us: int) -> None:
        if not self.options.delete:
            what = "has a log, or a part of one, which readers may follow. To delete it first: --delete"
            raise InvalidInput("--log-table", f"{what}; its positions are refused from then on")
        young_us = now_us - 60_000_000
        if there and there.rebuilt_us is None and young_us < self.rebuild.newest_us(there.tranches) <= now_us:
            what = "is still written to: it has an event of the last minute"
            how = "disable the log writer's mapping, and run this again after a minute; nothing was changed"
            raise InvalidInput("--log-table", f"{what}; {how}")
        with self.screen.bar("Deleting the log", unit="blocks") as bar:
            deleted = self.rebuild.delete_all(deleted=bar.add)
        self.screen.say(f"The log that was there is deleted: {deleted:,} items.")
