"""The environment of each function: typed, and checked once, when the function starts."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from math import isfinite
from typing import Any, Final, Self

from eventstore.errors.base import PicklableError
from eventstore.limits import LOG_TRANCHES_MAX, PUT_EVENTS_MAX_BYTES, SETTLING_S, SHARDS_MAX

_EVENT_SOURCE: Final = re.compile(r"(?!aws\.)[/.\-_A-Za-z0-9]{1,256}")
_URL: Final = re.compile(r"https?://\S+")


class InvalidSettings(PicklableError, ValueError):
    """Environment variables that are missing or can't be used; `faults` has a sentence for each."""

    def __init__(self, faults: tuple[str, ...]) -> None:
        super().__init__("; ".join(faults))
        self.faults = faults


class _Variables:
    """Reads variables and gathers what is wrong with them, so that one deployment mends it all."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._faults: list[str] = []

    def check(self) -> None:
        if self._faults:
            raise InvalidSettings(tuple(self._faults))

    def text(self, name: str, *, default: str | None = None) -> str:
        value = self._environ.get(name, "").strip() or default
        if value is None:
            self._faults.append(f"{name} is missing; set it in the function's environment")
        return value or ""

    def matching(self, name: str, pattern: re.Pattern[str], what: str, *, default: str | None = None) -> str:
        value = self.text(name, default=default)
        if value and not pattern.fullmatch(value):
            self._faults.append(f"{name} is {value!r}; it has to be {what}")
        return value

    def choice(self, name: str, choices: tuple[str, ...]) -> str:
        value = self.text(name, default=choices[0])
        if value not in choices:
            self._faults.append(f"{name} is {value!r}; it has to be one of {', '.join(choices)}")
        return value

    def whole(self, name: str, *, low: int, high: int, default: int | None = None) -> int:
        text = self.text(name, default=None if default is None else str(default))
        value = int(text) if text.isascii() and text.isdigit() else low - 1
        if text and not low <= value <= high:
            self._faults.append(f"{name} is {text!r}; it has to be a whole number from {low} to {high:,}")
        return value

    def url(self, name: str, what: str) -> str:
        return self.matching(name, _URL, f"the URL of {what}")

    def texts(self, name: str) -> tuple[str, ...]:
        return tuple(filter(None, self._environ.get(name, "").split(",")))

    def seconds(self, name: str, *, default: float) -> float:
        text = self.text(name, default=str(default))
        try:
            value = float(text)
        except ValueError:
            value = -1.0
        if not (isfinite(value) and value >= 0):
            self._faults.append(f"{name} is {text!r}; it has to be a number of seconds, 0 or more")
        return value


_VARIABLES: Final[Mapping[str, Callable[[_Variables], Any]]] = {
    "allowed_targets": lambda of: of.texts("REPLAY_TARGETS"),
    "api_url": lambda of: of.url("API_URL", "the HTTP API").rstrip("/"),
    "compression": lambda of: of.choice("COMPRESSION", ("none", "zlib", "zstd")),
    "event_bus": lambda of: of.text("EVENT_BUS"),
    "event_source": lambda of: of.matching(
        "EVENT_SOURCE",
        _EVENT_SOURCE,
        "1-256 letters, digits or ./-_ that don't begin with 'aws.'",
        default="eventstore",
    ),
    "events_table": lambda of: of.text("EVENTS_TABLE"),
    "failed_events_queue_url": lambda of: of.url("FAILED_EVENTS_QUEUE_URL", "an SQS queue"),
    "log_table": lambda of: of.text("LOG_TABLE"),
    "log_tranches": lambda of: of.whole("LOG_TRANCHES", low=1, high=LOG_TRANCHES_MAX),
    "machine_arn": lambda of: of.text("REPLAY_MACHINE"),
    "put_events_max_bytes": lambda of: of.whole(
        "PUT_EVENTS_MAX_BYTES", low=16 * 1_024, high=1_024 * 1_024, default=PUT_EVENTS_MAX_BYTES
    ),
    "raises_when_stopped": lambda of: of.choice("PARTIAL_BATCH", ("report", "raise")) == "raise",
    "read_shards": lambda of: of.whole("READ_SHARDS", low=1, high=SHARDS_MAX),
    "replays_table": lambda of: of.text("REPLAYS_TABLE"),
    "settling_s": lambda of: of.seconds("SETTLING_S", default=SETTLING_S),
    "write_shards": lambda of: of.whole("WRITE_SHARDS", low=1, high=SHARDS_MAX),
}
"""How each setting is read, whichever functions need it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Settings:
    """Some of the variables in `_VARIABLES`, by the names of the fields."""

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Self:
        """Read the settings; raises InvalidSettings with all faults at once."""
        variables = _Variables(environ)
        settings = cls(**{field.name: _VARIABLES[field.name](variables) for field in fields(cls)})
        variables.check()
        return settings


@dataclass(frozen=True, slots=True, kw_only=True)
class AppendSettings(_Settings):
    """What the append function needs: EVENTS_TABLE, WRITE_SHARDS; COMPRESSION (none)."""

    events_table: str
    write_shards: int
    compression: str
    """``none``, ``zlib`` or ``zstd``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadSettings(_Settings):
    """What the read function needs: EVENTS_TABLE, READ_SHARDS, LOG_TABLE, LOG_TRANCHES; SETTLING_S when it
    isn't the default.
    """

    events_table: str
    read_shards: int
    settling_s: float
    log_table: str
    log_tranches: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishSettings(_Settings):
    """What the publish function needs.

    EVENTS_TABLE, EVENT_BUS, FAILED_EVENTS_QUEUE_URL and API_URL; when they aren't the default:
    EVENT_SOURCE (eventstore), PUT_EVENTS_MAX_BYTES, PARTIAL_BATCH (report).
    """

    events_table: str
    event_bus: str
    failed_events_queue_url: str
    api_url: str
    event_source: str
    put_events_max_bytes: int
    raises_when_stopped: bool
    """PARTIAL_BATCH=raise, for a Lambda service that takes a partial batch response for success."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexSettings(_Settings):
    """What the index function needs: EVENTS_TABLE, LOG_TABLE, LOG_TRANCHES; PARTIAL_BATCH (report)."""

    events_table: str
    log_table: str
    log_tranches: int
    raises_when_stopped: bool
    """PARTIAL_BATCH=raise, for a Lambda service that takes a partial batch response for success."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplaySettings(_Settings):
    """What the step function of replays needs.

    EVENTS_TABLE, REPLAYS_TABLE, READ_SHARDS and API_URL; when they aren't the default: SETTLING_S,
    EVENT_SOURCE (eventstore), PUT_EVENTS_MAX_BYTES.
    """

    events_table: str
    replays_table: str
    read_shards: int
    settling_s: float
    api_url: str
    event_source: str
    put_events_max_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplaysSettings(_Settings):
    """What the function behind /replays needs: REPLAYS_TABLE, REPLAY_MACHINE; REPLAY_TARGETS (none)."""

    replays_table: str
    machine_arn: str
    allowed_targets: tuple[str, ...]
