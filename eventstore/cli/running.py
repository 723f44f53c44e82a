"""A command with its options, from its beginning to its exit code: every trouble becomes a sentence."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Final

from boto3.exceptions import Boto3Error
from botocore.exceptions import BotoCoreError, ClientError

from eventstore._command_line import INTERRUPTED, TROUBLE
from eventstore.cli import create_tables, doctor, rebuild_log, redrive, republish, restored, transfer, verify
from eventstore.cli.faults import sentence
from eventstore.cli.screen import Screen
from eventstore.cli.signals import Signals
from eventstore.cli.stores import fill_in, given_in
from eventstore.errors import EventStoreError

_RUN: Final[dict[str, Callable[[argparse.Namespace, Screen, Signals], int]]] = {
    "create-tables": create_tables.run,
    "doctor": doctor.run,
    "rebuild-log": rebuild_log.run,
    "redrive": redrive.run,
    "republish": republish.run,
    "restored": restored.run,
    "verify": verify.run,
    "export": transfer.run_export,
    "import": transfer.run_import,
}


def run(command: str, options: argparse.Namespace, signals: Signals, *, arguments: list[str]) -> int:
    """Run a command; return the exit code.

    Args:
        arguments: the command line as it was given: what stands there goes before what `--store` says.

    Raises:
        BrokenPipeError: nobody reads its output any more.
    """
    screen = Screen()
    try:
        fill_in(options, given=given_in(arguments, options))
        return _RUN[command](options, screen, signals)
    except KeyboardInterrupt:
        screen.fail("Interrupted.")
        return INTERRUPTED
    except BrokenPipeError:
        raise
    except (EventStoreError, BotoCoreError, Boto3Error, ClientError, OSError) as error:
        screen.fail(sentence(error, options))
        return TROUBLE
