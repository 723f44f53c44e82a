"""The command line: `eventstore --help` lists its commands.

Exit codes: 0 all is well, 1 something is left (findings, refused events, failed streams), 2 it could not be
done (options, files, permissions, an unreachable service), 130 interrupted, 141 nobody reads its output.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from typing import Final

from eventstore import __version__
from eventstore._command_line import TROUBLE, run_command
from eventstore.cli.options import (
    add_create_tables_options,
    add_doctor_options,
    add_export_options,
    add_import_options,
    add_rebuild_log_options,
    add_redrive_options,
    add_republish_options,
    add_restored_options,
    add_verify_options,
)
from eventstore.cli.signals import Signals

_COMMANDS: Final = {
    "create-tables": (
        "make tables to try the library on, on any DynamoDB endpoint",
        add_create_tables_options,
    ),
    "doctor": ("look at what the store needs to work, and say how to repair it", add_doctor_options),
    "rebuild-log": (
        "make the log anew from the table, when it is lost or of another store",
        add_rebuild_log_options,
    ),
    "redrive": ("publish parked events again", add_redrive_options),
    "republish": ("publish events of the table once more", add_republish_options),
    "restored": ("declare that the table was restored, before anybody writes to it", add_restored_options),
    "verify": ("report exactly what is wrong with the store", add_verify_options),
    "export": ("write all events, or a range of time, into a file", add_export_options),
    "import": ("write the events of a file into an empty store", add_import_options),
}
_WITHOUT_STORE: Final = frozenset({"create-tables"})
_NEEDED: Final = {"boto3", "botocore", "rich"}


def main(arguments: list[str] | None = None, *, signals: Signals | None = None) -> int:
    """Run a command; return the exit code.

    Args:
        arguments: those of the process unless given.
        signals: those that are handled; None leaves Python's own handling, in which Ctrl-C raises.
    """
    return run_command(lambda: _run(arguments, signals or Signals()))


def _run(arguments: list[str] | None, signals: Signals) -> int:
    options = _parser().parse_args(arguments)
    try:
        running = importlib.import_module("eventstore.cli.running")
    except ModuleNotFoundError as error:
        name = (error.name or "").partition(".")[0]
        if name not in _NEEDED:
            raise
        missing = f"{name} isn't installed here: pip install 'eventstore-dynamodb[cli]'"
        print(missing, file=sys.stderr)
        return TROUBLE
    given = sys.argv[1:] if arguments is None else arguments
    code: int = running.run(options.command, options, signals, arguments=given)
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m eventstore", description="Look after an event store. docs/operations.md says how."
    )
    parser.add_argument("--version", action="version", version=f"eventstore-dynamodb {__version__}")
    commands = parser.add_subparsers(dest="command", required=True)
    for name, (help_, add_options) in _COMMANDS.items():
        command = commands.add_parser(name, help=help_, description=f"{help_.capitalize()}.")
        add_options(command)
        if name not in _WITHOUT_STORE:
            command.add_argument(
                "--store",
                metavar="NAME",
                help="a deployed store: its tables, bus and queues needn't be named",
            )
    return parser
