"""What the commands are told: options, or the environment variables that the functions have too.

Neither boto3 nor rich is imported here, so that `--help` and completion are quick and need none of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final, TypeVar

import click
from click.core import ParameterSource

from eventstore import _setting_rules as rules
from eventstore.errors import InvalidInput

STANDARD_OUTPUT: Final = Path("-")

_Value = TypeVar("_Value")


class Options(SimpleNamespace):
    """What one command is told, by the names of its options."""


@dataclass(frozen=True, slots=True)
class Call:
    """A command line that was read."""

    command: str
    options: Options
    given: frozenset[str]
    """The options that stand on it: those go before what `--store` says, which goes before variables."""


@dataclass(frozen=True, slots=True)
class Option:
    """An option that a command needs, and the environment variable that gives it as well."""

    name: str
    variable: str
    help: str
    metavar: str = "NAME"

    def parameter(self) -> click.Option:
        """Make the option of one command."""
        return click.Option(
            [f"--{self.name}"],
            envvar=self.variable,
            show_envvar=True,
            metavar=self.metavar,
            help=f"{self.help[0].upper()}{self.help[1:]}.",
        )

    def of(self, options: Options) -> str:
        """Return its value.

        Raises:
            InvalidInput: neither the option nor the variable is there.
        """
        value: str | None = getattr(options, self.name.replace("-", "_"))
        if not value:
            raise InvalidInput(f"--{self.name}", f"is missing; give it, or set {self.variable}")
        return value

    def url(self, options: Options) -> str:
        """Return its value, an address of HTTP without a slash at its end.

        Raises:
            InvalidInput: it's missing, or no such address.
        """
        text = self.of(options)
        if not rules.is_url(text):
            raise InvalidInput(f"--{self.name}", f"is {text!r}; it has to begin with https:// and a host")
        return text.rstrip("/")


TABLE: Final = Option("table", "EVENTS_TABLE", "the events table")
QUEUE: Final = Option("queue-url", "FAILED_EVENTS_QUEUE_URL", "the queue of failed events", "URL")
BUS: Final = Option("bus", "EVENT_BUS", "the event bus")
LOG: Final = Option("log-table", "LOG_TABLE", "the log's table")
SUBSCRIPTIONS: Final = Option("subscriptions-table", "SUBSCRIPTIONS_TABLE", "the subscriptions table")
API: Final = Option("api-url", "API_URL", "the HTTP API, for events that go out by reference", "URL")


def text(*names: str, help: str, **more: Any) -> click.Option:
    """Make an option that takes text."""
    return click.Option([*names], type=str, help=help, **more)


def path(*names: str, help: str, **more: Any) -> click.Option:
    """Make an option that names a file or a folder; who opens it says what is wrong with it."""
    return click.Option([*names], type=click.Path(path_type=Path, readable=False), help=help, **more)


def switch(*names: str, help: str) -> click.Option:
    """Make an option without a value."""
    return click.Option([*names], is_flag=True, help=help)


def whole(name: str, *, low: int, high: int, default: int, help: str) -> click.Option:
    """Make an option that takes a whole number within bounds."""
    return ruled(name, rule=partial(rules.whole, low=low, high=high), default=default, help=help)


def ruled(
    name: str,
    *,
    rule: Callable[[object], object],
    default: str | int,
    help: str,
    metavar: str = "N",
    variable: str | None = None,
) -> click.Option:
    """Make an option by the rule that the functions and the deployment have for a setting."""

    def checked(context: click.Context, parameter: click.Parameter, value: object) -> object:
        try:
            return rule(value)
        except rules.WrongSetting as wrong:
            is_of_variable = context.get_parameter_source(str(parameter.name)) is ParameterSource.ENVIRONMENT
            told = variable if is_of_variable else name
            raise click.UsageError(f"{told}: {wrong}", context) from None

    return click.Option(
        [name],
        type=str,
        callback=checked,
        default=str(default),
        show_default=True,
        envvar=variable,
        show_envvar=variable is not None,
        metavar=metavar,
        help=help,
    )
