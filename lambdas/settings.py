"""The environment of each function: typed, and checked once, when the function starts.

What synth takes from `cdk.json` goes by the same rule here: see `eventstore._setting_rules`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from functools import partial
from typing import Any, Final, Self, TypeVar

from eventstore import _setting_rules as rules
from eventstore import limits
from eventstore._setting_rules import WrongSetting
from eventstore.errors.base import PicklableError

_Value = TypeVar("_Value")

_name: Final = partial(rules.text, pattern=r"\S+", what="a name without spaces")
_url: Final = partial(rules.text, pattern=r"https?://\S+", what="a URL")


class InvalidSettings(PicklableError, ValueError):
    """Environment variables that are missing or can't be used; `faults` has a sentence for each."""

    def __init__(self, faults: tuple[str, ...]) -> None:
        super().__init__("; ".join(faults))
        self.faults = faults


class _Variables:
    """Reads variables and gathers what is wrong with them, so that one deployment repairs it all."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._faults: list[str] = []

    def check(self) -> None:
        if self._faults:
            raise InvalidSettings(tuple(self._faults))

    def read(
        self, name: str, rule: Callable[[object], _Value], default: _Value | None = None
    ) -> _Value | None:
        """What the rule makes of a variable; `default` where it's missing or blank."""
        text = self._environ.get(name, "")
        if not text.strip():
            if default is None:
                self._faults.append(f"{name} is missing; set it in the function's environment")
            return default
        try:
            return rule(text)
        except WrongSetting as wrong:
            self._faults.append(f"{name} {wrong}")
            return None

    def read_if_given(self, name: str, rule: Callable[[object], _Value]) -> _Value | None:
        """What the rule makes of a variable; None where it's missing or blank."""
        return self.read(name, rule) if self._environ.get(name, "").strip() else None


_VARIABLES: Final[Mapping[str, Callable[[_Variables], Any]]] = {
    "allowed_targets": lambda of: of.read("REPLAY_TARGETS", rules.replay_targets, ()),
    "api_url": lambda of: (of.read("API_URL", _url) or "").rstrip("/"),
    "compression": lambda of: of.read("COMPRESSION", rules.compression, "none"),
    "event_bus": lambda of: of.read("EVENT_BUS", _name),
    "event_source": lambda of: of.read("EVENT_SOURCE", rules.event_source, "eventstore"),
    "events_table": lambda of: of.read("EVENTS_TABLE", _name),
    "failed_events_queue_url": lambda of: of.read("FAILED_EVENTS_QUEUE_URL", _url),
    "journal_table": lambda of: of.read("JOURNAL_TABLE", _name),
    "log_table": lambda of: of.read("LOG_TABLE", _name),
    "log_tranches": lambda of: of.read_if_given("LOG_TRANCHES", rules.log_tranches),
    "machine_arn": lambda of: of.read("REPLAY_MACHINE", _name),
    "put_events_max_bytes": lambda of: of.read(
        "PUT_EVENTS_MAX_BYTES", rules.put_events_max_bytes, limits.PUT_EVENTS_MAX_BYTES
    ),
    "raises_when_stopped": lambda of: of.read("PARTIAL_BATCH", rules.partial_batch, "report") == "raise",
    "replays_at_once": lambda of: of.read("REPLAYS_AT_ONCE", rules.replays_at_once, limits.REPLAYS_AT_ONCE),
    "replays_table": lambda of: of.read("REPLAYS_TABLE", _name),
    "clock_tolerance_s": lambda of: (
        limits.CLOCK_TOLERANCE_S if of.read("CLOCKS", rules.clocks, "checked") == "checked" else None
    ),
    "subscriptions_table": lambda of: of.read("SUBSCRIPTIONS_TABLE", _name),
    "settling_s": lambda of: of.read("SETTLING_S", rules.settling_s_of_shared_clocks, limits.SETTLING_S),
    "write_shards": lambda of: of.read("WRITE_SHARDS", rules.shards),
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
    """What the append function needs: EVENTS_TABLE, WRITE_SHARDS; COMPRESSION (none), CLOCKS (checked)."""

    events_table: str
    write_shards: int
    clock_tolerance_s: float | None
    """CLOCKS=shared, for an engine on the same computer: None."""
    compression: str
    """``none``, ``zlib`` or ``zstd``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadSettings(_Settings):
    """What the read function needs: EVENTS_TABLE, LOG_TABLE; SETTLING_S and CLOCKS (checked) when they aren't
    the default. How many shards and tranches there are, the store and its log say.
    """

    events_table: str
    settling_s: float
    clock_tolerance_s: float | None
    """CLOCKS=shared, for an engine on the same computer: None, and SETTLING_S may be lower."""
    log_table: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishSettings(_Settings):
    """What the publish function needs.

    EVENTS_TABLE, JOURNAL_TABLE, EVENT_BUS, FAILED_EVENTS_QUEUE_URL and API_URL; when they aren't the default:
    EVENT_SOURCE (eventstore), PUT_EVENTS_MAX_BYTES, PARTIAL_BATCH (report).
    """

    events_table: str
    journal_table: str
    event_bus: str
    failed_events_queue_url: str
    api_url: str
    event_source: str
    put_events_max_bytes: int
    raises_when_stopped: bool
    """PARTIAL_BATCH=raise, for a Lambda service that takes a partial batch response for success."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogSettings(_Settings):
    """What the log function needs: EVENTS_TABLE, JOURNAL_TABLE, LOG_TABLE; PARTIAL_BATCH (report);
    LOG_TRANCHES, for a log that isn't begun yet.
    """

    events_table: str
    journal_table: str
    log_table: str
    log_tranches: int | None
    """With how many the log is begun; None for as many as it has, or the default."""
    raises_when_stopped: bool
    """PARTIAL_BATCH=raise, for a Lambda service that takes a partial batch response for success."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplaySettings(_Settings):
    """What the step function of replays needs.

    EVENTS_TABLE, REPLAYS_TABLE and API_URL; when they aren't the default: SETTLING_S,
    CLOCKS (checked), EVENT_SOURCE (eventstore), PUT_EVENTS_MAX_BYTES, REPLAYS_AT_ONCE.
    """

    events_table: str
    replays_table: str
    replays_at_once: int
    settling_s: float
    clock_tolerance_s: float | None
    """CLOCKS=shared, for an engine on the same computer: None, and SETTLING_S may be lower."""
    api_url: str
    event_source: str
    put_events_max_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplaysSettings(_Settings):
    """What the function behind /replays needs.

    REPLAYS_TABLE and REPLAY_MACHINE; when they aren't the default: REPLAY_TARGETS (none), REPLAYS_AT_ONCE.
    """

    replays_table: str
    replays_at_once: int
    machine_arn: str
    allowed_targets: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ParkedSettings(_Settings):
    """What the function needs that counts parked events: SUBSCRIPTIONS_TABLE."""

    subscriptions_table: str
