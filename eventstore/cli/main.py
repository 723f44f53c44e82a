"""`python -m eventstore redrive | verify | export | import`.

Exit codes: 0 all is well, 1 something is left (findings, refused events, failed streams), 2 it could not be
done (options, files, permissions, an unreachable service), 130 interrupted.
"""

from __future__ import annotations

import argparse
from typing import Final

from botocore.exceptions import BotoCoreError, ClientError

from eventstore.cli import redrive, transfer, verify
from eventstore.cli.screen import Screen
from eventstore.errors import EventStoreError

TROUBLE: Final = 2
INTERRUPTED: Final = 130


def main(arguments: list[str] | None = None) -> int:
    """Run a command; return the exit code."""
    screen = Screen()
    options = _parser().parse_args(arguments)
    try:
        code: int = options.run(options, screen)
    except KeyboardInterrupt:
        screen.fail("Interrupted.")
        return INTERRUPTED
    except (EventStoreError, BotoCoreError, ClientError, OSError) as error:
        screen.fail(str(error))
        return TROUBLE
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m eventstore", description="Look after an event store. docs/operations.md tells how."
    )
    commands = parser.add_subparsers(required=True)
    command = commands.add_parser("redrive", help="publish parked events again")
    redrive.add_options(command)
    command.set_defaults(run=redrive.run)
    command = commands.add_parser("verify", help="say exactly what is wrong with the store")
    verify.add_options(command)
    command.set_defaults(run=verify.run)
    command = commands.add_parser("export", help="write all events, or a range of time, into a file")
    transfer.add_export_options(command)
    command.set_defaults(run=transfer.run_export)
    command = commands.add_parser("import", help="write the events of a file into an empty store")
    transfer.add_import_options(command)
    command.set_defaults(run=transfer.run_import)
    return parser
