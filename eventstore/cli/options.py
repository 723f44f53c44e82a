"""What the commands are told: options, or the environment variables that the functions have too.

Nothing but the standard library is imported here, so that ``--help`` works wherever Python does.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

from eventstore import _setting_rules as rules
from eventstore.errors import InvalidInput
from eventstore.limits import (
    EQUAL_TIMESTAMPS_MAX_KB,
    LOG_TRANCHES,
    PUT_EVENTS_MAX_BYTES,
    SHARDS_MAX,
    UID_SKEW_S,
)

VERIFY_SETTLING_S: Final = 60
"""Seconds for which `verify` compares no event with the index and the log, unless told otherwise (ours)."""

STANDARD_OUTPUT: Final = Path("-")

DROPPED_MARGIN_S: Final = 15
"""Seconds by which `republish` reads more than a dropped batch's times, unless told otherwise (ours)."""

_Value = TypeVar("_Value")


@dataclass(frozen=True, slots=True)
class Option:
    """An option that a command needs, and the environment variable that gives it as well."""

    name: str
    variable: str
    help: str

    def add_to(self, parser: argparse.ArgumentParser) -> None:
        """Let a parser know it."""
        parser.add_argument(
            f"--{self.name}",
            default=os.environ.get(self.variable) or None,
            metavar=self.variable,
            help=f"{self.help} (default: ${self.variable})",
        )

    def of(self, options: argparse.Namespace) -> str:
        """Return its value.

        Raises:
            InvalidInput: neither the option nor the variable is there.
        """
        value: str | None = getattr(options, self.name.replace("-", "_"))
        if not value:
            raise InvalidInput(f"--{self.name}", f"is missing; give it, or set {self.variable}")
        return value

    def whole(self, options: argparse.Namespace, *, highest: int = SHARDS_MAX) -> int:
        """Return its value, a whole number from 1 on.

        Raises:
            InvalidInput: it's missing, or no such number.
        """
        try:
            return rules.whole(self.of(options), low=1, high=highest)
        except rules.WrongSetting as wrong:
            raise InvalidInput(f"--{self.name}", str(wrong)) from None

    def whole_if_given(self, options: argparse.Namespace) -> int | None:
        """Return its value as `whole` does; None where neither the option nor the variable is there."""
        return self.whole(options) if getattr(options, self.name.replace("-", "_")) else None

    def url(self, options: argparse.Namespace) -> str:
        """Return its value, an address of HTTP without a slash at its end.

        Raises:
            InvalidInput: it's missing, or no such address.
        """
        text = self.of(options)
        if not rules.is_url(text):
            raise InvalidInput(f"--{self.name}", f"is {text!r}; it has to begin with https:// and a host")
        return text.rstrip("/")


TABLE: Final = Option("table", "EVENTS_TABLE", "the events table")
READ_SHARDS: Final = Option(
    "read-shards",
    "READ_SHARDS",
    "shards of the time index that are read, where that's more than the store says",
)
WRITE_SHARDS: Final = Option("write-shards", "WRITE_SHARDS", "shards over which new events are spread")
QUEUE: Final = Option("queue-url", "FAILED_EVENTS_QUEUE_URL", "the queue of failed events")
BUS: Final = Option("bus", "EVENT_BUS", "the event bus")
LOG: Final = Option("log-table", "LOG_TABLE", "the log's table")
SUBSCRIPTIONS: Final = Option("subscriptions-table", "SUBSCRIPTIONS_TABLE", "the subscriptions table")
API: Final = Option("api-url", "API_URL", "the HTTP API, for events that go out by reference")


def whole_number(low: int, high: int) -> Callable[[str], int]:
    """Make a type for argparse: a whole number within bounds."""
    return ruled(partial(rules.whole, low=low, high=high))


def ruled(rule: Callable[[object], _Value]) -> Callable[[str], _Value]:
    """Make a type for argparse of the rule that the functions and the deployment have for a setting."""

    def parse(text: str) -> _Value:
        try:
            return rule(text)
        except rules.WrongSetting as wrong:
            raise argparse.ArgumentTypeError(str(wrong)) from None

    return parse


