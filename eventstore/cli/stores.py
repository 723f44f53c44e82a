"""`--store NAME`: what a deployed store says about itself takes the place of a dozen options."""

from __future__ import annotations

from typing import Final

from eventstore.cli.options import Call
from eventstore.cli.settings import session
from eventstore.dynamodb.connecting import read_parameter

_OPTIONS: Final = {
    "table": "events_table",
    "log_table": "log_table",
    "subscriptions_table": "subscriptions_table",
    "bus": "event_bus",
    "api_url": "api_url",
    "queue_url": "failed_events_queue_url",
    "event_source": "event_source",
    "compression": "compression",
}
"""By option the part of a store that it names."""


def fill_in(call: Call) -> None:
    """Give options the values of the store that `--store` names; those on the command line stay.

    Raises:
        UnknownStore, InvalidStoreParameter: as of `eventstore.connect`.
    """
    options = call.options
    store: str | None = getattr(options, "store", None)
    if store is None:
        return
    found = read_parameter(store, session(), {})
    for option, part in _OPTIONS.items():
        if option in vars(options) and option not in call.given:
            setattr(options, option, getattr(found, part))
