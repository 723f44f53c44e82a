"""The environment of each function: typed, and checked once, when the function starts."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Final, Self

from eventstore.limits import LOG_TRANCHES_MAX, PUT_EVENTS_MAX_BYTES, SETTLING_S, SHARDS_MAX

_EVENT_SOURCE: Final = re.compile(r"(?!aws\.)[/.\-_A-Za-z0-9]{1,256}")
_URL: Final = re.compile(r"https?://\S+")


class InvalidSettings(ValueError):
    """Environment variables that are missing or can't be used; `faults` has a sentence for each."""

    def __init__(self, faults: tuple[str, ...]) -> None:
        super().__init__("; ".join(faults))
        self.faults = faults


@dataclass(frozen=True, slots=True, kw_only=True)
class AppendSettings:
    """What the append function needs: EVENTS_TABLE, WRITE_SHARDS; COMPRESSION (none)."""

    events_table: str
    write_shards: int
    compression: str
    """``none``, ``zlib`` or ``zstd``."""

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Self:
        """Read the settings; raises InvalidSettings with all faults at once."""
        variables = _Variables(environ)
        settings = cls(
            events_table=variables.text("EVENTS_TABLE"),
            write_shards=variables.whole("WRITE_SHARDS", low=1, high=SHARDS_MAX),
            compression=variables.choice("COMPRESSION", ("none", "zlib", "zstd")),
        )
        variables.check()
        return settings


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadSettings:
    """What the read function needs: EVENTS_TABLE, READ_SHARDS, LOG_TABLE, LOG_TRANCHES; SETTLING_S when it
    isn't the default.
    """

    events_table: str
    read_shards: int
    settling_s: float
    log_table: str
    log_tranches: int

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Self:
        """Read the settings; raises InvalidSettings with all faults at once."""
        variables = _Variables(environ)
        settings = cls(
            events_table=variables.text("EVENTS_TABLE"),
            read_shards=variables.whole("READ_SHARDS", low=1, high=SHARDS_MAX),
            settling_s=variables.seconds("SETTLING_S", default=SETTLING_S),
            log_table=variables.text("LOG_TABLE"),
            log_tranches=variables.whole("LOG_TRANCHES", low=1, high=LOG_TRANCHES_MAX),
        )
        variables.check()
        return settings


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishSettings:
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

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Self:
        """Read the settings; raises InvalidSettings with all faults at once."""
        variables = _Variables(environ)
        settings = cls(
            events_table=variables.text("EVENTS_TABLE"),
            event_bus=variables.text("EVENT_BUS"),
            failed_events_queue_url=variables.matching(
                "FAILED_EVENTS_QUEUE_URL", _URL, "the URL of an SQS queue"
            ),
            api_url=variables.matching("API_URL", _URL, "the URL of the HTTP API").rstrip("/"),
            event_source=variables.event_source(),
            put_events_max_bytes=variables.put_events_max_bytes(),
            raises_when_stopped=variables.choice("PARTIAL_BATCH", ("report", "raise")) == "raise",
        )
        variables.check()
        return settings


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexSettings:
    """What the index function needs: EVENTS_TABLE, LOG_TABLE, LOG_TRANCHES; PARTIAL_BATCH (report)."""

    events_table: str
    log_table: str
    log_tranches: int
    raises_when_stopped: bool
    """PARTIAL_BATCH=raise, for a Lambda service that takes a partial batch response for success."""

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Self:
        """Read the settings; raises InvalidSettings with all faults at once."""
        variables = _Variables(environ)
        settings = cls(
            events_table=variables.text("EVENTS_TABLE"),
            log_table=variables.text("LOG_TABLE"),
            log_tranches=variables.whole("LOG_TRANCHES", low=1, high=LOG_TRANCHES_MAX),
            raises_when_stopped=variables.choice("PARTIAL_BATCH", ("report", "raise")) == "raise",
        )
        variables.check()
        return settings


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplaySettings:
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

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Self:
        """Read the settings; raises InvalidSettings with all faults at once."""
        variables = _Variables(environ)
        settings = cls(
            events_table=variables.text("EVENTS_TABLE"),
            replays_table=variables.text("REPLAYS_TABLE"),
            read_shards=variables.whole("READ_SHARDS", low=1, high=SHARDS_MAX),
            settling_s=variables.seconds("SETTLING_S", default=SETTLING_S),
            api_url=variables.matching("API_URL", _URL, "the URL of the HTTP API").rstrip("/"),
            event_source=variables.event_source(),
            put_events_max_bytes=variables.put_events_max_bytes(),
        )
        variables.check()
        return settings


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplaysSettings:
    """What the function behind /replays needs: REPLAYS_TABLE, REPLAY_MACHINE; REPLAY_TARGETS (none)."""

    replays_table: str
    machine_arn: str
    allowed_targets: tuple[str, ...]

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Self:
        """Read the settings; raises InvalidSettings with all faults at once."""
        variables = _Variables(environ)
        settings = cls(
            replays_table=variables.text("REPLAYS_TABLE"),
            machine_arn=variables.text("REPLAY_MACHINE"),
            allowed_targets=tuple(filter(None, environ.get("REPLAY_TARGETS", "").split(","))),
        )
        variables.check()
        return settings


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

    def event_source(self) -> str:
        what = "1-256 letters, digits or ./-_ that don't begin with 'aws.'"
        return self.matching("EVENT_SOURCE", _EVENT_SOURCE, what, default="eventstore")

    def put_events_max_bytes(self) -> int:
        most = 1_024 * 1_024
        return self.whole("PUT_EVENTS_MAX_BYTES", low=16 * 1_024, high=most, default=PUT_EVENTS_MAX_BYTES)

    def seconds(self, name: str, *, default: float) -> float:
        text = self.text(name, default=str(default))
        try:
            value = float(text)
        except ValueError:
            value = -1.0
        if not (isfinite(value) and value >= 0):
            self._faults.append(f"{name} is {text!r}; it has to be a number of seconds, 0 or more")
        return value