def add_create_tables_options(parser: argparse.ArgumentParser) -> None:
    """Let the parser know the options of `create-tables`."""
    parser.add_argument(
        "--prefix", default="eventstore", help="how the tables' names begin (default: eventstore)"
    )
    parser.add_argument("--on-aws", action="store_true", help="make them on AWS, too, and not only elsewhere")


def add_doctor_options(parser: argparse.ArgumentParser) -> None:
    """Let the parser know the options of `doctor`."""
    for option in (TABLE, LOG, SUBSCRIPTIONS):
        option.add_to(parser)


def add_rebuild_log_options(parser: argparse.ArgumentParser) -> None:
    """Let the parser know the options of `rebuild-log`."""
    for option in (TABLE, LOG, READ_SHARDS):
        option.add_to(parser)
    parser.add_argument(
        "--log-tranches",
        type=ruled(rules.log_tranches),
        default=os.environ.get("LOG_TRANCHES") or None,
        help="in how many tranches it's written: the log writer's setting (default: $LOG_TRANCHES, else as "
        f"the log before it, else {LOG_TRANCHES})",
    )
    parser.add_argument(
        "--settling-s",
        type=whole_number(10, 86_400),
        default=VERIFY_SETTLING_S,
        help=f"younger events are left to the log writer and to verify (default: {VERIFY_SETTLING_S})",
    )
    parser.add_argument("--delete", action="store_true", help="delete the log that is there first")


def add_redrive_options(parser: argparse.ArgumentParser) -> None:
    """Let the parser know the options of `redrive`."""
    for option in (TABLE, QUEUE, BUS, API):
        option.add_to(parser)
    _add_entries(parser)
    parser.add_argument("--dry-run", action="store_true", help="only report what could be published")
    parser.add_argument("--stream-prefix", help="only events of streams whose id begins so")
    parser.add_argument("--event-name", help="only events of this name")
    parser.add_argument("--reason-contains", help="only events that were parked for such a reason")


def add_republish_options(parser: argparse.ArgumentParser) -> None:
    """Let the parser know the options of `republish`."""
    for option in (TABLE, BUS, API, READ_SHARDS, LOG):
        option.add_to(parser)
    _add_entries(parser)
    parser.add_argument("--dry-run", action="store_true", help="only report what could be published")
    by_time = parser.add_argument_group("events by time or stream")
    by_time.add_argument(
        "--from", dest="from_", metavar="TIME", help="the first time, ISO 8601 with an offset"
    )
    by_time.add_argument("--to", metavar="TIME", help="the first time to leave out (default: now)")
    by_time.add_argument(
        "--stream", action="append", default=[], help="only this stream; can be given several times"
    )
    by_log = parser.add_argument_group("events by their place in the log")
    by_log.add_argument(
        "--log-after", metavar="POSITION", help="entries behind this position, as `GET /log` gives it"
    )
    by_log.add_argument("--log-until", metavar="POSITION", help="up to this one (default: the log's end)")
    chosen = parser.add_argument_group("of the events by time, stream or place")
    chosen.add_argument("--stream-prefix", help="only events of streams whose id begins so")
    chosen.add_argument("--event-name", help="only events of this name")
    dropped = parser.add_argument_group("events of dropped batches")
    dropped.add_argument(
        "--dropped", type=Path, metavar="FILE", help="a message of the dropped-batches queue; - is the input"
    )
    dropped.add_argument(
        "--dropped-queue-url", metavar="URL", help="the dropped-batches queue: all of its messages"
    )
    dropped.add_argument(
        "--margin-s",
        type=whole_number(0, 3_600),
        default=DROPPED_MARGIN_S,
        help="seconds before and behind, where a batch's records are gone and its times are read "
        f"(default: {DROPPED_MARGIN_S})",
    )


def add_restored_options(parser: argparse.ArgumentParser) -> None:
    """Let the parser know the options of `restored`."""
    TABLE.add_to(parser)
    parser.add_argument(
        "--same-name",
        action="store_true",
        help="the table has the name that it had before: it was deleted and restored, or events were deleted",
    )


