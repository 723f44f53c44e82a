"""`python -m localcloud run | load FILE | clean`: what `make run`, `make load` and `make clean-local` run."""

from __future__ import annotations

import argparse
import importlib
import os
import signal
import sys
from pathlib import Path
from types import FrameType

from eventstore._command_line import run_command
from eventstore._setting_rules import is_url
from localcloud.processes import FOLDER


def main(arguments: list[str] | None = None) -> int:
    """Run a command; return the exit code."""
    for ending in (signal.SIGINT, signal.SIGTERM):
        signal.signal(ending, _interrupt)
    if signal.getsignal(signal.SIGHUP) == signal.SIG_DFL:  # not under nohup
        signal.signal(signal.SIGHUP, _interrupt)
    return run_command(lambda: _command(_parser().parse_args(arguments)))


def _command(options: argparse.Namespace) -> int:
    try:
        # Only here: `--help` needs nothing that would have to be installed.
        commands = importlib.import_module("localcloud.commands")
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] == "eventstore":
            raise
        print(
            f"The package {error.name} is not installed. Use `make run`, which installs what the local cloud "
            "needs, or: python -m pip install -r localcloud/requirements.txt",
            file=sys.stderr,
        )
        return 1
    code: int = commands.command(options)
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m localcloud", description=__doc__)
    parser.add_argument("--folder", type=Path, default=FOLDER, help="logs and state (default: .local)")
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="start a local cloud, deploy to it, show the main job, stay up")
    run.add_argument(
        "--port",
        type=int,
        default=os.environ.get("PORT") or None,
        help="default: any free one, with --keep a fixed one (also: PORT)",
    )
    run.add_argument(
        "--once",
        action="store_true",
        default=os.environ.get("RUN_ONCE", "0") not in {"", "0"},
        help="end after the show (also: RUN_ONCE=1)",
    )
    run.add_argument(
        "--keep",
        action="store_true",
        default=os.environ.get("KEEP", "0") not in {"", "0"},
        help="go on with what the last such run kept, on the same port (also: KEEP=1)",
    )
    commands.add_parser("clean", help="remove what runs with --keep have kept")
    load = commands.add_parser("load", help="append a file of events, one JSON object a line")
    load.add_argument(
        "file", type=Path, help="streamId, eventName, payload; may have occurredAt and eventUid"
    )
    load.add_argument("--url", type=_url, help="the API (default: that of the running local cloud)")
    load.add_argument(
        "--parallel", type=_positive, default=8, help="streams loaded side by side (default: 8)"
    )
    return parser


def _positive(text: str) -> int:
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text!r} has to be a whole number, 1 or more")
    return number


def _url(text: str) -> str:
    if not is_url(text):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not the address of an API: give it as http://host:port/path or https://host/path"
        )
    return text


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
