"""`python -m eventstore redrive | verify | export | import`.

Exit codes: 0 all is well, 1 something is left (findings, refused events, failed streams), 2 it could not be
done (options, files, permissions, an unreachable service), 130 interrupted, 141 nobody reads its output.
"""

from __future__ import annotations

import argparse
import codecs
import importlib
import os
import sys
from typing import Final

from eventstore.cli.exit_codes import NOBODY_READS, TROUBLE
from eventstore.cli.options import (
    add_export_options,
    add_import_options,
    add_redrive_options,
    add_verify_options,
)
from eventstore.cli.signals import Signals

_COMMANDS: Final = {
    "redrive": ("publish parked events again", add_redrive_options),
    "verify": ("report exactly what is wrong with the store", add_verify_options),
    "export": ("write all events, or a range of time, into a file", add_export_options),
    "import": ("write the events of a file into an empty store", add_import_options),
}
_NEEDED: Final = {"boto3", "botocore", "rich"}


def main(arguments: list[str] | None = None, *, signals: Signals | None = None) -> int:
    """Run a command; return the exit code.

    Args:
        arguments: those of the process unless given.
        signals: those that are handled; None leaves Python's own handling, in which Ctrl-C raises.
    """
    _take_any_character()
    try:
        try:
            return _run(arguments, signals or Signals())
        finally:
            if sys.stdout is not None:
                sys.stdout.flush()
    except BrokenPipeError:
        # What is still in the buffer would be written at Python's end, and fail once more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return NOBODY_READS


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
    code: int = running.run(options.command, options, signals)
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m eventstore", description="Look after an event store. docs/operations.md says how."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for name, (help_, add_options) in _COMMANDS.items():
        add_options(commands.add_parser(name, help=help_, description=f"{help_.capitalize()}."))
    return parser


def _take_any_character() -> None:
    """Let standard output take any character, whatever its encoding: findings are JSON, which has escapes."""
    codecs.register_error("eventstore.json", _json_escapes)
    reconfigure = getattr(sys.stdout, "reconfigure", None)  # a replaced standard output may have none
    if reconfigure is not None:
        reconfigure(errors="eventstore.json")


def _json_escapes(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError)
    units = error.object[error.start : error.end].encode("utf-16-be", "surrogatepass")
    escapes = (f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2))
    return "".join(escapes), error.end