def _add_entries(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--event-source",
        type=ruled(rules.event_source),
        default=os.environ.get("EVENT_SOURCE") or "eventstore",
        help="the entries' source (default: $EVENT_SOURCE, else eventstore)",
    )
    parser.add_argument(
        "--put-events-max-bytes",
        type=ruled(rules.put_events_max_bytes),
        default=os.environ.get("PUT_EVENTS_MAX_BYTES") or PUT_EVENTS_MAX_BYTES,
        help=f"bytes of one call (default: $PUT_EVENTS_MAX_BYTES, else {PUT_EVENTS_MAX_BYTES})",
    )


def add_verify_options(parser: argparse.ArgumentParser) -> None:
    """Let the parser know the options of `verify`."""
    TABLE.add_to(parser)
    READ_SHARDS.add_to(parser)
    parser.add_argument(
        "--log-table",
        default=os.environ.get("LOG_TABLE") or None,
        help="the log's table (default: $LOG_TABLE; without one the log is left out)",
    )
    parser.add_argument(
        "--log-tranches",
        type=ruled(rules.log_tranches),
        default=os.environ.get("LOG_TRANCHES") or None,
        help="the log's tranches; any but its own number is refused (default: $LOG_TRANCHES, else its own)",
    )
    _add_segments(parser)
    parser.add_argument(
        "--settling-s",
        type=whole_number(0, 86_400),
        default=VERIFY_SETTLING_S,
        help=f"younger events are not compared with index and log (default: {VERIFY_SETTLING_S})",
    )
    parser.add_argument("--checkpoints", type=Path, help="a folder: an interrupted run goes on from there")
    parser.add_argument("--output", type=Path, help="the file for the findings (default: standard output)")
    parser.add_argument("--repair", action="store_true", help="repair what can be known; nothing is invented")


def add_export_options(parser: argparse.ArgumentParser) -> None:
    """Let the parser know the options of `export`."""
    parser.add_argument(
        "file", type=Path, help="the file to make, such as events.ndjson.gz; - is standard output"
    )
    TABLE.add_to(parser)
    READ_SHARDS.add_to(parser)
    parser.add_argument(
        "--from", dest="from_", metavar="TIME", help="the first time, ISO 8601 with an offset"
    )
    parser.add_argument("--to", metavar="TIME", help="the first time to leave out")
    _add_segments(parser)


def add_import_options(parser: argparse.ArgumentParser) -> None:
    """Let the parser know the options of `import`."""
    parser.add_argument("file", type=Path, help="a file that `export` has made")
    TABLE.add_to(parser)
    WRITE_SHARDS.add_to(parser)
    parser.add_argument(
        "--into-existing",
        action="store_true",
        help="the store may have events: identical ones are passed over, nothing is overwritten",
    )
    parser.add_argument(
        "--except",
        dest="except_",
        action="append",
        default=[],
        metavar="STREAM",
        help="leave this stream out; can be given several times",
    )
    parser.add_argument(
        "--except-from",
        type=Path,
        metavar="FILE",
        help="leave out the streams whose ids are the lines of this file",
    )
    parser.add_argument(
        "--equal-timestamps",
        action="store_true",
        help=f"take more than {EQUAL_TIMESTAMPS_MAX_KB:,} KB of one Timestamp, which are read together",
    )
    parser.add_argument(
        "--any-uids",
        action="store_true",
        help=f"take uids twice in a stream, and UUIDv7s more than {UID_SKEW_S:g} s after their Timestamp",
    )
    parser.add_argument(
        "--parallel",
        type=whole_number(1, 50),
        default=16,
        help="streams written side by side (default: 16)",
    )
    parser.add_argument(
        "--compression", choices=["none", "zlib", "zstd"], default="none", help="of payloads (default: none)"
    )
    parser.add_argument("--check-only", action="store_true", help="check the file and write nothing")


def _add_segments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--segments",
        type=whole_number(1, 1_000),
        default=4,
        help="of the table, read side by side (default: 4)",
    )
