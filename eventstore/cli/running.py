"""A command with its options, from its beginning to its exit code: every trouble becomes a sentence."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Final

from boto3.exceptions import Boto3Error
from botocore.exceptions import BotoCoreError, ClientError

from eventstore._command_line import INTERRUPTED, TROUBLE
from eventstore.cli import create_tables, doctor, rebuild_log, redrive, republish, restored, transfer, verify
from eventstore.cli.faults import sentence
from eventstore.cli.options import Call, Options
from eventstore.cli.outcome import Outcome, write_json
from eventstore.cli.screen import Screen
from eventstore.cli.signals import Signals
from eventstore.cli.stores import fill_in
from eventstore.errors import EventStoreError, InvalidInput

_RUN: Final[dict[str, Callable[[Options, Screen, Signals], Outcome]]] = {
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


def run(call: Call, signals: Signals) -> int:
    """Run a command; return the exit code.

    Raises:
        BrokenPipeError: nobody reads its output any more.
    """
    outcome = _outcome(call, signals)
    if call.options.as_json:
        write_json({"command": call.command, "exitCode": outcome.code, **outcome.members})
    return outcome.code


def _outcome(call: Call, signals: Signals) -> Outcome:
    screen = Screen()
    try:
        if call.options.as_json and sys.stdout is None:
            raise InvalidInput("--json", "needs standard output, which is closed")
        fill_in(call)
        return _RUN[call.command](call.options, screen, signals)
    except KeyboardInterrupt:
        code, told = INTERRUPTED, "Interrupted."
    except BrokenPipeError:
        raise
    except (EventStoreError, BotoCoreError, Boto3Error, ClientError, OSError) as error:
        code, told = TROUBLE, sentence(error, call.options)
    screen.fail(told)
    return Outcome(code, {"error": told})
