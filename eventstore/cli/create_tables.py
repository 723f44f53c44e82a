"""`create-tables`: the tables of a store on any DynamoDB endpoint, to try the library on."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import urlsplit

from eventstore._command_line import ALL_WELL
from eventstore.cli.options import LOG, SUBSCRIPTIONS, TABLE, Options
from eventstore.cli.outcome import Outcome
from eventstore.cli.screen import Screen
from eventstore.cli.settings import dynamodb, session
from eventstore.cli.signals import Signals
from eventstore.dynamodb.table_definitions import create_table
from eventstore.errors import InvalidInput

_VARIABLES: Final = {
    "events": TABLE.variable,
    "log": LOG.variable,
    "subscriptions": SUBSCRIPTIONS.variable,
}


def run(options: Options, screen: Screen, _signals: Signals) -> Outcome:
    """Make the tables that aren't there, and print their names as variables; the exit code is 0."""
    if not re.fullmatch(r"[A-Za-z0-9_.-]{1,200}", options.prefix):
        what = f"is {options.prefix!r}; table names have letters, digits and _.-"
        raise InvalidInput("--prefix", what)
    client = dynamodb(session())
    host = urlsplit(client.meta.endpoint_url).hostname or ""
    if host.endswith((".amazonaws.com", ".amazonaws.com.cn", ".aws")) and not options.on_aws:
        what = f"would make tables on AWS ({host}) without recovery, protection and alarms"
        raise InvalidInput("--on-aws", f"is missing: it {what}. `cdk deploy` makes those of a store")
    tables = []
    for kind, variable in _VARIABLES.items():
        name = f"{options.prefix}-{kind}"
        is_made = create_table(client, kind, name)
        client.get_waiter("table_exists").wait(TableName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 60})
        screen.say(f"{name} is made." if is_made else f"{name} is there already, and stays as it is.")
        tables.append({"variable": variable, "name": name, "isNew": is_made})
        if not options.as_json:
            print(f"export {variable}={name}")
    return Outcome(ALL_WELL, {"tables": tables})
