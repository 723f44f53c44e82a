"""The command line: `eventstore --help` lists its commands.

Exit codes: 0 all is well, 1 something is left (findings, refused events, failed streams), 2 it could not be
done (options, files, permissions, an unreachable service), 130 interrupted, 141 nobody reads its output.
"""

from __future__ import annotations

import importlib
import os
import sys
from typing import Final

from eventstore._command_line import TROUBLE, run_command
from eventstore.cli.signals import Signals

_NEEDED: Final = frozenset({"boto3", "botocore", "click", "rich"})
"""What the extra `cli` installs, botocore by boto3."""


def main(arguments: list[str] | None = None, *, signals: Signals | None = None) -> int:
    """Run a command; return the exit code.

    Args:
        arguments: those of the process unless given.
        signals: those that are handled; None leaves Python's own handling, in which Ctrl-C raises.
    """
    return run_command(lambda: _run(arguments, signals or Signals()))


def _run(arguments: list[str] | None, signals: Signals) -> int:
    try:
        commands = importlib.import_module("eventstore.cli.commands")
        asked = os.environ.get(commands.COMPLETE)
        if asked:
            completed: int = commands.complete(asked)
            return completed
        call = commands.parse(sys.argv[1:] if arguments is None else arguments)
        if isinstance(call, int):
            return call
        running = importlib.import_module("eventstore.cli.running")
    except ModuleNotFoundError as error:
        name = (error.name or "").partition(".")[0]
        if name not in _NEEDED:
            raise
        print(f"{name} isn't installed here: pip install 'eventstore-dynamodb[cli]'", file=sys.stderr)
        return TROUBLE
    code: int = running.run(call, signals)
    return code
