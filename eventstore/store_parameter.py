"""What a deployment says about itself, in one parameter, so that nobody copies it by hand.

::

    /eventstore/prod  {"version": 1, "eventsTable": "...", "logTable": "...", "subscriptionsTable": "...",
                       "eventBus": "...", "apiUrl": "https://...", "eventSource": "eventstore",
                       "failedEventsQueueUrl": "https://...", "writeShards": 5, "settlingS": 10,
                       "compression": "none", "clocks": "checked"}

This module imports the standard library only, so that `infra/` writes it by the same names.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from eventstore import setting_rules as rules
from eventstore.errors import InvalidStoreParameter, UnknownStore

PREFIX: Final = "/eventstore/"
VERSION: Final = 1
"""Of the parameter; a reader refuses a higher one, whose members may mean something else."""

_FIELDS: Final = {
    "events_table": "eventsTable",
    "log_table": "logTable",
    "subscriptions_table": "subscriptionsTable",
    "event_bus": "eventBus",
    "api_url": "apiUrl",
    "event_source": "eventSource",
    "failed_events_queue_url": "failedEventsQueueUrl",
    "write_shards": "writeShards",
    "settling_s": "settlingS",
    "compression": "compression",
    "clocks": "clocks",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreParameter:
    """A deployed store: its resources, and the settings that its users have to share."""

    events_table: str
    log_table: str
    subscriptions_table: str
    event_bus: str
    api_url: str
    event_source: str
    failed_events_queue_url: str
    write_shards: int
    settling_s: float
    compression: str
    clocks: str
    """``checked``, or ``shared`` where the engine is on the same computer."""

    def members(self) -> dict[str, Any]:
        """Return it as the members of the parameter's JSON object."""
        return {"version": VERSION} | {name: getattr(self, field) for field, name in _FIELDS.items()}

    @classmethod
    def parse(cls, text: str, *, parameter: str) -> StoreParameter:
        """Read the parameter's text.

        Raises:
            InvalidStoreParameter: it's of a newer version, or somebody has changed it.
        """
        try:
            found = json.loads(text)
        except ValueError as error:
            raise InvalidStoreParameter(parameter=parameter, reason=f"is not JSON: {error}") from error
        if not isinstance(found, Mapping):
            raise InvalidStoreParameter(parameter=parameter, reason="is no JSON object")
        version = found.get("version")
        if type(version) is int and version > VERSION:
            reason = f"is of version {version}, and this library knows {VERSION}: install a newer one"
            raise InvalidStoreParameter(parameter=parameter, reason=reason)
        if version != VERSION:
            reason = f"has the version {version!r:.40}, not {VERSION}"
            raise InvalidStoreParameter(
                parameter=parameter, reason=f"{reason}: deploy the service stack again"
            )
        return cls(**{field: _value(found, field, parameter) for field in _FIELDS})


def parameter_name(store: str) -> str:
    """Return the name of a store's parameter.

    Raises:
        UnknownStore: no deployment has such a name.
    """
    if not isinstance(store, str) or not rules.is_environment(store):
        raise UnknownStore(store=store, parameter=f"{PREFIX}...", known=())
    return PREFIX + store


def _value(found: Mapping[str, Any], field: str, parameter: str) -> Any:
    name = _FIELDS[field]
    value = found.get(name)
    try:
        if field == "write_shards":
            return rules.shards(value)
        if field == "settling_s":
            return rules.settling_s_of_shared_clocks(value)
        if field == "compression":
            return rules.compression(value)
        if field == "clocks":
            return rules.clocks(value)
        return rules.text(value, pattern=r"\S+", what="a text without spaces")
    except rules.WrongSetting as wrong:
        reason = f"{name} {wrong}: deploy the service stack again"
        raise InvalidStoreParameter(parameter=parameter, reason=reason) from wrong
