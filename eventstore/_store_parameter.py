"""What a deployment says about itself, in one parameter, so that nobody copies it by hand.

::

    /eventstore/prod  {"version": 1, "eventsTable": "...", "logTable": "...", "subscriptionsTable": "...",
                       "eventBus": "...", "apiUrl": "https://...", "eventSource": "eventstore",
                       "failedEventsQueueUrl": "https://...", "settlingS": 10, "compression": "none",
                       "clocks": "checked"}

How many shards and tranches there are stands in the store and its log, and not here: a second place could
differ.

This module imports the standard library only, so that `infra/` writes it by the same names.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from eventstore import _setting_rules as rules
from eventstore.errors import InvalidStoreParameter, UnknownStore

PREFIX: Final = "/eventstore/"
VERSION: Final = 1
"""Of the parameter; a reader refuses a higher one, whose members may mean something else."""

_text: Final = partial(rules.text, pattern=r"\S+", what="a text without spaces")
_FIELDS: Final[Mapping[str, tuple[str, Callable[[object], Any]]]] = {
    "events_table": ("eventsTable", _text),
    "log_table": ("logTable", _text),
    "subscriptions_table": ("subscriptionsTable", _text),
    "event_bus": ("eventBus", _text),
    "api_url": ("apiUrl", _text),
    "event_source": ("eventSource", _text),
    "failed_events_queue_url": ("failedEventsQueueUrl", _text),
    "settling_s": ("settlingS", rules.settling_s_of_shared_clocks),
    "compression": ("compression", rules.compression),
    "clocks": ("clocks", rules.clocks),
}
"""By field the member of the parameter and the rule for it."""


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
    settling_s: float
    compression: str
    clocks: str
    """``checked``, or ``shared`` where the engine is on the same computer."""

    def members(self) -> dict[str, Any]:
        """Return it as the members of the parameter's JSON object."""
        return {"version": VERSION} | {name: getattr(self, field) for field, (name, _) in _FIELDS.items()}

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
        return cls(**{field: _value(found, name, rule, parameter) for field, (name, rule) in _FIELDS.items()})


def parameter_name(store: str) -> str:
    """Return the name of a store's parameter.

    Raises:
        UnknownStore: no deployment has such a name.
    """
    if not isinstance(store, str) or not rules.is_environment(store):
        raise UnknownStore(store=store, parameter=f"{PREFIX}...", known=())
    return PREFIX + store


def _value(found: Mapping[str, Any], name: str, rule: Callable[[object], Any], parameter: str) -> Any:
    try:
        return rule(found.get(name))
    except rules.WrongSetting as wrong:
        reason = f"{name} {wrong}: deploy the service stack again"
        raise InvalidStoreParameter(parameter=parameter, reason=reason) from wrong
