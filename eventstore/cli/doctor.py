"""`doctor`: looks at what a store needs to work, and says how to repair what is wrong; it only reads."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

import boto3
from boto3.exceptions import Boto3Error
from botocore.exceptions import BotoCoreError, ClientError

from eventstore._command_line import ALL_WELL, SOMETHING_LEFT, TROUBLE
from eventstore.cli.faults import sentence
from eventstore.cli.options import LOG, SUBSCRIPTIONS, TABLE, Options
from eventstore.cli.outcome import Outcome, write_json
from eventstore.cli.screen import Screen
from eventstore.cli.settings import clock, dynamodb, session
from eventstore.cli.signals import Signals
from eventstore.dynamodb.facts import StoreFacts, has_events
from eventstore.dynamodb.log_rebuild import DynamoDBLogRebuild
from eventstore.dynamodb.parked_events import DynamoDBParkedEvents, ParkedCount
from eventstore.dynamodb.schema import subscriptions as schema
from eventstore.errors import EventStoreError, WrongTable
from eventstore.limits import CLOCK_TOLERANCE_S
from eventstore.positions import time_text

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

_time: Final = partial(time_text, timespec="seconds")
_NO_INDEX: Final = f"has no index {schema.PARKED!r}, so nothing counts parked events"
_MAKE_INDEX: Final = (
    "deploy the data stack of this version; or add the index by hand: partition key "
    f"{schema.SUBSCRIPTION} (S), sort key {schema.PARKED_AT} (N), keys only"
)


@dataclass(frozen=True, slots=True)
class _Found:
    """What a check found; without a repair all is well."""

    detail: str
    repair: str = ""


def run(options: Options, screen: Screen, _signals: Signals) -> Outcome:
    """Make all checks; the exit code is 0 if all is well, 1 if something is wrong, 2 if one can't be made.

    Cost: 3 RCU and 4 requests; what is parked costs 1 RCU for some 70 events, 512 RCU at most.
    """
    doctor = _Doctor(options, screen, TABLE.of(options))
    checks = {
        "region": doctor.region,
        "clock": doctor.clock,
        "store": doctor.store,
        "log": doctor.log,
        "parked": doctor.parked,
    }
    codes = [_made(name, check, options, screen) for name, check in checks.items()]
    wrong = sum(code != ALL_WELL for code in codes)
    screen.say(f"{len(codes)} checks, {wrong} of them not well." if wrong else "All is well.")
    return Outcome(max(codes), {"checks": len(codes), "notWell": wrong})


def _made(name: str, check: Callable[[], Iterator[_Found]], options: Options, screen: Screen) -> int:
    """Make a check, show what it finds, and return its exit code; one that fails hides no other."""
    code = ALL_WELL
    try:
        for found in check():
            if found.repair:
                code = SOMETHING_LEFT
                _report(name, found.detail, found.repair)
            elif options.as_json:
                write_json({"check": name, "detail": found.detail})
            else:
                screen.say(f"{name}: {found.detail}")
    except (EventStoreError, BotoCoreError, Boto3Error, ClientError) as error:
        _report(name, f"can't be checked: {type(error).__name__}", sentence(error, options))
        return TROUBLE
    return code


def _report(name: str, detail: str, repair: str) -> None:
    write_json({"check": name, "detail": detail, "repair": repair})


@dataclass(slots=True)
class _Doctor:
    options: Options
    screen: Screen
    table_name: str
    _session: boto3.Session | None = None
    _client: DynamoDBClient | None = None

    def region(self) -> Iterator[_Found]:
        aws = self._aws()
        endpoint = self._dynamodb().meta.endpoint_url
        yield _Found(f"{aws.region_name}, DynamoDB at {endpoint}, boto3 {boto3.__version__}")

    def clock(self) -> Iterator[_Found]:
        ahead_s = clock(self._aws(), self.table_name, self.screen).ahead_us / 1_000_000
        if abs(ahead_s) <= CLOCK_TOLERANCE_S:
            yield _Found("this machine's is DynamoDB's, within some seconds")
            return
        word = "ahead of" if ahead_s > 0 else "behind"
        yield _Found(
            f"this machine's is {abs(ahead_s):,.0f} s {word} DynamoDB's: writers and readers of all streams "
            "are refused here (ClockSkewed)",
            "set it, and let it follow a time server",
        )

    def store(self) -> Iterator[_Found]:
        client = self._dynamodb()
        facts = StoreFacts(client=client, table_name=self.table_name)
        facts.check()
        shards = facts.recorded
        if shards is None:
            if has_events(client, self.table_name):
                what = "has events, but its own item ($store) is gone: readers of all streams are refused"
                yield _Found(f"table {self.table_name!r} {what}", "run verify, then verify --repair")
            else:
                yield _Found(f"table {self.table_name!r} is empty: the first append begins the store")
        elif not facts.is_declared:
            what = "is not the one in which the store was begun: writers are refused (RestoreNotDeclared)"
            yield _Found(f"table {self.table_name!r} {what}", "stop all writers, then run restored")
        else:
            epoch = f", restored {_time(facts.epoch_us)}" if facts.epoch_us is not None else ""
            yield _Found(f"table {self.table_name!r}, read shards: {shards}{epoch}")

    def log(self) -> Iterator[_Found]:
        name: str | None = self.options.log_table
        if not name:
            yield _Found(f"left out: give --{LOG.name} or {LOG.variable}")
            return
        log = DynamoDBLogRebuild(client=self._dynamodb(), table_name=name).log()
        if log is None:
            if has_events(self._dynamodb(), self.table_name):
                what = "isn't begun, though there are events: the log writer has logged none"
                yield _Found(
                    f"log {name!r} {what}",
                    "read CloudWatch's logs of the function log: it's late, or stopped",
                )
            else:
                yield _Found(f"log {name!r} isn't begun: the first event begins it")
        elif log.rebuilt_us is not None:
            what = f"is being rebuilt, up to {_time(log.rebuilt_us)}: nothing else is logged meanwhile"
            yield _Found(f"log {name!r} {what}", "let rebuild-log end; if it was interrupted, run it again")
        else:
            yield _Found(f"log {name!r}, {log.tranches} tranches, id {log.log_id}")

    def parked(self) -> Iterator[_Found]:
        name: str | None = self.options.subscriptions_table
        if not name:
            yield _Found(f"left out: give --{SUBSCRIPTIONS.name} or {SUBSCRIPTIONS.variable}")
            return
        try:
            parked = DynamoDBParkedEvents(client=self._dynamodb(), table_name=name).count()
        except WrongTable as error:
            if not error.index:
                raise
            yield _Found(f"subscriptions table {name!r} {_NO_INDEX}", _MAKE_INDEX)
            return
        for count in parked.counts:
            yield _parked(count, is_whole=parked.are_whole)
        if not parked.counts:
            yield _Found(f"no event is, in subscriptions table {name!r}")

    def _aws(self) -> boto3.Session:
        self._session = self._session or session()
        return self._session

    def _dynamodb(self) -> DynamoDBClient:
        self._client = self._client or dynamodb(self._aws())
        return self._client


def _parked(count: ParkedCount, *, is_whole: bool) -> _Found:
    at_least = "" if is_whole else "at least "
    since = "" if count.oldest_us is None else f", the first of them {_time(count.oldest_us)}"
    return _Found(
        f"subscription {count.subscription!r} has parked {at_least}{count.events:,} events{since}",
        "repair what read_parked gives as the reason, then call retry_parked of a worker",
    )
