"""What the commands are told: options, or the environment variables that the functions have too."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import boto3
from botocore.config import Config

from eventstore.errors import InvalidInput
from eventstore.limits import SHARDS_MAX

# Patient, unlike the functions': a page of a scan is 1 MB, and nobody waits for one answer.
CLIENT_CONFIG: Final = Config(
    connect_timeout=5.0,
    read_timeout=30.0,
    retries={"mode": "standard", "total_max_attempts": 10},
    max_pool_connections=50,
    tcp_keepalive=True,
)


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
        text = self.of(options)
        if not (text.isascii() and text.isdigit() and 1 <= int(text) <= highest):
            raise InvalidInput(f"--{self.name}", f"is {text!r}; it has to be a number from 1 to {highest:,}")
        return int(text)


TABLE: Final = Option("table", "EVENTS_TABLE", "the events table")
READ_SHARDS: Final = Option("read-shards", "READ_SHARDS", "shards of the time index that readers ask")
WRITE_SHARDS: Final = Option("write-shards", "WRITE_SHARDS", "shards over which new events are spread")
QUEUE: Final = Option("queue-url", "FAILED_EVENTS_QUEUE_URL", "the queue of failed events")
BUS: Final = Option("bus", "EVENT_BUS", "the event bus")
API: Final = Option("api-url", "API_URL", "the HTTP API, for events that go out by reference")


def whole_number(low: int, high: int) -> Callable[[str], int]:
    """Make a type for argparse: a whole number within bounds."""

    def parse(text: str) -> int:
        if not (text.isascii() and text.isdigit() and low <= int(text) <= high):
            raise argparse.ArgumentTypeError(f"{text!r} is no whole number from {low} to {high:,}")
        return int(text)

    return parse


def session() -> boto3.Session:
    """Make a session as the AWS CLI does: its region, profile and endpoints come from the environment."""
    return boto3.Session()
