"""What went wrong, as a sentence that says where and how to repair it."""

from __future__ import annotations

from typing import Final

from eventstore.cli.options import Options
from eventstore.errors import StoreUnavailable, TableNotFound

_TABLES: Final = {
    "table": "--table",
    "log_table": "--log-table",
    "subscriptions_table": "--subscriptions-table",
}


def sentence(error: Exception, options: Options) -> str:
    """Write an error for somebody at a terminal."""
    match error:
        case StoreUnavailable():
            return (
                f"DynamoDB can't be reached, or takes no more requests for now: {error.reason}. "
                "Look at AWS_REGION and AWS_ENDPOINT_URL, and run it again: repeating a command is harmless"
            )
        case TableNotFound():
            given = {name: getattr(options, at, None) for at, name in _TABLES.items()}
            tables = ", ".join(f"{name} {value!r}" for name, value in given.items() if value)
            return f"there is no such table in this account and region ({tables}): {error}"
    return str(error) or repr(error)
